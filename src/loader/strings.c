/*
 * Argument strings: packed buffers that grow by doubling up to the limit.
 *
 * Each string costs its bytes and one pointer, as Linux counts it, so that
 * neither a few long strings nor many empty ones can take more than the limit.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/loader.h"

void loader_strings_done(struct loader_strings *s)
{
    free(s->buf);
    *s = (struct loader_strings){0};
}

u64 loader_strings_limit(u64 rlimit_stack)
{
    u64 limit = MIN(rlimit_stack / 4, LOADER_MAX_TOTAL);
    return MAX(limit, LOADER_MIN_TOTAL);
}

u64 loader_strings_cost(const struct loader_strings *s)
{
    return s->size + (u64)s->count * sizeof(u64);
}

/* Room for `more` bytes at the end of buf. */
static int reserve(struct loader_strings *s, size_t more)
{
    size_t need = s->size + more, capacity = s->capacity ? s->capacity : 1024;
    if (need <= s->capacity)
        return 0;
    while (capacity < need)
        capacity *= 2;
    char *buf = realloc(s->buf, capacity);
    if (!buf)
        return -LX_ENOMEM;
    s->buf = buf;
    s->capacity = capacity;
    return 0;
}

static bool fits(const struct loader_strings *s, u64 size_with_nul, u64 limit)
{
    u64 cost = loader_strings_cost(s) + size_with_nul + sizeof(u64);
    return size_with_nul <= LOADER_MAX_STRLEN && cost <= limit;
}

int loader_strings_add(struct loader_strings *s, const char *str, size_t size, u64 limit)
{
    if (size >= LOADER_MAX_STRLEN || !fits(s, size + 1, limit))
        return -LX_E2BIG;
    int r = reserve(s, size + 1);
    if (r < 0)
        return r;
    memcpy(s->buf + s->size, str, size);
    s->buf[s->size + size] = 0;
    s->size += size + 1;
    s->count++;
    return 0;
}

int loader_strings_add_all(struct loader_strings *s, char *const *list, u64 limit)
{
    int r = 0;
    for (; list && *list && r == 0; list++)
        r = loader_strings_add(s, *list, strlen(*list), limit);
    return r;
}

/* One guest string, read straight to its place. */
static int copy_one(struct loader_strings *s, uaddr_t src, u64 limit)
{
    /* Most are short: try with little room before reserving for the longest. */
    for (size_t room = 512;; room = LOADER_MAX_STRLEN) {
        int r = reserve(s, room);
        if (r < 0)
            return r;
        s64 n = copy_in_str(s->buf + s->size, src, room);
        if (n == -LX_ENAMETOOLONG && room < LOADER_MAX_STRLEN)
            continue;
        if (n < 0)
            return n == -LX_ENAMETOOLONG ? -LX_E2BIG : (int)n;
        if (!fits(s, (u64)n + 1, limit))
            return -LX_E2BIG;
        s->size += (size_t)n + 1;
        s->count++;
        return 0;
    }
}

int loader_strings_copy_in(struct loader_strings *s, uaddr_t array, u64 limit)
{
    u64 ptrs[64];
    if (array.v == 0)
        return 0;
    for (;;) {
        /* A batch up to the end of the page, so that it does not fault beyond the array. */
        u64 in_page = (PAGE_SIZE - (array.v & ~PAGE_MASK)) / sizeof(u64);
        u64 n = MIN(MAX(in_page, 1), ARRAY_SIZE(ptrs));
        int r = copy_in(ptrs, array, n * sizeof(u64));
        if (r < 0)
            return r;
        for (u64 i = 0; i < n; i++) {
            if (ptrs[i] == 0)
                return 0;
            if ((r = copy_one(s, uaddr(ptrs[i]), limit)) < 0)
                return r;
        }
        array = uaddr_add(array, n * sizeof(u64));
    }
}
