/* Extended attributes in memory; the contract is in the header. */
#include "fs/xattr_store.h"

#include <stdlib.h>
#include <string.h>

#include "abi/errno.h"
#include "abi/fs.h"

struct xattr_entry {
    struct xattr_entry *next;
    size_t size;
    char *value; /* owned; NULL when empty */
    char name[];
};

void xattr_store_init(struct xattr_store *s)
{
    mutex_init(&s->lock, "xattr_store");
    s->first = NULL;
    s->bytes = 0;
}

static size_t entry_cost(const struct xattr_entry *e)
{
    return sizeof(*e) + strlen(e->name) + 1 + e->size;
}

static void entry_free(struct xattr_entry *e)
{
    free(e->value);
    free(e);
}

void xattr_store_done(struct xattr_store *s)
{
    while (s->first) {
        struct xattr_entry *e = s->first;
        s->first = e->next;
        entry_free(e);
    }
    s->bytes = 0;
}

/* The link that leads to the entry, or the end of the list. */
static struct xattr_entry **find(struct xattr_store *s, const char *name)
{
    struct xattr_entry **link = &s->first;
    while (*link && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

s64 xattr_store_get(struct xattr_store *s, const char *name, void *buf, size_t size)
{
    MUTEX_GUARD(&s->lock);
    struct xattr_entry *e = *find(s, name);
    if (!e)
        return -LX_ENODATA;
    if (size == 0)
        return (s64)e->size;
    if (size < e->size)
        return -LX_ERANGE;
    if (e->size > 0)
        memcpy(buf, e->value, e->size);
    return (s64)e->size;
}

static struct xattr_entry *entry_new(const char *name, const void *val, size_t size)
{
    size_t n = strlen(name) + 1;
    struct xattr_entry *e = malloc(sizeof(*e) + n);
    if (!e)
        return NULL;
    e->next = NULL;
    e->size = size;
    e->value = size > 0 ? malloc(size) : NULL;
    if (size > 0 && !e->value) {
        free(e);
        return NULL;
    }
    if (size > 0)
        memcpy(e->value, val, size);
    memcpy(e->name, name, n);
    return e;
}

int xattr_store_set(struct xattr_store *s, const char *name, const void *val, size_t size,
                    u32 flags, size_t limit)
{
    MUTEX_GUARD(&s->lock);
    struct xattr_entry **link = find(s, name), *old = *link;
    if (old && (flags & LX_XATTR_CREATE))
        return -LX_EEXIST;
    if (!old && (flags & LX_XATTR_REPLACE))
        return -LX_ENODATA;
    struct xattr_entry *e = entry_new(name, val, size);
    if (!e)
        return -LX_ENOMEM;
    size_t bytes = s->bytes - (old ? entry_cost(old) : 0) + entry_cost(e);
    if (bytes > limit) {
        entry_free(e);
        return -LX_ENOSPC;
    }
    s->bytes = bytes;
    if (old) {
        e->next = old->next;
        entry_free(old);
    }
    *link = e;
    return 0;
}

int xattr_store_remove(struct xattr_store *s, const char *name)
{
    MUTEX_GUARD(&s->lock);
    struct xattr_entry **link = find(s, name), *e = *link;
    if (!e)
        return -LX_ENODATA;
    s->bytes -= entry_cost(e);
    *link = e->next;
    entry_free(e);
    return 0;
}

s64 xattr_store_list(struct xattr_store *s, char *buf, size_t size, bool is_privileged)
{
    MUTEX_GUARD(&s->lock);
    size_t n = 0;
    for (struct xattr_entry *e = s->first; e; e = e->next) {
        size_t len = strlen(e->name) + 1;
        if (!is_privileged && !strncmp(e->name, "trusted.", 8))
            continue;
        if (size > 0) {
            if (n + len > size)
                return -LX_ERANGE;
            memcpy(buf + n, e->name, len);
        }
        n += len;
    }
    return (s64)n;
}
