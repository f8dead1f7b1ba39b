/* What the handlers of socket calls share. */
#ifndef SYS_SOCKET_H
#define SYS_SOCKET_H

#include "net/sock.h"
#include "sys/sys.h"

/* The sock of fd; *ret_f is referenced. -LX_EBADF, -LX_ENOTSOCK. */
int socket_of_fd(int fd, struct file **ret_f, struct sock **ret_sk) must_check;
/* A sockaddr of `len` bytes, zero-padded. -LX_EINVAL, -LX_EFAULT. */
int sockaddr_in_from_user(u64 addr, u64 len, union saddr *ret, u32 *ret_len) must_check;
/* Writes an address and its true length as move_addr_to_user does. */
int sockaddr_to_user(const union saddr *a, u32 len, u64 addr, u64 len_addr) must_check;

/* Gives /proc/net and /proc/sys/net to the net room; after net_init and procfs_init. */
int socket_proc_init(void) must_check;

s64 sys_socket(struct task *t, const u64 a[6]);
s64 sys_socketpair(struct task *t, const u64 a[6]);
s64 sys_bind(struct task *t, const u64 a[6]);
s64 sys_connect(struct task *t, const u64 a[6]);
s64 sys_listen(struct task *t, const u64 a[6]);
s64 sys_accept(struct task *t, const u64 a[6]);
s64 sys_accept4(struct task *t, const u64 a[6]);
s64 sys_getsockname(struct task *t, const u64 a[6]);
s64 sys_getpeername(struct task *t, const u64 a[6]);
s64 sys_shutdown(struct task *t, const u64 a[6]);
s64 sys_setsockopt(struct task *t, const u64 a[6]);
s64 sys_getsockopt(struct task *t, const u64 a[6]);
s64 sys_sendto(struct task *t, const u64 a[6]);
s64 sys_recvfrom(struct task *t, const u64 a[6]);
s64 sys_sendmsg(struct task *t, const u64 a[6]);
s64 sys_recvmsg(struct task *t, const u64 a[6]);
s64 sys_sendmmsg(struct task *t, const u64 a[6]);
s64 sys_recvmmsg(struct task *t, const u64 a[6]);

#endif
