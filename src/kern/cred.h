/*
 * Changing credentials: the set*id family, groups, capabilities. All act on
 * the calling task; ids are the task's user namespace's (UINT32_MAX: unchanged, where the call has
 * that). Errors are those of the man pages.
 */
#ifndef KERN_CRED_H
#define KERN_CRED_H

#include "kern/kern_int.h"

int cred_setuid(struct task *t, u32 uid) must_check;
int cred_setgid(struct task *t, u32 gid) must_check;
int cred_setreuid(struct task *t, u32 ruid, u32 euid) must_check;
int cred_setregid(struct task *t, u32 rgid, u32 egid) must_check;
int cred_setresuid(struct task *t, u32 ruid, u32 euid, u32 suid) must_check;
int cred_setresgid(struct task *t, u32 rgid, u32 egid, u32 sgid) must_check;
s64 cred_setfsuid(struct task *t, u32 uid); /* the old one */
s64 cred_setfsgid(struct task *t, u32 gid);
/* Consumes groups (an array of n kgids). */
int cred_setgroups(struct task *t, u32 *groups, u32 n) must_check;

struct cap_sets {
    u64 effective, permitted, inheritable;
};
int cred_capset(struct task *t, const struct cap_sets *want) must_check;

/* prctl's */
int cred_set_securebits(struct task *t, u64 bits) must_check;
int cred_set_keepcaps(struct task *t, u64 on) must_check;
int cred_drop_bounding(struct task *t, u64 cap) must_check;
s64 cred_ambient(struct task *t, u64 op, u64 cap, u64 arg4, u64 arg5) must_check;
struct file;
int cred_restrict(struct task *t, struct file *landlock_ruleset) must_check;
int cred_set_no_new_privs(struct task *t) must_check;
bool cred_has_no_new_privs(const struct task *t);

/* exec: the credentials of the new program. */
struct exec_creds {
    struct cred *cred; /* owned */
    bool is_secure;    /* AT_SECURE */
    bool is_setid;
};
/* is_unsafe: traced without privilege, or sharing its fs with other processes. */
int cred_for_exec(struct task *t, struct file *exe, bool is_unsafe,
                  struct exec_creds *ret) must_check;

/* Makes c (consumed) the task's and applies what follows from a change of ids (dumpable, pdeathsig). */
void cred_commit(struct task *t, struct cred *c);

#endif
