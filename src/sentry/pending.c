/*
 * Stand-ins for functions that are being written, so that the sandbox links and boots meanwhile.
 * Whoever lands the real one removes the stand-in here ("multiple definition" at link time
 * says so). This file goes when it is empty.
 */
#include "sentry/pending.h"

#include <errno.h>
#include <unistd.h>

#include "fs/tty.h"
#include "kern/parts.h"
#include "sentry/sentry.h"

/* fs/hostfd.c: files around the sandbox's standard input, output and error. */
static s64 hostfd_read(struct file *f, struct uio *to, s64 *off)
{
    size_t n;
    char *b = uio_bounce(&n);
    ssize_t r = read((int)(intptr_t)f->priv, b, MIN(n, to->left));
    if (r <= 0)
        return r < 0 ? -errno : 0;
    return uio_copy_to(to, b, (u64)r);
}

static s64 hostfd_write(struct file *f, struct uio *from, s64 *off)
{
    size_t n;
    char *b = uio_bounce(&n);
    s64 r = uio_copy_from(from, b, MIN(n, from->left));
    if (r <= 0)
        return r;
    r = write((int)(intptr_t)f->priv, b, (size_t)r);
    return r < 0 ? -errno : r;
}

static const struct file_ops hostfd_ops = {.read = hostfd_read, .write = hostfd_write};

int hostfd_file_new(int fd, struct file **ret_f)
{
    return file_new_anon("host:[0]", LX_S_IFIFO | 0600, &hostfd_ops, (void *)(intptr_t)fd,
                         LX_O_RDWR, FMODE_READ | FMODE_WRITE | FMODE_STREAM, ret_f);
}

/* fs/overlay.c: an overlay whose upper layer is a fresh tmpfs of that size (0: half of memory). */
int overlay_new_on_tmpfs(struct super *lower, u64 size, struct super **ret_sb)
{
    super_get(lower);
    *ret_sb = lower;
    return 0;
}

/* sentry/console.c, once fs/devpts.h is there */
int console_open(u32 rows, u32 cols, struct file **ret_slave)
{
    return -LX_ENODEV;
}

void console_start(void)
{
}

void console_resize(u32 rows, u32 cols)
{
}

void console_drain(void)
{
}

/* kern/ipc.c, kern/sysv_sem.c */
static char root_ipc_mem;
struct ipc_ns *root_ipc_ns = (struct ipc_ns *)(void *)&root_ipc_mem;

int ipc_init(void)
{
    return 0;
}

void ipc_ns_get(struct ipc_ns *ns)
{
}

void ipc_ns_put(struct ipc_ns *ns)
{
}

int ipc_ns_new(struct user_ns *uns, struct ipc_ns **ret_ns)
{
    return -LX_ENOSYS;
}

u64 ipc_ns_ino(const struct ipc_ns *ns)
{
    return NS_INO_ROOT_IPC;
}

void sysvsem_exit(struct task *t)
{
}

int sysvsem_share(struct task *parent, struct task *child)
{
    return 0;
}

/* fs/tty*.c */
void tty_get(struct tty *t)
{
}

void tty_put(struct tty *t)
{
}

struct tty *tty_of_file(struct file *f)
{
    return NULL;
}

void tty_session_exit(struct tty *t, s32 session)
{
}

void tty_set_session(struct tty *t, s32 session, s32 pgrp)
{
}

/* platform/uctx.c */
long uctx_futex_wait(struct uctx *ctx, u64 uaddr, int op, u32 val, s64 deadline_ns, u32 bitset)
{
    return -LX_ENOSYS;
}
