/*
 * directfs: the Sentry looks names up and opens files for reading itself, below
 * fds of directories, with the calls that the gofer would make. What it cannot
 * do (permission, another mount, a name in the export's root, where some are
 * masked) is answered by asking the gofer; everything that changes files always is.
 *
 * Every name is one component or a chain of components that were each found as
 * directories before, opened with RESOLVE_BENEATH and without symbolic or
 * magic links; what is opened must be the object that the cache has.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "fs/gofer_priv.h"
#include "host/fdio.h"

/* The host's numbers are the guest ABI's; the host header's struct open_how would clash with ours.
 */
#define RESOLVE                                                                                    \
    (LX_RESOLVE_BENEATH | LX_RESOLVE_NO_SYMLINKS | LX_RESOLVE_NO_MAGICLINKS | LX_RESOLVE_NO_XDEV)
#define STATX_WANT (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)
#define MAX_CHAIN  32U

/* Would the gofer perhaps do better? */
static bool is_for_gofer(int r)
{
    return r == -LX_EACCES || r == -LX_EPERM || r == -LX_EXDEV || r == -LX_ELOOP ||
           r == -LX_EMFILE || r == -LX_ENFILE || r == -LX_ESTALE || r == -LX_EAGAIN;
}

static u32 own_uid, own_gid; /* set at start */

void gofer_set_own_ids(u32 uid, u32 gid)
{
    own_uid = uid;
    own_gid = gid;
}

/* Owners as the gofer has them: its user namespace and ours each have one id, the same one. */
static void translate_owner(struct statx *sx)
{
    if (sx->stx_uid == 0)
        sx->stx_uid = own_uid;
    if (sx->stx_gid == 0)
        sx->stx_gid = own_gid;
}

int gofer_direct_begin(struct gofer_sb *s, struct inode *root)
{
    struct gofer_inode *gi = gofer_of(root);
    struct gofer_call call = {.req = {.op = GP_OPEN, .flags = GP_O_READ | GP_O_DIR}};
    struct statx sx;
    if ((root->mode & LX_S_IFMT) != LX_S_IFDIR)
        return -LX_ENOTDIR;
    int r = gofer_call_on(root, &call);
    int fd = r == 0 ? gofer_call_take_fd(&call) : -1;
    gofer_call_done(s->conn, &call);
    if (fd < 0)
        return r < 0 ? r : -LX_EIO;
    r = host_fstatx(fd, STATX_WANT, &sx);
    if (r == 0)
        translate_owner(&sx);
    /* As root's gofer sees more owners than we do, all answers must be its own. */
    if (r == 0 && (sx.stx_ino != gi->hino || sx.stx_uid != root->uid || sx.stx_gid != root->gid))
        r = -LX_EOPNOTSUPP;
    if (r < 0) {
        host_close(fd);
        return r;
    }
    gi->mnt_id = sx.stx_mnt_id;
    struct gofer_fd *f = gofer_fd_cache(gi, fd);
    if (!f)
        return -LX_ENOMEM;
    s->root_fd = f; /* this reference keeps it for ever */
    s->is_direct = true;
    return 0;
}

/* ---- fds of directories -------------------------------------------------------------------- */

struct chain {
    struct gofer_fd *base;
    u32 count;
    size_t size;
    char path[4096]; /* the names so far, from its end; NUL-terminated */
};

static bool chain_add(struct chain *c, const char *name)
{
    size_t n = strlen(name), need = n + (c->size > 0);
    if (c->size + need + 1 > sizeof(c->path))
        return false;
    char *at = c->path + sizeof(c->path) - 1 - c->size - need;
    memcpy(at, name, n);
    if (c->size > 0)
        at[n] = '/';
    c->size += need;
    return true;
}

/* Climbs from gi to the nearest directory with an fd. */
static int chain_build(struct chain *c, struct inode *i)
{
    char name[256];
    u32 seq;
    int r = 0;
    *c = (struct chain){.path = {0}};
    inode_get(i);
    while (!(c->base = gofer_fd_any(gofer_of(i)))) {
        struct inode *dir;
        r = gofer_get_place(gofer_of(i), &dir, name, &seq);
        if (r < 0)
            break;
        inode_put(i);
        i = dir;
        if (c->count++ == MAX_CHAIN || !chain_add(c, name)) {
            r = -LX_ESTALE;
            break;
        }
    }
    inode_put(i);
    return r;
}

static int open_checked(const struct gofer_inode *gi, int dirfd, const char *path, u64 flags,
                        u64 *ret_mnt_id)
{
    struct statx sx;
    int fd = host_openat2(dirfd, path, flags | O_NOFOLLOW, 0, RESOLVE);
    if (fd < 0)
        return fd;
    int r = host_fstatx(fd, STATX_TYPE | STATX_INO | STATX_MNT_ID, &sx);
    if (r == 0 && (sx.stx_ino != gi->hino || gp_dev_from_statx(&sx) != gi->hdev ||
                   ((sx.stx_mode ^ gi->inode->mode) & LX_S_IFMT)))
        r = -LX_ESTALE;
    if (r < 0) {
        host_close(fd);
        return r;
    }
    *ret_mnt_id = sx.stx_mnt_id;
    return fd;
}

/* An fd of the directory, referenced. *ret_fresh: it was opened just now, at its beginning. */
static int dir_fd(struct inode *dir, struct gofer_fd **ret_f, bool *ret_fresh)
{
    struct gofer_inode *gi = gofer_of(dir);
    *ret_fresh = false;
    *ret_f = gofer_fd_any(gi);
    if (*ret_f)
        return 0;
    struct chain *c = malloc(sizeof(*c));
    if (!c)
        return -LX_ENOMEM;
    int r = chain_build(c, dir);
    if (r == 0) {
        u64 mnt_id = 0;
        int fd = open_checked(gi, c->base->fd, c->path + sizeof(c->path) - 1 - c->size,
                              O_RDONLY | O_DIRECTORY, &mnt_id);
        r = fd < 0 ? fd : 0;
        if (fd >= 0) {
            gi->mnt_id = mnt_id;
            *ret_f = gofer_fd_cache(gi, fd);
            if (!*ret_f)
                r = -LX_ENOMEM;
            else
                *ret_fresh = (*ret_f)->fd == fd;
        }
    }
    gofer_fd_put(c->base);
    free(c);
    return r;
}

/* ---- lookup and open ----------------------------------------------------------------------- */

static bool is_direct(const struct inode *dir)
{
    const struct gofer_sb *s = gofer_sb_of(dir->sb);
    /* The root's names may be masked, which only the gofer knows. */
    return s->is_direct && dir != s->sb->root->inode &&
           !(atomic_load(&gofer_of(dir)->state) & (GI_MASKED | GI_INDIRECT));
}

int gofer_direct_find(struct inode *dir, struct wire_bytes name, struct inode **ret_i)
{
    struct gofer_fd *f;
    struct statx sx;
    struct gp_attr a;
    char target[GP_MAX_TARGET + 1];
    struct wire_bytes link = {"", 0};
    bool is_fresh;
    if (!is_direct(dir))
        return -LX_EAGAIN;
    int r = dir_fd(dir, &f, &is_fresh);
    if (r == 0) {
        r = host_statxat(f->fd, name.p, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_WANT, &sx);
        if (r == 0 && S_ISLNK(sx.stx_mode)) {
            s64 n = host_readlinkat(f->fd, name.p, target, sizeof(target));
            if (n > 0 && n <= (s64)GP_MAX_TARGET)
                link = (struct wire_bytes){target, (u32)n};
        }
        gofer_fd_put(f);
    }
    if (is_for_gofer(r) && r != -LX_ESTALE)
        atomic_fetch_or(&gofer_of(dir)->state, GI_INDIRECT);
    *ret_i = NULL;
    if (r == -LX_ENOENT)
        return 0;
    if (r < 0)
        return is_for_gofer(r) ? -LX_EAGAIN : r;
    if (sx.stx_mnt_id != gofer_of(dir)->mnt_id)
        return -LX_EAGAIN;
    translate_owner(&sx);
    gp_attr_from_statx(&a, &sx);
    if (!gp_attr_is_ok(&a))
        return -LX_EIO;
    return gofer_inode_make(dir->sb, &a, dir, name, 0, link, ret_i);
}

int gofer_direct_open(struct inode *i)
{
    struct gofer_inode *gi = gofer_of(i);
    struct gofer_fd *f;
    struct inode *dir;
    char name[256];
    u32 seq;
    u64 mnt_id;
    bool is_fresh;
    if (!gofer_sb_of(i->sb)->is_direct || gofer_get_place(gi, &dir, name, &seq) < 0)
        return -LX_EAGAIN;
    int r = is_direct(dir) ? dir_fd(dir, &f, &is_fresh) : -LX_EAGAIN;
    if (r == 0) {
        r = open_checked(gi, f->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, &mnt_id);
        gofer_fd_put(f);
    }
    inode_put(dir);
    return r < 0 && (is_for_gofer(r) || r == -LX_ENOENT) ? -LX_EAGAIN : r;
}

/* ---- listing ------------------------------------------------------------------------------- */

struct host_dirent { /* linux_dirent64 */
    u64 ino;
    s64 off;
    u16 reclen;
    u8 type;
    char name[];
};

#define DIRECT_BUF 32768U

struct gofer_direct { /* of one open directory; guarded by file.pos_lock */
    struct gofer_fd *f;
    s64 pos;      /* of the next entry in buf, or where the host's position is when it is used up */
    u32 at, size; /* in buf */
    char buf[DIRECT_BUF] __attribute__((aligned(8)));
};

void gofer_direct_close(struct gofer_direct *d)
{
    if (!d)
        return;
    gofer_fd_put(d->f);
    free(d);
}

/* Opens i for listing by ourselves; NULL: the gofer is to be asked. */
struct gofer_direct *gofer_direct_opendir(struct inode *i)
{
    if (!is_direct(i))
        return NULL;
    struct gofer_direct *d = malloc(sizeof(*d));
    bool is_fresh;
    if (!d)
        return NULL;
    d->pos = 0;
    d->at = d->size = 0;
    int r = dir_fd(i, &d->f, &is_fresh);
    if (r == 0 && !is_fresh) { /* its position is somebody else's: one of our own */
        struct gofer_fd *shared = d->f;
        int fd = host_openat2(shared->fd, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE);
        gofer_fd_put(shared);
        d->f = fd < 0 ? NULL : gofer_fd_new(fd);
        r = d->f ? 0 : -LX_ENOMEM;
    }
    if (r < 0) {
        free(d);
        return NULL;
    }
    return d;
}

int gofer_direct_readdir(struct gofer_direct *d, struct file *f, struct dir_ctx *ctx)
{
    for (;;) {
        if (d->pos != f->pos) {
            s64 r = host_lseek(d->f->fd, f->pos, SEEK_SET);
            if (r < 0)
                return (int)r;
            d->at = d->size = 0;
            d->pos = f->pos;
        }
        if (d->at == d->size) {
            s64 n = host_getdents(d->f->fd, d->buf, sizeof(d->buf));
            if (n <= 0)
                return (int)n;
            d->at = 0;
            d->size = (u32)n;
        }
        const struct host_dirent *e = (const void *)(d->buf + d->at);
        u64 ino = e->ino;
        if (!ctx->emit(ctx, e->name, strlen(e->name), ino, e->type, e->off))
            return 0;
        d->at += e->reclen;
        f->pos = d->pos = e->off;
    }
}
