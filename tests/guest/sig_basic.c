/* Signals: masks, queues, handlers and their frames, waiting, restarting, default actions. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "proc_common.h"

static volatile int ncalls, last_signo;
static volatile siginfo_t last_info;
static int order[64];

static void note(int signo)
{
    if (ncalls < 64)
        order[ncalls] = signo;
    ncalls++;
    last_signo = signo;
}

static void note_info(int signo, siginfo_t *info, void *uc)
{
    note(signo);
    last_info = *info;
}

static void handle(int signo, void (*fn)(int), int flags)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = fn;
    sa.sa_flags = flags;
    if (sigaction(signo, &sa, NULL) < 0)
        abort();
}

static void handle_info(int signo, void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = fn;
    sa.sa_flags = flags | SA_SIGINFO;
    if (sigaction(signo, &sa, NULL) < 0)
        abort();
}

static sigset_t set_of(int a, int b)
{
    sigset_t s;
    sigemptyset(&s);
    if (a)
        sigaddset(&s, a);
    if (b)
        sigaddset(&s, b);
    return s;
}

static void block(int signo)
{
    sigset_t s = set_of(signo, 0);
    sigprocmask(SIG_BLOCK, &s, NULL);
}

static void unblock(int signo)
{
    sigset_t s = set_of(signo, 0);
    sigprocmask(SIG_UNBLOCK, &s, NULL);
}

/* ---- actions and masks --------------------------------------------------------------------- */

TEST(sigaction_arguments)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = note;
    CHECK_ERR(sigaction(SIGKILL, &sa, NULL), EINVAL);
    CHECK_ERR(sigaction(SIGSTOP, &sa, NULL), EINVAL);
    CHECK_EQ(sigaction(SIGKILL, NULL, &sa), 0);
    CHECK(sa.sa_handler == SIG_DFL);
    CHECK_ERR(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, 0, NULL, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, 1, NULL, NULL, 4), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, 1, (void *)8, NULL, 8), EFAULT);
    CHECK_ERR(syscall(SYS_rt_sigprocmask, 77, &sa, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, (void *)8, NULL, 8), EFAULT);
    CHECK_EQ(syscall(SYS_rt_sigprocmask, 77, NULL, NULL, 8), 0);
}

TEST(mask_never_blocks_kill_and_stop)
{
    sigset_t all, old, now;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(!sigismember(&now, SIGKILL));
    CHECK(!sigismember(&now, SIGSTOP));
    CHECK(sigismember(&now, SIGTERM));
    sigprocmask(SIG_SETMASK, &old, NULL);
}

TEST(raise_is_synchronous)
{
    handle(SIGUSR1, note, 0);
    for (int i = 1; i <= 100; i++) {
        ncalls = 0;
        raise(SIGUSR1);
        CHECK_EQ(ncalls, 1);
    }
    signal(SIGUSR1, SIG_DFL);
}

TEST(blocked_is_pending)
{
    sigset_t p;
    handle(SIGUSR1, note, 0);
    block(SIGUSR1);
    ncalls = 0;
    for (int i = 0; i < 3; i++)
        raise(SIGUSR1);
    CHECK_EQ(ncalls, 0);
    CHECK_EQ(sigpending(&p), 0);
    CHECK(sigismember(&p, SIGUSR1));
    unblock(SIGUSR1);
    CHECK_EQ(ncalls, 1); /* standard signals do not queue */
    CHECK_EQ(sigpending(&p), 0);
    CHECK(!sigismember(&p, SIGUSR1));
    signal(SIGUSR1, SIG_DFL);
}

TEST(ignoring_discards_pending)
{
    sigset_t p;
    block(SIGUSR1);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    sigpending(&p);
    CHECK(!sigismember(&p, SIGUSR1));
    signal(SIGUSR1, SIG_DFL);
    unblock(SIGUSR1);
}

TEST(realtime_queue_order)
{
    union sigval v;
    handle_info(40, note_info, 0);
    handle_info(35, note_info, 0);
    block(40);
    block(35);
    ncalls = 0;
    for (int i = 0; i < 5; i++) {
        v.sival_int = i;
        CHECK_EQ(sigqueue(getpid(), 40, v), 0);
        CHECK_EQ(sigqueue(getpid(), 35, v), 0);
    }
    sigset_t s = set_of(40, 35);
    siginfo_t info;
    for (int i = 0; i < 5; i++) { /* the lower number first, each in order */
        CHECK_EQ(sigwaitinfo(&s, &info), 35);
        CHECK_EQ(info.si_value.sival_int, i);
        CHECK_EQ(info.si_code, SI_QUEUE);
        CHECK_EQ(info.si_pid, getpid());
    }
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sigwaitinfo(&s, &info), 40);
        CHECK_EQ(info.si_value.sival_int, i);
    }
    unblock(40);
    unblock(35);
    CHECK_EQ(ncalls, 0);
    signal(40, SIG_DFL);
    signal(35, SIG_DFL);
}

static void queue_limit(void *arg)
{
    struct rlimit rl = {5, 5};
    union sigval v = {.sival_int = 1};
    EXPECT(setrlimit(RLIMIT_SIGPENDING, &rl) == 0);
    block(40);
    int n = 0;
    while (n < 100 && sigqueue(getpid(), 40, v) == 0)
        n++;
    EXPECT(errno == EAGAIN);
    EXPECT(n <= 5);
    block(41);
    EXPECT(kill(getpid(), 41) == 0); /* kill(2) is not refused: only the siginfo is lost */
    sigset_t s = set_of(41, 0);
    siginfo_t info;
    EXPECT(sigwaitinfo(&s, &info) == 41 && info.si_code == SI_USER && info.si_pid == 0);
}

TEST(queue_has_a_limit)
{
    handle(SIGUSR1, note, 0);
    CHECK_EQ(run_child(queue_limit, NULL), 0);
    signal(SIGUSR1, SIG_DFL);
}

TEST(siginfo_of_kill)
{
    handle_info(SIGUSR1, note_info, 0);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(last_info.si_code, SI_USER);
    CHECK_EQ(last_info.si_pid, getpid());
    CHECK_EQ(last_info.si_uid, getuid());
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
    CHECK_EQ(last_info.si_code, SI_TKILL);
    CHECK_EQ(last_info.si_pid, getpid());
    signal(SIGUSR1, SIG_DFL);
}

/* ---- handlers ------------------------------------------------------------------------------ */

static volatile int depth, max_depth, total;

static void nest(int signo)
{
    depth++;
    if (depth > max_depth)
        max_depth = depth;
    if (++total < 4)
        raise(signo);
    depth--;
}

TEST(a_handlers_own_signal_is_blocked)
{
    handle(SIGUSR1, nest, 0);
    depth = max_depth = total = 0;
    raise(SIGUSR1);
    CHECK_EQ(max_depth, 1);
    handle(SIGUSR1, nest, SA_NODEFER);
    depth = max_depth = total = 0;
    raise(SIGUSR1);
    CHECK_EQ(max_depth, 4);
    signal(SIGUSR1, SIG_DFL);
}

static sigset_t mask_in_handler;

static void read_mask(int signo)
{
    sigprocmask(SIG_SETMASK, NULL, &mask_in_handler);
}

TEST(mask_of_a_handler)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = read_mask;
    sigaddset(&sa.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &sa, NULL);
    raise(SIGUSR1);
    CHECK(sigismember(&mask_in_handler, SIGUSR1));
    CHECK(sigismember(&mask_in_handler, SIGUSR2));
    CHECK(!sigismember(&mask_in_handler, SIGHUP));
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
    signal(SIGUSR1, SIG_DFL);
}

TEST(resethand)
{
    struct sigaction sa;
    handle(SIGUSR1, note, SA_RESETHAND);
    ncalls = 0;
    raise(SIGUSR1);
    CHECK_EQ(ncalls, 1);
    sigaction(SIGUSR1, NULL, &sa);
    CHECK(sa.sa_handler == SIG_DFL);
}

static void change_registers(int signo, siginfo_t *info, void *p)
{
    ucontext_t *uc = p;
    note_info(signo, info, p);
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
    uc->uc_mcontext.gregs[REG_RBX] = 4711;
}

TEST(ucontext_can_be_changed)
{
    long rbx = 1;
    handle_info(SIGILL, change_registers, 0);
    __asm__ volatile("ud2" : "+b"(rbx) : : "memory");
    CHECK_EQ(rbx, 4711);
    CHECK_EQ(last_info.si_code, ILL_ILLOPN);
    signal(SIGILL, SIG_DFL);
}

static void clobber(int signo)
{
    volatile double d = 3.0;
    d = d * 1.5;
    __asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm7, %%xmm7; pxor %%xmm15, %%xmm15; fninit"
                     :
                     :
                     : "xmm0", "xmm7", "xmm15");
    note(signo);
}

TEST(registers_survive_a_handler)
{
    handle(SIGUSR1, clobber, 0);
    pid_t pid = getpid();
    long tid = syscall(SYS_gettid);
    unsigned long in[4] = {0x1111, 0x2222, 0x3333, 0x4444}, out[4], gp = 0x5555, flags;
    long r;
    __asm__ volatile("movups (%[in]), %%xmm7\n"
                     "movups 16(%[in]), %%xmm15\n"
                     "movq %[gp], %%r12\n"
                     "std\n"
                     "syscall\n"
                     "pushfq\npopq %[flags]\n"
                     "cld\n"
                     "movups %%xmm7, (%[out])\n"
                     "movups %%xmm15, 16(%[out])\n"
                     "movq %%r12, %[gp]\n"
                     : "=a"(r), [gp] "+&r"(gp), [flags] "=&r"(flags)
                     : "a"(SYS_tgkill), "D"((long)pid), "S"(tid), "d"((long)SIGUSR1), [in] "r"(in),
                       [out] "r"(out)
                     : "rcx", "r11", "r12", "memory", "xmm7", "xmm15");
    CHECK_EQ(r, 0);
    CHECK(!memcmp(in, out, sizeof(in)));
    CHECK_EQ(gp, 0x5555);
    CHECK(flags & 0x400); /* DF was set outside, cleared in the handler, and is set again */
    signal(SIGUSR1, SIG_DFL);
}

static volatile int red_zone_ok;

__attribute__((noinline)) static void use_red_zone(void)
{
    long r;
    /* 128 bytes below the stack pointer are ours */
    __asm__ volatile("movq $0x77, -8(%%rsp)\n"
                     "movq $0x78, -128(%%rsp)\n"
                     "syscall\n"
                     "xorl %%ecx, %%ecx\n"
                     "cmpq $0x77, -8(%%rsp)\n"
                     "jne 1f\n"
                     "cmpq $0x78, -128(%%rsp)\n"
                     "jne 1f\n"
                     "incl %%ecx\n"
                     "1: movl %%ecx, %[ok]\n"
                     : "=a"(r), [ok] "=m"(red_zone_ok)
                     : "a"(SYS_tgkill), "D"((long)getpid()), "S"(syscall(SYS_gettid)),
                       "d"((long)SIGUSR1)
                     : "rcx", "r11", "memory");
}

TEST(red_zone)
{
    handle(SIGUSR1, note, 0);
    use_red_zone();
    CHECK_EQ(red_zone_ok, 1);
    signal(SIGUSR1, SIG_DFL);
}

static sigjmp_buf jump;

static void jump_out(int signo)
{
    siglongjmp(jump, signo);
}

TEST(siglongjmp_restores_the_mask)
{
    sigset_t now;
    handle(SIGUSR1, jump_out, 0);
    volatile int n = 0;
    if (sigsetjmp(jump, 1) == 0 || n < 10) {
        n++;
        raise(SIGUSR1);
    }
    CHECK_EQ(n, 10);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(!sigismember(&now, SIGUSR1));
    signal(SIGUSR1, SIG_DFL);
}

/* ---- the alternate stack ------------------------------------------------------------------- */

static char alt[64 * 1024];
static volatile int was_on_alt;
static stack_t ss_in_handler;

static void on_alt(int signo)
{
    char here;
    was_on_alt = &here >= alt && &here < alt + sizeof(alt);
    sigaltstack(NULL, &ss_in_handler);
    note(signo);
}

TEST(altstack)
{
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)}, old;
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK_EQ(old.ss_flags, SS_DISABLE);
    CHECK_EQ(sigaltstack(&ss, NULL), 0);
    handle(SIGUSR1, on_alt, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(was_on_alt, 1);
    CHECK_EQ(ss_in_handler.ss_flags, SS_ONSTACK);
    handle(SIGUSR1, on_alt, 0);
    raise(SIGUSR1);
    CHECK_EQ(was_on_alt, 0);
    CHECK_EQ(ss_in_handler.ss_flags, 0);
    ss.ss_size = 1024;
    CHECK_ERR(sigaltstack(&ss, NULL), ENOMEM);
    ss.ss_flags = 12;
    CHECK_ERR(sigaltstack(&ss, NULL), EINVAL);
    ss.ss_flags = SS_DISABLE;
    CHECK_EQ(sigaltstack(&ss, NULL), 0);
    handle(SIGUSR1, on_alt, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(was_on_alt, 0);
    signal(SIGUSR1, SIG_DFL);
}

static volatile int set_result, set_errno;

static void set_on_alt(int signo)
{
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)};
    set_result = sigaltstack(&ss, NULL);
    set_errno = errno;
}

TEST(altstack_in_use_cannot_be_changed)
{
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)};
    sigaltstack(&ss, NULL);
    handle(SIGUSR1, set_on_alt, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(set_result, -1);
    CHECK_EQ(set_errno, EPERM);
    ss.ss_flags = (int)(1U << 31); /* SS_AUTODISARM */
    CHECK_EQ(sigaltstack(&ss, NULL), 0);
    raise(SIGUSR1);
    CHECK_EQ(set_result, 0); /* disarmed while the handler ran */
    stack_t now;
    sigaltstack(NULL, &now);
    CHECK(now.ss_sp == alt && now.ss_size == sizeof(alt)); /* and armed again */
    ss.ss_flags = SS_DISABLE;
    sigaltstack(&ss, NULL);
    signal(SIGUSR1, SIG_DFL);
}

static void end_0(int signo)
{
    _exit(33);
}

static int recurse(int n)
{
    volatile char buf[4096];
    buf[0] = (char)n;
    return n < 0 ? 0 : recurse(n + 1) + buf[0];
}

static void overflow(void *arg)
{
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)};
    struct rlimit rl = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_STACK, &rl);
    sigaltstack(&ss, NULL);
    handle(SIGSEGV, end_0, SA_ONSTACK);
    recurse(0);
}

TEST(stack_overflow_on_the_altstack)
{
    CHECK_EQ(run_child(overflow, NULL), 33 << 8);
}

static void overflow_plain(void *arg)
{
    struct rlimit rl = {1 << 20, 1 << 20}, none = {0, 0};
    setrlimit(RLIMIT_STACK, &rl);
    setrlimit(RLIMIT_CORE, &none);
    handle(SIGSEGV, end_0, 0); /* no stack to run it on */
    recurse(0);
}

TEST(stack_overflow_without_one)
{
    CHECK_EQ(run_child(overflow_plain, NULL), SIGSEGV);
}

/* ---- faults -------------------------------------------------------------------------------- */

static void fault_info(int signo, siginfo_t *info, void *uc)
{
    last_info = *info;
    siglongjmp(jump, signo);
}

static int fault_at(volatile char *p, int is_write)
{
    int r = sigsetjmp(jump, 1);
    if (r == 0) {
        if (is_write)
            *p = 1;
        else
            (void)*p;
    }
    return r;
}

TEST(fault_codes)
{
    handle_info(SIGSEGV, fault_info, 0);
    handle_info(SIGBUS, fault_info, 0);
    handle_info(SIGFPE, fault_info, 0);
    char *p = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(fault_at(p + 5, 0), SIGSEGV);
    CHECK_EQ(last_info.si_code, SEGV_ACCERR);
    CHECK(last_info.si_addr == p + 5);
    mprotect(p, 4096, PROT_READ);
    CHECK_EQ(fault_at(p, 0), 0);
    CHECK_EQ(fault_at(p, 1), SIGSEGV);
    CHECK_EQ(last_info.si_code, SEGV_ACCERR);
    munmap(p, 8192);
    CHECK_EQ(fault_at(p, 0), SIGSEGV);
    CHECK_EQ(last_info.si_code, SEGV_MAPERR);
    CHECK(last_info.si_addr == p);
    CHECK_EQ(fault_at((char *)16, 1), SIGSEGV);
    CHECK_EQ(last_info.si_code, SEGV_MAPERR);
    CHECK(last_info.si_addr == (char *)16);
    CHECK_EQ(fault_at((char *)0x8000000000000000UL, 0), SIGSEGV); /* not canonical */
    CHECK_EQ(last_info.si_code, SI_KERNEL);
    CHECK(last_info.si_addr == NULL);
    if (sigsetjmp(jump, 1) == 0) {
        volatile int zero = 0, seven = 7;
        zero = seven / zero;
        CHECK(0);
    }
    CHECK_EQ(last_info.si_signo, SIGFPE);
    CHECK_EQ(last_info.si_code, FPE_INTDIV);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    signal(SIGFPE, SIG_DFL);
}

TEST(breakpoint)
{
    handle_info(SIGTRAP, note_info, 0);
    ncalls = 0;
    __asm__ volatile("int3");
    CHECK_EQ(ncalls, 1);
    CHECK_EQ(last_info.si_code, SI_KERNEL);
    signal(SIGTRAP, SIG_DFL);
}

static void blocked_fault(void *arg)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    handle(SIGSEGV, end_0, 0);
    block(SIGSEGV);
    *(volatile int *)8 = 1;
}

static void ignored_fault(void *arg)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_IGN);
    *(volatile int *)8 = 1;
}

TEST(blocked_or_ignored_faults_kill)
{
    CHECK_EQ(run_child(blocked_fault, NULL), SIGSEGV);
    CHECK_EQ(run_child(ignored_fault, NULL), SIGSEGV);
}

/* ---- waiting ------------------------------------------------------------------------------- */

static void poke(void *arg)
{
    sleep_ms(50);
    kill(getppid(), (int)(intptr_t)arg);
}

TEST(sigsuspend)
{
    handle(SIGUSR1, note, 0);
    block(SIGUSR1);
    ncalls = 0;
    pid_t pid = spawn(poke, (void *)SIGUSR1);
    sigset_t none;
    sigemptyset(&none);
    CHECK_ERR(sigsuspend(&none), EINTR);
    CHECK_EQ(ncalls, 1);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1));
    wait_status(pid);
    raise(SIGUSR1); /* pending before: returns at once */
    CHECK_ERR(sigsuspend(&none), EINTR);
    CHECK_EQ(ncalls, 2);
    unblock(SIGUSR1);
    signal(SIGUSR1, SIG_DFL);
}

TEST(pause_returns_after_a_handler)
{
    handle(SIGUSR1, note, SA_RESTART);
    ncalls = 0;
    pid_t pid = spawn(poke, (void *)SIGUSR1);
    CHECK_ERR(pause(), EINTR);
    CHECK_EQ(ncalls, 1);
    wait_status(pid);
    signal(SIGUSR1, SIG_DFL);
}

TEST(sigtimedwait)
{
    sigset_t s = set_of(SIGUSR1, SIGUSR2);
    siginfo_t info;
    struct timespec zero = {0, 0}, some = {0, 50000000}, bad = {0, 1000000000};
    sigprocmask(SIG_BLOCK, &s, NULL);
    CHECK_ERR(sigtimedwait(&s, &info, &zero), EAGAIN);
    CHECK_ERR(sigtimedwait(&s, &info, &bad), EINVAL);
    long t0 = now_ms();
    CHECK_ERR(sigtimedwait(&s, &info, &some), EAGAIN);
    CHECK(now_ms() - t0 >= 49);
    pid_t pid = spawn(poke, (void *)SIGUSR2);
    CHECK_EQ(sigtimedwait(&s, &info, NULL), SIGUSR2);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_code, SI_USER);
    wait_status(pid);
    handle(SIGHUP, note, 0);
    pid = spawn(poke, (void *)SIGHUP);
    CHECK_ERR(sigtimedwait(&s, &info, NULL), EINTR);
    wait_status(pid);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &s, NULL);
}

TEST(ppoll_takes_a_mask)
{
    handle(SIGUSR1, note, 0);
    block(SIGUSR1);
    ncalls = 0;
    raise(SIGUSR1);
    sigset_t none;
    sigemptyset(&none);
    struct timespec zero = {0, 0};
    CHECK_ERR(ppoll(NULL, 0, &zero, &none), EINTR);
    CHECK_EQ(ncalls, 1);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1));
    unblock(SIGUSR1);
    signal(SIGUSR1, SIG_DFL);
}

/* ---- restarting ---------------------------------------------------------------------------- */

static void poke_then_write(void *arg)
{
    struct gate *g = arg;
    sleep_ms(50);
    kill(getppid(), SIGUSR1);
    sleep_ms(50);
    gate_open(g);
}

TEST(restart_of_read)
{
    struct gate g;
    char c = 0;
    gate_init(&g);
    ncalls = 0;
    handle(SIGUSR1, note, SA_RESTART);
    pid_t pid = spawn(poke_then_write, &g);
    CHECK_EQ(read(g.fd[0], &c, 1), 1);
    CHECK_EQ(ncalls, 1);
    wait_status(pid);
    handle(SIGUSR1, note, 0);
    pid = spawn(poke_then_write, &g);
    CHECK_ERR(read(g.fd[0], &c, 1), EINTR);
    CHECK_EQ(ncalls, 2);
    CHECK_EQ(read(g.fd[0], &c, 1), 1);
    wait_status(pid);
    gate_done(&g);
    signal(SIGUSR1, SIG_DFL);
}

static void stop_then_write(void *arg)
{
    struct gate *g = arg;
    pid_t parent = getppid();
    sleep_ms(50);
    kill(parent, SIGSTOP);
    sleep_ms(50);
    kill(parent, SIGCONT);
    sleep_ms(50);
    gate_open(g);
}

static void reader(void *arg)
{
    struct gate g;
    char c;
    gate_init(&g);
    pid_t pid = spawn(stop_then_write, &g);
    EXPECT(read(g.fd[0], &c, 1) == 1); /* being stopped is not seen */
    EXPECT(wait_status(pid) == 0);
    struct timespec ts = {0, 200000000};
    pid = spawn(stop_then_write, &g);
    long t0 = now_ms();
    EXPECT(nanosleep(&ts, NULL) == 0); /* goes on after the stop */
    EXPECT(now_ms() - t0 >= 195 && now_ms() - t0 < 1500);
    EXPECT(wait_status(pid) == 0);
}

TEST(stop_and_cont_restart_calls)
{
    CHECK_EQ(run_child(reader, NULL), 0);
}

static void pausing(void *arg)
{
    for (;;)
        pause();
}

/* A SIGCONT undoes a stop that its target has begun to look at. */
TEST(cont_right_after_stop)
{
    for (int i = 0; i < 300; i++) {
        pid_t pid = spawn(pausing, NULL);
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(kill(pid, SIGCONT), 0);
        CHECK_EQ(kill(pid, SIGTERM), 0);
        int st = -1;
        CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
        CHECK_EQ(st, SIGTERM);
    }
}

TEST(nanosleep_tells_what_is_left)
{
    struct timespec ts = {5, 0}, rem = {0, 0};
    handle(SIGUSR1, note, SA_RESTART);
    pid_t pid = spawn(poke, (void *)SIGUSR1);
    CHECK_ERR(nanosleep(&ts, &rem), EINTR); /* never restarted after a handler */
    CHECK(rem.tv_sec == 4);
    wait_status(pid);
    signal(SIGUSR1, SIG_DFL);
}

/* ---- sending ------------------------------------------------------------------------------- */

TEST(kill_arguments)
{
    CHECK_ERR(kill(getpid(), 65), EINVAL);
    CHECK_ERR(kill(getpid(), -1), EINVAL);
    CHECK_EQ(kill(getpid(), 0), 0);
    CHECK_ERR(kill(0x3ffffff, 0), ESRCH);
    CHECK_ERR(kill(-0x3ffffff, 0), ESRCH);
    CHECK_ERR(syscall(SYS_tkill, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_tkill, -1, 0), EINVAL);
    CHECK_ERR(syscall(SYS_tgkill, getpid(), 0x3ffffff, 0), ESRCH);
    CHECK_ERR(syscall(SYS_tgkill, getpid() + 1000, getpid(), 0), ESRCH);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), getpid(), 0), 0);
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_code = SI_USER; /* pretending to be kill(2) towards another */
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getppid() ? getppid() : 2, SIGUSR1, &info), EPERM);
}

static void unprivileged(void *arg)
{
    pid_t victim = *(pid_t *)arg;
    EXPECT(setuid(65534) == 0);
    EXPECT(kill(victim, SIGTERM) == -1 && errno == EPERM);
    EXPECT(kill(victim, 0) == -1 && errno == EPERM);
    EXPECT(kill(victim, SIGCONT) == 0); /* of our session */
}

static void loop(void *arg)
{
    for (;;)
        pause();
}

TEST(permission)
{
    if (getuid() != 0)
        return;
    pid_t victim = spawn(loop, NULL);
    CHECK_EQ(run_child(unprivileged, &victim), 0);
    CHECK_EQ(kill(victim, SIGKILL), 0);
    wait_status(victim);
}

static pthread_t main_thread;
static volatile pthread_t handled_by;

static void who(int signo)
{
    handled_by = pthread_self();
    ncalls++;
}

static void *wait_in_thread(void *arg)
{
    unblock(SIGUSR1);
    gate_open(arg);
    while (!ncalls)
        sleep_ms(1);
    return NULL;
}

TEST(a_thread_that_does_not_block_it_takes_it)
{
    struct gate g;
    pthread_t th;
    gate_init(&g);
    handle(SIGUSR1, who, 0);
    block(SIGUSR1);
    ncalls = 0;
    CHECK_EQ(pthread_create(&th, NULL, wait_in_thread, &g), 0);
    CHECK(gate_wait(&g));
    kill(getpid(), SIGUSR1);
    pthread_join(th, NULL);
    CHECK_EQ(ncalls, 1);
    CHECK(pthread_equal(handled_by, th));
    unblock(SIGUSR1);
    gate_done(&g);
    signal(SIGUSR1, SIG_DFL);
}

static void *spin(void *arg)
{
    volatile int *stop = arg;
    while (!*stop)
        ;
    return NULL;
}

TEST(a_spinning_thread_is_interrupted)
{
    pthread_t th;
    volatile int stop = 0;
    handle(SIGUSR1, who, 0);
    CHECK_EQ(pthread_create(&th, NULL, spin, (void *)&stop), 0);
    for (int i = 0; i < 50; i++) {
        ncalls = 0;
        CHECK_EQ(pthread_kill(th, SIGUSR1), 0);
        for (int k = 0; k < 2000 && !ncalls; k++)
            sleep_ms(1);
        CHECK_EQ(ncalls, 1);
        CHECK(pthread_equal(handled_by, th));
    }
    stop = 1;
    pthread_join(th, NULL);
    signal(SIGUSR1, SIG_DFL);
}

static void spin_forever(void *arg)
{
    for (;;)
        ;
}

TEST(a_spinning_process_can_be_killed_and_stopped)
{
    int st;
    pid_t pid = spawn(spin_forever, NULL);
    sleep_ms(10);
    kill(pid, SIGSTOP);
    CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
    kill(pid, SIGCONT);
    kill(pid, SIGTERM);
    CHECK_EQ(wait_status(pid), SIGTERM);
}

TEST(itimer_interrupts_a_loop)
{
    (void)main_thread;
    handle(SIGALRM, note, 0);
    ncalls = 0;
    alarm(1);
    while (!ncalls)
        ;
    CHECK_EQ(ncalls, 1);
    signal(SIGALRM, SIG_DFL);
}
