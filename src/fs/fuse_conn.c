/* FUSE: connections and their requests. See fuse_int.h. */
#include <stdlib.h>
#include <string.h>

#include "fs/fuse_int.h"
#include "vfs/task_ops.h"

#define FORGET_BATCH 256U

/* ---- requests ------------------------------------------------------------------------------ */

static void req_free(struct fuse_req *q)
{
    if (q)
        free(q->out);
    free(q);
}

static u32 caller_pid(void)
{
    if (!vfs_current)
        return 0;
    return (u32)vfs_task_ops->to_vid(VFS_WHO_PID, vfs_current->tgid);
}

static struct fuse_req *req_new(struct fuse_conn *conn, const struct fuse_args *a)
{
    size_t size = 0;
    for (int k = 0; k < FUSE_MAX_IN; k++)
        size += a->in[k].size;
    struct fuse_req *q = calloc(1, sizeof(*q) + size);
    if (!q)
        return NULL;
    u8 *at = q->tail;
    for (int k = 0; k < FUSE_MAX_IN; k++) {
        if (a->in[k].size)
            memcpy(at, a->in[k].p, a->in[k].size);
        at += a->in[k].size;
    }
    list_init(&q->node);
    list_init(&q->interrupt_node);
    q->in_size = (u32)(sizeof(q->in) + size);
    q->max_out = a->out_size;
    q->is_var = a->is_var;
    const struct cred *c = vfs_cred();
    q->in = (struct lx_fuse_in_header){
        .len = q->in_size,
        .opcode = a->op,
        .nodeid = a->nodeid,
        .uid = vfs_from_kuid(conn->user_ns, c->fsuid),
        .gid = vfs_from_kgid(conn->user_ns, c->fsgid),
        .pid = caller_pid(),
    };
    return q;
}

static void tell_readers(struct fuse_conn *c)
{
    waitq_wake_n(&c->readers, FUSE_EV_IN, 1);
}

/* Takes over q. False: the connection has ended. */
static bool enqueue(struct fuse_conn *c, struct fuse_req *q)
{
    mutex_lock(&c->lock);
    bool is_up = c->is_connected;
    if (is_up) {
        c->next_unique += 2;
        q->in.unique = c->next_unique;
        list_add_tail(&c->pending, &q->node);
        atomic_fetch_add(&c->nready, 1);
    }
    mutex_unlock(&c->lock);
    if (is_up)
        tell_readers(c);
    return is_up;
}

void fuse_send_forget(struct fuse_conn *c, u64 nodeid, u64 nlookup)
{
    struct fuse_forget *f = calloc(1, sizeof(*f));
    if (!f)
        return; /* the server keeps it: no harm but to its memory */
    f->one = (struct lx_fuse_forget_one){nodeid, nlookup};
    mutex_lock(&c->lock);
    bool is_up = c->is_connected;
    if (is_up) {
        list_add_tail(&c->forgets, &f->node);
        c->nforgets++;
        atomic_fetch_add(&c->nready, 1);
    }
    mutex_unlock(&c->lock);
    if (is_up)
        tell_readers(c);
    else
        free(f);
}

/* conn.lock held: q leaves the lists that it is in. */
static void leave_lists(struct fuse_conn *c, struct fuse_req *q)
{
    if (q->state == FUSE_PENDING)
        atomic_fetch_sub(&c->nready, 1);
    else if (q->state == FUSE_SENT && !q->waiter)
        c->norphans--;
    list_del(&q->node);
    if (!list_empty(&q->interrupt_node)) {
        list_del(&q->interrupt_node);
        atomic_fetch_sub(&c->nready, 1);
    }
}

/* conn.lock held. q becomes his who waits for it, who frees it; an orphan's goes at once. */
static void finish(struct fuse_conn *c, struct fuse_req *q, int error)
{
    leave_lists(c, q);
    q->error = error;
    q->state = FUSE_DONE;
    if (q->waiter)
        parker_wake(q->waiter);
    else
        req_free(q);
}

/* conn.lock held: q, which is SENT, has become an orphan. */
static void orphaned(struct fuse_conn *c, struct fuse_req *q)
{
    struct fuse_req *i;
    if (++c->norphans <= FUSE_MAX_ORPHANS)
        return;
    list_for_each (i, &c->sent, node) {
        if (!i->waiter && i->in.opcode != LX_FUSE_INIT) {
            finish(c, i, -LX_EIO);
            return;
        }
    }
}

/* conn.lock held: the server is told, if it has the request; else when it has read it. */
static void queue_interrupt(struct fuse_conn *c, struct fuse_req *q)
{
    if (q->state != FUSE_SENT || !list_empty(&q->interrupt_node) ||
        fuse_lacks(c, FUSE_LACKS_INTERRUPT))
        return;
    list_add_tail(&c->interrupts, &q->interrupt_node);
    atomic_fetch_add(&c->nready, 1);
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* Until INIT is answered nothing else is sent. */
static int wait_begun(struct fuse_conn *c)
{
    struct parker *self = parker_self();
    struct waiter w;
    int r = 0;
    waiter_init_thread(&w, WAIT_IN);
    waitq_add(&c->begun, &w);
    while (r == 0 && !c->is_begun && c->is_connected) {
        if (parker_is_interrupted(self) && vfs_task_ops->is_dying())
            r = -LX_EINTR;
        else
            (void)park_uninterruptible(NO_DEADLINE);
    }
    waitq_del(&c->begun, &w);
    return r < 0 ? r : c->is_connected ? 0 : -LX_ENOTCONN;
}

static bool is_done(struct fuse_conn *c, struct fuse_req *q)
{
    MUTEX_GUARD(&c->lock);
    return q->state == FUSE_DONE;
}

/* The waiter has been interrupted: the server is told once. True: he is being killed, and q is not
 * his any more. */
static bool give_up(struct fuse_conn *c, struct fuse_req *q)
{
    bool is_dying = vfs_task_ops->is_dying(), is_told = false;
    mutex_lock(&c->lock);
    if (q->state == FUSE_DONE) {
        is_dying = false;
    } else if (is_dying && q->state == FUSE_PENDING) {
        leave_lists(c, q);
        req_free(q);
    } else if (!q->is_interrupted || is_dying) {
        if (!q->is_interrupted) {
            q->is_interrupted = true;
            queue_interrupt(c, q);
            is_told = true;
        }
        if (is_dying) {
            q->waiter = NULL;
            orphaned(c, q);
        }
    }
    mutex_unlock(&c->lock);
    if (is_told)
        tell_readers(c);
    return is_dying;
}

s64 fuse_call(struct fuse_conn *c, const struct fuse_args *a)
{
    if (!vfs_current || !vfs_current->task)
        return -LX_EINTR; /* nobody could end the wait */
    if (!c->is_connected)
        return -LX_ENOTCONN;
    int begun = c->is_begun ? 0 : wait_begun(c);
    if (begun < 0)
        return begun;
    if (vfs_task_ops->is_dying())
        return -LX_EINTR;
    struct fuse_req *q = req_new(c, a);
    if (!q)
        return -LX_ENOMEM;
    struct parker *self = parker_self();
    q->waiter = self;
    if (!enqueue(c, q)) {
        req_free(q);
        return -LX_ENOTCONN;
    }
    park_do_work(); /* the server may hear of it by SIGIO */
    while (!is_done(c, q)) {
        if (parker_is_interrupted(self) && give_up(c, q))
            return -LX_EINTR;
        (void)park_uninterruptible(NO_DEADLINE);
    }
    s64 r = q->error < 0 ? q->error : (s64)q->out_size;
    if (r > 0)
        memcpy(a->out, q->out, q->out_size);
    req_free(q);
    return r;
}

void fuse_post(struct fuse_conn *c, const struct fuse_args *a)
{
    struct fuse_req *q = req_new(c, a);
    if (q && !enqueue(c, q))
        req_free(q);
}

bool fuse_is_lacking(struct fuse_conn *c, s64 r, u32 what)
{
    if (r != -LX_ENOSYS)
        return false;
    atomic_fetch_or(&c->lacks, what);
    return true;
}

/* ---- what the server reads ----------------------------------------------------------------- */

static void *message(u32 op, u64 unique, u64 nodeid, const void *body, size_t size)
{
    struct lx_fuse_in_header h = {
        .len = (u32)(sizeof(h) + size), .opcode = op, .unique = unique, .nodeid = nodeid};
    u8 *m = malloc(h.len);
    if (m) {
        memcpy(m, &h, sizeof(h));
        memcpy(m + sizeof(h), body, size);
    }
    return m;
}

static void *take_interrupt(struct fuse_conn *c)
{
    struct fuse_req *q = list_first(&c->interrupts, struct fuse_req, interrupt_node);
    list_del(&q->interrupt_node);
    list_init(&q->interrupt_node);
    atomic_fetch_sub(&c->nready, 1);
    return message(LX_FUSE_INTERRUPT, q->in.unique | 1, 0, &q->in.unique, sizeof(q->in.unique));
}

static void *take_forgets(struct fuse_conn *c)
{
    struct {
        struct lx_fuse_batch_forget_in head;
        struct lx_fuse_forget_one all[FORGET_BATCH];
    } m = {.head.count = 0};
    struct fuse_forget *f;
    while (m.head.count < FORGET_BATCH && (f = list_first(&c->forgets, struct fuse_forget, node))) {
        m.all[m.head.count++] = f->one;
        list_del(&f->node);
        free(f);
    }
    c->nforgets -= m.head.count;
    atomic_fetch_sub(&c->nready, m.head.count);
    c->next_unique += 2;
    if (m.head.count == 1)
        return message(LX_FUSE_FORGET, c->next_unique, m.all[0].nodeid, &m.all[0].nlookup,
                       sizeof(m.all[0].nlookup));
    return message(LX_FUSE_BATCH_FORGET, c->next_unique, 0, &m,
                   sizeof(m.head) + m.head.count * sizeof(m.all[0]));
}

/* NULL: it could not be delivered, and has its error. */
static void *take_request(struct fuse_conn *c, struct fuse_req *q, const struct file *dev,
                          size_t room)
{
    void *copy = q->in_size <= room ? malloc(q->in_size) : NULL;
    if (!copy) {
        finish(c, q, q->in.opcode == LX_FUSE_SETXATTR ? -LX_E2BIG : -LX_EIO);
        return NULL;
    }
    memcpy(copy, (u8 *)q + offsetof(struct fuse_req, in), q->in_size);
    list_del(&q->node);
    atomic_fetch_sub(&c->nready, 1);
    q->state = FUSE_SENT;
    q->dev = dev;
    list_add_tail(&c->sent, &q->node);
    if (!q->waiter)
        orphaned(c, q);
    else if (q->is_interrupted)
        queue_interrupt(c, q);
    return copy;
}

u32 fuse_take_message(struct fuse_conn *c, const struct file *dev, size_t room, void **ret_msg)
{
    struct lx_fuse_in_header h;
    MUTEX_GUARD(&c->lock);
    for (;;) {
        struct fuse_req *q = list_first(&c->pending, struct fuse_req, node);
        void *m = NULL;
        if (!list_empty(&c->interrupts))
            m = take_interrupt(c);
        else if (c->nforgets > 0 && (!q || c->nforgets >= FORGET_BATCH))
            m = take_forgets(c);
        else if (q)
            m = take_request(c, q, dev, room);
        else
            return 0;
        if (!m)
            continue;
        memcpy(&h, m, sizeof(h));
        *ret_msg = m;
        return h.len;
    }
}

static struct fuse_req *find_sent(struct fuse_conn *c, u64 unique)
{
    struct fuse_req *q;
    list_for_each (q, &c->sent, node) {
        if (q->in.unique == unique)
            return q;
    }
    return NULL;
}

void fuse_undelivered(struct fuse_conn *c, const void *msg)
{
    struct lx_fuse_in_header h;
    memcpy(&h, msg, sizeof(h));
    MUTEX_GUARD(&c->lock);
    struct fuse_req *q = find_sent(c, h.unique);
    if (q)
        finish(c, q, -LX_EIO);
}

/* ---- what the server answers --------------------------------------------------------------- */

/* An answer that nobody waits for any more: what the server thinks we hold is given back. */
static void give_back(struct fuse_conn *c, const struct lx_fuse_in_header *in, const u8 *body,
                      u32 size)
{
    struct lx_fuse_entry_out e;
    struct lx_fuse_open_out o;
    bool has_entry = false, has_fh = false;
    switch (in->opcode) {
    case LX_FUSE_LOOKUP:
    case LX_FUSE_MKNOD:
    case LX_FUSE_MKDIR:
    case LX_FUSE_SYMLINK:
    case LX_FUSE_LINK:
        has_entry = size >= sizeof(e);
        break;
    case LX_FUSE_CREATE:
        has_entry = has_fh = size >= sizeof(e) + sizeof(o);
        break;
    case LX_FUSE_OPEN:
    case LX_FUSE_OPENDIR:
        has_fh = size >= sizeof(o);
        break;
    default:
        break;
    }
    u64 nodeid = in->nodeid;
    if (has_entry) {
        memcpy(&e, body, sizeof(e));
        nodeid = e.nodeid;
    }
    if (has_fh) {
        memcpy(&o, body + (has_entry ? sizeof(e) : 0), sizeof(o));
        struct lx_fuse_release_in r = {.fh = o.fh};
        bool is_dir = in->opcode == LX_FUSE_OPENDIR;
        fuse_post(c, &(struct fuse_args){.op = is_dir ? LX_FUSE_RELEASEDIR : LX_FUSE_RELEASE,
                                         .nodeid = nodeid,
                                         .in = {{&r, sizeof(r)}}});
    }
    if (has_entry && e.nodeid)
        fuse_send_forget(c, e.nodeid, 1);
}

/* The answer to INIT. Anything that is not to be understood ends the connection. */
static void init_answered(struct fuse_conn *c, int error, const void *body, size_t size)
{
    struct lx_fuse_init_out o = {0};
    memcpy(&o, body, MIN(size, sizeof(o)));
    if (error < 0 || size < 24 || o.major != LX_FUSE_VERSION || o.minor < 12) {
        fuse_abort(c);
        return;
    }
    u32 max = MAX(o.max_write, 4096U);
    if (o.flags & LX_FUSE_MAX_PAGES) {
        u32 pages = (u32)MAX(o.max_pages, (u16)1) * (u32)PAGE_SIZE;
        c->max_read = MIN(c->max_read, pages);
        max = MIN(max, pages);
    }
    mutex_lock(&c->lock);
    c->init_flags = o.flags;
    c->max_write = MIN(max, FUSE_MAX_IO);
    if (c->sb && (o.flags & LX_FUSE_DONT_MASK))
        c->sb->flags |= SB_NO_UMASK;
    mutex_unlock(&c->lock);
    c->is_begun = true;
    waitq_wake(&c->begun, WAIT_ALL);
}

/* conn.lock held. */
static s64 interrupt_answered(struct fuse_conn *c, const struct lx_fuse_out_header *h,
                              struct fuse_req *q, u32 size)
{
    if (size)
        return -LX_EINVAL;
    if (h->error == -LX_ENOSYS)
        atomic_fetch_or(&c->lacks, FUSE_LACKS_INTERRUPT);
    else if (h->error == -LX_EAGAIN)
        queue_interrupt(c, q); /* it had not seen the request yet */
    return 0;
}

s64 fuse_answered(struct fuse_conn *c, const struct lx_fuse_out_header *h, void **body, u32 size)
{
    mutex_lock(&c->lock);
    struct fuse_req *q = find_sent(c, h->unique & ~1ULL);
    if (!q || (h->unique & 1)) {
        s64 r = q ? interrupt_answered(c, h, q, size) : -LX_ENOENT;
        mutex_unlock(&c->lock);
        if (r == 0)
            tell_readers(c);
        return r;
    }
    struct lx_fuse_in_header in = q->in;
    bool is_orphan = !q->waiter;
    bool is_good = h->error ? size == 0 : q->is_var ? size <= q->max_out : size == q->max_out;
    if (is_good && size && !is_orphan) {
        q->out = take_ptr(*body);
        q->out_size = size;
    }
    finish(c, q, is_good ? h->error : -LX_EIO);
    mutex_unlock(&c->lock);
    if (is_orphan && in.opcode == LX_FUSE_INIT)
        init_answered(c, is_good ? h->error : -LX_EIO, *body, size);
    else if (is_orphan && is_good && size)
        give_back(c, &in, *body, size);
    return is_good ? 0 : -LX_EINVAL;
}

/* ---- connections --------------------------------------------------------------------------- */

struct fuse_conn *fuse_conn_new(void)
{
    struct fuse_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref);
    mutex_init(&c->lock, "fuse_conn");
    mutex_init(&c->table_lock, "fuse_table");
    list_init(&c->pending);
    list_init(&c->sent);
    list_init(&c->forgets);
    list_init(&c->interrupts);
    waitq_init(&c->readers);
    waitq_init(&c->begun);
    c->is_connected = true;
    c->max_write = c->max_read = FUSE_MAX_IO;
    c->attr_version = 1;
    return c;
}

void fuse_conn_put(struct fuse_conn *c)
{
    if (!c || !ref_put(&c->ref))
        return;
    fuse_abort(c);
    if (c->user_ns)
        vfs_user_ns_put(c->user_ns);
    free(c);
}

void fuse_abort(struct fuse_conn *c)
{
    struct fuse_req *q;
    struct fuse_forget *f;
    mutex_lock(&c->lock);
    c->is_connected = false;
    while ((q = list_first(&c->pending, struct fuse_req, node)))
        finish(c, q, -LX_ECONNABORTED);
    while ((q = list_first(&c->sent, struct fuse_req, node)))
        finish(c, q, -LX_ECONNABORTED);
    while ((f = list_first(&c->forgets, struct fuse_forget, node))) {
        list_del(&f->node);
        free(f);
    }
    c->nforgets = 0;
    c->nready = 0;
    mutex_unlock(&c->lock);
    waitq_wake(&c->readers, WAIT_ALL);
    waitq_wake(&c->begun, WAIT_ALL);
}

void fuse_dev_added(struct fuse_conn *c)
{
    ref_get(&c->ref);
    MUTEX_GUARD(&c->lock);
    c->ndevs++;
}

void fuse_dev_gone(struct fuse_conn *c, const struct file *dev)
{
    struct fuse_req *q, *tmp;
    mutex_lock(&c->lock);
    bool is_last = --c->ndevs == 0;
    list_for_each_safe (q, tmp, &c->sent, node) {
        if (q->dev == dev)
            finish(c, q, -LX_ECONNABORTED); /* nobody else has read it */
    }
    mutex_unlock(&c->lock);
    if (is_last)
        fuse_abort(c);
    fuse_conn_put(c);
}

void fuse_send_init(struct fuse_conn *c)
{
    struct lx_fuse_init_in in = {
        .major = LX_FUSE_VERSION,
        .minor = LX_FUSE_MINOR,
        .max_readahead = FUSE_MAX_IO,
        .flags = LX_FUSE_ATOMIC_O_TRUNC | LX_FUSE_BIG_WRITES | LX_FUSE_DONT_MASK |
                 LX_FUSE_HAS_IOCTL_DIR | LX_FUSE_AUTO_INVAL_DATA | LX_FUSE_DO_READDIRPLUS |
                 LX_FUSE_READDIRPLUS_AUTO | LX_FUSE_NO_OPEN_SUPPORT | LX_FUSE_PARALLEL_DIROPS |
                 LX_FUSE_MAX_PAGES | LX_FUSE_NO_OPENDIR_SUPPORT | LX_FUSE_EXPLICIT_INVAL,
    };
    struct fuse_args a = {.op = LX_FUSE_INIT,
                          .in = {{&in, sizeof(in)}},
                          .out_size = sizeof(struct lx_fuse_init_out),
                          .is_var = true};
    struct fuse_req *q = req_new(c, &a);
    if (!q || !enqueue(c, q)) {
        req_free(q);
        fuse_abort(c);
    }
}
