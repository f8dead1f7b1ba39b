/* Credentials and capabilities. Children do the changing; without root little can be tried. */
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "proc_common.h"

static int is_root(void)
{
    return geteuid() == 0;
}

static void ids_are(uid_t r, uid_t e, uid_t s)
{
    uid_t x, y, z;
    EXPECT(getresuid(&x, &y, &z) == 0);
    EXPECT(x == r && y == e && z == s);
}

static int get_caps(uint64_t *eff, uint64_t *perm, uint64_t *inh)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    if (syscall(SYS_capget, &h, d) < 0)
        return -1;
    *eff = d[0].effective | (uint64_t)d[1].effective << 32;
    *perm = d[0].permitted | (uint64_t)d[1].permitted << 32;
    *inh = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
    return 0;
}

static int set_caps(uint64_t eff, uint64_t perm, uint64_t inh)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2] = {{(uint32_t)eff, (uint32_t)perm, (uint32_t)inh},
                                          {(uint32_t)(eff >> 32), (uint32_t)(perm >> 32),
                                           (uint32_t)(inh >> 32)}};
    return (int)syscall(SYS_capset, &h, d);
}

static void drop_all(void *arg)
{
    uint64_t e, p, i;
    EXPECT(setuid(1000) == 0);
    ids_are(1000, 1000, 1000);
    EXPECT(get_caps(&e, &p, &i) == 0 && e == 0 && p == 0);
    EXPECT(setuid(0) == -1 && errno == EPERM);
    EXPECT(setuid(1000) == 0);
    EXPECT(setreuid(0, -1) == -1 && errno == EPERM);
    EXPECT(setresuid(-1, 0, -1) == -1 && errno == EPERM);
    EXPECT(setgid(5) == -1 && errno == EPERM);
    EXPECT(setgroups(0, NULL) == -1 && errno == EPERM);
    EXPECT(prctl(PR_GET_DUMPABLE) == 0);
}

static void saved_id(void *arg)
{
    EXPECT(setresuid(1000, 1001, 0) == 0);
    ids_are(1000, 1001, 0);
    EXPECT(seteuid(1000) == 0);
    EXPECT(seteuid(0) == 0); /* back through the saved one */
    ids_are(1000, 0, 0);
    EXPECT(setreuid(0, 1005) == 0);
    ids_are(0, 1005, 1005);
    EXPECT(setreuid(-1, 0) == 0);
    EXPECT(setuid(7) == 0);
    ids_are(7, 7, 7);
}

static void effective_caps(void *arg)
{
    uint64_t e, p, i;
    EXPECT(seteuid(1000) == 0);
    EXPECT(get_caps(&e, &p, &i) == 0);
    EXPECT(e == 0 && p != 0);
    EXPECT(setgid(3) == -1 && errno == EPERM);
    EXPECT(seteuid(0) == 0);
    EXPECT(get_caps(&e, &p, &i) == 0);
    EXPECT(e == p);
}

static void keep_caps(void *arg)
{
    uint64_t e, p, i;
    EXPECT(prctl(PR_SET_KEEPCAPS, 1) == 0);
    EXPECT(prctl(PR_GET_KEEPCAPS) == 1);
    EXPECT(setuid(1000) == 0);
    EXPECT(get_caps(&e, &p, &i) == 0);
    EXPECT(e == 0 && p != 0);
    EXPECT(prctl(PR_SET_KEEPCAPS, 2) == -1 && errno == EINVAL);
}

static void fsuid(void *arg)
{
    uint64_t e, p, i;
    EXPECT(setfsuid(1000) == 0);
    EXPECT(setfsuid((uid_t)-1) == 1000);
    EXPECT(get_caps(&e, &p, &i) == 0);
    EXPECT(!(e >> CAP_DAC_OVERRIDE & 1) && (e >> CAP_KILL & 1));
    EXPECT(setfsuid(0) == 1000);
    EXPECT(get_caps(&e, &p, &i) == 0 && (e >> CAP_DAC_OVERRIDE & 1));
}

static void groups(void *arg)
{
    gid_t want[3] = {30, 10, 20}, got[8];
    EXPECT(setgroups(3, want) == 0);
    EXPECT(getgroups(0, NULL) == 3);
    EXPECT(getgroups(2, got) == -1 && errno == EINVAL);
    EXPECT(getgroups(8, got) == 3);
    EXPECT(got[0] == 10 && got[1] == 20 && got[2] == 30);
    EXPECT(syscall(SYS_setgroups, 65537, want) == -1 && errno == EINVAL);
    EXPECT(setgroups(0, NULL) == 0);
    EXPECT(getgroups(0, NULL) == 0);
    EXPECT(setresgid(1, 2, 3) == 0);
    gid_t a, b, c;
    EXPECT(getresgid(&a, &b, &c) == 0 && a == 1 && b == 2 && c == 3);
}

static void capset_rules(void *arg)
{
    uint64_t e, p, i, kill_bit = 1ULL << CAP_KILL;
    EXPECT(get_caps(&e, &p, &i) == 0);
    EXPECT(set_caps(e & ~kill_bit, p & ~kill_bit, 0) == 0);
    EXPECT(set_caps(e, p & ~kill_bit, 0) == -1 && errno == EPERM); /* effective beyond permitted */
    EXPECT(set_caps(e & ~kill_bit, p, 0) == -1 && errno == EPERM); /* nothing comes back */
    EXPECT(set_caps(0, 0, 0) == 0);
    EXPECT(set_caps(kill_bit, kill_bit, 0) == -1 && errno == EPERM);
    struct __user_cap_header_struct h = {0x1234, 0};
    EXPECT(syscall(SYS_capget, &h, NULL) == 0);
    EXPECT(h.version == _LINUX_CAPABILITY_VERSION_3);
    h.version = 0x1234;
    struct __user_cap_data_struct d[2];
    EXPECT(syscall(SYS_capget, &h, d) == -1 && errno == EINVAL);
    h.version = _LINUX_CAPABILITY_VERSION_3;
    h.pid = 0x3ffffff;
    EXPECT(syscall(SYS_capget, &h, d) == -1 && errno == ESRCH);
    h.pid = 1;
    EXPECT(getpid() == 1 || (syscall(SYS_capset, &h, d) == -1 && errno == EPERM));
}

static void bounding_and_ambient(void *arg)
{
    uint64_t e, p, i, chown_bit = 1ULL << CAP_CHOWN;
    EXPECT(prctl(PR_CAPBSET_READ, CAP_CHOWN) == 1);
    EXPECT(prctl(PR_CAPBSET_READ, 63) == -1 && errno == EINVAL);
    EXPECT(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME) == 0);
    EXPECT(prctl(PR_CAPBSET_READ, CAP_SYS_TIME) == 0);
    EXPECT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == -1 && errno == EPERM);
    EXPECT(get_caps(&e, &p, &i) == 0);
    EXPECT(set_caps(e, p, chown_bit) == 0);
    EXPECT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
    EXPECT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0) == 1);
    EXPECT(set_caps(e, p, 0) == 0); /* not inheritable any more: not ambient either */
    EXPECT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0) == 0);
    EXPECT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0);
    EXPECT(prctl(PR_CAP_AMBIENT, 9, CAP_CHOWN, 0, 0) == -1 && errno == EINVAL);
}

static void no_new_privs(void *arg)
{
    EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == -1 && errno == EINVAL);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    pid_t pid = fork();
    if (pid == 0)
        _exit((int)prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    EXPECT(wait_status(pid) == 1 << 8);
}

static void fork_limit(void *arg)
{
    struct rlimit rl = {20, 20};
    EXPECT(setrlimit(RLIMIT_NPROC, &rl) == 0);
    EXPECT(setuid(54321) == 0);
    struct gate go;
    gate_init(&go);
    int made = 0, refused = 0;
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(gate_wait(&go));
        if (pid > 0)
            made++;
        else if (errno == EAGAIN)
            refused++;
    }
    EXPECT(made == 19 && refused == 31);
    /* One out, one in: who has been waited for does not count any more, at once. */
    for (int i = 0; i < 1000; i++) {
        gate_open(&go);
        EXPECT(wait(NULL) > 0);
        pid_t pid = fork();
        if (pid == 0)
            _exit(gate_wait(&go));
        EXPECT(pid > 0);
        EXPECT(fork() == -1 && errno == EAGAIN);
    }
    for (int i = 0; i < made; i++) {
        gate_open(&go);
        EXPECT(wait(NULL) > 0);
    }
}

#define ROOT_TEST(name, fn)                                                                        \
    TEST(name)                                                                                     \
    {                                                                                              \
        if (is_root())                                                                             \
            CHECK_EQ(run_child(fn, NULL), 0);                                                      \
    }
ROOT_TEST(dropping, drop_all)
ROOT_TEST(saved_ids, saved_id)
ROOT_TEST(effective_id_and_capabilities, effective_caps)
ROOT_TEST(keepcaps, keep_caps)
ROOT_TEST(file_system_id, fsuid)
ROOT_TEST(supplementary_groups, groups)
ROOT_TEST(capset, capset_rules)
ROOT_TEST(bounding_and_ambient_sets, bounding_and_ambient)
ROOT_TEST(nproc_limit, fork_limit)

TEST(no_new_privileges)
{
    CHECK_EQ(run_child(no_new_privs, NULL), 0);
}

TEST(bad_ids)
{
    CHECK_ERR(setuid((uid_t)-1), EINVAL);
    CHECK_ERR(setgid((gid_t)-1), EINVAL);
    CHECK_ERR(getgroups(-1, NULL), EINVAL);
}
