/*
 * The boot configuration: what the command line tells a new sentry. It is
 * encoded into a memfd and read once at start. Also the messages of the
 * control socket between the two.
 *
 * Strings are at most BOOT_MAX_STRING bytes; decoding bounds everything and
 * fails as a whole.
 */
#ifndef WIRE_BOOTCFG_H
#define WIRE_BOOTCFG_H

#include "base/defs.h"

/* Fixed descriptor numbers in a sentry, besides 0, 1, 2 which are the application's. */
#define BOOT_FD_CONFIG  3
#define BOOT_FD_CONTROL 4
#define BOOT_FD_LOG     5
#define BOOT_FD_STRACE  6
/* In a gofer: 0 and 1 are /dev/null, 2 the log. */
#define BOOT_FD_GOFER_ROOT 3
#define BOOT_FD_GOFER_SELF 4
/* In both */
#define BOOT_FD_LANES   10 /* the first; bootcfg.nlanes of them */

#define BOOT_MAX_STRING  (128 * 1024)
#define BOOT_MAX_STRINGS 65536
#define BOOT_MAX_MOUNTS  1024
#define BOOT_MAX_LANES   64

/* bootcfg.flags */
#define BOOT_RW          1U  /* root is the gofer's tree itself, writable; else an overlay */
#define BOOT_TTY         2U  /* a pseudoterminal of the sandbox, bridged to fds 0 and 1 */
#define BOOT_STRACE      4U
#define BOOT_PATCH_OFF   8U
#define BOOT_MM_HELPER   16U
#define BOOT_PATH_SEARCH 32U
#define BOOT_ROOT_READONLY 64U
#define BOOT_DIRECTFS    128U
#define BOOT_NO_STDIN    256U /* the program has no descriptor 0; 512: no 1; 1024: no 2 */

struct boot_mount {
    char *type, *source, *target, *options;
    u32 flags;      /* MS_* */
    s32 attach;     /* gofer attach index for type "gofer", else -1 */
};

struct bootcfg {
    u32 flags;
    u32 log_level;
    u32 uid, gid;
    u32 nlanes;
    u32 rows, cols;      /* terminal size, 0 unknown */
    u64 rlimit_nofile;   /* host's hard limit, for the descriptor cache */
    u64 overlay_size;    /* bytes of the overlay's upper layer; 0: the default */
    u32 nargv, nenvp, ngroups, nmounts;
    char *hostname, *cwd;
    char **argv, **envp; /* NULL-terminated */
    u32 *groups;
    struct boot_mount *mounts;
};

void bootcfg_done(struct bootcfg *c);
/* Encodes into a malloc'ed buffer. -LX_ENOMEM, -LX_E2BIG. */
int bootcfg_encode(const struct bootcfg *c, void **ret_buf, size_t *ret_size) must_check;
/* -LX_EINVAL when malformed, -LX_ENOMEM. */
int bootcfg_decode(const void *buf, size_t size, struct bootcfg *ret_c) must_check;

/* Control messages: one SOCK_SEQPACKET datagram each. */
enum ctl_type {
    CTL_STARTED = 1, /* sentry → command: the application runs */
    CTL_FAILED,      /* sentry → command: exit status `a`, sentence in text */
    CTL_EXITED,      /* sentry → command: host-style wait status `a` */
    CTL_SIGNAL,      /* command → sentry: signal `a` to the first process */
    CTL_WINSIZE,     /* command → sentry: a rows, b columns */
};
struct ctl_msg {
    u32 type;
    s32 a, b;
    char text[500]; /* NUL-terminated */
};

#endif
