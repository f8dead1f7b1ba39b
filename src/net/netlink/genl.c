/*
 * NETLINK_GENERIC: the controller, which knows no family but itself. Programs ask it for families by
 * name (nl80211, ethtool, …) and take ENOENT for "this kernel has it not".
 */
#include <string.h>

#include "net/netlink/netlink.h"

struct lx_genlmsghdr {
    u8 cmd, version;
    u16 reserved;
};

#define GENL_ID_CTRL       16
#define CTRL_CMD_NEWFAMILY 1
#define CTRL_CMD_GETFAMILY 3
enum { CTRL_ATTR_FAMILY_ID = 1, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_VERSION, CTRL_ATTR_HDRSIZE,
       CTRL_ATTR_MAXATTR };

static void put_ctrl(struct nlbuf *b)
{
    struct lx_genlmsghdr *g = nl_begin(b, GENL_ID_CTRL, 0, sizeof(*g));
    if (!g)
        return;
    *g = (struct lx_genlmsghdr){.cmd = CTRL_CMD_NEWFAMILY, .version = 2};
    nl_attr_str(b, CTRL_ATTR_FAMILY_NAME, "nlctrl");
    nl_attr_u16(b, CTRL_ATTR_FAMILY_ID, GENL_ID_CTRL);
    nl_attr_u32(b, CTRL_ATTR_VERSION, 2);
    nl_attr_u32(b, CTRL_ATTR_HDRSIZE, 0);
    nl_attr_u32(b, CTRL_ATTR_MAXATTR, 10);
    (void)nl_end(b);
}

static bool dump_families(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    put_ctrl(b);
    return true;
}

int nl_generic_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                       struct nl_dump *d)
{
    const struct lx_genlmsghdr *g = nl_payload(req, sizeof(*g));
    u32 size;
    u16 id;
    if (req->type != GENL_ID_CTRL)
        return -LX_ENOENT;
    if (!g)
        return -LX_EINVAL;
    if (g->cmd != CTRL_CMD_GETFAMILY)
        return -LX_EOPNOTSUPP;
    if (req->flags & LX_NLM_F_DUMP) {
        d->step = dump_families;
        return 0;
    }
    const void *v = nl_find(req, sizeof(*g), CTRL_ATTR_FAMILY_ID, sizeof(id), NULL);
    if (v) {
        memcpy(&id, v, sizeof(id));
        if (id != GENL_ID_CTRL)
            return -LX_ENOENT;
        put_ctrl(b);
        return 0;
    }
    const char *name = nl_find(req, sizeof(*g), CTRL_ATTR_FAMILY_NAME, 1, &size);
    if (!name)
        return -LX_EINVAL;
    if (strnlen(name, size) != 6 || memcmp(name, "nlctrl", 6))
        return -LX_ENOENT;
    put_ctrl(b);
    return 0;
}
