/*
 * /proc/PID files about memory: maps and kin, mem, environ, cmdline, auxv.
 *
 * Resident pages are asked of the stub's host kernel (mincore): for private anonymous memory
 * that is exact; for mapped files it is what the page cache holds of the range.
 */
#include <stdlib.h>
#include <string.h>

#include "procfs/pid.h"

/* ---- strings in guest memory -------------------------------------------------------------------- */

/* Prints [start + cursor, end) of the guest's memory in pieces. */
static int put_guest(struct seq *s, struct mm *mm, u64 start, u64 end)
{
    char buf[PAGE_SIZE];
    u64 at = start + s->cursor;
    while (at < end && !seq_is_full(s)) {
        size_t n = mm_read(mm, at, buf, MIN(end - at, sizeof(buf)));
        if (n == 0)
            break;
        seq_write(s, buf, n);
        at += n;
        s->cursor += n;
    }
    if (at >= end || !seq_is_full(s))
        s->cursor = SEQ_END;
    return 0;
}

/* No memory (a zombie) is no error; no process is. */
static int get_mm(const struct pinode *pi, struct mm **ret_mm)
{
    struct task *t = pinode_task(pi);
    *ret_mm = t ? task_get_mm(t) : NULL;
    task_put(t);
    return t ? 0 : -LX_ESRCH;
}

struct area {
    u64 start, end;
};

static struct area get_area(struct mm *mm, const u64 *start, const u64 *end)
{
    MUTEX_GUARD(&mm->lock);
    return (struct area){*start, MAX(*start, *end)};
}

int show_environ(struct seq *s, const struct pinode *pi)
{
    struct mm *mm = pinode_mm(pi);
    if (!mm)
        return 0;
    struct area a = get_area(mm, &mm->env_start, &mm->env_end);
    int r = put_guest(s, mm, a.start, a.end);
    mm_put(mm);
    return r;
}

/* A title that was written over the arguments: one string, a page at most. */
static void put_title(struct seq *s, struct mm *mm, u64 start, u64 end)
{
    char buf[PAGE_SIZE];
    size_t n = mm_read(mm, start, buf, MIN(end - start, sizeof(buf)));
    const char *nul = memchr(buf, 0, n);
    seq_write(s, buf, nul ? (size_t)(nul - buf) + 1 : n);
    s->cursor = SEQ_END;
}

/* The argument area; when its last byte was overwritten (setproctitle), what is there is a title. */
int show_cmdline(struct seq *s, const struct pinode *pi)
{
    struct mm *mm;
    char last = 0;
    int r = get_mm(pi, &mm);
    if (!mm)
        return r;
    struct area arg = get_area(mm, &mm->arg_start, &mm->arg_end);
    struct area env = get_area(mm, &mm->env_start, &mm->env_end);
    u64 end = env.start == arg.end ? env.end : arg.end;
    if (arg.end > arg.start && mm_read(mm, arg.end - 1, &last, 1) == 1 && last != 0)
        put_title(s, mm, arg.start, end);
    else
        r = put_guest(s, mm, arg.start, arg.end);
    mm_put(mm);
    return r;
}

int show_auxv(struct seq *s, const struct pinode *pi)
{
    struct mm *mm = pinode_mm(pi);
    if (!mm)
        return 0;
    size_t n = 0, max = ARRAY_SIZE(mm->saved_auxv);
    while (n + 2 < max && mm->saved_auxv[n] != 0)
        n += 2;
    seq_write(s, mm->saved_auxv, (n + 2) * sizeof(u64));
    mm_put(mm);
    return 0;
}

/* ---- maps ------------------------------------------------------------------------------------------ */

#define NAME_COLUMN 73

static void put_vma(struct seq *s, struct mm *mm, struct vma *v) REQUIRES(mm->lock)
{
    char name[MAX_PATH + 16] = "", path[256];
    u64 dev = 0, ino = 0;
    size_t before = s->size;
    mm_vma_name(mm, v, name, sizeof(name));
    if (v->obj && v->obj->ops->describe)
        v->obj->ops->describe(v->obj, path, sizeof(path), &dev, &ino);
    seq_printf(s, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", (unsigned long long)v->start,
               (unsigned long long)v->end, v->flags & LX_PROT_READ ? 'r' : '-',
               v->flags & LX_PROT_WRITE ? 'w' : '-', v->flags & LX_PROT_EXEC ? 'x' : '-',
               v->flags & VMA_SHARED ? 's' : 'p', (unsigned long long)(v->obj ? v->offset : 0),
               DEV_MAJOR(dev), DEV_MINOR(dev), (unsigned long long)ino);
    if (name[0]) {
        while (!s->is_failed && s->size - before < NAME_COLUMN)
            seq_putc(s, ' ');
        seq_escape(s, name, "\n");
    }
    seq_putc(s, '\n');
}

typedef void (*vma_fn)(struct seq *s, struct mm *mm, struct vma *v, void *arg);

/* Calls fn for the areas from address s->cursor on, until the seq is full. */
static void for_each_vma(struct seq *s, struct mm *mm, vma_fn fn, void *arg)
{
    MUTEX_GUARD(&mm->lock);
    struct vma *v = mm_find(mm, s->cursor);
    for (; v && !seq_is_full(s); v = mm_next(v)) {
        fn(s, mm, v, arg);
        s->cursor = v->end;
    }
    if (!v)
        s->cursor = SEQ_END;
}

/* In every address space, and nobody's mapping. */
static void put_vsyscall(struct seq *s)
{
    u32 prot = platform_vsyscall_prot();
    if (prot)
        seq_printf(s, "%lx-%lx %c-%cp 00000000 00:00 0                  [vsyscall]\n", VSYSCALL_START,
                   VSYSCALL_START + PAGE_SIZE, prot & LX_PROT_READ ? 'r' : '-',
                   prot & LX_PROT_EXEC ? 'x' : '-');
}

static void maps_one(struct seq *s, struct mm *mm, struct vma *v, void *arg) NO_THREAD_ANALYSIS
{
    put_vma(s, mm, v);
}

int show_maps(struct seq *s, const struct pinode *pi)
{
    struct mm *mm;
    int r = get_mm(pi, &mm);
    if (!mm)
        return r;
    bool was_at_end = s->cursor == SEQ_END;
    for_each_vma(s, mm, maps_one, NULL);
    if (s->cursor == SEQ_END && !was_at_end)
        put_vsyscall(s);
    mm_put(mm);
    return 0;
}

/* ---- resident memory ---------------------------------------------------------------------------- */

enum rss_kind { RSS_ANON, RSS_FILE, RSS_SHMEM };

static enum rss_kind kind_of(const struct vma *v)
{
    if (!v->obj)
        return RSS_ANON;
    return v->obj->ops == &file_mappable_ops ? RSS_FILE : RSS_SHMEM;
}

static bool is_reserved_only(const struct vma *v)
{
    return !(v->flags & (LX_PROT_READ | LX_PROT_WRITE | LX_PROT_EXEC));
}

static void resident_one(struct seq *s, struct mm *mm, struct vma *v, void *arg)
{
    struct mm_resident *r = arg;
    if (is_reserved_only(v))
        return;
    u64 rss = vma_rss(mm, v->start, MIN(v->end, v->start + (16UL << 30)));
    switch (kind_of(v)) {
    case RSS_ANON:
        r->anon += rss;
        break;
    case RSS_FILE:
        r->file += rss;
        break;
    case RSS_SHMEM:
        r->shmem += rss;
        break;
    }
}

void mm_resident_now(struct mm *mm, struct mm_resident *ret)
{
    struct seq none = {0};
    *ret = (struct mm_resident){0};
    for_each_vma(&none, mm, resident_one, ret);
}

int show_statm(struct seq *s, const struct pinode *pi)
{
    struct mm *mm = pinode_mm(pi);
    struct mm_resident r = {0};
    u64 size = 0, text = 0, data = 0;
    if (mm) {
        mm_resident_now(mm, &r);
        MUTEX_GUARD(&mm->lock);
        size = mm->total_size;
        text = page_up(mm->end_code) - page_down(mm->start_code);
        data = mm->data_size + mm->stack_size;
    }
    seq_printf(s, "%llu %llu %llu %llu 0 %llu 0\n", (unsigned long long)(size / PAGE_SIZE),
               (unsigned long long)((r.anon + r.file + r.shmem) / PAGE_SIZE),
               (unsigned long long)((r.file + r.shmem) / PAGE_SIZE),
               (unsigned long long)(text / PAGE_SIZE), (unsigned long long)(data / PAGE_SIZE));
    if (mm)
        mm_put(mm);
    return 0;
}

/* ---- smaps ----------------------------------------------------------------------------------------- */

struct smaps { /* bytes */
    u64 rss, pss, pss_dirty, shared_clean, shared_dirty, private_clean, private_dirty, anon, locked;
    u64 pss_anon, pss_file, pss_shmem;
    u64 first, last; /* of the roll-up */
};

static void measure(struct mm *mm, struct vma *v, struct smaps *m)
{
    u64 rss = is_reserved_only(v) ? 0 : vma_rss(mm, v->start, MIN(v->end, v->start + (16UL << 30)));
    m->rss += rss;
    m->pss += rss;
    switch (kind_of(v)) {
    case RSS_ANON:
        m->private_dirty += rss;
        m->pss_dirty += rss;
        m->anon += rss;
        m->pss_anon += rss;
        break;
    case RSS_FILE:
        m->private_clean += rss;
        m->pss_file += rss;
        break;
    case RSS_SHMEM:
        m->private_dirty += rss; /* who else has it mapped is not known */
        m->pss_dirty += rss;
        m->pss_shmem += rss;
        break;
    }
    if (v->flags & VMA_LOCKED)
        m->locked += rss;
}

static void put_kib(struct seq *s, const char *label, u64 bytes)
{
    seq_printf(s, "%s%*s%8llu kB\n", label, (int)(16 - MIN(strlen(label), 16UL)), "",
               (unsigned long long)(bytes >> 10));
}

static void put_measures(struct seq *s, const struct smaps *m, bool is_rollup)
{
    put_kib(s, "Rss:", m->rss);
    put_kib(s, "Pss:", m->pss);
    put_kib(s, "Pss_Dirty:", m->pss_dirty);
    if (is_rollup) {
        put_kib(s, "Pss_Anon:", m->pss_anon);
        put_kib(s, "Pss_File:", m->pss_file);
        put_kib(s, "Pss_Shmem:", m->pss_shmem);
    }
    put_kib(s, "Shared_Clean:", m->shared_clean);
    put_kib(s, "Shared_Dirty:", m->shared_dirty);
    put_kib(s, "Private_Clean:", m->private_clean);
    put_kib(s, "Private_Dirty:", m->private_dirty);
    put_kib(s, "Referenced:", m->rss);
    put_kib(s, "Anonymous:", m->anon);
    static const char *const zeros[] = {"KSM:", "LazyFree:", "AnonHugePages:", "ShmemPmdMapped:",
                                        "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:",
                                        "Swap:", "SwapPss:"};
    for (size_t i = 0; i < ARRAY_SIZE(zeros); i++)
        put_kib(s, zeros[i], 0);
    put_kib(s, "Locked:", m->locked);
}

static void put_vm_flags(struct seq *s, u32 f)
{
    static const struct {
        u32 flag;
        const char *name;
    } names[] = {{LX_PROT_READ, "rd"},     {LX_PROT_WRITE, "wr"},    {LX_PROT_EXEC, "ex"},
                 {VMA_SHARED | VMA_MAYWRITE, "sh"},       {VMA_MAYREAD, "mr"},      {VMA_MAYWRITE, "mw"},
                 {VMA_MAYEXEC, "me"},      {VMA_SHARED, "ms"},       {VMA_GROWSDOWN, "gd"},
                 {VMA_LOCKED, "lo"},       {VMA_SEQ_READ, "sr"},     {VMA_RAND_READ, "rr"},
                 {VMA_DONTFORK, "dc"},     {VMA_NORESERVE, "nr"},    {VMA_WIPEONFORK, "wf"},
                 {VMA_DONTDUMP, "dd"},     {VMA_HUGEPAGE, "hg"},     {VMA_NOHUGEPAGE, "nh"},
                 {VMA_MERGEABLE, "mg"}};
    seq_puts(s, "VmFlags: ");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if ((f & names[i].flag) == names[i].flag)
            seq_printf(s, "%s ", names[i].name);
    seq_putc(s, '\n');
}

static void smaps_one(struct seq *s, struct mm *mm, struct vma *v, void *arg) NO_THREAD_ANALYSIS
{
    struct smaps m = {0};
    measure(mm, v, &m);
    put_vma(s, mm, v);
    put_kib(s, "Size:", v->end - v->start);
    put_kib(s, "KernelPageSize:", PAGE_SIZE);
    put_kib(s, "MMUPageSize:", PAGE_SIZE);
    put_measures(s, &m, false);
    seq_printf(s, "THPeligible:    %8d\n", 0);
    put_vm_flags(s, v->flags);
}

int show_smaps(struct seq *s, const struct pinode *pi)
{
    struct mm *mm;
    int r = get_mm(pi, &mm);
    if (!mm)
        return r;
    for_each_vma(s, mm, smaps_one, NULL);
    mm_put(mm);
    return 0;
}

static void rollup_one(struct seq *s, struct mm *mm, struct vma *v, void *arg)
{
    struct smaps *m = arg;
    if (m->last == 0)
        m->first = v->start;
    m->last = v->end;
    measure(mm, v, m);
}

int show_smaps_rollup(struct seq *s, const struct pinode *pi)
{
    struct mm *mm = pinode_mm(pi);
    struct smaps m = {0};
    struct seq none = {0};
    if (!mm)
        return -LX_ESRCH;
    for_each_vma(&none, mm, rollup_one, &m);
    mm_put(mm);
    seq_printf(s, "%08llx-%08llx ---p 00000000 00:00 0%38s[rollup]\n", (unsigned long long)m.first,
               (unsigned long long)m.last, "");
    put_measures(s, &m, true);
    return 0;
}

/* ---- mem and pagemap ------------------------------------------------------------------------------- */

struct mem_file {
    u32 exec_seq;
};

static int mm_file_open(struct inode *i, struct file *f)
{
    struct task *t = pinode_task(pinode_of(i));
    if (!t)
        return -LX_ESRCH;
    bool is_attach = f->mode & FMODE_WRITE || pinode_of(i)->node->fops == &mem_fops;
    int r = ptrace_may_access(t, is_attach);
    struct mem_file *mf = r < 0 ? NULL : calloc(1, sizeof(*mf));
    if (mf)
        mf->exec_seq = t->tg->exec_seq;
    task_put(t);
    if (!mf)
        return r < 0 ? -LX_EACCES : -LX_ENOMEM;
    f->priv = mf;
    return 0;
}

static void mm_file_release(struct file *f)
{
    free(f->priv);
}

/* Referenced; NULL when the program that was there at open is gone. */
static struct mm *mm_of_file(struct file *f)
{
    const struct mem_file *mf = f->priv;
    struct task *t = pinode_task(pinode_of(f->inode));
    struct mm *mm = t && t->tg->exec_seq == mf->exec_seq ? task_get_mm(t) : NULL;
    task_put(t);
    return mm;
}

static s64 mem_read(struct file *f, struct uio *to, s64 *off)
{
    struct mm *mm = mm_of_file(f);
    char buf[PAGE_SIZE];
    s64 done = 0;
    if (!mm)
        return 0;
    while (to->left > 0) {
        u64 addr = (u64)*off;
        size_t want = MIN(to->left, PAGE_SIZE - addr % PAGE_SIZE);
        size_t n = mm_read_force(mm, addr, buf, want);
        s64 r = n > 0 ? uio_copy_to(to, buf, n) : -LX_EIO;
        if (r < 0) {
            done = done ? done : r;
            break;
        }
        done += r;
        *off += r;
        if ((size_t)r < want)
            break;
    }
    mm_put(mm);
    return done;
}

static s64 mem_write(struct file *f, struct uio *from, s64 *off)
{
    struct mm *mm = mm_of_file(f);
    char buf[PAGE_SIZE];
    s64 done = 0;
    if (!mm)
        return 0;
    while (from->left > 0) {
        u64 addr = (u64)*off;
        size_t want = MIN(from->left, PAGE_SIZE - addr % PAGE_SIZE);
        s64 got = uio_copy_from(from, buf, want);
        size_t n = got > 0 ? mm_write_force(mm, addr, buf, (size_t)got) : 0;
        if (got <= 0 || n == 0) {
            done = done ? done : got < 0 ? got : -LX_EIO;
            break;
        }
        done += (s64)n;
        *off += (s64)n;
        if (n < (size_t)got) {
            uio_revert(from, (u64)got - n);
            break;
        }
    }
    mm_put(mm);
    return done;
}

/* Addresses may be negative numbers. */
static s64 mem_seek(struct file *f, s64 off, int whence)
{
    if (whence == LX_SEEK_CUR)
        off = (s64)((u64)off + (u64)f->pos);
    else if (whence != LX_SEEK_SET)
        return -LX_EINVAL;
    f->pos = off;
    return off;
}

const struct file_ops mem_fops = {.open = mm_file_open,
                                  .read = mem_read,
                                  .write = mem_write,
                                  .seek = mem_seek,
                                  .release = mm_file_release};

/* An entry of 64 bits a page: present, and file or shared; never a frame number. */
static s64 pagemap_read(struct file *f, struct uio *to, s64 *off)
{
    struct mm *mm = mm_of_file(f);
    s64 done = 0;
    if (*off % 8 != 0 || to->left % 8 != 0) {
        if (mm)
            mm_put(mm);
        return -LX_EINVAL;
    }
    while (mm && to->left > 0 && (u64)*off / 8 < PLATFORM_MAX / PAGE_SIZE) {
        u64 addr = (u64)*off / 8 * PAGE_SIZE, entry = 0;
        u8 resident = 0;
        mutex_lock(&mm->lock);
        struct vma *v = mm_find(mm, addr);
        if (v && v->start <= addr && !is_reserved_only(v) &&
            aspace_mincore(mm->as, addr, PAGE_SIZE, &resident) == 0 && (resident & 1))
            entry = 1ULL << 63 | (v->obj ? 1ULL << 61 : 0);
        mutex_unlock(&mm->lock);
        s64 r = uio_copy_to(to, &entry, sizeof(entry));
        if (r < 0) {
            done = done ? done : r;
            break;
        }
        done += r;
        *off += r;
        if (done >= 65536)
            break;
    }
    if (mm)
        mm_put(mm);
    return done;
}

const struct file_ops pagemap_fops = {
    .open = mm_file_open, .read = pagemap_read, .seek = mem_seek, .release = mm_file_release};
