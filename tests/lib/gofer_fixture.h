/* A real gofer process on a temporary tree, for tests. */
#ifndef GOFER_FIXTURE_H
#define GOFER_FIXTURE_H

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gofer/gofer.h"
#include "host/fdpass.h"
#include "test.h"

#define FIX_LANES 3

struct gofer_fix {
    char dir[64];
    int lanes[FIX_LANES];
    pid_t pid;
};

/* dir: served; "": a fresh one below /tmp. */
__attribute__((unused)) static void fix_start(struct gofer_fix *fx, const char *dir, u32 flags,
                                              const char *const *masked)
{
    int far_ends[FIX_LANES];
    if (dir[0]) {
        snprintf(fx->dir, sizeof(fx->dir), "%s", dir);
    } else {
        snprintf(fx->dir, sizeof(fx->dir), "/tmp/gofer-test-XXXXXX");
        CHECK(mkdtemp(fx->dir) != NULL);
    }
    for (int i = 0; i < FIX_LANES; i++) {
        int sv[2];
        CHECK_EQ(host_seqpacket_pair(sv), 0);
        fx->lanes[i] = sv[0];
        far_ends[i] = sv[1];
    }
    int dir_fd = open(fx->dir, O_PATH | O_CLOEXEC);
    CHECK(dir_fd >= 0);
    fx->pid = fork();
    if (fx->pid == 0) {
        for (int i = 0; i < FIX_LANES; i++)
            close(fx->lanes[i]);
        struct gofer_attach at = {.dir_fd = dir_fd, .flags = flags, .masked = masked};
        struct gofer_config cfg = {.attach = &at,
                                   .nattach = 1,
                                   .lane_fds = far_ends,
                                   .nlanes = FIX_LANES,
                                   .jail_fd = -1,
                                   .self_fd_dir = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC)};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        cfg.is_filter_off = true;
#endif
        _exit(gofer_main(&cfg));
    }
    close(dir_fd);
    for (int i = 0; i < FIX_LANES; i++)
        close(far_ends[i]);
}

/* The exit status of a gofer whose lanes have been closed. */
__attribute__((unused)) static int fix_wait(struct gofer_fix *fx)
{
    int status = -1;
    CHECK_EQ(waitpid(fx->pid, &status, 0), fx->pid);
    return status;
}

__attribute__((unused)) static void fix_remove(struct gofer_fix *fx)
{
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", fx->dir);
    CHECK(!strncmp(fx->dir, "/tmp/gofer-test-", 16));
    CHECK_EQ(system(cmd), 0);
}

#endif
