/* See node.h. */
#include "gofer/node.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>

#include "abi/errno.h"
#include "host/fdio.h"

#define NODE_CHUNK 1024U

struct attach gofer_attaches[GOFER_MAX_ATTACH];
u32 gofer_nattaches;

static struct {
    struct mutex lock;
    struct node **slots; /* by index; NULL: free */
    u32 *gens;           /* of a slot's next id, so that an old id never names a new node */
    u32 nslots, nused, next_free;
    struct list lru; /* nodes with an fd that may be closed; oldest first */
    u32 nopen, max_open;
} table = {.lock = MUTEX_INIT("gofer_nodes"), .lru = LIST_INIT(table.lru)};

/* Held for reading while a place is being opened, for writing while the host's names and ours
 * differ. */
static struct rwlock moves = RWLOCK_INIT("gofer_moves");

void gnode_moves_begin(void)
{
    rwlock_wrlock(&moves);
}

void gnode_moves_end(void)
{
    rwlock_wrunlock(&moves);
}

void gnode_table_init(u32 max_open)
{
    table.max_open = max_open;
}

/* ---- ids and references -------------------------------------------------------------------- */

static bool grow_table(void)
{
    u32 n = table.nslots + NODE_CHUNK;
    struct node **slots = realloc(table.slots, n * sizeof(*slots));
    if (!slots)
        return false;
    table.slots = slots;
    u32 *gens = realloc(table.gens, n * sizeof(*gens));
    if (!gens)
        return false;
    table.gens = gens;
    for (u32 i = table.nslots; i < n; i++) {
        slots[i] = NULL;
        gens[i] = 1;
    }
    table.next_free = table.nslots;
    table.nslots = n;
    return true;
}

static bool take_slot(struct node *n) REQUIRES(table.lock)
{
    if (table.nused >= NODE_MAX || (table.nused == table.nslots && !grow_table()))
        return false;
    while (table.slots[table.next_free])
        table.next_free = (table.next_free + 1) % table.nslots;
    n->index = table.next_free;
    n->gen = table.gens[n->index];
    n->has_id = true;
    table.slots[n->index] = n;
    table.nused++;
    return true;
}

static void drop_slot(struct node *n) REQUIRES(table.lock)
{
    table.slots[n->index] = NULL;
    table.gens[n->index] = n->gen == UINT32_MAX ? 1 : n->gen + 1;
    table.next_free = n->index;
    table.nused--;
    n->has_id = false;
}

static struct node *find_locked(u64 id) REQUIRES(table.lock)
{
    u32 index = (u32)id - 1;
    if ((u32)id == 0 || index >= table.nslots)
        return NULL;
    struct node *n = table.slots[index];
    return n && n->gen == (u32)(id >> 32) ? n : NULL;
}

struct node *gnode_get(u64 id)
{
    MUTEX_GUARD(&table.lock);
    struct node *n = find_locked(id);
    if (n)
        n->refs++;
    return n;
}

void gnode_ref(struct node *n)
{
    MUTEX_GUARD(&table.lock);
    n->refs++;
}

/* Drops references up the tree. The fds of what died are closed by the caller, after the lock. */
static void unref_locked(struct node *n, int *ret_fds, u32 max, u32 *nfds) REQUIRES(table.lock)
{
    while (n && --n->refs == 0) {
        struct node *parent = n->parent;
        if (n->fd >= 0) {
            if (*nfds < max)
                ret_fds[(*nfds)++] = n->fd;
            else
                host_close(n->fd);
            table.nopen--;
        }
        list_del(&n->lru);
        free(n->name);
        free(n);
        n = parent;
    }
}

#define MAX_DEAD_FDS 16

void gnode_put(struct node *n)
{
    int fds[MAX_DEAD_FDS];
    u32 nfds = 0;
    if (!n)
        return;
    mutex_lock(&table.lock);
    unref_locked(n, fds, MAX_DEAD_FDS, &nfds);
    mutex_unlock(&table.lock);
    while (nfds > 0)
        host_close(fds[--nfds]);
}

void gnode_forget(u64 id)
{
    mutex_lock(&table.lock);
    struct node *n = find_locked(id);
    if (n && n->is_root)
        n = NULL;
    if (n)
        drop_slot(n);
    mutex_unlock(&table.lock);
    gnode_put(n);
}

struct node *gnode_new(struct node *parent, const char *name, const struct statx *sx, int fd,
                       u16 attach)
{
    struct node *n = calloc(1, sizeof(*n));
    char *copy = name ? strdup(name) : NULL;
    if (!n || (name && !copy))
        goto fail;
    n->is_dir = (sx->stx_mode & S_IFMT) == S_IFDIR;
    n->attach = attach;
    n->refs = 2;
    n->fd = -1;
    n->name = copy;
    n->dev = (u64)sx->stx_dev_major << 32 | sx->stx_dev_minor;
    n->ino = sx->stx_ino;
    n->mnt_id = sx->stx_mnt_id;
    list_init(&n->lru);
    mutex_lock(&table.lock);
    if (!take_slot(n)) {
        mutex_unlock(&table.lock);
        goto fail;
    }
    if (parent) {
        parent->refs++;
        n->parent = parent;
    }
    mutex_unlock(&table.lock);
    if (fd >= 0)
        gnode_give_fd(n, fd);
    return n;
fail:
    free(copy);
    free(n);
    host_close(fd);
    return NULL;
}

/* ---- fds ----------------------------------------------------------------------------------- */

static bool is_evictable(const struct node *n) REQUIRES(table.lock)
{
    return n->parent;
}

/* Closes the least recently used fds until the bound holds again. */
static u32 evict_locked(int *ret_fds, u32 max) REQUIRES(table.lock)
{
    u32 nfds = 0;
    struct node *n, *tmp;
    list_for_each_safe (n, tmp, &table.lru, lru) {
        if (table.nopen <= table.max_open || nfds == max)
            break;
        if (n->busy)
            continue;
        ret_fds[nfds++] = n->fd;
        n->fd = -1;
        table.nopen--;
        list_del(&n->lru);
    }
    return nfds;
}

void gnode_give_fd(struct node *n, int fd)
{
    int fds[MAX_DEAD_FDS];
    u32 nfds = 0;
    mutex_lock(&table.lock);
    if (n->fd < 0) {
        n->fd = take_fd(fd);
        table.nopen++;
        if (is_evictable(n))
            list_add_tail(&table.lru, &n->lru);
        nfds = evict_locked(fds, MAX_DEAD_FDS);
    }
    mutex_unlock(&table.lock);
    host_close(fd);
    while (nfds > 0)
        host_close(fds[--nfds]);
}

int gofer_open_below(const struct attach *a, int dirfd, const char *name, u64 flags, u32 mode)
{
    u64 resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    if (!(a->flags & GOFER_CROSS_MOUNTS))
        resolve |= RESOLVE_NO_XDEV;
    return host_openat2(dirfd, name, flags | O_NOFOLLOW, mode, resolve);
}

/* One step: opens the topmost closed node on the way to n. 0, or an error. `moves` held. */
static int open_step_locked(struct node *n)
{
    char name[256];
    mutex_lock(&table.lock);
    struct node *p = n;
    if (n->fd >= 0) {
        mutex_unlock(&table.lock);
        return 0;
    }
    while (p->parent && p->parent->fd < 0)
        p = p->parent;
    struct node *dir = p->parent;
    if (!dir) { /* an orphan, or a root, whose fd could not be kept */
        mutex_unlock(&table.lock);
        return -LX_ESTALE;
    }
    memcpy(name, p->name, strlen(p->name) + 1);
    int dirfd = dir->fd;
    const struct attach *a = &gofer_attaches[p->attach];
    dir->busy++;
    dir->refs++;
    p->refs++;
    mutex_unlock(&table.lock);

    struct statx sx;
    int fd = gofer_open_below(a, dirfd, name, O_PATH, 0);
    int r = fd < 0 ? fd : host_fstatx(fd, STATX_INO, &sx);
    if (r == -LX_ENOENT || r == -LX_ENOTDIR ||
        (r >= 0 &&
         (sx.stx_ino != p->ino || ((u64)sx.stx_dev_major << 32 | sx.stx_dev_minor) != p->dev)))
        r = -LX_ESTALE;
    if (r >= 0)
        gnode_give_fd(p, take_fd(fd));
    host_close(fd);
    gnode_fd_put(dir);
    gnode_put(dir);
    gnode_put(p);
    return r < 0 ? r : 0;
}

static int open_step(struct node *n)
{
    rwlock_rdlock(&moves);
    int r = open_step_locked(n);
    rwlock_rdunlock(&moves);
    return r;
}

int gnode_fd_get(struct node *n)
{
    /* Each step opens one more level; the bound is for a tree that others keep evicting. */
    for (u32 i = 0; i < NODE_MAX; i++) {
        mutex_lock(&table.lock);
        if (n->fd >= 0) {
            n->busy++;
            if (is_evictable(n)) {
                list_del(&n->lru);
                list_add_tail(&table.lru, &n->lru);
            }
            int fd = n->fd;
            mutex_unlock(&table.lock);
            return fd;
        }
        mutex_unlock(&table.lock);
        int r = open_step(n);
        if (r < 0)
            return r;
    }
    return -LX_EBUSY;
}

void gnode_fd_put(struct node *n)
{
    MUTEX_GUARD(&table.lock);
    n->busy--;
}

/* ---- changes of place ---------------------------------------------------------------------- */

int gnode_place(struct node *n, struct node **ret_parent, char *ret_name)
{
    MUTEX_GUARD(&table.lock);
    if (!n->parent)
        return -LX_ESTALE;
    n->parent->refs++;
    *ret_parent = n->parent;
    memcpy(ret_name, n->name, strlen(n->name) + 1);
    return 0;
}

void gnode_moved(struct node *n, struct node *new_parent, const char *new_name)
{
    char *copy = strdup(new_name);
    if (!copy)
        return; /* the old place no longer matches: ESTALE when it is next opened */
    mutex_lock(&table.lock);
    if (!n->parent) {
        mutex_unlock(&table.lock);
        free(copy);
        return;
    }
    /* A hostile Sentry may name any node as the one moved; a loop of parents must not arise. */
    for (struct node *p = new_parent; p; p = p->parent) {
        if (p == n) {
            mutex_unlock(&table.lock);
            free(copy);
            return;
        }
    }
    struct node *old_parent = n->parent;
    char *old_name = n->name;
    new_parent->refs++;
    n->parent = new_parent;
    n->name = copy;
    mutex_unlock(&table.lock);
    free(old_name);
    gnode_put(old_parent);
}

void gnode_orphan(struct node *n, int fd)
{
    mutex_lock(&table.lock);
    struct node *old_parent = n->parent;
    if (old_parent) {
        if (n->fd < 0 && fd >= 0) {
            n->fd = take_fd(fd);
            table.nopen++;
        }
        n->is_orphan = true;
        n->parent = NULL;
        list_del(&n->lru);
    }
    mutex_unlock(&table.lock);
    host_close(fd);
    gnode_put(old_parent);
}
