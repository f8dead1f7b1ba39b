/* Terminals of containers on the host's side. */
#ifndef OCI_CONSOLE_H
#define OCI_CONSOLE_H

#include "oci/err.h"

/*
 * A new pseudoterminal of the host in raw mode (the container's own has the line discipline). Its
 * master goes to the UNIX socket at path; the terminal side is returned.
 */
int console_for_socket(const char *path, u32 rows, u32 cols, int *ret_fd, struct err *e) must_check;
/* Puts the caller's terminal into raw mode, until console_restore or exit. */
int console_raw(int fd, struct err *e) must_check;
void console_restore(void);

#endif
