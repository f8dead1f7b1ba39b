/* Start of the kern room. */
#include "kern/kern_int.h"
#include "vfs/task_ops.h"

extern const struct vfs_task_ops kern_task_ops;

int kern_init(void)
{
    int r = pid_init();
    if (r == 0)
        r = ipc_init();
    if (r < 0)
        return r;
    vfs_task_ops = &kern_task_ops;
    return 0;
}
