/* Overlay: attributes and extended attributes. Changes copy up first. */
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "fs/overlay_int.h"
#include "vfs/acl.h"
#include "vfs/file_flags.h"

/* Under the real inode's lock, so that a mirror that read older values cannot overwrite a newer
 * one. */
void ovl_mirror(struct inode *i)
{
    struct ovl_node *n = ovl_node(i);
    const struct path *real = ovl_real(n);
    struct kstat st;
    MUTEX_GUARD(&real->dentry->inode->lock);
    if (ovl_real_stat(real, &st) < 0)
        return;
    i->mode = st.mode;
    i->uid = st.uid;
    i->gid = st.gid;
    atomic_store(&i->size, st.size);
    i->blocks = st.blocks;
    i->atime = st.atime;
    i->mtime = st.mtime;
    i->ctime = st.ctime;
    u32 flags = atomic_load(&real->dentry->inode->flags);
    i->flags |= flags & INODE_PRIV_XATTR;
    inode_set_file_flags(i, flags & INODE_FILE_FLAGS);
    for (int k = 0; k < 2; k++) {
        struct acl *a = inode_get_acl(real->dentry->inode, k);
        if (a != (k ? i->default_acl : i->acl))
            inode_put_acl(i, k, a);
        else
            acl_put(a);
    }
    if (n->has_btime)
        i->btime = n->btime;
    if (!n->has_own_nlink)
        atomic_store(&i->nlink, (u32)st.nlink);
}

/* Links of a merged directory are not counted: 1 says so to find(1) and kin. */
static bool is_merged(const struct ovl_node *n)
{
    return (ovl_has_upper(n) ? 1 : 0) + n->nlower > 1;
}

int ovl_getattr(struct inode *i, struct kstat *st)
{
    struct ovl_node *n = ovl_node(i);
    bool is_file = (i->mode & LX_S_IFMT) == LX_S_IFREG;
    if (ovl_has_upper(n) || (n->lower[0].dentry->sb->flags & SB_REVALIDATE)) {
        int r = ovl_real_stat(ovl_real(n), st);
        if (r < 0)
            return r;
        if (n->has_own_nlink)
            st->nlink = atomic_load(&i->nlink);
        /* Following a link and listing a directory move the overlay's own time. */
        if (!is_file && (i->atime.sec > st->atime.sec ||
                         (i->atime.sec == st->atime.sec && i->atime.nsec > st->atime.nsec)))
            st->atime = i->atime;
    } else {
        inode_fill_stat(i, st);
        st->blksize = n->blksize;
    }
    st->dev = n->dev;
    st->ino = n->ino;
    st->rdev = i->rdev;
    st->has_btime = n->has_btime;
    st->btime = n->btime;
    if (ovl_is_dir(i) && is_merged(n))
        st->nlink = 1;
    if (ovl_is_dir(i) && (i->flags & INODE_DEAD))
        st->nlink = 0;
    return 0;
}

int ovl_setattr(struct inode *i, const struct iattr *a)
{
    struct iattr real = *a;
    int r = ovl_copy_up(i, a->valid & ATTR_SIZE ? a->size : UINT64_MAX);
    if (r < 0)
        return r;
    real.file = NULL; /* the layer's own file is not this one */
    r = ovl_real_setattr(ovl_node(i)->upper.dentry->inode, &real);
    if (r == 0)
        ovl_mirror(i);
    return r;
}

static s64 ovl_readlink(struct inode *i, char *buf, size_t size)
{
    struct inode *real = ovl_real(ovl_node(i))->dentry->inode;
    char *known = i->link;
    if (known) {
        size_t n = MIN(strlen(known), size);
        memcpy(buf, known, n);
        if (n < size)
            buf[n] = '\0';
        return (s64)n;
    }
    s64 n = real->ops->readlink ? real->ops->readlink(real, buf, size) : -LX_EINVAL;
    if (n > 0 && (size_t)n < size) { /* whole: the walk may use it from now on */
        char *copy = strndup(buf, (size_t)n), *none = NULL;
        if (copy && !atomic_compare_exchange_strong(&i->link, &none, copy))
            free(copy);
    }
    return n;
}

/* ---- extended attributes ------------------------------------------------------------------- */

s64 ovl_getxattr(struct inode *i, const char *name, void *buf, size_t size)
{
    struct inode *real = ovl_real(ovl_node(i))->dentry->inode;
    if (ovl_is_mark(ovl_sb(i->sb), name))
        return -LX_EOPNOTSUPP;
    return real->ops->getxattr ? real->ops->getxattr(real, name, buf, size) : -LX_EOPNOTSUPP;
}

int ovl_setxattr(struct inode *i, const char *name, const void *val, size_t size, u32 flags)
{
    if (ovl_is_mark(ovl_sb(i->sb), name))
        return -LX_EOPNOTSUPP;
    int r = ovl_copy_up(i, UINT64_MAX);
    if (r < 0)
        return r;
    struct inode *real = ovl_node(i)->upper.dentry->inode;
    if (!real->ops->setxattr)
        return -LX_EOPNOTSUPP;
    mutex_lock(&real->lock);
    r = real->ops->setxattr(real, name, val, size, flags);
    mutex_unlock(&real->lock);
    if (r == 0)
        ovl_mirror(i);
    return r;
}

int ovl_removexattr(struct inode *i, const char *name)
{
    if (ovl_is_mark(ovl_sb(i->sb), name))
        return -LX_EOPNOTSUPP;
    if (!ovl_has_upper(ovl_node(i))) { /* nothing to remove: no reason to copy up */
        s64 n = ovl_getxattr(i, name, NULL, 0);
        if (n < 0)
            return (int)n;
    }
    int r = ovl_copy_up(i, UINT64_MAX);
    if (r < 0)
        return r;
    struct inode *real = ovl_node(i)->upper.dentry->inode;
    if (!real->ops->removexattr)
        return -LX_EOPNOTSUPP;
    mutex_lock(&real->lock);
    r = real->ops->removexattr(real, name);
    mutex_unlock(&real->lock);
    if (r == 0)
        ovl_mirror(i);
    return r;
}

int ovl_set_acl(struct inode *i, bool is_default, struct acl *a)
{
    const struct ovl_super *os = ovl_sb(i->sb);
    struct inode *real = os->upper.dentry ? os->upper.dentry->inode : NULL;
    if (!real)
        return -LX_EROFS;
    if (!real->ops->set_acl)
        return -LX_EOPNOTSUPP;
    if (!a && !ovl_has_upper(ovl_node(i)) && !(is_default ? i->default_acl : i->acl))
        return -LX_ENODATA; /* no reason to copy up */
    int r = ovl_copy_up(i, UINT64_MAX);
    if (r < 0)
        return r;
    real = ovl_node(i)->upper.dentry->inode;
    mutex_lock(&real->lock);
    r = real->ops->set_acl ? real->ops->set_acl(real, is_default, a) : -LX_EOPNOTSUPP;
    mutex_unlock(&real->lock);
    if (r == 0)
        ovl_mirror(i);
    return r;
}

s64 ovl_listxattr(struct inode *i, char *buf, size_t size)
{
    struct ovl_super *os = ovl_sb(i->sb);
    struct inode *real = ovl_real(ovl_node(i))->dentry->inode;
    if (!real->ops->listxattr)
        return -LX_EOPNOTSUPP;
    s64 n = real->ops->listxattr(real, NULL, 0);
    if (n <= 0)
        return n;
    n = MIN(n + 4096, (s64)LX_XATTR_LIST_MAX + 4096);
    char *all = malloc((size_t)n + 1);
    if (!all)
        return -LX_ENOMEM;
    n = real->ops->listxattr(real, all, (size_t)n);
    s64 used = n < 0 ? n : 0;
    for (s64 at = 0; used >= 0 && at < n;) {
        all[n] = '\0';
        size_t len = strlen(all + at) + 1;
        if (!ovl_is_mark(os, all + at)) {
            if (size > 0 && (size_t)used + len > size) {
                used = -LX_ERANGE;
                break;
            }
            if (size > 0)
                memcpy(buf + used, all + at, len);
            used += (s64)len;
        }
        at += (s64)len;
    }
    free(all);
    return used;
}

const struct inode_ops ovl_inode_iops = {.readlink = ovl_readlink, OVL_ATTR_OPS};
