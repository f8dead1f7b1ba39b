/* The gofer process of a sandbox: started by the command with descriptors at fixed numbers. */
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "gofer/gofer.h"
#include "wire/bootcfg.h"

/*
 * cvisor gofer LANES TREES: a letter of TREES for each tree: r read-only, w writable; a capital for the
 * root of a whole machine. Tree 0 is at BOOT_FD_GOFER_ROOT, the others behind the lanes.
 */
int cmd_gofer(const struct global_opts *g, int argc, char **argv)
{
    static const char *const masked[] = {"proc", "sys", "dev", NULL};
    static struct gofer_attach attaches[BOOT_MAX_TREES];
    int lanes[BOOT_MAX_LANES];
    (void)g;
    if (argc != 3)
        return complain(2, "'gofer' is for the sandbox's own use");
    u32 nlanes = (u32)strtoul(argv[1], NULL, 10), n = 0;
    size_t ntrees = strlen(argv[2]);
    if (nlanes == 0 || nlanes > BOOT_MAX_LANES || ntrees == 0 || ntrees > BOOT_MAX_TREES)
        return complain(2, "'gofer' is for the sandbox's own use");
    for (u32 i = 0; i < nlanes; i++)
        lanes[i] = (int)(BOOT_FD_LANES + i);
    for (const char *t = argv[2]; *t; t++, n++) {
        bool is_machine = *t == 'R' || *t == 'W', is_rw = *t == 'w' || *t == 'W';
        attaches[n] = (struct gofer_attach){
            .dir_fd = n == 0 ? BOOT_FD_GOFER_ROOT : (int)(BOOT_FD_LANES + nlanes + n - 1),
            .flags = GOFER_CROSS_MOUNTS | (is_rw ? 0 : GOFER_RDONLY),
            .masked = is_machine ? masked : NULL,
        };
    }
    struct gofer_config cfg = {
        .attach = attaches,
        .nattach = n,
        .lane_fds = lanes,
        .nlanes = nlanes,
        .self_fd_dir = BOOT_FD_GOFER_SELF,
        .jail_fd = -1, /* the command has given it an empty root */
    };
    return gofer_main(&cfg);
}
