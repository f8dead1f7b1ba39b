/* execve and execveat: what a new program inherits, what it loses, and when exec fails. */
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "proc_common.h"

#define SH "/bin/sh"

static char *no_env[] = {NULL};

/* Runs `sh -c script` in a child after fn; its status. */
static int sh_after(child_fn fn, void *arg, const char *script)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (fn)
            fn(arg);
        execl(SH, "sh", "-c", script, (char *)NULL);
        _exit(98);
    }
    return wait_status(pid);
}

static void make_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, mode) < 0)
        abort();
    close(fd);
}

TEST(failures)
{
    char *argv[] = {"x", NULL};
    char longname[PATH_MAX + 10];
    CHECK_ERR(execve("/no/such/file", argv, no_env), ENOENT);
    CHECK_ERR(execve("", argv, no_env), ENOENT);
    CHECK_ERR(execve("/etc/passwd/x", argv, no_env), ENOTDIR);
    CHECK_ERR(execve("/", argv, no_env), EACCES);
    CHECK_ERR(execve("/etc/passwd", argv, no_env), EACCES);
    CHECK_ERR(execve((char *)8, argv, no_env), EFAULT);
    CHECK_ERR(execve(SH, (char **)8, no_env), EFAULT);
    memset(longname, 'a', sizeof(longname) - 1);
    longname[sizeof(longname) - 1] = 0;
    CHECK_ERR(execve(longname, argv, no_env), ENAMETOOLONG);
    make_file("exec.tmp", "this is no program\n", 0700);
    CHECK_ERR(execve("exec.tmp", argv, no_env), ENOEXEC);
    make_file("exec.tmp", "#!/no/such/interpreter\n", 0700);
    CHECK_ERR(execve("exec.tmp", argv, no_env), ENOENT);
    make_file("exec.tmp", "", 0700);
    CHECK_ERR(execve("exec.tmp", argv, no_env), ENOEXEC);
    unlink("exec.tmp");
}

TEST(a_file_open_for_writing_is_busy)
{
    char *argv[] = {"x", NULL};
    make_file("busy.tmp", "#!/bin/sh\nexit 3\n", 0700);
    int fd = open("busy.tmp", O_WRONLY);
    CHECK(fd >= 0);
    CHECK_ERR(execve("./busy.tmp", argv, no_env), ETXTBSY);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        execve("./busy.tmp", argv, no_env);
        _exit(99);
    }
    CHECK_EQ(wait_status(pid), 3 << 8);
    unlink("busy.tmp");
}

TEST(too_many_arguments)
{
    size_t n = 200000;
    char **argv = malloc(n * sizeof(char *));
    for (size_t i = 0; i < n - 1; i++)
        argv[i] = "an argument that takes some room, and not a little of it at that";
    argv[n - 1] = NULL;
    CHECK_ERR(execve(SH, argv, no_env), E2BIG);
    char *big = malloc(200 * 1024);
    memset(big, 'x', 200 * 1024 - 1);
    big[200 * 1024 - 1] = 0;
    char *argv2[] = {"sh", big, NULL};
    CHECK_ERR(execve(SH, argv2, no_env), E2BIG); /* one string has a limit of its own */
    free(big);
    free(argv);
}

TEST(arguments_and_environment)
{
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"sh", "-c", "[ \"$1\" = 'a b' ] && [ -z \"$2\" ] && [ $# = 3 ] && [ $V = 7 ]",
                        "sh", "a b", "", "z", NULL};
        char *envp[] = {"V=7", NULL};
        execve(SH, argv, envp);
        _exit(99);
    }
    CHECK_EQ(wait_status(pid), 0);
}

TEST(scripts)
{
    make_file("script.tmp", "#!/bin/sh -e\n[ \"$0\" = ./script.tmp ] && [ \"$1\" = q ]\n", 0700);
    pid_t pid = fork();
    if (pid == 0) {
        execl("./script.tmp", "ignored", "q", (char *)NULL);
        _exit(99);
    }
    CHECK_EQ(wait_status(pid), 0);
    unlink("script.tmp");
}

static void fds(void *arg)
{
    EXPECT(dup2(1, 7) == 7);
    EXPECT(dup2(1, 8) == 8);
    EXPECT(fcntl(8, F_SETFD, FD_CLOEXEC) == 0);
}

TEST(close_on_exec)
{
    CHECK_EQ(sh_after(fds, NULL, "(: >&7) 2>/dev/null && ! (: >&8) 2>/dev/null"), 0);
}

static void handler(int signo)
{
}

static void signals(void *arg)
{
    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGHUP);
    sigprocmask(SIG_BLOCK, &s, NULL);
    raise(SIGHUP); /* stays pending */
}

TEST(ignored_signals_stay_handlers_go)
{
    CHECK_EQ(sh_after(signals, NULL, "kill -USR2 $$; exit 5"), 5 << 8);
    CHECK_EQ(sh_after(signals, NULL, "kill -USR1 $$; exit 5"), SIGUSR1);
}

/* This program again, as another. */
static char self[PATH_MAX];

static void exec_self(const char *test)
{
    execl(self, "self", test, (char *)NULL);
    _exit(97);
}

TEST(find_self)
{
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    CHECK(n > 0);
    self[n] = 0;
}

/* Helpers run by exec_self: as tests of their own they do nothing. */
TEST(helper_pending)
{
    if (!getenv("HELPER"))
        return;
    sigset_t p, m;
    sigpending(&p);
    sigprocmask(SIG_SETMASK, NULL, &m);
    stack_t ss;
    sigaltstack(NULL, &ss);
    _exit(sigismember(&p, SIGHUP) && sigismember(&m, SIGHUP) && ss.ss_flags == SS_DISABLE ? 0 : 1);
}

TEST(pending_and_mask_stay_altstack_goes)
{
    pid_t pid = fork();
    if (pid == 0) {
        static char alt[32768];
        stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)};
        sigaltstack(&ss, NULL);
        signals(NULL);
        setenv("HELPER", "1", 1);
        exec_self("helper_pending");
    }
    CHECK_EQ(wait_status(pid), 0);
}

TEST(helper_pid)
{
    if (!getenv("HELPER"))
        return;
    _exit(getpid() == atoi(getenv("HELPER")) && syscall(SYS_gettid) == getpid() ? 0 : 1);
}

static void *idle(void *arg)
{
    for (;;)
        sleep_ms(10);
    return NULL;
}

static void *exec_from_thread(void *arg)
{
    char buf[32];
    snprintf(buf, sizeof(buf), "%d", getpid());
    setenv("HELPER", buf, 1);
    exec_self("helper_pid");
    return NULL;
}

static void thread_exec(void *arg)
{
    pthread_t th;
    for (int i = 0; i < 5; i++)
        EXPECT(pthread_create(&th, NULL, idle, NULL) == 0);
    EXPECT(pthread_create(&th, NULL, exec_from_thread, NULL) == 0);
    idle(NULL);
}

TEST(a_thread_that_execs_becomes_the_leader)
{
    for (int i = 0; i < 10; i++) {
        pid_t pid = spawn(thread_exec, NULL);
        CHECK_EQ(wait_status(pid), 0);
    }
}

static void leader_exec(void *arg)
{
    pthread_t th;
    for (int i = 0; i < 5; i++)
        EXPECT(pthread_create(&th, NULL, idle, NULL) == 0);
    exec_from_thread(NULL);
}

TEST(the_leader_execs_with_threads)
{
    CHECK_EQ(run_child(leader_exec, NULL), 0);
}

static void *exit_soon(void *arg)
{
    sleep_ms(20);
    return exec_from_thread(arg);
}

static void dead_leader_exec(void *arg)
{
    pthread_t th;
    EXPECT(pthread_create(&th, NULL, exit_soon, NULL) == 0);
    syscall(SYS_exit, 0);
}

TEST(exec_after_the_leader_has_ended)
{
    CHECK_EQ(run_child(dead_leader_exec, NULL), 0);
}

static void *racing_exec(void *arg)
{
    pthread_barrier_wait(arg);
    execl("/bin/true", "true", (char *)NULL);
    return NULL;
}

/* All start together: clone() with CLONE_FS fails with EAGAIN while a thread of the group is in an exec. */
static void race(void *arg)
{
    pthread_t th;
    pthread_barrier_t all;
    EXPECT(pthread_barrier_init(&all, NULL, 5) == 0);
    for (int i = 0; i < 4; i++)
        EXPECT(pthread_create(&th, NULL, racing_exec, &all) == 0);
    pthread_barrier_wait(&all);
    idle(NULL);
}

TEST(threads_exec_at_once)
{
    for (int i = 0; i < 10; i++)
        CHECK_EQ(run_child(race, NULL), 0);
}

TEST(comm_is_the_files_name)
{
    CHECK_EQ(sh_after(NULL, NULL, "[ \"$(cat /proc/$$/comm)\" = sh ]"), 0);
}

static void many_attributes(void *arg)
{
    struct rlimit rl = {123, 456};
    EXPECT(setrlimit(RLIMIT_NOFILE, &rl) == 0);
    umask(027);
    EXPECT(chdir("/") == 0);
}

TEST(limits_umask_and_directory_stay)
{
    CHECK_EQ(sh_after(many_attributes, NULL, "[ $(ulimit -n) = 123 ] && [ $(umask) = 0027 ] && [ $(pwd) = / ]"),
             0);
}

TEST(execveat)
{
    int dir = open("/bin", O_PATH | O_DIRECTORY), fd = open("/bin/true", O_PATH);
    char *argv[] = {"true", NULL};
    CHECK(dir >= 0 && fd >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        syscall(SYS_execveat, dir, "true", argv, no_env, 0);
        _exit(99);
    }
    CHECK_EQ(wait_status(pid), 0);
    pid = fork();
    if (pid == 0) {
        syscall(SYS_execveat, fd, "", argv, no_env, AT_EMPTY_PATH);
        _exit(99);
    }
    CHECK_EQ(wait_status(pid), 0);
    CHECK_ERR(syscall(SYS_execveat, fd, "", argv, no_env, 0), ENOENT);
    CHECK_ERR(syscall(SYS_execveat, fd, "", argv, no_env, 1), ENOENT);
    CHECK_ERR(syscall(SYS_execveat, dir, "true", argv, no_env, 1), EINVAL);
    CHECK_ERR(syscall(SYS_execveat, 999, "true", argv, no_env, 0), EBADF);
    CHECK_ERR(syscall(SYS_execveat, fd, "true", argv, no_env, 0), ENOTDIR);
    make_file("link.target", "#!/bin/sh\n", 0700);
    symlink("link.target", "link.tmp");
    CHECK_ERR(syscall(SYS_execveat, AT_FDCWD, "link.tmp", argv, no_env, AT_SYMLINK_NOFOLLOW),
              ELOOP);
    unlink("link.tmp");
    unlink("link.target");
    close(dir);
    close(fd);
}

TEST(exec_of_a_memfd)
{
    char buf[65536];
    int in = open("/bin/true", O_RDONLY), fd = memfd_create("prog", MFD_CLOEXEC);
    CHECK(in >= 0 && fd >= 0);
    ssize_t n;
    while ((n = read(in, buf, sizeof(buf))) > 0)
        CHECK_EQ(write(fd, buf, (size_t)n), n);
    close(in);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"true", NULL};
        fexecve(fd, argv, no_env);
        _exit(99);
    }
    CHECK_EQ(wait_status(pid), 0);
    close(fd);
}

static void set_child(void *arg)
{
    struct gate *g = arg;
    gate_wait(g);
    execl("/bin/sleep", "sleep", "5", (char *)NULL);
}

TEST(setpgid_after_exec_is_refused)
{
    struct gate g;
    gate_init(&g);
    pid_t pid = spawn(set_child, &g);
    CHECK_EQ(setpgid(pid, pid), 0);
    CHECK_EQ(setpgid(pid, getpgrp()), 0);
    gate_open(&g);
    int r = 0;
    for (int i = 0; i < 500 && r == 0; i++) {
        r = setpgid(pid, pid);
        sleep_ms(2);
    }
    CHECK_EQ(r, -1);
    CHECK_EQ(errno, EACCES);
    kill(pid, SIGKILL);
    wait_status(pid);
    gate_done(&g);
}

static void no_privs(void *arg)
{
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(setuid(65534) == 0);
}

static void plain_user(void *arg)
{
    EXPECT(setgid(65534) == 0);
    EXPECT(setuid(65534) == 0);
}

TEST(set_user_id)
{
    if (getuid() != 0)
        return;
    char buf[65536];
    int in = open("/usr/bin/id", O_RDONLY), out = open("suid.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0700);
    CHECK(in >= 0 && out >= 0);
    ssize_t n;
    while ((n = read(in, buf, sizeof(buf))) > 0)
        CHECK_EQ(write(out, buf, (size_t)n), n);
    CHECK_EQ(fchmod(out, 04755), 0);
    close(in);
    close(out);
    CHECK_EQ(sh_after(plain_user, NULL, "[ $(./suid.tmp -u) = 0 ] && [ $(./suid.tmp -ru) = 65534 ]"), 0);
    CHECK_EQ(sh_after(no_privs, NULL, "[ $(./suid.tmp -u) = 65534 ]"), 0);
    unlink("suid.tmp");
}

/* As the program of mode 0111: it runs, and its memory and file are nobody's to look at. */
TEST(helper_unreadable)
{
    if (!getenv("HELPER"))
        return;
    char c = 0;
    int fd = open("/proc/sys/fs/suid_dumpable", O_RDONLY);
    EXPECT(fd >= 0 && read(fd, &c, 1) == 1);
    EXPECT(prctl(PR_GET_DUMPABLE) == c - '0');
    EXPECT(open("/proc/self/exe", O_RDONLY) == -1 && errno == EACCES);
    EXPECT(open("/proc/self/mem", O_RDONLY) == -1 && errno == EACCES);
    _exit(0);
}

static void unreadable(void *arg)
{
    EXPECT(setgid(12345) == 0 && setuid(12345) == 0);
    EXPECT(open("unreadable.tmp", O_RDONLY) == -1 && errno == EACCES);
    setenv("HELPER", "1", 1);
    execl("./unreadable.tmp", "x", "helper_unreadable", NULL);
    EXPECT(!"execl");
}

TEST(a_program_that_cannot_be_read)
{
    if (getuid() != 0)
        return;
    char buf[65536];
    int in = open("/proc/self/exe", O_RDONLY), out = open("unreadable.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0700);
    CHECK(in >= 0 && out >= 0);
    ssize_t n;
    while ((n = read(in, buf, sizeof(buf))) > 0)
        CHECK_EQ(write(out, buf, (size_t)n), n);
    CHECK_EQ(fchmod(out, 0111), 0);
    close(in);
    close(out);
    CHECK_EQ(run_child(unreadable, NULL), 0);
    unlink("unreadable.tmp");
}
