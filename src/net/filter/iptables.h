/*
 * iptables: the tables of a namespace and the socket options by which iptables-legacy reads and
 * replaces them. They need CAP_NET_ADMIN over the namespace.
 */
#ifndef NET_FILTER_IPTABLES_H
#define NET_FILTER_IPTABLES_H

#include "net/filter/xt.h"
#include "net/sock.h"

#define LX_IPT_BASE 64
#define LX_IPT_LAST 67

struct ipt_ns;

struct ipt_ns *ipt_ns_new(void) must_check;
void ipt_ns_free(struct ipt_ns *n);
/* Has the table been asked for yet? */
bool ipt_has_filter(struct ipt_ns *n);
/* What the tables say of a packet at a hook. ret_reject: with XT_REJECT, ipt_reject_with. */
enum xt_verdict ipt_run(struct ipt_ns *n, enum xt_hook hook, struct xt_packet *p,
                        u32 *ret_reject) must_check;
int ipt_setsockopt(struct sock *sk, s32 name, const struct optval *val) must_check;
int ipt_getsockopt(struct sock *sk, s32 name, struct optval *val) must_check;

#endif
