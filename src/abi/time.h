/* Clocks and timers: constants of the x86-64 Linux ABI. */
#ifndef ABI_TIME_H
#define ABI_TIME_H

#include <stdint.h>

struct lx_timespec {
    int64_t tv_sec, tv_nsec;
};
struct lx_itimerspec {
    struct lx_timespec it_interval, it_value;
};
struct lx_timeval {
    int64_t tv_sec, tv_usec;
};
struct lx_itimerval {
    struct lx_timeval it_interval, it_value;
};

#define LX_ADJ_OFFSET 1
#define LX_ADJ_FREQUENCY 2
#define LX_ADJ_MAXERROR 4
#define LX_ADJ_ESTERROR 8
#define LX_ADJ_STATUS 0x10
#define LX_ADJ_TIMECONST 0x20
#define LX_ADJ_TAI 0x80
#define LX_ADJ_SETOFFSET 0x100
#define LX_ADJ_MICRO 0x1000
#define LX_ADJ_NANO 0x2000
#define LX_ADJ_TICK 0x4000
#define LX_ADJ_OFFSET_SINGLESHOT 0x8001
#define LX_ADJ_OFFSET_SS_READ 0xa001

#define LX_CLOCK_REALTIME 0
#define LX_CLOCK_MONOTONIC 1
#define LX_CLOCK_PROCESS_CPUTIME_ID 2
#define LX_CLOCK_THREAD_CPUTIME_ID 3
#define LX_CLOCK_MONOTONIC_RAW 4
#define LX_CLOCK_REALTIME_COARSE 5
#define LX_CLOCK_MONOTONIC_COARSE 6
#define LX_CLOCK_BOOTTIME 7
#define LX_CLOCK_REALTIME_ALARM 8
#define LX_CLOCK_BOOTTIME_ALARM 9
#define LX_CLOCK_TAI 11

#define LX_ITIMER_REAL 0
#define LX_ITIMER_VIRTUAL 1
#define LX_ITIMER_PROF 2

#define LX_STA_PLL 1
#define LX_STA_PPSFREQ 2
#define LX_STA_PPSTIME 4
#define LX_STA_FLL 8
#define LX_STA_INS 0x10
#define LX_STA_DEL 0x20
#define LX_STA_UNSYNC 0x40
#define LX_STA_FREQHOLD 0x80
#define LX_STA_PPSSIGNAL 0x100
#define LX_STA_PPSJITTER 0x200
#define LX_STA_PPSWANDER 0x400
#define LX_STA_PPSERROR 0x800
#define LX_STA_CLOCKERR 0x1000
#define LX_STA_NANO 0x2000
#define LX_STA_MODE 0x4000
#define LX_STA_CLK 0x8000
#define LX_STA_RONLY 0xff00

#define LX_TIME_OK 0
#define LX_TIME_INS 1
#define LX_TIME_UTC 1
#define LX_TIME_DEL 2
#define LX_TIME_OOP 3
#define LX_TIME_WAIT 4
#define LX_TIME_BAD 5
#define LX_TIME_ERROR 5

#define LX_TIMER_ABSTIME 1

#endif
