/* NETLINK_ROUTE with the host's network: questions go to the host's kernel, changes are refused. */
#include <stdlib.h>
#include <string.h>

#include "net/netlink/route.h"

/* Copies a message under the asker's own header; false: it does not fit behind what is there. */
static bool put(struct nlbuf *b, const struct lx_nlmsghdr *h)
{
    u32 size = h->len - (u32)sizeof(*h), need = NL_ALIGN(h->len);
    if (!b->size && need > b->cap) { /* a large one goes alone */
        u8 *p = realloc(b->data, need);
        if (!p)
            return true; /* no memory: it is left out */
        b->data = p;
        b->cap = need;
    }
    u8 *to = nl_begin(b, h->type, (u16)(h->flags & ~(u32)LX_NLM_F_MULTI), size);
    if (to)
        memcpy(to, h + 1, size);
    return nl_end(b);
}

static bool dump_host(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    b->cap = NL_BUF_SIZE; /* it may have been more for a large message */
    for (;;) {
        u64 at = d->cursor;
        const struct lx_nlmsghdr *h = host_answer_next(&d->host, &at);
        if (!h)
            return true;
        if (!put(b, h))
            return false;
        d->cursor = at;
    }
}

int rt_host_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                    struct nl_dump *d)
{
    struct host_answer a;
    const struct lx_nlmsghdr *h;
    bool is_dump = req->flags & LX_NLM_F_DUMP;
    if ((req->type & 3) != 2)
        return -LX_EPERM;
    int r = hostnet_route(n->sk.ns->host, req, n->opt >> LX_NETLINK_GET_STRICT_CHK & 1, &a);
    if (r < 0 && !is_dump)
        return r;
    if (is_dump) {
        d->step = dump_host;
        d->err = r; /* an error ends the dump */
        if (r == 0)
            d->host = a;
        return 0;
    }
    for (u64 at = 0; (h = host_answer_next(&a, &at)) != NULL && put(b, h);)
        ;
    host_answer_done(&a);
    return 0;
}
