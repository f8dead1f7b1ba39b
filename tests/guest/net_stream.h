/* A stream of some megabytes between two network namespaces. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <pthread.h>

#include "net_link.h"

struct stream {
    int s;
    long total, sent;
};

static void *stream_pump(void *arg)
{
    struct stream *p = arg;
    static char block[65536];
    memset(block, 'y', sizeof(block));
    while (p->sent < p->total) {
        ssize_t n = send(p->s, block, sizeof(block), MSG_NOSIGNAL);
        if (n <= 0)
            break;
        p->sent += n;
    }
    shutdown(p->s, SHUT_WR);
    return NULL;
}

/* From a_addr in the namespace here, which is entered, to b_addr in there. total: blocks of 64 KiB.
 */
static void stream_between(int here, int there, const char *a_addr, const char *b_addr, long total)
{
    pthread_t th;
    static char buf[65536];
    enter_ns(there);
    int l = sock_at(SOCK_STREAM, b_addr, 5001);
    CHECK(listen(l, 4) == 0);
    enter_ns(here);
    struct stream p = {.s = sock_at(SOCK_STREAM, a_addr, 0), .total = total};
    CHECK(connect_to(p.s, b_addr, 5001) == 0);
    int s = accept(l, NULL, NULL);
    CHECK(s >= 0);
    CHECK(pthread_create(&th, NULL, stream_pump, &p) == 0);
    long got = 0;
    ssize_t n;
    while ((n = recv(s, buf, sizeof(buf), 0)) > 0)
        got += n;
    pthread_join(th, NULL);
    CHECK_EQ(n, 0);
    CHECK_EQ(got, total);
    CHECK_EQ(p.sent, total);
    close(p.s);
    close(s);
    close(l);
}

#endif
