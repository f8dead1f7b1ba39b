/*
 * anonfs: the file system of what has no name (pipes, sockets, eventfds …): one mount
 * that no namespace shows. Every anonymous file has an inode and an unhashed
 * dentry of its own, so that "a file always has a path" holds everywhere.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "vfs/file.h"
#include "vfs/internal.h"
#include "vfs/vfs.h"

static struct mount *anon_mnt; /* set at start */

static int anon_statfs(struct super *sb, struct kstatfs *ret)
{
    *ret = (struct kstatfs){
        .type = LX_ANON_INODE_FS_MAGIC, .bsize = 4096, .frsize = 4096, .namelen = 255};
    return 0;
}

static const struct super_ops anon_super_ops = {.statfs = anon_statfs};
static const struct inode_ops anon_inode_ops;
static const struct file_ops anon_fops;
static const struct fs_type anon_type = {.name = "anon_inodefs"};

bool dentry_is_anon(const struct dentry *d)
{
    return anon_mnt && d->sb == anon_mnt->sb;
}

int vfs_init(void)
{
    (void)dentry_name_hash("", 0); /* draws the hash key before there are other threads */
    struct super *sb = super_new(&anon_type, &anon_super_ops, "none", NULL);
    if (!sb)
        return -LX_ENOMEM;
    struct inode *i = inode_new(sb, 0, LX_S_IFDIR | 0555, &anon_inode_ops, &anon_fops);
    if (!i || !(sb->root = dentry_make_root(sb, i)))
        return -LX_ENOMEM;
    anon_mnt = mount_new(sb, 0);
    super_put(sb);
    return anon_mnt ? 0 : -LX_ENOMEM;
}

int file_new_anon(const char *name, u32 imode, const struct file_ops *ops, void *priv, u32 flags,
                  u32 fmode, struct file **ret_f)
{
    struct super *sb = anon_mnt->sb;
    char buf[64];
    struct inode *i = inode_new(sb, 0, imode, &anon_inode_ops, ops);
    if (!i)
        return -LX_ENOMEM;
    i->uid = vfs_cred()->fsuid;
    i->gid = vfs_cred()->fsgid;
    size_t n = strlen(name);
    if (n > 0 && name[n - 1] == ':') {
        snprintf(buf, sizeof(buf), "%s[%llu]", name, (unsigned long long)i->ino);
        name = buf;
        n = strlen(buf);
    }
    struct dentry *d = dentry_alloc_unhashed(sb->root, name, n);
    if (!d) {
        inode_put(i);
        return -LX_ENOMEM;
    }
    dentry_instantiate(d, i);
    struct path p = {anon_mnt, d};
    mount_get(anon_mnt);
    return file_new_at(&p, ops, priv, flags, fmode | FMODE_NOTIFY_OFF, ret_f);
}
