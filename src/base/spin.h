/*
 * What spins for this thread's answer (the application of a Sentry thread): told to stop when the
 * thread goes to sleep, so that it does not keep a core from those who would wake it.
 */
#ifndef BASE_SPIN_H
#define BASE_SPIN_H

#include "base/defs.h"

/* A number of cycles, set to 0 by a thread that sleeps; NULL: nobody spins. Valid while it is set.
 */
extern _Thread_local volatile u32 *spin_for_us;

static inline void spin_stop(void)
{
    if (spin_for_us)
        *spin_for_us = 0;
}

#endif
