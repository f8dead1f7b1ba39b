/*
 * Changing names and attributes through the gofer, and reading the attributes
 * that the vfs does not keep. Directories are locked by the vfs; after each
 * change our picture follows: places of inodes, link counts, and directories
 * whose times and size the host has moved are marked stale.
 */
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>

#include "fs/gofer_priv.h"
#include "host/fdio.h"
#include "host/fsat.h"

static const struct wire_bytes no_bytes = {"", 0};

/* Names in dir changed by our doing. */
static void dir_changed(struct inode *dir)
{
    gofer_changed(gofer_sb_of(dir->sb));
    gofer_mark_stale(dir);
}

/* Node and name of a child, mode and owner of a new object. */
static int begin_new(struct inode *dir, struct dentry *d, u32 mode, struct gp_req *q)
{
    struct inode like = {.mode = mode};
    inode_init_owner(&like, dir, mode);
    q->name = gofer_dname(d);
    q->mode = like.mode & (q->op == GP_MKNOD ? LX_S_IFMT | 07777 : 07777);
    q->uid = like.uid;
    q->gid = like.gid;
    return gofer_node_of(dir, &q->node);
}

/* Makes the inode of a new object from the answer and gives it to d. */
static int finish_new(struct inode *dir, struct dentry *d, struct gofer_call *call, u64 node,
                      struct wire_bytes target, struct inode **ret_i)
{
    dir_changed(dir);
    int r = gofer_inode_make(dir->sb, &call->resp->attr, dir, gofer_dname(d), node, target, ret_i);
    if (r == 0)
        dentry_instantiate(d, *ret_i);
    return r;
}

int gofer_create(struct inode *dir, struct dentry *d, u32 mode)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_CREATE, .flags = GP_O_READ | GP_O_WRITE}};
    struct inode *i;
    int r = begin_new(dir, d, mode, &call.req);
    if (r == 0)
        r = gofer_call_dir(s, &call);
    /* Made, but there was no room here for its fd: the open that follows asks again, and makes
     * some. */
    if (r == -LX_ENFILE && call.resp && call.resp->err == 0)
        r = 0;
    if (r == 0)
        r = finish_new(dir, d, &call, 0, no_bytes, &i);
    if (r == 0) {
        int fd = gofer_call_take_fd(&call);
        if (fd >= 0)
            r = gofer_fd_adopt(gofer_of(i), fd);
    }
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_mknod(struct inode *dir, struct dentry *d, u32 mode, u64 rdev)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_MKNOD, .rdev = rdev}};
    struct inode *i;
    int r = begin_new(dir, d, mode, &call.req);
    if (r == 0)
        r = gofer_call_dir(s, &call);
    if (r == 0)
        r = finish_new(dir, d, &call, 0, no_bytes, &i);
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_mkdir(struct inode *dir, struct dentry *d, u32 mode)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_MKDIR}};
    struct inode *i;
    int r = begin_new(dir, d, mode | LX_S_IFDIR, &call.req);
    if (r == 0)
        r = gofer_call_dir(s, &call);
    if (r == 0)
        r = finish_new(dir, d, &call, call.resp->node, no_bytes, &i);
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_symlink(struct inode *dir, struct dentry *d, const char *target)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_SYMLINK}};
    struct inode *i;
    size_t size = strlen(target);
    if (size > GP_MAX_TARGET)
        return -LX_ENAMETOOLONG;
    call.req.data = (struct wire_bytes){target, (u32)size};
    int r = begin_new(dir, d, LX_S_IFLNK | 0777, &call.req);
    if (r == 0)
        r = gofer_call_dir(s, &call);
    if (r == 0)
        r = finish_new(dir, d, &call, 0, call.req.data, &i);
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_link(struct inode *dir, struct dentry *d, struct inode *target)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_LINK, .name2 = gofer_dname(d)}};
    int r = gofer_node_of(dir, &call.req.node2);
    if (r == 0)
        r = gofer_call_on(target, &call);
    if (r == 0) {
        dir_changed(dir);
        r = gofer_apply_attr(gofer_of(target), &call.resp->attr);
    }
    if (r == 0)
        r = gofer_set_place(gofer_of(target), dir, gofer_dname(d));
    if (r == 0) {
        inode_get(target);
        dentry_instantiate(d, target);
    }
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_tmpfile(struct inode *dir, u32 mode, struct inode **ret_i)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_TMPFILE, .flags = GP_O_READ | GP_O_WRITE}};
    struct inode like = {.mode = mode}, *i = NULL;
    inode_init_owner(&like, dir, mode);
    call.req.mode = like.mode & 07777;
    call.req.uid = like.uid;
    call.req.gid = like.gid;
    int r = gofer_node_of(dir, &call.req.node);
    if (r == 0)
        r = gofer_call_dir(s, &call);
    if (r == 0)
        r = gofer_inode_make(dir->sb, &call.resp->attr, NULL, no_bytes, call.resp->node, no_bytes,
                             &i);
    if (r == 0) {
        int fd = gofer_call_take_fd(&call);
        r = fd < 0 ? -LX_EIO : gofer_fd_adopt(gofer_of(i), fd);
    }
    /* Made, but there was no room here for its fd. */
    u64 lost = r == -LX_ENFILE && !i && call.resp && call.resp->err == 0 ? call.resp->node : 0;
    gofer_call_done(s->conn, &call);
    gofer_forget(s->conn, lost);
    if (r < 0)
        inode_put(i);
    else
        *ret_i = i;
    return r;
}

/* ---- names that go and move ---------------------------------------------------------------- */

/* An object lost the name (dir, name); node: what the gofer keeps for it, or 0. */
static void lost_name(struct gofer_inode *gi, struct inode *dir, struct wire_bytes name, u64 node)
{
    gofer_give_node(gi, node);
    gofer_ahead_drop(gofer_sb_of(gi->inode->sb), gi);
    if (gofer_has_place(gi, dir, name))
        gofer_clear_place(gi);
    if (atomic_load(&gi->inode->nlink) == 0)
        gofer_unhash(gi);
}

/*
 * Does anybody use d's object: then it must stay reachable after its name is
 * gone. Not counted: the dentry cache's reference to d, the vfs's own for the call, and d's to its
 * inode. Nobody finds d after this; dentry_unhide when its name stays.
 */
static bool hide_and_is_used(struct dentry *d)
{
    dentry_hide(d);
    atomic_thread_fence(memory_order_seq_cst);
    return ref_read(&d->ref) > 2 || ref_read(&d->inode->ref) > 1;
}

static int remove_name(struct inode *dir, struct dentry *d, u32 flags)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_inode *gi = gofer_of(d->inode);
    struct gofer_call call = {.req = {.op = GP_UNLINK, .name = gofer_dname(d)}};
    call.req.flags = flags | (hide_and_is_used(d) ? GP_U_PIN : 0);
    int r = gofer_node_of(dir, &call.req.node);
    bool is_pinned = call.req.flags & GP_U_PIN;
    if (is_pinned)
        rwlock_wrlock(&s->move_lock);
    call.req.victim = atomic_load(&gi->node);
    if (r == 0)
        r = gofer_call_dir(s, &call);
    if (r == 0) {
        u64 node = call.resp->node;
        dir_changed(dir);
        if (gofer_apply_attr(gi, &call.resp->attr) < 0)
            gofer_mark_stale(d->inode); /* the host had put another object there */
        else
            lost_name(gi, dir, call.req.name, node);
    }
    if (is_pinned)
        rwlock_wrunlock(&s->move_lock);
    if (r < 0)
        dentry_unhide(d);
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_unlink(struct inode *dir, struct dentry *d)
{
    return remove_name(dir, d, 0);
}

int gofer_rmdir(struct inode *dir, struct dentry *d)
{
    return remove_name(dir, d, GP_U_DIR);
}

/* After a rename over nd's object. */
static void was_replaced(struct inode *i, struct inode *dir, struct wire_bytes name, u64 node)
{
    struct gofer_inode *gi = gofer_of(i);
    u32 nlink = atomic_load(&i->nlink);
    bool is_dir = (i->mode & LX_S_IFMT) == LX_S_IFDIR;
    atomic_store(&i->nlink, is_dir || nlink == 0 ? 0 : nlink - 1);
    gofer_mark_stale(i);
    lost_name(gi, dir, name, node);
}

/* After a rename; -LX_EIO if it cannot have happened so. */
static int moved_places(struct inode *odir, struct inode *ndir, struct inode *moved,
                        struct inode *other, const struct gp_req *q, u64 node)
{
    int r = 0;
    dir_changed(odir);
    dir_changed(ndir);
    gofer_mark_stale(moved);
    if (other && (q->flags & LX_RENAME_EXCHANGE)) {
        r = gofer_set_place(gofer_of(other), odir, q->name);
        gofer_mark_stale(other);
    } else if (other && other != moved) {
        was_replaced(other, ndir, q->name2, node);
    }
    int rm = gofer_set_place(gofer_of(moved), ndir, q->name2);
    return r < 0 ? r : rm;
}

int gofer_rename(struct inode *odir, struct dentry *od, struct inode *ndir, struct dentry *nd,
                 u32 flags)
{
    struct gofer_sb *s = gofer_sb_of(odir->sb);
    struct inode *moved = od->inode, *other = nd->inode;
    struct gofer_call call = {.req = {.op = GP_RENAME, .flags = flags}};
    call.req.name = gofer_dname(od);
    call.req.name2 = gofer_dname(nd);
    if (other && !(flags & LX_RENAME_EXCHANGE) && hide_and_is_used(nd))
        call.req.flags |= GP_R_PIN;
    int r = gofer_node_of(odir, &call.req.node);
    if (r == 0)
        r = gofer_node_of(ndir, &call.req.node2);
    if (r < 0) {
        dentry_unhide(nd);
        return r;
    }
    rwlock_wrlock(&s->move_lock);
    call.req.moved = atomic_load(&gofer_of(moved)->node);
    call.req.victim = other ? atomic_load(&gofer_of(other)->node) : 0;
    r = gofer_call_dir(s, &call);
    u64 node = r == 0 ? call.resp->node : 0;
    if (r == 0)
        r = moved_places(odir, ndir, moved, other, &call.req, node);
    rwlock_wrunlock(&s->move_lock);
    gofer_call_done(s->conn, &call);
    if (r < 0)
        dentry_unhide(nd);
    return r;
}

/* ---- attributes ---------------------------------------------------------------------------- */

int gofer_getattr(struct inode *i, struct kstat *st)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    struct gofer_inode *gi = gofer_of(i);
    if (gofer_is_shared(s) || (atomic_load(&gi->state) & GI_STALE)) {
        int r = gofer_refresh(i);
        if (r < 0)
            return r;
    }
    inode_fill_stat(i, st);
    st->dev = gofer_guest_dev(s, gi->hdev);
    st->blksize = gi->blksize;
    st->attributes |= gi->attributes;
    st->attributes_mask |= gi->attributes_mask;
    st->has_btime = gi->has_btime;
    return 0;
}

static struct gp_time gp_time_of(struct ktime t)
{
    return (struct gp_time){t.sec, t.nsec, 0};
}

static void fill_set(const struct iattr *a, struct gp_set *set)
{
    u32 v = 0;
    v |= a->valid & ATTR_MODE ? GP_S_MODE : 0;
    v |= a->valid & ATTR_UID ? GP_S_UID : 0;
    v |= a->valid & ATTR_GID ? GP_S_GID : 0;
    v |= a->valid & ATTR_SIZE ? GP_S_SIZE : 0;
    *set = (struct gp_set){.mode = a->mode & 07777, .uid = a->uid, .gid = a->gid, .size = a->size};
    if (!(a->valid & ATTR_SIZE)) { /* a change of size stamps the times itself */
        if (a->valid & ATTR_ATIME_NOW) {
            v |= GP_S_ATIME_NOW;
        } else if (a->valid & ATTR_ATIME) {
            v |= GP_S_ATIME;
            set->atime = gp_time_of(a->atime);
        }
        if (a->valid & ATTR_MTIME_NOW) {
            v |= GP_S_MTIME_NOW;
        } else if (a->valid & ATTR_MTIME) {
            v |= GP_S_MTIME;
            set->mtime = gp_time_of(a->mtime);
        }
    }
    set->valid = v;
}

/* Truncation by an fd that is open anyway; false: there is none. */
static bool truncate_open(struct inode *i, u64 size, int *ret_r)
{
    struct gofer_fd *f = gofer_fd_any(gofer_of(i));
    bool is_done = f && f->is_writable;
    if (is_done)
        *ret_r = host_ftruncate(f->fd, (s64)size);
    gofer_fd_put(f);
    return is_done;
}

int gofer_setattr(struct inode *i, const struct iattr *a)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    struct gofer_call call = {.req = {.op = GP_SETATTR}};
    int r = 0;
    gofer_changed(s);
    fill_set(a, &call.req.set);
    if ((call.req.set.valid & GP_S_SIZE) && truncate_open(i, a->size, &r)) {
        call.req.set.valid &= ~GP_S_SIZE;
        gofer_mark_stale(i);
    }
    if (r == 0 && call.req.set.valid) {
        r = gofer_call_on(i, &call);
        if (r == 0)
            r = gofer_apply_attr(gofer_of(i), &call.resp->attr);
        gofer_call_done(s->conn, &call);
    }
    if (r == 0 && (a->valid & ATTR_SIZE)) {
        atomic_fetch_add(&gofer_of(i)->size_seq, 1);
        atomic_store(&i->size, a->size);
    }
    return r;
}

s64 gofer_readlink(struct inode *i, char *buf, size_t size)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    const struct gofer_inode *gi = gofer_of(i);
    if (size == 0)
        return -LX_EINVAL;
    if (gi->target) {
        size_t n = MIN((size_t)gi->target_size, size - 1);
        memcpy(buf, gi->target, n);
        buf[n] = '\0';
        return (s64)n;
    }
    struct gofer_call call = {.req = {.op = GP_READLINK}};
    s64 r = gofer_call_on(i, &call);
    if (r == 0) {
        size_t n = MIN((size_t)call.resp->data.size, size - 1);
        memcpy(buf, call.resp->data.p, n);
        buf[n] = '\0';
        r = (s64)n;
    }
    gofer_call_done(s->conn, &call);
    return r;
}

/* ---- extended attributes ------------------------------------------------------------------- */

#define XATTR_CAPS "security.capability"

static bool xattr_exists(const char *name)
{
    return !strncmp(name, "user.", 5) || !strcmp(name, XATTR_CAPS);
}

s64 gofer_getxattr(struct inode *i, const char *name, void *buf, size_t size)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    struct gofer_inode *gi = gofer_of(i);
    bool is_caps = !strcmp(name, XATTR_CAPS);
    if (!xattr_exists(name))
        return -LX_EOPNOTSUPP;
    if (is_caps && (atomic_load(&gi->state) & GI_NO_CAPS))
        return -LX_ENODATA;
    /* Each exec asks, and that there are none is seen at an fd of the file, too; the values would
     * be those for this process's user namespace. */
    struct gofer_fd *f = is_caps ? gofer_fd_any(gi) : NULL;
    if (f && host_fgetxattr(f->fd, name, NULL, 0) == -LX_ENODATA) {
        gofer_fd_put(f);
        if (!gofer_is_shared(s))
            atomic_fetch_or(&gi->state, GI_NO_CAPS);
        return -LX_ENODATA;
    }
    gofer_fd_put(f);
    struct gofer_call call = {.req = {.op = GP_GETXATTR}};
    call.req.count = (u32)MIN(size, (size_t)GP_MAX_VALUE);
    call.req.data = (struct wire_bytes){name, (u32)strlen(name)};
    s64 r = gofer_call_on(i, &call);
    if (r == 0) {
        r = call.resp->count;
        if (call.resp->data.size > size || (size > 0 && call.resp->data.size != r))
            r = -LX_EIO;
        else if (size > 0)
            memcpy(buf, call.resp->data.p, call.resp->data.size);
    } else if (r == -LX_ENODATA && is_caps && !gofer_is_shared(s)) {
        atomic_fetch_or(&gi->state, GI_NO_CAPS);
    }
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_setxattr(struct inode *i, const char *name, const void *val, size_t size, u32 flags)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    if (!xattr_exists(name))
        return -LX_EOPNOTSUPP;
    if (size > GP_MAX_VALUE)
        return -LX_E2BIG;
    struct gofer_call call = {.req = {.op = GP_SETXATTR, .flags = flags}};
    call.req.data = (struct wire_bytes){name, (u32)strlen(name)};
    call.req.value = (struct wire_bytes){val, (u32)size};
    int r = gofer_call_on(i, &call);
    gofer_call_done(s->conn, &call);
    atomic_fetch_and(&gofer_of(i)->state, ~GI_NO_CAPS);
    gofer_mark_stale(i);
    return r;
}

s64 gofer_listxattr(struct inode *i, char *buf, size_t size)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    struct gofer_call call = {.req = {.op = GP_LISTXATTR}};
    call.req.count = (u32)MIN(size, (size_t)GP_MAX_VALUE);
    s64 r = gofer_call_on(i, &call);
    if (r == 0) {
        struct wire_bytes names = call.resp->data;
        r = call.resp->count;
        if (names.size > size || (size > 0 && names.size != r) ||
            (names.size > 0 && names.p[names.size - 1] != '\0'))
            r = -LX_EIO;
        else if (names.size > 0)
            memcpy(buf, names.p, names.size);
    }
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_removexattr(struct inode *i, const char *name)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    if (!xattr_exists(name))
        return -LX_EOPNOTSUPP;
    struct gofer_call call = {.req = {.op = GP_REMOVEXATTR}};
    call.req.data = (struct wire_bytes){name, (u32)strlen(name)};
    int r = gofer_call_on(i, &call);
    gofer_call_done(s->conn, &call);
    gofer_mark_stale(i);
    return r;
}
