/* wire/bootcfg: round trip, truncation, garbage. */
#include "abi/errno.h"
#include "test.h"
#include "wire/bootcfg.h"

static struct bootcfg sample(void)
{
    static char sh[] = "sh", dash_c[] = "-c", yes[] = "true", env[] = "A=1", proc[] = "proc",
                target[] = "/proc", none[] = "", host[] = "box", cwd[] = "/tmp";
    static char *argv[] = {sh, dash_c, yes, NULL};
    static char *envp[] = {env, NULL};
    static u32 groups[] = {4, 27};
    static struct boot_mount mounts[] = {{proc, proc, target, none, 14, -1}};
    return (struct bootcfg){.flags = BOOT_TTY, .uid = 1000, .gid = 1001, .nlanes = 2, .nargv = 3,
                            .nenvp = 1, .ngroups = 2, .nmounts = 1, .hostname = host,
                            .cwd = cwd, .argv = argv, .envp = envp, .groups = groups,
                            .mounts = mounts, .overlay_size = 1ULL << 40};
}

TEST(round_trip)
{
    struct bootcfg c = sample(), d;
    void *buf;
    size_t size;
    CHECK_EQ(bootcfg_encode(&c, &buf, &size), 0);
    CHECK_EQ(bootcfg_decode(buf, size, &d), 0);
    CHECK_EQ(d.flags, BOOT_TTY);
    CHECK_EQ(d.uid, 1000);
    CHECK_EQ(d.overlay_size, 1ULL << 40);
    CHECK_STR(d.argv[1], "-c");
    CHECK(d.argv[3] == NULL);
    CHECK_STR(d.envp[0], "A=1");
    CHECK_EQ(d.groups[1], 27);
    CHECK_STR(d.mounts[0].target, "/proc");
    CHECK_EQ(d.mounts[0].attach, -1);
    bootcfg_done(&d);
    free(buf);
}

TEST(every_truncation_is_refused)
{
    struct bootcfg c = sample(), d;
    void *buf;
    size_t size;
    CHECK_EQ(bootcfg_encode(&c, &buf, &size), 0);
    for (size_t n = 0; n < size; n++)
        CHECK_EQ(bootcfg_decode(buf, n, &d), -LX_EINVAL);
    free(buf);
}

TEST(flipped_bytes_never_crash)
{
    struct bootcfg c = sample();
    void *buf;
    size_t size;
    CHECK_EQ(bootcfg_encode(&c, &buf, &size), 0);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct bootcfg d;
            ((u8 *)buf)[i] ^= (u8)(1 << bit);
            if (bootcfg_decode(buf, size, &d) == 0)
                bootcfg_done(&d);
            ((u8 *)buf)[i] ^= (u8)(1 << bit);
        }
    }
    free(buf);
}
