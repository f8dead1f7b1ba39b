/* Supers of the gofer client: attaching, the ops tables. See gofer_client.h and gofer_priv.h. */
#include <stdlib.h>

#include "base/log.h"
#include "fs/gofer_priv.h"
#include "vfs/dcache.h"

static int sb_statfs(struct super *sb, struct kstatfs *ret)
{
    struct gofer_sb *s = gofer_sb_of(sb);
    struct gofer_call call = {.req = {.op = GP_STATFS}};
    int r = gofer_node_of(sb->root->inode, &call.req.node);
    if (r == 0)
        r = gofer_call(s->conn, &call);
    if (r == 0) {
        const struct gp_statfs *f = &call.resp->statfs;
        *ret = (struct kstatfs){
            .type = f->type,
            .bsize = f->bsize,
            .blocks = f->blocks,
            .bfree = f->bfree,
            .bavail = f->bavail,
            .files = f->files,
            .ffree = f->ffree,
            .namelen = f->namelen,
            .frsize = f->frsize,
            .flags = f->flags,
        };
    }
    gofer_call_done(s->conn, &call);
    return r;
}

static int sb_sync(struct super *sb)
{
    struct gofer_sb *s = gofer_sb_of(sb);
    struct gofer_call call = {.req = {.op = GP_SYNCFS}};
    if (s->export_flags & GP_EXPORT_RDONLY)
        return 0;
    int r = gofer_node_of(sb->root->inode, &call.req.node);
    if (r == 0)
        r = gofer_call(s->conn, &call);
    gofer_call_done(s->conn, &call);
    return r;
}

static void sb_free(struct gofer_sb *s)
{
    gofer_conn_put(s->conn);
    if (s->buckets != s->first_buckets)
        free(s->buckets);
    free(s->ahead_fds);
    free(s);
}

static void sb_kill(struct super *sb)
{
    gofer_ahead_drop_all(gofer_sb_of(sb));
    gofer_list_done(gofer_sb_of(sb));
    gofer_fd_put(gofer_sb_of(sb)->root_fd);
    sb_free(gofer_sb_of(sb));
}

static const struct super_ops gofer_super_ops = {
    .statfs = sb_statfs,
    .sync = sb_sync,
    .evict = gofer_evict,
    .kill = sb_kill,
};

static const struct fs_type gofer_type = {.name = "gofer"};

/* The root's inode, from the gofer's answer to GP_ATTACH. */
static int attach(struct super *sb, u32 index, struct inode **ret_root)
{
    struct gofer_sb *s = gofer_sb_of(sb);
    struct gofer_call call = {.req = {.op = GP_ATTACH, .offset = index}};
    int r = gofer_call(s->conn, &call);
    if (r == 0) {
        s->export_flags = call.resp->count;
        (void)gofer_guest_dev(s, call.resp->attr.dev); /* the first: the super's own */
        r = gofer_inode_make(sb, &call.resp->attr, NULL, (struct wire_bytes){"", 0},
                             call.resp->node, (struct wire_bytes){"", 0}, ret_root);
    }
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_super_new(const int *lane_fds, u32 nlanes, u32 attach_index, u32 flags,
                    struct super **ret_sb)
{
    struct gofer_sb *s = calloc(1, sizeof(*s));
    if (!s)
        return -LX_ENOMEM;
    int r = gofer_conn_get(lane_fds, nlanes, &s->conn);
    if (r < 0) {
        free(s);
        return r;
    }
    s->flags = flags;
    s->buckets = s->first_buckets;
    s->nbuckets = GOFER_BUCKETS;
    mutex_init(&s->lock, "gofer_table");
    rwlock_init(&s->move_lock, "gofer_move");
    mutex_init(&s->place_lock, "gofer_place");
    mutex_init(&s->fd_lock, "gofer_fds");
    list_init(&s->fd_lru);
    atomic_init(&s->open_window, GOFER_OPEN_WINDOW);
    gofer_list_init(s);
    struct super *sb = super_new(&gofer_type, &gofer_super_ops, "gofer", s);
    if (!sb) {
        sb_free(s);
        return -LX_ENOMEM;
    }
    s->sb = sb;
    struct inode *root;
    r = attach(sb, attach_index, &root);
    if (r == 0) {
        sb->root = dentry_make_root(sb, root);
        r = sb->root ? 0 : -LX_ENOMEM;
    }
    if (r < 0) {
        super_put(sb);
        return r;
    }
    if (flags & GOFER_DIRECTFS) {
        r = gofer_direct_begin(s, sb->root->inode);
        if (r < 0)
            log_info("directfs is off: error %d", -r);
    }
    if ((s->export_flags & GP_EXPORT_RDONLY) || (flags & GOFER_RO))
        sb->flags |= SB_RDONLY;
    if (flags & GOFER_SHARED) {
        sb->flags |= SB_REVALIDATE;
        sb->d_ops = &gofer_shared_dops;
    }
    *ret_sb = sb;
    return 0;
}

void gofer_super_renew(struct super *sb)
{
    if (sb->type != &gofer_type || gofer_is_shared(gofer_sb_of(sb)))
        return;
    gofer_changed(gofer_sb_of(sb));
    gofer_ahead_drop_all(gofer_sb_of(sb));
    dentry_forget_unused(sb);
    gofer_mark_all_stale(gofer_sb_of(sb));
}

u64 gofer_super_ncalls(const struct super *sb)
{
    return gofer_conn_ncalls(gofer_sb_of(sb)->conn);
}

/* ---- tables -------------------------------------------------------------------------------- */

#define COMMON_IOPS                                                                                \
    .getattr = gofer_getattr, .setattr = gofer_setattr, .getxattr = gofer_getxattr,                \
    .setxattr = gofer_setxattr, .listxattr = gofer_listxattr, .removexattr = gofer_removexattr

const struct inode_ops gofer_dir_iops = {
    COMMON_IOPS,
    .lookup = gofer_lookup,
    .create = gofer_create,
    .mknod = gofer_mknod,
    .mkdir = gofer_mkdir,
    .symlink = gofer_symlink,
    .link = gofer_link,
    .unlink = gofer_unlink,
    .rmdir = gofer_rmdir,
    .rename = gofer_rename,
    .tmpfile = gofer_tmpfile,
};

const struct inode_ops gofer_file_iops = {COMMON_IOPS};

const struct inode_ops gofer_link_iops = {COMMON_IOPS, .readlink = gofer_readlink};
