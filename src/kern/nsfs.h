/*
 * nsfs: namespaces as files (/proc/PID/ns/X, setns, bind mounts of them). An
 * inode of it holds a reference to its namespace and carries its number.
 */
#ifndef KERN_NSFS_H
#define KERN_NSFS_H

#include "kern/task.h"

/* type: the LX_CLONE_NEW* flag that makes such a namespace. */
void ns_get(u64 type, void *ns);
void ns_put(u64 type, void *ns);
u64 ns_ino(u64 type, void *ns);
struct user_ns *ns_owner(u64 type, void *ns); /* not referenced; NULL: the root user namespace's */
const char *ns_type_name(u64 type); /* "mnt", "pid", … */

/* The path of a namespace's file. Consumes the reference to ns, also on failure. */
int nsfs_path(u64 type, void *ns, struct path *ret_path) must_check;
/* What an open file stands for: true and a borrowed namespace, good while the file is. */
bool nsfs_of_file(struct file *f, u64 *ret_type, void **ret_ns);
int nsfs_init(void) must_check;

#endif
