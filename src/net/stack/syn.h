/* Half-open connections of listeners, and SYN cookies. */
#ifndef NET_STACK_SYN_H
#define NET_STACK_SYN_H

#include "net/stack/tcp.h"

struct syn_table *syn_table_new(void) must_check;
void syn_table_free(struct syn_table *t);
/* A segment for which there is no connection. */
void syn_input(struct rxpkt *p, const struct tcp_rx *s, u16 sport, u16 dport);
bool syn_tick(struct netstack *stk, s64 now);

#endif
