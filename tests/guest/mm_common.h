/* For guest tests of memory: faults caught as codes, short names. */
#ifndef MM_COMMON_H
#define MM_COMMON_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define PG   4096UL
#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf fault_jmp;
static volatile int fault_signo, fault_code;
static void *volatile fault_addr;

static void on_fault(int signo, siginfo_t *info, void *ctx)
{
    (void)ctx;
    fault_signo = signo;
    fault_code = info->si_code;
    fault_addr = info->si_addr;
    siglongjmp(fault_jmp, 1);
}

__attribute__((unused)) static void catch_faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
}

/* 0 when the access went through, else the signal; its code and address are left in fault_*. */
__attribute__((unused, noinline)) static int fault_of_read(const volatile void *p)
{
    fault_signo = 0;
    if (sigsetjmp(fault_jmp, 1) == 0)
        (void)*(const volatile char *)p;
    return fault_signo;
}

__attribute__((unused, noinline)) static int fault_of_write(volatile void *p)
{
    fault_signo = 0;
    if (sigsetjmp(fault_jmp, 1) == 0)
        *(volatile char *)p = 1;
    return fault_signo;
}

/* A fresh anonymous mapping, or the test fails. */
__attribute__((unused)) static char *map_pages(size_t n, int prot)
{
    char *p = mmap(NULL, n * PG, prot, ANON, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

/* An unlinked file of `size` bytes, open for reading and writing. */
__attribute__((unused)) static int temp_file(off_t size)
{
    char name[] = "/tmp/mm_test_XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0);
    unlink(name);
    CHECK_EQ(ftruncate(fd, size), 0);
    return fd;
}

/* Runs fn in a child: its exit status, or 1000 + the signal that ended it. */
__attribute__((unused)) static int in_child(int (*fn)(void *), void *arg)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(fn(arg));
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#endif
