/*
 * The set*id calls, groups and capabilities (credentials(7), capabilities(7)).
 * Each makes a copy of the task's credentials, changes it, and publishes it.
 */
#include "kern/cred.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vfs/landlock.h"

#define UNCHANGED UINT32_MAX
/* CHOWN, MKNOD, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, LINUX_IMMUTABLE, MAC_OVERRIDE */
#define CAP_FS_SET                                                                                 \
    (1ULL << LX_CAP_CHOWN | 1ULL << LX_CAP_MKNOD | 1ULL << LX_CAP_DAC_OVERRIDE |                   \
     1ULL << LX_CAP_DAC_READ_SEARCH | 1ULL << LX_CAP_FOWNER | 1ULL << LX_CAP_FSETID |              \
     1ULL << LX_CAP_LINUX_IMMUTABLE | 1ULL << LX_CAP_MAC_OVERRIDE)
#define CAP_ALL ((1ULL << (LX_CAP_LAST_CAP + 1)) - 1)

static bool is_subset(u64 a, u64 b)
{
    return (a & ~b) == 0;
}

void cred_commit(struct task *t, struct cred *c)
{
    const struct cred *old = t->cred;
    bool is_changed = old->euid != c->euid || old->egid != c->egid || old->fsuid != c->fsuid ||
                      old->fsgid != c->fsgid || !is_subset(c->cap_permitted, old->cap_permitted);
    if (is_changed) {
        if (t->mm)
            t->mm->dumpable = 0;
        t->pdeath_signal = 0;
    }
    task_set_cred(t, c);
}

static struct cred *edit(struct task *t)
{
    return cred_copy(t->cred);
}

/* What a change of uids does to capabilities, unless SECBIT_NO_SETUID_FIXUP. */
static void fix_caps(struct cred *new, const struct cred *old)
{
    if (new->securebits & LX_SECBIT_NO_SETUID_FIXUP)
        return;
    u32 root = make_kuid(old->user_ns, 0);
    bool had_root = old->uid == root || old->euid == root || old->suid == root;
    bool has_root = new->uid == root || new->euid == root || new->suid == root;
    if (had_root && !has_root) {
        if (!(new->securebits & LX_SECBIT_KEEP_CAPS))
            new->cap_permitted = new->cap_effective = 0;
        new->cap_ambient = 0;
    }
    if (old->euid == root && new->euid != root)
        new->cap_effective = 0;
    if (old->euid != root && new->euid == root)
        new->cap_effective = new->cap_permitted;
}

/* Ends an edit: error frees, success publishes. */
static int finish(struct task *t, struct cred *c, int r)
{
    if (r < 0)
        cred_put(c);
    else
        cred_commit(t, c);
    return r;
}

static bool is_one_of_uids(const struct cred *c, u32 id)
{
    return id == c->uid || id == c->euid || id == c->suid;
}

static bool is_one_of_gids(const struct cred *c, u32 id)
{
    return id == c->gid || id == c->egid || id == c->sgid;
}

/* Translates; *ret stays UNCHANGED for UNCHANGED. False: the id is not mapped. */
static bool to_kuid(struct task *t, u32 uid, u32 *ret)
{
    *ret = uid == UNCHANGED ? UNCHANGED : make_kuid(t->cred->user_ns, uid);
    return uid == UNCHANGED || *ret != UNCHANGED;
}

static bool to_kgid(struct task *t, u32 gid, u32 *ret)
{
    *ret = gid == UNCHANGED ? UNCHANGED : make_kgid(t->cred->user_ns, gid);
    return gid == UNCHANGED || *ret != UNCHANGED;
}

int cred_setuid(struct task *t, u32 uid)
{
    const struct cred *old = t->cred;
    u32 k = make_kuid(old->user_ns, uid);
    if (k == UNCHANGED)
        return -LX_EINVAL;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    int r = 0;
    if (ns_capable(old->user_ns, LX_CAP_SETUID))
        c->uid = c->suid = k;
    else if (k != old->uid && k != old->suid)
        r = -LX_EPERM;
    c->euid = c->fsuid = k;
    if (r == 0)
        fix_caps(c, old);
    return finish(t, c, r);
}

int cred_setgid(struct task *t, u32 gid)
{
    const struct cred *old = t->cred;
    u32 k = make_kgid(old->user_ns, gid);
    if (k == UNCHANGED)
        return -LX_EINVAL;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    int r = 0;
    if (ns_capable(old->user_ns, LX_CAP_SETGID))
        c->gid = c->sgid = k;
    else if (k != old->gid && k != old->sgid)
        r = -LX_EPERM;
    c->egid = c->fsgid = k;
    return finish(t, c, r);
}

int cred_setreuid(struct task *t, u32 ruid, u32 euid)
{
    const struct cred *old = t->cred;
    u32 kr, ke;
    if (!to_kuid(t, ruid, &kr) || !to_kuid(t, euid, &ke))
        return -LX_EINVAL;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    bool is_able = ns_capable(old->user_ns, LX_CAP_SETUID);
    int r = 0;
    if (kr != UNCHANGED) {
        c->uid = kr;
        if (kr != old->uid && kr != old->euid && !is_able)
            r = -LX_EPERM;
    }
    if (ke != UNCHANGED) {
        c->euid = ke;
        if (!is_one_of_uids(old, ke) && !is_able)
            r = -LX_EPERM;
    }
    if (kr != UNCHANGED || (ke != UNCHANGED && ke != old->uid))
        c->suid = c->euid;
    c->fsuid = c->euid;
    if (r == 0)
        fix_caps(c, old);
    return finish(t, c, r);
}

int cred_setregid(struct task *t, u32 rgid, u32 egid)
{
    const struct cred *old = t->cred;
    u32 kr, ke;
    if (!to_kgid(t, rgid, &kr) || !to_kgid(t, egid, &ke))
        return -LX_EINVAL;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    bool is_able = ns_capable(old->user_ns, LX_CAP_SETGID);
    int r = 0;
    if (kr != UNCHANGED) {
        c->gid = kr;
        if (kr != old->gid && kr != old->egid && !is_able)
            r = -LX_EPERM;
    }
    if (ke != UNCHANGED) {
        c->egid = ke;
        if (!is_one_of_gids(old, ke) && !is_able)
            r = -LX_EPERM;
    }
    if (kr != UNCHANGED || (ke != UNCHANGED && ke != old->gid))
        c->sgid = c->egid;
    c->fsgid = c->egid;
    return finish(t, c, r);
}

int cred_setresuid(struct task *t, u32 ruid, u32 euid, u32 suid)
{
    const struct cred *old = t->cred;
    u32 kr, ke, ks;
    if (!to_kuid(t, ruid, &kr) || !to_kuid(t, euid, &ke) || !to_kuid(t, suid, &ks))
        return -LX_EINVAL;
    if (!ns_capable(old->user_ns, LX_CAP_SETUID) &&
        ((kr != UNCHANGED && !is_one_of_uids(old, kr)) ||
         (ke != UNCHANGED && !is_one_of_uids(old, ke)) ||
         (ks != UNCHANGED && !is_one_of_uids(old, ks))))
        return -LX_EPERM;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    if (kr != UNCHANGED)
        c->uid = kr;
    if (ke != UNCHANGED)
        c->euid = ke;
    if (ks != UNCHANGED)
        c->suid = ks;
    c->fsuid = c->euid;
    fix_caps(c, old);
    return finish(t, c, 0);
}

int cred_setresgid(struct task *t, u32 rgid, u32 egid, u32 sgid)
{
    const struct cred *old = t->cred;
    u32 kr, ke, ks;
    if (!to_kgid(t, rgid, &kr) || !to_kgid(t, egid, &ke) || !to_kgid(t, sgid, &ks))
        return -LX_EINVAL;
    if (!ns_capable(old->user_ns, LX_CAP_SETGID) &&
        ((kr != UNCHANGED && !is_one_of_gids(old, kr)) ||
         (ke != UNCHANGED && !is_one_of_gids(old, ke)) ||
         (ks != UNCHANGED && !is_one_of_gids(old, ks))))
        return -LX_EPERM;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    if (kr != UNCHANGED)
        c->gid = kr;
    if (ke != UNCHANGED)
        c->egid = ke;
    if (ks != UNCHANGED)
        c->sgid = ks;
    c->fsgid = c->egid;
    return finish(t, c, 0);
}

s64 cred_setfsuid(struct task *t, u32 uid)
{
    const struct cred *old = t->cred;
    s64 old_id = from_kuid(old->user_ns, old->fsuid);
    u32 k = make_kuid(old->user_ns, uid);
    if (k == UNCHANGED || k == old->fsuid ||
        !(is_one_of_uids(old, k) || ns_capable(old->user_ns, LX_CAP_SETUID)))
        return old_id;
    struct cred *c = edit(t);
    if (!c)
        return old_id;
    c->fsuid = k;
    if (!(c->securebits & LX_SECBIT_NO_SETUID_FIXUP)) {
        u32 root = make_kuid(old->user_ns, 0);
        if (old->fsuid == root)
            c->cap_effective &= ~CAP_FS_SET;
        if (k == root)
            c->cap_effective |= CAP_FS_SET & c->cap_permitted;
    }
    (void)finish(t, c, 0);
    return old_id;
}

s64 cred_setfsgid(struct task *t, u32 gid)
{
    const struct cred *old = t->cred;
    s64 old_id = from_kgid(old->user_ns, old->fsgid);
    u32 k = make_kgid(old->user_ns, gid);
    if (k == UNCHANGED || k == old->fsgid ||
        !(is_one_of_gids(old, k) || ns_capable(old->user_ns, LX_CAP_SETGID)))
        return old_id;
    struct cred *c = edit(t);
    if (!c)
        return old_id;
    c->fsgid = k;
    (void)finish(t, c, 0);
    return old_id;
}

static int compare_u32(const void *a, const void *b)
{
    u32 x = *(const u32 *)a, y = *(const u32 *)b;
    return (x > y) - (x < y);
}

int cred_setgroups(struct task *t, u32 *groups, u32 n)
{
    struct user_ns *ns = t->cred->user_ns;
    if (!ns_capable(ns, LX_CAP_SETGID) || ns->is_setgroups_denied ||
        __atomic_load_n(&ns->ngid_map, __ATOMIC_ACQUIRE) == 0) {
        free(groups);
        return -LX_EPERM;
    }
    struct cred *c = edit(t);
    if (!c) {
        free(groups);
        return -LX_ENOMEM;
    }
    if (n > 1)
        qsort(groups, n, sizeof(u32), compare_u32);
    free(c->groups);
    c->groups = groups;
    c->ngroups = n;
    return finish(t, c, 0);
}

/* ---- capabilities -------------------------------------------------------------------------- */

int cred_capset(struct task *t, const struct cap_sets *want)
{
    const struct cred *old = t->cred;
    u64 eff = want->effective & CAP_ALL, perm = want->permitted & CAP_ALL;
    u64 inh = want->inheritable & CAP_ALL;
    if (!ns_capable(old->user_ns, LX_CAP_SETPCAP) &&
        !is_subset(inh, old->cap_inheritable | old->cap_permitted))
        return -LX_EPERM;
    if (!is_subset(inh, old->cap_inheritable | old->cap_bounding))
        return -LX_EPERM;
    if (!is_subset(perm, old->cap_permitted) || !is_subset(eff, perm))
        return -LX_EPERM;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    c->cap_effective = eff;
    c->cap_permitted = perm;
    c->cap_inheritable = inh;
    c->cap_ambient &= perm & inh;
    return finish(t, c, 0);
}

int cred_set_securebits(struct task *t, u64 bits)
{
    const struct cred *old = t->cred;
    if ((((old->securebits & LX_SECURE_ALL_LOCKS) >> 1) & (old->securebits ^ bits)) ||
        (old->securebits & LX_SECURE_ALL_LOCKS & ~bits) ||
        (bits & ~(u64)(LX_SECURE_ALL_LOCKS | LX_SECURE_ALL_BITS)) ||
        !ns_capable(old->user_ns, LX_CAP_SETPCAP))
        return -LX_EPERM;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    c->securebits = (u32)bits;
    return finish(t, c, 0);
}

int cred_set_keepcaps(struct task *t, u64 on)
{
    if (on > 1)
        return -LX_EINVAL;
    if (t->cred->securebits & LX_SECBIT_KEEP_CAPS_LOCKED)
        return -LX_EPERM;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    c->securebits = on ? c->securebits | LX_SECBIT_KEEP_CAPS
                       : c->securebits & ~(u32)LX_SECBIT_KEEP_CAPS;
    return finish(t, c, 0);
}

int cred_drop_bounding(struct task *t, u64 cap)
{
    if (!ns_capable(t->cred->user_ns, LX_CAP_SETPCAP))
        return -LX_EPERM;
    if (cap > LX_CAP_LAST_CAP)
        return -LX_EINVAL;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    c->cap_bounding &= ~(1ULL << cap);
    return finish(t, c, 0);
}

s64 cred_ambient(struct task *t, u64 op, u64 cap, u64 arg4, u64 arg5)
{
    const struct cred *old = t->cred;
    if (op == LX_PR_CAP_AMBIENT_CLEAR_ALL) {
        if (cap | arg4 | arg5)
            return -LX_EINVAL;
        struct cred *c = edit(t);
        if (!c)
            return -LX_ENOMEM;
        c->cap_ambient = 0;
        return finish(t, c, 0);
    }
    if (cap > LX_CAP_LAST_CAP || arg4 || arg5)
        return -LX_EINVAL;
    u64 bit = 1ULL << cap;
    if (op == LX_PR_CAP_AMBIENT_IS_SET)
        return (old->cap_ambient & bit) != 0;
    if (op != LX_PR_CAP_AMBIENT_RAISE && op != LX_PR_CAP_AMBIENT_LOWER)
        return -LX_EINVAL;
    if (op == LX_PR_CAP_AMBIENT_RAISE &&
        (!(old->cap_permitted & old->cap_inheritable & bit) ||
         (old->securebits & LX_SECBIT_NO_CAP_AMBIENT_RAISE)))
        return -LX_EPERM;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    c->cap_ambient =
        op == LX_PR_CAP_AMBIENT_RAISE ? c->cap_ambient | bit : c->cap_ambient & ~bit;
    return finish(t, c, 0);
}

bool cred_has_no_new_privs(const struct task *t)
{
    return t->cred->is_no_new_privs || atomic_load(&t->is_nnp_forced);
}

int cred_set_no_new_privs(struct task *t)
{
    if (t->cred->is_no_new_privs)
        return 0;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    c->is_no_new_privs = true;
    return finish(t, c, 0);
}

int cred_restrict(struct task *t, struct file *ruleset)
{
    const struct landlock_domain *d;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    int r = landlock_restrict(c->domain, ruleset, &d);
    if (r == 0) {
        landlock_put(c->domain);
        c->domain = d;
    }
    return finish(t, c, r);
}

/* ---- exec ---------------------------------------------------------------------------------- */

struct file_caps {
    bool has_caps, is_effective;
    u64 permitted, inheritable;
};

/* security.capability: struct vfs_ns_cap_data, revision 1 to 3 (capabilities(7)). */
static int read_file_caps(struct file *exe, const struct cred *c, struct file_caps *ret)
{
    u8 raw[24];
    struct inode *i = exe->inode;
    memset(ret, 0, sizeof(*ret));
    if (!i->ops || !i->ops->getxattr || (exe->path.mnt->flags & LX_MS_NOSUID))
        return 0;
    s64 n = i->ops->getxattr(i, "security.capability", raw, sizeof(raw));
    if (n < 4)
        return 0;
    u32 magic, words[5] = {0};
    memcpy(&magic, raw, sizeof(magic));
    memcpy(words, raw + 4, MIN((size_t)n - 4, sizeof(words)));
    u32 revision = magic >> 24;
    static const u8 sizes[] = {0, 12, 20, 24};
    if (revision < 1 || revision > 3)
        return -LX_EINVAL;
    if (n != sizes[revision])
        return -LX_EINVAL;
    if (revision == 3) {
        u32 root = words[4];
        struct user_ns *ns = c->user_ns;
        while (ns && make_kuid(ns, 0) != root)
            ns = ns->parent;
        if (!ns)
            return 0; /* meant for another user namespace */
    }
    ret->has_caps = true;
    ret->is_effective = magic & 1;
    ret->permitted = words[0];
    ret->inheritable = words[1];
    if (revision > 1) {
        ret->permitted |= (u64)words[2] << 32;
        ret->inheritable |= (u64)words[3] << 32;
    }
    ret->permitted &= CAP_ALL;
    ret->inheritable &= CAP_ALL;
    return 0;
}

/* Applies the set-id bits of the file; see bprm_fill_uid's rules in execve(2). */
static void apply_set_id(struct task *t, struct file *exe, struct cred *c)
{
    struct inode *i = exe->inode;
    if ((exe->path.mnt->flags & LX_MS_NOSUID) || cred_has_no_new_privs(t))
        return;
    if (!(i->mode & (LX_S_ISUID | LX_S_ISGID)))
        return;
    if (from_kuid_raw(c->user_ns, i->uid) == UNCHANGED ||
        from_kgid_raw(c->user_ns, i->gid) == UNCHANGED)
        return;
    if (i->mode & LX_S_ISUID)
        c->euid = i->uid;
    if ((i->mode & (LX_S_ISGID | LX_S_IXGRP)) == (LX_S_ISGID | LX_S_IXGRP))
        c->egid = i->gid;
}

int cred_for_exec(struct task *t, struct file *exe, bool is_unsafe, struct exec_creds *ret)
{
    const struct cred *old = t->cred;
    struct cred *c = edit(t);
    if (!c)
        return -LX_ENOMEM;
    c->euid = old->euid;
    apply_set_id(t, exe, c);
    struct file_caps fc;
    int r = read_file_caps(exe, c, &fc);
    u64 file_permitted = (old->cap_bounding & fc.permitted) | (old->cap_inheritable & fc.inheritable);
    if (r == 0 && fc.has_caps && fc.is_effective && !is_subset(fc.permitted, file_permitted))
        r = -LX_EPERM; /* a program that is not aware of capabilities must get all or fail */
    if (r < 0) {
        cred_put(c);
        return r;
    }
    c->cap_permitted = fc.has_caps ? file_permitted : 0;
    bool is_effective = fc.has_caps && fc.is_effective;

    u32 root = make_kuid(c->user_ns, 0);
    bool is_suid_root_with_caps = fc.has_caps && c->uid != root && c->euid == root;
    if (!(c->securebits & LX_SECBIT_NOROOT) && !is_suid_root_with_caps) {
        if (c->euid == root || c->uid == root)
            c->cap_permitted = old->cap_bounding | old->cap_inheritable;
        if (c->euid == root)
            is_effective = true;
    }
    bool is_setid = c->euid != old->uid || c->egid != old->gid;
    bool is_id_change = c->euid != old->euid || c->egid != old->egid;
    if ((is_setid || !is_subset(c->cap_permitted, old->cap_permitted)) &&
        (is_unsafe || cred_has_no_new_privs(t))) {
        if (!ns_capable(c->user_ns, LX_CAP_SETUID) || cred_has_no_new_privs(t)) {
            c->euid = c->uid;
            c->egid = c->gid;
        }
        c->cap_permitted &= old->cap_permitted;
    }
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    if (fc.has_caps || is_setid)
        c->cap_ambient = 0;
    c->cap_permitted |= c->cap_ambient;
    c->cap_effective = is_effective ? c->cap_permitted : c->cap_ambient;
    c->securebits &= ~(u32)LX_SECBIT_KEEP_CAPS;
    ret->cred = c;
    ret->is_setid = is_id_change;
    ret->is_secure = is_setid || (c->uid != root && (is_effective ||
                                  !is_subset(c->cap_permitted, c->cap_ambient)));
    return 0;
}
