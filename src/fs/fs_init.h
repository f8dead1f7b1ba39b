/* Registers every file system of this room. */
#ifndef FS_FS_INIT_H
#define FS_FS_INIT_H

#include "base/defs.h"

int fs_init(void) must_check;

#endif
