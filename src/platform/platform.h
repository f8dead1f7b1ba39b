/*
 * platform: guest address spaces and guest threads on host-paged stubs.
 *
 * This header is all that the rest of the Sentry knows of stubs. An `aspace`
 * is one host process that holds one guest address space; a `uctx` is one
 * application thread inside it. The rest of the Sentry drives a uctx in a
 * loop: set up registers, uctx_run, look at the event.
 *
 * Nothing that comes out of a stub is trusted: event numbers, arguments,
 * registers and copied bytes are the guest's to forge, and every address in
 * them may be anything.
 *
 * Life cycle
 *   aspace_new (exec; a fresh empty space forked from the zygote) or
 *   aspace_fork (fork; a copy) → uctx_new per thread → uctx_run … → uctx_free
 *   per thread → aspace_put. aspace_kill ends the host process at once.
 *
 * Threads and locks
 *   A uctx is used by one Sentry thread at a time (its task's), but
 *   uctx_kick and uctx_is_in_app may come from any. aspace mapping calls may come
 *   from any thread and are serialised inside (per aspace helper lock); the
 *   caller (mm) holds mm.lock around them so that its tree and the host agree.
 *
 *   mm.lock → aspace.helper_lock → (leaf) slot allocator
 *
 * Errors are negative LX_E*.
 */
#ifndef PLATFORM_PLATFORM_H
#define PLATFORM_PLATFORM_H

#include "abi/sched.h"
#include "base/defs.h"

struct aspace;
struct uctx;

/* The guest may map [PLATFORM_LOW_MIN, PLATFORM_LOW_MAX) and [PLATFORM_MIN, PLATFORM_MAX). */
#define PLATFORM_LOW_MIN 0x10000UL
#define PLATFORM_LOW_MAX 0x60000000UL
#define PLATFORM_MIN     0x100000000UL
#define PLATFORM_MAX     0x7ffffffff000UL

/* ---- start-up ------------------------------------------------------------------------------ */

struct platform_config {
    int nr_cpus;            /* 0: ask the host */
    bool is_helper_mm_only; /* --mm=helper: application threads get no mm calls */
    bool is_patching_off;   /* --patch=off: every call takes the SIGSYS path (debugging) */
};

/* Reads what platform_start needs of /proc; for a caller that gives /proc up before it. */
int platform_probe(void) must_check;

/*
 * Starts the zygote, which sets itself up meanwhile. Called once, before the Sentry installs its own
 * filter. Every stub process is a child of the calling process in its pid namespace and shares its fd
 * table.
 */
int platform_start(const struct platform_config *cfg) must_check;
/* Waits for the zygote, or starts another that this host lets live: before the filter too. No guest
 * may run before. */
int platform_settle(void) must_check;
/* Both. */
int platform_init(const struct platform_config *cfg) must_check;
void platform_shutdown(void);

/* The host's vector state: size in bytes of a standard-format xsave image, and XCR0. */
u32 platform_xstate_size(void);
u64 platform_xcr0(void);

/* Whether the host lets programs read and write the bases of %fs and %gs themselves. */
bool platform_has_fsgsbase(void);

/* ---- registers ----------------------------------------------------------------------------- */

/* The order of struct user_regs_struct of x86-64 ptrace. */
struct uregs {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
    u64 rax, rcx, rdx, rsi, rdi, orig_rax;
    u64 rip, cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};

/* ---- events -------------------------------------------------------------------------------- */

enum uevent_kind {
    UEV_SYSCALL, /* nr and args are set; regs.rip is after the instruction, regs.orig_rax == nr */
    UEV_FAULT,   /* a synchronous host signal in application code: signo, code, addr, trapno, err */
    UEV_KICK,    /* interrupted by uctx_kick; nothing else happened */
    UEV_FUTEX,   /* an in-stub futex wait was interrupted by a kick: as UEV_SYSCALL, and the wait
                    has not happened to completion; the caller decides EINTR or restart */
    UEV_VSYSCALL, /* time, gettimeofday or getcpu called in the vsyscall page; as UEV_SYSCALL */
    UEV_DEAD,    /* the stub process is gone; wait_status is the host's */
};

struct uevent {
    enum uevent_kind kind;
    u32 nr;
    u64 args[6];
    int signo, code, trapno;
    u64 addr, err;
    int wait_status;
};

/* ---- address spaces ------------------------------------------------------------------------ */

int aspace_new(struct aspace **ret_as) must_check;
/*
 * Copies parent and makes in the copy one thread that continues `caller`
 * (registers and vector state), where caller is inside UEV_SYSCALL. Mappings
 * with MADV_DONTFORK behave as on the host.
 */
int aspace_fork(struct aspace *parent, struct uctx *caller, struct aspace **ret_as,
                struct uctx **ret_ctx) must_check;
void aspace_get(struct aspace *as);
/* Drops a reference; the last one kills and reaps the host process. */
void aspace_put(struct aspace *as);
/* Kills the host process now (SIGKILL); its uctx_run calls return UEV_DEAD. */
void aspace_kill(struct aspace *as);
/* The host process has ended. */
bool aspace_is_dead(const struct aspace *as);

/* Host process id of the stub, in the Sentry's pid namespace; for statistics. */
int aspace_host_pid(const struct aspace *as);
/* CPU time used by the stub process, user + system, ns. */
u64 aspace_cpu_ns(const struct aspace *as);

/* What the host counts of the stub process: page faults, and how often it was preempted. */
struct aspace_counts {
    u64 minflt, majflt, nivcsw;
};
/* Asks the stub, which may block; when it is gone the last answer stands. */
void aspace_counts_refresh(struct aspace *as);
void aspace_counts_last(const struct aspace *as, struct aspace_counts *ret);

/* Where the host vDSO and its data pages are in this space; 0 size when absent. */
struct aspace_vdso {
    u64 vvar, vvar_size, vdso, vdso_size;
};
void aspace_vdso(const struct aspace *as, struct aspace_vdso *ret);

/* Host PROT_* and MAP_* bits, which are also the guest ABI's. */
enum {
    ASPACE_PRIVATE_ANON, /* fd ignored */
    ASPACE_PRIVATE_FILE,
    ASPACE_SHARED_FILE, /* a mapping the guest may not write must come from a read-only fd */
};

/*
 * All take page-aligned ranges inside the guest's areas and replace what is
 * there (MAP_FIXED). `via` may name the uctx whose system call asks for it, when it is the
 * current one inside UEV_SYSCALL: anonymous private maps, unmaps, protects and
 * advices at or above PLATFORM_MIN are then queued and made by that
 * application thread itself on its way out (cheap, no helper round trip), in
 * order; should the host refuse one there, the guest's call returns that
 * error. With via NULL the change is complete on return.
 */
int aspace_map(struct aspace *as, struct uctx *via, u64 addr, u64 size, u32 prot, int kind,
               u32 extra_map_flags, int host_fd, u64 offset) must_check;
int aspace_unmap(struct aspace *as, struct uctx *via, u64 addr, u64 size) must_check;
int aspace_protect(struct aspace *as, struct uctx *via, u64 addr, u64 size, u32 prot) must_check;
int aspace_advise(struct aspace *as, struct uctx *via, u64 addr, u64 size, int advice) must_check;
/*
 * While a batch is open, map calls of a space that only the caller uses yet are collected and
 * made in one go, at the latest by batch_end; each of them returns 0 then. Copies and every other
 * call make what is collected first. batch_end returns the first error, and nothing
 * behind that was done.
 */
int aspace_batch_begin(struct aspace *as) must_check;
int aspace_batch_end(struct aspace *as) must_check;
/* mremap to a fixed new place (MREMAP_FIXED|MAYMOVE, or DONTUNMAP), or in place when equal. */
int aspace_remap(struct aspace *as, u64 old_addr, u64 old_size, u64 new_addr, u64 new_size,
                 bool is_dontunmap) must_check;
/* One byte per page, bit 0: resident. As mincore(2). */
int aspace_mincore(struct aspace *as, u64 addr, u64 size, u8 *ret_vec) must_check;
/* membarrier(2) of this command (registrations too) for the threads of the space. cpu: of the flag for it. */
int aspace_membarrier(struct aspace *as, int cmd, u32 flags, s32 cpu) must_check;
int aspace_msync(struct aspace *as, u64 addr, u64 size, int flags) must_check;
int aspace_mlock(struct aspace *as, u64 addr, u64 size, bool is_lock, bool is_onfault) must_check;

/*
 * Host futex operations on guest memory, made by the helper (never blocks):
 * LX_FUTEX_WAKE, WAKE_BITSET, REQUEUE, CMP_REQUEUE, WAKE_OP, private and shared. Returns the
 * host's result.
 */
long aspace_futex(struct aspace *as, u64 uaddr, int op, u32 val, u64 val2, u64 uaddr2,
                  u32 val3) must_check;

/* ---- user memory --------------------------------------------------------------------------- */

/*
 * Copies between guest memory and ours. Return the number of bytes copied
 * before the first fault (possibly 0): the caller turns short into EFAULT.
 * ctx may be NULL; when it is the current one in UEV_SYSCALL, bytes already in
 * its window are used. aspace_read/aspace_write with is_force ignore page protections
 * (ptrace POKE, /proc/PID/mem): private copies are made as the host's FOLL_FORCE
 * does. A read never shows a rewritten site: the original bytes are returned.
 */
size_t aspace_read(struct aspace *as, struct uctx *ctx, u64 addr, void *buf,
                   size_t size) must_check;
size_t aspace_write(struct aspace *as, struct uctx *ctx, u64 addr, const void *buf,
                    size_t size) must_check;
size_t aspace_read_force(struct aspace *as, u64 addr, void *buf, size_t size) must_check;
size_t aspace_write_force(struct aspace *as, u64 addr, const void *buf, size_t size) must_check;
/* Copies up to size bytes, stopping after a NUL. Returns bytes copied (with the NUL), 0 on fault.
 */
size_t aspace_read_str(struct aspace *as, struct uctx *ctx, u64 addr, char *buf,
                       size_t size) must_check;
/* Atomic 32-bit compare-and-exchange in guest memory; 0, or -LX_EFAULT. *ret_old is what was seen.
 */
int aspace_cmpxchg_u32(struct aspace *as, u64 addr, u32 expected, u32 desired,
                       u32 *ret_old) must_check;

/* ---- threads ------------------------------------------------------------------------------- */

/*
 * A new application thread. With `from`, its vector state is a copy of that
 * thread's (which is inside UEV_SYSCALL in the same aspace); registers start
 * as from's, else zero. The caller sets rip, rsp and the rest before uctx_run.
 */
int uctx_new(struct aspace *as, struct uctx *from, struct uctx **ret_ctx) must_check;
/* Ends the host thread. Not while another thread is in uctx_run for it. */
void uctx_free(struct uctx *ctx);
struct aspace *uctx_aspace(const struct uctx *ctx);

/* Lets the application run until its next event. Always returns an event. */
void uctx_run(struct uctx *ctx, struct uevent *ret_ev);

/*
 * Lets the application thread of the current UEV_SYSCALL do one host FUTEX_WAIT_BITSET itself
 * and waits for its end: for plain futex waits that reach the Sentry because the in-stub answers
 * are off, so that they meet in-stub waits and aspace_futex on the same host futex. op:
 * LX_FUTEX_WAIT_BITSET with LX_FUTEX_PRIVATE_FLAG and LX_FUTEX_CLOCK_REALTIME as wanted;
 * deadline_ns: absolute on that clock, INT64_MAX: none. 0: woken; -LX_EAGAIN, -LX_ETIMEDOUT,
 * -LX_EFAULT, -LX_EINVAL: the host's; -LX_EINTR: kicked (or the stub is gone). The event stays the
 * current UEV_SYSCALL.
 */
long uctx_futex_wait(struct uctx *ctx, u64 uaddr, int op, u32 val, s64 deadline_ns,
                     u32 bitset) must_check;

/*
 * The same for futex_waitv(2): up to LX_FUTEX_WAITV_MAX words, checked by the caller; clock is
 * CLOCK_MONOTONIC or CLOCK_REALTIME. The index of a woken one, or an error as above;
 * -LX_ENOSYS: the host is too old.
 */
long uctx_futex_waitv(struct uctx *ctx, const struct lx_futex_waitv *waits, u32 count, int clock,
                      s64 deadline_ns) must_check;

/*
 * Restartable sequences are the host's: it writes the thread's cpu to the area and sends it to the
 * abort handler. uctx_rseq: has the thread (un)register an area of LX_RSEQ_SIZE bytes on its way
 * out, which gives the call its error. uctx_rseq_end: unregisters now, inside UEV_SYSCALL, before
 * a thread ends whose memory others may use again.
 */
bool platform_has_rseq(void);

/* The host's vsyscall page, which is in every address space: 0 none, else LX_PROT_*. */
#define VSYSCALL_START 0xffffffffff600000UL
u32 platform_vsyscall_prot(void);
void uctx_rseq(struct uctx *ctx, u64 addr, u32 flags, u32 sig);
void uctx_rseq_end(struct uctx *ctx, u64 addr, u32 sig);

/* Sets the result of the current UEV_SYSCALL: rax alone, the fast way back. */
void uctx_set_result(struct uctx *ctx, s64 rax);
/*
 * The registers at the last event, as the guest sees them (never a stub
 * address, never a rewritten site). Fetched on first use. After a change call
 * uctx_regs_changed: the next uctx_run then restores all of them.
 */
struct uregs *uctx_regs(struct uctx *ctx);
void uctx_regs_changed(struct uctx *ctx);
/* Vector state in standard xsave format, platform_xstate_size() bytes; buf NULL in set: initial. */
int uctx_get_xstate(struct uctx *ctx, void *buf) must_check;
int uctx_set_xstate(struct uctx *ctx, const void *buf) must_check;

/* Makes a running uctx_run return (UEV_KICK or UEV_FUTEX) soon; sticky: a kick before the run
 * makes that run return at once, unless an event came first. Any thread. */
void uctx_kick(struct uctx *ctx);
/* True while the application side has control (for /proc state and tick sampling). Racy. */
bool uctx_is_in_app(const struct uctx *ctx);
/* True while it sleeps in an in-stub futex wait. Racy. */
bool uctx_is_in_futex(const struct uctx *ctx);
/* CPU time of this application thread, ns, as of its last event or kick. */
u64 uctx_cpu_ns(const struct uctx *ctx);
/* Host affinity of the application thread: cpus allowed, as a bit mask. */
int uctx_set_affinity(struct uctx *ctx, u64 cpu_mask) must_check;

/* ---- in-stub answers ----------------------------------------------------------------------- */

/* Identity that in-stub calls answer; the Sentry updates it on every change. */
struct aspace_ids {
    u32 pid, ppid, uid, euid, gid, egid, pgid, sid;
};
void aspace_set_ids(struct aspace *as, const struct aspace_ids *ids);
void uctx_set_tid(struct uctx *ctx, u32 tid);

/*
 * Files whose preads the stub answers itself, from a shared mapping in a window of its own. The
 * caller has one lock around all four and keeps the file as it is meanwhile: nothing but reads.
 * map: takes a window of a fitting size and maps the file there; its number, or an error (-LX_ENOSPC:
 * none free, or the file is larger than any). show: from now on preads of fd at threads with
 * this table are answered so. hide: no more, and the mapping is gone when it returns.
 */
int aspace_file_map(struct aspace *as, int host_fd, u64 size) must_check;
void aspace_file_show(struct aspace *as, u32 window, u32 table, int fd, u64 size);
void aspace_file_hide(struct aspace *as, u32 window);
#define ASPACE_FILE_MAX_FD 255
/* The descriptor table that a thread uses, by a number that is never used again; 0: not told. */
void uctx_set_table(struct uctx *ctx, u32 table);

/* Reasons for which every call must reach the Sentry; nestable per reason bit. */
enum {
    FASTPATH_OFF_SECCOMP = 1,
    FASTPATH_OFF_TRACED = 2, /* also stops rewriting of sites and hides those made */
    FASTPATH_OFF_STRACE = 4,
    FASTPATH_OFF_TIMENS = 8, /* the vDSO would tell the wrong time */
    FASTPATH_OFF_EXIT = 16,
    FASTPATH_OFF_SHARED = 32, /* several processes run in it: ids differ by thread */
    FASTPATH_OFF_CREDS = 64,  /* threads of it may have different credentials */
};
void aspace_fastpath_off(struct aspace *as, u32 reasons, bool is_off);

/*
 * Tells which calls a window copies: generated from the table of system calls.
 * Called once before the first aspace. Shapes for argument i of call nr.
 */
enum ushape_kind {
    USHAPE_NONE,
    USHAPE_IN_STR,    /* NUL-terminated string */
    USHAPE_IN_BUF,    /* size in argument `size_arg` (times `elem_size`) */
    USHAPE_OUT_BUF,   /* likewise; the result decides how much */
    USHAPE_IN_FIXED,  /* elem_size bytes */
    USHAPE_OUT_FIXED, /* elem_size bytes */
    USHAPE_INOUT_FIXED,
};
struct ushape {
    u8 kind;
    u8 size_arg;
    u16 elem_size;
};
void platform_set_shapes(u32 nr, const struct ushape shapes[6]);

#endif
