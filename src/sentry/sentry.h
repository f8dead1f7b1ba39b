/*
 * sentry: wiring. From a fresh process in new namespaces to a running
 * container: empty root, no capabilities, platform, kernel, mounts, filter,
 * first process; then the control socket.
 */
#ifndef SENTRY_SENTRY_H
#define SENTRY_SENTRY_H

#include "kern/task.h"
#include "wire/bootcfg.h"

/* The whole life of a sentry process. Returns its exit status. */
int sentry_main(void);

/* jail.c: what the host still lets this process do. Each returns 0 or -LX_E*; *ret_step names the
 * step that failed. */
int jail_empty_root(const char **ret_step) must_check;
int jail_drop_privileges(const char **ret_step) must_check;
int jail_install_filter(bool is_directfs) must_check;
/* Prints the sentry's filter, for docs/SECURITY.md. */
void jail_print_filter(int fd);

/* boot.c */
struct boot_error {
    int status; /* exit status for the command */
    char text[480];
};
/* Root and other mounts, then the first process. -1 with *e filled. */
int boot_container(const struct bootcfg *cfg, struct tgroup **ret_init, struct boot_error *e) must_check;

/* console.c: the sandbox's own pseudoterminal, bridged to the host fds 0 and 1. */
int console_open(u32 rows, u32 cols, struct file **ret_slave) must_check;
void console_start(void);
void console_resize(u32 rows, u32 cols);
/* Until all output that was written has gone to the host; bounded. */
void console_drain(void);

/* control.c */
void control_start(struct tgroup *init);
void control_send(u32 type, s32 a, const char *text);

#endif
