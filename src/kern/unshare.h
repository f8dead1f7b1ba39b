/* unshare(2) and setns(2). */
#ifndef KERN_UNSHARE_H
#define KERN_UNSHARE_H

#include "kern/kern_int.h"

s64 kern_unshare(struct task *t, u64 flags) must_check;
/* f: a namespace's file or a pidfd. */
s64 kern_setns(struct task *t, struct file *f, u32 nstype) must_check;

#endif
