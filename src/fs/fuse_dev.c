/* FUSE: /dev/fuse, and what servers say by themselves. See fuse_int.h. */
#include <stdlib.h>
#include <string.h>

#include "fs/fuse_int.h"
#include "vfs/special.h"

#define NOTIFY_MAX (FUSE_MAX_ANSWER + 4096U)

/* ---- notifications ------------------------------------------------------------------------- */

static s64 inval_inode(struct fuse_conn *c, u64 nodeid, s64 off)
{
    struct inode *i = fuse_inode_find(c, nodeid);
    if (!i)
        return -LX_ENOENT;
    fuse_mark_stale(i);
    if (off >= 0)
        fuse_data_stale(i);
    inode_put(i);
    return 0;
}

static s64 inval_entry(struct fuse_conn *c, u64 parent)
{
    struct inode *i = fuse_inode_find(c, parent);
    if (!i)
        return -LX_ENOENT;
    atomic_fetch_add(&fuse_of(i)->names_gen, 1);
    fuse_mark_stale(i);
    inode_put(i);
    return 0;
}

static s64 notified_name(struct fuse_conn *c, u64 parent, u32 namelen, size_t left)
{
    if (namelen > LX_NAME_MAX)
        return -LX_ENAMETOOLONG;
    return left == namelen + 1U ? inval_entry(c, parent) : -LX_EINVAL;
}

/* The server wants what is cached of a file: nothing is. */
static s64 retrieve(struct fuse_conn *c, const struct lx_fuse_notify_retrieve *r)
{
    struct inode *i = fuse_inode_find(c, r->nodeid);
    if (!i)
        return -LX_ENOENT;
    inode_put(i);
    struct lx_fuse_notify_retrieve_in in = {.offset = r->offset};
    fuse_post(c, &(struct fuse_args){
                     .op = LX_FUSE_NOTIFY_REPLY, .nodeid = r->nodeid, .in = {{&in, sizeof(in)}}});
    return 0;
}

static s64 notified(struct fuse_conn *c, int code, const u8 *body, size_t size)
{
    struct lx_fuse_inval_inode i;
    struct lx_fuse_inval_entry e;
    struct lx_fuse_notify_delete d;
    struct lx_fuse_notify_store s;
    struct lx_fuse_notify_retrieve r;
    switch (code) {
    case LX_FUSE_NOTIFY_INVAL_INODE:
        if (size != sizeof(i))
            return -LX_EINVAL;
        memcpy(&i, body, sizeof(i));
        return inval_inode(c, i.ino, i.off);
    case LX_FUSE_NOTIFY_INVAL_ENTRY:
        if (size < sizeof(e))
            return -LX_EINVAL;
        memcpy(&e, body, sizeof(e));
        return notified_name(c, e.parent, e.namelen, size - sizeof(e));
    case LX_FUSE_NOTIFY_DELETE:
        if (size < sizeof(d))
            return -LX_EINVAL;
        memcpy(&d, body, sizeof(d));
        return notified_name(c, d.parent, d.namelen, size - sizeof(d));
    case LX_FUSE_NOTIFY_STORE: /* not kept: asked for when it is wanted */
        if (size < sizeof(s))
            return -LX_EINVAL;
        memcpy(&s, body, sizeof(s));
        return size - sizeof(s) == s.size ? inval_inode(c, s.nodeid, 0) : -LX_EINVAL;
    case LX_FUSE_NOTIFY_RETRIEVE:
        if (size != sizeof(r))
            return -LX_EINVAL;
        memcpy(&r, body, sizeof(r));
        return retrieve(c, &r);
    default:
        return -LX_EINVAL;
    }
}

/* ---- the device ---------------------------------------------------------------------------- */

static struct mutex attach_lock = MUTEX_INIT("fuse_attach"); /* guards f->priv of all of them */

static struct fuse_conn *conn_of_dev(struct file *f)
{
    return __atomic_load_n(&f->priv, __ATOMIC_ACQUIRE); /* set once, kept until release */
}

int fuse_dev_attach(struct file *f, struct fuse_conn *c)
{
    MUTEX_GUARD(&attach_lock);
    if (f->priv)
        return -LX_EINVAL;
    fuse_dev_added(c);
    __atomic_store_n(&f->priv, c, __ATOMIC_RELEASE);
    return 0;
}

static int dev_open(struct inode *i, struct file *f)
{
    f->mode |= FMODE_MESSAGES;
    return 0;
}

static void dev_release(struct file *f)
{
    if (f->priv)
        fuse_dev_gone(f->priv, f);
}

/* Sleeps until there may be something to read; one of those that sleep is woken for each message.
 */
static int wait_ready(struct fuse_conn *c)
{
    struct waiter w;
    int r = 0;
    waiter_init_thread(&w, FUSE_EV_IN);
    waitq_add_exclusive(&c->readers, &w);
    while (r == 0 && c->nready == 0 && c->is_connected)
        r = park_interruptible(NO_DEADLINE);
    waitq_del(&c->readers, &w);
    if (r < 0 && c->nready > 0)
        waitq_wake_n(&c->readers, FUSE_EV_IN, 1); /* what may have woken us is another's now */
    return r;
}

static s64 dev_read(struct file *f, struct uio *to, s64 *off)
{
    struct fuse_conn *c = conn_of_dev(f);
    void *msg;
    u32 size;
    if (!c)
        return -LX_EPERM;
    u64 most = sizeof(struct lx_fuse_in_header) + sizeof(struct lx_fuse_write_in) +
               (c->is_begun ? c->max_write : 0);
    if (to->left < MAX(most, (u64)LX_FUSE_MIN_READ))
        return -LX_EINVAL;
    while (!(size = fuse_take_message(c, f, to->left, &msg))) {
        if (!c->is_connected)
            return -LX_ENODEV;
        if (file_is_nonblock(f))
            return -LX_EAGAIN;
        int r = wait_ready(c);
        if (r < 0)
            return r;
    }
    s64 n = uio_copy_to(to, msg, size);
    if (n != (s64)size) {
        fuse_undelivered(c, msg);
        n = -LX_EFAULT;
    }
    free(msg);
    return n;
}

static s64 dev_write(struct file *f, struct uio *from, s64 *off)
{
    struct fuse_conn *c = conn_of_dev(f);
    struct lx_fuse_out_header h;
    u64 total = from->left;
    if (!c)
        return -LX_EPERM;
    if (total < sizeof(h) || total > sizeof(h) + NOTIFY_MAX)
        return -LX_EINVAL;
    if (uio_copy_from(from, &h, sizeof(h)) != (s64)sizeof(h))
        return -LX_EFAULT;
    /* A header that was vmspliced may be made to fit afterwards, for on Linux the pipe shows the
     * server's own page (libfuse does that when a file turns out shorter). Ours holds a copy. */
    if (h.len != total && !(from->is_kernel && h.len > total))
        return -LX_EINVAL;
    u32 size = (u32)(total - sizeof(h));
    void *body = malloc(size + 1U);
    if (!body)
        return -LX_ENOMEM;
    s64 r = size ? uio_copy_from(from, body, size) : 0;
    if (r != (s64)size)
        r = -LX_EFAULT;
    else if (h.unique == 0)
        r = notified(c, h.error, body, size);
    else if (h.error <= -512 || h.error > 0)
        r = -LX_EINVAL;
    else
        r = fuse_answered(c, &h, &body, size);
    free(body);
    return r < 0 ? r : (s64)total;
}

static u32 dev_poll(struct file *f)
{
    struct fuse_conn *c = conn_of_dev(f);
    if (!c || !c->is_connected)
        return WAIT_ERR | WAIT_OUT | WAIT_WRNORM;
    return WAIT_OUT | WAIT_WRNORM | (c->nready > 0 ? FUSE_EV_IN : 0);
}

static struct waitq *dev_pollq(struct file *f)
{
    struct fuse_conn *c = conn_of_dev(f);
    return c ? &c->readers : NULL;
}

/* Another descriptor for the connection of descriptor arg. */
static s64 dev_clone(struct file *f, uaddr_t arg)
{
    u32 fd;
    if (get_user(fd, arg) < 0)
        return -LX_EFAULT;
    struct file *old cleanup(file_put_p) = fd > INT32_MAX ? NULL : fd_get((int)fd);
    if (!old || old->ops != &fuse_dev_fops || !conn_of_dev(old))
        return -LX_EINVAL;
    return fuse_dev_attach(f, conn_of_dev(old));
}

static s64 dev_ioctl(struct file *f, u32 cmd, u64 arg)
{
    return cmd == LX_FUSE_DEV_IOC_CLONE ? dev_clone(f, uaddr(arg)) : -LX_ENOTTY;
}

const struct file_ops fuse_dev_fops = {
    .open = dev_open,
    .read = dev_read,
    .write = dev_write,
    .poll = dev_poll,
    .pollq = dev_pollq,
    .ioctl = dev_ioctl,
    .release = dev_release,
};
