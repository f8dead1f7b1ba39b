/*
 * Codec of the gofer protocol. A message is a fixed header and the fields of
 * its operation in one fixed order (that of the F_* and R_* bits below); which
 * fields an operation has is one row of a table, so encoder, decoder and
 * validation cannot drift apart.
 */
#include <linux/stat.h>

#include "abi/fs.h"
#include "wire/gofer_proto.h"

/* Fields of a request, in wire order. */
#define F_FLAGS    0x1U
#define F_NODE     0x2U
#define F_NAME     0x4U /* one component, or empty: the node itself */
#define F_NODE2    0x8U
#define F_NAME2    0x10U
#define F_VICTIM   0x20U
#define F_MOVED    0x40U
#define F_MODE     0x80U /* mode, uid, gid */
#define F_RDEV     0x100U
#define F_OFFSET   0x200U
#define F_COUNT    0x400U
#define F_SET      0x800U
#define F_DATA     0x1000U /* a string without NUL: target or attribute name */
#define F_VALUE    0x2000U
#define F_NAMES    0x4000U
#define F_IDS      0x8000U
#define F_NAMED    0x10000U /* not a field: name may not be empty */
#define F_NO_NAMES 0x20000U /* not a field: names may be none */

#define F_OBJ (F_NODE | F_NAME)
#define F_NEW (F_NODE | F_NAME | F_NAMED | F_MODE)

/* Fields of a successful answer, in wire order. */
#define R_NODE   0x1U
#define R_COUNT  0x2U
#define R_ATTR   0x4U
#define R_DATA   0x8U
#define R_STATFS 0x10U
#define R_FOUND  0x20U
#define R_MORE   0x80U
#define R_ON_ERR 0x40U /* not a field: the fields are there also when err is set */

static const struct op_desc {
    const char *name;
    u32 req, resp, flags; /* flags: the bits that a request may set */
} ops[GP_NOPS] = {
    [GP_ATTACH] = {"attach", F_OFFSET, R_NODE | R_COUNT | R_ATTR, 0},
    [GP_FORGET] = {"forget", F_IDS, 0, 0},
    [GP_WALK] = {"walk", F_FLAGS | F_NODE | F_NAMES, R_FOUND | R_ON_ERR, GP_W_OPEN},
    [GP_STATS] = {"stats", F_NODE | F_NAMES, R_FOUND, 0},
    [GP_GETATTR] = {"getattr", F_OBJ, R_ATTR, 0},
    [GP_READDIR] = {"readdir",
                    F_FLAGS | F_OBJ | F_NODE2 | F_OFFSET | F_COUNT | F_NAMES | F_NO_NAMES,
                    R_NODE | R_COUNT | R_ATTR | R_DATA | R_MORE,
                    GP_RD_ATTR_DIRS | GP_RD_ATTR_ALL | GP_RD_TREE},
    [GP_OPEN] = {"open", F_FLAGS | F_OBJ | F_NAMES | F_NO_NAMES | F_IDS, R_NODE | R_ATTR, 127},
    [GP_CREATE] = {"create", F_FLAGS | F_NEW, R_NODE | R_ATTR, 127},
    [GP_MKDIR] = {"mkdir", F_NEW, R_NODE | R_ATTR, 0},
    [GP_MKNOD] = {"mknod", F_NEW | F_RDEV, R_ATTR, 0},
    [GP_SYMLINK] = {"symlink", F_NEW | F_DATA, R_ATTR, 0},
    [GP_LINK] = {"link", F_OBJ | F_NODE2 | F_NAME2, R_ATTR, 0},
    [GP_UNLINK] = {"unlink", F_FLAGS | F_OBJ | F_NAMED | F_VICTIM, R_NODE | R_ATTR,
                   GP_U_DIR | GP_U_PIN},
    [GP_RENAME] = {"rename", F_FLAGS | F_OBJ | F_NAMED | F_NODE2 | F_NAME2 | F_VICTIM | F_MOVED,
                   R_NODE, GP_R_MASK},
    [GP_SETATTR] = {"setattr", F_OBJ | F_SET, R_ATTR, 0},
    [GP_STATFS] = {"statfs", F_NODE, R_STATFS, 0},
    [GP_READLINK] = {"readlink", F_OBJ, R_DATA, 0},
    [GP_GETXATTR] = {"getxattr", F_OBJ | F_COUNT | F_DATA, R_COUNT | R_DATA, 0},
    [GP_SETXATTR] = {"setxattr", F_FLAGS | F_OBJ | F_DATA | F_VALUE, 0, 3},
    [GP_LISTXATTR] = {"listxattr", F_OBJ | F_COUNT, R_COUNT | R_DATA, 0},
    [GP_REMOVEXATTR] = {"removexattr", F_OBJ | F_DATA, 0, 0},
    [GP_TMPFILE] = {"tmpfile", F_FLAGS | F_NODE | F_MODE, R_NODE | R_ATTR, 127},
    [GP_FSYNC] = {"fsync", F_FLAGS | F_OBJ, 0, 1},
    [GP_SYNCFS] = {"syncfs", F_NODE, 0, 0},
    [GP_CONNECT] = {"connect", F_FLAGS | F_OBJ, 0, 0xffffffffU},
};

struct hdr_req {
    u16 op, pad;
    u32 seq;
};
struct hdr_resp {
    u16 op, nfds;
    u32 seq;
    s32 err;
    u32 pad;
};

const char *gp_op_name(u32 op)
{
    return op < GP_NOPS && ops[op].name ? ops[op].name : "?";
}

/* ---- validation ---------------------------------------------------------------------------- */

bool gp_name_is_ok(struct wire_bytes n)
{
    if (n.size == 0 || n.size > GP_MAX_NAME)
        return false;
    if (n.p[0] == '.' && (n.size == 1 || (n.size == 2 && n.p[1] == '.')))
        return false;
    return !memchr(n.p, '/', n.size) && !memchr(n.p, 0, n.size);
}

static bool time_is_ok(const struct gp_time *t)
{
    return t->nsec < 1000000000U && t->pad == 0;
}

bool gp_attr_is_ok(const struct gp_attr *a)
{
    switch (a->mode & LX_S_IFMT) {
    case LX_S_IFREG:
    case LX_S_IFDIR:
    case LX_S_IFLNK:
    case LX_S_IFCHR:
    case LX_S_IFBLK:
    case LX_S_IFIFO:
    case LX_S_IFSOCK:
        break;
    default:
        return false;
    }
    return a->mode <= 0177777U && a->size <= (u64)INT64_MAX && a->blocks <= (u64)INT64_MAX / 512 &&
           a->nlink <= UINT32_MAX && a->blksize > 0 && a->blksize <= 1U << 30 &&
           time_is_ok(&a->atime) && time_is_ok(&a->mtime) && time_is_ok(&a->ctime) &&
           time_is_ok(&a->btime) && (a->flags & ~(GP_A_BTIME | GP_A_MASKED)) == 0;
}

/* The guest ABI's huge dev_t of a major and a minor number. */
static u64 dev_of(u32 ma, u32 mi)
{
    return ((ma & 0xfffULL) << 8) | ((ma & ~0xfffULL) << 32) | (mi & 0xffULL) |
           ((mi & ~0xffULL) << 12);
}

u64 gp_dev_from_statx(const struct statx *sx)
{
    return dev_of(sx->stx_dev_major, sx->stx_dev_minor);
}

void gp_attr_from_statx(struct gp_attr *a, const struct statx *sx)
{
    *a = (struct gp_attr){
        .dev = dev_of(sx->stx_dev_major, sx->stx_dev_minor),
        .ino = sx->stx_ino,
        .nlink = sx->stx_nlink,
        .rdev = dev_of(sx->stx_rdev_major, sx->stx_rdev_minor),
        .size = sx->stx_size,
        .blocks = sx->stx_blocks,
        .mode = sx->stx_mode,
        .uid = sx->stx_uid,
        .gid = sx->stx_gid,
        .blksize = sx->stx_blksize,
        .atime = {sx->stx_atime.tv_sec, sx->stx_atime.tv_nsec, 0},
        .mtime = {sx->stx_mtime.tv_sec, sx->stx_mtime.tv_nsec, 0},
        .ctime = {sx->stx_ctime.tv_sec, sx->stx_ctime.tv_nsec, 0},
        .attributes = sx->stx_attributes,
        .attributes_mask = sx->stx_attributes_mask,
        .mnt = (u32)sx->stx_mnt_id,
    };
    if (sx->stx_mask & STATX_BTIME) {
        a->btime = (struct gp_time){sx->stx_btime.tv_sec, sx->stx_btime.tv_nsec, 0};
        a->flags = GP_A_BTIME;
    }
}

static bool string_is_ok(struct wire_bytes b)
{
    return b.size > 0 && !memchr(b.p, 0, b.size);
}

/* ---- requests ------------------------------------------------------------------------------ */

size_t gp_req_encode(const struct gp_req *r, void *buf, size_t cap)
{
    struct wire_out w;
    u32 f = r->op < GP_NOPS ? ops[r->op].req : 0;
    if (f == 0 || r->nnames > GP_MAX_WALK || r->nids > GP_MAX_FORGET)
        return 0;
    wire_out_init(&w, buf, MIN(cap, (size_t)GP_MAX_MSG));
    wire_put(&w, &(struct hdr_req){.op = r->op, .seq = r->seq}, sizeof(struct hdr_req));
    if (f & F_FLAGS)
        wire_put_u32(&w, r->flags);
    if (f & F_NODE)
        wire_put_u64(&w, r->node);
    if (f & F_NAME)
        wire_put_bytes(&w, r->name.p, r->name.size);
    if (f & F_NODE2)
        wire_put_u64(&w, r->node2);
    if (f & F_NAME2)
        wire_put_bytes(&w, r->name2.p, r->name2.size);
    if (f & F_VICTIM)
        wire_put_u64(&w, r->victim);
    if (f & F_MOVED)
        wire_put_u64(&w, r->moved);
    if (f & F_MODE) {
        wire_put_u32(&w, r->mode);
        wire_put_u32(&w, r->uid);
        wire_put_u32(&w, r->gid);
    }
    if (f & F_RDEV)
        wire_put_u64(&w, r->rdev);
    if (f & F_OFFSET)
        wire_put_s64(&w, r->offset);
    if (f & F_COUNT)
        wire_put_u32(&w, r->count);
    if (f & F_SET)
        wire_put(&w, &r->set, sizeof(r->set));
    if (f & F_DATA)
        wire_put_bytes(&w, r->data.p, r->data.size);
    if (f & F_VALUE)
        wire_put_bytes(&w, r->value.p, r->value.size);
    if (f & F_NAMES) {
        wire_put_u32(&w, r->nnames);
        for (u32 i = 0; i < r->nnames; i++)
            wire_put_bytes(&w, r->names[i].p, r->names[i].size);
    }
    if (f & F_IDS) {
        wire_put_u32(&w, r->nids);
        wire_put(&w, r->ids, r->nids * sizeof(r->ids[0]));
    }
    return w.is_bad ? 0 : w.size;
}

static bool get_names(struct wire_in *w, struct gp_req *r, u32 f)
{
    r->nnames = wire_get_u32(w);
    if ((r->nnames == 0 && !(f & F_NO_NAMES)) || r->nnames > GP_MAX_WALK)
        return false;
    for (u32 i = 0; i < r->nnames; i++) {
        r->names[i] = wire_get_bytes(w, GP_MAX_NAME);
        if (!gp_name_is_ok(r->names[i]))
            return false;
    }
    return true;
}

static bool set_is_ok(const struct gp_set *s)
{
    return (s->valid & ~GP_S_ALL) == 0 && s->mode <= 07777 && s->size <= (u64)INT64_MAX &&
           time_is_ok(&s->atime) && time_is_ok(&s->mtime);
}

/* The checks that depend on the operation and not on one field alone. */
static bool req_is_ok(const struct gp_req *r, u32 f)
{
    if ((f & F_FLAGS) && (r->flags & ~ops[r->op].flags))
        return false;
    if ((f & F_NAME) && r->name.size == 0 && (f & F_NAMED))
        return false;
    switch (r->op) {
    case GP_OPEN:
        return r->nids == r->nnames && (r->nnames == 0 || r->flags == GP_O_READ);
    case GP_LINK:
    case GP_RENAME:
        return r->name2.size > 0;
    case GP_MKNOD:
        return (r->mode & ~(u32)LX_S_IFMT) <= 07777 && r->mode <= 0177777;
    case GP_SYMLINK:
        return string_is_ok(r->data) && r->data.size <= GP_MAX_TARGET;
    case GP_GETXATTR:
    case GP_LISTXATTR:
        if (r->count > GP_MAX_VALUE)
            return false;
        return r->op == GP_LISTXATTR || (string_is_ok(r->data) && r->data.size <= GP_MAX_NAME);
    case GP_SETXATTR:
    case GP_REMOVEXATTR:
        return string_is_ok(r->data) && r->data.size <= GP_MAX_NAME;
    default:
        return (f & F_MODE) == 0 || r->mode <= 07777;
    }
}

bool gp_req_decode(const void *buf, size_t size, struct gp_req *r)
{
    struct wire_in w;
    struct hdr_req h;
    /* Everything but the arrays, which are written up to their counts. */
    memset(r, 0, offsetof(struct gp_req, names));
    r->nids = 0;
    wire_in_init(&w, buf, size);
    wire_get(&w, &h, sizeof(h));
    if (w.is_bad || size > GP_MAX_MSG)
        return false;
    r->op = h.op;
    r->seq = h.seq;
    u32 f = h.op < GP_NOPS ? ops[h.op].req : 0;
    if (f == 0 || h.pad != 0)
        return false;
    if (f & F_FLAGS)
        r->flags = wire_get_u32(&w);
    if (f & F_NODE)
        r->node = wire_get_u64(&w);
    if (f & F_NAME)
        r->name = wire_get_bytes(&w, GP_MAX_NAME);
    if (f & F_NODE2)
        r->node2 = wire_get_u64(&w);
    if (f & F_NAME2)
        r->name2 = wire_get_bytes(&w, GP_MAX_NAME);
    if (f & F_VICTIM)
        r->victim = wire_get_u64(&w);
    if (f & F_MOVED)
        r->moved = wire_get_u64(&w);
    if (f & F_MODE) {
        r->mode = wire_get_u32(&w);
        r->uid = wire_get_u32(&w);
        r->gid = wire_get_u32(&w);
    }
    if (f & F_RDEV)
        r->rdev = wire_get_u64(&w);
    if (f & F_OFFSET)
        r->offset = wire_get_s64(&w);
    if (f & F_COUNT)
        r->count = wire_get_u32(&w);
    if (f & F_SET)
        wire_get(&w, &r->set, sizeof(r->set));
    if (f & F_DATA)
        r->data = wire_get_bytes(&w, GP_MAX_TARGET);
    if (f & F_VALUE)
        r->value = wire_get_bytes(&w, GP_MAX_VALUE);
    if ((f & F_NAMES) && !get_names(&w, r, f))
        return false;
    if (f & F_IDS) {
        u32 n = wire_get_u32(&w);
        if (n > GP_MAX_FORGET)
            return false;
        wire_get(&w, r->ids, n * sizeof(r->ids[0]));
        r->nids = n;
    }
    return wire_in_is_done(&w) && (r->name.size == 0 || gp_name_is_ok(r->name)) &&
           (r->name2.size == 0 || gp_name_is_ok(r->name2)) && set_is_ok(&r->set) &&
           r->offset >= 0 && req_is_ok(r, f);
}

/* ---- answers ------------------------------------------------------------------------------- */

size_t gp_resp_encode(const struct gp_resp *r, void *buf, size_t cap)
{
    struct wire_out w;
    u32 f = r->op < GP_NOPS ? ops[r->op].resp : 0;
    if (r->err < -4095 || r->err > 0 || r->nattrs > GP_MAX_WALK)
        return 0;
    if (r->err && !(f & R_ON_ERR))
        f = 0;
    wire_out_init(&w, buf, MIN(cap, (size_t)GP_MAX_MSG));
    struct hdr_resp h = {.op = r->op, .nfds = r->nfds, .seq = r->seq, .err = r->err};
    wire_put(&w, &h, sizeof(h));
    if (f & R_NODE)
        wire_put_u64(&w, r->node);
    if (f & R_COUNT)
        wire_put_u32(&w, r->count);
    if (f & R_ATTR)
        wire_put(&w, &r->attr, sizeof(r->attr));
    if (f & R_DATA)
        wire_put_bytes(&w, r->data.p, r->data.size);
    if (f & R_MORE)
        wire_put_bytes(&w, r->more.p, r->more.size);
    if (f & R_STATFS)
        wire_put(&w, &r->statfs, sizeof(r->statfs));
    if (f & R_FOUND) {
        wire_put_u32(&w, r->nattrs);
        for (u32 i = 0; i < r->nattrs; i++) {
            wire_put_s32(&w, r->found[i].err);
            if (r->found[i].err)
                continue;
            wire_put_u64(&w, r->found[i].node);
            wire_put(&w, &r->found[i].attr, sizeof(r->found[i].attr));
            wire_put_bytes(&w, r->found[i].target.p, r->found[i].target.size);
        }
    }
    return w.is_bad ? 0 : w.size;
}

static bool target_is_ok(struct wire_bytes t, u32 mode)
{
    return t.size == 0 || ((mode & LX_S_IFMT) == LX_S_IFLNK && string_is_ok(t));
}

static bool get_found(struct wire_in *w, struct gp_resp *r)
{
    u32 n = wire_get_u32(w);
    if (n > GP_MAX_WALK)
        return false;
    for (u32 i = 0; i < n; i++) {
        r->found[i].err = wire_get_s32(w);
        if (r->found[i].err < -4095 || r->found[i].err > 0 || w->is_bad)
            return false;
        if (r->found[i].err)
            continue;
        r->found[i].node = wire_get_u64(w);
        wire_get(w, &r->found[i].attr, sizeof(r->found[i].attr));
        r->found[i].target = wire_get_bytes(w, GP_MAX_TARGET);
        if (w->is_bad || !gp_attr_is_ok(&r->found[i].attr) ||
            !target_is_ok(r->found[i].target, r->found[i].attr.mode))
            return false;
    }
    r->nattrs = n;
    return true;
}

bool gp_resp_decode(const void *buf, size_t size, struct gp_resp *r)
{
    struct wire_in w;
    struct hdr_resp h;
    memset(r, 0, offsetof(struct gp_resp, found));
    wire_in_init(&w, buf, size);
    wire_get(&w, &h, sizeof(h));
    if (w.is_bad || size > GP_MAX_MSG)
        return false;
    r->op = h.op;
    r->seq = h.seq;
    r->nfds = h.nfds;
    r->err = h.err;
    if (h.op == 0 || h.op >= GP_NOPS || !ops[h.op].name || h.pad != 0 || h.err > 0 ||
        h.err < -4095 || h.nfds > GP_MAX_FDS || (h.err && h.nfds))
        return false;
    u32 f = ops[h.op].resp;
    if (h.err && !(f & R_ON_ERR))
        f = 0;
    if (f & R_NODE)
        r->node = wire_get_u64(&w);
    if (f & R_COUNT)
        r->count = wire_get_u32(&w);
    if (f & R_ATTR) {
        wire_get(&w, &r->attr, sizeof(r->attr));
        if (w.is_bad || !gp_attr_is_ok(&r->attr))
            return false;
    }
    if (f & R_DATA)
        r->data = wire_get_bytes(&w, GP_MAX_MSG);
    if (f & R_MORE)
        r->more = wire_get_bytes(&w, GP_MAX_MSG);
    if (f & R_STATFS)
        wire_get(&w, &r->statfs, sizeof(r->statfs));
    if ((f & R_FOUND) && !get_found(&w, r))
        return false;
    if (!wire_in_is_done(&w))
        return false;
    return h.op != GP_READLINK || h.err || (string_is_ok(r->data) && r->data.size <= GP_MAX_TARGET);
}

/* ---- directory entries --------------------------------------------------------------------- */

struct hdr_dirent {
    u64 ino;
    s64 next_off;
    u8 type, has_attr, pad[6];
};

bool gp_dirent_put(struct wire_out *w, const struct gp_dirent *e)
{
    size_t mark = w->size;
    struct hdr_dirent h = {
        .ino = e->ino, .next_off = e->next_off, .type = e->type, .has_attr = e->has_attr};
    wire_put(w, &h, sizeof(h));
    wire_put_bytes(w, e->name.p, e->name.size);
    if (e->has_attr) {
        wire_put(w, &e->attr, sizeof(e->attr));
        wire_put_bytes(w, e->target.p, e->target.size);
    }
    if (!w->is_bad)
        return true;
    w->size = mark;
    w->is_bad = false;
    return false;
}

int gp_dirent_next(struct wire_in *w, struct gp_dirent *e)
{
    struct hdr_dirent h;
    if (w->pos == w->size && !w->is_bad)
        return 0;
    wire_get(w, &h, sizeof(h));
    e->ino = h.ino;
    e->next_off = h.next_off;
    e->type = h.type;
    e->has_attr = h.has_attr == 1;
    e->name = wire_get_bytes(w, GP_MAX_NAME);
    bool is_dot = (e->name.size == 1 && e->name.p[0] == '.') ||
                  (e->name.size == 2 && e->name.p[0] == '.' && e->name.p[1] == '.');
    if (w->is_bad || h.has_attr > 1 || h.next_off < 0 || (!is_dot && !gp_name_is_ok(e->name)))
        return -LX_EPROTO;
    e->target = (struct wire_bytes){"", 0};
    if (e->has_attr) {
        wire_get(w, &e->attr, sizeof(e->attr));
        e->target = wire_get_bytes(w, GP_MAX_TARGET);
        if (w->is_bad || !gp_attr_is_ok(&e->attr) || !target_is_ok(e->target, e->attr.mode))
            return -LX_EPROTO;
    }
    return 1;
}

int gp_section_next(struct wire_in *w, struct gp_section *ret, struct wire_bytes *ret_entries)
{
    if (w->pos == w->size && !w->is_bad)
        return 0;
    wire_get(w, ret, sizeof(*ret));
    const char *p = wire_take(w, ret->size);
    if (!p)
        return -LX_EPROTO;
    *ret_entries = (struct wire_bytes){p, ret->size};
    return 1;
}
