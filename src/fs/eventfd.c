/*
 * eventfd(2): a 64-bit counter that is read to zero (or down by one, as a
 * semaphore) and added to by writes. Readers are woken one at a time; one that
 * leaves something behind wakes the next.
 */
#include "fs/eventfd.h"

#include <stdio.h>
#include <stdlib.h>

#include "vfs/special.h"

#define COUNT_MAX (UINT64_MAX - 1) /* by write; one more only by eventfd_signal */

struct eventfd {
    struct mutex lock;
    _Atomic u64 count; /* written under lock, read without by polls */
    bool is_semaphore; /* immutable */
    u32 id;            /* immutable; fdinfo */
    struct waitq wait;
};

static _Atomic u32 next_id;

#define EV_READ  (WAIT_IN | WAIT_RDNORM)
#define EV_WRITE (WAIT_OUT | WAIT_WRNORM)

/* 0: nothing there. */
static u64 take(struct eventfd *e)
{
    MUTEX_GUARD(&e->lock);
    u64 count = atomic_load_explicit(&e->count, memory_order_relaxed);
    u64 v = count == 0 ? 0 : e->is_semaphore ? 1 : count;
    atomic_store_explicit(&e->count, count - v, memory_order_release);
    return v;
}

static bool add(struct eventfd *e, u64 v)
{
    MUTEX_GUARD(&e->lock);
    u64 count = atomic_load_explicit(&e->count, memory_order_relaxed);
    if (count > COUNT_MAX - v)
        return false;
    atomic_store_explicit(&e->count, count + v, memory_order_release);
    return true;
}

static s64 eventfd_read(struct file *f, struct uio *to, s64 *off)
{
    struct eventfd *e = f->priv;
    if (to->left < sizeof(u64))
        return -LX_EINVAL;
    u64 v = take(e);
    if (v == 0) {
        if (file_is_nonblock(f))
            return -LX_EAGAIN;
        struct waiter w;
        int r = 0;
        waiter_init_thread(&w, EV_READ);
        waitq_add_exclusive(&e->wait, &w);
        while ((v = take(e)) == 0 && r == 0)
            r = park_interruptible(NO_DEADLINE);
        waitq_del(&e->wait, &w);
        if (v == 0)
            return r;
        if (atomic_load(&e->count) > 0)
            waitq_wake_n(&e->wait, EV_READ, 1);
    }
    waitq_wake(&e->wait, EV_WRITE);
    s64 n = uio_copy_to(to, &v, sizeof(v));
    return n == (s64)sizeof(v) ? n : -LX_EFAULT;
}

static s64 eventfd_write(struct file *f, struct uio *from, s64 *off)
{
    struct eventfd *e = f->priv;
    u64 v;
    if (from->left != sizeof(v)) /* since Linux 6.9 not more either */
        return -LX_EINVAL;
    if (uio_copy_from(from, &v, sizeof(v)) != (s64)sizeof(v))
        return -LX_EFAULT;
    if (v == UINT64_MAX)
        return -LX_EINVAL;
    if (!add(e, v)) {
        if (file_is_nonblock(f))
            return -LX_EAGAIN;
        struct waiter w;
        int r = 0;
        bool is_added;
        waiter_init_thread(&w, EV_WRITE);
        waitq_add(&e->wait, &w); /* not exclusive: another's smaller value may fit where ours does not */
        while (!(is_added = add(e, v)) && r == 0)
            r = park_interruptible(NO_DEADLINE);
        waitq_del(&e->wait, &w);
        if (!is_added)
            return r;
    }
    waitq_wake_n(&e->wait, EV_READ, 1);
    return sizeof(v);
}

void eventfd_signal(struct file *f, u64 n)
{
    struct eventfd *e = f->priv;
    {
        MUTEX_GUARD(&e->lock);
        u64 count = atomic_load(&e->count);
        atomic_store(&e->count, n > UINT64_MAX - count ? UINT64_MAX : count + n);
    }
    waitq_wake_n(&e->wait, EV_READ, 1);
}

static u32 eventfd_poll(struct file *f)
{
    struct eventfd *e = f->priv;
    u64 count = atomic_load_explicit(&e->count, memory_order_acquire);
    u32 ev = 0;
    if (count > 0)
        ev |= WAIT_IN;
    if (count == UINT64_MAX)
        ev |= WAIT_ERR;
    if (count < COUNT_MAX)
        ev |= WAIT_OUT;
    return ev;
}

static struct waitq *eventfd_pollq(struct file *f)
{
    struct eventfd *e = f->priv;
    return &e->wait;
}

static void eventfd_release(struct file *f)
{
    struct eventfd *e = f->priv;
    waitq_done(&e->wait);
    free(e);
}

static void eventfd_fdinfo(struct file *f, char *buf, size_t size)
{
    struct eventfd *e = f->priv;
    snprintf(buf, size, "eventfd-count: %16llx\neventfd-id: %u\neventfd-semaphore: %d\n",
             (unsigned long long)atomic_load(&e->count), e->id, e->is_semaphore);
}

static const struct file_ops eventfd_fops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .seek = noop_seek,
    .poll = eventfd_poll,
    .pollq = eventfd_pollq,
    .release = eventfd_release,
    .show_fdinfo = eventfd_fdinfo,
};

bool is_eventfd(const struct file *f)
{
    return f->ops == &eventfd_fops;
}

int eventfd_new(u32 initial, u32 flags, struct file **ret_f)
{
    struct eventfd *e = calloc(1, sizeof(*e));
    if (!e)
        return -LX_ENOMEM;
    mutex_init(&e->lock, "eventfd");
    waitq_init(&e->wait);
    atomic_init(&e->count, initial);
    e->is_semaphore = flags & LX_EFD_SEMAPHORE;
    e->id = atomic_fetch_add(&next_id, 1);
    int r = file_new_anon("anon_inode:[eventfd]", 0600, &eventfd_fops, e,
                          LX_O_RDWR | (flags & LX_O_NONBLOCK),
                          FMODE_READ | FMODE_WRITE | FMODE_NOOP_SEEK, ret_f);
    if (r < 0)
        free(e);
    return r;
}
