/*
 * Names of UNIX sockets: binding and finding by path, abstract name, or the kernel's choice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/unix/unix.h"
#include "vfs/landlock.h"

static struct mutex unix_path_lock = MUTEX_INIT("unix_path"); /* inode->sock, unix_sock.path */

#define UN_PATH_OFF offsetof(struct lx_sockaddr_un, path)

int unix_check_addr(const union saddr *addr, u32 len)
{
    if (len <= UN_PATH_OFF || len > sizeof(struct lx_sockaddr_un) || addr->family != LX_AF_UNIX)
        return -LX_EINVAL;
    return 0;
}

/* A path's sockaddr ends with its NUL; an abstract name is all of its bytes. */
static struct unix_addr *addr_new(const union saddr *sa, u32 len)
{
    struct unix_addr *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    ref_init(&a->ref);
    memcpy(&a->un, sa, len);
    a->len = len;
    if (a->un.path[0])
        a->len = (u32)(UN_PATH_OFF + strnlen(a->un.path, len - UN_PATH_OFF) + 1);
    return a;
}

static u32 bucket_of(const struct unix_addr *a)
{
    u32 h = 2166136261U;
    for (u32 i = UN_PATH_OFF; i < a->len; i++)
        h = (h ^ ((const u8 *)&a->un)[i]) * 16777619U;
    return (h ^ (h >> 16)) % UNIX_NAME_BUCKETS;
}

static bool is_same(const struct unix_addr *a, const struct unix_addr *b)
{
    return a->len == b->len && !memcmp(&a->un, &b->un, a->len);
}

/* Each type has abstract names of its own. */
static struct unix_sock *lookup(struct unix_ns *ns, const struct unix_addr *a, u16 type)
    REQUIRES(ns->lock)
{
    struct unix_sock *u;
    list_for_each(u, &ns->names[bucket_of(a)], name_node) {
        if (u->sk.type == type && is_same(unix_addr_of(u), a))
            return u;
    }
    return NULL;
}

/* Consumes a on success. */
static int bind_abstract(struct unix_sock *u, struct unix_addr *a)
{
    struct unix_ns *ns = u->sk.ns->unix_ns;
    MUTEX_GUARD(&ns->lock);
    if (lookup(ns, a, u->sk.type))
        return -LX_EADDRINUSE;
    atomic_store_explicit(&u->addr, a, memory_order_release);
    list_add_tail(&ns->names[bucket_of(a)], &u->name_node);
    return 0;
}

static int bind_path(struct unix_sock *u, struct unix_addr *a)
{
    /* The mode of the socket's own inode counts: fchmod before bind is how programs restrict it. */
    u32 mode = u->sk.file ? u->sk.file->inode->mode & 07777 : 0777;
    int r = vfs_mknod(LX_AT_FDCWD, a->un.path, LX_S_IFSOCK | mode, 0);
    if (r < 0)
        return r == -LX_EEXIST ? -LX_EADDRINUSE : r;
    struct path p = {0};
    r = vfs_walk(LX_AT_FDCWD, a->un.path, 0, &p);
    if (r < 0)
        return r;
    if ((p.dentry->inode->mode & LX_S_IFMT) != LX_S_IFSOCK) {
        path_put(&p); /* somebody was quicker with the name */
        return -LX_EADDRINUSE;
    }
    MUTEX_GUARD(&unix_path_lock);
    p.dentry->inode->sock = u;
    u->path = p;
    atomic_store_explicit(&u->addr, a, memory_order_release);
    return 0;
}

int unix_autobind(struct unix_sock *u)
{
    struct unix_ns *ns = u->sk.ns->unix_ns;
    union saddr sa = {.family = LX_AF_UNIX};
    int r = -LX_ENOSPC;
    MUTEX_GUARD(&u->bind_lock);
    if (unix_addr_of(u))
        return 0;
    for (u32 i = 0; i < 0x100000; i++) {
        char name[8];
        u32 n = atomic_fetch_add_explicit(&ns->next_auto, 1, memory_order_relaxed) & 0xfffff;
        snprintf(name, sizeof(name), "%05x", n);
        memcpy(sa.un.path + 1, name, 5);
        struct unix_addr *a = addr_new(&sa, UN_PATH_OFF + 6);
        if (!a)
            return -LX_ENOMEM;
        r = bind_abstract(u, a);
        if (r != -LX_EADDRINUSE) {
            if (r < 0)
                unix_addr_put(a);
            return r;
        }
        unix_addr_put(a);
    }
    return -LX_ENOSPC;
}

int unix_bind(struct sock *sk, const union saddr *addr, u32 len)
{
    struct unix_sock *u = unix_sk(sk);
    if (len == UN_PATH_OFF && addr->family == LX_AF_UNIX)
        return unix_autobind(u);
    int r = unix_check_addr(addr, len);
    if (r < 0)
        return r;
    struct unix_addr *a = addr_new(addr, len);
    if (!a)
        return -LX_ENOMEM;
    MUTEX_GUARD(&u->bind_lock);
    if (unix_addr_of(u))
        r = -LX_EINVAL;
    else
        r = a->un.path[0] ? bind_path(u, a) : bind_abstract(u, a);
    if (r < 0)
        unix_addr_put(a);
    return r;
}

static int find_path(const char *name, struct unix_sock **ret_other)
{
    struct path p = {0};
    int r = vfs_walk(LX_AT_FDCWD, name, WALK_FOLLOW, &p);
    if (r < 0)
        return r;
    struct inode *i = p.dentry->inode;
    r = inode_permission(i, LX_W_OK);
    if (r == 0 && (i->mode & LX_S_IFMT) != LX_S_IFSOCK)
        r = -LX_ECONNREFUSED;
    if (r == 0) {
        MUTEX_GUARD(&unix_path_lock);
        struct unix_sock *u = i->sock;
        if (!u || !ref_get_unless_zero(&u->sk.ref))
            r = -LX_ECONNREFUSED;
        else
            *ret_other = u;
    }
    path_put(&p);
    return r;
}

static int find_abstract(struct net_ns *net, const union saddr *addr, u32 len, u16 type,
                         struct unix_sock **ret_other)
{
    struct unix_ns *ns = net->unix_ns;
    struct unix_addr key = {.len = len};
    memcpy(&key.un, addr, len);
    MUTEX_GUARD(&ns->lock);
    struct unix_sock *u = lookup(ns, &key, type);
    if (!u || !ref_get_unless_zero(&u->sk.ref))
        return -LX_ECONNREFUSED;
    *ret_other = u;
    return 0;
}

int unix_find(struct unix_sock *u, const union saddr *addr, u32 len, struct unix_sock **ret_other)
{
    struct unix_sock *other = NULL;
    int r;
    if (addr->un.path[0]) {
        char name[LX_UNIX_PATH_MAX + 1] = "";
        memcpy(name, addr->un.path, len - UN_PATH_OFF);
        r = find_path(name, &other);
    } else {
        r = find_abstract(u->sk.ns, addr, len, u->sk.type, &other);
    }
    if (r < 0)
        return r;
    if (!addr->un.path[0] &&
        landlock_is_scoped(landlock_own(), other->sk.domain, LL_SCOPE_ABSTRACT_UNIX)) {
        unix_put(other);
        return -LX_EPERM;
    }
    if (other->sk.type != u->sk.type) {
        unix_put(other);
        return -LX_EPROTOTYPE;
    }
    *ret_other = other;
    return 0;
}

void unix_unbind(struct unix_sock *u)
{
    struct unix_ns *ns = u->sk.ns->unix_ns;
    mutex_lock(&ns->lock);
    list_del(&u->name_node);
    mutex_unlock(&ns->lock);
    struct path p = {0};
    mutex_lock(&unix_path_lock);
    if (u->path.dentry) {
        if (u->path.dentry->inode && u->path.dentry->inode->sock == u)
            u->path.dentry->inode->sock = NULL;
        p = u->path;
        u->path = (struct path){0};
    }
    mutex_unlock(&unix_path_lock);
    path_put(&p);
}
