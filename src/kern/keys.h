/*
 * Keys and keyrings (keyrings(7)): types "keyring", "user" and "logon". A task has a thread, a
 * process and a session keyring; each uid has two of its own. There is no upcall: request_key finds
 * what there is or nothing.
 *
 * One lock guards all of it. A search looks into a keyring once, however often it is linked.
 */
#ifndef KERN_KEYS_H
#define KERN_KEYS_H

#include "kern/task.h"

#define KEY_VIEW    0x01U /* in each byte of a mask: possessor, user, group, others */
#define KEY_READ    0x02U
#define KEY_WRITE   0x04U
#define KEY_SEARCH  0x08U
#define KEY_LINK    0x10U
#define KEY_SETATTR 0x20U
#define KEY_ALL     0x3fU

#define KEY_SPEC_THREAD       (-1)
#define KEY_SPEC_PROCESS      (-2)
#define KEY_SPEC_SESSION      (-3)
#define KEY_SPEC_USER         (-4)
#define KEY_SPEC_USER_SESSION (-5)
#define KEY_SPEC_GROUP        (-6)
#define KEY_SPEC_REQKEY_AUTH  (-7)
#define KEY_SPEC_REQUESTOR    (-8)

#define KEY_MAX_DESC    4096
#define KEY_MAX_PAYLOAD 32767

struct key;

/* Life of tasks. */
int keys_start(struct task *t) must_check; /* a container's first process: a session keyring */
void keys_clone(struct task *child, struct task *parent); /* the session's is inherited */
void keys_exec(struct task *t);                           /* thread's and process's go */
void keys_task_free(struct task *t);
void keys_tgroup_free(struct tgroup *g);
void keys_user_left(struct user_struct *u); /* its last task: its keyrings go */

/* Values are serial numbers or 0, or errors as keyctl(2), add_key(2) and request_key(2) say. */
s64 keys_get_id(struct task *t, s32 id, bool is_create) must_check;
s64 keys_join(struct task *t, const char *name) must_check; /* NULL: a new one without a name */
s64 keys_add(struct task *t, const char *type, const char *desc, const void *payload, u32 size,
             s32 ring) must_check;
s64 keys_request(struct task *t, const char *type, const char *desc, s32 dest) must_check;
s64 keys_update(struct task *t, s32 id, const void *payload, u32 size) must_check;
s64 keys_revoke(struct task *t, s32 id) must_check;
s64 keys_invalidate(struct task *t, s32 id) must_check;
s64 keys_chown(struct task *t, s32 id, u32 uid, u32 gid) must_check; /* UINT32_MAX: as it is */
s64 keys_set_perm(struct task *t, s32 id, u32 perm) must_check;
s64 keys_set_timeout(struct task *t, s32 id, u32 seconds) must_check;
/* Links the persistent keyring of a (kernel) uid into dest. */
s64 keys_get_persistent(struct task *t, u32 uid, s32 dest) must_check;
void keys_user_ns_ends(const struct user_ns *ns); /* its persistent keyrings go */
/* From now on nothing can be linked into the keyring. */
s64 keys_restrict(struct task *t, s32 ring, const char *type) must_check;
s64 keys_clear(struct task *t, s32 ring) must_check;
s64 keys_link(struct task *t, s32 id, s32 ring) must_check;
s64 keys_unlink(struct task *t, s32 id, s32 ring) must_check;
s64 keys_move(struct task *t, s32 id, s32 from, s32 to, bool is_exclusive) must_check;
s64 keys_search(struct task *t, s32 ring, const char *type, const char *desc, s32 dest) must_check;
s64 keys_check(struct task *t, s32 id, u32 need) must_check; /* is there and may be used so */
s64 keys_set_request_ring(struct task *t, int which) must_check;
/* Into a buffer that the caller frees; the size. */
s64 keys_describe(struct task *t, s32 id, void **ret_text) must_check;
s64 keys_read(struct task *t, s32 id, void **ret_data) must_check;

/* For /proc/keys: the next key after `serial` that t may see; false: there is none. */
struct key_line {
    s32 serial;
    u32 nrefs, perm, uid, gid; /* ids as t sees them */
    bool is_revoked;
    s64 left_s; /* until it expires; -1: never, 0: it has */
    const char *type;
    s64 size; /* bytes of payload; of a keyring: its links */
    char desc[KEY_MAX_DESC];
};
bool keys_next(struct task *t, s32 serial, struct key_line *ret);
/* For /proc/key-users: the next one after uid (-1: the first); uids are the root namespace's. */
struct key_user_line {
    u32 uid, nkeys, bytes, max_keys, max_bytes;
};
bool keys_next_user(s64 uid, struct key_user_line *ret);

#endif
