/* Building and reading netlink messages. */
#include <string.h>

#include "net/netlink/netlink.h"

static void *grow(struct nlbuf *b, u32 size)
{
    u32 space = NL_ALIGN(size);
    if (b->is_full || b->cap - b->size < space) {
        b->is_full = true;
        return NULL;
    }
    u8 *p = b->data + b->size;
    memset(p, 0, space);
    b->size += space;
    return p;
}

void *nl_begin(struct nlbuf *b, u16 type, u16 flags, u32 hdr_size)
{
    b->is_full = false;
    b->msg = b->size;
    struct lx_nlmsghdr h = {0, type, (u16)(flags | b->flags), b->seq, b->pid};
    u8 *p = grow(b, sizeof(h) + hdr_size);
    if (!p)
        return NULL;
    memcpy(p, &h, sizeof(h));
    return p + sizeof(h);
}

bool nl_end(struct nlbuf *b)
{
    if (b->is_full) {
        b->size = b->msg;
        return false;
    }
    u32 len = b->size - b->msg;
    memcpy(b->data + b->msg, &len, sizeof(len));
    return true;
}

void nl_attr(struct nlbuf *b, u16 type, const void *data, u32 size)
{
    struct lx_nlattr a = {(u16)(sizeof(a) + size), type};
    u8 *p = grow(b, sizeof(a) + size);
    if (!p)
        return;
    memcpy(p, &a, sizeof(a));
    if (size)
        memcpy(p + sizeof(a), data, size);
}

void nl_attr_u8(struct nlbuf *b, u16 type, u8 v)
{
    nl_attr(b, type, &v, sizeof(v));
}

void nl_attr_u16(struct nlbuf *b, u16 type, u16 v)
{
    nl_attr(b, type, &v, sizeof(v));
}

void nl_attr_u32(struct nlbuf *b, u16 type, u32 v)
{
    nl_attr(b, type, &v, sizeof(v));
}

void nl_attr_str(struct nlbuf *b, u16 type, const char *s)
{
    nl_attr(b, type, s, (u32)strlen(s) + 1);
}

u32 nl_nest(struct nlbuf *b, u16 type)
{
    u32 at = b->size;
    nl_attr(b, type, NULL, 0);
    return at;
}

void nl_nest_end(struct nlbuf *b, u32 at)
{
    if (b->is_full)
        return;
    u16 len = (u16)(b->size - at);
    memcpy(b->data + at, &len, sizeof(len));
}

const void *nl_payload(const struct lx_nlmsghdr *req, u32 hdr_size)
{
    return req->len >= sizeof(*req) + hdr_size ? (const u8 *)req + sizeof(*req) : NULL;
}

const void *nl_find(const struct lx_nlmsghdr *req, u32 hdr_size, u16 type, u32 min_size,
                    u32 *ret_size)
{
    u32 at = sizeof(*req) + NL_ALIGN(hdr_size);
    struct lx_nlattr a;
    while (at + sizeof(a) <= req->len) {
        memcpy(&a, (const u8 *)req + at, sizeof(a));
        if (a.len < sizeof(a) || a.len > req->len - at)
            return NULL;
        u32 size = a.len - (u32)sizeof(a);
        if ((a.type & NLA_TYPE_MASK) == type && size >= min_size) {
            if (ret_size)
                *ret_size = size;
            return (const u8 *)req + at + sizeof(a);
        }
        at += NL_ALIGN(a.len);
    }
    return NULL;
}
