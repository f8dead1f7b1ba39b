/* Handlers: POSIX message queues. */
#include "fs/mqueue.h"

#include <stdlib.h>

#include "abi/signal.h"
#include "kern/time.h"
#include "net/netlink_post.h"
#include "sys/sys.h"

#define MQ_SIZE_MAX (16UL << 20)

s64 sys_mq_open(struct task *t, const u64 a[6])
{
    char name[LX_NAME_MAX + 2];
    struct lx_mq_attr attr;
    struct file *f;
    s64 r = copy_in_str(name, uaddr(a[0]), sizeof(name));
    if (r >= 0 && a[3])
        r = get_user(attr, uaddr(a[3]));
    if (r < 0)
        return r;
    r = mqueue_open(name, (u32)a[1], (u32)a[2], a[3] ? &attr : NULL, &f);
    if (r < 0)
        return r;
    int fd = fd_install(f, 0, LX_O_CLOEXEC); /* always, as Linux does */
    if (fd < 0)
        file_put(f);
    return fd;
}

s64 sys_mq_unlink(struct task *t, const u64 a[6])
{
    char name[LX_NAME_MAX + 2];
    s64 r = copy_in_str(name, uaddr(a[0]), sizeof(name));
    return r < 0 ? r : mqueue_unlink(name);
}

static int deadline_of(uaddr_t timeout, s64 *ret_ns)
{
    *ret_ns = NO_DEADLINE;
    return timeout.v ? copy_in_timespec(timeout, ret_ns) : 0;
}

s64 sys_mq_timedsend(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    s64 deadline;
    int r = deadline_of(uaddr(a[4]), &deadline);
    if (r < 0)
        return r;
    if ((u32)a[3] >= 32768)
        return -LX_EINVAL;
    u64 max = f ? mqueue_msgsize(f) : 0;
    if (max == 0)
        return -LX_EBADF;
    if (a[2] > max || a[2] > MQ_SIZE_MAX)
        return -LX_EMSGSIZE;
    void *text = malloc(MAX(a[2], 1UL));
    r = text ? copy_in(text, uaddr(a[1]), a[2]) : -LX_ENOMEM;
    if (r == 0)
        r = mqueue_send(f, text, a[2], (u32)a[3], deadline);
    if (r < 0)
        free(text);
    return r;
}

s64 sys_mq_timedreceive(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    s64 deadline;
    void *text;
    u32 prio;
    s64 r = deadline_of(uaddr(a[4]), &deadline);
    if (r == 0)
        r = f ? mqueue_receive(f, a[2], deadline, &text, &prio) : -LX_EBADF;
    if (r < 0)
        return r;
    int e = copy_out(uaddr(a[1]), text, (size_t)r);
    if (e == 0 && a[3])
        e = put_user(prio, uaddr(a[3]));
    free(text);
    return e < 0 ? e : r;
}

struct sigevent_head {
    u64 value;
    s32 signo, notify;
};

/* The socket and the cookie that SIGEV_THREAD goes by: the C library's thread reads them there. */
static int read_socket_notice(const struct sigevent_head *ev, struct mq_notice *ret)
{
    int r = copy_in(ret->cookie, uaddr(ev->value), sizeof(ret->cookie));
    if (r < 0)
        return r;
    struct file *sock = fd_get(ev->signo);
    if (!sock)
        return -LX_EBADF;
    r = netlink_post_check(sock);
    if (r < 0) {
        file_put(sock);
        return r;
    }
    ret->sock = sock;
    ret->post = netlink_post;
    return 0;
}

static int read_notice(u64 addr, struct mq_notice *ret)
{
    struct sigevent_head ev;
    int r = get_user(ev, uaddr(addr));
    if (r < 0)
        return r;
    if (ev.notify != LX_SIGEV_NONE && ev.notify != LX_SIGEV_SIGNAL && ev.notify != LX_SIGEV_THREAD)
        return -LX_EINVAL;
    if (ev.notify == LX_SIGEV_SIGNAL && (ev.signo < 0 || ev.signo > LX_NSIG))
        return -LX_EINVAL;
    *ret = (struct mq_notice){.kind = ev.notify, .signo = ev.signo, .value = ev.value};
    return ev.notify == LX_SIGEV_THREAD ? read_socket_notice(&ev, ret) : 0;
}

s64 sys_mq_notify(struct task *t, const u64 a[6])
{
    struct mq_notice n = {0};
    int r = a[1] ? read_notice(a[1], &n) : 0;
    if (r < 0)
        return r;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    r = f ? mqueue_notify(f, a[1] ? &n : NULL) : -LX_EBADF;
    if (r < 0 && n.sock)
        file_put(n.sock);
    return r;
}

s64 sys_mq_getsetattr(struct task *t, const u64 a[6])
{
    struct lx_mq_attr attr, old;
    int r = a[1] ? get_user(attr, uaddr(a[1])) : 0;
    if (r < 0)
        return r;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    r = mqueue_attr(f, a[1] ? &attr : NULL, &old);
    return r == 0 && a[2] ? put_user(old, uaddr(a[2])) : r;
}
