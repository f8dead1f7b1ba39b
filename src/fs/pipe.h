/*
 * Pipes and FIFOs. The splice family reaches into them through the calls below.
 */
#ifndef FS_PIPE_H
#define FS_PIPE_H

#include "vfs/vfs.h"

struct pipe;

#define PIPE_DEF_SLOTS 16U          /* 64 KiB */

void pipe_init(void); /* at start: FIFOs open through us */

/* flags: LX_O_NONBLOCK, LX_O_DIRECT (checked by the caller). */
int pipe_new(u32 flags, struct file **ret_r, struct file **ret_w) must_check;

/* NULL when f is neither a pipe nor an open FIFO. */
struct pipe *pipe_of(struct file *f);

/*
 * Kernel-side moves for splice. Each moves what it can at once up to size bytes and returns the
 * count; 0 at the end of file (no writers); -LX_EAGAIN when it would block and is_nonblock; else it
 * waits for the first byte or room. pipe_push raises SIGPIPE and returns -LX_EPIPE without readers.
 */
s64 pipe_pull(struct file *f, void *buf, u64 size, bool is_nonblock) must_check;
s64 pipe_push(struct file *f, const void *buf, u64 size, bool is_nonblock) must_check;
/* Waits for data, then copies up to size bytes without consuming them (tee, and splice's
 * write-then-consume). */
s64 pipe_peek(struct file *f, void *buf, u64 size, bool is_nonblock) must_check;
void pipe_consume(struct file *f, u64 size);
/* Waits for a free slot: bytes that fit now; errors as pipe_push. */
s64 pipe_room(struct file *f, bool is_nonblock) must_check;
/* vmsplice: read(2) and write(2) with a wait of the caller's choice. */
s64 pipe_read_uio(struct file *f, struct uio *to, bool is_nonblock) must_check;
s64 pipe_write_uio(struct file *f, struct uio *from, bool is_nonblock) must_check;

#endif
