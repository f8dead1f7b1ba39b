/*
 * Credentials: immutable once published, counted. Ids are those of the root
 * user namespace of the sandbox ("kuid"); kern translates at the system-call
 * boundary.
 */
#ifndef VFS_CRED_H
#define VFS_CRED_H

#include "base/defs.h"
#include "base/ref.h"

struct user_ns; /* kern's */

#define CRED_MAX_GROUPS 65536

struct cred {
    struct ref ref;
    u32 uid, euid, suid, fsuid;
    u32 gid, egid, sgid, fsgid;
    u64 cap_permitted, cap_effective, cap_inheritable, cap_bounding, cap_ambient;
    u32 securebits;
    bool is_no_new_privs;
    const struct landlock_domain *domain; /* owned, or NULL */
    struct user_ns *user_ns; /* owned; never NULL in a task */
    u32 ngroups;
    u32 *groups; /* owned, sorted */
};

/* A copy to be changed before publishing; NULL: out of memory. */
struct cred *cred_copy(const struct cred *c) must_check;
struct cred *cred_new_root(void) must_check; /* all ids 0, all capabilities, no groups */
void cred_get(const struct cred *c);
void cred_put(const struct cred *c);
bool cred_in_group(const struct cred *c, u32 gid); /* fsgid or supplementary */
static inline bool cred_has_cap(const struct cred *c, int cap)
{
    return (c->cap_effective >> cap) & 1;
}
/* Of the current task (vfs_current), in the root user namespace: LX_CAP_*. */
bool vfs_capable(int cap);
/* The same over an object owned by these ids: they must be mapped in the task's user namespace. */
bool vfs_capable_over(int cap, u32 uid, u32 gid);
/* In the task's own user namespace (mounts of its own mount namespace, chroot). */
bool vfs_ns_capable(int cap);

/* Set by kern at start; until then there is one user namespace and everything is in it. */
extern struct user_ns *vfs_root_user_ns;
extern bool (*vfs_ids_are_mapped)(struct user_ns *ns, u32 uid, u32 gid);
/* The current task has cap in ns (NULL: the root one). */
extern bool (*vfs_capable_in)(struct user_ns *ns, int cap);
/* Ids of ns (NULL: the root one) to and from kuids; (u32)-1: not mapped. Identities until kern sets them. */
extern u32 (*vfs_make_kuid)(struct user_ns *ns, u32 uid);
extern u32 (*vfs_make_kgid)(struct user_ns *ns, u32 gid);
extern u32 (*vfs_from_kuid)(struct user_ns *ns, u32 kuid);
extern u32 (*vfs_from_kgid)(struct user_ns *ns, u32 kgid);
/* ns is `of` or a descendant of it. */
extern bool (*vfs_user_ns_is_below)(struct user_ns *ns, struct user_ns *of);
/* References to a user namespace; NULL until kern has set them. ns is not NULL. */
extern void (*vfs_user_ns_get)(struct user_ns *ns);
extern void (*vfs_user_ns_put)(struct user_ns *ns);

#endif
