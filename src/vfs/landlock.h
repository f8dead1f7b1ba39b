/*
 * Landlock (landlock(7)), ABI 6: what a task has forbidden itself. A domain is a chain of layers,
 * one for each landlock_restrict_self; credentials hold the innermost. A request is allowed when
 * every layer that handles it has a rule for it on the way from the file to the root.
 *
 * Checks cost one comparison for a task without a domain.
 */
#ifndef VFS_LANDLOCK_H
#define VFS_LANDLOCK_H

#include "vfs/vfs.h"

#define LANDLOCK_ABI        6
#define LANDLOCK_MAX_LAYERS 16
#define LANDLOCK_MAX_RULES  4096U /* of one ruleset; Linux has no such limit */

#define LL_FS_EXECUTE     (1ULL << 0)
#define LL_FS_WRITE_FILE  (1ULL << 1)
#define LL_FS_READ_FILE   (1ULL << 2)
#define LL_FS_READ_DIR    (1ULL << 3)
#define LL_FS_REMOVE_DIR  (1ULL << 4)
#define LL_FS_REMOVE_FILE (1ULL << 5)
#define LL_FS_MAKE_CHAR   (1ULL << 6)
#define LL_FS_MAKE_DIR    (1ULL << 7)
#define LL_FS_MAKE_REG    (1ULL << 8)
#define LL_FS_MAKE_SOCK   (1ULL << 9)
#define LL_FS_MAKE_FIFO   (1ULL << 10)
#define LL_FS_MAKE_BLOCK  (1ULL << 11)
#define LL_FS_MAKE_SYM    (1ULL << 12)
#define LL_FS_REFER       (1ULL << 13)
#define LL_FS_TRUNCATE    (1ULL << 14)
#define LL_FS_IOCTL_DEV   (1ULL << 15)
#define LL_FS_ALL         ((1ULL << 16) - 1)
#define LL_FS_FILE                                                                                 \
    (LL_FS_EXECUTE | LL_FS_WRITE_FILE | LL_FS_READ_FILE | LL_FS_TRUNCATE | LL_FS_IOCTL_DEV)
#define LL_NET_BIND_TCP        (1ULL << 0)
#define LL_NET_CONNECT_TCP     (1ULL << 1)
#define LL_NET_ALL             3ULL
#define LL_SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define LL_SCOPE_SIGNAL        (1ULL << 1)
#define LL_SCOPE_ALL           3ULL

struct landlock_domain;
void landlock_get(const struct landlock_domain *d); /* NULL is no domain, here and below */
void landlock_put(const struct landlock_domain *d);

/* ---- making -------------------------------------------------------------------------------- */

/* A ruleset's file. */
int landlock_ruleset_new(u64 fs, u64 net, u64 scope, struct file **ret_f) must_check;
bool landlock_is_ruleset(const struct file *f);
/* Rules added are merged with those there are. -LX_EINVAL: not handled, or not of this kind of
 * file. */
int landlock_add_path(struct file *ruleset, const struct path *p, u64 access) must_check;
int landlock_add_port(struct file *ruleset, u16 port, u64 access) must_check;
/* The domain that `outer` becomes by it. -LX_E2BIG: too many layers. */
int landlock_restrict(const struct landlock_domain *outer, struct file *ruleset,
                      const struct landlock_domain **ret) must_check;

/* ---- asking, for the current task ---------------------------------------------------------- */

const struct landlock_domain *landlock_own(void);
u64 landlock_denied_slow(const struct path *p, u64 access);
/* What of `access` the task is refused at p. No locks: it walks up. */
static inline u64 landlock_denied(const struct path *p, u64 access)
{
    return __builtin_expect(vfs_cred()->domain != NULL, 0) ? landlock_denied_slow(p, access) : 0;
}
u64 landlock_make_right(u32 mode); /* to make a name of such a file */
/* Opening p for reading and writing; *ret_fmode: FMODE_NO_* for what the file may not be used for.
 */
int landlock_open(const struct path *p, u32 flags, bool is_exec, u32 *ret_fmode) must_check;
/*
 * A file moves (or gets a name) from one directory to another: _begin before the directories
 * are locked, _check with what was found in them. is_exchange: `there` moves back.
 */
struct landlock_move {
    bool is_restricted, is_same_dir;
    u64 denied_from, denied_to; /* of all rights */
    const struct landlock_domain *domain;
    u64 from[LANDLOCK_MAX_LAYERS], to[LANDLOCK_MAX_LAYERS]; /* rights that each layer gives there */
};
void landlock_move_begin(struct landlock_move *m, const struct path *from, const struct path *to);
/* The same for a link: `linked` is the file. */
void landlock_link_begin(struct landlock_move *m, const struct path *linked, const struct path *to);
int landlock_move_check(const struct landlock_move *m, const struct inode *moved,
                        const struct inode *there, bool is_rename, bool is_exchange) must_check;
/* No mount may be made, changed or taken away. */
bool landlock_forbids_mounts(void);
int landlock_check_port(u16 port, u64 access) must_check; /* -LX_EACCES */
/* `other` is out of reach: a layer of `own` that scopes this is not one of its. */
bool landlock_is_scoped(const struct landlock_domain *own, const struct landlock_domain *other,
                        u64 scope);
/* `own` is `other` or an outer one of it: it may look into its tasks. */
bool landlock_is_outer(const struct landlock_domain *own, const struct landlock_domain *other);

#endif
