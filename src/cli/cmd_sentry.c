/* The sentry process of a sandbox: started by the command with descriptors at fixed numbers. */
#include "cli/cmd.h"
#include "sentry/sentry.h"

int cmd_sentry(const struct global_opts *g, int argc, char **argv)
{
    (void)g;
    (void)argv;
    if (argc != 1)
        return complain(2, "'sentry' is for the sandbox's own use");
    return sentry_main();
}
