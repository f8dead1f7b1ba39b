/*
 * The arena: one memfd cut in units of 128 KiB, mapped here once as a whole and
 * in stubs a unit at a time. Untouched pages cost nothing. A freed unit is punched out, so the
 * next owner sees zeros and nothing of the last.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/errno.h"
#include "base/log.h"
#include "platform/internal.h"

static struct {
    int fd;
    u8 *base;
    struct mutex lock;
    u32 hint; /* guarded by lock */
} arena = {.fd = -1, .lock = MUTEX_INIT("platform.arena")};
static u64 used[NR_UNITS / 64]; /* guarded by arena.lock */

int arena_init(void)
{
    u64 size = NR_UNITS * UNIT_SIZE;
    arena.fd = memfd_create("cvisor-arena", MFD_CLOEXEC);
    if (arena.fd < 0)
        return -errno;
    if (ftruncate(arena.fd, (off_t)size) < 0)
        return -errno;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, arena.fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    (void)madvise(p, size, MADV_DONTFORK); /* the zygote needs none of it */
    arena.base = p;
    used[0] = 1;
    return 0;
}

int arena_fd(void)
{
    return arena.fd;
}

u32 arena_alloc(void)
{
    MUTEX_GUARD(&arena.lock);
    for (u32 i = 0; i < NR_UNITS / 64; i++) {
        u32 w = (arena.hint + i) % (NR_UNITS / 64);
        if (~used[w] == 0)
            continue;
        u32 bit = (u32)__builtin_ctzll(~used[w]);
        used[w] |= 1ULL << bit;
        arena.hint = w;
        return w * 64 + bit;
    }
    return 0;
}

void arena_free(u32 unit)
{
    if (!unit)
        return;
    if (fallocate(arena.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)arena_offset(unit),
                  (off_t)UNIT_SIZE) < 0) {
        log_once(LOG_ERROR, "platform: a unit cannot be cleared: errno %d", errno);
        return; /* never given out again: better lost than leaking one guest's bytes to another */
    }
    MUTEX_GUARD(&arena.lock);
    used[unit / 64] &= ~(1ULL << (unit % 64));
    if (unit / 64 < arena.hint)
        arena.hint = unit / 64;
}

void *arena_ptr(u32 unit)
{
    return arena.base + arena_offset(unit);
}
