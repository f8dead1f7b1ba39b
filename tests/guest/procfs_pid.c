/* /proc/PID. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procfs_common.h"
#include "test.h"

/* The number behind "Label:" of the text. */
static long field(const char *label)
{
    char want[64];
    snprintf(want, sizeof(want), "\n%s:", label);
    const char *p = strstr(text, want);
    return p ? strtol(p + strlen(want), NULL, 0) : -1;
}

static int has_entry(const char *dir, const char *name)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int found = 0;
    while (d && (e = readdir(d)))
        found |= !strcmp(e->d_name, name);
    if (d)
        closedir(d);
    return found;
}

TEST(self_links)
{
    char buf[256], want[64];
    ssize_t n = readlink("/proc/self", buf, sizeof(buf));
    CHECK(n > 0);
    buf[n] = 0;
    snprintf(want, sizeof(want), "%d", getpid());
    CHECK_STR(buf, want);
    n = readlink("/proc/thread-self", buf, sizeof(buf));
    buf[n] = 0;
    snprintf(want, sizeof(want), "%d/task/%ld", getpid(), syscall(SYS_gettid));
    CHECK_STR(buf, want);
    struct stat st;
    CHECK_EQ(lstat("/proc/self", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_EQ(stat("/proc", &st), 0);
    CHECK_EQ(st.st_ino, 1);
    CHECK_EQ(st.st_mode, S_IFDIR | 0555);
}

TEST(status)
{
    CHECK(slurp("/proc/self/status") > 500);
    CHECK(!strncmp(text, "Name:\t", 6));
    CHECK_EQ(field("Pid"), getpid());
    CHECK_EQ(field("Tgid"), getpid());
    CHECK_EQ(field("PPid"), getppid());
    CHECK_EQ(field("Uid"), getuid());
    CHECK_EQ(field("Threads"), 1);
    CHECK(field("VmRSS") > 100);
    CHECK(field("VmSize") >= field("VmRSS"));
    CHECK(strstr(text, "\nState:\tR (running)\n") != NULL);
    CHECK(strstr(text, "\nCpus_allowed_list:\t") != NULL);
    CHECK_EQ(field("NoNewPrivs"), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static void on_signal(int signo)
{
}

TEST(status_signals)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGUSR1, on_signal);
    signal(SIGHUP, SIG_IGN);
    raise(SIGUSR2);
    CHECK(slurp("/proc/self/status") > 0);
    CHECK(strstr(text, "SigBlk:\t0000000000000800") != NULL);
    const char *p = strstr(text, "SigCgt:\t");
    CHECK(strtoull(p + 8, NULL, 16) & (1ULL << (SIGUSR1 - 1)));
    p = strstr(text, "SigIgn:\t");
    CHECK(strtoull(p + 8, NULL, 16) & (1ULL << (SIGHUP - 1)));
    p = strstr(text, "SigPnd:\t");
    unsigned long long own = strtoull(p + 8, NULL, 16);
    p = strstr(text, "ShdPnd:\t");
    CHECK((own | strtoull(p + 8, NULL, 16)) & (1ULL << (SIGUSR2 - 1)));
    signal(SIGUSR2, SIG_IGN);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

TEST(stat_fields)
{
    CHECK(slurp("/proc/self/stat") > 0);
    int pid, ppid, pgrp, session;
    char comm[64], state;
    CHECK_EQ(sscanf(text, "%d (%63[^)]) %c %d %d %d", &pid, comm, &state, &ppid, &pgrp, &session), 6);
    CHECK_EQ(pid, getpid());
    CHECK_EQ(ppid, getppid());
    CHECK_EQ(pgrp, getpgrp());
    CHECK_EQ(session, getsid(0));
    CHECK_EQ(state, 'R');
    int nfields = 1;
    for (char *p = strchr(text, ')'); *p; p++)
        nfields += *p == ' ';
    CHECK_EQ(nfields, 51); /* 52 with the pid */
    long start = 0;
    char *p = strchr(text, ')') + 2;
    for (int i = 3; i < 22; i++)
        p = strchr(p, ' ') + 1;
    start = strtol(p, NULL, 10);
    CHECK(start > 0);
    CHECK(slurp("/proc/uptime") > 0);
    CHECK(start <= strtod(text, NULL) * 100 + 1);
}

TEST(cmdline_environ_comm)
{
    CHECK(slurp("/proc/self/cmdline") > 0);
    CHECK(strstr(text, "procfs_pid") != NULL);
    char key[] = "/proc/self/environ";
    CHECK(slurp(key) >= 0);
    CHECK_EQ(prctl(PR_SET_NAME, "my name)", 0, 0, 0), 0);
    CHECK(slurp("/proc/self/comm") > 0);
    CHECK_STR(text, "my name)\n");
    int fd = open("/proc/self/comm", O_WRONLY | O_TRUNC);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "a-name-that-is-too-long", 23), 23);
    close(fd);
    char got[16];
    prctl(PR_GET_NAME, got, 0, 0, 0);
    CHECK_STR(got, "a-name-that-is-");
}

TEST(cmdline_of_new_program)
{
    int p[2];
    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(p[0], 0);
        execlp("cat", "cat", "-", "--", "-", NULL);
        _exit(1);
    }
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    for (int i = 0; i < 2000; i++) {
        slurp(path);
        if (!strcmp(text, "cat"))
            break;
        usleep(1000);
    }
    CHECK(!memcmp(text, "cat\0-\0--\0-\0", 11));
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    char buf[256];
    ssize_t n = readlink(path, buf, sizeof(buf) - 1);
    CHECK(n > 4);
    buf[n] = 0;
    CHECK(strstr(buf, "/") == buf);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_ERR(open(path, O_RDONLY), ENOENT);
}

TEST(maps)
{
    char *m = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char want[64];
    mprotect(m + 4096, 4096, PROT_READ);
    CHECK(slurp("/proc/self/maps") > 500);
    snprintf(want, sizeof(want), "%lx-%lx r--p 00000000 00:00 0 ", (long)(m + 4096), (long)(m + 8192));
    CHECK(strstr(text, want) != NULL);
    CHECK(strstr(text, "[stack]\n") != NULL);
    CHECK(strstr(text, "[vdso]\n") != NULL);
    unsigned long last = 0, start, end;
    for (char *p = text; *p; p = strchr(p, '\n') + 1) {
        CHECK_EQ(sscanf(p, "%lx-%lx", &start, &end), 2);
        CHECK(start >= last && end > start);
        last = end;
    }
    CHECK(slurp("/proc/self/smaps") > 1000);
    m[0] = 1;
    snprintf(want, sizeof(want), "%lx-%lx", (long)m, (long)(m + 4096));
    CHECK(slurp("/proc/self/smaps") > 1000);
    char *p = strstr(text, want);
    CHECK(p != NULL);
    p = strstr(p, "\nRss:");
    CHECK_EQ(strtol(p + 5, NULL, 10), 4);
    CHECK(slurp("/proc/self/smaps_rollup") > 300);
    CHECK(strstr(text, "[rollup]") != NULL);
    CHECK(slurp("/proc/self/statm") > 0);
    long size, rss;
    CHECK_EQ(sscanf(text, "%ld %ld", &size, &rss), 2);
    CHECK(size > 0 && rss > 0 && rss <= size);
    munmap(m, 3 * 4096);
}

TEST(many_maps)
{
    enum { N = 6000 };
    char *m = mmap(NULL, N * 2 * 4096UL, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < N; i++)
        mprotect(m + i * 2 * 4096UL, 4096, PROT_READ | PROT_WRITE);
    int fd = open("/proc/self/maps", O_RDONLY), nlines = 0;
    char buf[1000];
    ssize_t n;
    unsigned long last = 0;
    size_t have = 0;
    static char line[4096];
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (have < sizeof(line) - 1)
                line[have++] = buf[i];
            if (buf[i] != '\n')
                continue;
            unsigned long start = strtoul(line, NULL, 16);
            CHECK(start >= last);
            last = start;
            have = 0;
            nlines++;
        }
    }
    close(fd);
    CHECK(nlines >= 2 * N);
    munmap(m, N * 2 * 4096UL);
}

TEST(mem)
{
    static char page[4096] __attribute__((aligned(4096)));
    char buf[16] = {0};
    strcpy(page, "before");
    int fd = open("/proc/self/mem", O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, buf, 7, (off_t)page), 7);
    CHECK_STR(buf, "before");
    CHECK_EQ(pwrite(fd, "after!", 7, (off_t)page), 7);
    CHECK_STR(page, "after!");
    /* past page protections */
    char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(pwrite(fd, "forced", 7, (off_t)ro), 7);
    CHECK_STR(ro, "forced");
    CHECK_ERR(pread(fd, buf, 1, 0x1000), EIO);
    CHECK_EQ(lseek(fd, (off_t)page, SEEK_SET), (off_t)page);
    CHECK_EQ(read(fd, buf, 6), 6);
    close(fd);
    munmap(ro, 4096);
}

TEST(mem_of_child)
{
    static volatile int value = 1;
    value = 1;
    pid_t pid = fork();
    if (pid == 0) {
        while (value == 1)
            usleep(1000);
        _exit(value);
    }
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    int fd = open(path, O_RDWR), v = 42, got = 0, st;
    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, &got, sizeof(got), (off_t)&value), sizeof(got));
    CHECK_EQ(got, 1);
    CHECK_EQ(pwrite(fd, &v, sizeof(v), (off_t)&value), sizeof(v));
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(WEXITSTATUS(st), 42);
    CHECK_EQ(value, 1);
    close(fd);
}

TEST(fd_directory)
{
    char path[64], buf[256], want[64];
    int fd = open("/dev/null", O_WRONLY | O_APPEND | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, buf, sizeof(buf));
    CHECK(n > 0);
    buf[n] = 0;
    CHECK_STR(buf, "/dev/null");
    struct stat st;
    CHECK_EQ(lstat(path, &st), 0);
    CHECK_EQ(st.st_mode, S_IFLNK | 0300);
    CHECK_EQ(st.st_size, 64);
    snprintf(want, sizeof(want), "%d", fd);
    CHECK(has_entry("/proc/self/fd", want));
    CHECK(has_entry("/proc/self/fdinfo", want));
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CHECK(slurp(path) > 0);
    CHECK(strstr(text, "pos:\t0\n") != NULL);
    CHECK(strstr(text, "flags:\t02102001\n") != NULL);
    CHECK(strstr(text, "mnt_id:\t") != NULL);
    close(fd);
    CHECK_ERR(readlink(path, buf, sizeof(buf)), ENOENT);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_ERR(open(path, O_RDONLY), ENOENT);
    int p[2];
    CHECK_EQ(pipe(p), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
    n = readlink(path, buf, sizeof(buf));
    CHECK(n > 0 && !strncmp(buf, "pipe:[", 6));
    int again = open(path, O_RDONLY | O_NONBLOCK);
    CHECK(again >= 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(read(again, buf, 1), 1);
    close(again);
    close(p[0]);
    close(p[1]);
}

TEST(unlinked_file_through_fd)
{
    char name[64], path[64], buf[128];
    snprintf(name, sizeof(name), "/tmp/procfs_pid_%d", getpid());
    int fd = open(name, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "data", 4), 4);
    CHECK_EQ(unlink(name), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, buf, sizeof(buf) - 1);
    buf[n] = 0;
    CHECK(strstr(buf, " (deleted)") != NULL);
    int again = open(path, O_RDONLY);
    CHECK(again >= 0);
    CHECK_EQ(read(again, buf, 10), 4);
    close(again);
    close(fd);
}

TEST(cwd_root_exe)
{
    char buf[256], cwd[256];
    CHECK_EQ(chdir("/tmp"), 0);
    ssize_t n = readlink("/proc/self/cwd", buf, sizeof(buf));
    buf[n] = 0;
    CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
    CHECK_STR(buf, cwd);
    n = readlink("/proc/self/root", buf, sizeof(buf));
    buf[n] = 0;
    CHECK_STR(buf, "/");
    struct stat a, b;
    CHECK_EQ(stat("/proc/self/root/", &a), 0);
    CHECK_EQ(stat("/", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    int fd = open("/proc/self/exe", O_RDONLY);
    CHECK(fd >= 0);
    CHECK_EQ(read(fd, buf, 4), 4);
    CHECK(!memcmp(buf, "\177ELF", 4));
    close(fd);
    CHECK_ERR(open("/proc/self/exe", O_WRONLY), ETXTBSY);
}

static volatile int is_done;
static void *idle(void *arg)
{
    *(pid_t *)arg = (pid_t)syscall(SYS_gettid);
    while (!is_done)
        usleep(1000);
    return NULL;
}

TEST(tasks)
{
    pthread_t th;
    volatile pid_t tid = 0;
    char path[64], want[64];
    pthread_create(&th, NULL, idle, (void *)&tid);
    while (!tid)
        usleep(1000);
    snprintf(want, sizeof(want), "%d", tid);
    CHECK(has_entry("/proc/self/task", want));
    snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
    CHECK(slurp(path) > 0);
    CHECK_EQ(field("Pid"), tid);
    CHECK_EQ(field("Tgid"), getpid());
    CHECK_EQ(field("Threads"), 2);
    CHECK(!has_entry("/proc", want)); /* hidden, but there by name */
    snprintf(path, sizeof(path), "/proc/%d/status", tid);
    CHECK(slurp(path) > 0);
    struct stat st;
    CHECK_EQ(stat("/proc/self/task", &st), 0);
    CHECK_EQ(st.st_nlink, 4);
    is_done = 1;
    pthread_join(th, NULL);
    snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
    for (int i = 0; i < 1000 && stat(path, &st) == 0; i++)
        usleep(1000);
    CHECK_ERR(stat(path, &st), ENOENT);
}

TEST(dead_and_zombie)
{
    char path[64];
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    CHECK(slurp(path) > 0);
    CHECK(strstr(text, "State:\tZ (zombie)") != NULL);
    CHECK_EQ(field("VmRSS"), -1);
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    CHECK_EQ(slurp(path), 0);
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    CHECK_EQ(slurp(path), 0);
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_ERR(read(fd, text, 100), ESRCH);
    close(fd);
    CHECK_ERR(open(path, O_RDONLY), ENOENT);
}

TEST(limits_and_oom)
{
    struct rlimit l = {123, 456};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &l), 0);
    CHECK(slurp("/proc/self/limits") > 0);
    CHECK(strstr(text, "Max open files            123                  456                  files     \n") != NULL);
    CHECK(strstr(text, "Limit                     Soft Limit           Hard Limit           Units     \n") == text);
    CHECK(slurp("/proc/self/oom_score_adj") > 0);
    long adj = strtol(text, NULL, 10);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    CHECK(fd >= 0);
    char buf[32];
    int n = sprintf(buf, "%ld", adj < 990 ? adj + 7 : adj);
    CHECK_EQ(write(fd, buf, (size_t)n), n);
    CHECK_ERR(write(fd, "5000", 4), EINVAL);
    close(fd);
    CHECK(slurp("/proc/self/oom_score_adj") > 0);
    CHECK_EQ(strtol(text, NULL, 10), adj < 990 ? adj + 7 : adj);
    CHECK(slurp("/proc/self/oom_score") > 0);
}

TEST(mounts)
{
    CHECK(slurp("/proc/self/mounts") > 0);
    CHECK(strstr(text, " /proc proc ") != NULL);
    CHECK(slurp("/proc/mounts") > 0);
    CHECK(strstr(text, " / ") != NULL);
    CHECK(slurp("/proc/self/mountinfo") > 0);
    CHECK(strstr(text, " - proc ") != NULL);
    int id, parent, major, minor;
    char root[256], at[256];
    CHECK_EQ(sscanf(text, "%d %d %d:%d %255s %255s", &id, &parent, &major, &minor, root, at), 6);
    CHECK_EQ(root[0], '/');
    CHECK_EQ(at[0], '/');
}

TEST(mountinfo_poll)
{
    if (geteuid() != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0)
            _exit(0);
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
        int fd = open("/proc/self/mountinfo", O_RDONLY);
        struct pollfd p = {.fd = fd, .events = POLLPRI};
        if (poll(&p, 1, 0) != 0)
            _exit(1);
        pid_t kid = fork();
        if (kid == 0) {
            usleep(30000);
            _exit(mount("t", "/tmp", "tmpfs", 0, NULL));
        }
        if (poll(&p, 1, 5000) != 1)
            _exit(2);
        if (p.revents != (POLLERR | POLLPRI))
            _exit(3);
        if (poll(&p, 1, 0) != 0)
            _exit(4);
        waitpid(kid, NULL, 0);
        umount("/tmp");
        if (poll(&p, 1, 0) != 1)
            _exit(5);
        _exit(0);
    }
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
}

TEST(namespaces)
{
    static const char *const names[] = {"mnt", "uts", "ipc", "pid", "user", "time"};
    char path[64], buf[64];
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        ssize_t n = readlink(path, buf, sizeof(buf) - 1);
        CHECK(n > 0);
        buf[n] = 0;
        CHECK(!strncmp(buf, names[i], strlen(names[i])));
        struct stat st;
        CHECK_EQ(stat(path, &st), 0);
        CHECK_EQ(strtoul(strchr(buf, '[') + 1, NULL, 10), st.st_ino);
        int fd = open(path, O_RDONLY);
        CHECK(fd >= 0);
        struct stat st2;
        CHECK_EQ(fstat(fd, &st2), 0);
        CHECK_EQ(st2.st_ino, st.st_ino);
        close(fd);
    }
}

TEST(permissions)
{
    if (geteuid() != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        int bad = 0;
        char path[64];
        if (setgid(4321) || setuid(4321))
            _exit(100);
        snprintf(path, sizeof(path), "/proc/%d/environ", getppid());
        bad |= !(open(path, O_RDONLY) == -1 && errno == EACCES);
        snprintf(path, sizeof(path), "/proc/%d/maps", getppid());
        bad |= !(open(path, O_RDONLY) == -1 && errno == EACCES) << 1;
        snprintf(path, sizeof(path), "/proc/%d/exe", getppid());
        bad |= !(readlink(path, text, 100) == -1 && errno == EACCES) << 2;
        snprintf(path, sizeof(path), "/proc/%d/fd", getppid());
        bad |= !(open(path, O_RDONLY) == -1 && errno == EACCES) << 3;
        snprintf(path, sizeof(path), "/proc/%d/status", getppid());
        bad |= (slurp(path) <= 0) << 4;
        snprintf(path, sizeof(path), "/proc/%d/mem", getppid());
        bad |= !(open(path, O_RDONLY) == -1 && errno == EACCES) << 5;
        _exit(bad);
    }
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(WEXITSTATUS(st), 0);
    struct stat s;
    CHECK_EQ(stat("/proc/self/environ", &s), 0);
    CHECK_EQ(s.st_mode, S_IFREG | 0400);
    CHECK_EQ(s.st_size, 0);
    CHECK_EQ(stat("/proc/self/fd", &s), 0);
    CHECK_EQ(s.st_mode, S_IFDIR | 0500);
    CHECK_ERR(open("/proc/self/nothing", O_RDONLY), ENOENT);
    CHECK_ERR(open("/proc/self/nothing", O_CREAT | O_WRONLY, 0600), ENOENT);
    CHECK_ERR(mkdir("/proc/nothing", 0700), ENOENT);
    CHECK_ERR(unlink("/proc/self/status"), EPERM);
}

TEST(consistent_reads)
{
    char a[64], b[64];
    int fd = open("/proc/self/status", O_RDONLY);
    CHECK_EQ(read(fd, a, 20), 20);
    CHECK_EQ(pread(fd, b, 20, 0), 20);
    CHECK(!memcmp(a, b, 20));
    CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
    CHECK_EQ(read(fd, b, 15), 15);
    CHECK(!memcmp(a + 5, b, 15));
    CHECK_EQ(pread(fd, b, 10, 1000000), 0);
    close(fd);
}

TEST(wait_and_state)
{
    char path[64];
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    for (int i = 0; i < 2000; i++) {
        slurp(path);
        if (strstr(text, "State:\tS (sleeping)"))
            break;
        usleep(1000);
    }
    CHECK(strstr(text, "State:\tS (sleeping)") != NULL);
    kill(pid, SIGSTOP);
    waitpid(pid, NULL, WUNTRACED);
    CHECK(slurp(path) > 0);
    CHECK(strstr(text, "State:\tT (stopped)") != NULL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
