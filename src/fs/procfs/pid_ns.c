/* /proc/PID/ns, and the files that set namespaces up: id maps, setgroups, time offsets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "abi/time.h"
#include "kern/kern_int.h"
#include "kern/nsfs.h"
#include "kern/time.h"
#include "kern/user_ns_map.h"
#include "procfs/pid.h"

/* ---- ns/ ---------------------------------------------------------------------------------------------- */

struct ns_link {
    u64 type;
    bool is_for_children;
};

static void *ns_of_proxy(const struct nsproxy *p, const struct ns_link *l)
{
    switch (l->type) {
    case LX_CLONE_NEWNS:
        return p->mnt;
    case LX_CLONE_NEWUTS:
        return p->uts;
    case LX_CLONE_NEWIPC:
        return p->ipc;
    case LX_CLONE_NEWPID:
        return p->pid_for_children;
    case LX_CLONE_NEWNET:
        return p->net;
    case LX_CLONE_NEWTIME:
        return l->is_for_children ? p->time_for_children : p->time;
    default:
        return p->cgroup;
    }
}

/* The namespace, referenced. -LX_ENOENT: there is none. */
static int get_ns(const struct pinode *pi, void **ret_ns)
{
    const struct ns_link *l = pi->node->arg;
    struct task *t = pinode_task(pi);
    void *ns = NULL;
    if (!t)
        return -LX_ENOENT;
    if (l->type == LX_CLONE_NEWUSER) {
        const struct cred *c = task_get_cred(t);
        ns = c->user_ns;
        ns_get(l->type, ns);
        cred_put(c);
    } else if (l->type == LX_CLONE_NEWPID && !l->is_for_children) {
        ns = task_pid_ns(t);
        ns_get(l->type, ns);
    } else {
        struct nsproxy *p = task_get_ns(t);
        if (p) {
            ns = ns_of_proxy(p, l);
            if (ns)
                ns_get(l->type, ns);
            nsproxy_put(p);
        }
    }
    task_put(t);
    *ret_ns = ns;
    return ns ? 0 : -LX_ENOENT;
}

static s64 ns_readlink(const struct pinode *pi, char *buf, size_t size)
{
    const struct ns_link *l = pi->node->arg;
    void *ns;
    int r = get_ns(pi, &ns);
    if (r < 0)
        return r;
    r = snprintf(buf, size, "%s:[%llu]", ns_type_name(l->type),
                 (unsigned long long)ns_ino(l->type, ns));
    ns_put(l->type, ns);
    return r;
}

static int ns_follow(const struct pinode *pi, struct path *ret_path)
{
    const struct ns_link *l = pi->node->arg;
    void *ns;
    int r = get_ns(pi, &ns);
    return r < 0 ? r : nsfs_path(l->type, ns, ret_path);
}

static const struct ns_link links[NS_TABLE_SIZE] = {
    {LX_CLONE_NEWCGROUP, false}, {LX_CLONE_NEWIPC, false},  {LX_CLONE_NEWNS, false},
    {LX_CLONE_NEWNET, false},    {LX_CLONE_NEWPID, false},  {LX_CLONE_NEWPID, true},
    {LX_CLONE_NEWTIME, false},   {LX_CLONE_NEWTIME, true},  {LX_CLONE_NEWUSER, false},
    {LX_CLONE_NEWUTS, false},
};
#define PNS(n, i)                                                                                  \
    {.name = n, .mode = LX_S_IFLNK | 0777, .readlink = ns_readlink, .follow = ns_follow, .arg = &links[i]}
const struct pnode ns_table[NS_TABLE_SIZE] = {
    PNS("cgroup", 0), PNS("ipc", 1),  PNS("mnt", 2),               PNS("net", 3),
    PNS("pid", 4),    PNS("pid_for_children", 5), PNS("time", 6),  PNS("time_for_children", 7),
    PNS("user", 8),   PNS("uts", 9),
};

/* ---- id maps --------------------------------------------------------------------------------------------- */

static const struct cred *cred_of(const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    const struct cred *c = t ? task_get_cred(t) : NULL;
    task_put(t);
    return c;
}

static int show_map(struct seq *s, const struct pinode *pi, bool is_gid)
{
    struct user_ns *ns = s->user_ns, *seer = vfs_cred()->user_ns;
    if (!ns)
        return -LX_ESRCH;
    if (!seer)
        seer = &root_user_ns;
    /* in the reader's terms, or the parent's when the reader is in the namespace itself */
    if (seer == ns && ns->parent)
        seer = ns->parent;
    struct id_map_entry e;
    for (u32 i = 0; user_ns_map_entry(ns, is_gid, i, &e); i++) {
        u32 lower = is_gid ? from_kgid_raw(seer, e.lower_first) : from_kuid_raw(seer, e.lower_first);
        if (seer == ns) /* the root namespace, from within */
            lower = user_ns_root_lower(is_gid, i);
        seq_printf(s, "%10u %10u %10u\n", e.first, lower, e.count);
    }
    return 0;
}

int show_uid_map(struct seq *s, const struct pinode *pi)
{
    return show_map(s, pi, false);
}

int show_gid_map(struct seq *s, const struct pinode *pi)
{
    return show_map(s, pi, true);
}

int show_projid_map(struct seq *s, const struct pinode *pi)
{
    const struct cred *c = cred_of(pi);
    if (!c)
        return -LX_ESRCH;
    if (c->user_ns == &root_user_ns)
        seq_printf(s, "%10u %10u %10u\n", 0, 0, UINT32_MAX);
    cred_put(c);
    return 0;
}

static s64 write_map(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off,
                     bool is_gid)
{
    const struct cred *c = cred_of(pi);
    if (!c)
        return -LX_ESRCH;
    s64 r = off != 0 ? -LX_EINVAL : user_ns_map_write(c->user_ns, is_gid, f->cred, buf);
    cred_put(c);
    return r < 0 ? r : (s64)size;
}

s64 write_uid_map(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    return write_map(f, pi, buf, size, off, false);
}

s64 write_gid_map(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    return write_map(f, pi, buf, size, off, true);
}

int show_setgroups(struct seq *s, const struct pinode *pi)
{
    const struct cred *c = cred_of(pi);
    if (!c)
        return -LX_ESRCH;
    seq_puts(s, c->user_ns->is_setgroups_denied ? "deny\n" : "allow\n");
    cred_put(c);
    return 0;
}

s64 write_setgroups(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    /* one word, white space after it; what follows a NUL does not count */
    size_t n = strcspn(buf, " \t\n");
    bool is_deny = n == 4 && !memcmp(buf, "deny", 4);
    if (off != 0 || size >= 8 || (!is_deny && !(n == 5 && !memcmp(buf, "allow", 5))) ||
        buf[n + strspn(buf + n, " \t\n")] != 0)
        return -LX_EINVAL;
    const struct cred *c = cred_of(pi);
    if (!c)
        return -LX_ESRCH;
    s64 r = user_ns_setgroups_write(c->user_ns, is_deny);
    cred_put(c);
    return r < 0 ? r : (s64)size;
}

/* ---- time offsets ---------------------------------------------------------------------------------------- */

static struct time_ns *time_ns_for_children(const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    struct nsproxy *p = t ? task_get_ns(t) : NULL;
    struct time_ns *ns = p ? p->time_for_children : NULL;
    if (ns)
        time_ns_get(ns);
    if (p)
        nsproxy_put(p);
    task_put(t);
    return ns;
}

int show_timens_offsets(struct seq *s, const struct pinode *pi)
{
    struct time_ns *ns = time_ns_for_children(pi);
    if (!ns)
        return -LX_ESRCH;
    struct lx_timespec mono = ns_to_timespec(atomic_load(&ns->mono_off_ns));
    struct lx_timespec boot = ns_to_timespec(atomic_load(&ns->boot_off_ns));
    time_ns_put(ns);
    seq_printf(s, "monotonic  %10lld %9lld\nboottime   %10lld %9lld\n", (long long)mono.tv_sec,
               (long long)mono.tv_nsec, (long long)boot.tv_sec, (long long)boot.tv_nsec);
    return 0;
}

/* Lines "clock seconds nanoseconds". */
static int set_offset(struct time_ns *ns, char *line)
{
    char clock[16];
    long long sec, nsec;
    char end;
    if (sscanf(line, " %15s %lld %lld %c", clock, &sec, &nsec, &end) != 3)
        return -LX_EINVAL;
    s32 id = !strcmp(clock, "monotonic") || !strcmp(clock, "1")  ? LX_CLOCK_MONOTONIC
             : !strcmp(clock, "boottime") || !strcmp(clock, "7") ? LX_CLOCK_BOOTTIME
                                                                 : -1;
    if (id < 0 || nsec < 0 || nsec >= NSEC_PER_SEC)
        return -LX_EINVAL;
    if (sec > INT64_MAX / NSEC_PER_SEC / 2 || sec < -(INT64_MAX / NSEC_PER_SEC / 2))
        return -LX_ERANGE;
    return time_ns_set_offset(ns, id, sec * NSEC_PER_SEC + nsec);
}

s64 write_timens_offsets(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    struct time_ns *ns = time_ns_for_children(pi);
    char *save = NULL;
    int r = 0;
    if (!ns)
        return -LX_ESRCH;
    if (!ns->user_ns || !ns_capable(ns->user_ns, LX_CAP_SYS_TIME))
        r = -LX_EPERM;
    for (char *line = strtok_r(buf, "\n", &save); line && r == 0; line = strtok_r(NULL, "\n", &save))
        r = set_offset(ns, line);
    time_ns_put(ns);
    return r < 0 ? r : (s64)size;
}
