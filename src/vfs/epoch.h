/*
 * Deferred freeing for lock-free readers (epoch-based reclamation).
 *
 * A reader brackets its look at shared structure with epoch_enter and
 * epoch_exit; between them nothing that it could reach is freed. It must not
 * block in between; sections nest. A writer takes an object out of all shared structure
 * and hands it to epoch_defer, which calls fn once every section that was open then has ended.
 */
#ifndef VFS_EPOCH_H
#define VFS_EPOCH_H

#include "base/defs.h"

struct epoch_node {
    struct epoch_node *next;
    void (*fn)(struct epoch_node *n);
};

void epoch_enter(void);
void epoch_exit(void);
void epoch_defer(struct epoch_node *n, void (*fn)(struct epoch_node *n));
/* Frees what can be freed now; with no section open, everything. For tests and shutdown. */
void epoch_drain(void);

#endif
