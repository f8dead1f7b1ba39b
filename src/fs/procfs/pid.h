/* The files of /proc/PID among themselves: what the table in pid_dir.c names. */
#ifndef PROCFS_PID_H
#define PROCFS_PID_H

#include "procfs/proc_int.h"

/* A path as the current task's root shows it; as vfs_path_string. */
s64 path_as_seen(const struct path *p, char *buf, size_t size) must_check;

/* pid_fd.c */
extern const struct inode_ops fd_dir_iops;
extern const struct file_ops fd_dir_fops;

/* pid_ns.c */
#define NS_TABLE_SIZE 10
extern const struct pnode ns_table[NS_TABLE_SIZE];
int show_uid_map(struct seq *s, const struct pinode *pi);
int show_gid_map(struct seq *s, const struct pinode *pi);
int show_projid_map(struct seq *s, const struct pinode *pi);
int show_setgroups(struct seq *s, const struct pinode *pi);
int show_timens_offsets(struct seq *s, const struct pinode *pi);
s64 write_uid_map(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);
s64 write_gid_map(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);
s64 write_setgroups(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);
s64 write_timens_offsets(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);

/* net.c */
extern const struct inode_ops net_dir_iops;
extern const struct file_ops net_dir_fops;

/* pid_mm.c */
extern const struct file_ops mem_fops, pagemap_fops;
int show_environ(struct seq *s, const struct pinode *pi);
int show_cmdline(struct seq *s, const struct pinode *pi);
int show_auxv(struct seq *s, const struct pinode *pi);
int show_maps(struct seq *s, const struct pinode *pi);
int show_smaps(struct seq *s, const struct pinode *pi);
int show_smaps_rollup(struct seq *s, const struct pinode *pi);
int show_statm(struct seq *s, const struct pinode *pi);
/* Resident memory by kind, bytes. */
struct mm_resident {
    u64 anon, file, shmem;
};
void mm_resident_now(struct mm *mm, struct mm_resident *ret);

/* pid_mounts.c */
extern const struct file_ops mounts_fops;
int show_mounts(struct seq *s, const struct pinode *pi);
int show_mountinfo(struct seq *s, const struct pinode *pi);
int show_mountstats(struct seq *s, const struct pinode *pi);

/* pid_status.c */
int show_pid_status(struct seq *s, const struct pinode *pi);
int show_pid_stat(struct seq *s, const struct pinode *pi);

/* pid_misc.c */
int show_einval(struct seq *s, const struct pinode *pi);
int show_eacces(struct seq *s, const struct pinode *pi);
int show_personality(struct seq *s, const struct pinode *pi);
int show_limits(struct seq *s, const struct pinode *pi);
int show_sched(struct seq *s, const struct pinode *pi);
int show_comm(struct seq *s, const struct pinode *pi);
int show_syscall(struct seq *s, const struct pinode *pi);
int show_children(struct seq *s, const struct pinode *pi);
int show_wchan(struct seq *s, const struct pinode *pi);
int show_schedstat(struct seq *s, const struct pinode *pi);
int show_cpuset(struct seq *s, const struct pinode *pi);
int show_cgroup(struct seq *s, const struct pinode *pi);
int show_oom_score(struct seq *s, const struct pinode *pi);
int show_oom_adj(struct seq *s, const struct pinode *pi);
int show_oom_score_adj(struct seq *s, const struct pinode *pi);
int show_loginuid(struct seq *s, const struct pinode *pi);
int show_coredump_filter(struct seq *s, const struct pinode *pi);
int show_io(struct seq *s, const struct pinode *pi);
int show_timers(struct seq *s, const struct pinode *pi);
int show_timerslack(struct seq *s, const struct pinode *pi);
s64 write_comm(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);
s64 write_oom_adj(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);
s64 write_oom_score_adj(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);
s64 write_loginuid(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);
s64 write_coredump_filter(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);
s64 write_timerslack(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off);

/* What a task is doing, as one letter of "RSDTtZX". */

#endif
