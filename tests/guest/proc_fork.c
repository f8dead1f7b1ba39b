/* fork, vfork, clone and clone3: what is shared, what is copied, which flags are refused. */
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "proc_common.h"

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

static long clone3(struct clone_args *a, size_t size)
{
    return syscall(SYS_clone3, a, size);
}

TEST(exit_codes)
{
    for (int i = 0; i < 300; i += 37) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(i);
        int st = wait_status(pid);
        CHECK(WIFEXITED(st));
        CHECK_EQ(WEXITSTATUS(st), i & 0xff);
    }
}

TEST(memory_is_copied)
{
    static int data = 1;
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED && private != MAP_FAILED);
    *shared = *private = 1;
    pid_t pid = fork();
    if (pid == 0) {
        data = 2;
        *shared = 2;
        *private = 2;
        _exit(0);
    }
    CHECK_EQ(wait_status(pid), 0);
    CHECK_EQ(data, 1);
    CHECK_EQ(*private, 1);
    CHECK_EQ(*shared, 2);
    munmap(shared, 4096);
    munmap(private, 4096);
}

static void check_ids(void *arg)
{
    pid_t parent = *(pid_t *)arg;
    EXPECT(getppid() == parent);
    EXPECT(getpid() != parent);
    EXPECT(syscall(SYS_gettid) == getpid());
}

TEST(ids_of_a_child)
{
    pid_t self = getpid();
    CHECK_EQ(run_child(check_ids, &self), 0);
    CHECK_EQ(getpid(), self);
}

TEST(many_forks)
{
    for (int i = 0; i < 200; i++) {
        pid_t pid = fork();
        CHECK(pid > 0 || pid == 0);
        if (pid == 0)
            _exit(i & 7);
        CHECK_EQ(wait_status(pid), (i & 7) << 8);
    }
}

TEST(many_children_at_once)
{
    enum { N = 40 };
    pid_t pids[N];
    for (int i = 0; i < N; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            sleep_ms(20);
            _exit(i);
        }
    }
    int seen = 0;
    for (int i = 0; i < N; i++) {
        int st;
        pid_t p = wait(&st);
        CHECK(p > 0);
        for (int k = 0; k < N; k++) {
            if (pids[k] == p) {
                CHECK_EQ(WEXITSTATUS(st), k);
                seen++;
            }
        }
    }
    CHECK_EQ(seen, N);
    CHECK_ERR(wait(NULL), ECHILD);
}

TEST(vfork_waits)
{
    volatile int n = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        n = 5;
        _exit(3);
    }
    CHECK_EQ(n, 5); /* the child ran first, in our memory */
    CHECK_EQ(wait_status(pid), 3 << 8);
}

TEST(vfork_until_exec)
{
    long t0 = now_ms();
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/bin/sleep", "sleep", "0.3", (char *)NULL);
        _exit(1);
    }
    CHECK(pid > 0);
    CHECK(now_ms() - t0 < 250);
    CHECK_EQ(wait_status(pid), 0);
}

TEST(vfork_child_has_its_own_pid)
{
    pid_t self = getpid();
    volatile pid_t seen = 0, seen_parent = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        seen = getpid();
        seen_parent = getppid();
        _exit(0);
    }
    CHECK_EQ(wait_status(pid), 0);
    CHECK_EQ(seen, pid);
    CHECK_EQ(seen_parent, self);
    CHECK_EQ(getpid(), self);
}

/* ---- clone --------------------------------------------------------------------------------- */

static char child_stack[64 * 1024] __attribute__((aligned(16)));
static volatile int touched;

static int touch(void *arg)
{
    touched = 1;
    return (int)(intptr_t)arg;
}

TEST(clone_vm_shares_memory)
{
    touched = 0;
    pid_t pid = clone(touch, child_stack + sizeof(child_stack), CLONE_VM | SIGCHLD, (void *)9);
    CHECK(pid > 0);
    CHECK_EQ(wait_status(pid), 9 << 8);
    CHECK_EQ(touched, 1);
}

static int own_pid(void *arg)
{
    *(pid_t *)arg = (pid_t)syscall(SYS_getpid);
    return 0;
}

TEST(clone_vm_has_its_own_pid)
{
    pid_t seen = 0, self = getpid();
    pid_t pid = clone(own_pid, child_stack + sizeof(child_stack), CLONE_VM | SIGCHLD, &seen);
    CHECK_EQ(wait_status(pid), 0);
    CHECK_EQ(seen, pid);
    CHECK_EQ(getpid(), self);
}

static int close_fd(void *arg)
{
    return close(*(int *)arg) != 0;
}

TEST(clone_files_shares_the_table)
{
    int fd = dup(1);
    pid_t pid = clone(close_fd, child_stack + sizeof(child_stack), CLONE_FILES | SIGCHLD, &fd);
    CHECK_EQ(wait_status(pid), 0);
    CHECK_ERR(fcntl(fd, F_GETFD), EBADF);
    fd = dup(1);
    pid = clone(close_fd, child_stack + sizeof(child_stack), SIGCHLD, &fd);
    CHECK_EQ(wait_status(pid), 0);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    close(fd);
}

static int go_root(void *arg)
{
    return chdir("/") != 0;
}

TEST(clone_fs_shares_the_directory)
{
    char before[256], after[256];
    CHECK(getcwd(before, sizeof(before)) != NULL);
    pid_t pid = clone(go_root, child_stack + sizeof(child_stack), SIGCHLD, NULL);
    CHECK_EQ(wait_status(pid), 0);
    CHECK(getcwd(after, sizeof(after)) != NULL);
    CHECK_STR(before, after);
    pid = clone(go_root, child_stack + sizeof(child_stack), CLONE_FS | SIGCHLD, NULL);
    CHECK_EQ(wait_status(pid), 0);
    CHECK(getcwd(after, sizeof(after)) != NULL);
    CHECK_STR(after, "/");
    CHECK_EQ(chdir(before), 0);
}

TEST(clone_sets_tids)
{
    pid_t parent_tid = 0, child_tid = -1;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, NULL,
                               &parent_tid, &child_tid, 0);
    if (pid == 0)
        _exit(child_tid == getpid() ? 0 : 1);
    CHECK_EQ(parent_tid, pid);
    CHECK_EQ(child_tid, -1); /* that was the child's memory */
    CHECK_EQ(wait_status(pid), 0);
}

TEST(clone_with_another_signal)
{
    pid_t pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
    if (pid == 0)
        _exit(4);
    int st;
    CHECK_ERR(waitpid(pid, &st, 0), ECHILD); /* not an ordinary child */
    CHECK_EQ(waitpid(pid, &st, __WCLONE), pid);
    CHECK_EQ(st, 4 << 8);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid = (pid_t)syscall(SYS_clone, SIGUSR1, NULL, NULL, NULL, 0);
    if (pid == 0)
        _exit(5);
    CHECK_EQ(waitpid(pid, &st, __WALL), pid);
    CHECK_EQ(st, 5 << 8);
    struct timespec ts = {1, 0};
    CHECK_EQ(sigtimedwait(&set, NULL, &ts), SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static long raw_clone(unsigned long flags)
{
    long r = syscall(SYS_clone, flags, NULL, NULL, NULL, 0);
    if (r == 0)
        _exit(0);
    return r;
}

TEST(clone_refuses)
{
    CHECK_ERR(raw_clone(CLONE_THREAD), EINVAL);
    CHECK_ERR(raw_clone(CLONE_THREAD | CLONE_VM), EINVAL);
    CHECK_ERR(raw_clone(CLONE_SIGHAND | SIGCHLD), EINVAL);
    CHECK_ERR(raw_clone(CLONE_FS | CLONE_NEWNS | SIGCHLD), EINVAL);
    CHECK_ERR(raw_clone(CLONE_FS | CLONE_NEWUSER | SIGCHLD), EINVAL);
    CHECK_ERR(raw_clone(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWPID), EINVAL);
    CHECK_ERR(raw_clone(CLONE_NEWIPC | CLONE_SYSVSEM | SIGCHLD), EINVAL);
    CHECK_ERR(raw_clone(CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD), EINVAL);
    CHECK_ERR(syscall(SYS_clone, CLONE_SETTLS | SIGCHLD, 0, 0, 0, 1ULL << 63), EPERM);
}

TEST(clone3_arguments)
{
    struct clone_args a;
    memset(&a, 0, sizeof(a));
    a.exit_signal = SIGCHLD;
    CHECK_ERR(clone3(&a, 63), EINVAL);
    CHECK_ERR(clone3(&a, 8192), E2BIG);
    CHECK_ERR(clone3(NULL, sizeof(a)), EFAULT);
    a.exit_signal = 65;
    CHECK_ERR(clone3(&a, sizeof(a)), EINVAL);
    a.exit_signal = SIGCHLD;
    a.flags = SIGCHLD; /* the signal does not go there */
    CHECK_ERR(clone3(&a, sizeof(a)), EINVAL);
    a.flags = CLONE_DETACHED;
    CHECK_ERR(clone3(&a, sizeof(a)), EINVAL);
    a.flags = CLONE_PARENT;
    CHECK_ERR(clone3(&a, sizeof(a)), EINVAL);
    a.flags = CLONE_SIGHAND | CLONE_VM | CLONE_CLEAR_SIGHAND;
    CHECK_ERR(clone3(&a, sizeof(a)), EINVAL);
    a.flags = 0;
    a.stack_size = 4096;
    CHECK_ERR(clone3(&a, sizeof(a)), EINVAL);
    a.stack_size = 0;
    a.set_tid = (uintptr_t)&a;
    CHECK_ERR(clone3(&a, sizeof(a)), EINVAL);
    a.set_tid = 0;
    a.set_tid_size = 1;
    CHECK_ERR(clone3(&a, sizeof(a)), EINVAL);

    struct {
        struct clone_args a;
        uint64_t more;
    } longer = {.a = {.exit_signal = SIGCHLD}, .more = 1};
    CHECK_ERR(clone3(&longer.a, sizeof(longer)), E2BIG);
    longer.more = 0;
    long pid = clone3(&longer.a, sizeof(longer));
    if (pid == 0)
        _exit(6);
    CHECK(pid > 0);
    CHECK_EQ(wait_status((pid_t)pid), 6 << 8);
}

static void nothing(int signo)
{
}

#define NO_CGROUPS 77

static int clone_into(int fd, size_t size)
{
    struct clone_args a = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
    long pid = clone3(&a, size);
    if (pid == 0)
        _exit(5);
    return pid < 0 ? -errno : WEXITSTATUS(wait_status((pid_t)pid));
}

/* In a mount namespace of its own: the root of the control groups is a place for a child. */
static void into_cgroup(void *arg)
{
    const char *dir = arg;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", dir, "cgroup2", 0, NULL) != 0)
        _exit(NO_CGROUPS);
    int fd = open(dir, O_PATH | O_DIRECTORY), other = open("/", O_RDONLY | O_DIRECTORY);
    int file = openat(fd, "cgroup.procs", O_RDONLY);
    EXPECT(fd >= 0 && other >= 0 && file >= 0);
    EXPECT(clone_into(fd, CLONE_ARGS_SIZE_VER2) == 5);
    EXPECT(clone_into(fd, CLONE_ARGS_SIZE_VER1) == -EINVAL);
    EXPECT(clone_into(-1, CLONE_ARGS_SIZE_VER2) == -EINVAL);
    EXPECT(clone_into(1000, CLONE_ARGS_SIZE_VER2) == -EBADF);
    EXPECT(clone_into(other, CLONE_ARGS_SIZE_VER2) == -EBADF);
    EXPECT(clone_into(file, CLONE_ARGS_SIZE_VER2) == -EBADF);
    EXPECT(setgid(12345) == 0 && setuid(12345) == 0);
    EXPECT(clone_into(fd, CLONE_ARGS_SIZE_VER2) == -EACCES);
}

TEST(clone_into_a_control_group)
{
    char dir[] = "/tmp/cgroup.XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    int st = run_child(into_cgroup, dir);
    rmdir(dir);
    if (WIFEXITED(st) && WEXITSTATUS(st) == NO_CGROUPS)
        SKIP("control groups cannot be mounted here");
    CHECK_EQ(st, 0);
}

TEST(clone3_clear_sighand)
{
    signal(SIGUSR1, nothing);
    signal(SIGUSR2, SIG_IGN);
    struct clone_args a = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    long pid = clone3(&a, sizeof(a));
    if (pid == 0) {
        struct sigaction sa;
        EXPECT(sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
        EXPECT(sigaction(SIGUSR2, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
        _exit(0);
    }
    CHECK_EQ(wait_status((pid_t)pid), 0);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
}

TEST(clone_set_tid_needs_privilege_and_a_free_number)
{
    if (geteuid() != 0)
        return;
    pid_t want = getpid(); /* taken */
    struct clone_args a = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&want, .set_tid_size = 1};
    CHECK_ERR(clone3(&a, sizeof(a)), EEXIST);
    want = -1;
    CHECK_ERR(clone3(&a, sizeof(a)), EINVAL);
}

/* ---- threads ------------------------------------------------------------------------------- */

static void *thread_ids(void *arg)
{
    pid_t *ids = arg;
    ids[0] = getpid();
    ids[1] = (pid_t)syscall(SYS_gettid);
    ids[2] = getppid();
    return NULL;
}

TEST(threads_share_the_pid)
{
    pthread_t th;
    pid_t ids[3];
    CHECK_EQ(pthread_create(&th, NULL, thread_ids, ids), 0);
    pthread_join(th, NULL);
    CHECK_EQ(ids[0], getpid());
    CHECK(ids[1] != getpid());
    CHECK_EQ(ids[2], getppid());
}

static void *forker(void *arg)
{
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(i);
        int st;
        if (pid < 0 || waitpid(pid, &st, 0) != pid || WEXITSTATUS(st) != i)
            return (void *)1;
    }
    return NULL;
}

TEST(threads_fork_side_by_side)
{
    pthread_t th[4];
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, forker, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(th[i], &r);
        CHECK(r == NULL);
    }
}

static void *sleeper(void *arg)
{
    for (;;)
        pause();
    return NULL;
}

static void exit_with_threads(void *arg)
{
    pthread_t th[8];
    for (int i = 0; i < 8; i++)
        EXPECT(pthread_create(&th[i], NULL, sleeper, NULL) == 0);
    _exit(11);
}

TEST(exit_group_ends_all_threads)
{
    CHECK_EQ(run_child(exit_with_threads, NULL), 11 << 8);
}

static void *late_exit(void *arg)
{
    sleep_ms(50);
    _exit(13);
}

static void leader_leaves(void *arg)
{
    pthread_t th;
    EXPECT(pthread_create(&th, NULL, late_exit, NULL) == 0);
    syscall(SYS_exit, 1); /* the leader alone */
}

TEST(leader_exits_first)
{
    CHECK_EQ(run_child(leader_leaves, NULL), 13 << 8);
}

static void *just_end(void *arg)
{
    sleep_ms(30);
    syscall(SYS_exit, 77); /* the last to go */
    return NULL;
}

static void leader_code(void *arg)
{
    pthread_t th;
    EXPECT(pthread_create(&th, NULL, just_end, NULL) == 0);
    syscall(SYS_exit, 21);
}

TEST(status_is_the_last_threads)
{
    CHECK_EQ(run_child(leader_code, NULL), 77 << 8);
}

/* ---- orphans ------------------------------------------------------------------------------- */

static void orphan_maker(void *arg)
{
    struct gate *g = arg;
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        while (getppid() == self)
            sleep_ms(1);
        pid_t now = getppid();
        EXPECT(write(g->fd[1], &now, sizeof(now)) == sizeof(now));
        _exit(0);
    }
}

TEST(orphans_go_to_the_subreaper)
{
    struct gate g;
    gate_init(&g);
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    int is_set = 0;
    CHECK_EQ(prctl(PR_GET_CHILD_SUBREAPER, &is_set), 0);
    CHECK_EQ(is_set, 1);
    CHECK_EQ(run_child(orphan_maker, &g), 0);
    pid_t reaper = 0;
    CHECK_EQ(read(g.fd[0], &reaper, sizeof(reaper)), sizeof(reaper));
    CHECK_EQ(reaper, getpid());
    int st;
    CHECK(wait(&st) > 0); /* the orphan is ours now */
    CHECK_EQ(st, 0);
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    gate_done(&g);
}

static void pdeath_parent(void *arg)
{
    struct gate *g = arg;
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        EXPECT(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
        int signo = 0;
        EXPECT(prctl(PR_GET_PDEATHSIG, &signo) == 0 && signo == SIGUSR1);
        gate_open(g);
        siginfo_t info;
        EXPECT(sigwaitinfo(&set, &info) == SIGUSR1);
        EXPECT(write(g->fd[1], "d", 1) == 1);
        _exit(0);
    }
    EXPECT(gate_wait(g));
}

TEST(pdeathsig)
{
    struct gate g;
    char c = 0;
    gate_init(&g);
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    CHECK_EQ(run_child(pdeath_parent, &g), 0);
    CHECK_EQ(read(g.fd[0], &c, 1), 1);
    CHECK_EQ(c, 'd');
    CHECK(wait(NULL) > 0);
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    CHECK_ERR(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
    gate_done(&g);
}
