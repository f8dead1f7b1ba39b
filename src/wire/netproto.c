/* See netproto.h. */
#include "wire/netproto.h"

#include <string.h>

/* What is about the internet families; other files of the directory tell of the host's programs. */
static const char *const files[] = {
    "arp",      "dev",  "dev_mcast", "fib_trie",   "fib_triestat", "icmp",      "icmp6",
    "if_inet6", "igmp", "igmp6",     "ipv6_route", "mcfilter",     "mcfilter6", "netstat",
    "raw",      "raw6", "route",     "snmp",       "snmp6",        "sockstat",  "sockstat6",
    "tcp",      "tcp6", "udp",       "udp6",       "udplite",      "udplite6",  "wireless",
};

bool netproto_is_proc_file(const char *name, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (strlen(files[i]) == size && !memcmp(files[i], name, size))
            return true;
    return false;
}
