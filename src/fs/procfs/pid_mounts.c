/*
 * /proc/PID/{mounts,mountinfo,mountstats}: proc_pid_mountinfo(5). poll(2) reports POLLERR|POLLPRI
 * after a change of the mount namespace, once for each open file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/kern_int.h"
#include "procfs/pid.h"
#include "vfs/special.h"

struct mounts_file {
    struct pfile text; /* first: the text operations use it */
    struct mnt_ns *ns; /* counted: of the process at open */
    _Atomic u64 seen_event;
};

static const struct {
    u32 flag;
    const char *text;
} mount_flags[] = {
    {LX_MS_NOSUID, ",nosuid"},           {LX_MS_NODEV, ",nodev"},
    {LX_MS_NOEXEC, ",noexec"},           {LX_MS_NOATIME, ",noatime"},
    {LX_MS_NODIRATIME, ",nodiratime"},   {LX_MS_RELATIME, ",relatime"},
    {LX_MS_NOSYMFOLLOW, ",nosymfollow"},
};

static void put_mount_flags(struct seq *s, const struct mount *m)
{
    for (size_t i = 0; i < ARRAY_SIZE(mount_flags); i++)
        if (m->flags & mount_flags[i].flag)
            seq_puts(s, mount_flags[i].text);
}

static void put_super_options(struct seq *s, struct super *sb)
{
    char opts[4096] = "";
    if (sb->ops && sb->ops->show_options)
        sb->ops->show_options(sb, opts, sizeof(opts));
    opts[sizeof(opts) - 1] = 0;
    seq_puts(s, opts);
}

static const char *source_of(const struct mount *m)
{
    return m->sb->source && m->sb->source[0] ? m->sb->source : "none";
}

#define ESCAPES " \t\n\\#"

struct walk_state {
    struct seq *s;
    struct path root; /* of the process that is looked at */
    u64 index;        /* of the mount under way; those below s->cursor are done */
    void (*fn)(struct walk_state *w, struct mount *m, const char *at);
    char path[MAX_PATH];
};

static void each_mount(struct mount *m, void *arg)
{
    struct walk_state *w = arg;
    struct path p = {m, m->root};
    if (w->index++ < w->s->cursor || seq_is_full(w->s))
        return;
    w->s->cursor = w->index;
    s64 n = vfs_path_string(&p, &w->root, w->path, sizeof(w->path));
    if (n > 0 && w->path[0] == '/') /* else: not below the process's root */
        w->fn(w, m, w->path);
}

/* Prints the mounts that the process sees, from the cursor on. */
static int walk_mounts(struct seq *s, const struct pinode *pi,
                       void (*fn)(struct walk_state *w, struct mount *m, const char *at))
{
    struct task *t = pinode_task(pi);
    struct nsproxy *ns = t ? task_get_ns(t) : NULL;
    struct fs_ctx *fs = t ? task_get_fs(t) : NULL;
    struct walk_state *w = calloc(1, sizeof(*w));
    int r = !w ? -LX_ENOMEM : !ns || !fs || !ns->mnt ? -LX_EINVAL : 0;
    if (r == 0) {
        w->s = s;
        w->fn = fn;
        fs_ctx_root(fs, &w->root);
        mnt_ns_for_each(ns->mnt, each_mount, w);
        if (w->index <= s->cursor)
            s->cursor = SEQ_END;
        path_put(&w->root);
    }
    free(w);
    if (fs)
        fs_ctx_put(fs);
    if (ns)
        nsproxy_put(ns);
    task_put(t);
    return r;
}

static void put_type(struct seq *s, const struct super *sb)
{
    seq_puts(s, sb->type->name);
    if (!sb->subtype)
        return;
    seq_putc(s, '.');
    seq_escape(s, sb->subtype, ESCAPES);
}

static void put_mounts_line(struct walk_state *w, struct mount *m, const char *at)
{
    struct seq *s = w->s;
    seq_escape(s, source_of(m), ESCAPES);
    seq_putc(s, ' ');
    seq_escape(s, at, ESCAPES);
    bool is_ro = (m->flags & LX_MS_RDONLY) || (m->sb->flags & SB_RDONLY);
    seq_putc(s, ' ');
    put_type(s, m->sb);
    seq_puts(s, is_ro ? " ro" : " rw");
    put_mount_flags(s, m);
    put_super_options(s, m->sb);
    seq_puts(s, " 0 0\n");
}

int show_mounts(struct seq *s, const struct pinode *pi)
{
    return walk_mounts(s, pi, put_mounts_line);
}

/* The path of a mount's root inside its file system. */
static void put_root_in_super(struct walk_state *w, struct mount *m)
{
    struct seq rev = {0}; /* names from the last to the first */
    u32 nnames = 0;
    size_t starts[128];
    epoch_enter();
    for (struct dentry *d = m->root, *up; nnames < ARRAY_SIZE(starts); d = up) {
        up = d->parent;
        if (up == d)
            break;
        starts[nnames++] = rev.size;
        seq_puts(&rev, d->name);
        seq_putc(&rev, 0);
    }
    epoch_exit();
    bool is_named = m->sb->flags & SB_NAMED;
    if (nnames == 0 || rev.is_failed)
        seq_putc(w->s, '/');
    else
        while (nnames-- > 0) {
            if (!is_named)
                seq_putc(w->s, '/');
            seq_escape(w->s, rev.buf + starts[nnames], ESCAPES);
        }
    seq_done(&rev);
}

static void put_mountinfo_line(struct walk_state *w, struct mount *m, const char *at)
{
    struct seq *s = w->s;
    seq_printf(s, "%d %d %u:%u ", m->id, m->parent ? m->parent->id : 1, DEV_MAJOR(m->sb->dev),
               DEV_MINOR(m->sb->dev));
    put_root_in_super(w, m);
    seq_putc(s, ' ');
    seq_escape(s, at, ESCAPES);
    seq_puts(s, m->flags & LX_MS_RDONLY ? " ro" : " rw");
    put_mount_flags(s, m);
    if (m->peer_group)
        seq_printf(s, " shared:%d", m->peer_group);
    if (m->master_group)
        seq_printf(s, " master:%d", m->master_group);
    if (m->is_unbindable)
        seq_puts(s, " unbindable");
    seq_puts(s, " - ");
    put_type(s, m->sb);
    seq_putc(s, ' ');
    seq_escape(s, source_of(m), ESCAPES);
    seq_puts(s, m->sb->flags & SB_RDONLY ? " ro" : " rw");
    put_super_options(s, m->sb);
    seq_putc(s, '\n');
}

int show_mountinfo(struct seq *s, const struct pinode *pi)
{
    return walk_mounts(s, pi, put_mountinfo_line);
}

static void put_mountstats_line(struct walk_state *w, struct mount *m, const char *at)
{
    struct seq *s = w->s;
    seq_puts(s, "device ");
    seq_escape(s, source_of(m), ESCAPES);
    seq_puts(s, " mounted on ");
    seq_escape(s, at, ESCAPES);
    seq_puts(s, " with fstype ");
    put_type(s, m->sb);
    seq_putc(s, '\n');
}

int show_mountstats(struct seq *s, const struct pinode *pi)
{
    return walk_mounts(s, pi, put_mountstats_line);
}

/* ---- the file: text, and poll
 * --------------------------------------------------------------------- */

static int mounts_open(struct inode *i, struct file *f)
{
    struct task *t = pinode_task(pinode_of(i));
    struct nsproxy *ns = t ? task_get_ns(t) : NULL;
    task_put(t);
    if (!ns || !ns->mnt) {
        if (ns)
            nsproxy_put(ns);
        return -LX_EINVAL;
    }
    struct mounts_file *mf = calloc(1, sizeof(*mf));
    if (mf) {
        mutex_init(&mf->text.lock, "proc_text");
        mf->ns = ns->mnt;
        mnt_ns_get(mf->ns);
        mf->seen_event = atomic_load(&mf->ns->event);
        f->priv = mf;
    }
    nsproxy_put(ns);
    return mf ? 0 : -LX_ENOMEM;
}

static s64 mounts_read(struct file *f, struct uio *to, s64 *off)
{
    return ptext_fops.read(f, to, off);
}

static void mounts_release(struct file *f)
{
    struct mounts_file *mf = f->priv;
    if (!mf)
        return;
    seq_done(&mf->text.seq);
    mnt_ns_put(mf->ns);
    free(mf);
}

static u32 mounts_poll(struct file *f)
{
    struct mounts_file *mf = f->priv;
    u64 now = atomic_load(&mf->ns->event);
    u32 ready = WAIT_IN | WAIT_RDNORM;
    if (atomic_exchange(&mf->seen_event, now) != now)
        ready |= WAIT_ERR | WAIT_PRI;
    return ready;
}

static struct waitq *mounts_pollq(struct file *f)
{
    return &((struct mounts_file *)f->priv)->ns->wait;
}

const struct file_ops mounts_fops = {.open = mounts_open,
                                     .read = mounts_read,
                                     .seek = cursor_seek,
                                     .release = mounts_release,
                                     .poll = mounts_poll,
                                     .pollq = mounts_pollq};
