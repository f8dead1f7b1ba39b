/* statmount(2) and listmount(2): mounts by their numbers, which are never given twice. */
#include <string.h>

#include "abi/sched.h"
#include "vfs/internal.h"
#include "vfs/mount.h"

static u64 id_of(const struct mount *m)
{
    return LX_MNT_ID_UNIQUE_BASE + (u64)m->id;
}

static struct mnt_ns *current_ns(void)
{
    return vfs_current ? vfs_current->mnt_ns : NULL;
}

/* mount_lock held for reading. Is m, or what it is mounted on, below root. */
static bool is_reachable(struct mount *m, const struct path *root)
{
    struct dentry *d = m->root;
    while (m != root->mnt && m->parent) {
        d = m->mountpoint;
        m = m->parent;
    }
    return m == root->mnt && dentry_is_ancestor(root->dentry, d);
}

static bool is_below(const struct mount *m, const struct mount *top)
{
    for (m = m->parent; m; m = m->parent) {
        if (m == top)
            return true;
    }
    return false;
}

/* The mount of this number, referenced. */
static int find(u64 id, const struct path *root, struct mount **ret_m)
{
    struct mnt_ns *ns = current_ns();
    struct mount *m, *found = NULL;
    int r = -LX_ENOENT;
    if (!ns)
        return r;
    rwlock_rdlock(&mount_lock);
    list_for_each (m, &ns->mounts, ns_node) {
        if (id_of(m) == id || (id == LX_LSMT_ROOT && m == ns->root)) {
            found = m;
            break;
        }
    }
    if (found && id != LX_LSMT_ROOT && !is_reachable(found, root) && !mount_may())
        r = -LX_EPERM;
    else if (found)
        r = 0;
    if (r == 0)
        mount_get(found);
    rwlock_rdunlock(&mount_lock);
    *ret_m = found;
    return r;
}

/* ---- statmount ----------------------------------------------------------------------------- */

static u64 attr_of_flags(u32 f)
{
    u64 a = f & (LX_MOUNT_ATTR_RDONLY | LX_MOUNT_ATTR_NOSUID | LX_MOUNT_ATTR_NODEV |
                 LX_MOUNT_ATTR_NOEXEC);
    a |= f & LX_MS_NODIRATIME ? LX_MOUNT_ATTR_NODIRATIME : 0;
    a |= f & LX_MS_NOSYMFOLLOW ? LX_MOUNT_ATTR_NOSYMFOLLOW : 0;
    a |= f & LX_MS_NOATIME ? LX_MOUNT_ATTR_NOATIME : 0;
    return a | (f & LX_MS_STRICTATIME ? LX_MOUNT_ATTR_STRICTATIME : 0);
}

static u64 propagation_of(const struct mount *m)
{
    u64 p = 0;
    if (m->peer_group)
        p |= LX_MS_SHARED;
    if (m->master_group)
        p |= LX_MS_SLAVE;
    if (m->is_unbindable)
        p |= LX_MS_UNBINDABLE;
    return p ? p : LX_MS_PRIVATE;
}

static void put_mount(struct mount *m, struct lx_statmount *st)
{
    struct mount *up = m->parent ? m->parent : m;
    st->mnt_id = id_of(m);
    st->mnt_id_old = (u32)m->id;
    st->mnt_parent_id = id_of(up);
    st->mnt_parent_id_old = (u32)up->id;
    st->mnt_attr = attr_of_flags(m->flags);
    st->mnt_propagation = propagation_of(m);
    st->mnt_peer_group = (u64)m->peer_group;
    st->mnt_master = (u64)m->master_group;
}

struct strings {
    char *buf;
    size_t at, size;
    bool is_full;
};

/* The offset of a NUL-terminated string. */
static u32 put_string(struct strings *s, const char *text)
{
    size_t n = strlen(text) + 1;
    u32 at = (u32)s->at;
    if (n > s->size - s->at) {
        s->is_full = true;
        return 0;
    }
    memcpy(s->buf + s->at, text, n);
    s->at += n;
    return at;
}

/* The path of a mount's root inside its file system, built from its end. */
static const char *root_string(const struct mount *m, char *buf, size_t size)
{
    size_t at = size - 1;
    epoch_enter();
    for (struct dentry *d = m->root, *up; (up = d->parent) != d; d = up) {
        struct dname *n = dname_of(d->name);
        if (n->size + 1 > at)
            break;
        at -= n->size;
        memcpy(buf + at, n->s, n->size);
        buf[--at] = '/';
    }
    epoch_exit();
    buf[size - 1] = '\0';
    return at == size - 1 ? "/" : buf + at;
}

static void put_strings(struct mount *m, const struct path *root, u64 mask, struct lx_statmount *st,
                        struct strings *s)
{
    char buf[MAX_PATH];
    struct path p = {m, m->root};
    if (mask & LX_STATMOUNT_FS_TYPE)
        st->fs_type = put_string(s, m->sb->type->name);
    if (mask & LX_STATMOUNT_MNT_ROOT)
        st->mnt_root = put_string(s, root_string(m, buf, sizeof(buf)));
    if (mask & LX_STATMOUNT_MNT_POINT)
        st->mnt_point =
            put_string(s, vfs_path_string_any(&p, root, buf, sizeof(buf)) < 0 ? "" : buf);
    if (mask & LX_STATMOUNT_MNT_OPTS) {
        buf[0] = '\0';
        if (m->sb->ops && m->sb->ops->show_options)
            m->sb->ops->show_options(m->sb, buf, sizeof(buf));
        st->mnt_opts = put_string(s, buf[0] == ',' ? buf + 1 : buf);
    }
}

s64 vfs_statmount(u64 id, u64 mask, struct lx_statmount *st, char *buf, size_t size)
{
    struct path root = {0};
    struct mount *m;
    struct strings s = {.buf = buf, .at = 0, .size = size};
    struct kstatfs sf = {0};
    if (vfs_current)
        fs_ctx_root(vfs_current->fs, &root);
    int r = find(id, &root, &m);
    if (r < 0) {
        path_put(&root);
        return r;
    }
    const u64 known = 0xff & ~(u64)LX_STATMOUNT_PROPAGATE_FROM;
    struct path p = {m, m->root};
    *st = (struct lx_statmount){.mask = mask & known};
    if ((mask & LX_STATMOUNT_SB_BASIC) && vfs_statfs(&p, &sf) == 0) {
        st->sb_dev_major = DEV_MAJOR(m->sb->dev);
        st->sb_dev_minor = DEV_MINOR(m->sb->dev);
        st->sb_magic = sf.type;
        st->sb_flags = m->sb->flags & SB_RDONLY ? LX_MS_RDONLY : 0;
    }
    if (mask & LX_STATMOUNT_MNT_BASIC) {
        rwlock_rdlock(&mount_lock);
        put_mount(m, st);
        rwlock_rdunlock(&mount_lock);
    }
    if ((mask & LX_STATMOUNT_MNT_NS_ID) && current_ns())
        st->mnt_ns_id = current_ns()->ino;
    put_strings(m, &root, mask, st, &s);
    st->size = (u32)(sizeof(*st) + s.at);
    mount_put(m);
    path_put(&root);
    return s.is_full ? -LX_EOVERFLOW : (s64)s.at;
}

/* ---- listmount ----------------------------------------------------------------------------- */

/* The mount of ns below top that comes next after number `last`, by number. */
static struct mount *next_below(struct mnt_ns *ns, const struct mount *top, u64 last,
                                bool is_reverse, const struct path *root)
{
    struct mount *m, *best = NULL;
    list_for_each (m, &ns->mounts, ns_node) {
        bool is_after = is_reverse ? last == 0 || id_of(m) < last : id_of(m) > last;
        bool is_nearer = !best || (is_reverse ? m->id > best->id : m->id < best->id);
        if (is_after && is_nearer && is_below(m, top) && is_reachable(m, root))
            best = m;
    }
    return best;
}

s64 vfs_listmount(u64 id, u64 last, bool is_reverse, u64 *ids, size_t count)
{
    struct path root = {0};
    struct mount *top, *m;
    size_t n = 0;
    if (vfs_current)
        fs_ctx_root(vfs_current->fs, &root);
    int r = find(id, &root, &top);
    if (r == 0) {
        rwlock_rdlock(&mount_lock);
        while (n < count && top->ns && (m = next_below(top->ns, top, last, is_reverse, &root))) {
            last = id_of(m);
            ids[n++] = last;
        }
        rwlock_rdunlock(&mount_lock);
        mount_put(top);
    }
    path_put(&root);
    return r < 0 ? r : (s64)n;
}
