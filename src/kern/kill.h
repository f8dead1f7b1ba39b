/* kill(2) and kin: who may signal whom, and the forms of addressing. */
#ifndef KERN_KILL_H
#define KERN_KILL_H

#include "kern/kern_int.h"

/* pid as kill(2)'s: process, 0, -1, -pgrp. signo 0 only checks. */
s64 kill_pid(struct task *t, s32 pid, int signo, const struct lx_siginfo *info) must_check;
/* tgid 0: whichever. */
s64 kill_thread(struct task *t, s32 tgid, s32 tid, int signo,
                const struct lx_siginfo *info) must_check;
/* An identity (pidfd_send_signal): as what pidfd flags say. -LX_ESRCH when it is gone. */
enum kill_scope { KILL_THREAD, KILL_PROCESS, KILL_PGRP };
s64 kill_struct_pid(struct task *t, struct pid *p, enum kill_scope scope, int signo,
                    const struct lx_siginfo *info) must_check;

#endif
