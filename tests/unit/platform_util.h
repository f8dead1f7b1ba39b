/* Shared by the platform's tests and benchmark: spaces with a snippet of machine code in them. */
#ifndef PLATFORM_UTIL_H
#define PLATFORM_UTIL_H

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "abi/errno.h"
#include "abi/nr.h"
#include "base/log.h"
#include "platform/platform.h"

#define CODE  0x100000UL
#define TEXT  0x400000000UL
#define DATA  0x200000000UL
#define STACK 0x300000000UL
#define SIZE  0x10000UL

#define SNIPPET(name, text)                                                                        \
    extern const char name##_begin[], name##_end[];                                                \
    __asm__(".pushsection .rodata\n" #name "_begin:\n" text "\n" #name "_end:\n.popsection\n")

static inline void start(void)
{
    static int is_started;
    if (is_started++)
        return;
    struct platform_config cfg = {0};
    if (platform_init(&cfg) < 0)
        exit(77);
}

static inline struct aspace *must_as(int r, struct aspace *as)
{
    if (r < 0) {
        fprintf(stderr, "no address space: %d\n", r);
        abort();
    }
    return as;
}

#define OK(call)                                                                                   \
    do {                                                                                           \
        long ok_ = (long)(call);                                                                   \
        if (ok_ < 0) {                                                                             \
            fprintf(stderr, "%s:%d: %s: %ld\n", __FILE__, __LINE__, #call, ok_);                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/*
 * A space with data and stack, and the snippet at CODE (writable, never
 * rewritten) and at TEXT (a private file, read and execute, as the loader maps programs).
 */
static inline struct aspace *space(const char *begin, const char *end)
{
    start();
    struct aspace *as = NULL;
    size_t size = (size_t)(end - begin);
    int fd = memfd_create("text", MFD_CLOEXEC);
    char pad[0x1000 + 0x800];
    memset(pad, 0x90, sizeof(pad));
    memcpy(pad + 0x40, begin, size);
    OK(write(fd, pad, sizeof(pad)));
    OK(aspace_new(&as));
    OK(aspace_map(as, NULL, CODE, 0x2000, PROT_READ | PROT_WRITE | PROT_EXEC, ASPACE_PRIVATE_ANON,
                  0, -1, 0));
    OK(aspace_map(as, NULL, TEXT, 0x2000, PROT_READ | PROT_EXEC, ASPACE_PRIVATE_FILE, 0, fd, 0));
    OK(aspace_map(as, NULL, DATA, SIZE, PROT_READ | PROT_WRITE, ASPACE_PRIVATE_ANON, 0, -1, 0));
    OK(aspace_map(as, NULL, STACK, SIZE, PROT_READ | PROT_WRITE, ASPACE_PRIVATE_ANON, 0, -1, 0));
    close(fd);
    if (aspace_write(as, NULL, CODE, begin, size) != size)
        abort();
    return as;
}

static inline struct uctx *thread_at(struct aspace *as, u64 rip)
{
    struct uctx *ctx = NULL;
    OK(uctx_new(as, NULL, &ctx));
    struct uregs *r = uctx_regs(ctx);
    r->rip = rip;
    r->rsp = STACK + 0x8000;
    uctx_regs_changed(ctx);
    return ctx;
}

#define SPACE(name) space(name##_begin, name##_end)
#define TEXT_START  (TEXT + 0x40)

static inline double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

#endif
