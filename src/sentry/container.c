/* Containers of a sandbox and the processes that are put into them. See sentry.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/fs.h"
#include "base/log.h"
#include "fs/gofer_client.h"
#include "fs/hostfd.h"
#include "fs/tty.h"
#include "kern/kern_int.h"
#include "kern/wait.h"
#include "loader/loader.h"
#include "platform/family.h"
#include "sentry/sentry.h"
#include "vfs/special.h"

static void signal_all(struct container *c, int signo);

static struct mutex containers_lock = MUTEX_INIT("containers");
static struct list containers = LIST_INIT(containers); /* guarded by containers_lock */

/* ---- life cycle ---------------------------------------------------------------------------- */

void container_get(struct container *c)
{
    ref_get(&c->ref);
}

void container_put(struct container *c)
{
    if (!c || !ref_put(&c->ref))
        return;
    if (c->fs)
        fs_ctx_put(c->fs);
    nsproxy_put(c->ns);
    family_put(c->family);
    boot_process_done(&c->first);
    tgroup_put(c->init);
    waitq_done(&c->wait);
    waitq_done(&c->freezer.wait);
    free(c->dev_rules);
    free(c->id);
    free(c);
}

void container_publish(struct container *c)
{
    MUTEX_GUARD(&containers_lock);
    container_get(c);
    list_add_tail(&containers, &c->node);
}

void container_join_cgroups(struct container *c, const int *fds, u32 nfds)
{
    struct stub_family *f;
    char text[16];
    if (nfds == 0 || family_new(&f) < 0)
        return;
    int n = snprintf(text, sizeof(text), "%d", family_host_pid(f));
    for (u32 i = 0; i < nfds; i++) {
        if (write(fds[i], text, (size_t)n) == n)
            continue;
        /* An older host asks for the writer's rights, not the opener's: what runs is counted for
         * the sandbox then. */
        log_info("a container's programs stay in the sandbox's control groups: error %d", errno);
        family_put(f);
        return;
    }
    family_publish(f);
    c->family = f;
}

struct stub_family *container_family(void *container)
{
    return ((struct container *)container)->family;
}

/* The kernel's own work, without a task, is not asked about. */
bool container_may_device(bool is_block, u32 major, u32 minor, u32 access)
{
    struct task *t = task_current();
    const struct container *c = t ? t->tg->container : NULL;
    u32 allowed = BOOT_DR_MKNOD | BOOT_DR_READ | BOOT_DR_WRITE,
        kind = is_block ? BOOT_DR_BLOCK : BOOT_DR_CHAR;
    for (u32 i = 0; c && i < c->ndev_rules; i++) {
        const struct boot_dev_rule *r = &c->dev_rules[i];
        u32 bits = r->flags & (BOOT_DR_MKNOD | BOOT_DR_READ | BOOT_DR_WRITE);
        if (!(r->flags & kind) || (r->major != UINT32_MAX && r->major != major) ||
            (r->minor != UINT32_MAX && r->minor != minor))
            continue;
        allowed = r->flags & BOOT_DR_ALLOW ? allowed | bits : allowed & ~bits;
    }
    return (access & ~allowed) == 0;
}
static_assert(BOOT_DR_MKNOD == DEVICE_MKNOD && BOOT_DR_READ == DEVICE_READ &&
                  BOOT_DR_WRITE == DEVICE_WRITE,
              "accesses have one name");

struct container *container_find(const char *id, size_t size)
{
    struct container *c;
    MUTEX_GUARD(&containers_lock);
    list_for_each (c, &containers, node) {
        if (strlen(c->id) == size && !memcmp(c->id, id, size)) {
            container_get(c);
            return c;
        }
    }
    return NULL;
}

/* A process of c that still runs, referenced; NULL: none. */
static struct tgroup *find_live(struct container *c)
{
    struct tgroup *g, *found = NULL;
    rwlock_rdlock(&task_lock);
    list_for_each (g, &all_tgroups, all_node) {
        if (g->container == c && !g->is_zombie) {
            found = g;
            tgroup_get(g);
            break;
        }
    }
    rwlock_rdunlock(&task_lock);
    return found;
}

/*
 * With the first process everything of a container ends. In a pid namespace of its own that has
 * happened; in one that it shares the others are killed, as often as one had a child meanwhile.
 */
static void end_processes(struct container *c)
{
    struct tgroup *g;
    while (c->is_pid_shared && (g = find_live(c))) {
        signal_all(c, LX_SIGKILL);
        kern_await_end(g);
        tgroup_put(g);
    }
}

void container_stopped(struct container *c, int status)
{
    end_processes(c);
    mutex_lock(&c->lock);
    struct tgroup *init = take_ptr(c->init);
    c->state = CTL_ST_STOPPED;
    c->status = status;
    mutex_unlock(&c->lock);
    mutex_lock(&containers_lock);
    list_del(&c->node);
    mutex_unlock(&containers_lock);
    tgroup_put(init);
    waitq_wake(&c->wait, WAIT_ALL);
    container_put(c); /* the list's */
}

int container_wait(struct container *c)
{
    for (;;) {
        mutex_lock(&c->lock);
        bool is_over = c->state == CTL_ST_STOPPED;
        int status = c->status;
        mutex_unlock(&c->lock);
        if (is_over)
            return status;
        (void)wait_event_interruptible(&c->wait, WAIT_ALL, c->state == CTL_ST_STOPPED, NO_DEADLINE);
    }
}

void container_await_start(struct container *c)
{
    bool is_asked = false;
    while (!is_asked) {
        (void)wait_event_interruptible(&c->wait, WAIT_ALL, c->is_start_asked, NO_DEADLINE);
        MUTEX_GUARD(&c->lock);
        is_asked = c->is_start_asked;
    }
}

int container_ask_start(struct container *c)
{
    mutex_lock(&c->lock);
    int r = c->state != CTL_ST_CREATED || c->is_start_asked ? -LX_EBUSY : 0;
    c->is_start_asked = true;
    mutex_unlock(&c->lock);
    if (r == 0)
        waitq_wake(&c->wait, WAIT_ALL);
    return r;
}

void container_started(struct container *c, struct tgroup *init)
{
    mutex_lock(&c->lock);
    tgroup_get(init);
    c->init = init;
    c->state = CTL_ST_RUNNING;
    mutex_unlock(&c->lock);
    waitq_wake(&c->wait, WAIT_ALL);
}

int container_await_started(struct container *c, struct boot_error *ret_e)
{
    for (;;) {
        mutex_lock(&c->lock);
        bool is_decided = c->state != CTL_ST_CREATED || c->failure.status != 0;
        *ret_e = c->failure;
        mutex_unlock(&c->lock);
        if (is_decided)
            return ret_e->status ? -1 : 0;
        (void)wait_event_interruptible(
            &c->wait, WAIT_ALL, c->state != CTL_ST_CREATED || c->failure.status != 0, NO_DEADLINE);
    }
}

void container_failed(struct container *c, const struct boot_error *e)
{
    mutex_lock(&c->lock);
    c->failure = *e;
    mutex_unlock(&c->lock);
    waitq_wake(&c->wait, WAIT_ALL);
}

/* ---- starting processes -------------------------------------------------------------------- */

/* Acts as the kernel, in the container's root, while paths are walked. */
static int enter(struct container *c, struct vfs_task *vt)
{
    struct cred *cred = cred_new_root();
    if (!cred)
        return -LX_ENOMEM;
    cred->user_ns = &root_user_ns;
    *vt = (struct vfs_task){.cred = cred,
                            .fs = c->fs,
                            .mnt_ns = c->ns->mnt,
                            .rlimit_fsize = UINT64_MAX,
                            .rlimit_nofile = 1024};
    vfs_current = vt;
    return 0;
}

static void leave(struct vfs_task *vt)
{
    vfs_current = NULL;
    cred_put(vt->cred);
}

#define ALL_CAPS ((1ULL << 41) - 1)

static struct cred *make_cred(const struct boot_process *p)
{
    struct cred *c = cred_new_root();
    if (!c)
        return NULL;
    c->user_ns = &root_user_ns;
    c->uid = c->euid = c->suid = c->fsuid = p->uid;
    c->gid = c->egid = c->sgid = c->fsgid = p->gid;
    c->is_no_new_privs = p->flags & BOOT_P_NO_NEW_PRIVS;
    if (p->flags & BOOT_P_CAPS) {
        c->cap_bounding = p->cap_bounding & ALL_CAPS;
        c->cap_permitted = p->cap_permitted & ALL_CAPS;
        c->cap_effective = p->cap_effective & c->cap_permitted;
        c->cap_inheritable = p->cap_inheritable & ALL_CAPS;
        c->cap_ambient = p->cap_ambient & c->cap_permitted & c->cap_inheritable;
    } else if (p->uid != 0) {
        c->cap_permitted = c->cap_effective = c->cap_inheritable = c->cap_ambient = 0;
    }
    if (p->ngroups > 0) {
        c->groups = calloc(p->ngroups, sizeof(u32));
        if (!c->groups) {
            cred_put(c);
            return NULL;
        }
        memcpy(c->groups, p->groups, p->ngroups * sizeof(u32));
        c->ngroups = p->ngroups;
        for (u32 i = 1; i < c->ngroups; i++) { /* sorted, as the field demands */
            u32 g = c->groups[i], j = i;
            for (; j > 0 && c->groups[j - 1] > g; j--)
                c->groups[j] = c->groups[j - 1];
            c->groups[j] = g;
        }
    }
    return c;
}

/* The ids of a process that is started from outside, among those that there are. */
static int check_ids(const struct boot_process *p, struct boot_error *e)
{
    bool is_ok = make_kuid(&root_user_ns, p->uid) != UINT32_MAX &&
                 make_kgid(&root_user_ns, p->gid) != UINT32_MAX;
    for (u32 i = 0; i < p->ngroups; i++)
        is_ok = is_ok && make_kgid(&root_user_ns, p->groups[i]) != UINT32_MAX;
    return is_ok ? 0
                 : boot_fail(e, 125, -LX_EINVAL, "take an identity that the user namespace lacks",
                             NULL);
}

static void close_fds(struct start_fds *fds)
{
    for (int i = 0; i < 3; i++)
        if (fds->std[i] >= 0)
            close(fds->std[i]);
    if (fds->console >= 0)
        close(fds->console);
    for (u32 i = 0; i < fds->npassed; i++)
        if (fds->passed[i] >= 0)
            close(fds->passed[i]);
    *fds = (struct start_fds){.std = {-1, -1, -1}, .console = -1};
}

static int put_host_fd(struct fdtable *files, int *host_fd, int fd)
{
    struct file *f;
    int r = hostfd_new(*host_fd, 0, &f);
    if (r < 0)
        return r;
    *host_fd = -1; /* f's */
    r = fdtable_install_at(files, f, fd, 0, 1024);
    if (r < 0)
        file_put(f);
    return r < 0 ? r : 0;
}

static int open_console(const struct boot_process *p, struct start_fds *fds,
                        struct console **ret_console, struct file **ret_tty)
{
    int r;
    if (fds->console >= 0) {
        r = console_new(fds->console, fds->console, true, p->rows, p->cols, ret_console, ret_tty);
        if (r == 0)
            fds->console = -1;
        return r;
    }
    r = console_new(fds->std[0], fds->std[1], false, p->rows, p->cols, ret_console, ret_tty);
    if (r == 0)
        fds->std[0] = fds->std[1] = -1;
    return r;
}

static int make_files(const struct boot_process *p, struct start_fds *fds, struct fdtable *files,
                      struct console **ret_console, struct file **ret_tty, struct boot_error *e)
{
    int r;
    if (p->flags & BOOT_P_TTY) {
        r = open_console(p, fds, ret_console, ret_tty);
        if (r < 0)
            return boot_fail(e, 125, r, "open the container's terminal", NULL);
    }
    for (int fd = 0; fd < 3; fd++) {
        r = 0;
        if (*ret_tty) {
            file_get(*ret_tty);
            r = fdtable_install_at(files, *ret_tty, fd, 0, 1024);
            if (r < 0)
                file_put(*ret_tty);
        } else if (fds->std[fd] >= 0) {
            r = put_host_fd(files, &fds->std[fd], fd);
        }
        if (r < 0)
            return boot_fail(e, 125, r, "import standard input, output and error", NULL);
    }
    for (u32 i = 0; i < fds->npassed; i++) {
        r = put_host_fd(files, &fds->passed[i], 3 + (int)i);
        if (r < 0)
            return boot_fail(e, 125, r, "import a descriptor of the caller's", NULL);
    }
    return 0;
}

static int make_fs(struct container *c, const struct boot_process *p, struct fs_ctx **ret_fs,
                   struct boot_error *e)
{
    struct path cwd = {0}, root;
    int r =
        vfs_walk(LX_AT_FDCWD, p->cwd && *p->cwd ? p->cwd : "/", WALK_FOLLOW | WALK_DIRECTORY, &cwd);
    if (r < 0)
        return boot_fail(e, c->is_first && !*c->id ? 125 : 126, r,
                         "change to the working directory", p->cwd);
    fs_ctx_root(c->fs, &root);
    *ret_fs = fs_ctx_new(&root, &cwd, p->flags & BOOT_P_UMASK ? p->umask & 0777 : 022);
    path_put(&root);
    path_put(&cwd);
    return *ret_fs ? 0 : boot_fail(e, 125, -LX_ENOMEM, "start a process", NULL);
}

static int make_rlimits(const struct boot_process *p, struct lx_rlimit *limits,
                        struct boot_error *e)
{
    rlimits_default(limits);
    for (u32 i = 0; i < p->nrlimits; i++) {
        const struct boot_rlimit *l = &p->rlimits[i];
        if (l->which >= LX_RLIM_NLIMITS || l->cur > l->max)
            return boot_fail(e, 125, -LX_EINVAL, "set a resource limit", NULL);
        limits[l->which] = (struct lx_rlimit){l->cur, l->max};
    }
    return 0;
}

static int run_failed(struct boot_error *e, int r, const struct boot_process *p)
{
    const char *name = p->argv[0];
    int status = r == -LX_ENOENT ? 127 : 126;
    if (r == -LX_ENOENT && !strchr(name, '/')) {
        e->status = status;
        e->err = LX_ENOENT;
        snprintf(e->text, sizeof(e->text),
                 "cannot run '%.300s': executable file not found in $PATH", name);
        return -1;
    }
    (void)boot_fail(e, status, r, "run", name);
    /* Engines tell these errors apart by Go's words for them, which begin with a small letter. */
    char *reason = strrchr(e->text, ':');
    if (reason && reason[1] == ' ' && reason[2] >= 'A' && reason[2] <= 'Z')
        reason[2] = (char)(reason[2] - 'A' + 'a');
    return -1;
}

int container_exec(struct container *c, struct boot_process *p, struct start_fds *fds,
                   struct tgroup **ret_tg, struct console **ret_console, struct boot_error *e)
{
    struct vfs_task vt;
    struct lx_rlimit limits[LX_RLIM_NLIMITS];
    struct file *tty = NULL;
    struct init_args args = {
        .path = p->argv[0],
        .is_path_search = p->flags & BOOT_P_PATH_SEARCH,
        .argv = p->argv,
        .envp = p->envp,
        .ns = c->ns,
        .rlimits = limits,
        .is_init = p == &c->first && !c->is_pid_shared,
        .is_init_mortal = p->flags & BOOT_P_MORTAL,
        .container = c,
        .freezer = &c->freezer,
        .oom_score_adj = p->oom_score_adj,
        .limits = &c->limits,
        .sched_policy = p->sched_policy,
        .sched_priority = p->sched_priority,
        .nice = p->nice,
        .ioprio = p->ioprio,
        .personality = p->personality,
        .seccomp = (const void *)p->seccomp,
        .nseccomp = p->nseccomp,
        .seccomp_flags = p->seccomp_flags,
    };
    *ret_console = NULL;
    /* Engines copy files into a root and then run something there: what was missing may have come.
     */
    if (p != &c->first)
        gofer_super_renew(c->fs->root.mnt->sb);
    int r = enter(c, &vt);
    if (r < 0) {
        close_fds(fds);
        return boot_fail(e, 125, r, "start a process", NULL);
    }
    args.files = fdtable_new();
    args.cred = make_cred(p);
    r = args.files && args.cred ? 0 : boot_fail(e, 125, -LX_ENOMEM, "start a process", NULL);
    if (r == 0)
        r = check_ids(p, e);
    if (r == 0)
        r = make_rlimits(p, limits, e);
    if (r == 0)
        r = make_files(p, fds, args.files, ret_console, &tty, e);
    if (r == 0)
        r = make_fs(c, p, &args.fs, e);
    close_fds(fds);
    leave(&vt);
    if (r < 0) {
        if (args.files)
            fdtable_put(args.files);
        cred_put(args.cred);
    } else {
        args.tty = tty;
        r = kern_start_process(&args, ret_tg);
        if (r < 0)
            r = run_failed(e, r, p);
    }
    if (tty)
        file_put(tty);
    if (r == 0 && *ret_console) {
        r = console_start(*ret_console);
        if (r < 0) {
            (void)signal_send_tgroup(*ret_tg, NULL, LX_SIGKILL);
            tgroup_put(*ret_tg);
            r = boot_fail(e, 125, r, "start the console's threads", NULL);
        }
    }
    if (r < 0 && *ret_console) {
        console_end(*ret_console);
        *ret_console = NULL;
    }
    return r;
}

static const char *env_path(const struct boot_process *p)
{
    for (u32 i = 0; i < p->nenvp; i++)
        if (!strncmp(p->envp[i], "PATH=", 5))
            return p->envp[i] + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static int probe(const char *path)
{
    struct file *f;
    int r = loader_open(LX_AT_FDCWD, path, WALK_FOLLOW, &f);
    if (r == 0)
        file_put(f);
    return r;
}

/* execvp's search; relative names are looked up in the working directory, which is vfs_current's.
 */
static int probe_program(const struct boot_process *p)
{
    char buf[MAX_PATH];
    const char *name = p->argv[0];
    if (!*name)
        return -LX_ENOENT;
    if (strchr(name, '/') || !(p->flags & BOOT_P_PATH_SEARCH))
        return probe(name);
    int result = -LX_ENOENT;
    for (const char *path = env_path(p); path;) {
        const char *end = strchr(path, ':');
        int n = end ? (int)(end - path) : (int)strlen(path);
        if (snprintf(buf, sizeof(buf), "%.*s%s%s", n, path, n ? "/" : "", name) <
            (int)sizeof(buf)) {
            int r = probe(buf);
            if (r == 0)
                return 0;
            if (r == -LX_EACCES)
                result = r;
        }
        path = end ? end + 1 : NULL;
    }
    return result;
}

int container_check(struct container *c, const struct boot_process *p, struct boot_error *e)
{
    struct vfs_task vt;
    struct fs_ctx *fs = NULL;
    int r = enter(c, &vt);
    if (r < 0)
        return boot_fail(e, 125, r, "start a process", NULL);
    struct cred *cred = make_cred(p);
    r = cred ? make_fs(c, p, &fs, e) : boot_fail(e, 125, -LX_ENOMEM, "start a process", NULL);
    if (r == 0) {
        const struct cred *kernel = vt.cred;
        vt.fs = fs;
        vt.cred = cred;
        r = probe_program(p);
        if (r < 0)
            r = run_failed(e, r, p);
        vt.cred = kernel;
        fs_ctx_put(fs);
    }
    cred_put(cred);
    leave(&vt);
    return r;
}

/* ---- signals, pause ------------------------------------------------------------------------ */

int process_signal(struct tgroup *g, int signo)
{
    struct lx_siginfo info = {.si_signo = signo, .si_code = LX_SI_USER};
    return signal_send(g, NULL, &info, signo, SIGNAL_FORCE);
}

static void signal_all(struct container *c, int signo)
{
    struct tgroup *g;
    rwlock_rdlock(&task_lock);
    list_for_each (g, &all_tgroups, all_node) {
        if (g->container == c && !g->is_zombie)
            (void)!process_signal(g, signo); /* fails for those that end */
    }
    rwlock_rdunlock(&task_lock);
}

int container_signal(struct container *c, int signo, bool is_all)
{
    if (signo < 0 || signo > LX_NSIG)
        return -LX_EINVAL;
    mutex_lock(&c->lock);
    struct tgroup *init = c->init;
    if (init)
        tgroup_get(init);
    mutex_unlock(&c->lock);
    if (!init)
        return -LX_ESRCH;
    int r = 0;
    if (signo == 0) {
        /* only whether it is there */
    } else if (is_all) {
        signal_all(c, signo);
    } else {
        r = process_signal(init, signo);
    }
    tgroup_put(init);
    return r < 0 ? r : 0;
}

int container_pause(struct container *c)
{
    MUTEX_GUARD(&c->lock);
    if (c->state != CTL_ST_RUNNING)
        return -LX_EBUSY;
    c->state = CTL_ST_PAUSED;
    kern_freeze(&c->freezer);
    return 0;
}

int container_resume(struct container *c)
{
    MUTEX_GUARD(&c->lock);
    if (c->state != CTL_ST_PAUSED)
        return -LX_EBUSY;
    c->state = CTL_ST_RUNNING;
    kern_thaw(&c->freezer);
    return 0;
}

/* ---- what runs ----------------------------------------------------------------------------- */

static void describe(struct tgroup *g, struct pid_ns *ns, struct ctl_proc *p)
{
    struct task_usage u;
    memset(p, 0, sizeof(*p));
    p->pid = tgroup_pid_in(g, ns);
    p->ppid = g->parent ? tgroup_pid_in(g->parent, ns) : 0;
    p->ntasks = g->ntasks;
    p->start_ns = (u64)g->start_boot_ns;
    p->tty = g->tty ? (s32)DEV_MINOR(tty_dev(g->tty)) : -1;
    mutex_lock(&g->sig_lock);
    p->uid = g->leader->cred ? g->leader->cred->euid : 0;
    memcpy(p->cmd, g->leader->comm, sizeof(g->leader->comm));
    mutex_unlock(&g->sig_lock);
    tgroup_usage_now(g, &u);
    p->cpu_ns = u.utime_ns + u.stime_ns;
}

u32 container_ps(struct container *c, struct ctl_proc *procs, u32 max)
{
    struct tgroup *g;
    u32 n = 0;
    rwlock_rdlock(&task_lock);
    list_for_each (g, &all_tgroups, all_node) {
        if (g->container != c || g->is_zombie)
            continue;
        if (n < max)
            describe(g, c->ns->pid_for_children, &procs[n]);
        n++;
    }
    rwlock_rdunlock(&task_lock);
    return n;
}

void container_stats(struct container *c, struct ctl_stats *ret)
{
    struct tgroup *g;
    struct ctl_stats s = {0};
    rwlock_rdlock(&task_lock);
    list_for_each (g, &all_tgroups, all_node) {
        if (g->container != c)
            continue;
        struct task_usage u;
        tgroup_usage_now(g, &u);
        mutex_lock(&g->sig_lock);
        usage_add(&u, &g->child_usage);
        mutex_unlock(&g->sig_lock);
        s.cpu_user_ns += u.utime_ns;
        s.cpu_system_ns += u.stime_ns;
        if (!g->is_zombie) {
            s.nprocesses++;
            s.ntasks += g->ntasks;
        }
    }
    rwlock_rdunlock(&task_lock);
    s.memory_bytes = usage_memory_now();
    *ret = s;
}
