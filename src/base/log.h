/*
 * Diagnostics. One line a message, to the fd given at start (default: 2).
 * log_debug costs a load and a branch when off. log_once says a thing one time.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/defs.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

extern enum log_level log_level; /* set before threads start */

void log_set_fd(int fd);
void log_set_name(const char *static_name); /* "sentry", "gofer", … prefixed to each line */
void log_write(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#define log_at_(l, ...)                                                                            \
    do {                                                                                           \
        if (unlikely((l) <= log_level))                                                            \
            log_write((l), __VA_ARGS__);                                                           \
    } while (0)
#define log_error(...) log_at_(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at_(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at_(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at_(LOG_DEBUG, __VA_ARGS__)
#define log_once(l, ...)                                                                           \
    do {                                                                                           \
        static _Atomic bool log_once_done_;                                                        \
        if (!atomic_exchange(&log_once_done_, true))                                               \
            log_at_((l), __VA_ARGS__);                                                             \
    } while (0)

/* For states that only our own bug can produce: says where and aborts. */
void panic_at(const char *file, int line, const char *fmt, ...) noreturn_fn printf_like(3, 4);
#define panic(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)

#endif
