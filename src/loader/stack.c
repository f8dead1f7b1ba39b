/*
 * The first stack of a program, from the top down (the layout of Linux, which
 * programs and debuggers know):
 *
 *     8 zero bytes
 *     execfn string
 *     environment strings          mm.env_start … env_end
 *     argument strings             mm.arg_start … arg_end
 *     "x86_64", 16 random bytes
 *     padding to 16
 *     auxv, envp[], argv[], argc   ← sp
 *
 * It is put together in one buffer and copied out at once.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "abi/auxv.h"
#include "loader/loader_int.h"

#define STACK_RANDOM_PAGES 0x3fffffUL
#define STACK_EXPAND       (128UL << 10) /* mapped beyond what is used, as on Linux */
#define STACK_GAP          (1UL << 20)
#define STACK_MAX_RESERVE  (1UL << 30)
#define PLATFORM_STRING    "x86_64"
#define HWCAP2_FSGSBASE    2U /* guests leave %gs to the stub */
#define MAX_AUXV           24

u64 loader_random(const struct mm *mm, u64 bound)
{
    u64 r = 0;
    if (mm->is_aslr_off || getrandom(&r, sizeof(r), GRND_NONBLOCK) != (ssize_t)sizeof(r))
        return 0;
    return r % bound;
}

/* Maps `size` bytes of stack with room below to grow to its limit. The top, or an error. */
static s64 map_stack(struct mm *mm, u64 size, bool is_exec)
{
    u64 want = size + STACK_EXPAND;
    if (want > mm->limits.stack)
        want = MAX(page_up(size), page_down(mm->limits.stack));
    want = page_up(want);
    u64 reserve = MAX(want, page_up(MIN(mm->limits.stack, STACK_MAX_RESERVE)));
    u64 top = PLATFORM_MAX - (loader_random(mm, STACK_RANDOM_PAGES + 1) << PAGE_SHIFT);
    /* The vDSO is somewhere up there, where the host put it: go below it when it is in the way. */
    for (int i = 0; i < 8; i++) {
        mutex_lock(&mm->lock);
        const struct vma *v = mm_find(mm, top - reserve - STACK_GAP);
        u64 blocker = v && v->start < top ? v->start : 0;
        mutex_unlock(&mm->lock);
        if (!blocker)
            break;
        top = page_down(blocker - STACK_GAP);
    }
    struct mm_map_req req = {
        .addr = top - want,
        .size = want,
        .prot = LX_PROT_READ | LX_PROT_WRITE | (is_exec ? LX_PROT_EXEC : 0),
        .flags = LX_MAP_PRIVATE | LX_MAP_ANONYMOUS | LX_MAP_GROWSDOWN | LX_MAP_FIXED_NOREPLACE,
        .vma_flags = VMA_STACK,
    };
    s64 at = mm_map(mm, NULL, &req);
    return at < 0 ? (at == -LX_EEXIST ? -LX_ENOMEM : at) : (s64)top;
}

struct image {
    char *buf; /* ends at guest address top */
    u64 top;
    u64 size;
};

static void *host_of(const struct image *im, u64 addr)
{
    return im->buf + (im->size - (im->top - addr));
}

/* Copies a packed list below `at` and returns its place. */
static u64 put_bytes(const struct image *im, u64 at, const void *src, size_t size)
{
    at -= size;
    if (size)
        memcpy(host_of(im, at), src, size);
    return at;
}

/* Pointers to the strings of a list that was put at `at`, and a NULL. */
static u64 *put_pointers(u64 *to, const struct loader_strings *s, u64 at)
{
    size_t off = 0;
    for (u32 i = 0; i < s->count; i++) {
        *to++ = at + off;
        off += strlen(s->buf + off) + 1;
    }
    *to++ = 0;
    return to;
}

struct auxv {
    u64 v[2 * MAX_AUXV];
    u32 n;
};

static void aux(struct auxv *a, u64 type, u64 value)
{
    a->v[a->n++] = type;
    a->v[a->n++] = value;
}

static void fill_auxv(struct auxv *a, struct mm *mm, const struct stack_args *s, u64 execfn,
                      u64 platform, u64 random)
{
    struct aspace_vdso vdso = {0};
    aspace_vdso(mm->as, &vdso);
    if (vdso.vdso_size)
        aux(a, LX_AT_SYSINFO_EHDR, vdso.vdso);
    if (getauxval(LX_AT_MINSIGSTKSZ))
        aux(a, LX_AT_MINSIGSTKSZ, getauxval(LX_AT_MINSIGSTKSZ));
    aux(a, LX_AT_HWCAP, getauxval(AT_HWCAP));
    aux(a, LX_AT_PAGESZ, PAGE_SIZE);
    aux(a, LX_AT_CLKTCK, 100);
    aux(a, LX_AT_PHDR, s->phdr);
    aux(a, LX_AT_PHENT, sizeof(struct lx_elf64_phdr));
    aux(a, LX_AT_PHNUM, s->phnum);
    aux(a, LX_AT_BASE, s->base);
    aux(a, LX_AT_FLAGS, 0);
    aux(a, LX_AT_ENTRY, s->entry);
    aux(a, LX_AT_UID, s->ids.uid);
    aux(a, LX_AT_EUID, s->ids.euid);
    aux(a, LX_AT_GID, s->ids.gid);
    aux(a, LX_AT_EGID, s->ids.egid);
    aux(a, LX_AT_SECURE, s->ids.is_secure);
    aux(a, LX_AT_RANDOM, random);
    aux(a, LX_AT_HWCAP2, getauxval(AT_HWCAP2) & ~(u64)HWCAP2_FSGSBASE);
    aux(a, LX_AT_EXECFN, execfn);
    aux(a, LX_AT_PLATFORM, platform);
    aux(a, LX_AT_NULL, 0);
    _Static_assert(sizeof(a->v) <= sizeof(mm->saved_auxv), "saved_auxv");
    memcpy(mm->saved_auxv, a->v, a->n * sizeof(u64));
}

static u64 fill_image(const struct image *im, struct mm *mm, const struct stack_args *s)
{
    const struct loader_strings *argv = s->argv, *envp = s->args->envp;
    u64 at = im->top - 8;
    u64 execfn = at = put_bytes(im, at, s->args->path, strlen(s->args->path) + 1);
    mm->env_end = at;
    u64 env = at = put_bytes(im, at, envp->buf, envp->size);
    u64 arg = at = put_bytes(im, at, argv->buf, argv->size);
    mm->env_start = mm->arg_end = env;
    mm->arg_start = arg;
    /* Linux staggers the rest by up to 8 KiB. */
    at = (at - loader_random(mm, 8192)) & ~15UL;
    u64 platform = at = put_bytes(im, at, PLATFORM_STRING, sizeof(PLATFORM_STRING));
    u64 random = at = put_bytes(im, at, s->args->random, sizeof(s->args->random));
    struct auxv a = {.n = 0};
    fill_auxv(&a, mm, s, execfn, platform, random);
    u64 words = 1 + argv->count + 1 + envp->count + 1 + a.n;
    u64 sp = (at - words * sizeof(u64)) & ~15UL;
    u64 *to = host_of(im, sp);
    *to++ = argv->count;
    to = put_pointers(to, argv, arg);
    to = put_pointers(to, envp, env);
    memcpy(to, a.v, a.n * sizeof(u64));
    return sp;
}

int stack_build(struct mm *mm, const struct stack_args *s, u64 *ret_sp)
{
    const struct loader_strings *argv = s->argv, *envp = s->args->envp;
    u64 size = 8 + strlen(s->args->path) + 1 + argv->size + envp->size + 8192 + 16 +
               sizeof(PLATFORM_STRING) + sizeof(s->args->random) +
               ((u64)argv->count + envp->count + 3) * sizeof(u64) + sizeof(struct auxv) + 64;
    size = page_up(size);
    s64 top = map_stack(mm, size, s->is_exec);
    if (top < 0)
        return (int)top;
    struct image im = {.buf = calloc(1, size), .top = (u64)top, .size = size};
    if (!im.buf)
        return -LX_ENOMEM;
    u64 sp = fill_image(&im, mm, s);
    size_t n = im.top - sp;
    int r = mm_write(mm, sp, host_of(&im, sp), n) == n ? 0 : -LX_ENOMEM;
    free(im.buf);
    mm->start_stack = sp;
    *ret_sp = sp;
    return r;
}
