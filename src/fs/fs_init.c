/* Registers every file system of this room. */
#include "fs/fs_init.h"

#include "fs/dev.h"
#include "fs/mqueue.h"
#include "fs/overlay.h"
#include "fs/tmpfs.h"

int fs_init(void)
{
    int r = tmpfs_init();
    if (r < 0)
        return r;
    fs_register(&overlay_type);
    dev_init();
    return mqueue_init();
}
