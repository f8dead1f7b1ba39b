/*
 * The mount trees: finding, attaching, detaching, namespaces.
 *
 * mount_lock guards all trees. Lookups ("what is mounted on this dentry of this
 * mount") take no lock: they read the hash in an epoch and check vfs_mount_seq.
 *
 * A namespace holds one reference to its root and a mount one to each mount on it
 * and to its own mountpoint; a mount has no reference to its parent, which cannot
 * leave before its children have. The top of a detached tree has its owner's reference only.
 *
 * Propagation (mount_namespaces(7)) goes by numbers: mounts of one peer_group
 * are peers, those whose master_group is g are slaves of group g. Differs from Linux:
 * chains of more than MAX_PROPAGATION_DEPTH slave groups get no events at the far end.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "base/log.h"
#include "vfs/file.h"
#include "vfs/internal.h"
#include "vfs/mount.h"
#include "vfs/vfs.h"

#define NBUCKETS 16384

struct rwlock mount_lock = RWLOCK_INIT("mount");
_Atomic u32 vfs_mount_seq;
_Atomic s64 vfs_mount_max = 100000;                    /* mounts a namespace */
static struct list *_Atomic buckets[NBUCKETS];         /* written under mount_lock */
static struct list all_mounts = LIST_INIT(all_mounts); /* those in a tree; guarded by mount_lock */
static _Atomic int next_id = 1;
static _Atomic u64 next_ns_ino = 0xf0000100U; /* as nsfs numbers look */

void path_get(const struct path *p)
{
    if (p->mnt)
        mount_get(p->mnt);
    if (p->dentry)
        dentry_get(p->dentry);
}

void path_put(struct path *p)
{
    struct path old = *p;
    *p = (struct path){0};
    dentry_put(old.dentry);
    mount_put(old.mnt);
}

/* ---- life cycle ---------------------------------------------------------------------------- */

struct mount *mount_new(struct super *sb, u32 flags)
{
    struct mount *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    ref_init(&m->ref);
    m->id = atomic_fetch_add(&next_id, 1);
    super_get(sb);
    m->sb = sb;
    m->root = sb->root;
    dentry_get(m->root);
    m->flags = flags;
    list_init(&m->children);
    list_init(&m->sibling);
    list_init(&m->ns_node);
    list_init(&m->all_node);
    list_init(&m->peer_node);
    list_init(&m->slave_node);
    return m;
}

void mount_get(struct mount *m)
{
    ref_get(&m->ref);
}

static void mount_free(struct epoch_node *n)
{
    free(container_of(n, struct mount, rcu));
}

/* Takes what is still mounted on a dying mount off it, onto the list. */
static void take_children(struct mount *m, struct list *work)
{
    struct mount *c;
    mount_tree_begin();
    while ((c = list_first(&m->children, struct mount, sibling))) {
        c->mountpoint = mount_unlink(c);
        list_add_tail(work, &c->ns_node);
    }
    mount_tree_end();
}

void mount_put(struct mount *m)
{
    struct list work;
    if (!m || !ref_put(&m->ref))
        return;
    list_init(&work);
    for (;;) {
        if (!list_empty(&m->children))
            take_children(m, &work);
        dentry_put(m->root);
        super_put(m->sb);
        epoch_defer(&m->rcu, mount_free);
        do {
            m = list_first(&work, struct mount, ns_node);
            if (!m)
                return;
            list_del(&m->ns_node);
            struct dentry *at = take_ptr(m->mountpoint);
            dentry_put(at);
        } while (!ref_put(&m->ref));
    }
}

/* A mount of the same super, showing `root`, with the same flags. */
struct mount *mount_clone(struct mount *old, struct dentry *root)
{
    struct mount *m = mount_new(old->sb, old->flags);
    if (!m)
        return NULL;
    dentry_put(m->root);
    dentry_get(root);
    m->root = root;
    m->is_unbindable = old->is_unbindable;
    m->is_locked = old->is_locked;
    m->locked_flags = old->locked_flags;
    return m;
}

int mount_want_write(const struct mount *m)
{
    return (m->flags & LX_MS_RDONLY) || (m->sb->flags & SB_RDONLY) ? -LX_EROFS : 0;
}

/* ---- the hash ------------------------------------------------------------------------------ */

static struct list *_Atomic *bucket_of(const struct mount *parent, const struct dentry *d)
{
    u64 h = ((uintptr_t)parent >> 4) * 0x9e3779b97f4a7c15ULL + ((uintptr_t)d >> 4);
    h *= 0xd6e8feb86659fd93ULL;
    return &buckets[(h >> 32) % NBUCKETS];
}

struct mount *mount_on_rcu(struct mount *parent, struct dentry *d)
{
    for (struct list *l = *bucket_of(parent, d); l;
         l = __atomic_load_n(&l->next, __ATOMIC_ACQUIRE)) {
        struct mount *m = list_entry(l, struct mount, hash);
        if (m->parent == parent && m->mountpoint == d)
            return m;
    }
    return NULL;
}

static void bucket_remove(struct mount *m)
{
    struct list *_Atomic *head = bucket_of(m->parent, m->mountpoint);
    if (*head == &m->hash) {
        *head = m->hash.next;
        return;
    }
    for (struct list *l = *head; l; l = l->next) {
        if (l->next == &m->hash) {
            __atomic_store_n(&l->next, m->hash.next, __ATOMIC_RELEASE);
            return;
        }
    }
}

struct mount *mount_on(const struct path *p)
{
    if (!atomic_load_explicit(&p->dentry->is_mountpoint, memory_order_acquire))
        return NULL;
    for (;;) {
        epoch_enter();
        u32 seq = atomic_load_explicit(&vfs_mount_seq, memory_order_acquire);
        struct mount *m = mount_on_rcu(p->mnt, p->dentry);
        if (m && !ref_get_unless_zero(&m->ref))
            m = NULL;
        epoch_exit();
        atomic_thread_fence(memory_order_acquire);
        if (!(seq & 1) && atomic_load_explicit(&vfs_mount_seq, memory_order_relaxed) == seq)
            return m;
        mount_put(m);
        rwlock_rdlock(&mount_lock); /* a change is going on: wait for its end */
        rwlock_rdunlock(&mount_lock);
    }
}

bool path_up_mount(struct path *p)
{
    struct path up = {0};
    rwlock_rdlock(&mount_lock);
    if (p->mnt->parent) {
        up = (struct path){p->mnt->parent, p->mnt->mountpoint};
        path_get(&up);
    }
    rwlock_rdunlock(&mount_lock);
    if (!up.mnt)
        return false;
    path_put(p);
    *p = up;
    return true;
}

/* ---- changing a tree (mount_lock held for writing) ------------------------------------------ */

void mount_tree_begin(void)
{
    rwlock_wrlock(&mount_lock);
    atomic_fetch_add(&vfs_mount_seq, 1);
}

void mount_tree_end(void)
{
    atomic_fetch_add(&vfs_mount_seq, 1);
    rwlock_wrunlock(&mount_lock);
}

/* The next mount of a tree in pre-order, below top. */
struct mount *mount_tree_next(struct mount *m, struct mount *top)
{
    if (!list_empty(&m->children))
        return list_first(&m->children, struct mount, sibling);
    while (m != top) {
        if (m->sibling.next != &m->parent->children)
            return list_entry(m->sibling.next, struct mount, sibling);
        m = m->parent;
    }
    return NULL;
}

void mount_ns_changed(struct mnt_ns *ns)
{
    atomic_fetch_add(&ns->event, 1);
    waitq_wake(&ns->wait, WAIT_ERR | WAIT_PRI);
}

/* m at (parent, d); takes a reference to d. Says nothing about namespaces. */
void mount_link(struct mount *m, struct mount *parent, struct dentry *d)
{
    struct mount *under = mount_on_rcu(parent, d);
    m->parent = parent;
    dentry_get(d);
    m->mountpoint = d;
    d->nmounts++;
    d->is_mountpoint = true;
    list_add_tail(&parent->children, &m->sibling);
    struct list *_Atomic *head = bucket_of(parent, d);
    m->hash.next = *head;
    *head = &m->hash;
    if (under) { /* propagation below an existing mount: that one moves on top of m */
        struct dentry *dropped = mount_unlink(under);
        mount_link(under, m, m->root);
        dentry_put(dropped);
    }
}

/* Takes m off its place; returns the mountpoint's reference, to be put after the lock. */
struct dentry *mount_unlink(struct mount *m)
{
    struct dentry *d = m->mountpoint;
    if (!m->parent)
        return NULL;
    bucket_remove(m);
    list_del(&m->sibling);
    m->parent = NULL;
    m->mountpoint = NULL;
    if (--d->nmounts == 0)
        d->is_mountpoint = false;
    return d;
}

/* Enters the whole tree of m into ns, taking the tree's references. */
void mount_tree_enter_ns(struct mount *top, struct mnt_ns *ns)
{
    for (struct mount *m = top; m; m = mount_tree_next(m, top)) {
        if (m->ns == ns)
            continue;
        if (!m->ns) {
            if (m == top)
                mount_get(m); /* those below have their tree's reference already */
            list_add_tail(&all_mounts, &m->all_node);
        } else {
            list_del(&m->ns_node);
            m->ns->nmounts--;
        }
        m->ns = ns;
        m->is_floating = false;
        list_add_tail(&ns->mounts, &m->ns_node);
        ns->nmounts++;
    }
    mount_ns_changed(ns);
}

/* ---- propagation groups (mount_lock held for writing) ------------------------------------- */

/* All mounts that are in a group, in trees or not. A number with neither is free. */
static struct group {
    struct list peers, slaves; /* by peer_node, slave_node */
    u64 stamp;
} * *groups; /* by number, which starts at 1 */
static int ngroups, first_free = 1;

static bool group_is_free(int g)
{
    return !groups[g] || (list_empty(&groups[g]->peers) && list_empty(&groups[g]->slaves));
}

int mount_new_group(void)
{
    while (first_free < ngroups && !group_is_free(first_free))
        first_free++;
    if (first_free >= ngroups) {
        int n = MAX(ngroups * 2, 64);
        struct group **p = realloc(groups, (size_t)n * sizeof(struct group *));
        if (!p)
            return 0; /* then it is not shared */
        memset(p + ngroups, 0, (size_t)(n - ngroups) * sizeof(struct group *));
        groups = p;
        ngroups = n;
    }
    if (!groups[first_free]) {
        struct group *g = malloc(sizeof(*g));
        if (!g)
            return 0;
        g->stamp = 0;
        list_init(&g->peers);
        list_init(&g->slaves);
        groups[first_free] = g;
    }
    return first_free;
}

struct list *mount_peers(int g)
{
    return &groups[g]->peers;
}

struct list *mount_slaves(int g)
{
    return &groups[g]->slaves;
}

u64 *mount_group_stamp(int g)
{
    return &groups[g]->stamp;
}

static void group_left(int g)
{
    if (g && g < first_free && group_is_free(g))
        first_free = g;
}

/* New members come first, so that a walk that adds some does not meet them. */
void mount_set_peer(struct mount *m, int g)
{
    int old = m->peer_group;
    list_del(&m->peer_node);
    if (g)
        list_add_head(&groups[g]->peers, &m->peer_node);
    m->peer_group = g;
    group_left(old);
}

void mount_set_master(struct mount *m, int g)
{
    int old = m->master_group;
    list_del(&m->slave_node);
    if (g)
        list_add_head(&groups[g]->slaves, &m->slave_node);
    m->master_group = g;
    group_left(old);
}

static bool is_only_peer(const struct mount *m)
{
    return m->peer_node.next == m->peer_node.prev;
}

/* m stops being shared; slaves of a group that died go to the group's own master. */
static void leave_group(struct mount *m)
{
    struct mount *s;
    int g = m->peer_group;
    if (!g)
        return;
    while (is_only_peer(m) && (s = list_first(mount_slaves(g), struct mount, slave_node)))
        mount_set_master(s, m->master_group);
    mount_set_peer(m, 0);
}

void mount_set_propagation(struct mount *m, u32 type)
{
    int g = m->peer_group;
    m->is_unbindable = type == LX_MS_UNBINDABLE;
    switch (type) {
    case LX_MS_SHARED:
        if (!g)
            mount_set_peer(m, mount_new_group());
        break;
    case LX_MS_SLAVE:
        if (!g)
            break;
        if (is_only_peer(m)) { /* nobody to follow */
            leave_group(m);
        } else {
            mount_set_master(m, g);
            mount_set_peer(m, 0);
        }
        break;
    default: /* private, unbindable */
        leave_group(m);
        mount_set_master(m, 0);
        break;
    }
}

/*
 * Takes the tree of top apart. What must be released goes to the list `gone` and is put by
 * mount_put_gone, outside the lock. With is_sealed, locked mounts stay on their parents, out of
 * every namespace, until those go: taking them off would show what they cover.
 */
void mount_tree_dissolve(struct mount *top, bool is_sealed, struct list *gone)
{
    struct list off;
    struct mount *m, *tmp;
    list_init(&off);
    if (!top->ns)
        mount_get(top); /* a detached tree's top: the reference is its owner's */
    for (m = top; m; m = mount_tree_next(m, top)) {
        if (m->ns) {
            list_del(&m->ns_node);
            m->ns->nmounts--;
            if (m->ns->root == m)
                m->ns->root = NULL;
            mount_ns_changed(m->ns);
            list_del(&m->all_node);
        }
        m->ns = NULL;
        m->is_marked = m->is_floating = false;
        leave_group(m);
        mount_set_master(m, 0);
        if (m == top || !is_sealed || !m->is_locked)
            list_add_tail(&off, &m->ns_node);
    }
    list_for_each_safe (m, tmp, &off, ns_node)
        m->mountpoint = mount_unlink(m); /* the reference stays until the put */
    list_splice_tail(gone, &off);
}

void mount_put_gone(struct list *gone)
{
    struct mount *m;
    while ((m = list_first(gone, struct mount, ns_node))) {
        list_del(&m->ns_node);
        struct dentry *at = take_ptr(m->mountpoint);
        dentry_put(at);
        mount_put(m);
    }
}

bool dentry_is_local_mountpoint(struct dentry *d)
{
    struct mnt_ns *ns = vfs_current ? vfs_current->mnt_ns : NULL;
    struct mount *m;
    bool is_found = false;
    if (!d->is_mountpoint)
        return false;
    rwlock_rdlock(&mount_lock);
    list_for_each (m, &all_mounts, all_node) {
        if (m->mountpoint == d && (!ns || m->ns == ns)) {
            is_found = true;
            break;
        }
    }
    rwlock_rdunlock(&mount_lock);
    return is_found;
}

void mount_detach_from(struct dentry *d)
{
    struct list gone;
    struct mount *m;
    if (!d->is_mountpoint)
        return;
    list_init(&gone);
    mount_tree_begin();
    do {
        bool is_found = false;
        list_for_each (m, &all_mounts, all_node) {
            if (m->mountpoint == d) {
                is_found = true;
                break;
            }
        }
        if (!is_found)
            break;
        mount_tree_dissolve(m, true, &gone);
    } while (true);
    mount_tree_end();
    mount_put_gone(&gone);
}

/* ---- namespaces ---------------------------------------------------------------------------- */

struct mnt_ns *mount_ns_alloc(void)
{
    struct mnt_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return NULL;
    ref_init(&ns->ref);
    ns->ino = atomic_fetch_add(&next_ns_ino, 1);
    list_init(&ns->mounts);
    waitq_init(&ns->wait);
    return ns;
}

int mnt_ns_new(struct mount *root, struct mnt_ns **ret_ns)
{
    struct mnt_ns *ns = mount_ns_alloc();
    if (!ns)
        return -LX_ENOMEM;
    mount_tree_begin();
    ns->root = root;
    mount_tree_enter_ns(root, ns);
    mount_tree_end();
    *ret_ns = ns;
    return 0;
}

/* If p is in the mount `from`, moves it to the same place in `to`. */
static void move_path(struct path *p, struct mount *from, struct mount *to)
{
    if (!p || p->mnt != from)
        return;
    mount_get(to);
    p->mnt = to;
    mount_put(from); /* not the last: the tree has one */
}

void mnt_ns_set_owner(struct mnt_ns *ns, struct user_ns *owner)
{
    if (owner && vfs_user_ns_get)
        vfs_user_ns_get(owner);
    if (ns->user_ns && vfs_user_ns_put)
        vfs_user_ns_put(ns->user_ns);
    ns->user_ns = owner;
}

int mnt_ns_copy(struct mnt_ns *ns, struct path *root, struct path *cwd, struct mnt_ns **ret_ns)
{
    struct mnt_ns *copy = mount_ns_alloc();
    struct mount *top = NULL;
    if (!copy)
        return -LX_ENOMEM;
    mount_tree_begin();
    int r = ns->root ? mount_copy_tree(ns->root, ns->root->root, MOUNT_COPY_UNBINDABLE, &top)
                     : -LX_EINVAL;
    if (r == 0) {
        struct mount *a = ns->root, *b = top;
        copy->root = top;
        mnt_ns_set_owner(copy, ns->user_ns);
        mount_tree_enter_ns(top, copy);
        while (a && b) { /* the same shape: walked in step */
            move_path(root, a, b);
            move_path(cwd, a, b);
            a = mount_tree_next(a, ns->root);
            b = mount_tree_next(b, top);
        }
    }
    mount_tree_end();
    if (r < 0) {
        free(copy);
        return r;
    }
    mount_put(top); /* the namespace has its own */
    *ret_ns = copy;
    return 0;
}

void mount_lock_one(struct mount *m)
{
    m->is_locked = true;
    m->locked_flags = (m->flags & MOUNT_LOCKED_FLAGS) | MOUNT_LOCK_ATIME;
}

void mnt_ns_lock(struct mnt_ns *ns)
{
    struct mount *m;
    mount_tree_begin();
    list_for_each (m, &ns->mounts, ns_node) {
        mount_lock_one(m);
        m->is_locked = m != ns->root;
        if (m->peer_group)
            mount_set_propagation(m, LX_MS_SLAVE);
    }
    mount_tree_end();
}

void mnt_ns_get(struct mnt_ns *ns)
{
    ref_get(&ns->ref);
}

void mnt_ns_put(struct mnt_ns *ns)
{
    struct list gone;
    if (!ns || !ref_put(&ns->ref))
        return;
    list_init(&gone);
    mount_tree_begin();
    if (ns->root)
        mount_tree_dissolve(ns->root, true, &gone);
    mount_tree_end();
    mount_put_gone(&gone);
    waitq_done(&ns->wait);
    mnt_ns_set_owner(ns, NULL);
    free(ns);
}

void mnt_ns_for_each(struct mnt_ns *ns, void (*fn)(struct mount *m, void *arg), void *arg)
{
    struct mount *m;
    rwlock_rdlock(&mount_lock);
    list_for_each (m, &ns->mounts, ns_node)
        fn(m, arg);
    rwlock_rdunlock(&mount_lock);
}

struct list *mount_all(void)
{
    return &all_mounts;
}
