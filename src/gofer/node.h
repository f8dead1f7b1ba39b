/*
 * Nodes: the objects that the Sentry holds ids of.
 *
 * A node is a place: a parent node, a name, and the (device, inode) that was found there. Its
 * host fd is opened when needed and closed again by an LRU, so that the number of nodes is not
 * bound by RLIMIT_NOFILE; opening again walks down from the nearest ancestor that is open, one
 * component at a time, and checks at each step that the same object is still there (ESTALE).
 * An export's root and an unlinked (orphan) object keep their fd for ever.
 *
 *   gnode_new (refs 1: the id) → id to the Sentry → gnode_get(id) … gnode_put per request
 *   → gnode_forget(id) drops the id; children keep their parent's struct alive.
 *
 * One lock (table.lock) guards the table, every node's fields, and the LRU. It is never held
 * over a host call that may block; a rwlock that is keeps places and the host's names in step.
 */
#ifndef GOFER_NODE_H
#define GOFER_NODE_H

#include "base/defs.h"
#include "base/list.h"
#include "base/lock.h"
#include "gofer/gofer.h"

struct statx;

#define NODE_MAX (1U << 20)

struct node {
    u32 index, gen;                  /* immutable while the id lives */
    bool has_id;                     /* guarded by the table's lock, as all below */
    bool is_dir, is_masked, is_root; /* immutable */
    bool is_orphan;
    u16 attach;
    u32 refs;            /* id + children + requests in progress */
    u32 busy;            /* requests that use fd */
    int fd;              /* O_PATH or O_RDONLY; -1: closed by the LRU */
    struct node *parent; /* counted; NULL: an export's root, or an orphan */
    char *name;          /* owned; NULL: root or orphan */
    u64 dev, ino, mnt_id;
    struct list lru;
};

struct attach {
    struct node *root;
    u32 flags; /* GOFER_* */
    u64 mnt_id;
    const char *const *masked;
};

extern struct attach gofer_attaches[GOFER_MAX_ATTACH];
extern u32 gofer_nattaches;

void gnode_table_init(u32 max_open);
/* The node of an id, with a reference; NULL: no such id. */
struct node *gnode_get(u64 id);
void gnode_ref(struct node *n);
void gnode_put(struct node *n); /* NULL is harmless */
DEFINE_CLEANUP_PTR(struct node *, gnode_put)
static inline u64 gnode_id(const struct node *n)
{
    return n ? ((u64)n->gen << 32 | (n->index + 1)) : 0;
}
/*
 * A node with an id for the object described by sx at (parent, name); parent NULL: a root.
 * fd (or -1) is consumed, also on failure. The caller gets a reference too. NULL: table full or no
 * memory.
 */
struct node *gnode_new(struct node *parent, const char *name, const struct statx *sx, int fd,
                       u16 attach) must_check;
void gnode_forget(u64 id);
/* The node's fd, kept open until gnode_fd_put. -LX_ESTALE when the place changed. */
int gnode_fd_get(struct node *n) must_check;
void gnode_fd_put(struct node *n);
/* Where n is: a counted parent and a name (256 bytes). -LX_ESTALE: nowhere (a root or an orphan).
 */
int gnode_place(struct node *n, struct node **ret_parent, char *ret_name) must_check;
/* Around a rename or unlink on the host and what follows of it here; nothing is opened by place
 * meanwhile. */
void gnode_moves_begin(void);
void gnode_moves_end(void);
/* After our own rename or unlink. */
void gnode_moved(struct node *n, struct node *new_parent, const char *new_name);
void gnode_orphan(struct node *n,
                  int fd); /* consumes fd, unless the node has one (then it closes it) */
/* Gives the LRU an fd for n, if it has none; else closes it. */
void gnode_give_fd(struct node *n, int fd);

/*
 * Opens one component below dirfd. flags: O_*; O_NOFOLLOW and O_CLOEXEC are added. Refuses to cross
 * mounts unless the export may. -LX_E*.
 */
int gofer_open_below(const struct attach *a, int dirfd, const char *name, u64 flags,
                     u32 mode) must_check;

#endif
