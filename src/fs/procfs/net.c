/* /proc/PID/net: the directory of files that the net room describes. */
#include <stdlib.h>
#include <string.h>

#include "kern/kern_int.h"
#include "procfs/pid.h"

static const struct procfs_net_file *net_files; /* set at start */
static u32 nnet_files;
static struct pnode *net_nodes; /* one for each */

static int show_net(struct seq *s, const struct pinode *pi)
{
    const struct procfs_net_file *nf = pi->node->arg;
    struct task *t = pinode_task(pi);
    struct nsproxy *ns = t ? task_get_ns(t) : NULL;
    task_put(t);
    if (!ns)
        return -LX_EINVAL;
    int r = 0;
    while (r == 0 && s->cursor != SEQ_END && !seq_is_full(s)) {
        u64 before = s->cursor;
        r = nf->show(s, ns->net, &s->cursor, nf->arg);
        if (s->cursor == before)
            s->cursor = SEQ_END;
    }
    nsproxy_put(ns);
    return r;
}

void procfs_set_net_files(const struct procfs_net_file *files, u32 count)
{
    net_nodes = calloc(count, sizeof(*net_nodes));
    if (!net_nodes)
        return;
    for (u32 i = 0; i < count; i++)
        net_nodes[i] = (struct pnode){.name = files[i].name,
                                      .mode = LX_S_IFREG | 0444,
                                      .show = show_net,
                                      .arg = &files[i]};
    net_files = files;
    nnet_files = count;
}

static int net_lookup(struct inode *dir, struct dentry *d)
{
    const struct pinode *pi = pinode_of(dir);
    for (u32 i = 0; i < nnet_files; i++)
        if (!strcmp(net_files[i].name, d->name))
            return pnode_instantiate(dir, d, &net_nodes[i], pi->pid, pi->is_thread, -1);
    return -LX_ENOENT;
}

static int net_readdir(struct file *f, struct dir_ctx *ctx)
{
    const struct pinode *pi = pinode_of(f->inode);
    if (f->pos < 2 && !pnode_emit_fixed(f, ctx, pi->is_thread))
        return 0;
    for (; f->pos >= 2 && f->pos - 2 < nnet_files; f->pos++) {
        const struct pnode *n = &net_nodes[f->pos - 2];
        if (!ctx->emit(ctx, n->name, strlen(n->name), pnode_ino(n, pi->pid, pi->is_thread, -1),
                       LX_DT_REG, f->pos + 1))
            break;
    }
    return 0;
}

const struct inode_ops net_dir_iops = {.lookup = net_lookup, .setattr = pnode_setattr};
const struct file_ops net_dir_fops = {.readdir = net_readdir, .seek = pdir_seek};
