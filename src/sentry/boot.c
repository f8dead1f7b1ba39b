/*
 * Booting a container: file systems, root, mounts, devices, credentials.
 *
 * A vfs_task stands for the kernel itself while paths are walked: root
 * credentials, the container's root.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fs/fs_init.h"
#include "fs/gofer_client.h"
#include "fs/overlay.h"
#include "kern/kern_int.h"
#include "kern/user_ns_map.h"
#include "net/host/host.h"
#include "net/stack/stack.h"
#include "procfs/procfs.h"
#include "sentry/sentry.h"
#include "sys/socket.h"
#include "sys/strace.h"
#include "wire/netcfg.h"

int boot_fail(struct boot_error *e, int status, int err, const char *what, const char *on)
{
    e->status = status;
    e->err = -err;
    snprintf(e->text, sizeof(e->text), "cannot %s%s%.300s%s: %s", what, on ? " '" : "",
             on ? on : "", on ? "'" : "", strerror(-err));
    return -1;
}

int boot_rooms(struct boot_error *e)
{
    const struct {
        const char *name;
        int (*init)(void);
    } rooms[] = {
        {"vfs", vfs_init},       {"kern", kern_init}, {"fs", fs_init},
        {"procfs", procfs_init}, {"net", net_init},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
        int r = rooms[i].init();
        if (r < 0)
            return boot_fail(e, 125, r, "start the sentry's room", rooms[i].name);
    }
    sys_init();
    int r = socket_proc_init();
    return r < 0 ? boot_fail(e, 125, r, "make the files of", "/proc/sys/net") : 0;
}

/* The interfaces that were taken over. */
int boot_network(const struct bootcfg *cfg, struct boot_error *e)
{
    struct netcfg net;
    int r;
    if (cfg->flags & BOOT_HOST_NET) {
        /* The other half of the descriptors is for files. */
        u32 max = (u32)MIN(cfg->rlimit_nofile / 2, (u64)NET_SOCKS_MAX);
        r = hostnet_new(BOOT_FD_BROKER, max, &root_net_ns->host);
        return r < 0 ? boot_fail(e, 125, r, "reach the host's network", NULL) : 0;
    }
    if (!cfg->net_size)
        return 0;
    r = netcfg_decode(cfg->net, cfg->net_size, &net);
    if (r == 0) {
        r = netstack_configure(root_net_ns->stack, &net);
        netcfg_done(&net);
    }
    if (r < 0)
        return boot_fail(e, 125, r, "make the network stack", NULL);
    if (cfg->flags & BOOT_RESOLVER)
        r = resolver_new(root_net_ns, BOOT_FD_BROKER);
    return r < 0 ? boot_fail(e, 125, r, "reach the network's name server", NULL) : 0;
}

int boot_network_late(const void *config, size_t size, int *fds, u32 nfds)
{
    struct netcfg net;
    struct netstack *stk = root_net_ns->stack;
    if (root_net_ns->host || !stk || stk->nifaces != 1)
        return -LX_EBUSY;
    int r = netcfg_decode(config, size, &net);
    if (r < 0)
        return r;
    if (net.nifaces != nfds)
        r = -LX_EINVAL;
    for (u32 i = 0; r == 0 && i < nfds; i++)
        net.ifaces[i].fd = take_fd(fds[i]);
    if (r == 0)
        r = netstack_configure(stk, &net);
    if (r == 0)
        r = netstack_start(stk);
    netcfg_done(&net);
    return r;
}

static void limit_ids(const struct boot_idmap *map, u32 n, bool is_gid)
{
    static struct id_map_entry e[BOOT_MAX_IDMAPS];
    for (u32 i = 0; i < n; i++)
        e[i] = (struct id_map_entry){map[i].first, map[i].lower, map[i].count};
    if (n)
        user_ns_limit_root(is_gid, e, n);
}

void boot_ids(const struct bootcfg *cfg)
{
    limit_ids(cfg->uid_map, cfg->nuid_map, false);
    limit_ids(cfg->gid_map, cfg->ngid_map, true);
    gofer_set_own_ids(cfg->own_uid, cfg->own_gid);
}

static bool is_dir(const struct inode *i)
{
    return (i->mode & LX_S_IFMT) == LX_S_IFDIR;
}

static int tree_super(const struct boot_container *cfg, const int *lanes, u32 tree, u32 flags,
                      struct super **ret_sb)
{
    if (cfg->flags & BOOT_DIRECTFS)
        flags |= GOFER_DIRECTFS;
    return gofer_super_new(lanes, cfg->nlanes, tree, flags, ret_sb);
}

static int make_root(const struct boot_container *cfg, const int *lanes, struct super **ret_sb,
                     struct boot_error *e)
{
    struct super *lower;
    /* Below an overlay nothing may change: what it has found there it keeps. */
    u32 flags = !(cfg->flags & BOOT_RW)         ? GOFER_RO
                : cfg->flags & BOOT_ROOT_SHARED ? GOFER_SHARED
                                                : 0;
    int r = tree_super(cfg, lanes, 0, flags, &lower);
    if (r < 0)
        return boot_fail(e, 125, r, "read the root directory through the gofer", NULL);
    if (cfg->flags & BOOT_RW) {
        *ret_sb = lower;
        return 0;
    }
    r = overlay_new_on_tmpfs(lower, cfg->overlay_size, ret_sb);
    super_put(lower);
    if (r < 0)
        return boot_fail(e, 125, r, "lay an overlay over the root directory", NULL);
    return 0;
}

/* mkdir -p, for what the root lacks; with is_file the last component becomes an empty file. */
static int make_place(const char *path, bool is_file)
{
    char buf[MAX_PATH];
    size_t n = strlen(path);
    if (n >= sizeof(buf))
        return -LX_ENAMETOOLONG;
    memcpy(buf, path, n + 1);
    while (n > 1 && buf[n - 1] == '/')
        buf[--n] = 0;
    for (char *p = buf + 1;; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char c = *p;
        *p = 0;
        struct path at = {0};
        int r = vfs_walk(LX_AT_FDCWD, buf, WALK_FOLLOW, &at);
        path_put(&at);
        if (r == -LX_ENOENT)
            r = c == 0 && is_file ? vfs_mknod(LX_AT_FDCWD, buf, LX_S_IFREG | 0644, 0)
                                  : vfs_mkdir(LX_AT_FDCWD, buf, 0755);
        if (r < 0)
            return r;
        *p = c;
        if (!c)
            return 0;
    }
}

/* Mounts tree m->attach of the gofer: a bind mount of the host's. */
static int mount_tree(const struct boot_container *cfg, const int *lanes,
                      const struct boot_mount *m)
{
    struct super *sb;
    struct path at = {0};
    u32 flags = (cfg->flags & BOOT_MOUNTS_EXCLUSIVE ? 0 : GOFER_SHARED) |
                (m->flags & LX_MS_RDONLY ? GOFER_RO : 0);
    int r = tree_super(cfg, lanes, (u32)m->attach, flags, &sb);
    if (r < 0)
        return r;
    r = make_place(m->target, !is_dir(sb->root->inode));
    if (r == 0)
        r = vfs_walk(LX_AT_FDCWD, m->target, WALK_FOLLOW, &at);
    if (r == 0) {
        u32 mf = m->flags & (LX_MS_RDONLY | LX_MS_NOSUID | LX_MS_NODEV | LX_MS_NOEXEC |
                             LX_MS_NOATIME | LX_MS_NODIRATIME | LX_MS_NOSYMFOLLOW);
        if (!(mf & LX_MS_NOATIME))
            mf |= LX_MS_RELATIME;
        struct mount *mnt = mount_new(sb, mf);
        r = mnt ? mount_attach(mnt, &at) : -LX_ENOMEM;
        if (mnt)
            mount_put(mnt);
    }
    path_put(&at);
    super_put(sb);
    return r;
}

static int mount_fs(const struct boot_mount *m)
{
    struct path at = {0};
    char options[MAX_PATH];
    const char *data = m->options;
    int r = make_place(m->target, false);
    if (r == 0)
        r = vfs_walk(LX_AT_FDCWD, m->target, WALK_FOLLOW, &at);
    /* A tmpfs has the mode of the directory that it covers, unless it is told one. */
    if (r == 0 && !strcmp(m->type, "tmpfs") && !strstr(data, "mode=")) {
        if (snprintf(options, sizeof(options), "%s%smode=%o", data, *data ? "," : "",
                     at.dentry->inode->mode & 07777) >= (int)sizeof(options))
            r = -LX_EINVAL;
        data = options;
    }
    u32 later = m->kind == BOOT_MOUNT_COPYUP ? m->flags & LX_MS_RDONLY : 0;
    if (r == 0)
        r = vfs_mount(m->source, &at, m->type, m->flags & ~later, data);
    if (r == 0 && m->kind == BOOT_MOUNT_COPYUP)
        r = copyup_dir(&at, m->target, 0);
    path_put(&at);
    if (r == 0 && later) {
        r = vfs_walk(LX_AT_FDCWD, m->target, WALK_FOLLOW, &at);
        if (r == 0)
            r = vfs_mount(NULL, &at, NULL, m->flags | LX_MS_REMOUNT | LX_MS_BIND, NULL);
        path_put(&at);
    }
    return r;
}

static int make_mounts(const struct boot_container *cfg, const int *lanes, struct boot_error *e)
{
    for (u32 i = 0; i < cfg->nmounts; i++) {
        const struct boot_mount *m = &cfg->mounts[i];
        int r = m->kind == BOOT_MOUNT_TREE ? mount_tree(cfg, lanes, m) : mount_fs(m);
        if (r == 0 && m->propagation) {
            struct path at = {0};
            r = vfs_walk(LX_AT_FDCWD, m->target, WALK_FOLLOW, &at);
            if (r == 0)
                r = vfs_mount(NULL, &at, NULL, m->propagation, NULL);
            path_put(&at);
        }
        if (r < 0)
            return boot_fail(e, 125, r, "mount on", m->target);
    }
    return 0;
}

/* ---- devices ------------------------------------------------------------------------------- */

static int set_owner(const char *path, u32 mode, u32 uid, u32 gid)
{
    struct path at = {0};
    int r = vfs_walk(LX_AT_FDCWD, path, 0, &at);
    if (r < 0)
        return r;
    struct iattr a = {
        .valid = ATTR_MODE | ATTR_UID | ATTR_GID, .mode = mode & 07777, .uid = uid, .gid = gid};
    r = vfs_setattr(&at, &a);
    path_put(&at);
    return r;
}

static int make_device(const struct boot_device *d)
{
    char dir[MAX_PATH];
    const char *slash = strrchr(d->path, '/');
    if (!slash || strlen(d->path) >= sizeof(dir))
        return -LX_EINVAL;
    memcpy(dir, d->path, (size_t)(slash - d->path));
    dir[slash - d->path] = 0;
    int r = *dir ? make_place(dir, false) : 0;
    if (r == 0)
        r = vfs_mknod(LX_AT_FDCWD, d->path, d->mode, MKDEV(d->major, d->minor));
    if (r == -LX_EEXIST)
        return 0;
    return r < 0 ? r : set_owner(d->path, d->mode, d->uid, d->gid);
}

static int make_link(const char *target, const char *name)
{
    int r = vfs_symlink(target, LX_AT_FDCWD, name);
    return r == -LX_EEXIST ? 0 : r;
}

/* The devices and links of the OCI specification ("Default Devices"). */
static int make_dev_nodes(bool is_tty, struct boot_error *e)
{
    static char null[] = "/dev/null", zero[] = "/dev/zero", full[] = "/dev/full",
                rnd[] = "/dev/random", urandom[] = "/dev/urandom", tty[] = "/dev/tty",
                console[] = "/dev/console";
    const struct boot_device devs[] = {
        {null, LX_S_IFCHR | 0666, 1, 3, 0, 0},    {zero, LX_S_IFCHR | 0666, 1, 5, 0, 0},
        {full, LX_S_IFCHR | 0666, 1, 7, 0, 0},    {rnd, LX_S_IFCHR | 0666, 1, 8, 0, 0},
        {urandom, LX_S_IFCHR | 0666, 1, 9, 0, 0}, {tty, LX_S_IFCHR | 0666, 5, 0, 0, 0},
        {console, LX_S_IFCHR | 0600, 5, 1, 0, 0},
    };
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
        {"pts/ptmx", "/dev/ptmx"},
    };
    int r = make_place("/dev", false);
    for (size_t i = 0; i < ARRAY_SIZE(devs) && r == 0; i++) {
        if (devs[i].path == console && !is_tty)
            continue;
        r = make_device(&devs[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(links) && r == 0; i++)
        r = make_link(links[i][0], links[i][1]);
    return r < 0 ? boot_fail(e, 125, r, "fill the directory", "/dev") : 0;
}

static int make_devices(const struct boot_container *cfg, struct boot_error *e)
{
    for (u32 i = 0; i < cfg->ndevices; i++) {
        int r = make_device(&cfg->devices[i]);
        if (r < 0)
            return boot_fail(e, 125, r, "make the device", cfg->devices[i].path);
    }
    return 0;
}

/* ---- what is hidden or read-only ------------------------------------------------------------ */

static int bind_read_only(const char *path)
{
    struct path at = {0};
    int r = vfs_walk(LX_AT_FDCWD, path, WALK_FOLLOW, &at);
    if (r == -LX_ENOENT || r == -LX_ENOTDIR)
        return 0;
    if (r == 0)
        r = vfs_mount(path, &at, NULL, LX_MS_BIND | LX_MS_REC, NULL);
    path_put(&at);
    if (r < 0)
        return r;
    r = vfs_walk(LX_AT_FDCWD, path, WALK_FOLLOW, &at);
    if (r == 0)
        r = vfs_mount(NULL, &at, NULL,
                      LX_MS_REMOUNT | LX_MS_BIND | LX_MS_RDONLY |
                          (at.mnt->flags & (LX_MS_NOSUID | LX_MS_NODEV | LX_MS_NOEXEC)),
                      NULL);
    path_put(&at);
    return r;
}

/* A directory gets an empty read-only one on top, a file /dev/null. */
static int mask(const char *path)
{
    struct path at = {0};
    int r = vfs_walk(LX_AT_FDCWD, path, WALK_FOLLOW, &at);
    if (r == -LX_ENOENT || r == -LX_ENOTDIR)
        return 0;
    if (r == 0)
        r = is_dir(at.dentry->inode)
                ? vfs_mount("tmpfs", &at, "tmpfs", LX_MS_RDONLY, "size=0k,mode=555")
                : vfs_mount("/dev/null", &at, NULL, LX_MS_BIND, NULL);
    path_put(&at);
    return r;
}

static int make_restrictions(const struct boot_container *cfg, struct boot_error *e)
{
    for (u32 i = 0; i < cfg->nreadonly; i++) {
        int r = bind_read_only(cfg->readonly[i]);
        if (r < 0)
            return boot_fail(e, 125, r, "make read-only", cfg->readonly[i]);
    }
    for (u32 i = 0; i < cfg->nmasked; i++) {
        int r = mask(cfg->masked[i]);
        if (r < 0)
            return boot_fail(e, 125, r, "mask the path", cfg->masked[i]);
    }
    if (!(cfg->flags & BOOT_ROOT_READONLY))
        return 0;
    struct path at = {0};
    int r = vfs_walk(LX_AT_FDCWD, "/", 0, &at);
    if (r == 0)
        r = vfs_mount(NULL, &at, NULL, LX_MS_REMOUNT | LX_MS_BIND | LX_MS_RDONLY, NULL);
    path_put(&at);
    return r < 0 ? boot_fail(e, 125, r, "make the root read-only", NULL) : 0;
}

/* ---- kernel parameters ---------------------------------------------------------------------- */

/* "net.ipv4.ip_forward" is /proc/sys/net/ipv4/ip_forward; slashes may stand for the dots of a name.
 */
static int set_sysctl(const struct boot_pair *p)
{
    char path[MAX_PATH];
    bool has_slash = strchr(p->name, '/') != NULL;
    if (snprintf(path, sizeof(path), "/proc/sys/%s", p->name) >= (int)sizeof(path))
        return -LX_ENAMETOOLONG;
    for (char *c = path + strlen("/proc/sys/"); *c && !has_slash; c++)
        if (*c == '.')
            *c = '/';
    const struct open_how how = {.flags = LX_O_WRONLY, .walk_flags = WALK_FOLLOW};
    struct file *f;
    int r = vfs_open(LX_AT_FDCWD, path, &how, &f);
    if (r < 0)
        return r;
    s64 n = file_pwrite(f, p->value, strlen(p->value), 0);
    file_put(f);
    return n < 0 ? (int)n : 0;
}

static int make_sysctls(const struct boot_container *cfg, struct boot_error *e)
{
    for (u32 i = 0; i < cfg->nsysctls; i++) {
        int r = set_sysctl(&cfg->sysctls[i]);
        if (r < 0)
            return boot_fail(e, 125, r, "set the sysctl", cfg->sysctls[i].name);
    }
    return 0;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void set_name(char *to, size_t size, const char *from)
{
    if (from && *from)
        snprintf(to, size, "%s", from);
}

/* The pid namespace of a further container, referenced. */
static int find_pid_ns(const struct boot_container *cfg, struct pid_ns **ret_ns)
{
    if (!cfg->pid_ns_of || !*cfg->pid_ns_of)
        return pid_ns_new(&root_pid_ns, &root_user_ns, ret_ns);
    struct container *of = container_find(cfg->pid_ns_of, strlen(cfg->pid_ns_of));
    if (!of)
        return -LX_ESRCH;
    *ret_ns = of->ns->pid_for_children;
    pid_ns_get(*ret_ns);
    container_put(of);
    return 0;
}

/* Those that a further container does not share with the first one. */
static int make_own_namespaces(const struct boot_container *cfg, struct nsproxy **ns)
{
    u64 flags = (cfg->flags & BOOT_OWN_IPC ? LX_CLONE_NEWIPC : 0) |
                (cfg->flags & BOOT_OWN_UTS ? LX_CLONE_NEWUTS : 0);
    struct pid_ns *pid_ns;
    struct nsproxy *own;
    int r = find_pid_ns(cfg, &pid_ns);
    if (r < 0)
        return r;
    pid_ns_put((*ns)->pid_for_children);
    (*ns)->pid_for_children = pid_ns;
    if (!flags)
        return 0;
    r = nsproxy_copy(*ns, flags, vfs_current->cred, NULL, &own);
    if (r < 0)
        return r;
    nsproxy_put(*ns);
    *ns = own;
    if (cfg->flags & BOOT_OWN_UTS) { /* nobody else has it yet */
        set_name(own->uts->nodename, sizeof(own->uts->nodename), cfg->hostname);
        set_name(own->uts->domainname, sizeof(own->uts->domainname), cfg->domainname);
    }
    return 0;
}

/* The namespaces that its processes begin in. Consumes mnt. */
static int make_namespaces(const struct boot_container *cfg, struct mnt_ns *mnt, bool is_first,
                           struct nsproxy **ret_ns)
{
    struct nsproxy *ns = nsproxy_new_root(mnt);
    mnt_ns_put(mnt);
    if (!ns)
        return -LX_ENOMEM;
    if (!ns->net) {
        ns->net = root_net_ns;
        net_ns_get(root_net_ns);
    }
    if (is_first) {
        set_name(root_uts_ns.nodename, sizeof(root_uts_ns.nodename), cfg->hostname);
        set_name(root_uts_ns.domainname, sizeof(root_uts_ns.domainname), cfg->domainname);
    } else {
        int r = make_own_namespaces(cfg, &ns);
        if (r < 0) {
            nsproxy_put(ns);
            return r;
        }
    }
    *ret_ns = ns;
    return 0;
}

static int fill(struct container *c, struct boot_container *cfg, const int *lanes,
                struct boot_error *e)
{
    struct super *sb;
    struct mnt_ns *mnt;
    if (make_root(cfg, lanes, &sb, e) < 0)
        return -1;
    struct mount *root = mount_new(sb, 0);
    super_put(sb);
    int r = root ? mnt_ns_new(root, &mnt) : -LX_ENOMEM;
    if (r < 0)
        return boot_fail(e, 125, r, "mount the root", NULL);
    struct path root_path = {root, root->root};
    r = make_namespaces(cfg, mnt, c->is_first, &c->ns);
    if (r < 0)
        return boot_fail(e, 125, r, "make the container's namespaces", NULL);
    c->fs = fs_ctx_new(&root_path, &root_path, 0);
    if (!c->fs)
        return boot_fail(e, 125, -LX_ENOMEM, "mount the root", NULL);
    vfs_current->mnt_ns = c->ns->mnt;
    proc_boot_ns = c->ns->pid_for_children;
    vfs_current->fs = c->fs;
    if (make_mounts(cfg, lanes, e) < 0)
        return -1;
    if ((cfg->flags & BOOT_DEV_NODES) && make_dev_nodes(cfg->process.flags & BOOT_P_TTY, e) < 0)
        return -1;
    if (make_devices(cfg, e) < 0 || make_sysctls(cfg, e) < 0)
        return -1;
    const char *cwd = cfg->process.cwd;
    if (cwd && *cwd && (cfg->flags & BOOT_DEV_NODES)) {
        r = make_place(cwd, false); /* what cannot be made is reported when it is entered */
        if (r < 0)
            log_debug("no working directory: error %d", -r);
    }
    return make_restrictions(cfg, e);
}

int container_boot(struct boot_container *cfg, const int *lanes, bool is_first,
                   struct container **ret_c, struct boot_error *e)
{
    struct vfs_task boot_task = {.rlimit_fsize = UINT64_MAX, .rlimit_nofile = 1024};
    struct container *c = calloc(1, sizeof(*c));
    struct cred *cred = cred_new_root();
    if (!c || !cred) {
        free(c);
        cred_put(cred);
        return boot_fail(e, 125, -LX_ENOMEM, "boot", NULL);
    }
    ref_init(&c->ref);
    list_init(&c->node);
    mutex_init(&c->lock, "container");
    waitq_init(&c->wait);
    waitq_init(&c->freezer.wait);
    c->is_first = is_first;
    c->is_pid_shared = !is_first && cfg->pid_ns_of && *cfg->pid_ns_of;
    c->state = CTL_ST_CREATED;
    c->limits.max_tasks = cfg->pids_limit ? cfg->pids_limit : UINT64_MAX;
    c->limits.cpu_quota_us = cfg->cpu_quota_us;
    c->limits.cpu_period_us = cfg->cpu_period_us;
    cred->user_ns = &root_user_ns;
    boot_task.cred = cred;
    vfs_current = &boot_task;
    int r = fill(c, cfg, lanes, e);
    vfs_current = NULL;
    proc_boot_ns = NULL;
    cred_put(cred);
    if (r < 0) {
        container_put(c);
        return r;
    }
    c->id = take_ptr(cfg->id);
    c->dev_rules = take_ptr(cfg->dev_rules);
    c->ndev_rules = cfg->ndev_rules;
    c->first = cfg->process;
    cfg->process = (struct boot_process){0};
    *ret_c = c;
    return 0;
}
