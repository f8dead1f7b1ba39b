/* /proc/sysvipc. */
#include "procfs/proc_int.h"

int show_sysvipc_msg(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n");
    return 0;
}

int show_sysvipc_sem(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    return 0;
}

int show_sysvipc_shm(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n");
    return 0;
}
