/*
 * Control: what commands outside say to a running sentry, and its answers.
 *
 * Transport: SOCK_SEQPACKET; one message is one datagram of at most CTL_MAX_MSG
 * bytes, host descriptors ride along. There are two kinds of connection:
 *
 *   a link     one for each process that somebody outside stands for (a container's
 *              first process, an exec): CTL_FAILED, or CTL_READY, CTL_STARTED and CTL_EXITED come
 *              on it; CTL_SIGNAL and CTL_WINSIZE go to that process. When it hangs up, the process
 *              is killed. The first container's is BOOT_FD_CONTROL; others begin with CTL_CREATE or
 *              CTL_EXEC on a new connection.
 *   a request  a new connection to the listening socket, one message, one answer (CTL_OK,
 *              CTL_FAILED, with data); or CTL_WAIT, whose answer is CTL_EXITED.
 *
 * Neither side believes the other: a decoder succeeds only when every field is
 * within its bounds.
 */
#ifndef WIRE_CONTROL_H
#define WIRE_CONTROL_H

#include "abi/errno.h"
#include "wire/wire.h"

#define CTL_VERSION  1U
#define CTL_MAX_MSG  32768U
#define CTL_MAX_ID   1024U
#define CTL_MAX_DATA 30000U
#define CTL_MAX_FDS  48U

enum ctl_type {
    CTL_NONE,
    /* on a link, from the sentry */
    CTL_READY,   /* all is set up; the program waits for CTL_START */
    CTL_STARTED, /* the program runs; a: its pid as the container sees it */
    CTL_FAILED,  /* a: exit status for the command, b: errno; data: a sentence */
    CTL_EXITED,  /* a: host-style wait status */
    /* on a link, to the sentry */
    CTL_WINSIZE, /* a rows, b columns */
    CTL_SIGNAL,  /* signal a to the link's process. As a request: to container id, b: CTL_SIG_ALL */
    /* requests about container id */
    CTL_START,
    CTL_CREATE, /* a further container, of the pod whose first is id; becomes a link. fds: config,
                   then as CTL_EXEC has them, then b lanes of its gofer */
    CTL_EXEC,  /* becomes a link. fds: config, then 0, 1, 2 as a says (bit: present), then passed */
    CTL_STATE, /* CTL_OK with a: enum ctl_state, b: number of processes */
    CTL_PAUSE,
    CTL_RESUME,
    CTL_PS,    /* CTL_OK with data: struct ctl_proc each; a: how many there are in all */
    CTL_STATS, /* CTL_OK with data: struct ctl_stats */
    CTL_UPDATE, /* data: struct ctl_limits */
    CTL_WAIT,
    CTL_NET, /* interfaces for a sandbox whose first container has not started. fds: a netcfg, then what each
                interface's frames come and go by */
    CTL_VIEW, /* on a link: a: from the how manieth process on; the answer has the type, too, a: how many there are,
                 b: the first one told, data: struct ctl_view each */
    CTL_OK,
    CTL_NTYPES,
};

#define CTL_EXEC_EARLY 1 /* CTL_EXEC.b: before the container's program has started (a hook) */
#define CTL_SIG_ALL 1 /* every process of the container */

/* CTL_EXEC.a and CTL_CREATE.a: which descriptors follow the configuration */
#define CTL_HAS_STDIN   1 /* 2: output, 4: error */
#define CTL_HAS_CONSOLE 8 /* one descriptor, the host's terminal, instead of the three */

enum ctl_state { CTL_ST_CREATED = 1, CTL_ST_RUNNING, CTL_ST_PAUSED, CTL_ST_STOPPED };

struct ctl_proc {
    s32 pid, ppid;
    u32 uid, ntasks;
    u64 start_ns, cpu_ns; /* since the sandbox began; used */
    s32 tty;              /* number of its pts, -1: none */
    char cmd[100];        /* NUL-terminated */
};

/* A process as the host is shown it below the container's root (oci/procview.h). */
struct ctl_view {
    s32 pid, ppid, pgrp, session;
    u32 uid[4], gid[4]; /* real, effective, saved, of the file system */
    u64 caps[5];        /* inheritable, permitted, effective, bounding, ambient */
    u64 start_ns, user_ns, system_ns; /* since the host began; used */
    u32 ntasks;
    s32 tty, nice; /* device number, 0: none */
    u8 state, is_no_new_privs, seccomp, pad;
    u32 nargs; /* bytes of args */
    char comm[16]; /* NUL-terminated */
    char args[256]; /* each NUL-terminated, but for one that is cut */
};

/* What a container may use from now on; the host's cgroups have it already. */
struct ctl_limits {
    u32 valid;              /* CTL_L_*: what is to be changed */
    u32 pad;
    u64 max_tasks;          /* 0: no limit */
    u64 memory;             /* bytes; 0: no limit */
    u64 cpu_quota_us, cpu_period_us; /* 0: no limit; the default */
};
#define CTL_L_TASKS      1U
#define CTL_L_MEMORY     2U
#define CTL_L_CPU_QUOTA  4U
#define CTL_L_CPU_PERIOD 8U

struct ctl_stats {
    u64 cpu_user_ns, cpu_system_ns, memory_bytes;
    u64 ntasks, nprocesses;
    u64 read_bytes, written_bytes;
};

struct ctl_msg {
    u32 type;
    s32 a, b;
    struct wire_bytes id, data; /* point into the message's buffer, or are the caller's */
};

/* Bytes written, 0 when it does not fit. */
size_t ctl_encode(const struct ctl_msg *m, void *buf, size_t cap) must_check;
bool ctl_decode(const void *buf, size_t size, struct ctl_msg *ret) must_check;
/* True for an id that may name a container: 1 to CTL_MAX_ID of [A-Za-z0-9_+.-], not "." or "..". */
bool ctl_id_is_ok(const char *id, size_t size);

#endif
