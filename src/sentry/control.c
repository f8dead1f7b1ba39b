/*
 * The control socket: messages of the command come in on a thread of their
 * own; the sandbox's start and end go out. When the command is gone, so is
 * the sandbox.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "kern/parts.h"
#include "sentry/sentry.h"

void control_send(u32 type, s32 a, const char *text)
{
    struct ctl_msg m = {.type = type, .a = a};
    if (text) {
        size_t n = strlen(text);
        memcpy(m.text, text, MIN(n, sizeof(m.text) - 1));
    }
    if (send(BOOT_FD_CONTROL, &m, sizeof(m), MSG_NOSIGNAL) < 0)
        log_debug("the command is gone: %s", strerror(errno));
}

static void *control_main(void *arg)
{
    struct tgroup *init = arg;
    for (;;) {
        struct ctl_msg m;
        ssize_t n = recv(BOOT_FD_CONTROL, &m, sizeof(m), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        if (n != sizeof(m))
            continue;
        switch (m.type) {
        case CTL_SIGNAL:
            if (m.a >= 1 && m.a <= LX_NSIG)
                (void)kern_signal_init(init, m.a); /* fails only when it is ending anyway */
            break;
        case CTL_WINSIZE:
            console_resize((u32)m.a & 0xffff, (u32)m.b & 0xffff);
            break;
        default:
            log_warn("control message of unknown type %u", m.type);
        }
    }
    return NULL;
}

void control_start(struct tgroup *init)
{
    pthread_t th;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&th, &attr, control_main, init))
        panic("cannot start the control thread");
    pthread_attr_destroy(&attr);
}
