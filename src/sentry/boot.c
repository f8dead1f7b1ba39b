/*
 * Booting a container: file systems, root, mounts, standard files,
 * credentials, the host-call filter, the first process.
 *
 * A boot-time vfs_task stands for the kernel itself while paths are walked:
 * root credentials, the new root.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fs/fs_init.h"
#include "fs/gofer_client.h"
#include "fs/hostfd.h"
#include "fs/overlay.h"
#include "kern/host_info.h"
#include "kern/kern_int.h"
#include "kern/parts.h"
#include "kern/time.h"
#include "net/net.h"
#include "procfs/procfs.h"
#include "sentry/sentry.h"
#include "sys/socket.h"
#include "sys/strace.h"

static int fail(struct boot_error *e, int status, int err, const char *what, const char *on)
{
    e->status = status;
    snprintf(e->text, sizeof(e->text), "cannot %s%s%.300s%s: %s", what, on ? " '" : "", on ? on : "",
             on ? "'" : "", strerror(-err));
    return -1;
}

static int init_rooms(struct boot_error *e)
{
    const struct {
        const char *name;
        int (*init)(void);
    } rooms[] = {
        {"vfs", vfs_init}, {"kern", kern_init}, {"fs", fs_init}, {"procfs", procfs_init},
        {"net", net_init},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
        int r = rooms[i].init();
        if (r < 0)
            return fail(e, 125, r, "start the sentry's room", rooms[i].name);
    }
    sys_init();
    socket_proc_init();
    return 0;
}

static int make_root(const struct bootcfg *cfg, struct super **ret_sb, struct boot_error *e)
{
    int lanes[BOOT_MAX_LANES];
    struct super *lower;
    for (u32 i = 0; i < cfg->nlanes; i++)
        lanes[i] = (int)(BOOT_FD_LANES + i);
    u32 flags = (cfg->flags & BOOT_DIRECTFS ? GOFER_DIRECTFS : 0) |
                (cfg->flags & BOOT_RW ? 0 : GOFER_RO);
    int r = gofer_super_new(lanes, cfg->nlanes, 0, flags, &lower);
    if (r < 0)
        return fail(e, 125, r, "read the root directory through the gofer", NULL);
    if (cfg->flags & BOOT_RW) {
        *ret_sb = lower;
        return 0;
    }
    r = overlay_new_on_tmpfs(lower, cfg->overlay_size, ret_sb);
    super_put(lower);
    if (r < 0)
        return fail(e, 125, r, "lay an overlay over the root directory", NULL);
    return 0;
}

/* mkdir -p, for mount points that the root lacks. */
static int make_dirs(const char *path)
{
    char buf[MAX_PATH];
    size_t n = strlen(path);
    if (n >= sizeof(buf))
        return -LX_ENAMETOOLONG;
    memcpy(buf, path, n + 1);
    for (char *p = buf + 1;; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char c = *p;
        *p = 0;
        struct path at = {0};
        int r = vfs_walk(LX_AT_FDCWD, buf, WALK_FOLLOW, &at);
        path_put(&at);
        if (r == -LX_ENOENT)
            r = vfs_mkdir(LX_AT_FDCWD, buf, 0755);
        if (r < 0)
            return r;
        *p = c;
        if (!c)
            return 0;
    }
}

static int make_mounts(const struct bootcfg *cfg, struct boot_error *e)
{
    for (u32 i = 0; i < cfg->nmounts; i++) {
        const struct boot_mount *m = &cfg->mounts[i];
        struct path at = {0};
        int r = make_dirs(m->target);
        if (r == 0)
            r = vfs_walk(LX_AT_FDCWD, m->target, WALK_FOLLOW, &at);
        if (r == 0)
            r = vfs_mount(m->source, &at, m->type, m->flags, m->options);
        path_put(&at);
        if (r < 0)
            return fail(e, 125, r, "mount on", m->target);
    }
    return 0;
}

static int make_files(const struct bootcfg *cfg, struct fdtable **ret_files, struct file **ret_tty,
                      struct boot_error *e)
{
    struct fdtable *files = fdtable_new();
    if (!files)
        return fail(e, 125, -LX_ENOMEM, "make the file table", NULL);
    *ret_tty = NULL;
    if (cfg->flags & BOOT_TTY) {
        int r = console_open(cfg->rows, cfg->cols, ret_tty);
        if (r < 0)
            return fail(e, 125, r, "open the sandbox's terminal", NULL);
    }
    for (int fd = 0; fd < 3; fd++) {
        struct file *f;
        int r = 0;
        if (*ret_tty) {
            file_get(*ret_tty);
            f = *ret_tty;
        } else if (cfg->flags & BOOT_NO_STDIN << fd) {
            continue;
        } else {
            r = hostfd_new(fd, 0, &f);
        }
        if (r == 0)
            r = fdtable_install(files, f, fd, 0, 1024);
        if (r < 0)
            return fail(e, 125, r, "import standard input, output and error", NULL);
    }
    *ret_files = files;
    return 0;
}

static const struct cred *make_cred(const struct bootcfg *cfg)
{
    struct cred *c = cred_new_root();
    if (!c)
        return NULL;
    c->user_ns = &root_user_ns;
    c->uid = c->euid = c->suid = c->fsuid = cfg->uid;
    c->gid = c->egid = c->sgid = c->fsgid = cfg->gid;
    if (cfg->uid != 0)
        c->cap_permitted = c->cap_effective = c->cap_inheritable = c->cap_ambient = 0;
    return c;
}

static int start_first(const struct bootcfg *cfg, struct fs_ctx *fs, struct mnt_ns *mnt,
                       struct tgroup **ret_init, struct boot_error *e)
{
    struct init_args args = {
        .path = cfg->argv[0],
        .is_path_search = cfg->flags & BOOT_PATH_SEARCH,
        .argv = cfg->argv,
        .envp = cfg->envp,
        .fs = fs,
        .cred = make_cred(cfg),
        .is_init = true,
        .is_init_mortal = true, /* `do` promises the status that the command has without a sandbox */
    };
    if (make_files(cfg, &args.files, &args.tty, e) < 0)
        return -1;
    struct nsproxy *ns = nsproxy_new_root(mnt);
    args.ns = ns;
    if (!args.cred || !ns)
        return fail(e, 125, -LX_ENOMEM, "make the first process", NULL);
    ns->net = root_net_ns;
    net_ns_get(root_net_ns);
    memcpy(root_uts_ns.nodename, cfg->hostname, MIN(strlen(cfg->hostname) + 1, sizeof(root_uts_ns.nodename) - 1));

    int r = jail_install_filter(cfg->flags & BOOT_DIRECTFS);
    if (r < 0)
        return fail(e, 125, r, "install the sentry's filter of host calls (is seccomp in this kernel?)", NULL);
    r = kern_start_process(&args, ret_init);
    if (r == -LX_ENOENT)
        return fail(e, 127, r, "run", cfg->argv[0]);
    if (r < 0)
        return fail(e, 126, r, "run", cfg->argv[0]);
    if (args.tty)
        console_start();
    return 0;
}

int boot_container(const struct bootcfg *cfg, struct tgroup **ret_init, struct boot_error *e)
{
    struct super *sb;
    struct mnt_ns *mnt;
    static struct vfs_task boot_task;

    if (init_rooms(e) < 0)
        return -1;
    boot_task.cred = cred_new_root();
    if (!boot_task.cred)
        return fail(e, 125, -LX_ENOMEM, "boot", NULL);
    ((struct cred *)(uintptr_t)boot_task.cred)->user_ns = &root_user_ns;
    boot_task.rlimit_fsize = UINT64_MAX;
    boot_task.rlimit_nofile = 1024;
    vfs_current = &boot_task;

    if (make_root(cfg, &sb, e) < 0)
        return -1;
    struct mount *root = mount_new(sb, 0);
    super_put(sb);
    int r = root ? mnt_ns_new(root, &mnt) : -LX_ENOMEM;
    if (r < 0)
        return fail(e, 125, r, "mount the root", NULL);
    struct path root_path = {root, root->root};
    boot_task.mnt_ns = mnt;
    boot_task.fs = fs_ctx_new(&root_path, &root_path, 022);
    if (!boot_task.fs)
        return fail(e, 125, -LX_ENOMEM, "mount the root", NULL);
    if (make_mounts(cfg, e) < 0)
        return -1;

    struct path cwd = {0};
    r = vfs_walk(LX_AT_FDCWD, cfg->cwd, WALK_FOLLOW | WALK_DIRECTORY, &cwd);
    if (r < 0)
        return fail(e, 125, r, "change to the working directory", cfg->cwd);
    struct fs_ctx *fs = fs_ctx_new(&root_path, &cwd, 022);
    path_put(&cwd);
    if (!fs)
        return fail(e, 125, -LX_ENOMEM, "boot", NULL);
    if (start_first(cfg, fs, mnt, ret_init, e) < 0)
        return -1;
    vfs_current = NULL;
    return 0;
}
