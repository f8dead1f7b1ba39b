/*
 * Landlock. A ruleset is changed through its file until a domain copies it; a domain never changes.
 *
 * A rule names a file by its dentry, which the rule keeps alive and so findable: the same file is
 * the same inode for as long.
 */
#include "vfs/landlock.h"

#include <stdlib.h>
#include <string.h>

#include "vfs/internal.h"

struct path_rule {
    struct path path; /* owned */
    u64 access;
};
struct port_rule {
    u16 port;
    u64 access;
};

struct rules {
    u64 fs, net, scope; /* handled */
    u32 npaths, nports;
    struct path_rule *paths;
    struct port_rule *ports;
};

struct ruleset {
    struct mutex lock;
    struct rules rules; /* guarded by lock, but what is handled */
};

struct landlock_domain {
    struct ref ref;
    u32 level;                            /* 1: outermost */
    const struct landlock_domain *parent; /* owned */
    struct rules rules;                   /* paths by inode's address */
};

static struct landlock_domain *unconst(const struct landlock_domain *d)
{
    return (struct landlock_domain *)(uintptr_t)d;
}

static void rules_done(struct rules *r)
{
    for (u32 i = 0; i < r->npaths; i++)
        path_put(&r->paths[i].path);
    free(r->paths);
    free(r->ports);
}

void landlock_get(const struct landlock_domain *d)
{
    if (d)
        ref_get(&unconst(d)->ref);
}

void landlock_put(const struct landlock_domain *d)
{
    while (d && ref_put(&unconst(d)->ref)) {
        const struct landlock_domain *parent = d->parent;
        rules_done(&unconst(d)->rules);
        free(unconst(d));
        d = parent;
    }
}

const struct landlock_domain *landlock_own(void)
{
    return vfs_cred()->domain;
}

/* Files that have no place in a tree of mounts: pipes, sockets, namespaces, memfds. */
static bool is_internal(const struct path *p)
{
    return dentry_is_anon(p->dentry) || p->mnt->sb->flags & (SB_NAMED | SB_NODEV_INTERNAL);
}

/* ---- rulesets ------------------------------------------------------------------------------ */

static void ruleset_release(struct file *f)
{
    struct ruleset *s = f->priv;
    rules_done(&s->rules);
    free(s);
}

static const struct file_ops ruleset_fops = {.release = ruleset_release};

bool landlock_is_ruleset(const struct file *f)
{
    return f->ops == &ruleset_fops;
}

int landlock_ruleset_new(u64 fs, u64 net, u64 scope, struct file **ret_f)
{
    struct ruleset *s = calloc(1, sizeof(*s));
    if (!s)
        return -LX_ENOMEM;
    mutex_init(&s->lock, "landlock_ruleset");
    s->rules = (struct rules){.fs = fs, .net = net, .scope = scope};
    int r = file_new_anon("anon_inode:[landlock-ruleset]", 0600, &ruleset_fops, s, LX_O_RDWR,
                          FMODE_READ | FMODE_WRITE | FMODE_STREAM, ret_f);
    if (r < 0)
        free(s);
    return r;
}

/* Room for one more; the count stays. */
static int grow(void **list, u32 n, size_t size)
{
    if (n >= LANDLOCK_MAX_RULES)
        return -LX_E2BIG;
    if (n & (n - 1) || (n && n < 8))
        return 0; /* room is made at powers of two from 8 on */
    void *more = realloc(*list, (n ? n * 2 : 8) * size);
    if (!more)
        return -LX_ENOMEM;
    *list = more;
    return 0;
}

int landlock_add_path(struct file *f, const struct path *p, u64 access)
{
    struct ruleset *s = f->priv;
    struct rules *r = &s->rules;
    if (is_internal(p))
        return -LX_EBADFD;
    if (access & ~r->fs)
        return -LX_EINVAL;
    if (!mode_is_dir(p->dentry->inode->mode) && access & ~LL_FS_FILE)
        return -LX_EINVAL;
    MUTEX_GUARD(&s->lock);
    for (u32 i = 0; i < r->npaths; i++) {
        if (r->paths[i].path.dentry->inode == p->dentry->inode) {
            r->paths[i].access |= access;
            return 0;
        }
    }
    int e = grow((void **)&r->paths, r->npaths, sizeof(*r->paths));
    if (e < 0)
        return e;
    path_get(p);
    r->paths[r->npaths++] = (struct path_rule){*p, access};
    return 0;
}

int landlock_add_port(struct file *f, u16 port, u64 access)
{
    struct ruleset *s = f->priv;
    struct rules *r = &s->rules;
    if (access & ~r->net)
        return -LX_EINVAL;
    MUTEX_GUARD(&s->lock);
    for (u32 i = 0; i < r->nports; i++) {
        if (r->ports[i].port == port) {
            r->ports[i].access |= access;
            return 0;
        }
    }
    int e = grow((void **)&r->ports, r->nports, sizeof(*r->ports));
    if (e == 0)
        r->ports[r->nports++] = (struct port_rule){port, access};
    return e;
}

static int by_inode(const void *a, const void *b)
{
    const struct inode *x = ((const struct path_rule *)a)->path.dentry->inode;
    const struct inode *y = ((const struct path_rule *)b)->path.dentry->inode;
    return (x > y) - (x < y);
}

static int copy_rules(struct rules *to, const struct rules *from)
{
    *to = (struct rules){.fs = from->fs, .net = from->net, .scope = from->scope};
    to->paths = malloc(MAX(from->npaths, 1U) * sizeof(*to->paths));
    to->ports = malloc(MAX(from->nports, 1U) * sizeof(*to->ports));
    if (!to->paths || !to->ports)
        return -LX_ENOMEM;
    for (; to->npaths < from->npaths; to->npaths++) {
        to->paths[to->npaths] = from->paths[to->npaths];
        path_get(&to->paths[to->npaths].path);
    }
    for (; to->nports < from->nports; to->nports++)
        to->ports[to->nports] = from->ports[to->nports];
    qsort(to->paths, to->npaths, sizeof(*to->paths), by_inode);
    return 0;
}

int landlock_restrict(const struct landlock_domain *outer, struct file *f,
                      const struct landlock_domain **ret)
{
    struct ruleset *s = f->priv;
    if (outer && outer->level >= LANDLOCK_MAX_LAYERS)
        return -LX_E2BIG;
    struct landlock_domain *d = calloc(1, sizeof(*d));
    if (!d)
        return -LX_ENOMEM;
    ref_init(&d->ref);
    d->level = outer ? outer->level + 1 : 1;
    landlock_get(outer);
    d->parent = outer;
    mutex_lock(&s->lock);
    int r = copy_rules(&d->rules, &s->rules);
    mutex_unlock(&s->lock);
    if (r < 0) {
        landlock_put(d);
        return r;
    }
    *ret = d;
    return 0;
}

/* ---- files --------------------------------------------------------------------------------- */

static u64 rule_of(const struct landlock_domain *d, const struct inode *i)
{
    u32 lo = 0, hi = d->rules.npaths;
    while (lo < hi) {
        u32 mid = lo + (hi - lo) / 2;
        const struct inode *at = d->rules.paths[mid].path.dentry->inode;
        if (at == i)
            return d->rules.paths[mid].access;
        if (at < i)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

/* The rights that each layer gives at p, by level - 1, within `wanted`. */
static void gather(const struct landlock_domain *own, const struct path *p, u64 wanted, u64 *given)
{
    struct path cur = *p;
    memset(given, 0, LANDLOCK_MAX_LAYERS * sizeof(*given));
    path_get(&cur);
    for (;;) {
        bool is_settled = true;
        for (const struct landlock_domain *d = own; d; d = d->parent) {
            given[d->level - 1] |= rule_of(d, cur.dentry->inode) & wanted;
            is_settled &= (wanted & (d->rules.fs | LL_FS_REFER) & ~given[d->level - 1]) == 0;
        }
        if (is_settled || !path_step_up(&cur))
            break;
    }
    path_put(&cur);
}

/* What of `access` some layer handles and does not give. Who refers is refused unless told. */
static u64 refused(const struct landlock_domain *own, const u64 *given, u64 access)
{
    u64 denied = 0;
    for (const struct landlock_domain *d = own; d; d = d->parent) {
        u64 handled = d->rules.fs ? d->rules.fs | LL_FS_REFER : 0;
        denied |= access & handled & ~given[d->level - 1];
    }
    return denied;
}

u64 landlock_denied_slow(const struct path *p, u64 access)
{
    const struct landlock_domain *own = landlock_own();
    u64 given[LANDLOCK_MAX_LAYERS] = {0}, handled = refused(own, given, access);
    if (handled == 0 || is_internal(p))
        return 0;
    gather(own, p, handled, given);
    return refused(own, given, access);
}

u64 landlock_make_right(u32 mode)
{
    switch (mode & LX_S_IFMT) {
    case LX_S_IFLNK:
        return LL_FS_MAKE_SYM;
    case LX_S_IFDIR:
        return LL_FS_MAKE_DIR;
    case LX_S_IFCHR:
        return LL_FS_MAKE_CHAR;
    case LX_S_IFBLK:
        return LL_FS_MAKE_BLOCK;
    case LX_S_IFIFO:
        return LL_FS_MAKE_FIFO;
    case LX_S_IFSOCK:
        return LL_FS_MAKE_SOCK;
    default:
        return LL_FS_MAKE_REG;
    }
}

int landlock_open(const struct path *p, u32 flags, bool is_exec, u32 *ret_fmode)
{
    u32 acc = flags & LX_O_ACCMODE, mode = p->dentry->inode->mode;
    u64 need = 0, later = LL_FS_TRUNCATE;
    *ret_fmode = 0;
    if (!landlock_own())
        return 0;
    if (acc != LX_O_WRONLY)
        need |= mode_is_dir(mode) ? LL_FS_READ_DIR : LL_FS_READ_FILE;
    if (acc != LX_O_RDONLY)
        need |= LL_FS_WRITE_FILE;
    if (is_exec)
        need |= LL_FS_EXECUTE;
    if ((mode & LX_S_IFMT) == LX_S_IFCHR || (mode & LX_S_IFMT) == LX_S_IFBLK)
        later |= LL_FS_IOCTL_DEV;
    u64 denied = landlock_denied(p, need | later);
    if (denied & need || (flags & LX_O_TRUNC && denied & LL_FS_TRUNCATE))
        return -LX_EACCES;
    *ret_fmode = (denied & LL_FS_TRUNCATE ? FMODE_NO_TRUNCATE : 0) |
                 (denied & LL_FS_IOCTL_DEV ? FMODE_NO_IOCTL : 0);
    return 0;
}

void landlock_move_begin(struct landlock_move *m, const struct path *from, const struct path *to)
{
    const struct landlock_domain *own = landlock_own();
    *m = (struct landlock_move){.domain = own};
    m->is_restricted = landlock_forbids_mounts() && !is_internal(to);
    if (!m->is_restricted)
        return;
    m->is_same_dir = from->dentry == to->dentry;
    gather(own, from, LL_FS_ALL, m->from);
    gather(own, to, LL_FS_ALL, m->to);
    m->denied_from = refused(own, m->from, LL_FS_ALL);
    m->denied_to = refused(own, m->to, LL_FS_ALL);
}

void landlock_link_begin(struct landlock_move *m, const struct path *linked, const struct path *to)
{
    struct path from = *linked;
    *m = (struct landlock_move){0};
    if (!landlock_own())
        return;
    path_get(&from);
    if (path_step_up(&from))
        landlock_move_begin(m, &from, to);
    path_put(&from);
}

/* Some layer gives more rights over i in the one place than it did in the other. */
static bool is_gaining(const struct landlock_domain *own, const struct inode *i, const u64 *from,
                       const u64 *to)
{
    u64 kinds = mode_is_dir(i->mode) ? LL_FS_ALL : LL_FS_FILE;
    for (const struct landlock_domain *d = own; d; d = d->parent) {
        u64 kept = from[d->level - 1] | rule_of(d, i);
        if (to[d->level - 1] & ~kept & d->rules.fs & kinds)
            return true;
    }
    return false;
}

static u64 remove_right(const struct inode *i)
{
    return !i ? 0 : mode_is_dir(i->mode) ? LL_FS_REMOVE_DIR : LL_FS_REMOVE_FILE;
}

int landlock_move_check(const struct landlock_move *m, const struct inode *moved,
                        const struct inode *there, bool is_rename, bool is_exchange)
{
    if (!m->is_restricted)
        return 0;
    u64 from = is_exchange ? landlock_make_right(there->mode) : 0;
    u64 to = landlock_make_right(moved->mode);
    if (is_rename) {
        from |= remove_right(moved);
        to |= remove_right(there);
    }
    if (m->is_same_dir)
        return (from | to) & m->denied_to ? -LX_EACCES : 0;
    if (from & m->denied_from || to & m->denied_to)
        return -LX_EACCES;
    if ((m->denied_from | m->denied_to) & LL_FS_REFER ||
        is_gaining(m->domain, moved, m->from, m->to) ||
        (is_exchange && is_gaining(m->domain, there, m->to, m->from)))
        return -LX_EXDEV;
    return 0;
}

bool landlock_forbids_mounts(void)
{
    for (const struct landlock_domain *d = landlock_own(); d; d = d->parent) {
        if (d->rules.fs)
            return true;
    }
    return false;
}

/* ---- ports and scopes ---------------------------------------------------------------------- */

int landlock_check_port(u16 port, u64 access)
{
    for (const struct landlock_domain *d = landlock_own(); d; d = d->parent) {
        u64 left = access & d->rules.net;
        for (u32 i = 0; i < d->rules.nports && left; i++) {
            if (d->rules.ports[i].port == port)
                left &= ~d->rules.ports[i].access;
        }
        if (left)
            return -LX_EACCES;
    }
    return 0;
}

bool landlock_is_scoped(const struct landlock_domain *own, const struct landlock_domain *other,
                        u64 scope)
{
    u32 level = own ? own->level : 0;
    while (other && other->level > level)
        other = other->parent;
    for (; own; own = own->parent) {
        if (other && other->level > own->level)
            other = other->parent;
        if (own == other)
            return false;
        if (own->rules.scope & scope)
            return true;
    }
    return false;
}

bool landlock_is_outer(const struct landlock_domain *own, const struct landlock_domain *other)
{
    if (!own)
        return true;
    while (other && other->level > own->level)
        other = other->parent;
    return own == other;
}
