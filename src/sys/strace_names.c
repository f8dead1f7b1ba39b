/* Names of flags and values for --strace, all from the ABI headers. */
#include "sys/strace.h"

#include <string.h>

#include "abi/fs.h"
#include "abi/inet.h"
#include "abi/mm.h"
#include "abi/socket.h"
#include "abi/time.h"

#define N(x) {(u64)LX_##x, #x}

static const struct strace_name names_open[] = {
    N(O_RDONLY), N(O_WRONLY), N(O_RDWR), N(O_CREAT), N(O_EXCL), N(O_NOCTTY), N(O_TRUNC),
    N(O_APPEND), N(O_NONBLOCK), N(O_TMPFILE), N(O_SYNC), N(O_DSYNC), N(O_DIRECT),
    N(O_DIRECTORY), N(O_NOFOLLOW), N(O_NOATIME), N(O_CLOEXEC), N(O_PATH), N(O_LARGEFILE),
    {0, ""},
};
static const struct strace_name names_prot[] = {
    N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC), N(PROT_GROWSDOWN), N(PROT_GROWSUP),
    {0, ""},
};
static const struct strace_name names_mmap[] = {
    N(MAP_SHARED), N(MAP_PRIVATE), N(MAP_SHARED_VALIDATE), N(MAP_FIXED), N(MAP_ANONYMOUS),
    N(MAP_32BIT), N(MAP_GROWSDOWN), N(MAP_DENYWRITE), N(MAP_EXECUTABLE), N(MAP_LOCKED),
    N(MAP_NORESERVE), N(MAP_POPULATE), N(MAP_NONBLOCK), N(MAP_STACK), N(MAP_HUGETLB),
    N(MAP_SYNC), N(MAP_FIXED_NOREPLACE),
    {0, ""},
};
static const struct strace_name names_madvise[] = {
    N(MADV_NORMAL), N(MADV_RANDOM), N(MADV_SEQUENTIAL), N(MADV_WILLNEED), N(MADV_DONTNEED),
    N(MADV_FREE), N(MADV_REMOVE), N(MADV_DONTFORK), N(MADV_DOFORK), N(MADV_MERGEABLE),
    N(MADV_UNMERGEABLE), N(MADV_HUGEPAGE), N(MADV_NOHUGEPAGE), N(MADV_DONTDUMP), N(MADV_DODUMP),
    N(MADV_WIPEONFORK), N(MADV_KEEPONFORK), N(MADV_COLD), N(MADV_PAGEOUT),
    N(MADV_POPULATE_READ), N(MADV_POPULATE_WRITE), N(MADV_DONTNEED_LOCKED), N(MADV_COLLAPSE),
    N(MADV_HWPOISON), N(MADV_SOFT_OFFLINE),
    {0, ""},
};
static const struct strace_name names_at[] = {
    N(AT_SYMLINK_NOFOLLOW), N(AT_SYMLINK_FOLLOW), N(AT_NO_AUTOMOUNT), N(AT_EMPTY_PATH),
    {0, ""},
};
static const struct strace_name names_unlinkat[] = {
    N(AT_REMOVEDIR),
    {0, ""},
};
static const struct strace_name names_access[] = {
    N(R_OK), N(W_OK), N(X_OK),
    {0, ""},
};
static const struct strace_name names_clone[] = {
    N(CLONE_NEWTIME), N(CLONE_VM), N(CLONE_FS), N(CLONE_FILES), N(CLONE_SIGHAND),
    N(CLONE_PIDFD), N(CLONE_PTRACE), N(CLONE_VFORK), N(CLONE_PARENT), N(CLONE_THREAD),
    N(CLONE_NEWNS), N(CLONE_SYSVSEM), N(CLONE_SETTLS), N(CLONE_PARENT_SETTID),
    N(CLONE_CHILD_CLEARTID), N(CLONE_DETACHED), N(CLONE_UNTRACED), N(CLONE_CHILD_SETTID),
    N(CLONE_NEWCGROUP), N(CLONE_NEWUTS), N(CLONE_NEWIPC), N(CLONE_NEWUSER), N(CLONE_NEWPID),
    N(CLONE_NEWNET), N(CLONE_IO), N(CLONE_CLEAR_SIGHAND), N(CLONE_INTO_CGROUP),
    {0, ""},
};
static const struct strace_name names_futex[] = {
    N(FUTEX_WAIT), N(FUTEX_WAKE), N(FUTEX_REQUEUE), N(FUTEX_CMP_REQUEUE), N(FUTEX_WAKE_OP),
    N(FUTEX_LOCK_PI), N(FUTEX_UNLOCK_PI), N(FUTEX_TRYLOCK_PI), N(FUTEX_WAIT_BITSET),
    N(FUTEX_WAKE_BITSET), N(FUTEX_WAIT_PRIVATE), N(FUTEX_WAKE_PRIVATE),
    N(FUTEX_REQUEUE_PRIVATE), N(FUTEX_CMP_REQUEUE_PRIVATE), N(FUTEX_WAKE_OP_PRIVATE),
    N(FUTEX_LOCK_PI_PRIVATE), N(FUTEX_UNLOCK_PI_PRIVATE), N(FUTEX_WAIT_BITSET_PRIVATE),
    N(FUTEX_WAKE_BITSET_PRIVATE),
    {0, ""},
};
static const struct strace_name names_fcntl[] = {
    N(F_DUPFD), N(F_GETFD), N(F_SETFD), N(F_GETFL), N(F_SETFL), N(F_GETLK), N(F_SETLK),
    N(F_SETLKW), N(F_SETOWN), N(F_GETOWN), N(F_DUPFD_CLOEXEC), N(F_SETPIPE_SZ), N(F_GETPIPE_SZ),
    N(F_ADD_SEALS), N(F_GET_SEALS), N(F_OFD_GETLK), N(F_OFD_SETLK), N(F_OFD_SETLKW),
    N(F_SETLEASE), N(F_GETLEASE),
    {0, ""},
};
static const struct strace_name names_whence[] = {
    N(SEEK_SET), N(SEEK_CUR), N(SEEK_END), N(SEEK_DATA), N(SEEK_HOLE),
    {0, ""},
};
static const struct strace_name names_sighow[] = {
    N(SIG_BLOCK), N(SIG_UNBLOCK), N(SIG_SETMASK),
    {0, ""},
};
static const struct strace_name names_wait[] = {
    N(WNOHANG), N(WUNTRACED), N(WEXITED), N(WCONTINUED), N(WNOWAIT), N(WALL), N(WCLONE),
    N(WNOTHREAD),
    {0, ""},
};
static const struct strace_name names_idtype[] = {
    N(P_ALL), N(P_PID), N(P_PGID), N(P_PIDFD),
    {0, ""},
};
static const struct strace_name names_prctl[] = {
    N(PR_SCHED_CORE_GET), N(PR_PAC_APIAKEY), N(PR_GET_PDEATHSIG), N(PR_GET_DUMPABLE),
    N(PR_PAC_APDAKEY), N(PR_GET_UNALIGN), N(PR_SET_UNALIGN), N(PR_GET_KEEPCAPS),
    N(PR_PAC_APDBKEY), N(PR_GET_FPEMU), N(PR_SET_FPEMU), N(PR_GET_FPEXC), N(PR_SET_FPEXC),
    N(PR_GET_TIMING), N(PR_SET_TIMING), N(PR_SET_NAME), N(PR_GET_NAME), N(PR_GET_ENDIAN),
    N(PR_SET_ENDIAN), N(PR_GET_SECCOMP), N(PR_SET_SECCOMP), N(PR_CAPBSET_READ),
    N(PR_CAPBSET_DROP), N(PR_GET_TSC), N(PR_SET_TSC), N(PR_GET_SECUREBITS),
    N(PR_SET_SECUREBITS), N(PR_SET_TIMERSLACK), N(PR_GET_TIMERSLACK),
    N(PR_TASK_PERF_EVENTS_DISABLE), N(PR_TASK_PERF_EVENTS_ENABLE), N(PR_MCE_KILL), N(PR_SET_MM),
    N(PR_SET_CHILD_SUBREAPER), N(PR_GET_CHILD_SUBREAPER), N(PR_SET_NO_NEW_PRIVS),
    N(PR_GET_NO_NEW_PRIVS), N(PR_GET_TID_ADDRESS), N(PR_SET_THP_DISABLE), N(PR_GET_THP_DISABLE),
    N(PR_SET_FP_MODE), N(PR_GET_FP_MODE), N(PR_CAP_AMBIENT), N(PR_SVE_SET_VL), N(PR_SVE_GET_VL),
    N(PR_GET_SPECULATION_CTRL), N(PR_SET_SPECULATION_CTRL), N(PR_PAC_RESET_KEYS),
    N(PR_SET_TAGGED_ADDR_CTRL), N(PR_GET_TAGGED_ADDR_CTRL), N(PR_SET_IO_FLUSHER),
    N(PR_GET_IO_FLUSHER), N(PR_SET_SYSCALL_USER_DISPATCH), N(PR_PAC_SET_ENABLED_KEYS),
    N(PR_PAC_GET_ENABLED_KEYS), N(PR_SCHED_CORE), N(PR_SVE_VL_LEN_MASK), N(PR_SVE_VL_INHERIT),
    N(PR_SVE_SET_VL_ONEXEC), N(PR_SET_VMA), N(PR_SET_PTRACER),
    {0, ""},
};
static const struct strace_name names_arch_prctl[] = {
    N(ARCH_SET_GS), N(ARCH_SET_FS), N(ARCH_GET_FS), N(ARCH_GET_GS), N(ARCH_GET_CPUID),
    N(ARCH_SET_CPUID),
    {0, ""},
};
static const struct strace_name names_clock[] = {
    N(CLOCK_REALTIME), N(CLOCK_MONOTONIC), N(CLOCK_PROCESS_CPUTIME_ID),
    N(CLOCK_THREAD_CPUTIME_ID), N(CLOCK_MONOTONIC_RAW), N(CLOCK_REALTIME_COARSE),
    N(CLOCK_MONOTONIC_COARSE), N(CLOCK_BOOTTIME), N(CLOCK_REALTIME_ALARM),
    N(CLOCK_BOOTTIME_ALARM), N(CLOCK_TAI),
    {0, ""},
};
static const struct strace_name names_rlimit[] = {
    N(RLIMIT_CPU), N(RLIMIT_FSIZE), N(RLIMIT_DATA), N(RLIMIT_STACK), N(RLIMIT_CORE),
    N(RLIMIT_RSS), N(RLIMIT_NPROC), N(RLIMIT_NOFILE), N(RLIMIT_MEMLOCK), N(RLIMIT_AS),
    N(RLIMIT_LOCKS), N(RLIMIT_SIGPENDING), N(RLIMIT_MSGQUEUE), N(RLIMIT_NICE), N(RLIMIT_RTPRIO),
    N(RLIMIT_RTTIME), N(RLIMIT_NLIMITS),
    {0, ""},
};
static const struct strace_name names_family[] = {
    N(AF_UNSPEC), N(AF_UNIX), N(AF_INET), N(AF_INET6), N(AF_NETLINK), N(AF_PACKET), N(AF_VSOCK),
    N(AF_ALG),
    {0, ""},
};
static const struct strace_name names_socktype[] = {
    N(SOCK_STREAM), N(SOCK_DGRAM), N(SOCK_RAW), N(SOCK_SEQPACKET), N(SOCK_CLOEXEC),
    N(SOCK_NONBLOCK),
    {0, ""},
};
static const struct strace_name names_msg[] = {
    N(MSG_OOB), N(MSG_PEEK), N(MSG_DONTROUTE), N(MSG_CTRUNC), N(MSG_TRUNC), N(MSG_DONTWAIT),
    N(MSG_EOR), N(MSG_WAITALL), N(MSG_CONFIRM), N(MSG_ERRQUEUE), N(MSG_NOSIGNAL), N(MSG_MORE),
    N(MSG_WAITFORONE), N(MSG_ZEROCOPY), N(MSG_FASTOPEN), N(MSG_CMSG_CLOEXEC),
    {0, ""},
};
static const struct strace_name names_sol[] = {
    N(SOL_SOCKET), N(IPPROTO_IP), N(IPPROTO_TCP), N(IPPROTO_UDP), N(IPPROTO_IPV6),
    {0, ""},
};
static const struct strace_name names_epoll_op[] = {
    N(EPOLL_CTL_ADD), N(EPOLL_CTL_MOD), N(EPOLL_CTL_DEL),
    {0, ""},
};
static const struct strace_name names_mount[] = {
    N(MS_RDONLY), N(MS_NOSUID), N(MS_NODEV), N(MS_NOEXEC), N(MS_REMOUNT), N(MS_BIND),
    N(MS_MOVE), N(MS_REC), N(MS_SILENT), N(MS_PRIVATE), N(MS_SLAVE), N(MS_SHARED),
    N(MS_RELATIME), N(MS_STRICTATIME),
    {0, ""},
};
static const struct strace_name names_grnd[] = {
    N(GRND_NONBLOCK), N(GRND_RANDOM), N(GRND_INSECURE),
    {0, ""},
};
static const struct strace_name names_mremap[] = {
    N(MREMAP_MAYMOVE), N(MREMAP_FIXED), N(MREMAP_DONTUNMAP),
    {0, ""},
};
static const struct strace_name names_signal[] = {
    N(SIGABRT), N(SIGALRM), N(SIGBUS), N(SIGCHLD), N(SIGCONT), N(SIGFPE), N(SIGHUP), N(SIGILL),
    N(SIGINT), N(SIGIO), N(SIGKILL), N(SIGPIPE), N(SIGPROF), N(SIGPWR), N(SIGQUIT), N(SIGSEGV),
    N(SIGSTKFLT), N(SIGSTOP), N(SIGSYS), N(SIGTERM), N(SIGTRAP), N(SIGTSTP), N(SIGTTIN),
    N(SIGTTOU), N(SIGURG), N(SIGUSR1), N(SIGUSR2), N(SIGVTALRM), N(SIGWINCH), N(SIGXCPU),
    N(SIGXFSZ),
    {0, ""},
};
static const struct strace_name names_errno[] = {
    N(EPERM), N(ENOENT), N(ESRCH), N(EINTR), N(EIO), N(ENXIO), N(E2BIG), N(ENOEXEC), N(EBADF),
    N(ECHILD), N(EAGAIN), N(ENOMEM), N(EACCES), N(EFAULT), N(ENOTBLK), N(EBUSY), N(EEXIST),
    N(EXDEV), N(ENODEV), N(ENOTDIR), N(EISDIR), N(EINVAL), N(ENFILE), N(EMFILE), N(ENOTTY),
    N(ETXTBSY), N(EFBIG), N(ENOSPC), N(ESPIPE), N(EROFS), N(EMLINK), N(EPIPE), N(EDOM),
    N(ERANGE), N(EDEADLK), N(ENAMETOOLONG), N(ENOLCK), N(ENOSYS), N(ENOTEMPTY), N(ELOOP),
    N(ENOMSG), N(EIDRM), N(ECHRNG), N(EL2NSYNC), N(EL3HLT), N(EL3RST), N(ELNRNG), N(EUNATCH),
    N(ENOCSI), N(EL2HLT), N(EBADE), N(EBADR), N(EXFULL), N(ENOANO), N(EBADRQC), N(EBADSLT),
    N(EBFONT), N(ENOSTR), N(ENODATA), N(ETIME), N(ENOSR), N(ENONET), N(ENOPKG), N(EREMOTE),
    N(ENOLINK), N(EADV), N(ESRMNT), N(ECOMM), N(EPROTO), N(EMULTIHOP), N(EDOTDOT), N(EBADMSG),
    N(EOVERFLOW), N(ENOTUNIQ), N(EBADFD), N(EREMCHG), N(ELIBACC), N(ELIBBAD), N(ELIBSCN),
    N(ELIBMAX), N(ELIBEXEC), N(EILSEQ), N(ESTRPIPE), N(EUSERS), N(ENOTSOCK), N(EDESTADDRREQ),
    N(EMSGSIZE), N(EPROTOTYPE), N(ENOPROTOOPT), N(EPROTONOSUPPORT), N(ESOCKTNOSUPPORT),
    N(EOPNOTSUPP), N(EPFNOSUPPORT), N(EAFNOSUPPORT), N(EADDRINUSE), N(EADDRNOTAVAIL),
    N(ENETDOWN), N(ENETUNREACH), N(ENETRESET), N(ECONNABORTED), N(ECONNRESET), N(ENOBUFS),
    N(EISCONN), N(ENOTCONN), N(ESHUTDOWN), N(ETOOMANYREFS), N(ETIMEDOUT), N(ECONNREFUSED),
    N(EHOSTDOWN), N(EHOSTUNREACH), N(EALREADY), N(EINPROGRESS), N(ESTALE), N(EUCLEAN),
    N(ENOTNAM), N(ENAVAIL), N(EISNAM), N(EREMOTEIO), N(EDQUOT), N(ENOMEDIUM), N(EMEDIUMTYPE),
    N(ECANCELED), N(ENOKEY), N(EKEYEXPIRED), N(EKEYREVOKED), N(EKEYREJECTED), N(EOWNERDEAD),
    N(ENOTRECOVERABLE), N(ERFKILL), N(EHWPOISON), N(ERESTARTSYS), N(ERESTARTNOINTR),
    N(ERESTARTNOHAND), N(ERESTART_RESTARTBLOCK),
    {0, ""},
};

static const struct strace_table tables[] = {
    {"open", true, LX_O_ACCMODE, names_open},
    {"prot", true, 0, names_prot},
    {"mmap", true, 0xf, names_mmap},
    {"madvise", false, 0, names_madvise},
    {"at", true, 0, names_at},
    {"unlinkat", true, 0, names_unlinkat},
    {"access", true, 0, names_access},
    {"clone", true, 0, names_clone},
    {"futex", false, 0, names_futex},
    {"fcntl", false, 0, names_fcntl},
    {"whence", false, 0, names_whence},
    {"sighow", false, 0, names_sighow},
    {"wait", true, 0, names_wait},
    {"idtype", false, 0, names_idtype},
    {"prctl", false, 0, names_prctl},
    {"arch_prctl", false, 0, names_arch_prctl},
    {"clock", false, 0, names_clock},
    {"rlimit", false, 0, names_rlimit},
    {"family", false, 0, names_family},
    {"socktype", true, 0xf, names_socktype},
    {"msg", true, 0, names_msg},
    {"sol", false, 0, names_sol},
    {"epoll_op", false, 0, names_epoll_op},
    {"mount", true, 0, names_mount},
    {"grnd", true, 0, names_grnd},
    {"mremap", true, 0, names_mremap},
    {"signal", false, 0, names_signal},
    {"errno", false, 0, names_errno},
};

const struct strace_table *strace_find_table(const char *id)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        if (!strcmp(tables[i].id, id))
            return &tables[i];
    return NULL;
}

static const char *value_name(const struct strace_name *n, u64 value)
{
    for (; *n->name; n++)
        if (n->value == value)
            return n->name;
    return NULL;
}

const char *strace_errno_name(int err)
{
    return value_name(names_errno, (u64)err);
}

const char *strace_signal_name(int signo)
{
    return value_name(names_signal, (u64)signo);
}
