/* Overlay: supers, options of mount(2), the container's root. */
#include "fs/overlay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "fs/overlay_int.h"
#include "fs/tmpfs.h"

static int ovl_statfs(struct super *sb, struct kstatfs *ret)
{
    struct ovl_super *os = ovl_sb(sb);
    const struct path *p = os->upper.dentry ? &os->upper : &os->lowers[0];
    int r = vfs_statfs(p, ret);
    if (r < 0)
        return r;
    ret->type = LX_OVERLAYFS_SUPER_MAGIC;
    ret->flags = 0; /* of the layer's mount, which nobody sees */
    return 0;
}

static int ovl_sync(struct super *sb)
{
    struct ovl_super *os = ovl_sb(sb);
    struct super *up = os->upper.dentry ? os->upper.dentry->sb : NULL;
    return up && up->ops && up->ops->sync ? up->ops->sync(up) : 0;
}

static void ovl_free(struct ovl_super *os)
{
    if (!os)
        return;
    for (u32 k = 0; os->lowers && k < os->nlowers; k++)
        path_put(&os->lowers[k]);
    free(os->lowers);
    path_put(&os->upper);
    free(os->options);
    free(os);
}

static void ovl_kill(struct super *sb)
{
    ovl_free(sb->priv);
    sb->priv = NULL;
}

static void ovl_show_options(struct super *sb, char *buf, size_t size)
{
    struct ovl_super *os = ovl_sb(sb);
    snprintf(buf, size, "%s", os->options ? os->options : "");
}

static int ovl_remount(struct super *sb, u32 flags, const char *opts)
{
    struct ovl_super *os = ovl_sb(sb);
    return !(flags & LX_MS_RDONLY) && !os->upper.dentry ? -LX_EROFS : 0;
}

/* Pinned nodes hold the super; they go with its last mount. */
static void ovl_unpin_all(struct super *sb)
{
    struct ovl_super *os = ovl_sb(sb);
    for (u32 b = 0; b < OVL_NBUCKETS; b++) {
        for (;;) {
            struct ovl_node *n;
            struct inode *found = NULL;
            mutex_lock(&os->table_lock);
            list_for_each (n, &os->by_lower[b], bucket) {
                if (n->is_pinned) {
                    found = n->inode;
                    break;
                }
            }
            mutex_unlock(&os->table_lock);
            if (!found)
                break;
            ovl_unpin(found);
        }
    }
}

const struct super_ops ovl_super_ops = {
    .statfs = ovl_statfs,
    .sync = ovl_sync,
    .evict = ovl_evict,
    .shutdown = ovl_unpin_all,
    .kill = ovl_kill,
    .remount = ovl_remount,
    .show_options = ovl_show_options,
};

/* ---- making -------------------------------------------------------------------------------- */

static u32 depth_of(const struct path *p)
{
    return p->dentry ? p->dentry->sb->depth : 0;
}

/* A layer: a mount of our own of what is at `at`. */
static int layer_of_path(const struct path *at, struct path *ret)
{
    if (at->dentry->sb->flags & SB_SERVED)
        return -LX_EINVAL; /* whoever serves it must not be waited for with our locks held */
    struct mount *m = mount_clone(at->mnt, at->dentry);
    if (!m)
        return -LX_ENOMEM;
    m->flags = LX_MS_NOATIME;
    dentry_get(at->dentry);
    *ret = (struct path){m, at->dentry};
    return 0;
}

static int layer_of_super(struct super *sb, struct path *ret)
{
    struct mount *m = mount_new(sb, LX_MS_NOATIME);
    if (!m)
        return -LX_ENOMEM;
    dentry_get(m->root);
    *ret = (struct path){m, m->root};
    return 0;
}

static struct ovl_super *ovl_alloc(u32 nlowers)
{
    struct ovl_super *os = calloc(1, sizeof(*os));
    if (!os)
        return NULL;
    os->lowers = calloc(nlowers ? nlowers : 1, sizeof(*os->lowers));
    if (!os->lowers) {
        free(os);
        return NULL;
    }
    mutex_init(&os->table_lock, "ovl_table");
    for (u32 b = 0; b < OVL_NBUCKETS; b++)
        list_init(&os->by_lower[b]);
    return os;
}

/* Layers are in place; os is consumed in any case. */
static int ovl_finish(struct ovl_super *os, const char *source, struct super **ret_sb)
{
    struct path upper = os->upper, *lower = calloc(os->nlowers ? os->nlowers : 1, sizeof(*lower));
    struct inode *root;
    u32 depth = depth_of(&os->upper);
    for (u32 k = 0; k < os->nlowers; k++)
        depth = MAX(depth, depth_of(&os->lowers[k]));
    os->depth = depth + 1;
    struct super *sb = lower && os->depth <= OVL_MAX_DEPTH
                           ? super_new(&overlay_type, &ovl_super_ops, source, os)
                           : NULL;
    if (!sb) {
        int r = lower && os->depth > OVL_MAX_DEPTH ? -LX_EINVAL : -LX_ENOMEM;
        free(lower);
        ovl_free(os);
        return r;
    }
    super_set_depth(sb, os->depth);
    path_get(&upper);
    u32 nlower = 0;
    for (; nlower < os->nlowers; nlower++) {
        lower[nlower] = os->lowers[nlower];
        path_get(&lower[nlower]);
    }
    if (!os->upper.dentry)
        sb->flags |= SB_RDONLY;
    for (u32 k = 0; k < os->nlowers; k++) {
        if (os->lowers[k].dentry->sb->flags & SB_REVALIDATE) {
            sb->flags |= SB_REVALIDATE;
            sb->d_ops = &ovl_shared_dops;
        }
    }
    int r = ovl_make(sb, NULL, &upper, lower, nlower, &root);
    if (r == 0 && !(sb->root = dentry_make_root(sb, root)))
        r = -LX_ENOMEM;
    if (r < 0) {
        super_put(sb);
        return r;
    }
    *ret_sb = sb;
    return 0;
}

int overlay_new(struct super *const *lowers, u32 nlowers, struct super *upper,
                struct super **ret_sb)
{
    if (nlowers > OVL_MAX_LOWERS || (nlowers == 0 && !upper))
        return -LX_EINVAL;
    struct ovl_super *os = ovl_alloc(nlowers);
    if (!os)
        return -LX_ENOMEM;
    os->is_private = true;
    os->prefix = "cvisor.overlay.";
    int r = upper ? layer_of_super(upper, &os->upper) : 0;
    while (r == 0 && os->nlowers < nlowers) {
        r = layer_of_super(lowers[os->nlowers], &os->lowers[os->nlowers]);
        if (r == 0)
            os->nlowers++;
    }
    if (r < 0) {
        ovl_free(os);
        return r;
    }
    return ovl_finish(os, "overlay", ret_sb);
}

int overlay_new_on_tmpfs(struct super *lower, u64 size, struct super **ret_sb)
{
    struct super *upper;
    struct kstat st;
    char opts[64] = "mode=755";
    if (size)
        snprintf(opts, sizeof(opts), "mode=755,size=%llu", (unsigned long long)size);
    int r = tmpfs_type.mount(&tmpfs_type, 0, "tmpfs", opts, &upper);
    if (r < 0)
        return r;
    struct inode *ui = upper->root->inode;
    struct path at = {NULL, lower->root};
    r = vfs_stat(&at, &st);
    if (r == 0) { /* the merged root looks like the lower one */
        ui->mode = st.mode;
        ui->uid = st.uid;
        ui->gid = st.gid;
        ui->mtime = st.mtime;
        r = overlay_new(&lower, 1, upper, ret_sb);
    }
    super_put(upper);
    return r;
}

/* ---- options ------------------------------------------------------------------------------- */

struct options {
    char *lower, *upper, *work; /* into the copied string */
    bool is_userxattr;
};

/* The next option: separated by commas, where "\," is none. */
static char *next_option(char **at)
{
    char *s = *at, *in = s, *out = s;
    if (!s || !*s)
        return NULL;
    while (*in && *in != ',') {
        if (in[0] == '\\' && in[1] == ',')
            in++;
        *out++ = *in++;
    }
    *at = *in ? in + 1 : in;
    *out = '\0';
    return s;
}

static int parse(char *text, struct options *o)
{
    static const char *const ignored[] = {"workdir",  "redirect_dir", "index",
                                          "uuid",     "nfs_export",   "xino",
                                          "metacopy", "volatile",     "verity"};
    char *at = text, *s;
    while ((s = next_option(&at))) {
        char *val = strchr(s, '=');
        if (val)
            *val++ = '\0';
        bool is_known = false;
        if (!strcmp(s, "lowerdir") && val) {
            o->lower = val;
            is_known = true;
        } else if (!strcmp(s, "upperdir") && val) {
            o->upper = val;
            is_known = true;
        } else if (!strcmp(s, "userxattr")) {
            o->is_userxattr = is_known = true;
        }
        if (!strcmp(s, "workdir"))
            o->work = val;
        for (size_t k = 0; k < ARRAY_SIZE(ignored); k++)
            is_known |= !strcmp(s, ignored[k]);
        if (!is_known && *s)
            return -LX_EINVAL;
    }
    return o->lower ? 0 : -LX_EINVAL;
}

static int walk_dir(const char *name, struct path *ret)
{
    return vfs_walk(LX_AT_FDCWD, name, WALK_FOLLOW | WALK_DIRECTORY, ret);
}

/* "a:b:c", where "\:" is a colon of a name; "::" starts data-only layers, which are refused. */
static int add_lowers(struct ovl_super *os, char *list)
{
    char *in = list;
    while (*in) {
        char *out = in, *start = in;
        while (*in && *in != ':') {
            if (in[0] == '\\' && in[1])
                in++;
            *out++ = *in++;
        }
        bool is_end = !*in;
        *out = '\0';
        if (!*start || os->nlowers == OVL_MAX_LOWERS)
            return -LX_EINVAL;
        struct path at;
        int r = walk_dir(start, &at);
        if (r < 0)
            return r;
        r = layer_of_path(&at, &os->lowers[os->nlowers]);
        path_put(&at);
        if (r < 0)
            return r;
        os->nlowers++;
        if (is_end)
            break;
        in++;
        if (!*in)
            return -LX_EINVAL;
    }
    return os->nlowers ? 0 : -LX_EINVAL;
}

static int set_upper(struct ovl_super *os, const struct options *o)
{
    struct path up, work;
    if (!o->work)
        return -LX_EINVAL;
    int r = walk_dir(o->upper, &up);
    if (r < 0)
        return r;
    r = walk_dir(o->work, &work);
    if (r == 0) {
        bool is_apart = up.mnt == work.mnt && up.dentry != work.dentry &&
                        !dentry_is_ancestor(up.dentry, work.dentry) &&
                        !dentry_is_ancestor(work.dentry, up.dentry);
        r = !is_apart ? -LX_EINVAL : up.mnt->flags & LX_MS_RDONLY ? -LX_EROFS : 0;
        if (r == 0 && (up.dentry->sb->flags & SB_RDONLY))
            r = -LX_EROFS;
        if (r == 0)
            r = layer_of_path(&up, &os->upper);
        path_put(&work);
    }
    path_put(&up);
    return r;
}

static u32 count_lowers(const char *s)
{
    u32 n = 1;
    for (; *s; s++)
        n += *s == ':';
    return n;
}

static int overlay_mount(const struct fs_type *t, u32 ms_flags, const char *source,
                         const char *opts, struct super **ret_sb)
{
    struct options o = {0};
    char *text = strdup(opts);
    if (!text)
        return -LX_ENOMEM;
    int r = parse(text, &o);
    struct ovl_super *os = r == 0 ? ovl_alloc(count_lowers(o.lower)) : NULL;
    if (r == 0 && !os)
        r = -LX_ENOMEM;
    if (r == 0) {
        os->prefix = o.is_userxattr ? "user.overlay." : "trusted.overlay.";
        size_t n = strlen(opts) + 2;
        os->options = malloc(n);
        r = os->options ? 0 : -LX_ENOMEM;
        if (r == 0)
            snprintf(os->options, n, ",%s", opts);
    }
    if (r == 0 && o.upper)
        r = set_upper(os, &o);
    if (r == 0)
        r = add_lowers(os, o.lower);
    free(text);
    if (r < 0) {
        ovl_free(os);
        return r;
    }
    return ovl_finish(os, source, ret_sb);
}

struct fs_type overlay_type = {.name = "overlay", .flags = FS_USERNS_MOUNT, .mount = overlay_mount};
