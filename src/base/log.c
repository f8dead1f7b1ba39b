/*
 * Diagnostics: one write(2) a line, so that lines of several threads and
 * processes do not mix.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOG_MAX (64ULL << 20) /* bytes of one process: guests can make it say things for ever */

enum log_level log_level = LOG_WARN;
static _Atomic unsigned long long nwritten;
static int log_fd = 2;
static const char *log_name = "cvisor";

void log_set_fd(int fd)
{
    log_fd = fd;
}

void log_set_name(const char *static_name)
{
    log_name = static_name;
}

__attribute__((format(printf, 2, 0))) static void log_line(const char *tag, const char *fmt,
                                                           va_list ap)
{
    char line[1024];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int n = snprintf(line, sizeof(line), "%s[%lld.%06ld] %s: ", log_name, (long long)now.tv_sec,
                     now.tv_nsec / 1000, tag);
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    if (m < 0)
        m = 0;
    n += m;
    if (n > (int)sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    line[n++] = '\n';
    unsigned long long before = atomic_fetch_add(&nwritten, (unsigned long long)n);
    if (before >= LOG_MAX)
        return;
    if (before + (unsigned long long)n >= LOG_MAX)
        n = snprintf(line, sizeof(line), "%s: the log is full: nothing more is written\n",
                     log_name);
    if (write(log_fd, line, (size_t)n) < 0)
        return; /* there is nowhere left to complain to */
}

void log_write(enum log_level level, const char *fmt, ...)
{
    static const char *const tags[] = {"error", "warning", "info", "debug"};
    va_list ap;
    va_start(ap, fmt);
    log_line(tags[level], fmt, ap);
    va_end(ap);
}

void panic_at(const char *file, int line, const char *fmt, ...)
{
    char msg[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    log_write(LOG_ERROR, "panic at %s:%d: %s", file, line, msg);
    abort();
}
