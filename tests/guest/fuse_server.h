/*
 * A small file system over the raw FUSE protocol, as a process of its own: a tree in memory, and files whose
 * names say how they misbehave. What it has seen is in memory shared with the test.
 */
#ifndef FUSE_SERVER_H
#define FUSE_SERVER_H

#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ioctl.h>

#include "fs_common.h"

#define NNODES 64
#define MAX_DATA (512 << 10)

struct node {
    uint64_t parent; /* 0: free */
    char name[64];
    uint32_t mode, nlink, uid, gid;
    uint64_t size, mtime;
    char *data;
    uint64_t nlookup;
};

struct seen {
    volatile unsigned ops[64]; /* requests by opcode */
    volatile unsigned open_flags, nforgotten, uid;
    volatile uint64_t interrupted;
    volatile int is_gone;
};

struct server {
    int fd, ctl[2];
    pid_t pid;
    unsigned valid_s, want, open_flags;
    struct seen *seen;
    struct node nodes[NNODES];
    uint64_t hanging; /* unique of a READ of "hang" */
};

static void reply(struct server *s, uint64_t unique, int err, const void *a, size_t na, const void *b, size_t nb)
{
    struct fuse_out_header h = {.len = (uint32_t)(sizeof(h) + (err ? 0 : na + nb)), .error = -err, .unique = unique};
    struct iovec v[3] = {{&h, sizeof(h)}, {(void *)a, err ? 0 : na}, {(void *)b, err ? 0 : nb}};
    if (writev(s->fd, v, 3) < 0 && errno != ENOENT && errno != EINTR)
        perror("server: answer");
}

static void fill_attr(struct server *s, uint64_t id, struct fuse_attr *a)
{
    struct node *n = &s->nodes[id];
    *a = (struct fuse_attr){.ino = id, .size = n->size, .blocks = n->size / 512, .mode = n->mode, .nlink = n->nlink,
                            .uid = n->uid, .gid = n->gid, .mtime = n->mtime, .ctime = n->mtime, .blksize = 4096};
}

static void fill_entry(struct server *s, uint64_t id, struct fuse_entry_out *e)
{
    *e = (struct fuse_entry_out){.nodeid = id, .entry_valid = s->valid_s, .attr_valid = s->valid_s};
    fill_attr(s, id, &e->attr);
    s->nodes[id].nlookup++;
}

static uint64_t find(struct server *s, uint64_t dir, const char *name)
{
    for (uint64_t i = 2; i < NNODES; i++)
        if (s->nodes[i].parent == dir && !strcmp(s->nodes[i].name, name))
            return i;
    return 0;
}

static uint64_t add(struct server *s, uint64_t dir, const char *name, uint32_t mode)
{
    for (uint64_t i = 2; i < NNODES; i++) {
        struct node *n = &s->nodes[i];
        if (n->parent || n->nlookup)
            continue;
        free(n->data);
        *n = (struct node){.parent = dir, .mode = mode, .nlink = S_ISDIR(mode) ? 2 : 1, .mtime = 1000};
        snprintf(n->name, sizeof(n->name), "%s", name);
        n->data = calloc(1, MAX_DATA);
        return i;
    }
    return 0;
}

static void give_entry(struct server *s, struct fuse_in_header *h, uint64_t id, int err)
{
    struct fuse_entry_out e;
    if (id)
        fill_entry(s, id, &e);
    reply(s, h->unique, id ? 0 : err, &e, sizeof(e), NULL, 0);
}

static void do_setattr(struct server *s, struct fuse_in_header *h, struct fuse_setattr_in *in)
{
    struct node *n = &s->nodes[h->nodeid];
    struct fuse_attr_out o = {.attr_valid = s->valid_s};
    if (in->valid & FATTR_SIZE) {
        if (in->size < n->size)
            memset(n->data + in->size, 0, n->size - in->size);
        n->size = in->size;
    }
    if (in->valid & FATTR_MODE)
        n->mode = (n->mode & S_IFMT) | (in->mode & 07777);
    if (in->valid & FATTR_UID)
        n->uid = in->uid;
    if (in->valid & FATTR_GID)
        n->gid = in->gid;
    n->mtime++;
    fill_attr(s, h->nodeid, &o.attr);
    reply(s, h->unique, 0, &o, sizeof(o), NULL, 0);
}

static void do_readdir(struct server *s, struct fuse_in_header *h, struct fuse_read_in *in, int is_plus)
{
    static char buf[65536];
    size_t at = 0;
    for (uint64_t i = in->offset; i < NNODES; i++) {
        const char *name = i == 0 ? "." : i == 1 ? ".." : s->nodes[i].name;
        if (i > 1 && s->nodes[i].parent != h->nodeid)
            continue;
        struct fuse_direntplus p = {.dirent = {.ino = i < 2 ? h->nodeid : i, .off = i + 1, .namelen = (uint32_t)strlen(name)}};
        p.dirent.type = i < 2 ? DT_DIR : s->nodes[i].mode >> 12;
        size_t head = is_plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET, size = FUSE_DIRENT_ALIGN(head + p.dirent.namelen);
        if (at + size > in->size)
            break;
        if (is_plus && i > 1)
            fill_entry(s, i, &p.entry_out);
        memset(buf + at, 0, size);
        memcpy(buf + at, is_plus ? (void *)&p : (void *)&p.dirent, head);
        memcpy(buf + at + head, name, p.dirent.namelen);
        at += size;
    }
    reply(s, h->unique, 0, buf, at, NULL, 0);
}

static void do_read(struct server *s, struct fuse_in_header *h, struct fuse_read_in *in)
{
    struct node *n = &s->nodes[h->nodeid];
    if (!strcmp(n->name, "hang")) {
        s->hanging = h->unique;
        return;
    }
    if (!strcmp(n->name, "dies"))
        _exit(0);
    size_t size = in->offset >= n->size ? 0 : n->size - in->offset;
    reply(s, h->unique, 0, n->data + in->offset, size < in->size ? size : in->size, NULL, 0);
}

static void do_write(struct server *s, struct fuse_in_header *h, struct fuse_write_in *in)
{
    struct node *n = &s->nodes[h->nodeid];
    struct fuse_write_out o = {.size = in->size};
    if (in->offset + in->size > MAX_DATA) {
        reply(s, h->unique, ENOSPC, NULL, 0, NULL, 0);
        return;
    }
    memcpy(n->data + in->offset, in + 1, in->size);
    if (in->offset + in->size > n->size)
        n->size = in->offset + in->size;
    n->mtime++;
    reply(s, h->unique, 0, &o, sizeof(o), NULL, 0);
}

static void do_remove(struct server *s, struct fuse_in_header *h, const char *name)
{
    uint64_t id = find(s, h->nodeid, name);
    if (id) {
        s->nodes[id].parent = 0;
        s->nodes[id].nlink = 0;
    }
    reply(s, h->unique, id ? 0 : ENOENT, NULL, 0, NULL, 0);
}

static void do_rename(struct server *s, struct fuse_in_header *h, uint64_t dir, const char *from, const char *to)
{
    uint64_t id = find(s, h->nodeid, from), old = find(s, dir, to);
    if (old && id) {
        s->nodes[old].parent = 0;
        s->nodes[old].nlink = 0;
    }
    if (id) {
        s->nodes[id].parent = dir;
        snprintf(s->nodes[id].name, sizeof(s->nodes[id].name), "%s", to);
    }
    reply(s, h->unique, id ? 0 : ENOENT, NULL, 0, NULL, 0);
}

static void do_init(struct server *s, struct fuse_in_header *h, struct fuse_init_in *in)
{
    struct fuse_init_out o = {.major = 7, .minor = 31, .max_readahead = in->max_readahead, .flags = in->flags & s->want,
                              .max_background = 12, .congestion_threshold = 9, .max_write = 65536, .time_gran = 1};
    reply(s, h->unique, 0, &o, sizeof(o), NULL, 0);
}

static void do_create(struct server *s, struct fuse_in_header *h, struct fuse_create_in *in)
{
    struct fuse_entry_out e;
    struct fuse_open_out o = {.fh = 7, .open_flags = s->open_flags};
    uint64_t id = add(s, h->nodeid, (char *)(in + 1), in->mode);
    s->seen->open_flags = in->flags;
    if (id) {
        s->nodes[id].uid = h->uid;
        fill_entry(s, id, &e);
    }
    reply(s, h->unique, id ? 0 : ENOSPC, &e, sizeof(e), &o, sizeof(o));
}

static void do_open(struct server *s, struct fuse_in_header *h, struct fuse_open_in *in)
{
    struct fuse_open_out o = {.fh = 8, .open_flags = h->opcode == FUSE_OPEN ? s->open_flags : 0};
    struct node *n = &s->nodes[h->nodeid];
    if (h->opcode == FUSE_OPEN)
        s->seen->open_flags = in->flags;
    if (in->flags & O_TRUNC) {
        memset(n->data, 0, MAX_DATA);
        n->size = 0;
        n->mtime++;
    }
    reply(s, h->unique, 0, &o, sizeof(o), NULL, 0);
}

static void do_forget(struct server *s, uint64_t id, uint64_t n)
{
    s->nodes[id].nlookup -= n;
    s->seen->nforgotten++;
}

static void do_ioctl(struct server *s, struct fuse_in_header *h, struct fuse_ioctl_in *in)
{
    struct fuse_ioctl_out o = {.result = 5};
    uint32_t v = in->in_size == 4 ? *(uint32_t *)(in + 1) * 2 : 77;
    if ((in->cmd >> 8 & 0xff) != 'T')
        reply(s, h->unique, ENOTTY, NULL, 0, NULL, 0);
    else
        reply(s, h->unique, 0, &o, sizeof(o), &v, in->out_size);
}

static void do_interrupt(struct server *s, struct fuse_interrupt_in *in)
{
    s->seen->interrupted = in->unique;
    if (in->unique == s->hanging)
        reply(s, s->hanging, EINTR, NULL, 0, NULL, 0);
}

static void serve_one(struct server *s, char *buf)
{
    struct fuse_in_header *h = (void *)buf;
    void *in = h + 1;
    char *text = in;
    s->seen->ops[h->opcode & 63]++;
    s->seen->uid = h->uid;
    switch (h->opcode) {
    case FUSE_INIT:
        do_init(s, h, in);
        break;
    case FUSE_LOOKUP:
        give_entry(s, h, find(s, h->nodeid, text), ENOENT);
        break;
    case FUSE_GETATTR: {
        struct fuse_attr_out o = {.attr_valid = s->valid_s};
        fill_attr(s, h->nodeid, &o.attr);
        reply(s, h->unique, 0, &o, sizeof(o), NULL, 0);
        break;
    }
    case FUSE_SETATTR:
        do_setattr(s, h, in);
        break;
    case FUSE_MKDIR:
        give_entry(s, h, add(s, h->nodeid, text + sizeof(struct fuse_mkdir_in), S_IFDIR | ((struct fuse_mkdir_in *)in)->mode), ENOSPC);
        break;
    case FUSE_MKNOD:
        give_entry(s, h, add(s, h->nodeid, text + sizeof(struct fuse_mknod_in), ((struct fuse_mknod_in *)in)->mode), ENOSPC);
        break;
    case FUSE_SYMLINK: {
        uint64_t id = add(s, h->nodeid, text, S_IFLNK | 0777);
        if (id)
            s->nodes[id].size = (uint64_t)snprintf(s->nodes[id].data, 4096, "%s", text + strlen(text) + 1);
        give_entry(s, h, id, ENOSPC);
        break;
    }
    case FUSE_READLINK:
        reply(s, h->unique, 0, s->nodes[h->nodeid].data, s->nodes[h->nodeid].size, NULL, 0);
        break;
    case FUSE_CREATE:
        do_create(s, h, in);
        break;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        do_open(s, h, in);
        break;
    case FUSE_READ:
        do_read(s, h, in);
        break;
    case FUSE_WRITE:
        do_write(s, h, in);
        break;
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
        do_readdir(s, h, in, h->opcode == FUSE_READDIRPLUS);
        break;
    case FUSE_UNLINK:
    case FUSE_RMDIR:
        do_remove(s, h, text);
        break;
    case FUSE_RENAME:
        do_rename(s, h, *(uint64_t *)in, text + 8, text + 9 + strlen(text + 8));
        break;
    case FUSE_FLUSH:
        reply(s, h->unique, strcmp(s->nodes[h->nodeid].name, "full") ? 0 : EDQUOT, NULL, 0, NULL, 0);
        break;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        reply(s, h->unique, 0, NULL, 0, NULL, 0);
        break;
    case FUSE_STATFS: {
        struct fuse_statfs_out o = {.st = {.blocks = 1000, .bfree = 500, .bsize = 4096, .frsize = 4096, .namelen = 63}};
        reply(s, h->unique, 0, &o, sizeof(o), NULL, 0);
        break;
    }
    case FUSE_FORGET:
        do_forget(s, h->nodeid, *(uint64_t *)in);
        break;
    case FUSE_BATCH_FORGET: {
        struct fuse_batch_forget_in *b = in;
        struct fuse_forget_one *f = (void *)(b + 1);
        for (uint32_t i = 0; i < b->count; i++)
            do_forget(s, f[i].nodeid, f[i].nlookup);
        break;
    }
    case FUSE_INTERRUPT:
        do_interrupt(s, in);
        break;
    case FUSE_IOCTL:
        do_ioctl(s, h, in);
        break;
    case FUSE_GETXATTR: {
        struct fuse_getxattr_in *g = in;
        struct fuse_getxattr_out o = {.size = 3};
        if (strcmp((char *)(g + 1), "user.tag"))
            reply(s, h->unique, ENODATA, NULL, 0, NULL, 0);
        else if (g->size == 0)
            reply(s, h->unique, 0, &o, sizeof(o), NULL, 0);
        else
            reply(s, h->unique, g->size < 3 ? ERANGE : 0, "abc", 3, NULL, 0);
        break;
    }
    case FUSE_ACCESS:
        reply(s, h->unique, strcmp(s->nodes[h->nodeid].name, "no") ? 0 : EACCES, NULL, 0, NULL, 0);
        break;
    default:
        reply(s, h->unique, ENOSYS, NULL, 0, NULL, 0);
    }
}

/* Orders of the test, given over ctl: a line's first letter. */
static void obey(struct server *s)
{
    char line[128];
    ssize_t n = read(s->ctl[1], line, sizeof(line));
    if (n <= 0)
        _exit(0);
    if (line[0] == 'x') /* exits with the device open: everything fails */
        _exit(0);
    if (line[0] == 'd' || line[0] == 'q') { /* another's change of "f": told of (d), or not (q) */
        uint64_t id = find(s, 1, "f");
        s->nodes[id].size = (uint64_t)snprintf(s->nodes[id].data, 64, "%s", line + 1);
        s->nodes[id].mtime += 10;
        struct fuse_notify_inval_inode_out o = {.ino = id, .off = 0, .len = 0};
        struct fuse_out_header h = {.len = sizeof(h) + sizeof(o), .error = FUSE_NOTIFY_INVAL_INODE};
        struct iovec v[2] = {{&h, sizeof(h)}, {&o, sizeof(o)}};
        if (line[0] == 'd' && writev(s->fd, v, 2) < 0)
            perror("server: inval_inode");
    }
    if (line[0] == 'r') { /* another removes a name, and says so */
        uint64_t id = find(s, 1, line + 1);
        s->nodes[id].parent = 0;
        struct fuse_notify_inval_entry_out o = {.parent = 1, .namelen = (uint32_t)strlen(line + 1)};
        struct fuse_out_header h = {.len = (uint32_t)(sizeof(h) + sizeof(o) + o.namelen + 1), .error = FUSE_NOTIFY_INVAL_ENTRY};
        struct iovec v[3] = {{&h, sizeof(h)}, {&o, sizeof(o)}, {line + 1, o.namelen + 1}};
        if (writev(s->fd, v, 3) < 0)
            perror("server: inval_entry");
    }
    if (write(s->ctl[1], "k", 1) != 1)
        _exit(0);
}

static void serve(struct server *s)
{
    static char buf[1 << 20] __attribute__((aligned(8)));
    for (;;) {
        struct pollfd p[2] = {{s->fd, POLLIN, 0}, {s->ctl[1], POLLIN, 0}};
        if (poll(p, 2, -1) < 0)
            _exit(1);
        if (p[1].revents)
            obey(s);
        if (!p[0].revents)
            continue;
        ssize_t n = read(s->fd, buf, sizeof(buf));
        if (n < 0 && errno != ENODEV && errno != ENOENT && errno != EINTR)
            perror("server: read");
        if (n < 0 && errno == ENODEV) {
            s->seen->is_gone = 1;
            _exit(0);
        }
        if (n > 0)
            serve_one(s, buf);
    }
}

/* Mounts at "m" (made) and starts the server. s: valid_s, want and open_flags are the caller's. */
static int fuse_start(struct server *s, const char *options)
{
    char data[128];
    s->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (s->fd < 0)
        return -1;
    (void)mkdir("m", 0755);
    snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0%s", s->fd, options);
    if (mount("test", "m", "fuse.test", MS_NOSUID | MS_NODEV, data) < 0)
        return -1;
    s->seen = mmap(NULL, sizeof(*s->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->ctl), 0);
    s->nodes[1] = (struct node){.parent = 1, .mode = S_IFDIR | 0755, .nlink = 2, .mtime = 1000};
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* when a check fails, nobody stops it */
        close(s->ctl[0]);
        serve(s);
    }
    CHECK(s->pid > 0);
    close(s->ctl[1]);
    close(s->fd);
    return 0;
}

static void order(struct server *s, const char *line)
{
    char c;
    CHECK_EQ(write(s->ctl[0], line, strlen(line) + 1), (ssize_t)strlen(line) + 1);
    if (line[0] != 'x')
        CHECK_EQ(read(s->ctl[0], &c, 1), 1);
}

static void fuse_stop(struct server *s)
{
    int st;
    CHECK_EQ(umount("m"), 0);
    CHECK_EQ(waitpid(s->pid, &st, 0), s->pid);
    CHECK_EQ(st, 0);
    CHECK_EQ(s->seen->is_gone, 1);
    close(s->ctl[0]);
}

#endif
