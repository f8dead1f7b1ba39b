/*
 * Windows on files: what stubs read without the Sentry (see stub.c, tramp_pread).
 */
#include <sys/mman.h>

#include "abi/errno.h"
#include "abi/nr.h"
#include "platform/internal.h"

#define LARGE (64UL << 20)
#define SMALL (8UL << 20)

_Static_assert(STUB_WINDOWS + STUB_FILES_LARGE * LARGE +
                       (STUB_FILES_MAX - STUB_FILES_LARGE) * SMALL ==
                   STUB_WINDOWS_END,
               "the windows fill their place");
_Static_assert(STUB_FILES_FDS == ASPACE_FILE_MAX_FD + 1, "descriptors that have a place");

static u64 window_addr(u32 w)
{
    return w < STUB_FILES_LARGE
               ? STUB_WINDOWS + w * LARGE
               : STUB_WINDOWS + STUB_FILES_LARGE * LARGE + (w - STUB_FILES_LARGE) * SMALL;
}

static u64 window_size(u32 w)
{
    return w < STUB_FILES_LARGE ? LARGE : SMALL;
}

int aspace_file_map(struct aspace *as, int host_fd, u64 size)
{
    u32 w = size > SMALL ? 0 : STUB_FILES_LARGE;
    while (w < STUB_FILES_MAX && (as->files_used >> w & 1))
        w++;
    if (w == STUB_FILES_MAX || size > window_size(w) || atomic_load(&as->is_dead))
        return -LX_ENOSPC;
    u64 addr = window_addr(w), bytes = (size + PAGE_SIZE - 1) & ~(u64)(PAGE_SIZE - 1);
    s64 r = helper_call(as, LX_NR_mmap, addr, bytes, PROT_READ, MAP_SHARED | MAP_FIXED,
                        (u64)host_fd, 0);
    if (r == (s64)addr)
        r = helper_call(as, LX_NR_madvise, addr, bytes, MADV_DONTFORK, 0, 0, 0);
    if (r < 0) {
        (void)helper_call(as, LX_NR_munmap, addr, window_size(w), 0, 0, 0, 0);
        return (int)r;
    }
    as->files_used |= 1U << w;
    return (int)w;
}

void aspace_file_show(struct aspace *as, u32 window, u32 table, int fd, u64 size)
{
    volatile struct stub_file *e = &as->files->file[window];
    __atomic_store_n(&e->seq, e->seq + 1, __ATOMIC_SEQ_CST);
    e->table = table;
    e->fd = fd;
    e->addr = window_addr(window);
    e->size = size;
    __atomic_store_n(&e->seq, e->seq + 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&as->files->by_fd[fd], (u8)(window + 1), __ATOMIC_SEQ_CST);
}

void aspace_file_hide(struct aspace *as, u32 window)
{
    volatile struct stub_file *e = &as->files->file[window];
    int fd = e->fd;
    if (e->table && fd >= 0 && as->files->by_fd[fd] == window + 1)
        __atomic_store_n(&as->files->by_fd[fd], 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&e->seq, e->seq + 1, __ATOMIC_SEQ_CST);
    e->table = 0;
    e->fd = -1;
    e->size = 0;
    __atomic_store_n(&e->seq, e->seq + 1, __ATOMIC_SEQ_CST);
    if (!atomic_load(&as->is_dead))
        (void)helper_call(as, LX_NR_munmap, window_addr(window), window_size(window), 0, 0, 0, 0);
    as->files_used &= ~(1U << window);
}

void uctx_set_table(struct uctx *ctx, u32 table)
{
    ctx->ch->table = table;
}
