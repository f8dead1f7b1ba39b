/* Frames on their way between virtual interfaces: memory, queues, and the thread; see frame.h. */
#include "net/stack/frame.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/wait.h"

#define QUEUE_FRAMES 1024U
#define QUEUE_BYTES  (4U << 20)
#define SHARE        32U /* frames of one interface before the next has its turn */
#define WORKER_STACK (256 * 1024)

struct rwlock wire_lock = RWLOCK_INIT("net_wire");

static struct mutex work_lock = MUTEX_INIT("net_work"); /* leaf; the list and all queues */
static struct list pending = LIST_INIT(pending);        /* stk_iface.pending_node */
static struct parker *worker;                           /* asleep; NULL: not, or not started */
static bool is_started;

/* ---- memory -------------------------------------------------------------------------------- */

static u64 cost(u32 size)
{
    return sizeof(struct stk_frame) + size;
}

struct stk_frame *frame_new(u32 size)
{
    if (!net_mem_charge(cost(size)))
        return NULL;
    struct stk_frame *f = malloc(sizeof(*f) + size);
    if (!f) {
        net_mem_uncharge(cost(size));
        return NULL;
    }
    list_init(&f->node);
    memset(&f->vnet, 0, sizeof(f->vnet));
    f->size = size;
    return f;
}

struct stk_frame *frame_copy(const struct stk_frame *f)
{
    struct stk_frame *c = frame_new(f->size);
    if (!c)
        return NULL;
    c->vnet = f->vnet;
    memcpy(c->data, f->data, f->size);
    return c;
}

void frame_free(struct stk_frame *f)
{
    if (!f)
        return;
    net_mem_uncharge(cost(f->size));
    free(f);
}

/* ---- the thread ---------------------------------------------------------------------------- */

/* The next interface that has frames, its namespace referenced, and a share of them. */
static struct stk_iface *next_share(struct list *frames)
{
    struct stk_iface *ifc;
    while ((ifc = list_first(&pending, struct stk_iface, pending_node))) {
        struct stk_frame *f;
        list_del(&ifc->pending_node);
        if (!ref_get_unless_zero(&ifc->stk->ns->ref))
            continue; /* it is being taken apart, which empties the queue */
        for (u32 i = 0; i < SHARE && (f = list_first(&ifc->rxq, struct stk_frame, node)); i++) {
            list_del(&f->node);
            list_add_tail(frames, &f->node);
            ifc->rxq_frames--;
            ifc->rxq_bytes -= f->size;
        }
        if (!list_empty(&ifc->rxq))
            list_add_tail(&pending, &ifc->pending_node);
        return ifc;
    }
    return NULL;
}

static void *worker_main(void *arg)
{
    struct list frames;
    list_init(&frames);
    for (;;) {
        mutex_lock(&work_lock);
        struct stk_iface *ifc = next_share(&frames);
        worker = ifc ? NULL : parker_self();
        mutex_unlock(&work_lock);
        if (!ifc) {
            (void)park_uninterruptible(NO_DEADLINE);
            continue;
        }
        struct stk_frame *f;
        while ((f = list_first(&frames, struct stk_frame, node))) {
            list_del(&f->node);
            dev_receive(ifc, f);
        }
        net_ns_put(ifc->stk->ns); /* perhaps the last: no lock is held */
    }
    return NULL;
}

/* REQUIRES work_lock. */
static bool start_worker(void)
{
    pthread_t th;
    pthread_attr_t attr;
    if (is_started)
        return true;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    is_started = pthread_create(&th, &attr, worker_main, NULL) == 0;
    pthread_attr_destroy(&attr);
    return is_started;
}

void work_queue(struct stk_iface *to, struct stk_frame *f)
{
    struct parker *wake = NULL;
    mutex_lock(&work_lock);
    if (!start_worker() || to->rxq_frames >= QUEUE_FRAMES ||
        to->rxq_bytes + f->size > QUEUE_BYTES) {
        mutex_unlock(&work_lock);
        STK_COUNT(to, rx_dropped);
        frame_free(f);
        return;
    }
    list_add_tail(&to->rxq, &f->node);
    to->rxq_frames++;
    to->rxq_bytes += f->size;
    if (list_empty(&to->pending_node)) {
        list_add_tail(&pending, &to->pending_node);
        wake = take_ptr(worker);
    }
    mutex_unlock(&work_lock);
    if (wake)
        parker_wake(wake);
}

void work_forget(struct stk_iface *ifc)
{
    struct list frames;
    struct stk_frame *f;
    list_init(&frames);
    mutex_lock(&work_lock);
    list_del(&ifc->pending_node);
    list_splice_tail(&frames, &ifc->rxq);
    ifc->rxq_frames = ifc->rxq_bytes = 0;
    mutex_unlock(&work_lock);
    while ((f = list_first(&frames, struct stk_frame, node))) {
        list_del(&f->node);
        frame_free(f);
    }
}
