/*
 * Intrusive balanced search tree (red-black). The user walks for the place
 * with its own comparison, then links; that keeps comparison inline. Example:
 *
 *     struct rb_node **link = &t->root, *parent = NULL;
 *     while (*link) { parent = *link; link = less ? &parent->left : &parent->right; }
 *     rb_link(t, n, parent, link);
 */
#ifndef BASE_RBTREE_H
#define BASE_RBTREE_H

#include "base/defs.h"

struct rb_node {
    struct rb_node *parent, *left, *right;
    bool is_red;
};

struct rb_tree {
    struct rb_node *root;
};

void rb_link(struct rb_tree *t, struct rb_node *n, struct rb_node *parent, struct rb_node **link);
void rb_erase(struct rb_tree *t, struct rb_node *n);

/*
 * Augmented trees: each node keeps a summary of its subtree. `update`
 * recomputes one node's summary from itself and its two children. A node whose
 * own value changed in place is followed by rb_propagate on it.
 */
typedef void (*rb_update_fn)(struct rb_node *n);
void rb_link_augmented(struct rb_tree *t, struct rb_node *n, struct rb_node *parent,
                       struct rb_node **link, rb_update_fn update);
void rb_erase_augmented(struct rb_tree *t, struct rb_node *n, rb_update_fn update);
void rb_propagate(struct rb_node *n, rb_update_fn update);

struct rb_node *rb_first(const struct rb_tree *t);
struct rb_node *rb_last(const struct rb_tree *t);
struct rb_node *rb_next(const struct rb_node *n);
struct rb_node *rb_prev(const struct rb_node *n);

#define rb_entry(ptr, type, member) container_of(ptr, type, member)

#endif
