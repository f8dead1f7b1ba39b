/* What the commands of an OCI runtime share: their global flags, and how they fail. */
#ifndef CLI_OCI_H
#define CLI_OCI_H

#include "cli/cmd.h"
#include "cli/flags.h"
#include "oci/lifecycle.h"

/* Fails as engines expect: the sentence goes to --log in --log-format, and to standard error. */
int oci_fail(const struct global_opts *g, int status, const struct err *e);
void oci_globals_from(const struct global_opts *g, struct oci_globals *ret);
/* Exactly n arguments behind the flags, else a complaint: 0, or -1 with e. */
int oci_need_args(int n, int wanted, const char *command, const char *what,
                  struct err *e) must_check;

int cmd_create(const struct global_opts *g, int argc, char **argv);
int cmd_run(const struct global_opts *g, int argc, char **argv);
int cmd_start(const struct global_opts *g, int argc, char **argv);
int cmd_exec(const struct global_opts *g, int argc, char **argv);
int cmd_kill(const struct global_opts *g, int argc, char **argv);
int cmd_delete(const struct global_opts *g, int argc, char **argv);
int cmd_state(const struct global_opts *g, int argc, char **argv);
int cmd_list(const struct global_opts *g, int argc, char **argv);
int cmd_ps(const struct global_opts *g, int argc, char **argv);
int cmd_pause(const struct global_opts *g, int argc, char **argv);
int cmd_resume(const struct global_opts *g, int argc, char **argv);
int cmd_events(const struct global_opts *g, int argc, char **argv);
int cmd_update(const struct global_opts *g, int argc, char **argv);
int cmd_spec(const struct global_opts *g, int argc, char **argv);
int cmd_features(const struct global_opts *g, int argc, char **argv);
int cmd_wait(const struct global_opts *g, int argc, char **argv);

#endif
