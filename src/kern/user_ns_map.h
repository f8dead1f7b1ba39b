/* Writing the id maps of user namespaces: user_namespaces(7), "Defining user and group ID mappings". */
#ifndef KERN_USER_NS_MAP_H
#define KERN_USER_NS_MAP_H

#include "kern/task.h"

/* The i-th range, with kuids or kgids as lower ids; false past the end. */
bool user_ns_map_entry(struct user_ns *ns, bool is_gid, u32 i, struct id_map_entry *ret);
extern bool user_ns_root_is_limited; /* the root namespace's maps are to be looked at; set at boot */
/*
 * At boot: the only ids of the root namespace, and what its parent on the host calls them, to be
 * shown. The ids themselves are the sandbox's throughout: what serves its files speaks of them, too.
 * Ranges are checked and at most 340.
 */
void user_ns_limit_root(bool is_gid, const struct id_map_entry *e, u32 count);
/* What is shown as the lower end of the root namespace's i-th range. */
u32 user_ns_root_lower(bool is_gid, u32 i);
/* text: NUL-terminated lines "first lower count"; opener: credentials of the file's opening. Errors:
 * LX_EINVAL, LX_EPERM. */
int user_ns_map_write(struct user_ns *ns, bool is_gid, const struct cred *opener,
                      const char *text) must_check;
/* /proc/PID/setgroups: -LX_EPERM when it is too late or was denied above. */
int user_ns_setgroups_write(struct user_ns *ns, bool is_deny) must_check;

#endif
