/* cvisor syscalls: the table, for people and for docs/SYSCALLS.md. */
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "sys/sys.h"

int cmd_syscalls(const struct global_opts *g, int argc, char **argv)
{
    bool is_markdown = argc == 2 && !strcmp(argv[1], "--markdown");
    if (argc > 1 && !is_markdown)
        return complain(2, "syscalls takes only --markdown");
    sys_print_table(STDOUT_FILENO, is_markdown);
    return 0;
}
