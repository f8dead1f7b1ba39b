/* Keys as objects: quota, permissions, payloads, links. See keys.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "kern/keys_int.h"

#define NBUCKETS       256
#define LINK_BYTES     4U
#define MAX_KEYS       200U
#define MAX_BYTES      20000U
#define ROOT_MAX_KEYS  20000U
#define ROOT_MAX_BYTES 2500000U

const char *const key_type_names[KEY_NTYPES] = {"keyring", "user", "logon"};
struct mutex keys_lock = MUTEX_INIT("keys");

static struct list buckets[NBUCKETS]; /* guarded by keys_lock, as all here; a zero head is empty */
static struct list rings = LIST_INIT(rings);
static u64 last_visit;

static struct list *bucket_of(s32 serial)
{
    struct list *b = &buckets[(u32)serial % NBUCKETS];
    if (!b->next)
        list_init(b);
    return b;
}

struct key *key_by_serial(s32 serial)
{
    struct key *k;
    list_for_each (k, bucket_of(serial), node) {
        if (k->serial == serial)
            return k;
    }
    return NULL;
}

struct key *key_after(s32 serial)
{
    struct key *k, *best = NULL;
    for (u32 i = 0; i < NBUCKETS; i++) {
        list_for_each (k, bucket_of((s32)i), node) {
            if (k->serial > serial && (!best || k->serial < best->serial))
                best = k;
        }
    }
    return best;
}

struct user_struct *key_user_after(s64 uid, u32 *ret_max_keys, u32 *ret_max_bytes)
{
    struct user_struct *best = NULL;
    struct key *k;
    for (u32 i = 0; i < NBUCKETS; i++) {
        list_for_each (k, bucket_of((s32)i), node) {
            if (k->user->uid > uid && (!best || k->user->uid < best->uid))
                best = k->user;
        }
    }
    *ret_max_keys = best && best->uid == 0 ? ROOT_MAX_KEYS : MAX_KEYS;
    *ret_max_bytes = best && best->uid == 0 ? ROOT_MAX_BYTES : MAX_BYTES;
    return best;
}

static s32 new_serial(void)
{
    u32 n;
    do {
        if (getrandom(&n, sizeof(n), 0) != sizeof(n))
            n = (u32)++last_visit * 2654435761U;
        n &= INT32_MAX;
    } while (n < 3 || key_by_serial((s32)n));
    return (s32)n;
}

/* ---- quota --------------------------------------------------------------------------------- */

static bool charge(struct user_struct *u, u32 uid, u32 nkeys, u32 bytes)
{
    u32 max_keys = uid == 0 ? ROOT_MAX_KEYS : MAX_KEYS;
    u32 max_bytes = uid == 0 ? ROOT_MAX_BYTES : MAX_BYTES;
    if (u->nkeys + nkeys > max_keys || u->key_bytes + bytes > max_bytes)
        return false;
    u->nkeys += nkeys;
    u->key_bytes += bytes;
    return true;
}

static void uncharge(struct user_struct *u, u32 nkeys, u32 bytes)
{
    u->nkeys -= nkeys;
    u->key_bytes -= bytes;
}

static int recharge(struct key *k, u32 bytes)
{
    if (bytes > k->charged && !charge(k->user, k->uid, 0, bytes - k->charged))
        return -LX_EDQUOT;
    if (bytes < k->charged)
        uncharge(k->user, 0, k->charged - bytes);
    k->charged = bytes;
    return 0;
}

static u32 cost(const struct key *k)
{
    return (u32)strlen(k->desc) + 1 + k->size + k->nlinks * LINK_BYTES;
}

void key_change_owner(struct key *k, u32 uid, u32 gid, struct user_struct *user)
{
    if (user) { /* the new owner's quota may overflow by this, as root wills it */
        uncharge(k->user, 1, k->charged);
        user->nkeys++;
        user->key_bytes += k->charged;
        user_put(k->user);
        k->user = user;
        k->uid = uid;
    }
    k->gid = gid;
}

/* ---- life ---------------------------------------------------------------------------------- */

int key_new(enum key_type type, const char *desc, u32 uid, u32 gid, u32 perm, struct key **ret)
{
    struct user_struct *u = user_get(uid);
    struct key *k = calloc(1, sizeof(*k));
    char *copy = strdup(desc);
    int r = u && k && copy ? 0 : -LX_ENOMEM;
    u32 bytes = r == 0 ? (u32)strlen(copy) + 1 : 0;
    if (r == 0 && !charge(u, uid, 1, bytes))
        r = -LX_EDQUOT;
    if (r < 0) {
        user_put(u);
        free(k);
        free(copy);
        return r;
    }
    ref_init(&k->ref);
    k->serial = new_serial();
    k->type = type;
    k->uid = uid;
    k->gid = gid;
    k->perm = perm;
    k->user = u;
    k->charged = bytes;
    k->desc = copy;
    list_init(&k->ring_node);
    list_add_tail(bucket_of(k->serial), &k->node);
    if (type == KEY_TYPE_KEYRING)
        list_add_tail(&rings, &k->ring_node);
    *ret = k;
    return 0;
}

void key_get(struct key *k)
{
    ref_get(&k->ref);
}

/* Keyrings nest no deeper than KEYRING_MAX_DEPTH, so neither does this. */
void key_put(struct key *k)
{
    if (!k || !ref_put(&k->ref))
        return;
    for (u32 i = 0; i < k->nlinks; i++)
        key_put(k->links[i]);
    list_del(&k->node);
    list_del(&k->ring_node);
    uncharge(k->user, 1, k->charged);
    user_put(k->user);
    free(k->links);
    free(k->payload);
    free(k->desc);
    free(k);
}

int key_set_payload(struct key *k, const void *payload, u32 size)
{
    if (size == 0 || size > KEY_MAX_PAYLOAD || !payload)
        return -LX_EINVAL;
    void *copy = malloc(size);
    if (!copy)
        return -LX_ENOMEM;
    int r = recharge(k, cost(k) - k->size + size);
    if (r < 0) {
        free(copy);
        return r;
    }
    memcpy(copy, payload, size);
    free(k->payload);
    k->payload = copy;
    k->size = size;
    k->expiry_ns = 0;
    return 0;
}

int key_validate(const struct key *k)
{
    if (k->is_revoked)
        return -LX_EKEYREVOKED;
    if (k->expiry_ns && clock_real_ns() >= k->expiry_ns)
        return -LX_EKEYEXPIRED;
    return 0;
}

int key_permits(const struct key_ref *r, const struct cred *c, u32 need)
{
    const struct key *k = r->k;
    u32 perm = k->perm;
    if (k->uid == c->fsuid)
        perm >>= 16;
    else if (k->gid != UINT32_MAX && perm & (KEY_ALL << 8) && cred_in_group(c, k->gid))
        perm >>= 8;
    if (r->is_possessed)
        perm |= k->perm >> 24;
    return (perm & need) == need ? 0 : -LX_EACCES;
}

/* ---- links --------------------------------------------------------------------------------- */

struct key *keyring_find(struct key *ring, enum key_type type, const char *desc)
{
    for (u32 i = 0; i < ring->nlinks; i++) {
        if (ring->links[i]->type == type && strcmp(ring->links[i]->desc, desc) == 0)
            return ring->links[i];
    }
    return NULL;
}

/* How many keyrings deep k is; KEYRING_MAX_DEPTH + 1 when deeper. *ret_has: `what` is in it. */
static int depth_of(const struct key *k, const struct key *what, int level, bool *ret_has)
{
    int deepest = 0;
    if (k->type != KEY_TYPE_KEYRING)
        return 0;
    *ret_has |= k == what;
    for (u32 i = 0; i < k->nlinks && level <= KEYRING_MAX_DEPTH; i++) {
        if (k->links[i]->visit == last_visit)
            continue;
        k->links[i]->visit = last_visit;
        int d = depth_of(k->links[i], what, level + 1, ret_has);
        deepest = MAX(deepest, d);
    }
    return deepest + 1;
}

int keyring_link(struct key *ring, struct key *k)
{
    bool has_ring = false;
    if (k->type == KEY_TYPE_KEYRING) {
        last_visit++;
        int depth = depth_of(k, ring, 1, &has_ring);
        if (has_ring)
            return -LX_EDEADLK;
        if (depth >= KEYRING_MAX_DEPTH)
            return -LX_ELOOP;
    }
    struct key *old = keyring_find(ring, k->type, k->desc);
    if (old == k)
        return 0;
    if (!old && ring->nlinks == ring->cap) {
        u32 cap = ring->cap ? ring->cap * 2 : 8;
        struct key **links = realloc(ring->links, cap * sizeof(*links));
        if (!links)
            return -LX_ENOMEM;
        ring->links = links;
        ring->cap = cap;
    }
    if (!old && recharge(ring, cost(ring) + LINK_BYTES) < 0)
        return -LX_EDQUOT;
    key_get(k);
    for (u32 i = 0; old && i < ring->nlinks; i++) {
        if (ring->links[i] == old)
            ring->links[i] = k;
    }
    if (!old)
        ring->links[ring->nlinks++] = k;
    key_put(old);
    return 0;
}

int keyring_link_new(struct key *ring, struct key *k)
{
    return ring->is_restricted ? -LX_EPERM : keyring_link(ring, k);
}

bool keyring_unlink(struct key *ring, struct key *k)
{
    for (u32 i = 0; i < ring->nlinks; i++) {
        if (ring->links[i] != k)
            continue;
        memmove(&ring->links[i], &ring->links[i + 1],
                (ring->nlinks - i - 1) * sizeof(*ring->links));
        ring->nlinks--;
        (void)recharge(ring, cost(ring)); /* less never fails */
        key_put(k);
        return true;
    }
    return false;
}

void keyring_clear(struct key *ring)
{
    while (ring->nlinks > 0)
        (void)keyring_unlink(ring, ring->links[ring->nlinks - 1]); /* it is in there */
}

void key_forget_everywhere(struct key *k)
{
    struct key *ring, *next;
    list_for_each_safe (ring, next, &rings, ring_node) {
        if (ring != k)
            (void)keyring_unlink(ring, k); /* false: not in this one */
    }
}

struct key *keyring_by_name(const struct cred *c, const char *name)
{
    struct key *k;
    list_for_each (k, &rings, ring_node) {
        struct key_ref r = {k, false};
        if (!k->is_revoked && strcmp(k->desc, name) == 0 && key_permits(&r, c, KEY_SEARCH) == 0)
            return k;
    }
    return NULL;
}

/* ---- searching ----------------------------------------------------------------------------- */

u64 key_next_visit(void)
{
    return ++last_visit;
}

static bool is_match(const struct key *k, const struct key_match *m)
{
    return m->key ? k == m->key : k->type == m->type && strcmp(k->desc, m->desc) == 0;
}

/* Whether k, found in a keyring, is an answer; else why not, in m->error. */
static bool is_usable(struct key *k, bool is_possessed, struct key_match *m)
{
    struct key_ref r = {k, is_possessed};
    if (m->key)
        return true; /* the caller looks for itself */
    int e = key_validate(k);
    if (e == 0)
        e = key_permits(&r, m->cred, KEY_SEARCH);
    if (e < 0)
        m->error = e;
    return e == 0;
}

struct key *keyring_search(struct key *ring, bool is_possessed, struct key_match *m, int depth)
{
    struct key_ref r = {ring, is_possessed};
    if (ring->visit == m->visit || depth > KEYRING_MAX_DEPTH)
        return NULL;
    ring->visit = m->visit;
    if (is_match(ring, m) && is_usable(ring, is_possessed, m))
        return ring;
    if (key_validate(ring) < 0 || key_permits(&r, m->cred, KEY_SEARCH) < 0)
        return NULL;
    for (u32 i = 0; i < ring->nlinks; i++) {
        struct key *k = ring->links[i];
        if (k->type != KEY_TYPE_KEYRING && is_match(k, m) && is_usable(k, is_possessed, m))
            return k;
    }
    for (u32 i = 0; i < ring->nlinks; i++) {
        struct key *k = ring->links[i];
        struct key *found =
            k->type == KEY_TYPE_KEYRING ? keyring_search(k, is_possessed, m, depth + 1) : NULL;
        if (found)
            return found;
    }
    return NULL;
}
