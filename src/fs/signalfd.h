/* signalfd(2): a file that reads signals. */
#ifndef FS_SIGNALFD_H
#define FS_SIGNALFD_H

#include "vfs/vfs.h"

/* mask: bit signo-1; SIGKILL and SIGSTOP are dropped. flags: LX_SFD_* (checked). */
int signalfd_new(u64 mask, u32 flags, struct file **ret_f) must_check;
/* Changes the mask of an existing one; -LX_EINVAL when f is none. */
int signalfd_set_mask(struct file *f, u64 mask) must_check;
/* kern: a signal was queued for process tgid (or a thread of it). Cheap while nobody watches; takes
 * only wait queue locks, so it may be called with sig_lock held. */
void signalfd_wake(s32 tgid);

#endif
