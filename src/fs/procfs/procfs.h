/*
 * proc, sys and a minimal cgroup file system: what the kernel tells about itself in text.
 * They stand above kern: everything in them is made from the objects of the
 * rooms below at the moment it is read. Nothing here reads the host's /proc.
 */
#ifndef PROCFS_PROCFS_H
#define PROCFS_PROCFS_H

#include "base/defs.h"

struct seq;

struct file;
struct pid;
/* The process whose directory /proc/PID f is open on; not referenced. NULL: it is something else. */
struct pid *procfs_pid_of_dir(struct file *f);

/*
 * Whether the current task may put a process into the control group that the descriptor is of: there is
 * one group, so that it is in there already. -LX_EBADF: no group of the second version; -LX_EACCES.
 */
int procfs_may_join_cgroup(int fd) must_check;

struct task;
/* As /proc/PID/stat has it: R, S, D, T, t, Z or X. Takes t->ptr_lock. */
char task_state_letter(struct task *t);

/* Registers the file system types "proc", "sysfs", "cgroup2" and "cgroup". */
int procfs_init(void) must_check;

/*
 * Files below /proc/net that a higher room makes (net: tcp, udp, unix, dev, …). show prints from
 * *cursor (0 at first) and leaves it at where to go on, or at UINT64_MAX at the end; it
 * may print any number of lines a call. net: the namespace of the process asked for.
 */
struct net_ns;
struct procfs_net_file {
    const char *name;
    int (*show)(struct seq *s, struct net_ns *net, u64 *cursor, const void *arg);
    const void *arg; /* show's own */
};
/* Called once at start; the table stays the caller's. */
void procfs_set_net_files(const struct procfs_net_file *files, u32 count);

/* A network interface as sysfs shows it below /sys/class/net. */
struct procfs_netdev {
    s32 index;
    char name[16];
    u32 flags, mtu; /* LX_IFF_* */
    u16 type;       /* LX_ARPHRD_* */
    u8 mac[6];
    u64 rx_bytes, rx_packets, rx_errors, rx_dropped, multicast;
    u64 tx_bytes, tx_packets, tx_dropped;
};
/* Called once at start. nth: the namespace's interfaces in order, from 0; false: there are not so many. */
void procfs_set_netdevs(bool (*nth)(struct net_ns *ns, u32 nth, struct procfs_netdev *ret));

/* The values of /proc/sys/net of one namespace. NULL: no memory. The first has also what all share
 * and is never freed. */
struct sysctl_net_set;
struct sysctl_net_set *procfs_sysctl_net_new(void) must_check;
void procfs_sysctl_net_free(struct sysctl_net_set *s);
/* How to find those of a namespace; called once at start. */
void procfs_set_sysctl_net(struct sysctl_net_set *(*set_of)(struct net_ns *ns));
/* The number behind a file of /proc/sys/net ("ipv4/ip_forward"), for the stack to read; NULL: none.
 * Of a range ("ipv4/ip_local_port_range") the first; the second follows it. */
_Atomic s64 *procfs_sysctl_net(struct sysctl_net_set *set, const char *path);

/* For those: text into the buffer; a seq that is full marks itself and loses nothing. */
void seq_printf(struct seq *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void seq_puts(struct seq *s, const char *text);
void seq_putc(struct seq *s, char c);
/* Octal escapes for the bytes of `esc`, as in /proc/mounts. */
void seq_escape(struct seq *s, const char *text, const char *esc);
/* True when the caller should stop for now and keep its place in the cursor. */
bool seq_is_full(const struct seq *s);

struct pid_ns;
/* Whose processes a proc shows that a thread without a task mounts (a container's boot); NULL: the
 * sandbox's root namespace's. */
extern _Thread_local struct pid_ns *proc_boot_ns;

#endif
