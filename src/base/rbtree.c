/* Red-black trees; the classical algorithms with NULL leaves. */
#include "base/rbtree.h"

static void replace_child(struct rb_tree *t, struct rb_node *old, struct rb_node *new)
{
    struct rb_node *p = old->parent;
    if (!p)
        t->root = new;
    else if (p->left == old)
        p->left = new;
    else
        p->right = new;
    if (new)
        new->parent = p;
}

void rb_propagate(struct rb_node *n, rb_update_fn update)
{
    for (; n; n = n->parent)
        update(n);
}

/* A rotation leaves the summary of the rotated subtree as a whole unchanged: only x and y differ. */
static void rotate_left(struct rb_tree *t, struct rb_node *x, rb_update_fn update)
{
    struct rb_node *y = x->right;
    x->right = y->left;
    if (y->left)
        y->left->parent = x;
    replace_child(t, x, y);
    y->left = x;
    x->parent = y;
    if (update) {
        update(x);
        update(y);
    }
}

static void rotate_right(struct rb_tree *t, struct rb_node *x, rb_update_fn update)
{
    struct rb_node *y = x->left;
    x->left = y->right;
    if (y->right)
        y->right->parent = x;
    replace_child(t, x, y);
    y->right = x;
    x->parent = y;
    if (update) {
        update(x);
        update(y);
    }
}

static bool is_red(const struct rb_node *n)
{
    return n && n->is_red;
}

void rb_link_augmented(struct rb_tree *t, struct rb_node *n, struct rb_node *parent,
                       struct rb_node **link, rb_update_fn update)
{
    n->parent = parent;
    n->left = n->right = NULL;
    n->is_red = true;
    *link = n;
    if (update)
        rb_propagate(n, update);
    while (is_red(n->parent)) {
        struct rb_node *p = n->parent, *g = p->parent;
        bool is_left = g->left == p;
        struct rb_node *u = is_left ? g->right : g->left;
        if (is_red(u)) {
            p->is_red = u->is_red = false;
            g->is_red = true;
            n = g;
            continue;
        }
        if (n == (is_left ? p->right : p->left)) {
            n = p;
            if (is_left)
                rotate_left(t, n, update);
            else
                rotate_right(t, n, update);
            p = n->parent;
        }
        p->is_red = false;
        g->is_red = true;
        if (is_left)
            rotate_right(t, g, update);
        else
            rotate_left(t, g, update);
    }
    t->root->is_red = false;
}

void rb_link(struct rb_tree *t, struct rb_node *n, struct rb_node *parent, struct rb_node **link)
{
    rb_link_augmented(t, n, parent, link, NULL);
}

/* Restores the black heights after a black node left the place of x (maybe NULL) below parent. */
static void erase_fix(struct rb_tree *t, struct rb_node *x, struct rb_node *parent,
                      rb_update_fn update)
{
    while (x != t->root && !is_red(x)) {
        bool is_left = parent->left == x;
        struct rb_node *w = is_left ? parent->right : parent->left;
        if (is_red(w)) {
            w->is_red = false;
            parent->is_red = true;
            if (is_left)
                rotate_left(t, parent, update);
            else
                rotate_right(t, parent, update);
            w = is_left ? parent->right : parent->left;
        }
        if (!is_red(w->left) && !is_red(w->right)) {
            w->is_red = true;
            x = parent;
            parent = x->parent;
            continue;
        }
        struct rb_node *far = is_left ? w->right : w->left;
        if (!is_red(far)) {
            struct rb_node *near = is_left ? w->left : w->right;
            near->is_red = false;
            w->is_red = true;
            if (is_left)
                rotate_right(t, w, update);
            else
                rotate_left(t, w, update);
            w = is_left ? parent->right : parent->left;
            far = is_left ? w->right : w->left;
        }
        w->is_red = parent->is_red;
        parent->is_red = false;
        far->is_red = false;
        if (is_left)
            rotate_left(t, parent, update);
        else
            rotate_right(t, parent, update);
        x = t->root;
    }
    if (x)
        x->is_red = false;
}

void rb_erase_augmented(struct rb_tree *t, struct rb_node *n, rb_update_fn update)
{
    struct rb_node *x, *parent;
    bool was_red = n->is_red;
    if (!n->left || !n->right) {
        x = n->left ? n->left : n->right;
        parent = n->parent;
        replace_child(t, n, x);
    } else {
        struct rb_node *y = n->right;
        while (y->left)
            y = y->left;
        was_red = y->is_red;
        x = y->right;
        if (y->parent == n) {
            parent = y;
        } else {
            parent = y->parent;
            replace_child(t, y, x);
            y->right = n->right;
            y->right->parent = y;
        }
        replace_child(t, n, y);
        y->left = n->left;
        y->left->parent = y;
        y->is_red = n->is_red;
    }
    if (update)
        rb_propagate(parent, update);
    if (!was_red)
        erase_fix(t, x, parent, update);
    n->parent = n->left = n->right = NULL;
}

void rb_erase(struct rb_tree *t, struct rb_node *n)
{
    rb_erase_augmented(t, n, NULL);
}

struct rb_node *rb_first(const struct rb_tree *t)
{
    struct rb_node *n = t->root;
    while (n && n->left)
        n = n->left;
    return n;
}

struct rb_node *rb_last(const struct rb_tree *t)
{
    struct rb_node *n = t->root;
    while (n && n->right)
        n = n->right;
    return n;
}

struct rb_node *rb_next(const struct rb_node *n)
{
    if (n->right) {
        struct rb_node *r = n->right;
        while (r->left)
            r = r->left;
        return r;
    }
    while (n->parent && n->parent->right == n)
        n = n->parent;
    return n->parent;
}

struct rb_node *rb_prev(const struct rb_node *n)
{
    if (n->left) {
        struct rb_node *l = n->left;
        while (l->right)
            l = l->right;
        return l;
    }
    while (n->parent && n->parent->left == n)
        n = n->parent;
    return n->parent;
}
