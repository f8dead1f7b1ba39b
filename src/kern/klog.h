/* The log of the guest's kernel, as syslog(2) and dmesg(1) see it. */
#ifndef KERN_KLOG_H
#define KERN_KLOG_H

#include "kern/task.h"

extern _Atomic s64 klog_dmesg_restrict; /* /proc/sys/kernel/dmesg_restrict */

void klog_init(void);
/* One line, without a newline; what does not fit any more pushes out what is oldest. */
void klog(u32 level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* syslog(2). Interruptible when it waits for something unread. */
s64 klog_call(struct task *t, int type, uaddr_t buf, int size) must_check;

#endif
