/* loader: real and made-up binaries into a model space; scripts; strings; mutated headers. */
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "abi/fs.h"
#include "fake_platform.h"
#include "loader/loader.h"
#include "loader/loader_int.h"
#include "test.h"

/* ---- a model vfs: named files in memory ------------------------------------------------------ */

struct fake_file {
    char name[64];
    u8 *data;
    size_t size;
    int fd; /* what maps: a memfd with the same bytes */
    struct inode inode;
    struct dentry dentry;
    int nopen;
};

static struct fake_file files[16];
static u32 nfiles;
static struct mount fake_mount;

static struct fake_file *fake_of(struct file *f)
{
    return f->priv;
}

static int fake_host_fd(struct mappable *m, u64 offset, u64 size, bool is_writable_shared,
                        int *ret_fd, u64 *ret_offset)
{
    *ret_fd = fake_of(file_of_mappable(m))->fd;
    *ret_offset = offset;
    return 0;
}
static void fake_map_get(struct mappable *m)
{
    file_get(file_of_mappable(m));
}
static void fake_map_put(struct mappable *m)
{
    file_put(file_of_mappable(m));
}
static int fake_deny(struct mappable *m)
{
    return inode_deny_write(file_of_mappable(m)->inode);
}
static void fake_allow(struct mappable *m)
{
    inode_allow_write(file_of_mappable(m)->inode);
}
static const struct mappable_ops fake_map_ops = {
    .host_fd = fake_host_fd,
    .get = fake_map_get,
    .put = fake_map_put,
    .deny_write = fake_deny,
    .allow_write = fake_allow,
};
static const struct file_ops fake_fops = {0};

static struct fake_file *add_file(const char *name, const void *data, size_t size)
{
    struct fake_file *f = NULL;
    for (u32 i = 0; i < nfiles; i++)
        if (!strcmp(files[i].name, name))
            f = &files[i];
    if (!f) {
        f = &files[nfiles++];
        snprintf(f->name, sizeof(f->name), "%s", name);
        f->fd = memfd_create("fake", MFD_CLOEXEC);
    }
    free(f->data);
    f->data = malloc(size + 1);
    memcpy(f->data, data, size);
    f->size = size;
    if (ftruncate(f->fd, 0) < 0 || pwrite(f->fd, data, size, 0) != (ssize_t)size)
        abort();
    f->inode.mode = LX_S_IFREG | 0755;
    f->dentry.inode = &f->inode;
    return f;
}

static struct fake_file *add_host_file(const char *name, const char *host)
{
    int fd = open(host, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        abort();
    u8 *data = malloc((size_t)st.st_size);
    if (read(fd, data, (size_t)st.st_size) != st.st_size)
        abort();
    close(fd);
    struct fake_file *f = add_file(name, data, (size_t)st.st_size);
    free(data);
    return f;
}

int landlock_open(const struct path *p, u32 flags, bool is_exec, u32 *ret_fmode);
int landlock_open(const struct path *p, u32 flags, bool is_exec, u32 *ret_fmode)
{
    *ret_fmode = 0;
    return 0;
}

int vfs_walk(int dirfd, const char *name, u32 walk_flags, struct path *ret_path)
{
    for (u32 i = 0; i < nfiles; i++)
        if (!strcmp(files[i].name, name)) {
            *ret_path = (struct path){&fake_mount, &files[i].dentry};
            return 0;
        }
    return -LX_ENOENT;
}
void path_put(struct path *p)
{
}
int inode_permission(struct inode *i, u32 mask)
{
    u32 have = i->mode & 7;
    return (mask & ~have) ? -LX_EACCES : 0;
}
int file_open_path(const struct path *p, u32 flags, struct file **ret_f)
{
    struct file *f = calloc(1, sizeof(*f));
    ref_init(&f->ref);
    f->ops = &fake_fops;
    f->inode = p->dentry->inode;
    f->priv = container_of(p->dentry, struct fake_file, dentry);
    f->map.ops = &fake_map_ops;
    fake_of(f)->nopen++;
    *ret_f = f;
    return 0;
}
void file_get(struct file *f)
{
    ref_get(&f->ref);
}
void file_put(struct file *f)
{
    if (!ref_put(&f->ref))
        return;
    fake_of(f)->nopen--;
    free(f);
}
s64 file_pread(struct file *f, void *buf, size_t size, s64 off)
{
    struct fake_file *ff = fake_of(f);
    if (off < 0)
        return -LX_EINVAL;
    if ((u64)off >= ff->size)
        return 0;
    size = MIN(size, ff->size - (u64)off);
    memcpy(buf, ff->data + off, size);
    return (s64)size;
}
int inode_deny_write(struct inode *i)
{
    if (i->write_count > 0)
        return -LX_ETXTBSY;
    i->write_count--;
    return 0;
}
void inode_allow_write(struct inode *i)
{
    i->write_count++;
}

/* ---- helpers ------------------------------------------------------------------------------- */

static char arg0[] = "prog", arg1[] = "-x", env0[] = "A=1", env1[] = "B=22";
static char *const plain_argv[] = {arg0, arg1, NULL};
static char *const plain_envp[] = {env0, env1, NULL};

static void get_ids(void *arg, struct file *binary, struct loader_ids *ret)
{
    *ret = (struct loader_ids){1, 2, 3, 4, true};
    *(struct file **)arg = binary;
}

static int run(const char *path, char *const *argv, u32 flags, struct loader_result *res)
{
    struct file *f, *seen = NULL;
    struct loader_strings av = {0}, ev = {0};
    int r = loader_open(LX_AT_FDCWD, path, WALK_FOLLOW, &f);
    if (r < 0)
        return r;
    CHECK_EQ(loader_strings_add_all(&av, argv, 1 << 20), 0);
    CHECK_EQ(loader_strings_add_all(&ev, plain_envp, 1 << 20), 0);
    struct loader_args args = {.exe = f,
                               .path = path,
                               .argv = &av,
                               .envp = &ev,
                               .flags = flags,
                               .get_ids = get_ids,
                               .get_ids_arg = &seen,
                               .limits = {UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX}};
    memset(args.random, 0x5a, sizeof(args.random));
    r = loader_exec(&args, res);
    loader_strings_done(&av);
    loader_strings_done(&ev);
    file_put(f);
    if (r == 0)
        CHECK(seen == res->binary);
    return r;
}

static void release(struct loader_result *res)
{
    mm_put(res->mm);
    file_put(res->binary);
    for (u32 i = 0; i < nfiles; i++) {
        CHECK_EQ(files[i].nopen, 0);
        CHECK_EQ(files[i].inode.write_count, 0);
    }
}

static u64 word(struct mm *mm, u64 addr)
{
    u64 v;
    CHECK_EQ(mm_read(mm, addr, &v, 8), 8);
    return v;
}

static const char *str(struct mm *mm, u64 addr)
{
    static char buf[4][256];
    static int i;
    char *b = buf[i++ % 4];
    for (int n = 0; n < 255; n++) {
        CHECK_EQ(mm_read(mm, addr + n, b + n, 1), 1);
        if (!b[n])
            return b;
    }
    return "";
}

static u64 aux_of(struct mm *mm, u64 type)
{
    for (int i = 0; mm->saved_auxv[i]; i += 2)
        if (mm->saved_auxv[i] == type)
            return mm->saved_auxv[i + 1];
    return 0;
}

/* A small static image: one page of text at `vaddr`, data with bss behind it. */
static size_t make_elf(u8 *buf, u16 type, u64 vaddr)
{
    memset(buf, 0, 0x3000);
    Elf64_Ehdr *h = (void *)buf;
    memcpy(h->e_ident, "\177ELF\2\1\1", 7);
    h->e_type = type;
    h->e_machine = EM_X86_64;
    h->e_version = 1;
    h->e_entry = vaddr + 0x800;
    h->e_phoff = 64;
    h->e_ehsize = 64;
    h->e_phentsize = 56;
    h->e_phnum = 2;
    Elf64_Phdr *p = (void *)(buf + 64);
    p[0] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, vaddr, vaddr, 0x1000, 0x1000, 0x1000};
    p[1] = (Elf64_Phdr){PT_LOAD,        PF_R | PF_W, 0x1010, vaddr + 0x2010,
                        vaddr + 0x2010, 0x20,        0x3000, 0x1000};
    memset(buf + 0x1000, 0xee, 0x2000);
    memcpy(buf + 0x1010, "data", 5);
    return 0x3000;
}

/* ---- tests --------------------------------------------------------------------------------- */

TEST(static_image)
{
    static u8 buf[0x3000];
    struct loader_result res;
    add_file("/static", buf, make_elf(buf, ET_EXEC, 0x400000));
    CHECK_EQ(run("/static", plain_argv, 0, &res), 0);
    struct mm *mm = res.mm;
    CHECK_EQ(res.entry, 0x400800);
    CHECK_STR(res.comm, "static");
    CHECK_EQ(word(mm, 0x400000) & 0xffffffff, 0x464c457f);
    CHECK_STR(str(mm, 0x402010), "data");
    /* Behind the file's bytes: zero, in the shared page and beyond, to the end of the last page. */
    CHECK_EQ(word(mm, 0x402030), 0);
    CHECK_EQ(word(mm, 0x402ff8), 0);
    CHECK_EQ(word(mm, 0x404ff8), 0);
    CHECK_EQ(mm->start_code, 0x400000);
    CHECK_EQ(mm->end_code, 0x401000);
    CHECK_EQ(mm->start_data, 0x402010);
    CHECK_EQ(mm->end_data, 0x402030);
    CHECK(mm->brk_start >= 0x406000 && mm->brk_start < 0x406000 + 0x02000000);
    CHECK_EQ(res.sp & 15, 0);
    CHECK_EQ(word(mm, res.sp), 2);
    CHECK_STR(str(mm, word(mm, res.sp + 8)), "prog");
    CHECK_STR(str(mm, word(mm, res.sp + 16)), "-x");
    CHECK_EQ(word(mm, res.sp + 24), 0);
    CHECK_STR(str(mm, word(mm, res.sp + 32)), "A=1");
    CHECK_STR(str(mm, word(mm, res.sp + 40)), "B=22");
    CHECK_EQ(word(mm, res.sp + 48), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(word(mm, res.sp + 56 + 8 * i), mm->saved_auxv[i]);
    CHECK_STR(str(mm, aux_of(mm, AT_EXECFN)), "/static");
    CHECK_STR(str(mm, aux_of(mm, AT_PLATFORM)), "x86_64");
    CHECK_EQ(word(mm, aux_of(mm, AT_RANDOM)), 0x5a5a5a5a5a5a5a5a);
    CHECK_EQ(aux_of(mm, AT_PHDR), 0x400040);
    CHECK_EQ(aux_of(mm, AT_EGID), 4);
    CHECK_EQ(aux_of(mm, AT_SECURE), 1);
    CHECK_EQ(aux_of(mm, AT_SYSINFO_EHDR), 0x7ffd00004000);
    CHECK_EQ(mm->arg_end - mm->arg_start, 8);
    CHECK_EQ(mm->env_end - mm->env_start, 9);
    CHECK(mm->exe == &res.binary->map);
    CHECK_EQ(res.binary->inode->write_count, -1);
    release(&res);
}

TEST(pie_and_interpreter)
{
    struct loader_result res, res2;
    add_host_file("/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2");
    add_host_file("/true", "/bin/true");
    CHECK_EQ(run("/true", plain_argv, 0, &res), 0);
    CHECK_EQ(run("/true", plain_argv, 0, &res2), 0);
    CHECK(aux_of(res.mm, AT_BASE) != aux_of(res2.mm, AT_BASE));
    CHECK(aux_of(res.mm, AT_PHDR) != aux_of(res2.mm, AT_PHDR));
    CHECK(res.sp != res2.sp && res.mm->brk_start != res2.mm->brk_start);
    CHECK(res.entry > aux_of(res.mm, AT_BASE) && res.entry < aux_of(res.mm, AT_BASE) + (1 << 20));
    CHECK_EQ(word(res.mm, aux_of(res.mm, AT_BASE)) & 0xffffffff, 0x464c457f);
    CHECK_EQ(word(res.mm, aux_of(res.mm, AT_PHDR) - 64) & 0xffffffff, 0x464c457f);
    mm_put(res2.mm);
    file_put(res2.binary);
    release(&res);
    CHECK_EQ(run("/true", plain_argv, LOADER_NO_ASLR, &res), 0);
    CHECK_EQ(aux_of(res.mm, AT_PHDR), 0x555555554040);
    release(&res);
    files[nfiles - 1].inode.mode = LX_S_IFREG | 0711;
    CHECK_EQ(run("/true", plain_argv, 0, &res), 0);
    CHECK(res.is_unreadable);
    release(&res);
}

TEST(static_pie)
{
    static u8 buf[0x3000];
    struct loader_result res;
    add_file("/spie", buf, make_elf(buf, ET_DYN, 0));
    CHECK_EQ(run("/spie", plain_argv, 0, &res), 0);
    CHECK(res.entry > PLATFORM_MIN && res.entry < res.mm->mmap_base);
    CHECK_EQ(word(res.mm, res.entry - 0x800) & 0xffffffff, 0x464c457f);
    release(&res);
    /* Linked at a high address it may still go anywhere: the bias wraps. */
    add_file("/spie", buf, make_elf(buf, ET_DYN, 0x7f0000000000));
    CHECK_EQ(run("/spie", plain_argv, 0, &res), 0);
    CHECK_EQ(word(res.mm, res.entry - 0x800) & 0xffffffff, 0x464c457f);
    release(&res);
}

TEST(scripts)
{
    static u8 buf[0x3000];
    struct loader_result res;
    char name[32], line[600];
    add_file("/bin/int", buf, make_elf(buf, ET_EXEC, 0x400000));
    add_file("/s", "#! /bin/int  one two \nrest", 26);
    CHECK_EQ(run("/s", plain_argv, 0, &res), 0);
    CHECK_STR(res.comm, "s");
    CHECK_EQ(word(res.mm, res.sp), 4);
    CHECK_STR(str(res.mm, word(res.mm, res.sp + 8)), "/bin/int");
    CHECK_STR(str(res.mm, word(res.mm, res.sp + 16)), "one two");
    CHECK_STR(str(res.mm, word(res.mm, res.sp + 24)), "/s");
    CHECK_STR(str(res.mm, word(res.mm, res.sp + 32)), "-x");
    CHECK_STR(str(res.mm, aux_of(res.mm, AT_EXECFN)), "/s");
    release(&res);
    CHECK_EQ(run("/s", plain_argv, LOADER_PATH_INACCESSIBLE, &res), -LX_ENOENT);
    snprintf(line, sizeof(line), "#!/s\n");
    for (int i = 1; i < 6; i++) {
        snprintf(name, sizeof(name), "/s%d", i);
        add_file(name, line, strlen(line));
        int r = run(name, plain_argv, 0, &res);
        CHECK_EQ(r, i < 5 ? 0 : -LX_ELOOP);
        if (r == 0)
            release(&res);
        snprintf(line, sizeof(line), "#!/s%d\n", i);
    }
    add_file("/s", "#!\n", 3);
    CHECK_EQ(run("/s", plain_argv, 0, &res), -LX_ENOEXEC);
    add_file("/s", "#!/bin/int", 10);
    CHECK_EQ(run("/s", plain_argv, 0, &res), 0);
    release(&res);
    add_file("/s", "#!/none\n", 8);
    CHECK_EQ(run("/s", plain_argv, 0, &res), -LX_ENOENT);
    memset(line, 'a', sizeof(line));
    memcpy(line, "#!/bin/", 7);
    add_file("/s", line, sizeof(line));
    CHECK_EQ(run("/s", plain_argv, 0, &res), -LX_ENOEXEC);
    memcpy(line, "#!/bin/int ", 11);
    add_file("/s", line, sizeof(line));
    CHECK_EQ(run("/s", plain_argv, 0, &res), 0);
    CHECK_EQ(strlen(str(res.mm, word(res.mm, res.sp + 16))), 256 - 11);
    release(&res);
}

TEST(refused)
{
    static u8 buf[0x3000];
    struct loader_result res;
    Elf64_Ehdr *h = (void *)buf;
    Elf64_Phdr *p = (void *)(buf + 64);
    CHECK_EQ(run("/nothing", plain_argv, 0, &res), -LX_ENOENT);
    add_file("/bad", "", 0);
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ENOEXEC);
    make_elf(buf, ET_EXEC, 0x400000);
    struct fake_file *f = add_file("/bad", buf, 63);
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ENOEXEC);
    h->e_machine = EM_386;
    add_file("/bad", buf, sizeof(buf));
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ENOEXEC);
    make_elf(buf, ET_EXEC, 0x400000);
    p[1].p_filesz = 0x4000;
    add_file("/bad", buf, sizeof(buf));
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ENOEXEC);
    make_elf(buf, ET_EXEC, 0x400000);
    p[1].p_memsz = UINT64_MAX - 5;
    add_file("/bad", buf, sizeof(buf));
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ENOEXEC);
    /* Into the vDSO, and to where the stub is. */
    make_elf(buf, ET_EXEC, 0x7ffd00004000);
    add_file("/bad", buf, sizeof(buf));
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ENOEXEC);
    make_elf(buf, ET_EXEC, 0x60000000);
    add_file("/bad", buf, sizeof(buf));
    CHECK(run("/bad", plain_argv, 0, &res) < 0);
    /* Interpreters. */
    make_elf(buf, ET_EXEC, 0x400000);
    h->e_phnum = 3;
    p[2] = (Elf64_Phdr){PT_INTERP, PF_R, 0x2000, 0, 0, 8, 8, 1};
    memcpy(buf + 0x2000, "/interp", 8);
    add_file("/bad", buf, sizeof(buf));
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ENOENT);
    add_file("/interp", "junk", 4);
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ELIBBAD);
    buf[0x2007] = 'x';
    add_file("/bad", buf, sizeof(buf));
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ENOEXEC);
    make_elf(buf, ET_EXEC, 0x400000);
    add_file("/bad", buf, sizeof(buf));
    f->inode.write_count = 1;
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_ETXTBSY);
    f->inode.write_count = 0;
    f->inode.mode = LX_S_IFREG | 0644;
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_EACCES);
    f->inode.mode = LX_S_IFDIR | 0755;
    CHECK_EQ(run("/bad", plain_argv, 0, &res), -LX_EACCES);
    for (u32 i = 0; i < nfiles; i++)
        CHECK(files[i].nopen == 0 && files[i].inode.write_count == 0);
}

TEST(no_arguments_become_one)
{
    static u8 buf[0x3000];
    static char *const none[] = {NULL};
    struct loader_result res;
    add_file("/static", buf, make_elf(buf, ET_EXEC, 0x400000));
    CHECK_EQ(run("/static", none, 0, &res), 0);
    CHECK_EQ(word(res.mm, res.sp), 1);
    CHECK_STR(str(res.mm, word(res.mm, res.sp + 8)), "");
    release(&res);
}

TEST(strings)
{
    struct loader_strings s = {0};
    static char big[LOADER_MAX_STRLEN + 1];
    CHECK_EQ(loader_strings_limit(UINT64_MAX), 6 << 20);
    CHECK_EQ(loader_strings_limit(8 << 20), 2 << 20);
    CHECK_EQ(loader_strings_limit(4096), 128 << 10);
    memset(big, 'a', sizeof(big));
    CHECK_EQ(loader_strings_add(&s, big, LOADER_MAX_STRLEN - 1, 1 << 20), 0);
    CHECK_EQ(loader_strings_add(&s, big, LOADER_MAX_STRLEN, 1 << 20), -LX_E2BIG);
    CHECK_EQ(loader_strings_add(&s, big, 10, LOADER_MAX_STRLEN + 8 + 18), -LX_E2BIG);
    CHECK_EQ(loader_strings_add(&s, big, 10, LOADER_MAX_STRLEN + 8 + 19), 0);
    loader_strings_done(&s);
    /* From a guest: an array that ends with the page that it is in. */
    struct mm *mm;
    CHECK_EQ(mm_new(true, &mm), 0);
    mm_use(mm, NULL);
    u64 base = 0x200000000, ptrs[3] = {base, base + 4, 0};
    struct mm_map_req req = {.addr = base,
                             .size = 0x1000,
                             .prot = 3,
                             .flags = LX_MAP_PRIVATE | LX_MAP_ANONYMOUS | LX_MAP_FIXED};
    CHECK_EQ(mm_map(mm, NULL, &req), base);
    CHECK_EQ(copy_out(uaddr(base), "abc\0defg", 9), 0);
    CHECK_EQ(copy_out(uaddr(base + 0x1000 - 24), ptrs, 24), 0);
    CHECK_EQ(loader_strings_copy_in(&s, uaddr(base + 0x1000 - 24), 1000), 0);
    CHECK_EQ(s.count, 2);
    CHECK_EQ(s.size, 9);
    CHECK(!memcmp(s.buf, "abc\0defg", 9));
    ptrs[2] = 1;
    CHECK_EQ(copy_out(uaddr(base + 0x1000 - 24), ptrs, 24), 0);
    CHECK_EQ(loader_strings_copy_in(&s, uaddr(base + 0x1000 - 24), 1000), -LX_EFAULT);
    /* The same string without end, until the limit. */
    for (u64 i = 0; i < 512; i++)
        CHECK_EQ(copy_out(uaddr(base + i * 8), &(u64){base + 0x100}, 8), 0);
    CHECK_EQ(loader_strings_copy_in(&s, uaddr(base), 200), -LX_E2BIG);
    loader_strings_done(&s);
    mm_use(NULL, NULL);
    mm_put(mm);
}

/* Mutated headers of a real binary: any errno is right, as long as nothing breaks or leaks. */
TEST(fuzz_headers)
{
    static const u64 nasty[] = {0,
                                1,
                                7,
                                0xfff,
                                0x1000,
                                0x7fffffff,
                                0x80000000,
                                0xffffffff,
                                0x7ffffffff000,
                                0x800000000000,
                                INT64_MAX,
                                UINT64_MAX,
                                UINT64_MAX - 0xfff,
                                0x60000000,
                                0x5ffff000,
                                0x100000000};
    struct fake_file *orig = add_host_file("/true", "/bin/true");
    u8 *data = malloc(orig->size), *copy = malloc(orig->size);
    size_t size = orig->size;
    memcpy(data, orig->data, size);
    u32 seed = 20240501, nok = 0;
    for (int round = 0; round < 4000; round++) {
        struct loader_result res;
        memcpy(copy, data, size);
        int n = 1 + (int)(seed % 3);
        for (int i = 0; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            u32 at = (seed >> 10) % (64 + 13 * 56 - 8);
            seed = seed * 1664525 + 1013904223;
            u64 v = nasty[(seed >> 8) % ARRAY_SIZE(nasty)];
            u32 width = 1U << ((seed >> 4) % 4);
            if ((seed >> 16) % 2)
                at &= ~(width - 1);
            memcpy(copy + at, &v, width);
        }
        add_file("/true", copy, round % 7 ? size : size * ((seed >> 8) % 64) / 64);
        int r = run("/true", plain_argv, 0, &res);
        CHECK(r <= 0 && r > -LX_EHWPOISON - 1);
        if (r == 0) {
            nok++;
            release(&res);
        }
        for (u32 i = 0; i < nfiles; i++)
            CHECK(files[i].nopen == 0 && files[i].inode.write_count == 0);
    }
    CHECK(nok > 100);
    free(copy);
    free(data);
}
