/*
 * Mounts by file descriptor: file system contexts (fsopen, fspick, fsconfig, fsmount), trees that
 * are mounted nowhere yet (fsmount, open_tree), move_mount and mount_setattr.
 *
 *   fsopen → PARAMS ─create→ CREATED ─fsmount→ DONE        fspick → DONE
 *   DONE ─a parameter→ RECONF ─reconfigure→ DONE           any that fails → FAILED
 *
 * A detached tree belongs to the descriptor that it was made with: is_floating on its top until it
 * is attached, and the last close takes it apart if that never happened.
 *
 * Differs from Linux: parameters are kept as the text that mount(2) would give and looked at
 * one by one only by file systems that can; contexts log nothing; no id-mapped mounts.
 */
#include "vfs/mount_fd.h"

#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "vfs/file.h"
#include "vfs/internal.h"
#include "vfs/mount.h"

#define MAX_OPTIONS 65536U

enum phase { PARAMS, CREATED, DONE, RECONF, FAILED };

struct fs_context {
    struct mutex lock;
    enum phase phase;           /* guarded by lock, as all below */
    const struct fs_type *type; /* immutable */
    char *source, *opts;        /* owned; opts: as of mount(2) */
    size_t opts_size;
    u32 sb_set, sb_clear; /* LX_MS_RDONLY */
    struct super *sb;     /* owned, from CREATED on */
    struct path at;       /* fspick: what was picked; owned */
};

static void context_clear(struct fs_context *c)
{
    free(c->source);
    free(c->opts);
    c->source = c->opts = NULL;
    c->opts_size = 0;
    c->sb_set = c->sb_clear = 0;
}

static void context_release(struct file *f)
{
    struct fs_context *c = f->priv;
    context_clear(c);
    super_put(c->sb);
    path_put(&c->at);
    free(c);
}

/* Messages about what went wrong: there are none. */
static s64 context_read(struct file *f, struct uio *to, s64 *off)
{
    return -LX_ENODATA;
}

static const struct file_ops context_fops = {.read = context_read, .release = context_release};

static int context_new(const struct fs_type *t, enum phase phase, struct fs_context **ret_c,
                       struct file **ret_f)
{
    struct fs_context *c = calloc(1, sizeof(*c));
    if (!c)
        return -LX_ENOMEM;
    mutex_init(&c->lock, "fs_context");
    c->type = t;
    c->phase = phase;
    int r = file_new_anon("anon_inode:[fscontext]", 0600, &context_fops, c, LX_O_RDWR,
                          FMODE_READ | FMODE_WRITE | FMODE_STREAM, ret_f);
    if (r < 0)
        free(c);
    else
        *ret_c = c;
    return r;
}

int vfs_fsopen(const char *type, struct file **ret_f)
{
    struct fs_context *c;
    if (!mount_may())
        return -LX_EPERM;
    const struct fs_type *t = fs_find(type);
    return t ? context_new(t, PARAMS, &c, ret_f) : -LX_ENODEV;
}

int vfs_fspick(const struct path *at, struct file **ret_f)
{
    struct fs_context *c;
    if (at->dentry != at->mnt->root)
        return -LX_EINVAL;
    int r = context_new(at->mnt->sb->type, DONE, &c, ret_f);
    if (r == 0) {
        super_get(at->mnt->sb);
        c->sb = at->mnt->sb;
        c->at = *at;
        path_get(&c->at);
    }
    return r;
}

/* ---- parameters ---------------------------------------------------------------------------- */

static bool context_flag(struct fs_context *c, const char *key)
{
    static const char *const ignored[] = {"sync",       "async", "dirsync", "lazytime",
                                          "nolazytime", "mand",  "nomand",  "silent"};
    bool is_ro = !strcmp(key, "ro"), is_rw = !strcmp(key, "rw");
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        if (!strcmp(key, ignored[i]))
            return true;
    }
    if (is_ro) {
        c->sb_set |= LX_MS_RDONLY;
        c->sb_clear &= ~(u32)LX_MS_RDONLY;
    } else if (is_rw) {
        c->sb_set &= ~(u32)LX_MS_RDONLY;
        c->sb_clear |= LX_MS_RDONLY;
    }
    return is_ro || is_rw;
}

static int context_add(struct fs_context *c, const char *key, const char *val)
{
    size_t nk = strlen(key), nv = val ? strlen(val) + 1 : 0, need = nk + nv + 2;
    if (strpbrk(key, ",=") || (val && strchr(val, ',')) || c->opts_size + need > MAX_OPTIONS)
        return -LX_EINVAL;
    if (c->type->check_option && !c->type->check_option(key, val))
        return -LX_EINVAL;
    char *opts = realloc(c->opts, c->opts_size + need);
    if (!opts)
        return -LX_ENOMEM;
    char *at = opts + c->opts_size;
    if (c->opts_size > 0)
        *at++ = ',';
    memcpy(at, key, nk + 1);
    if (val) {
        at[nk] = '=';
        memcpy(at + nk + 1, val, nv);
    }
    c->opts = opts;
    c->opts_size += strlen(opts + c->opts_size);
    return 0;
}

static int context_set(struct fs_context *c, const char *key, const char *val)
{
    if (c->phase == DONE)
        c->phase = RECONF;
    if (c->phase != PARAMS && c->phase != RECONF)
        return -LX_EBUSY;
    if (!val && context_flag(c, key))
        return 0;
    if (strcmp(key, "source"))
        return context_add(c, key, val);
    if (!val || c->source || c->phase == RECONF)
        return -LX_EINVAL;
    c->source = strdup(val);
    return c->source ? 0 : -LX_ENOMEM;
}

static int context_create(struct fs_context *c)
{
    const struct fs_type *t = c->type;
    if (c->phase != PARAMS)
        return -LX_EBUSY;
    if (!mount_may() || (!vfs_capable(LX_CAP_SYS_ADMIN) && !(t->flags & FS_USERNS_MOUNT)))
        return -LX_EPERM;
    int r = t->mount(t, c->sb_set, c->source ? c->source : "none", c->opts ? c->opts : "", &c->sb);
    if (r < 0) {
        c->phase = FAILED;
        return r;
    }
    if (c->sb_set & LX_MS_RDONLY)
        c->sb->flags |= SB_RDONLY;
    c->phase = CREATED;
    return 0;
}

static int context_reconfigure(struct fs_context *c)
{
    if (c->phase == DONE)
        c->phase = RECONF;
    if (c->phase != RECONF)
        return -LX_EBUSY;
    if (!mount_may() || (!vfs_capable(LX_CAP_SYS_ADMIN) && !(c->type->flags & FS_USERNS_MOUNT)))
        return -LX_EPERM;
    bool is_ro = c->sb->flags & SB_RDONLY;
    is_ro = (is_ro || (c->sb_set & LX_MS_RDONLY)) && !(c->sb_clear & LX_MS_RDONLY);
    int r = mount_reconfigure(c->sb, is_ro, c->opts ? c->opts : "");
    c->phase = r < 0 ? FAILED : DONE;
    if (r == 0)
        context_clear(c);
    return r;
}

int vfs_fsconfig(struct file *f, u32 cmd, const char *key, const char *val)
{
    if (f->ops != &context_fops)
        return -LX_EINVAL;
    struct fs_context *c = f->priv;
    MUTEX_GUARD(&c->lock);
    switch (cmd) {
    case LX_FSCONFIG_SET_FLAG:
    case LX_FSCONFIG_SET_STRING:
        return context_set(c, key, val);
    case LX_FSCONFIG_CMD_CREATE:
    case LX_FSCONFIG_CMD_CREATE_EXCL: /* no super is ever shared: each is a new one */
        return context_create(c);
    case LX_FSCONFIG_CMD_RECONFIGURE:
        return context_reconfigure(c);
    default: /* none of our file systems takes what is not text */
        return -LX_EINVAL;
    }
}

bool vfs_is_fscontext(const struct file *f)
{
    return f->ops == &context_fops;
}

/* ---- detached trees ------------------------------------------------------------------------ */

static void tree_release(struct file *f)
{
    mount_drop_detached(f->priv);
}

static const struct file_ops tree_fops = {.release = tree_release};

/* Takes over the reference to m, the top of a detached tree, also on failure. */
static int tree_file(struct mount *m, struct file **ret_f)
{
    struct path p = {m, m->root};
    m->is_floating = true;
    path_get(&p);
    int r = file_new_at(&p, &tree_fops, m, LX_O_PATH, FMODE_PATH, ret_f);
    if (r < 0)
        mount_drop_detached(m);
    return r;
}

static u32 flags_of_attr(u64 attr)
{
    u32 f = (u32)attr & (LX_MOUNT_ATTR_RDONLY | LX_MOUNT_ATTR_NOSUID | LX_MOUNT_ATTR_NODEV |
                         LX_MOUNT_ATTR_NOEXEC); /* the same bits as LX_MS_* */
    if (attr & LX_MOUNT_ATTR_NODIRATIME)
        f |= LX_MS_NODIRATIME;
    if (attr & LX_MOUNT_ATTR_NOSYMFOLLOW)
        f |= LX_MS_NOSYMFOLLOW;
    return f;
}

/* LX_MOUNT_ATTR__ATIME's values; 0: no such. */
static u32 atime_of_attr(u64 attr)
{
    switch (attr & LX_MOUNT_ATTR__ATIME) {
    case LX_MOUNT_ATTR_RELATIME:
        return LX_MS_RELATIME;
    case LX_MOUNT_ATTR_NOATIME:
        return LX_MS_NOATIME;
    case LX_MOUNT_ATTR_STRICTATIME:
        return LX_MS_STRICTATIME;
    default:
        return 0;
    }
}

int vfs_fsmount(struct file *f, u64 attr, struct file **ret_f)
{
    u32 atime = atime_of_attr(attr);
    if ((attr & ~(u64)(LX_MOUNT_ATTR_ALL & ~LX_MOUNT_ATTR_IDMAP)) || !atime)
        return -LX_EINVAL;
    if (f->ops != &context_fops)
        return -LX_EINVAL;
    struct fs_context *c = f->priv;
    MUTEX_GUARD(&c->lock);
    if (c->phase != CREATED)
        return c->phase == PARAMS ? -LX_EINVAL : -LX_EBUSY;
    struct mount *m = mount_new(c->sb, flags_of_attr(attr) | atime);
    if (!m)
        return -LX_ENOMEM;
    int r = tree_file(m, ret_f);
    if (r == 0) {
        context_clear(c);
        c->phase = DONE;
    }
    return r;
}

int vfs_clone_tree(const struct path *at, bool is_recursive, struct file **ret_f)
{
    struct mount *m;
    int r = mount_bind_copy(at, is_recursive, &m);
    return r < 0 ? r : tree_file(m, ret_f);
}

/* ---- mount_setattr ------------------------------------------------------------------------- */

int vfs_mount_setattr(const struct path *at, const struct lx_mount_attr *a, bool is_recursive)
{
    struct mount *top = at->mnt, *m;
    u64 both = a->attr_set | a->attr_clr;
    u32 type = (u32)a->propagation, atime = 0;
    if (at->dentry != top->root)
        return -LX_EINVAL;
    if (a->attr_clr & LX_MOUNT_ATTR__ATIME)
        atime = atime_of_attr(a->attr_set);
    u32 set = flags_of_attr(a->attr_set), clr = flags_of_attr(a->attr_clr);
    int r = 0;
    mount_tree_begin();
    if (top->parent || top->ns ? !mount_is_ours(top) : !top->is_floating)
        r = -LX_EINVAL;
    for (m = top; r == 0 && both && m; m = is_recursive ? mount_tree_next(m, top) : NULL)
        r = mount_check_flags_locked(m, mount_changed_flags(m, set, clr, atime));
    for (m = top; r == 0 && m; m = is_recursive ? mount_tree_next(m, top) : NULL) {
        if (both)
            r = mount_set_flags_locked(m, mount_changed_flags(m, set, clr, atime));
        if (type)
            mount_set_propagation(m, type);
    }
    if (r == 0 && top->ns)
        mount_ns_changed(top->ns);
    mount_tree_end();
    return r;
}

/* ---- move_mount ---------------------------------------------------------------------------- */

int vfs_move_mount(const struct path *from, const struct path *at)
{
    if (!mount_may())
        return -LX_EPERM;
    return mount_move(from, at);
}
