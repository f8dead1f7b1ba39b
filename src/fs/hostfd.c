/* Files around host fds: the kinds, their operations, attributes; the contract is in the header. */
#include "fs/hostfd_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "abi/nr.h"
#include "abi/tty.h"
#include "fs/tty_int.h"

#define ALLOW_IOCTL(cmd) {.nr = LX_NR_ioctl, .conds = {{1, SECCOMP_EQ32, (cmd), 0}}}

const struct seccomp_rule hostfd_rules[] = {
    {.nr = LX_NR_read},
    {.nr = LX_NR_write},
    {.nr = LX_NR_pread64},
    {.nr = LX_NR_pwrite64},
    {.nr = LX_NR_preadv2},
    {.nr = LX_NR_pwritev2},
    {.nr = LX_NR_recvfrom},
    {.nr = LX_NR_sendto},
    {.nr = LX_NR_poll},
    {.nr = LX_NR_epoll_create1},
    {.nr = LX_NR_epoll_ctl},
    {.nr = LX_NR_epoll_wait},
    {.nr = LX_NR_fstat},
    {.nr = LX_NR_newfstatat, .conds = {{3, SECCOMP_MASKED_EQ32, 0x1000, 0x1000}}}, /* AT_EMPTY_PATH */
    {.nr = LX_NR_lseek},
    {.nr = LX_NR_ftruncate},
    {.nr = LX_NR_fsync},
    {.nr = LX_NR_fdatasync},
    {.nr = LX_NR_fcntl, .conds = {{1, SECCOMP_EQ32, F_GETFL, 0}}},
    {.nr = LX_NR_fcntl, .conds = {{1, SECCOMP_EQ32, F_DUPFD_CLOEXEC, 0}}},
    {.nr = LX_NR_close},
    ALLOW_IOCTL(LX_TCGETS),
    ALLOW_IOCTL(LX_TCGETS2),
    ALLOW_IOCTL(LX_TCSETS2),
    ALLOW_IOCTL(LX_TIOCGWINSZ),
    ALLOW_IOCTL(LX_TIOCSWINSZ),
    ALLOW_IOCTL(LX_FIONREAD),
    ALLOW_IOCTL(LX_TIOCOUTQ),
    ALLOW_IOCTL(LX_TCFLSH),
    ALLOW_IOCTL(LX_TCXONC),
    {.nr = LX_NR_getrandom}, /* /dev/random */
};
const size_t hostfd_nrules = ARRAY_SIZE(hostfd_rules);

static const struct file_ops hostreg_fops, hoststream_fops, hostchr_fops;
static const struct inode_ops hostfd_iops;

/* ---- host fds ------------------------------------------------------------------------------ */

void hostfd_free(struct hostfd *h)
{
    if (!h)
        return;
    hostwatch_done(&h->watch);
    waitq_done(&h->wait);
    if (h->fd >= 0)
        close(h->fd);
    tty_put(h->tty);
    free(h);
}

static int kind_of(int fd, const struct stat *st)
{
    u8 termios[64];
    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
        return HOSTFD_REG;
    case S_IFIFO:
        return HOSTFD_PIPE;
    case S_IFSOCK:
        return HOSTFD_SOCK;
    case S_IFCHR:
        return ioctl(fd, LX_TCGETS, termios) == 0 ? HOSTFD_TTY : HOSTFD_CHR;
    default:
        return -LX_EINVAL;
    }
}

int hostfd_alloc(int fd, struct hostfd **ret_h)
{
    struct stat st;
    int fl = fcntl(fd, F_GETFL);
    if (fl < 0 || fstat(fd, &st) < 0)
        return -errno;
    int kind = kind_of(fd, &st);
    if (kind < 0)
        return kind;
    struct hostfd *h = calloc(1, sizeof(*h));
    if (!h)
        return -LX_ENOMEM;
    ref_init(&h->ref);
    h->fd = fd;
    h->kind = (enum hostfd_kind)kind;
    int acc = fl & O_ACCMODE;
    h->fmode = (acc != O_WRONLY ? FMODE_READ : 0) | (acc != O_RDONLY ? FMODE_WRITE : 0);
    waitq_init(&h->wait);
    hostwatch_init(&h->watch, fd, &h->wait);
    *ret_h = h;
    return 0;
}

void hostfd_release_ref(struct file *f, struct hostfd *h)
{
    struct inode *i = f->inode;
    mutex_lock(&i->lock);
    bool is_last = ref_put(&h->ref);
    if (is_last && i->priv == h)
        i->priv = NULL;
    mutex_unlock(&i->lock);
    if (is_last)
        hostfd_free(h);
}

/* ---- files --------------------------------------------------------------------------------- */

static struct hostfd *hostfd_of(struct file *f)
{
    return f->priv;
}

static s64 hostfd_read(struct file *f, struct uio *to, s64 *off)
{
    return hostfd_read_uio(hostfd_of(f), to, off, file_is_nonblock(f));
}

static s64 hostfd_write(struct file *f, struct uio *from, s64 *off)
{
    return hostfd_write_uio(hostfd_of(f), from, off, file_is_nonblock(f));
}

static s64 hostfd_seek(struct file *f, s64 off, int whence)
{
    if (whence < LX_SEEK_SET || whence > LX_SEEK_HOLE)
        return -LX_EINVAL;
    off_t pos = lseek(hostfd_of(f)->fd, off, whence);
    return pos < 0 ? -errno : pos;
}

static u32 hostfd_poll(struct file *f)
{
    struct hostfd *h = hostfd_of(f);
    /* A caller that has queued itself relies on being woken: from now on. */
    if (atomic_load(&h->wait.nwaiters) > 0)
        hostfd_arm(h);
    u32 asked = WAIT_IN | WAIT_OUT | WAIT_PRI | WAIT_RDNORM | WAIT_WRNORM | WAIT_RDHUP;
    return host_poll_now(h, asked);
}

static struct waitq *hostfd_pollq(struct file *f)
{
    return &hostfd_of(f)->wait;
}

static s64 hostfd_ioctl(struct file *f, u32 cmd, u64 arg)
{
    int n = 0;
    if (cmd != LX_FIONREAD)
        return -LX_ENOTTY;
    if (ioctl(hostfd_of(f)->fd, FIONREAD, &n) < 0)
        return -errno;
    return put_user((s32)n, uaddr(arg));
}

static int hostfd_fsync(struct file *f, bool is_data_only)
{
    int fd = hostfd_of(f)->fd;
    return (is_data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

static int hostfd_mmap(struct file *f, u32 prot, u32 flags)
{
    return 0;
}

static int hostfd_host_fd(struct file *f, u64 offset, u64 size, bool is_writable_shared,
                          int *ret_fd, u64 *ret_offset)
{
    struct hostfd *h = hostfd_of(f);
    u32 both = FMODE_READ | FMODE_WRITE;
    if (!(h->fmode & FMODE_READ) || (is_writable_shared && (h->fmode & both) != both))
        return -LX_EACCES;
    /* A host fd open for writing backs read-only mappings too: whoever has it may write the file. */
    *ret_fd = h->fd;
    *ret_offset = offset;
    return 0;
}

/* The inode keeps its hostfd while one of its files is open: /dev/stdout opens it again. */
int hostfd_open(struct inode *i, struct file *f)
{
    MUTEX_GUARD(&i->lock);
    struct hostfd *h = i->priv;
    u32 want = f->mode & (FMODE_READ | FMODE_WRITE);
    if (!h)
        return -LX_ENXIO;
    if (want & ~h->fmode)
        return -LX_EACCES;
    if (h->kind == HOSTFD_TTY) {
        int r = tty_open_file(h->tty, f, atomic_load(&f->flags));
        if (r < 0)
            return r;
        tty_file_of(f)->ext = h;
    } else {
        f->priv = h;
        f->mode |= FMODE_STREAM; /* the position is the host's */
    }
    ref_get(&h->ref);
    return 0;
}

static void hostfd_release(struct file *f)
{
    hostfd_release_ref(f, hostfd_of(f));
}

static const struct file_ops hostreg_fops = {
    .read = hostfd_read,
    .write = hostfd_write,
    .seek = hostfd_seek,
    .fsync = hostfd_fsync,
    .mmap = hostfd_mmap,
    .host_fd = hostfd_host_fd,
    .open = hostfd_open,
    .release = hostfd_release,
};

static const struct file_ops hoststream_fops = {
    .read = hostfd_read,
    .write = hostfd_write,
    .poll = hostfd_poll,
    .pollq = hostfd_pollq,
    .ioctl = hostfd_ioctl,
    .open = hostfd_open,
    .release = hostfd_release,
};

static const struct file_ops hostchr_fops = {
    .read = hostfd_read,
    .write = hostfd_write,
    .open = hostfd_open,
    .release = hostfd_release,
};

/* ---- inodes -------------------------------------------------------------------------------- */

static struct ktime ktime_of(const struct timespec *ts)
{
    return (struct ktime){ts->tv_sec, (u32)ts->tv_nsec};
}

/* Type, size and times are the host's; its device and inode numbers and owners stay its own. */
static int hostfd_getattr(struct inode *i, struct kstat *st)
{
    struct stat hs;
    inode_fill_stat(i, st);
    MUTEX_GUARD(&i->lock);
    struct hostfd *h = i->priv;
    if (!h || fstat(h->fd, &hs) < 0)
        return 0;
    st->mode = hs.st_mode;
    st->size = (u64)hs.st_size;
    st->blocks = (u64)hs.st_blocks;
    st->blksize = (u32)hs.st_blksize;
    st->atime = ktime_of(&hs.st_atim);
    st->mtime = ktime_of(&hs.st_mtim);
    st->ctime = ktime_of(&hs.st_ctim);
    if (h->kind == HOSTFD_TTY)
        st->rdev = h->tty->dev;
    else if (h->kind == HOSTFD_CHR)
        st->rdev = MKDEV(major(hs.st_rdev), minor(hs.st_rdev));
    return 0;
}

/* The size can be set through an fd that may write; mode and owners are the host's business. */
static int hostfd_setattr(struct inode *i, const struct iattr *a)
{
    struct hostfd *h = i->priv;
    if (a->valid & (ATTR_MODE | ATTR_UID | ATTR_GID))
        return -LX_EPERM;
    if (a->valid & ATTR_SIZE) {
        if (!h || h->kind != HOSTFD_REG)
            return -LX_EINVAL;
        if (ftruncate(h->fd, (off_t)a->size) < 0)
            return -errno;
    }
    inode_apply_attr(i, a);
    return 0;
}

static const struct inode_ops hostfd_iops = {
    .getattr = hostfd_getattr,
    .setattr = hostfd_setattr,
};

static const struct {
    const char *name;
    u32 mode;
    const struct file_ops *fops;
} kinds[] = {
    [HOSTFD_REG] = {"hostfile:", LX_S_IFREG | 0600, &hostreg_fops},
    [HOSTFD_PIPE] = {"pipe:", LX_S_IFIFO | 0600, &hoststream_fops},
    [HOSTFD_SOCK] = {"socket:", LX_S_IFSOCK | 0777, &hoststream_fops},
    [HOSTFD_TTY] = {"/dev/console", LX_S_IFCHR | 0620, &hosttty_fops},
    [HOSTFD_CHR] = {"hostdev:", LX_S_IFCHR | 0666, &hostchr_fops},
};

int hostfd_new(int fd, u32 flags, struct file **ret_f)
{
    struct hostfd *h;
    struct file *f;
    int r = hostfd_alloc(fd, &h);
    if (r < 0)
        return r;
    if (h->kind == HOSTFD_TTY)
        r = hosttty_get(fd, &h->tty);
    u32 acc = h->fmode == (FMODE_READ | FMODE_WRITE) ? LX_O_RDWR
              : h->fmode == FMODE_WRITE              ? LX_O_WRONLY
                                                     : LX_O_RDONLY;
    u32 seek = h->kind == HOSTFD_REG ? FMODE_LSEEK | FMODE_PREAD : 0;
    if (r == 0)
        r = file_new_anon(kinds[h->kind].name, kinds[h->kind].mode, kinds[h->kind].fops, h,
                          acc | (flags & (LX_O_NONBLOCK | LX_O_APPEND)),
                          h->fmode | FMODE_STREAM | seek, &f);
    if (r < 0) {
        h->fd = -1; /* stays the caller's */
        hostfd_free(h);
        return r;
    }
    f->inode->ops = &hostfd_iops;
    f->inode->priv = h;
    if (h->kind == HOSTFD_TTY) {
        r = tty_open_file(h->tty, f, LX_O_NOCTTY);
        if (r == 0) {
            tty_file_of(f)->ext = h;
        } else { /* without operations, dropping the file is harmless */
            f->ops = &hostchr_fops;
            f->priv = h;
            file_put(f);
            return r;
        }
    }
    *ret_f = f;
    return 0;
}
