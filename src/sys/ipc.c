/* Handlers: System V IPC. */
#include "kern/ipc.h"
#include "sys/sys.h"

s64 sys_shmget(struct task *t, const u64 a[6])
{
    return shm_get_call(t, (s32)a[0], a[1], (u32)a[2]);
}

s64 sys_shmat(struct task *t, const u64 a[6])
{
    return shm_at_call(t, (s32)a[0], a[1], (u32)a[2]);
}

s64 sys_shmdt(struct task *t, const u64 a[6])
{
    return shm_dt_call(t, a[0]);
}

s64 sys_shmctl(struct task *t, const u64 a[6])
{
    return shm_ctl_call(t, (s32)a[0], (int)a[1], uaddr(a[2]));
}

s64 sys_semget(struct task *t, const u64 a[6])
{
    return sem_get_call(t, (s32)a[0], (s32)a[1], (u32)a[2]);
}

s64 sys_semop(struct task *t, const u64 a[6])
{
    return sem_op_call(t, (s32)a[0], uaddr(a[1]), a[2], uaddr(0));
}

s64 sys_semtimedop(struct task *t, const u64 a[6])
{
    return sem_op_call(t, (s32)a[0], uaddr(a[1]), (u32)a[2], uaddr(a[3]));
}

s64 sys_semctl(struct task *t, const u64 a[6])
{
    return sem_ctl_call(t, (s32)a[0], (s32)a[1], (int)a[2], a[3]);
}

s64 sys_msgget(struct task *t, const u64 a[6])
{
    return msg_get_call(t, (s32)a[0], (u32)a[1]);
}

s64 sys_msgsnd(struct task *t, const u64 a[6])
{
    return msg_snd_call(t, (s32)a[0], uaddr(a[1]), a[2], (u32)a[3]);
}

s64 sys_msgrcv(struct task *t, const u64 a[6])
{
    return msg_rcv_call(t, (s32)a[0], uaddr(a[1]), a[2], (s64)a[3], (u32)a[4]);
}

s64 sys_msgctl(struct task *t, const u64 a[6])
{
    return msg_ctl_call(t, (s32)a[0], (int)a[1], uaddr(a[2]));
}
