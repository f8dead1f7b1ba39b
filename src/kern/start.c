/*
 * The first process of a container, and processes put into a running one: made
 * by a thread of the Sentry that has no task, which acts as the new task until
 * its program is loaded.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fs/tty.h"
#include "kern/exec.h"
#include "kern/keys.h"
#include "kern/seccomp.h"
#include "kern/wait.h"

static const char *env_get(char *const *envp, const char *name)
{
    size_t n = strlen(name);
    for (; envp && *envp; envp++) {
        if (!strncmp(*envp, name, n) && (*envp)[n] == '=')
            return *envp + n + 1;
    }
    return NULL;
}

/* Looks name up in PATH as execvp(3) does; *buf gets the path that was found. */
static int open_in_path(const char *name, const char *path, char *buf, size_t size,
                        struct file **ret_f)
{
    int result = -LX_ENOENT;
    while (path) {
        const char *end = strchr(path, ':');
        size_t n = end ? (size_t)(end - path) : strlen(path);
        size_t need = n + 1 + strlen(name) + 1;
        if (need <= size) {
            memcpy(buf, path, n);
            buf[n] = '/';
            strcpy(buf + n + (n > 0), name);
            int r = loader_open(LX_AT_FDCWD, buf, WALK_FOLLOW, ret_f);
            if (r == 0 || (r != -LX_ENOENT && r != -LX_ENOTDIR && r != -LX_EACCES))
                return r;
            if (r == -LX_EACCES)
                result = r;
        }
        path = end ? end + 1 : NULL;
    }
    return result;
}

static int open_program(const struct init_args *a, char *buf, size_t size, struct file **ret_f)
{
    if (!a->path || !a->path[0])
        return -LX_ENOENT;
    if (!a->is_path_search || strchr(a->path, '/')) {
        if (strlen(a->path) >= size)
            return -LX_ENAMETOOLONG;
        strcpy(buf, a->path);
        return loader_open(LX_AT_FDCWD, buf, WALK_FOLLOW, ret_f);
    }
    const char *path = env_get(a->envp, "PATH");
    if (!path)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    return open_in_path(a->path, path, buf, size, ret_f);
}

static int load_first(struct task *t, const struct init_args *a)
{
    char path[MAX_PATH];
    struct loader_strings argv = {0}, envp = {0};
    struct file *exe = NULL;
    u64 limit = loader_strings_limit(task_rlimit(t, LX_RLIMIT_STACK));
    int r = open_program(a, path, sizeof(path), &exe);
    if (r == 0)
        r = loader_strings_add_all(&argv, a->argv, limit);
    if (r == 0)
        r = loader_strings_add_all(&envp, a->envp, limit - loader_strings_cost(&argv));
    if (r == 0) {
        struct exec_req rq = {.exe = exe, .path = path, .argv = &argv, .envp = &envp};
        r = exec_first(t, &rq);
    }
    loader_strings_done(&argv);
    loader_strings_done(&envp);
    if (exe)
        file_put(exe);
    return r;
}

/* Links the new process: alone in its session and group, child of nobody. */
static int link_first(struct task *t, const struct init_args *a, struct session *s)
{
    struct tgroup *g = t->tg;
    rwlock_wrlock(&task_lock);
    if (g->pid->ns->is_dying || (a->is_init && g->pid->ns->init)) {
        rwlock_wrunlock(&task_lock);
        session_put(s);
        return -LX_ESRCH;
    }
    mutex_lock(&g->sig_lock);
    list_add_tail(&g->tasks, &t->tg_node);
    g->ntasks = g->nlive = 1;
    mutex_unlock(&g->sig_lock);
    t->pid->task = t;
    t->pid->tgroup = g;
    if (a->is_init) {
        g->pid->ns->init = g;
        g->is_unkillable = !a->is_init_mortal;
    }
    tgroup_session_init(g, s);
    list_add_tail(&all_tgroups, &g->all_node);
    rwlock_wrunlock(&task_lock);
    return 0;
}

static void set_tty(struct tgroup *g, struct file *f)
{
    struct tty *tty = f ? tty_of_file(f) : NULL;
    if (!tty)
        return;
    tty_get(tty);
    rwlock_wrlock(&task_lock);
    g->tty = tty;
    rwlock_wrunlock(&task_lock);
    tty_set_session(tty, g->pid->nr[0], g->pid->nr[0]);
}

/* The objects, with everything that a task must have. Consumes what init_args says is consumed. */
static int make_first(const struct init_args *a, struct task **ret_t)
{
    struct task *t = task_alloc();
    struct tgroup *g = tgroup_alloc();
    if (!t || !g) {
        fs_ctx_put(a->fs);
        fdtable_put(a->files);
        cred_put(a->cred);
        if (t)
            task_put_base(t);
        tgroup_put(g);
        return -LX_ENOMEM;
    }
    t->tg = g;
    g->leader = t;
    t->fs = a->fs;
    t->files = a->files;
    t->cred = a->cred;
    t->ns = a->ns;
    nsproxy_get(a->ns);
    t->start_boot_ns = g->start_boot_ns = clock_boot_ns();
    g->is_sentry_owned = true;
    g->container = a->container;
    g->freezer = a->freezer;
    g->limits = a->limits;
    t->sched_policy = a->sched_policy;
    t->sched_priority = a->sched_priority;
    t->nice = a->nice;
    t->ioprio = a->ioprio;
    t->personality = a->personality;
    g->oom_score_adj = (u32)a->oom_score_adj;
    if (a->rlimits)
        memcpy(g->rlimits, a->rlimits, sizeof(g->rlimits));
    else
        rlimits_default(g->rlimits);
    g->sighand = sighand_new();
    t->user = user_get(t->cred->uid);
    int r = g->sighand && t->user ? 0 : -LX_ENOMEM;
    if (t->user) {
        atomic_fetch_add(&t->user->ntasks, 1);
        t->is_user_counted = true;
    }
    if (r == 0)
        r = task_count_in(t, a->limits);
    if (r == 0 && a->nseccomp)
        r = seccomp_begin(t, a->seccomp, a->nseccomp, a->seccomp_flags);
    if (r == 0)
        r = keys_start(t);
    static const s32 one = 1;
    if (!a->is_init)
        pid_ns_keep_first(t->ns->pid_for_children);
    if (r == 0)
        r = pid_alloc(t->ns->pid_for_children, &one, a->is_init, &t->pid);
    if (r < 0) {
        tgroup_put(g);
        return r;
    }
    g->pid = t->pid;
    pid_get(g->pid);
    *ret_t = t;
    return 0;
}

static void drop_first(struct task *t)
{
    struct tgroup *g = t->tg;
    rwlock_wrlock(&task_lock);
    pid_release_if_unused(g->pid);
    rwlock_wrunlock(&task_lock);
    tgroup_put(g);
}

int kern_start_process(const struct init_args *a, struct tgroup **ret_tg)
{
    struct task *t = NULL;
    struct session *s = NULL;
    int r = make_first(a, &t);
    if (r < 0)
        return r;
    struct tgroup *g = t->tg;
    struct worker *w = worker_take();
    r = w ? session_new(g->pid, &s) : -LX_EAGAIN;
    if (r == 0) {
        task_set_current(t);
        t->vt.cred = t->cred;
        t->vt.fs = t->fs;
        t->vt.files = t->files;
        t->vt.mnt_ns = t->ns->mnt;
        t->vt.pid = t->vt.tgid = t->pid->nr[0];
        task_publish_limits(t);
        g->ntasks = 1; /* for the loader's questions; link_first says so again */
        r = load_first(t, a);
        if (r == 0)
            r = link_first(t, a, take_ptr(s));
        if (r == 0) {
            set_tty(g, a->tty);
            task_publish(t);
        }
        task_set_current(NULL);
    }
    session_put(s);
    if (r < 0) {
        worker_put(w);
        drop_first(t);
        return r;
    }
    tgroup_get(g);
    task_get(t);
    *ret_tg = g;
    worker_run(w, task_main, t);
    return 0;
}

void kern_await_end(struct tgroup *g)
{
    struct waiter w;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&g->pid->exit_wait, &w);
    for (;;) {
        mutex_lock(&g->sig_lock);
        bool is_over = g->is_zombie;
        mutex_unlock(&g->sig_lock);
        if (is_over)
            break;
        (void)park_uninterruptible(NO_DEADLINE);
    }
    waitq_del(&g->pid->exit_wait, &w);
}

int kern_wait_process(struct tgroup *g)
{
    kern_await_end(g);
    int status = tgroup_wait_status(g);
    bool is_released = false;
    rwlock_wrlock(&task_lock);
    if (!g->parent && !g->is_reaped) {
        tgroup_release(g);
        is_released = true;
    }
    rwlock_wrunlock(&task_lock);
    if (is_released)
        tgroup_put(g);
    return status;
}
