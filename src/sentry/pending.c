/*
 * Stand-ins for functions that are being written, so that the sandbox links and boots meanwhile.
 * Whoever lands the real one removes the stand-in here ("multiple definition" at link time
 * says so). This file goes when it is empty.
 */
#include "sentry/pending.h"

#include "kern/parts.h"
#include "sentry/sentry.h"
