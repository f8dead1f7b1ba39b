/*
 * /dev: the memory devices, /dev/tty, /dev/console, and a file system type that
 * is a tmpfs with the usual nodes in it.
 */
#include "fs/dev.h"

#include <string.h>
#include <sys/random.h>

#include "fs/devpts.h"
#include "fs/epoll.h"
#include "fs/fuse.h"
#include "fs/pipe.h"
#include "fs/tty_int.h"
#include "vfs/file.h"
#include "vfs/special.h"

#define MEM_MAJOR 1U
enum { MEM_NULL = 3, MEM_ZERO = 5, MEM_FULL = 7, MEM_RANDOM = 8, MEM_URANDOM = 9 };
#define TTY_AUX_MAJOR 5U /* 0 tty, 1 console, 2 ptmx */

/* ---- memory devices ------------------------------------------------------------------------ */

static s64 null_read(struct file *f, struct uio *to, s64 *off)
{
    return 0;
}

static s64 null_write(struct file *f, struct uio *from, s64 *off)
{
    s64 n = (s64)from->left;
    uio_advance(from, from->left);
    return n;
}

static s64 zero_read(struct file *f, struct uio *to, s64 *off)
{
    return to->left ? uio_zero(to, to->left) : 0;
}

static s64 full_write(struct file *f, struct uio *from, s64 *off)
{
    return from->left ? -LX_ENOSPC : 0;
}

/* The memory devices have a position that nothing moves: any seek but from the end says 0. */
static s64 mem_seek(struct file *f, s64 off, int whence)
{
    return f->pos = 0;
}

/* ---- random -------------------------------------------------------------------------------- */

#define RANDOM_MAX (32U << 20) /* one read gives no more: random(4) */

static s64 random_read(struct file *f, struct uio *to, s64 *off)
{
    u8 buf[1024];
    u64 left = MIN(to->left, (u64)RANDOM_MAX);
    s64 done = 0;
    while (left > 0) {
        size_t part = MIN(left, sizeof(buf));
        ssize_t got =
            getrandom(buf, part, 0); /* at most 256 bytes are never interrupted; more may be */
        if (got <= 0)
            return done ? done : -LX_EIO;
        s64 n = uio_copy_to(to, buf, (u64)got);
        if (n > 0)
            done += n;
        if (n != got)
            return done ? done : -LX_EFAULT;
        left -= (u64)got;
        if (done >= 4096 && vfs_task_ops->has_pending_interrupt())
            break;
    }
    explicit_bzero(buf, sizeof(buf));
    return done;
}

/* Mixed into nothing: the host's generator needs no help from guests. Linux lets anybody write. */
static s64 random_write(struct file *f, struct uio *from, s64 *off)
{
    u8 buf[1024];
    s64 done = 0;
    while (from->left > 0) {
        s64 n = uio_copy_from(from, buf, sizeof(buf));
        if (n <= 0)
            return done ? done : -LX_EFAULT;
        done += n;
    }
    return done;
}

#define RNDGETENTCNT   0x80045200U
#define RNDADDTOENTCNT 0x40045201U
#define RNDADDENTROPY  0x40085203U
#define RNDZAPENTCNT   0x5204U
#define RNDCLEARPOOL   0x5206U
#define RNDRESEEDCRNG  0x5207U

static s64 random_ioctl(struct file *f, u32 cmd, u64 arg)
{
    switch (cmd) {
    case RNDGETENTCNT:
        return put_user((s32)256, uaddr(arg));
    case RNDADDTOENTCNT:
    case RNDADDENTROPY:
    case RNDZAPENTCNT:
    case RNDCLEARPOOL:
    case RNDRESEEDCRNG:
        return -LX_EPERM; /* the host's pool is not a container's to change */
    default:
        return -LX_ENOTTY;
    }
}

static u32 random_poll(struct file *f)
{
    return WAIT_IN | WAIT_RDNORM | WAIT_OUT | WAIT_WRNORM;
}

/* Of those that never wait, as on Linux all but /dev/full. */
static int nowait_open(struct inode *i, struct file *f)
{
    f->mode |= FMODE_NOWAIT;
    return 0;
}

static const struct file_ops null_fops = {
    .open = nowait_open, .read = null_read, .write = null_write, .seek = mem_seek};
static const struct file_ops zero_fops = {
    .open = nowait_open, .read = zero_read, .write = null_write, .seek = mem_seek};
static const struct file_ops full_fops = {.read = zero_read, .write = full_write, .seek = mem_seek};
static const struct file_ops random_fops = {.open = nowait_open,
                                            .read = random_read,
                                            .write = random_write,
                                            .seek = mem_seek,
                                            .poll = random_poll,
                                            .ioctl = random_ioctl};

bool dev_is_zero(const struct file *f)
{
    return f->ops == &zero_fops;
}

/* ---- /dev/tty, /dev/console ---------------------------------------------------------------- */

static struct mutex console_lock = MUTEX_INIT("console");
static struct tty *console; /* owned; guarded by console_lock */

void dev_set_console(struct tty *t)
{
    if (t)
        tty_get(t);
    mutex_lock(&console_lock);
    struct tty *old = console;
    console = t;
    mutex_unlock(&console_lock);
    tty_put(old);
}

static int open_and_put(struct tty *t, struct file *f)
{
    if (!t)
        return -LX_ENXIO;
    int r = tty_open_file(t, f, LX_O_NOCTTY); /* neither ever becomes the controlling terminal */
    tty_put(t);
    return r;
}

static int devtty_open(struct inode *i, struct file *f)
{
    return open_and_put(vfs_task_ops->get_ctty(), f);
}

static int console_open(struct inode *i, struct file *f)
{
    mutex_lock(&console_lock);
    struct tty *t = console;
    if (t)
        tty_get(t);
    mutex_unlock(&console_lock);
    return open_and_put(t, f);
}

static const struct file_ops devtty_fops = {.open = devtty_open};
static const struct file_ops console_fops = {.open = console_open};

/* ---- the tree ------------------------------------------------------------------------------ */

static const struct node {
    const char *name;
    u32 mode;
    u64 rdev;
    const char *target; /* of a link */
} nodes[] = {
    {"null", LX_S_IFCHR | 0666, MKDEV(MEM_MAJOR, MEM_NULL), NULL},
    {"zero", LX_S_IFCHR | 0666, MKDEV(MEM_MAJOR, MEM_ZERO), NULL},
    {"full", LX_S_IFCHR | 0666, MKDEV(MEM_MAJOR, MEM_FULL), NULL},
    {"random", LX_S_IFCHR | 0666, MKDEV(MEM_MAJOR, MEM_RANDOM), NULL},
    {"urandom", LX_S_IFCHR | 0666, MKDEV(MEM_MAJOR, MEM_URANDOM), NULL},
    {"tty", LX_S_IFCHR | 0666, MKDEV(TTY_AUX_MAJOR, 0), NULL},
    {"fuse", LX_S_IFCHR | 0666, MKDEV(10, 229), NULL},
    {"net", LX_S_IFDIR | 0755, 0, NULL},
    {"net/tun", LX_S_IFCHR | 0666, MKDEV(10, 200), NULL},
    {"pts", LX_S_IFDIR | 0755, 0, NULL},
    {"shm", LX_S_IFDIR | 01777, 0, NULL},
    {"mqueue", LX_S_IFDIR | 01777, 0, NULL},
    {"ptmx", LX_S_IFLNK | 0777, 0, "pts/ptmx"},
    {"fd", LX_S_IFLNK | 0777, 0, "/proc/self/fd"},
    {"stdin", LX_S_IFLNK | 0777, 0, "/proc/self/fd/0"},
    {"stdout", LX_S_IFLNK | 0777, 0, "/proc/self/fd/1"},
    {"stderr", LX_S_IFLNK | 0777, 0, "/proc/self/fd/2"},
};
static const struct node console_node = {"console", LX_S_IFCHR | 0600, MKDEV(TTY_AUX_MAJOR, 1),
                                         NULL};

/* A node of a directory. */
static int make_in(struct dentry *parent, const char *name, const struct node *n)
{
    struct inode *dir = parent->inode;
    struct dentry *d;
    int r = dentry_lookup(parent, name, strlen(name), &d);
    if (r < 0)
        return r;
    mutex_lock(&dir->lock);
    if (d->inode)
        r = 0;
    else if (n->target)
        r = dir->ops->symlink ? dir->ops->symlink(dir, d, n->target) : -LX_EPERM;
    else if ((n->mode & LX_S_IFMT) == LX_S_IFDIR)
        r = dir->ops->mkdir ? dir->ops->mkdir(dir, d, n->mode) : -LX_EPERM;
    else
        r = dir->ops->mknod ? dir->ops->mknod(dir, d, n->mode, n->rdev) : -LX_EPERM;
    mutex_unlock(&dir->lock);
    dentry_put(d);
    return r;
}

static int make_node(struct super *sb, const struct node *n)
{
    const char *slash = strchr(n->name, '/');
    struct dentry *parent;
    if (!slash)
        return make_in(sb->root, n->name, n);
    int r = dentry_lookup(sb->root, n->name, (size_t)(slash - n->name), &parent);
    if (r < 0)
        return r;
    r = parent->inode ? make_in(parent, slash + 1, n) : -LX_ENOENT;
    dentry_put(parent);
    return r;
}

int dev_populate(struct super *sb, bool has_console)
{
    int r = has_console ? make_node(sb, &console_node) : 0;
    for (size_t i = 0; i < ARRAY_SIZE(nodes) && r == 0; i++)
        r = make_node(sb, &nodes[i]);
    return r;
}

static int devtmpfs_mount(const struct fs_type *type, u32 ms_flags, const char *source,
                          const char *opts, struct super **ret_sb)
{
    const struct fs_type *tmpfs = fs_find("tmpfs");
    struct super *sb;
    if (!tmpfs)
        return -LX_ENODEV;
    int r = tmpfs->mount(tmpfs, ms_flags, source, *opts ? opts : "mode=755", &sb);
    if (r < 0)
        return r;
    sb->type = type;
    r = dev_populate(sb, true);
    if (r < 0) {
        super_put(sb);
        return r;
    }
    *ret_sb = sb;
    return 0;
}

static struct fs_type devtmpfs_type = {
    .name = "devtmpfs",
    .mount = devtmpfs_mount,
};

void dev_init(void)
{
    pipe_init();
    epoll_init();
    devpts_init();
    fuse_init();
    fs_register(&devtmpfs_type);
    chrdev_register(MEM_MAJOR, MEM_NULL, 1, "mem", &null_fops);
    chrdev_register(MEM_MAJOR, MEM_ZERO, 1, "mem", &zero_fops);
    chrdev_register(MEM_MAJOR, MEM_FULL, 1, "mem", &full_fops);
    chrdev_register(MEM_MAJOR, MEM_RANDOM, 2, "mem", &random_fops);
    chrdev_register(TTY_AUX_MAJOR, 0, 1, "/dev/tty", &devtty_fops);
    chrdev_register(TTY_AUX_MAJOR, 1, 1, "/dev/console", &console_fops);
}
