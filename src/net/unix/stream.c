/*
 * UNIX stream data. Bytes go from the sender's memory into the queue and from there into the
 * receiver's. What travels beside them stands in marks over ranges: a read does not cross from bytes of
 * one set of credentials into another's when SO_PASSCRED asks for them, and ends with the
 * piece that carried files.
 *
 * Out-of-band: the last byte of a MSG_OOB send is kept in the queue at oob_pos; ordinary
 * reads stop before it and then skip it, unless SO_OOBINLINE.
 */
#include "net/unix/unix.h"

#define WAKE_READER (WAIT_READABLE | WAIT_PRI)
#define WAKE_WRITER (WAIT_WRITABLE | WAIT_WRBAND)

/* ---- sending ------------------------------------------------------------------------------- */

static bool can_send(struct unix_sock *u)
{
    if (atomic_load(&u->sk.err) || sock_shut(&u->sk) & SHUT_SND)
        return true;
    MUTEX_GUARD(&u->tx->lock);
    return u->tx->is_broken || bq_space(u->tx) > 0;
}

/* Writes all of `size` bytes as blocking allows. Bytes written, or the error of the first. */
static s64 send_bytes(struct unix_sock *u, struct smsg *m, u64 size, struct scm *scm)
{
    struct bq *q = u->tx;
    s64 deadline = sock_send_deadline(&u->sk, m->flags & LX_MSG_DONTWAIT);
    u64 sent = 0;
    s64 r = 0;
    mutex_lock(&q->wlock);
    while (sent < size) {
        if (sock_shut(&u->sk) & SHUT_SND) {
            r = -LX_EPIPE;
            break;
        }
        r = bq_write(q, m->uio, size - sent, scm);
        if (r > 0) {
            sent += (u64)r;
            if (sent < size || size > OFFER_MAX_BYTES)
                waitq_wake(&u->peer->sk.wq, WAKE_READER);
            continue;
        }
        if (r < 0)
            break;
        if (!deadline) {
            r = -LX_EAGAIN;
            break;
        }
        mutex_unlock(&q->wlock);
        r = wait_event_interruptible(&u->sk.wq, WAKE_WRITER | WAIT_HUP, can_send(u), deadline);
        r = r < 0 ? sock_wait_error((int)r, deadline) : sock_error(&u->sk);
        mutex_lock(&q->wlock);
        if (r < 0)
            break;
    }
    mutex_unlock(&q->wlock);
    if (sent == size && size && size <= OFFER_MAX_BYTES) {
        (void)bq_answer(q, size);
        waitq_wake(&u->peer->sk.wq, WAKE_READER);
    }
    if (sent)
        return (s64)sent;
    return r == -LX_EPIPE ? sock_epipe(m) : r;
}

/* The byte just written last becomes the out-of-band byte; an earlier one becomes ordinary. */
static void mark_oob(struct unix_sock *u, u8 byte)
{
    struct bq *q = u->tx;
    mutex_lock(&q->lock);
    q->oob = BQ_OOB_UNREAD;
    q->oob_pos = q->tail - 1;
    q->oob_byte = byte;
    mutex_unlock(&q->lock);
    waitq_wake(&u->peer->sk.wq, WAKE_READER);
    sock_urgent(&u->peer->sk);
}

static s64 send_oob(struct unix_sock *u, struct smsg *m, struct scm *scm)
{
    u64 size = m->uio->left;
    s64 sent = 0, r;
    u8 byte;
    if (size == 0)
        return -LX_EOPNOTSUPP;
    if (size > 1) {
        sent = send_bytes(u, m, size - 1, scm);
        if (sent < 0 || (u64)sent < size - 1)
            return sent;
    }
    r = uio_copy_from(m->uio, &byte, 1);
    if (r <= 0)
        return sent ? sent : -LX_EFAULT;
    struct uio one;
    uio_init_kernel(&one, &byte, 1);
    struct smsg m1 = {.uio = &one, .flags = m->flags};
    r = send_bytes(u, &m1, 1, scm);
    uio_done(&one);
    if (r < 0)
        return sent ? sent : r;
    mark_oob(u, byte);
    return sent + 1;
}

s64 unix_stream_send(struct sock *sk, struct smsg *m)
{
    struct unix_sock *u = unix_sk(sk);
    bool is_up = sock_state(sk) == SOCK_ESTABLISHED;
    struct scm scm;
    scm_init(&scm);
    s64 r = m->control_len ? scm_send(m->control, m->control_len, true, &scm) : 0;
    if (r == 0 && m->name_len)
        r = is_up ? -LX_EISCONN : -LX_EOPNOTSUPP;
    else if (r == 0 && !is_up)
        r = -LX_ENOTCONN;
    if (r == 0 && sock_shut(sk) & SHUT_SND)
        r = sock_epipe(m);
    if (r == 0) {
        unix_maybe_who(u, u->peer, &scm);
        if (scm.files && m->uio->left)
            r = scm_launch(&scm);
    }
    if (r == 0) {
        if (m->flags & LX_MSG_OOB)
            r = send_oob(u, m, &scm);
        else
            r = send_bytes(u, m, m->uio->left, &scm);
    }
    scm_done(&scm);
    return r;
}

/* ---- receiving ----------------------------------------------------------------------------- */

struct reading {
    struct offer offer;
    struct unix_sock *u;
    struct bq *q;
    struct smsg *m;
    bool is_peek, is_inline, is_creds;
    bool has_who;     /* scm.who is what the bytes read so far carry */
    bool is_wake;     /* the writer may go on */
    u64 skip;         /* peek: bytes before the place to read at */
    u64 copied, want;
    struct scm scm;
};

/*
 * Steps over an out-of-band byte at pos, or shortens *n to stop before it. False: reading ends
 * here. REQUIRES q->lock; may drop the byte.
 */
static bool manage_oob(struct reading *r, u64 pos, u64 *n, bool *ret_is_skip)
{
    struct bq *q = r->q;
    *ret_is_skip = false;
    if (q->oob == BQ_OOB_NONE || q->oob_pos < pos || q->oob_pos >= pos + *n)
        return true;
    if (q->oob_pos > pos) {
        *n = q->oob_pos - pos;
        return true;
    }
    if (r->copied)
        return false;
    if (r->is_inline) {
        *n = 1;
        if (!r->is_peek)
            q->oob = BQ_OOB_NONE;
        return true;
    }
    *ret_is_skip = true;
    return true;
}

enum step { STEP_GO, STEP_STOP, STEP_EMPTY };

/* Takes the files of the mark over what is being read. REQUIRES q->rlock. */
static int take_files(struct reading *r, struct bq_mark *mark)
{
    if (r->is_peek) {
        struct scm copy;
        int err = scm_peek(&mark->scm, &copy);
        if (err < 0)
            return err;
        r->scm.files = take_ptr(copy.files);
        scm_done(&copy);
        return 0;
    }
    mutex_lock(&r->q->lock);
    r->scm.files = take_ptr(mark->scm.files);
    mutex_unlock(&r->q->lock);
    return 0;
}

/* Moves one piece. STEP_EMPTY: nothing queued. *ret_err is set with STEP_STOP. REQUIRES q->rlock. */
static enum step read_piece(struct reading *r, s64 *ret_err)
{
    struct bq *q = r->q;
    struct bq_mark *mark = NULL;
    u64 next = UINT64_MAX;
    bool is_skip;
    *ret_err = 0;
    mutex_lock(&q->lock);
    u64 pos = q->head + r->skip;
    u64 n = pos < q->tail ? MIN(q->tail - pos, r->want - r->copied) : 0;
    if (pos >= q->tail) {
        mutex_unlock(&q->lock);
        return STEP_EMPTY;
    }
    if (q->oob != BQ_OOB_NONE && !manage_oob(r, pos, &n, &is_skip)) {
        mutex_unlock(&q->lock);
        return STEP_STOP;
    }
    if (q->oob != BQ_OOB_NONE && is_skip) {
        if (!r->is_peek)
            q->oob = BQ_OOB_NONE;
        mutex_unlock(&q->lock);
        if (r->is_peek)
            r->skip++;
        else
            r->is_wake |= bq_consume(q, 1, q->limit / 4);
        return STEP_GO;
    }
    if (q->nmarks) {
        mark = bq_mark_at(q, pos, &next);
        n = MIN(n, mark ? mark->end - pos : next - pos);
    }
    if (r->is_creds) {
        struct scm_who none = SCM_WHO_NOBODY;
        const struct scm_who *who = mark && mark->scm.has_who ? &mark->scm.who : &none;
        if (r->has_who && !scm_who_equal(who, &r->scm.who)) {
            mutex_unlock(&q->lock);
            return STEP_STOP;
        }
        if (!r->has_who)
            r->scm.who = scm_who_copy(who);
        r->has_who = true;
    }
    bool has_files = mark && mark->scm.files;
    mutex_unlock(&q->lock);
    s64 c = bq_copy(q, pos, r->m->uio, n);
    if (c >= 0 && has_files)
        *ret_err = take_files(r, mark);
    if (c < 0 || *ret_err < 0) {
        *ret_err = c < 0 ? c : *ret_err;
        return STEP_STOP;
    }
    r->copied += (u64)c;
    if (r->is_peek)
        r->skip += (u64)c;
    else
        r->is_wake |= bq_consume(q, (u64)c, q->limit / 4);
    return (u64)c < n || has_files || r->copied == r->want ? STEP_STOP : STEP_GO;
}

static bool can_recv(void *arg)
{
    struct reading *r = arg;
    struct sock *sk = &r->u->sk;
    if (atomic_load(&sk->err) || sock_shut(sk) & SHUT_RCV)
        return true;
    MUTEX_GUARD(&r->q->lock);
    return r->q->tail > r->q->head + r->skip || r->q->is_eof;
}

static bool has_bytes(struct reading *r)
{
    MUTEX_GUARD(&r->q->lock);
    return r->q->tail > r->q->head + r->skip;
}

/* What is there now, for a reader that sleeps. */
static s64 attempt(struct offer *o)
{
    struct reading *r = container_of(o, struct reading, offer);
    s64 err = 0;
    MUTEX_GUARD(&r->q->rlock);
    while (read_piece(r, &err) == STEP_GO)
        ;
    return r->copied ? (s64)r->copied : err ? err : OFFER_AGAIN;
}

/* Sleeps until there is something to read. 1: the call has been answered. */
static int wait_bytes(struct reading *r, u64 target, s64 deadline)
{
    struct sock *sk = &r->u->sk;
    u32 events = WAIT_READABLE | WAIT_HUP | WAIT_ERR;
    if (r->is_peek || r->is_creds || target > 1)
        return wait_event_interruptible(&sk->wq, events, can_recv(r), deadline);
    struct offer_place p = {.lock = &r->q->lock,
                            .slot = &r->q->offer,
                            .q = &sk->wq,
                            .events = events,
                            .is_ready = can_recv,
                            .arg = r};
    r->offer.attempt = attempt;
    return offer_wait(&p, &r->offer, deadline);
}

static s64 read_bytes(struct reading *r, u64 target, s64 deadline)
{
    struct sock *sk = &r->u->sk;
    s64 err = 0;
    mutex_lock(&r->q->rlock);
    for (;;) {
        enum step st = read_piece(r, &err);
        if (st == STEP_STOP)
            break;
        if (st == STEP_GO)
            continue;
        if (r->copied >= target)
            break;
        err = sock_error(sk);
        bool is_over = sock_shut(sk) & SHUT_RCV;
        if (!err && is_over && has_bytes(r)) /* they came before the end that was just seen */
            continue;
        if (err || is_over)
            break;
        if (!deadline) {
            err = -LX_EAGAIN;
            break;
        }
        mutex_unlock(&r->q->rlock);
        int w = wait_bytes(r, target, deadline);
        if (w > 0)
            return (s64)r->copied;
        mutex_lock(&r->q->rlock);
        if (w < 0) {
            err = sock_wait_error(w, deadline);
            break;
        }
    }
    mutex_unlock(&r->q->rlock);
    return r->copied ? (s64)r->copied : err;
}

static s64 recv_oob(struct unix_sock *u, struct smsg *m)
{
    struct bq *q = u->rx;
    if (sock_has(&u->sk, SKF_OOBINLINE))
        return -LX_EINVAL;
    mutex_lock(&q->rlock);
    mutex_lock(&q->lock);
    bool is_there = q->oob == BQ_OOB_UNREAD;
    u8 byte = q->oob_byte;
    if (is_there && !(m->flags & LX_MSG_PEEK))
        q->oob = BQ_OOB_READ;
    mutex_unlock(&q->lock);
    mutex_unlock(&q->rlock);
    if (!is_there)
        return -LX_EINVAL;
    m->ret_flags |= LX_MSG_OOB;
    s64 r = uio_copy_to(m->uio, &byte, MIN(m->uio->left, (u64)1));
    return r < 0 ? r : 1;
}

s64 unix_stream_recv(struct sock *sk, struct smsg *m)
{
    struct unix_sock *u = unix_sk(sk);
    if (sock_state(sk) != SOCK_ESTABLISHED)
        return -LX_EINVAL;
    if (m->flags & LX_MSG_OOB)
        return recv_oob(u, m);
    struct reading r = {
        .u = u,
        .q = u->rx,
        .m = m,
        .is_peek = m->flags & LX_MSG_PEEK,
        .is_inline = sock_has(sk, SKF_OOBINLINE),
        .is_creds = sock_has(sk, SKF_PASSCRED | SKF_PASSPIDFD),
        .want = m->uio->left,
        .scm = {.who = SCM_WHO_NOBODY},
    };
    s32 peek_off = sk->peek_off;
    if (r.is_peek && peek_off > 0)
        r.skip = (u64)peek_off;
    u64 target = m->flags & LX_MSG_WAITALL ? r.want : MIN((u64)sk->rcvlowat, r.want);
    s64 n = read_bytes(&r, MAX(target, (u64)1),
                       sock_recv_deadline(sk, m->flags & LX_MSG_DONTWAIT));
    if (r.is_wake)
        waitq_wake(&u->peer->sk.wq, WAKE_WRITER);
    if (n > 0 && peek_off >= 0)
        sk->peek_off = r.is_peek ? peek_off + (s32)n : MAX(0, peek_off - (s32)n);
    struct unix_addr *from = unix_addr_of(u->peer);
    if (n > 0 && m->name && from)
        unix_fill_name(from, m->name, &m->name_len);
    if (n >= 0 && (n > 0 || r.is_creds || r.scm.files))
        scm_recv(sk, m->cmsg, &r.scm);
    else
        scm_done(&r.scm);
    return n;
}
