/* See console.h. */
#include "oci/console.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "host/fdpass.h"

static int connect_to(const char *path, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        return err_set(e, "the console socket's path '%.120s' is too long", path);
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        err_errno(e, "cannot connect to the console socket '%s'", path);
        close(fd);
        return -1;
    }
    return fd;
}

static int open_pair(int *ret_master, int *ret_slave, struct err *e)
{
    int unlock = 0, slave = -1;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master >= 0 && ioctl(master, TIOCSPTLCK, &unlock) == 0)
        slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        err_errno(e, "cannot make a terminal");
        if (master >= 0)
            close(master);
        return -1;
    }
    *ret_master = master;
    *ret_slave = slave;
    return 0;
}

int console_for_socket(const char *path, u32 rows, u32 cols, int *ret_fd, struct err *e)
{
    int master, slave, r = 0;
    struct termios t;
    if (open_pair(&master, &slave, e) < 0)
        return -1;
    if (tcgetattr(slave, &t) == 0) {
        cfmakeraw(&t);
        r = tcsetattr(slave, TCSANOW, &t);
    }
    struct winsize ws = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    if (r == 0 && rows && cols)
        r = ioctl(slave, TIOCSWINSZ, &ws);
    if (r < 0)
        err_errno(e, "cannot set the terminal up");
    int sock = r == 0 ? connect_to(path, e) : -1;
    if (sock >= 0) {
        static const char name[] = "/dev/ptmx";
        r = host_send_fds(sock, name, sizeof(name) - 1, &master, 1);
        if (r < 0)
            err_set(e, "cannot send the terminal to the console socket '%s': %s", path,
                    strerror(-r));
        close(sock);
    } else {
        r = -1;
    }
    close(master);
    if (r < 0) {
        close(slave);
        return -1;
    }
    *ret_fd = slave;
    return 0;
}

static struct termios saved_termios;
static int raw_fd = -1;

void console_restore(void)
{
    if (raw_fd >= 0)
        tcsetattr(raw_fd, TCSADRAIN, &saved_termios);
    raw_fd = -1;
}

int console_raw(int fd, struct err *e)
{
    struct termios raw;
    if (tcgetattr(fd, &saved_termios) < 0)
        return err_errno(e, "cannot read the terminal's settings");
    raw = saved_termios;
    cfmakeraw(&raw);
    if (tcsetattr(fd, TCSADRAIN, &raw) < 0)
        return err_errno(e, "cannot change the terminal's settings");
    raw_fd = fd;
    atexit(console_restore);
    return 0;
}
