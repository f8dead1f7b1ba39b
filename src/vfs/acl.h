/*
 * POSIX access control lists (acl(5)): the extended attributes system.posix_acl_access and
 * system.posix_acl_default, and what they mean for permission and for new files.
 *
 * A list is immutable once published and counted; inodes point at theirs, and readers look in an
 * epoch. File systems that keep lists have inode_ops.set_acl; the vfs does the rest.
 */
#ifndef VFS_ACL_H
#define VFS_ACL_H

#include "vfs/vfs.h"

#define ACL_XATTR_ACCESS  "system.posix_acl_access"
#define ACL_XATTR_DEFAULT "system.posix_acl_default"

/* One entry of an attribute's value, behind its u32 version. Ids in a value are kuids and kgids
 * here. */
struct lx_acl_entry {
    u16 tag, perm;
    u32 id;
};
#define LX_ACL_VERSION   2U
#define LX_ACL_USER_OBJ  1U
#define LX_ACL_USER      2U
#define LX_ACL_GROUP_OBJ 4U
#define LX_ACL_GROUP     8U
#define LX_ACL_MASK      16U
#define LX_ACL_OTHER     32U

void acl_get(struct acl *a);
void acl_put(struct acl *a);
/* The inode's list, referenced, or NULL. */
struct acl *inode_get_acl(struct inode *i, bool is_default);
/* Takes over the reference to a (or NULL). i->lock held, or i is not seen by anybody yet. */
void inode_put_acl(struct inode *i, bool is_default, struct acl *a);
size_t acl_bytes(const struct acl *a);

/* True for the names above. */
bool acl_is_name(const char *xattr, bool *ret_default);
/* *ret_a: NULL for a value without entries. -LX_EINVAL, -LX_EOPNOTSUPP, -LX_ENOMEM. */
int acl_from_value(const void *val, size_t size, struct acl **ret_a) must_check;
s64 acl_to_value(const struct acl *a, void *buf, size_t size) must_check;

/* What a access list grants for mask: 0, -LX_EACCES, or -LX_EAGAIN when i has none. */
int acl_permission(struct inode *i, u32 mask) must_check;
/* The permission bits of a list in *mode; true when they say all of it. */
bool acl_to_mode(const struct acl *a, u32 *mode);
/* i gets an access list (or NULL) as an access list changes the mode. The body of a set_acl in
 * memory. */
int acl_set_in_memory(struct inode *i, bool is_default, struct acl *a) must_check;
/* After a chmod to `mode`: the list follows. */
int acl_chmod(struct inode *i, u32 mode) must_check;
/* A new inode in dir inherits, and its mode becomes what the lists allow. */
int acl_inherit(struct inode *i, struct inode *dir) must_check;
/* Mode bits that creation in dir starts from: the umask counts where dir has no default list. */
u32 acl_create_mode(const struct inode *dir, u32 mode);

#endif
