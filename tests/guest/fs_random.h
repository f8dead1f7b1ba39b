/* Random operations on file systems of each kind. FS_SEED and FS_ROUNDS (of 1): another run, or a
 * longer one. */
#ifndef FS_RANDOM_H
#define FS_RANDOM_H

#include <sched.h>

#include "fs_common.h"

static uint64_t rnd_state;

static uint32_t rnd(uint32_t below)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 7;
    rnd_state ^= rnd_state << 17;
    return (uint32_t)(rnd_state >> 20) % below;
}

static unsigned setting(const char *name, unsigned otherwise)
{
    const char *s = getenv(name);
    return s ? (unsigned)strtoul(s, NULL, 10) : otherwise;
}

static void rnd_start(unsigned salt)
{
    rnd_state = 0x9e3779b97f4a7c15ULL ^ ((uint64_t)setting("FS_SEED", 1) << 32 | salt);
    for (int i = 0; i < 8; i++)
        (void)rnd(2);
}

enum kind { HERE, TMPFS, OVERLAY };

/* fn(n) in a directory of its own on a file system of this kind, in a mount namespace of its own.
 */
static void on(enum kind kind, void (*fn)(unsigned), unsigned n)
{
    int st;
    if (kind != HERE && geteuid() != 0)
        SKIP("mounts are root's");
    pid_t pid = fork();
    if (pid == 0) {
        jmp_buf jmp;
        test_jmp = &jmp;
        if (setjmp(jmp) == 0) {
            (void)mkdir("w", 0755);
            if (kind != HERE) {
                CHECK_EQ(unshare(CLONE_NEWNS), 0);
                CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
                CHECK_EQ(mount("x", "w", "tmpfs", 0, "size=64m"), 0);
            }
            if (kind == OVERLAY) {
                CHECK(mkdir("w/l", 0755) == 0 && mkdir("w/u", 0755) == 0 &&
                      mkdir("w/w", 0755) == 0 && mkdir("w/m", 0755) == 0);
                write_file("w/l/f", "of the lower layer");
                CHECK_EQ(mount("x", "w/m", "overlay", 0, "lowerdir=w/l,upperdir=w/u,workdir=w/w"),
                         0);
            }
            CHECK_EQ(chdir(kind == OVERLAY ? "w/m" : "w"), 0);
            (void)!system("rm -rf t"); /* what an earlier run has left here */
            fn(n * setting("FS_ROUNDS", 1));
            _exit(0);
        }
        fprintf(stderr, "seed %u: %s\n", setting("FS_SEED", 1), test_msg);
        _exit(1);
    }
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
}

#endif
