/*
 * Calls of interfaces with structures, rings and counterparts, with random arguments: nothing
 * is asked but that everybody else goes on. FUZZ_SEED and FUZZ_ROUNDS (of 1): another run, a
 * longer one. FUZZ_WILD=1: registers and code of a traced process too; it may then do anything
 * that its user may, so that this is for sandboxes alone.
 */
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <poll.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "proc_common.h"

#define RINGS_CALLS  300
#define PEOPLE_CALLS 200
#define CHILDREN     6

static uint64_t rnd_state;
static unsigned char *area; /* 16 pages, the last of them without access */
#define AREA (16 * 4096UL)

static uint32_t rnd(uint32_t below)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 7;
    rnd_state ^= rnd_state << 17;
    return (uint32_t)(rnd_state >> 20) % below;
}

static unsigned setting(const char *name, unsigned otherwise)
{
    const char *s = getenv(name);
    return s ? (unsigned)strtoul(s, NULL, 10) : otherwise;
}

/* A number that somebody may have forgotten. */
static uint64_t any_number(void)
{
    static const uint64_t odd[] = {
        0, 1, 2, 7, 8, 4095, 4096, 4097, 65536, INT32_MAX, UINT32_MAX, 1ULL << 32, INT64_MAX,
        1ULL << 63, UINT64_MAX, UINT64_MAX - 4095, 0x7ffffffff000ULL, 0xffffffff80000000ULL};
    switch (rnd(4)) {
    case 0:
        return odd[rnd(sizeof(odd) / sizeof(odd[0]))];
    case 1:
        return rnd(64);
    case 2:
        return 1ULL << rnd(64);
    default:
        return (uint64_t)rnd(UINT32_MAX) << 32 | rnd(UINT32_MAX);
    }
}

/* Mostly memory that is there. */
static void *any_pointer(void)
{
    return rnd(4) ? area + rnd(AREA) : (void *)(uintptr_t)any_number();
}

/* Bytes in front of the page without access, so that a structure there ends at it now and then. */
static void *scribbled(size_t size)
{
    unsigned char *p = rnd(3) ? area + 8 * rnd(64) : area + AREA - 4096 - size;
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t v = any_number();
        memcpy(p + i, &v, 8);
    }
    return p;
}

/* In a child: none of them is left over, holding the output of this program open. */
static void end_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
}

/* An ordinary user without signals and with little memory. */
static void begin(pid_t parent, unsigned salt)
{
    struct rlimit as = {1UL << 31, 1UL << 31}, core = {0, 0};
    sigset_t all;
    rnd_state = 0x9e3779b97f4a7c15ULL ^ ((uint64_t)setting("FUZZ_SEED", 1) << 32 | salt);
    for (int i = 0; i < 8; i++)
        (void)rnd(2);
    if (geteuid() == 0)
        EXPECT(setgid(45672) == 0 && setuid(45672) == 0);
    prctl(PR_SET_DUMPABLE, 1);
    end_with(parent);
    setrlimit(RLIMIT_AS, &as);
    setrlimit(RLIMIT_CORE, &core);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(area != MAP_FAILED);
    mprotect(area + AREA - 4096, 4096, PROT_NONE);
}

/* fn(salt) in children; how they end is their own business, that they do is not. */
static void in_children(void (*fn)(unsigned))
{
    unsigned char mine[4096];
    memset(mine, 0x5a, sizeof(mine));
    unsigned n = CHILDREN * setting("FUZZ_ROUNDS", 1);
    pid_t self = getpid();
    for (unsigned salt = 0; salt < n; salt++) {
        pid_t pid = fork();
        if (pid == 0) {
            begin(self, salt);
            fn(salt);
            _exit(0);
        }
        CHECK(pid > 0);
        int st;
        while (waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st))
            kill(pid, SIGCONT); /* it had itself stopped */
        CHECK(!WIFEXITED(st) || WEXITSTATUS(st) == 0);
    }
    for (size_t i = 0; i < sizeof(mine); i++)
        CHECK_EQ(mine[i], 0x5a);
    CHECK_EQ(wait_status(spawn((child_fn)abort, NULL)) & 0x7f, SIGABRT);
}

/* ---- AIO ----------------------------------------------------------------------------------- */

static int aio_fds[6];

static void aio_submit_any(aio_context_t c)
{
    struct iocb cb[4], *v[4];
    for (int i = 0; i < 4; i++) {
        memcpy(&cb[i], scribbled(sizeof(cb[i])), sizeof(cb[i]));
        cb[i].aio_fildes = (unsigned)aio_fds[rnd(6)];
        if (rnd(4)) {
            cb[i].aio_lio_opcode = (unsigned short)rnd(9);
            cb[i].aio_reserved2 = 0;
            cb[i].aio_rw_flags = rnd(4) ? 0 : (int)rnd(64);
            cb[i].aio_flags = rnd(3) ? 0 : IOCB_FLAG_RESFD;
            cb[i].aio_resfd = (unsigned)aio_fds[rnd(6)];
            cb[i].aio_buf = (uintptr_t)any_pointer();
            cb[i].aio_nbytes = rnd(2) ? rnd(9000) : any_number();
            cb[i].aio_offset = (long long)(rnd(2) ? rnd(100000) : any_number());
        }
        v[i] = rnd(8) ? &cb[i] : any_pointer();
    }
    syscall(SYS_io_submit, c, rnd(8) ? (long)rnd(5) : (long)any_number(), rnd(8) ? v : any_pointer());
}

/* What a program may do to the ring that it shares with its kernel. */
static void aio_scribble(aio_context_t c)
{
    unsigned *ring = (unsigned *)c; /* id, nr, head, tail, magic, … */
    if (c)
        ring[rnd(3) ? 1 + rnd(3) : rnd(64)] = (unsigned)any_number();
}

static void aio(unsigned salt)
{
    aio_context_t c[3] = {0};
    int p[2], s[2];
    char name[] = "/tmp/fuzz-XXXXXX";
    EXPECT(pipe2(p, O_NONBLOCK) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
    int fds[6] = {mkstemp(name), p[0], p[1], eventfd(0, EFD_NONBLOCK), s[0], -1};
    unlink(name);
    memcpy(aio_fds, fds, sizeof(fds));
    struct rlimit size = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &size);
    for (int i = 0; i < RINGS_CALLS; i++) {
        aio_context_t *x = &c[rnd(3)];
        struct timespec now = {0, 0};
        switch (rnd(8)) {
        case 0:
            syscall(SYS_io_setup, rnd(4) ? 1 + rnd(100) : (unsigned)any_number(), rnd(8) ? x : any_pointer());
            break;
        case 1:
            if (rnd(4) == 0 && syscall(SYS_io_destroy, rnd(8) ? *x : any_number()) == 0)
                *x = 0;
            break;
        case 2:
            syscall(SYS_io_cancel, *x, any_pointer(), any_pointer());
            break;
        case 3:
            syscall(SYS_io_getevents, *x, (long)any_number(), (long)any_number(), any_pointer(), &now);
            break;
        case 4:
            syscall(SYS_io_pgetevents, *x, (long)rnd(4), (long)rnd(100), any_pointer(), &now, any_pointer());
            break;
        case 5:
            aio_scribble(*x);
            break;
        default:
            aio_submit_any(*x);
        }
    }
}

TEST(aio_contexts_and_rings)
{
    in_children(aio);
}

/* ---- message queues ------------------------------------------------------------------------ */

static void queues(unsigned salt)
{
    char name[64];
    struct mq_attr small = {.mq_maxmsg = 3, .mq_msgsize = 16};
    snprintf(name, sizeof(name), "/fuzz-%d", getpid());
    mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &small);
    EXPECT(q >= 0);
    mq_unlink(name);
    int nl = socket(AF_NETLINK, SOCK_RAW, 0), fds[4] = {q, nl, -1, 0};
    for (int i = 0; i < RINGS_CALLS; i++) {
        int fd = rnd(4) ? (int)q : fds[rnd(4)];
        struct timespec past = {1, (long)(rnd(4) ? rnd(1000000000) : any_number())};
        struct sigevent ev;
        memcpy(&ev, scribbled(sizeof(ev)), sizeof(ev));
        if (rnd(4)) {
            ev.sigev_notify = (int)rnd(5);
            ev.sigev_signo = rnd(2) ? fds[rnd(4)] : (int)rnd(70);
            ev.sigev_value.sival_ptr = any_pointer();
        }
        switch (rnd(6)) {
        case 0:
            syscall(SYS_mq_notify, fd, rnd(8) ? NULL : any_pointer());
            break;
        case 1:
        case 2:
            syscall(SYS_mq_notify, fd, &ev);
            break;
        case 3:
            syscall(SYS_mq_timedsend, fd, any_pointer(), rnd(2) ? rnd(20) : any_number(),
                    (unsigned)any_number(), &past);
            break;
        case 4:
            syscall(SYS_mq_timedreceive, fd, any_pointer(), rnd(2) ? rnd(20) : any_number(),
                    any_pointer(), &past);
            break;
        default:
            /* It stays without waiting. */
            syscall(SYS_mq_getsetattr, fd, NULL, any_pointer());
        }
    }
}

TEST(queues_and_their_notices)
{
    in_children(queues);
}

/* ---- other processes' memory --------------------------------------------------------------- */

static pid_t sleeper(void)
{
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        end_with(self);
        for (;;)
            pause();
    }
    EXPECT(pid > 0);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    EXPECT(wait_status(pid) == SIGKILL);
}

static void advise(unsigned salt)
{
    pid_t other = sleeper();
    int fds[3] = {(int)syscall(SYS_pidfd_open, getpid(), 0), (int)syscall(SYS_pidfd_open, other, 0), -1};
    for (int i = 0; i < PEOPLE_CALLS; i++) {
        struct iovec v[8];
        for (int k = 0; k < 8; k++) {
            v[k].iov_base = any_pointer();
            v[k].iov_len = rnd(2) ? rnd(1 << 16) : any_number();
            if (rnd(2))
                v[k].iov_base = (void *)((uintptr_t)v[k].iov_base & ~4095UL);
        }
        /* 100 and above are about bad pages of the machine. */
        int advice = rnd(2) ? 20 + (int)rnd(6) : (int)rnd(30);
        syscall(440 /* process_madvise */, fds[rnd(3)], rnd(8) ? v : any_pointer(),
                rnd(8) ? rnd(9) : any_number(), advice, rnd(8) ? 0 : any_number());
    }
    end(other);
}

TEST(advice_about_others)
{
    in_children(advise);
}

/* ---- calls that a supervisor decides ------------------------------------------------------- */

static int listener_of_child(pid_t *ret_pid)
{
    int s[2];
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    pid_t self = getpid();
    *ret_pid = fork();
    EXPECT(*ret_pid >= 0);
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof(int))];
    } c = {{.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
    char byte = 0;
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
    if (*ret_pid == 0) {
        struct sock_filter f[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog prog = {4, f};
        end_with(self);
        EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
        EXPECT(fd >= 0);
        memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
        EXPECT(sendmsg(s[1], &m, 0) == 1);
        close(fd);
        for (;;)
            syscall(SYS_getppid);
    }
    int fd = -1;
    EXPECT(recvmsg(s[0], &m, MSG_CMSG_CLOEXEC) == 1);
    memcpy(&fd, CMSG_DATA(&c.h), sizeof(fd));
    close(s[0]);
    close(s[1]);
    return fd;
}

static void notify(unsigned salt)
{
    pid_t pid;
    int fd = listener_of_child(&pid);
    uint64_t id = 0;
    for (int i = 0; i < PEOPLE_CALLS; i++) {
        struct seccomp_notif n = {0};
        struct pollfd p = {fd, POLLIN, 0};
        void *a = scribbled(64);
        if (rnd(2))
            memcpy(a, &id, sizeof(id));
        switch (rnd(7)) {
        case 0:
        case 1:
            if (poll(&p, 1, (int)rnd(2)) != 1 || !(p.revents & POLLIN))
                break;
            if (rnd(3) == 0)
                ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, any_pointer());
            else if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n) == 0)
                id = n.id;
            break;
        case 2:
            ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, a);
            break;
        case 3: {
            struct seccomp_notif_resp r = {id, (long long)any_number(), -(int)rnd(4100), rnd(2)};
            if (r.flags)
                r.val = r.error = 0;
            ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &r);
            break;
        }
        case 4:
            ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, a);
            break;
        case 5: /* ADDFD, also of other sizes */
            ioctl(fd, _IOC(_IOC_WRITE, '!', 3, rnd(2) ? 24 : rnd(64)), a);
            break;
        default:
            ioctl(fd, _IOC(_IOC_WRITE, '!', rnd(8), rnd(64)), any_pointer());
        }
        while (rnd(8) == 0 && waitpid(pid, NULL, WNOHANG) == pid) /* an answer was a descriptor too many? */
            return;
    }
    if (rnd(2))
        close(fd); /* before or after its end */
    kill(pid, SIGKILL);
    wait_status(pid);
}

TEST(supervised_calls)
{
    in_children(notify);
}

/* ---- tracing ------------------------------------------------------------------------------- */

static volatile int traced_data[1024];

static pid_t busy_child(void)
{
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        end_with(self);
        for (;;) {
            traced_data[1]++;
            syscall(SYS_getppid);
        }
    }
    EXPECT(pid > 0);
    return pid;
}

static uint64_t traced_place(int is_wild)
{
    return is_wild && rnd(2) ? any_number() : (uintptr_t)&traced_data[rnd(1024)] + rnd(8);
}

static void trace_any(pid_t pid, int is_wild)
{
    /* Requests that leave registers and code alone; with is_wild all. */
    static const int requests[] = {
        PTRACE_PEEKDATA, PTRACE_PEEKTEXT, PTRACE_PEEKUSER, PTRACE_CONT, PTRACE_SINGLESTEP, PTRACE_SYSCALL,
        PTRACE_GETREGS, PTRACE_GETFPREGS, PTRACE_SETOPTIONS, PTRACE_GETEVENTMSG, PTRACE_GETSIGINFO,
        PTRACE_INTERRUPT, PTRACE_LISTEN, PTRACE_GETREGSET, PTRACE_PEEKSIGINFO, PTRACE_GETSIGMASK,
        PTRACE_SETSIGMASK, PTRACE_DETACH, PTRACE_ATTACH, PTRACE_SEIZE, 31 /* SYSEMU */, 0x420e, 0x420f,
        25 /* GET_THREAD_AREA */, 30 /* ARCH_PRCTL, reading */, 0x4211};
    struct iovec v = {any_pointer(), rnd(2) ? rnd(5000) : any_number()};
    uint64_t addr = any_number(), data = (uintptr_t)any_pointer();
    int req = requests[rnd(sizeof(requests) / sizeof(requests[0]))];
    switch (rnd(4)) {
    case 0: /* with memory of its own */
        syscall(SYS_ptrace, PTRACE_POKEDATA, pid, traced_place(is_wild), any_number());
        return;
    case 1:
        syscall(SYS_ptrace, PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + 8 * rnd(9), any_number());
        return;
    default:
        break;
    }
    if (req == PTRACE_GETREGSET) {
        static const uint64_t notes[] = {1, 2, 0x200, 0x202, 0x46e62b7f, 77};
        addr = notes[rnd(6)];
        data = (uintptr_t)&v;
    } else if (req == PTRACE_SETOPTIONS || req == PTRACE_SEIZE) {
        addr = req == PTRACE_SEIZE && rnd(4) ? 0 : addr;
        data = rnd(4) ? rnd(256) : data;
    } else if (req == PTRACE_CONT || req == PTRACE_SYSCALL || req == PTRACE_SINGLESTEP || req == PTRACE_DETACH) {
        data = rnd(8) ? 0 : rnd(70) == SIGKILL ? 0 : data; /* a signal, or none */
    } else if (req == 30) {
        data = 0x1003 + rnd(2); /* ARCH_GET_FS, ARCH_GET_GS */
    }
    if (is_wild && rnd(3) == 0) {
        static const int more[] = {PTRACE_SETREGS, PTRACE_SETFPREGS, PTRACE_SETREGSET, PTRACE_POKETEXT,
                                   PTRACE_POKEUSER, PTRACE_SETSIGINFO};
        req = more[rnd(6)];
        if (req == PTRACE_SETREGS || req == PTRACE_SETSIGINFO)
            data = (uintptr_t)scribbled(sizeof(struct user_regs_struct));
        if (req == PTRACE_SETREGSET) {
            addr = 1 + rnd(2);
            data = (uintptr_t)&v;
        }
        if (req == PTRACE_POKEUSER)
            addr = 8 * rnd(40);
    }
    syscall(SYS_ptrace, req, pid, addr, data);
}

/* Takes a stop of it, if there is one; a new one if it has ended. */
static pid_t or_another(pid_t pid)
{
    int st;
    return waitpid(pid, &st, __WALL | WNOHANG) == pid && !WIFSTOPPED(st) ? busy_child() : pid;
}

static void tracing(unsigned salt)
{
    int is_wild = (int)setting("FUZZ_WILD", 0);
    pid_t pid = busy_child();
    for (int i = 0; i < PEOPLE_CALLS; i++) {
        if (i % 20 == 0)
            syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0);
        if (i % 10 == 1)
            syscall(SYS_ptrace, PTRACE_INTERRUPT, pid, 0, 0);
        if (i % 10 == 2)
            pid = or_another(pid);
        trace_any(pid, is_wild);
        pid = or_another(pid);
    }
    /* It ends whatever state it is in. */
    for (;;) {
        int st;
        kill(pid, SIGKILL);
        EXPECT(waitpid(pid, &st, __WALL) == pid);
        if (!WIFSTOPPED(st))
            break;
        syscall(SYS_ptrace, PTRACE_CONT, pid, 0, 0);
    }
}

TEST(traced_processes)
{
    in_children(tracing);
}
