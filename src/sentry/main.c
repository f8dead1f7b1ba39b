/*
 * A sentry's life: confine, boot, wait for the first process, report.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "kern/host_info.h"
#include "sentry/sentry.h"
#include "sys/strace.h"

static int read_config(struct bootcfg *ret_cfg)
{
    struct stat st;
    if (fstat(BOOT_FD_CONFIG, &st) < 0 || st.st_size <= 0)
        return -LX_EINVAL;
    void *buf = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, BOOT_FD_CONFIG, 0);
    if (buf == MAP_FAILED)
        return -errno;
    int r = bootcfg_decode(buf, (size_t)st.st_size, ret_cfg);
    munmap(buf, (size_t)st.st_size);
    close(BOOT_FD_CONFIG);
    return r;
}

/* Says why the sandbox cannot be and ends. */
static int fail(const char *step, int err)
{
    char text[256];
    snprintf(text, sizeof(text), "cannot start the sandbox: the sentry cannot %s: %s", step,
             strerror(-err));
    control_send(CTL_FAILED, 125, text);
    return 1;
}

int sentry_main(void)
{
    struct bootcfg cfg;
    const char *step = "read its configuration";
    log_set_name("sentry");
    log_set_fd(BOOT_FD_LOG);
    prctl(PR_SET_NAME, "sentry");

    /* The command keeps its end of the control socket; when it dies, so do we. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int r = read_config(&cfg);
    if (r < 0)
        return fail(step, r);
    log_level = cfg.log_level;
    sys_strace_on = cfg.flags & BOOT_STRACE;
    strace_set_fd(BOOT_FD_STRACE);

    /* Descriptors are the sandbox's to use up to the hard limit. */
    struct rlimit nofile;
    if (getrlimit(RLIMIT_NOFILE, &nofile) == 0) {
        nofile.rlim_cur = nofile.rlim_max;
        setrlimit(RLIMIT_NOFILE, &nofile);
    }
    /* Host signals find no thread of ours, but for faults. */
    sigset_t set;
    sigfillset(&set);
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGABRT};
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        sigdelset(&set, faults[i]);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);

    host_info_gather();
    step = "find the host's vDSO";
    r = platform_probe();
    if (r < 0)
        return fail(step, r);
    r = jail_empty_root(&step);
    if (r < 0)
        return fail(step, r);
    r = jail_drop_privileges(&step);
    if (r < 0)
        return fail(step, r);

    struct platform_config pc = {
        .is_helper_mm_only = cfg.flags & BOOT_MM_HELPER,
        .is_patching_off = cfg.flags & BOOT_PATCH_OFF,
    };
    r = platform_init(&pc);
    if (r < 0)
        return fail("start the platform's first stub", r);

    struct tgroup *init;
    struct boot_error e = {0};
    r = boot_container(&cfg, &init, &e);
    if (r < 0) {
        control_send(CTL_FAILED, e.status, e.text);
        return 1;
    }
    bootcfg_done(&cfg);
    control_start(init);
    control_send(CTL_STARTED, 0, NULL);
    int status = kern_wait_process(init);
    console_drain();
    control_send(CTL_EXITED, status, NULL);
    _exit(0); /* the pid namespace ends with us, and every stub in it */
}
