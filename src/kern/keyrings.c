/* Whose keyrings there are, and what the system calls do with keys. See keys.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/keys_int.h"

#define POS(p)    ((u32)(p) << 24)
#define USR(p)    ((u32)(p) << 16)
#define PERM_MASK (KEY_ALL * 0x01010101U)

#define LOOKUP_CREATE  1U
#define LOOKUP_PARTIAL 2U /* also a revoked or expired one */

/* ---- life ---------------------------------------------------------------------------------- */

int keys_start(struct task *t)
{
    MUTEX_GUARD(&keys_lock);
    return key_new(KEY_TYPE_KEYRING, "_ses", t->cred->uid, t->cred->gid,
                   POS(KEY_ALL) | USR(KEY_VIEW | KEY_READ), &t->keys.session);
}

void keys_clone(struct task *child, struct task *parent)
{
    child->keys.request_ring = parent->keys.request_ring;
    child->keys.session = parent->keys.session;
    if (child->keys.session)
        key_get(child->keys.session);
}

static void drop(struct key **k)
{
    if (!*k)
        return;
    MUTEX_GUARD(&keys_lock);
    key_put(take_ptr(*k));
}

void keys_exec(struct task *t)
{
    drop(&t->keys.thread);
    drop(&t->tg->process_keys);
}

void keys_task_free(struct task *t)
{
    drop(&t->keys.thread);
    drop(&t->keys.session);
}

void keys_tgroup_free(struct tgroup *g)
{
    drop(&g->process_keys);
}

void keys_user_left(struct user_struct *u)
{
    drop(&u->ring);
    drop(&u->session_ring);
}

/* ---- finding ------------------------------------------------------------------------------- */

/* The keyring in *slot, made when there is none. */
static int make_ring(struct task *t, struct key **slot, const char *name, u32 perm)
{
    return *slot ? 0 : key_new(KEY_TYPE_KEYRING, name, t->cred->uid, t->cred->gid, perm, slot);
}

/* A uid's two keyrings are there from their first use until its last task goes. */
static int user_ring(struct task *t, bool is_session, struct key **ret)
{
    struct user_struct *u = t->user;
    char name[32];
    u32 perm = POS(KEY_ALL & ~KEY_SETATTR) | USR(KEY_ALL);
    snprintf(name, sizeof(name), "_uid.%u", u->uid);
    int r = make_ring(t, &u->ring, name, perm);
    if (r == 0 && !u->session_ring) {
        snprintf(name, sizeof(name), "_uid_ses.%u", u->uid);
        r = make_ring(t, &u->session_ring, name, perm);
        if (r == 0)
            r = keyring_link(u->session_ring, u->ring);
    }
    *ret = is_session ? u->session_ring : u->ring;
    return r;
}

static int special(struct task *t, s32 id, u32 how, struct key **ret)
{
    bool is_create = how & LOOKUP_CREATE;
    u32 perm = POS(KEY_ALL) | USR(KEY_VIEW);
    int r = 0;
    switch (id) {
    case KEY_SPEC_THREAD:
        r = is_create ? make_ring(t, &t->keys.thread, "_tid", perm) : 0;
        *ret = t->keys.thread;
        break;
    case KEY_SPEC_PROCESS:
        r = is_create ? make_ring(t, &t->tg->process_keys, "_pid", perm) : 0;
        *ret = t->tg->process_keys;
        break;
    case KEY_SPEC_SESSION:
        if (!t->keys.session && (r = user_ring(t, true, &t->keys.session)) == 0)
            key_get(t->keys.session);
        *ret = t->keys.session;
        break;
    case KEY_SPEC_USER:
    case KEY_SPEC_USER_SESSION:
        r = user_ring(t, id == KEY_SPEC_USER_SESSION, ret);
        break;
    case KEY_SPEC_REQKEY_AUTH:
    case KEY_SPEC_REQUESTOR:
        return -LX_ENOKEY; /* nobody asks on another's behalf */
    default:
        return -LX_EINVAL;
    }
    return r < 0 ? r : *ret ? 0 : -LX_ENOKEY;
}

/* Through the task's own keyrings. */
static struct key *search_own(struct task *t, struct key_match *m)
{
    struct key *const tops[] = {t->keys.thread, t->tg->process_keys, t->keys.session};
    m->visit = key_next_visit();
    m->error = 0;
    for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
        struct key *found = tops[i] ? keyring_search(tops[i], true, m, 1) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

/* Not counted: good as long as keys_lock is held. */
static int lookup(struct task *t, s32 id, u32 how, u32 need, struct key_ref *ret)
{
    int r = 0;
    if (id < 0) {
        r = special(t, id, how, &ret->k);
        ret->is_possessed = true;
    } else {
        ret->k = id ? key_by_serial(id) : NULL;
        if (!ret->k)
            return id ? -LX_ENOKEY : -LX_EINVAL;
        struct key_match m = {.key = ret->k, .cred = t->cred};
        ret->is_possessed = search_own(t, &m) != NULL;
    }
    if (r == 0 && !(how & LOOKUP_PARTIAL))
        r = key_validate(ret->k);
    if (r == 0 && need)
        r = key_permits(ret, t->cred, need);
    return r;
}

static int lookup_ring(struct task *t, s32 id, u32 how, u32 need, struct key **ret)
{
    struct key_ref ref;
    int r = lookup(t, id, how, need, &ref);
    if (r == 0 && ref.k->type != KEY_TYPE_KEYRING)
        r = -LX_ENOTDIR;
    *ret = r == 0 ? ref.k : NULL;
    return r;
}

int keys_lookup_ring(struct task *t, s32 id, u32 need, struct key **ret)
{
    return lookup_ring(t, id, LOOKUP_CREATE, need, ret);
}

s64 keys_get_id(struct task *t, s32 id, bool is_create)
{
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, is_create ? LOOKUP_CREATE : 0, KEY_SEARCH, &ref);
    return r < 0 ? r : ref.k->serial;
}

s64 keys_check(struct task *t, s32 id, u32 need)
{
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    return lookup(t, id, LOOKUP_PARTIAL, need, &ref);
}

s64 keys_join(struct task *t, const char *name)
{
    MUTEX_GUARD(&keys_lock);
    struct key *k = name ? keyring_by_name(t->cred, name) : NULL;
    if (k && k == t->keys.session)
        return 0;
    u32 perm = POS(KEY_ALL) | USR(KEY_VIEW | KEY_READ | (name ? KEY_LINK : 0));
    int r = 0;
    if (k)
        key_get(k);
    else
        r = key_new(KEY_TYPE_KEYRING, name ? name : "_ses", t->cred->uid, t->cred->gid, perm, &k);
    if (r < 0)
        return r;
    key_put(t->keys.session);
    t->keys.session = k;
    return k->serial;
}

/* ---- making -------------------------------------------------------------------------------- */

static int type_of(const char *name)
{
    for (int i = 0; i < KEY_NTYPES; i++) {
        if (strcmp(key_type_names[i], name) == 0)
            return i;
    }
    return -LX_ENODEV;
}

static int check_new(int type, const char *desc, u32 size)
{
    if (type < 0)
        return type;
    const char *colon = strchr(desc, ':');
    if (!*desc || (type == KEY_TYPE_LOGON && (!colon || colon == desc)))
        return -LX_EINVAL;
    return type == KEY_TYPE_KEYRING ? (size ? -LX_EINVAL : 0)
                                    : (size == 0 || size > KEY_MAX_PAYLOAD ? -LX_EINVAL : 0);
}

s64 keys_add(struct task *t, const char *type_name, const char *desc, const void *payload, u32 size,
             s32 ring_id)
{
    struct key *ring, *k;
    MUTEX_GUARD(&keys_lock);
    struct key_ref ring_ref;
    int r = lookup(t, ring_id, LOOKUP_CREATE, KEY_WRITE, &ring_ref);
    if (r < 0)
        return r;
    int type = type_of(type_name);
    if (type < 0)
        return type;
    ring = ring_ref.k;
    if (ring->type != KEY_TYPE_KEYRING)
        return -LX_ENOTDIR;
    r = check_new(type, desc, size);
    if (r == 0 && ring->is_restricted)
        r = -LX_EPERM;
    if (r < 0)
        return r;
    k = type == KEY_TYPE_KEYRING ? NULL : keyring_find(ring, (enum key_type)type, desc);
    if (k) {
        struct key_ref ref = {k, ring_ref.is_possessed};
        r = key_permits(&ref, t->cred, KEY_WRITE);
        if (r == 0)
            r = key_set_payload(k, payload, size);
        return r < 0 ? r : k->serial;
    }
    u32 perm = POS(KEY_VIEW | KEY_SEARCH | KEY_LINK | KEY_SETATTR | KEY_WRITE) | USR(KEY_VIEW);
    if (type != KEY_TYPE_LOGON)
        perm |= POS(KEY_READ);
    r = key_new((enum key_type)type, desc, t->cred->fsuid, t->cred->fsgid, perm, &k);
    if (r < 0)
        return r;
    if (type != KEY_TYPE_KEYRING)
        r = key_set_payload(k, payload, size);
    if (r == 0)
        r = keyring_link_new(ring, k);
    s64 serial = k->serial;
    key_put(k);
    return r < 0 ? r : serial;
}

/* ---- searching ----------------------------------------------------------------------------- */

static s64 deliver(struct task *t, struct key *k, bool is_possessed, struct key *dest)
{
    struct key_ref ref = {k, is_possessed};
    int r = 0;
    if (dest) {
        r = key_permits(&ref, t->cred, KEY_LINK);
        if (r == 0)
            r = keyring_link_new(dest, k);
    }
    return r < 0 ? r : k->serial;
}

s64 keys_request(struct task *t, const char *type_name, const char *desc, s32 dest_id)
{
    struct key *dest = NULL;
    MUTEX_GUARD(&keys_lock);
    int r = dest_id ? lookup_ring(t, dest_id, LOOKUP_CREATE, KEY_WRITE, &dest) : 0;
    if (r < 0)
        return r;
    int type = type_of(type_name);
    if (type < 0)
        return type;
    struct key_match m = {.type = (enum key_type)type, .desc = desc, .cred = t->cred};
    struct key *k = search_own(t, &m);
    return k ? deliver(t, k, true, dest) : m.error ? m.error : -LX_ENOKEY;
}

s64 keys_search(struct task *t, s32 ring_id, const char *type_name, const char *desc, s32 dest_id)
{
    struct key_ref ring;
    struct key *dest = NULL;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, ring_id, 0, KEY_SEARCH, &ring);
    if (r == 0 && dest_id)
        r = lookup_ring(t, dest_id, LOOKUP_CREATE, KEY_WRITE, &dest);
    if (r < 0)
        return r;
    int type = type_of(type_name);
    if (type < 0)
        return type;
    if (ring.k->type != KEY_TYPE_KEYRING)
        return -LX_ENOTDIR;
    struct key_match m = {.type = (enum key_type)type, .desc = desc, .cred = t->cred};
    m.visit = key_next_visit();
    struct key *k = keyring_search(ring.k, ring.is_possessed, &m, 1);
    return k ? deliver(t, k, ring.is_possessed, dest) : m.error ? m.error : -LX_ENOKEY;
}

/* ---- changing ------------------------------------------------------------------------------ */

s64 keys_update(struct task *t, s32 id, const void *payload, u32 size)
{
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, 0, KEY_WRITE, &ref);
    if (r < 0)
        return r;
    return ref.k->type == KEY_TYPE_KEYRING ? -LX_EOPNOTSUPP : key_set_payload(ref.k, payload, size);
}

s64 keys_revoke(struct task *t, s32 id)
{
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, 0, KEY_WRITE, &ref);
    if (r == -LX_EACCES)
        r = lookup(t, id, 0, KEY_SETATTR, &ref);
    if (r < 0)
        return r;
    ref.k->is_revoked = true;
    if (ref.k->type == KEY_TYPE_KEYRING)
        keyring_clear(ref.k);
    return 0;
}

s64 keys_invalidate(struct task *t, s32 id)
{
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, 0, KEY_SEARCH, &ref);
    if (r < 0)
        return r;
    key_get(ref.k);
    key_forget_everywhere(ref.k);
    ref.k->is_revoked = true;
    key_put(ref.k);
    return 0;
}

s64 keys_chown(struct task *t, s32 id, u32 uid, u32 gid)
{
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, LOOKUP_CREATE | LOOKUP_PARTIAL, KEY_SETATTR, &ref);
    if (r < 0)
        return r;
    struct key *k = ref.k;
    bool is_new_uid = uid != UINT32_MAX && uid != k->uid;
    bool is_new_gid = gid != UINT32_MAX && gid != k->gid;
    if (!ns_capable(&root_user_ns, LX_CAP_SYS_ADMIN) &&
        (is_new_uid || (is_new_gid && !cred_in_group(t->cred, gid))))
        return -LX_EACCES;
    struct user_struct *u = is_new_uid ? user_get(uid) : NULL;
    if (is_new_uid && !u)
        return -LX_ENOMEM;
    key_change_owner(k, uid, gid == UINT32_MAX ? k->gid : gid, u);
    return 0;
}

s64 keys_set_perm(struct task *t, s32 id, u32 perm)
{
    struct key_ref ref;
    if (perm & ~PERM_MASK)
        return -LX_EINVAL;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, LOOKUP_CREATE | LOOKUP_PARTIAL, KEY_SETATTR, &ref);
    if (r == 0 && ref.k->uid != t->cred->fsuid && !ns_capable(&root_user_ns, LX_CAP_SYS_ADMIN))
        r = -LX_EACCES;
    if (r == 0)
        ref.k->perm = perm;
    return r;
}

s64 keys_set_timeout(struct task *t, s32 id, u32 seconds)
{
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, LOOKUP_CREATE | LOOKUP_PARTIAL, KEY_SETATTR, &ref);
    if (r == 0)
        ref.k->expiry_ns = seconds ? clock_real_ns() + (s64)seconds * NSEC_PER_SEC : 0;
    return r;
}

s64 keys_restrict(struct task *t, s32 ring_id, const char *type)
{
    struct key *ring;
    MUTEX_GUARD(&keys_lock);
    int r = lookup_ring(t, ring_id, 0, KEY_SETATTR, &ring);
    if (r < 0)
        return r;
    if (type) /* no type here knows how to judge links */
        return type_of(type) < 0 ? -LX_ENOKEY : -LX_ENOENT;
    if (ring->is_restricted)
        return -LX_EEXIST;
    ring->is_restricted = true;
    return 0;
}

s64 keys_clear(struct task *t, s32 ring_id)
{
    struct key *ring;
    MUTEX_GUARD(&keys_lock);
    int r = lookup_ring(t, ring_id, LOOKUP_CREATE, KEY_WRITE, &ring);
    if (r == 0)
        keyring_clear(ring);
    return r;
}

s64 keys_link(struct task *t, s32 id, s32 ring_id)
{
    struct key *ring;
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup_ring(t, ring_id, LOOKUP_CREATE, KEY_WRITE, &ring);
    if (r == 0)
        r = lookup(t, id, LOOKUP_CREATE, KEY_LINK, &ref);
    return r < 0 ? r : keyring_link_new(ring, ref.k);
}

s64 keys_unlink(struct task *t, s32 id, s32 ring_id)
{
    struct key *ring;
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup_ring(t, ring_id, 0, KEY_WRITE, &ring);
    if (r == 0)
        r = lookup(t, id, LOOKUP_PARTIAL, 0, &ref);
    if (r < 0)
        return r;
    return keyring_unlink(ring, ref.k) ? 0 : -LX_ENOENT;
}

s64 keys_move(struct task *t, s32 id, s32 from_id, s32 to_id, bool is_exclusive)
{
    struct key *from = NULL, *to = NULL;
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, LOOKUP_CREATE, KEY_LINK, &ref);
    if (r == 0)
        r = lookup_ring(t, from_id, 0, KEY_WRITE, &from);
    if (r == 0)
        r = lookup_ring(t, to_id, LOOKUP_CREATE, KEY_WRITE, &to);
    if (r < 0 || from == to)
        return r;
    struct key *there = keyring_find(to, ref.k->type, ref.k->desc);
    bool is_in = keyring_find(from, ref.k->type, ref.k->desc) == ref.k;
    if (!is_in)
        return -LX_ENOENT;
    if (there && is_exclusive)
        return -LX_EEXIST;
    r = keyring_link_new(to, ref.k);
    if (r == 0)
        (void)keyring_unlink(from, ref.k); /* it was in there a moment ago */
    return r;
}

s64 keys_set_request_ring(struct task *t, int which)
{
    int old = t->keys.request_ring;
    if (which == -1)
        return old;
    if (which < 0 || which > 7 || which == 6)
        return -LX_EINVAL;
    t->keys.request_ring = which;
    return old;
}

/* ---- showing ------------------------------------------------------------------------------- */

s64 keys_describe(struct task *t, s32 id, void **ret_text)
{
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, LOOKUP_PARTIAL, KEY_VIEW, &ref);
    if (r < 0)
        return r;
    const struct key *k = ref.k;
    struct user_ns *ns = t->cred->user_ns;
    size_t size = strlen(k->desc) + 64;
    char *text = malloc(size);
    if (!text)
        return -LX_ENOMEM;
    int n = snprintf(text, size, "%s;%d;%d;%08x;%s", key_type_names[k->type],
                     (s32)from_kuid(ns, k->uid), (s32)from_kgid(ns, k->gid), k->perm, k->desc);
    *ret_text = text;
    return n + 1;
}

s64 keys_read(struct task *t, s32 id, void **ret_data)
{
    struct key_ref ref;
    MUTEX_GUARD(&keys_lock);
    int r = lookup(t, id, 0, 0, &ref);
    if (r == 0) {
        r = key_permits(&ref, t->cred, KEY_READ);
        if (r == -LX_EACCES && ref.is_possessed)
            r = 0; /* what a search of the own keyrings finds may be read */
    }
    if (r < 0)
        return r;
    const struct key *k = ref.k;
    if (k->type == KEY_TYPE_LOGON)
        return -LX_EOPNOTSUPP;
    u32 size = k->type == KEY_TYPE_KEYRING ? k->nlinks * (u32)sizeof(s32) : k->size;
    u8 *data = malloc(MAX(size, 1U));
    if (!data)
        return -LX_ENOMEM;
    if (k->type != KEY_TYPE_KEYRING)
        memcpy(data, k->payload, size);
    for (u32 i = 0; k->type == KEY_TYPE_KEYRING && i < k->nlinks; i++)
        memcpy(data + i * sizeof(s32), &k->links[i]->serial, sizeof(s32));
    *ret_data = data;
    return size;
}

/* ---- listing ------------------------------------------------------------------------------- */

bool keys_next(struct task *t, s32 serial, struct key_line *ret)
{
    MUTEX_GUARD(&keys_lock);
    struct key *k = key_after(serial);
    struct key_ref ref;
    while (k && lookup(t, k->serial, LOOKUP_PARTIAL, KEY_VIEW, &ref) < 0)
        k = key_after(k->serial);
    if (!k)
        return false;
    s64 left = k->expiry_ns - clock_real_ns();
    *ret = (struct key_line){
        .serial = k->serial,
        .nrefs = ref_read(&k->ref),
        .perm = k->perm,
        .uid = from_kuid(t->cred->user_ns, k->uid),
        .gid = from_kgid(t->cred->user_ns, k->gid),
        .is_revoked = k->is_revoked,
        .left_s = !k->expiry_ns ? -1 : left > 0 ? (s64)((u64)left / NSEC_PER_SEC) + 1 : 0,
        .type = key_type_names[k->type],
        .size = k->type == KEY_TYPE_KEYRING ? (s64)k->nlinks : (s64)k->size,
    };
    snprintf(ret->desc, sizeof(ret->desc), "%s", k->desc);
    return true;
}

bool keys_next_user(s64 uid, struct key_user_line *ret)
{
    MUTEX_GUARD(&keys_lock);
    const struct user_struct *u = key_user_after(uid, &ret->max_keys, &ret->max_bytes);
    if (!u)
        return false;
    ret->uid = u->uid;
    ret->nkeys = u->nkeys;
    ret->bytes = u->key_bytes;
    return true;
}
