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
#include "kern/exec.h"
#include "kern/host_info.h"
#include "net/host/host.h"
#include "net/stack/stack.h"
#include "sentry/sentry.h"
#include "vfs/special.h"
#include "sys/strace.h"

#define LINKS_TIME NSEC_PER_SEC

static bool has_console_fd;
static struct start_fds first_fds;

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
    control_send(BOOT_FD_CONTROL, CTL_FAILED, 125, -err, text);
    return 1;
}

static int boot_first(struct bootcfg *cfg, struct container **ret_c, struct boot_error *e)
{
    int lanes[BOOT_MAX_LANES];
    bool is_listening = cfg->flags & BOOT_LISTEN,
         is_directfs = cfg->container.flags & BOOT_DIRECTFS;
    bool is_waiting = cfg->flags & BOOT_WAIT_START;
    has_console_fd = cfg->flags & BOOT_CONSOLE;
    for (u32 i = 0; i < cfg->container.nlanes; i++)
        lanes[i] = (int)(BOOT_FD_LANES + i);
    u32 first_passed = BOOT_FD_LANES + cfg->container.nlanes;
    int r = container_boot(&cfg->container, lanes, true, ret_c, e);
    if (r < 0)
        return r;
    first_fds =
        (struct start_fds){.std = {0, 1, 2}, .console = has_console_fd ? BOOT_FD_CONSOLE : -1};
    for (int i = 0; i < 3; i++)
        if ((*ret_c)->first.flags & (BOOT_P_NO_STDIN << i))
            first_fds.std[i] = -1;
    first_fds.npassed = MIN((*ret_c)->first.npassed, (u32)CTL_MAX_FDS);
    for (u32 i = 0; i < first_fds.npassed; i++)
        first_fds.passed[i] = (int)(first_passed + i);
    if (is_waiting) {
        r = container_check(*ret_c, &(*ret_c)->first, e);
        if (r < 0)
            return r;
    } else {
        (*ret_c)->is_start_asked = true;
    }
    r = platform_settle();
    if (r < 0)
        return boot_fail(e, 125, r, "start the platform's first stub", NULL);
    r = jail_install_filter(is_directfs, is_listening, root_net_ns->host);
    if (r < 0)
        return boot_fail(e, 125, r,
                         "install the sentry's filter of host calls (is seccomp in this kernel?)",
                         NULL);
    r = netstack_start(root_net_ns->stack);
    if (r == 0)
        r = resolver_start();
    if (r < 0)
        return boot_fail(e, 125, r, "start the network's threads", NULL);
    container_publish(*ret_c);
    control_start(*ret_c, is_listening);
    if (is_waiting)
        control_send(BOOT_FD_CONTROL, CTL_READY, 0, 0, NULL);
    return 0;
}

/* Answers, and the ends of other processes, are told by their own threads. */
static void await_links(struct container *c)
{
    (void)wait_event_interruptible(&c->wait, WAIT_ALL, atomic_load(&c->nlinks) == 0,
                                   deadline_after_ns(LINKS_TIME));
}

/* From the first program's start to its end, which is the sandbox's. */
static noreturn_fn void live(struct container *c)
{
    struct tgroup *init;
    struct console *con;
    struct boot_error e = {0};
    container_await_start(c);
    if (container_exec(c, &c->first, &first_fds, &init, &con, &e) < 0) {
        container_failed(c, &e);
        await_links(c);
        control_send(BOOT_FD_CONTROL, CTL_FAILED, e.status, e.err, e.text);
        _exit(1);
    }
    control_started(init, con);
    container_started(c, init);
    control_send(BOOT_FD_CONTROL, CTL_STARTED, 1, 0, NULL);
    int status = kern_wait_process(init);
    container_get(c);
    console_end(control_over());
    container_stopped(c, status);
    await_links(c);
    control_send(BOOT_FD_CONTROL, CTL_EXITED, status, 0, NULL);
    _exit(0); /* the pid namespace ends with us, and every stub in it */
}

/*
 * When the container's memory runs out the host's kernel looks for a process to kill. It shall find a
 * stub: a program's death, which the program's parent sees. Stubs are forks of a first one that is
 * made while this process offers itself; afterwards it takes that back. Where the command could
 * protect this process, stubs have the standing that the container was given, else the lowest.
 */
static int offer_stubs(int fd, s32 wanted)
{
    char text[16];
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = 0;
    int own = atoi(text);
    int size = snprintf(text, sizeof(text), "%d", own <= BOOT_OOM_PROTECTED ? wanted : 1000);
    if (pwrite(fd, text, (size_t)size, 0) < 0)
        log_warn("the sandbox's programs are not first to go when memory runs out: %s", strerror(errno));
    return own;
}

static void keep_from_oom(int fd, int own)
{
    char text[16];
    int size = snprintf(text, sizeof(text), "%d", own);
    if (fd >= 0 && pwrite(fd, text, (size_t)size, 0) < 0)
        log_warn("the sentry is not last to go when memory runs out: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
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
    int oom_fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
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
    int own_adj = offer_stubs(oom_fd, cfg.container.process.oom_score_adj);
    r = platform_start(&pc);
    if (r < 0)
        return fail("start the platform's first stub", r);
    keep_from_oom(oom_fd, own_adj);

    struct boot_error e = {0};
    struct container *c = NULL;
    r = boot_rooms(&e);
    boot_ids(&cfg);
    exec_family_of = container_family;
    vfs_may_device = container_may_device;
    if (r == 0)
        r = boot_network(&cfg, &e);
    if (r == 0)
        r = boot_first(&cfg, &c, &e);
    if (r < 0) {
        control_send(BOOT_FD_CONTROL, CTL_FAILED, e.status, e.err, e.text);
        return 1;
    }
    bootcfg_done(&cfg);
    live(c);
}
