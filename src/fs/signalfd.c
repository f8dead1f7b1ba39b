/*
 * signalfd(2). What can be read is what is pending for the reading thread, as
 * in Linux; the signals stay where kern keeps them.
 *
 * Who waits sits on one of a few static queues, by process: a queue of the
 * process itself would die with it under a watch that another process made of this file. Two
 * processes on one queue cost each other spurious looks.
 */
#include "fs/signalfd.h"

#include <stdio.h>
#include <stdlib.h>

#include "abi/signal.h"
#include "vfs/special.h"
#include "vfs/task_ops.h"

#define NQUEUES 64U

struct signalfd {
    _Atomic u64 mask;
};

static struct waitq queues[NQUEUES];

__attribute__((constructor)) static void init_queues(void)
{
    for (u32 i = 0; i < NQUEUES; i++)
        waitq_init(&queues[i]);
}

static struct waitq *own_queue(void)
{
    return &queues[(u32)vfs_task_ops->tgid() % NQUEUES];
}

void signalfd_wake(s32 tgid)
{
    waitq_wake(&queues[(u32)tgid % NQUEUES], WAIT_IN | WAIT_RDNORM);
}

static s64 wait_for_signal(struct file *f, struct lx_signalfd_siginfo *ret_info)
{
    struct signalfd *s = f->priv;
    struct waitq *q = own_queue();
    struct waiter w;
    int r = 0, signo;
    waiter_init_thread(&w, WAIT_IN);
    waitq_add(q, &w);
    while ((signo = vfs_task_ops->dequeue_signal(atomic_load(&s->mask), ret_info)) == 0 && r == 0)
        r = park_interruptible(NO_DEADLINE);
    waitq_del(q, &w);
    return signo ? signo : r;
}

static s64 signalfd_read(struct file *f, struct uio *to, s64 *off)
{
    struct signalfd *s = f->priv;
    struct lx_signalfd_siginfo info;
    s64 done = 0;
    if (to->left < sizeof(info))
        return -LX_EINVAL;
    while (to->left >= sizeof(info)) {
        int signo = vfs_task_ops->dequeue_signal(atomic_load(&s->mask), &info);
        if (signo == 0) {
            if (done > 0)
                return done;
            if (file_is_nonblock(f))
                return -LX_EAGAIN;
            s64 r = wait_for_signal(f, &info);
            if (r < 0)
                return r;
        }
        if (uio_copy_to(to, &info, sizeof(info)) != (s64)sizeof(info))
            return done ? done : -LX_EFAULT;
        done += (s64)sizeof(info);
    }
    return done;
}

static u32 signalfd_poll(struct file *f)
{
    struct signalfd *s = f->priv;
    return vfs_task_ops->pending_signals() & atomic_load(&s->mask) ? WAIT_IN : 0;
}

static struct waitq *signalfd_pollq(struct file *f)
{
    return own_queue();
}

static void signalfd_release(struct file *f)
{
    free(f->priv);
}

static void signalfd_fdinfo(struct file *f, char *buf, size_t size)
{
    struct signalfd *s = f->priv;
    snprintf(buf, size, "sigmask:\t%016llx\n", (unsigned long long)atomic_load(&s->mask));
}

static const struct file_ops signalfd_fops = {
    .read = signalfd_read,
    .seek = noop_seek,
    .poll = signalfd_poll,
    .pollq = signalfd_pollq,
    .release = signalfd_release,
    .show_fdinfo = signalfd_fdinfo,
};

static u64 allowed(u64 mask)
{
    return mask & ~(1ULL << (LX_SIGKILL - 1)) & ~(1ULL << (LX_SIGSTOP - 1));
}

int signalfd_set_mask(struct file *f, u64 mask)
{
    struct signalfd *s = f->priv;
    if (f->ops != &signalfd_fops)
        return -LX_EINVAL;
    atomic_store(&s->mask, allowed(mask));
    waitq_wake(own_queue(), WAIT_IN | WAIT_RDNORM);
    return 0;
}

int signalfd_new(u64 mask, u32 flags, struct file **ret_f)
{
    struct signalfd *s = calloc(1, sizeof(*s));
    if (!s)
        return -LX_ENOMEM;
    atomic_init(&s->mask, allowed(mask));
    int r = file_new_anon("anon_inode:[signalfd]", 0600, &signalfd_fops, s,
                          LX_O_RDWR | (flags & LX_O_NONBLOCK),
                          FMODE_READ | FMODE_WRITE | FMODE_NOOP_SEEK, ret_f);
    if (r < 0)
        free(s);
    return r;
}
