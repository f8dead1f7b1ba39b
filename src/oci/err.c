/* Error sentences. */
#include "oci/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 0))) static void format(struct err *e, int status, const char *tail, const char *fmt, va_list ap)
{
    char text[sizeof(e->msg)];
    vsnprintf(text, sizeof(text), fmt, ap);
    e->status = status;
    snprintf(e->msg, sizeof(e->msg), "%.700s%s%.300s", text, tail ? ": " : "", tail ? tail : "");
}

int err_set(struct err *e, const char *fmt, ...)
{
    va_list ap;
    if (!e)
        return -1;
    va_start(ap, fmt);
    format(e, 0, NULL, fmt, ap);
    va_end(ap);
    return -1;
}

int err_errno(struct err *e, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;
    if (!e)
        return -1;
    va_start(ap, fmt);
    format(e, saved, strerror(saved), fmt, ap);
    va_end(ap);
    return -1;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char old[sizeof(e->msg)];
    va_list ap;
    if (!e)
        return -1;
    memcpy(old, e->msg, sizeof(old));
    va_start(ap, fmt);
    format(e, e->status, old, fmt, ap);
    va_end(ap);
    return -1;
}
