/* What the socket tests share. */
#ifndef NET_COMMON_H
#define NET_COMMON_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

__attribute__((unused)) static int events_of(int fd)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
    int n = epoll_wait(ep, &ev, 1, 0);
    close(ep);
    return n == 1 ? (int)ev.events : 0;
}

__attribute__((unused)) static void nonblock(int fd, int on)
{
    int fl = fcntl(fd, F_GETFL);
    CHECK(fcntl(fd, F_SETFL, on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK) == 0);
}

__attribute__((unused)) static int getopt_int(int fd, int level, int name)
{
    int v = -12345;
    socklen_t len = sizeof(v);
    CHECK(getsockopt(fd, level, name, &v, &len) == 0);
    return v;
}

__attribute__((unused)) static int setopt_int(int fd, int level, int name, int v)
{
    return setsockopt(fd, level, name, &v, sizeof(v));
}

__attribute__((unused)) static long now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((unused)) static void sleep_ms(int ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&ts, NULL);
}

__attribute__((unused)) static struct sockaddr_in lo4(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

__attribute__((unused)) static struct sockaddr_in6 lo6(int port)
{
    return (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
}

__attribute__((unused)) static int port_of(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    CHECK(getsockname(fd, (struct sockaddr *)&ss, &len) == 0);
    return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

/* A listener on 127.0.0.1 with a port of the kernel's choice. */
__attribute__((unused)) static int tcp_listener(int backlog, int *port)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = lo4(0);
    CHECK(s >= 0);
    CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(listen(s, backlog) == 0);
    *port = port_of(s);
    return s;
}

__attribute__((unused)) static int tcp_connect_to(int port)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = lo4(port);
    CHECK(s >= 0);
    CHECK(connect(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    return s;
}

/* A connected pair: c[0] connected, c[1] accepted. */
__attribute__((unused)) static void tcp_pair(int c[2])
{
    int port, l = tcp_listener(5, &port);
    c[0] = tcp_connect_to(port);
    c[1] = accept(l, NULL, NULL);
    CHECK(c[1] >= 0);
    close(l);
}

#define EV_ALL (EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLRDHUP)

#endif
