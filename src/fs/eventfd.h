/* eventfd(2). */
#ifndef FS_EVENTFD_H
#define FS_EVENTFD_H

#include "vfs/vfs.h"

/* flags: LX_EFD_* (checked by the caller). */
int eventfd_new(u32 initial, u32 flags, struct file **ret_f) must_check;
bool is_eventfd(const struct file *f);
/* Adds n as the kernel does (completions): never blocks, saturates at UINT64_MAX (then POLLERR). */
void eventfd_signal(struct file *f, u64 n);

#endif
