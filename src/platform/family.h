/*
 * Families of stubs: what is forked from one first stub, the zygote. A process of the host has its
 * parent's control groups, so a container that has groups of its own has a family of its own, whose
 * zygote was moved there once.
 */
#ifndef PLATFORM_FAMILY_H
#define PLATFORM_FAMILY_H

#include "platform/platform.h"

struct stub_family;

/* Forks a zygote. Nothing else is forked from it until the family is published. */
int family_new(struct stub_family **ret_f) must_check;
/* From here on empty stubs are made ahead of need. */
void family_publish(struct stub_family *f);
/* The zygote's host process id, in the Sentry's pid namespace. */
int family_host_pid(const struct stub_family *f);
void family_get(struct stub_family *f);
void family_put(struct stub_family *f);

/* Whose stubs aspace_new takes on this thread; NULL: the platform's first family. Not counted. */
extern _Thread_local struct stub_family *platform_family;

#endif
