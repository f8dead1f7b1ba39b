/* Handlers: making, replacing and ending processes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/exec.h"
#include "procfs/procfs.h"
#include "sys/sys.h"

s64 sys_fork(struct task *t, const u64 a[6])
{
    struct clone_args args = {.exit_signal = LX_SIGCHLD};
    return task_clone(t, &args);
}

s64 sys_vfork(struct task *t, const u64 a[6])
{
    struct clone_args args = {.flags = LX_CLONE_VFORK | LX_CLONE_VM, .exit_signal = LX_SIGCHLD};
    return task_clone(t, &args);
}

s64 sys_clone(struct task *t, const u64 a[6])
{
    u64 flags = (u32)a[0] & ~(u64)LX_CSIGNAL;
    struct clone_args args = {
        .flags = flags,
        .exit_signal = (int)(a[0] & LX_CSIGNAL),
        .stack = a[1],
        .parent_tid = uaddr(a[2]),
        .pidfd = uaddr(a[2]),
        .child_tid = uaddr(a[3]),
        .tls = a[4],
    };
    if ((flags & LX_CLONE_PIDFD) && (flags & LX_CLONE_PARENT_SETTID))
        return -LX_EINVAL; /* both mean the same argument */
    return task_clone(t, &args);
}

struct lx_clone_args { /* struct clone_args of clone3(2) */
    u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    u64 set_tid, set_tid_size, cgroup;
};

static s64 read_set_tid(struct task *t, const struct lx_clone_args *la, struct clone_args *args)
{
    if (!la->set_tid && la->set_tid_size)
        return -LX_EINVAL;
    if (la->set_tid && !la->set_tid_size)
        return -LX_EINVAL;
    if (la->set_tid_size > ARRAY_SIZE(args->set_tid))
        return -LX_EINVAL;
    if (!la->set_tid_size)
        return 0;
    int r = copy_in(args->set_tid, uaddr(la->set_tid), la->set_tid_size * sizeof(s32));
    if (r < 0)
        return r;
    args->set_tid_count = (u32)la->set_tid_size;
    struct user_ns *uns = t->ns->pid_for_children->user_ns;
    if (!ns_capable(uns, LX_CAP_SYS_ADMIN) && !ns_capable(uns, LX_CAP_CHECKPOINT_RESTORE))
        return -LX_EPERM;
    return 0;
}

s64 sys_clone3(struct task *t, const u64 a[6])
{
    struct lx_clone_args la;
    if (a[1] < LX_CLONE_ARGS_SIZE_VER0)
        return -LX_EINVAL;
    if (a[1] > PAGE_SIZE)
        return -LX_E2BIG;
    int r = copy_in_struct(&la, sizeof(la), uaddr(a[0]), a[1]);
    if (r < 0)
        return r;
    u64 known = 0xffffffffULL | LX_CLONE_CLEAR_SIGHAND | LX_CLONE_INTO_CGROUP;
    if (la.flags & (~known | LX_CLONE_DETACHED | (LX_CSIGNAL & ~(u64)LX_CLONE_NEWTIME)))
        return -LX_EINVAL;
    if (la.exit_signal > LX_NSIG || (la.exit_signal & ~(u64)LX_CSIGNAL))
        return -LX_EINVAL;
    if ((la.flags & (LX_CLONE_THREAD | LX_CLONE_PARENT)) && la.exit_signal)
        return -LX_EINVAL;
    if ((la.stack == 0) != (la.stack_size == 0))
        return -LX_EINVAL;
    if ((la.flags & LX_CLONE_INTO_CGROUP) && (a[1] < LX_CLONE_ARGS_SIZE_VER2 || la.cgroup > INT32_MAX))
        return -LX_EINVAL;
    r = la.flags & LX_CLONE_INTO_CGROUP ? procfs_may_join_cgroup((int)la.cgroup) : 0;
    if (r < 0)
        return r;
    struct clone_args args = {
        .flags = la.flags & ~LX_CLONE_INTO_CGROUP, /* it is in the only one */
        .exit_signal = (int)la.exit_signal,
        .stack = la.stack,
        .stack_size = la.stack_size,
        .tls = la.tls,
        .pidfd = uaddr(la.pidfd),
        .child_tid = uaddr(la.child_tid),
        .parent_tid = uaddr(la.parent_tid),
    };
    s64 r2 = read_set_tid(t, &la, &args);
    return r2 < 0 ? r2 : task_clone(t, &args);
}

/* ---- exec ---------------------------------------------------------------------------------- */

/* Copies the vectors in and runs the file. */
static s64 exec_file(struct task *t, struct file *exe, const char *path, const char *comm_path,
                     u64 argv, u64 envp, u32 flags)
{
    struct loader_strings av = {0}, ev = {0};
    u64 limit = loader_strings_limit(task_rlimit(t, LX_RLIMIT_STACK));
    s64 r = loader_strings_copy_in(&av, uaddr(argv), limit);
    if (r == 0 && av.count == 0) /* since 5.18 a program always has a name */
        r = loader_strings_add(&av, "", 0, limit);
    if (r == 0)
        r = loader_strings_copy_in(&ev, uaddr(envp), limit - MIN(limit, loader_strings_cost(&av)));
    if (r == 0) {
        struct exec_req rq = {.exe = exe, .path = path, .comm_path = comm_path, .argv = &av,
                              .envp = &ev, .loader_flags = flags};
        r = exec_run(t, &rq);
    }
    loader_strings_done(&av);
    loader_strings_done(&ev);
    return r;
}

s64 sys_execve(struct task *t, const u64 a[6])
{
    char path[MAX_PATH];
    s64 r = copy_in_str(path, uaddr(a[0]), sizeof(path));
    if (r < 0)
        return r;
    struct file *exe = NULL;
    r = loader_open(LX_AT_FDCWD, path, WALK_FOLLOW, &exe);
    if (r < 0)
        return r;
    r = exec_file(t, exe, path, NULL, a[1], a[2], 0);
    file_put(exe);
    return r;
}

s64 sys_execveat(struct task *t, const u64 a[6])
{
    char name[MAX_PATH], path[MAX_PATH + 32];
    int dfd = (int)a[0];
    u32 at = (u32)a[4];
    s64 r = copy_in_str(name, uaddr(a[1]), sizeof(name));
    if (r < 0)
        return r;
    if (r == 0 && !(at & LX_AT_EMPTY_PATH))
        return -LX_ENOENT;
    if (at & ~(u32)(LX_AT_EMPTY_PATH | LX_AT_SYMLINK_NOFOLLOW))
        return -LX_EINVAL;
    u32 walk = (at & LX_AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) |
               (at & LX_AT_EMPTY_PATH ? WALK_EMPTY : 0);
    struct file *exe = NULL;
    r = loader_open(dfd, name, walk, &exe);
    if (r < 0)
        return r;
    u32 flags = 0;
    bool is_plain = dfd == LX_AT_FDCWD || name[0] == '/';
    if (is_plain)
        snprintf(path, sizeof(path), "%s", name);
    else if (name[0])
        snprintf(path, sizeof(path), "/dev/fd/%d/%s", dfd, name);
    else
        snprintf(path, sizeof(path), "/dev/fd/%d", dfd);
    if (!is_plain && fdtable_cloexec(t->files, dfd, -1) == 1)
        flags |= LOADER_PATH_INACCESSIBLE;
    r = exec_file(t, exe, path, is_plain || !name[0] ? NULL : name, a[2], a[3], flags);
    file_put(exe);
    return r;
}

s64 sys_rseq(struct task *t, const u64 a[6])
{
    return rseq_call(t, a[0], (u32)a[1], (u32)a[2], (u32)a[3]);
}

/* ---- the end ------------------------------------------------------------------------------- */

s64 sys_exit(struct task *t, const u64 a[6])
{
    rseq_leave(t);
    task_exit_thread(t, (int)(a[0] & 0xff) << 8);
}

s64 sys_exit_group(struct task *t, const u64 a[6])
{
    tgroup_exit_start(t->tg, (int)(a[0] & 0xff) << 8);
    rseq_leave(t);
    task_exit_thread(t, t->tg->exit_code);
}
