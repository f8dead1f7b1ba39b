/*
 * POSIX message queues. See mqueue.h.
 *
 * A queue is an inode in a flat directory, counted by its name until unlink and by
 * open files. Its messages stand in order of priority, then arrival. Senders and receivers
 * that must wait sleep on one wait queue each and look for themselves.
 *
 * Lock order: directory's inode.lock → mq_super.lock → mqueue.lock → waitq
 */
#include "fs/mqueue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "abi/signal.h"
#include "vfs/task_ops.h"

#define MQUEUE_MAGIC   0x19800202
#define HARD_MSGMAX    65536
#define HARD_MSGSIZE   (16UL << 20)
#define PRIO_MAX       32768U
#define SUPER_BYTES_MAX (256UL << 20) /* of text in one namespace, whatever the limits say */

_Atomic s64 sysctl_mq_queues_max = 256, sysctl_mq_msg_max = 10, sysctl_mq_msgsize_max = 8192,
            sysctl_mq_msg_default = 10, sysctl_mq_msgsize_default = 8192;
const struct mqueue_hooks *mqueue_hooks;

struct mq_msg {
    struct list node;
    u32 prio;
    u64 size;
    void *text; /* owned */
};

struct mqueue {
    struct list node;     /* in the super; guarded by mq_super.lock */
    char *name;           /* owned; NULL: unlinked */
    struct inode *inode;  /* counted while it has a name */
    struct mq_super *ms;
    void *user;           /* charged */
    u64 charged;

    struct mutex lock;    /* guards what follows */
    s64 maxmsg, msgsize;  /* immutable */
    struct list msgs;
    u64 count, bytes;
    u32 nreceivers;       /* that sleep */
    s32 notify_pid;       /* 0: nobody */
    struct mq_notice notice;
    struct waitq pollq, senders, receivers;
};

struct mq_super {
    struct mutex lock;
    struct list queues;   /* guarded by lock */
    u32 count;
    _Atomic u64 bytes;
};

static const struct inode_ops queue_iops;
static const struct file_ops queue_fops;

/* What the create that is under way in this thread makes. */
static _Thread_local const struct lx_mq_attr *pending_attr;

static struct mqueue *queue_of(struct inode *i)
{
    return i->priv;
}

/* ---- queues as inodes ------------------------------------------------------------------------ */

static int check_attr(const struct lx_mq_attr *a)
{
    bool is_privileged = vfs_capable(LX_CAP_SYS_RESOURCE);
    s64 msgs = is_privileged ? HARD_MSGMAX : atomic_load(&sysctl_mq_msg_max);
    s64 size = is_privileged ? (s64)HARD_MSGSIZE : atomic_load(&sysctl_mq_msgsize_max);
    return a->maxmsg <= 0 || a->msgsize <= 0 || a->maxmsg > msgs || a->msgsize > size ? -LX_EINVAL : 0;
}

static void queue_free(struct mqueue *q)
{
    struct mq_msg *m, *tmp;
    list_for_each_safe(m, tmp, &q->msgs, node) {
        atomic_fetch_sub(&q->ms->bytes, m->size);
        free(m->text);
        free(m);
    }
    if (q->notice.sock)
        file_put(q->notice.sock);
    if (q->charged)
        mqueue_hooks->uncharge(q->user, q->charged);
    waitq_done(&q->pollq);
    waitq_done(&q->senders);
    waitq_done(&q->receivers);
    free(q->name);
    free(q);
}

static int queue_new(struct mq_super *ms, const char *name, const struct lx_mq_attr *a,
                     struct mqueue **ret_q)
{
    struct mqueue *q = calloc(1, sizeof(*q));
    char *copy = strdup(name);
    if (!q || !copy) {
        free(q);
        free(copy);
        return -LX_ENOMEM;
    }
    q->name = copy;
    q->ms = ms;
    list_init(&q->node);
    list_init(&q->msgs);
    mutex_init(&q->lock, "mqueue");
    waitq_init(&q->pollq);
    waitq_init(&q->senders);
    waitq_init(&q->receivers);
    q->maxmsg = a->maxmsg;
    q->msgsize = a->msgsize;
    u64 bytes = (u64)a->maxmsg * ((u64)a->msgsize + 48); /* as Linux counts it, with its headers */
    int r = mqueue_hooks->charge(bytes, &q->user);
    if (r < 0) {
        queue_free(q);
        return r;
    }
    q->charged = bytes;
    *ret_q = q;
    return 0;
}

static int dir_create(struct inode *dir, struct dentry *d, u32 mode)
{
    struct mq_super *ms = dir->sb->priv;
    struct lx_mq_attr def = {.maxmsg = MIN(atomic_load(&sysctl_mq_msg_max), atomic_load(&sysctl_mq_msg_default)),
                             .msgsize = MIN(atomic_load(&sysctl_mq_msgsize_max),
                                            atomic_load(&sysctl_mq_msgsize_default))};
    const struct lx_mq_attr *a = pending_attr ? pending_attr : &def;
    struct mqueue *q;
    int r = check_attr(a);
    if (r < 0)
        return r;
    {
        MUTEX_GUARD(&ms->lock);
        if (ms->count >= (u64)atomic_load(&sysctl_mq_queues_max) && !vfs_capable(LX_CAP_SYS_RESOURCE))
            return -LX_ENOSPC;
    }
    r = queue_new(ms, d->name, a, &q);
    if (r < 0)
        return r;
    struct inode *i = inode_new(dir->sb, 0, LX_S_IFREG | 0600, &queue_iops, &queue_fops);
    if (!i) {
        queue_free(q);
        return -LX_ENOMEM;
    }
    inode_init_owner(i, dir, LX_S_IFREG | (mode & 07777));
    i->priv = q;
    i->size = 80;
    q->inode = i;
    inode_get(i); /* the name's */
    mutex_lock(&ms->lock);
    list_add_tail(&ms->queues, &q->node);
    ms->count++;
    mutex_unlock(&ms->lock);
    dentry_instantiate(d, i);
    inode_touch(dir, false, true, true);
    return 0;
}

static struct mqueue *find(struct mq_super *ms, const char *name) REQUIRES(ms->lock)
{
    struct mqueue *q;
    list_for_each(q, &ms->queues, node)
        if (!strcmp(q->name, name))
            return q;
    return NULL;
}

static int dir_lookup(struct inode *dir, struct dentry *d)
{
    struct mq_super *ms = dir->sb->priv;
    MUTEX_GUARD(&ms->lock);
    struct mqueue *q = find(ms, d->name);
    if (q) {
        inode_get(q->inode);
        dentry_instantiate(d, q->inode);
    }
    return 0;
}

static int dir_unlink(struct inode *dir, struct dentry *d)
{
    struct mq_super *ms = dir->sb->priv;
    struct mqueue *q = queue_of(d->inode);
    {
        MUTEX_GUARD(&ms->lock);
        if (list_empty(&q->node))
            return -LX_ENOENT;
        list_del(&q->node);
        ms->count--;
    }
    atomic_store(&d->inode->nlink, 0);
    inode_touch(dir, false, true, true);
    inode_put(q->inode); /* the name's; the dentry holds another */
    return 0;
}

static int dir_readdir(struct file *f, struct dir_ctx *ctx)
{
    struct mq_super *ms = f->inode->sb->priv;
    if (f->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, f->inode->ino, LX_DT_DIR, 1))
            return 0;
        f->pos = 1;
    }
    if (f->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, f->path.dentry->parent->inode->ino, LX_DT_DIR, 2))
            return 0;
        f->pos = 2;
    }
    MUTEX_GUARD(&ms->lock);
    struct mqueue *q;
    s64 pos = 2;
    list_for_each(q, &ms->queues, node) {
        if (pos++ < f->pos)
            continue;
        if (!ctx->emit(ctx, q->name, strlen(q->name), q->inode->ino, LX_DT_REG, pos))
            break;
        f->pos = pos;
    }
    return 0;
}

/* ---- notices ----------------------------------------------------------------------------------- */

#define MQ_NOTE_WOKEN   1 /* what a socket is told */
#define MQ_NOTE_REMOVED 2

/* Nobody is registered any more. *ret is to be told after unlocking. */
static void notice_take(struct mqueue *q, struct mq_notice *ret) REQUIRES(q->lock)
{
    *ret = q->notice;
    q->notify_pid = 0;
    q->notice = (struct mq_notice){0};
}

/* No locks: this may be the socket's last reference. */
static void notice_post(struct mq_notice *n, u8 why)
{
    if (!n->sock)
        return;
    n->cookie[MQ_COOKIE_SIZE - 1] = why;
    n->post(n->sock, n->cookie, MQ_COOKIE_SIZE);
    file_put(n->sock);
    n->sock = NULL;
}

/* ---- queues as files -------------------------------------------------------------------------- */

/* The state as text, for a read(2). */
static s64 queue_read(struct file *f, struct uio *to, s64 *off)
{
    struct mqueue *q = queue_of(f->inode);
    char text[96];
    mutex_lock(&q->lock);
    int n = snprintf(text, sizeof(text), "QSIZE:%-10llu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
                     (unsigned long long)q->bytes, q->notify_pid ? q->notice.kind : 0,
                     q->notify_pid && q->notice.kind == LX_SIGEV_SIGNAL ? q->notice.signo : 0,
                     q->notify_pid ? vfs_task_ops->to_vid(VFS_WHO_PID, q->notify_pid) : 0);
    mutex_unlock(&q->lock);
    if (*off >= n)
        return 0;
    s64 r = uio_copy_to(to, text + *off, (u64)(n - *off));
    if (r > 0)
        *off += r;
    return r;
}

static u32 queue_poll(struct file *f)
{
    struct mqueue *q = queue_of(f->inode);
    MUTEX_GUARD(&q->lock);
    return (q->count > 0 ? WAIT_IN | WAIT_RDNORM : 0) |
           (q->count < (u64)q->maxmsg ? WAIT_OUT | WAIT_WRNORM : 0);
}

static struct waitq *queue_pollq(struct file *f)
{
    return &queue_of(f->inode)->pollq;
}

/* A process that closes the queue gives its notification up. */
static int queue_flush(struct file *f)
{
    struct mqueue *q = queue_of(f->inode);
    struct mq_notice n = {0};
    mutex_lock(&q->lock);
    if (q->notify_pid && q->notify_pid == vfs_task_ops->tgid())
        notice_take(q, &n);
    mutex_unlock(&q->lock);
    notice_post(&n, MQ_NOTE_REMOVED);
    return 0;
}

static const struct inode_ops queue_iops;
static const struct file_ops queue_fops = {.read = queue_read,
                                           .seek = generic_seek,
                                           .poll = queue_poll,
                                           .pollq = queue_pollq,
                                           .flush = queue_flush};

/* ---- super -------------------------------------------------------------------------------------- */

static const struct inode_ops dir_iops = {.lookup = dir_lookup, .create = dir_create, .unlink = dir_unlink};
static const struct file_ops dir_fops = {.readdir = dir_readdir, .seek = generic_seek};

static int mq_statfs(struct super *sb, struct kstatfs *ret)
{
    *ret = (struct kstatfs){
        .type = MQUEUE_MAGIC, .bsize = PAGE_SIZE, .frsize = PAGE_SIZE, .namelen = 255};
    return 0;
}

static void mq_evict(struct inode *i)
{
    if (i->priv)
        queue_free(i->priv);
}

static void mq_kill(struct super *sb)
{
    free(sb->priv);
}

static bool mq_is_transient(struct dentry *d)
{
    return true;
}

static const struct super_ops mq_super_ops = {.statfs = mq_statfs, .evict = mq_evict, .kill = mq_kill};
static const struct dentry_ops mq_dentry_ops = {.is_transient = mq_is_transient};

static int mq_mount(const struct fs_type *type, u32 ms_flags, const char *source, const char *opts,
                    struct super **ret_sb)
{
    return mqueue_hooks ? mqueue_hooks->super(ret_sb) : -LX_ENODEV;
}

static struct fs_type mq_type = {.name = "mqueue", .flags = FS_USERNS_MOUNT, .mount = mq_mount};

int mqueue_super_new(struct super **ret_sb)
{
    struct mq_super *ms = calloc(1, sizeof(*ms));
    struct super *sb = ms ? super_new(&mq_type, &mq_super_ops, "mqueue", ms) : NULL;
    if (!sb) {
        free(ms);
        return -LX_ENOMEM;
    }
    mutex_init(&ms->lock, "mq_super");
    list_init(&ms->queues);
    sb->d_ops = &mq_dentry_ops;
    struct inode *i = inode_new(sb, 0, LX_S_IFDIR | LX_S_ISVTX | 0777, &dir_iops, &dir_fops);
    sb->root = i ? dentry_make_root(sb, i) : NULL;
    if (!sb->root) {
        super_put(sb);
        return -LX_ENOMEM;
    }
    i->nlink = 2;
    *ret_sb = sb;
    return 0;
}

void mqueue_super_gone(struct super *sb)
{
    struct mq_super *ms = sb ? sb->priv : NULL;
    struct mqueue *q;
    while (ms) {
        mutex_lock(&ms->lock);
        q = list_first(&ms->queues, struct mqueue, node);
        if (q)
            list_del(&q->node);
        mutex_unlock(&ms->lock);
        if (!q)
            break;
        inode_put(q->inode);
    }
    super_put(sb);
}

int mqueue_init(void)
{
    fs_register(&mq_type);
    return 0;
}

/* ---- names ---------------------------------------------------------------------------------------- */

static int check_name(const char *name)
{
    if (!*name)
        return -LX_ENOENT;
    if (strlen(name) > LX_NAME_MAX)
        return -LX_ENAMETOOLONG;
    return strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") ? -LX_EACCES : 0;
}

/* A mount of the task's queues, of this call only. */
static int own_mount(struct mount **ret_m)
{
    struct super *sb;
    int r = mqueue_hooks->super(&sb);
    if (r < 0)
        return r;
    *ret_m = mount_new(sb, LX_MS_NOSUID | LX_MS_NODEV | LX_MS_NOEXEC);
    super_put(sb);
    return *ret_m ? 0 : -LX_ENOMEM;
}

int mqueue_open(const char *name, u32 oflags, u32 mode, const struct lx_mq_attr *attr,
                struct file **ret_f)
{
    struct mount *m;
    int r = check_name(name);
    if (r == 0)
        r = own_mount(&m);
    if (r < 0)
        return r;
    struct path root = {m, m->root};
    struct open_how how = {
        .flags = oflags & (LX_O_ACCMODE | LX_O_CREAT | LX_O_EXCL | LX_O_NONBLOCK | LX_O_CLOEXEC),
        .mode = mode & 0777,
    };
    pending_attr = attr;
    r = vfs_open_at(&root, name, &how, ret_f);
    pending_attr = NULL;
    mount_put(m);
    return r;
}

int mqueue_unlink(const char *name)
{
    struct mount *m;
    struct dentry *d;
    int r = check_name(name);
    if (r == 0)
        r = own_mount(&m);
    if (r < 0)
        return r;
    struct inode *dir = m->root->inode;
    r = dentry_lookup(m->root, name, strlen(name), &d);
    if (r == 0) {
        struct inode *i = d->inode;
        r = i ? inode_permission(dir, LX_W_OK | LX_X_OK) : -LX_ENOENT;
        if (r == 0 && vfs_cred()->fsuid != i->uid && vfs_cred()->fsuid != dir->uid &&
            !vfs_capable(LX_CAP_FOWNER))
            r = -LX_EPERM;
        if (r == 0) {
            MUTEX_GUARD(&dir->lock);
            r = dir_unlink(dir, d);
            if (r == 0)
                dentry_drop(d);
        }
        dentry_put(d);
    }
    mount_put(m);
    return r;
}

/* ---- messages -------------------------------------------------------------------------------------- */

static struct mqueue *queue_of_file(struct file *f)
{
    return f->ops == &queue_fops ? queue_of(f->inode) : NULL;
}

u64 mqueue_msgsize(struct file *f)
{
    struct mqueue *q = queue_of_file(f);
    return q ? (u64)q->msgsize : 0;
}

/* The process that asked is told of a message in an empty queue that nobody waits for. */
static void notify(struct mqueue *q, struct mq_notice *ret) REQUIRES(q->lock)
{
    s32 pid = q->notify_pid;
    notice_take(q, ret);
    if (ret->kind == LX_SIGEV_SIGNAL)
        mqueue_hooks->signal(pid, ret->signo, ret->value);
}

/* 0: queued; -LX_EAGAIN: full. */
static int try_send(struct mqueue *q, struct mq_msg *m)
{
    struct mq_notice n = {0};
    mutex_lock(&q->lock);
    if (q->count >= (u64)q->maxmsg) {
        mutex_unlock(&q->lock);
        return -LX_EAGAIN;
    }
    struct mq_msg *o;
    list_for_each(o, &q->msgs, node)
        if (o->prio < m->prio)
            break;
    list_add_tail(&o->node, &m->node);
    q->bytes += m->size;
    if (q->count++ == 0 && q->nreceivers == 0 && q->notify_pid)
        notify(q, &n);
    mutex_unlock(&q->lock);
    notice_post(&n, MQ_NOTE_WOKEN);
    return 0;
}

static struct mq_msg *try_receive(struct mqueue *q)
{
    MUTEX_GUARD(&q->lock);
    struct mq_msg *m = list_first(&q->msgs, struct mq_msg, node);
    if (m) {
        list_del(&m->node);
        q->bytes -= m->size;
        q->count--;
    }
    return m;
}

static void count_receiver(struct mqueue *q, int delta)
{
    MUTEX_GUARD(&q->lock);
    q->nreceivers += (u32)delta;
}

static int send_waiting(struct mqueue *q, struct mq_msg *m, s64 deadline_ns)
{
    struct waiter w;
    int r;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&q->senders, &w);
    while ((r = try_send(q, m)) == -LX_EAGAIN) {
        r = park_interruptible_real(deadline_ns);
        if (r < 0)
            break;
    }
    waitq_del(&q->senders, &w);
    return r;
}

int mqueue_send(struct file *f, void *text, u64 size, u32 prio, s64 deadline_ns)
{
    struct mqueue *q = queue_of_file(f);
    if (!q || !(f->mode & FMODE_WRITE))
        return -LX_EBADF;
    if (prio >= PRIO_MAX)
        return -LX_EINVAL;
    if (size > (u64)q->msgsize)
        return -LX_EMSGSIZE;
    if (atomic_fetch_add(&q->ms->bytes, size) + size > SUPER_BYTES_MAX) {
        atomic_fetch_sub(&q->ms->bytes, size);
        return -LX_ENOMEM;
    }
    struct mq_msg *m = calloc(1, sizeof(*m));
    int r = m ? 0 : -LX_ENOMEM;
    if (m) {
        *m = (struct mq_msg){.prio = prio, .size = size, .text = text};
        r = try_send(q, m);
        if (r == -LX_EAGAIN && !file_is_nonblock(f))
            r = send_waiting(q, m, deadline_ns);
    }
    if (r < 0) {
        atomic_fetch_sub(&q->ms->bytes, size);
        free(m);
        return r;
    }
    waitq_wake(&q->receivers, WAIT_ALL);
    waitq_wake(&q->pollq, WAIT_IN | WAIT_RDNORM);
    return 0;
}

static int receive_waiting(struct mqueue *q, s64 deadline_ns, struct mq_msg **ret_m)
{
    struct waiter w;
    int r = 0;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&q->receivers, &w);
    count_receiver(q, 1);
    while (!(*ret_m = try_receive(q))) {
        r = park_interruptible_real(deadline_ns);
        if (r < 0)
            break;
    }
    count_receiver(q, -1);
    waitq_del(&q->receivers, &w);
    return *ret_m ? 0 : r;
}

s64 mqueue_receive(struct file *f, u64 room, s64 deadline_ns, void **ret_text, u32 *ret_prio)
{
    struct mqueue *q = queue_of_file(f);
    if (!q || !(f->mode & FMODE_READ))
        return -LX_EBADF;
    if (room < (u64)q->msgsize)
        return -LX_EMSGSIZE;
    struct mq_msg *m = try_receive(q);
    if (!m && file_is_nonblock(f))
        return -LX_EAGAIN;
    int r = m ? 0 : receive_waiting(q, deadline_ns, &m);
    if (r < 0)
        return r;
    atomic_fetch_sub(&q->ms->bytes, m->size);
    s64 size = (s64)m->size;
    *ret_text = m->text;
    *ret_prio = m->prio;
    free(m);
    waitq_wake(&q->senders, WAIT_ALL);
    waitq_wake(&q->pollq, WAIT_OUT | WAIT_WRNORM);
    return size;
}

int mqueue_notify(struct file *f, const struct mq_notice *n)
{
    struct mqueue *q = queue_of_file(f);
    s32 own = vfs_task_ops->tgid();
    struct mq_notice old = {0};
    int r = 0;
    if (!q)
        return -LX_EBADF;
    mutex_lock(&q->lock);
    if (!n) {
        if (q->notify_pid == own)
            notice_take(q, &old);
    } else if (q->notify_pid) {
        r = -LX_EBUSY;
    } else {
        q->notify_pid = own;
        q->notice = *n;
    }
    mutex_unlock(&q->lock);
    notice_post(&old, MQ_NOTE_REMOVED);
    return r;
}

int mqueue_attr(struct file *f, const struct lx_mq_attr *new_attr, struct lx_mq_attr *ret_old)
{
    struct mqueue *q = queue_of_file(f);
    if (new_attr && (new_attr->flags & ~(s64)LX_O_NONBLOCK))
        return -LX_EINVAL;
    if (!q)
        return -LX_EBADF;
    MUTEX_GUARD(&q->lock);
    *ret_old = (struct lx_mq_attr){.flags = file_is_nonblock(f) ? LX_O_NONBLOCK : 0,
                                   .maxmsg = q->maxmsg,
                                   .msgsize = q->msgsize,
                                   .curmsgs = (s64)q->count};
    if (new_attr && (new_attr->flags & LX_O_NONBLOCK))
        atomic_fetch_or(&f->flags, LX_O_NONBLOCK);
    else if (new_attr)
        atomic_fetch_and(&f->flags, ~(u32)LX_O_NONBLOCK);
    return 0;
}
