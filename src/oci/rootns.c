/* See rootns.h. */
#include "oci/rootns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "oci/procview.h"

/* Where a bind mount stands, below the root whatever links the image has; -1: there is no such
 * place on the host. */
static int find_target(int root, const char *target)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    return (int)syscall(SYS_openat2, root, target, &how, sizeof(how));
}

static int bind_tree(int root, const struct boot_mount *m, const struct sandbox_tree *tree,
                     struct err *e)
{
    char path[32];
    int fd = find_target(root, m->target);
    if (fd < 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int r = mount(tree->path, path, NULL, MS_BIND | (tree->is_whole ? MS_REC : 0), NULL);
    close(fd);
    if (r == 0 && tree->is_read_only) { /* the mount, not what it covers */
        fd = find_target(root, m->target);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        r = fd < 0 ? -1 : mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
        if (fd >= 0)
            close(fd);
    }
    return r < 0 ? err_errno(e, "cannot mount '%s' on '%s'", tree->path, m->target) : 0;
}

/* What stands there for programs of the host that look around below the root: the processes, and a
 * /dev that is no more than its directories. Best effort: an image need not have the places. */
static void mount_views(int root)
{
    static const char *const dirs[] = {"pts", "shm", "mqueue"};
    char path[32];
    int fuse = procview_open(), proc = find_target(root, "/proc"), dev = find_target(root, "/dev");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", dev);
    bool is_dev =
        dev >= 0 && fuse >= 0 &&
        mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=755") == 0;
    if (dev >= 0)
        close(dev);
    dev = is_dev ? find_target(root, "/dev") : -1;
    for (size_t i = 0; dev >= 0 && i < ARRAY_SIZE(dirs); i++)
        (void)!mkdirat(dev, dirs[i], 0755);
    if (fuse >= 0 && proc >= 0)
        (void)procview_mount(fuse, proc);
    else if (fuse >= 0)
        close(fuse);
    if (dev >= 0)
        close(dev);
    if (proc >= 0)
        close(proc);
}

int rootns_enter(const struct sandbox_params *p, struct err *e)
{
    if (unshare(CLONE_NEWNS) < 0)
        return errno == EPERM && geteuid() != 0
                   ? 0
                   : err_errno(e, "cannot make the container's mount namespace");
    /* What the host unmounts goes here, too; nothing goes back. */
    if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0 ||
        mount(p->root, p->root, NULL, MS_BIND | MS_REC, NULL) < 0)
        return err_errno(e, "cannot mount the container's root");
    int root = open(p->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_errno(e, "cannot open the container's root");
    int r = 0;
    mount_views(root);
    const struct boot_container *c = &p->boot->container;
    for (u32 i = 0; i < c->nmounts && r == 0; i++)
        if (c->mounts[i].attach > 0 && (u32)c->mounts[i].attach <= p->ntrees)
            r = bind_tree(root, &c->mounts[i], &p->trees[c->mounts[i].attach - 1], e);
    /* Old and new root are one directory for a moment: the old one is on top and goes. */
    if (r == 0 && (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
                   umount2(".", MNT_DETACH) < 0 || chdir("/") < 0))
        r = err_errno(e, "cannot enter the container's root");
    close(root);
    return r;
}
