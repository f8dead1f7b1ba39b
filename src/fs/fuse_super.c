/* FUSE: mounting, the super, inodes and their attributes. See fuse_int.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "fs/fuse.h"
#include "fs/fuse_int.h"
#include "vfs/special.h"

/* ---- the table ----------------------------------------------------------------------------- */

static struct fuse_inode **bucket_of(struct fuse_conn *c, u64 nodeid)
{
    return &c->buckets[(nodeid * 0x9e3779b97f4a7c15ULL >> 40) % FUSE_NBUCKETS];
}

static void hash_locked(struct fuse_conn *c, struct fuse_inode *fi)
{
    struct fuse_inode **head = bucket_of(c, fi->nodeid);
    fi->next = *head;
    fi->link = head;
    if (fi->next)
        fi->next->link = &fi->next;
    *head = fi;
}

static void unhash_locked(struct fuse_inode *fi)
{
    if (!fi->link)
        return;
    *fi->link = fi->next;
    if (fi->next)
        fi->next->link = fi->link;
    fi->link = NULL;
}

static struct inode *find_locked(struct fuse_conn *c, u64 nodeid)
{
    for (struct fuse_inode *fi = *bucket_of(c, nodeid); fi; fi = fi->next) {
        if (fi->nodeid == nodeid && ref_get_unless_zero(&fi->inode->ref))
            return fi->inode;
    }
    return NULL;
}

struct inode *fuse_inode_find(struct fuse_conn *c, u64 nodeid)
{
    MUTEX_GUARD(&c->table_lock);
    return find_locked(c, nodeid);
}

/* ---- attributes ---------------------------------------------------------------------------- */

static s64 deadline_of(u64 sec, u32 nsec)
{
    u64 ns = sec >= 1ULL << 32 ? 1ULL << 62 : sec * (u64)NSEC_PER_SEC + MIN(nsec, 999999999U);
    return ns ? deadline_after_ns((s64)ns) : 0;
}

void fuse_mark_stale(struct inode *i)
{
    atomic_store_explicit(&fuse_of(i)->valid_until_ns, 0, memory_order_relaxed);
}

bool fuse_is_fresh(const struct inode *i)
{
    return clock_mono_ns() <
           atomic_load_explicit(&fuse_of(i)->valid_until_ns, memory_order_relaxed);
}

static struct ktime time_of(u64 sec, u32 nsec)
{
    return (struct ktime){(s64)sec, MIN(nsec, 999999999U)};
}

static bool is_same_time(const struct ktime *a, const struct ktime *b)
{
    return a->sec == b->sec && a->nsec == b->nsec;
}

/* attr_lock held. Others read mode and owner without a lock. */
static void store_attr(struct inode *i, const struct lx_fuse_attr *a)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    __atomic_store_n(&i->mode, a->mode & (LX_S_IFMT | 07777U), __ATOMIC_RELAXED);
    __atomic_store_n(&i->uid, vfs_make_kuid(c->user_ns, a->uid), __ATOMIC_RELAXED);
    __atomic_store_n(&i->gid, vfs_make_kgid(c->user_ns, a->gid), __ATOMIC_RELAXED);
    atomic_store_explicit(&i->nlink, a->nlink, memory_order_relaxed);
    atomic_store_explicit(&i->size, a->size, memory_order_relaxed);
    i->blocks = a->blocks;
    i->atime = time_of(a->atime, a->atimensec);
    i->mtime = time_of(a->mtime, a->mtimensec);
    i->ctime = time_of(a->ctime, a->ctimensec);
}

int fuse_store_attr(struct inode *i, const struct lx_fuse_attr *a, u64 valid, u32 nsec, u64 version)
{
    struct fuse_inode *fi = fuse_of(i);
    if ((a->mode ^ i->mode) & LX_S_IFMT || a->size > INT64_MAX)
        return -LX_EIO;
    mutex_lock(&fi->attr_lock);
    if (fi->attr_version > version) {
        mutex_unlock(&fi->attr_lock); /* asked for before what is known now became so */
        fuse_mark_stale(i);
        return 0;
    }
    struct ktime m = time_of(a->mtime, a->mtimensec);
    bool is_changed = i->size != a->size || (!is_same_time(&i->mtime, &m) && !fi->is_own_change);
    fi->is_own_change = false;
    store_attr(i, a);
    fi->blksize = a->blksize;
    fi->is_atime_stale = false;
    fi->attr_version = atomic_fetch_add(&fuse_conn_of(i->sb)->attr_version, 1) + 1;
    atomic_store_explicit(&fi->valid_until_ns, deadline_of(valid, nsec), memory_order_relaxed);
    mutex_unlock(&fi->attr_lock);
    if (is_changed)
        fuse_data_stale(i);
    return 0;
}

void fuse_set_size(struct inode *i, u64 size)
{
    struct fuse_inode *fi = fuse_of(i);
    MUTEX_GUARD(&fi->attr_lock);
    atomic_store_explicit(&i->size, size, memory_order_relaxed);
    fi->attr_version = atomic_fetch_add(&fuse_conn_of(i->sb)->attr_version, 1) + 1;
}

int fuse_refresh(struct inode *i)
{
    struct lx_fuse_getattr_in in = {0};
    struct lx_fuse_attr_out out;
    u64 version = fuse_attr_version(fuse_conn_of(i->sb));
    s64 r = fuse_call(fuse_conn_of(i->sb), &(struct fuse_args){.op = LX_FUSE_GETATTR,
                                                               .nodeid = fuse_of(i)->nodeid,
                                                               .in = {{&in, sizeof(in)}},
                                                               .out = &out,
                                                               .out_size = sizeof(out)});
    return r < 0 ? (int)r
                 : fuse_store_attr(i, &out.attr, out.attr_valid, out.attr_valid_nsec, version);
}

int fuse_update(struct inode *i)
{
    return fuse_is_fresh(i) ? 0 : fuse_refresh(i);
}

int fuse_may(struct fuse_conn *c)
{
    const struct cred *k = vfs_cred();
    if (c->is_allow_other)
        return !c->user_ns || vfs_user_ns_is_below(k->user_ns, c->user_ns) ? 0 : -LX_EACCES;
    bool is_same = k->euid == c->user_id && k->suid == c->user_id && k->uid == c->user_id &&
                   k->egid == c->group_id && k->sgid == c->group_id && k->gid == c->group_id;
    return is_same ? 0 : -LX_EACCES;
}

int fuse_getattr(struct inode *i, struct kstat *st)
{
    struct fuse_inode *fi = fuse_of(i);
    int r = fuse_may(fuse_conn_of(i->sb));
    if (r < 0)
        return r;
    mutex_lock(&fi->attr_lock);
    bool is_good = fuse_is_fresh(i) && !fi->is_atime_stale;
    mutex_unlock(&fi->attr_lock);
    if (!is_good)
        r = fuse_refresh(i);
    if (r < 0)
        return r;
    MUTEX_GUARD(&fi->attr_lock);
    inode_fill_stat(i, st);
    st->blksize = fi->blksize ? fi->blksize : 4096;
    return 0;
}

int fuse_permission(struct inode *i, u32 mask)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    int r = fuse_may(c);
    bool is_exec = (mask & LX_X_OK) && (i->mode & LX_S_IFMT) == LX_S_IFREG;
    if (r == 0 && (c->is_default_permissions || is_exec))
        r = fuse_update(i);
    if (r < 0)
        return r;
    if (c->is_default_permissions)
        return inode_generic_permission(i, mask);
    return is_exec && !(i->mode & 0111U) ? -LX_EACCES : 0;
}

int fuse_access(struct inode *i, u32 mask)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    struct lx_fuse_access_in in = {.mask = mask & (LX_R_OK | LX_W_OK | LX_X_OK)};
    if (c->is_default_permissions || fuse_lacks(c, FUSE_LACKS_ACCESS))
        return 0;
    s64 r = fuse_call(c, &(struct fuse_args){.op = LX_FUSE_ACCESS,
                                             .nodeid = fuse_of(i)->nodeid,
                                             .in = {{&in, sizeof(in)}}});
    return fuse_is_lacking(c, r, FUSE_LACKS_ACCESS) ? 0 : (int)r;
}

/* ---- inodes -------------------------------------------------------------------------------- */

static struct inode *make_inode(struct super *sb, u64 nodeid, u64 generation, u64 ino, u32 mode,
                                u64 rdev)
{
    u32 type = mode & LX_S_IFMT;
    struct fuse_inode *fi = calloc(1, sizeof(*fi));
    const struct inode_ops *ops = type == LX_S_IFDIR   ? &fuse_dir_iops
                                  : type == LX_S_IFLNK ? &fuse_link_iops
                                                       : &fuse_file_iops;
    const struct file_ops *fops = type == LX_S_IFDIR   ? &fuse_dir_fops
                                  : type == LX_S_IFREG ? &fuse_reg_fops
                                                       : special_fops(mode);
    struct inode *i = fi ? inode_new(sb, ino, mode, ops, fops) : NULL;
    if (!i) {
        free(fi);
        return NULL;
    }
    i->rdev = rdev;
    i->priv = fi;
    fi->inode = i;
    fi->nodeid = nodeid;
    fi->generation = generation;
    mutex_init(&fi->attr_lock, "fuse_attr");
    mutex_init(&fi->created_lock, "fuse_created");
    mutex_init(&fi->map_lock, "fuse_map");
    fi->map_fd = fi->map_fd_ro = -1;
    return i;
}

static bool is_type(u32 mode)
{
    u32 t = mode & LX_S_IFMT;
    return t == LX_S_IFREG || t == LX_S_IFDIR || t == LX_S_IFLNK || t == LX_S_IFCHR ||
           t == LX_S_IFBLK || t == LX_S_IFIFO || t == LX_S_IFSOCK;
}

int fuse_inode_get(struct super *sb, const struct lx_fuse_entry_out *e, u64 version,
                   struct inode **ret_i)
{
    struct fuse_conn *c = fuse_conn_of(sb);
    struct inode *i, *stale = NULL;
    if (e->nodeid == 0 || e->nodeid == LX_FUSE_ROOT_ID)
        return -LX_EIO;
    if (!is_type(e->attr.mode) || e->attr.size > INT64_MAX) {
        fuse_send_forget(c, e->nodeid, 1);
        return -LX_EIO;
    }
    mutex_lock(&c->table_lock);
    i = find_locked(c, e->nodeid);
    if (i && (fuse_of(i)->generation != e->generation || ((i->mode ^ e->attr.mode) & LX_S_IFMT))) {
        unhash_locked(fuse_of(i)); /* the number stands for another object now */
        stale = i;
        i = NULL;
    }
    if (!i) {
        u64 rdev = MKDEV((e->attr.rdev >> 8) & 0xfffU,
                         (e->attr.rdev & 0xffU) | ((e->attr.rdev >> 12) & 0xfff00U));
        i = make_inode(sb, e->nodeid, e->generation, e->attr.ino, e->attr.mode, rdev);
        if (i)
            hash_locked(c, fuse_of(i));
    }
    if (i)
        atomic_fetch_add(&fuse_of(i)->nlookup, 1);
    mutex_unlock(&c->table_lock);
    inode_put(stale);
    if (!i) {
        fuse_send_forget(c, e->nodeid, 1);
        return -LX_ENOMEM;
    }
    int r = fuse_store_attr(i, &e->attr, e->attr_valid, e->attr_valid_nsec, version);
    if (r < 0) {
        inode_put(i);
        return r;
    }
    *ret_i = i;
    return 0;
}

static void sb_evict(struct inode *i)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    struct fuse_inode *fi = fuse_of(i);
    if (!fi)
        return; /* never finished */
    mutex_lock(&c->table_lock);
    unhash_locked(fi);
    mutex_unlock(&c->table_lock);
    if (fi->created)
        fuse_file_close(i, take_ptr(fi->created), LX_FUSE_RELEASE, 0);
    if (fi->nlookup > 0)
        fuse_send_forget(c, fi->nodeid, fi->nlookup);
    fuse_map_drop(fi);
    free(fi);
}

/* ---- super --------------------------------------------------------------------------------- */

static int sb_statfs(struct super *sb, struct kstatfs *ret)
{
    struct lx_fuse_statfs_out o;
    ret->type = LX_FUSE_SUPER_MAGIC;
    if (fuse_may(fuse_conn_of(sb)) < 0)
        return 0;
    s64 r = fuse_call(fuse_conn_of(sb), &(struct fuse_args){.op = LX_FUSE_STATFS,
                                                            .nodeid = LX_FUSE_ROOT_ID,
                                                            .out = &o,
                                                            .out_size = sizeof(o)});
    if (r < 0)
        return (int)r;
    *ret = (struct kstatfs){
        .type = LX_FUSE_SUPER_MAGIC,
        .bsize = o.bsize,
        .blocks = o.blocks,
        .bfree = o.bfree,
        .bavail = o.bavail,
        .files = o.files,
        .ffree = o.ffree,
        .namelen = o.namelen,
        .frsize = o.frsize,
    };
    return 0;
}

/* The end of the mount is the end of the connection: what inodes remain finds it gone. */
static void sb_shutdown(struct super *sb)
{
    fuse_abort(fuse_conn_of(sb));
}

static void sb_kill(struct super *sb)
{
    struct fuse_conn *c = fuse_conn_of(sb);
    mutex_lock(&c->lock);
    c->sb = NULL;
    mutex_unlock(&c->lock);
    fuse_conn_put(c);
}

static void sb_show_options(struct super *sb, char *buf, size_t size)
{
    struct fuse_conn *c = fuse_conn_of(sb);
    int n = snprintf(buf, size, ",user_id=%u,group_id=%u%s%s",
                     vfs_from_kuid(c->user_ns, c->user_id), vfs_from_kgid(c->user_ns, c->group_id),
                     c->is_default_permissions ? ",default_permissions" : "",
                     c->is_allow_other ? ",allow_other" : "");
    if (c->max_read_option && n >= 0 && (size_t)n < size)
        snprintf(buf + n, size - (size_t)n, ",max_read=%u", c->max_read_option);
}

static const struct super_ops super_ops = {
    .statfs = sb_statfs,
    .evict = sb_evict,
    .shutdown = sb_shutdown,
    .abort = sb_shutdown,
    .kill = sb_kill,
    .show_options = sb_show_options,
};

/* ---- mounting ------------------------------------------------------------------------------ */

struct options {
    s64 fd, rootmode, user_id, group_id, max_read;
    bool is_allow_other, is_default_permissions;
};

static bool parse_number(const char *s, size_t size, u32 base, s64 *ret)
{
    u64 v = 0;
    if (size == 0)
        return false;
    for (size_t k = 0; k < size; k++) {
        u32 digit = (u32)(s[k] - '0');
        if (digit >= base || (v = v * base + digit) > UINT32_MAX)
            return false;
    }
    *ret = (s64)v;
    return true;
}

static bool parse_option(struct options *o, const char *s, size_t size)
{
    const struct {
        const char *key;
        u32 base;
        s64 *val;
        bool *flag;
    } known[] = {
        {"fd=", 10, &o->fd, NULL},
        {"rootmode=", 8, &o->rootmode, NULL},
        {"user_id=", 10, &o->user_id, NULL},
        {"group_id=", 10, &o->group_id, NULL},
        {"max_read=", 10, &o->max_read, NULL},
        {"allow_other", 0, NULL, &o->is_allow_other},
        {"default_permissions", 0, NULL, &o->is_default_permissions},
    };
    for (size_t k = 0; k < ARRAY_SIZE(known); k++) {
        size_t n = strlen(known[k].key);
        if (size < n || memcmp(s, known[k].key, n) != 0)
            continue;
        if (known[k].val)
            return parse_number(s + n, size - n, known[k].base, known[k].val);
        *known[k].flag = size == n;
        return size == n;
    }
    return false;
}

static int parse(struct options *o, const char *s)
{
    *o = (struct options){.fd = -1, .rootmode = -1, .user_id = -1, .group_id = -1};
    while (*s) {
        size_t n = strcspn(s, ",");
        if (n > 0 && !parse_option(o, s, n))
            return -LX_EINVAL;
        s += n;
        if (*s)
            s++;
    }
    bool is_whole =
        o->fd >= 0 && o->fd <= INT32_MAX && o->rootmode >= 0 && o->user_id >= 0 && o->group_id >= 0;
    return is_whole && is_type((u32)o->rootmode) ? 0 : -LX_EINVAL;
}

static int make_root(struct super *sb, const struct options *o)
{
    struct inode *i = make_inode(sb, LX_FUSE_ROOT_ID, 0, LX_FUSE_ROOT_ID,
                                 (u32)o->rootmode & (LX_S_IFMT | 07777U), 0);
    if (!i)
        return -LX_ENOMEM;
    struct fuse_conn *c = fuse_conn_of(sb);
    mutex_lock(&c->table_lock);
    hash_locked(c, fuse_of(i));
    mutex_unlock(&c->table_lock);
    sb->root = dentry_make_root(sb, i);
    return sb->root ? 0 : -LX_ENOMEM;
}

/* The ids of the mount, in the user namespace of whoever mounts. */
static int set_owner(struct fuse_conn *c, const struct options *o)
{
    struct user_ns *ns = vfs_cred()->user_ns;
    if (ns && ns != vfs_root_user_ns) {
        vfs_user_ns_get(ns);
        c->user_ns = ns;
    }
    c->user_id = vfs_make_kuid(c->user_ns, (u32)o->user_id);
    c->group_id = vfs_make_kgid(c->user_ns, (u32)o->group_id);
    return c->user_id == (u32)-1 || c->group_id == (u32)-1 ? -LX_EINVAL : 0;
}

static int fuse_mount(const struct fs_type *t, u32 ms_flags, const char *source, const char *opts,
                      struct super **ret_sb)
{
    struct options o;
    int r = parse(&o, opts);
    if (r < 0)
        return r;
    struct file *dev cleanup(file_put_p) = fd_get((int)o.fd);
    if (!dev || dev->ops != &fuse_dev_fops || dev->cred->user_ns != vfs_cred()->user_ns)
        return -LX_EINVAL;
    struct fuse_conn *c = fuse_conn_new();
    if (!c)
        return -LX_ENOMEM;
    r = set_owner(c, &o);
    c->is_allow_other = o.is_allow_other;
    c->is_default_permissions = o.is_default_permissions;
    c->max_read_option = (u32)o.max_read;
    if (o.max_read)
        c->max_read = MIN(c->max_read, MAX((u32)o.max_read, 4096U));
    struct super *sb = r == 0 ? super_new(t, &super_ops, source, c) : NULL;
    if (!sb) {
        fuse_conn_put(c);
        return r < 0 ? r : -LX_ENOMEM;
    }
    c->sb = sb;
    sb->flags |= SB_REVALIDATE | SB_SERVED;
    if (!c->is_default_permissions)
        sb->flags |= SB_OWN_RULES;
    if (c->user_ns)
        sb->flags |= SB_NODEV;
    sb->d_ops = &fuse_dops;
    r = make_root(sb, &o);
    if (r == 0)
        r = fuse_dev_attach(dev, c);
    if (r < 0) {
        super_put(sb);
        return r;
    }
    fuse_send_init(c);
    *ret_sb = sb;
    return 0;
}

static bool check_option(const char *key, const char *val)
{
    struct options o;
    char s[64];
    int n = snprintf(s, sizeof(s), "%s%s%s", key, val ? "=" : "", val ? val : "");
    return n > 0 && (size_t)n < sizeof(s) && parse_option(&o, s, (size_t)n);
}

static struct fs_type fuse_type = {
    .name = "fuse",
    .flags = FS_HAS_SUBTYPE | FS_USERNS_MOUNT,
    .mount = fuse_mount,
    .check_option = check_option,
};

void fuse_init(void)
{
    fs_register(&fuse_type);
    chrdev_register(LX_FUSE_MAJOR, LX_FUSE_DEV_MINOR, 1, "misc", &fuse_dev_fops);
}
