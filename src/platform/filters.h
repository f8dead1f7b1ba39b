/* The stub's filters, for documentation and for deciding what a thread may do itself. */
#ifndef PLATFORM_FILTERS_H
#define PLATFORM_FILTERS_H

#include "base/defs.h"

/* Prints both filters, one rule a line. name_of gives system call names, may be NULL. */
void platform_filters_dump(int fd, const char *(*name_of)(u32 nr));
/* True when an application thread may make this madvise itself. */
bool filter_allows_advice(int advice);

#endif
