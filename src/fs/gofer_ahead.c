/*
 * Host fds that came ahead: for files that are likely to be opened next, beside the fd of one that
 * was. Each belongs to the object that it says itself to be, and waits here until an
 * inode of that object is opened for reading. It lives while the object has the name under which it
 * was found: an unlinked file must not hold space on the host. That the gofer could open a file
 * says nothing about the guest, whose permission is asked when it opens.
 */
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/gofer_priv.h"
#include "host/fdio.h"

/* Takes entry k out; its fd. */
static int take_out(struct gofer_sb *s, u32 k)
{
    int fd = s->ahead_fds[k].fd;
    s->nahead_fds--;
    memmove(&s->ahead_fds[k], &s->ahead_fds[k + 1], (s->nahead_fds - k) * sizeof(s->ahead_fds[0]));
    return fd;
}

/* An fd that nobody came for. */
static void note_waste(struct gofer_sb *s)
{
    u32 window = atomic_load_explicit(&s->open_window, memory_order_relaxed);
    atomic_store_explicit(&s->open_window, MAX(window / 2, GOFER_OPEN_WINDOW),
                          memory_order_relaxed);
}

void gofer_ahead_put(struct gofer_sb *s, int fd, u32 seq)
{
    struct statx sx;
    if (fd < 0)
        return;
    bool is_good = host_fstatx(fd, STATX_TYPE | STATX_INO, &sx) == 0 && S_ISREG(sx.stx_mode);
    int old = -1;
    mutex_lock(&s->fd_lock);
    if (!s->ahead_fds)
        s->ahead_fds = calloc(GOFER_AHEAD_FDS, sizeof(s->ahead_fds[0]));
    /* After a change of ours the file may have no name any more. */
    if (is_good && s->ahead_fds && atomic_load(&s->change_seq) == seq) {
        if (s->nahead_fds == GOFER_AHEAD_FDS)
            old = take_out(s, 0);
        s->ahead_fds[s->nahead_fds++] = (struct gofer_ahead_fd){
            .dev = gp_dev_from_statx(&sx), .ino = sx.stx_ino, .fd = take_fd(fd)};
    }
    mutex_unlock(&s->fd_lock);
    if (old >= 0)
        note_waste(s);
    host_close(old);
    host_close(fd);
}

static int find_and_take(struct gofer_sb *s, const struct gofer_inode *gi)
{
    MUTEX_GUARD(&s->fd_lock);
    for (u32 k = 0; k < s->nahead_fds; k++) {
        if (s->ahead_fds[k].ino == gi->hino && s->ahead_fds[k].dev == gi->hdev)
            return take_out(s, k);
    }
    return -1;
}

int gofer_ahead_take(struct gofer_sb *s, const struct gofer_inode *gi)
{
    int fd = find_and_take(s, gi);
    if (fd >= 0 && atomic_load_explicit(&s->open_window, memory_order_relaxed) < GP_MAX_WALK)
        atomic_fetch_add_explicit(&s->open_window, 1, memory_order_relaxed);
    return fd;
}

void gofer_ahead_drop(struct gofer_sb *s, const struct gofer_inode *gi)
{
    host_close(find_and_take(s, gi));
}

void gofer_ahead_drop_all(struct gofer_sb *s)
{
    for (;;) {
        mutex_lock(&s->fd_lock);
        int fd = s->nahead_fds > 0 ? take_out(s, s->nahead_fds - 1) : -1;
        mutex_unlock(&s->fd_lock);
        if (fd < 0)
            return;
        host_close(fd);
    }
}
