/*
 * Overlay nodes: which layer objects a name stands for, and the identity of what
 * has several names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fs/overlay_int.h"
#include "vfs/special.h"

/* ---- marks and numbers --------------------------------------------------------------------- */

static const char *mark_name(const struct ovl_super *os, const char *name, char buf[64])
{
    snprintf(buf, 64, "%s%s", os->prefix, name);
    return buf;
}

s64 ovl_get_mark(struct ovl_super *os, struct inode *real, const char *name, void *val, size_t size)
{
    char buf[64];
    if (!real->ops->getxattr)
        return -LX_ENODATA;
    return real->ops->getxattr(real, mark_name(os, name, buf), val, size);
}

int ovl_set_mark(struct ovl_super *os, struct inode *real, const char *name, const void *val,
                 size_t size)
{
    char buf[64];
    if (!real->ops->setxattr)
        return -LX_EOPNOTSUPP;
    MUTEX_GUARD(&real->lock);
    return real->ops->setxattr(real, mark_name(os, name, buf), val, size, 0);
}

bool ovl_is_mark(const struct ovl_super *os, const char *xattr)
{
    return !strncmp(xattr, os->prefix, strlen(os->prefix));
}

/* Layers are told apart by high bits that numbers of one file system hardly reach. */
u64 ovl_lower_ino(struct ovl_super *os, u32 layer, u64 ino)
{
    return ino ^ (u64)layer << 48;
}

struct origin { /* what a copied-up object was, for its number */
    u64 dev, ino;
};

static bool get_origin(struct ovl_super *os, struct inode *real, struct origin *o)
{
    return ovl_get_mark(os, real, "origin", o, sizeof(*o)) == (s64)sizeof(*o);
}

u64 ovl_upper_ino(struct ovl_super *os, struct inode *real)
{
    struct origin o;
    if (get_origin(os, real, &o))
        return o.ino;
    return ovl_lower_ino(os, os->nlowers, real->ino);
}

bool ovl_is_whiteout(const struct ovl_super *os, const struct inode *real, bool is_upper)
{
    if ((real->mode & LX_S_IFMT) != LX_S_IFCHR)
        return false;
    if (is_upper && os->is_private)
        return real->flags & INODE_WHITEOUT;
    if (os->is_private && os->nlowers == 1)
        return false;
    return real->rdev == 0;
}

/* ---- nodes --------------------------------------------------------------------------------- */

static u32 layer_of(const struct ovl_super *os, const struct path *lower)
{
    for (u32 k = 0; k < os->nlowers; k++) {
        if (os->lowers[k].mnt == lower->mnt)
            return k;
    }
    return 0;
}

static struct list *bucket_of(struct ovl_super *os, const struct inode *lower)
{
    return &os->by_lower[((uintptr_t)lower >> 6) % OVL_NBUCKETS];
}

static bool has_many_names(const struct inode *lower)
{
    return !ovl_is_dir(lower) && atomic_load(&((struct inode *)(uintptr_t)lower)->nlink) > 1;
}

/* The live inode for these objects, referenced. table_lock held. */
static struct inode *find_locked(struct super *sb, const struct path *upper,
                                 const struct path *lower, u32 nlower)
{
    struct ovl_super *os = ovl_sb(sb);
    if (upper->dentry) {
        struct inode *i = upper->dentry->inode->stacked;
        /* Another overlay may have been given the same upper directory, against the rules. */
        return i && i->sb == sb && ref_get_unless_zero(&i->ref) ? i : NULL;
    }
    if (nlower == 0 || !has_many_names(lower[0].dentry->inode))
        return NULL;
    struct ovl_node *n;
    list_for_each (n, bucket_of(os, lower[0].dentry->inode), bucket) {
        if (n->nlower > 0 && n->lower[0].dentry->inode == lower[0].dentry->inode &&
            ref_get_unless_zero(&n->inode->ref))
            return n->inode;
    }
    return NULL;
}

static void paths_free(struct path *p, u32 n)
{
    for (u32 k = 0; k < n; k++)
        path_put(&p[k]);
    free(p);
}

static void node_free(struct ovl_node *n)
{
    if (!n)
        return;
    path_put(&n->upper);
    paths_free(n->lower, n->nlower);
    inode_put(n->parent);
    free(n);
}

void ovl_evict(struct inode *i)
{
    struct ovl_node *n = ovl_node(i);
    struct ovl_super *os = ovl_sb(i->sb);
    if (!n)
        return;
    mutex_lock(&os->table_lock);
    list_del(&n->bucket);
    if (n->has_upper && n->upper.dentry->inode->stacked == i)
        n->upper.dentry->inode->stacked = NULL;
    mutex_unlock(&os->table_lock);
    i->priv = NULL;
    /* Parents are chained: a deep path must not take a deep stack. */
    static _Thread_local struct inode *pending;
    static _Thread_local bool is_running;
    struct inode *parent = take_ptr(n->parent);
    node_free(n);
    if (is_running) {
        pending = parent;
        return;
    }
    is_running = true;
    while (parent) {
        pending = NULL;
        inode_put(parent);
        parent = pending;
    }
    is_running = false;
}

static struct ktime zero_time(void)
{
    return (struct ktime){0, 0};
}

/* What stat and the number come from: the real object, and the origin of a copy. */
static int node_identity(struct ovl_super *os, struct super *sb, struct ovl_node *n)
{
    struct kstat st;
    struct origin o;
    bool is_upper = n->has_upper;
    const struct path *real = ovl_real(n);
    int r = ovl_real_stat(real, &st);
    if (r < 0)
        return r;
    n->has_btime = st.has_btime;
    n->btime = st.has_btime ? st.btime : zero_time();
    n->blksize = st.blksize;
    n->dev = sb->dev;
    if (is_upper) {
        n->ino = ovl_lower_ino(os, os->nlowers, st.ino);
        if (get_origin(os, real->dentry->inode, &o)) {
            n->ino = o.ino;
            n->dev = o.dev ? o.dev : sb->dev;
        }
        if (ovl_is_dir(real->dentry->inode)) {
            char c;
            n->is_impure = ovl_get_mark(os, real->dentry->inode, "impure", &c, 1) == 1;
        }
    } else {
        n->ino = ovl_lower_ino(os, layer_of(os, real), st.ino);
        /* A mount inside the exported tree keeps a device of its own. */
        if (st.dev != real->dentry->sb->dev)
            n->dev = st.dev;
    }
    return 0;
}

static const struct inode_ops *iops_of(u32 mode)
{
    return (mode & LX_S_IFMT) == LX_S_IFDIR ? &ovl_dir_iops : &ovl_inode_iops;
}

static const struct file_ops *fops_of(u32 mode)
{
    switch (mode & LX_S_IFMT) {
    case LX_S_IFDIR:
        return &ovl_dir_fops;
    case LX_S_IFREG:
        return &ovl_file_fops;
    default:
        return special_fops(mode);
    }
}

/* Takes over the paths. NULL: out of memory; they are put. */
static struct ovl_node *node_alloc(const struct ovl_super *os, struct inode *parent,
                                   struct path *upper, struct path *lower, u32 nlower)
{
    static const char *const node_class[OVL_MAX_DEPTH + 1] = {
        "ovl_node", "ovl_node.1", "ovl_node.2", "ovl_node.3", "ovl_node.4"};
    struct ovl_node *n = calloc(1, sizeof(*n));
    if (!n) {
        path_put(upper);
        paths_free(lower, nlower);
        return NULL;
    }
    list_init(&n->bucket);
    mutex_init(&n->lock, node_class[MIN(os->depth, OVL_MAX_DEPTH + 0U)]);
    n->upper = *upper;
    n->has_upper = upper->dentry != NULL;
    *upper = (struct path){0};
    n->lower = lower;
    n->nlower = nlower;
    if (parent && !n->has_upper) {
        inode_get(parent);
        n->parent = parent;
    }
    return n;
}

int ovl_make(struct super *sb, struct inode *parent, struct path *upper, struct path *lower,
             u32 nlower, struct inode **ret_i)
{
    struct ovl_super *os = ovl_sb(sb);
    mutex_lock(&os->table_lock);
    struct inode *i = find_locked(sb, upper, lower, nlower), *old;
    mutex_unlock(&os->table_lock);
    if (i) {
        path_put(upper);
        paths_free(lower, nlower);
        *ret_i = i;
        return 0;
    }
    struct ovl_node *n = node_alloc(os, parent, upper, lower, nlower);
    if (!n)
        return -LX_ENOMEM;
    int r = node_identity(os, sb, n);
    struct inode *real = ovl_real(n)->dentry->inode;
    i = r == 0 ? inode_new(sb, n->ino, real->mode, iops_of(real->mode), fops_of(real->mode)) : NULL;
    if (!i) {
        node_free(n);
        return r < 0 ? r : -LX_ENOMEM;
    }
    n->inode = i;
    i->priv = n;
    i->rdev = real->rdev;
    n->has_own_nlink = !n->has_upper && has_many_names(real);
    atomic_store(&i->nlink, real->nlink);
    ovl_mirror(i);
    mutex_lock(&os->table_lock);
    old = find_locked(sb, &n->upper, n->lower, n->nlower);
    if (!old) {
        if (n->has_upper)
            real->stacked = i;
        else if (n->has_own_nlink)
            list_add_head(bucket_of(os, real), &n->bucket);
    }
    mutex_unlock(&os->table_lock);
    if (old) {
        inode_put(i);
        i = old;
    }
    *ret_i = i;
    return 0;
}

void ovl_pin(struct inode *i)
{
    if (ovl_node(i)->is_pinned)
        return;
    ovl_node(i)->is_pinned = true;
    inode_get(i);
}

void ovl_unpin(struct inode *i)
{
    if (!ovl_node(i)->is_pinned)
        return;
    ovl_node(i)->is_pinned = false;
    inode_put(i);
}

/* ---- lookup -------------------------------------------------------------------------------- */

int ovl_child(const struct path *dir, const char *name, size_t size, struct path *ret_p)
{
    struct dentry *d;
    *ret_p = (struct path){0};
    int r = dentry_lookup(dir->dentry, name, size, &d);
    if (r < 0)
        return r == -LX_ENOENT || r == -LX_ENOTDIR ? 0 : r;
    if (!d->inode) {
        dentry_put(d);
        return 0;
    }
    mount_get(dir->mnt);
    *ret_p = (struct path){dir->mnt, d};
    return 0;
}

static bool is_opaque(struct ovl_super *os, const struct path *p)
{
    char c = 0;
    return ovl_get_mark(os, p->dentry->inode, "opaque", &c, 1) == 1 && c == 'y';
}

struct stack {
    struct path upper;
    struct path *lower; /* room for all layers */
    u32 nlower;
    bool is_done;
};

static void stack_free(struct stack *s)
{
    path_put(&s->upper);
    paths_free(s->lower, s->nlower);
    s->lower = NULL;
    s->nlower = 0;
}

/* What one lower directory has to say about a name. More may come from the next. */
static int look_lower(struct ovl_super *os, struct stack *s, const struct path *dir,
                      const char *name, size_t size, bool is_last)
{
    struct path p;
    int r = ovl_child(dir, name, size, &p);
    if (r < 0 || !p.dentry)
        return r;
    struct inode *i = p.dentry->inode;
    bool is_found = s->upper.dentry || s->nlower > 0;
    if (ovl_is_whiteout(os, i, false) || (is_found && !ovl_is_dir(i))) {
        s->is_done = true;
        path_put(&p);
        return 0;
    }
    s->lower[s->nlower++] = p;
    s->is_done = !ovl_is_dir(i) || (!is_last && is_opaque(os, &p));
    return 0;
}

/* Lowers of a directory that was renamed: the mark is its path from the layers' roots. */
static int look_redirect(struct ovl_super *os, struct stack *s, const char *to)
{
    for (u32 k = 0; k < os->nlowers && !s->is_done; k++) {
        struct path p = os->lowers[k];
        path_get(&p);
        for (const char *c = to; *c && p.dentry;) {
            while (*c == '/')
                c++;
            size_t n = strcspn(c, "/");
            struct path next = {0};
            int r = n ? ovl_child(&p, c, n, &next) : 0;
            if (n == 0)
                break;
            path_put(&p);
            if (r < 0)
                return r;
            p = next;
            c += n;
        }
        if (!p.dentry)
            continue;
        if (!ovl_is_dir(p.dentry->inode)) {
            path_put(&p);
            break;
        }
        s->lower[s->nlower++] = p;
        s->is_done = k + 1 < os->nlowers && is_opaque(os, &p);
    }
    return 0;
}

/* The upper layer's word: *ret_is_gone when it is a whiteout. */
static int look_upper(struct ovl_super *os, struct stack *s, struct ovl_node *dn, const char *name,
                      size_t size, bool *ret_is_gone)
{
    *ret_is_gone = false;
    int r = ovl_child(&dn->upper, name, size, &s->upper);
    if (r < 0 || !s->upper.dentry)
        return r;
    struct inode *i = s->upper.dentry->inode;
    if (ovl_is_whiteout(os, i, true)) {
        *ret_is_gone = true;
        path_put(&s->upper);
    } else if (!ovl_is_dir(i)) {
        s->is_done = true;
    } else if (os->nlowers > 0 && is_opaque(os, &s->upper)) {
        s->is_done = true;
    }
    return 0;
}

static int look(struct ovl_super *os, struct ovl_node *dn, const char *name, size_t size,
                struct stack *s)
{
    bool is_gone = false;
    char to[MAX_PATH];
    int r = 0;
    if (ovl_has_upper(dn))
        r = look_upper(os, s, dn, name, size, &is_gone);
    if (r < 0 || is_gone || s->is_done)
        return r;
    bool is_upper_dir = s->upper.dentry != NULL;
    if (is_upper_dir) {
        s64 n = ovl_get_mark(os, s->upper.dentry->inode, "redirect", to, sizeof(to) - 1);
        if (n > 0) {
            to[n] = '\0';
            return look_redirect(os, s, to);
        }
    }
    for (u32 k = 0; k < dn->nlower && !s->is_done; k++) {
        r = look_lower(os, s, &dn->lower[k], name, size, k + 1 == dn->nlower);
        if (r < 0)
            return r;
    }
    return 0;
}

int ovl_lookup(struct inode *dir, struct dentry *d)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    struct stack s = {.lower = NULL};
    struct inode *i;
    s.lower = calloc(os->nlowers ? os->nlowers : 1, sizeof(*s.lower));
    if (!s.lower)
        return -LX_ENOMEM;
    int r = look(os, ovl_node(dir), d->name, d->name_size, &s);
    if (r < 0 || (!s.upper.dentry && s.nlower == 0)) {
        stack_free(&s);
        return r;
    }
    r = ovl_make(dir->sb, dir, &s.upper, s.lower, s.nlower, &i);
    if (r == 0)
        dentry_instantiate(d, i);
    return r;
}

/* With a lower layer that changes under us: does the name still stand for the same. */
static int ovl_revalidate(struct dentry *d)
{
    char name[LX_NAME_MAX + 1];
    struct inode *i = d->inode, *want = NULL;
    struct ovl_node *n = i ? ovl_node(i) : NULL;
    struct path p = {0};
    int r = 0;
    if (d->parent == d || (n && (ovl_has_upper(n) || n->nlower == 0)))
        return 1;
    size_t size;
    struct dentry *parent = dentry_get_place(d, name, &size);
    struct ovl_node *pn = ovl_node(parent->inode);
    if (n)
        want = n->lower[0].dentry->inode;
    for (u32 k = 0; r == 0 && k < pn->nlower && !p.dentry; k++)
        r = ovl_child(&pn->lower[k], name, size, &p);
    if (r == 0 && !want && p.dentry && ovl_has_upper(pn))
        r = 0; /* a whiteout may cover it: look again */
    else if (r == 0)
        r = want == (p.dentry ? p.dentry->inode : NULL);
    if (r == 1 && n && !(n->lower[0].dentry->is_hashed))
        r = 0;
    if (r == 1 && i && !ovl_is_dir(i))
        ovl_mirror(i);
    path_put(&p);
    dentry_put(parent);
    return r;
}

const struct dentry_ops ovl_shared_dops = {.revalidate = ovl_revalidate};

int ovl_has_lower_name(struct inode *dir, const char *name, size_t size)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    struct ovl_node *n = ovl_node(dir);
    for (u32 k = 0; k < n->nlower; k++) {
        struct path p;
        int r = ovl_child(&n->lower[k], name, size, &p);
        if (r < 0)
            return r;
        if (!p.dentry)
            continue;
        bool is_white = ovl_is_whiteout(os, p.dentry->inode, false);
        path_put(&p);
        return !is_white;
    }
    return 0;
}
