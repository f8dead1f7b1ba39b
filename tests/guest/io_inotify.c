/* inotify(7). */
#include <sys/inotify.h>

#include "io_common.h"

static char log_buf[400];

/* Every queued event as "mask:name " in hexadecimal, cookies left out. */
static const char *events(int fd)
{
    char buf[4096] __attribute__((aligned(8)));
    size_t used = 0;
    log_buf[0] = 0;
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        if (poll(&p, 1, 0) != 1)
            return log_buf;
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n <= 0)
            return "read failed";
        for (char *c = buf; c < buf + n;) {
            struct inotify_event *e = (struct inotify_event *)(void *)c;
            used += (size_t)snprintf(log_buf + used, sizeof(log_buf) - used, "%x:%s ", e->mask,
                                     e->len ? e->name : "");
            c += sizeof(*e) + e->len;
        }
    }
}

static void fresh_dir(void)
{
    int r = system("rm -rf ino.tmp");
    (void)r;
    CHECK_EQ(mkdir("ino.tmp", 0700), 0);
}

TEST(directory_events)
{
    fresh_dir();
    int in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CHECK(in >= 0);
    int wd = inotify_add_watch(in, "ino.tmp", IN_ALL_EVENTS);
    CHECK_EQ(wd, 1);
    int fd = open("ino.tmp/a", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(write(fd, "hello", 5), 5);
    char c;
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    close(fd);
    CHECK_STR(events(in), "100:a 20:a 2:a 1:a 8:a ");
    fd = open("ino.tmp/a", O_RDONLY);
    close(fd);
    CHECK_STR(events(in), "20:a 10:a ");
    fd = open("ino.tmp/a", O_WRONLY | O_TRUNC);
    close(fd);
    CHECK_STR(events(in), "20:a 2:a 8:a ");
    CHECK_EQ(chmod("ino.tmp/a", 0640), 0);
    CHECK_STR(events(in), "4:a ");
    CHECK_EQ(mkdir("ino.tmp/d", 0700), 0);
    CHECK_EQ(rmdir("ino.tmp/d"), 0);
    CHECK_STR(events(in), "40000100:d 40000200:d ");
    CHECK_EQ(symlink("x", "ino.tmp/l"), 0);
    CHECK_EQ(link("ino.tmp/a", "ino.tmp/b"), 0);
    CHECK_STR(events(in), "100:l 100:b ");
    CHECK_EQ(unlink("ino.tmp/b"), 0);
    CHECK_STR(events(in), "200:b ");
    CHECK_EQ(truncate("ino.tmp/a", 1), 0);
    CHECK_STR(events(in), "2:a ");
    close(in);
}

TEST(rename_cookies)
{
    char buf[512] __attribute__((aligned(8)));
    fresh_dir();
    int in = inotify_init1(0);
    CHECK_EQ(inotify_add_watch(in, "ino.tmp", IN_MOVE | IN_MOVE_SELF), 1);
    close(open("ino.tmp/a", O_WRONLY | O_CREAT, 0600));
    CHECK_EQ(rename("ino.tmp/a", "ino.tmp/b"), 0);
    ssize_t n = read(in, buf, sizeof(buf));
    CHECK_EQ(n, 64);
    struct inotify_event *e = (void *)buf, *f = (void *)(buf + 32);
    CHECK_EQ(e->mask, IN_MOVED_FROM);
    CHECK_STR(e->name, "a");
    CHECK_EQ(e->len, 16);
    CHECK_EQ(f->mask, IN_MOVED_TO);
    CHECK_STR(f->name, "b");
    CHECK(e->cookie != 0);
    CHECK_EQ(e->cookie, f->cookie);
    CHECK_EQ(rename("ino.tmp", "ino2.tmp"), 0);
    CHECK_STR(events(in), "800: ");
    CHECK_EQ(rename("ino2.tmp", "ino.tmp"), 0);
    close(in);
}

TEST(file_and_end)
{
    fresh_dir();
    int in = inotify_init1(IN_NONBLOCK);
    close(open("ino.tmp/f", O_WRONLY | O_CREAT, 0600));
    int wd = inotify_add_watch(in, "ino.tmp/f", IN_ALL_EVENTS);
    int fd = open("ino.tmp/f", O_WRONLY);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(write(fd, "x", 1), 1); /* equal to the last one: one event */
    CHECK_EQ(unlink("ino.tmp/f"), 0);
    CHECK_STR(events(in), "20: 2: 4: ");
    close(fd);
    CHECK_STR(events(in), "8: 400: 8000: ");
    CHECK_ERR(inotify_rm_watch(in, wd), EINVAL);
    CHECK_EQ(inotify_add_watch(in, "ino.tmp", IN_DELETE_SELF), wd + 1);
    CHECK_EQ(inotify_rm_watch(in, wd + 1), 0);
    CHECK_STR(events(in), "8000: ");
    CHECK_EQ(inotify_add_watch(in, "ino.tmp", IN_DELETE_SELF), wd + 2);
    CHECK_EQ(rmdir("ino.tmp"), 0);
    CHECK_STR(events(in), "400: 8000: ");
    close(in);
}

TEST(masks_and_errors)
{
    char buf[64];
    fresh_dir();
    int in = inotify_init1(IN_NONBLOCK), p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_ERR(inotify_init1(1), EINVAL);
    CHECK_ERR(inotify_add_watch(in, "ino.tmp", 0), EINVAL);
    CHECK_ERR(inotify_add_watch(in, "ino.tmp/none", IN_ALL_EVENTS), ENOENT);
    CHECK_ERR(inotify_add_watch(p[0], "ino.tmp", IN_ALL_EVENTS), EINVAL);
    CHECK_ERR(inotify_add_watch(999, "ino.tmp", IN_ALL_EVENTS), EBADF);
    CHECK_ERR(inotify_rm_watch(in, 5), EINVAL);
    CHECK_ERR(read(in, buf, sizeof(buf)), EAGAIN);
    CHECK_ERR(write(in, buf, 1), EBADF);
    int wd = inotify_add_watch(in, "ino.tmp", IN_CREATE);
    CHECK_EQ(inotify_add_watch(in, "ino.tmp/.", IN_DELETE | IN_MASK_ADD), wd);
    close(open("ino.tmp/f", O_WRONLY | O_CREAT, 0600));
    CHECK_EQ(unlink("ino.tmp/f"), 0);
    int n;
    CHECK_EQ(ioctl(in, FIONREAD, &n), 0);
    CHECK_EQ(n, 64);
    CHECK_ERR(read(in, buf, 16), EINVAL);
    CHECK_EQ(read(in, buf, 40), 32);
    CHECK_STR(events(in), "200:f ");
    CHECK_EQ(inotify_add_watch(in, "ino.tmp", IN_DELETE), wd); /* replaces */
    close(open("ino.tmp/f", O_WRONLY | O_CREAT, 0600));
    CHECK_STR(events(in), "");
    CHECK_ERR(inotify_add_watch(in, "ino.tmp/f", IN_ONLYDIR | IN_MODIFY), ENOTDIR);
#ifdef IN_MASK_CREATE
    CHECK_ERR(inotify_add_watch(in, "ino.tmp", IN_DELETE | IN_MASK_CREATE), EEXIST);
#endif
    CHECK(inotify_add_watch(in, "ino.tmp/f", IN_OPEN | IN_ONESHOT) > wd);
    close(open("ino.tmp/f", O_RDONLY));
    close(open("ino.tmp/f", O_RDONLY));
    CHECK_STR(events(in), "20: 8000: ");
    close(p[0]);
    close(p[1]);
    close(in);
}

TEST(overflow)
{
    fresh_dir();
    int in = inotify_init1(IN_NONBLOCK), limit = 16384, n = 0;
    CHECK(inotify_add_watch(in, "ino.tmp", IN_CREATE | IN_DELETE) > 0);
    FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (f) {
        if (fscanf(f, "%d", &limit) != 1)
            limit = 16384;
        fclose(f);
    }
    for (int i = 0; i <= limit / 2; i++) {
        close(open("ino.tmp/f", O_WRONLY | O_CREAT, 0600));
        unlink("ino.tmp/f");
    }
    char buf[4096] __attribute__((aligned(8)));
    int has_overflow = 0;
    ssize_t r;
    while ((r = read(in, buf, sizeof(buf))) > 0) {
        for (char *c = buf; c < buf + r; n++) {
            struct inotify_event *e = (struct inotify_event *)(void *)c;
            if (e->mask == IN_Q_OVERFLOW) {
                CHECK_EQ(e->wd, -1);
                has_overflow++;
            }
            c += sizeof(*e) + e->len;
        }
    }
    CHECK_EQ(n, limit + 1);
    CHECK_EQ(has_overflow, 1);
    close(in);
}

TEST(blocking_read_and_exec)
{
    fresh_dir();
    int r = system("cp /bin/true ino.tmp/prog");
    CHECK_EQ(r, 0);
    int in = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(in, "ino.tmp/prog", IN_OPEN | IN_CLOSE) > 0);
    CHECK_EQ(system("ino.tmp/prog"), 0);
    const char *ev = events(in);
    CHECK(strstr(ev, "20: ") != NULL);
    CHECK(strstr(ev, "10: ") != NULL);
    close(in);
    r = system("rm -rf ino.tmp");
    CHECK_EQ(r, 0);
}
