/* /dev/net/tun. */
#ifndef NET_TUN_H
#define NET_TUN_H

struct stk_frame;
struct stk_iface;
struct tun_file;

void tun_init(void);
/* Under wire_lock: sends to the descriptor; consumes f. */
void tun_xmit(struct stk_iface *ifc, struct stk_frame *f);
/* Under wire_lock, write-locked: the interface goes, or stands elsewhere now. */
void tun_part(struct stk_iface *ifc);
void tun_moved(struct stk_iface *to, struct tun_file *t);

#endif
