/* wire/bootcfg: round trip, truncation, garbage. */
#include "abi/errno.h"
#include "test.h"
#include "wire/bootcfg.h"

static struct bootcfg sample(void)
{
    static char sh[] = "sh", dash_c[] = "-c", yes[] = "true", env[] = "A=1", proc[] = "proc",
                target[] = "/proc", none[] = "", host[] = "box", cwd[] = "/tmp", id[] = "c1",
                null[] = "/dev/null", masked[] = "/proc/kcore", name[] = "kernel.x", value[] = "1";
    static char *argv[] = {sh, dash_c, yes, NULL};
    static char *envp[] = {env, NULL};
    static char *masks[] = {masked, NULL};
    static u32 groups[] = {4, 27};
    static u64 insns[] = {6};
    static struct boot_rlimit rlimits[] = {{7, 1024, 2048}};
    static struct boot_mount mounts[] = {{proc, proc, target, none, BOOT_MOUNT_FS, 14, 0, -1}};
    static struct boot_device devices[] = {{null, 0666, 1, 3, 0, 5}};
    static struct boot_pair sysctls[] = {{name, value}};
    static struct boot_idmap uids[] = {{0, 100000, 10}, {10, 5, 1}}, gids[] = {{0, 7, 1}};
    return (struct bootcfg){
        .flags = BOOT_STRACE,
        .own_uid = 12,
        .nuid_map = 2, .ngid_map = 1, .uid_map = uids, .gid_map = gids,
        .container = {
            .flags = BOOT_RW, .nlanes = 2, .overlay_size = 1ULL << 40,
            .nmounts = 1, .ndevices = 1, .nmasked = 1, .nsysctls = 1,
            .id = id, .hostname = host, .mounts = mounts, .devices = devices, .masked = masks,
            .sysctls = sysctls,
            .process = {.flags = BOOT_P_TTY, .uid = 1000, .gid = 1001, .nargv = 3, .nenvp = 1,
                        .ngroups = 2, .nrlimits = 1, .nseccomp = 1, .cwd = cwd, .argv = argv,
                        .envp = envp, .groups = groups, .rlimits = rlimits, .seccomp = insns,
                        .cap_bounding = 1ULL << 40},
        },
    };
}

TEST(round_trip)
{
    struct bootcfg c = sample(), d;
    void *buf;
    size_t size;
    CHECK_EQ(bootcfg_encode(&c, &buf, &size), 0);
    CHECK_EQ(bootcfg_decode(buf, size, &d), 0);
    CHECK_EQ(d.flags, BOOT_STRACE);
    CHECK_EQ(d.own_uid, 12);
    CHECK_EQ(d.nuid_map, 2);
    CHECK_EQ(d.uid_map[1].lower, 5);
    CHECK_EQ(d.gid_map[0].count, 1);
    CHECK_EQ(d.container.overlay_size, 1ULL << 40);
    CHECK_STR(d.container.id, "c1");
    CHECK_STR(d.container.domainname, "");
    CHECK_STR(d.container.mounts[0].target, "/proc");
    CHECK_EQ(d.container.mounts[0].attach, -1);
    CHECK_EQ(d.container.devices[0].gid, 5);
    CHECK_STR(d.container.masked[0], "/proc/kcore");
    CHECK_STR(d.container.sysctls[0].value, "1");
    struct boot_process *p = &d.container.process;
    CHECK_EQ(p->flags, BOOT_P_TTY);
    CHECK_EQ(p->uid, 1000);
    CHECK_STR(p->argv[1], "-c");
    CHECK(p->argv[3] == NULL);
    CHECK_STR(p->envp[0], "A=1");
    CHECK_EQ(p->groups[1], 27);
    CHECK_EQ(p->rlimits[0].max, 2048);
    CHECK_EQ(p->seccomp[0], 6);
    CHECK_EQ(p->cap_bounding, 1ULL << 40);
    bootcfg_done(&d);
    free(buf);
}

TEST(ranges_that_wrap_are_refused)
{
    static const struct boot_idmap bad[] = {{0, 0, 0}, {5, 0, UINT32_MAX}, {0, UINT32_MAX, 2}};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct bootcfg c = sample(), d;
        struct boot_idmap m = bad[i];
        void *buf;
        size_t size;
        c.uid_map = &m;
        c.nuid_map = 1;
        int r = bootcfg_encode(&c, &buf, &size);
        if (r == 0) {
            r = bootcfg_decode(buf, size, &d);
            free(buf);
        }
        CHECK_EQ(r, -LX_EINVAL);
    }
}

TEST(kinds_are_told_apart)
{
    struct bootcfg c = sample(), d;
    struct boot_process p;
    void *buf;
    size_t size;
    CHECK_EQ(boot_process_encode(&c.container.process, &buf, &size), 0);
    CHECK_EQ(bootcfg_decode(buf, size, &d), -LX_EINVAL);
    CHECK_EQ(boot_process_decode(buf, size, &p), 0);
    CHECK_STR(p.cwd, "/tmp");
    boot_process_done(&p);
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
