/*
 * The gofer's own confinement: root directory, capabilities, seccomp. The filter has two
 * forms: without a writable export the calls that change files are not there at all.
 */
#include "gofer/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/errno.h"
#include "host/seccomp.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define CAP_BIT(c) (1ULL << (c))

u32 confine_nofile(void)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
        return 1024;
    rl.rlim_cur = rl.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &rl); /* the old limit serves as well */
    return rl.rlim_cur > 1U << 20 ? 1U << 20 : (u32)rl.rlim_cur;
}

static int set_caps(u64 keep)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    if (syscall(SYS_capget, &h, d) < 0)
        return -errno;
    u64 have = d[0].permitted | (u64)d[1].permitted << 32;
    for (int c = 0; c <= 63; c++) { /* fails past the last capability, and without SETPCAP */
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
            break;
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* older kernels have none */
    keep &= have;
    for (int i = 0; i < 2; i++) {
        d[i].permitted = d[i].effective = (u32)(keep >> (32 * i));
        d[i].inheritable = 0;
    }
    return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

int confine_caps(const struct gofer_config *cfg, bool is_writable)
{
    u64 keep = CAP_BIT(CAP_DAC_READ_SEARCH);
    if (is_writable) {
        keep |= CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) |
                CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_SETFCAP);
    }
    if (cfg->jail_fd >= 0) {
        if (fchdir(cfg->jail_fd) < 0 || chroot(".") < 0)
            return -errno;
        close(cfg->jail_fd);
    }
    return set_caps(keep);
}

/* ---- filter -------------------------------------------------------------------------------- */

static const struct seccomp_rule read_rules[] = {
    {.nr = SYS_recvmsg},
    {.nr = SYS_sendto, .conds = {{4, SECCOMP_EQ, 0, 0}}}, /* send(): no address */
    {.nr = SYS_sendmsg},
    {.nr = SYS_statx},
    {.nr = SYS_openat2},
    {.nr = SYS_getdents64},
    {.nr = SYS_close},
    {.nr = SYS_readlinkat},
    {.nr = SYS_futex},
    {.nr = SYS_lseek},
    {.nr = SYS_fstatfs},
    {.nr = SYS_fgetxattr},
    {.nr = SYS_flistxattr},
    /* memory of libc */
    {.nr = SYS_brk},
    {.nr = SYS_mmap, .conds = {{2, SECCOMP_MASKED_EQ, 0, 4}, {3, SECCOMP_MASKED_EQ, 0x20, 0x20}}},
    {.nr = SYS_mprotect, .conds = {{2, SECCOMP_MASKED_EQ, 0, 4}}},
    {.nr = SYS_munmap},
    {.nr = SYS_mremap},
    {.nr = SYS_madvise},
    {.nr = SYS_write}, /* the log */
    {.nr = SYS_clock_gettime},
    {.nr = SYS_rt_sigprocmask}, /* a thread's end, abort */
    {.nr = SYS_rt_sigreturn},
    {.nr = SYS_getpid},
    {.nr = SYS_gettid},
    {.nr = SYS_tgkill},
    {.nr = SYS_exit},
    {.nr = SYS_exit_group},
};

static const struct seccomp_rule write_rules[] = {
    {.nr = SYS_fsync},
    {.nr = SYS_fdatasync},
    {.nr = SYS_syncfs},
    {.nr = SYS_ftruncate},
    {.nr = SYS_mkdirat},
    {.nr = SYS_mknodat},
    {.nr = SYS_symlinkat},
    {.nr = SYS_linkat},
    {.nr = SYS_unlinkat},
    {.nr = SYS_renameat2},
    {.nr = SYS_fchownat},
    {.nr = SYS_fchmodat},
    {.nr = SYS_fchmodat2},
    {.nr = SYS_utimensat},
    {.nr = SYS_fsetxattr},
    {.nr = SYS_fremovexattr},
    {.nr = SYS_fcntl, .conds = {{1, SECCOMP_EQ32, F_DUPFD_CLOEXEC, 0}}},
};

#define NREAD  ARRAY_SIZE(read_rules)
#define NWRITE ARRAY_SIZE(write_rules)

static size_t rules_of(bool is_writable, struct seccomp_rule *ret)
{
    memcpy(ret, read_rules, sizeof(read_rules));
    if (!is_writable)
        return NREAD;
    memcpy(ret + NREAD, write_rules, sizeof(write_rules));
    return NREAD + NWRITE;
}

int confine_filter(bool is_writable)
{
    static struct seccomp_rule rules[NREAD + NWRITE];
    size_t n = rules_of(is_writable, rules);
    return seccomp_install(rules, n, SECCOMP_RET_KILL_PROCESS, true);
}

void gofer_print_filter(int fd, const char *(*name_of)(u32 nr))
{
    static struct seccomp_rule rules[NREAD + NWRITE];
    size_t n = rules_of(true, rules);
    seccomp_print(fd, "gofer (the calls from fsync on only with a writable export)", rules, n,
                  SECCOMP_RET_KILL_PROCESS, name_of);
}
