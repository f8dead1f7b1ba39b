/* Handlers: pipes, eventfd, epoll, timerfd, signalfd. */
#include "abi/sched.h"
#include "fs/epoll.h"
#include "fs/eventfd.h"
#include "fs/pipe.h"
#include "fs/signalfd.h"
#include "fs/timerfd.h"
#include "sys/pollset.h"

/* Gives a new file its number; drops it on failure. flags: LX_O_CLOEXEC counts. */
static s64 install(int r, struct file *f, u32 flags)
{
    if (r < 0)
        return r;
    int fd = fd_install(f, 0, flags & LX_O_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}

/* Takes a number back that was just given: there is nothing to report. */
static void close_own(int fd)
{
    int r = fd_close(fd);
    (void)r;
}

static s64 make_pipe(uaddr_t to, u32 flags)
{
    struct file *r, *w;
    s32 fds[2];
    if (flags & ~(u32)(LX_O_CLOEXEC | LX_O_NONBLOCK | LX_O_DIRECT))
        return -LX_EINVAL;
    int e = pipe_new(flags, &r, &w);
    if (e < 0)
        return e;
    fds[0] = (s32)install(0, r, flags);
    if (fds[0] < 0) {
        file_put(w);
        return fds[0];
    }
    fds[1] = (s32)install(0, w, flags);
    if (fds[1] >= 0) {
        if (copy_out(to, fds, sizeof(fds)) == 0)
            return 0;
        close_own(fds[1]);
        fds[1] = -LX_EFAULT;
    }
    close_own(fds[0]);
    return fds[1];
}

s64 sys_pipe(struct task *t, const u64 a[6])
{
    return make_pipe(uaddr(a[0]), 0);
}

s64 sys_pipe2(struct task *t, const u64 a[6])
{
    return make_pipe(uaddr(a[0]), (u32)a[1]);
}

s64 sys_eventfd2(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[1];
    struct file *f = NULL;
    if (flags & ~(u32)(LX_EFD_SEMAPHORE | LX_EFD_NONBLOCK | LX_EFD_CLOEXEC))
        return -LX_EINVAL;
    int r = eventfd_new((u32)a[0], flags, &f);
    return install(r, f, flags);
}

s64 sys_eventfd(struct task *t, const u64 a[6])
{
    const u64 b[6] = {a[0]};
    return sys_eventfd2(t, b);
}

/* ---- epoll --------------------------------------------------------------------------------- */

s64 sys_epoll_create1(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[0];
    struct file *f = NULL;
    if (flags & ~(u32)LX_EPOLL_CLOEXEC)
        return -LX_EINVAL;
    int r = epoll_new(flags, &f);
    return install(r, f, flags);
}

s64 sys_epoll_create(struct task *t, const u64 a[6])
{
    const u64 none[6] = {0};
    return (s32)a[0] <= 0 ? -LX_EINVAL : sys_epoll_create1(t, none);
}

s64 sys_epoll_ctl(struct task *t, const u64 a[6])
{
    struct lx_epoll_event ev = {0};
    int op = (int)a[1];
    if (op != LX_EPOLL_CTL_DEL && get_user(ev, uaddr(a[3])) < 0)
        return -LX_EFAULT;
    struct file *ep cleanup(file_put_p) = fd_get((int)a[0]);
    if (!ep)
        return -LX_EBADF;
    struct file *target cleanup(file_put_p) = fd_get((int)a[2]);
    if (!target)
        return -LX_EBADF;
    return epoll_ctl_file(ep, op, target, (int)a[2], &ev);
}

static s64 wait_events(u64 fd, u64 to, u64 max, s64 deadline_ns)
{
    s32 n = (s32)max;
    if (n <= 0 || (u32)n > INT32_MAX / sizeof(struct lx_epoll_event))
        return -LX_EINVAL;
    struct file *ep cleanup(file_put_p) = fd_get((int)fd);
    if (!ep)
        return -LX_EBADF;
    s64 r = epoll_wait_events(ep, uaddr(to), (u32)n, deadline_ns);
    return r == -LX_ERESTARTSYS ? -LX_EINTR : r; /* never restarted: signal(7) */
}

static s64 deadline_from_ms(u64 arg)
{
    s32 ms = (s32)arg;
    return ms < 0 ? NO_DEADLINE : ms == 0 ? 0 : deadline_after_ns(ms * NSEC_PER_MSEC);
}

s64 sys_epoll_wait(struct task *t, const u64 a[6])
{
    return wait_events(a[0], a[1], a[2], deadline_from_ms(a[3]));
}

s64 sys_epoll_pwait(struct task *t, const u64 a[6])
{
    int e = mask_enter(t, uaddr(a[4]), a[5]);
    if (e < 0)
        return e;
    s64 r = wait_events(a[0], a[1], a[2], deadline_from_ms(a[3]));
    mask_leave(t, r);
    return r;
}

s64 sys_epoll_pwait2(struct task *t, const u64 a[6])
{
    s64 deadline;
    int e = deadline_from_timespec(uaddr(a[3]), &deadline);
    if (e == 0)
        e = mask_enter(t, uaddr(a[4]), a[5]);
    if (e < 0)
        return e;
    s64 r = wait_events(a[0], a[1], a[2], deadline);
    mask_leave(t, r);
    return r;
}

/* ---- timerfd, signalfd --------------------------------------------------------------------- */

s64 sys_timerfd_create(struct task *t, const u64 a[6])
{
    u32 clock = (u32)a[0], flags = (u32)a[1];
    struct file *f = NULL;
    if (flags & ~(u32)(LX_TFD_NONBLOCK | LX_TFD_CLOEXEC))
        return -LX_EINVAL;
    bool is_alarm = clock == LX_CLOCK_REALTIME_ALARM || clock == LX_CLOCK_BOOTTIME_ALARM;
    if (is_alarm && !vfs_capable(LX_CAP_WAKE_ALARM))
        return -LX_EPERM;
    int r = timerfd_new(clock, flags, &f);
    return install(r, f, flags);
}

s64 sys_timerfd_settime(struct task *t, const u64 a[6])
{
    struct lx_itimerspec its, old;
    if (get_user(its, uaddr(a[2])) < 0)
        return -LX_EFAULT;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    int r = timerfd_set(f, (u32)a[1], &its, a[3] ? &old : NULL);
    if (r == 0 && a[3])
        r = put_user(old, uaddr(a[3]));
    return r;
}

s64 sys_timerfd_gettime(struct task *t, const u64 a[6])
{
    struct lx_itimerspec its;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    int r = timerfd_get(f, &its);
    return r < 0 ? r : put_user(its, uaddr(a[1]));
}

s64 sys_signalfd4(struct task *t, const u64 a[6])
{
    u64 mask;
    u32 flags = (u32)a[3];
    if (a[2] != sizeof(mask))
        return -LX_EINVAL;
    if (get_user(mask, uaddr(a[1])) < 0)
        return -LX_EFAULT;
    if (flags & ~(u32)(LX_SFD_NONBLOCK | LX_SFD_CLOEXEC))
        return -LX_EINVAL;
    if ((s32)a[0] == -1) {
        struct file *f = NULL;
        int r = signalfd_new(mask, flags, &f);
        return install(r, f, flags);
    }
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    int r = signalfd_set_mask(f, mask);
    return r < 0 ? r : (s32)a[0];
}

s64 sys_signalfd(struct task *t, const u64 a[6])
{
    const u64 b[6] = {a[0], a[1], a[2], 0};
    return sys_signalfd4(t, b);
}
