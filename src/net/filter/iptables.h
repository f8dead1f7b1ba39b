/*
 * iptables: the tables of a namespace and the socket options by which iptables-legacy and
 * ip6tables-legacy read and replace them. They need CAP_NET_ADMIN over the namespace.
 */
#ifndef NET_FILTER_IPTABLES_H
#define NET_FILTER_IPTABLES_H

#include "net/filter/xt.h"
#include "net/sock.h"

#define LX_IPT_SO_REPLACE      64 /* set; IPv6 has the same numbers but for the revisions' */
#define LX_IPT_SO_ADD_COUNTERS 65
#define LX_IPT_SO_INFO         64 /* get */
#define LX_IPT_SO_ENTRIES      65
#define LX_IPT_SO_REV_MATCH    66
#define LX_IPT_SO_REV_TARGET   67
#define LX_IP6T_SO_REV_MATCH   68
#define LX_IP6T_SO_REV_TARGET  69
#define LX_SO_ORIGINAL_DST     80

struct ipt_ns;

struct ipt_ns *ipt_ns_new(void) must_check;
void ipt_ns_free(struct ipt_ns *n);
/* The table's name if it has been asked for, or NULL. In the order of making. */
const char *ipt_name(struct ipt_ns *n, enum xt_family family, u32 nth);
/* Where rules say something: as net_ns.nf_hooks. */
u32 ipt_hooks(const struct ipt_ns *n);
/* What a table says of a packet at the hook that it names; ACCEPT when it has none. */
enum xt_verdict ipt_run(struct ipt_ns *n, enum xt_table_id id, struct xt_packet *p) must_check;
/* Is it one of the options above? */
bool ipt_is_option(enum xt_family family, s32 name);
int ipt_setsockopt(struct sock *sk, enum xt_family family, s32 name,
                   const struct optval *val) must_check;
int ipt_getsockopt(struct sock *sk, enum xt_family family, s32 name, struct optval *val) must_check;

#endif
