/*
 * exec, the loader's part: from the file through `#!` lines to the binary, its
 * interpreter, and the new address space.
 *
 * Where things go. A position-dependent executable: where it is linked. A
 * position-independent one with an interpreter: at two thirds of the address
 * space plus a random offset; without one (static PIE): in the mmap area. The
 * interpreter: in the mmap area. The heap: behind the executable plus up to 32 MiB.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/loader_int.h"
#include "vfs/landlock.h"

#define MAX_REWRITES 5 /* levels of `#!`, as Linux */
#define DYN_BASE     (PLATFORM_MAX / 3 * 2 & PAGE_MASK)
#define DYN_RANDOM   (1UL << 28) /* pages */
#define BRK_RANDOM   (0x02000000UL >> PAGE_SHIFT)

int loader_open(int dirfd, const char *name, u32 walk_flags, struct file **ret_f)
{
    struct path path = {0};
    int r = vfs_walk(dirfd, name, walk_flags, &path);
    if (r < 0)
        return r;
    struct inode *i = path.dentry->inode;
    if (!i)
        r = -LX_ENOENT;
    else if ((i->mode & LX_S_IFMT) == LX_S_IFLNK)
        r = -LX_ELOOP; /* only with AT_SYMLINK_NOFOLLOW */
    else if ((i->mode & LX_S_IFMT) != LX_S_IFREG || path.mnt->flags & LX_MS_NOEXEC)
        r = -LX_EACCES;
    else
        r = inode_permission(i, LX_X_OK);
    u32 fmode;
    if (r == 0)
        r = landlock_open(&path, LX_O_RDONLY, true, &fmode);
    if (r == 0)
        r = file_open_path(&path, LX_O_RDONLY, ret_f);
    path_put(&path);
    return r;
}

/* ---- a file that nobody may write while it is looked at -------------------------------------- */

struct image_file {
    struct file *f; /* owned; NULL: none */
};

static int image_take(struct image_file *im, struct file *f)
{
    int r = inode_deny_write(f->inode);
    if (r < 0)
        return r;
    file_get(f);
    im->f = f;
    return 0;
}

static void image_done(struct image_file *im)
{
    if (!im->f)
        return;
    inode_allow_write(im->f->inode);
    file_put(im->f);
    im->f = NULL;
}

/* ---- the way to the binary ------------------------------------------------------------------- */

struct exec {
    const struct loader_args *args;
    struct image_file binary, interp;
    struct loader_strings argv; /* own copy, when a script changed it */
    char *name;                 /* owned: of the file at hand, as argv shows it; NULL: args->path */
    bool is_unreadable;
    struct elf elf, interp_elf;
};

static void exec_done(struct exec *x)
{
    elf_done(&x->elf);
    elf_done(&x->interp_elf);
    image_done(&x->binary);
    image_done(&x->interp);
    loader_strings_done(&x->argv);
    free(x->name);
}

/* interp [arg] script argv[1]… */
static int rewrite_argv(struct exec *x, const struct script *sc, const struct loader_strings *argv)
{
    u64 limit = loader_strings_limit(x->args->limits.stack);
    u64 env = loader_strings_cost(x->args->envp);
    const char *name = x->name ? x->name : x->args->path;
    struct loader_strings n = {0};
    limit = limit > env ? limit - env : 0;
    int r = loader_strings_add(&n, sc->interp, strlen(sc->interp), limit);
    if (r == 0 && sc->has_arg)
        r = loader_strings_add(&n, sc->arg, strlen(sc->arg), limit);
    if (r == 0)
        r = loader_strings_add(&n, name, strlen(name), limit);
    size_t off = 0;
    for (u32 i = 0; i < argv->count && r == 0; i++) {
        size_t size = strlen(argv->buf + off);
        if (i > 0)
            r = loader_strings_add(&n, argv->buf + off, size, limit);
        off += size + 1;
    }
    if (r < 0) {
        loader_strings_done(&n);
        return r;
    }
    loader_strings_done(&x->argv);
    x->argv = n;
    return 0;
}

static int read_head(struct file *f, char head[LOADER_HEAD_SIZE])
{
    memset(head, 0, LOADER_HEAD_SIZE);
    s64 n = file_pread(f, head, LOADER_HEAD_SIZE, 0);
    return n < 0 ? (int)n : 0;
}

/* Replaces the file at hand by its interpreter. */
static int enter_script(struct exec *x, const struct script *sc)
{
    if (x->args->flags & LOADER_PATH_INACCESSIBLE)
        return -LX_ENOENT;
    int r = rewrite_argv(x, sc, x->argv.buf ? &x->argv : x->args->argv);
    if (r < 0)
        return r;
    char *name = strdup(sc->interp);
    if (!name)
        return -LX_ENOMEM;
    free(x->name);
    x->name = name;
    struct file *f;
    r = loader_open(LX_AT_FDCWD, name, WALK_FOLLOW, &f);
    if (r < 0)
        return r;
    image_done(&x->binary);
    r = image_take(&x->binary, f);
    file_put(f);
    return r;
}

static int find_binary(struct exec *x)
{
    int r = image_take(&x->binary, x->args->exe);
    for (int level = 0; r == 0; level++) {
        char head[LOADER_HEAD_SIZE];
        struct script sc;
        if (level > MAX_REWRITES)
            return -LX_ELOOP;
        r = read_head(x->binary.f, head);
        if (r < 0)
            return r;
        x->is_unreadable |= inode_permission(x->binary.f->inode, LX_R_OK) < 0;
        if (head[0] != '#' || head[1] != '!')
            return elf_parse(x->binary.f, &x->elf);
        r = script_parse(head, &sc);
        if (r == 0)
            r = enter_script(x, &sc);
    }
    return r;
}

static int find_interp(struct exec *x)
{
    if (!x->elf.interp)
        return 0;
    struct file *f;
    if (!x->elf.interp[0]) /* Linux opens the working directory then, which is no regular file */
        return -LX_EACCES;
    int r = loader_open(LX_AT_FDCWD, x->elf.interp, WALK_FOLLOW, &f);
    if (r < 0)
        return r;
    x->is_unreadable |= inode_permission(f->inode, LX_R_OK) < 0;
    r = image_take(&x->interp, f);
    file_put(f);
    if (r == 0)
        r = elf_parse(x->interp.f, &x->interp_elf);
    return r == -LX_ENOEXEC ? -LX_ELIBBAD : r;
}

/* ---- the new space --------------------------------------------------------------------------- */

/* The bias for an image that may go anywhere in the mmap area. Biases are modulo 2^64. */
static int place_anywhere(struct mm *mm, const struct elf *e, u64 *ret_bias)
{
    u64 low = e->type == LX_ET_EXEC ? e->low : e->low & ~(e->align - 1);
    s64 at = e->type == LX_ET_EXEC ? (s64)low : mm_find_free(mm, e->high - low, e->align);
    if (at < 0)
        return (int)at;
    *ret_bias = (u64)at - low;
    return 0;
}

static u64 place_pie(const struct mm *mm, const struct elf *e)
{
    u64 at = DYN_BASE + (loader_random(mm, DYN_RANDOM) << PAGE_SHIFT);
    return (at & ~(e->align - 1)) - (e->low & ~(e->align - 1));
}

static void set_code_fields(struct mm *mm, const struct elf *e, u64 bias)
{
    u64 end = 0;
    mm->start_code = UINT64_MAX;
    for (u32 i = 0; i < e->nsegs; i++) {
        const struct lx_elf64_phdr *p = &e->segs[i];
        u64 start = p->vaddr + bias, file_end = start + p->filesz;
        if (p->flags & LX_PF_X) {
            mm->start_code = MIN(mm->start_code, start);
            mm->end_code = MAX(mm->end_code, file_end);
        }
        mm->start_data = MAX(mm->start_data, start);
        mm->end_data = MAX(mm->end_data, file_end);
        end = MAX(end, start + p->memsz);
    }
    if (mm->start_code == UINT64_MAX)
        mm->start_code = 0;
    mm->end_data = MAX(mm->end_data, mm->start_data);
    mm->brk_start = mm->brk_end = page_up(end);
}

/* Behind the executable, plus a random distance; a static PIE's goes where it has room to grow. */
static void place_brk(struct mm *mm, const struct elf *e)
{
    u64 at = mm->brk_start;
    if (e->type == LX_ET_DYN && !e->interp)
        at = DYN_BASE;
    if (!mm->is_aslr_off)
        at += loader_random(mm, BRK_RANDOM) << PAGE_SHIFT;
    mm->brk_start = mm->brk_end = at;
}

static int map_images(struct exec *x, struct mm *mm, struct stack_args *s, u64 *ret_bias,
                      u64 *ret_start)
{
    const struct elf *e = &x->elf, *in = &x->interp_elf;
    u64 bias = 0;
    int r = 0;
    if (e->type == LX_ET_DYN && e->interp)
        bias = place_pie(mm, e);
    else
        r = place_anywhere(mm, e, &bias);
    if (r == 0)
        r = elf_map(e, mm, bias);
    if (r < 0)
        return r;
    *ret_bias = bias;
    s->entry = *ret_start = e->entry + bias;
    s->phdr = e->phdr_vaddr ? e->phdr_vaddr + bias : 0;
    s->phnum = e->phnum;
    set_code_fields(mm, e, bias);
    place_brk(mm, e);
    if (e->interp) {
        r = place_anywhere(mm, in, &s->base);
        if (r == 0)
            r = elf_map(in, mm, s->base);
        if (r < 0)
            return r == -LX_ENOEXEC ? -LX_ELIBBAD : r;
        *ret_start = in->entry + s->base;
    }
    return *ret_start < PLATFORM_MAX ? 0 : -LX_ENOEXEC;
}

/* All mappings are made in one go, before the first bytes are written into the space. */
static int fill_space(struct exec *x, struct mm *mm, struct stack_args *s,
                      struct loader_result *res)
{
    u64 bias = 0;
    int r = aspace_batch_begin(mm->as);
    if (r < 0)
        return r;
    r = map_images(x, mm, s, &bias, &res->entry);
    if (r == 0)
        r = stack_build(mm, s, &res->sp);
    if (r == 0)
        r = elf_zero(&x->elf, mm, bias);
    if (r == 0 && x->elf.interp)
        r = elf_zero(&x->interp_elf, mm, s->base);
    int err = aspace_batch_end(mm->as);
    return err < 0 ? err : r;
}

static int build(struct exec *x, struct loader_result *res)
{
    const struct loader_args *args = x->args;
    struct loader_strings dummy = {0};
    struct stack_args s = {.args = args, .is_exec = x->elf.is_stack_exec};
    s.argv = x->argv.buf ? &x->argv : args->argv;
    int r = 0;
    if (s.argv->count == 0) { /* since Linux 5.18 a program always has an argv[0] */
        r = loader_strings_add(&dummy, "", 0, LOADER_MIN_TOTAL);
        s.argv = &dummy;
    }
    if (r == 0 && args->get_ids)
        args->get_ids(args->get_ids_arg, x->binary.f, &s.ids);
    struct mm *mm = NULL;
    if (r == 0)
        r = mm_new(args->flags & LOADER_NO_ASLR, &mm);
    if (r == 0) {
        mm_set_layout(mm, &args->limits);
        r = mm_set_exe(mm, &x->binary.f->map);
    }
    if (r == 0)
        r = fill_space(x, mm, &s, res);
    loader_strings_done(&dummy);
    if (r < 0) {
        mm_put(mm);
        return r;
    }
    res->mm = mm;
    return 0;
}

static void set_comm(const struct loader_args *args, char comm[16])
{
    const char *path = args->comm_path ? args->comm_path : args->path;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    memset(comm, 0, 16);
    memcpy(comm, name, strnlen(name, 15));
}

int loader_exec(const struct loader_args *args, struct loader_result *ret)
{
    struct exec x = {.args = args};
    struct loader_result res = {0};
    int r = find_binary(&x);
    if (r == 0)
        r = find_interp(&x);
    if (r == 0)
        r = build(&x, &res);
    if (r == 0) {
        set_comm(args, res.comm);
        res.is_unreadable = x.is_unreadable;
        file_get(x.binary.f);
        res.binary = x.binary.f;
        *ret = res;
    }
    exec_done(&x);
    return r;
}
