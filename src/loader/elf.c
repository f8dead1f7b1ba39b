/*
 * ELF images: reading and checking the headers, mapping the segments.
 *
 * Text and data map privately from the file's own pages (the host's page
 * cache); the part of a segment beyond its file size is anonymous, and the rest of
 * the page that both share is zeroed.
 *
 * Differs from Linux: a segment table that Linux would notice too late, when
 * the old image is gone, is -LX_ENOEXEC.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/loader_int.h"

_Static_assert(sizeof(struct lx_elf64_ehdr) == 64, "ELF header");
_Static_assert(sizeof(struct lx_elf64_phdr) == 56, "ELF program header");

/* All of [off, off + size) or -LX_ENOEXEC. */
static int read_all(struct file *f, void *buf, size_t size, u64 off)
{
    size_t done = 0;
    if (off > INT64_MAX - size)
        return -LX_ENOEXEC;
    while (done < size) {
        s64 n = file_pread(f, (char *)buf + done, size - done, (s64)(off + done));
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -LX_ENOEXEC;
        done += (size_t)n;
    }
    return 0;
}

static int check_header(const struct lx_elf64_ehdr *h)
{
    static const u8 magic[5] = {0x7f, 'E', 'L', 'F', 2 /* 64 bit */};
    if (memcmp(h->ident, magic, sizeof(magic)) != 0 || h->machine != LX_EM_X86_64 ||
        (h->type != LX_ET_EXEC && h->type != LX_ET_DYN) ||
        h->phentsize != sizeof(struct lx_elf64_phdr) || h->phnum < 1 || h->phnum > ELF_MAX_PHDRS)
        return -LX_ENOEXEC;
    return 0;
}

static int read_interp(struct file *f, const struct lx_elf64_phdr *p, char **ret)
{
    if (p->filesz < 2 || p->filesz > MAX_PATH)
        return -LX_ENOEXEC;
    char *s = malloc(p->filesz);
    if (!s)
        return -LX_ENOMEM;
    int r = read_all(f, s, p->filesz, p->offset);
    if (r == 0 && s[p->filesz - 1] != 0)
        r = -LX_ENOEXEC;
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

/* One PT_LOAD: sane, and added to the extent. */
static int check_segment(struct elf *e, const struct lx_elf64_phdr *p)
{
    u64 end, file_end;
    if (p->filesz > p->memsz || add_overflows(p->vaddr, p->memsz, &end) || end > PLATFORM_MAX ||
        add_overflows(p->offset, p->filesz, &file_end) || file_end > INT64_MAX - PAGE_SIZE ||
        ((p->vaddr ^ p->offset) & ~PAGE_MASK && p->filesz))
        return -LX_ENOEXEC;
    u64 align = p->align;
    if (align > e->align && (align & (align - 1)) == 0 && align <= (1UL << 30))
        e->align = align;
    e->low = MIN(e->low, page_down(p->vaddr));
    e->high = MAX(e->high, page_up(end));
    return 0;
}

static int take_segments(struct elf *e, const struct lx_elf64_ehdr *h, struct lx_elf64_phdr *table)
{
    u32 n = 0;
    e->low = UINT64_MAX;
    e->align = PAGE_SIZE;
    for (u32 i = 0; i < h->phnum; i++) {
        struct lx_elf64_phdr p = table[i];
        int r = 0;
        if (p.type == LX_PT_INTERP && !e->interp)
            r = read_interp(e->file, &p, &e->interp);
        else if (p.type == LX_PT_GNU_STACK)
            e->is_stack_exec = p.flags & LX_PF_X;
        else if (p.type == LX_PT_LOAD && p.memsz)
            r = check_segment(e, &p);
        if (r < 0)
            return r;
        if (p.type != LX_PT_LOAD || !p.memsz)
            continue;
        if (h->phoff >= p.offset && h->phoff < p.offset + p.filesz)
            e->phdr_vaddr = p.vaddr + (h->phoff - p.offset);
        table[n++] = p; /* n <= i */
    }
    e->segs = table;
    e->nsegs = n;
    return n ? 0 : -LX_ENOEXEC;
}

int elf_parse(struct file *f, struct elf *ret)
{
    struct lx_elf64_ehdr h;
    struct elf e = {.file = f};
    int r = read_all(f, &h, sizeof(h), 0);
    if (r == 0)
        r = check_header(&h);
    if (r < 0)
        return r;
    size_t size = (size_t)h.phnum * sizeof(struct lx_elf64_phdr);
    struct lx_elf64_phdr *table = malloc(size);
    if (!table)
        return -LX_ENOMEM;
    e.type = h.type;
    e.entry = h.entry;
    e.phnum = h.phnum;
    r = read_all(f, table, size, h.phoff);
    if (r == 0)
        r = take_segments(&e, &h, table);
    if (r < 0) {
        free(table);
        free(e.interp);
        return r;
    }
    *ret = e;
    return 0;
}

void elf_done(struct elf *e)
{
    free(e->segs);
    free(e->interp);
    *e = (struct elf){0};
}

/* ---- mapping ------------------------------------------------------------------------------- */

static u32 prot_of(const struct lx_elf64_phdr *p)
{
    return (p->flags & LX_PF_R ? LX_PROT_READ : 0) | (p->flags & LX_PF_W ? LX_PROT_WRITE : 0) |
           (p->flags & LX_PF_X ? LX_PROT_EXEC : 0);
}

static int map_file_part(const struct elf *e, struct mm *mm, const struct lx_elf64_phdr *p,
                         u64 start, u64 file_end)
{
    struct file *f = e->file;
    u64 in_page = p->vaddr & ~PAGE_MASK;
    u32 prot = prot_of(p);
    if (f->ops->mmap) {
        int r = f->ops->mmap(f, prot, LX_MAP_PRIVATE);
        if (r < 0)
            return r == -LX_ENODEV ? -LX_ENOEXEC : r;
    }
    struct mm_map_req req = {.addr = start,
                             .size = file_end - start,
                             .prot = prot,
                             .flags = LX_MAP_PRIVATE | LX_MAP_FIXED,
                             .vma_flags = VMA_MAY_ALL,
                             .obj = &f->map,
                             .offset = p->offset - in_page};
    s64 at = mm_map(mm, NULL, &req);
    return at == -LX_ENODEV ? -LX_ENOEXEC : at < 0 ? (int)at : 0;
}

static int map_segment(const struct elf *e, struct mm *mm, const struct lx_elf64_phdr *p, u64 bias)
{
    u64 vaddr = p->vaddr + bias, start = page_down(vaddr);
    u64 file_end = vaddr + p->filesz, end = page_up(vaddr + p->memsz);
    u64 anon = start;
    if (p->filesz) {
        anon = page_up(file_end);
        int r = map_file_part(e, mm, p, start, file_end);
        if (r < 0)
            return r;
    }
    if (anon >= end)
        return 0;
    /* Writable whatever the segment says, as on Linux. */
    struct mm_map_req req = {.addr = anon,
                             .size = end - anon,
                             .prot = prot_of(p) | LX_PROT_READ | LX_PROT_WRITE,
                             .flags = LX_MAP_PRIVATE | LX_MAP_ANONYMOUS | LX_MAP_FIXED};
    s64 at = mm_map(mm, NULL, &req);
    return at < 0 ? (int)at : 0;
}

int elf_map(const struct elf *e, struct mm *mm, u64 bias)
{
    /* The bias is modulo 2^64; low and high are in order and below PLATFORM_MAX. */
    u64 low = e->low + bias, size = e->high - e->low;
    if (low < PLATFORM_LOW_MIN || low > PLATFORM_MAX || size > PLATFORM_MAX - low)
        return -LX_ENOEXEC;
    for (u32 i = 0; i < e->nsegs; i++) {
        int r = map_segment(e, mm, &e->segs[i], bias);
        /* Where guests may not map (the stub's region, the vDSO) no program can be linked to. */
        if (r < 0)
            return r == -LX_EPERM || r == -LX_EINVAL ? -LX_ENOEXEC : r;
    }
    return 0;
}

/* Does a later segment take the place of this page (unrelocated)? */
static bool is_overlaid(const struct elf *e, u32 i, u64 page)
{
    for (u32 j = i + 1; j < e->nsegs; j++)
        if (page_down(e->segs[j].vaddr) <= page && page < e->segs[j].vaddr + e->segs[j].memsz)
            return true;
    return false;
}

int elf_zero(const struct elf *e, struct mm *mm, u64 bias)
{
    static const char zeros[PAGE_SIZE];
    for (u32 i = 0; i < e->nsegs; i++) {
        const struct lx_elf64_phdr *p = &e->segs[i];
        u64 from = p->vaddr + p->filesz;
        size_t n = page_up(from) - from;
        /* A segment that cannot be written keeps the file's bytes there, as on Linux. */
        if (!p->filesz || p->memsz <= p->filesz || !n || !(p->flags & LX_PF_W) ||
            is_overlaid(e, i, page_down(from)))
            continue;
        if (mm_write(mm, from + bias, zeros, n) != n)
            return -LX_ENOEXEC;
    }
    return 0;
}
