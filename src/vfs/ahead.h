/*
 * What a path walk will ask for next, for file systems to which a round trip is
 * dear: they may look the rest of a path up together with its first name and put
 * what they find into the dentry cache. A hint and no more: the rest is text of the
 * path (mounts, links and ".." may lead elsewhere).
 */
#ifndef VFS_AHEAD_H
#define VFS_AHEAD_H

#include "base/defs.h"

struct dentry;
struct inode;

struct walk_ahead {
    const char *name; /* being looked up; not NUL-terminated */
    u32 size;
    const char *rest; /* what follows it in the path, slashes skipped; NULL: no walk is on */
};

/* The calling thread's; valid while a lookup of vfs_ahead.name is on. */
extern _Thread_local struct walk_ahead vfs_ahead;

/*
 * Adds a cached child of dir, negative when i is NULL; the one that is cached then, referenced,
 * which is another one when somebody was faster. NULL: no memory. Consumes i. The directory's inode
 * is locked, and dir need not be in the cache yet.
 */
struct dentry *dentry_prime_get(struct dentry *dir, const char *name, size_t size, struct inode *i);

#endif
