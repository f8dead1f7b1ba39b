/* Signals: constants of the x86-64 Linux ABI. */
#ifndef ABI_SIGNAL_H
#define ABI_SIGNAL_H

#define LX_BUS_ADRALN 1
#define LX_BUS_ADRERR 2
#define LX_BUS_OBJERR 3
#define LX_BUS_MCEERR_AR 4
#define LX_BUS_MCEERR_AO 5

#define LX_CLD_EXITED 1
#define LX_CLD_KILLED 2
#define LX_CLD_DUMPED 3
#define LX_CLD_TRAPPED 4
#define LX_CLD_STOPPED 5
#define LX_CLD_CONTINUED 6

#define LX_FPE_INTDIV 1
#define LX_FPE_INTOVF 2
#define LX_FPE_FLTDIV 3
#define LX_FPE_FLTOVF 4
#define LX_FPE_FLTUND 5
#define LX_FPE_FLTRES 6
#define LX_FPE_FLTINV 7
#define LX_FPE_FLTSUB 8
#define LX_FPE_FLTUNK 14
#define LX_FPE_CONDTRAP 15

#define LX_ILL_ILLOPC 1
#define LX_ILL_ILLOPN 2
#define LX_ILL_ILLADR 3
#define LX_ILL_ILLTRP 4
#define LX_ILL_PRVOPC 5
#define LX_ILL_PRVREG 6
#define LX_ILL_COPROC 7
#define LX_ILL_BADSTK 8
#define LX_ILL_BADIADDR 9

#define LX_MINSIGSTKSZ 0x34c0

#define LX_POLL_IN 1
#define LX_POLL_OUT 2
#define LX_POLL_MSG 3
#define LX_POLL_ERR 4
#define LX_POLL_PRI 5
#define LX_POLL_HUP 6

#define LX_SA_NOCLDSTOP 1
#define LX_SA_NOCLDWAIT 2
#define LX_SA_SIGINFO 4
#define LX_SA_ONSTACK 0x8000000
#define LX_SA_STACK 0x8000000
#define LX_SA_RESTART 0x10000000
#define LX_SA_INTERRUPT 0x20000000
#define LX_SA_NODEFER 0x40000000
#define LX_SA_NOMASK 0x40000000
#define LX_SA_ONESHOT 0x80000000U
#define LX_SA_RESETHAND 0x80000000U

#define LX_SEGV_MAPERR 1
#define LX_SEGV_ACCERR 2
#define LX_SEGV_BNDERR 3
#define LX_SEGV_PKUERR 4
#define LX_SEGV_ACCADI 5
#define LX_SEGV_ADIDERR 6
#define LX_SEGV_ADIPERR 7
#define LX_SEGV_MTEAERR 8
#define LX_SEGV_MTESERR 9

#define LX_SI_USER 0
#define LX_SI_KERNEL 0x80
#define LX_SI_ASYNCIO (-4)
#define LX_SI_DETHREAD (-7)
#define LX_SI_MESGQ (-3)
#define LX_SI_QUEUE (-1)
#define LX_SI_SIGIO (-5)
#define LX_SI_TIMER (-2)
#define LX_SI_TKILL (-6)

#define LX_SIG_BLOCK 0
#define LX_SIG_DFL 0
#define LX_SIG_IGN 1
#define LX_SIG_UNBLOCK 1
#define LX_SIG_HOLD 2
#define LX_SIG_SETMASK 2
#define LX_SIG_ERR (-1)

#define LX_SIGABRT 6

#define LX_SIGALRM 14

#define LX_SIGBUS 7

#define LX_SIGCHLD 0x11

#define LX_SIGCONT 0x12

#define LX_SIGEV_SIGNAL 0
#define LX_SIGEV_NONE 1
#define LX_SIGEV_THREAD 2
#define LX_SIGEV_THREAD_ID 4

#define LX_SIGFPE 8

#define LX_SIGHUP 1

#define LX_SIGILL 4

#define LX_SIGINT 2

#define LX_SIGIO 0x1d

#define LX_SIGIOT 6

#define LX_SIGKILL 9

#define LX_SIGPIPE 13

#define LX_SIGPOLL 0x1d

#define LX_SIGPROF 0x1b

#define LX_SIGPWR 0x1e

#define LX_SIGQUIT 3

#define LX_SIGSEGV 11

#define LX_SIGSTKFLT 0x10

#define LX_SIGSTKSZ 0x34c0

#define LX_SIGSTOP 0x13

#define LX_SIGSYS 0x1f

#define LX_SIGTERM 15

#define LX_SIGTRAP 5

#define LX_SIGTSTP 0x14

#define LX_SIGTTIN 0x15

#define LX_SIGTTOU 0x16

#define LX_SIGURG 0x17

#define LX_SIGUSR1 10

#define LX_SIGUSR2 12

#define LX_SIGVTALRM 0x1a

#define LX_SIGWINCH 0x1c

#define LX_SIGXCPU 0x18

#define LX_SIGXFSZ 0x19

#define LX_SS_ONSTACK 1
#define LX_SS_DISABLE 2

#define LX_TRAP_BRKPT 1
#define LX_TRAP_TRACE 2
#define LX_TRAP_BRANCH 3
#define LX_TRAP_HWBKPT 4
#define LX_TRAP_UNK 5


#define LX_NSIG     64
#define LX_SIGRTMIN 32 /* the kernel's; C libraries keep the first few for themselves */
#define LX_SIGRTMAX 64

#endif
