/*
 * Copies of mount trees, and what attaching and detaching does elsewhere:
 * the rules of mount_namespaces(7). The group numbers are explained in mount.c.
 */
#include <stdlib.h>

#include "base/log.h"
#include "vfs/file.h"
#include "vfs/internal.h"
#include "vfs/mount.h"
#include "vfs/vfs.h"

#define MAX_PROPAGATION_DEPTH 32
#define MAX_GROUPS            64

/* The next in pre-order that is not below m. */
static struct mount *tree_skip(struct mount *m, struct mount *top)
{
    while (m != top) {
        if (m->sibling.next != &m->parent->children)
            return list_entry(m->sibling.next, struct mount, sibling);
        m = m->parent;
    }
    return NULL;
}

static u32 tree_count(struct mount *top)
{
    u32 n = 0;
    for (struct mount *m = top; m; m = mount_tree_next(m, top))
        n++;
    return n;
}

/* Frees a detached tree that was never seen by anybody. */
static void tree_free(struct mount *top)
{
    struct list gone;
    list_init(&gone);
    mount_tree_dissolve(top, false, &gone);
    mount_put_gone(&gone);
    mount_put(top);
}

/* A copy with the same propagation. */
static struct mount *clone_peer(struct mount *old, struct dentry *root)
{
    struct mount *m = mount_clone(old, root);
    if (m) {
        mount_set_peer(m, old->peer_group);
        mount_set_master(m, old->master_group);
    }
    return m;
}

int mount_copy_tree(struct mount *m, struct dentry *root, u32 flags, struct mount **ret_top)
{
    struct mount *top = clone_peer(m, root);
    if (!top)
        return -LX_ENOMEM;
    m->scratch = top;
    struct mount *s = flags & MOUNT_COPY_TOP_ONLY ? NULL : mount_tree_next(m, m);
    while (s) {
        bool is_outside = s->parent == m && !dentry_is_ancestor(root, s->mountpoint);
        if (is_outside || (s->is_unbindable && !(flags & MOUNT_COPY_UNBINDABLE))) {
            s = tree_skip(s, m);
            continue;
        }
        struct mount *c = clone_peer(s, s->root);
        if (!c) {
            tree_free(top);
            return -LX_ENOMEM;
        }
        s->scratch = c;
        mount_link(c, s->parent->scratch, s->mountpoint);
        s = mount_tree_next(s, m);
    }
    *ret_top = top;
    return 0;
}

struct propagation {
    struct list copies; /* tops by ns_node; scratch: the mount that each goes on */
    u32 ncopies, tree_size;
    u64 stamp; /* of the groups that got copies */
    struct dentry *at;
};

static int add_copy(struct propagation *p, struct mount *src, struct mount *dst, bool is_slave,
                    struct mount **ret_top)
{
    struct mount *top;
    if (dst->ns->nmounts + (u64)p->tree_size * (p->ncopies + 2) > (u64)vfs_mount_max)
        return -LX_ENOSPC;
    struct mount *target = src->scratch; /* src may be a copy that waits for its place */
    int r = mount_copy_tree(src, src->root, MOUNT_COPY_UNBINDABLE, &top);
    src->scratch = target;
    if (r < 0)
        return r;
    for (struct mount *m = top; is_slave && m; m = mount_tree_next(m, top)) {
        mount_set_master(m, m->peer_group);
        mount_set_peer(m, dst->peer_group ? mount_new_group() : 0);
    }
    top->scratch = dst;
    if (dst->peer_group)
        *mount_group_stamp(dst->peer_group) = p->stamp;
    list_add_tail(&p->copies, &top->ns_node);
    p->ncopies++;
    *ret_top = top;
    return 0;
}

static bool is_copied_to_group(const struct propagation *p, int group)
{
    return *mount_group_stamp(group) == p->stamp;
}

static bool is_reached(const struct propagation *p, struct mount *d)
{
    return d->ns && d->sb == p->at->sb && dentry_is_ancestor(d->root, p->at);
}

/* Copies of src for all peers of group g but `skip`, and for its slaves. */
static int propagate(struct propagation *p, int g, struct mount *src, struct mount *skip, u32 depth)
{
    struct mount *d, *top;
    if (depth > MAX_PROPAGATION_DEPTH)
        return 0;
    list_for_each (d, mount_peers(g), peer_node) {
        int r = d != skip && is_reached(p, d) ? add_copy(p, src, d, false, &top) : 0;
        if (r < 0)
            return r;
    }
    list_for_each (d, mount_slaves(g), slave_node) {
        if (!is_reached(p, d) || (d->peer_group && is_copied_to_group(p, d->peer_group)))
            continue;
        int r = add_copy(p, src, d, true, &top);
        if (r == 0 && d->peer_group)
            r = propagate(p, d->peer_group, top, d, depth + 1);
        if (r < 0)
            return r;
    }
    return 0;
}

int mount_attach_locked(struct mount *m, struct mount *parent, struct dentry *d)
{
    static u64 last_stamp; /* guarded by mount_lock */
    struct propagation p = {.at = d, .tree_size = tree_count(m), .stamp = ++last_stamp};
    struct mount *top;
    int r = 0;
    list_init(&p.copies);
    /* Detached while the caller walked there: nothing would hold what is attached to it. */
    if (!parent->ns)
        return -LX_EINVAL;
    bool is_moving = parent->ns && m->ns == parent->ns;
    if (parent->ns && parent->ns->nmounts + (is_moving ? 0 : p.tree_size) > (u64)vfs_mount_max)
        return -LX_ENOSPC;
    if (parent->ns && parent->peer_group) {
        for (struct mount *x = m; x; x = mount_tree_next(x, m)) {
            if (!x->peer_group)
                mount_set_peer(x, mount_new_group());
        }
        r = propagate(&p, parent->peer_group, m, parent, 0);
    }
    if (r == 0) {
        /* First, while its tree is small: linking may put a long stack of older mounts on it. */
        if (parent->ns)
            mount_tree_enter_ns(m, parent->ns);
        mount_link(m, parent, d);
    }
    while ((top = list_first(&p.copies, struct mount, ns_node))) {
        list_del(&top->ns_node);
        if (r < 0) {
            tree_free(top);
            continue;
        }
        struct mount *dst = top->scratch;
        if (parent->ns && dst->ns->user_ns != parent->ns->user_ns) {
            for (struct mount *x = top; x; x = mount_tree_next(x, top))
                mount_lock_one(x);
            top->is_locked = false;
        }
        mount_tree_enter_ns(top, dst->ns);
        mount_link(top, dst, d);
        mount_put(top); /* the tree has its own */
    }
    return r;
}

/* ---- detaching ----------------------------------------------------------------------------- */

/* The places (group, dentry) that were looked at already; old ones are forgotten. */
struct visited {
    int group[64];
    struct dentry *at[64];
    u32 n;
};

static bool visit(struct visited *v, int group, struct dentry *at)
{
    for (u32 i = 0; i < MIN(v->n, 64U); i++) {
        if (v->group[i] == group && v->at[i] == at)
            return false;
    }
    v->group[v->n % 64] = group;
    v->at[v->n % 64] = at;
    v->n++;
    return true;
}

/* A copy goes with its original unless something else is mounted on it. */
static bool goes_along(const struct mount *c, const struct mount *x)
{
    struct mount *k;
    if (c->is_marked || c->root != x->root)
        return false;
    list_for_each (k, &c->children, sibling) {
        if (!k->is_marked)
            return false;
    }
    return true;
}

static void find_copy_on(struct mount *d, struct mount *x, struct mount **found)
{
    struct mount *c = mount_on_rcu(d, x->mountpoint);
    if (c && goes_along(c, x)) {
        c->is_marked = true;
        c->scratch = *found;
        *found = c;
    }
}

/* Marks and collects (by scratch) what the removal of x from its parent propagates to. */
static void find_copies(struct mount *x, struct mount **found)
{
    int groups[MAX_GROUPS] = {x->parent->peer_group};
    u32 ngroups = 1;
    struct mount *d;
    for (u32 i = 0; i < ngroups; i++) {
        list_for_each (d, mount_peers(groups[i]), peer_node)
            find_copy_on(d, x, found);
        list_for_each (d, mount_slaves(groups[i]), slave_node) {
            find_copy_on(d, x, found);
            bool is_new = d->peer_group != 0;
            for (u32 j = 0; j < ngroups; j++)
                is_new &= groups[j] != d->peer_group;
            if (is_new && ngroups < MAX_GROUPS)
                groups[ngroups++] = d->peer_group;
        }
    }
}

void mount_detach_locked(struct mount *m, struct list *gone)
{
    struct mount *found = NULL, *x;
    struct visited v = {.n = 0};
    u32 n = tree_count(m), i = 0;
    struct mount **tree = malloc(n * sizeof(struct mount *)); /* without it, nothing propagates */
    for (x = m; x; x = mount_tree_next(x, m)) {
        x->is_marked = true;
        if (tree)
            tree[i++] = x;
    }
    while (i > 0) { /* leaves first */
        x = tree[--i];
        if (x->parent && x->parent->peer_group && visit(&v, x->parent->peer_group, x->mountpoint))
            find_copies(x, &found);
    }
    free(tree);
    mount_tree_dissolve(m, true, gone);
    while (found) {
        x = found;
        found = x->scratch;
        if (x->ns) /* else it went with one below it */
            mount_tree_dissolve(x, true, gone);
    }
}
