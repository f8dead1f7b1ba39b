/* What the tests of /proc's files share. */
#ifndef PROCFS_COMMON_H
#define PROCFS_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static char text[1 << 20];

/* The whole file as a string in `text`; its size, or -1 with errno. */
static ssize_t slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    ssize_t size = 0, n;
    while ((n = read(fd, text + size, sizeof(text) - 1 - (size_t)size)) > 0)
        size += n;
    int e = errno;
    close(fd);
    errno = e;
    text[size] = 0;
    return n < 0 ? -1 : size;
}

#endif
