/*
 * ct: connections, as packets show them, for the matches state and conntrack and for NAT.
 *
 * A connection has two tuples: what its first packet came with, and what an answer to it comes
 * with. The second is the first turned round, until NAT changes it: then a packet of either
 * direction is rewritten to the other direction's tuple turned round. The destination is rewritten
 * at PREROUTING or OUTPUT, the source at POSTROUTING or INPUT.
 *
 * Life: ct_track makes one for a packet that belongs to none; only that packet knows it, and NAT
 * decides. ct_confirm, when the packet has passed the last hook, puts it into the table, where it
 * stays until it expires or gives way. Bounded: CT_MAX in a namespace, charged to the memory of the
 * queues.
 *
 * Not as on Linux: sequence numbers and checksums of segments are not looked at (as with
 * nf_conntrack_tcp_be_liberal), and there are no helpers: RELATED are ICMP errors alone.
 */
#ifndef NET_FILTER_CT_H
#define NET_FILTER_CT_H

#include "net/filter/xt.h"

#define CT_MAX 16384U

enum { CT_ORIGINAL, CT_REPLY };

struct ct_ns;

struct ct_tuple {
    struct lx_in6_addr src, dst;
    u16 sport, dport; /* ICMP: the identifier; type and code */
    u8 protocol, pad[3];
};

/* What a NAT target asks for. */
struct ct_range {
    bool has_addr, has_port;
    struct lx_in6_addr min, max;
    u16 port_min, port_max;
};
enum ct_manip { CT_SOURCE, CT_DESTINATION };

struct ct_ns *ct_ns_new(void) must_check;
void ct_ns_free(struct ct_ns *n);
/* Finds or makes the packet's connection and sets p->i. */
void ct_track(struct ct_ns *n, struct xt_packet *p);
/* The packet got through: its connection is one from now on. False: there is no room. */
bool ct_confirm(struct ct_ns *n, struct xt_packet *p) must_check;
/* Drops what p->i holds. */
void ct_release(struct xt_info *i);
/* May NAT still be decided for the packet's connection at this hook? Says so once. */
bool ct_nat_begin(struct xt_packet *p, enum ct_manip m);
/* A target's decision. False: no tuple of the range is free. */
bool ct_nat(struct ct_ns *n, struct xt_packet *p, enum ct_manip m,
            const struct ct_range *r) must_check;
/* Has a target decided? */
bool ct_nat_is_set(const struct xt_packet *p, enum ct_manip m);
/* A number that tells connections apart. */
u32 ct_id(const struct xt_packet *p);
/* Rewrites the packet's source or destination, if its connection says so. True: it did. */
bool ct_translate(struct xt_packet *p, enum ct_manip m);
u32 ct_mark(const struct xt_packet *p);
void ct_set_mark(struct xt_packet *p, u32 mark);
/* The mtinfo of the match conntrack is looked at there. */
struct ct_view {
    struct ct_tuple tuple[2];
    bool is_snat, is_dnat, has_reply, is_assured, is_confirmed;
    u32 left_s;
};
bool ct_look(const struct xt_packet *p, struct ct_view *ret);
/* Where a connection of this local tuple went at first: SO_ORIGINAL_DST. False: nobody knows it. */
bool ct_original_dst(struct ct_ns *n, const struct ct_tuple *local, struct lx_in6_addr *ret_addr,
                     u16 *ret_port);
/* The tuple of a packet of ours that an error quotes, as it was before NAT. */
void ct_unmap(struct ct_ns *n, struct ct_tuple *sent);
u32 ct_count(struct ct_ns *n);

#endif
