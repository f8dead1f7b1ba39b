/*
 * The kernel's log: lines with a level and the time since the sandbox began, in a buffer of fixed
 * size whose oldest lines go first. What is in it is about the guest's kernel alone; the host's
 * is never shown.
 *
 * Positions count bytes since the beginning, so that a reader who was overtaken goes on at the
 * oldest whole line.
 */
#include "kern/klog.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "kern/host_info.h"
#include "kern/kern_int.h"
#include "kern/uname.h"

#define LOG_SIZE 16384U
#define LINE_MAX 256U
#define CHUNK    512U

enum { /* syslog(2)'s types */
       TYPE_CLOSE,
       TYPE_OPEN,
       TYPE_READ,
       TYPE_READ_ALL,
       TYPE_READ_CLEAR,
       TYPE_CLEAR,
       TYPE_CONSOLE_OFF,
       TYPE_CONSOLE_ON,
       TYPE_CONSOLE_LEVEL,
       TYPE_SIZE_UNREAD,
       TYPE_SIZE_BUFFER,
};

_Atomic s64 klog_dmesg_restrict = 1;

static struct {
    struct mutex lock;
    char buf[LOG_SIZE]; /* guarded by lock, as all below */
    u64 first, end;     /* positions: of the oldest line, after the newest */
    u64 unread, shown;  /* TYPE_READ goes on here; TYPE_READ_ALL begins here (after a clear) */
    struct waitq wait;
} kl = {.lock = MUTEX_INIT("klog")};

void klog_init(void)
{
    waitq_init(&kl.wait);
    klog(5, "%s version %s (cvisor) %s", KERN_SYSNAME, KERN_RELEASE, KERN_VERSION);
    klog(6, "smp: %u processors", host_info.ncpus);
    klog(6, "Memory: %lluK available",
         (unsigned long long)atomic_load(&host_info.mem_total) / 1024);
}

static char at(u64 pos)
{
    return kl.buf[pos % LOG_SIZE];
}

static void drop_oldest_line(void) REQUIRES(kl.lock)
{
    while (at(kl.first) != '\n')
        kl.first++;
    kl.first++;
    kl.unread = MAX(kl.unread, kl.first);
    kl.shown = MAX(kl.shown, kl.first);
}

void klog(u32 level, const char *fmt, ...)
{
    char line[LINE_MAX];
    u64 us = ((u64)clock_boot_ns() - host_info.start_boot_ns) / 1000;
    int n = snprintf(line, sizeof(line), "<%u>[%5llu.%06llu] ", level,
                     (unsigned long long)us / 1000000, (unsigned long long)us % 1000000);
    va_list ap;
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
    va_end(ap);
    n = MIN(n, (int)sizeof(line) - 2);
    line[n++] = '\n';
    mutex_lock(&kl.lock);
    while (kl.end + (u64)n - kl.first > LOG_SIZE)
        drop_oldest_line();
    for (int i = 0; i < n; i++)
        kl.buf[kl.end++ % LOG_SIZE] = line[i];
    mutex_unlock(&kl.lock);
    waitq_wake(&kl.wait, WAIT_IN);
}

/* Up to CHUNK bytes from *pos on, which moves. */
static u32 copy_chunk(u64 *pos, u64 end, char *to) REQUIRES(kl.lock)
{
    u32 n = 0;
    *pos = MAX(*pos, kl.first);
    while (*pos < end && n < CHUNK)
        to[n++] = at((*pos)++);
    return n;
}

static s64 copy_range(u64 pos, u64 end, uaddr_t to)
{
    char chunk[CHUNK];
    s64 done = 0;
    for (;;) {
        mutex_lock(&kl.lock);
        u32 n = copy_chunk(&pos, end, chunk);
        mutex_unlock(&kl.lock);
        if (n == 0)
            return done;
        if (copy_out(uaddr_add(to, (u64)done), chunk, n) < 0)
            return -LX_EFAULT;
        done += n;
    }
}

/* The newest whole lines that fit. */
static s64 read_all(uaddr_t buf, u64 size, bool is_cleared)
{
    mutex_lock(&kl.lock);
    u64 end = kl.end, pos = kl.shown;
    while (end - pos > size) {
        while (at(pos) != '\n')
            pos++;
        pos++;
    }
    mutex_unlock(&kl.lock);
    s64 r = copy_range(pos, end, buf);
    if (r >= 0 && is_cleared) {
        MUTEX_GUARD(&kl.lock);
        kl.shown = MAX(kl.shown, end);
    }
    return r;
}

/* What nobody has read yet; waits for it. */
static s64 read_unread(uaddr_t buf, u64 size)
{
    struct waiter w;
    s64 r = 0;
    waiter_init_thread(&w, WAIT_IN);
    waitq_add(&kl.wait, &w);
    for (;;) {
        mutex_lock(&kl.lock);
        u64 pos = kl.unread, end = MIN(kl.end, pos + size);
        kl.unread = end;
        mutex_unlock(&kl.lock);
        if (end > pos) {
            r = copy_range(pos, end, buf);
            break;
        }
        r = park_interruptible(NO_DEADLINE);
        if (r < 0)
            break;
    }
    waitq_del(&kl.wait, &w);
    return r;
}

static bool may_use(struct task *t, int type)
{
    if ((type == TYPE_READ_ALL || type == TYPE_SIZE_BUFFER) && !atomic_load(&klog_dmesg_restrict))
        return true;
    return task_capable_in(t, &root_user_ns, LX_CAP_SYSLOG);
}

s64 klog_call(struct task *t, int type, uaddr_t buf, int size)
{
    if (!may_use(t, type))
        return -LX_EPERM;
    switch (type) {
    case TYPE_READ:
    case TYPE_READ_ALL:
    case TYPE_READ_CLEAR:
        if (buf.v == 0 || size < 0)
            return -LX_EINVAL;
        if (size == 0)
            return 0;
        return type == TYPE_READ ? read_unread(buf, (u64)size)
                                 : read_all(buf, (u64)size, type == TYPE_READ_CLEAR);
    case TYPE_CLEAR: {
        MUTEX_GUARD(&kl.lock);
        kl.shown = kl.end;
        return 0;
    }
    case TYPE_CONSOLE_LEVEL:
        return size < 1 || size > 8 ? -LX_EINVAL : 0;
    case TYPE_SIZE_UNREAD: {
        MUTEX_GUARD(&kl.lock);
        return (s64)(kl.end - kl.unread);
    }
    case TYPE_SIZE_BUFFER:
        return LOG_SIZE;
    case TYPE_CLOSE:
    case TYPE_OPEN:
    case TYPE_CONSOLE_OFF: /* there is no console */
    case TYPE_CONSOLE_ON:
        return 0;
    default:
        return -LX_EINVAL;
    }
}
