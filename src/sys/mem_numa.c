/*
 * Handlers: memory policies, on a machine of one node.
 *
 * Policies of threads and of ranges are kept and shown; with one node they all
 * come to the same. All pages are on node 0.
 */
#include "abi/sched.h"
#include "kern/parts.h"
#include "sys/sys.h"

enum {
    MPOL_DEFAULT,
    MPOL_PREFERRED,
    MPOL_BIND,
    MPOL_INTERLEAVE,
    MPOL_LOCAL,
    MPOL_PREFERRED_MANY,
    MPOL_WEIGHTED_INTERLEAVE,
    MPOL_MAX
};

#define NR_NODE_IDS   1
#define MAX_MASK_BITS (PAGE_SIZE * 8)

/* A guest's mask of maxnode - 1 bits: bit 0 of it in *ret; other nodes do not exist. */
static int mask_in(uaddr_t mask, u64 maxnode, u64 *ret)
{
    u64 bits = maxnode - 1; /* Linux's own arithmetic: 0 is too many */
    *ret = 0;
    if (bits == 0 || mask.v == 0)
        return 0;
    if (bits > MAX_MASK_BITS)
        return -LX_EINVAL;
    for (u64 at = 0; at < bits; at += 64) {
        u64 word;
        int r = get_user(word, uaddr_add(mask, at / 8));
        if (r < 0)
            return r;
        if (bits - at < 64)
            word &= (1ULL << (bits - at)) - 1;
        if (at > 0 ? word : word >> 1)
            return -LX_EINVAL;
        if (at == 0)
            *ret = word;
    }
    return 0;
}

static int mask_out(uaddr_t mask, u64 maxnode, u64 nodes)
{
    if (maxnode == 0 || maxnode - 1 > MAX_MASK_BITS)
        return -LX_EINVAL;
    u64 size = (maxnode - 1 + 63) / 64 * 8;
    if (size == 0)
        return 0;
    int r = put_user(nodes, mask);
    return r < 0 ? r : clear_out(uaddr_add(mask, 8), size - 8);
}

/* The mode with its flags against the mask, as mpol_new; makes it what Linux would keep. */
static int check_policy(u32 *mode_flags, u64 nodes)
{
    u32 flags = *mode_flags & LX_MPOL_MODE_FLAGS, mode = *mode_flags ^ flags;
    u32 both = LX_MPOL_F_STATIC_NODES | LX_MPOL_F_RELATIVE_NODES;
    if (mode >= MPOL_MAX || (flags & both) == both ||
        (flags & LX_MPOL_F_NUMA_BALANCING && mode != MPOL_BIND))
        return -LX_EINVAL;
    switch (mode) {
    case MPOL_DEFAULT:
        return nodes || flags ? -LX_EINVAL : 0;
    case MPOL_LOCAL:
        return nodes || flags & both ? -LX_EINVAL : 0;
    case MPOL_PREFERRED:
        if (nodes)
            return 0;
        *mode_flags = MPOL_LOCAL;
        return flags & both ? -LX_EINVAL : 0;
    default:
        return nodes ? 0 : -LX_EINVAL;
    }
}

s64 sys_set_mempolicy(struct task *t, const u64 a[6])
{
    u64 nodes;
    u32 mode = (u32)a[0];
    int r = mask_in(uaddr(a[1]), a[2], &nodes);
    if (r == 0)
        r = check_policy(&mode, nodes);
    if (r < 0)
        return r;
    t->mempolicy = mode;
    t->mempolicy_nodes = nodes;
    return 0;
}

s64 sys_get_mempolicy(struct task *t, const u64 a[6])
{
    u64 flags = a[4], nodes = t->mempolicy_nodes;
    u32 mode = t->mempolicy;
    if (flags & ~(u64)(LX_MPOL_F_NODE | LX_MPOL_F_ADDR | LX_MPOL_F_MEMS_ALLOWED) ||
        (a[1] && a[2] < NR_NODE_IDS))
        return -LX_EINVAL;
    if (flags & LX_MPOL_F_MEMS_ALLOWED) {
        if (flags & (LX_MPOL_F_NODE | LX_MPOL_F_ADDR))
            return -LX_EINVAL;
        mode = 0;
        nodes = 1;
    } else if (flags & LX_MPOL_F_ADDR) {
        u32 policy;
        int e = mm_get_policy(t->mm, a[3], &policy);
        if (e < 0)
            return e;
        mode = policy & 0xffff;
        nodes = policy >> 16;
    } else if (a[3]) {
        return -LX_EINVAL;
    }
    if (flags & LX_MPOL_F_NODE) {
        u32 plain = mode & ~(u32)LX_MPOL_MODE_FLAGS;
        if (!(flags & LX_MPOL_F_ADDR) && plain != MPOL_INTERLEAVE &&
            plain != MPOL_WEIGHTED_INTERLEAVE)
            return -LX_EINVAL;
        mode = 0; /* the node of the page, or the next one to interleave to */
    }
    int r = a[0] ? put_user(mode, uaddr(a[0])) : 0;
    if (r == 0 && a[1])
        r = mask_out(uaddr(a[1]), a[2], nodes);
    return r;
}

s64 sys_mbind(struct task *t, const u64 a[6])
{
    u64 start = a[0], end, nodes, flags = a[5];
    if (flags & ~(u64)LX_MPOL_MF_VALID)
        return -LX_EINVAL;
    if (flags & LX_MPOL_MF_MOVE_ALL && !vfs_capable(LX_CAP_SYS_NICE))
        return -LX_EPERM;
    int r = mask_in(uaddr(a[3]), a[4], &nodes);
    if (r < 0)
        return r;
    if (start & ~PAGE_MASK || add_overflows(start, page_up(a[1]), &end))
        return -LX_EINVAL;
    u32 mode = (u32)a[2];
    r = check_policy(&mode, nodes);
    if (r < 0 || end == start)
        return r;
    return mm_set_policy(t->mm, start, end - start, mode | (u32)nodes << 16);
}

s64 sys_set_mempolicy_home_node(struct task *t, const u64 a[6])
{
    u64 end;
    if (a[0] & ~PAGE_MASK || a[3] || add_overflows(a[0], page_up(a[1]), &end) ||
        a[2] >= NR_NODE_IDS)
        return -LX_EINVAL;
    /* Only policies that prefer one of several nodes have a home. */
    return end == a[0] ? 0 : -LX_EOPNOTSUPP;
}

/* The space of `pid` (0: the caller), as far as the caller may move its pages. */
static int find_space(struct task *t, s32 pid, struct mm **ret_mm)
{
    struct task *other = pid ? task_find(task_pid_ns(t), pid) : t;
    if (!other)
        return -LX_ESRCH;
    int r = other == t ? 0 : ptrace_may_access(other, false);
    struct mm *mm = r == 0 ? task_get_mm(other) : NULL;
    if (other != t)
        task_put(other);
    if (r < 0)
        return -LX_EPERM;
    if (!mm)
        return -LX_EINVAL;
    *ret_mm = mm;
    return 0;
}

s64 sys_migrate_pages(struct task *t, const u64 a[6])
{
    u64 from, to;
    struct mm *mm;
    int r = mask_in(uaddr(a[2]), a[1], &from);
    if (r == 0)
        r = mask_in(uaddr(a[3]), a[1], &to);
    if (r == 0)
        r = find_space(t, (s32)a[0], &mm);
    if (r < 0)
        return r;
    mm_put(mm);
    return to ? 0 : -LX_EINVAL;
}

static s32 page_status(struct mm *mm, u64 addr)
{
    u8 resident;
    int r = mm_mincore(mm, page_down(addr), PAGE_SIZE, &resident);
    return r < 0 ? -LX_EFAULT : resident ? 0 : -LX_ENOENT;
}

static s64 move_one(struct mm *mm, const u64 a[6], u64 i)
{
    u64 addr;
    s32 node = 0;
    int r = get_user(addr, uaddr(a[2] + i * 8));
    if (r == 0 && a[3])
        r = get_user(node, uaddr(a[3] + i * 4));
    if (r < 0)
        return r;
    if (node != 0)
        return -LX_ENODEV;
    return put_user(page_status(mm, addr), uaddr(a[4] + i * 4));
}

s64 sys_move_pages(struct task *t, const u64 a[6])
{
    struct mm *mm;
    if (a[5] & ~(u64)(LX_MPOL_MF_MOVE | LX_MPOL_MF_MOVE_ALL))
        return -LX_EINVAL;
    if (a[5] & LX_MPOL_MF_MOVE_ALL && !vfs_capable(LX_CAP_SYS_NICE))
        return -LX_EPERM;
    int e = find_space(t, (s32)a[0], &mm);
    if (e < 0)
        return e;
    s64 r = 0;
    for (u64 i = 0; i < a[1] && r == 0; i++) {
        r = move_one(mm, a, i);
        if (parker_is_interrupted(&t->parker) && i + 1 < a[1])
            r = -LX_EINTR;
    }
    mm_put(mm);
    return r;
}
