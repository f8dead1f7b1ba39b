/*
 * The table of system calls, generated from the rows of table_*.inc, and its
 * dispatch. The support word of a row selects its macros by pasting: FULL and
 * PARTIAL declare a handler; NONE and ERR(Exxx) have none.
 */
#include "sys/sys.h"

#include "base/log.h"
#include "sys/strace.h"

#define SYS_IS_FULL               SYS_FULL
#define SYS_IS_PARTIAL            SYS_PARTIAL
#define SYS_IS_NONE               SYS_NONE
#define SYS_IS_ERR(e)             SYS_ERR
#define SYS_ERRNO_FULL            0
#define SYS_ERRNO_PARTIAL         0
#define SYS_ERRNO_NONE            LX_ENOSYS
#define SYS_ERRNO_ERR(e)          LX_##e

#define SYS_POINTER(name)         sys_##name
#define SYS_NO_POINTER(name)      NULL
#define SYS_POINTER_OF_FULL       SYS_POINTER
#define SYS_POINTER_OF_PARTIAL    SYS_POINTER
#define SYS_POINTER_OF_NONE       SYS_NO_POINTER
#define SYS_POINTER_OF_ERR(e)     SYS_NO_POINTER

#define SYS_COUNT_ARGS(...) (sizeof((struct sys_arg[]){__VA_ARGS__}) / sizeof(struct sys_arg))

#define SYS(name_, support_, note_, ...)                                                           \
    [LX_NR_##name_] = {                                                                            \
        .support = SYS_IS_##support_,                                                              \
        .err = SYS_ERRNO_##support_,                                                               \
        .nargs = SYS_COUNT_ARGS(__VA_ARGS__),                                                      \
        .args = {__VA_ARGS__},                                                                     \
    },
const struct sys_entry sys_table[LX_NR_COUNT] = {
#include "sys/table_all.inc"
};
#undef SYS

#define SYS(name_, support_, note_, ...) [LX_NR_##name_] = SYS_POINTER_OF_##support_(name_),
const sys_handler_fn sys_handlers[LX_NR_COUNT] = {
#include "sys/table_all.inc"
};
#undef SYS

static _Atomic bool has_warned[LX_NR_COUNT];
static _Atomic u64 unsupported_count;

/* Says once a call that somebody asked for it. */
static s64 unsupported(u32 nr)
{
    atomic_fetch_add_explicit(&unsupported_count, 1, memory_order_relaxed);
    if (nr >= LX_NR_COUNT) {
        log_once(LOG_INFO, "system call %u is unknown: ENOSYS", nr);
        return -LX_ENOSYS;
    }
    const char *name = sys_name(nr);
    if (!atomic_exchange_explicit(&has_warned[nr], true, memory_order_relaxed))
        log_info("system call %u (%s) is not supported: ENOSYS", nr, name ? name : "?");
    return -LX_ENOSYS;
}

s64 sys_dispatch(struct task *t, u32 nr, const u64 a[6])
{
    if (unlikely(nr >= LX_NR_COUNT))
        return unsupported(nr);
    sys_handler_fn handler = sys_handlers[nr];
    if (likely(handler != NULL))
        return handler(t, a);
    const struct sys_entry *e = &sys_table[nr];
    return e->support == SYS_ERR ? -e->err : unsupported(nr);
}

static struct ushape shape_of(const struct sys_arg *arg)
{
    static const u8 kinds[] = {
        [ARG_STR] = USHAPE_IN_STR,        [ARG_INBUF] = USHAPE_IN_BUF,
        [ARG_OUTBUF] = USHAPE_OUT_BUF,    [ARG_INFIX] = USHAPE_IN_FIXED,
        [ARG_OUTFIX] = USHAPE_OUT_FIXED,  [ARG_INOUTFIX] = USHAPE_INOUT_FIXED,
        [ARG_INVEC] = USHAPE_IN_BUF,      [ARG_OUTVEC] = USHAPE_OUT_BUF,
    };
    struct ushape s = {USHAPE_NONE, 0, 0};
    if (arg->kind < ARRAY_SIZE(kinds) && kinds[arg->kind] != USHAPE_NONE) {
        s.kind = kinds[arg->kind];
        s.size_arg = arg->size_arg;
        s.elem_size = arg->size;
    }
    return s;
}

void sys_init(void)
{
    for (u32 nr = 0; nr < LX_NR_COUNT; nr++) {
        struct ushape shapes[6];
        const struct sys_entry *e = &sys_table[nr];
        if (!sys_handlers[nr])
            continue;
        for (int i = 0; i < 6; i++)
            shapes[i] = shape_of(&e->args[i]);
        platform_set_shapes(nr, shapes);
    }
    if (sys_strace_on)
        kern_hooks.fastpath_off |= FASTPATH_OFF_STRACE;
    kern_hooks.syscall = sys_strace_on ? strace_call : sys_dispatch;
}
