/*
 * Ancillary data: credentials and files beside bytes; the life cycle is in the header.
 *
 * Garbage: a UNIX socket whose file is held only by flights can be received only through another
 * socket. scm_gc takes all sockets whose file count equals their flights as candidates,
 * subtracts the flights that stand in candidates' own queues, and puts back whatever is still
 * reachable from a flight elsewhere. What stays is a set that only holds itself. Every step of
 * a flight (launch, land, peek) takes the gc lock, so counts stand still meanwhile; a message
 * that is between queue and task keeps its flight and makes its files reachable.
 */
#include "net/scm.h"

#include <stdlib.h>
#include <string.h>

#include "kern/kern_int.h"
#include "kern/parts.h"
#include "net/sock.h"

static struct mutex gc_lock = MUTEX_INIT("scm_gc");
static struct list flying_socks = LIST_INIT(flying_socks); /* sock.gc_node, inflight > 0; gc_lock */
static _Atomic u32 nflying_socks, nflying_files;           /* written under gc_lock */

static _Thread_local struct list *drop_list; /* files that this thread has let go of */
static _Thread_local struct list drop_list_head;
static _Thread_local bool is_draining, is_gc_wanted;

/* ---- identities ---------------------------------------------------------------------------- */

static struct scm_who who_of(u32 uid, u32 gid)
{
    struct task *t = task_current();
    struct scm_who w = {t ? t->tg : NULL, uid, gid, 0};
    if (w.tg) {
        tgroup_get(w.tg);
        w.pid = tgroup_pid_in(w.tg, task_pid_ns(t));
    }
    return w;
}

struct scm_who scm_who_current(void)
{
    const struct cred *c = vfs_cred();
    return who_of(c->euid, c->egid);
}

struct scm_who scm_who_current_real(void)
{
    const struct cred *c = vfs_cred();
    return who_of(c->uid, c->gid);
}

struct scm_who scm_who_copy(const struct scm_who *w)
{
    if (w->tg)
        tgroup_get(w->tg);
    return *w;
}

void scm_who_done(struct scm_who *w)
{
    if (w->tg)
        tgroup_put(w->tg);
    *w = SCM_WHO_NOBODY;
}

void scm_who_to_ucred(const struct scm_who *w, struct lx_ucred *ret)
{
    struct task *t = task_current();
    struct user_ns *uns = vfs_cred()->user_ns;
    ret->pid = 0;
    if (w->tg && t) {
        struct pid_ns *pns = task_pid_ns(t);
        ret->pid = tgroup_pid_in(w->tg, pns);
        if (!ret->pid && w->tg->pid->ns == pns)
            ret->pid = w->pid; /* it has ended and given its number back */
    }
    ret->uid = uns ? from_kuid(uns, w->uid) : w->uid;
    ret->gid = uns ? from_kgid(uns, w->gid) : w->gid;
}

/* ---- containers ---------------------------------------------------------------------------- */

void scm_init(struct scm *s)
{
    *s = (struct scm){.who = SCM_WHO_NOBODY};
}

static void files_drop(struct scm_files *fl)
{
    if (!drop_list) {
        list_init(&drop_list_head);
        drop_list = &drop_list_head;
    }
    list_add_tail(drop_list, &fl->node);
}

static void drop_files(void)
{
    struct scm_files *fl;
    while ((fl = list_first(drop_list, struct scm_files, node))) {
        list_del(&fl->node);
        for (u32 i = 0; i < fl->count; i++)
            file_put(fl->files[i]);
        if (fl->user)
            user_put(fl->user);
        free(fl);
    }
}

static void collect(void);

void scm_drain(void)
{
    if (likely(!is_gc_wanted && (!drop_list || list_empty(drop_list))) || is_draining)
        return;
    is_draining = true;
    for (;;) {
        if (drop_list)
            drop_files();
        if (!is_gc_wanted)
            break;
        is_gc_wanted = false;
        collect();
    }
    is_draining = false;
}

void scm_gc(void)
{
    if (unlikely(atomic_load_explicit(&nflying_socks, memory_order_relaxed) != 0))
        is_gc_wanted = true;
}

void scm_done(struct scm *s)
{
    if (s->files) {
        scm_land(s);
        files_drop(take_ptr(s->files));
    }
    scm_who_done(&s->who);
    s->has_who = false;
}

static struct scm_files *files_new(u32 room)
{
    struct scm_files *fl = calloc(1, sizeof(*fl) + room * sizeof(fl->files[0]));
    if (fl)
        list_init(&fl->node);
    return fl;
}

int scm_peek(const struct scm *from, struct scm *ret)
{
    scm_init(ret);
    if (from->files) {
        struct scm_files *fl = files_new(from->files->count);
        if (!fl)
            return -LX_ENOMEM;
        MUTEX_GUARD(&gc_lock);
        for (; fl->count < from->files->count; fl->count++) {
            fl->files[fl->count] = from->files->files[fl->count];
            file_get(fl->files[fl->count]);
        }
        ret->files = fl;
    }
    ret->has_who = from->has_who;
    ret->who = scm_who_copy(&from->who);
    return 0;
}

/* ---- sending ------------------------------------------------------------------------------- */

int cmsg_next(const u8 *control, u32 size, u32 *off, struct lx_cmsghdr *ret_hdr,
              const u8 **ret_data, u32 *ret_size)
{
    u32 at = *off;
    if (at > size || size - at < CMSG_HDR_SIZE)
        return 0;
    memcpy(ret_hdr, control + at, sizeof(*ret_hdr));
    if (ret_hdr->len < CMSG_HDR_SIZE || ret_hdr->len > size - at)
        return -LX_EINVAL;
    *ret_data = control + at + CMSG_HDR_SIZE;
    *ret_size = (u32)(ret_hdr->len - CMSG_HDR_SIZE);
    *off = at + (u32)CMSG_ALIGN_UP(ret_hdr->len);
    return 1;
}

static int take_files(struct scm *s, const u8 *data, u32 size)
{
    u32 n = size / sizeof(s32);
    if (n == 0)
        return 0;
    if (n > SCM_MAX_FD)
        return -LX_EINVAL;
    if (!s->files && !(s->files = files_new(SCM_MAX_FD)))
        return -LX_ENOMEM;
    if (s->files->count + n > SCM_MAX_FD)
        return -LX_EINVAL;
    for (u32 i = 0; i < n; i++) {
        s32 fd;
        memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
        struct file *f = fd < 0 ? NULL : fd_get_raw(fd);
        if (!f)
            return -LX_EBADF;
        s->files->files[s->files->count++] = f;
    }
    return 0;
}

static int take_creds(struct scm *s, const u8 *data, u32 size)
{
    struct lx_ucred u;
    if (size != sizeof(u))
        return -LX_EINVAL;
    memcpy(&u, data, sizeof(u));
    struct task *t = task_current();
    const struct cred *c = vfs_cred();
    if (!t)
        return -LX_EPERM;
    struct pid_ns *pns = task_pid_ns(t);
    u32 kuid = make_kuid(c->user_ns, u.uid), kgid = make_kgid(c->user_ns, u.gid);
    if (kuid == (u32)-1 || kgid == (u32)-1)
        return -LX_EINVAL;
    bool is_own_pid = u.pid == tgroup_pid_in(t->tg, pns);
    if (!is_own_pid && !ns_capable(pns->user_ns, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    if (kuid != c->uid && kuid != c->euid && kuid != c->suid &&
        !ns_capable(c->user_ns, LX_CAP_SETUID))
        return -LX_EPERM;
    if (kgid != c->gid && kgid != c->egid && kgid != c->sgid &&
        !ns_capable(c->user_ns, LX_CAP_SETGID))
        return -LX_EPERM;
    struct tgroup *tg = t->tg;
    if (is_own_pid)
        tgroup_get(tg);
    else if (!(tg = tgroup_find(pns, u.pid)))
        return -LX_ESRCH;
    scm_who_done(&s->who);
    s->who = (struct scm_who){tg, kuid, kgid, u.pid};
    s->has_who = true;
    return 0;
}

int scm_send(const u8 *control, u32 size, bool is_rights_allowed, struct scm *ret)
{
    struct lx_cmsghdr h;
    const u8 *data;
    u32 off = 0, n;
    int r;
    while ((r = cmsg_next(control, size, &off, &h, &data, &n)) > 0) {
        if (h.level != LX_SOL_SOCKET)
            continue;
        if (h.type == LX_SCM_RIGHTS && is_rights_allowed)
            r = take_files(ret, data, n);
        else if (h.type == LX_SCM_CREDENTIALS)
            r = take_creds(ret, data, n);
        else
            r = -LX_EINVAL;
        if (r < 0)
            return r;
    }
    return r;
}

/* The UNIX socket that f is, or NULL. */
static struct sock *flyer_of(struct file *f)
{
    struct sock *sk = sock_of_file(f);
    return sk && sk->ops->for_each_files ? sk : NULL;
}

int scm_launch(struct scm *s)
{
    struct scm_files *fl = s->files;
    struct task *t = task_current();
    if (!fl)
        return 0;
    struct user_struct *user = t ? t->user : NULL;
    if (user) {
        u32 have = atomic_load_explicit(&user->nfiles_inflight, memory_order_relaxed);
        if (have > task_rlimit(t, LX_RLIMIT_NOFILE) && !vfs_capable(LX_CAP_SYS_RESOURCE) &&
            !vfs_capable(LX_CAP_SYS_ADMIN))
            return -LX_ETOOMANYREFS;
    }
    if (atomic_load_explicit(&nflying_files, memory_order_relaxed) + fl->count > SCM_INFLIGHT_MAX)
        return -LX_ETOOMANYREFS;
    MUTEX_GUARD(&gc_lock);
    for (u32 i = 0; i < fl->count; i++) {
        struct sock *sk = flyer_of(fl->files[i]);
        if (sk && sk->inflight++ == 0) {
            list_add_tail(&flying_socks, &sk->gc_node);
            atomic_fetch_add_explicit(&nflying_socks, 1, memory_order_relaxed);
        }
    }
    atomic_fetch_add_explicit(&nflying_files, fl->count, memory_order_relaxed);
    if (user) {
        user_ref(user);
        fl->user = user;
        atomic_fetch_add_explicit(&user->nfiles_inflight, fl->count, memory_order_relaxed);
    }
    fl->is_flying = true;
    return 0;
}

void scm_land(struct scm *s)
{
    struct scm_files *fl = s->files;
    if (!fl)
        return;
    MUTEX_GUARD(&gc_lock);
    if (!fl->is_flying)
        return;
    fl->is_flying = false;
    for (u32 i = 0; i < fl->count; i++) {
        struct sock *sk = flyer_of(fl->files[i]);
        if (sk && --sk->inflight == 0) {
            list_del(&sk->gc_node);
            atomic_fetch_sub_explicit(&nflying_socks, 1, memory_order_relaxed);
        }
    }
    atomic_fetch_sub_explicit(&nflying_files, fl->count, memory_order_relaxed);
    if (fl->user)
        atomic_fetch_sub_explicit(&fl->user->nfiles_inflight, fl->count, memory_order_relaxed);
}

u32 scm_inflight_count(void)
{
    return atomic_load_explicit(&nflying_files, memory_order_relaxed);
}

/* ---- receiving ----------------------------------------------------------------------------- */

void cmsg_put(struct cmsg_out *c, s32 level, s32 type, const void *data, u32 size)
{
    u32 room = c->size - c->used;
    if (!c->buf || room < CMSG_HDR_SIZE) {
        c->flags |= LX_MSG_CTRUNC;
        return;
    }
    u32 len = (u32)CMSG_HDR_SIZE + size;
    if (room < len) {
        c->flags |= LX_MSG_CTRUNC;
        len = room;
    }
    struct lx_cmsghdr h = {len, level, type};
    u32 space = MIN((u32)CMSG_SPACE_OF(size), room);
    memset(c->buf + c->used, 0, space);
    memcpy(c->buf + c->used, &h, sizeof(h));
    if (len > sizeof(h))
        memcpy(c->buf + c->used + sizeof(h), data, len - sizeof(h));
    c->used += space;
}

static void recv_files(struct cmsg_out *c, struct scm *s)
{
    struct scm_files *fl = s->files;
    u32 room = c->size - c->used, max = 0, n = 0;
    if (c->buf && room > CMSG_HDR_SIZE)
        max = MIN((room - (u32)CMSG_HDR_SIZE) / (u32)sizeof(s32), fl->count);
    u32 fd_flags = c->is_cloexec ? LX_O_CLOEXEC : 0;
    s32 fds[SCM_MAX_FD];
    for (; n < max; n++) {
        int fd = fd_install(fl->files[n], 0, fd_flags);
        if (fd < 0)
            break;
        file_get(fl->files[n]); /* the list keeps and drops its own reference */
        fds[n] = fd;
    }
    if (n > 0)
        cmsg_put(c, LX_SOL_SOCKET, LX_SCM_RIGHTS, fds, n * (u32)sizeof(s32));
    if (n < fl->count)
        c->flags |= LX_MSG_CTRUNC;
}

static void recv_pidfd(struct cmsg_out *c, struct scm *s)
{
    if (c->size - c->used < CMSG_HDR_SIZE + sizeof(s32)) {
        c->flags |= LX_MSG_CTRUNC;
        return;
    }
    s32 fd = pidfd_install(s->who.tg->pid, 0);
    cmsg_put(c, LX_SOL_SOCKET, LX_SCM_PIDFD, &fd, sizeof(fd));
}

void scm_recv(struct sock *sk, struct cmsg_out *c, struct scm *s)
{
    scm_land(s);
    if (!c->buf) {
        if (sock_has(sk, SKF_PASSCRED | SKF_PASSPIDFD | SKF_PASSSEC) || s->files)
            c->flags |= LX_MSG_CTRUNC;
        scm_done(s);
        return;
    }
    if (sock_has(sk, SKF_PASSCRED)) {
        struct lx_ucred u;
        scm_who_to_ucred(&s->who, &u);
        cmsg_put(c, LX_SOL_SOCKET, LX_SCM_CREDENTIALS, &u, sizeof(u));
    }
    if (s->files)
        recv_files(c, s);
    if (sock_has(sk, SKF_PASSPIDFD) && s->who.tg)
        recv_pidfd(c, s);
    scm_done(s);
}

/* ---- garbage ------------------------------------------------------------------------------- */

typedef void (*child_fn)(struct sock *child, struct list *work);

struct walk {
    child_fn fn;
    struct list *work;
};

static void walk_files(struct scm_files *fl, void *arg)
{
    struct walk *w = arg;
    if (!fl->is_flying)
        return;
    for (u32 i = 0; i < fl->count; i++) {
        struct sock *sk = flyer_of(fl->files[i]);
        if (sk && sk->gc_is_candidate)
            w->fn(sk, w->work);
    }
}

static void walk_children(struct sock *sk, child_fn fn, struct list *work)
{
    struct walk w = {fn, work};
    sk->ops->for_each_files(sk, walk_files, &w);
}

static void child_subtract(struct sock *sk, struct list *work)
{
    sk->gc_count--;
}

/* Reachable: counted back, and its own children will be visited. */
static void child_restore(struct sock *sk, struct list *work)
{
    sk->gc_count++;
    if (!sk->gc_is_queued) {
        sk->gc_is_queued = true;
        list_del(&sk->gc_node);
        list_add_tail(work, &sk->gc_node);
    }
}

/* Moves garbage from flying_socks to *garbage as references to files. Returns how many. */
static u32 find_garbage(struct file ***ret_files)
{
    struct list reachable, candidates, visited;
    struct sock *sk, *tmp;
    u32 n = 0;
    list_init(&reachable);
    list_init(&candidates);
    list_init(&visited);
    list_for_each_safe(sk, tmp, &flying_socks, gc_node) {
        sk->gc_count = sk->inflight;
        sk->gc_is_queued = false;
        sk->gc_is_candidate = sk->file && ref_read(&sk->file->ref) == sk->inflight;
        if (sk->gc_is_candidate) {
            list_del(&sk->gc_node);
            list_add_tail(&candidates, &sk->gc_node);
        }
    }
    list_for_each(sk, &candidates, gc_node)
        walk_children(sk, child_subtract, NULL);
    list_for_each_safe(sk, tmp, &candidates, gc_node) {
        if (sk->gc_count == 0)
            continue;
        sk->gc_is_queued = true;
        list_del(&sk->gc_node);
        list_add_tail(&reachable, &sk->gc_node);
    }
    while ((sk = list_first(&reachable, struct sock, gc_node))) {
        list_del(&sk->gc_node);
        list_add_tail(&visited, &sk->gc_node);
        walk_children(sk, child_restore, &reachable);
    }
    list_for_each(sk, &visited, gc_node)
        sk->gc_is_candidate = false;
    list_splice_tail(&flying_socks, &visited);
    u32 max = 0;
    list_for_each(sk, &candidates, gc_node)
        max++;
    struct file **files = max ? calloc(max, sizeof(*files)) : NULL;
    list_for_each_safe(sk, tmp, &candidates, gc_node) {
        sk->gc_is_candidate = false;
        if (!files)
            continue; /* no memory: next time */
        file_get(sk->file);
        files[n++] = sk->file;
    }
    list_splice_tail(&flying_socks, &candidates);
    *ret_files = files;
    return n;
}

static void collect(void)
{
    struct file **files;
    mutex_lock(&gc_lock);
    u32 n = find_garbage(&files);
    mutex_unlock(&gc_lock);
    for (u32 i = 0; i < n; i++) {
        struct sock *sk = sock_of_file(files[i]);
        sk->ops->purge(sk);
    }
    for (u32 i = 0; i < n; i++)
        file_put(files[i]);
    free(files);
}
