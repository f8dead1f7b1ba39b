/* What the host's ps shows for a stub: the command line of the program in it. */
#ifndef PLATFORM_TITLE_H
#define PLATFORM_TITLE_H

#include "platform/platform.h"

#define ASPACE_TITLE_MAX 1023

/* size bytes of text, cut to ASPACE_TITLE_MAX; a copied address space has its original's. */
void aspace_set_title(struct aspace *as, const char *text, size_t size);

#endif
