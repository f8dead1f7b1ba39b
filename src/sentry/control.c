/*
 * Control connections (wire/control.h). Each has a thread of its own, a link
 * another one that waits for the end of its process. The commands at the other
 * ends are trusted to give orders, not to be well-formed.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "host/fdpass.h"
#include "kern/host_info.h"
#include "kern/parts.h"
#include "sentry/sentry.h"

#define MAX_CONNECTIONS 4096
#define MAX_CONFIG      (64U << 20)

/* A process that somebody outside stands for. */
struct link {
    struct ref ref;
    int fd;
    struct container *c; /* owned */
    bool is_first;       /* of the sandbox: its hang-up ends all */
    bool is_init;        /* of its container */
    struct mutex lock;
    struct start_fds fds; /* of a container that has not started */
    bool is_given_up;     /* hung up before it started; guarded by lock, as all below */
    struct tgroup *g;     /* owned; NULL: not yet, or over */
    struct console *console;
};

struct request {
    struct ctl_msg m;
    int fds[CTL_MAX_FDS];
    u32 nfds;
    u8 buf[CTL_MAX_MSG];
};

static _Atomic u32 nconnections;

/* ---- messages ------------------------------------------------------------------------------ */

static void send_data(int fd, u32 type, s32 a, s32 b, const void *data, size_t size)
{
    u8 buf[CTL_MAX_MSG];
    struct ctl_msg m = {.type = type, .a = a, .b = b, .data = {data, (u32)size}};
    size_t n = ctl_encode(&m, buf, sizeof(buf));
    if (n == 0 || send(fd, buf, n, MSG_NOSIGNAL) < 0)
        log_debug("a command is gone");
}

void control_send(int fd, u32 type, s32 a, s32 b, const char *text)
{
    send_data(fd, type, a, b, text, text ? strlen(text) : 0);
}

static void send_error(int fd, const struct boot_error *e)
{
    control_send(fd, CTL_FAILED, e->status, e->err, e->text);
}

static void send_result(int fd, int r, const char *what)
{
    struct boot_error e;
    if (r == 0) {
        send_data(fd, CTL_OK, 0, 0, NULL, 0);
        return;
    }
    boot_fail(&e, 1, r, what, NULL);
    send_error(fd, &e);
}

static void close_fds(struct request *q)
{
    for (u32 i = 0; i < q->nfds; i++)
        if (q->fds[i] >= 0)
            close(q->fds[i]);
    q->nfds = 0;
}

/* The next message; false: hung up, or not a message. */
static bool receive(int fd, struct request *q)
{
    s64 n = host_recv_fds(fd, q->buf, sizeof(q->buf), q->fds, CTL_MAX_FDS, &q->nfds);
    if (n > 0 && ctl_decode(q->buf, (size_t)n, &q->m))
        return true;
    if (n > 0)
        log_warn("a malformed control message: hanging up");
    if (n > 0)
        close_fds(q);
    return false;
}

static int start_thread(void *(*fn)(void *), void *arg)
{
    pthread_t th;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&th, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    return r ? -LX_EAGAIN : 0;
}

/* ---- links --------------------------------------------------------------------------------- */

static struct link *link_new(int fd, struct container *c)
{
    struct link *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    ref_init(&l->ref);
    mutex_init(&l->lock, "control_link");
    l->fd = fd;
    l->c = c;
    container_get(c);
    return l;
}

static void link_put(struct link *l)
{
    if (!ref_put(&l->ref))
        return;
    if (l->g)
        tgroup_put(l->g);
    container_put(l->c);
    close(l->fd);
    free(l);
}

static void link_signal(struct link *l, int signo)
{
    if (signo < 1 || signo > LX_NSIG)
        return;
    mutex_lock(&l->lock);
    struct tgroup *g = l->g;
    if (g)
        tgroup_get(g);
    mutex_unlock(&l->lock);
    if (!g)
        return;
    (void)!process_signal(g, signo); /* fails only when it is ending anyway */
    tgroup_put(g);
}

#define VIEW_BATCH (CTL_MAX_DATA / sizeof(struct ctl_view))

static void link_view(struct link *l, s32 first)
{
    struct ctl_view *views = calloc(VIEW_BATCH, sizeof(*views));
    u32 at = (u32)MAX(first, 0);
    u32 all = views ? container_view(l->c, at, views, VIEW_BATCH) : 0;
    u32 n = at < all ? MIN(all - at, (u32)VIEW_BATCH) : 0;
    send_data(l->fd, CTL_VIEW, (s32)all, (s32)at, views, n * sizeof(*views));
    free(views);
}

static void link_message(struct link *l, const struct ctl_msg *m)
{
    switch (m->type) {
    case CTL_VIEW:
        link_view(l, m->a);
        break;
    case CTL_SIGNAL:
        link_signal(l, m->a);
        break;
    case CTL_WINSIZE:
        mutex_lock(&l->lock);
        console_resize(l->console, (u32)m->a & 0xffff, (u32)m->b & 0xffff);
        mutex_unlock(&l->lock);
        break;
    default:
        log_warn("control message of type %u on a link", m->type);
    }
}

/* Until it hangs up. */
static void link_serve(struct link *l, struct request *q)
{
    while (receive(l->fd, q)) {
        close_fds(q);
        link_message(l, &q->m);
    }
    /* Nobody is left to hear of its end. */
    mutex_lock(&l->lock);
    l->is_given_up = true;
    mutex_unlock(&l->lock);
    link_signal(l, LX_SIGKILL);
}

/* Waits for the process of an exec, tells its end. */
static void *link_wait_main(void *arg)
{
    struct link *l = arg;
    int status = kern_wait_process(l->g);
    mutex_lock(&l->lock);
    struct tgroup *g = take_ptr(l->g);
    struct console *con = take_ptr(l->console);
    mutex_unlock(&l->lock);
    console_end(con);
    tgroup_put(g);
    if (l->is_init)
        container_stopped(l->c, status);
    control_send(l->fd, CTL_EXITED, status, 0, NULL);
    host_shutdown(l->fd); /* its other thread's turn to end */
    atomic_fetch_sub(&l->c->nlinks, 1);
    waitq_wake(&l->c->wait, WAIT_ALL);
    link_put(l);
    return NULL;
}

/* Gives the link its process, and the process somebody who waits for it. */
static int link_begin(struct link *l, struct tgroup *g, struct console *con)
{
    l->g = g;
    l->console = con;
    ref_get(&l->ref);
    atomic_fetch_add(&l->c->nlinks, 1);
    int r = start_thread(link_wait_main, l);
    if (r < 0) {
        atomic_fetch_sub(&l->c->nlinks, 1);
        (void)signal_send_tgroup(g, NULL, LX_SIGKILL);
        link_put(l);
    }
    return r;
}

/* ---- exec, create -------------------------------------------------------------------------- */

/* Maps the configuration, the message's first descriptor. */
static void *map_config(struct request *q, size_t *ret_size)
{
    struct stat st;
    if (q->nfds < 1 || fstat(q->fds[0], &st) < 0 || st.st_size <= 0 || st.st_size > MAX_CONFIG)
        return NULL;
    void *p = malloc((size_t)st.st_size);
    ssize_t n = p ? pread(q->fds[0], p, (size_t)st.st_size, 0) : -1;
    if (n != st.st_size) {
        free(p);
        return NULL;
    }
    *ret_size = (size_t)st.st_size;
    return p;
}

/* Takes the standard descriptors, as `has` says, out of the message, from index at; the next index,
 * or -1 when the numbers do not fit. */
static int take_std(struct request *q, u32 at, s32 has, struct start_fds *fds)
{
    *fds = (struct start_fds){.std = {-1, -1, -1}, .console = -1};
    if (has & CTL_HAS_CONSOLE) {
        if (at >= q->nfds)
            return -1;
        fds->console = take_fd(q->fds[at]);
        return (int)at + 1;
    }
    for (int i = 0; i < 3; i++) {
        if (!(has & CTL_HAS_STDIN << i))
            continue;
        if (at >= q->nfds)
            return -1;
        fds->std[i] = take_fd(q->fds[at++]);
    }
    return (int)at;
}

static void drop_std(struct start_fds *fds)
{
    for (int i = 0; i < 3; i++)
        if (fds->std[i] >= 0)
            close(fds->std[i]);
    if (fds->console >= 0)
        close(fds->console);
}

static void serve_exec(int fd, struct request *q, struct container *c)
{
    struct boot_error e = {
        .status = 125, .err = LX_EINVAL, .text = "the command's message is malformed"};
    struct boot_process p = {0};
    struct start_fds fds;
    struct tgroup *g = NULL;
    struct console *con = NULL;
    size_t size = 0;
    void *config = map_config(q, &size);
    int at = take_std(q, 1, q->m.a, &fds);
    bool is_ok = config && at > 0 && boot_process_decode(config, size, &p) == 0;
    free(config);
    for (; is_ok && at < (int)q->nfds; at++)
        fds.passed[fds.npassed++] = take_fd(q->fds[at]);
    close_fds(q);
    struct link *l = is_ok ? link_new(fd, c) : NULL;
    mutex_lock(&c->lock);
    bool is_alive = c->state == CTL_ST_RUNNING ||
                    (c->state == CTL_ST_CREATED && q->m.b == CTL_EXEC_EARLY);
    mutex_unlock(&c->lock);
    if (!l || !is_alive) {
        if (l) {
            e.status = 1;
            strcpy(e.text, "the container is not running");
        }
        drop_std(&fds);
        send_error(fd, &e);
        boot_process_done(&p);
        if (l)
            link_put(l);
        else
            close(fd);
        return;
    }
    int r = container_exec(c, &p, &fds, &g, &con, &e);
    boot_process_done(&p);
    if (r < 0) {
        send_error(fd, &e);
        link_put(l);
        return;
    }
    control_send(fd, CTL_STARTED, tgroup_pid_in(g, c->ns->pid_for_children), 0, NULL);
    if (link_begin(l, g, con) == 0)
        link_serve(l, q);
    link_put(l);
}

/* A further container's life, once its link is there: start, end. */
static void *second_main(void *arg)
{
    struct link *l = arg;
    struct container *c = l->c;
    struct tgroup *g = NULL;
    struct console *con = NULL;
    struct boot_error e = {0};
    container_await_start(c);
    mutex_lock(&l->lock);
    bool is_given_up = l->is_given_up;
    mutex_unlock(&l->lock);
    int r = is_given_up ? -1 : container_exec(c, &c->first, &l->fds, &g, &con, &e);
    if (r < 0) {
        drop_std(&l->fds);
        if (!is_given_up)
            container_failed(c, &e);
        container_stopped(c, e.status << 8);
        send_error(l->fd, &e);
        host_shutdown(l->fd);
        link_put(l);
        return NULL;
    }
    l->is_init = true;
    tgroup_get(g);
    mutex_lock(&l->lock);
    l->g = g;
    l->console = con;
    is_given_up = l->is_given_up;
    mutex_unlock(&l->lock);
    container_started(c, g);
    if (is_given_up)
        (void)!process_signal(g, LX_SIGKILL);
    s32 pid = tgroup_pid_in(g, c->ns->pid_for_children);
    tgroup_put(g);
    control_send(l->fd, CTL_STARTED, pid, 0, NULL);
    atomic_fetch_add(&c->nlinks, 1);
    return link_wait_main(l); /* drops our reference */
}

/* Takes what a new container needs out of the message. */
static int take_container(struct request *q, struct boot_container *cfg, struct start_fds *fds,
                          int *lanes)
{
    size_t size = 0;
    void *config = map_config(q, &size);
    int at = take_std(q, 1, q->m.a, fds);
    bool is_ok = config && at > 0 && boot_container_decode(config, size, cfg) == 0;
    free(config);
    if (!is_ok)
        return -LX_EINVAL;
    if (q->m.b < 1 || cfg->nlanes != (u32)q->m.b || at + q->m.b > (int)q->nfds || !cfg->id ||
        !ctl_id_is_ok(cfg->id, strlen(cfg->id)))
        return -LX_EINVAL;
    for (s32 i = 0; i < q->m.b; i++)
        lanes[i] = take_fd(q->fds[at++]);
    if (cfg->ncgroups > (u32)((int)q->nfds - at))
        return -LX_EINVAL;
    for (; at < (int)(q->nfds - cfg->ncgroups); at++)
        fds->passed[fds->npassed++] = take_fd(q->fds[at]);
    return 0; /* those of the groups are left */
}

static void serve_create(int fd, struct request *q)
{
    struct boot_error e = {
        .status = 125, .err = LX_EINVAL, .text = "the command's message is malformed"};
    struct boot_container cfg = {0};
    struct container *c = NULL;
    struct start_fds fds;
    struct link *l = NULL;
    int lanes[CTL_MAX_FDS];
    int r = take_container(q, &cfg, &fds, lanes);
    if (r == 0)
        r = container_boot(&cfg, lanes, false, &c, &e);
    if (r == 0)
        container_join_cgroups(c, q->fds + (q->nfds - cfg.ncgroups), cfg.ncgroups);
    close_fds(q);
    if (r == 0)
        r = container_check(c, &c->first, &e);
    if (r == 0)
        l = link_new(fd, c);
    boot_container_done(&cfg);
    if (!l) {
        send_error(fd, &e);
        drop_std(&fds);
        close(fd);
        container_put(c);
        return;
    }
    l->fds = fds;
    container_publish(c);
    container_put(c); /* the link's and the list's are left */
    control_send(fd, CTL_READY, 0, 0, NULL);
    ref_get(&l->ref);
    if (start_thread(second_main, l) < 0) {
        container_stopped(c, LX_SIGKILL);
        link_put(l);
    } else {
        link_serve(l, q);
        /* It may wait for its start: then it learns that it was given up. */
        (void)!container_ask_start(l->c);
    }
    link_put(l);
}

/* ---- requests ------------------------------------------------------------------------------ */

#define PS_BATCH (CTL_MAX_DATA / sizeof(struct ctl_proc))

static void serve_ps(int fd, struct container *c)
{
    struct ctl_proc *procs = calloc(PS_BATCH, sizeof(*procs));
    if (!procs) {
        send_result(fd, -LX_ENOMEM, "list the processes");
        return;
    }
    u32 n = container_ps(c, procs, PS_BATCH);
    send_data(fd, CTL_OK, (s32)n, 0, procs, MIN((size_t)n, PS_BATCH) * sizeof(*procs));
    free(procs);
}

static void serve_state(int fd, struct container *c)
{
    mutex_lock(&c->lock);
    s32 state = (s32)c->state;
    mutex_unlock(&c->lock);
    send_data(fd, CTL_OK, state, (s32)container_ps(c, NULL, 0), NULL, 0);
}

static void serve_update(int fd, struct container *c, const struct wire_bytes *data)
{
    struct ctl_limits l;
    if (data->size != sizeof(l)) {
        send_result(fd, -LX_EINVAL, "understand the limits");
        return;
    }
    memcpy(&l, data->p, sizeof(l));
    if (l.valid & CTL_L_TASKS)
        atomic_store(&c->limits.max_tasks, l.max_tasks ? l.max_tasks : UINT64_MAX);
    if (l.valid & CTL_L_MEMORY)
        host_info_set_mem_limit(l.memory);
    if (l.valid & CTL_L_CPU_QUOTA)
        atomic_store(&c->limits.cpu_quota_us, l.cpu_quota_us);
    if (l.valid & CTL_L_CPU_PERIOD)
        atomic_store(&c->limits.cpu_period_us, l.cpu_period_us);
    send_result(fd, 0, NULL);
}

/* Answers when the program runs, or could not be run. */
static void serve_start(int fd, struct container *c)
{
    atomic_fetch_add(&c->nlinks, 1); /* the sandbox may end at once: not before this answer */
    int r = container_ask_start(c);
    struct boot_error e;
    if (r < 0)
        send_result(fd, r, "start a container that was started before");
    else if (container_await_started(c, &e) < 0)
        send_error(fd, &e);
    else
        send_result(fd, 0, NULL);
    atomic_fetch_sub(&c->nlinks, 1);
    waitq_wake(&c->wait, WAIT_ALL);
}

/* The container's lock keeps its start away. */
static void serve_net(int fd, struct request *q, struct container *c)
{
    size_t size = 0;
    void *config = map_config(q, &size);
    int r = config ? -LX_EBUSY : -LX_EINVAL;
    mutex_lock(&c->lock);
    if (config && c->is_first && c->state == CTL_ST_CREATED && !c->is_start_asked)
        r = boot_network_late(config, size, q->fds + 1, q->nfds - 1);
    mutex_unlock(&c->lock);
    free(config);
    close_fds(q);
    send_result(fd, r, "take the network's interfaces over");
}

static void serve_wait(int fd, struct container *c)
{
    atomic_fetch_add(&c->nlinks, 1);
    send_data(fd, CTL_EXITED, container_wait(c), 0, NULL, 0);
    atomic_fetch_sub(&c->nlinks, 1);
    waitq_wake(&c->wait, WAIT_ALL);
}

static void serve_request(int fd, struct request *q, struct container *c)
{
    struct ctl_stats stats;
    switch (q->m.type) {
    case CTL_START:
        serve_start(fd, c);
        break;
    case CTL_SIGNAL:
        send_result(fd, container_signal(c, q->m.a, q->m.b & CTL_SIG_ALL), "signal the container");
        break;
    case CTL_STATE:
        serve_state(fd, c);
        break;
    case CTL_PAUSE:
        send_result(fd, container_pause(c), "pause a container that is not running");
        break;
    case CTL_RESUME:
        send_result(fd, container_resume(c), "resume a container that is not paused");
        break;
    case CTL_PS:
        serve_ps(fd, c);
        break;
    case CTL_STATS:
        container_stats(c, &stats);
        send_data(fd, CTL_OK, 0, 0, &stats, sizeof(stats));
        break;
    case CTL_UPDATE:
        serve_update(fd, c, &q->m.data);
        break;
    case CTL_WAIT:
        serve_wait(fd, c);
        break;
    default:
        send_result(fd, -LX_EINVAL, "understand the command");
    }
}

static void *connection_main(void *arg)
{
    int fd = (int)(intptr_t)arg;
    struct request *q = malloc(sizeof(*q));
    if (q && receive(fd, q)) {
        struct container *c = container_find(q->m.id.p, q->m.id.size);
        if (!c) {
            close_fds(q);
            send_result(fd, -LX_ENOENT, "find the container");
        } else if (q->m.type == CTL_CREATE && c->is_first) {
            serve_create(fd, q);
            fd = -1;
        } else if (q->m.type == CTL_EXEC) {
            serve_exec(fd, q, c);
            fd = -1;
        } else if (q->m.type == CTL_NET) {
            serve_net(fd, q, c);
        } else {
            close_fds(q);
            serve_request(fd, q, c);
        }
        container_put(c);
    }
    if (fd >= 0)
        close(fd);
    free(q);
    atomic_fetch_sub(&nconnections, 1);
    return NULL;
}

static void *listen_main(void *arg)
{
    for (;;) {
        int fd = accept4(BOOT_FD_LISTEN, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            log_warn("no more commands can connect: %s", strerror(errno));
            return arg;
        }
        if (atomic_fetch_add(&nconnections, 1) >= MAX_CONNECTIONS ||
            start_thread(connection_main, (void *)(intptr_t)fd) < 0) {
            atomic_fetch_sub(&nconnections, 1);
            close(fd);
        }
    }
}

/* ---- the first link ------------------------------------------------------------------------ */

static struct link *first_link;

static void *first_main(void *arg)
{
    struct link *l = arg;
    jail_settle();
    struct request *q = malloc(sizeof(*q));
    while (q && receive(l->fd, q)) {
        close_fds(q);
        link_message(l, &q->m);
    }
    _exit(0);
}

void control_started(struct tgroup *init, struct console *con)
{
    mutex_lock(&first_link->lock);
    tgroup_get(init);
    first_link->g = init;
    first_link->console = con;
    mutex_unlock(&first_link->lock);
}

struct console *control_over(void)
{
    MUTEX_GUARD(&first_link->lock);
    return take_ptr(first_link->console);
}

void control_start(struct container *c, bool is_listening)
{
    first_link = link_new(BOOT_FD_CONTROL, c);
    if (!first_link || start_thread(first_main, first_link) < 0 ||
        (is_listening && start_thread(listen_main, NULL) < 0))
        panic("cannot start the control threads");
}
