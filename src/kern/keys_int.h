/* Shared by keys.c (objects) and keyrings.c (who has which). Everything under keys_lock. */
#ifndef KERN_KEYS_INT_H
#define KERN_KEYS_INT_H

#include "kern/kern_int.h"
#include "kern/keys.h"

#define KEYRING_MAX_DEPTH 6

enum key_type { KEY_TYPE_KEYRING, KEY_TYPE_USER, KEY_TYPE_LOGON, KEY_NTYPES };
extern const char *const key_type_names[KEY_NTYPES];

struct key {
    struct ref ref;
    struct list node;      /* in its bucket of serial numbers */
    struct list ring_node; /* of keyrings: all of them */
    s32 serial;            /* immutable */
    enum key_type type;    /* immutable */
    u32 uid, gid, perm;
    struct user_struct *user; /* counted: whose quota it is in */
    u32 charged;              /* bytes of the quota */
    s64 expiry_ns;            /* CLOCK_REALTIME; 0: never */
    bool is_revoked;
    bool is_restricted; /* a keyring that takes no more links */
    char *desc; /* immutable */
    void *payload;
    u32 size;
    struct key **links; /* of a keyring: counted */
    u32 nlinks, cap;
    u64 visit; /* the last search that looked into it */
};

/* A key as somebody has found it. */
struct key_ref {
    struct key *k;
    bool is_possessed;
};

extern struct mutex keys_lock;

/* A new key with one reference. -LX_EDQUOT, -LX_ENOMEM. */
int key_new(enum key_type type, const char *desc, u32 uid, u32 gid, u32 perm,
            struct key **ret) must_check;
void key_get(struct key *k);
void key_put(struct key *k);
struct key *key_by_serial(s32 serial);
struct key *key_after(s32 serial); /* the one with the next higher number; NULL: none */
/* The user with the next higher uid (-1: the first) that has keys, and its limits. */
struct user_struct *key_user_after(s64 uid, u32 *ret_max_keys, u32 *ret_max_bytes);
/* A keyring of this name that c may search without possessing it; NULL: none. */
struct key *keyring_by_name(const struct cred *c, const char *name);
int key_set_payload(struct key *k, const void *payload, u32 size) must_check;
int key_validate(const struct key *k) must_check;
int key_permits(const struct key_ref *r, const struct cred *c, u32 need) must_check;
void key_change_owner(struct key *k, u32 uid, u32 gid, struct user_struct *user);
void key_forget_everywhere(struct key *k); /* takes it out of every keyring */

/* The keyring that t knows as id, made if need be. Not counted. */
int keys_lookup_ring(struct task *t, s32 id, u32 need, struct key **ret) must_check;
/* Links: k takes the place of one of the same type and description. */
int keyring_link(struct key *ring, struct key *k) must_check;
int keyring_link_new(struct key *ring, struct key *k) must_check; /* -LX_EPERM: restricted */
bool keyring_unlink(struct key *ring, struct key *k);
void keyring_clear(struct key *ring);
struct key *keyring_find(struct key *ring, enum key_type type, const char *desc);

/* What a search looks for: one key, or a type and description. */
struct key_match {
    const struct key *key;
    enum key_type type;
    const char *desc;
    const struct cred *cred;
    u64 visit;
    int error; /* the best reason for finding nothing */
};
u64 key_next_visit(void);
struct key *keyring_search(struct key *ring, bool is_possessed, struct key_match *m, int depth);

#endif
