/*
 * execve, and the first process of a container.
 *
 * First everything that can fail: the new address space is built beside the
 * old one by the loader, the new credentials are computed, the other threads
 * are asked to die. Then the switch, which cannot fail: a failed exec leaves the program
 * as it was, but possibly single-threaded (as on Linux).
 *
 * A thread that is not the leader takes the leader's place and number: to the
 * outside the process keeps its pid.
 */
#include "kern/exec.h"
#include "kern/keys.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "fs/tty.h"
#include "kern/cred.h"
#include "kern/ptrace.h"
#include "platform/family.h"
#include "platform/title.h"
#include "vfs/fast.h"

/* What the loader and the credentials make, before the switch. */
struct image {
    struct loader_result prog;
    struct uctx *uctx;
    struct exec_creds creds;
    int cred_err;
    struct task *t;
};

static void image_done(struct image *im)
{
    if (im->uctx)
        uctx_free(im->uctx);
    if (im->prog.mm)
        mm_put(im->prog.mm);
    if (im->prog.binary)
        file_put(im->prog.binary);
    cred_put(im->creds.cred);
}

static void get_ids(void *arg, struct file *binary, struct loader_ids *ret)
{
    struct image *im = arg;
    struct task *t = im->t;
    bool is_unsafe = ptrace_makes_exec_unsafe(t) || ref_read(&t->fs->ref) > t->tg->ntasks;
    im->cred_err = cred_for_exec(t, binary, is_unsafe, &im->creds);
    const struct cred *c = im->cred_err < 0 ? t->cred : im->creds.cred;
    ret->uid = from_kuid(c->user_ns, c->uid);
    ret->euid = from_kuid(c->user_ns, c->euid);
    ret->gid = from_kgid(c->user_ns, c->gid);
    ret->egid = from_kgid(c->user_ns, c->egid);
    ret->is_secure = im->cred_err == 0 && im->creds.is_secure;
}

static void fill_limits(struct task *t, struct mm_limits *l)
{
    l->as = task_rlimit(t, LX_RLIMIT_AS);
    l->data = task_rlimit(t, LX_RLIMIT_DATA);
    l->stack = task_rlimit(t, LX_RLIMIT_STACK);
    l->memlock = task_rlimit(t, LX_RLIMIT_MEMLOCK);
}

/* The arguments as one line, for the host's ps. */
static void set_title(struct mm *mm, const struct exec_req *rq)
{
    char line[ASPACE_TITLE_MAX];
    const struct loader_strings *v = rq->argv;
    size_t size = MIN(v->size, sizeof(line));
    if (size == 0) {
        aspace_set_title(mm->as, rq->path, strlen(rq->path));
        return;
    }
    for (size_t i = 0; i < size; i++)
        line[i] = v->buf[i] ? v->buf[i] : ' ';
    aspace_set_title(mm->as, line, size == v->size ? size - 1 : size);
}

struct stub_family *(*exec_family_of)(void *container);

/* Everything that can fail. On error *im is clean. */
static int image_load(struct task *t, const struct exec_req *rq, struct image *im)
{
    struct loader_args args = {
        .exe = rq->exe,
        .path = rq->path,
        .comm_path = rq->comm_path,
        .argv = rq->argv,
        .envp = rq->envp,
        .flags = rq->loader_flags,
        .get_ids = get_ids,
        .get_ids_arg = im,
    };
    memset(im, 0, sizeof(*im));
    im->t = t;
    if (t->personality & LX_ADDR_NO_RANDOMIZE)
        args.flags |= LOADER_NO_ASLR;
    fill_limits(t, &args.limits);
    if (getrandom(args.random, sizeof(args.random), 0) != (ssize_t)sizeof(args.random))
        return -LX_EAGAIN;
    platform_family = exec_family_of && t->tg->container ? exec_family_of(t->tg->container) : NULL;
    int r = loader_exec(&args, &im->prog);
    platform_family = NULL;
    if (r == 0)
        r = im->cred_err;
    if (r == 0)
        r = uctx_new(im->prog.mm->as, NULL, &im->uctx);
    if (r < 0)
        image_done(im);
    else
        set_title(im->prog.mm, rq);
    return r;
}

/* ---- other threads ------------------------------------------------------------------------- */

/* Under task_lock and sig_lock: t becomes the leader of its group, whose other threads are gone. */
static struct task *take_over(struct task *t)
{
    struct tgroup *g = t->tg;
    struct task *old = g->leader;
    struct pid *own = t->pid;
    list_del(&old->tg_node);
    atomic_store(&old->state, TASK_DEAD);
    old->is_reaped = true;
    task_uncount(old);
    t->pid = old->pid;
    old->pid = own;
    t->pid->task = t;
    own->task = NULL;
    own->is_exited = true;
    pid_release_if_unused(own);
    t->start_boot_ns = old->start_boot_ns;
    g->leader = t;
    return old;
}

static int dethread(struct task *t)
{
    struct tgroup *g = t->tg;
    mutex_lock(&g->sig_lock);
    if (g->is_exiting || g->exec_task || t->is_exit_requested) {
        mutex_unlock(&g->sig_lock);
        return -LX_EAGAIN;
    }
    if (g->ntasks == 1 && g->leader == t) {
        mutex_unlock(&g->sig_lock);
        g->exit_signal = LX_SIGCHLD;
        return 0;
    }
    g->exec_task = t;
    tgroup_zap_others(g, t);
    while (g->ntasks > 1 && !t->is_exit_requested) {
        mutex_unlock(&g->sig_lock);
        (void)park_uninterruptible(NO_DEADLINE);
        mutex_lock(&g->sig_lock);
    }
    bool is_killed = t->is_exit_requested;
    if (is_killed)
        g->exec_task = NULL;
    mutex_unlock(&g->sig_lock);
    if (is_killed)
        return -LX_EAGAIN;

    struct task *old = NULL;
    struct pid *own = t->pid;
    rwlock_wrlock(&task_lock);
    if (g->leader != t && ptrace_is_traced(g->leader))
        ptrace_unlink(g->leader);
    mutex_lock(&g->sig_lock);
    if (g->leader != t)
        old = take_over(t);
    g->exec_task = NULL;
    g->exit_signal = LX_SIGCHLD;
    mutex_unlock(&g->sig_lock);
    rwlock_wrunlock(&task_lock);
    if (old) {
        waitq_wake(&own->exit_wait, WAIT_ALL);
        task_put_base(old);
    }
    return 0;
}

/* ---- the switch ---------------------------------------------------------------------------- */

static void leave_old_mm(struct task *t, struct image *im)
{
    struct tgroup *g = t->tg;
    rseq_leave(t);
    futex_exit_task(t);
    exit_clear_tid(t);
    mutex_lock(&t->ptr_lock);
    struct mm *old_mm = t->mm;
    struct uctx *old_uctx = t->uctx;
    t->mm = take_ptr(im->prog.mm);
    t->uctx = take_ptr(im->uctx);
    mutex_unlock(&t->ptr_lock);
    mm_use(t->mm, t->uctx);
    atomic_store(&t->is_futex_dead, false);
    t->robust_list = 0;
    usage_mm_left(g, old_mm);
    uctx_free(old_uctx);
    if (g->is_mm_sharer) {
        g->is_mm_sharer = false;
        mm_sharer_del(old_mm);
    }
    vfork_release(t);
    t->is_vfork_child = false;
    fast_drop_space(old_mm->as);
    mm_put(old_mm);
}

/* Handlers belong to the old program; what is shared with another process stays with that. */
static void reset_signals(struct task *t)
{
    struct tgroup *g = t->tg;
    if (ref_read(&g->sighand->ref) > 1) {
        struct sighand *own = sighand_new();
        if (!own) {
            tgroup_exit_start(g, LX_SIGKILL);
            return;
        }
        mutex_lock(&g->sig_lock);
        struct sighand *shared = g->sighand;
        mutex_lock(&shared->lock);
        memcpy(own->action, shared->action, sizeof(own->action));
        mutex_unlock(&shared->lock);
        g->sighand = own;
        mutex_unlock(&g->sig_lock);
        sighand_put(shared);
    }
    mutex_lock(&g->sig_lock);
    mutex_lock(&g->sighand->lock);
    sighand_reset(g->sighand);
    mutex_unlock(&g->sighand->lock);
    mutex_unlock(&g->sig_lock);
    t->altstack = (struct lx_stack){.flags = LX_SS_DISABLE};
    t->restart.fn = NULL;
}

/* CLONE_FILES with another process ends here. */
static void own_files(struct task *t)
{
    if (!t->tg->is_files_shared)
        return;
    struct fdtable *own = fdtable_copy(t->files, 1, 0);
    if (!own) {
        tgroup_exit_start(t->tg, LX_SIGKILL);
        return;
    }
    mutex_lock(&t->ptr_lock);
    struct fdtable *shared = t->files;
    t->files = own;
    mutex_unlock(&t->ptr_lock);
    t->vt.files = own;
    t->tg->is_files_shared = false;
    fdtable_put(shared);
}

static void set_identity(struct task *t, struct image *im)
{
    struct cred *c = take_ptr(im->creds.cred);
    bool has_mixed_ids = c->euid != c->uid || c->egid != c->gid;
    if (im->creds.is_setid) {
        t->personality &= ~(u32)LX_PER_CLEAR_ON_SETID;
        t->pdeath_signal = 0;
    }
    mutex_lock(&t->tg->sig_lock);
    memcpy(t->comm, im->prog.comm, sizeof(t->comm));
    mutex_unlock(&t->tg->sig_lock);
    t->tg->has_mixed_creds = false;
    task_set_cred(t, c);
    t->mm->dumpable = im->prog.is_unreadable || has_mixed_ids ? 0 : 1;
}

/* Cannot fail. old_tid: t's number before it became the leader. A task that has not run yet
 * (kern_start_process) has no old mm. */
static void image_enter(struct task *t, struct image *im, u64 old_tid)
{
    struct tgroup *g = t->tg;
    u64 entry = im->prog.entry, sp = im->prog.sp;
    if (t->mm) {
        leave_old_mm(t, im);
        timers_exec(g);
        keys_exec(t);
        own_files(t);
    } else {
        t->mm = take_ptr(im->prog.mm);
        t->uctx = take_ptr(im->uctx);
        mm_use(t->mm, t->uctx);
    }
    fdtable_do_cloexec(t->files);
    reset_signals(t);
    set_identity(t, im);
    task_publish_fastpath(t);
    g->exec_seq++;
    g->has_execed = true;

    struct uregs *regs = uctx_regs(t->uctx);
    memset(regs, 0, sizeof(*regs));
    regs->rip = entry;
    regs->rsp = sp;
    regs->eflags = 0x202;
    regs->cs = 0x33;
    regs->ss = 0x2b;
    regs->orig_rax = UINT64_MAX;
    uctx_regs_changed(t->uctx);
    t->is_result_set = true;
    file_put(take_ptr(im->prog.binary));
    ptrace_exec_event(t, old_tid);
}

s64 exec_run(struct task *t, const struct exec_req *rq)
{
    struct image im;
    int r = image_load(t, rq, &im);
    if (r < 0)
        return r;
    u64 old_tid = ptrace_is_traced(t) ? ptrace_nr_for_tracer(t, t->pid) : 0;
    r = dethread(t);
    if (r < 0) {
        image_done(&im);
        return r;
    }
    image_enter(t, &im, old_tid);
    return 0;
}

s64 task_exec(struct task *t, struct file *exe, const char *path, char *const *argv,
              char *const *envp, u32 flags)
{
    struct loader_strings a = {0}, e = {0};
    u64 limit = loader_strings_limit(task_rlimit(t, LX_RLIMIT_STACK));
    s64 r = loader_strings_add_all(&a, argv, limit);
    if (r == 0)
        r = loader_strings_add_all(&e, envp, limit - loader_strings_cost(&a));
    if (r == 0) {
        struct exec_req rq = {
            .exe = exe, .path = path, .argv = &a, .envp = &e, .loader_flags = flags};
        r = exec_run(t, &rq);
    }
    loader_strings_done(&a);
    loader_strings_done(&e);
    return r;
}

int exec_first(struct task *t, const struct exec_req *rq)
{
    struct image im;
    int r = image_load(t, rq, &im);
    if (r == 0) {
        image_enter(t, &im, 0);
        t->is_result_set = false; /* there is no call to return from */
    }
    return r;
}
