/* The files of /proc/net, printed for whoever serves /proc. */
#ifndef NET_NET_PROC_H
#define NET_NET_PROC_H

#include "net/net.h"

#define NET_PROC_END UINT64_MAX

struct net_proc_out {
    void (*puts)(void *arg, const char *text);
    bool (*is_full)(void *arg); /* stop soon: the rest comes with the next call */
    void *arg;
};

/* printf to o, at most 511 bytes. */
void np_emit(const struct net_proc_out *o, const char *fmt, ...) printf_like(2, 3);

struct net_proc_file {
    const char *name;
    /* Prints from *cursor (0 at first) on, at least one line a call, and sets *cursor to where to go
     * on or to NET_PROC_END. */
    void (*print)(struct net_ns *ns, const struct net_proc_out *out, u64 *cursor);
};

extern const struct net_proc_file net_proc_files[];
/* f's print, or with the host's network what the host has to say. */
void net_proc_print(const struct net_proc_file *f, struct net_ns *ns, const struct net_proc_out *out,
                    u64 *cursor);
extern const u32 net_proc_nfiles;

#endif
