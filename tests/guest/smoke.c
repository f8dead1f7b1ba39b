/* The first things any program does. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

TEST(identity)
{
    CHECK(getpid() > 0);
    CHECK(getppid() >= 0);
    CHECK_EQ(getuid(), geteuid());
}

TEST(file_round_trip)
{
    char buf[16] = {0};
    int fd = open("smoke.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "hello", 5), 5);
    CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 5);
    CHECK_STR(buf, "hello");
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 5);
    close(fd);
    CHECK_EQ(unlink("smoke.tmp"), 0);
    CHECK_ERR(open("smoke.tmp", O_RDONLY), ENOENT);
}

TEST(fork_and_wait)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(7);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
}

TEST(pipe_between_processes)
{
    int p[2];
    char c = 0;
    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (write(p[1], "x", 1) != 1)
            _exit(1);
        _exit(0);
    }
    close(p[1]);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(c, 'x');
    CHECK_EQ(read(p[0], &c, 1), 0);
    close(p[0]);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void *add_one(void *arg)
{
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
    return arg;
}

TEST(threads)
{
    pthread_t th[8];
    int n = 0;
    for (int i = 0; i < 8; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, add_one, &n), 0);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(pthread_join(th[i], NULL), 0);
    CHECK_EQ(n, 8);
}

TEST(anonymous_memory)
{
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    for (int i = 0; i < 1 << 20; i += 4096)
        CHECK_EQ(p[i], 0);
    memset(p, 1, 1 << 20);
    CHECK_EQ(munmap(p, 1 << 20), 0);
}

TEST(exec_true)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(99);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}
