/* exec as its two users see it: the system calls and the start of a container's process. */
#ifndef KERN_EXEC_H
#define KERN_EXEC_H

#include "kern/kern_int.h"
#include "loader/loader.h"

#define LX_ADDR_NO_RANDOMIZE 0x0040000U

struct exec_req {
    struct file *exe;      /* from loader_open; not consumed */
    const char *path;      /* as loader_args.path */
    const char *comm_path; /* or NULL */
    const struct loader_strings *argv, *envp;
    u32 loader_flags;      /* LOADER_* */
};

/* The family whose stubs programs of a container run in (platform/family.h); NULL: the first. Set by
 * the sentry at start; the argument is tgroup.container. */
struct stub_family;
extern struct stub_family *(*exec_family_of)(void *container);

/* Own thread, in its system call. 0: the new program's registers are set (is_result_set). */
s64 exec_run(struct task *t, const struct exec_req *rq) must_check;
/* For a task that has never run: no threads to end, no memory to leave. */
int exec_first(struct task *t, const struct exec_req *rq) must_check;

#endif
