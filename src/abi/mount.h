/* fsopen(2) and kin, statmount(2), as guests see them. */
#ifndef ABI_MOUNT_H
#define ABI_MOUNT_H

#include "abi/fs.h"
#include "abi/stat.h"
#include "base/defs.h"

#define LX_FSCONFIG_SET_FLAG 0
#define LX_FSCONFIG_SET_STRING 1
#define LX_FSCONFIG_SET_BINARY 2
#define LX_FSCONFIG_SET_PATH 3
#define LX_FSCONFIG_SET_PATH_EMPTY 4
#define LX_FSCONFIG_SET_FD 5
#define LX_FSCONFIG_CMD_CREATE 6
#define LX_FSCONFIG_CMD_RECONFIGURE 7
#define LX_FSCONFIG_CMD_CREATE_EXCL 8
#define LX_MOUNT_ATTR_ALL 0x3000ff

#define LX_MNT_ID_UNIQUE_BASE (1ULL << 31) /* numbers of statmount(2) are above */
#define LX_LSMT_ROOT UINT64_MAX
#define LX_LISTMOUNT_REVERSE 1

struct lx_mnt_id_req {
    u32 size, spare;
    u64 mnt_id, param, mnt_ns_id;
};

#define LX_STATMOUNT_SB_BASIC 1
#define LX_STATMOUNT_MNT_BASIC 2
#define LX_STATMOUNT_PROPAGATE_FROM 4
#define LX_STATMOUNT_MNT_ROOT 8
#define LX_STATMOUNT_MNT_POINT 0x10
#define LX_STATMOUNT_FS_TYPE 0x20
#define LX_STATMOUNT_MNT_NS_ID 0x40
#define LX_STATMOUNT_MNT_OPTS 0x80

struct lx_statmount { /* followed by strings */
    u32 size, mnt_opts;
    u64 mask;
    u32 sb_dev_major, sb_dev_minor;
    u64 sb_magic;
    u32 sb_flags, fs_type;
    u64 mnt_id, mnt_parent_id;
    u32 mnt_id_old, mnt_parent_id_old;
    u64 mnt_attr, mnt_propagation, mnt_peer_group, mnt_master, propagate_from;
    u32 mnt_root, mnt_point;
    u64 mnt_ns_id;
    u64 spare[49];
};
#define LX_STATX_MNT_ID_UNIQUE 0x4000

#endif
