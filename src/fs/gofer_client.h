/* The client file system of a gofer: files of the host, served by another process. */
#ifndef FS_GOFER_CLIENT_H
#define FS_GOFER_CLIENT_H

#include "vfs/vfs.h"

/*
 * Modes. Exclusive (no flag): nobody else changes the tree, so attributes, names and their
 * absence are cached for ever. Shared: the host may change it at any time; every use of a name asks
 * again.
 */
#define GOFER_SHARED   1U
#define GOFER_DIRECTFS 2U /* the Sentry looks names up itself, through fds of directories */
#define GOFER_RO       4U /* the super is read-only whatever the export is */

/*
 * A super for export number attach_index of the gofer at the other end of
 * lane_fds. Supers of one gofer share its lanes (the same lane_fds). Errors: LX_EIO, LX_ENOENT (no
 * such export), LX_ENOMEM.
 */
int gofer_super_new(const int *lane_fds, u32 nlanes, u32 attach_index, u32 flags,
                    struct super **ret_sb) must_check;

/*
 * What gofers call the owner whom this process itself sees as 0, for GOFER_DIRECTFS. Once, before
 * the first super; 0 and 0 without.
 */
void gofer_set_own_ids(u32 uid, u32 gid);

/*
 * In exclusive mode: others have had an occasion to change the tree. Names that nobody uses, attributes
 * and listings are asked for again. sb may be any super: others are left alone.
 */
void gofer_super_renew(struct super *sb);

/* Round trips made for sb so far, with all supers of its gofer. */
u64 gofer_super_ncalls(const struct super *sb);

#endif
