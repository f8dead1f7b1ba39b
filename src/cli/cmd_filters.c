/* cvisor filters: what each process of a sandbox may ask of the host; docs/SECURITY.md holds it. */
#include <unistd.h>

#include "broker/broker.h"
#include "cli/cmd.h"
#include "gofer/gofer.h"
#include "platform/filters.h"
#include "sentry/sentry.h"
#include "sys/sys.h"

int cmd_filters(const struct global_opts *g, int argc, char **argv)
{
    (void)g;
    (void)argv;
    if (argc > 1)
        return complain(2, "filters takes no arguments");
    platform_filters_dump(STDOUT_FILENO, sys_name);
    jail_print_filter(STDOUT_FILENO);
    gofer_print_filter(STDOUT_FILENO, sys_name);
    broker_print_filter(STDOUT_FILENO, sys_name);
    return 0;
}
