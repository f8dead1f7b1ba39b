/* ptrace: stops, events, registers, memory, stepping. */
#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "proc_common.h"

#define EVENT(st) ((st) >> 16)

static void set_reg(pid_t pid, struct user_regs_struct *r)
{
    ptrace(PTRACE_GETREGS, pid, NULL, r);
}

/* The next stop; its raw status. */
static int next_stop(pid_t pid)
{
    int st = -1;
    if (waitpid(pid, &st, __WALL) != pid)
        return -1;
    return st;
}

static volatile long shared_word = 0x1234;

static void traced(void *arg)
{
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    syscall(SYS_getppid);
    shared_word++;
    raise(SIGUSR1);
    _exit(shared_word == 0x5679 ? 7 : 8);
}

static pid_t start(child_fn fn, void *arg)
{
    pid_t pid = spawn(fn, arg);
    int st = next_stop(pid);
    CHECK(WIFSTOPPED(st));
    CHECK_EQ(WSTOPSIG(st), SIGSTOP);
    return pid;
}

TEST(needs_a_tracee)
{
    CHECK_ERR(ptrace(PTRACE_CONT, getpid(), NULL, NULL), ESRCH);
    CHECK_ERR(ptrace(PTRACE_ATTACH, getpid(), NULL, NULL), EPERM);
    CHECK_ERR(ptrace(PTRACE_ATTACH, 0x3ffffff, NULL, NULL), ESRCH);
    pid_t pid = start(traced, NULL);
    CHECK_ERR(ptrace(PTRACE_ATTACH, pid, NULL, NULL), EPERM); /* already */
    kill(pid, SIGKILL);
    CHECK_EQ(next_stop(pid), SIGKILL);
}

TEST(memory_registers_and_signals)
{
    pid_t pid = start(traced, NULL);
    errno = 0;
    CHECK_EQ(ptrace(PTRACE_PEEKDATA, pid, (void *)&shared_word, NULL), 0x1234);
    CHECK_EQ(errno, 0);
    CHECK_EQ(ptrace(PTRACE_POKEDATA, pid, (void *)&shared_word, (void *)0x5678), 0);
    CHECK_EQ(shared_word, 0x1234);
    CHECK_ERR(ptrace(PTRACE_PEEKDATA, pid, (void *)8, NULL), EIO);
    struct user_regs_struct r, r2;
    set_reg(pid, &r);
    CHECK_EQ(ptrace(PTRACE_PEEKUSER, pid, (void *)offsetof(struct user_regs_struct, rip), NULL),
             (long)r.rip);
    struct iovec iov = {&r2, sizeof(r2)};
    CHECK_EQ(ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov), 0);
    CHECK_EQ(iov.iov_len, sizeof(r2));
    CHECK(!memcmp(&r, &r2, sizeof(r)));
    struct user_fpregs_struct fp;
    CHECK_EQ(ptrace(PTRACE_GETFPREGS, pid, NULL, &fp), 0);
    fp.xmm_space[0] = 0x77;
    CHECK_EQ(ptrace(PTRACE_SETFPREGS, pid, NULL, &fp), 0);
    memset(&fp, 0, sizeof(fp));
    CHECK_EQ(ptrace(PTRACE_GETFPREGS, pid, NULL, &fp), 0);
    CHECK_EQ(fp.xmm_space[0], 0x77);

    CHECK_EQ(ptrace(PTRACE_CONT, pid, NULL, NULL), 0); /* the SIGSTOP is dropped */
    int st = next_stop(pid);
    CHECK_EQ(WSTOPSIG(st), SIGUSR1);
    siginfo_t info;
    CHECK_EQ(ptrace(PTRACE_GETSIGINFO, pid, NULL, &info), 0);
    CHECK_EQ(info.si_signo, SIGUSR1);
    CHECK_EQ(info.si_pid, pid);
    CHECK_ERR(ptrace(PTRACE_CONT, pid, NULL, (void *)65), EIO);
    CHECK_EQ(ptrace(PTRACE_CONT, pid, NULL, NULL), 0); /* suppressed: it would kill */
    CHECK_EQ(next_stop(pid), 7 << 8);
}

TEST(a_signal_can_be_replaced)
{
    pid_t pid = start(traced, NULL);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGUSR1);
    ptrace(PTRACE_CONT, pid, NULL, (void *)SIGTERM);
    CHECK_EQ(next_stop(pid), SIGTERM);
}

TEST(system_call_stops)
{
    pid_t pid = start(traced, NULL);
    CHECK_EQ(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD), 0);
    CHECK_ERR(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)0x80000000L), EINVAL);
    struct user_regs_struct r;
    int found = 0;
    for (int i = 0; i < 40 && !found; i++) {
        CHECK_EQ(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGTRAP | 0x80);
        set_reg(pid, &r);
        if (r.orig_rax == SYS_getppid)
            found = 1;
    }
    CHECK(found);
    CHECK_EQ((long)r.rax, -ENOSYS); /* at the entry */
    struct __ptrace_syscall_info si;
    memset(&si, 0, sizeof(si));
    CHECK(ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(si), &si) > 0);
    CHECK_EQ(si.op, PTRACE_SYSCALL_INFO_ENTRY);
    CHECK_EQ(si.entry.nr, SYS_getppid);
    r.orig_rax = SYS_getpid; /* another call instead */
    CHECK_EQ(ptrace(PTRACE_SETREGS, pid, NULL, &r), 0);
    ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGTRAP | 0x80);
    set_reg(pid, &r);
    CHECK_EQ((long)r.rax, pid);
    memset(&si, 0, sizeof(si));
    CHECK(ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(si), &si) > 0);
    CHECK_EQ(si.op, PTRACE_SYSCALL_INFO_EXIT);
    CHECK_EQ(si.exit.rval, pid);
    r.rax = (unsigned long)-4711;
    CHECK_EQ(ptrace(PTRACE_SETREGS, pid, NULL, &r), 0);
    set_reg(pid, &r);
    CHECK_EQ((long)r.rax, -4711);
    ptrace(PTRACE_KILL, pid, NULL, NULL);
    CHECK_EQ(next_stop(pid), SIGKILL);
}

TEST(a_call_can_be_skipped)
{
    pid_t pid = start(traced, NULL);
    struct user_regs_struct r;
    for (;;) {
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
        CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGTRAP);
        set_reg(pid, &r);
        if (r.orig_rax == SYS_getppid)
            break;
    }
    r.orig_rax = (unsigned long)-1;
    r.rax = 99;
    CHECK_EQ(ptrace(PTRACE_SETREGS, pid, NULL, &r), 0);
    ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGTRAP);
    set_reg(pid, &r);
    CHECK_EQ(r.rax, 99);
    kill(pid, SIGKILL);
    CHECK_EQ(next_stop(pid), SIGKILL);
}

static void stepped(void *arg)
{
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    volatile long n = 0;
    for (int i = 0; i < 1000; i++)
        n += i;
    _exit(n == 499500 ? 3 : 4);
}

TEST(a_hundred_steps)
{
    pid_t pid = start(stepped, NULL);
    struct user_regs_struct r;
    unsigned long last = 0;
    int moves = 0;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        int st = next_stop(pid);
        CHECK(WIFSTOPPED(st));
        CHECK_EQ(WSTOPSIG(st), SIGTRAP);
        set_reg(pid, &r);
        moves += r.rip != last;
        last = r.rip;
        CHECK_EQ(r.eflags & 0x100, 0); /* the flag is the kernel's own business */
    }
    CHECK(moves > 90);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(next_stop(pid), 3 << 8);
}

__attribute__((noinline)) static int breakable(int x)
{
    __asm__ volatile("" : "+r"(x));
    return x + 1;
}

static void broken(void *arg)
{
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    int n = 0;
    for (int i = 0; i < 3; i++)
        n = breakable(n);
    _exit(n);
}

TEST(breakpoint)
{
    pid_t pid = start(broken, NULL);
    unsigned long at = (unsigned long)(void *)breakable;
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, pid, (void *)at, NULL);
    CHECK_EQ(errno, 0);
    for (int i = 0; i < 3; i++) {
        struct user_regs_struct r;
        CHECK_EQ(ptrace(PTRACE_POKETEXT, pid, (void *)at, (void *)((word & ~0xffL) | 0xcc)), 0);
        ptrace(PTRACE_CONT, pid, NULL, NULL);
        CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGTRAP);
        set_reg(pid, &r);
        CHECK_EQ(r.rip, at + 1);
        siginfo_t info;
        CHECK_EQ(ptrace(PTRACE_GETSIGINFO, pid, NULL, &info), 0);
        CHECK_EQ(info.si_code, SI_KERNEL);
        CHECK_EQ(ptrace(PTRACE_POKETEXT, pid, (void *)at, (void *)word), 0);
        r.rip = at;
        CHECK_EQ(ptrace(PTRACE_SETREGS, pid, NULL, &r), 0);
        CHECK_EQ(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGTRAP);
    }
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(next_stop(pid), 3 << 8);
}

static void forking(void *arg)
{
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    pid_t pid = fork();
    if (pid == 0)
        _exit(5);
    int st = wait_status(pid);
    _exit(WEXITSTATUS(st));
}

TEST(fork_event)
{
    pid_t pid = start(forking, NULL);
    unsigned long msg = 0;
    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXIT));
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    int st = next_stop(pid);
    CHECK_EQ(EVENT(st), PTRACE_EVENT_FORK);
    CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &msg), 0);
    pid_t child = (pid_t)msg;
    CHECK(child > 0);
    st = next_stop(child); /* traced, too, and stopped at its start */
    CHECK_EQ(WSTOPSIG(st), SIGSTOP);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    ptrace(PTRACE_CONT, child, NULL, NULL);
    st = next_stop(child);
    CHECK_EQ(EVENT(st), PTRACE_EVENT_EXIT);
    CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, child, NULL, &msg), 0);
    CHECK_EQ(msg, 5 << 8);
    ptrace(PTRACE_CONT, child, NULL, NULL);
    CHECK_EQ(next_stop(child), 5 << 8); /* its tracer sees the end before its parent */
    st = next_stop(pid);
    CHECK_EQ(WSTOPSIG(st), SIGCHLD);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    st = next_stop(pid);
    CHECK_EQ(EVENT(st), PTRACE_EVENT_EXIT);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(next_stop(pid), 5 << 8);
}

static void execing(void *arg)
{
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    execl("/bin/true", "true", (char *)NULL);
    _exit(99);
}

TEST(exec_event)
{
    pid_t pid = start(execing, NULL);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACEEXEC);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    int st = next_stop(pid);
    CHECK_EQ(EVENT(st), PTRACE_EVENT_EXEC);
    unsigned long msg = 0;
    CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &msg), 0);
    CHECK_EQ(msg, pid);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(next_stop(pid), 0);
    pid = start(execing, NULL); /* without the option: a SIGTRAP */
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGTRAP);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(next_stop(pid), 0);
}

static void *nop(void *arg)
{
    return NULL;
}

static void threading(void *arg)
{
    pthread_t th;
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    EXPECT(pthread_create(&th, NULL, nop, NULL) == 0);
    pthread_join(th, NULL);
    if (arg)
        EXPECT(gate_wait(arg));
    _exit(6);
}

/* Up to the event of the thread that `threading` makes; its id. */
static pid_t to_clone_event(pid_t pid, long options)
{
    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACECLONE | options));
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(EVENT(next_stop(pid)), PTRACE_EVENT_CLONE);
    unsigned long msg = 0;
    CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &msg), 0);
    CHECK_EQ(WSTOPSIG(next_stop((pid_t)msg)), SIGSTOP);
    return (pid_t)msg;
}

TEST(clone_event)
{
    struct gate g;
    gate_init(&g);
    pid_t pid = start(threading, &g);
    pid_t tid = to_clone_event(pid, 0);
    ptrace(PTRACE_CONT, tid, NULL, NULL);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(next_stop(tid), 0); /* the end of a traced thread is reported */
    gate_open(&g);
    CHECK_EQ(next_stop(pid), 6 << 8);
    gate_done(&g);
}

/* From the start of a group's exit on its threads have its code, those that ended before it too. */
TEST(thread_status_in_group_exit)
{
    siginfo_t si;
    pid_t pid = start(threading, NULL);
    pid_t tid = to_clone_event(pid, PTRACE_O_TRACEEXIT);
    ptrace(PTRACE_CONT, tid, NULL, NULL);
    CHECK_EQ(EVENT(next_stop(tid)), PTRACE_EVENT_EXIT);
    ptrace(PTRACE_CONT, tid, NULL, NULL);
    CHECK_EQ(waitid(P_PID, (id_t)tid, &si, WEXITED | WNOWAIT | __WALL), 0);
    CHECK_EQ(si.si_status, 0);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(EVENT(next_stop(pid)), PTRACE_EVENT_EXIT);
    CHECK_EQ(next_stop(tid), 6 << 8);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(next_stop(pid), 6 << 8);
}

static void vforking(void *arg)
{
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    pid_t pid = vfork();
    if (pid == 0)
        _exit(9);
    EXPECT(wait_status(pid) == 9 << 8);
    _exit(5);
}

/* PTRACE_SYSCALL from a stop inside a call: the next stop is that call's end. */
TEST(call_exit_after_event)
{
    pid_t pid = start(vforking, NULL);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACEVFORK | PTRACE_O_TRACESYSGOOD));
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(EVENT(next_stop(pid)), PTRACE_EVENT_VFORK);
    unsigned long msg = 0;
    CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &msg), 0);
    pid_t child = (pid_t)msg;
    CHECK_EQ(WSTOPSIG(next_stop(child)), SIGSTOP);
    ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    ptrace(PTRACE_CONT, child, NULL, NULL);
    CHECK_EQ(next_stop(child), 9 << 8);
    CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGTRAP | 0x80);
    struct user_regs_struct r;
    set_reg(pid, &r);
    CHECK(r.orig_rax == SYS_vfork || r.orig_rax == SYS_clone);
    CHECK_EQ((pid_t)r.rax, child);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    int st = next_stop(pid);
    if (WIFSTOPPED(st)) { /* the SIGCHLD */
        CHECK_EQ(WSTOPSIG(st), SIGCHLD);
        ptrace(PTRACE_CONT, pid, NULL, NULL);
        st = next_stop(pid);
    }
    CHECK_EQ(st, 5 << 8);
}

static void *exec_in_thread(void *arg)
{
    execl("/bin/true", "true", NULL);
    EXPECT(0);
    return NULL;
}

static void thread_execs(void *arg)
{
    pthread_t th;
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    EXPECT(pthread_create(&th, NULL, exec_in_thread, NULL) == 0);
    pthread_join(th, NULL);
    _exit(6);
}

/* The thread takes over the leader's number; the event tells its old one. */
static void exec_of_thread(long options)
{
    pid_t pid = start(thread_execs, NULL);
    pid_t tid = to_clone_event(pid, PTRACE_O_TRACEEXIT | options);
    unsigned long msg = 0;
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    ptrace(PTRACE_CONT, tid, NULL, NULL);
    CHECK_EQ(EVENT(next_stop(pid)), PTRACE_EVENT_EXIT);
    CHECK_EQ(waitpid(tid, NULL, __WALL | WNOHANG), 0);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    int st = next_stop(pid);
    CHECK_EQ(WSTOPSIG(st), SIGTRAP);
    if (options) {
        CHECK_EQ(EVENT(st), PTRACE_EVENT_EXEC);
        CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &msg), 0);
        CHECK_EQ((pid_t)msg, tid);
    }
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(EVENT(next_stop(pid)), PTRACE_EVENT_EXIT); /* the options are still there */
    CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &msg), 0);
    CHECK_EQ(msg, SIGKILL);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(next_stop(pid), SIGKILL);
}

TEST(exec_of_thread)
{
    exec_of_thread(0);
    exec_of_thread(PTRACE_O_TRACEEXEC);
}

static void leaving(void *arg)
{
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    _exit(4);
}

/* Pid 1 of a namespace ends while a tracee of it is in its last stop. */
static void init_leaves_tracee(void *arg)
{
    if (unshare(CLONE_NEWPID) < 0)
        return;
    pid_t init = fork();
    if (init == 0) {
        pid_t pid = spawn(leaving, NULL);
        EXPECT(WSTOPSIG(next_stop(pid)) == SIGSTOP);
        EXPECT(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACEEXIT) == 0);
        EXPECT(ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
        EXPECT(EVENT(next_stop(pid)) == PTRACE_EVENT_EXIT);
        _exit(3);
    }
    EXPECT(init > 0);
    EXPECT(wait_status(init) == 3 << 8);
}

TEST(init_ends_as_tracer)
{
    CHECK_EQ(run_child(init_leaves_tracee, NULL), 0);
}

static void stopping(void *arg)
{
    raise(SIGSTOP);
    _exit(2);
}

/* Attaching to a stopped process turns its stop into one for the tracer, before a SIGCONT can come.
 */
TEST(seize_of_stopped)
{
    int st;
    for (int i = 0; i < 20; i++) {
        pid_t pid = spawn(stopping, NULL);
        CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
        CHECK(WIFSTOPPED(st));
        CHECK_EQ(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
        CHECK_EQ(kill(pid, SIGCONT), 0);
        CHECK_EQ(next_stop(pid) >> 8, SIGSTOP | PTRACE_EVENT_STOP << 8);
        CHECK_EQ(ptrace(PTRACE_LISTEN, pid, NULL, NULL), 0); /* the SIGCONT has been: it tells so */
        CHECK_EQ(next_stop(pid) >> 8, SIGTRAP | PTRACE_EVENT_STOP << 8);
        CHECK_EQ(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
        CHECK_EQ(next_stop(pid) >> 8, SIGCONT);
        CHECK_EQ(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
        CHECK_EQ(next_stop(pid), 2 << 8);
    }
}

/* Debug registers can be written and read back; what cannot be is told. */
TEST(debug_registers)
{
    pid_t pid = start(traced, NULL);
    long at = offsetof(struct user, u_debugreg);
#define DR(n) ((void *)(at + (n)*8L))
    for (int i = 0; i < 8; i++)
        if (i != 4 && i != 5)
            CHECK_EQ(ptrace(PTRACE_POKEUSER, pid, DR(i), NULL), 0);
    CHECK_ERR(ptrace(PTRACE_POKEUSER, pid, DR(4), NULL), EIO);
    long word = (long)&shared_word;
    CHECK_EQ(ptrace(PTRACE_POKEUSER, pid, DR(0), (void *)word), 0);
    CHECK_EQ(ptrace(PTRACE_POKEUSER, pid, DR(7), (void *)0x90001L), 0); /* 8 bytes, written to */
    CHECK_EQ(ptrace(PTRACE_PEEKUSER, pid, DR(0), NULL), word);
    CHECK_EQ(ptrace(PTRACE_PEEKUSER, pid, DR(7), NULL), 0x90001);
    CHECK_ERR(ptrace(PTRACE_POKEUSER, pid, DR(0), (void *)(word + 1)), EINVAL); /* not aligned */
    CHECK_EQ(ptrace(PTRACE_POKEUSER, pid, DR(7), NULL), 0);
    CHECK_ERR(ptrace(PTRACE_POKEUSER, pid, DR(1), (void *)-4096L), EINVAL); /* the kernel's */
#undef DR
    kill(pid, SIGKILL);
    CHECK_EQ(next_stop(pid), SIGKILL);
}

static void loop(void *arg)
{
    for (;;)
        sleep_ms(5);
}

TEST(attach_and_detach)
{
    pid_t pid = spawn(loop, NULL);
    CHECK_EQ(ptrace(PTRACE_ATTACH, pid, NULL, NULL), 0);
    CHECK_EQ(WSTOPSIG(next_stop(pid)), SIGSTOP);
    CHECK_EQ(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
    CHECK_ERR(ptrace(PTRACE_CONT, pid, NULL, NULL), ESRCH);
    int st;
    CHECK_EQ(waitpid(pid, &st, WNOHANG), 0);
    kill(pid, SIGKILL);
    CHECK_EQ(next_stop(pid), SIGKILL);
}

TEST(seize_and_interrupt)
{
    pid_t pid = spawn(loop, NULL);
    CHECK_EQ(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
    int st;
    CHECK_EQ(waitpid(pid, &st, WNOHANG | __WALL), 0); /* it runs on */
    CHECK_EQ(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
    st = next_stop(pid);
    CHECK_EQ(EVENT(st), PTRACE_EVENT_STOP);
    CHECK_EQ(WSTOPSIG(st), SIGTRAP);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    kill(pid, SIGSTOP);
    st = next_stop(pid);
    CHECK_EQ(WSTOPSIG(st), SIGSTOP);
    CHECK_EQ(EVENT(st), 0); /* the signal */
    ptrace(PTRACE_CONT, pid, NULL, (void *)SIGSTOP);
    st = next_stop(pid);
    CHECK_EQ(WSTOPSIG(st), SIGSTOP);
    CHECK_EQ(EVENT(st), PTRACE_EVENT_STOP); /* the group stop */
    CHECK_EQ(ptrace(PTRACE_LISTEN, pid, NULL, NULL), 0);
    kill(pid, SIGCONT);
    st = next_stop(pid);
    CHECK_EQ(EVENT(st), PTRACE_EVENT_STOP);
    CHECK_EQ(WSTOPSIG(st), SIGTRAP);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    st = next_stop(pid);
    CHECK_EQ(WSTOPSIG(st), SIGCONT);
    kill(pid, SIGKILL);
    CHECK_EQ(next_stop(pid), SIGKILL);
}

static void tracer_that_dies(void *arg)
{
    pid_t pid = *(pid_t *)arg;
    EXPECT(ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_EXITKILL) == 0);
}

TEST(exitkill)
{
    pid_t pid = spawn(loop, NULL);
    CHECK_EQ(run_child(tracer_that_dies, &pid), 0);
    CHECK_EQ(next_stop(pid), SIGKILL);
}

static void forgetful(void *arg)
{
    pid_t pid = *(pid_t *)arg;
    EXPECT(ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0);
    EXPECT(WSTOPSIG(next_stop(pid)) == SIGSTOP);
}

TEST(the_end_of_a_tracer_frees_its_tracees)
{
    pid_t pid = spawn(loop, NULL);
    CHECK_EQ(run_child(forgetful, &pid), 0);
    sleep_ms(20);
    kill(pid, SIGTERM);
    CHECK_EQ(next_stop(pid), SIGTERM);
}
