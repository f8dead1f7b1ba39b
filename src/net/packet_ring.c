/*
 * PACKET_RX_RING: frames in memory that the guest maps (Documentation/networking/packet_mmap.rst).
 *
 * The memory is a memfd that this process maps too. Nothing in it is believed: the only word
 * read back is a frame's or block's status, once, and every position is kept here. Versions 1 and
 * 2 are rings of frames of a fixed size; version 3 fills blocks with frames and hands a
 * block over when it is full or its time is up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/timer.h"
#include "mm/mm.h"
#include "net/packet.h"

#define RING_MAX       (256ULL << 20)
#define ALIGN16(n)     (((n) + 15U) & ~15U)
#define ALIGN8(n)      (((n) + 7U) & ~7U)
#define STATUS_KERNEL  0U
#define STATUS_USER    1U
#define STATUS_LOSING  4U
#define STATUS_TIMEOUT (1U << 5)
#define RETIRE_DEFAULT 8 /* milliseconds */
#define RESERVE_MAX    32768U

struct lx_tpacket_hdr {
    u64 status;
    u32 len, snaplen;
    u16 mac, net;
    u32 sec, usec;
};
struct lx_tpacket2_hdr {
    u32 status, len, snaplen;
    u16 mac, net;
    u32 sec, nsec;
    u16 vlan_tci, vlan_tpid;
    u8 pad[4];
};
struct lx_tpacket3_hdr {
    u32 next_offset, sec, nsec, snaplen, len, status;
    u16 mac, net;
    u32 rxhash, vlan_tci;
    u16 vlan_tpid, pad0;
    u8 pad[8];
};
_Static_assert(sizeof(struct lx_tpacket_hdr) == 32, "tpacket_hdr");
_Static_assert(sizeof(struct lx_tpacket2_hdr) == 32, "tpacket2_hdr");
_Static_assert(sizeof(struct lx_tpacket3_hdr) == 48, "tpacket3_hdr");

struct lx_tpacket_block { /* tpacket_block_desc */
    u32 version, offset_to_priv;
    u32 status, npkts, first_offset, size;
    u64 seq;
    u32 first_sec, first_nsec, last_sec, last_nsec;
};
#define BLOCK_HDR 48U
_Static_assert(sizeof(struct lx_tpacket_block) == BLOCK_HDR, "tpacket_block_desc");

struct packet_ring {
    struct mutex lock; /* before waitq's */
    int version;       /* immutable, as all up to mem */
    u32 block_size, nblocks, frame_size, nframes, reserve, priv;
    s64 retire_ns;
    struct waitq *wq;
    struct mappable *shm; /* owned */
    u8 *mem;
    u64 size;
    _Atomic u32 nmapped;
    u32 at;                /* next frame, or open block; guarded by lock, as all below */
    u32 used, npkts, last; /* of the open block: bytes, frames, offset of the last */
    u64 seq;
    struct timer timer; /* retires the open block */
};

u32 packet_header_size(int version)
{
    switch (version) {
    case TPACKET_V1:
        return sizeof(struct lx_tpacket_hdr);
    case TPACKET_V2:
        return sizeof(struct lx_tpacket2_hdr);
    case TPACKET_V3:
        return sizeof(struct lx_tpacket3_hdr);
    default:
        return 0;
    }
}

/* Header and the sockaddr_ll after it. */
static u32 full_header(int version)
{
    return ALIGN16(packet_header_size(version)) + (u32)sizeof(struct lx_sockaddr_ll);
}

static volatile u32 *status_of(struct packet_ring *r, u32 at)
{
    if (r->version == TPACKET_V3)
        return (volatile u32 *)(void *)(r->mem + (u64)at * r->block_size +
                                        offsetof(struct lx_tpacket_block, status));
    u32 per_block = r->block_size / r->frame_size;
    u64 off = (u64)(at / per_block) * r->block_size + (u64)(at % per_block) * r->frame_size;
    return (volatile u32 *)(void *)(r->mem + off); /* of version 1 the low half, and the first */
}

static u32 count_of(const struct packet_ring *r)
{
    return r->version == TPACKET_V3 ? r->nblocks : r->nframes;
}

static int check_request(const struct lx_tpacket_req3 *q, int version, u32 reserve)
{
    u64 min_frame = (u64)full_header(version) + reserve;
    if ((s32)q->block_size <= 0 || q->block_size % PAGE_SIZE)
        return -LX_EINVAL;
    if (version == TPACKET_V3 &&
        q->block_size <= (u64)BLOCK_HDR + ALIGN8((u64)q->priv_size) + min_frame)
        return -LX_EINVAL;
    if (reserve > RESERVE_MAX || q->frame_size < min_frame || q->frame_size % 16 ||
        q->frame_size > q->block_size)
        return -LX_EINVAL;
    if ((u64)q->block_size / q->frame_size * q->block_nr != q->frame_nr)
        return -LX_EINVAL;
    return (u64)q->block_size * q->block_nr > RING_MAX ? -LX_ENOMEM : 0;
}

static void open_block(struct packet_ring *r)
{
    r->used = BLOCK_HDR + r->priv;
    r->npkts = r->last = 0;
}

/* Hands the open block over. REQUIRES r->lock. */
static void retire_block(struct packet_ring *r, u32 status)
{
    struct lx_tpacket_block *b = (void *)(r->mem + (u64)r->at * r->block_size);
    if (!r->npkts)
        return;
    b->version = TPACKET_V3;
    b->offset_to_priv = BLOCK_HDR;
    b->npkts = r->npkts;
    b->first_offset = BLOCK_HDR + r->priv;
    b->size = r->used;
    b->seq = ++r->seq;
    __atomic_store_n(&b->status, STATUS_USER | status, __ATOMIC_RELEASE);
    r->at = (r->at + 1) % r->nblocks;
    open_block(r);
}

static void on_timer(struct timer *t)
{
    struct packet_ring *r = container_of(t, struct packet_ring, timer);
    mutex_lock(&r->lock);
    retire_block(r, STATUS_TIMEOUT);
    mutex_unlock(&r->lock);
    waitq_wake(r->wq, WAIT_READABLE);
}

int packet_ring_new(const struct lx_tpacket_req3 *q, int version, u32 reserve, struct waitq *wq,
                    struct packet_ring **ret_r)
{
    int fd, err = check_request(q, version, reserve);
    u64 off;
    if (err < 0)
        return err;
    u64 size = (u64)q->block_size * q->block_nr;
    struct packet_ring *r = calloc(1, sizeof(*r));
    if (!r || !net_mem_charge(size)) {
        free(r);
        return -LX_ENOMEM;
    }
    mutex_init(&r->lock, "packet_ring");
    timer_init(&r->timer, on_timer);
    r->version = version;
    r->block_size = q->block_size;
    r->nblocks = q->block_nr;
    r->frame_size = q->frame_size;
    r->nframes = q->frame_nr;
    r->reserve = reserve;
    r->priv = version == TPACKET_V3 ? ALIGN8(q->priv_size) : 0;
    r->retire_ns = (q->retire_ms ? q->retire_ms : RETIRE_DEFAULT) * NSEC_PER_MSEC;
    r->wq = wq;
    r->size = size;
    open_block(r);
    err = shmem_object_new(size, &r->shm);
    if (err == 0)
        err = r->shm->ops->host_fd(r->shm, 0, size, true, &fd, &off);
    if (err == 0) {
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)off);
        if (p == MAP_FAILED)
            err = -LX_ENOMEM;
        else
            r->mem = p;
    }
    if (err < 0)
        packet_ring_free(r);
    else
        *ret_r = r;
    return err;
}

void packet_ring_free(struct packet_ring *r)
{
    if (!r)
        return;
    timer_done(&r->timer);
    if (r->mem)
        munmap(r->mem, r->size);
    if (r->shm)
        r->shm->ops->put(r->shm);
    net_mem_uncharge(r->size);
    free(r);
}

bool packet_ring_is_mapped(const struct packet_ring *r)
{
    return atomic_load(&r->nmapped) != 0;
}

void packet_ring_mapped(struct packet_ring *r, bool is_more)
{
    atomic_fetch_add(&r->nmapped, is_more ? 1U : -1U);
}

int packet_ring_host_fd(struct packet_ring *r, u64 offset, u64 size, bool is_writable_shared,
                        int *ret_fd, u64 *ret_offset)
{
    if (offset || size != r->size)
        return -LX_EINVAL;
    return r->shm->ops->host_fd(r->shm, offset, size, is_writable_shared, ret_fd, ret_offset);
}

/* Where header and frame stand within a slot. */
struct place {
    u32 mac, net, snaplen;
};

static struct place place_of(const struct packet_ring *r, const struct packet_frame *f, u32 from,
                             u32 keep, u32 room)
{
    u32 hdr = full_header(r->version), link = f->net - from;
    struct place p = {.snaplen = keep};
    if (!link)
        p.mac = p.net = ALIGN16(hdr) + 16 + r->reserve;
    else
        p.net = ALIGN16(hdr + MAX(link, 16U)) + r->reserve, p.mac = p.net - link;
    if ((u64)p.mac + p.snaplen > room)
        p.snaplen = room > p.mac ? room - p.mac : 0;
    return p;
}

/* Everything but the status, which is the last. */
static void fill_slot(struct packet_ring *r, u8 *slot, const struct packet_frame *f, u32 from,
                      struct place p, const struct lx_sockaddr_ll *sll, s64 ns)
{
    u32 sec = (u32)(ns / NSEC_PER_SEC), nsec = (u32)(ns % NSEC_PER_SEC), len = f->size - from;
    if (p.snaplen)
        memcpy(slot + p.mac, f->buf + from, p.snaplen);
    memcpy(slot + ALIGN16(packet_header_size(r->version)), sll, sizeof(*sll));
    if (r->version == TPACKET_V1) {
        struct lx_tpacket_hdr h = {0, len, p.snaplen, (u16)p.mac, (u16)p.net, sec, nsec / 1000};
        memcpy(slot + 8, (u8 *)&h + 8, sizeof(h) - 8);
    } else if (r->version == TPACKET_V2) {
        struct lx_tpacket2_hdr h = {.len = len,
                                    .snaplen = p.snaplen,
                                    .mac = (u16)p.mac,
                                    .net = (u16)p.net,
                                    .sec = sec,
                                    .nsec = nsec};
        memcpy(slot + 4, (u8 *)&h + 4, sizeof(h) - 4);
    } else {
        struct lx_tpacket3_hdr h = {.sec = sec,
                                    .nsec = nsec,
                                    .snaplen = p.snaplen,
                                    .len = len,
                                    .status = STATUS_USER,
                                    .mac = (u16)p.mac,
                                    .net = (u16)p.net};
        memcpy(slot, &h, sizeof(h));
    }
}

static bool put_frame(struct packet_ring *r, const struct packet_frame *f, u32 from, u32 keep,
                      const struct lx_sockaddr_ll *sll, bool is_lossy, s64 ns)
{
    volatile u32 *status = status_of(r, r->at);
    if (__atomic_load_n(status, __ATOMIC_ACQUIRE) != STATUS_KERNEL)
        return false;
    fill_slot(r, (u8 *)(uintptr_t)status, f, from, place_of(r, f, from, keep, r->frame_size), sll,
              ns);
    u32 v = STATUS_USER | (is_lossy ? STATUS_LOSING : 0);
    if (r->version == TPACKET_V1)
        __atomic_store_n((volatile u64 *)(volatile void *)status, (u64)v, __ATOMIC_RELEASE);
    else
        __atomic_store_n(status, v, __ATOMIC_RELEASE);
    r->at = (r->at + 1) % r->nframes;
    return true;
}

static bool put_in_block(struct packet_ring *r, const struct packet_frame *f, u32 from, u32 keep,
                         const struct lx_sockaddr_ll *sll, s64 ns)
{
    u32 room = r->block_size - BLOCK_HDR - r->priv;
    struct place p = place_of(r, f, from, keep, room);
    u32 size = ALIGN8(p.mac + p.snaplen);
    if (size > r->block_size - r->used)
        retire_block(r, 0);
    if (!r->npkts && __atomic_load_n(status_of(r, r->at), __ATOMIC_ACQUIRE) != STATUS_KERNEL)
        return false;
    if (size > r->block_size - r->used)
        return false;
    u8 *block = r->mem + (u64)r->at * r->block_size;
    struct lx_tpacket_block *b = (void *)block;
    b->last_sec = (u32)(ns / NSEC_PER_SEC);
    b->last_nsec = (u32)(ns % NSEC_PER_SEC);
    if (r->npkts++ == 0) {
        b->first_sec = b->last_sec;
        b->first_nsec = b->last_nsec;
        if (timer_arm(&r->timer, clock_mono_ns() + r->retire_ns) < 0)
            return false;
    } else {
        struct lx_tpacket3_hdr *last = (void *)(block + r->last);
        last->next_offset = r->used - r->last;
    }
    fill_slot(r, block + r->used, f, from, p, sll, ns);
    r->last = r->used;
    r->used += size;
    return true;
}

bool packet_ring_put(struct packet_ring *r, const struct packet_frame *f, u32 from, u32 keep,
                     const struct lx_sockaddr_ll *sll, bool is_lossy, s64 stamp_ns)
{
    mutex_lock(&r->lock);
    u32 at = r->at;
    bool is_ok = r->version == TPACKET_V3 ? put_in_block(r, f, from, keep, sll, stamp_ns)
                                          : put_frame(r, f, from, keep, sll, is_lossy, stamp_ns);
    bool is_news = r->at != at;
    mutex_unlock(&r->lock);
    if (is_news)
        waitq_wake(r->wq, WAIT_READABLE);
    return is_ok;
}

bool packet_ring_is_readable(struct packet_ring *r)
{
    MUTEX_GUARD(&r->lock);
    u32 n = count_of(r), before = (r->at + n - 1) % n;
    return __atomic_load_n(status_of(r, before), __ATOMIC_ACQUIRE) != STATUS_KERNEL;
}
