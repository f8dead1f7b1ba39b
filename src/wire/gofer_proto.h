/*
 * The gofer protocol: what the Sentry's client file system asks the gofer, and
 * what comes back. Encode, decode, validate; no I/O.
 *
 * Transport: any number of SOCK_SEQPACKET pairs ("lanes"). One message is one
 * datagram of at most GP_MAX_MSG bytes. A lane carries one request at a time:
 * request, then its answer, with host fds attached to the answer by SCM_RIGHTS.
 * The answer repeats op and seq.
 *
 * Objects: a node id names an object that the gofer remembers (0: none). Ids
 * are given out by GP_ATTACH, GP_WALK, GP_READDIR, GP_MKDIR, … and given back
 * by GP_FORGET. Directories get one when they are first used; any other object
 * is mostly named as (node of its directory, name), so the gofer's memory grows
 * with the directories in use, not with the files seen. A pair with an empty
 * name means the node itself.
 *
 * Trust: neither side believes the other. A decoder returns success only if
 * every field is inside its documented bounds: names are single components of
 * 1 to 255 bytes without '/' or NUL and not "." or "..", counts are capped,
 * attributes have a known file type and sane times, and nothing is left over
 * at the end of the message. What a decoder cannot know (is this id alive, is this
 * export writable) is for the caller.
 */
#ifndef WIRE_GOFER_PROTO_H
#define WIRE_GOFER_PROTO_H

#include "abi/errno.h"
#include "wire/wire.h"

struct statx;

#define GP_VERSION    1U
#define GP_MAX_MSG    65536U
#define GP_MAX_NAME   255U
#define GP_MAX_TARGET 4095U /* of a symbolic link */
#define GP_MAX_WALK   32U   /* names in one GP_WALK or GP_STATS */
#define GP_MAX_FORGET 128U
#define GP_MAX_FDS    33U    /* an open's own, and one for each of its names */
#define GP_MAX_VALUE  61440U /* an extended attribute's value, or a list of names */

enum gp_op {
    GP_NONE,
    GP_ATTACH, /* offset: index of the export → node, attr, count: GP_EXPORT_* */
    GP_FORGET, /* ids → nothing */
    GP_WALK, /* node, names → an attr for each found (attrs), err of the next; ids for directories
              */
    GP_STATS,   /* node, names: all children of one directory → a result for each */
    GP_GETATTR, /* node, name → attr */
    GP_READDIR, /* node, name, offset, flags GP_RD_*, count, node2, names
                   → node, attr, data: entries, more: sections */
    GP_OPEN,   /* node, name, flags GP_O_*, names, ids → fd, attr, node when GP_O_NODE; with flags
                 GP_O_READ alone also an fd for reading of each file (ids[k], names[k]) that is
                 regular and can be opened, in no order that counts */
    GP_CREATE, /* node, name, mode, uid, gid, flags → fd, attr */
    GP_MKDIR,  /* node, name, mode, uid, gid → node, attr */
    GP_MKNOD,  /* node, name, mode, uid, gid, rdev → attr */
    GP_SYMLINK,  /* node, name, data: target, uid, gid → attr */
    GP_LINK,     /* node, name: existing; node2, name2: new → attr */
    GP_UNLINK,   /* node, name, flags GP_U_*, victim → node when GP_U_PIN, attr of what remains */
    GP_RENAME,   /* node, name, node2, name2, flags, victim, moved → nothing */
    GP_SETATTR,  /* node, name, set → attr */
    GP_STATFS,   /* node → statfs */
    GP_READLINK, /* node, name → data */
    GP_GETXATTR, /* node, name, data: attribute, count: size → data */
    GP_SETXATTR, /* node, name, data: attribute, value, flags → nothing */
    GP_LISTXATTR,   /* node, name, count → data */
    GP_REMOVEXATTR, /* node, name, data */
    GP_TMPFILE,     /* node, mode, uid, gid, flags → fd, attr, node */
    GP_FSYNC,       /* node, name: a directory; flags 1: data only */
    GP_SYNCFS,      /* node */
    GP_CONNECT,     /* node, name, flags: socket type → fd */
    GP_NOPS,
};

/* GP_ATTACH's answer */
#define GP_EXPORT_RDONLY 1U
#define GP_EXPORT_UDS    2U /* GP_CONNECT is allowed */
/* GP_WALK */
#define GP_W_OPEN                                                                                  \
    1U /* donate a read fd too when the last name is a regular file that can be opened */
/* GP_READDIR */
#define GP_RD_ATTR_DIRS 1U /* attributes with entries that are directories */
#define GP_RD_ATTR_ALL  2U /* … with all entries */
#define GP_RD_TREE                                                                                 \
    4U /* then list subdirectories too, in the order of a tree walk: `count` bytes of it */
/* GP_OPEN, GP_CREATE, GP_TMPFILE */
#define GP_O_READ   1U
#define GP_O_WRITE  2U
#define GP_O_TRUNC  4U
#define GP_O_NODE   8U  /* also give a node id */
#define GP_O_DIR    16U /* a directory's fd (directfs) */
#define GP_O_DIRECT 32U
#define GP_O_EXCL   64U
/* GP_UNLINK, GP_RENAME */
#define GP_U_DIR  1U
#define GP_U_PIN  2U /* the victim is in use: keep it reachable by node after its name is gone */
#define GP_R_PIN  0x10000U /* in rename's flags, beside LX_RENAME_* */
#define GP_R_MASK 0x10007U
/* GP_SETATTR: set.valid */
#define GP_S_MODE      1U
#define GP_S_UID       2U
#define GP_S_GID       4U
#define GP_S_SIZE      8U
#define GP_S_ATIME     16U
#define GP_S_MTIME     32U
#define GP_S_ATIME_NOW 64U
#define GP_S_MTIME_NOW 128U
#define GP_S_KILL_PRIV 256U
#define GP_S_ALL       511U

struct gp_time {
    s64 sec;
    u32 nsec, pad;
};

#define GP_A_BTIME  1U
#define GP_A_MASKED 2U /* a directory whose contents are withheld */

struct gp_attr { /* sent as it is; no padding */
    u64 dev, ino;
    u64 nlink, rdev; /* rdev and dev as the guest ABI's huge dev_t */
    u64 size, blocks;
    u32 mode, uid, gid, blksize;
    struct gp_time atime, mtime, ctime, btime;
    u64 attributes, attributes_mask; /* STATX_ATTR_* */
    u32 flags;                       /* GP_A_* */
    u32 mnt; /* the host's number of the mount (its low bits): what is bound twice is told apart */
};

struct gp_set {
    u32 valid; /* GP_S_* */
    u32 mode, uid, gid;
    u64 size;
    struct gp_time atime, mtime;
};

struct gp_statfs {
    u64 type, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize, flags;
};

struct gp_req {
    u16 op;
    u32 seq;
    u32 flags;
    u64 node, node2;
    struct wire_bytes name, name2; /* empty: the node itself, where the op allows it */
    u64 victim, moved;             /* ids that the Sentry holds for the objects concerned, or 0 */
    u32 mode, uid, gid;
    u64 rdev;
    s64 offset;
    u32 count;
    struct gp_set set;
    struct wire_bytes data, value;
    u32 nnames;
    struct wire_bytes names[GP_MAX_WALK];
    u32 nids;
    u64 ids[GP_MAX_FORGET];
};

struct gp_resp {
    u16 op;
    u16 nfds; /* as announced; the receiver compares with what came */
    u32 seq;
    s32 err; /* 0 or a negative errno, -4095 … -1 */
    u64 node;
    u32 count;
    struct gp_attr attr;
    struct wire_bytes data; /* readlink, xattr; readdir: the entries */
    struct wire_bytes more; /* readdir: sections */
    struct gp_statfs statfs;
    u32 nattrs;
    struct gp_found { /* GP_WALK, GP_STATS */
        s32 err;      /* GP_STATS: of this name; attr is only valid when 0 */
        u64 node;     /* GP_WALK: of a directory */
        struct gp_attr attr;
        struct wire_bytes target; /* of a symbolic link, when it was cheap; else empty */
    } found[GP_MAX_WALK];
};

/* One entry of a GP_READDIR answer's data. */
struct gp_dirent {
    u64 ino;
    s64 next_off; /* the host's directory offset after this entry */
    u8 type;      /* LX_DT_*, the host's d_type */
    bool has_attr;
    struct wire_bytes name; /* may be "." or ".." here only */
    struct gp_attr attr;
    struct wire_bytes target;
};

/*
 * A GP_READDIR answer's `more` holds whole listings of directories below the
 * one asked for, each a header and `size` bytes of entries.
 */
struct gp_section {
    u64 dev, ino; /* of the directory */
    u64 node;
    u32 size, mnt;
};

/* True for a name that a request may carry: see above. */
bool gp_name_is_ok(struct wire_bytes name);
/* True when every field is within its documented bounds. */
bool gp_attr_is_ok(const struct gp_attr *a);
void gp_attr_from_statx(struct gp_attr *a, const struct statx *sx);
/* gp_attr.dev of an object. */
u64 gp_dev_from_statx(const struct statx *sx);

/* Bytes written, or 0 when the message does not fit in cap. */
size_t gp_req_encode(const struct gp_req *r, void *buf, size_t cap) must_check;
/* Pointers in *ret point into buf. false: malformed; op and seq are then valid if known, else 0. */
bool gp_req_decode(const void *buf, size_t size, struct gp_req *ret) must_check;
size_t gp_resp_encode(const struct gp_resp *r, void *buf, size_t cap) must_check;
bool gp_resp_decode(const void *buf, size_t size, struct gp_resp *ret) must_check;

/* Appends an entry; false when it does not fit (nothing is written then). */
bool gp_dirent_put(struct wire_out *w, const struct gp_dirent *e) must_check;
/* The next entry of a listing: 1, 0 at the end, -LX_EPROTO when malformed. */
int gp_dirent_next(struct wire_in *w, struct gp_dirent *ret) must_check;

/* The next section: 1, 0 at the end, -LX_EPROTO. Its entries are not looked at. */
int gp_section_next(struct wire_in *w, struct gp_section *ret,
                    struct wire_bytes *ret_entries) must_check;

/* What a response of this op may need beyond its data: for sizing GP_READDIR's listing. */
#define GP_RESP_OVERHEAD 512U

const char *gp_op_name(u32 op);

#endif
