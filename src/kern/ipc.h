/*
 * System V IPC: namespaces, and what shm, sem and msg have in common: ids,
 * keys, permissions.
 *
 * An id is sequence * IPC_MAX_IDS + slot, as Linux's. An object is counted: by its slot
 * until it is removed, by calls in progress, by shared memory's mappings, by undo lists.
 *
 * Lock order: mm.lock → ipc_ids.lock → ipc_obj.lock. No user copy under either. Undo lists: see sysv_sem.c.
 */
#ifndef KERN_IPC_H
#define KERN_IPC_H

#include "kern/task.h"

#define IPC_MAX_IDS 32768

#define LX_IPC_PRIVATE 0
#define LX_IPC_CREAT   01000
#define LX_IPC_EXCL    02000
#define LX_IPC_NOWAIT  04000
#define LX_IPC_RMID    0
#define LX_IPC_SET     1
#define LX_IPC_STAT    2
#define LX_IPC_INFO    3

struct ipc_obj {
    struct ref ref;
    struct mutex lock;
    s32 id;                     /* immutable, as ids */
    struct ipc_ids *ids;
    struct ipc_ns *ns;          /* its memory is counted by objects too; immutable */
    s32 key;                    /* guarded by ids->lock */
    u32 uid, gid, cuid, cgid;   /* kuids; guarded by lock, as mode and is_removed */
    u32 mode;
    bool is_removed;
    s64 ctime;                  /* seconds; guarded by lock */
};

struct ipc_ids {
    struct mutex lock;
    struct ipc_obj **slots;     /* guarded by lock, as all below; owned references */
    u32 nslots, count, seq;
    void (*free_obj)(struct ipc_obj *o); /* the last reference is gone; immutable */
};

struct ipc_ns {
    struct ref ref;          /* users; at 0 all objects are removed */
    struct ref mem;          /* the users together, and each object */
    u64 ino;
    struct user_ns *user_ns; /* counted */
    struct ipc_ids shm, sem, msg;
    _Atomic u64 shm_pages, msg_bytes, nmsgs, nsems;
    struct mutex mq_lock;
    struct super *mq_sb;     /* POSIX queues; made on first use; guarded by mq_lock; owned */
};

/* struct ipc64_perm of x86-64 */
struct lx_ipc_perm {
    s32 key;
    u32 uid, gid, cuid, cgid, mode;
    u16 seq, pad1;
    u32 pad2;
    u64 unused[2];
};
_Static_assert(sizeof(struct lx_ipc_perm) == 48, "ipc64_perm");

static inline struct ipc_ns *ipc_ns_of(struct task *t)
{
    return t->ns->ipc;
}

void ipc_obj_put(struct ipc_obj *o);
/* By id, counted; -LX_EINVAL. */
int ipc_find(struct ipc_ids *ids, s32 id, struct ipc_obj **ret_o) must_check;
/* By slot (the *_STAT commands). */
int ipc_find_slot(struct ipc_ids *ids, u32 slot, struct ipc_obj **ret_o) must_check;
/* Slots in use: the highest, and -1 when there is none. */
s32 ipc_highest(struct ipc_ids *ids);

/*
 * The *get calls. make: a new object without id (ids->lock held; must not sleep); check: whether an
 * existing one suits. Returns the id.
 */
struct ipc_get {
    struct ipc_ids *ids;
    s32 key;
    u32 flags;
    u64 limit; /* most objects: LX_ENOSPC */
    int (*make)(struct ipc_ns *ns, const struct ipc_get *g, struct ipc_obj **ret_o);
    int (*check)(struct ipc_obj *o, const struct ipc_get *g);
    u64 size;
};
s64 ipc_get(struct task *t, const struct ipc_get *g) must_check;
void ipc_obj_init(struct ipc_obj *o);

/* flags: permission bits wanted, as in a mode. Under o->lock. -LX_EACCES. */
int ipc_permitted(struct task *t, const struct ipc_obj *o, u32 flags) must_check;
/* Owner, creator or CAP_SYS_ADMIN: IPC_SET, IPC_RMID. Under o->lock. -LX_EPERM. */
int ipc_may_control(struct task *t, const struct ipc_obj *o) must_check;
/* Out of its slot; the caller holds o->lock not and a reference. False: it was out already. */
bool ipc_unlink(struct ipc_obj *o);
void ipc_fill_perm(struct task *t, struct ipc_obj *o, struct lx_ipc_perm *ret); /* under o->lock */
int ipc_apply_perm(struct task *t, struct ipc_obj *o, const struct lx_ipc_perm *p) must_check;
s64 ipc_now(void); /* seconds */
/* Numbers of processes: kept in root terms, shown in the caller's. */
s32 ipc_own_pid(struct task *t);
s32 ipc_show_pid(struct task *t, s32 pid);

void ipc_mq_init(void); /* mq.c: the hooks of fs/mqueue.h */

/* sysv_shm.c, sysv_sem.c, sysv_msg.c */
void shm_free(struct ipc_obj *o);
void sem_free(struct ipc_obj *o);
void msg_free(struct ipc_obj *o);

s64 shm_get_call(struct task *t, s32 key, u64 size, u32 flags) must_check;
s64 shm_at_call(struct task *t, s32 id, u64 addr, u32 flags) must_check;
s64 shm_dt_call(struct task *t, u64 addr) must_check;
s64 shm_ctl_call(struct task *t, s32 id, int cmd, uaddr_t buf) must_check;
s64 sem_get_call(struct task *t, s32 key, s32 nsems, u32 flags) must_check;
s64 sem_op_call(struct task *t, s32 id, uaddr_t ops, u64 nops, uaddr_t timeout) must_check;
s64 sem_ctl_call(struct task *t, s32 id, s32 num, int cmd, u64 arg) must_check;
s64 msg_get_call(struct task *t, s32 key, u32 flags) must_check;
s64 msg_snd_call(struct task *t, s32 id, uaddr_t msgp, u64 size, u32 flags) must_check;
s64 msg_rcv_call(struct task *t, s32 id, uaddr_t msgp, u64 size, s64 type, u32 flags) must_check;
s64 msg_ctl_call(struct task *t, s32 id, int cmd, uaddr_t buf) must_check;

/* For /proc/sysvipc: one object's line to the caller. */
struct shm_line {
    s32 key, id, cpid, lpid;
    u32 mode, uid, gid, cuid, cgid;
    u64 size, nattch;
    s64 atime, dtime, ctime;
};
struct sem_line {
    s32 key, id;
    u32 mode, uid, gid, cuid, cgid, nsems;
    s64 otime, ctime;
};
struct msg_line {
    s32 key, id, lspid, lrpid;
    u32 mode, uid, gid, cuid, cgid;
    u64 cbytes, qnum;
    s64 stime, rtime, ctime;
};
/* The object in a slot, or false. */
bool shm_describe(struct ipc_ns *ns, u32 slot, struct shm_line *ret);
bool sem_describe(struct ipc_ns *ns, u32 slot, struct sem_line *ret);
bool msg_describe(struct ipc_ns *ns, u32 slot, struct msg_line *ret);

/* /proc/sys/kernel: the limits. */
extern _Atomic s64 sysctl_shmmni, sysctl_shm_rmid_forced, sysctl_msgmax, sysctl_msgmnb, sysctl_msgmni;
extern _Atomic u64 sysctl_shmmax, sysctl_shmall;
extern _Atomic s64 sysctl_sem[4]; /* SEMMSL, SEMMNS, SEMOPM, SEMMNI */

#endif
