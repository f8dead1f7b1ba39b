/*
 * Inodes of the gofer client: the table by host identity, attributes, places
 * and nodes. See gofer_priv.h.
 */
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fs/gofer_priv.h"
#include "host/fdio.h"
#include "vfs/special.h"

/* ---- devices ------------------------------------------------------------------------------- */

/* Each host device below an export is a device of its own to the guest; the first is the super's.
 */
u64 gofer_guest_dev(struct gofer_sb *s, u64 host_dev)
{
    static _Atomic u32 next_minor = 0x40000; /* above what super_new hands out */
    u32 n = atomic_load_explicit(&s->ndevs, memory_order_acquire);
    for (u32 i = 0; i < n; i++) {
        if (s->devs[i].host == host_dev)
            return s->devs[i].guest;
    }
    MUTEX_GUARD(&s->lock);
    n = atomic_load_explicit(&s->ndevs, memory_order_relaxed);
    for (u32 i = 0; i < n; i++) {
        if (s->devs[i].host == host_dev)
            return s->devs[i].guest;
    }
    if (n == GOFER_MAX_DEVS)
        return s->devs[n - 1].guest;
    s->devs[n].host = host_dev;
    s->devs[n].guest = n == 0 ? s->sb->dev : MKDEV(0, atomic_fetch_add(&next_minor, 1));
    atomic_store_explicit(&s->ndevs, n + 1, memory_order_release);
    return s->devs[n].guest;
}

/* ---- attributes ---------------------------------------------------------------------------- */

static struct ktime ktime_of(const struct gp_time *t)
{
    return (struct ktime){t->sec, t->nsec};
}

/* Does a name the same number on the host, and for directories the same mount. */
static bool is_same_number(const struct gofer_inode *gi, const struct gp_attr *a)
{
    bool is_dir = (a->mode & LX_S_IFMT) == LX_S_IFDIR;
    return a->ino == gi->hino && a->dev == gi->hdev && (!is_dir || a->mnt == gi->hmnt);
}

static bool is_same_object(const struct gofer_inode *gi, const struct gp_attr *a)
{
    if (!is_same_number(gi, a) || ((a->mode ^ gi->inode->mode) & LX_S_IFMT))
        return false;
    /* An overlay, which like every file system without a device has major number 0, gives a file
     * another birth time when it copies it up. */
    bool has_btime = a->flags & GP_A_BTIME && a->dev >> 32 != 0;
    return !has_btime || !gi->has_btime ||
           (a->btime.sec == gi->btime.sec && a->btime.nsec == gi->btime.nsec);
}

/*
 * The size is ours to move while files are open for writing: a write may have passed the answer.
 * When it is known that none has (size_seq, as read before the question, is what it was), another
 * of the host's may have made the file shorter.
 */
static void store_attr(struct gofer_inode *gi, const struct gp_attr *a, const u32 *size_seq)
{
    struct inode *i = gi->inode;
    u64 size = atomic_load(&i->size);
    MUTEX_GUARD(&gi->lock);
    i->mode = a->mode;
    i->uid = a->uid;
    i->gid = a->gid;
    atomic_store_explicit(&i->nlink, (u32)a->nlink, memory_order_relaxed);
    if (size_seq && *size_seq == atomic_load(&gi->size_seq))
        (void)atomic_compare_exchange_strong(&i->size, &size, a->size); /* else: changed just now */
    else if (gi->nwriters == 0 || a->size > atomic_load(&i->size))
        atomic_store_explicit(&i->size, a->size, memory_order_relaxed);
    i->blocks = a->blocks;
    i->atime = ktime_of(&a->atime);
    i->mtime = ktime_of(&a->mtime);
    i->ctime = ktime_of(&a->ctime);
    gi->blksize = a->blksize;
    gi->attributes = a->attributes;
    gi->attributes_mask = a->attributes_mask;
}

static int apply_attr(struct gofer_inode *gi, const struct gp_attr *a, const u32 *size_seq)
{
    if (!is_same_object(gi, a))
        return -LX_ESTALE;
    store_attr(gi, a, size_seq);
    return 0;
}

int gofer_apply_attr(struct gofer_inode *gi, const struct gp_attr *a)
{
    return apply_attr(gi, a, NULL);
}

void gofer_mark_stale(struct inode *i)
{
    atomic_fetch_or_explicit(&gofer_of(i)->state, GI_STALE, memory_order_relaxed);
}

int gofer_refresh(struct inode *i)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    struct gofer_inode *gi = gofer_of(i);
    /* Cleared first: what becomes stale during the call stays marked. */
    atomic_fetch_and_explicit(&gi->state, ~GI_STALE, memory_order_relaxed);
    /* By the fd only what ids are not needed of: this process sees them through its own user
     * namespace. In exclusive mode nobody else changes them. */
    struct gofer_fd *f = gofer_is_shared(s) ? NULL : gofer_fd_any(gi);
    u32 size_seq = atomic_load(&gi->size_seq);
    int r;
    if (f) {
        struct statx sx;
        struct gp_attr a;
        r = host_fstatx(f->fd, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &sx);
        if (r == 0) {
            gp_attr_from_statx(&a, &sx);
            a.uid = i->uid;
            a.gid = i->gid;
            r = gp_attr_is_ok(&a) ? apply_attr(gi, &a, &size_seq) : -LX_EIO;
        }
        gofer_fd_put(f);
    } else {
        struct gofer_call call = {.req = {.op = GP_GETATTR}};
        r = gofer_call_on(i, &call);
        if (r == 0)
            r = apply_attr(gi, &call.resp->attr, &size_seq);
        gofer_call_done(s->conn, &call);
    }
    if (r < 0)
        gofer_mark_stale(i);
    return r;
}

/* ---- the table ----------------------------------------------------------------------------- */

static struct gofer_inode **bucket_of(struct gofer_sb *s, u64 dev, u64 ino)
{
    u64 h = (ino ^ dev * 0x9e3779b97f4a7c15ULL) * 0xd6e8feb86659fd93ULL;
    return &s->buckets[(h >> 40) & (s->nbuckets - 1)];
}

static void link_in(struct gofer_sb *s, struct gofer_inode *gi)
{
    struct gofer_inode **head = bucket_of(s, gi->hdev, gi->hino);
    gi->next = *head;
    gi->link = head;
    if (gi->next)
        gi->next->link = &gi->next;
    *head = gi;
}

/* Eight times the table; without memory for it chains get longer. */
static void grow_table(struct gofer_sb *s)
{
    u32 nold = s->nbuckets;
    struct gofer_inode **old = s->buckets, *gi;
    struct gofer_inode **buckets = calloc(nold * 8UL, sizeof(struct gofer_inode *));
    if (!buckets)
        return;
    s->buckets = buckets;
    s->nbuckets = nold * 8;
    for (u32 i = 0; i < nold; i++) {
        while ((gi = old[i])) {
            old[i] = gi->next;
            link_in(s, gi);
        }
    }
    if (old != s->first_buckets)
        free(old);
}

static void hash_locked(struct gofer_sb *s, struct gofer_inode *gi)
{
    if (s->nhashed++ >= s->nbuckets * 2 && s->nbuckets < GOFER_MAX_BUCKETS)
        grow_table(s);
    link_in(s, gi);
}

static void unhash_locked(struct gofer_sb *s, struct gofer_inode *gi)
{
    if (!gi->link)
        return;
    s->nhashed--;
    *gi->link = gi->next;
    if (gi->next)
        gi->next->link = gi->link;
    gi->next = NULL;
    gi->link = NULL;
}

void gofer_unhash(struct gofer_inode *gi)
{
    struct gofer_sb *s = gofer_sb_of(gi->inode->sb);
    MUTEX_GUARD(&s->lock);
    unhash_locked(s, gi);
}

void gofer_mark_all_stale(struct gofer_sb *s)
{
    MUTEX_GUARD(&s->lock);
    for (u32 i = 0; i < s->nbuckets; i++)
        for (struct gofer_inode *gi = s->buckets[i]; gi; gi = gi->next)
            atomic_fetch_or_explicit(&gi->state, GI_STALE, memory_order_relaxed);
}

/* The live inode of this object, referenced; one that a reused number left behind is taken out. */
static struct gofer_inode *find_locked(struct gofer_sb *s, const struct gp_attr *a)
{
    struct gofer_inode *gi, *next;
    for (gi = *bucket_of(s, a->dev, a->ino); gi; gi = next) {
        next = gi->next;
        if (!is_same_number(gi, a))
            continue;
        if (!is_same_object(gi, a)) {
            unhash_locked(s, gi);
            continue;
        }
        if (ref_get_unless_zero(&gi->inode->ref))
            return gi;
    }
    return NULL;
}

static const struct inode_ops *iops_of(u32 mode)
{
    switch (mode & LX_S_IFMT) {
    case LX_S_IFDIR:
        return &gofer_dir_iops;
    case LX_S_IFLNK:
        return &gofer_link_iops;
    default:
        return &gofer_file_iops;
    }
}

static const struct file_ops *fops_of(u32 mode)
{
    switch (mode & LX_S_IFMT) {
    case LX_S_IFDIR:
        return &gofer_dir_fops;
    case LX_S_IFREG:
        return &gofer_reg_fops;
    default:
        return special_fops(mode);
    }
}

static struct gofer_inode *inode_alloc(struct super *sb, const struct gp_attr *a,
                                       struct wire_bytes target)
{
    struct gofer_inode *gi = calloc(1, sizeof(*gi));
    if (!gi)
        return NULL;
    struct inode *i = inode_new(sb, a->ino, a->mode, iops_of(a->mode), fops_of(a->mode));
    if (!i) {
        free(gi);
        return NULL;
    }
    gi->inode = i;
    gi->hdev = a->dev;
    gi->hino = a->ino;
    gi->hmnt = a->mnt;
    gi->btime = a->btime;
    gi->has_btime = a->flags & GP_A_BTIME;
    gi->state = a->flags & GP_A_MASKED ? GI_MASKED : 0;
    list_init(&gi->fd_lru);
    mutex_init(&gi->lock, "gofer_inode");
    mutex_init(&gi->append_lock, "gofer_append");
    i->priv = gi;
    i->rdev = a->rdev;
    i->btime = ktime_of(&a->btime);
    store_attr(gi, a, NULL);
    if (target.size > 0) { /* without memory for it, readlink asks */
        gi->target = malloc(target.size + 1);
        if (gi->target) {
            memcpy(gi->target, target.p, target.size);
            gi->target[target.size] = '\0';
            gi->target_size = target.size;
        }
    }
    return gi;
}

int gofer_inode_make(struct super *sb, const struct gp_attr *a, struct inode *dir,
                     struct wire_bytes name, u64 node, struct wire_bytes target,
                     struct inode **ret_i)
{
    struct gofer_sb *s = gofer_sb_of(sb);
    mutex_lock(&s->lock);
    struct gofer_inode *gi = find_locked(s, a);
    bool is_fresh = !gi;
    if (is_fresh) {
        gi = inode_alloc(sb, a, target);
        if (gi)
            hash_locked(s, gi);
    }
    mutex_unlock(&s->lock);
    if (!gi) {
        gofer_forget(s->conn, node);
        return -LX_ENOMEM;
    }
    if (!is_fresh)
        store_attr(gi, a, NULL);
    gofer_give_node(gi, node);
    if (dir && !gofer_has_place(gi, dir, name)) {
        int r = gofer_set_place(gi, dir, name);
        if (r < 0) {
            inode_put(gi->inode);
            return r;
        }
    }
    *ret_i = gi->inode;
    return 0;
}

/*
 * Freed inodes drop the directory of their place, which may free that one, and so on up a tree as
 * deep as a guest cares to make it: a loop, not a recursion.
 */
static _Thread_local struct gofer_inode *doomed;
static _Thread_local bool is_draining;

static void drain(void)
{
    struct gofer_inode *gi;
    if (is_draining)
        return;
    is_draining = true;
    while ((gi = doomed)) {
        struct inode *dir = gi->dir;
        doomed = gi->next_doomed;
        free(gi->name);
        free(gi->target);
        free(gi);
        inode_put(dir);
    }
    is_draining = false;
}

void gofer_evict(struct inode *i)
{
    struct gofer_inode *gi = gofer_of(i);
    struct gofer_sb *s = gofer_sb_of(i->sb);
    if (!gi)
        return;
    gofer_unhash(gi);
    gofer_fd_forget(gi);
    gofer_forget(s->conn, atomic_load(&gi->node));
    i->priv = NULL;
    gi->next_doomed = doomed;
    doomed = gi;
    drain();
}

/* ---- places and nodes ---------------------------------------------------------------------- */

struct wire_bytes gofer_dname(const struct dentry *d)
{
    return (struct wire_bytes){d->name, d->name_size};
}

bool gofer_has_place(struct gofer_inode *gi, const struct inode *dir, struct wire_bytes name)
{
    MUTEX_GUARD(&gi->lock);
    return gi->dir == dir && gi->name && !strncmp(gi->name, name.p, name.size) &&
           gi->name[name.size] == '\0';
}

/* Without memory for it the inode has no place: -LX_ESTALE when one is needed. The old directory's
 * reference is the caller's. */
static struct inode *replace_place(struct gofer_inode *gi, struct inode *dir, char *name)
{
    if (dir)
        inode_get(dir);
    mutex_lock(&gi->lock);
    struct inode *old_dir = gi->dir;
    char *old_name = gi->name;
    gi->dir = dir;
    gi->name = name;
    gi->place_seq++;
    mutex_unlock(&gi->lock);
    free(old_name);
    return old_dir;
}

/* place_lock held, so that no directory moves. */
static bool is_at_or_below(const struct inode *dir, const struct gofer_inode *gi)
{
    while (dir && dir != gi->inode)
        dir = gofer_of(dir)->dir;
    return dir;
}

int gofer_set_place(struct gofer_inode *gi, struct inode *dir, struct wire_bytes name)
{
    struct gofer_sb *s = gofer_sb_of(gi->inode->sb);
    char *copy = strndup(name.p, name.size);
    if ((gi->inode->mode & LX_S_IFMT) != LX_S_IFDIR) {
        inode_put(replace_place(gi, copy ? dir : NULL, copy));
        return 0;
    }
    mutex_lock(&s->place_lock);
    bool is_loop = is_at_or_below(dir, gi);
    struct inode *old = is_loop ? NULL : replace_place(gi, copy ? dir : NULL, copy);
    mutex_unlock(&s->place_lock);
    if (is_loop)
        free(copy);
    inode_put(old);
    return is_loop ? -LX_EIO : 0;
}

void gofer_clear_place(struct gofer_inode *gi)
{
    struct gofer_sb *s = gofer_sb_of(gi->inode->sb);
    mutex_lock(&s->place_lock);
    struct inode *old = replace_place(gi, NULL, NULL);
    mutex_unlock(&s->place_lock);
    inode_put(old);
}

void gofer_give_node(struct gofer_inode *gi, u64 node)
{
    u64 none = 0;
    if (node == 0 || atomic_compare_exchange_strong(&gi->node, &none, node) || none == node)
        return;
    gofer_forget(gofer_sb_of(gi->inode->sb)->conn, node);
}

int gofer_get_place(struct gofer_inode *gi, struct inode **ret_dir, char *name, u32 *ret_seq)
{
    MUTEX_GUARD(&gi->lock);
    *ret_seq = gi->place_seq;
    if (!gi->dir)
        return -LX_ESTALE;
    inode_get(gi->dir);
    *ret_dir = gi->dir;
    memcpy(name, gi->name, strlen(gi->name) + 1);
    return 0;
}

#define CLIMB_MAX GP_MAX_WALK

struct climb { /* a chain of directories without nodes, the lowest first */
    u32 count;
    struct inode *dirs[CLIMB_MAX]; /* counted */
    char names[CLIMB_MAX][256];
    struct gofer_call call;
};

/* Gives nodes to the inodes of a chain that starts below the node `base`. */
static int walk_chain(struct gofer_sb *s, struct climb *c, u64 base)
{
    c->call = (struct gofer_call){.req = {.op = GP_WALK, .node = base, .nnames = c->count}};
    for (u32 i = 0; i < c->count; i++) {
        const char *name = c->names[c->count - 1 - i];
        c->call.req.names[i] = (struct wire_bytes){name, (u32)strlen(name)};
    }
    int r = gofer_call(s->conn, &c->call);
    u64 ids[CLIMB_MAX];
    u32 n = r == -LX_EIO || !c->call.resp ? 0 : c->call.resp->nattrs;
    if (r == 0 && n < c->count)
        r = -LX_ESTALE;
    for (u32 i = 0; i < n; i++) {
        const struct gp_found *f = &c->call.resp->found[i];
        struct gofer_inode *gi = i < c->count ? gofer_of(c->dirs[c->count - 1 - i]) : NULL;
        ids[i] = f->node;
        if (r == 0 && (f->node == 0 || !is_same_number(gi, &f->attr)))
            r = -LX_ESTALE;
    }
    gofer_call_done(s->conn, &c->call);
    for (u32 i = 0; i < n; i++) {
        if (r == 0)
            gofer_give_node(gofer_of(c->dirs[c->count - 1 - i]), ids[i]);
        else
            gofer_forget(s->conn, ids[i]);
    }
    return r;
}

/* One step: nodes for up to CLIMB_MAX directories on the way to i. */
static int climb(struct gofer_sb *s, struct climb *c, struct inode *i)
{
    struct inode *at = i;
    int r = 0;
    u32 seq;
    c->count = 0;
    inode_get(at);
    u64 base = atomic_load(&gofer_of(at)->node);
    while (base == 0 && r == 0) {
        if (c->count == CLIMB_MAX) { /* very deep: keep the upper part of the chain */
            inode_put(c->dirs[0]);
            memmove(c->dirs, c->dirs + 1, (CLIMB_MAX - 1) * sizeof(c->dirs[0]));
            memmove(c->names, c->names + 1, (CLIMB_MAX - 1) * sizeof(c->names[0]));
            c->count--;
        }
        struct inode *dir;
        r = gofer_get_place(gofer_of(at), &dir, c->names[c->count], &seq);
        if (r < 0)
            break;
        c->dirs[c->count++] = at;
        at = dir;
        base = atomic_load(&gofer_of(at)->node);
    }
    if (r == 0 && c->count > 0)
        r = walk_chain(s, c, base);
    inode_put(at);
    for (u32 k = 0; k < c->count; k++)
        inode_put(c->dirs[k]);
    return r;
}

/* move_lock held. */
static int node_of_locked(struct inode *i, u64 *ret_node)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    u64 node = atomic_load(&gofer_of(i)->node);
    if (node) {
        *ret_node = node;
        return 0;
    }
    struct climb *c = malloc(sizeof(*c));
    if (!c)
        return -LX_ENOMEM;
    int r = 0;
    for (u32 round = 0; r == 0 && !(node = atomic_load(&gofer_of(i)->node)); round++)
        r = round < 4096 ? climb(s, c, i) : -LX_ESTALE;
    free(c);
    *ret_node = node;
    return r;
}

int gofer_node_of(struct inode *i, u64 *ret_node)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    *ret_node = atomic_load(&gofer_of(i)->node);
    if (*ret_node)
        return 0;
    rwlock_rdlock(&s->move_lock);
    int r = node_of_locked(i, ret_node);
    rwlock_rdunlock(&s->move_lock);
    return r == -LX_ESTALE ? -LX_ENOENT : r;
}

int gofer_call_dir(struct gofer_sb *s, struct gofer_call *call)
{
    int r = gofer_call(s->conn, call);
    return r == -LX_ESTALE ? -LX_ENOENT : r;
}

/* move_lock held. A lookup of another of its names, or of a name that the host moved, may still
 * change the place. */
static int call_by_place(struct inode *i, struct gofer_call *call)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    struct gofer_inode *gi = gofer_of(i);
    char name[256];
    int r = 0;
    for (int round = 0; round < 4; round++) {
        struct inode *dir = NULL;
        u32 seq = 0;
        call->req.node = atomic_load(&gi->node);
        call->req.name = (struct wire_bytes){"", 0};
        if (call->req.node == 0) {
            r = gofer_get_place(gi, &dir, name, &seq);
            if (r == 0)
                r = node_of_locked(dir, &call->req.node);
            if (r == 0)
                call->req.name = (struct wire_bytes){name, (u32)strlen(name)};
        }
        if (r == 0)
            r = gofer_call(s->conn, call);
        inode_put(dir);
        if ((r != -LX_ENOENT && r != -LX_ESTALE && r != -LX_ENOTDIR) || !dir)
            return r;
        mutex_lock(&gi->lock);
        bool is_moved = gi->place_seq != seq;
        mutex_unlock(&gi->lock);
        if (!is_moved)
            return r;
        gofer_call_done(s->conn, call);
        r = 0;
    }
    return -LX_ESTALE;
}

int gofer_call_on(struct inode *i, struct gofer_call *call)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    call->req.node = atomic_load(&gofer_of(i)->node);
    if (call->req.node) {
        call->req.name = (struct wire_bytes){"", 0};
        return gofer_call(s->conn, call);
    }
    rwlock_rdlock(&s->move_lock);
    int r = call_by_place(i, call);
    rwlock_rdunlock(&s->move_lock);
    return r;
}
