/* Many processes and threads at once, killed, signalled, forking and exec'ing: nothing may get lost. */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "proc_common.h"

static void on_signal(int signo)
{
}

/* Forks until it cannot, as a user with a limit. */
static void bomb(void *arg)
{
    struct rlimit rl = {60, 60};
    EXPECT(setrlimit(RLIMIT_NPROC, &rl) == 0);
    EXPECT(setuid(31337) == 0 || errno == EPERM);
    for (int i = 0; i < 8; i++)
        if (fork() < 0 && errno != EAGAIN)
            _exit(1);
    while (wait(NULL) > 0)
        ;
    _exit(0);
}

TEST(fork_bomb_under_a_limit)
{
    if (getuid() != 0)
        return;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(run_child(bomb, NULL), 0);
}

static void *short_thread(void *arg)
{
    return arg;
}

TEST(thousands_of_threads_one_after_another)
{
    for (int i = 0; i < 2000; i++) {
        pthread_t th;
        void *r;
        CHECK_EQ(pthread_create(&th, NULL, short_thread, (void *)(intptr_t)i), 0);
        CHECK_EQ(pthread_join(th, &r), 0);
        CHECK_EQ((intptr_t)r, i);
    }
}

static void *blocked_thread(void *arg)
{
    for (;;)
        pause();
    return NULL;
}

static void *spinning_thread(void *arg)
{
    for (;;)
        sched_yield();
    return NULL;
}

static void crowd(void *arg)
{
    pthread_attr_t a;
    pthread_t th;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 65536);
    for (int i = 0; i < 150; i++)
        EXPECT(pthread_create(&th, &a, i % 25 ? blocked_thread : spinning_thread, NULL) == 0);
    gate_open(arg);
    blocked_thread(NULL);
}

TEST(crowds_of_threads_are_killed)
{
    for (int i = 0; i < 5; i++) {
        struct gate g;
        gate_init(&g);
        pid_t pid = spawn(crowd, &g);
        CHECK(gate_wait(&g));
        kill(pid, SIGKILL);
        CHECK_EQ(wait_status(pid), SIGKILL);
        gate_done(&g);
    }
}

static volatile int nsignals, is_over;

static void count(int signo)
{
    __atomic_add_fetch(&nsignals, 1, __ATOMIC_SEQ_CST);
}

static void *bombard(void *arg)
{
    pthread_t target = *(pthread_t *)arg;
    while (!is_over)
        pthread_kill(target, SIGUSR1);
    return NULL;
}

TEST(signals_hit_a_working_thread)
{
    pthread_t self = pthread_self(), th[2];
    signal(SIGUSR1, count);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, bombard, &self), 0);
    unsigned long n = 0;
    pid_t parent = getppid();
    char buf[64];
    int fd = open("/dev/zero", O_RDONLY);
    while (nsignals < 200 || n < 20000) { /* calls and computing, disturbed at every place */
        ssize_t r = read(fd, buf, sizeof(buf));
        if (r == sizeof(buf))
            n++;
        else
            CHECK(r < 0 && errno == EINTR);
        CHECK_EQ(getppid(), parent);
    }
    is_over = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(th[i], NULL);
    close(fd);
    signal(SIGUSR1, SIG_DFL);
}

static void *exec_storm(void *arg)
{
    for (int i = 0; i < 40; i++) {
        pid_t pid = i & 1 ? fork() : vfork();
        if (pid == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        if (pid < 0 || wait_status(pid) != 0)
            return (void *)1;
    }
    return NULL;
}

TEST(threads_spawn_programs)
{
    pthread_t th[6];
    for (int i = 0; i < 6; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, exec_storm, NULL), 0);
    for (int i = 0; i < 6; i++) {
        void *r;
        pthread_join(th[i], &r);
        CHECK(r == NULL);
    }
}

static void tree(int depth)
{
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (depth > 0)
                tree(depth - 1);
            _exit(depth);
        }
        if (pid < 0 || wait_status(pid) != depth << 8)
            _exit(99);
    }
}

static void grow(void *arg)
{
    tree(4);
}

TEST(a_tree_of_processes)
{
    CHECK_EQ(run_child(grow, NULL), 0);
}

/* Children that stop, continue and die at random. */
TEST(stops_and_kills_at_random)
{
    enum { N = 8 };
    pid_t pid[N];
    static const int signals[] = {SIGSTOP, SIGCONT, SIGTSTP, SIGCONT, SIGUSR1};
    unsigned seed = 12345;
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < N; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            for (;;)
                getppid();
    }
    for (int i = 0; i < 2000; i++) {
        seed = seed * 1103515245 + 12345;
        CHECK_EQ(kill(pid[(seed >> 16) % N], signals[(seed >> 20) % 5]), 0);
        int st;
        CHECK(waitpid(-1, &st, WNOHANG | WUNTRACED | WCONTINUED) >= 0);
    }
    for (int i = 0; i < N; i++)
        CHECK_EQ(kill(pid[i], SIGKILL), 0);
    for (int i = 0; i < N; i++) {
        int st;
        do
            CHECK_EQ(waitpid(pid[i], &st, 0), pid[i]);
        while (!WIFSIGNALED(st));
        CHECK_EQ(WTERMSIG(st), SIGKILL);
    }
    signal(SIGUSR1, SIG_DFL);
}

/* fork in one thread while others fault, map and die: the copies must be sound. */
static void *churn(void *arg)
{
    volatile int *stop = arg;
    while (!*stop) {
        char *p = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return (void *)1;
        memset(p, 1, 1 << 16);
        munmap(p, 1 << 16);
    }
    return NULL;
}

TEST(fork_among_busy_threads)
{
    pthread_t th[3];
    volatile int stop = 0;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, churn, (void *)&stop), 0);
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            char *p = malloc(100000);
            memset(p, 7, 100000);
            _exit(p[99999]);
        }
        CHECK_EQ(wait_status(pid), 7 << 8);
    }
    stop = 1;
    for (int i = 0; i < 3; i++) {
        void *r;
        pthread_join(th[i], &r);
        CHECK(r == NULL);
    }
}
