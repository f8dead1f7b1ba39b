/* --strace: one line per call with decoded arguments. */
#ifndef SYS_STRACE_H
#define SYS_STRACE_H

#include "sys/sys.h"

extern bool sys_strace_on; /* set before the first task starts */

/* Where the lines go; default fd 2. */
void strace_set_fd(int fd);
/* The dispatcher's body when tracing is on. */
s64 strace_call(struct task *t, u32 nr, const u64 a[6]);

struct strace_name {
    u64 value;
    char name[32]; /* no pointer: see struct sys_arg */
};
/* A table of flag or value names by the name used in a row; NULL when there is none. */
struct strace_table {
    const char *id;
    bool is_bits; /* else exact values; a bit table may start with a value mask, see mask */
    u64 mask;     /* bits compared as a value first (O_ACCMODE, MAP_TYPE); 0 none */
    const struct strace_name *names; /* ends with an empty name */
};
const struct strace_table *strace_find_table(const char *id);
const char *strace_errno_name(int err);
const char *strace_signal_name(int signo);

#endif
