/*
 * SECCOMP_RET_USER_NOTIF: a call waits while a supervisor, which holds the
 * listener, decides it (seccomp_unotify(2)).
 *
 * A notification lives on the waiting task's stack and is in the listener's
 * list until the task takes it out, under the listener's lock. States: INIT →
 * SENT (the supervisor has read it) → REPLIED. The listener is counted by its file, and while a task
 * waits; the filter points to it until its file is released.
 */
#include <stdlib.h>
#include <string.h>

#include "kern/seccomp.h"

#define IOC(dir, nr, size)      ((u32)(dir) << 30 | (u32)(size) << 16 | (u32)'!' << 8 | (nr))
#define IOCTL_NOTIF_RECV        IOC(3, 0, 80)
#define IOCTL_NOTIF_SEND        IOC(3, 1, 24)
#define IOCTL_NOTIF_ID_VALID    IOC(1, 2, 8)
#define IOCTL_NOTIF_ID_VALID_OLD IOC(2, 2, 8)
#define IOCTL_NOTIF_ADDFD       IOC(1, 3, 24)

#define IOC_SIZE_MASK           (0x3fffU << 16)

struct lx_notif {
    u64 id;
    u32 pid, flags;
    struct lx_seccomp_data data;
};
_Static_assert(sizeof(struct lx_notif) == 80, "seccomp_notif");
struct lx_notif_resp {
    u64 id;
    s64 val;
    s32 error;
    u32 flags;
};
struct lx_notif_addfd {
    u64 id;
    u32 flags, srcfd, newfd, newfd_flags;
};

enum notif_state { NOTIF_INIT, NOTIF_SENT, NOTIF_REPLIED };

struct notif {
    struct list node;
    u64 id;
    enum notif_state state;
    struct task *task;
    const struct lx_seccomp_data *data;
    s64 val;
    s32 error;
    u32 flags;
};

struct seccomp_listener {
    struct ref ref;
    struct mutex lock;
    struct list notifs; /* guarded by lock, as all below */
    u64 next_id;
    struct seccomp_filter *filter; /* owned by the file */
    bool is_closed, is_orphan;     /* the file is gone; no task has the filter any more */
    bool is_wait_killable;         /* immutable: once read, a call waits for its answer or death */
    struct waitq wait;             /* supervisors and polls */
};

static void listener_put(struct seccomp_listener *l)
{
    if (!l || !ref_put(&l->ref))
        return;
    waitq_done(&l->wait);
    free(l);
}

static struct notif *find(struct seccomp_listener *l, u64 id)
{
    struct notif *n;
    list_for_each(n, &l->notifs, node) {
        if (n->id == id)
            return n;
    }
    return NULL;
}

/* ---- the supervised side ------------------------------------------------------------------- */

static struct seccomp_listener *listener_of(struct seccomp_filter *f)
{
    MUTEX_GUARD(&f->lock);
    struct seccomp_listener *l = f->listener;
    return l && ref_get_unless_zero(&l->ref) ? l : NULL;
}

static bool must_die(struct task *t)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    return t->is_exit_requested;
}

bool seccomp_notify(struct task *t, struct seccomp_filter *f, const struct lx_seccomp_data *d,
                    s64 *ret_result)
{
    *ret_result = -LX_ENOSYS;
    struct seccomp_listener *l = listener_of(f);
    if (!l)
        return false;
    struct notif n = {.state = NOTIF_INIT, .task = t, .data = d, .error = -LX_ENOSYS};
    int r = 0;
    mutex_lock(&l->lock);
    n.id = l->next_id++;
    list_add_tail(&l->notifs, &n.node);
    mutex_unlock(&l->lock);
    waitq_wake(&l->wait, WAIT_IN | WAIT_RDNORM);
    for (;;) {
        mutex_lock(&l->lock);
        bool is_over = n.state == NOTIF_REPLIED || l->is_closed;
        bool is_sure = n.state == NOTIF_SENT && l->is_wait_killable;
        mutex_unlock(&l->lock);
        if (is_over || (is_sure ? must_die(t) : r < 0))
            break;
        r = is_sure ? park_uninterruptible(NO_DEADLINE) : park_interruptible(NO_DEADLINE);
    }
    mutex_lock(&l->lock);
    list_del(&n.node);
    bool is_replied = n.state == NOTIF_REPLIED;
    mutex_unlock(&l->lock);
    listener_put(l);
    if (!is_replied) {
        *ret_result = r < 0 || must_die(t) ? -LX_ERESTARTSYS : -LX_ENOSYS;
        return false;
    }
    if (n.flags & LX_SECCOMP_USER_NOTIF_FLAG_CONTINUE)
        return true;
    *ret_result = n.error ? n.error : n.val;
    return false;
}

/* ---- the supervisor's ---------------------------------------------------------------------- */

/* Takes the oldest unread one; false: none. */
static bool take_init(struct seccomp_listener *l, struct task *self, struct lx_notif *ret)
{
    MUTEX_GUARD(&l->lock);
    struct notif *n;
    list_for_each(n, &l->notifs, node) {
        if (n->state != NOTIF_INIT)
            continue;
        n->state = NOTIF_SENT;
        ret->id = n->id;
        ret->pid = (u32)task_tid_in(n->task, task_pid_ns(self));
        ret->data = *n->data;
        if (l->is_wait_killable)
            parker_wake(&n->task->parker); /* it waits otherwise from now on */
        return true;
    }
    return false;
}

static s64 notif_recv(struct seccomp_listener *l, u64 arg)
{
    struct lx_notif out;
    struct task *self = task_current();
    if (copy_in(&out, uaddr(arg), sizeof(out)) < 0)
        return -LX_EFAULT;
    static const struct lx_notif zero;
    if (memcmp(&out, &zero, sizeof(out)) != 0)
        return -LX_EINVAL;
    int r = 0;
    if (!take_init(l, self, &out)) {
        r = wait_event_interruptible(&l->wait, WAIT_IN, take_init(l, self, &out) || l->is_orphan,
                                     NO_DEADLINE);
    }
    if (r == 0 && out.id == 0)
        r = -LX_ENOENT;
    if (r < 0)
        return r;
    if (copy_out(uaddr(arg), &out, sizeof(out)) == 0)
        return 0;
    mutex_lock(&l->lock); /* it was not read after all */
    struct notif *n = find(l, out.id);
    if (n && n->state == NOTIF_SENT)
        n->state = NOTIF_INIT;
    mutex_unlock(&l->lock);
    return -LX_EFAULT;
}

static s64 notif_send(struct seccomp_listener *l, u64 arg)
{
    struct lx_notif_resp resp;
    if (copy_in(&resp, uaddr(arg), sizeof(resp)) < 0)
        return -LX_EFAULT;
    if ((resp.flags & ~(u32)LX_SECCOMP_USER_NOTIF_FLAG_CONTINUE) ||
        (resp.flags && (resp.error || resp.val)))
        return -LX_EINVAL;
    MUTEX_GUARD(&l->lock);
    struct notif *n = find(l, resp.id);
    if (!n)
        return -LX_ENOENT;
    if (n->state != NOTIF_SENT)
        return -LX_EINPROGRESS;
    n->state = NOTIF_REPLIED;
    n->error = resp.error;
    n->val = resp.val;
    n->flags = resp.flags;
    parker_wake(&n->task->parker);
    return 0;
}

static s64 notif_id_valid(struct seccomp_listener *l, u64 arg)
{
    u64 id;
    if (get_user(id, uaddr(arg)) < 0)
        return -LX_EFAULT;
    MUTEX_GUARD(&l->lock);
    struct notif *n = find(l, id);
    return n && n->state == NOTIF_SENT ? 0 : -LX_ENOENT;
}

/* Puts a file of the supervisor into the waiting task's table. */
static s64 notif_addfd(struct seccomp_listener *l, u64 arg, u64 size)
{
    struct lx_notif_addfd a;
    if (size < sizeof(a) || size >= PAGE_SIZE)
        return -LX_EINVAL;
    int e = copy_in_struct(&a, sizeof(a), uaddr(arg), size);
    if (e < 0)
        return e;
    if ((a.flags & ~(u32)(LX_SECCOMP_ADDFD_FLAG_SETFD | LX_SECCOMP_ADDFD_FLAG_SEND)) ||
        (a.newfd_flags & ~(u32)LX_O_CLOEXEC) ||
        (a.newfd && !(a.flags & LX_SECCOMP_ADDFD_FLAG_SETFD)))
        return -LX_EINVAL;
    struct file *f = fd_get((int)a.srcfd);
    if (!f)
        return -LX_EBADF;
    struct fdtable *files = NULL;
    struct task *target = NULL;
    s64 r = -LX_ENOENT;
    mutex_lock(&l->lock);
    struct notif *n = find(l, a.id);
    if (n && n->state == NOTIF_SENT) {
        target = n->task;
        task_get(target);
        files = task_get_files(target);
        r = 0;
    } else if (n) {
        r = -LX_EINPROGRESS;
    }
    mutex_unlock(&l->lock);
    if (files) {
        u64 limit = task_rlimit(target, LX_RLIMIT_NOFILE);
        if (a.flags & LX_SECCOMP_ADDFD_FLAG_SETFD)
            r = fdtable_install_at(files, f, (int)a.newfd, a.newfd_flags, limit);
        else
            r = fdtable_install(files, f, 0, a.newfd_flags, limit);
        fdtable_put(files);
    }
    if (target)
        task_put(target);
    if (r < 0) {
        file_put(f);
        return r;
    }
    if (a.flags & LX_SECCOMP_ADDFD_FLAG_SEND) {
        MUTEX_GUARD(&l->lock);
        n = find(l, a.id);
        if (n && n->state == NOTIF_SENT) {
            n->state = NOTIF_REPLIED;
            n->error = 0;
            n->val = r;
            n->flags = 0;
            parker_wake(&n->task->parker);
        }
    }
    return r;
}

static s64 listener_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct seccomp_listener *l = f->priv;
    if ((cmd & ~IOC_SIZE_MASK) == (IOCTL_NOTIF_ADDFD & ~IOC_SIZE_MASK))
        return notif_addfd(l, arg, (cmd & IOC_SIZE_MASK) >> 16);
    switch (cmd) {
    case IOCTL_NOTIF_RECV:
        return notif_recv(l, arg);
    case IOCTL_NOTIF_SEND:
        return notif_send(l, arg);
    case IOCTL_NOTIF_ID_VALID:
    case IOCTL_NOTIF_ID_VALID_OLD:
        return notif_id_valid(l, arg);
    default:
        return -LX_EINVAL;
    }
}

static u32 listener_poll(struct file *f)
{
    struct seccomp_listener *l = f->priv;
    u32 events = 0;
    struct notif *n;
    MUTEX_GUARD(&l->lock);
    list_for_each(n, &l->notifs, node) {
        if (n->state == NOTIF_INIT)
            events |= WAIT_IN | WAIT_RDNORM;
        if (n->state == NOTIF_SENT)
            events |= WAIT_OUT | WAIT_WRNORM;
    }
    return events | (l->is_orphan ? WAIT_HUP : 0);
}

static struct waitq *listener_pollq(struct file *f)
{
    return &((struct seccomp_listener *)f->priv)->wait;
}

static void listener_release(struct file *f)
{
    struct seccomp_listener *l = f->priv;
    struct notif *n;
    mutex_lock(&l->lock);
    l->is_closed = true;
    struct seccomp_filter *filter = take_ptr(l->filter);
    list_for_each(n, &l->notifs, node)
        parker_wake(&n->task->parker);
    mutex_unlock(&l->lock);
    if (filter) {
        mutex_lock(&filter->lock);
        filter->listener = NULL;
        mutex_unlock(&filter->lock);
        seccomp_filter_unref(filter);
    }
    listener_put(l);
}

void seccomp_listener_orphan(struct seccomp_filter *f)
{
    struct seccomp_listener *l = listener_of(f);
    if (!l)
        return;
    mutex_lock(&l->lock);
    l->is_orphan = true;
    mutex_unlock(&l->lock);
    waitq_wake(&l->wait, WAIT_HUP | WAIT_IN);
    listener_put(l);
}

static const struct file_ops listener_ops = {
    .poll = listener_poll,
    .pollq = listener_pollq,
    .ioctl = listener_ioctl,
    .release = listener_release,
};

int seccomp_listener_new(struct seccomp_filter *f, u32 flags, struct file **ret_f)
{
    struct seccomp_listener *l = calloc(1, sizeof(*l));
    if (!l)
        return -LX_ENOMEM;
    ref_init(&l->ref);
    mutex_init(&l->lock, "seccomp_listener");
    list_init(&l->notifs);
    waitq_init(&l->wait);
    l->next_id = 1;
    l->is_wait_killable = flags & LX_SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    int r = file_new_anon("anon_inode:seccomp notify", 0600, &listener_ops, l, LX_O_RDWR,
                          FMODE_READ | FMODE_WRITE | FMODE_STREAM, ret_f);
    if (r < 0) {
        listener_put(l);
        return r;
    }
    l->filter = f;
    ref_get(&f->ref);
    f->listener = l;
    return 0;
}
