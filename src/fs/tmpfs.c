/*
 * tmpfs: supers, options, limits, inodes and their attributes.
 *
 * Names live in the directories' own tables (tmpfs_dir.c), not in the dentry
 * cache, which may forget them. A directory entry holds a reference to its inode; an inode
 * goes, with its contents, when its last name, dentry and file have gone.
 *
 * Limits as on Linux: size= (pages of contents and of extended attributes) and
 * nr_inodes= (inodes and further names), both half of memory by default.
 */
#include "fs/tmpfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "abi/sched.h"
#include "fs/tmpfs_int.h"
#include "vfs/acl.h"
#include "vfs/file_flags.h"
#include "vfs/special.h"

#define XATTR_LIMIT (128U << 10) /* bytes an inode */

static u64 memory_bytes; /* set at start */

void tmpfs_set_memory(u64 bytes)
{
    memory_bytes = bytes;
}

static u64 default_pages(void)
{
    if (memory_bytes == 0) {
        struct sysinfo si;
        memory_bytes = sysinfo(&si) == 0 ? (u64)si.totalram * si.mem_unit : 1UL << 30;
    }
    return memory_bytes / 2 / PAGE_SIZE;
}

/* ---- charging ------------------------------------------------------------------------------ */

static int charge(_Atomic u64 *used, u64 max, u64 n)
{
    u64 old = atomic_load_explicit(used, memory_order_relaxed);
    do {
        if (max && (old + n > max))
            return -LX_ENOSPC;
    } while (!atomic_compare_exchange_weak_explicit(used, &old, old + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    return 0;
}

int tmpfs_charge_pages(struct tmpfs_super *ts, u64 npages)
{
    return charge(&ts->used_pages, atomic_load(&ts->max_pages), npages);
}

void tmpfs_uncharge_pages(struct tmpfs_super *ts, u64 npages)
{
    atomic_fetch_sub(&ts->used_pages, npages);
}

int tmpfs_charge_inode(struct tmpfs_super *ts)
{
    return charge(&ts->used_inodes, atomic_load(&ts->max_inodes), 1);
}

void tmpfs_uncharge_inode(struct tmpfs_super *ts)
{
    atomic_fetch_sub(&ts->used_inodes, 1);
}

/* ---- inodes -------------------------------------------------------------------------------- */

int tmpfs_inode_new(struct super *sb, const struct inode *dir, u32 mode, u64 rdev,
                    struct inode **ret_i)
{
    struct tmpfs_super *ts = tmpfs_sb(sb);
    int r = tmpfs_charge_inode(ts);
    if (r < 0)
        return r;
    u32 type = mode & LX_S_IFMT;
    bool is_dir = type == LX_S_IFDIR, is_reg = type == LX_S_IFREG;
    struct tmpfs_node *t = calloc(1, sizeof(*t));
    const struct file_ops *fops = is_dir   ? &tmpfs_dir_fops
                                  : is_reg ? &tmpfs_file_fops
                                           : special_fops(mode);
    struct inode *i =
        t ? inode_new(sb, 0, mode, is_dir ? &tmpfs_dir_iops : &tmpfs_file_iops, fops) : NULL;
    if (!i) {
        free(t);
        tmpfs_uncharge_inode(ts);
        return -LX_ENOSPC;
    }
    inode_init_owner(i, dir, mode);
    if (dir && (is_dir || is_reg))
        inode_set_file_flags(i, dir->flags & (INODE_NODUMP | INODE_NOATIME));
    i->rdev = rdev;
    i->priv = t;
    xattr_store_init(&t->xattrs);
    if (is_dir) {
        tmpfs_dir_init(&t->dir);
        atomic_store(&i->nlink, 2);
        atomic_store(&i->size, 40);
    } else if (is_reg) {
        tmpfs_data_init(&t->data);
        t->seals = LX_F_SEAL_SEAL;
    }
    *ret_i = i;
    return 0;
}

static void tmpfs_evict(struct inode *i)
{
    struct tmpfs_node *t = tmpfs_node(i);
    struct tmpfs_super *ts = tmpfs_sb(i->sb);
    u32 type = i->mode & LX_S_IFMT;
    if (!t)
        return;
    i->priv = NULL;
    if (type == LX_S_IFDIR)
        tmpfs_dir_done(&t->dir);
    else if (type == LX_S_IFREG)
        tmpfs_data_done(&t->data, ts);
    xattr_store_done(&t->xattrs);
    tmpfs_uncharge_pages(ts, t->xattr_pages + t->link_pages);
    tmpfs_uncharge_inode(ts);
    free(t);
}

int tmpfs_getattr(struct inode *i, struct kstat *st)
{
    inode_fill_stat(i, st);
    st->has_btime = true;
    u32 flags = atomic_load(&i->flags);
    st->attributes_mask |= LX_STATX_ATTR_APPEND | LX_STATX_ATTR_IMMUTABLE | LX_STATX_ATTR_NODUMP;
    st->attributes |= (flags & INODE_APPEND ? LX_STATX_ATTR_APPEND : 0) |
                      (flags & INODE_IMMUTABLE ? LX_STATX_ATTR_IMMUTABLE : 0) |
                      (flags & INODE_NODUMP ? LX_STATX_ATTR_NODUMP : 0);
    if ((i->mode & LX_S_IFMT) == LX_S_IFREG)
        st->blocks = tmpfs_data_pages(&tmpfs_node(i)->data) * (PAGE_SIZE / 512);
    return 0;
}

int tmpfs_setattr(struct inode *i, const struct iattr *a)
{
    struct tmpfs_node *t = tmpfs_node(i);
    bool is_reg = (i->mode & LX_S_IFMT) == LX_S_IFREG;
    struct iattr rest = *a;
    if ((a->valid & ATTR_SIZE) && is_reg) {
        u64 old = atomic_load(&i->size);
        if ((a->size < old && (t->seals & LX_F_SEAL_SHRINK)) ||
            (a->size > old && (t->seals & LX_F_SEAL_GROW)))
            return -LX_EPERM;
        int r = tmpfs_data_truncate(&t->data, tmpfs_sb(i->sb), old, a->size);
        if (r < 0)
            return r;
        if (a->size != old && !(a->valid & ATTR_MTIME))
            rest.valid |= ATTR_MTIME | ATTR_MTIME_NOW;
    }
    if ((a->valid & ATTR_MODE) && is_reg && (t->seals & 0x20U) && ((a->mode ^ i->mode) & 0111U))
        return -LX_EPERM; /* F_SEAL_EXEC */
    if ((a->valid & ATTR_MODE) && i->acl) {
        int r = acl_chmod(i, a->mode);
        if (r < 0)
            return r;
    }
    inode_apply_attr(i, &rest);
    return 0;
}

int tmpfs_set_flags(struct inode *i, u32 flags)
{
    inode_set_file_flags(i, flags);
    i->ctime = ktime_now();
    return 0;
}

s64 tmpfs_ioctl(struct file *f, u32 cmd, u64 arg)
{
    return file_flags_ioctl(f, cmd, arg, tmpfs_set_flags);
}

static s64 tmpfs_readlink(struct inode *i, char *buf, size_t size)
{
    const char *text = i->link;
    if (!text)
        return -LX_EINVAL;
    size_t n = MIN(strlen(text), size);
    memcpy(buf, text, n);
    if (n < size)
        buf[n] = '\0';
    return (s64)n;
}

s64 tmpfs_getxattr(struct inode *i, const char *name, void *buf, size_t size)
{
    return xattr_store_get(&tmpfs_node(i)->xattrs, name, buf, size);
}

static void recharge_xattrs(struct inode *i)
{
    struct tmpfs_node *t = tmpfs_node(i);
    struct tmpfs_super *ts = tmpfs_sb(i->sb);
    u64 bytes = t->xattrs.bytes + acl_bytes(i->acl) + acl_bytes(i->default_acl);
    u64 npages = (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
    atomic_fetch_add(&ts->used_pages, npages - t->xattr_pages);
    t->xattr_pages = npages;
}

int tmpfs_setxattr(struct inode *i, const char *name, const void *val, size_t size, u32 flags)
{
    struct tmpfs_super *ts = tmpfs_sb(i->sb);
    u64 max = atomic_load(&ts->max_pages);
    if (max && atomic_load(&ts->used_pages) + size / PAGE_SIZE >= max)
        return -LX_ENOSPC;
    int r = xattr_store_set(&tmpfs_node(i)->xattrs, name, val, size, flags, XATTR_LIMIT);
    if (r == 0) {
        recharge_xattrs(i);
        inode_touch(i, false, false, true);
    }
    return r;
}

int tmpfs_set_acl(struct inode *i, bool is_default, struct acl *a)
{
    int r = acl_set_in_memory(i, is_default, a);
    if (r == 0)
        recharge_xattrs(i);
    return r;
}

int tmpfs_inherit_acl(struct inode *i, struct inode *dir)
{
    int r = dir && dir->default_acl ? acl_inherit(i, dir) : 0;
    if (r == 0 && i->acl)
        recharge_xattrs(i);
    return r;
}

s64 tmpfs_listxattr(struct inode *i, char *buf, size_t size)
{
    return xattr_store_list(&tmpfs_node(i)->xattrs, buf, size, vfs_capable(LX_CAP_SYS_ADMIN));
}

int tmpfs_removexattr(struct inode *i, const char *name)
{
    int r = xattr_store_remove(&tmpfs_node(i)->xattrs, name);
    if (r == 0) {
        recharge_xattrs(i);
        inode_touch(i, false, false, true);
    }
    return r;
}

const struct inode_ops tmpfs_file_iops = {
    .readlink = tmpfs_readlink,
    .getattr = tmpfs_getattr,
    .setattr = tmpfs_setattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
    .set_acl = tmpfs_set_acl,
};

/* ---- options and supers -------------------------------------------------------------------- */

struct options {
    u64 max_pages, max_inodes;
    u32 mode, uid, gid;
    bool has_size, has_inodes, has_mode, has_uid, has_gid;
};

/* A number with an optional k, m, g, t, p, e or (size only) %. */
static bool parse_size(const char *s, bool is_percent_ok, u64 *ret)
{
    char *end;
    if (*s < '0' || *s > '9')
        return false;
    u64 v = strtoull(s, &end, 0);
    if (*end == '%' && is_percent_ok) {
        *ret = v > 1000000 ? UINT64_MAX : default_pages() * 2 * PAGE_SIZE / 100 * v;
        return end[1] == '\0';
    }
    static const char units[] = "kmgtpe";
    u32 c = (u8)*end | 0x20U;
    const char *u = *end ? strchr(units, (int)c) : NULL;
    if (*end && !u)
        return false;
    for (; u && u >= units; u--) {
        if (__builtin_mul_overflow(v, 1024ULL, &v))
            return false;
    }
    if (*end && end[1])
        return false;
    *ret = v;
    return true;
}

static bool parse_u32(const char *s, int base, u32 *ret)
{
    char *end;
    unsigned long v = strtoul(s, &end, base);
    if (!*s || *end || v > UINT32_MAX)
        return false;
    *ret = (u32)v;
    return true;
}

static bool parse_option(struct options *o, const char *key, const char *val)
{
    u64 v;
    if (!strcmp(key, "size")) {
        o->has_size = true;
        if (!val || !parse_size(val, true, &v))
            return false;
        o->max_pages = v / PAGE_SIZE + (v % PAGE_SIZE != 0);
        return true;
    }
    if (!strcmp(key, "nr_blocks")) {
        o->has_size = true;
        return val && parse_size(val, false, &o->max_pages);
    }
    if (!strcmp(key, "nr_inodes")) {
        o->has_inodes = true;
        return val && parse_size(val, false, &o->max_inodes);
    }
    if (!strcmp(key, "mode")) {
        o->has_mode = true;
        return val && parse_u32(val, 8, &o->mode) && (o->mode &= 07777U, true);
    }
    if (!strcmp(key, "uid")) {
        o->has_uid = true;
        return val && parse_u32(val, 10, &o->uid);
    }
    if (!strcmp(key, "gid")) {
        o->has_gid = true;
        return val && parse_u32(val, 10, &o->gid);
    }
    static const char *const ignored[] = {"huge",    "mpol",   "inode64",
                                          "inode32", "noswap", "usrquota_block_hardlimit"};
    for (size_t i = 0; i < ARRAY_SIZE(ignored) - 1; i++) {
        if (!strcmp(key, ignored[i]))
            return true;
    }
    return false;
}

static int parse_options(const char *opts, struct options *o)
{
    char *copy = strdup(opts), *save = NULL;
    int r = 0;
    if (!copy)
        return -LX_ENOMEM;
    for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(s, '=');
        if (eq)
            *eq++ = '\0';
        if (!parse_option(o, s, eq)) {
            r = -LX_EINVAL;
            break;
        }
    }
    free(copy);
    return r;
}

static bool tmpfs_check_option(const char *key, const char *val)
{
    struct options o;
    return parse_option(&o, key, val);
}

static int tmpfs_statfs(struct super *sb, struct kstatfs *ret)
{
    struct tmpfs_super *ts = tmpfs_sb(sb);
    u64 max = ts->max_pages, used = ts->used_pages, imax = ts->max_inodes, iused = ts->used_inodes;
    *ret = (struct kstatfs){.type = LX_TMPFS_MAGIC, .bsize = PAGE_SIZE, .namelen = LX_NAME_MAX};
    if (max) {
        ret->blocks = max;
        ret->bfree = ret->bavail = max - MIN(used, max);
    }
    if (imax) {
        ret->files = imax;
        ret->ffree = imax - MIN(iused, imax);
    }
    return 0;
}

static int tmpfs_remount(struct super *sb, u32 flags, const char *opts)
{
    struct tmpfs_super *ts = tmpfs_sb(sb);
    struct options o = {0};
    int r = parse_options(opts, &o);
    if (r < 0)
        return r;
    if (o.has_size && o.max_pages && o.max_pages < ts->used_pages)
        return -LX_EINVAL;
    if (o.has_inodes && o.max_inodes && o.max_inodes < ts->used_inodes)
        return -LX_EINVAL;
    if (o.has_size)
        ts->max_pages = o.max_pages;
    if (o.has_inodes)
        ts->max_inodes = o.max_inodes;
    return 0;
}

static void tmpfs_show_options(struct super *sb, char *buf, size_t size)
{
    struct tmpfs_super *ts = tmpfs_sb(sb);
    size_t n = 0;
    buf[0] = '\0';
    if (ts->max_pages && ts->max_pages != default_pages())
        n += (size_t)snprintf(buf, size, ",size=%lluk", (unsigned long long)ts->max_pages * 4);
    if (n < size && ts->max_inodes && ts->max_inodes != default_pages())
        n += (size_t)snprintf(buf + n, size - n, ",nr_inodes=%llu",
                              (unsigned long long)ts->max_inodes);
    if (n < size && ts->mode != 01777)
        n += (size_t)snprintf(buf + n, size - n, ",mode=%03o", ts->mode);
    if (n < size && ts->uid)
        n += (size_t)snprintf(buf + n, size - n, ",uid=%u", ts->uid);
    if (n < size && ts->gid)
        (void)snprintf(buf + n, size - n, ",gid=%u", ts->gid);
}

static void tmpfs_kill(struct super *sb)
{
    free(sb->priv);
    sb->priv = NULL;
}

static const struct super_ops tmpfs_super_ops = {
    .statfs = tmpfs_statfs,
    .evict = tmpfs_evict,
    .kill = tmpfs_kill,
    .remount = tmpfs_remount,
    .show_options = tmpfs_show_options,
};

static int tmpfs_mount(const struct fs_type *t, u32 ms_flags, const char *source, const char *opts,
                       struct super **ret_sb)
{
    struct options o = {.max_pages = default_pages(), .max_inodes = default_pages(), .mode = 01777};
    int r = parse_options(opts, &o);
    if (r < 0)
        return r;
    struct tmpfs_super *ts = calloc(1, sizeof(*ts));
    struct super *sb = ts ? super_new(t, &tmpfs_super_ops, source, ts) : NULL;
    if (!sb) {
        free(ts);
        return -LX_ENOMEM;
    }
    ts->max_pages = o.max_pages;
    ts->max_inodes = o.max_inodes;
    ts->mode = o.mode;
    ts->uid = o.has_uid ? o.uid : vfs_cred()->fsuid;
    ts->gid = o.has_gid ? o.gid : vfs_cred()->fsgid;
    struct inode *root;
    r = tmpfs_inode_new(sb, NULL, LX_S_IFDIR | o.mode, 0, &root);
    if (r == 0) {
        root->uid = ts->uid;
        root->gid = ts->gid;
        sb->root = dentry_make_root(sb, root);
        r = sb->root ? 0 : -LX_ENOMEM;
    }
    if (r < 0) {
        super_put(sb);
        return r;
    }
    *ret_sb = sb;
    return 0;
}

struct fs_type tmpfs_type = {.name = "tmpfs",
                             .flags = FS_USERNS_MOUNT,
                             .mount = tmpfs_mount,
                             .check_option = tmpfs_check_option};
static struct fs_type ramfs_type = {.name = "ramfs",
                                    .flags = FS_USERNS_MOUNT,
                                    .mount = tmpfs_mount,
                                    .check_option = tmpfs_check_option};

int tmpfs_init(void)
{
    fs_register(&tmpfs_type);
    fs_register(&ramfs_type);
    return tmpfs_memfd_init();
}
