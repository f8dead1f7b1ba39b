/* pidfds: files that name a process (or, with PIDFD_THREAD, a thread). Readable once it has ended. */
#include <stdio.h>

#include "abi/fs.h"
#include "kern/kern_int.h"

static u32 pidfd_poll(struct file *f)
{
    struct pid *p = pidfd_pid(f);
    rwlock_rdlock(&task_lock);
    bool is_exited = p->is_exited;
    bool is_gone = p->nr[0] == 0;
    rwlock_rdunlock(&task_lock);
    return (is_exited ? WAIT_IN | WAIT_RDNORM : 0) | (is_gone ? WAIT_HUP : 0);
}

static struct waitq *pidfd_pollq(struct file *f)
{
    return &pidfd_pid(f)->exit_wait;
}

static void pidfd_release(struct file *f)
{
    pid_put(pidfd_pid(f));
}

static void pidfd_show(struct file *f, char *buf, size_t size)
{
    struct pid *p = pidfd_pid(f);
    struct task *t = task_current();
    if (!t)
        return;
    struct pid_ns *ns = task_pid_ns(t);
    rwlock_rdlock(&task_lock);
    s32 nr = p->nr[0] == 0 ? -1 : pid_nr_in(p, ns);
    int n = snprintf(buf, size, "Pid:\t%d\nNSpid:\t%d", nr, nr);
    if (nr > 0 && pid_nr_in(p, ns) > 0) {
        for (u32 i = ns->level + 1; i <= p->level && n > 0 && (size_t)n < size; i++)
            n += snprintf(buf + n, size - (size_t)n, "\t%d", p->nr[i]);
    }
    if (n > 0 && (size_t)n + 1 < size)
        snprintf(buf + n, size - (size_t)n, "\n");
    rwlock_rdunlock(&task_lock);
}

static const struct file_ops pidfd_ops;

struct pid *pidfd_pid(struct file *f)
{
    return f->ops == &pidfd_ops ? f->priv : NULL;
}

bool pidfd_is_thread(struct file *f)
{
    return f->ops == &pidfd_ops && (atomic_load(&f->flags) & LX_PIDFD_THREAD);
}

int pidfd_install(struct pid *p, u32 flags)
{
    struct file *f = NULL;
    pid_get(p);
    int r = file_new_anon("anon_inode:[pidfd]", 0600, &pidfd_ops, p,
                          LX_O_RDWR | (flags & (LX_O_NONBLOCK | LX_PIDFD_THREAD)),
                          FMODE_READ | FMODE_WRITE | FMODE_STREAM, &f);
    if (r < 0) {
        pid_put(p);
        return r;
    }
    r = fd_install(f, 0, LX_O_CLOEXEC);
    if (r < 0)
        file_put(f);
    return r;
}

static const struct file_ops pidfd_ops = {
    .poll = pidfd_poll,
    .pollq = pidfd_pollq,
    .release = pidfd_release,
    .show_fdinfo = pidfd_show,
};
