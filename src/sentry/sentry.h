/*
 * sentry: wiring. From a fresh process in new namespaces to a running
 * container: empty root, no capabilities, platform, kernel, mounts, filter,
 * first process; then the control connections.
 */
#ifndef SENTRY_SENTRY_H
#define SENTRY_SENTRY_H

#include "kern/task.h"
#include "wire/bootcfg.h"
#include "wire/control.h"

/* The whole life of a sentry process. Returns its exit status. */
int sentry_main(void);

/* jail.c: what the host still lets this process do. Each returns 0 or -LX_E*; *ret_step names the
 * step that failed. */
int jail_empty_root(const char **ret_step) must_check;
int jail_drop_privileges(const char **ret_step) must_check;
int jail_install_filter(bool is_directfs, bool is_listening, bool is_host_net) must_check;
/* Ends a mount that was only needed to make the root: that waits for the host's other processors. */
void jail_settle(void);
/* Prints the sentry's filter, for docs/SECURITY.md. */
void jail_print_filter(int fd);

struct boot_error {
    int status; /* exit status for the command */
    int err;    /* errno, positive */
    char text[480];
};
/* Fills e: "cannot WHAT 'ON': why". Returns -1. */
int boot_fail(struct boot_error *e, int status, int err, const char *what, const char *on);

/* console.c: a pseudoterminal of the current container, bridged to the host fds in and out. */
struct console;
/* Both fds are consumed by success. is_own_terminal: their end hangs up the container's terminal.
 */
int console_new(int in, int out, bool is_own_terminal, u32 rows, u32 cols, struct console **ret_c,
                struct file **ret_slave) must_check;
int console_start(struct console *c) must_check;
void console_resize(struct console *c, u32 rows, u32 cols); /* NULL is fine */
/* Until all output that was written has gone to the host, bounded; then ends it. Consumes c. */
void console_end(struct console *c);

/* boot.c: a container's root, mounts and devices. */
struct container;
int boot_rooms(struct boot_error *e) must_check;
int boot_network(const struct bootcfg *cfg, struct boot_error *e) must_check;
/* For a sandbox that has started, but no program in it: the interfaces' descriptors come in fds, and
 * are taken. -LX_E* */
int boot_network_late(const void *config, size_t size, int *fds, u32 nfds) must_check;
/* The ids that the sandbox has, and how the owners of its files are told. */
void boot_ids(const struct bootcfg *cfg);
/*
 * lanes: cfg->nlanes descriptors, consumed. is_first: it lives in the sandbox's root namespaces;
 * else in a pid (unless it shares one) and a mount namespace of its own. Strings and the process are taken out of cfg.
 */
int container_boot(struct boot_container *cfg, const int *lanes, bool is_first,
                   struct container **ret_c, struct boot_error *e) must_check;

/*
 * A container: what its processes begin with. Found by id; lives as long as somebody refers to it.
 *
 * container.lock → kern's task_lock; containers_lock is a leaf.
 */
struct container {
    struct ref ref;
    struct list node; /* guarded by containers_lock */
    char *id;         /* immutable; may be empty (cvisor do) */
    bool is_first;
    bool is_pid_shared; /* its first process is not the first of a pid namespace */
    struct freezer freezer;
    struct task_limits limits;
    struct boot_dev_rule *dev_rules; /* immutable, as their number */
    u32 ndev_rules;
    struct fs_ctx *fs;  /* its root; immutable */
    struct nsproxy *ns; /* immutable */
    struct stub_family *family; /* owned: of stubs in control groups of its own; NULL: the first; immutable */
    struct mutex lock;
    enum ctl_state state; /* guarded by lock, as all below */
    bool is_start_asked;
    struct boot_process first; /* until it has started */
    struct tgroup *init;       /* owned; NULL: not yet, or over */
    int status;                /* wait status, when stopped */
    struct boot_error failure; /* why the first could not be started; status 0: none */
    struct waitq wait;         /* for start, and for the end */
    _Atomic u32 nlinks;        /* answers and ends of processes that have yet to be told */
};

/* copyup.c: what directory `from` holds, below the directory `to`; depth 0. */
int copyup_dir(const struct path *from, const char *to, u32 depth) must_check;

/* container.c */
struct container *container_find(const char *id, size_t size); /* referenced; NULL: none */
void container_get(struct container *c);
void container_put(struct container *c);
void container_publish(struct container *c);
/* Its programs run in the control groups whose cgroup.procs these are, if the host lets them. Before
 * it is published. */
void container_join_cgroups(struct container *c, const int *fds, u32 nfds);
struct stub_family *container_family(void *container);
/* For vfs_may_device: the calling task's container. */
bool container_may_device(bool is_block, u32 major, u32 minor, u32 access);

/* The standard descriptors of a process to be started: host fds, -1: closed. Consumed. */
struct start_fds {
    int std[3];
    int console; /* with BOOT_P_TTY: the host's terminal, or -1: std[0] and std[1] */
    u32 npassed;
    int passed[CTL_MAX_FDS];
};
/*
 * Starts a process of c; the first when p is &c->first. *ret_console is NULL without a terminal.
 * e->err is -err.
 */
int container_exec(struct container *c, struct boot_process *p, struct start_fds *fds,
                   struct tgroup **ret_tg, struct console **ret_console,
                   struct boot_error *e) must_check;
/* Whether p's program and working directory can be had, before it is started. */
int container_check(struct container *c, const struct boot_process *p,
                    struct boot_error *e) must_check;
/* The two sides of a start: who is to make it, and who asks for it and hears how it went. */
void container_await_start(struct container *c);
int container_ask_start(struct container *c) must_check;
int container_await_started(struct container *c, struct boot_error *ret_e) must_check;
void container_failed(struct container *c, const struct boot_error *e);
void container_started(struct container *c, struct tgroup *init);
void container_stopped(struct container *c, int status);
int container_wait(struct container *c); /* its wait status */
/* As Linux from an ancestor namespace: pid 1 takes what it has a handler for, KILL and STOP. */
int process_signal(struct tgroup *g, int signo) must_check;
int container_signal(struct container *c, int signo, bool is_all) must_check;
int container_pause(struct container *c) must_check;
int container_resume(struct container *c) must_check;
/* Fills at most max; how many there are. */
u32 container_ps(struct container *c, struct ctl_proc *procs, u32 max);
/* view.c: max of them at most, from the first'th on; how many there are in all, zombies too. What is not
 * told has the pid 0. */
u32 container_view(struct container *c, u32 first, struct ctl_view *ret, u32 max);
void container_stats(struct container *c, struct ctl_stats *ret);

/* control.c */
void control_send(int fd, u32 type, s32 a, s32 b, const char *text);
/* Serves the link of the first container's program, whose hang-up ends the sandbox, and commands
 * that connect. */
void control_start(struct container *c, bool is_listening);
void control_started(struct tgroup *init, struct console *con);
struct console *control_over(void); /* the console, to be ended; or NULL */

#endif
