/*
 * Options of SOL_SOCKET, and what Linux reads back for each. Boolean options take any non-zero
 * int; buffer sizes are doubled and clamped as sock_setsockopt does.
 */
#include <string.h>

#include "kern/kern_int.h"
#include "net/filter.h"
#include "net/netdev.h"
#include "net/sock.h"

struct lx_timeval {
    s64 sec, usec;
};

static const struct {
    s32 name;
    u32 flag;
} bool_options[] = {
    {LX_SO_REUSEADDR, SKF_REUSEADDR},     {LX_SO_REUSEPORT, SKF_REUSEPORT},
    {LX_SO_KEEPALIVE, SKF_KEEPALIVE},     {LX_SO_BROADCAST, SKF_BROADCAST},
    {LX_SO_DONTROUTE, SKF_DONTROUTE},     {LX_SO_OOBINLINE, SKF_OOBINLINE},
    {LX_SO_PASSCRED, SKF_PASSCRED},       {LX_SO_PASSSEC, SKF_PASSSEC},
    {LX_SO_NO_CHECK, SKF_NO_CHECK},       {LX_SO_RXQ_OVFL, SKF_RXQ_OVFL},
    {LX_SO_WIFI_STATUS, SKF_WIFI_STATUS}, {LX_SO_NOFCS, SKF_NOFCS},
    {LX_SO_SELECT_ERR_QUEUE, SKF_ERR_QUEUE}, {LX_SO_RCVMARK, SKF_RCVMARK},
    {LX_SO_DEBUG, SKF_DEBUG},
};

static u32 bool_option(s32 name)
{
    for (size_t i = 0; i < ARRAY_SIZE(bool_options); i++) {
        if (bool_options[i].name == name)
            return bool_options[i].flag;
    }
    return 0;
}

static void changed(struct sock *sk)
{
    if (sk->ops->opt_changed)
        sk->ops->opt_changed(sk);
}

static int set_bool(struct sock *sk, s32 name, u32 flag, s32 v)
{
    bool is_scm = sk->family == LX_AF_UNIX || sk->family == LX_AF_NETLINK;
    switch (name) {
    case LX_SO_DEBUG:
        if (v && !net_capable(sk->ns, LX_CAP_NET_ADMIN))
            return -LX_EACCES;
        break;
    case LX_SO_REUSEPORT:
        if (v && sk->family != LX_AF_INET && sk->family != LX_AF_INET6)
            return -LX_EOPNOTSUPP;
        break;
    case LX_SO_PASSCRED:
    case LX_SO_PASSSEC:
        if (!is_scm)
            return -LX_EOPNOTSUPP;
        break;
    }
    sock_set_flag(sk, flag, v != 0);
    changed(sk);
    return 0;
}

static int set_buffer(struct sock *sk, bool is_snd, s32 v, bool is_forced)
{
    if (is_forced) {
        if (!net_capable(sk->ns, LX_CAP_NET_ADMIN))
            return -LX_EPERM;
        v = MAX(v, 0);
        v = MIN(v, 64 << 20); /* Linux: INT_MAX / 2; here memory of the sandbox */
    } else {
        u64 max = (u64)net_sysctl(sk->ns, is_snd ? NSYS_WMEM_MAX : NSYS_RMEM_MAX);
        max = MIN(max, 64ULL << 20);
        v = (s32)MIN((u64)(u32)v, max);
    }
    v = MAX(v * 2, is_snd ? SOCK_MIN_SNDBUF : SOCK_MIN_RCVBUF);
    atomic_store(is_snd ? &sk->sndbuf : &sk->rcvbuf, v);
    sock_set_flag(sk, is_snd ? SKF_SNDBUF_LOCK : SKF_RCVBUF_LOCK, true);
    changed(sk);
    if (is_snd)
        waitq_wake(&sk->wq, WAIT_WRITABLE);
    return 0;
}

static int set_linger(struct sock *sk, const struct optval *val)
{
    struct lx_linger l;
    int r = optval_read(val, &l, sizeof(l));
    if (r < 0)
        return r;
    if (l.onoff)
        sk->linger_s = (u32)l.linger;
    sock_set_flag(sk, SKF_LINGER, l.onoff != 0);
    return 0;
}

static int set_timeo(_Atomic s64 *timeo, const struct optval *val)
{
    struct lx_timeval tv;
    int r = optval_read(val, &tv, sizeof(tv));
    if (r < 0)
        return r;
    if (tv.usec < 0 || tv.usec >= 1000000)
        return -LX_EDOM;
    s64 ns;
    if (tv.sec < 0)
        ns = 0; /* Linux: does not wait, and says so in its log */
    else if ((tv.sec == 0 && tv.usec == 0) || tv.sec >= INT64_MAX / NSEC_PER_SEC - 1)
        ns = -1;
    else
        ns = tv.sec * NSEC_PER_SEC + tv.usec * NSEC_PER_USEC;
    atomic_store(timeo, ns);
    return 0;
}

static int set_timestamp(struct sock *sk, s32 name, s32 v)
{
    bool is_ns = name == LX_SO_TIMESTAMPNS_OLD || name == LX_SO_TIMESTAMPNS_NEW;
    bool is_new = name == LX_SO_TIMESTAMP_NEW || name == LX_SO_TIMESTAMPNS_NEW;
    sock_set_flag(sk, SKF_TSTAMP | SKF_TSTAMPNS | SKF_TSTAMP_NEW, false);
    if (v)
        sock_set_flag(sk, (is_ns ? SKF_TSTAMP | SKF_TSTAMPNS : SKF_TSTAMP) |
                              (is_new ? SKF_TSTAMP_NEW : 0), true);
    return 0;
}

/* Hardware stamps are asked for and never come, as from an interface without them. */
static int set_timestamping(struct sock *sk, u32 v)
{
    bool is_inet = sk->family == LX_AF_INET || sk->family == LX_AF_INET6;
    if (v & ~0x7ffffU)
        return -LX_EINVAL;
    if (v & LX_SOF_TX_ANY && !is_inet)
        return -LX_EOPNOTSUPP;
    if (v & LX_SOF_OPT_ID && !(sk->tsflags & LX_SOF_OPT_ID) && sk->protocol == LX_IPPROTO_TCP &&
        sk->type == LX_SOCK_STREAM && sock_state(sk) != SOCK_ESTABLISHED &&
        sock_state(sk) != SOCK_CLOSE_WAIT)
        return -LX_EINVAL;
    if (v & LX_SOF_OPT_ID && !(sk->tsflags & LX_SOF_OPT_ID))
        sk->tskey = 0;
    sk->tsflags = v;
    return 0;
}

static int bind_to_device(struct sock *sk, s32 index)
{
    if (sk->bound_dev && sk->bound_dev != index && !net_capable(sk->ns, LX_CAP_NET_RAW))
        return -LX_EPERM;
    if (index < 0)
        return -LX_EINVAL;
    sk->bound_dev = index;
    changed(sk);
    return 0;
}

static int set_bindtodevice(struct sock *sk, const struct optval *val)
{
    char name[LX_IFNAMSIZ] = "";
    u32 n = MIN(val->len, (u32)LX_IFNAMSIZ - 1);
    int r = optval_read(val, name, n);
    if (r < 0)
        return r;
    s32 index = 0;
    if (name[0]) {
        index = netdev_index(sk->ns, name);
        if (!index)
            return -LX_ENODEV;
    }
    return bind_to_device(sk, index);
}

static int set_bufferlock(struct sock *sk, s32 v)
{
    if (v & ~LX_SOCK_BUF_LOCK_MASK)
        return -LX_EINVAL;
    sock_set_flag(sk, SKF_SNDBUF_LOCK, v & LX_SOCK_SNDBUF_LOCK);
    sock_set_flag(sk, SKF_RCVBUF_LOCK, v & LX_SOCK_RCVBUF_LOCK);
    return 0;
}

static int set_pacing(struct sock *sk, const struct optval *val, s32 v)
{
    u64 rate = (u32)v == UINT32_MAX ? UINT64_MAX : (u32)v;
    if (val->len >= sizeof(rate)) {
        int r = optval_read(val, &rate, sizeof(rate));
        if (r < 0)
            return r;
    }
    sk->max_pacing_rate = rate;
    return 0;
}

static int set_zerocopy(struct sock *sk, s32 v)
{
    bool is_ok = (sk->family == LX_AF_INET || sk->family == LX_AF_INET6) &&
                 (sk->type == LX_SOCK_STREAM || sk->type == LX_SOCK_DGRAM);
    if (!is_ok)
        return -LX_EOPNOTSUPP;
    if (v < 0 || v > 1)
        return -LX_EINVAL;
    sock_set_flag(sk, SKF_ZEROCOPY, v);
    return 0;
}

/* Options whose value is an int, after the boolean ones. */
static int set_int(struct sock *sk, s32 name, s32 v, const struct optval *val)
{
    bool is_admin;
    switch (name) {
    case LX_SO_SNDBUF:
    case LX_SO_SNDBUFFORCE:
        return set_buffer(sk, true, v, name == LX_SO_SNDBUFFORCE);
    case LX_SO_RCVBUF:
    case LX_SO_RCVBUFFORCE:
        return set_buffer(sk, false, v, name == LX_SO_RCVBUFFORCE);
    case LX_SO_PRIORITY:
        if ((v < 0 || v > 6) && !net_capable(sk->ns, LX_CAP_NET_ADMIN) &&
            !net_capable(sk->ns, LX_CAP_NET_RAW))
            return -LX_EPERM;
        sk->priority = v;
        return 0;
    case LX_SO_TIMESTAMP_OLD:
    case LX_SO_TIMESTAMP_NEW:
    case LX_SO_TIMESTAMPNS_OLD:
    case LX_SO_TIMESTAMPNS_NEW:
        return set_timestamp(sk, name, v);
    case LX_SO_TIMESTAMPING_OLD:
    case LX_SO_TIMESTAMPING_NEW:
        return set_timestamping(sk, (u32)v);
    case LX_SO_RCVLOWAT:
        sk->rcvlowat = v < 0 ? INT32_MAX : v ? v : 1;
        changed(sk);
        return 0;
    case LX_SO_MARK:
        if (!net_capable(sk->ns, LX_CAP_NET_RAW) && !net_capable(sk->ns, LX_CAP_NET_ADMIN))
            return -LX_EPERM;
        sk->mark = (u32)v;
        return 0;
    case LX_SO_PEEK_OFF:
        if (sk->family == LX_AF_NETLINK || sk->family == LX_AF_PACKET)
            return -LX_EOPNOTSUPP;
        sk->peek_off = v;
        return 0;
    case LX_SO_BUSY_POLL:
        is_admin = net_capable(sk->ns, LX_CAP_NET_ADMIN);
        if (v > sk->busy_poll && !is_admin)
            return -LX_EPERM;
        if (v < 0)
            return -LX_EINVAL;
        sk->busy_poll = v;
        return 0;
    case LX_SO_PREFER_BUSY_POLL:
        if (v && !net_capable(sk->ns, LX_CAP_NET_ADMIN))
            return -LX_EPERM;
        sock_set_flag(sk, SKF_BUSY_PREFER, v != 0);
        return 0;
    case LX_SO_BUSY_POLL_BUDGET:
        is_admin = net_capable(sk->ns, LX_CAP_NET_ADMIN);
        if (v > sk->busy_poll_budget && !is_admin)
            return -LX_EPERM;
        if (v < 0 || v > UINT16_MAX)
            return -LX_EINVAL;
        sk->busy_poll_budget = v;
        return 0;
    case LX_SO_MAX_PACING_RATE:
        return set_pacing(sk, val, v);
    case LX_SO_INCOMING_CPU:
        sk->incoming_cpu = v;
        return 0;
    case LX_SO_CNX_ADVICE:
        return 0;
    case LX_SO_ZEROCOPY:
        return set_zerocopy(sk, v);
    case LX_SO_BINDTOIFINDEX:
        if (v && !netdev_exists(sk->ns, v))
            return -LX_ENODEV;
        return bind_to_device(sk, v);
    case LX_SO_BUF_LOCK:
        return set_bufferlock(sk, v);
    case LX_SO_TXREHASH:
        if (v < -1 || v > 1)
            return -LX_EINVAL;
        sk->txrehash = v == -1 ? 1 : v;
        return 0;
    case LX_SO_ATTACH_FILTER:
        return filter_attach(sk, val);
    case LX_SO_LOCK_FILTER:
        return filter_lock(sk, v);
    case LX_SO_DETACH_FILTER:
        return filter_detach(sk);
    case LX_SO_ATTACH_REUSEPORT_CBPF:
        return filter_attach_reuseport(sk, val);
    case LX_SO_DETACH_REUSEPORT_BPF:
        return filter_detach_reuseport(sk);
    case LX_SO_PASSPIDFD:
        if (sk->family != LX_AF_UNIX)
            return -LX_EOPNOTSUPP;
        sock_set_flag(sk, SKF_PASSPIDFD, v != 0);
        return 0;
    default:
        /* Includes what is only read: SO_TYPE, SO_ERROR, SO_SNDLOWAT, …, and no extended BPF. */
        return -LX_ENOPROTOOPT;
    }
}

int sock_setsockopt_generic(struct sock *sk, s32 name, const struct optval *val)
{
    s32 v;
    if (name == LX_SO_BINDTODEVICE)
        return set_bindtodevice(sk, val);
    int r = optval_int(val, &v);
    if (r < 0)
        return r;
    switch (name) {
    case LX_SO_LINGER:
        return set_linger(sk, val);
    case LX_SO_RCVTIMEO_OLD:
    case LX_SO_RCVTIMEO_NEW:
        return set_timeo(&sk->rcvtimeo_ns, val);
    case LX_SO_SNDTIMEO_OLD:
    case LX_SO_SNDTIMEO_NEW:
        return set_timeo(&sk->sndtimeo_ns, val);
    }
    u32 flag = bool_option(name);
    if (flag)
        return set_bool(sk, name, flag, v);
    r = set_int(sk, name, v, val);
    if (r == -LX_ENOPROTOOPT && sk->ops->setsockopt) /* what only the family knows */
        r = sk->ops->setsockopt(sk, LX_SOL_SOCKET, name, val);
    return r;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int get_timeo(s64 ns, struct optval *val)
{
    struct lx_timeval tv = {0};
    if (ns > 0)
        tv = (struct lx_timeval){ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / NSEC_PER_USEC};
    return optval_write(val, &tv, sizeof(tv));
}

static int get_peercred(struct sock *sk, struct optval *val)
{
    struct lx_ucred u = {0, (u32)-1, (u32)-1};
    mutex_lock(&sk->lock);
    struct scm_who w = scm_who_copy(&sk->peercred);
    mutex_unlock(&sk->lock);
    if (w.tg || w.uid != (u32)-1)
        scm_who_to_ucred(&w, &u);
    scm_who_done(&w);
    return optval_write(val, &u, sizeof(u));
}

static int get_peerpidfd(struct sock *sk, struct optval *val)
{
    mutex_lock(&sk->lock);
    struct scm_who w = scm_who_copy(&sk->peercred);
    mutex_unlock(&sk->lock);
    s32 fd = w.tg ? pidfd_install(w.tg->pid, 0) : -LX_ENODATA;
    scm_who_done(&w);
    return fd < 0 ? fd : optval_write_int(val, fd);
}

static int get_peergroups(struct sock *sk, struct optval *val)
{
    mutex_lock(&sk->lock);
    const struct cred *c = sk->peer_groups;
    if (c)
        cred_get(c);
    mutex_unlock(&sk->lock);
    if (!c)
        return -LX_ENODATA;
    u32 size = c->ngroups * (u32)sizeof(u32);
    int r = 0;
    if (val->len < size) {
        val->len = size; /* told to the caller with the error */
        r = -LX_ERANGE;
    }
    struct user_ns *uns = vfs_cred()->user_ns;
    for (u32 i = 0; r == 0 && i < c->ngroups; i++) {
        u32 gid = uns ? from_kgid(uns, c->groups[i]) : c->groups[i];
        if (val->kern)
            memcpy(val->kern + i * sizeof(gid), &gid, sizeof(gid));
        else
            r = copy_out(uaddr_add(val->user, i * sizeof(gid)), &gid, sizeof(gid));
    }
    if (r == 0)
        val->len = size;
    cred_put(c);
    return r;
}

static int get_peername(struct sock *sk, struct optval *val)
{
    union saddr a;
    u32 len;
    int r = sk->ops->getpeer ? sk->ops->getpeer(sk, &a, &len) : -LX_EOPNOTSUPP;
    if (r < 0)
        return -LX_ENOTCONN;
    if (len < val->len)
        return -LX_EINVAL;
    return optval_write(val, &a, len);
}

static int get_bindtodevice(struct sock *sk, struct optval *val)
{
    char name[LX_IFNAMSIZ] = "";
    if (!sk->bound_dev) {
        val->len = 0;
        return 0;
    }
    if (val->len < LX_IFNAMSIZ)
        return -LX_EINVAL;
    if (!netdev_name(sk->ns, sk->bound_dev, name))
        return -LX_ENODEV;
    return optval_write(val, name, (u32)strlen(name) + 1);
}

static int get_meminfo(struct sock *sk, struct optval *val)
{
    u32 m[9] = {0};
    m[1] = (u32)sk->rcvbuf;
    m[3] = (u32)sk->sndbuf;
    return optval_write(val, m, sizeof(m));
}

static int get_timestamp(struct sock *sk, s32 name)
{
    u32 want = name == LX_SO_TIMESTAMP_OLD      ? SKF_TSTAMP
               : name == LX_SO_TIMESTAMP_NEW    ? SKF_TSTAMP | SKF_TSTAMP_NEW
               : name == LX_SO_TIMESTAMPNS_OLD  ? SKF_TSTAMP | SKF_TSTAMPNS
                                                : SKF_TSTAMP | SKF_TSTAMPNS | SKF_TSTAMP_NEW;
    return (sock_flags(sk) & (SKF_TSTAMP | SKF_TSTAMPNS | SKF_TSTAMP_NEW)) == want;
}

/* Values that are not an int; -LX_ENOIOCTLCMD (never a guest's errno): see get_int. */
static int get_other(struct sock *sk, s32 name, struct optval *val)
{
    struct lx_linger l;
    u64 v64;
    switch (name) {
    case LX_SO_LINGER:
        l = (struct lx_linger){sock_has(sk, SKF_LINGER), (s32)sk->linger_s};
        return optval_write(val, &l, sizeof(l));
    case LX_SO_RCVTIMEO_OLD:
    case LX_SO_RCVTIMEO_NEW:
        return get_timeo(sk->rcvtimeo_ns, val);
    case LX_SO_SNDTIMEO_OLD:
    case LX_SO_SNDTIMEO_NEW:
        return get_timeo(sk->sndtimeo_ns, val);
    case LX_SO_PEERCRED:
        return get_peercred(sk, val);
    case LX_SO_PEERPIDFD:
        return get_peerpidfd(sk, val);
    case LX_SO_PEERGROUPS:
        return get_peergroups(sk, val);
    case LX_SO_PEERNAME:
        return get_peername(sk, val);
    case LX_SO_BINDTODEVICE:
        return get_bindtodevice(sk, val);
    case LX_SO_MEMINFO:
        return get_meminfo(sk, val);
    case LX_SO_GET_FILTER:
        return filter_read(sk, val);
    case LX_SO_COOKIE:
    case LX_SO_NETNS_COOKIE:
        v64 = name == LX_SO_COOKIE ? sk->cookie : sk->ns->cookie;
        if (val->len < sizeof(v64))
            return -LX_EINVAL;
        return optval_write(val, &v64, sizeof(v64));
    case LX_SO_MAX_PACING_RATE:
        v64 = sk->max_pacing_rate;
        if (val->len >= sizeof(v64))
            return optval_write(val, &v64, sizeof(v64));
        return optval_write_int(val, (s32)MIN(v64, (u64)UINT32_MAX));
    case LX_SO_TIMESTAMPING_OLD:
    case LX_SO_TIMESTAMPING_NEW: {
        s32 ts[2] = {(s32)sk->tsflags, 0};
        return optval_write(val, ts, sizeof(ts));
    }
    default:
        return -LX_ENOIOCTLCMD;
    }
}

static int get_int(struct sock *sk, s32 name, s32 *ret)
{
    s32 v;
    switch (name) {
    case LX_SO_SNDBUF:
        v = sk->sndbuf;
        break;
    case LX_SO_RCVBUF:
        v = sk->rcvbuf;
        break;
    case LX_SO_TYPE:
        v = sk->type;
        break;
    case LX_SO_PROTOCOL:
        v = sk->protocol;
        break;
    case LX_SO_DOMAIN:
        v = sk->family;
        break;
    case LX_SO_ERROR:
        v = -sock_error(sk);
        if (v == 0)
            v = atomic_exchange(&sk->err_soft, 0);
        break;
    case LX_SO_PRIORITY:
        v = sk->priority;
        break;
    case LX_SO_TIMESTAMP_OLD:
    case LX_SO_TIMESTAMP_NEW:
    case LX_SO_TIMESTAMPNS_OLD:
    case LX_SO_TIMESTAMPNS_NEW:
        v = get_timestamp(sk, name);
        break;
    case LX_SO_RCVLOWAT:
        v = sk->rcvlowat;
        break;
    case LX_SO_SNDLOWAT:
        v = 1;
        break;
    case LX_SO_ACCEPTCONN:
        v = sock_state(sk) == SOCK_LISTEN;
        break;
    case LX_SO_MARK:
        v = (s32)sk->mark;
        break;
    case LX_SO_BPF_EXTENSIONS:
        v = 64; /* SKF_AD_MAX */
        break;
    case LX_SO_PEEK_OFF:
        if (sk->family == LX_AF_NETLINK || sk->family == LX_AF_PACKET)
            return -LX_EOPNOTSUPP;
        v = sk->peek_off;
        break;
    case LX_SO_BUSY_POLL:
        v = sk->busy_poll;
        break;
    case LX_SO_PREFER_BUSY_POLL:
        v = sock_has(sk, SKF_BUSY_PREFER);
        break;
    case LX_SO_INCOMING_CPU:
        v = sk->incoming_cpu;
        break;
    case LX_SO_INCOMING_NAPI_ID:
        v = 0;
        break;
    case LX_SO_ZEROCOPY:
        v = sock_has(sk, SKF_ZEROCOPY);
        break;
    case LX_SO_BINDTOIFINDEX:
        v = sk->bound_dev;
        break;
    case LX_SO_BUF_LOCK:
        v = (sock_has(sk, SKF_SNDBUF_LOCK) ? LX_SOCK_SNDBUF_LOCK : 0) |
            (sock_has(sk, SKF_RCVBUF_LOCK) ? LX_SOCK_RCVBUF_LOCK : 0);
        break;
    case LX_SO_RESERVE_MEM:
        v = 0;
        break;
    case LX_SO_TXREHASH:
        v = sk->txrehash;
        break;
    case LX_SO_LOCK_FILTER:
        v = sock_has(sk, SKF_FILTER_LOCK);
        break;
    case LX_SO_PASSPIDFD:
        if (sk->family != LX_AF_UNIX)
            return -LX_EOPNOTSUPP;
        v = sock_has(sk, SKF_PASSPIDFD);
        break;
    default:
        return -LX_ENOPROTOOPT;
    }
    *ret = v;
    return 0;
}

int sock_getsockopt_generic(struct sock *sk, s32 name, struct optval *val)
{
    int r = get_other(sk, name, val);
    if (r != -LX_ENOIOCTLCMD)
        return r;
    s32 v = 0;
    u32 flag = bool_option(name);
    if (flag) {
        if ((name == LX_SO_PASSCRED || name == LX_SO_PASSSEC) && sk->family != LX_AF_UNIX &&
            sk->family != LX_AF_NETLINK)
            return -LX_EOPNOTSUPP;
        return optval_write_int(val, sock_has(sk, flag));
    }
    r = get_int(sk, name, &v);
    if (r == -LX_ENOPROTOOPT && sk->ops->getsockopt)
        return sk->ops->getsockopt(sk, LX_SOL_SOCKET, name, val);
    return r < 0 ? r : optval_write_int(val, v);
}
