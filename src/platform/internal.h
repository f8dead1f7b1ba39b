/*
 * Inside the platform room.
 *
 * Objects: one arena (memory shared with stubs, cut in units), one zygote (an
 * aspace that no application ever runs in), one reaper thread, and the
 * aspaces with their uctxs.
 *
 * Host pids: a stub's pid stays ours until its aspace is freed, because only
 * that reaps it; so a pid in a live aspace never names somebody else.
 *
 * Lock order: helper_lock → aspace.lock → registry lock (leaf), arena lock (leaf).
 */
#ifndef PLATFORM_INTERNAL_H
#define PLATFORM_INTERNAL_H

#include <sys/types.h>

#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"
#include "platform/platform.h"
#include "stub/layout.h"

/* ---- arena: units of memory shared with stubs --------------------------------------------------
 */

#define UNIT_SIZE 0x20000UL
#define NR_UNITS  0x10000U

int arena_init(void) must_check;
int arena_fd(void);
/* A zeroed unit; 0 when there is none (unit 0 is never given out). */
u32 arena_alloc(void) must_check;
void arena_free(u32 unit);
void *arena_ptr(u32 unit);
static inline u64 arena_offset(u32 unit)
{
    return (u64)unit * UNIT_SIZE;
}

/* ---- objects ------------------------------------------------------------------------------------
 */

struct slot {
    u32 unit;       /* 0: none yet */
    bool is_mapped; /* in the stub */
    bool is_used;
};

struct aspace {
    struct ref ref;
    u32 unit;                        /* immutable: control unit */
    volatile struct stub_proc *proc; /* immutable pointers into the unit */
    volatile struct stub_orders *ord;
    volatile struct stub_files *files;
    volatile struct stub_results *res;
    u32 files_used; /* bits of windows in use; guarded by the caller's lock, see aspace_file_map */
    pid_t pid;      /* immutable once published */
    int pidfd;

    struct mutex helper_lock;
    u32 seq;        /* guarded by helper_lock: last order */
    int helper_cpu; /* guarded by helper_lock: where the helper is bound; -1 nowhere */
    int efd;        /* immutable: the helper tells here that a list is done */

    /* A forked child is looked at only when somebody first needs it: see aspace_settle. */
    struct uctx *spare; /* atomic: a thread made ahead, owned by this aspace; see spare.c */

    struct mutex settle_lock;
    _Atomic u32 is_settled; /* atomic */
    s64 claimed_pid;        /* guarded by settle_lock, like the rest until it is settled */
    u32 first_count;        /* orders in the child's first list */
    struct uctx *first_ctx; /* its thread, or NULL */
    bool is_quarantined;    /* a process that we do not know may use the units: never reuse them */

    struct mutex lock;
    struct slot *slots;   /* guarded by lock */
    u32 nslots;           /* guarded by lock: length of slots */
    struct list ctxs;     /* guarded by lock */
    _Atomic u32 nthreads; /* atomic: uctxs that exist */

    struct patches *patches; /* locked inside */
    volatile u32 gate;       /* atomic, a futex: 1 while nobody may enter the application */
    bool has_ids, has_tids;  /* guarded by lock: in-stub answers may be given */
    _Atomic u32 has_gs;      /* atomic: an application thread uses %gs: no trampolines */

    struct map_batch *batch; /* owned; the creator's alone while the space is new; NULL: none */

    struct {
        _Atomic u64 minflt, majflt, nivcsw, maxrss_kib;
    } counts; /* atomic: when it was last asked */

    _Atomic u32 is_dead; /* atomic: the host process has ended */
    int wait_status;     /* written before is_dead */
    bool is_abandoned;   /* guarded by the registry lock: freed by the reaper */
};

struct uctx {
    struct list node; /* guarded by as->lock */
    struct aspace *as;
    u32 slot, unit;
    volatile struct stub_channel *ch;
    u8 *window;
    pid_t tid;

    /* Owned by the thread that drives this uctx. */
    struct uregs regs;
    bool has_regs; /* regs holds the last event's */
    bool is_dirty; /* regs must be restored */
    bool has_result;
    bool is_syscall; /* the last event was one */
    s64 result;
    u32 last_nr;
    u32 nwin; /* windows of the current call; checked copies of the channel's */
    struct stub_win win[STUB_MAX_WIN];
    s32 queue_err; /* of a queued call that had to be made early: the guest's result */
    u32 nmmcalls;
    struct stub_mmcall mmcalls[STUB_MAX_MMCALLS];
    struct stub_mmcall rseq; /* made with them; nr 0: none */

    bool is_tramp;           /* the thread waits in the trampoline, not in a signal frame */
    struct stub_patch patch; /* to be written by the thread on its way out */
    s32 credit;              /* wait.c: spins that have paid, less those that have not */
    u32 nslept;              /* wait.c: waits that slept since the last spin that paid */
    s32 stub_credit;         /* answers that came soon enough for the stub to spin, less others */
    u64 event_at;            /* time stamp counter when the last event was seen */
    u64 no_spin_before;      /* wait.c: time stamp counter */

    _Atomic u32 is_in_app; /* atomic */
    _Atomic u32 kick;      /* atomic: asked for and not yet delivered */
    _Atomic u64 cpu_ns;    /* atomic */
};

extern struct platform_config platform_cfg;
extern struct stub_header platform_stub;
extern struct aspace_vdso platform_vdso;

/* ---- init.c, reaper.c
 * ---------------------------------------------------------------------------- */

struct aspace *platform_zygote(void);
/* The table of shapes in the arena. */
struct stub_shape *platform_shapes(void);
int reaper_start(void) must_check;
void reaper_stop(void);
/* Watches as->pid. The pid must be a child of ours. */
int reaper_watch(struct aspace *as) must_check;
/* The last reference is gone: kills the process and frees the aspace, now or when it has ended. */
void reaper_abandon(struct aspace *as);
/*
 * The host's limits count a stub until it has been reaped, which is some time after the guest's
 * process was. Whoever meets one takes a mark before he tries, and tries again after true: a stub
 * that was dying has gone since the mark. False: none is dying.
 */
u32 reaper_mark(void);
bool reaper_wait_freed(u32 mark) must_check;
void aspace_free(struct aspace *as);

/* ---- aspace.c
 * ------------------------------------------------------------------------------------- */

/* An aspace object with its control unit, not yet a process. */
struct aspace *aspace_alloc(void);
/* Waits for a just forked stub and makes sure that it is what it claims to be. */
void aspace_settle_slow(struct aspace *as);
static inline void aspace_settle(struct aspace *as)
{
    if (unlikely(!atomic_load_explicit(&as->is_settled, memory_order_acquire)))
        aspace_settle_slow(as);
}
/* For the order list of a new process or thread: it does not keep the helper's binding. */
void order_unbind(struct aspace *as, u32 i) REQUIRES(as->helper_lock);
/* Fills order i. */
void order_set(struct aspace *as, u32 i, u32 kind, u32 flags, u64 nr, u64 a0, u64 a1, u64 a2,
               u64 a3, u64 a4, u64 a5) REQUIRES(as->helper_lock);
/* Runs the first `count` orders; copies their results. 0, or -LX_ESRCH when the process is gone. */
int order_run(struct aspace *as, u32 count, s64 *ret_values) REQUIRES(as->helper_lock) must_check;
/* One system call by the helper. */
s64 helper_call(struct aspace *as, u64 nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5)
    EXCLUDES(as->helper_lock);
/*
 * Makes the calls that this Sentry thread has queued for this space, now. Those of other threads
 * are on their way, as calls in the middle of the kernel are. Callers that hold no lock, or
 * helper_lock.
 */
void aspace_tids_known(struct aspace *as);
void queue_flush(struct aspace *as) EXCLUDES(as->helper_lock);
/* The uctx has been given its queued calls, or goes away. */
void queue_taken(struct uctx *ctx);
void queue_flush_locked(struct aspace *as) REQUIRES(as->helper_lock);

struct map_batch;
void batch_flush_locked(struct aspace *as) REQUIRES(as->helper_lock);

/* ---- uctx.c
 * ----------------------------------------------------------------------------------------- */

/* Writes what waits in the window to guest memory, for a caller that looks at it before the resume.
 */
void window_flush(struct uctx *ctx);
int slot_take(struct aspace *as, s64 want, u32 *ret_slot) must_check;
void slot_drop(struct aspace *as, u32 slot);
struct uctx *uctx_alloc(struct aspace *as, u32 slot);
/* Hands the channel to the stub and waits until it comes back; false when the process is gone. */
bool uctx_exchange(struct uctx *ctx, u32 cmd);

#define THREAD_FLAGS                                                                               \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |            \
     CLONE_CHILD_CLEARTID)
#define FORK_FLAGS (CLONE_FILES | CLONE_PARENT)

/* ---- wait.c ----- */

#define CREDIT_FIRST 2 /* what a new uctx has */
void wait_init(void);
/* The cpus that this process may use. */
const void *wait_all_cpus(size_t *ret_size);
u32 wait_spin_cycles(void);
/* Returns when the channel's state is not CH_APP, or the stub is dead. */
void wait_for_event(struct uctx *ctx);

static inline u64 slot_addr(u32 slot)
{
    return STUB_SLOTS + (u64)slot * STUB_SLOT_SIZE;
}

/* ---- spare.c ---- */

int spare_start(void) must_check;
void spare_stop(void);
/* A process was forked: it may well exec. */
void spare_expect(void);
/* The spare thread of a spare aspace, once; else NULL. */
struct uctx *spare_take(struct aspace *as);
/* aspace_new without the pool: a fork of the zygote z. */
int aspace_new_cold(struct aspace *z, struct aspace **ret_as) must_check;

/* ---- filters.c
 * ---------------------------------------------------------------------------------------- */

/* Compiles the filter of all stubs; the number of instructions. */
struct sock_filter;
int filters_build(u64 secret, struct sock_filter *ret_insns, size_t cap) must_check;

#endif
