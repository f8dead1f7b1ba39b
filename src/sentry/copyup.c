/*
 * tmpcopyup: a fresh tmpfs begins with what the directory holds that it is mounted on. Names,
 * modes, owners, times and contents are copied; extended attributes and hard links are not.
 * What cannot be read is an error: half a copy would be a lie.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/sentry.h"
#include "vfs/file.h"

#define MAX_DEPTH   64
#define MAX_ENTRIES 100000U
#define CHUNK       65536U

struct names {
    struct dir_ctx ctx; /* first */
    char **v;
    u32 n, room;
    bool is_failed;
};

static bool collect(struct dir_ctx *c, const char *name, size_t size, u64 ino, u32 type,
                    s64 next_off)
{
    struct names *l = (struct names *)c;
    (void)ino;
    (void)type;
    (void)next_off;
    if ((size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.'))
        return true;
    if (l->n == l->room) {
        u32 room = l->room ? l->room * 2 : 32;
        char **v = room <= MAX_ENTRIES ? realloc(l->v, room * sizeof(*v)) : NULL;
        if (!v) {
            l->is_failed = true;
            return false;
        }
        l->v = v;
        l->room = room;
    }
    l->v[l->n] = strndup(name, size);
    l->is_failed |= !l->v[l->n];
    l->n += l->v[l->n] != NULL;
    return !l->is_failed;
}

static void names_done(struct names *l)
{
    for (u32 i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
}

static int list(const struct path *dir, struct names *ret)
{
    const struct open_how how = {.flags = LX_O_RDONLY | LX_O_DIRECTORY};
    struct file *f;
    u32 before;
    *ret = (struct names){.ctx = {collect}};
    int r = vfs_open_at(dir, ".", &how, &f);
    if (r < 0)
        return r;
    do { /* a call may end early: it goes on where it was */
        before = ret->n;
        r = f->ops->readdir ? f->ops->readdir(f, &ret->ctx) : -LX_ENOTDIR;
    } while (r == 0 && !ret->is_failed && ret->n > before);
    file_put(f);
    return ret->is_failed ? -LX_ENOMEM : r;
}

static int copy_data(const struct path *from, const char *to, u32 mode)
{
    const struct open_how out_how = {.flags = LX_O_WRONLY | LX_O_CREAT | LX_O_EXCL, .mode = mode};
    struct file *in, *out = NULL;
    char *buf = malloc(CHUNK);
    s64 r = buf ? file_open_path(from, LX_O_RDONLY, &in) : -LX_ENOMEM;
    if (r < 0) {
        free(buf);
        return (int)r;
    }
    r = vfs_open(LX_AT_FDCWD, to, &out_how, &out);
    for (s64 off = 0; r >= 0; off += r) {
        s64 n = file_pread(in, buf, CHUNK, off);
        r = n;
        if (n > 0)
            r = file_pwrite(out, buf, (size_t)n, off);
        if (n == 0)
            break;
        if (r >= 0 && r < n)
            r = -LX_ENOSPC;
    }
    if (out)
        file_put(out);
    file_put(in);
    free(buf);
    return r < 0 ? (int)r : 0;
}

static int copy_link(const struct path *from, const char *to)
{
    char target[MAX_PATH];
    s64 n = vfs_readlink(from, target, sizeof(target) - 1);
    if (n < 0)
        return (int)n;
    target[n] = 0;
    return vfs_symlink(target, LX_AT_FDCWD, to);
}

/* Owner, mode and times of `from`, on what is at `to`. */
static int copy_attr(const struct kstat *st, const char *to)
{
    struct path at = {0};
    int r = vfs_walk(LX_AT_FDCWD, to, 0, &at);
    if (r < 0)
        return r;
    struct iattr a = {.valid = ATTR_UID | ATTR_GID, .uid = st->uid, .gid = st->gid};
    r = vfs_setattr(&at, &a);
    if (r == 0) {
        bool is_link = (st->mode & LX_S_IFMT) == LX_S_IFLNK;
        a = (struct iattr){.valid = (is_link ? 0 : ATTR_MODE) | ATTR_ATIME | ATTR_MTIME,
                           .mode = st->mode & 07777,
                           .atime = st->atime,
                           .mtime = st->mtime};
        r = vfs_setattr(&at, &a);
    }
    path_put(&at);
    return r;
}

static int stat_of(const struct path *p, struct kstat *ret)
{
    struct inode *i = p->dentry->inode;
    if (i->ops->getattr)
        return i->ops->getattr(i, ret);
    inode_fill_stat(i, ret);
    return 0;
}

static int copy_one(const struct path *from, const char *to, u32 depth)
{
    struct kstat st;
    int r = stat_of(from, &st);
    if (r < 0)
        return r;
    switch (st.mode & LX_S_IFMT) {
    case LX_S_IFDIR:
        r = vfs_mkdir(LX_AT_FDCWD, to, 0700);
        if (r == 0)
            r = copyup_dir(from, to, depth + 1);
        break;
    case LX_S_IFREG:
        r = copy_data(from, to, 0600);
        break;
    case LX_S_IFLNK:
        r = copy_link(from, to);
        break;
    default:
        r = vfs_mknod(LX_AT_FDCWD, to, st.mode, st.rdev);
        break;
    }
    return r < 0 ? r : copy_attr(&st, to);
}

int copyup_dir(const struct path *from, const char *to, u32 depth)
{
    struct names l;
    if (depth > MAX_DEPTH)
        return -LX_ELOOP;
    int r = list(from, &l);
    for (u32 i = 0; r == 0 && i < l.n; i++) {
        const struct open_how how = {.flags = LX_O_PATH | LX_O_NOFOLLOW};
        char name[MAX_PATH];
        struct file *f;
        if (snprintf(name, sizeof(name), "%s/%s", to, l.v[i]) >= (int)sizeof(name)) {
            r = -LX_ENAMETOOLONG;
            break;
        }
        r = vfs_open_at(from, l.v[i], &how, &f);
        if (r == 0) {
            r = copy_one(&f->path, name, depth);
            file_put(f);
        }
    }
    names_done(&l);
    return r;
}
