/*
 * tmpfs directories: names by hash for lookup, by cookie for readdir. A cookie
 * is given once and never again in a directory, so a position stays right
 * whatever is made and removed meanwhile: telldir and seekdir are exact.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/tmpfs_int.h"
#include "vfs/special.h"

#define COOKIE_FIRST 2  /* 0 is ".", 1 is ".." */
#define DIRENT_SIZE  20 /* what Linux's tmpfs counts an entry as, in st_size */

void tmpfs_dir_init(struct tmpfs_dir *d)
{
    memset(d, 0, sizeof(*d));
    d->next_cookie = COOKIE_FIRST;
}

/*
 * Entries of a directory that goes, and of the directories that go with it: each inode_put below
 * may come back here for a subdirectory, which only adds its entries to the list.
 */
void tmpfs_dir_done(struct tmpfs_dir *d)
{
    static _Thread_local struct tmpfs_dirent *pending;
    static _Thread_local bool is_running;
    struct rb_node *n;
    while ((n = d->by_cookie.root)) {
        struct tmpfs_dirent *e = rb_entry(n, struct tmpfs_dirent, rb);
        rb_erase(&d->by_cookie, n);
        e->next = pending;
        pending = e;
    }
    free(d->buckets);
    d->buckets = NULL;
    if (is_running)
        return;
    is_running = true;
    while (pending) {
        struct tmpfs_dirent *e = pending;
        pending = e->next;
        inode_put(e->inode);
        free(e);
    }
    is_running = false;
}

static struct tmpfs_dirent **bucket_of(struct tmpfs_dir *d, u32 hash)
{
    return &d->buckets[hash & (d->nbuckets - 1)];
}

static struct tmpfs_dirent *find(struct tmpfs_dir *d, const struct dentry *name)
{
    if (d->nbuckets == 0)
        return NULL;
    for (struct tmpfs_dirent *e = *bucket_of(d, name->hash); e; e = e->next) {
        if (e->hash == name->hash && e->name_size == name->name_size &&
            !memcmp(e->name, name->name, e->name_size))
            return e;
    }
    return NULL;
}

static int grow(struct tmpfs_dir *d)
{
    u32 n = d->nbuckets ? d->nbuckets * 2 : 4;
    if (n > 1U << 24)
        return 0;
    struct tmpfs_dirent **old = d->buckets, **b = calloc(n, sizeof(struct tmpfs_dirent *));
    if (!b)
        return d->nbuckets ? 0 : -LX_ENOSPC;
    u32 nold = d->nbuckets;
    d->buckets = b;
    d->nbuckets = n;
    for (u32 i = 0; i < nold; i++) {
        struct tmpfs_dirent *e = old[i], *next;
        for (; e; e = next) {
            next = e->next;
            struct tmpfs_dirent **link = bucket_of(d, e->hash);
            e->next = *link;
            *link = e;
        }
    }
    free(old);
    return 0;
}

static void hash_insert(struct tmpfs_dir *d, struct tmpfs_dirent *e)
{
    struct tmpfs_dirent **link = bucket_of(d, e->hash);
    e->next = *link;
    *link = e;
}

static void hash_remove(struct tmpfs_dir *d, struct tmpfs_dirent *e)
{
    struct tmpfs_dirent **link = bucket_of(d, e->hash);
    while (*link != e)
        link = &(*link)->next;
    *link = e->next;
}

/* A new last entry. Consumes the inode's reference on success. */
static int add(struct inode *dir, const struct dentry *name, struct inode *i)
{
    struct tmpfs_dir *d = &tmpfs_node(dir)->dir;
    if (d->count >= d->nbuckets) {
        int r = grow(d);
        if (r < 0)
            return r;
    }
    struct tmpfs_dirent *e = malloc(sizeof(*e) + name->name_size + 1);
    if (!e)
        return -LX_ENOSPC;
    e->cookie = d->next_cookie++;
    e->inode = i;
    e->hash = name->hash;
    e->name_size = name->name_size;
    memcpy(e->name, name->name, name->name_size + 1U);
    struct rb_node **link = &d->by_cookie.root, *parent = NULL;
    while (*link) {
        parent = *link;
        link = &parent->right; /* the highest cookie so far */
    }
    rb_link(&d->by_cookie, &e->rb, parent, link);
    hash_insert(d, e);
    d->count++;
    atomic_store(&dir->size, (u64)(d->count + 2) * DIRENT_SIZE);
    return 0;
}

/* Takes the entry out; the inode's reference is the caller's. */
static struct inode *take(struct inode *dir, struct tmpfs_dirent *e)
{
    struct tmpfs_dir *d = &tmpfs_node(dir)->dir;
    struct inode *i = e->inode;
    hash_remove(d, e);
    rb_erase(&d->by_cookie, &e->rb);
    d->count--;
    atomic_store(&dir->size, (u64)(d->count + 2) * DIRENT_SIZE);
    free(e);
    return i;
}

static bool is_dir(const struct inode *i)
{
    return (i->mode & LX_S_IFMT) == LX_S_IFDIR;
}

/* ---- operations ---------------------------------------------------------------------------- */

static int dir_lookup(struct inode *dir, struct dentry *d)
{
    struct tmpfs_dirent *e = find(&tmpfs_node(dir)->dir, d);
    if (e) {
        inode_get(e->inode);
        dentry_instantiate(d, e->inode);
    }
    return 0;
}

static int make(struct inode *dir, struct dentry *d, u32 mode, u64 rdev, const char *target)
{
    struct inode *i;
    int r = tmpfs_inode_new(dir->sb, dir, mode, rdev, &i);
    if (r < 0)
        return r;
    r = tmpfs_inherit_acl(i, dir);
    if (r == 0 && target) {
        i->link = strdup(target);
        atomic_store(&i->size, strlen(target));
        r = i->link ? 0 : -LX_ENOSPC;
        if (r == 0 && i->size >= TMPFS_SHORT_LINK) {
            r = tmpfs_charge_pages(tmpfs_sb(i->sb), 1);
            tmpfs_node(i)->link_pages = r == 0;
        }
    }
    if (r == 0)
        r = add(dir, d, i);
    if (r < 0) {
        atomic_store(&i->nlink, 0);
        inode_put(i);
        return r;
    }
    if (is_dir(i)) {
        tmpfs_node(i)->dir.parent_ino = dir->ino;
        atomic_fetch_add(&dir->nlink, 1);
    }
    inode_touch(dir, false, true, true);
    inode_get(i);
    dentry_instantiate(d, i);
    return 0;
}

static int dir_create(struct inode *dir, struct dentry *d, u32 mode)
{
    return make(dir, d, mode, 0, NULL);
}

static int dir_mknod(struct inode *dir, struct dentry *d, u32 mode, u64 rdev)
{
    return make(dir, d, mode, rdev, NULL);
}

static int dir_mkdir(struct inode *dir, struct dentry *d, u32 mode)
{
    return make(dir, d, mode, 0, NULL);
}

static int dir_symlink(struct inode *dir, struct dentry *d, const char *target)
{
    return make(dir, d, LX_S_IFLNK | 0777, 0, target);
}

static int dir_tmpfile(struct inode *dir, u32 mode, struct inode **ret_i)
{
    struct inode *i;
    int r = tmpfs_inode_new(dir->sb, dir, mode, 0, &i);
    if (r < 0)
        return r;
    atomic_store(&i->nlink, 0);
    r = tmpfs_inherit_acl(i, dir);
    if (r < 0)
        inode_put(i);
    else
        *ret_i = i;
    return r;
}

static int dir_link(struct inode *dir, struct dentry *d, struct inode *target)
{
    struct tmpfs_super *ts = tmpfs_sb(dir->sb);
    /* Linux charges every name but the first. */
    bool is_first = atomic_load(&target->nlink) == 0;
    int r = is_first ? 0 : tmpfs_charge_inode(ts);
    if (r < 0)
        return r;
    r = add(dir, d, target);
    if (r < 0) {
        if (!is_first)
            tmpfs_uncharge_inode(ts);
        return r;
    }
    inode_get(target); /* the entry's */
    inode_get(target); /* the dentry's */
    atomic_fetch_add(&target->nlink, 1);
    inode_touch(target, false, false, true);
    inode_touch(dir, false, true, true);
    dentry_instantiate(d, target);
    return 0;
}

/* The inode of a removed entry loses a name. */
static void drop_link(struct inode *i)
{
    inode_touch(i, false, false, true);
    if (is_dir(i)) {
        atomic_store(&i->nlink, 0);
    } else if (atomic_fetch_sub(&i->nlink, 1) > 1) {
        tmpfs_uncharge_inode(tmpfs_sb(i->sb));
    }
    inode_put(i);
}

static int dir_unlink(struct inode *dir, struct dentry *d)
{
    struct tmpfs_dirent *e = find(&tmpfs_node(dir)->dir, d);
    if (!e)
        return -LX_ENOENT;
    struct inode *i = take(dir, e);
    inode_touch(dir, false, true, true);
    drop_link(i);
    return 0;
}

static int dir_rmdir(struct inode *dir, struct dentry *d)
{
    struct tmpfs_dirent *e = find(&tmpfs_node(dir)->dir, d);
    if (!e)
        return -LX_ENOENT;
    if (tmpfs_node(e->inode)->dir.count > 0)
        return -LX_ENOTEMPTY;
    struct inode *i = take(dir, e);
    atomic_fetch_sub(&dir->nlink, 1);
    inode_touch(dir, false, true, true);
    drop_link(i);
    return 0;
}

static void moved_dir(struct inode *i, struct inode *odir, struct inode *ndir)
{
    if (!is_dir(i) || odir == ndir)
        return;
    tmpfs_node(i)->dir.parent_ino = ndir->ino;
    atomic_fetch_sub(&odir->nlink, 1);
    atomic_fetch_add(&ndir->nlink, 1);
}

static void rename_times(struct inode *odir, struct inode *ndir, struct inode *i,
                         struct inode *other)
{
    inode_touch(odir, false, true, true);
    inode_touch(ndir, false, true, true);
    inode_touch(i, false, false, true);
    if (other)
        inode_touch(other, false, false, true);
}

static int dir_rename(struct inode *odir, struct dentry *od, struct inode *ndir, struct dentry *nd,
                      u32 flags)
{
    struct tmpfs_dirent *oe = find(&tmpfs_node(odir)->dir, od);
    struct tmpfs_dirent *ne = find(&tmpfs_node(ndir)->dir, nd);
    struct inode *white = NULL;
    int r;
    if (!oe)
        return -LX_ENOENT;
    if (flags & LX_RENAME_EXCHANGE) {
        if (!ne)
            return -LX_ENOENT;
        struct inode *a = oe->inode, *b = ne->inode;
        oe->inode = b;
        ne->inode = a;
        moved_dir(a, odir, ndir);
        moved_dir(b, ndir, odir);
        rename_times(odir, ndir, a, b);
        return 0;
    }
    if (ne && is_dir(ne->inode) && tmpfs_node(ne->inode)->dir.count > 0)
        return -LX_ENOTEMPTY;
    if (flags & LX_RENAME_WHITEOUT) {
        r = tmpfs_inode_new(odir->sb, odir, LX_S_IFCHR, 0, &white);
        if (r < 0)
            return r;
    }
    struct inode *i = oe->inode, *replaced = NULL;
    if (ne) {
        replaced = ne->inode;
        ne->inode = i;
    } else {
        r = add(ndir, nd, i);
        if (r < 0) {
            if (white)
                atomic_store(&white->nlink, 0);
            inode_put(white);
            return r;
        }
    }
    if (white)
        oe->inode = white;
    else
        take(odir, oe);
    moved_dir(i, odir, ndir);
    rename_times(odir, ndir, i, NULL);
    if (replaced) {
        if (is_dir(replaced))
            atomic_fetch_sub(&ndir->nlink, 1);
        drop_link(replaced);
    }
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static struct tmpfs_dirent *first_at(struct tmpfs_dir *d, u64 cookie)
{
    struct rb_node *n = d->by_cookie.root;
    struct tmpfs_dirent *best = NULL;
    while (n) {
        struct tmpfs_dirent *e = rb_entry(n, struct tmpfs_dirent, rb);
        if (e->cookie >= cookie) {
            best = e;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

static u32 dt_of(u32 mode)
{
    return (mode & LX_S_IFMT) >> 12; /* DT_* are the type bits of the mode */
}

static int dir_readdir(struct file *f, struct dir_ctx *ctx)
{
    struct inode *dir = f->inode;
    struct tmpfs_dir *d = &tmpfs_node(dir)->dir;
    file_accessed(f);
    MUTEX_GUARD(&dir->lock);
    if (f->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, dir->ino, LX_S_IFDIR >> 12, 1))
            return 0;
        f->pos = 1;
    }
    if (f->pos == 1) {
        u64 parent = d->parent_ino, ino = parent ? parent : dir->ino;
        if (!ctx->emit(ctx, "..", 2, ino, LX_S_IFDIR >> 12, COOKIE_FIRST))
            return 0;
        f->pos = COOKIE_FIRST;
    }
    for (struct tmpfs_dirent *e = first_at(d, (u64)f->pos); e;) {
        s64 next = (s64)e->cookie + 1;
        if (!ctx->emit(ctx, e->name, e->name_size, e->inode->ino, dt_of(e->inode->mode), next))
            return 0;
        f->pos = next;
        struct rb_node *n = rb_next(&e->rb);
        e = n ? rb_entry(n, struct tmpfs_dirent, rb) : NULL;
    }
    return 0;
}

static int dir_fsync(struct file *f, bool is_data_only)
{
    return 0;
}

const struct file_ops tmpfs_dir_fops = {
    .ioctl = tmpfs_ioctl,
    .readdir = dir_readdir,
    .seek = cursor_seek,
    .fsync = dir_fsync,
};

const struct inode_ops tmpfs_dir_iops = {
    .lookup = dir_lookup,
    .create = dir_create,
    .mknod = dir_mknod,
    .mkdir = dir_mkdir,
    .symlink = dir_symlink,
    .link = dir_link,
    .unlink = dir_unlink,
    .rmdir = dir_rmdir,
    .rename = dir_rename,
    .tmpfile = dir_tmpfile,
    .getattr = tmpfs_getattr,
    .setattr = tmpfs_setattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
    .set_acl = tmpfs_set_acl,
};
