/*
 * Many threads that map, write, check, protect, move and unmap at once, with
 * forks in between; and memory calls with random arguments, whose only right
 * outcome is that the rest of the machine does not notice.
 */
#include <pthread.h>
#include <time.h>

#include "mm_common.h"

enum { THREADS = 6, SLOTS = 12 };
#define RUN_MS 700

static volatile int is_over;

static unsigned next(unsigned *seed)
{
    return (*seed = *seed * 1664525 + 1013904223) >> 8;
}

struct slot {
    unsigned char *p;
    size_t n;
    unsigned char tag;
};

static int slot_is_good(const struct slot *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->p[i * PG] != s->tag || s->p[i * PG + PG - 1] != s->tag)
            return 0;
    return 1;
}

static void fill(struct slot *s, unsigned char tag)
{
    s->tag = tag;
    for (size_t i = 0; i < s->n; i++)
        s->p[i * PG] = s->p[i * PG + PG - 1] = tag;
}

/* One random thing with one slot; 0 when something was not as it must be. */
static int act(struct slot *s, unsigned *seed)
{
    if (!s->p) {
        s->n = 1 + next(seed) % 16;
        s->p = mmap(NULL, s->n * PG, RW, ANON, -1, 0);
        if (s->p == MAP_FAILED)
            return 0;
        for (size_t i = 0; i < s->n; i++)
            if (s->p[i * PG])
                return 0; /* another thread's page */
        fill(s, (unsigned char)(1 + next(seed) % 255));
        return 1;
    }
    if (!slot_is_good(s))
        return 0;
    size_t n = 1 + next(seed) % 20;
    void *q;
    switch (next(seed) % 5) {
    case 0:
        q = mremap(s->p, s->n * PG, n * PG, MREMAP_MAYMOVE);
        if (q == MAP_FAILED)
            return 0;
        s->p = q;
        s->n = n < s->n ? n : s->n;
        if (!slot_is_good(s))
            return 0;
        s->n = n;
        fill(s, s->tag);
        return 1;
    case 1:
        return mprotect(s->p, s->n * PG, PROT_READ) == 0 && slot_is_good(s) &&
               mprotect(s->p, s->n * PG, RW) == 0;
    case 2:
        if (madvise(s->p, s->n * PG, MADV_DONTNEED) < 0 || s->p[0])
            return 0;
        fill(s, s->tag);
        return 1;
    default:
        q = s->p;
        s->p = NULL;
        return munmap(q, s->n * PG) == 0;
    }
}

static void *churn(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg * 7919 + 1;
    struct slot slots[SLOTS] = {{0}};
    while (!is_over)
        if (!act(&slots[next(&seed) % SLOTS], &seed))
            return (void *)1;
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].p && (!slot_is_good(&slots[i]) || munmap(slots[i].p, slots[i].n * PG) < 0))
            return (void *)2;
    return NULL;
}

static void sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&ts, &ts) < 0)
        ;
}

TEST(threads_churn)
{
    pthread_t th[THREADS];
    is_over = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, churn, (void *)i), 0);
    sleep_ms(RUN_MS);
    is_over = 1;
    for (int i = 0; i < THREADS; i++) {
        void *ret;
        pthread_join(th[i], &ret);
        CHECK(ret == NULL);
    }
}

/* A child of a churning process has a consistent copy: it may go on by itself. */
static int child_churn(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    struct slot slots[SLOTS] = {{0}};
    for (int i = 0; i < 60; i++)
        if (!act(&slots[next(&seed) % SLOTS], &seed))
            return 1;
    return 0;
}

TEST(forks_of_churning_threads)
{
    pthread_t th[2];
    is_over = 0;
    for (uintptr_t i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, churn, (void *)(i + 100)), 0);
    int bad = 0;
    for (uintptr_t i = 0; i < 20; i++)
        bad |= in_child(child_churn, (void *)i);
    is_over = 1;
    for (int i = 0; i < 2; i++) {
        void *ret;
        pthread_join(th[i], &ret);
        bad |= ret != NULL;
    }
    CHECK_EQ(bad, 0);
}

/* ---- random calls -----------------------------------------------------------------------------
 */

static unsigned long any_value(unsigned *seed, char *own)
{
    static const unsigned long nasty[] = {0,
                                          1,
                                          7,
                                          4095,
                                          4096,
                                          0x10000,
                                          0x5ffff000,
                                          0x60000000,
                                          0x60600000,
                                          0x7fffffff,
                                          0x80000000,
                                          0xffffffff,
                                          0x100000000,
                                          0x7ffffffff000,
                                          0x7fffffffffff,
                                          0x800000000000,
                                          0xffff800000000000,
                                          0x7fffffffffffffff,
                                          0x8000000000000000,
                                          0xfffffffffffff000,
                                          ~0UL};
    switch (next(seed) % 4) {
    case 0:
        return nasty[next(seed) % (sizeof(nasty) / sizeof(nasty[0]))];
    case 1:
        return next(seed) % 64;
    case 2:
        return (next(seed) % 32) * PG;
    default:
        return (unsigned long)own + next(seed) % 64 * PG;
    }
}

static int random_calls(void *arg)
{
    static const int calls[] = {SYS_mmap,
                                SYS_munmap,
                                SYS_mprotect,
                                SYS_mremap,
                                SYS_brk,
                                SYS_madvise,
                                SYS_msync,
                                SYS_mincore,
                                SYS_mlock,
                                SYS_munlock,
                                SYS_mlock2,
                                SYS_mbind,
                                SYS_get_mempolicy,
                                SYS_set_mempolicy,
                                SYS_move_pages,
                                SYS_process_vm_readv,
                                SYS_process_vm_writev,
                                SYS_membarrier,
                                SYS_remap_file_pages,
                                SYS_pkey_mprotect,
                                462 /* mseal */};
    unsigned seed = (unsigned)(uintptr_t)arg * 2654435761U + 1;
    char *own = mmap(NULL, 64 * PG, RW, ANON, -1, 0);
    struct rlimit as = {1UL << 32, 1UL << 32};
    setrlimit(RLIMIT_AS, &as); /* as root, natively, random sizes could take the machine */
    for (int i = 0; i < 400; i++) {
        unsigned long a[6];
        int nr = calls[next(&seed) % (sizeof(calls) / sizeof(calls[0]))];
        for (int k = 0; k < 6; k++)
            a[k] = any_value(&seed, own);
        if (nr == SYS_process_vm_readv || nr == SYS_process_vm_writev)
            a[0] = (unsigned long)getpid();
        if (nr == SYS_move_pages)
            a[0] = 0;
        if (nr == SYS_move_pages || nr == SYS_mincore)
            a[1] %= 1UL << 24;
        syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    return 0;
}

TEST(random_calls_harm_nobody_else)
{
    unsigned char *mine = (unsigned char *)map_pages(4, RW);
    memset(mine, 0x5a, 4 * PG);
    /* A child may well end by a signal: it unmaps itself. */
    for (uintptr_t i = 0; i < 60; i++)
        in_child(random_calls, (void *)i);
    for (size_t i = 0; i < 4 * PG; i++)
        CHECK_EQ(mine[i], 0x5a);
    munmap(mine, 4 * PG);
}
