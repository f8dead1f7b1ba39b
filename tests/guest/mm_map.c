/* mmap, munmap, mprotect, brk: places, flags, errnos, fault codes. */
#include "mm_common.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

TEST(fixed_noreplace)
{
    char *p = map_pages(3, RW);
    CHECK_EQ(munmap(p + PG, PG), 0);
    CHECK(mmap(p + PG, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p + PG);
    CHECK(mmap(p, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    CHECK_EQ(errno, EEXIST);
    CHECK(mmap(p + PG, 2 * PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    CHECK_EQ(errno, EEXIST);
    CHECK_EQ(munmap(p, 3 * PG), 0);
}

TEST(argument_errors)
{
    char *p = map_pages(1, RW);
    CHECK(mmap(NULL, 0, RW, ANON, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, PG, RW, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, PG, RW, MAP_PRIVATE, -1, 0) == MAP_FAILED && errno == EBADF);
    CHECK(mmap(NULL, SIZE_MAX - PG, RW, ANON, -1, 0) == MAP_FAILED && errno == ENOMEM);
    CHECK(mmap(NULL, 20UL << 40, RW, ANON, -1, 0) == MAP_FAILED && errno == ENOMEM);
    CHECK(mmap(p + 1, PG, RW, ANON | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(syscall(SYS_mmap, NULL, PG, RW, ANON, -1, 0x123) == -1 && errno == EINVAL);
    CHECK(mmap((void *)0x7ffffffff000, PG, RW, ANON | MAP_FIXED, -1, 0) == MAP_FAILED &&
          errno == ENOMEM);
    CHECK_ERR(munmap(p + 1, PG), EINVAL);
    CHECK_ERR(munmap(p, 0), EINVAL);
    CHECK_ERR(munmap((void *)0x7fffffffe000, 16 * PG), EINVAL);
    CHECK_EQ(munmap(p, PG), 0);
    CHECK_EQ(munmap(p, PG), 0); /* a hole is no error */
}

TEST(odd_flags_are_accepted)
{
    /* Linux takes any unknown bit with MAP_PRIVATE and MAP_SHARED. */
    char *p = mmap(NULL, PG, RW, ANON | 0x200000, -1, 0);
    CHECK(p != MAP_FAILED);
    *p = 1;
    munmap(p, PG);
    p = mmap(NULL, PG, RW, ANON | MAP_LOCKED | MAP_DENYWRITE | MAP_STACK, -1, 0);
    CHECK(p != MAP_FAILED);
    munmap(p, PG);
    int fd = temp_file(PG);
    CHECK(mmap(NULL, PG, RW, 3 /* SHARED_VALIDATE */ | 0x200000, fd, 0) == MAP_FAILED);
    CHECK_EQ(errno, EOPNOTSUPP);
    p = mmap(NULL, PG, RW, 3, fd, 0);
    CHECK(p != MAP_FAILED);
    munmap(p, PG);
    close(fd);
}

TEST(hints)
{
    char *p = map_pages(4, RW);
    CHECK_EQ(munmap(p, 4 * PG), 0);
    CHECK(mmap(p + PG + 5, PG, RW, ANON, -1, 0) == p + PG);
    char *q = mmap(p + PG, PG, RW, ANON, -1, 0);
    CHECK(q != MAP_FAILED && q != p + PG);
    munmap(q, PG);
    munmap(p + PG, PG);
    /* Below mmap_min_addr a hint is moved, a fixed request refused. */
    q = mmap((void *)PG, PG, RW, ANON, -1, 0);
    CHECK(q != MAP_FAILED);
    munmap(q, PG);
    q = mmap(NULL, PG, RW, ANON | MAP_32BIT, -1, 0);
    CHECK(q != MAP_FAILED && (uintptr_t)q < 0x80000000UL);
    munmap(q, PG);
    q = mmap((void *)0x30000000, PG, RW, ANON | MAP_FIXED, -1, 0);
    CHECK(q == (void *)0x30000000);
    *q = 1;
    munmap(q, PG);
}

TEST(fault_codes)
{
    catch_faults();
    char *p = map_pages(3, RW);
    CHECK_EQ(mprotect(p, PG, PROT_NONE), 0);
    CHECK_EQ(munmap(p + PG, PG), 0);
    CHECK_EQ(mprotect(p + 2 * PG, PG, PROT_READ), 0);
    CHECK_EQ(fault_of_read(p + 8), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_ACCERR);
    CHECK(fault_addr == p + 8);
    CHECK_EQ(fault_of_read(p + PG + 8), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_MAPERR);
    CHECK(fault_addr == p + PG + 8);
    CHECK_EQ(fault_of_read(p + 2 * PG), 0);
    CHECK_EQ(fault_of_write(p + 2 * PG), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_ACCERR);
    CHECK_EQ(mprotect(p, PG, RW), 0);
    CHECK_EQ(fault_of_write(p), 0);
    CHECK_EQ(fault_of_read((void *)8), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_MAPERR);
    munmap(p, 3 * PG);
}

TEST(empty_shared_file)
{
    catch_faults();
    int fd = temp_file(0);
    char *p = mmap(NULL, 2 * PG, RW, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    CHECK_EQ(fault_of_read(p), SIGBUS);
    CHECK_EQ(fault_code, BUS_ADRERR);
    CHECK(fault_addr == p);
    CHECK_EQ(ftruncate(fd, 100), 0);
    CHECK_EQ(fault_of_write(p), 0);
    CHECK_EQ(fault_of_write(p + PG), SIGBUS);
    char c = 0;
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    CHECK_EQ(c, 1);
    CHECK_EQ(pwrite(fd, "z", 1, 5), 1);
    CHECK_EQ(p[5], 'z');
    munmap(p, 2 * PG);
    close(fd);
}

TEST(file_permissions)
{
    char name[] = "/tmp/mm_perm_XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, PG), 0);
    int ro = open(name, O_RDONLY), wo = open(name, O_WRONLY);
    unlink(name);
    CHECK(mmap(NULL, PG, RW, MAP_SHARED, ro, 0) == MAP_FAILED && errno == EACCES);
    CHECK(mmap(NULL, PG, PROT_WRITE, MAP_PRIVATE, wo, 0) == MAP_FAILED && errno == EACCES);
    CHECK(mmap(NULL, PG, PROT_READ, MAP_SHARED, wo, 0) == MAP_FAILED && errno == EACCES);
    char *p = mmap(NULL, PG, PROT_READ, MAP_SHARED, ro, 0);
    CHECK(p != MAP_FAILED);
    CHECK_ERR(mprotect(p, PG, RW), EACCES);
    char *q = mmap(NULL, PG, RW, MAP_PRIVATE, ro, 0);
    CHECK(q != MAP_FAILED);
    q[0] = 'x';
    CHECK_EQ(p[0], 0);
    munmap(p, PG);
    munmap(q, PG);
    int pfd[2];
    CHECK_EQ(pipe(pfd), 0);
    CHECK(mmap(NULL, PG, PROT_READ, MAP_PRIVATE, pfd[0], 0) == MAP_FAILED && errno == ENODEV);
    close(pfd[0]);
    close(pfd[1]);
    close(ro);
    close(wo);
    close(fd);
}

TEST(protect_errors)
{
    char *p = map_pages(4, RW);
    CHECK_EQ(munmap(p + 2 * PG, PG), 0);
    CHECK_ERR(mprotect(p, 4 * PG, PROT_READ), ENOMEM);
    catch_faults();
    CHECK_EQ(fault_of_write(p + PG), SIGSEGV); /* what came before the hole was changed */
    CHECK_EQ(fault_of_write(p + 3 * PG), 0);
    CHECK_ERR(mprotect(p + 1, PG, RW), EINVAL);
    CHECK_EQ(mprotect(p, 0, RW), 0);
    CHECK_ERR(mprotect(p + 2 * PG, PG, RW), ENOMEM);
    CHECK_ERR(mprotect(p, PG, 0x100), EINVAL);
    CHECK_ERR(mprotect(p, PG, RW | PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
    munmap(p, 4 * PG);
}

static int deep(int n)
{
    volatile char pad[4000];
    pad[0] = (char)n;
    return n ? deep(n - 1) + pad[0] - (char)n : 0;
}

static int deep_child(void *arg)
{
    return deep((int)(intptr_t)arg) != 0;
}

TEST(stack_grows)
{
    struct rlimit l = {8 << 20, RLIM_INFINITY}, old;
    CHECK_EQ(getrlimit(RLIMIT_STACK, &old), 0);
    l.rlim_max = old.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_STACK, &l), 0);
    CHECK_EQ(in_child(deep_child, (void *)1500), 0);              /* 6 MiB */
    CHECK_EQ(in_child(deep_child, (void *)3000), 1000 + SIGSEGV); /* 12 MiB */
    setrlimit(RLIMIT_STACK, &old);
}

TEST(growsdown)
{
    catch_faults();
    size_t room = 600 * PG;
    char *p = map_pages(600, PROT_NONE);
    CHECK_EQ(munmap(p, room), 0);
    char *top = p + room;
    CHECK(mmap(top - PG, PG, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0) == top - PG);
    CHECK_EQ(fault_of_write(top - 3 * PG), 0);
    CHECK_EQ(fault_of_write(top - 2 * PG), 0); /* the page between came, too */
    /* A kernel copy grows it as well. */
    int fd = open("/dev/zero", O_RDONLY);
    CHECK_EQ(read(fd, top - 5 * PG, 16), 16);
    close(fd);
    /* Not into the gap above another mapping. */
    CHECK(mmap(p, PG, RW, ANON | MAP_FIXED, -1, 0) == p);
    CHECK_EQ(fault_of_write(p + 2 * PG), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_MAPERR);
    munmap(p, room);
}

TEST(brk_moves)
{
    char *start = sbrk(0);
    CHECK(sbrk(64 * PG) == start);
    memset(start, 7, 64 * PG);
    CHECK_EQ(brk(start), 0);
    CHECK(sbrk(64 * PG) == start);
    CHECK_EQ(start[5 * PG], 0); /* the pages were let go */
    CHECK_EQ(brk(start), 0);
    CHECK_EQ(syscall(SYS_brk, 0), (long)start);
    CHECK_EQ(syscall(SYS_brk, PG), (long)start);
}

TEST(shared_anonymous_across_fork)
{
    char *p = mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *q = map_pages(1, RW);
    CHECK(p != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        p[0] = 's';
        q[0] = 'p';
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(p[0], 's');
    CHECK_EQ(q[0], 0);
    munmap(p, PG);
    munmap(q, PG);
}

TEST(dev_zero)
{
    int fd = open("/dev/zero", O_RDWR);
    CHECK(fd >= 0);
    char *p = mmap(NULL, PG, RW, MAP_PRIVATE, fd, 0);
    char *q = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED && q != MAP_FAILED);
    p[0] = q[0] = 1;
    CHECK_EQ(p[1] + q[1], 0);
    munmap(p, PG);
    munmap(q, PG);
    close(fd);
}

static int limited(void *arg)
{
    struct rlimit l = {64 << 20, 64 << 20};
    (void)arg;
    if (setrlimit(RLIMIT_AS, &l) < 0)
        return 1;
    if (mmap(NULL, 128 << 20, RW, ANON, -1, 0) != MAP_FAILED || errno != ENOMEM)
        return 2;
    l.rlim_cur = l.rlim_max = RLIM_INFINITY;
    return 0;
}

static int data_limited(void *arg)
{
    struct rlimit l = {4 << 20, 4 << 20};
    (void)arg;
    if (setrlimit(RLIMIT_DATA, &l) < 0)
        return 1;
    if (mmap(NULL, 32 << 20, RW, ANON, -1, 0) != MAP_FAILED || errno != ENOMEM)
        return 2;
    char *p = mmap(NULL, 32 << 20, PROT_READ, ANON, -1, 0);
    if (p == MAP_FAILED)
        return 3;
    return mprotect(p, 32 << 20, RW) == -1 && errno == ENOMEM ? 0 : 4;
}

TEST(limits)
{
    CHECK_EQ(in_child(limited, NULL), 0);
    CHECK_EQ(in_child(data_limited, NULL), 0);
}

TEST(gs_base)
{
#ifdef __x86_64__
    static unsigned long word[2] = {0x1122334455667788, 0};
    unsigned long v;
    CHECK_EQ(syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, word), 0);
    __asm__ volatile("movq %%gs:0, %0" : "=r"(v));
    CHECK_EQ(v, 0x1122334455667788);
    CHECK_EQ(syscall(SYS_getppid) >= 0, 1);
    __asm__ volatile("movq %%gs:0, %0" : "=r"(v));
    CHECK_EQ(v, 0x1122334455667788);
    CHECK_EQ(syscall(SYS_arch_prctl, 0x1001, 0), 0);
#endif
}

/* The data of the vDSO can never be written. */
TEST(vvar_stays_read_only)
{
    unsigned long start, end;
    char line[256];
    FILE *f = fopen("/proc/self/maps", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f)) {
        if (!strstr(line, "[vvar]") || sscanf(line, "%lx-%lx", &start, &end) != 2)
            continue;
        CHECK_ERR(mprotect((void *)start, PG, RW), EACCES);
        CHECK_ERR(mprotect((void *)start, PG, PROT_WRITE), EACCES);
    }
    fclose(f);
}
