/* The network broker of a sandbox: started by the command with descriptors at fixed numbers. */
#include <string.h>

#include "broker/broker.h"
#include "cli/cmd.h"
#include "wire/bootcfg.h"

/* cvisor broker FLAGS: 'n' becomes nobody, 'b' may bind low ports, 'r' connects to the name server alone, '-' none. */
int cmd_broker(const struct global_opts *g, int argc, char **argv)
{
    (void)g;
    if (argc != 2)
        return complain(2, "'broker' is for the sandbox's own use");
    struct broker_config cfg = {
        .link_fd = BOOT_FD_BROKER_LINK,
        .net_dir_fd = BOOT_FD_BROKER_NET,
        .is_root = strchr(argv[1], 'n'),
        .is_resolver = strchr(argv[1], 'r'),
        .is_binder = strchr(argv[1], 'b'),
    };
    return broker_main(&cfg);
}
