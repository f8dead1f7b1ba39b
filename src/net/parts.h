/* What the families owe the namespace: their tables. NULL: out of memory; free accepts NULL. */
#ifndef NET_PARTS_H
#define NET_PARTS_H

struct netstack;

struct unix_ns *unix_ns_new(void);
void unix_ns_free(struct unix_ns *u);
struct inet_ns *inet_ns_new(void);
void inet_ns_free(struct inet_ns *i);
struct netlink_ns *netlink_ns_new(void);
void netlink_ns_free(struct netlink_ns *n);
struct packet_ns *packet_ns_new(void);
void packet_ns_free(struct packet_ns *n);
void netstack_free(struct netstack *n);

#endif
