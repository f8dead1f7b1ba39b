/*
 * What the files of procfs share.
 *
 * A tree is made of `pnode`s: constant tables. An inode points at its node and, below /proc/PID,
 * counts a `struct pid`: the process is looked up again at every use, so that a
 * name outlives its process safely (ESRCH) and an exec under another thread's name is followed.
 *
 * Reading a text file: `show` prints into a seq, from a cursor. Small files print everything at
 * once; long ones (maps, mounts) print some 64 KiB and leave the cursor at where to
 * go on. So the memory of an open file is bounded, and text that was printed
 * once is what all reads of that part see until the file is read from 0 again.
 */
#ifndef PROCFS_PROC_INT_H
#define PROCFS_PROC_INT_H

#include "kern/parts.h"
#include "kern/task.h"
#include "procfs/procfs.h"
#include "vfs/vfs.h"

/* ---- seq ----------------------------------------------------------------------------------- */

#define SEQ_CHUNK (64UL * 1024)
#define SEQ_END   UINT64_MAX

struct seq {
    char *buf;
    size_t size, room;
    u64 cursor;    /* where to go on; SEQ_END: done. show gets 0 first */
    bool is_failed; /* out of memory */
    struct user_ns *user_ns; /* PN_USER_NS: of the process at open; counted */
};
void seq_write(struct seq *s, const void *bytes, size_t size);
void seq_done(struct seq *s);

/* ---- nodes --------------------------------------------------------------------------------- */

struct pnode;
struct proc_super;
struct pinode { /* inode->priv */
    const struct pnode *node;
    struct pid *pid;     /* counted; NULL: not about a process */
    bool is_thread;      /* the thread of that pid, not its process */
    s32 nr;              /* fd, cpu: what a dynamic directory numbers */
    struct proc_super *ps; /* of its mount; NULL: not on a proc */
    struct net_ns *net;    /* whose interfaces its mount shows; NULL: not on a sysfs */
};

struct pfile { /* file->priv of text files */
    struct mutex lock;
    struct seq seq;      /* guarded by lock, as all below: the chunk that was printed last */
    u64 base;            /* file offset of its first byte */
    bool is_valid;
    u32 exec_seq;        /* of the process at open (PN_READ_MM): text of a later program is not shown */
};

typedef int (*pshow_fn)(struct seq *s, const struct pinode *pi);
/* One write(2): buf is NUL-terminated after size bytes. Returns size or an error. */
typedef s64 (*pwrite_fn)(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);

#define PN_READ_MM   1U /* open needs ptrace read access; bound to the program at open */
#define PN_ATTACH    2U /* open needs ptrace attach access */
#define PN_NO_THREAD 4U /* not below task/ */
#define PN_ONLY_THREAD 8U
#define PN_ROOT_OWNED 16U /* root's also when the process is dumpable */
#define PN_USER_NS   64U /* bound to the user namespace at open */
#define PN_READ_CHECK 32U /* each read needs ptrace read access */

/* Small, because there are many and each process that starts relocates them all. */
struct pnode {
    const char *name;
    u16 mode; /* with S_IFMT: tells which of the three below is meant */
    u16 flags;
    u32 size; /* st_size */
    union {
        struct { /* regular files */
            pshow_fn show;
            pwrite_fn write;
        };
        struct { /* directories with a fixed table */
            const struct pnode *children;
            u32 nchildren;
        };
        struct { /* symbolic links */
            s64 (*readlink)(const struct pinode *pi, char *buf, size_t size);
            int (*follow)(const struct pinode *pi, struct path *ret_path);
        };
    };
    const struct inode_ops *iops; /* NULL: by kind */
    const struct file_ops *fops;
    const void *arg; /* the node's own */
};

static inline bool pnode_is_dir(const struct pnode *n)
{
    return (n->mode & LX_S_IFMT) == LX_S_IFDIR;
}

#define PDIR(n, table)   {.name = n, .mode = LX_S_IFDIR | 0555, .children = table, .nchildren = ARRAY_SIZE(table)}
#define PREG(n, m, fn)   {.name = n, .mode = LX_S_IFREG | (m), .show = fn}
#define PREGW(n, m, fn, w) {.name = n, .mode = LX_S_IFREG | (m), .show = fn, .write = w}

static inline struct pinode *pinode_of(struct inode *i)
{
    return i->priv;
}

/* An inode for a node. pid (may be NULL) is counted here. */
struct inode *pnode_inode(struct super *sb, const struct pnode *n, struct pid *pid, bool is_thread,
                          s32 nr) must_check;
/* Fills a lookup's dentry; out of memory is the only error. */
int pnode_instantiate(struct inode *dir, struct dentry *d, const struct pnode *n, struct pid *pid,
                      bool is_thread, s32 nr) must_check;
const struct pnode *pnode_child(const struct pnode *dir, const char *name, size_t size);
/* Emits "." and ".." and the fixed table; pos 2 + index. True: go on behind them. */
bool pnode_emit_fixed(struct file *f, struct dir_ctx *ctx, bool is_thread);
u64 pnode_ino(const struct pnode *n, const struct pid *pid, bool is_thread, s32 nr);
/* A directory's file_ops.seek. */
s64 pdir_seek(struct file *f, s64 off, int whence) must_check;
int pnode_lookup(struct inode *dir, struct dentry *d) must_check; /* in the fixed table; else ENOENT */
int pnode_setattr(struct inode *i, const struct iattr *a) must_check;

extern const struct inode_ops pdir_iops, plink_iops, pmagic_iops, pfile_iops;
extern const struct file_ops pdir_fops, ptext_fops;

/* ---- processes ----------------------------------------------------------------------------- */

struct proc_super { /* super->priv */
    struct pid_ns *ns;   /* counted */
    _Atomic int hidepid;
    _Atomic u32 gid;
    bool is_subset_pid;
};
static inline struct proc_super *proc_super_of(const struct inode *i)
{
    return i->sb->priv;
}

/* Referenced, or NULL (ESRCH). The thread, or its process's leader (or another live thread). */
struct task *pinode_task(const struct pinode *pi);
/* The mm, when the current task may see it and the program is still that of exec_seq. NULL: as an exited one. */
struct mm *pinode_mm(const struct pinode *pi);
/* A whole decimal number without leading zeros; -1. */
s64 parse_pid(const char *name, size_t size);
/* Trims, then a whole number; false: not one. */
bool parse_s64(const char *text, s64 *ret);
bool parse_u64(const char *text, u64 *ret);
/* The pid namespace of the mount that a node was found on, for numbers in its text. */
struct pid_ns *pinode_ns(const struct pinode *pi);

extern const struct super_ops proc_super_ops; /* root.c; tells a proc super from others */

/* pid_dir.c */
extern const struct pnode pid_node, tid_node;
extern const struct inode_ops pid_iops; /* root.c: hidepid */
/* pid_fd.c */
extern const struct pnode fd_dir_node, fdinfo_dir_node;
extern const struct inode_ops fd_dir_iops;
/* root.c and its parts */
extern const struct pnode proc_root_node;
extern const struct pnode proc_sys_node;   /* sysctl.c */
extern const struct pnode net_dir_node;    /* net.c */

/* Text files of the machine: system.c, cpuinfo.c */
int show_meminfo(struct seq *s, const struct pinode *pi);
int show_cpuinfo(struct seq *s, const struct pinode *pi);
int show_stat(struct seq *s, const struct pinode *pi);
int show_uptime(struct seq *s, const struct pinode *pi);
int show_loadavg(struct seq *s, const struct pinode *pi);
int show_version(struct seq *s, const struct pinode *pi);
int show_filesystems(struct seq *s, const struct pinode *pi);
int show_devices(struct seq *s, const struct pinode *pi);
int show_vmstat(struct seq *s, const struct pinode *pi);
int show_swaps(struct seq *s, const struct pinode *pi);
int show_partitions(struct seq *s, const struct pinode *pi);
int show_interrupts(struct seq *s, const struct pinode *pi);
int show_softirqs(struct seq *s, const struct pinode *pi);
int show_locks(struct seq *s, const struct pinode *pi);
int show_keys(struct seq *s, const struct pinode *pi);
int show_key_users(struct seq *s, const struct pinode *pi);
int show_misc(struct seq *s, const struct pinode *pi);
int show_cmdline_kernel(struct seq *s, const struct pinode *pi);
int show_cgroups(struct seq *s, const struct pinode *pi);
int show_empty(struct seq *s, const struct pinode *pi);
int show_zoneinfo(struct seq *s, const struct pinode *pi);
int show_buddyinfo(struct seq *s, const struct pinode *pi);
int show_eperm(struct seq *s, const struct pinode *pi);
/* sysvipc.c */
int show_sysvipc_msg(struct seq *s, const struct pinode *pi);
int show_sysvipc_sem(struct seq *s, const struct pinode *pi);
int show_sysvipc_shm(struct seq *s, const struct pinode *pi);

/* pid_status.c: "0-3,5" and "0f" as kernels print cpu sets */
void seq_cpu_list(struct seq *s, u64 mask);
void seq_cpu_mask(struct seq *s, u64 mask);

/* sysfs.c, cgroupfs.c */
int sysfs_init(void) must_check;
extern const struct super_ops sysfs_super_ops;
const struct inode_ops *sysfs_dir_iops(void);
/* sysfs_net.c: /sys/class/net and /sys/devices/virtual/net */
extern const struct inode_ops class_net_iops, virtual_net_iops;
extern const struct file_ops class_net_fops, virtual_net_fops;
void pnode_evict(struct inode *i); /* super_ops.evict of a file system without processes */
int cgroupfs_init(void) must_check;

#endif
