/*
 * Flags of the commands that runtimes share, in the grammar of the one that clients were written
 * for: -name and --name are the same, a value follows or stands behind "=", a switch may be told
 * "=true" or "=false", "--" ends them. A flag that is not known is refused.
 */
#ifndef CLI_FLAGS_H
#define CLI_FLAGS_H

#include "base/defs.h"
#include "oci/err.h"

enum flag_kind {
    FLAG_SWITCH,         /* bool */
    FLAG_STR,            /* const char * */
    FLAG_INT,            /* s64 */
    FLAG_LIST,           /* struct flag_list: may be given again */
    FLAG_IGNORED_SWITCH, /* taken, without effect here: the reason is beside it */
};

struct flag_list {
    const char **v; /* NULL-terminated when n > 0 */
    u32 n;
};

struct flag {
    const char *name;
    char alias; /* -x; 0: none */
    enum flag_kind kind;
    void *to;
};

/*
 * Takes the flags out of argv (argv[0] is the command's name). What is left stands in argv[1]…;
 * their number, or -1. With is_mixed, flags may also follow the first argument that is none.
 */
int flags_parse(const struct flag *flags, size_t nflags, int argc, char **argv, bool is_mixed,
                struct err *e) must_check;

#endif
