/* cvisor start, kill, delete, pause, resume, wait: commands that change a container that is there.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/oci.h"

static const char a_container[] = "a container id";

/* Flags, then exactly one id. */
static int parse_id(const struct flag *flags, size_t nflags, int argc, char **argv, struct err *e)
{
    int n = flags_parse(flags, nflags, argc, argv, true, e);
    return n < 0 ? -1 : oci_need_args(n, 1, argv[0], a_container, e);
}

int cmd_start(const struct global_opts *g, int argc, char **argv)
{
    struct oci_globals og;
    struct err e = {0};
    oci_globals_from(g, &og);
    if (parse_id(NULL, 0, argc, argv, &e) < 0 || oci_start(&og, argv[1], &e) < 0)
        return oci_fail(g, 1, &e);
    return 0;
}

int cmd_kill(const struct global_opts *g, int argc, char **argv)
{
    struct oci_globals og;
    struct err e = {0};
    bool is_all = false;
    const struct flag flags[] = {{"all", 'a', FLAG_SWITCH, &is_all}};
    oci_globals_from(g, &og);
    int n = flags_parse(flags, ARRAY_SIZE(flags), argc, argv, true, &e);
    if (n >= 0 && (n < 1 || n > 2))
        n = err_set(&e, "'kill' needs a container id, and perhaps a signal");
    if (n < 0)
        return oci_fail(g, 1, &e);
    int signo = n > 1 ? oci_signal_number(argv[2]) : SIGTERM;
    if (signo < 0) {
        err_set(&e, "unknown signal \"%s\"", argv[2]);
        return oci_fail(g, 1, &e);
    }
    return oci_kill(&og, argv[1], signo, is_all, &e) < 0 ? oci_fail(g, 1, &e) : 0;
}

int cmd_delete(const struct global_opts *g, int argc, char **argv)
{
    struct oci_globals og;
    struct err e = {0};
    bool is_forced = false;
    const struct flag flags[] = {{"force", 'f', FLAG_SWITCH, &is_forced}};
    oci_globals_from(g, &og);
    if (parse_id(flags, ARRAY_SIZE(flags), argc, argv, &e) < 0 ||
        oci_delete(&og, argv[1], is_forced, &e) < 0)
        return oci_fail(g, 1, &e);
    return 0;
}

static int pause_or_resume(const struct global_opts *g, int argc, char **argv, bool is_pause)
{
    struct oci_globals og;
    struct err e = {0};
    oci_globals_from(g, &og);
    if (parse_id(NULL, 0, argc, argv, &e) < 0 || oci_pause(&og, argv[1], is_pause, &e) < 0)
        return oci_fail(g, 1, &e);
    return 0;
}

int cmd_pause(const struct global_opts *g, int argc, char **argv)
{
    return pause_or_resume(g, argc, argv, true);
}

int cmd_resume(const struct global_opts *g, int argc, char **argv)
{
    return pause_or_resume(g, argc, argv, false);
}

/* Prints what runsc's does: the id and the exit status. */
int cmd_wait(const struct global_opts *g, int argc, char **argv)
{
    struct oci_globals og;
    struct err e = {0};
    int status;
    oci_globals_from(g, &og);
    if (parse_id(NULL, 0, argc, argv, &e) < 0 || oci_wait(&og, argv[1], &status, &e) < 0)
        return oci_fail(g, 1, &e);
    printf("{\"id\":\"%s\",\"exitStatus\":%d}\n", argv[1],
           WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    return 0;
}
