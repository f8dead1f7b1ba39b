/*
 * inotify(7).
 *
 * A watch ties an instance to an inode, which it holds. Reporting looks at a
 * global count first, then at the inode's marks, and takes locks only when
 * somebody watches that inode.
 *
 * Ends of a watch (rm, the instance closed, the inode deleted, its file
 * system gone, IN_ONESHOT): whoever takes it out of the marks, under their
 * lock, owns the rest of the dismantling. It stays in the instance's tree until the IN_IGNORED
 * event is queued, so that its number is not reused before.
 *
 * Lock order: marks.lock → instance.lock → waitq. `ctl` of an instance serialises add and rm of it,
 * before both.
 */
#include "vfs/fast.h"
#include "vfs/notify.h"

#include <stdlib.h>
#include <string.h>

#include "abi/tty.h"
#include "base/log.h"
#include "vfs/account.h"
#include "vfs/special.h"

/* Bits that say what to report; the rest of a mask says how. */
#define EV_BITS   (LX_IN_ALL_EVENTS | LX_IN_UNMOUNT | LX_IN_IGNORED | LX_IN_Q_OVERFLOW)
#define ADD_BITS                                                                                   \
    (LX_IN_ALL_EVENTS | LX_IN_ONLYDIR | LX_IN_DONT_FOLLOW | LX_IN_EXCL_UNLINK |                    \
     LX_IN_MASK_ADD | LX_IN_MASK_CREATE | LX_IN_ISDIR | LX_IN_ONESHOT | LX_IN_UNMOUNT |            \
     LX_IN_Q_OVERFLOW | LX_IN_IGNORED)
#define SELF_ONLY (LX_IN_DELETE_SELF | LX_IN_MOVE_SELF | LX_IN_UNMOUNT | LX_IN_IGNORED)

struct lx_inotify_event { /* followed by len bytes of name, NUL-padded */
    s32 wd;
    u32 mask, cookie, len;
};

struct event {
    struct list node;
    struct lx_inotify_event ev;
    char name[];
};

struct instance {
    struct ref ref;        /* the file's, and each watch's */
    struct account *user;  /* owned: whose it is */
    u32 max_queued;        /* immutable: fs.inotify.max_queued_events when it was made */
    struct mutex ctl;
    struct mutex lock;
    struct rb_tree watches; /* by wd; guarded by lock, as the rest */
    s32 last_wd;
    struct list queue;
    u32 nqueued;
    u64 bytes_queued;
    bool has_overflow;      /* an overflow event is in the queue */
    bool is_closed;
    struct waitq wait;
};

struct watch {
    struct rb_node rb;     /* in instance.watches; guarded by instance.lock */
    struct list node;      /* in marks.watches, or in no list once being dismantled; marks.lock */
    struct list all_node;  /* in all_watches */
    struct instance *in;   /* owned */
    struct inode *inode;   /* owned */
    struct dentry *pin;    /* owned: keeps a name that is otherwise not cached (proc); or NULL */
    s32 wd;                /* immutable */
    u32 mask;              /* guarded by marks.lock */
};

struct inotify_marks {
    struct mutex lock;
    struct list watches;   /* guarded by lock */
    _Atomic u32 all_mask;  /* union of the watches' masks; written under lock */
};

static _Atomic u32 nwatches; /* of everybody: reporting looks at nothing else while it is 0 */
static struct mutex create_mutex = MUTEX_INIT("inotify.create");
static struct mutex all_mutex = MUTEX_INIT("inotify.all"); /* leaf */
static struct list all_watches = LIST_INIT(all_watches);    /* guarded by all_mutex */
static const struct file_ops inotify_fops;

static void instance_put(struct instance *in)
{
    if (!ref_put(&in->ref))
        return;
    struct event *e, *tmp;
    list_for_each_safe(e, tmp, &in->queue, node)
        free(e);
    waitq_done(&in->wait);
    atomic_fetch_sub(&in->user->inotify_instances, 1);
    account_put(in->user);
    free(in);
}

/* ---- marks --------------------------------------------------------------------------------- */

static struct inotify_marks *peek_marks(struct inode *i)
{
    return __atomic_load_n(&i->marks, __ATOMIC_ACQUIRE);
}

static struct inotify_marks *get_marks(struct inode *i)
{
    struct inotify_marks *m = peek_marks(i);
    if (m)
        return m;
    MUTEX_GUARD(&create_mutex);
    if ((m = peek_marks(i)) != NULL)
        return m;
    m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    mutex_init(&m->lock, "inotify.marks");
    list_init(&m->watches);
    __atomic_store_n(&i->marks, m, __ATOMIC_RELEASE);
    return m;
}

void notify_free(struct inode *i)
{
    free(i->marks);
    i->marks = NULL;
}

static void update_all_mask(struct inotify_marks *m) REQUIRES(m->lock)
{
    u32 all = 0;
    struct watch *w;
    list_for_each(w, &m->watches, node)
        all |= w->mask;
    atomic_store(&m->all_mask, all & EV_BITS);
}

/* ---- the queue ----------------------------------------------------------------------------- */

static bool is_same(const struct event *e, const struct lx_inotify_event *ev, const char *name)
{
    return e->ev.wd == ev->wd && e->ev.mask == ev->mask && e->ev.cookie == ev->cookie &&
           e->ev.len == ev->len && (!name || !strcmp(e->name, name));
}

static u32 padded(const char *name)
{
    u32 unit = sizeof(struct lx_inotify_event);
    return name ? ((u32)strlen(name) + 1 + unit - 1) / unit * unit : 0;
}

/* Two equal events in a row are one. When memory or the queue ends, an overflow event says so. */
static void enqueue(struct instance *in, s32 wd, u32 mask, u32 cookie, const char *name)
{
    struct lx_inotify_event ev = {wd, mask, cookie, padded(name)};
    {
        MUTEX_GUARD(&in->lock);
        struct event *last = list_last(&in->queue, struct event, node);
        if (in->is_closed || (last && is_same(last, &ev, name)))
            return;
        bool is_full = in->nqueued >= in->max_queued;
        struct event *e = is_full ? NULL : calloc(1, sizeof(*e) + ev.len);
        if (!e) {
            if (in->has_overflow)
                return;
            ev = (struct lx_inotify_event){-1, LX_IN_Q_OVERFLOW, 0, 0};
            e = calloc(1, sizeof(*e));
            if (!e)
                return; /* the next event tries again */
            in->has_overflow = true;
            name = NULL;
        }
        e->ev = ev;
        if (name)
            memcpy(e->name, name, strlen(name));
        list_add_tail(&in->queue, &e->node);
        in->nqueued++;
        in->bytes_queued += sizeof(e->ev) + ev.len;
    }
    waitq_wake(&in->wait, WAIT_IN | WAIT_RDNORM);
}

/* ---- the end of watches -------------------------------------------------------------------- */

/* w is out of its marks: the rest. No locks held. */
static void dismantle(struct watch *w)
{
    struct instance *in = w->in;
    enqueue(in, w->wd, LX_IN_IGNORED, 0, NULL);
    mutex_lock(&in->lock);
    rb_erase(&in->watches, &w->rb);
    mutex_unlock(&in->lock);
    mutex_lock(&all_mutex);
    list_del(&w->all_node);
    mutex_unlock(&all_mutex);
    inode_put(w->inode);
    if (w->pin)
        dentry_put(w->pin);
    atomic_fetch_sub(&in->user->inotify_watches, 1);
    instance_put(in);
    free(w);
    atomic_fetch_sub(&nwatches, 1);
}

/* Takes w out of its marks; false when somebody else has. */
static bool detach(struct watch *w, struct inotify_marks *m) REQUIRES(m->lock)
{
    if (list_empty(&w->node))
        return false;
    list_del(&w->node);
    update_all_mask(m);
    return true;
}

static void dismantle_all(struct list *dead)
{
    while (!list_empty(dead)) {
        struct watch *w = list_first(dead, struct watch, node);
        list_del(&w->node);
        dismantle(w);
    }
}

/* ---- reporting ----------------------------------------------------------------------------- */

/*
 * Tells the watches of i, with a name when it happened to something in i. is_unlinked: through an
 * open file without a name (IN_EXCL_UNLINK). Watches that end by it are collected in dead.
 */
static void tell(struct inode *i, u32 mask, u32 cookie, const char *name, bool is_unlinked,
                 struct list *dead)
{
    struct inotify_marks *m = i ? peek_marks(i) : NULL;
    u32 what = mask & EV_BITS;
    bool is_end = mask & (LX_IN_DELETE_SELF | LX_IN_UNMOUNT);
    if (!m || (!is_end && !(atomic_load(&m->all_mask) & what)))
        return;
    struct watch *w, *tmp;
    MUTEX_GUARD(&m->lock);
    list_for_each_safe(w, tmp, &m->watches, node) {
        bool is_wanted = w->mask & what;
        if (is_unlinked && (w->mask & LX_IN_EXCL_UNLINK))
            is_wanted = false;
        if (is_wanted || (mask & LX_IN_UNMOUNT))
            enqueue(w->in, w->wd, mask, cookie, name);
        if ((is_end || (is_wanted && (w->mask & LX_IN_ONESHOT))) && detach(w, m))
            list_add_tail(dead, &w->node);
    }
}

static u32 dir_bit(const struct inode *i)
{
    return i && (i->mode & LX_S_IFMT) == LX_S_IFDIR ? LX_IN_ISDIR : 0;
}

void vfs_notify(struct dentry *d, u32 mask)
{
    if (likely(atomic_load_explicit(&nwatches, memory_order_relaxed) == 0))
        return;
    struct list dead;
    struct inode *i = d->inode;
    list_init(&dead);
    bool is_by_file = !(mask & (LX_IN_ATTRIB | VFS_NOTIFY_ATTR | SELF_ONLY));
    bool is_unlinked = is_by_file && !d->is_hashed;
    mask &= ~(u32)VFS_NOTIFY_ATTR;
    if (!(mask & SELF_ONLY)) {
        char name[LX_NAME_MAX + 1];
        size_t size;
        struct dentry *p = d->parent == d ? NULL : dentry_get_place(d, name, &size);
        if (p)
            tell(p->inode, mask | dir_bit(i), 0, name, is_unlinked, &dead);
        dentry_put(p);
    }
    /* inotify(7) does not say of these two that they concern a directory. */
    bool is_bare = mask & (LX_IN_DELETE_SELF | LX_IN_MOVE_SELF);
    tell(i, is_bare ? mask & ~(u32)LX_IN_ISDIR : mask | dir_bit(i), 0, NULL, is_unlinked, &dead);
    dismantle_all(&dead);
}

void vfs_notify_inode(struct inode *i, u32 mask)
{
    if (likely(atomic_load_explicit(&nwatches, memory_order_relaxed) == 0))
        return;
    struct list dead;
    list_init(&dead);
    /* inotify(7) does not say of this one that it concerns a directory. */
    tell(i, mask & LX_IN_DELETE_SELF ? mask : mask | dir_bit(i), 0, NULL, false, &dead);
    dismantle_all(&dead);
}

void vfs_notify_name(struct inode *dir, const char *name, u32 mask, u32 cookie, struct inode *child)
{
    if (likely(atomic_load_explicit(&nwatches, memory_order_relaxed) == 0))
        return;
    struct list dead;
    list_init(&dead);
    tell(dir, mask | dir_bit(child), cookie, name, false, &dead);
    dismantle_all(&dead);
}

/* ---- adding and removing ------------------------------------------------------------------- */

static struct watch *find_of(struct inotify_marks *m, const struct instance *in) REQUIRES(m->lock)
{
    struct watch *w;
    list_for_each(w, &m->watches, node) {
        if (w->in == in)
            return w;
    }
    return NULL;
}

static void link_watch(struct instance *in, struct watch *w) REQUIRES(in->lock)
{
    struct rb_node **link = &in->watches.root, *parent = NULL;
    while (*link) {
        parent = *link;
        link = w->wd < rb_entry(parent, struct watch, rb)->wd ? &parent->left : &parent->right;
    }
    rb_link(&in->watches, &w->rb, parent, link);
}

static struct watch *find_wd(struct instance *in, s32 wd) REQUIRES(in->lock)
{
    struct rb_node *n = in->watches.root;
    while (n) {
        struct watch *w = rb_entry(n, struct watch, rb);
        if (w->wd == wd)
            return w;
        n = wd < w->wd ? n->left : n->right;
    }
    return NULL;
}

/* The next free number after the last given: they are not reused soon. */
static s32 next_wd(struct instance *in) REQUIRES(in->lock)
{
    do
        in->last_wd = in->last_wd == INT32_MAX ? 1 : in->last_wd + 1;
    while (find_wd(in, in->last_wd));
    return in->last_wd;
}

static int add_new(struct instance *in, struct dentry *d, struct inotify_marks *m, u32 mask)
    REQUIRES(m->lock)
{
    struct inode *i = d->inode;
    if (!account_charge(&in->user->inotify_watches, 1, sysctl_inotify_watches))
        return -LX_ENOSPC;
    struct watch *w = calloc(1, sizeof(*w));
    if (!w) {
        atomic_fetch_sub(&in->user->inotify_watches, 1);
        return -LX_ENOMEM;
    }
    atomic_fetch_add(&nwatches, 1);
    w->in = in;
    w->inode = i;
    w->mask = mask;
    ref_get(&in->ref);
    inode_get(i);
    if (d->sb->d_ops && d->sb->d_ops->is_transient && d->sb->d_ops->is_transient(d)) {
        dentry_get(d);
        w->pin = d;
    }
    mutex_lock(&in->lock);
    s32 wd = w->wd = next_wd(in);
    link_watch(in, w);
    mutex_unlock(&in->lock);
    mutex_lock(&all_mutex);
    list_add_tail(&all_watches, &w->all_node);
    mutex_unlock(&all_mutex);
    fast_drop_all();
    list_add_tail(&m->watches, &w->node);
    update_all_mask(m);
    return wd;
}

int inotify_check_mask(u32 mask)
{
    bool is_both = (mask & LX_IN_MASK_ADD) && (mask & LX_IN_MASK_CREATE);
    return !(mask & ADD_BITS) || (mask & ~(u32)ADD_BITS) || is_both ? -LX_EINVAL : 0;
}

bool is_inotify(const struct file *f)
{
    return f->ops == &inotify_fops;
}

bool notify_is_watching(void)
{
    return atomic_load(&nwatches) != 0;
}

int inotify_add(struct file *f, const struct path *p, u32 mask)
{
    struct instance *in = f->priv;
    struct inode *i = p->dentry->inode;
    if (inotify_check_mask(mask) < 0)
        return -LX_EINVAL;
    if (f->ops != &inotify_fops)
        return -LX_EINVAL;
    int r = inode_permission(i, LX_R_OK);
    if (r < 0)
        return r;
    struct inotify_marks *m = get_marks(i);
    if (!m)
        return -LX_ENOMEM;
    u32 kept = (mask & (LX_IN_ALL_EVENTS | LX_IN_EXCL_UNLINK | LX_IN_ONESHOT)) | LX_IN_UNMOUNT;
    MUTEX_GUARD(&in->ctl);
    MUTEX_GUARD(&m->lock);
    struct watch *w = find_of(m, in);
    if (!w)
        return add_new(in, p->dentry, m, kept);
    if (mask & LX_IN_MASK_CREATE)
        return -LX_EEXIST;
    w->mask = mask & LX_IN_MASK_ADD ? w->mask | kept : kept;
    update_all_mask(m);
    return w->wd;
}

int inotify_rm(struct file *f, s32 wd)
{
    struct instance *in = f->priv;
    if (f->ops != &inotify_fops)
        return -LX_EINVAL;
    MUTEX_GUARD(&in->ctl);
    mutex_lock(&in->lock);
    struct watch *w = find_wd(in, wd);
    struct inode *i = w ? w->inode : NULL;
    if (i)
        inode_get(i);
    mutex_unlock(&in->lock);
    if (!i)
        return -LX_EINVAL;
    struct inotify_marks *m = peek_marks(i);
    mutex_lock(&m->lock);
    w = find_of(m, in); /* under the marks' lock it stays; gone when an event has ended it */
    bool is_ours = w && w->wd == wd && detach(w, m);
    mutex_unlock(&m->lock);
    if (is_ours)
        dismantle(w);
    inode_put(i);
    return is_ours ? 0 : -LX_EINVAL;
}

/* The instance closes. A watch that somebody else is dismantling leaves the tree in a moment. */
static void end_watches_of(struct instance *in)
{
    for (;;) {
        mutex_lock(&in->lock);
        struct rb_node *n = rb_first(&in->watches);
        struct watch *w = n ? rb_entry(n, struct watch, rb) : NULL;
        struct inode *i = w ? w->inode : NULL;
        if (i)
            inode_get(i);
        mutex_unlock(&in->lock);
        if (!i)
            return;
        struct inotify_marks *m = peek_marks(i);
        mutex_lock(&m->lock);
        w = find_of(m, in);
        bool is_ours = w && detach(w, m);
        mutex_unlock(&m->lock);
        if (is_ours)
            dismantle(w);
        inode_put(i);
    }
}

void notify_unmount(struct super *sb)
{
    for (;;) {
        struct list dead;
        struct inode *i = NULL;
        struct watch *w;
        mutex_lock(&all_mutex);
        list_for_each(w, &all_watches, all_node) {
            if (w->inode->sb == sb) {
                i = w->inode;
                inode_get(i);
                break;
            }
        }
        mutex_unlock(&all_mutex);
        if (!i)
            return;
        list_init(&dead);
        tell(i, LX_IN_UNMOUNT, 0, NULL, false, &dead);
        dismantle_all(&dead);
        inode_put(i);
    }
}

/* ---- the file ------------------------------------------------------------------------------ */

/* Takes the first event when it fits in size bytes. *ret_size: what it needs, 0: none there. */
static struct event *take_event(struct instance *in, u64 size, u64 *ret_size)
{
    MUTEX_GUARD(&in->lock);
    struct event *e = list_first(&in->queue, struct event, node);
    *ret_size = e ? sizeof(e->ev) + e->ev.len : 0;
    if (!e || *ret_size > size)
        return NULL;
    list_del(&e->node);
    in->nqueued--;
    in->bytes_queued -= *ret_size;
    if (e->ev.mask & LX_IN_Q_OVERFLOW)
        in->has_overflow = false;
    return e;
}

static bool has_event(struct instance *in)
{
    MUTEX_GUARD(&in->lock);
    return !list_empty(&in->queue);
}

static s64 inotify_read(struct file *f, struct uio *to, s64 *off)
{
    struct instance *in = f->priv;
    s64 done = 0;
    for (;;) {
        u64 size;
        struct event *e = take_event(in, to->left, &size);
        if (e) {
            s64 n = uio_copy_to(to, &e->ev, size);
            free(e);
            if (n != (s64)size)
                return -LX_EFAULT;
            done += n;
            continue;
        }
        if (done > 0)
            return done;
        if (size > 0)
            return -LX_EINVAL; /* the buffer holds not even one */
        if (file_is_nonblock(f))
            return -LX_EAGAIN;
        int r = wait_event_interruptible(&in->wait, WAIT_IN, has_event(in), NO_DEADLINE);
        if (r < 0)
            return r;
    }
}

static u32 inotify_poll(struct file *f)
{
    return has_event(f->priv) ? WAIT_IN | WAIT_RDNORM : 0;
}

static struct waitq *inotify_pollq(struct file *f)
{
    struct instance *in = f->priv;
    return &in->wait;
}

static s64 inotify_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct instance *in = f->priv;
    if (cmd != LX_FIONREAD)
        return -LX_ENOTTY;
    mutex_lock(&in->lock);
    u64 size = in->bytes_queued;
    mutex_unlock(&in->lock);
    return put_user((s32)size, uaddr(arg));
}

static void inotify_release(struct file *f)
{
    struct instance *in = f->priv;
    mutex_lock(&in->lock);
    in->is_closed = true;
    mutex_unlock(&in->lock);
    end_watches_of(in);
    instance_put(in);
}

static const struct file_ops inotify_fops = {
    .read = inotify_read,
    .seek = noop_seek,
    .poll = inotify_poll,
    .pollq = inotify_pollq,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
};

int inotify_new(u32 flags, struct file **ret_f)
{
    struct instance *in = calloc(1, sizeof(*in));
    struct account *user = account_get();
    bool is_charged =
        in && user && account_charge(&user->inotify_instances, 1, sysctl_inotify_instances);
    if (!is_charged) {
        int err = in && user ? -LX_EMFILE : -LX_ENOMEM;
        account_put(user);
        free(in);
        return err;
    }
    in->user = user;
    in->max_queued = (u32)sysctl_inotify_events;
    ref_init(&in->ref);
    mutex_init(&in->ctl, "inotify.ctl");
    mutex_init(&in->lock, "inotify.instance");
    list_init(&in->queue);
    waitq_init(&in->wait);
    int r = file_new_anon("anon_inode:inotify", 0600, &inotify_fops, in,
                          LX_O_RDONLY | (flags & LX_IN_NONBLOCK), FMODE_READ | FMODE_NOOP_SEEK, ret_f);
    if (r < 0)
        instance_put(in);
    return r;
}
