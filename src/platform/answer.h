/*
 * The answer to a call by another thread than the one that drives its uctx, which must be sure to
 * leave it alone meanwhile. begin: false: something is to be done first, or it is kicked; after
 * true follow copies to the application's memory and answer or cancel. After an answer the driving
 * thread goes on with uctx_await, in place of uctx_run.
 */
#ifndef PLATFORM_ANSWER_H
#define PLATFORM_ANSWER_H

#include "platform/platform.h"

bool uctx_answer_begin(struct uctx *ctx) must_check;
void uctx_answer(struct uctx *ctx, s64 result);
void uctx_answer_cancel(struct uctx *ctx);
void uctx_await(struct uctx *ctx, struct uevent *ret_ev);

#endif
