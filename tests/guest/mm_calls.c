/* mremap, madvise, mincore, msync, mlock, process_vm_*, membarrier, policies, keys. */
#include <sys/prctl.h>
#include <sys/uio.h>

#include "mm_common.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* ---- mremap --------------------------------------------------------------------------------- */

TEST(remap_grows_and_moves)
{
    char *p = map_pages(8, RW);
    CHECK_EQ(munmap(p + 4 * PG, 4 * PG), 0);
    p[0] = 'a';
    p[3 * PG] = 'd';
    CHECK(mremap(p, 4 * PG, 6 * PG, 0) == p);
    p[5 * PG] = 'f';
    CHECK(mmap(p + 6 * PG, PG, PROT_NONE, ANON | MAP_FIXED, -1, 0) == p + 6 * PG);
    CHECK(mremap(p, 6 * PG, 8 * PG, 0) == MAP_FAILED && errno == ENOMEM);
    char *q = mremap(p, 6 * PG, 20 * PG, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED && q != p);
    CHECK(q[0] == 'a' && q[3 * PG] == 'd' && q[5 * PG] == 'f' && q[19 * PG] == 0);
    catch_faults();
    CHECK_EQ(fault_of_read(p), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_MAPERR);
    CHECK(mremap(q, 20 * PG, 2 * PG, 0) == q);
    CHECK_EQ(fault_of_read(q + 2 * PG), SIGSEGV);
    munmap(q, 2 * PG);
    munmap(p, 7 * PG);
}

TEST(remap_fixed)
{
    char *p = map_pages(2, RW), *q = map_pages(8, PROT_NONE);
    p[PG] = 'x';
    CHECK(mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, q + 2 * PG) == q + 2 * PG);
    CHECK_EQ(q[3 * PG], 'x');
    CHECK(mremap(q + 2 * PG, 2 * PG, 2 * PG, MREMAP_FIXED, q) == MAP_FAILED && errno == EINVAL);
    CHECK(mremap(q + 2 * PG, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, q + 3 * PG) ==
              MAP_FAILED &&
          errno == EINVAL);
    CHECK(mremap(q + 2 * PG, PG, 0, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
    CHECK(mremap(q + 1, PG, PG, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
    CHECK(mremap(q + 2 * PG, PG, PG, 0x80) == MAP_FAILED && errno == EINVAL);
    /* Across different mappings. */
    CHECK(mremap(q + 2 * PG, 4 * PG, 5 * PG, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
    munmap(q, 8 * PG);
    CHECK(mremap(q, PG, 2 * PG, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
}

TEST(remap_dontunmap)
{
    char *p = map_pages(2, RW);
    p[0] = 'a';
    char *q = mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    CHECK(q != MAP_FAILED && q != p);
    CHECK_EQ(q[0], 'a');
    CHECK_EQ(p[0], 0);
    CHECK(mremap(p, 2 * PG, 3 * PG, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL) == MAP_FAILED);
    CHECK_EQ(errno, EINVAL);
    munmap(p, 2 * PG);
    munmap(q, 2 * PG);
}

TEST(remap_duplicates_shared)
{
    char *p = mmap(NULL, 2 * PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *q = mremap(p, 0, 2 * PG, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED && q != p);
    p[PG] = 'z';
    CHECK_EQ(q[PG], 'z');
    munmap(p, 2 * PG);
    munmap(q, 2 * PG);
    p = map_pages(1, RW);
    CHECK(mremap(p, 0, PG, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
    munmap(p, PG);
}

/* After a fork the host may hold as two mappings what is one here. */
TEST(remap_over_a_seam)
{
    char *p = map_pages(8, RW);
    memset(p, 'a', 4 * PG);
    CHECK_EQ(munmap(p + 4 * PG, 4 * PG), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *m = mmap(p + 4 * PG, 4 * PG, RW, ANON | MAP_FIXED, -1, 0);
        if (m == MAP_FAILED)
            _exit(1);
        memset(m, 'b', 4 * PG);
        char *q = mremap(p + 2 * PG, 4 * PG, 4 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p + 64 * PG);
        if (q == MAP_FAILED)
            _exit(errno == EFAULT ? 0 : 2); /* Linux before 6.17 may refuse as well */
        _exit(q[0] == 'a' && q[PG] == 'a' && q[2 * PG] == 'b' && q[4 * PG - 1] == 'b' ? 0 : 3);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    munmap(p, 4 * PG);
}

/* ---- madvise -------------------------------------------------------------------------------- */

TEST(dontneed)
{
    char *p = map_pages(3, RW);
    memset(p, 1, 3 * PG);
    CHECK_EQ(madvise(p + PG, PG, MADV_DONTNEED), 0);
    CHECK(p[0] == 1 && p[PG] == 0 && p[2 * PG] == 1);
    CHECK_EQ(munmap(p + PG, PG), 0);
    CHECK_ERR(madvise(p, 3 * PG, MADV_DONTNEED), ENOMEM);
    CHECK(p[0] == 0 && p[2 * PG] == 0); /* done around the hole */
    CHECK_ERR(madvise(p + 1, PG, MADV_DONTNEED), EINVAL);
    CHECK_ERR(madvise(p, PG, 1234), EINVAL);
    CHECK_EQ(madvise(p, 0, MADV_DONTNEED), 0);
    CHECK_EQ(madvise(p, PG, MADV_FREE), 0);
    CHECK_EQ(madvise(p, PG, MADV_WILLNEED), 0);
    CHECK_EQ(madvise(p, PG, MADV_SEQUENTIAL), 0);
    munmap(p, 3 * PG);
    int fd = temp_file(PG);
    CHECK_EQ(pwrite(fd, "file", 4, 0), 4);
    p = mmap(NULL, PG, RW, MAP_PRIVATE, fd, 0);
    p[0] = 'X';
    CHECK_EQ(madvise(p, PG, MADV_DONTNEED), 0);
    CHECK_EQ(p[0], 'f');
    CHECK_ERR(madvise(p, PG, MADV_FREE), EINVAL);
    CHECK_ERR(madvise(p, PG, MADV_REMOVE), EACCES);
    munmap(p, PG);
    p = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);
    CHECK_ERR(madvise(p, PG, MADV_WIPEONFORK), EINVAL);
    munmap(p, PG);
    close(fd);
}

TEST(remove_punches_shared_memory)
{
    char *p = mmap(NULL, 2 * PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(p, 1, 2 * PG);
    CHECK_EQ(madvise(p, PG, MADV_REMOVE), 0);
    CHECK(p[0] == 0 && p[PG] == 1);
    munmap(p, 2 * PG);
    p = map_pages(1, RW);
    CHECK_ERR(madvise(p, PG, MADV_REMOVE), EINVAL);
    munmap(p, PG);
}

TEST(populate)
{
    unsigned char vec[4];
    char *p = map_pages(4, RW);
    CHECK_EQ(madvise(p, 2 * PG, MADV_POPULATE_WRITE), 0);
    CHECK_EQ(mincore(p, 4 * PG, vec), 0);
    CHECK((vec[0] & 1) && (vec[1] & 1) && !(vec[2] & 1) && !(vec[3] & 1));
    CHECK_EQ(mprotect(p, PG, PROT_READ), 0);
    CHECK_ERR(madvise(p, PG, MADV_POPULATE_WRITE), EINVAL);
    CHECK_EQ(madvise(p, PG, MADV_POPULATE_READ), 0);
    CHECK_EQ(munmap(p + 3 * PG, PG), 0);
    CHECK_ERR(madvise(p + 2 * PG, 2 * PG, MADV_POPULATE_READ), ENOMEM);
    CHECK_ERR(mincore(p, 4 * PG, vec), ENOMEM);
    CHECK_ERR(mincore(p + 1, PG, vec), EINVAL);
    CHECK_ERR(mincore(p, PG, (void *)8), EFAULT);
    munmap(p, 3 * PG);
    p = mmap(NULL, 2 * PG, RW, ANON | MAP_POPULATE, -1, 0);
    CHECK_EQ(mincore(p, 2 * PG, vec), 0);
    CHECK((vec[0] & 1) && (vec[1] & 1));
    munmap(p, 2 * PG);
}

TEST(fork_marks)
{
    char *p = map_pages(3, RW);
    memset(p, 'a', 3 * PG);
    CHECK_EQ(madvise(p, PG, MADV_DONTFORK), 0);
    CHECK_EQ(madvise(p + PG, PG, MADV_WIPEONFORK), 0);
    catch_faults();
    pid_t pid = fork();
    if (pid == 0) {
        int gone = fault_of_read(p) == SIGSEGV && fault_code == SEGV_MAPERR;
        _exit(gone && p[PG] == 0 && p[2 * PG] == 'a' ? 0 : 1);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK(p[0] == 'a' && p[PG] == 'a');
    CHECK_EQ(madvise(p, PG, MADV_DOFORK), 0);
    CHECK_EQ(madvise(p + PG, PG, MADV_KEEPONFORK), 0);
    pid = fork();
    if (pid == 0)
        _exit(p[0] == 'a' && p[PG] == 'a' ? 0 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    munmap(p, 3 * PG);
}

/* ---- msync, mlock ---------------------------------------------------------------------------- */

TEST(sync_errors)
{
    char *p = map_pages(2, RW);
    CHECK_EQ(msync(p, 2 * PG, MS_SYNC), 0);
    CHECK_EQ(msync(p, 2 * PG, MS_ASYNC | MS_INVALIDATE), 0);
    CHECK_EQ(msync(p, 2 * PG, 0), 0);
    CHECK_ERR(msync(p, PG, MS_SYNC | MS_ASYNC), EINVAL);
    CHECK_ERR(msync(p, PG, 0x40), EINVAL);
    CHECK_ERR(msync(p + 1, PG, MS_SYNC), EINVAL);
    CHECK_EQ(munmap(p + PG, PG), 0);
    CHECK_ERR(msync(p, 2 * PG, MS_SYNC), ENOMEM);
    munmap(p, PG);
    int fd = temp_file(PG);
    p = mmap(NULL, PG, RW, MAP_SHARED, fd, 0);
    p[0] = 'q';
    CHECK_EQ(msync(p, PG, MS_SYNC), 0);
    char c;
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    CHECK_EQ(c, 'q');
    munmap(p, PG);
    close(fd);
}

static int lock_limited(void *arg)
{
    struct rlimit l = {2 * PG, 2 * PG};
    char *p = mmap(NULL, 4 * PG, RW, ANON, -1, 0);
    (void)arg;
    if (setrlimit(RLIMIT_MEMLOCK, &l) < 0 || (geteuid() == 0 && setuid(65534) < 0))
        return 1;
    if (mlock(p, 3 * PG) != -1 || errno != ENOMEM)
        return 2;
    if (mlock(p + 5, PG) < 0) /* two pages */
        return 3;
    if (mlock(p, 2 * PG) < 0 || mlock(p + 2 * PG, 1) != -1 || errno != ENOMEM)
        return 4;
    if (mmap(NULL, PG, RW, ANON | MAP_LOCKED, -1, 0) != MAP_FAILED || errno != EAGAIN)
        return 5;
    if (munlock(p, PG) < 0 || mlock(p + 2 * PG, 1) < 0)
        return 6;
    if (mlockall(MCL_CURRENT) != -1 || errno != ENOMEM)
        return 7;
    l.rlim_cur = 0;
    if (munlockall() < 0 || setrlimit(RLIMIT_MEMLOCK, &l) < 0 || mlock(p, 1) != -1 ||
        errno != EPERM)
        return 8;
    return 0;
}

TEST(locking)
{
    unsigned char vec[2];
    char *p = map_pages(2, RW);
    CHECK_EQ(mlock(p, 2 * PG), 0);
    CHECK_EQ(mincore(p, 2 * PG, vec), 0);
    CHECK((vec[0] & 1) && (vec[1] & 1));
    CHECK_ERR(madvise(p, PG, MADV_DONTNEED), EINVAL);
    CHECK_ERR(msync(p, PG, MS_INVALIDATE), EBUSY);
    CHECK_EQ(munlock(p, 2 * PG), 0);
    CHECK_EQ(madvise(p, PG, MADV_DONTNEED), 0);
    CHECK_EQ(munmap(p + PG, PG), 0);
    CHECK_ERR(mlock(p, 2 * PG), ENOMEM);
    CHECK_ERR(mlockall(0), EINVAL);
    CHECK_ERR(mlockall(4), EINVAL);
    CHECK_ERR(mlockall(8), EINVAL);
    CHECK_EQ(mprotect(p, PG, PROT_NONE), 0);
    CHECK_ERR(mlock(p, PG), ENOMEM);
    munmap(p, PG);
    CHECK_EQ(in_child(lock_limited, NULL), 0);
}

/* ---- other processes --------------------------------------------------------------------------
 */

TEST(process_vm)
{
    char *p = map_pages(3, RW);
    strcpy(p, "parent");
    int go[2];
    CHECK_EQ(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        strcpy(p, "child!");
        if (read(go[0], &c, 1) < 0)
            _exit(2);
        _exit(strcmp(p + PG - 2, "written"));
    }
    char buf[32] = {0};
    struct iovec local = {buf, 6}, remote = {p, 6};
    /* The child's copy differs from ours as soon as it has run. */
    for (int i = 0; i < 2000 && strcmp(buf, "child!"); i++) {
        CHECK_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), 6);
        usleep(1000);
    }
    CHECK_STR(buf, "child!");
    CHECK_STR(p, "parent");
    strcpy(buf, "written");
    struct iovec two[2] = {{p + PG - 2, 3}, {p + PG + 1, 5}};
    local.iov_len = 8;
    CHECK_EQ(process_vm_writev(pid, &local, 1, two, 2, 0), 8);
    /* A hole stops it short. */
    munmap(p + 2 * PG, PG);
    struct iovec over = {p + 2 * PG - 4, 8};
    CHECK_EQ(process_vm_readv(getpid(), &local, 1, &over, 1, 0), 4);
    over.iov_base = p + 2 * PG;
    CHECK_ERR(process_vm_readv(getpid(), &local, 1, &over, 1, 0), EFAULT);
    CHECK_ERR(process_vm_readv(pid, &local, 1, &remote, 1, 1), EINVAL);
    CHECK_ERR(process_vm_readv(0x3ffffff, &local, 1, &remote, 1, 0), ESRCH);
    CHECK_EQ(write(go[1], "", 1), 1);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    close(go[0]);
    close(go[1]);
    munmap(p, 2 * PG);
}

TEST(process_madvise)
{
    char *p = map_pages(2, RW);
    memset(p, 1, 2 * PG);
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    CHECK(fd >= 0);
    struct iovec iov[2] = {{p, PG}, {p + PG, PG}};
    long r = syscall(SYS_process_madvise, fd, iov, 2UL, MADV_COLD, 0UL);
    CHECK(r == (long)(2 * PG) || errno == ENOSYS);
    CHECK_ERR(syscall(SYS_process_madvise, fd, iov, 2UL, MADV_COLD, 1UL), EINVAL);
    CHECK_ERR(syscall(SYS_process_madvise, 0, iov, 2UL, MADV_COLD, 0UL), EBADF);
    CHECK_ERR(syscall(SYS_process_madvise, fd, iov, 2000UL, MADV_COLD, 0UL), EINVAL);
    munmap(p + PG, PG);
    CHECK_EQ(syscall(SYS_process_madvise, fd, iov, 2UL, MADV_COLD, 0UL), PG);
    munmap(p, PG);
    close(fd);
}

/* ---- the rest ---------------------------------------------------------------------------------
 */

TEST(membarrier)
{
    long cmds = syscall(SYS_membarrier, 0, 0, 0);
    if (cmds < 0 && errno == ENOSYS)
        return;
    CHECK(cmds & 8);
    CHECK_ERR(syscall(SYS_membarrier, 8, 0, 0), EPERM);
    CHECK_EQ(syscall(SYS_membarrier, 16, 0, 0), 0);
    CHECK_EQ(syscall(SYS_membarrier, 8, 0, 0), 0);
    CHECK_EQ(syscall(SYS_membarrier, 2, 0, 0), 0);
    CHECK_ERR(syscall(SYS_membarrier, 3, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_membarrier, 8, 7, 0), EINVAL);
}

TEST(policies)
{
    int mode = -1;
    unsigned long mask[16] = {0};
    if (syscall(SYS_get_mempolicy, &mode, mask, 1024, NULL, 0) < 0 && errno == ENOSYS)
        return;
    CHECK_EQ(mode, 0);
    CHECK_EQ(syscall(SYS_get_mempolicy, NULL, mask, 1024, NULL, 4 /* MEMS_ALLOWED */), 0);
    CHECK(mask[0] & 1);
    mask[0] = 1;
    CHECK_EQ(syscall(SYS_set_mempolicy, 2 /* BIND */, mask, 64), 0);
    CHECK_EQ(syscall(SYS_get_mempolicy, &mode, mask, 1024, NULL, 0), 0);
    CHECK(mode == 2 && mask[0] == 1);
    CHECK_EQ(syscall(SYS_set_mempolicy, 0, NULL, 0), 0);
    CHECK_ERR(syscall(SYS_set_mempolicy, 2, NULL, 0), EINVAL);
    CHECK_ERR(syscall(SYS_set_mempolicy, 0x77, NULL, 0), EINVAL);
    char *p = map_pages(1, RW);
    CHECK_EQ(syscall(SYS_get_mempolicy, &mode, NULL, 0, p, 2 /* ADDR */), 0);
    CHECK_EQ(mode, 0);
    CHECK_EQ(syscall(SYS_mbind, p, PG, 2, mask, 64, 0), 0);
    CHECK_EQ(syscall(SYS_get_mempolicy, &mode, NULL, 0, p, 2 /* ADDR */), 0);
    CHECK_EQ(mode, 2);
    CHECK_ERR(syscall(SYS_set_mempolicy, 0, mask, 0), EINVAL);
    munmap(p, PG);
    CHECK_ERR(syscall(SYS_mbind, p, PG, 2, mask, 64, 0), EFAULT);
}

TEST(move_pages_tells_nodes)
{
    char *p = map_pages(2, RW);
    p[0] = 1;
    void *pages[3] = {p, p + PG, (void *)16};
    int status[3] = {-1, -1, -1};
    if (syscall(SYS_move_pages, 0, 3UL, pages, NULL, status, 0) < 0 && errno == ENOSYS)
        return;
    CHECK_EQ(status[0], 0);
    CHECK_EQ(status[1], -ENOENT);
    CHECK_EQ(status[2], -EFAULT);
    munmap(p, 2 * PG);
}

TEST(keys_and_names)
{
    char *p = map_pages(1, RW);
    CHECK_EQ(syscall(SYS_pkey_mprotect, p, PG, PROT_READ, -1), 0);
    CHECK_ERR(syscall(SYS_pkey_alloc, 1, 0), EINVAL);
    CHECK_ERR(syscall(SYS_pkey_free, 14), EINVAL);
    munmap(p, PG);
}

TEST(remap_file_pages_shuffles)
{
    int fd = temp_file(4 * PG);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pwrite(fd, &"abcd"[i], 1, i * (off_t)PG), 1);
    char *p = mmap(NULL, 4 * PG, RW, MAP_SHARED, fd, 0);
    CHECK_EQ(syscall(SYS_remap_file_pages, p, PG, 0, 3, 0), 0);
    CHECK(p[0] == 'd' && p[PG] == 'b');
    CHECK_ERR(syscall(SYS_remap_file_pages, p, PG, 1, 3, 0), EINVAL);
    munmap(p, 4 * PG);
    close(fd);
}
