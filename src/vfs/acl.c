/* See acl.h. */
#include "vfs/acl.h"

#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "vfs/internal.h"

struct acl {
    struct ref ref;
    struct epoch_node rcu;
    u32 count;
    struct lx_acl_entry e[];
};

static struct acl *acl_alloc(u32 count)
{
    struct acl *a = malloc(sizeof(*a) + count * sizeof(a->e[0]));
    if (!a)
        return NULL;
    ref_init(&a->ref);
    a->count = count;
    return a;
}

static struct acl *acl_copy(const struct acl *a)
{
    struct acl *c = acl_alloc(a->count);
    if (c)
        memcpy(c->e, a->e, a->count * sizeof(a->e[0]));
    return c;
}

void acl_get(struct acl *a)
{
    if (a)
        ref_get(&a->ref);
}

static void acl_free(struct epoch_node *n)
{
    free(container_of(n, struct acl, rcu));
}

void acl_put(struct acl *a)
{
    if (a && ref_put(&a->ref))
        epoch_defer(&a->rcu, acl_free);
}

static struct acl *_Atomic *slot(struct inode *i, bool is_default)
{
    return is_default ? &i->default_acl : &i->acl;
}

struct acl *inode_get_acl(struct inode *i, bool is_default)
{
    epoch_enter();
    struct acl *a = *slot(i, is_default);
    if (a && !ref_get_unless_zero(&a->ref))
        a = NULL; /* it was replaced just now */
    epoch_exit();
    return a;
}

void inode_put_acl(struct inode *i, bool is_default, struct acl *a)
{
    acl_put(atomic_exchange(slot(i, is_default), a));
}

size_t acl_bytes(const struct acl *a)
{
    return a ? sizeof(*a) + a->count * sizeof(a->e[0]) : 0;
}

/* ---- values -------------------------------------------------------------------------------- */

bool acl_is_name(const char *xattr, bool *ret_default)
{
    *ret_default = !strcmp(xattr, ACL_XATTR_DEFAULT);
    return *ret_default || !strcmp(xattr, ACL_XATTR_ACCESS);
}

/* The order that acl(5) asks for, and a mask where there is something to be masked. */
static bool is_valid(const struct acl *a)
{
    static const u32 order[] = {LX_ACL_USER_OBJ, LX_ACL_USER, LX_ACL_GROUP_OBJ,
                                LX_ACL_GROUP,    LX_ACL_MASK, LX_ACL_OTHER};
    u32 at = 0, seen = 0;
    for (u32 k = 0; k < a->count; k++) {
        const struct lx_acl_entry *e = &a->e[k];
        bool is_named = e->tag == LX_ACL_USER || e->tag == LX_ACL_GROUP;
        while (at < ARRAY_SIZE(order) && order[at] != e->tag)
            at++;
        if (at == ARRAY_SIZE(order) || (e->perm & ~7U) || (!is_named && (seen & e->tag)) ||
            (is_named && e->id == UINT32_MAX))
            return false;
        seen |= e->tag;
    }
    u32 must = LX_ACL_USER_OBJ | LX_ACL_GROUP_OBJ | LX_ACL_OTHER;
    if (seen & (LX_ACL_USER | LX_ACL_GROUP))
        must |= LX_ACL_MASK;
    return (seen & must) == must;
}

int acl_from_value(const void *val, size_t size, struct acl **ret_a)
{
    u32 version;
    *ret_a = NULL;
    if (size == 0)
        return 0;
    if (size < sizeof(version))
        return -LX_EINVAL;
    memcpy(&version, val, sizeof(version));
    if (version != LX_ACL_VERSION)
        return -LX_EOPNOTSUPP;
    size -= sizeof(version);
    u32 count = (u32)(size / sizeof(struct lx_acl_entry));
    if (size % sizeof(struct lx_acl_entry))
        return -LX_EINVAL;
    if (count == 0)
        return 0;
    struct acl *a = acl_alloc(count);
    if (!a)
        return -LX_ENOMEM;
    memcpy(a->e, (const char *)val + sizeof(version), size);
    for (u32 k = 0; k < count; k++) {
        if (a->e[k].tag != LX_ACL_USER && a->e[k].tag != LX_ACL_GROUP)
            a->e[k].id = UINT32_MAX;
    }
    if (!is_valid(a)) {
        acl_put(a);
        return -LX_EINVAL;
    }
    *ret_a = a;
    return 0;
}

s64 acl_to_value(const struct acl *a, void *buf, size_t size)
{
    u32 version = LX_ACL_VERSION;
    size_t need = sizeof(version) + a->count * sizeof(a->e[0]);
    if (size == 0)
        return (s64)need;
    if (size < need)
        return -LX_ERANGE;
    memcpy(buf, &version, sizeof(version));
    memcpy((char *)buf + sizeof(version), a->e, need - sizeof(version));
    return (s64)need;
}

/* ---- meaning ------------------------------------------------------------------------------- */

static int masked(const struct acl *a, u32 k, u32 want)
{
    u32 perm = a->e[k].perm;
    for (; k < a->count; k++) {
        if (a->e[k].tag == LX_ACL_MASK)
            perm &= a->e[k].perm;
    }
    return (perm & want) == want ? 0 : -LX_EACCES;
}

static int evaluate(const struct acl *a, const struct inode *i, u32 want)
{
    const struct cred *c = vfs_cred();
    bool is_in_group = false;
    for (u32 k = 0; k < a->count; k++) {
        const struct lx_acl_entry *e = &a->e[k];
        bool is_match = false;
        switch (e->tag) {
        case LX_ACL_USER_OBJ:
            if (c->fsuid == i->uid)
                return (e->perm & want) == want ? 0 : -LX_EACCES;
            break;
        case LX_ACL_USER:
            if (c->fsuid == e->id)
                return masked(a, k, want);
            break;
        case LX_ACL_GROUP_OBJ:
            is_match = cred_in_group(c, i->gid);
            break;
        case LX_ACL_GROUP:
            is_match = cred_in_group(c, e->id);
            break;
        case LX_ACL_OTHER:
            return !is_in_group && (e->perm & want) == want ? 0 : -LX_EACCES;
        default:
            break;
        }
        is_in_group |= is_match;
        if (is_match && (e->perm & want) == want)
            return masked(a, k, want);
    }
    return -LX_EACCES;
}

int acl_permission(struct inode *i, u32 mask)
{
    int r = -LX_EAGAIN;
    epoch_enter();
    const struct acl *a = i->acl;
    if (a)
        r = evaluate(a, i, mask & 7U);
    epoch_exit();
    return r;
}

bool acl_to_mode(const struct acl *a, u32 *mode)
{
    u32 m = 0, mask = UINT32_MAX;
    bool is_all = true;
    for (u32 k = 0; k < a->count; k++) {
        u32 perm = a->e[k].perm;
        switch (a->e[k].tag) {
        case LX_ACL_USER_OBJ:
            m |= perm << 6;
            break;
        case LX_ACL_GROUP_OBJ:
            m |= perm << 3;
            break;
        case LX_ACL_OTHER:
            m |= perm;
            break;
        case LX_ACL_MASK:
            mask = perm;
            is_all = false;
            break;
        default:
            is_all = false;
            break;
        }
    }
    if (mask != UINT32_MAX)
        m = (m & ~070U) | mask << 3;
    *mode = (*mode & ~0777U) | m;
    return is_all;
}

int acl_set_in_memory(struct inode *i, bool is_default, struct acl *a)
{
    if (is_default && !mode_is_dir(i->mode))
        return a ? -LX_EACCES : 0;
    if (!is_default) {
        u32 mode = i->mode;
        if (a && acl_to_mode(a, &mode))
            a = NULL; /* the mode says it all */
        if (!cred_in_group(vfs_cred(), i->gid) && !vfs_capable_over(LX_CAP_FSETID, i->uid, i->gid))
            mode &= ~(u32)LX_S_ISGID;
        i->mode = mode;
    }
    acl_get(a);
    inode_put_acl(i, is_default, a);
    inode_touch(i, false, false, true);
    return 0;
}

int acl_chmod(struct inode *i, u32 mode)
{
    struct acl *old = inode_get_acl(i, false);
    if (!old)
        return 0;
    struct acl *a = acl_copy(old);
    acl_put(old);
    if (!a)
        return -LX_ENOMEM;
    bool has_mask = false;
    for (u32 k = 0; k < a->count; k++)
        has_mask |= a->e[k].tag == LX_ACL_MASK;
    for (u32 k = 0; k < a->count; k++) {
        struct lx_acl_entry *e = &a->e[k];
        if (e->tag == LX_ACL_USER_OBJ)
            e->perm = (mode >> 6) & 7U;
        else if (e->tag == LX_ACL_MASK || (e->tag == LX_ACL_GROUP_OBJ && !has_mask))
            e->perm = (mode >> 3) & 7U;
        else if (e->tag == LX_ACL_OTHER)
            e->perm = mode & 7U;
    }
    inode_put_acl(i, false, a);
    return 0;
}

/* Takes from the list what the mode of creation does not give, and the reverse. */
static void restrict_both(struct acl *a, u32 *mode)
{
    struct lx_acl_entry *group = NULL, *mask = NULL;
    u32 m = *mode & 0777U;
    for (u32 k = 0; k < a->count; k++) {
        struct lx_acl_entry *e = &a->e[k];
        if (e->tag == LX_ACL_USER_OBJ) {
            e->perm &= (m >> 6) & 7U;
            m = (m & ~0700U) | (u32)e->perm << 6;
        } else if (e->tag == LX_ACL_OTHER) {
            e->perm &= m & 7U;
            m = (m & ~7U) | e->perm;
        } else if (e->tag == LX_ACL_GROUP_OBJ) {
            group = e;
        } else if (e->tag == LX_ACL_MASK) {
            mask = e;
        }
    }
    struct lx_acl_entry *e = mask ? mask : group;
    e->perm &= (m >> 3) & 7U;
    m = (m & ~070U) | (u32)e->perm << 3;
    *mode = (*mode & ~0777U) | m;
}

int acl_inherit(struct inode *i, struct inode *dir)
{
    if (!dir || mode_is_lnk(i->mode))
        return 0;
    struct acl *d = inode_get_acl(dir, true), *a = d ? acl_copy(d) : NULL;
    if (!d)
        return 0;
    if (!a) {
        acl_put(d);
        return -LX_ENOMEM;
    }
    u32 mode = i->mode, same = mode;
    restrict_both(a, &mode);
    i->mode = mode;
    if (acl_to_mode(a, &same)) {
        acl_put(a);
        a = NULL;
    }
    inode_put_acl(i, false, a);
    if (mode_is_dir(i->mode))
        inode_put_acl(i, true, d);
    else
        acl_put(d);
    return 0;
}

u32 acl_create_mode(const struct inode *dir, u32 mode)
{
    return dir->default_acl || (dir->sb->flags & SB_NO_UMASK) ? mode : mode & ~current_umask();
}
