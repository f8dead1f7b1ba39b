#include "host/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int host_futex_wait(volatile u32 *word, u32 expected, s64 timeout_ns)
{
    struct timespec ts = {timeout_ns / NSEC_PER_SEC, timeout_ns % NSEC_PER_SEC};
    if (syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout_ns < 0 ? NULL : &ts, NULL, 0) < 0)
        return -errno;
    return 0;
}

void host_futex_wake(volatile u32 *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}
