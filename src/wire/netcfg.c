/* The network's configuration: encoding, its mirror, and the text form of the egress policy. */
#include "wire/netcfg.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "abi/errno.h"
#include "abi/socket.h"

#define NETCFG_MAGIC 0x6e657431U

struct part {
    u32 *count;
    u32 max;
    size_t size;
    void **items;
};

#define NPARTS 5
static void parts_of(struct netcfg *c, struct part p[NPARTS])
{
    p[0] = (struct part){&c->nifaces, NETCFG_MAX_IFACES, sizeof(*c->ifaces), (void **)&c->ifaces};
    p[1] = (struct part){&c->naddrs, NETCFG_MAX_ADDRS, sizeof(*c->addrs), (void **)&c->addrs};
    p[2] = (struct part){&c->nroutes, NETCFG_MAX_ROUTES, sizeof(*c->routes), (void **)&c->routes};
    p[3] = (struct part){&c->nneighs, NETCFG_MAX_NEIGHS, sizeof(*c->neighs), (void **)&c->neighs};
    p[4] = (struct part){&c->nrules, NETCFG_MAX_RULES, sizeof(*c->rules), (void **)&c->rules};
}

void netcfg_done(struct netcfg *c)
{
    free(c->ifaces);
    free(c->addrs);
    free(c->routes);
    free(c->neighs);
    free(c->rules);
    memset(c, 0, sizeof(*c));
}

#define HEAD_WORDS (2 + NPARTS)

int netcfg_encode(const struct netcfg *c, void **ret_buf, size_t *ret_size)
{
    struct netcfg copy = *c;
    struct part p[NPARTS];
    u32 head[HEAD_WORDS] = {NETCFG_MAGIC, c->is_egress_limited};
    size_t size = sizeof(head);
    parts_of(&copy, p);
    for (u32 i = 0; i < NPARTS; i++) {
        if (*p[i].count > p[i].max)
            return -LX_E2BIG;
        head[2 + i] = *p[i].count;
        size += *p[i].count * p[i].size;
    }
    u8 *buf = malloc(size), *at = buf;
    if (!buf)
        return -LX_ENOMEM;
    memcpy(at, head, sizeof(head));
    at += sizeof(head);
    for (u32 i = 0; i < NPARTS; i++) {
        if (*p[i].count)
            memcpy(at, *p[i].items, *p[i].count * p[i].size);
        at += *p[i].count * p[i].size;
    }
    *ret_buf = buf;
    *ret_size = size;
    return 0;
}

static bool is_good(const struct netcfg *c)
{
    for (u32 i = 0; i < c->nifaces; i++) {
        const struct netcfg_iface *f = &c->ifaces[i];
        if (f->index < 2 || f->fd < 0 || f->mtu < 68 || f->mtu > 65535 || !memchr(f->name, 0, 16) ||
            !f->name[0])
            return false;
    }
    for (u32 i = 0; i < c->naddrs; i++)
        if (c->addrs[i].prefix_len > (c->addrs[i].family == LX_AF_INET ? 32 : 128))
            return false;
    for (u32 i = 0; i < c->nroutes; i++)
        if (c->routes[i].dst_len > (c->routes[i].family == LX_AF_INET ? 32 : 128))
            return false;
    for (u32 i = 0; i < c->nrules; i++)
        if (c->rules[i].prefix_len > (c->rules[i].family == LX_AF_INET ? 32 : 128))
            return false;
    return true;
}

int netcfg_decode(const void *buf, size_t size, struct netcfg *ret_c)
{
    struct netcfg c = {0};
    struct part p[NPARTS];
    u32 head[HEAD_WORDS];
    const u8 *at = buf;
    if (size < sizeof(head))
        return -LX_EINVAL;
    memcpy(head, at, sizeof(head));
    if (head[0] != NETCFG_MAGIC)
        return -LX_EINVAL;
    c.is_egress_limited = head[1];
    at += sizeof(head);
    size -= sizeof(head);
    parts_of(&c, p);
    for (u32 i = 0; i < NPARTS; i++) {
        u32 n = head[2 + i];
        if (n > p[i].max || n * p[i].size > size) {
            netcfg_done(&c);
            return -LX_EINVAL;
        }
        if (!n)
            continue;
        *p[i].items = calloc(n, p[i].size);
        if (!*p[i].items) {
            netcfg_done(&c);
            return -LX_ENOMEM;
        }
        memcpy(*p[i].items, at, n * p[i].size);
        *p[i].count = n;
        at += n * p[i].size;
        size -= n * p[i].size;
    }
    if (size || !is_good(&c)) {
        netcfg_done(&c);
        return -LX_EINVAL;
    }
    *ret_c = c;
    return 0;
}

/* ---- egress -------------------------------------------------------------------------------- */

/* A decimal number up to max, with nothing before or after but *end. */
static bool parse_number(const char *s, const char **end, u32 max, u32 *ret)
{
    u64 v = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9' && v <= max; p++)
        v = v * 10 + (u64)(*p - '0');
    *end = p;
    *ret = (u32)v;
    return p > s && v <= max;
}

/* "ADDR[/LEN][:PORT[-PORT]]", the address in brackets when it is IPv6. */
static bool parse_rule(const char *text, struct netcfg_rule *r)
{
    char addr[64];
    u32 v;
    bool is_v6 = *text == '[';
    const char *p = text + is_v6;
    size_t n = strcspn(p, is_v6 ? "]" : "/:");
    if (n >= sizeof(addr))
        return false;
    memcpy(addr, p, n);
    addr[n] = 0;
    p += n;
    *r = (struct netcfg_rule){.family = is_v6 ? LX_AF_INET6 : LX_AF_INET, .port_high = 65535};
    char *len = strchr(addr, '/'); /* within the brackets is fine too */
    if (len)
        *len++ = 0;
    if (is_v6) {
        if (*p++ != ']' || inet_pton(AF_INET6, addr, r->addr) != 1)
            return false;
    } else {
        r->addr[10] = r->addr[11] = 0xff;
        if (inet_pton(AF_INET, addr, r->addr + 12) != 1)
            return false;
    }
    u32 max_len = is_v6 ? 128 : 32;
    r->prefix_len = (u8)max_len;
    const char *end;
    if (len || *p == '/') {
        if (!parse_number(len ? len : p + 1, &end, max_len, &v) || (len && *end))
            return false;
        r->prefix_len = (u8)v;
        if (!len)
            p = end;
    }
    if (*p == ':') {
        if (!parse_number(p + 1, &p, 65535, &v))
            return false;
        r->port_low = r->port_high = (u16)v;
        if (*p == '-') {
            if (!parse_number(p + 1, &p, 65535, &v) || v < r->port_low)
                return false;
            r->port_high = (u16)v;
        }
    }
    return *p == 0;
}

bool netcfg_parse_egress(struct netcfg *c, const char *text)
{
    if (!strcmp(text, "deny")) {
        c->is_egress_limited = 1;
        return true;
    }
    if (strncmp(text, "allow:", 6))
        return false;
    char *list = strdup(text + 6), *save = NULL;
    bool is_ok = list && *list;
    c->is_egress_limited = 1;
    for (char *s = is_ok ? strtok_r(list, ",", &save) : NULL; s && is_ok;
         s = strtok_r(NULL, ",", &save)) {
        struct netcfg_rule *rules = realloc(c->rules, (c->nrules + 1) * sizeof(*rules));
        if (rules)
            c->rules = rules;
        is_ok = rules && c->nrules < NETCFG_MAX_RULES && parse_rule(s, &rules[c->nrules]);
        c->nrules += is_ok;
    }
    free(list);
    return is_ok && c->nrules;
}
