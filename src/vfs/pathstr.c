/*
 * From a path to its text: built backwards in the caller's buffer while no rename and
 * no change of mounts happens, else done again.
 */
#include <string.h>

#include "vfs/internal.h"
#include "vfs/vfs.h"

#define UNREACHABLE "(unreachable)"
#define DELETED     " (deleted)"

struct back_buf {
    char *buf;
    size_t at; /* text is at buf + at … */
};

static bool put_back(struct back_buf *b, const char *s, size_t n)
{
    if (n > b->at)
        return false;
    b->at -= n;
    memcpy(b->buf + b->at, s, n);
    return true;
}

/* Inside an epoch. False: no room. *ret_reached: root was met on the way. */
static bool build(struct back_buf *b, const struct path *p, const struct path *root,
                  bool *ret_reached)
{
    struct mount *m = p->mnt;
    struct dentry *d = p->dentry;
    bool is_empty = true;
    for (;;) {
        if (root && d == root->dentry && m == root->mnt) {
            *ret_reached = true;
            break;
        }
        struct dentry *up = d->parent;
        if (d == m->root || up == d) {
            struct mount *pm = __atomic_load_n(&m->parent, __ATOMIC_ACQUIRE);
            struct dentry *at = __atomic_load_n(&m->mountpoint, __ATOMIC_ACQUIRE);
            if (d == m->root && pm && at) {
                d = at;
                m = pm;
                continue;
            }
            *ret_reached = !root;
            break;
        }
        struct dname *n = dname_of(d->name);
        if (!put_back(b, n->s, n->size) || !put_back(b, "/", 1))
            return false;
        is_empty = false;
        d = up;
    }
    return is_empty ? put_back(b, "/", 1) : true;
}

static s64 path_string(const struct path *p, const struct path *root, bool is_marked, char *buf,
                       size_t size)
{
    struct dentry *d = p->dentry;
    bool is_deleted = d->parent != d && !d->is_hashed;
    size_t tail = is_deleted ? sizeof(DELETED) - 1 : 0;
    if (dentry_is_anon(d) || (d->sb->flags & SB_NAMED)) {
        size_t n = d->name_size;
        if (n + 1 > size)
            return -LX_ENAMETOOLONG;
        memcpy(buf, d->name, n + 1);
        return (s64)n;
    }
    if (size < tail + 2)
        return -LX_ENAMETOOLONG;
    for (;;) {
        struct back_buf b = {buf, size - tail - 1};
        bool is_reached = false;
        epoch_enter();
        u32 mseq = atomic_load(&vfs_mount_seq);
        u32 rseq = vfs_rename_seq_begin();
        bool ok = build(&b, p, root, &is_reached);
        bool is_stale = vfs_rename_seq_retry(rseq) || atomic_load(&vfs_mount_seq) != mseq;
        epoch_exit();
        if (mseq & 1) { /* a change of mounts is going on: wait for its end */
            rwlock_rdlock(&mount_lock);
            rwlock_rdunlock(&mount_lock);
            continue;
        }
        if (is_stale)
            continue;
        if (ok && !is_reached && is_marked && !(d->sb->flags & SB_NODEV_INTERNAL))
            ok = put_back(&b, UNREACHABLE, sizeof(UNREACHABLE) - 1);
        if (!ok)
            return -LX_ENAMETOOLONG;
        size_t n = size - tail - 1 - b.at;
        memmove(buf, buf + b.at, n);
        memcpy(buf + n, DELETED, tail);
        buf[n + tail] = '\0';
        return (s64)(n + tail);
    }
}

s64 vfs_path_string(const struct path *p, const struct path *root, char *buf, size_t size)
{
    return path_string(p, root, true, buf, size);
}

s64 vfs_path_string_any(const struct path *p, const struct path *root, char *buf, size_t size)
{
    return path_string(p, root, false, buf, size);
}
