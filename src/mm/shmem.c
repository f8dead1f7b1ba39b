/*
 * Shared anonymous memory: a memfd of a fixed size. Its pages live in the
 * host's page cache, so every address space that maps it shares them, also
 * after a fork.
 *
 * The one fd is open for reading and writing. That fits MAP_SHARED|MAP_ANONYMOUS,
 * which every process that has it may write; an object that some may only read
 * (shmat with SHM_RDONLY) needs a read-only fd besides, which a memfd cannot
 * give without /proc: such a mapping is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mm/mm_internal.h"

struct shmem {
    struct mappable m;
    struct ref ref;
    int fd;
    u64 ino;
    const char *name;
};

static struct shmem *shmem_of(struct mappable *m)
{
    return container_of(m, struct shmem, m);
}

static int shmem_host_fd(struct mappable *m, u64 offset, u64 size, bool is_writable_shared,
                         int *ret_fd, u64 *ret_offset)
{
    if (!is_writable_shared)
        return -LX_EACCES;
    *ret_fd = shmem_of(m)->fd;
    *ret_offset = offset;
    return 0;
}

static void shmem_get(struct mappable *m)
{
    ref_get(&shmem_of(m)->ref);
}

static void shmem_put(struct mappable *m)
{
    struct shmem *s = shmem_of(m);
    if (!ref_put(&s->ref))
        return;
    close(s->fd);
    free(s);
}

static void shmem_describe(struct mappable *m, char *buf, size_t size, u64 *ret_dev, u64 *ret_ino)
{
    snprintf(buf, size, "%s", shmem_of(m)->name);
    *ret_dev = 1; /* 0:1, as Linux's internal tmpfs */
    *ret_ino = shmem_of(m)->ino;
}

static int shmem_punch(struct mappable *m, u64 offset, u64 size)
{
    if (fallocate(shmem_of(m)->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                  (off_t)size) < 0)
        return -errno;
    return 0;
}

static const struct mappable_ops shmem_ops = {
    .host_fd = shmem_host_fd,
    .get = shmem_get,
    .put = shmem_put,
    .describe = shmem_describe,
    .punch = shmem_punch,
};

static const struct mappable_ops ring_ops = {
    .is_fixed_size = true,
    .host_fd = shmem_host_fd,
    .get = shmem_get,
    .put = shmem_put,
    .describe = shmem_describe,
};

static int object_new(u64 size, const char *name, const struct mappable_ops *ops,
                      struct mappable **ret_m)
{
    static _Atomic u64 next_ino = 1024;
    if (size > INT64_MAX)
        return -LX_ENOMEM;
    int fd = memfd_create("shm", MFD_CLOEXEC);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE ? -LX_ENOMEM : -errno;
    struct shmem *s = calloc(1, sizeof(*s));
    if (!s || ftruncate(fd, (off_t)size) < 0) {
        close(fd);
        free(s);
        return -LX_ENOMEM;
    }
    s->m.ops = ops;
    s->name = name;
    ref_init(&s->ref);
    s->fd = fd;
    s->ino = atomic_fetch_add_explicit(&next_ino, 1, memory_order_relaxed);
    *ret_m = &s->m;
    return 0;
}

int shmem_object_new(u64 size, struct mappable **ret_m)
{
    return object_new(size, "/dev/zero (deleted)", &shmem_ops, ret_m);
}

int shmem_ring_new(u64 size, const char *name, struct mappable **ret_m)
{
    return object_new(size, name, &ring_ops, ret_m);
}
