/* The gofer process of a sandbox: started by the command with descriptors at fixed numbers. */
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "gofer/gofer.h"
#include "wire/bootcfg.h"

int cmd_gofer(const struct global_opts *g, int argc, char **argv)
{
    static const char *const masked[] = {"proc", "sys", "dev", NULL};
    int lanes[BOOT_MAX_LANES];
    (void)g;
    if (argc != 3)
        return complain(2, "'gofer' is for the sandbox's own use");
    u32 nlanes = (u32)strtoul(argv[1], NULL, 10);
    bool is_rw = !strcmp(argv[2], "rw");
    if (nlanes == 0 || nlanes > BOOT_MAX_LANES)
        return complain(2, "'gofer' is for the sandbox's own use");
    for (u32 i = 0; i < nlanes; i++)
        lanes[i] = (int)(BOOT_FD_LANES + i);
    struct gofer_attach attach = {
        .dir_fd = BOOT_FD_GOFER_ROOT,
        .flags = GOFER_CROSS_MOUNTS | (is_rw ? 0 : GOFER_RDONLY),
        .masked = masked,
    };
    struct gofer_config cfg = {
        .attach = &attach,
        .nattach = 1,
        .lane_fds = lanes,
        .nlanes = nlanes,
        .self_fd_dir = BOOT_FD_GOFER_SELF,
        .jail_fd = -1, /* the command has given it an empty root */
    };
    return gofer_main(&cfg);
}
