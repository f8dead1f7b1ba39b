/* Rewriting of system-call sites; see patch.c. All of it is locked inside. */
#ifndef PLATFORM_PATCH_H
#define PLATFORM_PATCH_H

#include "platform/internal.h"

struct patches;

struct patches *patches_new(void);
void patches_free(struct patches *ps);
int patches_copy(struct patches *to, struct patches *from) must_check;

/* A mapping call changed [addr, addr + size): ends what was there, notes new patchable text. */
void patches_mapped(struct patches *ps, u64 addr, u64 size, u32 prot, bool is_private);
/* The site trapped in this event of ctx: counts, and rewrites it when it is hot. */
void patches_trapped(struct uctx *ctx, u64 site, u64 nr);
bool patches_is_live(struct patches *ps, u32 index);
/* Puts the original bytes back in [start, end). */
void patches_undo(struct aspace *as, u64 start, u64 end) EXCLUDES(as->helper_lock);
void patches_set_off(struct aspace *as, bool is_off) EXCLUDES(as->helper_lock);

/* Registers as the guest must see them, and a rip as the host must resume it. */
void patches_to_guest(struct patches *ps, struct uregs *r);
u64 patches_to_host(struct patches *ps, u64 rip);
/* Overlays the original bytes on a copy of [addr, addr + size). */
void patches_hide(struct patches *ps, u64 addr, u8 *buf, size_t size);

enum {
    PATCH_FAULT_NONE,    /* not ours */
    PATCH_FAULT_SYSCALL, /* a jump to a rewritten `syscall`: do the call */
    PATCH_FAULT_RETRY,   /* met a site while it was being written: run again from rip - 1 */
};
int patches_fault(struct patches *ps, int signo, u64 rip);

/* uctx.c: keeps other threads of the process out of the application. False: not now. */
bool app_gate_close(struct aspace *as, struct uctx *self) must_check;
void app_gate_open(struct aspace *as);

#endif
