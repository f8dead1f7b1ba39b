/* See procview.h. The protocol is fuse(4)'s, version 7.31. */
#include "oci/procview.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_VIEWS   4096U
#define MAX_REQUEST (FUSE_MIN_READ_BUFFER + 4096)
#define TICKS       100 /* a second: USER_HZ */

/* A node's number: the process's, and what it is of that. */
enum kind {
    K_DIR,
    K_STAT,
    K_STATUS,
    K_CMDLINE,
    K_COMM,
    K_NS,
    K_NS_PID,
    K_UPTIME,
    K_MACHINE,
    K_NKINDS
};
#define NODE(pid_, kind_) ((u64)(u32)(pid_) << 8 | (kind_) << 1 | (FUSE_ROOT_ID & 1))

static const struct entry {
    const char *name;
    enum kind kind, in;
    u32 mode;
} entries[] =
    {
        {"stat", K_STAT, K_DIR, S_IFREG | 0444},       {"status", K_STATUS, K_DIR, S_IFREG | 0444},
        {"cmdline", K_CMDLINE, K_DIR, S_IFREG | 0444}, {"comm", K_COMM, K_DIR, S_IFREG | 0444},
        {"ns", K_NS, K_DIR, S_IFDIR | 0555},           {"pid", K_NS_PID, K_NS, S_IFLNK | 0777},
},
  root_entries[] = {
      {"uptime", K_UPTIME, K_DIR, S_IFREG | 0444},
      {"stat", K_MACHINE, K_DIR, S_IFREG | 0444},
};

static struct {
    int fd;
    struct ctl_view *views; /* what ran when it was last asked for */
    u32 nviews;
    bool is_asking;
    u64 unique;            /* of the request that waits */
    struct ctl_view *next; /* its answer, as far as it has come */
    u32 nnext;
} view = {.fd = -1};

int procview_fd(void)
{
    return view.is_asking ? -1 : view.fd;
}

int procview_open(void)
{
    return open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
}

bool procview_mount(int fd, int dir)
{
    char path[40], options[96];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
    snprintf(options, sizeof(options), "fd=%d,rootmode=40555,user_id=0,group_id=0,allow_other", fd);
    if (mount("cvisor", path, "fuse", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0) {
        close(fd);
        return false;
    }
    view.fd = fd;
    return true;
}

/* ---- what the files say ---------------------------------------------------------------------- */

struct text {
    char p[4096];
    size_t n;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->p + t->n, sizeof(t->p) - t->n, fmt, ap);
    va_end(ap);
    t->n = MIN(t->n + (size_t)MAX(n, 0), sizeof(t->p) - 1);
}

static const char *state_word(u8 letter)
{
    static const char *const words[] = {"R (running)", "S (sleeping)",     "D (disk sleep)",
                                        "T (stopped)", "t (tracing stop)", "Z (zombie)"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (words[i][0] == (char)letter)
            return words[i];
    return words[1];
}

static u64 ticks(u64 ns)
{
    return ns / (NSEC_PER_SEC / TICKS);
}

static void put_stat(struct text *t, const struct ctl_view *v)
{
    put(t,
        "%d (%s) %c %d %d %d %d -1 0 0 0 0 0 %llu %llu 0 0 %d %d %u 0 %llu 0 0 "
        "18446744073709551615",
        v->pid, v->comm, state_word(v->state)[0], v->ppid, v->pgrp, v->session, v->tty,
        (unsigned long long)ticks(v->user_ns), (unsigned long long)ticks(v->system_ns),
        20 + v->nice, v->nice, v->ntasks, (unsigned long long)ticks(v->start_ns));
    for (int field = 26; field <= 52; field++)
        put(t, field == 38 ? " 17" : " 0"); /* the 38th is the signal at its end */
    put(t, "\n");
}

static void put_status(struct text *t, const struct ctl_view *v)
{
    static const char *const caps[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    put(t, "Name:\t%s\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
        v->comm, state_word(v->state), v->pid, v->pid, v->ppid);
    put(t, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nGroups:\t\n", v->uid[0], v->uid[1],
        v->uid[2], v->uid[3], v->gid[0], v->gid[1], v->gid[2], v->gid[3]);
    put(t, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\nThreads:\t%u\n", v->pid, v->pid,
        v->pgrp, v->session, v->ntasks);
    for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
        put(t, "%s:\t%016llx\n", caps[i], (unsigned long long)v->caps[i]);
    put(t, "NoNewPrivs:\t%u\nSeccomp:\t%u\n", v->is_no_new_privs, v->seccomp);
}

static void put_uptime(struct text *t, bool is_stat)
{
    struct timespec boot, real;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_REALTIME, &real);
    if (is_stat)
        put(t, "cpu  0 0 0 0 0 0 0 0 0 0\nbtime %lld\n", (long long)(real.tv_sec - boot.tv_sec));
    else
        put(t, "%lld.%02ld 0.00\n", (long long)boot.tv_sec, boot.tv_nsec / 10000000);
}

static const struct ctl_view *find(s32 pid)
{
    for (u32 i = 0; i < view.nviews; i++)
        if (view.views[i].pid == pid)
            return &view.views[i];
    return NULL;
}

/* False: it has gone. */
static bool text_of(u64 node, struct text *t)
{
    enum kind k = node >> 1 & 127;
    const struct ctl_view *v = find((s32)(node >> 8));
    t->n = 0;
    if (k == K_UPTIME || k == K_MACHINE) {
        put_uptime(t, k == K_MACHINE);
        return true;
    }
    if (!v)
        return false;
    if (k == K_STAT)
        put_stat(t, v);
    else if (k == K_STATUS)
        put_status(t, v);
    else if (k == K_COMM)
        put(t, "%s\n", v->comm);
    else if (k == K_NS_PID) /* whatever its number is: it is none of the host's */
        put(t, "pid:[%u]", 4026531836U);
    else if (k == K_CMDLINE) {
        memcpy(t->p, v->args, v->nargs);
        t->n = v->nargs;
    }
    return true;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void reply(u64 unique, int error, const void *data, size_t size)
{
    static u8 buf[sizeof(struct fuse_out_header) + 131072];
    struct fuse_out_header h = {.len = (u32)(sizeof(h) + size), .error = -error, .unique = unique};
    memcpy(buf, &h, sizeof(h));
    if (size)
        memcpy(buf + sizeof(h), data, size);
    /* Fails for a request that was interrupted: nobody waits for it. */
    if (write(view.fd, buf, h.len) < 0)
        return;
}

static u32 mode_of(u64 node)
{
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        if (entries[i].kind == (node >> 1 & 127))
            return entries[i].mode;
    return node >> 1 & 127 ? S_IFREG | 0444 : S_IFDIR | 0555;
}

static struct fuse_attr attr_of(u64 node)
{
    const struct ctl_view *v = find((s32)(node >> 8));
    u32 mode = mode_of(node);
    return (struct fuse_attr){.ino = node,
                              .mode = mode,
                              .nlink = S_ISDIR(mode) ? 2 : 1,
                              .uid = v ? v->uid[1] : 0,
                              .gid = v ? v->gid[1] : 0,
                              .blksize = 4096};
}

/* 0: there is none such. */
static u64 look_up(u64 dir, const char *name)
{
    s32 pid = (s32)(dir >> 8);
    const struct entry *list = dir == FUSE_ROOT_ID ? root_entries : entries;
    size_t n = dir == FUSE_ROOT_ID ? ARRAY_SIZE(root_entries) : ARRAY_SIZE(entries);
    char *end;
    for (size_t i = 0; i < n; i++)
        if (list[i].in == (dir >> 1 & 127) && !strcmp(list[i].name, name))
            return NODE(pid, list[i].kind);
    if (dir != FUSE_ROOT_ID || name[0] < '1' || name[0] > '9')
        return 0;
    long nr = strtol(name, &end, 10);
    return !*end && nr <= INT32_MAX && find((s32)nr) ? NODE(nr, K_DIR) : 0;
}

static void do_lookup(const struct fuse_in_header *h, const char *name)
{
    struct fuse_entry_out out = {.nodeid = look_up(h->nodeid, name)};
    if (!out.nodeid) {
        reply(h->unique, ENOENT, NULL, 0);
        return;
    }
    out.attr = attr_of(out.nodeid);
    reply(h->unique, 0, &out, sizeof(out));
}

/* The nth name of a directory; false: there are not so many. */
static bool nth_entry(u64 dir, u64 n, char *name, size_t size, u64 *ret_node)
{
    const struct entry *list = dir == FUSE_ROOT_ID ? root_entries : entries;
    size_t max = dir == FUSE_ROOT_ID ? ARRAY_SIZE(root_entries) : ARRAY_SIZE(entries);
    for (size_t i = 0; i < max; i++) {
        if (list[i].in != (dir >> 1 & 127) || n-- != 0)
            continue;
        snprintf(name, size, "%s", list[i].name);
        *ret_node = NODE((s32)(dir >> 8), list[i].kind);
        return true;
    }
    if (dir != FUSE_ROOT_ID || n >= view.nviews)
        return false;
    snprintf(name, size, "%d", view.views[n].pid);
    *ret_node = NODE(view.views[n].pid, K_DIR);
    return true;
}

static void do_readdir(const struct fuse_in_header *h, const struct fuse_read_in *in)
{
    static u8 buf[65536];
    char name[64];
    size_t used = 0, room = MIN((size_t)in->size, sizeof(buf));
    u64 node;
    for (u64 n = in->offset; nth_entry(h->nodeid, n, name, sizeof(name), &node); n++) {
        struct fuse_dirent d = {
            .ino = node, .off = n + 1, .namelen = (u32)strlen(name), .type = mode_of(node) >> 12};
        size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + d.namelen);
        if (used + size > room)
            break;
        memset(buf + used, 0, size);
        memcpy(buf + used, &d, FUSE_NAME_OFFSET);
        memcpy(buf + used + FUSE_NAME_OFFSET, name, d.namelen);
        used += size;
    }
    reply(h->unique, 0, buf, used);
}

static void do_read(const struct fuse_in_header *h, const struct fuse_read_in *in)
{
    struct text t;
    if (!text_of(h->nodeid, &t)) {
        reply(h->unique, ESRCH, NULL, 0);
        return;
    }
    size_t from = MIN((size_t)in->offset, t.n);
    reply(h->unique, 0, t.p + from, MIN(t.n - from, (size_t)in->size));
}

static void do_readlink(const struct fuse_in_header *h)
{
    struct text t;
    bool is_there = text_of(h->nodeid, &t);
    reply(h->unique, is_there ? 0 : ENOENT, t.p, is_there ? t.n : 0);
}

static void do_init(const struct fuse_in_header *h, const struct fuse_init_in *in)
{
    struct fuse_init_out out = {.major = 7, .minor = MIN(in->minor, 31U), .max_write = 4096};
    reply(h->unique, in->major < 7 ? EPROTO : 0, &out, in->major < 7 ? 0 : sizeof(out));
}

static void do_open(const struct fuse_in_header *h)
{
    struct fuse_open_out out = {.open_flags = h->opcode == FUSE_OPEN ? FOPEN_DIRECT_IO : 0};
    reply(h->unique, 0, &out, sizeof(out));
}

/* False: the sandbox is gone. */
static bool ask(int link, u32 first)
{
    u8 buf[64];
    struct ctl_msg m = {.type = CTL_VIEW, .a = (s32)first};
    size_t n = ctl_encode(&m, buf, sizeof(buf));
    return send(link, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

static void finish(int error)
{
    const struct fuse_in_header h = {.unique = view.unique, .opcode = FUSE_OPENDIR};
    if (error) {
        free(view.next);
        reply(view.unique, error, NULL, 0);
    } else {
        free(view.views);
        view.views = view.next;
        view.nviews = view.nnext;
        do_open(&h);
    }
    view.next = NULL;
    view.is_asking = false;
}

/* The sentry is not believed. */
static void tidy(struct ctl_view *v)
{
    v->pid = MAX(v->pid, 0); /* 0 is what has gone meanwhile */
    v->comm[sizeof(v->comm) - 1] = 0;
    v->nargs = MIN(v->nargs, (u32)sizeof(v->args));
    v->nice = MAX(MIN(v->nice, 19), -20);
    for (char *c = v->comm; *c; c++)
        if ((u8)*c < ' ')
            *c = '?';
}

void procview_answer(int link, const struct ctl_msg *m)
{
    u32 n = m->data.size / sizeof(struct ctl_view);
    if (!view.is_asking || m->a < 0 || m->b != (s32)view.nnext)
        return;
    n = MIN(n, MAX_VIEWS - view.nnext);
    struct ctl_view *more = realloc(view.next, (view.nnext + n + 1) * sizeof(*more));
    if (!more) {
        finish(ENOMEM);
        return;
    }
    view.next = more;
    memcpy(more + view.nnext, m->data.p, n * sizeof(*more));
    for (u32 i = view.nnext; i < view.nnext + n; i++)
        tidy(&more[i]);
    view.nnext += n;
    if (n == 0 || view.nnext >= (u32)m->a || view.nnext == MAX_VIEWS)
        finish(0);
    else if (!ask(link, view.nnext))
        finish(EIO);
}

static void do_opendir(const struct fuse_in_header *h, int link)
{
    if (h->nodeid != FUSE_ROOT_ID) {
        do_open(h);
        return;
    }
    view.is_asking = true;
    view.unique = h->unique;
    view.nnext = 0;
    if (!ask(link, 0))
        finish(EIO);
}

void procview_serve(int link)
{
    static union {
        struct fuse_in_header h;
        u8 data[MAX_REQUEST + 1];
    } in;
    ssize_t n = read(view.fd, in.data, MAX_REQUEST);
    if (n < (ssize_t)sizeof(in.h)) {
        if (n < 0 && errno == ENODEV) { /* unmounted */
            close(view.fd);
            view.fd = -1;
        }
        return;
    }
    in.data[n] = 0;
    const void *body = in.data + sizeof(in.h);
    size_t size = (size_t)n - sizeof(in.h);
    struct fuse_attr_out attr = {.attr = attr_of(in.h.nodeid)};
    const struct fuse_statfs_out fs = {.st = {.bsize = 4096, .namelen = 255}};
    switch (in.h.opcode) {
    case FUSE_INIT:
        if (size >= 16)
            do_init(&in.h, body);
        break;
    case FUSE_LOOKUP:
        do_lookup(&in.h, body);
        break;
    case FUSE_GETATTR:
        reply(in.h.unique, 0, &attr, sizeof(attr));
        break;
    case FUSE_OPENDIR:
        do_opendir(&in.h, link);
        break;
    case FUSE_OPEN:
        do_open(&in.h);
        break;
    case FUSE_READDIR:
    case FUSE_READ:
        if (size < sizeof(struct fuse_read_in))
            reply(in.h.unique, EINVAL, NULL, 0);
        else if (in.h.opcode == FUSE_READ)
            do_read(&in.h, body);
        else
            do_readdir(&in.h, body);
        break;
    case FUSE_READLINK:
        do_readlink(&in.h);
        break;
    case FUSE_STATFS:
        reply(in.h.unique, 0, &fs, sizeof(fs));
        break;
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        reply(in.h.unique, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break; /* wants no answer */
    default:
        reply(in.h.unique, ENOSYS, NULL, 0);
    }
}
