/*
 * The layout of a stub: fixed addresses in every application process, and the
 * words that stub and Sentry share. Included by C on both sides and by the
 * stub's assembly.
 *
 *   0x60000000  text        read, execute; code and the constant block (filters, sigactions)
 *   0x60020000  process     read-only here; the Sentry writes ids, switches
 *   0x60021000  orders      read-only here; the helper's orders
 *   0x60022000  files       read-only here; which fds are read without the Sentry, and where from
 *   0x60023000  results     read, write; the helper's answers
 *   0x60024000  title       read, write, private; what the host shows as the process's command line
 *   0x60030000  shapes      read-only here; which arguments of which call go through the window
 *   0x60040000  filter      only while the zygote starts
 *   0x60600000  site table  one 8-byte pointer a rewritten site (see patch.c)
 *   0x61000000  thunks      code of rewritten sites
 *   0x62000000  windows     of files that are read without the Sentry
 *   0x80000000  slots       one a thread, 256 KiB each
 *
 * A slot: channel page and window (shared with the Sentry), the trampoline's
 * stack and private words, the alternate signal stack. It is found from any
 * address inside by masking.
 */
#ifndef STUB_LAYOUT_H
#define STUB_LAYOUT_H

#define STUB_TEXT         0x60000000
#define STUB_TEXT_SIZE    0x10000
#define STUB_CONST        0x60010000 /* struct stub_const; same mapping as the text */
#define STUB_CONST_SIZE   0x4000
#define STUB_PROC         0x60020000
#define STUB_ORDER        0x60021000
#define STUB_FILES        0x60022000
#define STUB_RESULT       0x60023000
#define STUB_TITLE        0x60024000
#define STUB_TITLE_SIZE   0x1000
#define STUB_SHAPES       0x60030000
#define STUB_SHAPES_SIZE  0x4000
#define STUB_FILTER       0x60040000 /* in the zygote, until the filter is installed */
#define STUB_FILTER_SIZE  0x4000
#define STUB_SITES        0x60600000
#define STUB_SITES_SIZE   0x10000
#define STUB_THUNKS       0x61000000
#define STUB_THUNK_STRIDE 64
#define STUB_THUNKS_SIZE  (8192 * STUB_THUNK_STRIDE)
#define STUB_WINDOWS      0x62000000 /* files mapped for reading: see struct stub_files */
#define STUB_WINDOWS_END  0x7a000000
#define STUB_SLOTS        0x80000000
#define STUB_SLOTS_END    0x100000000
#define STUB_SLOT_SIZE    0x40000
#define STUB_NR_SLOTS     8192

#define SLOT_WINDOW      0x1000
#define SLOT_WINDOW_SIZE 0x10000
#define SLOT_SHARED_SIZE 0x11000
#define SLOT_PRIVATE     0x11000 /* struct stub_private */
#define SLOT_STACK_TOP   0x18000 /* of the trampoline, grows down to SLOT_PRIVATE + 0x1000 */
#define SLOT_ALT         0x18000
#define SLOT_ALT_SIZE    0x28000

#define STUB_KICK_SIGNAL 62

/* Channel states. */
#define CH_APP    0 /* the application runs, or has been told to */
#define CH_SENTRY 1 /* an event or an answer waits for the Sentry */

/* What the Sentry tells a waiting thread. */
#define CMD_RESULT 0 /* only rax changed */
#define CMD_FULL   1 /* all registers, from the channel */
#define CMD_NONE   2 /* nothing changed */
#define CMD_GETX   3 /* vector state to the window */
#define CMD_SETX   4 /* vector state from the window */
#define CMD_EXIT   5
#define CMD_COPYX  6 /* vector state of the slot in ch->arg, same process */
#define CMD_INITX  7
#define CMD_FUTEX  8 /* a futex wait: ch->futex */
#define CMD_CALLS  9 /* makes ch->mmcalls now, inside the event */

/* Events. */
#define EV_SYSCALL 1
#define EV_FAULT   2
#define EV_KICK    3
#define EV_FUTEX   4
#define EV_DONE    5 /* the command is done */
#define EV_VSYSCALL 6 /* a system call by way of the host's vsyscall page, which has returned already */

/* Helper orders. */
#define OP_SYSCALL         0
#define OP_FORK            1 /* a0 flags, a1 arena fd, a2 offset of the child's control unit */
#define OP_THREAD          2 /* a0 flags, a1 slot, a2 OP_THREAD_*, a3 ctid */
#define OP_CMPXCHG         3 /* a0 address, a1 expected, a2 desired */
#define OP_STORE1          4 /* a0 address, a1 value */
#define OP_THREAD_BIRTH    0
#define OP_THREAD_CONTINUE 1
#define OP_STOP_ON_ERROR   1
#define STUB_MAX_OPS       60

/* Offsets used by assembly; checked against the structs below. */
#define ORD_SEQ      0
#define ORD_COUNT    4
#define ORD_EFD      8
#define ORD_OPS      64
#define OPS_KIND     0
#define OPS_FLAGS    4
#define OPS_NR       8
#define OPS_ARGS     16
#define RSL_VALUE    64
#define PRV_SP       0
#define PRV_KICK     16
#define PRV_DEMOTION 20
#define PRV_SELF     24
#define PRV_FS       32
#define PRV_GS       40
#define CH_TID       84
#define CH_REGS      256
#define PRC_PID      8

/* What the trampoline keeps on its stack, in bytes. */
#define TRAMP_FRAME 80

#define DEMOTE_SYSCALL 1 /* hand the call over from a signal frame */
#define DEMOTE_COMMAND 2 /* obey ch->cmd from a signal frame */
#define CST_ARENA      0
#define CST_FSGSBASE   8
#define CST_SIGACT     64

#ifndef __ASSEMBLER__
#include <stdint.h>

struct stub_op {
    uint32_t kind, flags;
    uint64_t nr;
    uint64_t args[6];
};

struct stub_orders {
    uint32_t seq;
    uint32_t count;
    uint32_t efd; /* eventfd to write to when a list is done */
    uint32_t pad[13];
    struct stub_op ops[STUB_MAX_OPS];
    uint8_t cpu_mask[128]; /* every cpu that the sandbox may use */
};

struct stub_results {
    uint64_t pad[8];
    int64_t value[STUB_MAX_OPS];
    uint8_t bytes[2048]; /* mincore */
};

/* Calls answered by a few instructions, reached straight from a rewritten site. */
enum {
    FAST_GETPID,
    FAST_GETTID,
    FAST_GETPPID,
    FAST_GETUID,
    FAST_GETEUID,
    FAST_GETGID,
    FAST_GETEGID,
    STUB_NR_FAST
};

/* Process page: the Sentry writes, the stub reads. */
struct stub_proc {
    uint64_t unit; /* names this control unit: tells one stub from another */
    uint32_t pid, ppid, uid, euid, gid, egid, pgid, sid;
    uint32_t fastpath_off;           /* reasons; any: every call is handed over */
    uint32_t is_timed;               /* threads publish their cpu time when they hand over */
    uint64_t dispatch[STUB_NR_FAST]; /* where the site of each fast call jumps */
};

/*
 * Preads that the stub answers itself from a mapping of the file. Written by the Sentry alone;
 * an entry changes between an odd and the next even seq.
 */
#define STUB_FILES_FDS   256 /* descriptors below it can be looked up */
#define STUB_FILES_LARGE 4   /* entries with a window of 64 MiB; those behind have 8 MiB */
#define STUB_FILES_MAX   20
#define STUB_FILES_COPY  (1 << 20) /* longer reads are left to the Sentry: kicks wait for a copy */
struct stub_files {
    uint8_t by_fd[STUB_FILES_FDS]; /* index + 1; 0: none */
    struct stub_file {
        uint32_t seq;
        uint32_t table; /* the descriptor table in which fd is it: compared with the thread's */
        int32_t fd;     /* -1: none */
        uint32_t pad;
        uint64_t addr, size;
    } file[STUB_FILES_MAX];
};

struct stub_regs {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
    uint64_t rax, rcx, rdx, rsi, rdi, orig_rax;
    uint64_t rip, cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};

/* One mm call that the thread makes itself before it returns to the application. */
struct stub_mmcall {
    uint32_t nr, pad;
    uint64_t args[4];
};
#define STUB_MAX_MMCALLS 8

/* Shapes of a call's arguments, as far as the window deals with them. */
#define STUB_NR_SHAPES 512
#define STUB_MAX_WIN   3
struct stub_shape {
    uint8_t count, pad[3];
    struct {
        uint8_t arg, kind, size_arg, pad; /* kind: enum ushape_kind */
        uint32_t elem_size;
    } args[STUB_MAX_WIN];
    uint32_t pad2;
};
#define SHAPE_STR    1 /* as enum ushape_kind of platform.h */
#define SHAPE_IN     2
#define SHAPE_OUT    3
#define SHAPE_INFIX  4
#define SHAPE_OUTFIX 5
#define SHAPE_INOUT  6
#define WIN_MAX_IN   0x4000 /* larger buffers are left to the Sentry */
#define WIN_MAX_OUT  0x1000
#define WIN_MAX_STR  0x1000

/* A piece of the window that stands for guest memory at addr. */
struct stub_win {
    uint64_t addr;
    uint32_t off;            /* in the window */
    uint32_t in_size;        /* bytes copied in */
    uint32_t out_cap;        /* bytes that can be written: the pages have been probed */
    uint32_t out_lo, out_hi; /* what the Sentry wrote; the stub copies it out */
    uint32_t pad;
};

/* A site that the thread rewrites itself on its way out (single-threaded processes). */
struct stub_patch {
    uint32_t is_set, thunk;
    uint64_t addr, page, size; /* first byte; pages to make writable meanwhile */
    uint32_t len, prot;
    uint8_t bytes[16];
    uint8_t code[STUB_THUNK_STRIDE];
};

struct stub_channel {
    uint32_t state; /* futex */
    uint32_t cmd;
    uint32_t kind;
    uint32_t nr;
    uint64_t args[6];           /* first line */
    int64_t result;             /* second line */
    uint32_t is_app_waiting;    /* the stub sleeps on state */
    uint32_t is_sentry_waiting; /* the Sentry sleeps on state */
    uint32_t nmmcalls;
    uint32_t tid;
    uint32_t cpu; /* where the thread last handed over */
    uint32_t is_in_futex;
    uint32_t ctid;     /* cleared by the host when the thread is gone */
    uint32_t is_tramp; /* the event came through the trampoline */
    uint64_t fault_addr, fault_err;
    uint32_t fault_signo, fault_code, fault_trapno, xsize;
    uint64_t arg;
    uint64_t cpu_ns;
    uint32_t spin; /* cycles to spin for the Sentry's answer */
    uint32_t nwin;
    uint32_t table; /* names the thread's descriptor table; 0: no in-stub preads */
    uint32_t pad;
    struct { /* CMD_FUTEX */
        uint64_t addr, op, val, bitset;
        uint64_t has_timeout, timeout[2]; /* absolute */
        int64_t result;
        uint64_t nr, clock; /* of the call; of futex_waitv */
    } futex;
    uint64_t posted; /* time stamp counter when the stub last woke the Sentry */
    struct stub_regs regs;
    struct stub_mmcall mmcalls[STUB_MAX_MMCALLS];
    struct stub_win win[STUB_MAX_WIN];
    struct stub_patch patch;
};

/* Per slot, private to the process. */
struct stub_private {
    uint64_t saved_sp; /* where the handler waits; a forked child continues there */
    void *uc;          /* the host signal frame of the interrupted application */
    uint32_t kick_pending;
    uint32_t demotion; /* DEMOTE_*: why the trampoline raised stub_demote */
    uint64_t self;     /* the slot's address; %gs leads the trampoline to it */
    /* What the thread's bases were set to last, where the host has no FSGSBASE to read them. */
    uint64_t fs_base, gs_base;
};

/* In front of the text; written by the linker. */
struct stub_header {
    uint64_t magic, zygote_entry, text_end, birth, restorer, handler;
    uint64_t trampoline, fast_begin, fast_end, one, fast[STUB_NR_FAST];
};
#define STUB_MAGIC 0x31627574736376ULL

struct stub_ksigaction {
    uint64_t handler, flags, restorer, mask;
};

#define STUB_NR_SIGACT 8
/* The constant block: written by the Sentry into the image before the first stub starts. */
struct stub_const {
    uint64_t arena_fd;
    uint64_t has_fsgsbase; /* else the bases are set by arch_prctl */
    uint64_t pad[6];
    struct {
        uint64_t signo;
        struct stub_ksigaction act;
    } sigact[STUB_NR_SIGACT]; /* ends at signo 0 */
    uint64_t filters[];       /* struct sock_filter of both */
};

_Static_assert(__builtin_offsetof(struct stub_orders, ops) == ORD_OPS, "layout");
_Static_assert(sizeof(struct stub_op) == 64, "layout");
_Static_assert(sizeof(struct stub_files) <= 4096, "layout");
_Static_assert(sizeof(struct stub_orders) <= 4096, "layout");
_Static_assert(__builtin_offsetof(struct stub_results, value) == RSL_VALUE, "layout");
_Static_assert(sizeof(struct stub_results) <= 4096, "layout");
_Static_assert(__builtin_offsetof(struct stub_const, sigact) == CST_SIGACT, "layout");
_Static_assert(__builtin_offsetof(struct stub_const, has_fsgsbase) == CST_FSGSBASE, "layout");
_Static_assert(__builtin_offsetof(struct stub_private, self) == PRV_SELF, "layout");
_Static_assert(__builtin_offsetof(struct stub_private, fs_base) == PRV_FS, "layout");
_Static_assert(__builtin_offsetof(struct stub_private, gs_base) == PRV_GS, "layout");
_Static_assert(__builtin_offsetof(struct stub_private, saved_sp) == PRV_SP, "layout");
_Static_assert(__builtin_offsetof(struct stub_channel, result) == 64, "layout");
_Static_assert(sizeof(struct stub_channel) <= 4096, "layout");
_Static_assert(sizeof(struct stub_shape) == 32, "layout");
_Static_assert(__builtin_offsetof(struct stub_channel, tid) == CH_TID, "layout");
_Static_assert(__builtin_offsetof(struct stub_channel, regs) == CH_REGS, "layout");
_Static_assert(__builtin_offsetof(struct stub_proc, pid) == PRC_PID, "layout");
_Static_assert(__builtin_offsetof(struct stub_private, kick_pending) == PRV_KICK, "layout");
_Static_assert(__builtin_offsetof(struct stub_private, demotion) == PRV_DEMOTION, "layout");
#endif

#endif
