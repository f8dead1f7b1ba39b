/*
 * --strace: prints each call of each task when it returns, with arguments
 * decoded as their row says. Calls that do not return (exit) and those that
 * replace what they were given (execve) are printed on the way in.
 */
#include "sys/strace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/socket.h"

#define LINE_SIZE   2048
#define STRING_SHOWN 80

bool sys_strace_on;
static int strace_fd = 2;

struct line {
    char text[LINE_SIZE];
    size_t size;
};

void strace_set_fd(int fd)
{
    strace_fd = fd;
}

static void put(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(l->text + l->size, LINE_SIZE - l->size, fmt, ap);
    va_end(ap);
    if (n > 0)
        l->size = MIN(l->size + (size_t)n, (size_t)LINE_SIZE - 2);
}

static void put_bytes(struct line *l, const u8 *p, size_t n, bool is_cut)
{
    put(l, "\"");
    for (size_t i = 0; i < n; i++) {
        u8 c = p[i];
        if (c == '\n')
            put(l, "\\n");
        else if (c == '\t')
            put(l, "\\t");
        else if (c == '\r')
            put(l, "\\r");
        else if (c == '"' || c == '\\')
            put(l, "\\%c", c);
        else if (c >= 32 && c < 127)
            put(l, "%c", c);
        else
            put(l, "\\%o", c);
    }
    put(l, is_cut ? "\"..." : "\"");
}

static void put_str(struct line *l, u64 addr)
{
    char buf[STRING_SHOWN + 1];
    if (!addr) {
        put(l, "NULL");
        return;
    }
    s64 n = copy_in_str(buf, uaddr(addr), sizeof(buf));
    if (n >= 0)
        put_bytes(l, (const u8 *)buf, (size_t)n, false);
    else if (n == -LX_ENAMETOOLONG)
        put_bytes(l, (const u8 *)buf, STRING_SHOWN, true);
    else
        put(l, "0x%llx", (unsigned long long)addr);
}

static void put_buf(struct line *l, u64 addr, u64 size)
{
    u8 buf[STRING_SHOWN];
    size_t n = MIN(size, sizeof(buf));
    if (!addr || copy_in(buf, uaddr(addr), n))
        put(l, addr ? "0x%llx" : "NULL", (unsigned long long)addr);
    else
        put_bytes(l, buf, n, size > n);
}

static void put_flags(struct line *l, const char *id, u64 v)
{
    const struct strace_table *tab = strace_find_table(id);
    if (!tab) {
        put(l, "0x%llx", (unsigned long long)v);
        return;
    }
    bool is_first = true;
    const struct strace_name *n = tab->names;
    if (!tab->is_bits) {
        for (; *n->name; n++)
            if (n->value == v) {
                put(l, "%s", n->name);
                return;
            }
        put(l, "%lld", (long long)v);
        return;
    }
    if (tab->mask) {
        for (; *n->name && !(n->value & ~tab->mask); n++)
            if (n->value == (v & tab->mask)) {
                put(l, "%s", n->name);
                is_first = false;
                v &= ~tab->mask;
                break;
            }
    }
    for (; *n->name; n++)
        if (n->value && (v & n->value) == n->value) {
            put(l, is_first ? "%s" : "|%s", n->name);
            is_first = false;
            v &= ~n->value;
        }
    if (v || is_first)
        put(l, is_first ? "0x%llx" : "|0x%llx", (unsigned long long)v);
}

static void put_sockaddr(struct line *l, const u8 *b, size_t n)
{
    u16 family;
    memcpy(&family, b, 2);
    if (family == LX_AF_UNIX) {
        put(l, "{AF_UNIX, ");
        size_t len = n > 2 ? (b[2] ? strnlen((const char *)b + 2, n - 2) : n - 2) : 0;
        put_bytes(l, b + 2, MIN(len, (size_t)STRING_SHOWN), false);
        put(l, "}");
    } else if (family == LX_AF_INET && n >= 8) {
        put(l, "{AF_INET, %u.%u.%u.%u:%u}", b[4], b[5], b[6], b[7], b[2] << 8 | b[3]);
    } else if (family == LX_AF_INET6 && n >= 24) {
        put(l, "{AF_INET6, [");
        for (int i = 0; i < 16; i += 2)
            put(l, i ? ":%x" : "%x", b[8 + i] << 8 | b[9 + i]);
        put(l, "]:%u}", b[2] << 8 | b[3]);
    } else {
        put(l, "{family %u}", family);
    }
}

/* A struct of fixed size, by its printer's name; the fall-back is its address. */
static void put_fixed(struct line *l, const char *fmt, u64 addr, size_t size)
{
    u8 b[256];
    s64 q[4];
    size_t n = MIN(size, sizeof(b));
    if (!addr) {
        put(l, "NULL");
        return;
    }
    if (!*fmt || copy_in(b, uaddr(addr), n)) {
        put(l, "0x%llx", (unsigned long long)addr);
        return;
    }
    memcpy(q, b, MIN(n, sizeof(q)));
    if (!strcmp(fmt, "timespec") || !strcmp(fmt, "timeval"))
        put(l, "{%lld, %lld}", (long long)q[0], (long long)q[1]);
    else if (!strcmp(fmt, "rlimit"))
        put(l, "{cur=%lld, max=%lld}", (long long)q[0], (long long)q[1]);
    else if (!strcmp(fmt, "sigset"))
        put(l, "[0x%llx]", (unsigned long long)q[0]);
    else if (!strcmp(fmt, "int") && n >= 4)
        put(l, "[%d]", (int)q[0]);
    else if (!strcmp(fmt, "pipe") && n >= 8)
        put(l, "[%d, %d]", (int)(q[0] & 0xffffffff), (int)(q[0] >> 32));
    else if (!strcmp(fmt, "stat") && n >= 56) {
        u32 mode;
        u64 st_size;
        memcpy(&mode, b + 24, 4);
        memcpy(&st_size, b + 48, 8);
        put(l, "{mode=0%o, size=%llu}", mode, (unsigned long long)st_size);
    } else if (!strcmp(fmt, "sigaction"))
        put(l, "{handler=0x%llx, flags=0x%llx, mask=0x%llx}", (unsigned long long)q[0],
            (unsigned long long)q[1], (unsigned long long)q[3]);
    else
        put(l, "0x%llx", (unsigned long long)addr);
}

static void put_arg(struct line *l, const struct sys_arg *arg, const u64 a[6], int i, bool is_done,
                    s64 result)
{
    u64 v = a[i];
    bool is_ok = is_done && result >= 0;
    switch (arg->kind) {
    case ARG_FD:
    case ARG_INT:
        put(l, "%d", (int)v);
        return;
    case ARG_DFD:
        if ((int)v == LX_AT_FDCWD)
            put(l, "AT_FDCWD");
        else
            put(l, "%d", (int)v);
        return;
    case ARG_UINT:
        put(l, "%u", (u32)v);
        return;
    case ARG_LONG:
        put(l, "%lld", (long long)v);
        return;
    case ARG_SIZE:
        put(l, "%llu", (unsigned long long)v);
        return;
    case ARG_OCT:
        put(l, "0%llo", (unsigned long long)(v & 0xffffffff));
        return;
    case ARG_SIGNO: {
        const char *name = strace_signal_name((int)v);
        if (name)
            put(l, "%s", name);
        else
            put(l, "%d", (int)v);
        return;
    }
    case ARG_FLAGS:
        put_flags(l, arg->fmt, v);
        return;
    case ARG_STR:
        put_str(l, v);
        return;
    case ARG_INBUF:
        if (!strcmp(arg->fmt, "sockaddr")) {
            u8 b[128];
            size_t n = MIN(a[arg->size_arg], sizeof(b));
            if (v && n >= 2 && !copy_in(b, uaddr(v), n)) {
                put_sockaddr(l, b, n);
                return;
            }
        }
        put_buf(l, v, a[arg->size_arg]);
        return;
    case ARG_OUTBUF:
        if (is_ok)
            put_buf(l, v, MIN((u64)result, a[arg->size_arg]));
        else
            put(l, "0x%llx", (unsigned long long)v);
        return;
    case ARG_INFIX:
    case ARG_INOUTFIX:
        put_fixed(l, arg->fmt, v, arg->size);
        return;
    case ARG_OUTFIX:
        if (is_ok)
            put_fixed(l, arg->fmt, v, arg->size);
        else
            put(l, "0x%llx", (unsigned long long)v);
        return;
    default:
        put(l, v ? "0x%llx" : "NULL", (unsigned long long)v);
        return;
    }
}

static void begin(struct line *l, struct task *t, u32 nr)
{
    l->size = 0;
    const char *name = sys_name(nr);
    put(l, "[%d] %s(", t->vt.pid, name ? name : "syscall");
}

static void finish(struct line *l, const char *tail)
{
    put(l, "%s", tail);
    if (l->size > LINE_SIZE - 2)
        l->size = LINE_SIZE - 2;
    l->text[l->size++] = '\n';
    if (write(strace_fd, l->text, l->size) < 0)
        return; /* nowhere to say it */
}

static void put_args(struct line *l, u32 nr, const u64 a[6], bool is_done, s64 result)
{
    const struct sys_entry *e = &sys_table[nr];
    for (int i = 0; i < e->nargs; i++) {
        if (i)
            put(l, ", ");
        put_arg(l, &e->args[i], a, i, is_done, result);
    }
}

s64 strace_call(struct task *t, u32 nr, const u64 a[6])
{
    struct line l;
    bool is_early = nr == LX_NR_exit || nr == LX_NR_exit_group || nr == LX_NR_execve ||
                    nr == LX_NR_execveat || nr == LX_NR_rt_sigreturn;
    if (nr >= LX_NR_COUNT)
        return sys_dispatch(t, nr, a);
    if (is_early) {
        begin(&l, t, nr);
        put_args(&l, nr, a, false, 0);
        finish(&l, ") ...");
    }
    s64 r = sys_dispatch(t, nr, a);
    begin(&l, t, nr);
    if (is_early)
        put(&l, "...");
    else
        put_args(&l, nr, a, true, r);
    if (r < 0 && r > -4096) {
        const char *name = strace_errno_name((int)-r);
        put(&l, ") = -1 %s", name ? name : "E?");
    } else {
        put(&l, r > 0xffffff || r < 0 ? ") = 0x%llx" : ") = %lld", (unsigned long long)r);
    }
    finish(&l, "");
    return r;
}
