/*
 * Start-up: the arena, the zygote, the reaper.
 *
 * The zygote is a fork of this process that shares its fd table (an exec would
 * end the sharing, so there is none): it maps the stub's image at its fixed
 * address, drops everything else but the vDSO, installs the helper's filter and
 * serves orders. Every other stub is forked from it or from its descendants, always as a
 * child of ours (CLONE_PARENT). Its exit signal is 0: only waits with __WALL or __WCLONE
 * see stubs, so the Sentry's other children are no concern here, and there is no SIGCHLD.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/errno.h"
#include "abi/mm.h"
#include "abi/nr.h"
#include "base/log.h"
#include "platform/internal.h"
#include "platform/title.h"
#include "stub/blob.h"

struct platform_config platform_cfg;
struct stub_header platform_stub;
struct aspace_vdso platform_vdso;

static struct aspace *zygote;
static u32 shapes_unit;
static u32 xstate_size;
static u64 xcr0;

struct aspace *platform_zygote(void)
{
    return zygote;
}

struct stub_shape *platform_shapes(void)
{
    return shapes_unit ? arena_ptr(shapes_unit) : NULL;
}

u32 platform_xstate_size(void)
{
    return xstate_size;
}

u64 platform_xcr0(void)
{
    return xcr0;
}

bool platform_has_fsgsbase(void)
{
    return (getauxval(AT_HWCAP2) & 2) != 0;
}

/* Features that need a permission from the host (AMX) are off: the guest cannot ask for it. */
#define XFEATURE_DYNAMIC (3ULL << 17)

static int probe_cpu(void)
{
    u32 a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1U << 27)))
        return -LX_ENOSYS;
    u32 lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    xcr0 = (((u64)hi << 32) | lo) & ~XFEATURE_DYNAMIC;
    xstate_size = 576;
    for (u32 i = 2; i < 63; i++) {
        if (!(xcr0 & (1ULL << i)) || !__get_cpuid_count(13, i, &a, &b, &c, &d))
            continue;
        if (b + a > xstate_size)
            xstate_size = b + a;
    }
    return xstate_size <= SLOT_WINDOW_SIZE ? 0 : -LX_ENOSYS;
}

/* The host's mappings of the vDSO and its data, in this process. */
#define MAX_VDSO_PARTS 6
static struct {
    u64 start, size;
} vdso_parts[MAX_VDSO_PARTS];
static u32 nvdso_parts;
static u64 vdso_shift; /* from here to where stubs have them */

static u32 vsyscall_prot;

u32 platform_vsyscall_prot(void)
{
    return vsyscall_prot;
}

static void look_for_vsyscall(const char *line, u64 start)
{
    const char *perms = strchr(line, ' ');
    if (start == VSYSCALL_START && perms && strlen(perms) > 4)
        vsyscall_prot = (perms[1] == 'r' ? LX_PROT_READ : 0) | (perms[3] == 'x' ? LX_PROT_EXEC : 0);
}

/* Finds the vDSO and, contiguous with it, its data pages. */
int platform_probe(void)
{
    if (platform_vdso.vdso_size)
        return 0;
    FILE *f = fopen("/proc/self/maps", "re");
    if (!f)
        return -errno;
    char line[256];
    u64 start, end;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%lx-%lx", &start, &end) != 2)
            continue;
        look_for_vsyscall(line, start);
        if ((!strstr(line, "[vvar") && !strstr(line, "[vdso]")) || nvdso_parts == MAX_VDSO_PARTS)
            continue;
        vdso_parts[nvdso_parts].start = start;
        vdso_parts[nvdso_parts++].size = end - start;
        if (strstr(line, "[vvar")) {
            if (!platform_vdso.vvar_size)
                platform_vdso.vvar = start;
            platform_vdso.vvar_size = end - platform_vdso.vvar;
        } else if (strstr(line, "[vdso]")) {
            platform_vdso.vdso = start;
            platform_vdso.vdso_size = end - start;
        }
    }
    fclose(f);
    return 0;
}

/*
 * Where the vDSO is here tells where the Sentry's libraries are; stubs have it
 * elsewhere. Below what the kernel gives out by itself, so that nothing of ours is hit.
 */
static void choose_vdso_place(void)
{
    u64 r = 0;
    if (!nvdso_parts || getrandom(&r, sizeof(r), 0) != sizeof(r))
        return;
    u64 to = 0x7d0000000000UL + (r & 0xfffffff000UL);
    vdso_shift = to - vdso_parts[0].start;
    platform_vdso.vvar += platform_vdso.vvar_size ? vdso_shift : 0;
    platform_vdso.vdso += vdso_shift;
}

static void move_vdso(void)
{
    for (u32 i = 0; i < nvdso_parts && vdso_shift; i++)
        if (syscall(SYS_mremap, vdso_parts[i].start, vdso_parts[i].size, vdso_parts[i].size,
                    MREMAP_MAYMOVE | MREMAP_FIXED, vdso_parts[i].start + vdso_shift) < 0)
            _exit(104);
}

/* What to unmap in the zygote: all but the stub's image and the vDSO. In ascending order. */
static void make_unmap_table(u64 *table)
{
    u64 at = 0;
    u64 keep[8][2] = {{STUB_TEXT, STUB_CONST + STUB_CONST_SIZE},
                      {STUB_TITLE, STUB_TITLE + STUB_TITLE_SIZE},
                      {STUB_SHAPES, STUB_SHAPES + STUB_SHAPES_SIZE},
                      {STUB_FILTER, STUB_FILTER + STUB_FILTER_SIZE},
                      {STUB_SITES, STUB_SITES + STUB_SITES_SIZE},
                      {STUB_THUNKS, STUB_THUNKS + STUB_THUNKS_SIZE}};
    u32 n = 6;
    if (platform_vdso.vvar_size) {
        keep[n][0] = platform_vdso.vvar;
        keep[n++][1] = platform_vdso.vvar + platform_vdso.vvar_size;
    }
    if (platform_vdso.vdso_size) {
        keep[n][0] = platform_vdso.vdso;
        keep[n++][1] = platform_vdso.vdso + platform_vdso.vdso_size;
    }
    for (u32 i = 0; i < n; i++) {
        if (keep[i][0] > at) {
            *table++ = at;
            *table++ = keep[i][0] - at;
        }
        at = keep[i][1];
    }
    *table++ = at;
    *table++ = PLATFORM_MAX - at;
    *table++ = 0;
    *table++ = 0;
}

#define UNMAP_TABLE_OFFSET 2048 /* in the first page, behind the constants */
#define SA_RESTORER_BIT    0x04000000UL

static void make_const(struct stub_const *c)
{
    static const int fatal[] = {SIGSYS, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, STUB_KICK_SIGNAL};
    _Static_assert(ARRAY_SIZE(fatal) < STUB_NR_SIGACT, "room for the end mark");
    for (u32 i = 0; i < ARRAY_SIZE(fatal); i++) {
        c->sigact[i].signo = (u64)fatal[i];
        c->sigact[i].act = (struct stub_ksigaction){
            .handler = platform_stub.handler,
            .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTORER_BIT,
            .restorer = platform_stub.restorer,
            .mask = 1ULL << (STUB_KICK_SIGNAL - 1),
        };
    }
    c->arena_fd = (u64)arena_fd();
    c->has_fsgsbase = platform_has_fsgsbase();
    make_unmap_table((u64 *)(void *)((u8 *)c + UNMAP_TABLE_OFFSET));
}

/*
 * Tells the host where the command line of this process, and of all that are forked from it, is: in
 * a page of its own. The end of the arguments is behind their first byte and not before a NUL,
 * which the kernel takes for setproctitle(3): it shows the text up to its NUL, as far as the
 * environment's end. Where the kernel does not know the call, ps shows no command line.
 */
static void place_title(void)
{
    struct prctl_mm_map map = {
        .start_code = STUB_TEXT,
        .end_code = STUB_CONST,
        .start_data = STUB_CONST,
        .end_data = STUB_CONST + STUB_CONST_SIZE,
        .start_brk = STUB_SITES,
        .brk = STUB_SITES,
        .start_stack = STUB_SLOTS,
        .arg_start = STUB_TITLE,
        .arg_end = STUB_TITLE + 1,
        .env_start = STUB_TITLE + 1,
        .env_end = STUB_TITLE + ASPACE_TITLE_MAX + 1,
        .exe_fd = (u32)-1,
    };
    void *at = (void *)(uintptr_t)STUB_TITLE;
    if (mmap(at, STUB_TITLE_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != at)
        _exit(107);
    strcpy(at, "cvisor-stub");
    prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0);
}

/* In the child, with the Sentry's memory copied: never returns. */
static noreturn_fn void zygote_main(u64 entry, u64 unit_offset, u64 secret)
{
    const u64 image_size = STUB_TEXT_SIZE + STUB_CONST_SIZE;
    struct stub_ksigaction dfl = {0};
    for (int i = 1; i <= 64; i++)
        syscall(SYS_rt_sigaction, i, &dfl, NULL, 8);
    /* Kicks are blocked in every thread until its signal stack is ready. */
    u64 mask = 1ULL << (STUB_KICK_SIGNAL - 1);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8);
#ifdef RSEQ_SIG
    if (__rseq_size)
        syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32,
                RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
#endif
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    prctl(PR_SET_NAME, "cvisor-stub", 0, 0, 0);
    /* A limit of 1 keeps core dumps from the host's files and from its core pipe alike. */
    struct rlimit core = {1, 1};
    if (setrlimit(RLIMIT_CORE, &core) < 0) {
        core.rlim_cur = core.rlim_max = 0;
        setrlimit(RLIMIT_CORE, &core);
    }
    void *at = (void *)(uintptr_t)STUB_TEXT;
    if (mmap(at, image_size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != at)
        _exit(101);
    memcpy(at, stub_image, stub_image_size);
    make_const((struct stub_const *)(void *)((u8 *)at + STUB_TEXT_SIZE));
    if (mprotect(at, image_size, PROT_READ | PROT_EXEC) < 0)
        _exit(102);
    /* The site table and the thunks: empty here, private to each stub. */
    mmap((void *)(uintptr_t)STUB_SITES, STUB_SITES_SIZE, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (mmap((void *)(uintptr_t)STUB_SHAPES, STUB_SHAPES_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED,
             arena_fd(), (off_t)arena_offset(shapes_unit)) == MAP_FAILED)
        _exit(103);
    mmap((void *)(uintptr_t)STUB_THUNKS, STUB_THUNKS_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    move_vdso();
    place_title();
    struct sock_fprog *prog = (struct sock_fprog *)(uintptr_t)STUB_FILTER;
    if (mmap(prog, STUB_FILTER_SIZE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != prog)
        _exit(105);
    prog->filter = (struct sock_filter *)(prog + 1);
    int n = filters_build(secret, prog->filter,
                          (STUB_FILTER_SIZE - sizeof(*prog)) / sizeof(*prog->filter));
    if (n < 0)
        _exit(106);
    prog->len = (unsigned short)n;
    __asm__ volatile("jmp *%0"
                     :
                     : "r"(entry), "D"((u64)STUB_CONST + UNMAP_TABLE_OFFSET), "d"(unit_offset),
                       "b"(secret)
                     : "memory");
    __builtin_unreachable();
}

static int start_zygote(void)
{
    zygote = aspace_alloc();
    shapes_unit = arena_alloc();
    if (!zygote || !shapes_unit)
        return -LX_ENOMEM;
    u64 secret;
    if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
        return -LX_EIO;
    u64 offset = arena_offset(zygote->unit);
    long pid = syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0);
    if (pid == 0)
        zygote_main(platform_stub.zygote_entry, offset, secret);
    int r = pid < 0 ? -errno : 0;
    explicit_bzero(&secret, sizeof(secret));
    if (r < 0)
        return r;
    zygote->pid = (pid_t)pid;
    atomic_store(&zygote->is_settled, 1);
    return reaper_watch(zygote);
}

static int await_zygote(void)
{
    return (int)helper_call(zygote, LX_NR_sched_yield, 0, 0, 0, 0, 0, 0);
}

int platform_start(const struct platform_config *cfg)
{
    if (zygote)
        return -LX_EBUSY;
    platform_cfg = *cfg;
    if (platform_cfg.nr_cpus <= 0)
        platform_cfg.nr_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    memcpy(&platform_stub, stub_image, sizeof(platform_stub));
    if (platform_stub.magic != STUB_MAGIC || stub_image_size > STUB_TEXT_SIZE)
        panic("the embedded stub is damaged");
    int r = probe_cpu();
    if (r == 0)
        r = platform_probe();
    if (r == 0)
        r = arena_init();
    if (r == 0)
        wait_init();
    if (r == 0)
        r = reaper_start();
    if (r == 0) {
        choose_vdso_place();
        r = start_zygote();
    }
    if (r == 0)
        r = spare_start();
    if (r < 0)
        log_error("platform: cannot start the first stub: error %d", -r);
    return r;
}

/* This host does not let the vDSO move. */
static int start_unmoved(void)
{
    platform_vdso.vvar -= platform_vdso.vvar_size ? vdso_shift : 0;
    platform_vdso.vdso -= vdso_shift;
    vdso_shift = 0;
    spare_stop();
    aspace_put(zygote);
    int r = start_zygote();
    if (r == 0)
        r = await_zygote();
    return r == 0 ? spare_start() : r;
}

int platform_settle(void)
{
    int r = await_zygote();
    if (r < 0 && atomic_load(&zygote->is_dead) && vdso_shift)
        r = start_unmoved();
    if (r < 0)
        log_error("platform: the first stub does not start: error %d", -r);
    return r;
}

int platform_init(const struct platform_config *cfg)
{
    int r = platform_start(cfg);
    return r == 0 ? platform_settle() : r;
}

void platform_shutdown(void)
{
    if (!zygote)
        return;
    spare_stop();
    aspace_put(take_ptr(zygote));
    reaper_stop();
}
