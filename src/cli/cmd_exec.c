/* cvisor exec: a further process in a running container. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/oci.h"
#include "oci/console.h"

#define EXEC_FAILED 255 /* what engines know a failed exec by */

int cmd_exec(const struct global_opts *g, int argc, char **argv)
{
    struct oci_exec x = {0};
    struct flag_list env = {0}, caps = {0}, groups = {0};
    s64 npreserved = 0;
    struct oci_globals og;
    struct err e = {0};
    const char *apparmor = NULL, *label = NULL, *cgroup = NULL;
    const struct flag flags[] = {
        {"process", 'p', FLAG_STR, &x.process_path},
        {"pid-file", 0, FLAG_STR, &x.pid_file},
        {"console-socket", 0, FLAG_STR, &x.console_socket},
        {"tty", 't', FLAG_SWITCH, &x.is_terminal},
        {"detach", 'd', FLAG_SWITCH, &x.is_detached},
        {"env", 'e', FLAG_LIST, &env},
        {"cwd", 0, FLAG_STR, &x.cwd},
        {"user", 'u', FLAG_STR, &x.user},
        {"cap", 'c', FLAG_LIST, &caps},
        {"additional-gids", 'g', FLAG_LIST, &groups},
        {"preserve-fds", 0, FLAG_INT, &npreserved},
        {"no-new-privs", 0, FLAG_SWITCH, &x.is_no_new_privs},
        {"ignore-paused", 0, FLAG_SWITCH, &x.is_paused_ignored},
        {"no-subreaper", 0, FLAG_IGNORED_SWITCH, NULL}, /* `exec` never is one */
        {"apparmor", 0, FLAG_STR, &apparmor},
        {"process-label", 0, FLAG_STR, &label},
        {"cgroup", 0, FLAG_STR, &cgroup},
    };
    oci_globals_from(g, &og);
    int n = flags_parse(flags, ARRAY_SIZE(flags), argc, argv, false, &e);
    if (n >= 0 && n < 1)
        n = err_set(&e, "'exec' needs a container id");
    if (n >= 0 && n < 2 && !x.process_path)
        n = err_set(&e, "'exec' needs a program to run, or --process");
    if (n >= 0 && n > 1 && x.process_path)
        n = err_set(&e, "'exec' takes a program to run or --process, not both");
    if (n >= 0 && apparmor && *apparmor)
        n = err_set(&e, "--apparmor has no meaning in the sandbox, whose kernel has no AppArmor");
    if (n >= 0 && label && *label)
        n = err_set(&e, "--process-label has no meaning in the sandbox, whose kernel has no SELinux");
    if (n >= 0 && cgroup && *cgroup)
        n = err_set(&e, "--cgroup is not supported: processes of a container share its cgroup");
    if (n < 0)
        return oci_fail(g, EXEC_FAILED, &e);
    x.id = argv[1];
    x.argv = argv + 2;
    x.argc = (u32)(n - 1);
    x.env = env.v;
    x.nenv = env.n;
    x.caps = caps.v;
    x.ncaps = caps.n;
    x.groups = groups.v;
    x.ngroups = groups.n;
    x.npreserved = npreserved < 0 ? 0 : (u32)npreserved;
    int status;
    if (oci_exec(&og, &x, &status, &e) < 0) {
        console_restore();
        err_prefix(&e, "exec failed");
        return oci_fail(g, EXEC_FAILED, &e);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
