/* Writing the id maps of user namespaces. */
#include "kern/user_ns_map.h"

#include <stdio.h>
#include <string.h>

#include "abi/sched.h"
#include "kern/kern_int.h"

#define MAX_ENTRIES 340U

struct map_ref {
    struct id_map_entry *entries;
    u32 *count;
};

static struct map_ref map_of(struct user_ns *ns, bool is_gid)
{
    return is_gid ? (struct map_ref){ns->gid_map, &ns->ngid_map}
                  : (struct map_ref){ns->uid_map, &ns->nuid_map};
}

bool user_ns_map_entry(struct user_ns *ns, bool is_gid, u32 i, struct id_map_entry *ret)
{
    struct map_ref m = map_of(ns, is_gid);
    if (i >= __atomic_load_n(m.count, __ATOMIC_ACQUIRE))
        return false;
    *ret = m.entries[i];
    return true;
}

static u32 root_lower[2][MAX_ENTRIES]; /* written at boot */

void user_ns_limit_root(bool is_gid, const struct id_map_entry *e, u32 count)
{
    struct map_ref m = map_of(&root_user_ns, is_gid);
    for (u32 i = 0; i < count && i < MAX_ENTRIES; i++) {
        m.entries[i] = (struct id_map_entry){e[i].first, e[i].first, e[i].count};
        root_lower[is_gid][i] = e[i].lower_first;
    }
    *m.count = MIN(count, MAX_ENTRIES);
    user_ns_root_is_limited = true;
}

u32 user_ns_root_lower(bool is_gid, u32 i)
{
    return root_lower[is_gid][i];
}

static bool overlaps(u32 a, u32 na, u32 b, u32 nb)
{
    return (u64)a < (u64)b + nb && (u64)b < (u64)a + na;
}

/* Lines with spaces between three numbers; ranges neither wrap nor overlap on either side. */
static int parse(const char *text, struct id_map_entry *e, u32 *ret_count)
{
    u32 n = 0;
    while (*text) {
        unsigned long long first, lower, count;
        int used = 0;
        if (n == MAX_ENTRIES || sscanf(text, " %llu %llu %llu%n", &first, &lower, &count, &used) != 3)
            return -LX_EINVAL;
        text += used;
        text += strspn(text, " \t");
        if (*text == '\n')
            text++;
        else if (*text)
            return -LX_EINVAL;
        if (count == 0 || first + count > UINT32_MAX || lower + count > UINT32_MAX ||
            first > UINT32_MAX || lower > UINT32_MAX || count > UINT32_MAX)
            return -LX_EINVAL;
        for (u32 i = 0; i < n; i++)
            if (overlaps(e[i].first, e[i].count, (u32)first, (u32)count) ||
                overlaps(e[i].lower_first, e[i].count, (u32)lower, (u32)count))
                return -LX_EINVAL;
        e[n++] = (struct id_map_entry){(u32)first, (u32)lower, (u32)count};
    }
    *ret_count = n;
    return n ? 0 : -LX_EINVAL;
}

static bool has_cap_in(const struct cred *c, struct user_ns *ns, int cap)
{
    for (; ns; ns = ns->parent) {
        if (ns == c->user_ns)
            return cred_has_cap(c, cap);
        if (ns->parent == c->user_ns && ns->owner_uid == c->euid)
            return true;
    }
    return false;
}

/* The rules for one who writes with no, or little, privilege in the parent. */
static bool is_allowed(struct user_ns *ns, bool is_gid, const struct cred *opener,
                       const struct id_map_entry *e, u32 count)
{
    const struct cred *c = vfs_cred();
    /* one's own single id */
    if (count == 1 && e[0].count == 1 && ns->owner_uid == c->euid) {
        u32 kid = is_gid ? make_kgid(ns->parent, e[0].lower_first)
                         : make_kuid(ns->parent, e[0].lower_first);
        if (!is_gid && kid == c->euid && opener->euid == c->euid)
            return true;
        if (is_gid && ns->is_setgroups_denied && kid == c->egid)
            return true;
    }
    int cap = is_gid ? LX_CAP_SETGID : LX_CAP_SETUID;
    return ns_capable(ns->parent, cap) && has_cap_in(opener, ns->parent, cap);
}

int user_ns_map_write(struct user_ns *ns, bool is_gid, const struct cred *opener, const char *text)
{
    struct map_ref m = map_of(ns, is_gid);
    struct id_map_entry e[MAX_ENTRIES];
    u32 count;
    struct user_ns *own = vfs_cred()->user_ns;
    if (!ns->parent || (own != ns && own != ns->parent))
        return -LX_EPERM;
    if (!ns_capable(ns, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    int r = parse(text, e, &count);
    if (r < 0)
        return r;
    MUTEX_GUARD(&ns->lock);
    if (*m.count != 0 || !is_allowed(ns, is_gid, opener, e, count))
        return -LX_EPERM;
    for (u32 i = 0; i < count; i++) {
        u32 first = e[i].lower_first, last = first + (e[i].count - 1);
        u32 kid = is_gid ? make_kgid(ns->parent, first) : make_kuid(ns->parent, first);
        u32 klast = is_gid ? make_kgid(ns->parent, last) : make_kuid(ns->parent, last);
        if (kid == UINT32_MAX || klast != kid + (e[i].count - 1))
            return -LX_EPERM; /* not one range of the parent's */
        e[i].lower_first = kid;
    }
    memcpy(m.entries, e, count * sizeof(e[0]));
    __atomic_store_n(m.count, count, __ATOMIC_RELEASE);
    return 0;
}

int user_ns_setgroups_write(struct user_ns *ns, bool is_deny)
{
    if (!ns_capable(ns, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    MUTEX_GUARD(&ns->lock);
    if (!is_deny)
        return ns->is_setgroups_denied ? -LX_EPERM : 0;
    if (ns->ngid_map != 0 && !ns->is_setgroups_denied)
        return -LX_EPERM;
    ns->is_setgroups_denied = true;
    return 0;
}
