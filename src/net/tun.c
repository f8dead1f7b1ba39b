/*
 * /dev/net/tun: interfaces whose far end is a descriptor. What the namespace sends on one waits in
 * a queue of the descriptor's, bounded in frames and bytes; what is written arrives at it by the
 * common queue (stack/frame.h).
 *
 * Life: a tun_file belongs to its open file, an interface to its namespace; each points at the
 * other under wire_lock while they are attached. An interface that is not persistent goes with its
 * descriptor. The file holds the namespace that it was opened in.
 *
 * Inside, frames of both kinds have an Ethernet header; that of a tun's is made up and taken off.
 */
#include "net/tun.h"

#include <stdlib.h>

#include "net/netdev.h"
#include "net/sock.h"
#include "net/stack/frame.h"
#include "vfs/special.h"

#define TUN_MAJOR    10
#define TUN_MINOR    200
#define QUEUE_FRAMES 512U
#define QUEUE_BYTES  (4U << 20)

#define LX_IFF_TUN       0x0001U
#define LX_IFF_TAP       0x0002U
#define LX_IFF_NO_PI     0x1000U
#define LX_IFF_ONE_QUEUE 0x2000U
#define LX_IFF_VNET_HDR  0x4000U
#define LX_IFF_TUN_EXCL  0x8000U
#define LX_IFF_PERSIST   0x0800U
#define TUN_KNOWN        (LX_IFF_TUN | LX_IFF_TAP | LX_IFF_NO_PI | LX_IFF_ONE_QUEUE | LX_IFF_VNET_HDR)
#define TUN_PKT_STRIP    1
#define LX_TUN_F_CSUM    1U
#define LX_TUN_F_TSO4    2U
#define LX_TUN_F_TSO6    4U
#define LX_TUN_F_TSO_ECN 8U

#define LX_TUNSETIFF       0x400454caU
#define LX_TUNSETPERSIST   0x400454cbU
#define LX_TUNSETOWNER     0x400454ccU
#define LX_TUNSETGROUP     0x400454ceU
#define LX_IFF_NOFILTER    0x1000 /* no program is attached */
#define LX_TUNGETFEATURES  0x800454cfU
#define LX_TUNSETOFFLOAD   0x400454d0U
#define LX_TUNGETIFF       0x800454d2U
#define LX_TUNGETVNETHDRSZ 0x800454d7U
#define LX_TUNSETVNETHDRSZ 0x400454d8U

struct tun_ifreq {
    char name[LX_IFNAMSIZ];
    u16 flags;
    u8 pad[22];
};
_Static_assert(sizeof(struct tun_ifreq) == 40, "ifreq");

struct tun_file {
    struct net_ns *ns;               /* owned; immutable */
    _Atomic(struct stk_iface *) ifc; /* followed and written under wire_lock */
    _Atomic u32 flags;               /* LX_IFF_* of this section */
    _Atomic u32 offload;             /* LX_TUN_F_*: what its reader takes unfinished */
    struct waitq wq;
    struct mutex lock; /* leaf; below wire_lock: the queue */
    struct list queue;
    u32 nframes, nbytes;
};

/* ---- from the stack ------------------------------------------------------------------------ */

static void enqueue(struct stk_frame *f, void *arg)
{
    struct tun_file *t = arg;
    mutex_lock(&t->lock);
    bool has_room = t->nframes < QUEUE_FRAMES && t->nbytes + f->size <= QUEUE_BYTES;
    if (has_room) {
        list_add_tail(&t->queue, &f->node);
        t->nframes++;
        t->nbytes += f->size;
    }
    mutex_unlock(&t->lock);
    if (has_room)
        waitq_wake(&t->wq, WAIT_READABLE);
    else
        frame_free(f);
}

/* Under wire_lock. */
void tun_xmit(struct stk_iface *ifc, struct stk_frame *f)
{
    struct tun_file *t = ifc->tun;
    u8 gso = f->vnet.gso_type & (u8)~VIRTIO_NET_HDR_GSO_ECN;
    if (!t) {
        STK_COUNT(ifc, tx_dropped);
        frame_free(f);
        return;
    }
    u32 takes = t->flags & LX_IFF_VNET_HDR ? t->offload : 0;
    u32 needs = gso == VIRTIO_NET_HDR_GSO_TCPV4   ? LX_TUN_F_TSO4
                : gso == VIRTIO_NET_HDR_GSO_TCPV6 ? LX_TUN_F_TSO6
                                                  : 0;
    if (gso && (!needs || !(takes & needs))) {
        frame_split(f, enqueue, t);
        return;
    }
    if (!(takes & LX_TUN_F_CSUM) && !frame_finish_csum(f)) {
        frame_free(f);
        return;
    }
    enqueue(f, t);
}

static struct stk_frame *dequeue(struct tun_file *t)
{
    MUTEX_GUARD(&t->lock);
    struct stk_frame *f = list_first(&t->queue, struct stk_frame, node);
    if (f) {
        list_del(&f->node);
        t->nframes--;
        t->nbytes -= f->size;
    }
    return f;
}

/* Under wire_lock, write-locked: the two part. */
void tun_part(struct stk_iface *ifc)
{
    struct tun_file *t = ifc->tun;
    ifc->tun = NULL;
    if (!t)
        return;
    t->ifc = NULL;
    waitq_wake(&t->wq, WAIT_ALL);
}

void tun_moved(struct stk_iface *to, struct tun_file *t)
{
    to->tun = t;
    if (t)
        t->ifc = to;
}

/* Takes no lock: pollers ask under theirs. */
static bool is_attached(struct tun_file *t)
{
    return atomic_load(&t->ifc);
}

/* ---- reading ------------------------------------------------------------------------------- */

static s64 put_frame(struct tun_file *t, struct stk_frame *f, struct uio *to)
{
    u32 flags = t->flags, skip = flags & LX_IFF_TUN ? ETHER_HLEN : 0, left = f->size - skip;
    struct virtio_net_hdr v = f->vnet;
    u16 pi[2] = {0, net16(rd16(f->data + 12))};
    u64 before = to->left;
    s64 r = 0;
    if (!(flags & LX_IFF_NO_PI)) {
        if (to->left < sizeof(pi))
            return -LX_EINVAL;
        if (to->left - sizeof(pi) < left + (flags & LX_IFF_VNET_HDR ? sizeof(v) : 0))
            pi[0] = TUN_PKT_STRIP;
        r = uio_copy_to(to, pi, sizeof(pi));
        if (r != sizeof(pi))
            return r < 0 ? r : -LX_EFAULT;
    }
    if (flags & LX_IFF_VNET_HDR) {
        if (to->left < sizeof(v))
            return -LX_EINVAL;
        if (v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
            v.csum_start = (u16)(v.csum_start - skip);
        v.hdr_len = v.gso_type && v.hdr_len > skip ? (u16)(v.hdr_len - skip) : 0;
        r = uio_copy_to(to, &v, sizeof(v));
        if (r != sizeof(v))
            return r < 0 ? r : -LX_EFAULT;
    }
    u64 n = MIN((u64)left, to->left);
    r = n ? uio_copy_to(to, f->data + skip, n) : 0;
    return r < 0 ? r : (s64)(before - to->left);
}

static s64 tun_read(struct file *file, struct uio *to, s64 *off)
{
    struct tun_file *t = file->priv;
    struct stk_frame *f;
    while (!(f = dequeue(t))) {
        if (!is_attached(t))
            return -LX_EBADFD;
        if (file_is_nonblock(file))
            return -LX_EAGAIN;
        int r = wait_event_interruptible(&t->wq, WAIT_READABLE | WAIT_ERR,
                                         t->nframes || !is_attached(t), NO_DEADLINE);
        if (r < 0)
            return r;
    }
    s64 r = put_frame(t, f, to);
    frame_free(f);
    return r;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* The header says what is left to be done to a packet of this size. */
static bool is_sane(const struct virtio_net_hdr *v, u32 size)
{
    u8 gso = v->gso_type & (u8)~VIRTIO_NET_HDR_GSO_ECN;
    if (v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && (u32)v->csum_start + v->csum_offset + 2 > size)
        return false;
    if (gso == VIRTIO_NET_HDR_GSO_NONE)
        return v->gso_type == 0;
    return (gso == VIRTIO_NET_HDR_GSO_TCPV4 || gso == VIRTIO_NET_HDR_GSO_TCPV6 ||
            gso == VIRTIO_NET_HDR_GSO_UDP_L4) &&
           v->gso_size && v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

/* The frame that is written. -LX_EINVAL, -LX_ENOBUFS, -LX_EFAULT. */
static int take_frame(struct tun_file *t, struct uio *from, struct stk_frame **ret)
{
    u32 flags = t->flags, skip = flags & LX_IFF_TUN ? ETHER_HLEN : 0;
    u16 pi[2] = {0};
    struct virtio_net_hdr v = {0};
    if (!(flags & LX_IFF_NO_PI)) {
        if (from->left < sizeof(pi))
            return -LX_EINVAL;
        if (uio_copy_from(from, pi, sizeof(pi)) != sizeof(pi))
            return -LX_EFAULT;
    }
    if (flags & LX_IFF_VNET_HDR) {
        if (from->left < sizeof(v))
            return -LX_EINVAL;
        if (uio_copy_from(from, &v, sizeof(v)) != sizeof(v))
            return -LX_EFAULT;
    }
    if (from->left > FRAME_MAX - ETHER_HLEN || !is_sane(&v, (u32)from->left) ||
        (!skip && from->left < ETHER_HLEN) || !from->left)
        return -LX_EINVAL;
    u32 size = (u32)from->left;
    struct stk_frame *f = frame_new(skip + size);
    if (!f)
        return -LX_ENOBUFS;
    memset(f->data, 0, skip);
    if (uio_copy_from(from, f->data + skip, size) != (s64)size) {
        frame_free(f);
        return -LX_EFAULT;
    }
    f->vnet = v;
    if (v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        f->vnet.csum_start = (u16)(v.csum_start + skip);
    if (skip) {
        u8 version = f->data[skip] >> 4;
        u16 type = !(flags & LX_IFF_NO_PI) ? net16(pi[1])
                   : version == 4          ? ETHTYPE_IP
                   : version == 6          ? ETHTYPE_IPV6
                                           : 0;
        if (!type) {
            frame_free(f);
            return -LX_EINVAL;
        }
        wr16(f->data + 12, type);
    }
    *ret = f;
    return 0;
}

static s64 tun_write(struct file *file, struct uio *from, s64 *off)
{
    struct tun_file *t = file->priv;
    struct stk_frame *f;
    u64 size = from->left;
    if (!is_attached(t))
        return -LX_EBADFD;
    int r = take_frame(t, from, &f);
    if (r < 0)
        return r;
    rwlock_rdlock(&wire_lock);
    struct stk_iface *ifc = t->ifc;
    if (!ifc || !stk_is_up(ifc)) {
        r = ifc ? -LX_EIO : -LX_EBADFD;
        frame_free(f);
    } else {
        work_queue(ifc, f);
    }
    rwlock_rdunlock(&wire_lock);
    return r < 0 ? r : (s64)size;
}

/* ---- attaching ----------------------------------------------------------------------------- */

static int attach(struct tun_file *t, struct stk_iface *ifc, u32 flags)
{
    int r = 0;
    rwlock_wrlock(&wire_lock);
    if (t->ifc) {
        r = -LX_EINVAL;
    } else if (ifc->tun) {
        r = -LX_EBUSY;
    } else {
        ifc->tun = t;
        t->ifc = ifc;
        t->flags = flags & TUN_KNOWN;
    }
    rwlock_wrunlock(&wire_lock);
    if (r == 0)
        stk_dev_set_carrier(ifc, true);
    return r;
}

static int set_iff(struct tun_file *t, struct tun_ifreq *q)
{
    struct netstack *stk = t->ns->stack;
    struct stk_dev_spec s = {0};
    u32 kinds = q->flags & (LX_IFF_TUN | LX_IFF_TAP);
    if (q->flags & ~(TUN_KNOWN | LX_IFF_TUN_EXCL | LX_IFF_PERSIST) ||
        (kinds != LX_IFF_TUN && kinds != LX_IFF_TAP))
        return -LX_EINVAL;
    q->name[LX_IFNAMSIZ - 1] = 0;
    memcpy(s.name, q->name, sizeof(s.name));
    enum dev_kind kind = kinds == LX_IFF_TUN ? DEV_TUN : DEV_TAP;
    if (!s.name[0])
        memcpy(s.name, kind == DEV_TUN ? "tun%d" : "tap%d", 6);
    struct stk_iface *ifc = stk_iface_named(stk, s.name);
    if (ifc && q->flags & LX_IFF_TUN_EXCL)
        return -LX_EBUSY;
    if (ifc && ifc->kind != kind)
        return -LX_EINVAL;
    if (!net_capable(t->ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    bool is_new = !ifc;
    int r = is_new ? stk_dev_create(stk, kind, &s, NULL, NULL, &ifc, NULL) : 0;
    if (r < 0)
        return r;
    if (is_new)
        ifc->is_persistent = false;
    r = attach(t, ifc, q->flags);
    if (r == 0)
        memcpy(q->name, ifc->name, sizeof(q->name));
    return r;
}

/* The interface goes with its descriptor, or stays without one. */
static void detach(struct tun_file *t)
{
    MUTEX_GUARD(&dev_lock);
    rwlock_wrlock(&wire_lock);
    struct stk_iface *ifc = t->ifc;
    if (ifc)
        tun_part(ifc);
    rwlock_wrunlock(&wire_lock);
    if (!ifc)
        return;
    if (ifc->is_persistent)
        stk_dev_set_carrier(ifc, false);
    else
        (void)!stk_dev_destroy(ifc); /* of a kind that can be */
}

/* ---- the file ------------------------------------------------------------------------------ */

static int tun_open(struct inode *i, struct file *f)
{
    struct tun_file *t = calloc(1, sizeof(*t));
    if (!t)
        return -LX_ENOMEM;
    t->ns = net_ns_current();
    net_ns_get(t->ns);
    waitq_init(&t->wq);
    mutex_init(&t->lock, "tun");
    list_init(&t->queue);
    f->priv = t;
    return 0;
}

static void tun_release(struct file *f)
{
    struct tun_file *t = f->priv;
    struct stk_frame *q;
    detach(t);
    while ((q = dequeue(t)))
        frame_free(q);
    waitq_done(&t->wq);
    net_ns_put(t->ns);
    free(t);
}

static u32 tun_poll(struct file *f)
{
    struct tun_file *t = f->priv;
    if (!is_attached(t))
        return WAIT_ERR;
    return WAIT_WRITABLE | (t->nframes ? WAIT_READABLE : 0);
}

static struct waitq *tun_pollq(struct file *f)
{
    return &((struct tun_file *)f->priv)->wq;
}

static int set_offload(struct tun_file *t, u32 v)
{
    const u32 tso = LX_TUN_F_TSO4 | LX_TUN_F_TSO6 | LX_TUN_F_TSO_ECN;
    if (v & ~(LX_TUN_F_CSUM | tso) || (v & tso && !(v & LX_TUN_F_CSUM)))
        return -LX_EINVAL;
    t->offload = v;
    return 0;
}

static s64 get_iff(struct tun_file *t, u64 arg)
{
    struct tun_ifreq q = {0};
    rwlock_rdlock(&wire_lock);
    const struct stk_iface *ifc = t->ifc;
    if (ifc) {
        memcpy(q.name, ifc->name, sizeof(q.name));
        q.flags = (u16)(t->flags | (ifc->is_persistent ? LX_IFF_PERSIST : 0) |
                        LX_IFF_NOFILTER);
    }
    rwlock_rdunlock(&wire_lock);
    return q.name[0] ? copy_out(uaddr(arg), &q, sizeof(q)) : -LX_EBADFD;
}

static int set_persist(struct tun_file *t, bool is_on)
{
    MUTEX_GUARD(&dev_lock);
    rwlock_rdlock(&wire_lock);
    struct stk_iface *ifc = t->ifc;
    rwlock_rdunlock(&wire_lock);
    if (!ifc)
        return -LX_EBADFD;
    ifc->is_persistent = is_on;
    return 0;
}

static s64 tun_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct tun_file *t = f->priv;
    struct tun_ifreq q = {0};
    s32 v;
    int r;
    switch (cmd) {
    case LX_TUNSETIFF:
        r = copy_in(&q, uaddr(arg), sizeof(q));
        if (r < 0)
            return r;
        mutex_lock(&dev_lock);
        r = is_attached(t) ? -LX_EEXIST : set_iff(t, &q);
        mutex_unlock(&dev_lock);
        return r < 0 ? r : copy_out(uaddr(arg), &q, sizeof(q));
    case LX_TUNGETIFF:
        return get_iff(t, arg);
    case LX_TUNGETFEATURES:
        return put_user(TUN_KNOWN, uaddr(arg));
    case LX_TUNSETPERSIST:
        return set_persist(t, arg != 0);
    case LX_TUNSETOWNER: /* kept by nobody: attaching takes CAP_NET_ADMIN */
    case LX_TUNSETGROUP:
        return is_attached(t) ? 0 : -LX_EBADFD;
    case LX_TUNSETOFFLOAD:
        return is_attached(t) ? set_offload(t, (u32)arg) : -LX_EBADFD;
    case LX_TUNGETVNETHDRSZ:
        return is_attached(t) ? put_user((s32)sizeof(struct virtio_net_hdr), uaddr(arg))
                              : -LX_EBADFD;
    case LX_TUNSETVNETHDRSZ:
        if (!is_attached(t))
            return -LX_EBADFD;
        r = get_user(v, uaddr(arg));
        if (r < 0)
            return r;
        return v == (s32)sizeof(struct virtio_net_hdr) ? 0 : -LX_EINVAL;
    default:
        return is_attached(t) ? -LX_EINVAL : -LX_EBADFD;
    }
}

static const struct file_ops tun_fops = {
    .open = tun_open,
    .read = tun_read,
    .write = tun_write,
    .poll = tun_poll,
    .pollq = tun_pollq,
    .ioctl = tun_ioctl,
    .release = tun_release,
};

void tun_init(void)
{
    chrdev_register(TUN_MAJOR, TUN_MINOR, 1, "misc", &tun_fops);
}
