/* The same file read many times over, and everything that changes what a reader must see. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "io_common.h"

#define SIZE 20000

static int made(const char *name, char c, size_t size)
{
    unlink(name);
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    char *data = malloc(size);
    memset(data, c, size);
    CHECK_EQ(write(fd, data, size), (ssize_t)size);
    free(data);
    close(fd);
    fd = open(name, O_RDONLY);
    CHECK(fd >= 0);
    return fd;
}

/* Often enough that a kernel that learns has learnt. */
static void warm(int fd, char c)
{
    char buf[512];
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(pread(fd, buf, sizeof(buf), i), (ssize_t)sizeof(buf));
        CHECK_EQ(buf[0], c);
        CHECK_EQ(buf[511], c);
    }
}

TEST(ends_and_errors)
{
    char buf[SIZE + 10];
    int fd = made("reread.a", 'a', SIZE);
    warm(fd, 'a');
    CHECK_EQ(pread(fd, buf, sizeof(buf), 0), SIZE);
    CHECK_EQ(pread(fd, buf, 100, SIZE - 1), 1);
    CHECK_EQ(pread(fd, buf, 100, SIZE), 0);
    CHECK_EQ(pread(fd, buf, 100, (off_t)1 << 40), 0);
    CHECK_EQ(pread(fd, buf, 0, 0), 0);
    CHECK_EQ(pread(fd, buf, 100, -1), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(pread(fd, bad_ptr(), 100, 0), -1);
    CHECK_EQ(errno, EFAULT);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    CHECK_EQ(munmap(m + 4096, 4096), 0);
    CHECK_EQ(pread(fd, m + 4000, 1000, 0), 96);
    CHECK_EQ(munmap(m, 4096), 0);
    close(fd);
    unlink("reread.a");
}

TEST(writers_are_seen)
{
    char buf[600];
    int fd = made("reread.b", 'a', SIZE);
    warm(fd, 'a');
    int w = open("reread.b", O_WRONLY);
    CHECK_EQ(pwrite(w, "bbbb", 4, 0), 4);
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK_EQ(memcmp(buf, "bbbb", 4), 0);
    CHECK_EQ(pwrite(w, "cccc", 4, SIZE), 4);
    CHECK_EQ(pread(fd, buf, 100, SIZE), 4);
    close(w);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(pread(fd, buf, 100, SIZE), 4);
    CHECK_EQ(truncate("reread.b", 100), 0);
    CHECK_EQ(pread(fd, buf, 600, 0), 100);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(pread(fd, buf, 600, 0), 100);
    w = open("reread.b", O_WRONLY | O_TRUNC);
    CHECK_EQ(pread(fd, buf, 600, 0), 0);
    CHECK_EQ(write(w, "dd", 2), 2);
    CHECK_EQ(pread(fd, buf, 600, 0), 2);
    close(w);
    close(fd);
    unlink("reread.b");
}

TEST(a_shared_mapping_is_seen)
{
    char buf[4];
    int fd = made("reread.c", 'a', SIZE);
    int w = open("reread.c", O_RDWR);
    char *m = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w, 0);
    CHECK(m != MAP_FAILED);
    close(w);
    warm(fd, 'a');
    memcpy(m, "mmmm", 4);
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK_EQ(memcmp(buf, "mmmm", 4), 0);
    munmap(m, SIZE);
    close(fd);
    unlink("reread.c");
}

TEST(descriptors_that_change)
{
    char buf[4];
    int fd = made("reread.d", 'a', SIZE), other = made("reread.e", 'e', SIZE);
    warm(fd, 'a');
    warm(other, 'e');
    CHECK_EQ(dup2(other, fd), fd);
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    CHECK_EQ(buf[0], 'e');
    warm(fd, 'e');
    close(other);
    CHECK_EQ(pread(other, buf, 4, 0), -1);
    CHECK_EQ(errno, EBADF);
    warm(fd, 'e');
    close(fd);
    CHECK_EQ(pread(fd, buf, 4, 0), -1);
    CHECK_EQ(errno, EBADF);
    unlink("reread.d");
    unlink("reread.e");
}

static int child_fd;
static void child(void)
{
    char buf[4];
    warm(child_fd, 'a');
    close(child_fd);
    CHECK_EQ(pread(child_fd, buf, 4, 0), -1);
    CHECK_EQ(errno, EBADF);
}

TEST(children_have_descriptors_of_their_own)
{
    child_fd = made("reread.f", 'a', SIZE);
    warm(child_fd, 'a');
    CHECK_EQ(in_child(child), 0);
    warm(child_fd, 'a');
    close(child_fd);
    unlink("reread.f");
}

static int thread_fd;
static pthread_barrier_t barrier;
static void *own_table(void *arg)
{
    char buf[4];
    (void)arg;
    warm(thread_fd, 'a');
    CHECK_EQ(unshare(CLONE_FILES), 0);
    warm(thread_fd, 'a');
    close(thread_fd);
    CHECK_EQ(pread(thread_fd, buf, 4, 0), -1);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    /* The other threads' descriptor of the same number is not ours. */
    CHECK_EQ(pread(thread_fd, buf, 4, 0), -1);
    CHECK_EQ(errno, EBADF);
    return NULL;
}

TEST(threads_with_tables_of_their_own)
{
    pthread_t t;
    thread_fd = made("reread.g", 'a', SIZE);
    warm(thread_fd, 'a');
    CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
    CHECK_EQ(pthread_create(&t, NULL, own_table, NULL), 0);
    pthread_barrier_wait(&barrier);
    warm(thread_fd, 'a');
    pthread_barrier_wait(&barrier);
    pthread_join(t, NULL);
    warm(thread_fd, 'a');
    close(thread_fd);
    unlink("reread.g");
}

static _Atomic int is_over;
static void *reader(void *arg)
{
    char buf[4096];
    (void)arg;
    while (!is_over) {
        ssize_t n = pread(thread_fd, buf, sizeof(buf), 0);
        if (n < 0) {
            CHECK_EQ(errno, EBADF);
            continue;
        }
        CHECK_EQ(n, 4096);
        /* One file or the other: never a mixture. */
        CHECK(buf[0] == 'x' || buf[0] == 'y');
        CHECK_EQ(memcmp(buf, buf + 1, sizeof(buf) - 1), 0);
    }
    return NULL;
}

TEST(replaced_under_readers)
{
    pthread_t t[2];
    thread_fd = made("reread.x", 'x', SIZE);
    int x = open("reread.x", O_RDONLY), y = made("reread.y", 'y', SIZE);
    is_over = 0;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, reader, NULL), 0);
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(dup2(i & 1 ? x : y, thread_fd), thread_fd);
        if (i % 8 == 0)
            usleep(300);
    }
    is_over = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    close(x);
    close(y);
    close(thread_fd);
    unlink("reread.x");
    unlink("reread.y");
}

TEST(watches_hear_of_reads)
{
    char buf[4096];
    int fd = made("reread.w", 'a', SIZE);
    warm(fd, 'a');
    int in = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(in, "reread.w", IN_ACCESS) > 0);
    CHECK_EQ(pread(fd, buf, 4, 0), 4);
    struct inotify_event e;
    CHECK_EQ(read(in, &e, sizeof(e)), (ssize_t)sizeof(e));
    CHECK_EQ(e.mask, (uint32_t)IN_ACCESS);
    close(in);
    warm(fd, 'a');
    close(fd);
    unlink("reread.w");
}

static void run_true(void)
{
    char fd[16];
    snprintf(fd, sizeof(fd), "%d", child_fd);
    warm(child_fd, 'a');
    execl("/bin/sh", "sh", "-c", "head -c 3 <&$0 | od -c | grep -q 'a   a   a'", fd, (char *)NULL);
}

TEST(exec_keeps_descriptors)
{
    child_fd = made("reread.h", 'a', SIZE);
    CHECK_EQ(in_child(run_true), 0);
    warm(child_fd, 'a');
    close(child_fd);
    unlink("reread.h");
}

static void filtered(void)
{
    char buf[4];
    warm(child_fd, 'a');
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pread64, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof(f) / sizeof(f[0]), f};
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
    CHECK_EQ(pread(child_fd, buf, 4, 0), -1);
    CHECK_EQ(errno, EPERM);
}

TEST(filters_are_asked)
{
    child_fd = made("reread.s", 'a', SIZE);
    CHECK_EQ(in_child(filtered), 0);
    warm(child_fd, 'a');
    close(child_fd);
    unlink("reread.s");
}

/* More files than any table of a few has room for, and one that is large. */
TEST(many_files)
{
    int fd[60];
    char name[32];
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "reread.%d", i);
        fd[i] = made(name, (char)('A' + i % 26), SIZE);
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 60; i++)
            warm(fd[i], (char)('A' + i % 26));
    for (int i = 0; i < 60; i++) {
        close(fd[i]);
        snprintf(name, sizeof(name), "reread.%d", i);
        unlink(name);
    }
    int big = made("reread.big", 'B', 9 << 20);
    warm(big, 'B');
    char c;
    CHECK_EQ(pread(big, &c, 1, (9 << 20) - 1), 1);
    CHECK_EQ(c, 'B');
    static char all[9 << 20];
    CHECK_EQ(pread(big, all, sizeof(all), 0), 9 << 20);
    CHECK_EQ(memcmp(all, all + 1, sizeof(all) - 1), 0);
    close(big);
    unlink("reread.big");
}

