/* futex(2): plain, robust and priority-inheritance operations, by the raw call. */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static long futex(volatile uint32_t *u, int op, uint32_t val, const void *t, volatile uint32_t *u2,
                  uint32_t val3)
{
    return syscall(SYS_futex, u, op, val, t, u2, val3);
}

static pid_t gettid_raw(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static long long now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static struct timespec after_ms(clockid_t c, int ms)
{
    struct timespec ts;
    clock_gettime(c, &ts);
    ts.tv_nsec += ms * 1000000L;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return ts;
}

static void on_signal(int signo)
{
}

TEST(wait_value_and_errors)
{
    volatile uint32_t f = 1;
    CHECK_ERR(futex(&f, FUTEX_WAIT, 2, NULL, NULL, 0), EAGAIN);
    CHECK_ERR(futex(&f, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0), EAGAIN);
    CHECK_ERR(futex((uint32_t *)((char *)&f + 1), FUTEX_WAIT, 1, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex((uint32_t *)8, FUTEX_WAIT, 1, NULL, NULL, 0), EFAULT);
    CHECK_ERR(futex(&f, FUTEX_WAIT_BITSET, 1, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex(&f, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex(&f, 99, 1, NULL, NULL, 0), ENOSYS);
    CHECK_ERR(futex(&f, FUTEX_FD, 1, NULL, NULL, 0), ENOSYS);
    CHECK_ERR(futex(&f, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), ENOSYS);
    struct timespec bad = {0, 1000000000};
    CHECK_ERR(futex(&f, FUTEX_WAIT, 1, &bad, NULL, 0), EINVAL);
    CHECK_EQ(futex(&f, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

TEST(wait_timeouts)
{
    volatile uint32_t f = 1;
    struct timespec rel = {0, 20000000};
    long long a = now_ns();
    CHECK_ERR(futex(&f, FUTEX_WAIT, 1, &rel, NULL, 0), ETIMEDOUT);
    CHECK(now_ns() - a >= 20000000);
    struct timespec at = after_ms(CLOCK_MONOTONIC, 20);
    CHECK_ERR(futex(&f, FUTEX_WAIT_BITSET_PRIVATE, 1, &at, NULL, ~0U), ETIMEDOUT);
    at = after_ms(CLOCK_REALTIME, 20);
    CHECK_ERR(futex(&f, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &at, NULL, ~0U), ETIMEDOUT);
}

static volatile uint32_t word, word2;
static volatile int nwoken;

static void *waiter(void *arg)
{
    long r = futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (uint32_t)(uintptr_t)arg);
    __atomic_add_fetch(&nwoken, 1, __ATOMIC_SEQ_CST);
    return (void *)r;
}

TEST(bitsets_and_requeue)
{
    pthread_t th[4];
    word = word2 = 0;
    nwoken = 0;
    for (long i = 0; i < 4; i++)
        pthread_create(&th[i], NULL, waiter, (void *)(1L << i));
    usleep(50000);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 2), 1);
    CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 16), 0);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1L, &word2, 5), EAGAIN);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1L, &word2, 0), 2);
    usleep(20000);
    CHECK_EQ(nwoken, 2);
    CHECK_EQ(futex(&word2, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0), 1);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0), 1);
    for (int i = 0; i < 4; i++)
        pthread_join(th[i], NULL);
}

#ifndef SYS_futex_wake
#define SYS_futex_wake    454
#define SYS_futex_wait    455
#define SYS_futex_requeue 456
#endif
#define U32     2u
#define PRIVATE 0x80u

struct waitv {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};

static void *waiter2(void *arg)
{
    unsigned long mask = (unsigned long)arg;
    if (syscall(SYS_futex_wait, &word, 7L, mask, U32 | PRIVATE, NULL, 0) == 0)
        __atomic_fetch_add(&nwoken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* futex_wake, futex_wait and futex_requeue; a kernel of before 6.7 has none of them. */
TEST(calls_of_their_own)
{
    volatile uint32_t f = 1;
    if (syscall(SYS_futex_wake, &f, 0xffffffffUL, 1, U32) < 0 && errno == ENOSYS)
        return;
    CHECK_EQ(syscall(SYS_futex_wake, &f, 0xffffffffUL, 1, U32), 0);
    CHECK_ERR(syscall(SYS_futex_wake, &f, 0L, 1, U32), EINVAL);
    CHECK_ERR(syscall(SYS_futex_wake, &f, 1L << 32, 1, U32), EINVAL);
    CHECK_ERR(syscall(SYS_futex_wake, &f, 1L, 1, 0x100 | U32), EINVAL);
    CHECK_ERR(syscall(SYS_futex_wait, &f, 2L, 1L, U32, NULL, 0), EAGAIN);
    CHECK_ERR(syscall(SYS_futex_wait, &f, 1L, 0L, U32, NULL, 0), EINVAL);
    CHECK_ERR(syscall(SYS_futex_wait, &f, 1L << 32, 1L, U32, NULL, 0), EINVAL);
    CHECK_ERR(syscall(SYS_futex_wait, (char *)&f + 1, 1L, 1L, U32, NULL, 0), EINVAL);
    CHECK_ERR(syscall(SYS_futex_wait, 8L, 1L, 1L, U32, NULL, 0), EFAULT);
    struct timespec at = after_ms(CLOCK_MONOTONIC, 20), bad = {0, 1000000000};
    CHECK_ERR(syscall(SYS_futex_wait, &f, 1L, 1L, U32, &at, CLOCK_BOOTTIME), EINVAL);
    CHECK_ERR(syscall(SYS_futex_wait, &f, 1L, 1L, U32, &bad, CLOCK_MONOTONIC), EINVAL);
    CHECK_ERR(syscall(SYS_futex_wait, &f, 1L, 1L, U32, &at, CLOCK_MONOTONIC), ETIMEDOUT);
    at = after_ms(CLOCK_REALTIME, 20);
    CHECK_ERR(syscall(SYS_futex_wait, &f, 1L, 1L, U32 | PRIVATE, &at, CLOCK_REALTIME), ETIMEDOUT);

    pthread_t th[3];
    word = 7;
    word2 = 9;
    nwoken = 0;
    for (int i = 0; i < 3; i++)
        pthread_create(&th[i], NULL, waiter2, (void *)(1UL << i));
    struct waitv w[2] = {{7, (uintptr_t)&word, U32 | PRIVATE, 0}, {9, (uintptr_t)&word2, U32 | PRIVATE, 0}};
    CHECK_ERR(syscall(SYS_futex_requeue, w, 1, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_futex_requeue, NULL, 0, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_futex_requeue, 8L, 0, 0, 0), EFAULT);
    CHECK_ERR(syscall(SYS_futex_requeue, w, 0, -1, 0), EINVAL);
    w[0].val = 8;
    CHECK_ERR(syscall(SYS_futex_requeue, w, 0, 0, 1), EAGAIN);
    w[0].val = 7;
    int nmoved = 0;
    while (nmoved < 3) /* the threads come when they come */
        nmoved += (int)syscall(SYS_futex_requeue, w, 0, 0, 3);
    CHECK_EQ(nwoken, 0);
    CHECK_EQ(syscall(SYS_futex_wake, &word, 0xffffffffUL, 9, U32 | PRIVATE), 0);
    CHECK_EQ(syscall(SYS_futex_wake, &word2, 0xffffffffUL, 0, U32 | PRIVATE), 0); /* none is none */
    CHECK_EQ(syscall(SYS_futex_wake, &word2, 8L, 9, U32 | PRIVATE), 0);
    CHECK_EQ(syscall(SYS_futex_wake, &word2, 5L, 9, U32 | PRIVATE), 2);
    CHECK_EQ(futex(&word2, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0), 1); /* they meet futex(2) */
    for (int i = 0; i < 3; i++)
        pthread_join(th[i], NULL);
    CHECK_EQ(nwoken, 3);
}

TEST(wake_op)
{
    pthread_t th;
    word = 0;
    word2 = 5;
    pthread_create(&th, NULL, waiter, (void *)~0UL);
    usleep(30000);
    /* word2 += 3; its old value is not below 5, so nobody of word2 would be woken */
    CHECK_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1L, &word2,
                   FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_LT, 5)), 1);
    CHECK_EQ(word2, 8);
    pthread_join(th, NULL);
}

TEST(shared_between_processes)
{
    volatile uint32_t *f = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        while (f[0] == 0)
            futex(&f[0], FUTEX_WAIT, 0, NULL, NULL, 0);
        f[1] = 1;
        futex(&f[1], FUTEX_WAKE, 1, NULL, NULL, 0);
        _exit(0);
    }
    usleep(30000);
    f[0] = 1;
    CHECK(futex(&f[0], FUTEX_WAKE, 1, NULL, NULL, 0) >= 0);
    while (f[1] == 0)
        futex(&f[1], FUTEX_WAIT, 0, NULL, NULL, 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    munmap((void *)f, 4096);
}

static void *kicker(void *arg)
{
    usleep(50000);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    usleep(50000);
    word = 1;
    futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return NULL;
}

TEST(signals_and_waits)
{
    pthread_t self = pthread_self(), th;
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &sa, NULL);
    word = 0;
    pthread_create(&th, NULL, kicker, &self);
    CHECK_ERR(futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EINTR);
    pthread_join(th, NULL);
    sa.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &sa, NULL);
    word = 0;
    pthread_create(&th, NULL, kicker, &self);
    CHECK_EQ(futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), 0);
    pthread_join(th, NULL);
    /* with a timeout a handler always interrupts */
    word = 0;
    pthread_create(&th, NULL, kicker, &self);
    struct timespec rel = {5, 0};
    CHECK_ERR(futex(&word, FUTEX_WAIT_PRIVATE, 0, &rel, NULL, 0), EINTR);
    pthread_join(th, NULL);
}

/* ---- robust lists ---------------------------------------------------------------------------- */

struct entry {
    struct robust_list list;
    volatile uint32_t word;
};

TEST(robust_list)
{
    struct entry *e = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct robust_list_head head;
    pid_t pid = fork();
    if (pid == 0) {
        head.list.next = &e[0].list;
        e[0].list.next = &e[1].list;
        e[1].list.next = &head.list;
        head.futex_offset = (long)((char *)&e[0].word - (char *)&e[0].list);
        head.list_op_pending = &e[2].list;
        e[0].word = (uint32_t)gettid_raw() | FUTEX_WAITERS;
        e[1].word = (uint32_t)gettid_raw();
        e[2].word = (uint32_t)gettid_raw();
        e[3].word = (uint32_t)gettid_raw();
        if (syscall(SYS_set_robust_list, &head, sizeof(head)) != 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    long r = 0;
    struct timespec rel = {5, 0};
    while (!(e[0].word & FUTEX_OWNER_DIED)) {
        uint32_t seen = e[0].word;
        r = futex(&e[0].word, FUTEX_WAIT, seen, &rel, NULL, 0);
        if (r == -1 && errno == ETIMEDOUT)
            break;
    }
    CHECK_EQ(e[0].word, FUTEX_WAITERS | FUTEX_OWNER_DIED);
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(e[1].word, FUTEX_OWNER_DIED);
    CHECK_EQ(e[2].word, FUTEX_OWNER_DIED);
    CHECK_EQ(e[3].word, (uint32_t)pid);
    munmap(e, 8192);
    CHECK_ERR(syscall(SYS_set_robust_list, &head, 23), EINVAL);
    struct robust_list_head *got;
    size_t size;
    CHECK_EQ(syscall(SYS_get_robust_list, 0, &got, &size), 0);
    CHECK_EQ(size, sizeof(head));
    CHECK_ERR(syscall(SYS_get_robust_list, 1 << 30, &got, &size), ESRCH);
}

/* A list that goes in a circle and one that leaves memory end; the process does too. */
TEST(robust_list_hostile)
{
    for (int kind = 0; kind < 3; kind++) {
        pid_t pid = fork();
        if (pid == 0) {
            static struct entry a, b;
            static struct robust_list_head head;
            head.list.next = kind == 2 ? (void *)8 : &a.list;
            a.list.next = kind == 0 ? &b.list : (void *)0x123456789000UL;
            b.list.next = &a.list;
            a.word = b.word = (uint32_t)gettid_raw();
            head.futex_offset = (long)((char *)&a.word - (char *)&a.list);
            head.list_op_pending = (void *)-1L;
            syscall(SYS_set_robust_list, &head, sizeof(head));
            _exit(7);
        }
        int st;
        CHECK_EQ(waitpid(pid, &st, 0), pid);
        CHECK_EQ(WEXITSTATUS(st), 7);
    }
}

TEST(robust_mutex)
{
    pthread_mutexattr_t at;
    pthread_mutex_t *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&at);
    pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&at, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(m, &at);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(m);
        usleep(100000);
        _exit(0);
    }
    usleep(50000);
    CHECK_EQ(pthread_mutex_lock(m), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(m), 0);
    CHECK_EQ(pthread_mutex_unlock(m), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    munmap(m, 4096);
}

/* ---- priority inheritance ------------------------------------------------------------------- */

TEST(pi_uncontended)
{
    volatile uint32_t f = 0;
    CHECK_EQ(futex(&f, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    CHECK_EQ(f, (uint32_t)gettid_raw());
    CHECK_ERR(futex(&f, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), EDEADLK);
    CHECK_ERR(futex(&f, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0), EDEADLK);
    CHECK_EQ(futex(&f, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    CHECK_EQ(f, 0);
    CHECK_ERR(futex(&f, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), EPERM);
    CHECK_EQ(futex(&f, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    f = 0x3ffffff0; /* nobody */
    CHECK_ERR(futex(&f, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), ESRCH);
    CHECK_ERR(futex((uint32_t *)8, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), EFAULT);
}

static volatile int nholders, max_holders;
static volatile uint32_t pi;

static void *pi_worker(void *arg)
{
    for (int i = 0; i < 300; i++) {
        uint32_t zero = 0;
        uint32_t tid = (uint32_t)gettid_raw();
        if (!__atomic_compare_exchange_n(&pi, &zero, tid, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            if (futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0) != 0)
                return (void *)1;
        int n = __atomic_add_fetch(&nholders, 1, __ATOMIC_SEQ_CST);
        if (n > max_holders)
            max_holders = n;
        if (i % 50 == 0)
            usleep(100);
        __atomic_sub_fetch(&nholders, 1, __ATOMIC_SEQ_CST);
        uint32_t own = tid;
        if (!__atomic_compare_exchange_n(&pi, &own, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            if (futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) != 0)
                return (void *)2;
    }
    return NULL;
}

TEST(pi_excludes)
{
    pthread_t th[6];
    pi = 0;
    for (int i = 0; i < 6; i++)
        pthread_create(&th[i], NULL, pi_worker, NULL);
    for (int i = 0; i < 6; i++) {
        void *r;
        pthread_join(th[i], &r);
        CHECK(r == NULL);
    }
    CHECK_EQ(max_holders, 1);
    CHECK_EQ(pi & FUTEX_TID_MASK, 0);
}

static void *pi_timed(void *arg)
{
    struct timespec at = after_ms(CLOCK_REALTIME, 30);
    if (futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, &at, NULL, 0) != -1 || errno != ETIMEDOUT)
        return (void *)1;
    at = after_ms(CLOCK_MONOTONIC, 30);
    if (futex(&pi, 13 /* LOCK_PI2 */ | FUTEX_PRIVATE_FLAG, 0, &at, NULL, 0) != -1 || errno != ETIMEDOUT)
        return (void *)2;
    if (futex(&pi, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0) != -1 || errno != EAGAIN)
        return (void *)3;
    if (futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) != -1 || errno != EPERM)
        return (void *)4;
    return NULL;
}

TEST(pi_timeouts)
{
    pthread_t th;
    void *r;
    pi = (uint32_t)gettid_raw();
    pthread_create(&th, NULL, pi_timed, NULL);
    pthread_join(th, &r);
    CHECK_EQ((long)r, 0);
    CHECK(pi & FUTEX_WAITERS);
    CHECK_EQ(futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    CHECK_EQ(pi, 0);
}

static void *pi_dies(void *arg)
{
    futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    usleep(60000);
    return NULL; /* without unlocking */
}

TEST(pi_owner_died)
{
    pthread_t th;
    pi = 0;
    pthread_create(&th, NULL, pi_dies, NULL);
    usleep(20000);
    CHECK_EQ(futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    CHECK_EQ(pi & FUTEX_TID_MASK, (uint32_t)gettid_raw());
    CHECK(pi & FUTEX_OWNER_DIED);
    pthread_join(th, NULL);
    futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
}

static volatile uint32_t cond;

static void *requeue_waiter(void *arg)
{
    long r = futex(&cond, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, NULL, &pi, 0);
    if (r != 0)
        return (void *)(long)errno;
    if ((pi & FUTEX_TID_MASK) != (uint32_t)gettid_raw())
        return (void *)1000L;
    __atomic_add_fetch(&nwoken, 1, __ATOMIC_SEQ_CST);
    usleep(5000);
    return futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0 ? NULL : (void *)1001L;
}

TEST(requeue_pi)
{
    pthread_t th[3];
    pi = cond = 0;
    nwoken = 0;
    for (int i = 0; i < 3; i++)
        pthread_create(&th[i], NULL, requeue_waiter, NULL);
    usleep(50000);
    CHECK_ERR(futex(&cond, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)9L, &pi, 7), EAGAIN);
    CHECK_ERR(futex(&cond, FUTEX_CMP_REQUEUE_PI_PRIVATE, 2, (void *)9L, &pi, 0), EINVAL);
    CHECK_EQ(futex(&cond, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)9L, &pi, 0), 3);
    for (int i = 0; i < 3; i++) {
        void *r;
        pthread_join(th[i], &r);
        CHECK_EQ((long)r, 0);
    }
    CHECK_EQ(nwoken, 3);
    struct timespec at = after_ms(CLOCK_MONOTONIC, 20);
    CHECK_ERR(futex(&cond, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, &at, &pi, 0), ETIMEDOUT);
    CHECK_ERR(futex(&cond, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 1, &at, &pi, 0), EAGAIN);
}

TEST(pi_mutex_shared)
{
    pthread_mutexattr_t at;
    struct {
        pthread_mutex_t m;
        int count;
    } *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&at);
    pthread_mutexattr_setprotocol(&at, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_setpshared(&at, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->m, &at);
    for (int p = 0; p < 3; p++) {
        if (fork() == 0) {
            for (int i = 0; i < 300; i++) {
                pthread_mutex_lock(&s->m);
                s->count++;
                pthread_mutex_unlock(&s->m);
            }
            _exit(0);
        }
    }
    int st;
    while (wait(&st) > 0)
        CHECK_EQ(st, 0);
    CHECK_EQ(s->count, 900);
    munmap(s, 4096);
}

/* Waits until a thread of this process sleeps in futex(2). */
static void await_sleep(pid_t tid)
{
    char path[64], buf[256], state = 0;
    long nr = -1;
    while (state != 'S' || nr != SYS_futex) {
        sched_yield();
        snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
        FILE *f = fopen(path, "r");
        CHECK(f != NULL);
        if (fscanf(f, "%ld", &nr) != 1) /* "running" */
            nr = -1;
        fclose(f);
        snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
        f = fopen(path, "r");
        CHECK(f != NULL && fgets(buf, sizeof(buf), f) != NULL);
        fclose(f);
        CHECK_EQ(sscanf(strrchr(buf, ')') + 1, " %c", &state), 1);
    }
}

#define RING 4
static volatile uint32_t ring[RING];
static pthread_barrier_t ring_holds;
static int nring;

/* Holds one lock of the ring, then wants the next one. */
static void *in_ring(void *arg)
{
    long i = (long)arg, next = (i + 1) % nring, r = 0;
    if (futex(&ring[i], FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0) != 0)
        return (void *)-1L;
    pthread_barrier_wait(&ring_holds);
    if (futex(&ring[next], FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0) != 0)
        r = errno;
    else if (futex(&ring[next], FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) != 0)
        return (void *)-2L;
    return futex(&ring[i], FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0 ? (void *)r : (void *)-3L;
}

/* Whoever would close the ring is told so; the others get what they wait for. */
TEST(pi_deadlock_of_many)
{
    for (nring = 2; nring <= RING; nring++) {
        pthread_t th[RING];
        int ntold = 0;
        memset((void *)ring, 0, sizeof(ring));
        pthread_barrier_init(&ring_holds, NULL, (unsigned)nring);
        for (long i = 0; i < nring; i++)
            CHECK_EQ(pthread_create(&th[i], NULL, in_ring, (void *)i), 0);
        for (int i = 0; i < nring; i++) {
            void *r;
            pthread_join(th[i], &r);
            CHECK((long)r == 0 || (long)r == EDEADLK);
            ntold += (long)r == EDEADLK;
        }
        CHECK(ntold >= 1); /* two may find it at once */
        pthread_barrier_destroy(&ring_holds);
    }
}

struct ranked {
    pthread_t th;
    int prio, place; /* place: in the order of those who got the lock */
    _Atomic pid_t tid;
};
static int nplaced;

static void *ranked_waiter(void *arg)
{
    struct ranked *k = arg;
    struct sched_param sp = {.sched_priority = k->prio};
    if (k->prio && sched_setscheduler(0, SCHED_FIFO, &sp) != 0)
        return (void *)1;
    k->tid = gettid_raw();
    if (futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0) != 0)
        return (void *)2;
    k->place = nplaced++;
    return futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0) == 0 ? NULL : (void *)3;
}

/* A field of /proc/thread-self/stat. */
static long stat_field(int n)
{
    char buf[512] = "";
    FILE *f = fopen("/proc/thread-self/stat", "r");
    CHECK(f != NULL && fgets(buf, sizeof(buf), f) != NULL);
    fclose(f);
    char *p = strrchr(buf, ')');
    for (int i = 2; i < n && p; i++)
        p = strchr(p + 1, ' ');
    CHECK(p != NULL);
    return strtol(p, NULL, 10);
}

/* The most urgent waiter is next, the owner borrows its priority meanwhile. */
TEST(pi_order_and_lending)
{
    struct ranked k[4] = {{.prio = 0}, {.prio = 10}, {.prio = 30}, {.prio = 20}};
    struct sched_param sp = {.sched_priority = 1}, none = {0};
    if (sched_setscheduler(0, SCHED_FIFO, &sp) != 0)
        SKIP("no real-time priorities here");
    CHECK_EQ(sched_setscheduler(0, SCHED_OTHER, &none), 0);
    pi = (uint32_t)gettid_raw();
    nplaced = 0;
    CHECK_EQ(stat_field(18), 20);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_create(&k[i].th, NULL, ranked_waiter, &k[i]), 0);
        while (k[i].tid == 0)
            sched_yield();
        await_sleep(k[i].tid);
        CHECK_EQ(stat_field(18), i == 0 ? 20 : i == 1 ? -11 : -31);
    }
    sp.sched_priority = 40; /* who sleeps can be made more urgent, */
    CHECK_EQ(sched_setscheduler(k[1].tid, SCHED_FIFO, &sp), 0);
    CHECK_EQ(stat_field(18), -41);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER); /* and the owner's own policy is not touched */
    CHECK_EQ(futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    CHECK_EQ(stat_field(18), 20);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(k[i].th, &r);
        CHECK_EQ((long)r, 0);
    }
    CHECK_EQ(k[1].place, 0);
    CHECK_EQ(k[2].place, 1);
    CHECK_EQ(k[3].place, 2);
    CHECK_EQ(k[0].place, 3);
}

/* ---- futex_waitv --------------------------------------------------------------------------- */

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static long waitv(struct waitv *w, unsigned n, unsigned flags, const struct timespec *at, clockid_t c)
{
    return syscall(SYS_futex_waitv, w, n, flags, at, c);
}

static volatile uint32_t many[128];

static void fill_waitv(struct waitv *w, int n, uint32_t flags)
{
    for (int i = 0; i < n; i++)
        w[i] = (struct waitv){.val = 0, .uaddr = (uintptr_t)&many[i], .flags = U32 | flags};
}

TEST(waitv_errors)
{
    struct waitv w[129];
    fill_waitv(w, 128, PRIVATE);
    CHECK_ERR(waitv(w, 0, 0, NULL, 0), EINVAL);
    CHECK_ERR(waitv(w, 129, 0, NULL, 0), EINVAL);
    CHECK_ERR(waitv(NULL, 1, 0, NULL, 0), EINVAL);
    CHECK_ERR(waitv(w, 1, 1, NULL, 0), EINVAL);
    CHECK_ERR(waitv((struct waitv *)8, 1, 0, NULL, 0), EFAULT);
    struct timespec at = after_ms(CLOCK_MONOTONIC, 10), bad = {0, 1000000000};
    CHECK_ERR(waitv(w, 1, 0, &at, CLOCK_BOOTTIME), EINVAL);
    CHECK_ERR(waitv(w, 1, 0, &bad, CLOCK_MONOTONIC), EINVAL);
    w[127].flags = PRIVATE;
    CHECK_ERR(waitv(w, 128, 0, NULL, 0), EINVAL);
    fill_waitv(w, 128, PRIVATE);
    w[3].reserved = 1;
    CHECK_ERR(waitv(w, 128, 0, NULL, 0), EINVAL);
    fill_waitv(w, 128, PRIVATE);
    w[5].uaddr = 0x10002;
    CHECK_ERR(waitv(w, 128, 0, NULL, 0), EINVAL);
    fill_waitv(w, 128, PRIVATE);
    w[100].val = 1;
    CHECK_ERR(waitv(w, 128, 0, NULL, 0), EAGAIN);
}

TEST(waitv_timeouts)
{
    struct waitv w[3];
    fill_waitv(w, 3, PRIVATE);
    struct timespec at = after_ms(CLOCK_MONOTONIC, 20);
    long long a = now_ns();
    CHECK_ERR(waitv(w, 3, 0, &at, CLOCK_MONOTONIC), ETIMEDOUT);
    CHECK(now_ns() - a >= 19000000);
    at = after_ms(CLOCK_REALTIME, 20);
    CHECK_ERR(waitv(w, 3, 0, &at, CLOCK_REALTIME), ETIMEDOUT);
}

static void *waitv_thread(void *arg)
{
    struct waitv w[128];
    fill_waitv(w, 128, PRIVATE);
    return (void *)waitv(w, 128, 0, NULL, 0);
}

TEST(waitv_tells_which)
{
    for (int i = 0; i < 128; i += 42) {
        pthread_t th;
        void *r;
        CHECK_EQ(pthread_create(&th, NULL, waitv_thread, NULL), 0);
        while (futex(&many[i], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0)
            sched_yield();
        CHECK_EQ(pthread_join(th, &r), 0);
        CHECK_EQ((long)r, i);
    }
}

TEST(waitv_between_processes)
{
    volatile uint32_t *f =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct waitv w[2] = {{0, (uintptr_t)&f[0], U32, 0}, {0, (uintptr_t)&f[1], U32, 0}};
        _exit((int)waitv(w, 2, 0, NULL, 0) + 10);
    }
    while (futex(&f[1], FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
        sched_yield();
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 11);
}

TEST(waitv_signals)
{
    struct waitv w[2];
    fill_waitv(w, 2, PRIVATE);
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGALRM, &sa, NULL);
    ualarm(20000, 0);
    CHECK_ERR(waitv(w, 2, 0, NULL, 0), EINTR);
    sa.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &sa, NULL);
    ualarm(20000, 0);
    struct timespec at = after_ms(CLOCK_MONOTONIC, 60);
    CHECK_ERR(waitv(w, 2, 0, &at, CLOCK_MONOTONIC), ETIMEDOUT);
}

