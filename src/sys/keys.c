/* Handlers: add_key, request_key, keyctl. */
#include "kern/keys.h"

#include <stdlib.h>

#include "sys/sys.h"

#define MAX_TYPE 32

enum {
    KEYCTL_GET_KEYRING_ID,
    KEYCTL_JOIN_SESSION_KEYRING,
    KEYCTL_UPDATE,
    KEYCTL_REVOKE,
    KEYCTL_CHOWN,
    KEYCTL_SETPERM,
    KEYCTL_DESCRIBE,
    KEYCTL_CLEAR,
    KEYCTL_LINK,
    KEYCTL_UNLINK,
    KEYCTL_SEARCH,
    KEYCTL_READ,
    KEYCTL_INSTANTIATE,
    KEYCTL_NEGATE,
    KEYCTL_SET_REQKEY_KEYRING,
    KEYCTL_SET_TIMEOUT,
    KEYCTL_ASSUME_AUTHORITY,
    KEYCTL_GET_SECURITY,
    KEYCTL_SESSION_TO_PARENT,
    KEYCTL_REJECT,
    KEYCTL_INSTANTIATE_IOV,
    KEYCTL_INVALIDATE,
    KEYCTL_GET_PERSISTENT,
    KEYCTL_RESTRICT_KEYRING = 29,
    KEYCTL_MOVE,
    KEYCTL_CAPABILITIES,
};
#define MOVE_EXCL         1U
#define CAPS_CAPABILITIES 0x01U
#define CAPS_PERSISTENT   0x02U
#define CAPS_INVALIDATE   0x20U
#define CAPS_RESTRICT     0x40U
#define CAPS_MOVE         0x80U

static s64 copy_type(char *buf, u64 at)
{
    s64 n = copy_in_str(buf, uaddr(at), MAX_TYPE);
    if (n < 0)
        return n == -LX_ENAMETOOLONG ? -LX_EINVAL : n;
    return n == 0 ? -LX_EINVAL : buf[0] == '.' ? -LX_EPERM : 0;
}

/* A description; the caller frees. */
static s64 copy_desc(char **ret, u64 at)
{
    char *buf = malloc(KEY_MAX_DESC);
    if (!buf)
        return -LX_ENOMEM;
    s64 n = copy_in_str(buf, uaddr(at), KEY_MAX_DESC);
    if (n < 0) {
        free(buf);
        return n == -LX_ENAMETOOLONG ? -LX_EINVAL : n;
    }
    *ret = buf;
    return n;
}

static s64 copy_payload(void **ret, u64 at, u64 size)
{
    *ret = NULL;
    if (size == 0)
        return 0;
    if (size > KEY_MAX_PAYLOAD)
        return -LX_EINVAL;
    void *buf = malloc(size);
    if (!buf)
        return -LX_ENOMEM;
    if (copy_in(buf, uaddr(at), size) < 0) {
        free(buf);
        return -LX_EFAULT;
    }
    *ret = buf;
    return 0;
}

s64 sys_add_key(struct task *t, const u64 a[6])
{
    char type[MAX_TYPE], *desc = NULL;
    void *payload = NULL;
    if (a[3] > 1024 * 1024 - 1)
        return -LX_EINVAL;
    s64 r = copy_type(type, a[0]);
    if (r == 0 && a[1])
        r = copy_desc(&desc, a[1]);
    if (r > 0 && desc[0] == '.' && type[0] == 'k')
        r = -LX_EPERM;
    if (r >= 0)
        r = copy_payload(&payload, a[2], a[3]);
    if (r >= 0)
        r = keys_add(t, type, desc ? desc : "", payload, (u32)a[3], (s32)a[4]);
    free(desc);
    free(payload);
    return r;
}

s64 sys_request_key(struct task *t, const u64 a[6])
{
    char type[MAX_TYPE], *desc = NULL, *info = NULL;
    s64 r = copy_type(type, a[0]);
    if (r == 0)
        r = copy_desc(&desc, a[1]);
    if (r >= 0 && a[2])
        r = copy_desc(&info, a[2]);
    if (r >= 0)
        r = keys_request(t, type, desc, (s32)a[3]);
    free(desc);
    free(info);
    return r;
}

/* ---- keyctl -------------------------------------------------------------------------------- */

static s64 join(struct task *t, u64 name_at)
{
    char *name = NULL;
    s64 r = name_at ? copy_desc(&name, name_at) : 0;
    if (r >= 0 && name && name[0] == '.')
        r = -LX_EPERM;
    if (r >= 0)
        r = keys_join(t, name);
    free(name);
    return r;
}

static s64 update(struct task *t, s32 id, u64 at, u64 size)
{
    void *payload;
    if (size > PAGE_SIZE)
        return -LX_EINVAL;
    s64 r = copy_payload(&payload, at, size);
    if (r == 0)
        r = keys_update(t, id, payload, (u32)size);
    free(payload);
    return r;
}

static s64 search(struct task *t, const u64 a[6])
{
    char type[MAX_TYPE], *desc = NULL;
    s64 r = copy_type(type, a[2]);
    if (r == 0)
        r = copy_desc(&desc, a[3]);
    if (r >= 0)
        r = keys_search(t, (s32)a[1], type, desc, (s32)a[4]);
    free(desc);
    return r;
}

/* Whole or not at all; the size that there is. */
static s64 give(s64 n, void *data, u64 to, u64 size)
{
    if (n > 0 && to && size >= (u64)n && copy_out(uaddr(to), data, (u64)n) < 0)
        n = -LX_EFAULT;
    free(data);
    return n;
}

static s64 chown_key(struct task *t, s32 id, u32 uid, u32 gid)
{
    struct user_ns *ns = t->cred->user_ns;
    u32 kuid = uid == UINT32_MAX ? uid : make_kuid(ns, uid);
    u32 kgid = gid == UINT32_MAX ? gid : make_kgid(ns, gid);
    if ((uid != UINT32_MAX && kuid == UINT32_MAX) || (gid != UINT32_MAX && kgid == UINT32_MAX))
        return -LX_EINVAL;
    return uid == UINT32_MAX && gid == UINT32_MAX ? 0 : keys_chown(t, id, kuid, kgid);
}

static s64 persistent(struct task *t, u32 uid, s32 dest)
{
    u32 kuid = uid == UINT32_MAX ? t->cred->uid : make_kuid(t->cred->user_ns, uid);
    return kuid == UINT32_MAX ? -LX_EINVAL : keys_get_persistent(t, kuid, dest);
}

/* Type and restriction come together or not at all. */
static s64 restrict_ring(struct task *t, s32 id, u64 type_at, u64 text_at)
{
    char type[MAX_TYPE], *text = NULL;
    s64 r = keys_check(t, id, KEY_SETATTR);
    if (r == 0 && !type_at != !text_at)
        r = -LX_EINVAL;
    if (r == 0 && type_at)
        r = copy_type(type, type_at);
    if (r == 0 && type_at)
        r = copy_desc(&text, text_at);
    free(text);
    return r < 0 ? r : keys_restrict(t, id, type_at ? type : NULL);
}

static s64 security(struct task *t, s32 id, u64 to, u64 size)
{
    s64 r = keys_check(t, id, KEY_VIEW);
    if (r == 0 && to && size > 0 && clear_out(uaddr(to), 1) < 0)
        r = -LX_EFAULT;
    return r < 0 ? r : 1; /* an empty label */
}

static s64 capabilities(u64 to, u64 size)
{
    u8 caps[2] = {CAPS_CAPABILITIES | CAPS_PERSISTENT | CAPS_INVALIDATE | CAPS_RESTRICT | CAPS_MOVE,
                  0};
    if (size > 0 && copy_out(uaddr(to), caps, MIN(size, sizeof(caps))) < 0)
        return -LX_EFAULT;
    if (size > sizeof(caps) &&
        clear_out(uaddr_add(uaddr(to), sizeof(caps)), size - sizeof(caps)) < 0)
        return -LX_EFAULT;
    return sizeof(caps);
}

s64 sys_keyctl(struct task *t, const u64 a[6])
{
    s32 id = (s32)a[1];
    void *data = NULL;
    switch ((u32)a[0]) {
    case KEYCTL_GET_KEYRING_ID:
        return keys_get_id(t, id, (s32)a[2] != 0);
    case KEYCTL_JOIN_SESSION_KEYRING:
        return join(t, a[1]);
    case KEYCTL_UPDATE:
        return update(t, id, a[2], a[3]);
    case KEYCTL_REVOKE:
        return keys_revoke(t, id);
    case KEYCTL_CHOWN:
        return chown_key(t, id, (u32)a[2], (u32)a[3]);
    case KEYCTL_SETPERM:
        return keys_set_perm(t, id, (u32)a[2]);
    case KEYCTL_DESCRIBE: {
        s64 n = keys_describe(t, id, &data);
        return give(n, data, a[2], a[3]);
    }
    case KEYCTL_CLEAR:
        return keys_clear(t, id);
    case KEYCTL_LINK:
        return keys_link(t, id, (s32)a[2]);
    case KEYCTL_UNLINK:
        return keys_unlink(t, id, (s32)a[2]);
    case KEYCTL_SEARCH:
        return search(t, a);
    case KEYCTL_READ: {
        s64 n = keys_read(t, id, &data);
        return give(n, data, a[2], a[3]);
    }
    case KEYCTL_INSTANTIATE:
    case KEYCTL_NEGATE:
    case KEYCTL_REJECT:
    case KEYCTL_INSTANTIATE_IOV:
    case KEYCTL_SESSION_TO_PARENT:
        return -LX_EPERM; /* nobody has the authority; a parent's keyring is not given away */
    case KEYCTL_SET_REQKEY_KEYRING:
        return keys_set_request_ring(t, id);
    case KEYCTL_SET_TIMEOUT:
        return keys_set_timeout(t, id, (u32)a[2]);
    case KEYCTL_ASSUME_AUTHORITY:
        return id == 0 ? 0 : id < 0 ? -LX_EINVAL : -LX_ENOKEY;
    case KEYCTL_GET_SECURITY:
        return security(t, id, a[2], a[3]);
    case KEYCTL_INVALIDATE:
        return keys_invalidate(t, id);
    case KEYCTL_GET_PERSISTENT:
        return persistent(t, (u32)a[1], (s32)a[2]);
    case KEYCTL_RESTRICT_KEYRING:
        return restrict_ring(t, id, a[2], a[3]);
    case KEYCTL_MOVE:
        return (u32)a[4] & ~MOVE_EXCL ? -LX_EINVAL
                                      : keys_move(t, id, (s32)a[2], (s32)a[3], a[4] & MOVE_EXCL);
    case KEYCTL_CAPABILITIES:
        return capabilities(a[1], a[2]);
    default:
        return -LX_EOPNOTSUPP;
    }
}
