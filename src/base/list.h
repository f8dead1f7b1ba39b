/* Intrusive doubly linked circular lists. A node that is in no list points at itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/defs.h"

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name) {&(name), &(name)}

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_(struct list *n, struct list *prev, struct list *next)
{
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}

static inline void list_add_head(struct list *head, struct list *n)
{
    list_insert_(n, head, head->next);
}

static inline void list_add_tail(struct list *head, struct list *n)
{
    list_insert_(n, head->prev, head);
}

/* Takes a node out; harmless on one that is in no list. */
static inline void list_del(struct list *n)
{
    n->next->prev = n->prev;
    n->prev->next = n->next;
    list_init(n);
}

/* Moves every node of `from` to the end of `to`. */
static inline void list_splice_tail(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member)                                                             \
    (list_empty(head) ? NULL : list_entry((head)->next, type, member))
#define list_last(head, type, member)                                                              \
    (list_empty(head) ? NULL : list_entry((head)->prev, type, member))

/* `pos` is a pointer to the containing type, declared by the caller. */
#define list_for_each(pos, head, member)                                                           \
    for (pos = list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head);         \
         pos = list_entry(pos->member.next, __typeof__(*pos), member))
/* As list_for_each; the body may take `pos` out or free it. `tmp` is another such pointer. */
#define list_for_each_safe(pos, tmp, head, member)                                                 \
    for (pos = list_entry((head)->next, __typeof__(*pos), member),                                 \
        tmp = list_entry(pos->member.next, __typeof__(*pos), member);                              \
         &pos->member != (head);                                                                   \
         pos = tmp, tmp = list_entry(tmp->member.next, __typeof__(*tmp), member))

#endif
