/*
 * Pipes and FIFOs.
 *
 * A pipe is a ring of slots of one page each, as in Linux, since the slots are
 * visible: a pipe is writable when a slot is free, a write of at most PIPE_BUF bytes
 * fits one slot and is therefore atomic, a small write joins the last slot when
 * it fits whole, and in packet mode (O_DIRECT) a slot is a packet. The pages
 * lie in one piece of memory, so that neighbouring full slots are copied
 * in one go; an empty pipe starts again at the first page, which stays
 * in the cache.
 *
 * One wait queue serves readers, writers and watchers by event bits. Sleepers
 * are exclusive: one is woken at a time, and only by the write into an empty
 * pipe or the read from a full one; it wakes the next when something is left.
 * Watchers are told of every write, as edge-triggered epoll expects.
 *
 * The lock is held while bytes are copied from and to guest memory, as Linux
 * does; it is not a leaf.
 *
 * Slots are charged to the user who made the pipe; what all together have is bounded too.
 */
#include "fs/pipe.h"

#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "abi/signal.h"
#include "abi/tty.h"
#include "fs/pipe_ring.h"
#include "vfs/special.h"

#define SLOTS_HARD_LIMIT 131072 /* for everybody together: 512 MiB */
#define MIN_SLOTS        2U     /* beyond the soft limit */

static _Atomic u32 nslots_used;

#define EV_READ  (WAIT_IN | WAIT_RDNORM)
#define EV_WRITE (WAIT_OUT | WAIT_WRNORM)

/* ---- making -------------------------------------------------------------------------------- */

static bool is_limited(void)
{
    return !vfs_capable(LX_CAP_SYS_RESOURCE) && !vfs_capable(LX_CAP_SYS_ADMIN);
}

/* Would n slots more pass a limit of the user's? 0: no limit. */
static bool is_beyond(struct account *a, u32 n, s64 limit)
{
    return limit && is_limited() && atomic_load(&a->pipe_pages) + n > limit;
}

static bool charge_slots(struct account *a, u32 n)
{
    if (atomic_fetch_add(&nslots_used, n) + n > SLOTS_HARD_LIMIT) {
        atomic_fetch_sub(&nslots_used, n);
        return false;
    }
    atomic_fetch_add(&a->pipe_pages, n);
    return true;
}

static void uncharge_slots(struct account *a, u32 n)
{
    atomic_fetch_sub(&nslots_used, n);
    atomic_fetch_sub(&a->pipe_pages, n);
}

static void pipe_free(struct pipe *p)
{
    if (!p)
        return;
    uncharge_slots(p->user, p->nslots);
    account_put(p->user);
    waitq_done(&p->wait);
    free(p->data);
    free(p->slots);
    free(p);
}

static int pipe_alloc(struct pipe **ret_p)
{
    u32 nslots = PIPE_DEF_SLOTS;
    s64 max = sysctl_pipe_max_size / (s64)PAGE_SIZE;
    struct account *user = account_get();
    if (!user)
        return -LX_ENOMEM;
    if (nslots > max && !vfs_capable(LX_CAP_SYS_RESOURCE))
        nslots = (u32)max;
    if (is_beyond(user, nslots, sysctl_pipe_soft))
        nslots = MIN(nslots, MIN_SLOTS);
    if (is_beyond(user, nslots, sysctl_pipe_hard) || !charge_slots(user, nslots)) {
        account_put(user);
        return -LX_ENFILE;
    }
    struct pipe *p = calloc(1, sizeof(*p));
    if (p)
        p->slots = calloc(nslots, sizeof(*p->slots));
    if (!p || !p->slots) {
        free(p);
        uncharge_slots(user, nslots);
        account_put(user);
        return -LX_ENOMEM;
    }
    p->user = user;
    mutex_init(&p->lock, "pipe");
    waitq_init(&p->wait);
    p->nslots = nslots;
    *ret_p = p;
    return 0;
}

/* ---- waiting ------------------------------------------------------------------------------- */

static bool can_read(struct pipe *p)
{
    return !is_empty(p) || atomic_load(&p->nwriters) == 0;
}

static bool can_write(struct pipe *p)
{
    return !is_full(p) || atomic_load(&p->nreaders) == 0;
}

static int pipe_sleep(struct pipe *p, u32 events, bool (*cond)(struct pipe *p))
{
    struct waiter w;
    int r = 0;
    waiter_init_thread(&w, events | WAIT_HUP | WAIT_ERR);
    waitq_add_exclusive(&p->wait, &w);
    while (!cond(p)) {
        r = park_interruptible(NO_DEADLINE);
        if (r < 0) {
            if (cond(p))
                r = 0; /* a wake meant for us alone must not be lost */
            break;
        }
    }
    waitq_del(&p->wait, &w);
    return r;
}

static void wake_readers(struct pipe *p, bool is_sleeper_too)
{
    waitq_wake_n(&p->wait, EV_READ, is_sleeper_too ? 1 : 0);
}

static void wake_writers(struct pipe *p, bool is_sleeper_too)
{
    waitq_wake_n(&p->wait, EV_WRITE, is_sleeper_too ? 1 : 0);
}

/* ---- moving bytes -------------------------------------------------------------------------- */

/* A guest's buffers or a piece of our memory. */
struct mover {
    struct uio *uio;
    u8 *mem;
};

static s64 move_out(struct mover *m, const u8 *from, u64 size)
{
    if (m->uio)
        return uio_copy_to(m->uio, from, size);
    memcpy(m->mem, from, size);
    m->mem += size;
    return (s64)size;
}

static s64 move_in(struct mover *m, u8 *to, u64 size)
{
    if (m->uio)
        return uio_copy_from(m->uio, to, size);
    memcpy(to, m->mem, size);
    m->mem += size;
    return (s64)size;
}

/* What is there, up to size bytes or one packet. Bytes moved, or -LX_EFAULT. */
static s64 take_available(struct pipe *p, struct mover *m, u64 size) REQUIRES(p->lock)
{
    u64 done = 0;
    while (done < size && !is_empty(p)) {
        bool is_packet = slot_at(p, ring_tail(p))->is_packet;
        u64 run = readable_run(p, size - done);
        s64 n = move_out(m, page_at(p, ring_tail(p)) + slot_at(p, ring_tail(p))->off, run);
        if (n <= 0)
            return done ? (s64)done : -LX_EFAULT;
        consume(p, (u64)n);
        done += (u64)n;
        if (is_packet || (u64)n < run)
            break;
    }
    return (s64)done;
}

/* A reader that sleeps, and what it reads into. */
struct pipe_reading {
    struct offer offer;
    struct pipe *p;
    struct mover *m;
    u64 size;
    s64 got;
};

static s64 attempt(struct offer *o)
{
    struct pipe_reading *r = container_of(o, struct pipe_reading, offer);
    mutex_lock(&r->p->lock);
    bool was_full = is_full(r->p);
    s64 n = take_available(r->p, r->m, r->size);
    bool is_room_new = was_full && !is_full(r->p);
    mutex_unlock(&r->p->lock);
    if (n > 0)
        wake_writers(r->p, is_room_new);
    r->got = n;
    return n ? n : OFFER_AGAIN;
}

static bool can_read_any(void *arg)
{
    return can_read(arg);
}

/* As pipe_sleep; the size of what was read when the call has been answered. */
static s64 sleep_to_read(struct pipe *p, struct mover *m, u64 size)
{
    if (!m->uio || m->uio->is_kernel)
        return pipe_sleep(p, EV_READ, can_read);
    struct pipe_reading rd = {.offer = {.attempt = attempt}, .p = p, .m = m, .size = size};
    struct offer_place place = {.lock = &p->lock,
                                .slot = &p->offer,
                                .q = &p->wait,
                                .events = EV_READ | WAIT_HUP | WAIT_ERR,
                                .is_exclusive = true,
                                .is_ready = can_read_any,
                                .arg = p};
    int r = offer_wait(&place, &rd.offer, NO_DEADLINE);
    return r > 0 ? rd.got : r;
}

static s64 pipe_read_from(struct pipe *p, struct mover *m, u64 size, bool is_nonblock)
{
    bool has_slept = false;
    if (size == 0)
        return 0;
    for (;;) {
        mutex_lock(&p->lock);
        bool was_full = is_full(p);
        s64 n = take_available(p, m, size);
        bool is_room_new = was_full && !is_full(p);
        bool is_more = has_slept && !is_empty(p);
        bool is_end = n == 0 && atomic_load(&p->nwriters) == 0;
        mutex_unlock(&p->lock);
        if (n > 0)
            wake_writers(p, is_room_new);
        if (is_more)
            wake_readers(p, true);
        if (n != 0 || is_end)
            return n;
        if (is_nonblock)
            return -LX_EAGAIN;
        s64 r = sleep_to_read(p, m, size);
        if (r != 0)
            return r;
        has_slept = true;
    }
}

/* Puts what fits. Bytes moved, 0 when full, -LX_EFAULT, -LX_ENOMEM. */
static s64 put_available(struct pipe *p, struct mover *m, u64 size, bool is_packet, bool may_merge)
    REQUIRES(p->lock)
{
    u64 done = 0;
    if (!ensure_data(p))
        return -LX_ENOMEM;
    u64 odd = size & (PAGE_SIZE - 1);
    u8 *place = odd && may_merge && !is_packet ? merge_place(p, odd) : NULL;
    if (place) {
        s64 n = move_in(m, place, odd);
        if (n < (s64)odd)
            return -LX_EFAULT;
        slot_at(p, ring_head(p) - 1)->len += (u32)odd;
        done = odd;
    }
    while (done < size && !is_full(p)) {
        u32 want = is_packet ? 1 : (u32)MIN((size - done + PAGE_SIZE - 1) >> PAGE_SHIFT, 65536UL);
        u64 room = (u64)writable_run(p, want) * PAGE_SIZE;
        u64 part = MIN(room, size - done);
        s64 n = move_in(m, page_at(p, ring_head(p)), part);
        if (n <= 0)
            return done ? (s64)done : -LX_EFAULT;
        commit(p, (u64)n, is_packet);
        done += (u64)n;
        if ((u64)n < part)
            break;
    }
    return (s64)done;
}

static void raise_sigpipe(void)
{
    if (vfs_current && vfs_current->send_signal)
        vfs_current->send_signal(LX_SIGPIPE);
}

static s64 pipe_write_to(struct pipe *p, struct mover *m, u64 size, bool is_packet,
                         bool is_nonblock)
{
    u64 done = 0;
    bool has_slept = false;
    if (size == 0)
        return 0;
    for (;;) {
        mutex_lock(&p->lock);
        bool is_broken = atomic_load(&p->nreaders) == 0;
        bool was_empty = is_empty(p);
        s64 n = is_broken ? -LX_EPIPE : put_available(p, m, size - done, is_packet, done == 0);
        bool is_room_left = has_slept && !is_full(p);
        bool is_last = n > 0 && done + (u64)n == size && size <= OFFER_MAX_BYTES;
        struct offer *o = is_last ? offer_take(&p->offer) : NULL;
        mutex_unlock(&p->lock);
        if (n > 0) {
            if (o)
                offer_complete(o);
            waitq_wake_n(&p->wait, EV_READ, o ? UINT32_MAX : was_empty);
            done += (u64)n;
        }
        if (is_room_left)
            wake_writers(p, true);
        if (is_broken)
            raise_sigpipe();
        if (n < 0)
            return done ? (s64)done : n;
        if (done >= size)
            return (s64)done;
        if (n > 0 && !is_full(p))
            continue; /* a fault after a partial copy is reported by the next round */
        if (is_nonblock)
            return done ? (s64)done : -LX_EAGAIN;
        int r = pipe_sleep(p, EV_WRITE, can_write);
        if (r < 0)
            return done ? (s64)done : r;
        has_slept = true;
    }
}

/* ---- file operations ----------------------------------------------------------------------- */

static s64 pipe_fop_read(struct file *f, struct uio *to, s64 *off)
{
    struct mover m = {.uio = to};
    return pipe_read_from(f->priv, &m, to->left, file_is_nonblock(f));
}

static s64 pipe_fop_write(struct file *f, struct uio *from, s64 *off)
{
    struct mover m = {.uio = from};
    u32 flags = atomic_load_explicit(&f->flags, memory_order_relaxed);
    return pipe_write_to(f->priv, &m, from->left, flags & LX_O_DIRECT, flags & LX_O_NONBLOCK);
}

/* f->pos of a FIFO's reader is writer_opens at its open: no POLLHUP before the first writer came. */
static u32 pipe_poll(struct file *f)
{
    struct pipe *p = f->priv;
    u32 ev = 0;
    if (f->mode & FMODE_READ) {
        if (!is_empty(p))
            ev |= EV_READ;
        if (atomic_load(&p->nwriters) == 0 && (u32)f->pos != p->writer_opens)
            ev |= WAIT_HUP;
    }
    if (f->mode & FMODE_WRITE) {
        if (!is_full(p))
            ev |= EV_WRITE;
        if (atomic_load(&p->nreaders) == 0)
            ev |= WAIT_ERR;
    }
    return ev;
}

static struct waitq *pipe_pollq(struct file *f)
{
    struct pipe *p = f->priv;
    return &p->wait;
}

static s64 pipe_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct pipe *p = f->priv;
    if (cmd != LX_FIONREAD)
        return -LX_ENOTTY;
    u64 sum = 0;
    mutex_lock(&p->lock);
    for (u32 i = ring_tail(p); i != ring_head(p); i++)
        sum += slot_at(p, i)->len;
    mutex_unlock(&p->lock);
    return put_user((s32)sum, uaddr(arg));
}

static int pipe_check_flags(struct file *f, u32 flags)
{
    return 0;
}

/* ---- size ---------------------------------------------------------------------------------- */

static s64 resize(struct pipe *p, u32 nslots) REQUIRES(p->lock)
{
    u32 n = used_slots(p);
    if (n > nslots)
        return -LX_EBUSY;
    if (nslots > p->nslots && !charge_slots(p->user, nslots - p->nslots))
        return -LX_EPERM;
    struct slot *slots = calloc(nslots, sizeof(*slots));
    u8 *data = p->data ? malloc((u64)nslots * PAGE_SIZE) : NULL;
    if (!slots || (p->data && !data)) {
        free(slots);
        free(data);
        if (nslots > p->nslots)
            uncharge_slots(p->user, nslots - p->nslots);
        return -LX_ENOMEM;
    }
    if (nslots < p->nslots)
        uncharge_slots(p->user, p->nslots - nslots);
    for (u32 i = 0; i < n; i++) {
        struct slot *s = slot_at(p, ring_tail(p) + i);
        slots[i] = *s;
        memcpy(data + (u64)i * PAGE_SIZE + s->off, page_at(p, ring_tail(p) + i) + s->off, s->len);
    }
    free(p->slots);
    free(p->data);
    p->slots = slots;
    p->data = data;
    p->nslots = nslots;
    ring_store(p, n, 0);
    return (s64)nslots * (s64)PAGE_SIZE;
}

static s64 set_size(struct pipe *p, u64 arg)
{
    u32 size = (u32)arg;
    if (size > (1U << 31))
        return -LX_EINVAL;
    u32 nslots = 1;
    while ((u64)nslots * PAGE_SIZE < size)
        nslots *= 2;
    mutex_lock(&p->lock);
    bool was_full = is_full(p);
    s64 r;
    bool is_growing = nslots > p->nslots;
    if (is_growing && (s64)nslots * (s64)PAGE_SIZE > sysctl_pipe_max_size &&
        !vfs_capable(LX_CAP_SYS_RESOURCE))
        r = -LX_EPERM;
    else if (is_growing && (is_beyond(p->user, nslots - p->nslots, sysctl_pipe_soft) ||
                            is_beyond(p->user, nslots - p->nslots, sysctl_pipe_hard)))
        r = -LX_EPERM;
    else
        r = resize(p, nslots);
    bool is_room_new = r > 0 && was_full && !is_full(p);
    mutex_unlock(&p->lock);
    if (is_room_new)
        waitq_wake(&p->wait, EV_WRITE);
    return r;
}

static s64 pipe_fcntl(struct file *f, int cmd, u64 arg)
{
    struct pipe *p = f->priv;
    switch (cmd) {
    case LX_F_SETPIPE_SZ:
        return set_size(p, arg);
    case LX_F_GETPIPE_SZ:
        mutex_lock(&p->lock);
        s64 size = (s64)p->nslots * (s64)PAGE_SIZE;
        mutex_unlock(&p->lock);
        return size;
    default:
        return -LX_EINVAL;
    }
}

/* ---- opening and closing ------------------------------------------------------------------- */

static const struct file_ops pipe_fops;

static void drop_end(struct pipe *p, u32 fmode)
{
    bool is_last = false;
    if (fmode & FMODE_READ)
        is_last |= atomic_fetch_sub(&p->nreaders, 1) == 1;
    if (fmode & FMODE_WRITE)
        is_last |= atomic_fetch_sub(&p->nwriters, 1) == 1;
    if (is_last)
        waitq_wake(&p->wait, WAIT_ALL);
}

/* The inode's pipe with nfiles raised, made when there is none. */
static int get_pipe(struct inode *i, struct pipe **ret_p)
{
    MUTEX_GUARD(&i->lock);
    if (!i->pipe) {
        struct pipe *p;
        int r = pipe_alloc(&p);
        if (r < 0)
            return r;
        i->pipe = p;
    }
    *ret_p = i->pipe;
    (*ret_p)->nfiles++;
    return 0;
}

static void put_pipe(struct inode *i, struct pipe *p)
{
    mutex_lock(&i->lock);
    bool is_last = --p->nfiles == 0;
    if (is_last)
        i->pipe = NULL;
    mutex_unlock(&i->lock);
    if (is_last)
        pipe_free(p);
}

static bool opens_for_reading(struct pipe *p, struct file *f, u32 *ret_seen)
{
    MUTEX_GUARD(&p->lock);
    *ret_seen = atomic_load(&p->writer_opens);
    atomic_fetch_add(&p->nreaders, 1);
    atomic_fetch_add(&p->reader_opens, 1);
    bool is_alone = atomic_load(&p->nwriters) == 0;
    if (is_alone && file_is_nonblock(f))
        f->pos = *ret_seen;
    return is_alone && !file_is_nonblock(f);
}

/* True when it must wait for a reader; *ret_err: ENXIO. */
static bool opens_for_writing(struct pipe *p, struct file *f, u32 *ret_seen, int *ret_err)
{
    MUTEX_GUARD(&p->lock);
    bool is_alone = atomic_load(&p->nreaders) == 0;
    *ret_seen = atomic_load(&p->reader_opens);
    *ret_err = is_alone && file_is_nonblock(f) ? -LX_ENXIO : 0;
    if (*ret_err)
        return false;
    atomic_fetch_add(&p->nwriters, 1);
    atomic_fetch_add(&p->writer_opens, 1);
    return is_alone;
}

static void opens_both(struct pipe *p)
{
    MUTEX_GUARD(&p->lock);
    atomic_fetch_add(&p->nreaders, 1);
    atomic_fetch_add(&p->nwriters, 1);
    atomic_fetch_add(&p->reader_opens, 1);
    atomic_fetch_add(&p->writer_opens, 1);
}

/*
 * fifo(7): an open of one end waits for the other, unless O_NONBLOCK; both ends at once never wait.
 * A partner that came and went again counts. A pipe opened through /proc never waits.
 */
static int fifo_open(struct inode *i, struct file *f)
{
    struct pipe *p;
    u32 seen = 0, ends = f->mode & (FMODE_READ | FMODE_WRITE);
    bool is_waiting = false;
    _Atomic u32 *partner = NULL;
    int r = get_pipe(i, &p);
    if (r < 0)
        return r;
    if (ends == FMODE_READ) {
        is_waiting = opens_for_reading(p, f, &seen);
        partner = &p->writer_opens;
    } else if (ends == FMODE_WRITE) {
        is_waiting = opens_for_writing(p, f, &seen, &r);
        partner = &p->reader_opens;
    } else {
        opens_both(p);
    }
    if (r == 0) {
        waitq_wake(&p->wait, WAIT_ALL); /* those who wait for a partner */
        if (is_waiting && i->fops != &pipe_fops)
            r = wait_event_interruptible(&p->wait, WAIT_ALL, atomic_load(partner) != seen,
                                         NO_DEADLINE);
        if (r < 0)
            drop_end(p, ends);
    }
    if (r < 0) {
        put_pipe(i, p);
        return r;
    }
    f->ops = &pipe_fops;
    f->priv = p;
    f->mode = (f->mode | FMODE_STREAM) & ~(FMODE_LSEEK | FMODE_PREAD);
    return 0;
}

static void pipe_release(struct file *f)
{
    struct pipe *p = f->priv;
    drop_end(p, f->mode);
    put_pipe(f->inode, p);
}

int pipe_new(u32 flags, struct file **ret_r, struct file **ret_w)
{
    struct pipe *p;
    int r = pipe_alloc(&p);
    if (r < 0)
        return r;
    struct file *rf, *wf;
    u32 shown = flags & (LX_O_NONBLOCK | LX_O_DIRECT);
    r = file_new_anon("pipe:", LX_S_IFIFO | 0600, &pipe_fops, p, LX_O_RDONLY | shown,
                      FMODE_READ | FMODE_STREAM, &rf);
    if (r < 0) {
        pipe_free(p);
        return r;
    }
    p->nfiles = 1;
    atomic_store(&p->nreaders, 1);
    p->reader_opens = 1;
    rf->inode->pipe = p;
    r = file_open_path(&rf->path, LX_O_WRONLY | LX_O_NONBLOCK, &wf);
    if (r < 0) {
        file_put(rf);
        return r;
    }
    atomic_store(&wf->flags, LX_O_WRONLY | shown);
    *ret_r = rf;
    *ret_w = wf;
    return 0;
}

struct pipe *pipe_of(struct file *f)
{
    return f->ops == &pipe_fops ? f->priv : NULL;
}

/* ---- for splice ---------------------------------------------------------------------------- */

s64 pipe_pull(struct file *f, void *buf, u64 size, bool is_nonblock)
{
    struct mover m = {.mem = buf};
    return pipe_read_from(f->priv, &m, size, is_nonblock);
}

s64 pipe_push(struct file *f, const void *buf, u64 size, bool is_nonblock)
{
    struct mover m = {.mem = (u8 *)(uintptr_t)buf};
    return pipe_write_to(f->priv, &m, size, false, is_nonblock);
}

s64 pipe_peek(struct file *f, void *buf, u64 size, bool is_nonblock)
{
    struct pipe *p = f->priv;
    for (;;) {
        u64 done = 0;
        mutex_lock(&p->lock);
        for (u32 i = ring_tail(p); i != ring_head(p) && done < size; i++) {
            struct slot *s = slot_at(p, i);
            u64 part = MIN((u64)s->len, size - done);
            memcpy((u8 *)buf + done, page_at(p, i) + s->off, part);
            done += part;
        }
        mutex_unlock(&p->lock);
        if (done > 0 || size == 0 || atomic_load(&p->nwriters) == 0)
            return (s64)done;
        if (is_nonblock)
            return -LX_EAGAIN;
        int r = pipe_sleep(p, EV_READ, can_read);
        if (r < 0)
            return r;
    }
}

void pipe_consume(struct file *f, u64 size)
{
    struct pipe *p = f->priv;
    mutex_lock(&p->lock);
    bool was_full = is_full(p);
    u64 there = 0;
    for (u32 i = ring_tail(p); i != ring_head(p); i++)
        there += slot_at(p, i)->len;
    consume(p, MIN(size, there));
    bool is_room_new = was_full && !is_full(p);
    mutex_unlock(&p->lock);
    wake_writers(p, is_room_new);
}

s64 pipe_room(struct file *f, bool is_nonblock)
{
    struct pipe *p = f->priv;
    for (;;) {
        if (atomic_load(&p->nreaders) == 0) {
            raise_sigpipe();
            return -LX_EPIPE;
        }
        u32 used = used_slots(p), nslots = p->nslots;
        if (used < nslots)
            return (s64)(nslots - used) * (s64)PAGE_SIZE;
        if (is_nonblock)
            return -LX_EAGAIN;
        int r = pipe_sleep(p, EV_WRITE, can_write);
        if (r < 0)
            return r;
    }
}

s64 pipe_read_uio(struct file *f, struct uio *to, bool is_nonblock)
{
    struct mover m = {.uio = to};
    return pipe_read_from(f->priv, &m, to->left, is_nonblock);
}

s64 pipe_write_uio(struct file *f, struct uio *from, bool is_nonblock)
{
    struct mover m = {.uio = from};
    return pipe_write_to(f->priv, &m, from->left, false, is_nonblock);
}

static const struct file_ops pipe_fops = {
    .read = pipe_fop_read,
    .write = pipe_fop_write,
    .poll = pipe_poll,
    .pollq = pipe_pollq,
    .ioctl = pipe_ioctl,
    .open = fifo_open, /* /proc/PID/fd/N of a pipe opens it as a FIFO */
    .release = pipe_release,
    .check_flags = pipe_check_flags,
    .fcntl = pipe_fcntl,
};

static const struct file_ops fifo_fops = {.open = fifo_open};

void pipe_init(void)
{
    special_set_fifo(&fifo_fops);
}
