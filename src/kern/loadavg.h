/*
 * Load averages of the sandbox: tasks that run or want to, averaged over 1, 5
 * and 15 minutes. Nothing samples while nobody looks and nothing runs:
 * see loadavg.c.
 */
#ifndef KERN_LOADAVG_H
#define KERN_LOADAVG_H

#include "kern/task.h"

#define LOADAVG_ONE 65536UL

void loadavg_now(u64 ret_loads[3]); /* in 1/65536 */
/* Tasks that run now, and all tasks. */
void loadavg_count(u32 *ret_running, u32 *ret_total);

#endif
