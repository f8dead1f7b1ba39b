/*
 * Errors of the command-line side: one sentence for the user, built from the
 * inside out ("cannot start the sandbox: clone: Operation not permitted").
 * A function that can fail returns -1 and fills *e when e is not NULL.
 */
#ifndef OCI_ERR_H
#define OCI_ERR_H

#include "base/defs.h"

struct err {
    int status; /* errno that caused it, or 0 */
    char msg[1024];
};

/* Both return -1. err_errno appends strerror(errno). */
int err_set(struct err *e, const char *fmt, ...) printf_like(2, 3);
int err_errno(struct err *e, const char *fmt, ...) printf_like(2, 3);
/* Puts context in front. */
int err_prefix(struct err *e, const char *fmt, ...) printf_like(2, 3);

#endif
