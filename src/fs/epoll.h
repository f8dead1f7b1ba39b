/* epoll(7). */
#ifndef FS_EPOLL_H
#define FS_EPOLL_H

#include "vfs/vfs.h"

struct lx_epoll_event { /* packed on x86-64 only */
    u32 events;
    u64 data;
}
#ifdef __x86_64__
__attribute__((packed))
#endif
;

void epoll_init(void); /* at start */
int epoll_new(u32 flags, struct file **ret_f) must_check; /* LX_EPOLL_CLOEXEC is the fd's */
/* op: LX_EPOLL_CTL_*; target: the watched file, known as fd. Errors as epoll_ctl(2). */
int epoll_ctl_file(struct file *ep, int op, struct file *target, int fd,
                   const struct lx_epoll_event *ev) must_check;
/*
 * Events copied to guest memory at `to`: up to max. 0 at the deadline (0: do not wait at all);
 * -LX_EINTR is the caller's translation of -LX_ERESTARTSYS. -LX_EINVAL when ep is no epoll file.
 */
s64 epoll_wait_events(struct file *ep, uaddr_t to, u32 max, s64 deadline_ns) must_check;
/* For kcmp: where the nth of the files is that ep watches as fd; an identity, not a reference.
 * -LX_ENOENT: there are fewer. -LX_EINVAL: ep is no epoll file. */
int epoll_watched(struct file *ep, int fd, u32 nth, const void **ret_file) must_check;

#endif
