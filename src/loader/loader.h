/*
 * loader: from an executable file to a fresh address space, ready to run.
 *
 * The caller (kern's exec) has opened the file with loader_open, copied the
 * argument strings in, and decides what becomes of the old space. Nothing of
 * the caller's is changed: a failure leaves it as it was, with the errno of
 * execve(2). So, unlike Linux, there is no point of no return in here: a
 * malformed segment table is -LX_ENOEXEC, not a killed process.
 *
 * Everything in the file is hostile: each header value is bounded before use.
 */
#ifndef LOADER_LOADER_H
#define LOADER_LOADER_H

#include "mm/mm.h"
#include "vfs/vfs.h"

/* ---- argument strings ---------------------------------------------------------------------- */

#define LOADER_MAX_STRLEN (128UL << 10) /* one string with its NUL: MAX_ARG_STRLEN */
#define LOADER_MAX_TOTAL  (6UL << 20)   /* all, whatever RLIMIT_STACK says */
#define LOADER_MIN_TOTAL  (128UL << 10) /* and this much always */

/* A packed list of NUL-terminated strings: argv or envp. Zeroed: an empty list. */
struct loader_strings {
    char *buf; /* owned */
    size_t size, capacity;
    u32 count;
};
void loader_strings_done(struct loader_strings *s);
/*
 * Bytes that argv and envp may take together, pointers included, for this
 * RLIMIT_STACK. Pass what the first list left over to the second.
 */
u64 loader_strings_limit(u64 rlimit_stack);
u64 loader_strings_cost(const struct loader_strings *s);
/* Appends one string (size without the NUL). -LX_E2BIG beyond `limit`. */
int loader_strings_add(struct loader_strings *s, const char *str, size_t size,
                       u64 limit) must_check;
int loader_strings_add_all(struct loader_strings *s, char *const *list, u64 limit) must_check;
/* Appends a guest's NULL-terminated array of pointers (NULL: an empty one). -LX_EFAULT, -LX_E2BIG.
 */
int loader_strings_copy_in(struct loader_strings *s, uaddr_t array, u64 limit) must_check;

/* ---- exec ---------------------------------------------------------------------------------- */

/*
 * Opens a file to execute, as the current task: regular (else -LX_EACCES), with
 * execute permission, not on a noexec mount. walk_flags as for vfs_walk.
 */
int loader_open(int dirfd, const char *name, u32 walk_flags, struct file **ret_f) must_check;

struct loader_ids { /* for the auxiliary vector, as the new program's user namespace shows them */
    u32 uid, euid, gid, egid;
    bool is_secure; /* AT_SECURE */
};

#define LOADER_NO_ASLR           1U /* personality ADDR_NO_RANDOMIZE */
#define LOADER_PATH_INACCESSIBLE 2U /* fexecve of a close-on-exec fd: scripts are -LX_ENOENT */

struct loader_args {
    struct file *exe;      /* from loader_open; not consumed */
    const char *path;      /* as given to execve; /dev/fd/N[/path] for execveat */
    const char *comm_path; /* whose last component is the name; NULL: path */
    const struct loader_strings *argv, *envp;
    struct mm_limits limits;
    u8 random[16]; /* AT_RANDOM */
    u32 flags;     /* LOADER_* */
    /*
     * Called once, with the binary that will run (a script's interpreter), before
     * anything is made: set-id bits of it count, not the script's. May block.
     */
    void (*get_ids)(void *arg, struct file *binary, struct loader_ids *ret_ids);
    void *get_ids_arg;
};

struct loader_result {
    struct mm *mm;       /* owned by the caller, as all below */
    struct file *binary; /* what runs; also mm->exe */
    u64 entry, sp;
    char comm[16];
    bool is_unreadable; /* the user may execute but not read a file of it: not dumpable */
};

int loader_exec(const struct loader_args *args, struct loader_result *ret) must_check;

#endif
