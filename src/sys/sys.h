/*
 * sys: the table of system calls and their thin handlers.
 *
 * A row (in a table_*.inc file, one per area, beside the handlers' files)
 * generates the dispatch, the window shapes, the --strace printer, the output
 * of `cvisor syscalls` and docs/SYSCALLS.md:
 *
 *   SYS(openat, FULL, "", DFD, STR, FLAGS(open), OCT)
 *   SYS(ptrace, PARTIAL, "no PTRACE_SYSEMU", INT, INT, PTR, PTR)
 *   SYS(kexec_load, NONE, "privileged", PTR, UINT, PTR, HEX)     // no handler: ENOSYS
 *   SYS(swapon, ERR(EPERM), "as a container without privilege sees it", STR, INT)
 *
 * FULL and PARTIAL rows call `s64 sys_NAME(struct task *t, const u64 a[6])`.
 * A handler decodes, copies in, calls one room, copies out: under 40 lines.
 */
#ifndef SYS_SYS_H
#define SYS_SYS_H

#include "abi/nr.h"
#include "kern/task.h"

enum sys_support { SYS_UNKNOWN, SYS_NONE, SYS_PARTIAL, SYS_FULL, SYS_ERR };

enum sys_arg_kind {
    ARG_NONE,
    ARG_FD,    /* file descriptor */
    ARG_DFD,   /* directory fd or AT_FDCWD */
    ARG_INT,
    ARG_UINT,
    ARG_LONG,
    ARG_HEX,
    ARG_OCT,
    ARG_PTR,
    ARG_SIZE,
    ARG_SIGNO,
    ARG_FLAGS,   /* named bits or values */
    ARG_STR,     /* in: NUL-terminated */
    ARG_INBUF,   /* in: size in argument size_arg */
    ARG_OUTBUF,  /* out: room in argument size_arg, filled as far as the result says */
    ARG_INFIX,   /* in: size bytes */
    ARG_OUTFIX,  /* out: size bytes */
    ARG_INOUTFIX,
    ARG_INVEC,   /* in: size_arg elements of size bytes */
    ARG_OUTVEC,
};

/*
 * fmt is how strace prints a fixed struct or a flag word: "timespec", "stat", "open", …: a
 * printer's or flag table's name (strace_names.c), or "". The rows hold no pointers: each process
 * that starts would have to relocate them, page by page.
 */
struct sys_arg {
    u8 kind;
    u8 size_arg;
    u16 size;
    char fmt[16];
};

struct sys_entry {
    u8 support; /* enum sys_support */
    u8 nargs;
    s16 err; /* SYS_ERR: the errno returned */
    struct sys_arg args[6];
};

typedef s64 (*sys_handler_fn)(struct task *t, const u64 a[6]);

/* In the table's rows */
#define FD               {ARG_FD, 0, 0, ""}
#define DFD              {ARG_DFD, 0, 0, ""}
#define INT              {ARG_INT, 0, 0, ""}
#define UINT             {ARG_UINT, 0, 0, ""}
#define LONG             {ARG_LONG, 0, 0, ""}
#define HEX              {ARG_HEX, 0, 0, ""}
#define OCT              {ARG_OCT, 0, 0, ""}
#define PTR              {ARG_PTR, 0, 0, ""}
#define SIZE             {ARG_SIZE, 0, 0, ""}
#define SIGNO            {ARG_SIGNO, 0, 0, ""}
#define STR              {ARG_STR, 0, 0, ""}
#define FLAGS(table)     {ARG_FLAGS, 0, 0, #table}
#define INBUF(sz)        {ARG_INBUF, sz, 1, ""}
#define OUTBUF(sz)       {ARG_OUTBUF, sz, 1, ""}
#define INFIX(n, fmt)    {ARG_INFIX, 0, n, #fmt}
#define OUTFIX(n, fmt)   {ARG_OUTFIX, 0, n, #fmt}
#define INOUTFIX(n, fmt) {ARG_INOUTFIX, 0, n, #fmt}
#define INVEC(cnt, n, fmt)  {ARG_INVEC, cnt, n, #fmt}
#define OUTVEC(cnt, n, fmt) {ARG_OUTVEC, cnt, n, #fmt}

/* Prototypes of all handlers, from the rows: NONE and ERR have none. */
#define SYS_PROTO(name)        s64 sys_##name(struct task *t, const u64 a[6]);
#define SYS_NO_PROTO(name)
#define SYS_PROTO_OF_FULL      SYS_PROTO
#define SYS_PROTO_OF_PARTIAL   SYS_PROTO
#define SYS_PROTO_OF_NONE      SYS_NO_PROTO
#define SYS_PROTO_OF_ERR(e)    SYS_NO_PROTO
#define SYS(name, support, note_, ...) SYS_PROTO_OF_##support(name)
#include "sys/table_all.inc"
#undef SYS

extern const struct sys_entry sys_table[LX_NR_COUNT];
extern const sys_handler_fn sys_handlers[LX_NR_COUNT]; /* NULL: unsupported */

/* Looks up and calls; -LX_ENOSYS for what is not there. Sets shapes of the platform at start. */
s64 sys_dispatch(struct task *t, u32 nr, const u64 a[6]);
void sys_init(void);
/* The table for people: `cvisor syscalls`, docs/SYSCALLS.md (is_markdown). To a stdio fd. */
/* Name of any call of the ABI, supported or not; NULL when there is none. */
const char *sys_name(u32 nr);
void sys_print_table(int fd, bool is_markdown);

#endif
