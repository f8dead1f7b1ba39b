/*
 * Start and end of the gofer: exports, capabilities, filter, lanes.
 *
 * Each lane has a thread, the first one the main thread. A lane ends when the Sentry closes its end
 * or sends something malformed; the process ends with its last lane. Nothing is shared between
 * lanes but the node table.
 */
#include <fcntl.h>
#include <linux/stat.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "abi/errno.h"
#include "base/log.h"
#include "gofer/confine.h"
#include "gofer/lane.h"
#include "host/fdio.h"
#include "host/fdpass.h"

#define LANE_STACK (256U * 1024)
#define MAX_OPEN   4096U

/* All lanes and the main thread meet here twice: when every thread has done the calls of its start,
 * and when the filter, which does not allow those, is in force. */
static pthread_barrier_t start_barrier;

static void serve_lane(struct lane *l)
{
    for (;;) {
        u32 nfds;
        /* The Sentry never sends us fds: one that comes is closed and its message refused. */
        s64 n = host_recv_fds(l->fd, l->in, sizeof(l->in), NULL, 0, &nfds);
        if (n <= 0)
            break;
        size_t size = gofer_serve(l, (size_t)n);
        int r = size > 0 ? host_send_fds(l->fd, l->out, size, l->fds, l->nfds) : -LX_EPROTO;
        while (l->nfds > 0)
            host_close(l->fds[--l->nfds]);
        if (r < 0)
            break;
    }
    host_close(l->fd);
    free(l);
}

static void *lane_main(void *arg)
{
    pthread_barrier_wait(&start_barrier);
    pthread_barrier_wait(&start_barrier);
    serve_lane(arg);
    return NULL;
}

static struct lane *lane_new(int fd)
{
    struct lane *l = malloc(sizeof(*l));
    if (l) {
        l->fd = fd;
        l->nfds = 0;
    }
    return l;
}

static int add_attach(const struct gofer_attach *from)
{
    struct statx sx;
    int r = host_fstatx(from->dir_fd, STATX_BASIC_STATS | STATX_MNT_ID, &sx);
    if (r < 0)
        return r;
    struct attach *a = &gofer_attaches[gofer_nattaches];
    a->flags = from->flags;
    a->mnt_id = sx.stx_mnt_id;
    a->masked = from->masked;
    a->root = gnode_new(NULL, NULL, &sx, from->dir_fd, (u16)gofer_nattaches);
    if (!a->root)
        return -LX_ENOMEM;
    a->root->is_root = true;
    gofer_nattaches++;
    return 0;
}

static bool is_any_writable(const struct gofer_config *cfg)
{
    for (u32 i = 0; i < cfg->nattach; i++) {
        if (!(cfg->attach[i].flags & GOFER_RDONLY))
            return true;
    }
    return false;
}

/* All but the first. */
static int start_lanes(const struct gofer_config *cfg, pthread_t *threads)
{
    pthread_attr_t attr;
    u32 n = 0;
    if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, LANE_STACK))
        return -LX_ENOMEM;
    for (; n < cfg->nlanes - 1; n++) {
        struct lane *l = lane_new(cfg->lane_fds[n + 1]);
        if (!l)
            break;
        if (pthread_create(&threads[n], &attr, lane_main, l)) {
            free(l);
            break;
        }
    }
    pthread_attr_destroy(&attr);
    return (int)n;
}

int gofer_main(const struct gofer_config *cfg)
{
    pthread_t threads[GOFER_MAX_LANES];
    log_set_name("gofer");
    if (cfg->nattach > GOFER_MAX_ATTACH || cfg->nlanes > GOFER_MAX_LANES || cfg->nlanes == 0) {
        log_error("the gofer was given %u trees and %u lanes", cfg->nattach, cfg->nlanes);
        return 1;
    }
    umask(0);
    u32 nofile = confine_nofile();
    gnode_table_init(cfg->max_open ? cfg->max_open : MIN(nofile / 2, MAX_OPEN));
    gofer_proc_self_fd = cfg->self_fd_dir;
    for (u32 i = 0; i < cfg->nattach; i++) {
        int r = add_attach(&cfg->attach[i]);
        if (r < 0) {
            log_error("the gofer cannot serve tree %u: error %d", i, -r);
            return 1;
        }
    }
    bool is_writable = is_any_writable(cfg);
    int r = confine_caps(cfg, is_writable);
    if (r < 0) {
        log_error("the gofer cannot give up its privileges: error %d", -r);
        return 1;
    }
    if (pthread_barrier_init(&start_barrier, NULL, cfg->nlanes)) {
        log_error("the gofer cannot start its threads");
        return 1;
    }
    int n = start_lanes(cfg, threads);
    struct lane *first = lane_new(cfg->lane_fds[0]);
    if (!first || n < (int)cfg->nlanes - 1) {
        log_error("the gofer cannot start its threads");
        return 1;
    }
    pthread_barrier_wait(&start_barrier);
    r = cfg->is_filter_off ? 0 : confine_filter(is_writable);
    if (r < 0) {
        log_error("the gofer cannot install its filter: error %d", -r);
        return 1;
    }
    pthread_barrier_wait(&start_barrier);
    serve_lane(first);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
