/*
 * devpts: one instance a mount. Opening its ptmx makes a pty: a tty, an inode
 * for its terminal side that keeps owner and mode, and a master file. The name N exists
 * while the master is open.
 *
 * /dev/ptmx outside (character device 5:2) looks for a devpts mounted at "pts" beside it, as
 * Linux does.
 */
#include "fs/devpts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tty_int.h"
#include "vfs/special.h"

#define PTMX_INO    2U
#define FIRST_INO   3U
#define MAX_PTYS    4096U /* an instance: kernel.pty.max */
#define PTS_MAJOR   136U
#define DT_OF(mode) ((u32)(mode) >> 12) /* d_type */

struct devpts {
    struct mutex lock;
    struct inode **slaves; /* owned; guarded by lock, like their number */
    u32 nslaves;
    u32 uid, gid, mode, ptmx_mode, max; /* options; uid and gid (u32)-1: the opener's */
    struct inode *ptmx;                 /* owned */
};

struct pty_master {  /* master file's priv */
    struct tty *tty; /* owned */
    struct path pts; /* owned: root of the devpts it is in */
};

static struct devpts *devpts_of(const struct super *sb)
{
    return sb->priv;
}

/* ---- the terminal side --------------------------------------------------------------------- */

static int pts_inode_open(struct inode *i, struct file *f)
{
    return tty_open_file(i->priv, f, atomic_load(&f->flags));
}

static bool is_devpts_root(const struct path *p)
{
    struct super *sb = p->dentry->sb;
    return sb->type && !strcmp(sb->type->name, "devpts") && p->dentry == sb->root;
}

static const struct file_ops pts_inode_fops = {.open = pts_inode_open};
static const struct inode_ops pts_iops;

/* ---- the master ---------------------------------------------------------------------------- */

static int slave_new(struct super *sb, struct tty *t, struct inode **ret_i)
{
    struct devpts *p = devpts_of(sb);
    struct inode *i = inode_new(sb, t->index + FIRST_INO, LX_S_IFCHR | (p->mode & 0777), &pts_iops,
                                &pts_inode_fops);
    if (!i)
        return -LX_ENOMEM;
    i->uid = p->uid != (u32)-1 ? p->uid : vfs_cred()->fsuid;
    i->gid = p->gid != (u32)-1 ? p->gid : vfs_cred()->fsgid;
    i->rdev = t->dev;
    i->priv = t;
    tty_get(t);
    *ret_i = i;
    return 0;
}

static bool grow(struct devpts *p)
{
    u32 n = p->nslaves ? 2 * p->nslaves : 16;
    struct inode **slaves = realloc(p->slaves, n * sizeof(struct inode *));
    if (!slaves)
        return false;
    for (u32 i = p->nslaves; i < n; i++)
        slaves[i] = NULL;
    p->slaves = slaves;
    p->nslaves = n;
    return true;
}

/* Gives the tty a number and a name. */
static int pty_register(struct super *sb, struct tty *t)
{
    struct devpts *p = devpts_of(sb);
    MUTEX_GUARD(&p->lock);
    for (u32 n = 0; n < p->max; n++) {
        if (n == p->nslaves && !grow(p))
            return -LX_ENOMEM;
        if (p->slaves[n])
            continue;
        t->index = n;
        t->dev = MKDEV(PTS_MAJOR, n);
        return slave_new(sb, t, &p->slaves[n]);
    }
    return -LX_ENOSPC;
}

static void pty_unregister(struct super *sb, struct tty *t)
{
    struct devpts *p = devpts_of(sb);
    mutex_lock(&p->lock);
    struct inode *i = take_ptr(p->slaves[t->index]);
    mutex_unlock(&p->lock);
    atomic_store(&i->nlink, 0);
    inode_put(i);
}

static int master_new(const struct path *pts, struct pty_master **ret_m)
{
    struct super *sb = pts->dentry->sb;
    struct pty_master *m = calloc(1, sizeof(*m));
    struct tty *t = m ? tty_new(NULL, &pts_fops, 0) : NULL;
    if (!t) {
        free(m);
        return -LX_ENOMEM;
    }
    t->has_master = true;
    t->is_locked = true;
    int r = pty_register(sb, t);
    if (r < 0) {
        tty_put(t);
        free(m);
        return r;
    }
    m->tty = t;
    m->pts = *pts;
    path_get(pts);
    *ret_m = m;
    return 0;
}

/* f, opened on a ptmx, becomes the master of a new pty in the devpts at pts. */
static int master_open(const struct path *pts, struct file *f)
{
    struct pty_master *m;
    int r = master_new(pts, &m);
    if (r < 0)
        return r;
    f->ops = &ptmx_fops;
    f->priv = m;
    f->mode = (f->mode | FMODE_STREAM) & ~(FMODE_LSEEK | FMODE_PREAD);
    return 0;
}

static struct tty *master_tty(struct file *f)
{
    struct pty_master *m = f->priv;
    return m->tty;
}

static s64 ptmx_read(struct file *f, struct uio *to, s64 *off)
{
    return tty_master_read(master_tty(f), f, to);
}

static s64 ptmx_write(struct file *f, struct uio *from, s64 *off)
{
    return tty_master_write(master_tty(f), f, from);
}

static u32 ptmx_poll(struct file *f)
{
    return tty_master_poll(master_tty(f));
}

static struct waitq *ptmx_pollq(struct file *f)
{
    return &master_tty(f)->master_wait;
}

static void ptmx_release(struct file *f)
{
    struct pty_master *m = f->priv;
    tty_master_closed(m->tty);
    pty_unregister(m->pts.dentry->sb, m->tty);
    tty_put(m->tty);
    path_put(&m->pts);
    free(m);
}

static int signal_fg(struct tty *t, u64 signo)
{
    if (signo < 1 || signo > LX_NSIG)
        return -LX_EINVAL;
    s32 fg = tty_fg_pgrp(t);
    if (fg != 0)
        vfs_task_ops->signal_pgrp(fg, (int)signo);
    return 0;
}

int devpts_open_peer(struct file *master, u32 flags, struct file **ret_f)
{
    struct pty_master *m = master->priv;
    struct devpts *p = devpts_of(m->pts.dentry->sb);
    char name[16];
    struct path at = m->pts;
    if (master->ops != &ptmx_fops)
        return -LX_ENOTTY;
    snprintf(name, sizeof(name), "%u", m->tty->index);
    int r = dentry_lookup(m->pts.dentry, name, strlen(name), &at.dentry);
    if (r < 0)
        return r;
    mutex_lock(&p->lock);
    bool is_ours = at.dentry->inode && at.dentry->inode == p->slaves[m->tty->index];
    mutex_unlock(&p->lock);
    r = is_ours ? file_open_path(&at, flags, ret_f) : -LX_EIO;
    dentry_put(at.dentry);
    return r;
}

static s64 get_peer(struct file *f, u64 arg)
{
    struct file *peer;
    int r = devpts_open_peer(f, (u32)arg, &peer);
    if (r < 0)
        return r;
    int fd = fd_install(peer, 0, (u32)arg & LX_O_CLOEXEC);
    if (fd < 0)
        file_put(peer);
    return fd;
}

static s64 set_flag(struct tty *t, uaddr_t arg, bool *flag)
{
    s32 v;
    if (get_user(v, arg) < 0)
        return -LX_EFAULT;
    MUTEX_GUARD(&t->lock);
    if (flag == &t->is_packet && v && !t->is_packet)
        t->packet_status = 0;
    *flag = v != 0;
    return 0;
}

static s64 ptmx_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct tty *t = master_tty(f);
    switch (cmd) {
    case LX_TIOCGPTN:
        return put_user(t->index, uaddr(arg));
    case LX_TIOCSPTLCK:
        return set_flag(t, uaddr(arg), &t->is_locked);
    case LX_TIOCGPTLCK:
        return put_user((s32)t->is_locked, uaddr(arg));
    case LX_TIOCPKT:
        return set_flag(t, uaddr(arg), &t->is_packet);
    case LX_TIOCGPKT:
        return put_user((s32)t->is_packet, uaddr(arg));
    case LX_TIOCSIG:
        return signal_fg(t, arg);
    case LX_TIOCGPTPEER:
        return get_peer(f, arg);
    default:
        return tty_ioctl(t, f, cmd, arg, true);
    }
}

const struct file_ops ptmx_fops = {
    .read = ptmx_read,
    .write = ptmx_write,
    .poll = ptmx_poll,
    .pollq = ptmx_pollq,
    .ioctl = ptmx_ioctl,
    .release = ptmx_release,
};

int devpts_new_pty(const struct path *pts, struct file **ret_master, u32 *ret_index)
{
    struct pty_master *m;
    int r = master_new(pts, &m);
    if (r < 0)
        return r;
    m->tty->is_locked = false;
    *ret_index = m->tty->index;
    r = file_new_anon("/dev/ptmx", LX_S_IFCHR | 0666, &ptmx_fops, m, LX_O_RDWR,
                      FMODE_READ | FMODE_WRITE | FMODE_STREAM, ret_master);
    if (r < 0) {
        pty_unregister(pts->dentry->sb, m->tty);
        tty_put(m->tty);
        path_put(&m->pts);
        free(m);
    }
    return r;
}

int devpts_open_pair(struct file **ret_master, struct file **ret_slave)
{
    struct path pts;
    struct file *master;
    u32 index;
    int r = vfs_walk(LX_AT_FDCWD, "/dev/pts", WALK_FOLLOW | WALK_DIRECTORY, &pts);
    if (r < 0)
        return r;
    r = is_devpts_root(&pts) ? devpts_new_pty(&pts, &master, &index) : -LX_ENODEV;
    path_put(&pts);
    if (r < 0)
        return r;
    r = devpts_open_peer(master, LX_O_RDWR | LX_O_NOCTTY, ret_slave);
    if (r < 0) {
        file_put(master);
        return r;
    }
    *ret_master = master;
    return 0;
}

void devpts_set_size(struct file *master, u32 rows, u32 cols)
{
    struct lx_winsize ws = {.rows = (u16)rows, .cols = (u16)cols};
    tty_resize(master_tty(master), &ws);
}

/* ---- ptmx ---------------------------------------------------------------------------------- */

/* The ptmx inside a devpts. */
static int inner_ptmx_open(struct inode *i, struct file *f)
{
    struct path root = {f->path.mnt, i->sb->root};
    return master_open(&root, f);
}

/* The device node: its directory's "pts". */
static int outer_ptmx_open(struct inode *i, struct file *f)
{
    struct path dir = {f->path.mnt, f->path.dentry->parent}, pts;
    int r = vfs_walk_at(&dir, "pts", WALK_FOLLOW | WALK_DIRECTORY, &pts);
    if (r < 0)
        return -LX_ENODEV;
    r = is_devpts_root(&pts) ? master_open(&pts, f) : -LX_ENODEV;
    path_put(&pts);
    return r;
}

static int stray_pts_open(struct inode *i, struct file *f)
{
    return -LX_EIO; /* a node of 136:N that is not in a devpts */
}

static const struct file_ops inner_ptmx_fops = {.open = inner_ptmx_open};
static const struct file_ops outer_ptmx_fops = {.open = outer_ptmx_open};
static const struct file_ops stray_pts_fops = {.open = stray_pts_open};

/* ---- the directory ------------------------------------------------------------------------- */

/* 0 to max-1 in the form that we print, else -1. */
static s32 index_of(const struct devpts *p, const char *name)
{
    u32 n = 0;
    if (!*name || (name[0] == '0' && name[1]))
        return -1;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return -1;
        n = n * 10 + (u32)(*name - '0');
        if (n >= p->max)
            return -1;
    }
    return (s32)n;
}

static int devpts_lookup(struct inode *dir, struct dentry *d)
{
    struct devpts *p = devpts_of(dir->sb);
    struct inode *i = NULL;
    if (!strcmp(d->name, "ptmx")) {
        i = p->ptmx;
        inode_get(i);
    } else {
        s32 n = index_of(p, d->name);
        MUTEX_GUARD(&p->lock);
        if (n >= 0 && (u32)n < p->nslaves && (i = p->slaves[n]) != NULL)
            inode_get(i);
    }
    if (i)
        dentry_instantiate(d, i);
    return 0;
}

static bool emit_one(struct file *f, struct dir_ctx *c, const char *name, u64 ino, u32 type)
{
    if (!c->emit(c, name, strlen(name), ino, type, f->pos + 1))
        return false;
    f->pos++;
    return true;
}

/* Positions: 0 ".", 1 "..", 2 ptmx, 3 + N. */
static int devpts_readdir(struct file *f, struct dir_ctx *c)
{
    struct devpts *p = devpts_of(f->inode->sb);
    if (f->pos == 0 && !emit_one(f, c, ".", f->inode->ino, DT_OF(LX_S_IFDIR)))
        return 0;
    if (f->pos == 1 && !emit_one(f, c, "..", f->path.dentry->parent->inode->ino, DT_OF(LX_S_IFDIR)))
        return 0;
    if (f->pos == 2 && !emit_one(f, c, "ptmx", PTMX_INO, DT_OF(LX_S_IFCHR)))
        return 0;
    for (; f->pos - 3 < (s64)p->max; f->pos++) {
        u32 n = (u32)(f->pos - 3);
        char name[16];
        mutex_lock(&p->lock);
        bool is_there = n < p->nslaves && p->slaves[n] != NULL;
        mutex_unlock(&p->lock);
        snprintf(name, sizeof(name), "%u", n);
        if (is_there &&
            !c->emit(c, name, strlen(name), n + FIRST_INO, DT_OF(LX_S_IFCHR), f->pos + 1))
            return 0;
    }
    return 0;
}

/* The name of a pty that has gone must not be found, nor a name stay missing. */
static int devpts_revalidate(struct dentry *d)
{
    struct inode *i = d->inode;
    if (!i)
        return 0;
    return d == d->sb->root || atomic_load(&i->nlink) > 0;
}

static const struct inode_ops devpts_dir_iops = {.lookup = devpts_lookup};
static const struct file_ops devpts_dir_fops = {.readdir = devpts_readdir, .seek = cursor_seek};
static const struct dentry_ops devpts_dops = {.revalidate = devpts_revalidate};

/* ---- the file system ----------------------------------------------------------------------- */

static int devpts_statfs(struct super *sb, struct kstatfs *ret)
{
    *ret = (struct kstatfs){
        .type = LX_DEVPTS_SUPER_MAGIC, .bsize = 4096, .frsize = 4096, .namelen = 255};
    return 0;
}

static void devpts_evict(struct inode *i)
{
    if (i->ops == &pts_iops)
        tty_put(i->priv);
}

/* The inode of ptmx is ours and would keep the super. */
static void devpts_shutdown(struct super *sb)
{
    struct devpts *p = devpts_of(sb);
    inode_put(take_ptr(p->ptmx));
}

static void devpts_kill(struct super *sb)
{
    free(devpts_of(sb)->slaves);
    free(sb->priv);
    sb->priv = NULL;
}

static void devpts_show(struct super *sb, char *buf, size_t size)
{
    const struct devpts *p = devpts_of(sb);
    char ids[48] = "";
    int n = 0;
    if (p->uid != (u32)-1)
        n = snprintf(ids, sizeof(ids), ",uid=%u", p->uid);
    if (p->gid != (u32)-1)
        snprintf(ids + n, sizeof(ids) - (size_t)n, ",gid=%u", p->gid);
    snprintf(buf, size, "%s,mode=%03o,ptmxmode=%03o", ids, p->mode, p->ptmx_mode);
}

static const struct super_ops devpts_super_ops = {
    .statfs = devpts_statfs,
    .evict = devpts_evict,
    .shutdown = devpts_shutdown,
    .kill = devpts_kill,
    .show_options = devpts_show,
};

static bool number(const char *s, int base, u32 max, u32 *ret)
{
    char *end;
    unsigned long v = strtoul(s, &end, base);
    if (!*s || *end || v > max)
        return false;
    *ret = (u32)v;
    return true;
}

/* One "name=value"; -LX_EINVAL for what is not known. */
static int parse_option(struct devpts *p, const char *o)
{
    bool is_ok = false;
    if (!*o || !strcmp(o, "newinstance"))
        is_ok = true; /* always so */
    else if (!strncmp(o, "uid=", 4))
        is_ok = number(o + 4, 10, UINT32_MAX - 1, &p->uid);
    else if (!strncmp(o, "gid=", 4))
        is_ok = number(o + 4, 10, UINT32_MAX - 1, &p->gid);
    else if (!strncmp(o, "mode=", 5))
        is_ok = number(o + 5, 8, 07777, &p->mode);
    else if (!strncmp(o, "ptmxmode=", 9))
        is_ok = number(o + 9, 8, 07777, &p->ptmx_mode);
    else if (!strncmp(o, "max=", 4))
        is_ok = number(o + 4, 10, MAX_PTYS, &p->max);
    return is_ok ? 0 : -LX_EINVAL;
}

static int parse_options(struct devpts *p, const char *opts)
{
    char *copy = strdup(opts), *save = NULL;
    int r = copy ? 0 : -LX_ENOMEM;
    for (char *o = copy ? strtok_r(copy, ",", &save) : NULL; o && r == 0;
         o = strtok_r(NULL, ",", &save))
        r = parse_option(p, o);
    free(copy);
    return r;
}

static int fill_super(struct super *sb, struct devpts *p)
{
    struct inode *root = inode_new(sb, 1, LX_S_IFDIR | 0755, &devpts_dir_iops, &devpts_dir_fops);
    if (!root)
        return -LX_ENOMEM;
    atomic_store(&root->nlink, 2);
    sb->flags |= SB_REVALIDATE;
    sb->d_ops = &devpts_dops;
    sb->root = dentry_make_root(sb, root);
    p->ptmx =
        inode_new(sb, PTMX_INO, LX_S_IFCHR | (p->ptmx_mode & 0777), &pts_iops, &inner_ptmx_fops);
    if (!sb->root || !p->ptmx)
        return -LX_ENOMEM;
    p->ptmx->rdev = MKDEV(5, 2);
    return 0;
}

static int devpts_mount(const struct fs_type *type, u32 ms_flags, const char *source,
                        const char *opts, struct super **ret_sb)
{
    struct devpts *p = calloc(1, sizeof(*p));
    if (!p)
        return -LX_ENOMEM;
    mutex_init(&p->lock, "devpts");
    p->uid = p->gid = (u32)-1;
    p->mode = 0600;
    p->max = MAX_PTYS;
    int r = parse_options(p, opts);
    struct super *sb = r == 0 ? super_new(type, &devpts_super_ops, source, p) : NULL;
    if (!sb) {
        free(p);
        return r < 0 ? r : -LX_ENOMEM;
    }
    r = fill_super(sb, p);
    if (r < 0) {
        super_put(sb); /* kill frees p */
        return r;
    }
    *ret_sb = sb;
    return 0;
}

static struct fs_type devpts_type = {
    .name = "devpts",
    .flags = FS_USERNS_MOUNT,
    .mount = devpts_mount,
};

void devpts_init(void)
{
    fs_register(&devpts_type);
    chrdev_register(5, 2, 1, "ptmx", &outer_ptmx_fops);
    chrdev_register(PTS_MAJOR, 0, 1U << 20, "pts", &stray_pts_fops);
}
