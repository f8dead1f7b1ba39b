/*
 * Extended attributes of one inode, kept in memory: a short list. Values are opaque.
 * The caller serialises changes and keeps readers out meanwhile (the store has its own lock
 * for that: reads come without the inode's).
 */
#ifndef FS_XATTR_STORE_H
#define FS_XATTR_STORE_H

#include "base/defs.h"
#include "base/lock.h"

struct xattr_entry;
struct xattr_store {
    struct mutex lock;
    struct xattr_entry *first; /* guarded by lock, as all below */
    size_t bytes;              /* names, values and bookkeeping */
};

void xattr_store_init(struct xattr_store *s);
void xattr_store_done(struct xattr_store *s);
s64 xattr_store_get(struct xattr_store *s, const char *name, void *buf, size_t size) must_check;
/* flags: LX_XATTR_*. -LX_ENOSPC beyond `limit` bytes in all. */
int xattr_store_set(struct xattr_store *s, const char *name, const void *val, size_t size,
                    u32 flags, size_t limit) must_check;
int xattr_store_remove(struct xattr_store *s, const char *name) must_check;
/* NUL-terminated names; trusted.* only with is_privileged. */
s64 xattr_store_list(struct xattr_store *s, char *buf, size_t size, bool is_privileged) must_check;

#endif
