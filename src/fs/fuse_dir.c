/* FUSE: names: looking up, making, removing, moving; links. See fuse_int.h. */
#include <stdlib.h>
#include <string.h>

#include "fs/fuse_int.h"
#include "vfs/file.h"

static struct fuse_in name_of(const struct dentry *d)
{
    return (struct fuse_in){d->name, d->name_size + 1U};
}

static struct fuse_in bytes_of(const void *p, size_t size)
{
    return (struct fuse_in){p, size};
}

/* ---- how long names are good --------------------------------------------------------------- */

/*
 * In dentry.priv: the deadline in ms (40 bits) above the directory's names_gen (24 bits).
 *
 * Lookups hold no lock, so what one has heard may be old when it gets into the cache. Changes move
 * names_seq before they ask the server and after; a name goes to the cache without being believed,
 * and is believed only if names_seq has not moved since before the lookup was sent.
 */
#define GEN_BITS 24U
#define GEN_MASK ((1U << GEN_BITS) - 1)

static _Thread_local struct {
    u32 seq;
    u64 valid_ms;
} heard; /* by this thread's last lookup */

static u64 deadline_ms(u64 sec, u32 nsec)
{
    if (sec == 0 && nsec == 0)
        return 0;
    u64 ns = sec >= 1ULL << 32 ? 1ULL << 62 : sec * (u64)NSEC_PER_SEC + MIN(nsec, 999999999U);
    u64 ms = (u64)deadline_after_ns((s64)ns) / (u64)NSEC_PER_MSEC;
    return MIN(ms, (1ULL << (64 - GEN_BITS)) - 1);
}

static void set_valid(struct inode *dir, struct dentry *d, u64 ms)
{
    u64 v = ms << GEN_BITS | (fuse_of(dir)->names_gen & GEN_MASK);
    __atomic_store_n((u64 *)(void *)&d->priv, v, __ATOMIC_SEQ_CST);
}

static bool is_valid(struct dentry *d)
{
    u64 v = __atomic_load_n((u64 *)(void *)&d->priv, __ATOMIC_RELAXED);
    if (v >> GEN_BITS == 0)
        return false;
    struct dentry *p = dentry_get_parent(d);
    bool is_current = (v & GEN_MASK) == (fuse_of(p->inode)->names_gen & GEN_MASK);
    dentry_put(p);
    return is_current && (u64)clock_mono_ns() / (u64)NSEC_PER_MSEC < v >> GEN_BITS;
}

static void names_change(struct inode *dir)
{
    atomic_fetch_add(&fuse_of(dir)->names_seq, 1);
}

static void believe(struct inode *dir, struct dentry *d, u32 seq, u64 ms)
{
    struct fuse_inode *fi = fuse_of(dir);
    if (atomic_load(&fi->names_seq) != seq)
        return;
    set_valid(dir, d, ms);
    if (atomic_load(&fi->names_seq) != seq)
        set_valid(dir, d, 0);
}

static void fuse_cached(struct dentry *d)
{
    struct dentry *p = dentry_get_parent(d);
    believe(p->inode, d, heard.seq, heard.valid_ms);
    dentry_put(p);
}

/* ---- looking up ---------------------------------------------------------------------------- */

static s64 ask_lookup(struct inode *dir, struct fuse_in name, struct lx_fuse_entry_out *e)
{
    heard.seq = atomic_load(&fuse_of(dir)->names_seq);
    heard.valid_ms = 0;
    s64 n = fuse_call(fuse_conn_of(dir->sb), &(struct fuse_args){.op = LX_FUSE_LOOKUP,
                                                                 .nodeid = fuse_of(dir)->nodeid,
                                                                 .in = {name},
                                                                 .out = e,
                                                                 .out_size = sizeof(*e)});
    if (n >= 0)
        heard.valid_ms = deadline_ms(e->entry_valid, e->entry_valid_nsec);
    return n;
}

static int fuse_lookup(struct inode *dir, struct dentry *d)
{
    struct lx_fuse_entry_out e;
    struct inode *i;
    u64 version = fuse_attr_version(fuse_conn_of(dir->sb));
    int r = fuse_may(fuse_conn_of(dir->sb));
    if (r < 0)
        return r;
    s64 n = ask_lookup(dir, name_of(d), &e);
    if (n < 0 && n != -LX_ENOENT)
        return (int)n;
    if (n < 0 || e.nodeid == 0)
        return 0;
    r = fuse_inode_get(dir->sb, &e, version, &i);
    if (r < 0)
        return r;
    dentry_instantiate(d, i);
    return 0;
}

/* The name is asked for again; good if it still means the same object. */
static int fuse_revalidate(struct dentry *d)
{
    struct lx_fuse_entry_out e;
    if (is_valid(d))
        return 1;
    struct inode *i = d->inode, *now;
    if (!i)
        return 0;
    char name[LX_NAME_MAX + 1];
    size_t size;
    u64 version = fuse_attr_version(fuse_conn_of(d->sb));
    struct dentry *p = dentry_get_place(d, name, &size);
    struct inode *dir = p->inode;
    atomic_store_explicit(&fuse_of(dir)->wants_plus, true, memory_order_relaxed);
    s64 n = ask_lookup(dir, bytes_of(name, size + 1), &e);
    bool is_ours = n == -LX_EINTR || n == -LX_ENOMEM || n == -LX_ENOTCONN || n == -LX_ECONNABORTED;
    int r = is_ours ? (int)n : 0;
    if (n >= 0 && e.nodeid && fuse_inode_get(d->sb, &e, version, &now) == 0) {
        if (now == i) {
            believe(dir, d, heard.seq, heard.valid_ms);
            r = 1;
        }
        inode_put(now);
    }
    dentry_put(p);
    return r;
}

const struct dentry_ops fuse_dops = {.revalidate = fuse_revalidate, .cached = fuse_cached};

void fuse_link_plus(struct dentry *dir, const struct lx_fuse_entry_out *e, const char *name,
                    size_t size, u32 seq, u64 version)
{
    struct inode *i;
    if (fuse_inode_get(dir->sb, e, version, &i) < 0)
        return;
    inode_get(i);
    dentry_prime(dir, name, size, i);
    struct dentry *d = dentry_peek(dir, name, size);
    if (d && d->inode == i)
        believe(dir->inode, d, seq, deadline_ms(e->entry_valid, e->entry_valid_nsec));
    dentry_put(d);
    inode_put(i);
}

/* ---- making -------------------------------------------------------------------------------- */

static u32 umask_of_caller(void)
{
    return vfs_current ? vfs_current->fs->umask & 0777U : 0;
}

/* What every making answers: an entry, of a type that was asked for. */
static int make_entry(struct inode *dir, struct dentry *d, const struct lx_fuse_entry_out *e,
                      u64 version, u32 type)
{
    struct inode *i;
    if (e->nodeid && (e->attr.mode & LX_S_IFMT) != type) {
        fuse_send_forget(fuse_conn_of(dir->sb), e->nodeid, 1);
        return -LX_EIO;
    }
    int r = fuse_inode_get(dir->sb, e, version, &i);
    if (r < 0)
        return r;
    set_valid(dir, d, deadline_ms(e->entry_valid, e->entry_valid_nsec));
    fuse_mark_stale(dir);
    dentry_instantiate(d, i);
    return 0;
}

static int make(struct inode *dir, struct dentry *d, u32 op, struct fuse_in a, struct fuse_in b,
                u32 type)
{
    struct lx_fuse_entry_out e;
    struct fuse_args args = {
        .op = op, .nodeid = fuse_of(dir)->nodeid, .in = {a, b}, .out = &e, .out_size = sizeof(e)};
    u64 version = fuse_attr_version(fuse_conn_of(dir->sb));
    names_change(dir);
    s64 r = fuse_call(fuse_conn_of(dir->sb), &args);
    names_change(dir);
    return r < 0 ? (int)r : make_entry(dir, d, &e, version, type);
}

static int fuse_mknod(struct inode *dir, struct dentry *d, u32 mode, u64 rdev)
{
    u32 dev =
        (DEV_MAJOR(rdev) << 8) | (DEV_MINOR(rdev) & 0xffU) | ((DEV_MINOR(rdev) & ~0xffU) << 12);
    struct lx_fuse_mknod_in in = {.mode = mode, .rdev = dev, .umask = umask_of_caller()};
    return make(dir, d, LX_FUSE_MKNOD, bytes_of(&in, sizeof(in)), name_of(d), mode & LX_S_IFMT);
}

static int fuse_mkdir(struct inode *dir, struct dentry *d, u32 mode)
{
    struct lx_fuse_mkdir_in in = {.mode = mode & 07777U, .umask = umask_of_caller()};
    return make(dir, d, LX_FUSE_MKDIR, bytes_of(&in, sizeof(in)), name_of(d), LX_S_IFDIR);
}

static int fuse_symlink(struct inode *dir, struct dentry *d, const char *target)
{
    return make(dir, d, LX_FUSE_SYMLINK, name_of(d), bytes_of(target, strlen(target) + 1),
                LX_S_IFLNK);
}

static int fuse_link(struct inode *dir, struct dentry *d, struct inode *target)
{
    u64 node = fuse_of(target)->nodeid;
    int r = make(dir, d, LX_FUSE_LINK, bytes_of(&node, 8), name_of(d), target->mode & LX_S_IFMT);
    fuse_mark_stale(target);
    return r == -LX_ENOSYS ? -LX_EPERM : r;
}

/* Made and opened in one; the open that follows finds it. */
static int create_open(struct inode *dir, struct dentry *d, u32 mode)
{
    struct {
        struct lx_fuse_entry_out e;
        struct lx_fuse_open_out o;
    } out;
    struct lx_fuse_create_in in = {.flags = vfs_create_flags & ~(u32)(LX_O_NOCTTY | LX_O_CLOEXEC),
                                   .mode = mode,
                                   .umask = umask_of_caller()};
    struct fuse_file *ff = fuse_file_new();
    if (!ff)
        return -LX_ENOMEM;
    struct fuse_args args = {.op = LX_FUSE_CREATE,
                             .nodeid = fuse_of(dir)->nodeid,
                             .in = {bytes_of(&in, sizeof(in)), name_of(d)},
                             .out = &out,
                             .out_size = sizeof(out)};
    u64 version = fuse_attr_version(fuse_conn_of(dir->sb));
    names_change(dir);
    s64 n = fuse_call(fuse_conn_of(dir->sb), &args);
    names_change(dir);
    int r = n < 0 ? (int)n : make_entry(dir, d, &out.e, version, LX_S_IFREG);
    if (r < 0) {
        fuse_file_free(ff);
        return r;
    }
    ff->fh = out.o.fh;
    ff->open_flags = out.o.open_flags;
    fuse_file_created(d->inode, ff);
    return 0;
}

static int fuse_create(struct inode *dir, struct dentry *d, u32 mode)
{
    struct fuse_conn *c = fuse_conn_of(dir->sb);
    if (vfs_create_flags && !fuse_lacks(c, FUSE_LACKS_CREATE)) {
        int r = create_open(dir, d, mode);
        if (!fuse_is_lacking(c, r, FUSE_LACKS_CREATE))
            return r;
    }
    return fuse_mknod(dir, d, mode, 0);
}

/* ---- removing, moving ---------------------------------------------------------------------- */

/* A name of i is gone. */
static void lost_name(struct inode *i)
{
    if ((i->mode & LX_S_IFMT) == LX_S_IFDIR)
        atomic_store(&i->nlink, 0);
    else if (i->nlink > 0)
        atomic_fetch_sub(&i->nlink, 1);
    fuse_mark_stale(i);
}

static int remove_name(struct inode *dir, struct dentry *d, u32 op)
{
    struct fuse_args args = {.op = op, .nodeid = fuse_of(dir)->nodeid, .in = {name_of(d)}};
    names_change(dir);
    s64 r = fuse_call(fuse_conn_of(dir->sb), &args);
    names_change(dir);
    if (r < 0) {
        if (r == -LX_EINTR || r == -LX_ENOENT)
            set_valid(dir, d, 0); /* it may be gone */
        return (int)r;
    }
    lost_name(d->inode);
    fuse_mark_stale(dir);
    return 0;
}

static int fuse_unlink(struct inode *dir, struct dentry *d)
{
    return remove_name(dir, d, LX_FUSE_UNLINK);
}

static int fuse_rmdir(struct inode *dir, struct dentry *d)
{
    return remove_name(dir, d, LX_FUSE_RMDIR);
}

static int fuse_rename(struct inode *odir, struct dentry *od, struct inode *ndir, struct dentry *nd,
                       u32 flags)
{
    struct fuse_conn *c = fuse_conn_of(odir->sb);
    struct lx_fuse_rename2_in in = {.newdir = fuse_of(ndir)->nodeid, .flags = flags};
    if (flags && fuse_lacks(c, FUSE_LACKS_RENAME2))
        return -LX_EINVAL;
    struct fuse_args args = {
        .op = flags ? LX_FUSE_RENAME2 : LX_FUSE_RENAME,
        .nodeid = fuse_of(odir)->nodeid,
        .in = {bytes_of(&in, flags ? sizeof(in) : 8), name_of(od), name_of(nd)}};
    names_change(odir);
    names_change(ndir);
    s64 r = fuse_call(c, &args);
    names_change(odir);
    names_change(ndir);
    if (flags && fuse_is_lacking(c, r, FUSE_LACKS_RENAME2))
        return -LX_EINVAL;
    fuse_mark_stale(odir);
    fuse_mark_stale(ndir);
    fuse_mark_stale(od->inode);
    set_valid(ndir, od, 0); /* asked for at its new place, or whether it is there still */
    set_valid(odir, nd, 0);
    if (nd->inode && r == 0 && !(flags & LX_RENAME_EXCHANGE))
        lost_name(nd->inode);
    else if (nd->inode)
        fuse_mark_stale(nd->inode);
    return r < 0 ? (int)r : 0;
}

static s64 fuse_readlink(struct inode *i, char *buf, size_t size)
{
    char text[PAGE_SIZE];
    int may = fuse_may(fuse_conn_of(i->sb));
    if (may < 0)
        return may;
    s64 n = fuse_call(fuse_conn_of(i->sb), &(struct fuse_args){.op = LX_FUSE_READLINK,
                                                               .nodeid = fuse_of(i)->nodeid,
                                                               .out = text,
                                                               .out_size = sizeof(text) - 1,
                                                               .is_var = true});
    if (n < 0)
        return n;
    if (memchr(text, '\0', (size_t)n))
        return -LX_EIO;
    n = MIN(n, (s64)size);
    memcpy(buf, text, (size_t)n);
    if ((size_t)n < size)
        buf[n] = '\0';
    return n;
}

#define COMMON_IOPS                                                                                \
    .getattr = fuse_getattr, .setattr = fuse_setattr, .permission = fuse_permission,               \
    .access = fuse_access, .getxattr = fuse_getxattr, .setxattr = fuse_setxattr,                   \
    .listxattr = fuse_listxattr, .removexattr = fuse_removexattr

const struct inode_ops fuse_dir_iops = {
    COMMON_IOPS,         .lookup = fuse_lookup,   .create = fuse_create, .mknod = fuse_mknod,
    .mkdir = fuse_mkdir, .symlink = fuse_symlink, .link = fuse_link,     .unlink = fuse_unlink,
    .rmdir = fuse_rmdir, .rename = fuse_rename,
};
const struct inode_ops fuse_file_iops = {COMMON_IOPS};
const struct inode_ops fuse_link_iops = {COMMON_IOPS, .readlink = fuse_readlink};
