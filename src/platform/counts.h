/* What aspace_counts_refresh (platform.h) brought besides counts. */
#ifndef PLATFORM_COUNTS_H
#define PLATFORM_COUNTS_H

#include "platform/platform.h"

/* The most that the stub had resident when it was last asked, KiB; 0: it never was. */
u64 aspace_maxrss_kib(const struct aspace *as);

#endif
