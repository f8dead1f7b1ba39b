/*
 * mm: guest address spaces: VMAs, the mmap family, and user memory.
 *
 * The tree of VMAs is the authority of what a guest has mapped; the stub's host
 * mapping follows it (platform.h). A hostile guest can make its own host
 * mapping differ from its tree; nothing outside that process depends on it.
 *
 * Lock order:  mm.lock → (mappable's own locks) → aspace helper lock
 * No user copy while holding mm.lock.
 */
#ifndef MM_MM_H
#define MM_MM_H

#include "abi/errno.h"
#include "abi/mm.h"
#include "base/defs.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/rbtree.h"
#include "base/ref.h"
#include "platform/platform.h"

/* ---- what can be mapped -------------------------------------------------------------------- */

struct mappable;

struct mappable_ops {
    bool is_fixed_size; /* mremap: growing a mapping is LX_EFAULT, MREMAP_DONTUNMAP LX_EINVAL */
    /*
     * The host fd and host offset that back [offset, offset + size), for
     * aspace_map. is_writable_shared: the guest may ever write through a shared mapping
     * (otherwise the fd must be one opened read-only, so that a raw mprotect
     * cannot make the mapping writable). The fd stays the object's and stays open while
     * the object lives. May block. Errors: LX_ENODEV not mappable, LX_EACCES, LX_ENOMEM.
     */
    int (*host_fd)(struct mappable *m, u64 offset, u64 size, bool is_writable_shared, int *ret_fd,
                   u64 *ret_offset) must_check;
    void (*get)(struct mappable *m);
    void (*put)(struct mappable *m);
    /* For /proc/PID/maps: path (as the guest's root sees it), device and inode number. */
    void (*describe)(struct mappable *m, char *buf, size_t size, u64 *ret_dev, u64 *ret_ino);
    /* Optional: msync(MS_SYNC) of a shared mapping. */
    int (*sync)(struct mappable *m, u64 offset, u64 size);
    /* Optional: told of VMAs made and gone (ETXTBSY, seals, SHM attach counts). is_writable: shared
     * and writable or may become so. */
    int (*vma_opened)(struct mappable *m, bool is_writable_shared) must_check;
    void (*vma_closed)(struct mappable *m, bool is_writable_shared);
    /* Optional: told when the object becomes and ceases to be an mm's executable (ETXTBSY). */
    int (*deny_write)(struct mappable *m) must_check;
    void (*allow_write)(struct mappable *m);
    /* Optional: madvise(MADV_REMOVE): punches a hole. Absent: LX_EOPNOTSUPP. */
    int (*punch)(struct mappable *m, u64 offset, u64 size) must_check;
};

struct mappable {
    const struct mappable_ops *ops; /* immutable */
};

/* Shared anonymous memory (MAP_SHARED|MAP_ANONYMOUS, System V shm): a memfd. Owns one reference. */
int shmem_object_new(u64 size, struct mappable **ret_m) must_check;
/* The same for a buffer of the kernel's: `name` (static) in /proc/PID/maps, and mremap cannot grow it. */
int shmem_ring_new(u64 size, const char *name, struct mappable **ret_m) must_check;

/* ---- VMAs ---------------------------------------------------------------------------------- */

/* vma.flags: LX_PROT_* in the low bits (current protection), then: */
#define VMA_SHARED      0x10U
#define VMA_MAYREAD     0x20U
#define VMA_MAYWRITE    0x40U
#define VMA_MAYEXEC     0x80U
#define VMA_GROWSDOWN   0x100U
#define VMA_LOCKED      0x200U
#define VMA_NORESERVE   0x400U
#define VMA_DONTFORK    0x800U
#define VMA_WIPEONFORK  0x1000U
#define VMA_DONTDUMP    0x2000U
#define VMA_STACK       0x4000U
#define VMA_HEAP        0x8000U
#define VMA_VDSO        0x10000U /* host pages of the stub: never changed by us */
#define VMA_VVAR        0x20000U
#define VMA_LOCKONFAULT 0x40000U
#define VMA_MERGEABLE   0x80000U
#define VMA_HUGEPAGE    0x100000U
#define VMA_NOHUGEPAGE  0x200000U
#define VMA_SEQ_READ    0x400000U
#define VMA_RAND_READ   0x800000U
#define VMA_UFFD        0x1000000U
#define VMA_SEALED      0x2000000U /* mseal */

#define VMA_PROT_MASK   7U
#define VMA_MAY_ALL     (VMA_MAYREAD | VMA_MAYWRITE | VMA_MAYEXEC)

struct vma {
    struct rb_node rb;       /* all fields: guarded by mm.lock */
    u64 start, end;          /* [start, end), page aligned */
    u64 gap, max_gap;        /* free bytes just below start; the most of that in the subtree */
    u32 flags;
    struct mappable *obj;    /* owned reference; NULL: private anonymous */
    u64 offset;              /* of start in obj */
    char *anon_name;         /* PR_SET_VMA_ANON_NAME, or NULL; owned */
    u32 policy;              /* mbind: the caller's encoding, kept for mm_get_policy; 0: none */
};

struct mm_limits { /* bytes; the task's rlimits, UINT64_MAX: none */
    u64 as, data, stack;
    u64 memlock; /* UINT64_MAX also with CAP_IPC_LOCK; 0: mlock is LX_EPERM */
};

/* An unmap that ctx's thread makes by itself on its way out of its system call (see vma.c). */
struct mm_late {
    struct uctx *ctx;
    u64 start, end;
};
#define MM_MAX_LATE 32

struct mm {
    struct ref ref;
    struct aspace *as; /* immutable */
    struct mutex lock;
    struct rb_tree vmas;     /* guarded by lock, as all below */
    u32 nvmas;
    u64 total_size, locked_size, data_size, stack_size, exec_size, shared_size; /* bytes */
    u64 peak_size;
    u64 mmap_base;           /* top of the top-down area */
    u64 brk_start, brk_end;
    u64 start_code, end_code, start_data, end_data, start_stack;
    u64 arg_start, arg_end, env_start, env_end;
    u64 saved_auxv[64];      /* pairs, for /proc/PID/auxv; ends with AT_NULL */
    struct mappable *exe;    /* the executable (a struct file's), owned; or NULL */
    u32 dumpable;            /* PR_SET_DUMPABLE */
    u32 def_flags;           /* mlockall(MCL_FUTURE): VMA_LOCKED */
    _Atomic u32 membarrier;  /* registered commands */
    struct mm_limits limits; /* set by kern on every change */
    u32 nsharers;            /* kern's: processes that run in it beside its first one */
    struct list aio;         /* kern's: AIO contexts; guarded by a lock of its own */
    bool is_aslr_off;        /* immutable */
    u32 nlate;
    struct mm_late late[MM_MAX_LATE];
};

/* A fresh empty space (exec). Layout is randomised unless is_aslr_off. */
int mm_new(bool is_aslr_off, struct mm **ret_mm) must_check;
/* A copy for fork; also makes the child's first thread continue `caller`. */
int mm_fork(struct mm *parent, struct uctx *caller, struct mm **ret_mm,
            struct uctx **ret_ctx) must_check;
extern void (*mm_aio_exit)(struct mm *mm); /* ends mm->aio when the space ends; set by kern */
void mm_get(struct mm *mm);
void mm_put(struct mm *mm);
/* A thread of this space is about to be freed: forget what it was still to do. */
void mm_forget_ctx(struct mm *mm, struct uctx *ctx);
/* Places the top-down area for these limits; for a space that has no mappings yet. */
void mm_set_layout(struct mm *mm, const struct mm_limits *limits);
/* A free place of the mmap area for size bytes at a multiple of align (a power of two); it is
 * the caller's only as long as nobody else maps. -LX_ENOMEM. */
s64 mm_find_free(struct mm *mm, u64 size, u64 align) must_check;
/* The executable: takes a reference and denies writes to it (-LX_ETXTBSY). Once per space. */
int mm_set_exe(struct mm *mm, struct mappable *exe) must_check;
/* Memory that the overcommit heuristic and sysinfo count with: RAM and swap of the sandbox. */
void mm_set_total_memory(u64 bytes);
u64 mm_total_memory(void);

struct mm_map_req {
    u64 addr;             /* hint, or the place with LX_MAP_FIXED* */
    u64 size;             /* bytes, rounded up to pages; 0 is LX_EINVAL */
    u32 prot;             /* LX_PROT_* */
    u32 flags;            /* LX_MAP_*; unknown bits are the caller's to refuse (MAP_SHARED_VALIDATE) */
    u32 vma_flags;        /* extra VMA_*: VMA_STACK, VMA_HEAP, … and the VMA_MAY* of files: for a file the
                             caller passes those that the open mode allows; anonymous: all */
    struct mappable *obj; /* NULL: anonymous; a reference is taken */
    u64 offset;
};

/*
 * The mmap family, with Linux's errnos. `via`: the current uctx inside its
 * system call, to let the application thread make the host call itself; NULL
 * for a change that is complete on return. mm_map returns the address.
 */
s64 mm_map(struct mm *mm, struct uctx *via, const struct mm_map_req *req) must_check;
int mm_unmap(struct mm *mm, struct uctx *via, u64 addr, u64 size) must_check;
int mm_protect(struct mm *mm, struct uctx *via, u64 addr, u64 size, u32 prot) must_check;
s64 mm_remap(struct mm *mm, u64 old_addr, u64 old_size, u64 new_size, u32 flags,
             u64 new_addr) must_check;
u64 mm_brk(struct mm *mm, struct uctx *via, u64 new_end); /* returns the break in force */
int mm_advise(struct mm *mm, struct uctx *via, u64 addr, u64 size, int advice) must_check;
int mm_sync(struct mm *mm, u64 addr, u64 size, int flags) must_check;
int mm_mincore(struct mm *mm, u64 addr, u64 size, u8 *ret_vec) must_check;
int mm_lock_range(struct mm *mm, u64 addr, u64 size, bool is_lock, bool is_onfault) must_check;
int mm_lock_all(struct mm *mm, int flags) must_check; /* 0: munlockall */
/* mbind on one node: remembered only. -LX_EFAULT at a hole. */
int mm_set_policy(struct mm *mm, u64 addr, u64 size, u32 policy) must_check;
int mm_get_policy(struct mm *mm, u64 addr, u32 *ret_policy) must_check;
int mm_seal(struct mm *mm, u64 addr, u64 size) must_check;
int mm_set_anon_name(struct mm *mm, u64 addr, u64 size, const char *name) must_check;

/*
 * A fault in application code. Returns 0 when it was resolved (stack growth, a
 * raced mapping) and the instruction may be restarted; else a signal number,
 * with its si_code in *ret_code (SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR …).
 */
int mm_fault(struct mm *mm, const struct uevent *ev, int *ret_code);

/* The VMA that holds addr, or the first above it; NULL when none. */
struct vma *mm_find(struct mm *mm, u64 addr) REQUIRES(mm->lock);
struct vma *mm_next(struct vma *v);
/* Prints one /proc/PID/maps line's name part: path, [heap], [stack], [vdso] … */
void mm_vma_name(struct mm *mm, struct vma *v, char *buf, size_t size) REQUIRES(mm->lock);

/* ---- user memory: the only doors ----------------------------------------------------------- */

/* Whose memory the calling thread's copy_* mean; set by kern at task start and exec. */
void mm_use(struct mm *mm, struct uctx *ctx);
struct mm *mm_current(void);
struct uctx *mm_current_ctx(void);

/* 0, or -LX_EFAULT when any byte could not be copied. */
int copy_in(void *dst, uaddr_t src, size_t size) must_check;
int copy_out(uaddr_t dst, const void *src, size_t size) must_check;
/* Zeroes guest memory. */
int clear_out(uaddr_t dst, size_t size) must_check;
/*
 * A NUL-terminated string of at most size bytes with its NUL. Length without
 * the NUL; -LX_EFAULT; -LX_ENAMETOOLONG when no NUL is found within size.
 */
s64 copy_in_str(char *dst, uaddr_t src, size_t size) must_check;
/* A struct that later versions may have extended (clone3, openat2, …): usize < ksize is
 * zero-filled; bytes beyond ksize must be zero, else -LX_E2BIG. */
int copy_in_struct(void *dst, size_t ksize, uaddr_t src, size_t usize) must_check;
/* Of another space (process_vm_*, ptrace, /proc/PID/mem, exec's stack): bytes copied. */
size_t mm_read(struct mm *mm, u64 addr, void *buf, size_t size) must_check;
size_t mm_write(struct mm *mm, u64 addr, const void *buf, size_t size) must_check;
/* The same past page protections, as the VMAs allow it (ptrace, /proc/PID/mem). */
size_t mm_read_force(struct mm *mm, u64 addr, void *buf, size_t size) must_check;
size_t mm_write_force(struct mm *mm, u64 addr, const void *buf, size_t size) must_check;
/* With an explicit context, or NULL: what copy_in and uio are made of. Bytes copied. */
size_t mm_copy_from(struct mm *mm, struct uctx *ctx, u64 addr, void *buf, size_t size) must_check;
size_t mm_copy_to(struct mm *mm, struct uctx *ctx, u64 addr, const void *buf,
                  size_t size) must_check;

#define get_user(dst_lvalue, src) copy_in(&(dst_lvalue), (src), sizeof(dst_lvalue))
#define put_user(value, dst)                                                                       \
    ({                                                                                             \
        __auto_type put_v_ = (value);                                                              \
        _Static_assert(__builtin_types_compatible_p(__typeof__(put_v_), __typeof__(value)),        \
                       "an array: use copy_out");                                                  \
        copy_out((dst), &put_v_, sizeof(put_v_));                                                  \
    })

#endif
