/*
 * Messages with file descriptors over SOCK_SEQPACKET sockets. Descriptors that
 * arrive are CLOEXEC; those that nobody asked for are closed here.
 */
#ifndef HOST_FDPASS_H
#define HOST_FDPASS_H

#include "base/defs.h"

#define FDPASS_MAX 48

int host_seqpacket_pair(int ret_fds[2]) must_check;
/* Sends one message; 0 or -LX_E*. A peer that is gone is -LX_EPIPE, without a signal. */
int host_send_fds(int sock, const void *buf, size_t size, const int *fds, u32 nfds) must_check;
/*
 * Receives one message: its size, 0 when the peer is gone. A message that is
 * larger than size, or that came with more than max_fds descriptors, is
 * -LX_EMSGSIZE and leaves nothing open. When this process has no room for the descriptors, the
 * message comes without any. *ret_nfds is always written.
 */
s64 host_recv_fds(int sock, void *buf, size_t size, int *ret_fds, u32 max_fds,
                  u32 *ret_nfds) must_check;

/* Ends both directions: a thread that waits in host_recv_fds gets 0. */
void host_shutdown(int sock);

#endif
