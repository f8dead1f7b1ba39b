/* Handlers of the socket calls that move no data. */
#include "sys/socket.h"
#include "vfs/landlock.h"

int socket_of_fd(int fd, struct file **ret_f, struct sock **ret_sk)
{
    struct file *f = fd_get(fd);
    if (!f)
        return -LX_EBADF;
    struct sock *sk = sock_of_file(f);
    if (!sk) {
        file_put(f);
        return -LX_ENOTSOCK;
    }
    *ret_f = f;
    *ret_sk = sk;
    return 0;
}

int sockaddr_in_from_user(u64 addr, u64 len, union saddr *ret, u32 *ret_len)
{
    s32 n = (s32)len;
    if (n < 0 || n > (s32)sizeof(*ret))
        return -LX_EINVAL;
    *ret = (union saddr){0};
    *ret_len = (u32)n;
    return n ? copy_in(ret, uaddr(addr), (size_t)n) : 0;
}

int sockaddr_to_user(const union saddr *a, u32 len, u64 addr, u64 len_addr)
{
    s32 room;
    int r = get_user(room, uaddr(len_addr));
    if (r < 0)
        return r;
    if (room < 0)
        return -LX_EINVAL;
    u32 n = MIN((u32)room, len);
    if (n && (r = copy_out(uaddr(addr), a, n)) < 0)
        return r;
    return put_user(len, uaddr(len_addr));
}

s64 sys_socket(struct task *t, const u64 a[6])
{
    struct file *f;
    int r = sock_socket((s32)a[0], (s32)a[1], (s32)a[2], &f);
    if (r < 0)
        return r;
    int fd = fd_install(f, 0, (u32)a[1] & LX_SOCK_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}

/* Undoes an install; another thread may have closed it meanwhile, which is its own affair. */
static void close_quietly(int fd)
{
    if (fd_close(fd) < 0)
        return;
}

s64 sys_socketpair(struct task *t, const u64 a[6])
{
    struct file *f[2];
    s32 fd[2];
    u32 flags = (u32)a[1] & LX_SOCK_CLOEXEC;
    int r = sock_socketpair((s32)a[0], (s32)a[1], (s32)a[2], f);
    if (r < 0)
        return r;
    for (int i = 0; i < 2; i++) {
        fd[i] = fd_install(f[i], 0, flags);
        if (fd[i] >= 0)
            continue;
        file_put(f[i]);
        if (i == 0)
            file_put(f[1]);
        else
            close_quietly(fd[0]);
        return fd[i];
    }
    r = copy_out(uaddr(a[3]), fd, sizeof(fd));
    if (r < 0) {
        close_quietly(fd[0]);
        close_quietly(fd[1]);
    }
    return r;
}

/* What the task's Landlock domain says to binding or connecting a TCP socket. */
static int check_port(const struct sock *sk, const union saddr *sa, u32 len, u64 access)
{
    bool is_inet = sk->family == LX_AF_INET || sk->family == LX_AF_INET6;
    if (!landlock_own() || !is_inet || sk->type != LX_SOCK_STREAM || len < sizeof(sa->in))
        return 0; /* too short a name is the socket's to refuse */
    if (sa->family == LX_AF_UNSPEC && access == LL_NET_CONNECT_TCP)
        return 0; /* it disconnects */
    return landlock_check_port(__builtin_bswap16(sa->in.port),
                               access); /* at one place in both families */
}

/* The socket a[0] and the name of a[2] bytes at a[1], checked for `access` to its port; the caller
 * puts *ret_f. */
static int socket_and_name(const u64 a[6], u64 access, struct file **ret_f, struct sock **ret_sk,
                           union saddr *ret_sa, u32 *ret_len)
{
    int r = socket_of_fd((int)a[0], ret_f, ret_sk);
    if (r == 0)
        r = sockaddr_in_from_user(a[1], a[2], ret_sa, ret_len);
    return r < 0 ? r : check_port(*ret_sk, ret_sa, *ret_len, access);
}

s64 sys_bind(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    union saddr sa;
    u32 len;
    int r = socket_and_name(a, LL_NET_BIND_TCP, &f, &sk, &sa, &len);
    return r < 0 ? r : sock_bind(sk, &sa, len);
}

s64 sys_connect(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    union saddr sa;
    u32 len;
    int r = socket_and_name(a, LL_NET_CONNECT_TCP, &f, &sk, &sa, &len);
    return r < 0 ? r : sock_connect(sk, &sa, len, file_is_nonblock(f));
}

s64 sys_listen(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    int r = socket_of_fd((int)a[0], &f, &sk);
    return r < 0 ? r : sock_listen(sk, (s32)a[1]);
}

static s64 do_accept(int fd, u64 addr, u64 len_addr, u32 flags)
{
    struct file *f cleanup(file_put_p) = NULL, *child = NULL;
    struct sock *sk;
    union saddr peer;
    u32 peer_len = 0;
    int r = socket_of_fd(fd, &f, &sk);
    if (r == 0)
        r = fd_check_room(); /* without a descriptor the connection stays in the queue */
    if (r == 0)
        r = sock_accept(sk, flags, file_is_nonblock(f), &child, addr ? &peer : NULL, &peer_len);
    if (r == 0 && addr)
        r = sockaddr_to_user(&peer, peer_len, addr, len_addr);
    if (r == 0)
        r = fd_install(child, 0, flags & LX_SOCK_CLOEXEC);
    if (r < 0 && child)
        file_put(child);
    return r;
}

s64 sys_accept(struct task *t, const u64 a[6])
{
    return do_accept((int)a[0], a[1], a[2], 0);
}

s64 sys_accept4(struct task *t, const u64 a[6])
{
    return do_accept((int)a[0], a[1], a[2], (u32)a[3]);
}

s64 sys_getsockname(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    union saddr sa;
    u32 len;
    int r = socket_of_fd((int)a[0], &f, &sk);
    if (r == 0)
        r = sk->ops->getname(sk, &sa, &len);
    return r < 0 ? r : sockaddr_to_user(&sa, len, a[1], a[2]);
}

s64 sys_getpeername(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    union saddr sa;
    u32 len;
    int r = socket_of_fd((int)a[0], &f, &sk);
    if (r == 0)
        r = sk->ops->getpeer ? sk->ops->getpeer(sk, &sa, &len) : -LX_EOPNOTSUPP;
    return r < 0 ? r : sockaddr_to_user(&sa, len, a[1], a[2]);
}

s64 sys_shutdown(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    int r = socket_of_fd((int)a[0], &f, &sk);
    return r < 0 ? r : sock_shutdown(sk, (s32)a[1]);
}

s64 sys_setsockopt(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    if ((s32)a[4] < 0)
        return -LX_EINVAL;
    int r = socket_of_fd((int)a[0], &f, &sk);
    if (r < 0)
        return r;
    struct optval val = {.user = uaddr(a[3]), .len = (u32)a[4]};
    r = sock_setsockopt(sk, (s32)a[1], (s32)a[2], &val);
    scm_drain();
    return r;
}

s64 sys_getsockopt(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    s32 len;
    int r = socket_of_fd((int)a[0], &f, &sk);
    if (r == 0)
        r = get_user(len, uaddr(a[4]));
    if (r < 0)
        return r;
    if (len < 0)
        return -LX_EINVAL;
    struct optval val = {.user = uaddr(a[3]), .len = (u32)len};
    r = sock_getsockopt(sk, (s32)a[1], (s32)a[2], &val);
    if (r == 0 || r == -LX_ERANGE) {
        int r2 = put_user(val.len, uaddr(a[4]));
        if (r2 < 0)
            r = r2;
    }
    return r;
}
