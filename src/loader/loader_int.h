/* Shared by the loader's files. */
#ifndef LOADER_LOADER_INT_H
#define LOADER_LOADER_INT_H

#include "loader/loader.h"

#define LOADER_HEAD_SIZE 256 /* Linux's BINPRM_BUF_SIZE: a `#!` line counts up to here */
#define ELF_MAX_PHDRS    (65536 / 56)

struct lx_elf64_ehdr {
    u8 ident[16];
    u16 type, machine;
    u32 version;
    u64 entry, phoff, shoff;
    u32 flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct lx_elf64_phdr {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};

#define LX_ET_EXEC      2
#define LX_ET_DYN       3
#define LX_EM_X86_64    62
#define LX_PT_LOAD      1
#define LX_PT_INTERP    3
#define LX_PT_GNU_STACK 0x6474e551U
#define LX_PF_X         1U
#define LX_PF_W         2U
#define LX_PF_R         4U

/* ---- script.c ------------------------------------------------------------------------------ */

struct script {
    char interp[LOADER_HEAD_SIZE];
    char arg[LOADER_HEAD_SIZE];
    bool has_arg;
};
/* Reads a `#!` line from the first bytes of a file (zero-padded). -LX_ENOEXEC. */
int script_parse(const char head[LOADER_HEAD_SIZE], struct script *ret) must_check;

/* ---- elf.c --------------------------------------------------------------------------------- */

/* A checked image: every loadable segment is in bounds and page-congruent. */
struct elf {
    struct file *file; /* borrowed */
    u16 type;
    u64 entry;      /* unrelocated, as all below */
    u64 phdr_vaddr; /* 0 when not in a segment */
    u16 phnum;
    u64 low, high; /* extent of all segments, page aligned */
    u64 align;     /* largest alignment of a segment, at least a page */
    bool is_stack_exec;
    char *interp; /* owned; NULL when static */
    u32 nsegs;
    struct lx_elf64_phdr *segs; /* owned: the PT_LOADs */
};
int elf_parse(struct file *f, struct elf *ret) must_check;
void elf_done(struct elf *e);
/* Maps all segments at +bias. What does not fit the space: -LX_ENOEXEC; else mm's errors. */
int elf_map(const struct elf *e, struct mm *mm, u64 bias) must_check;

/* After all is mapped: zeroes what a segment's last page holds of the file beyond it. */
int elf_zero(const struct elf *e, struct mm *mm, u64 bias) must_check;

/* ---- stack.c ------------------------------------------------------------------------------- */

struct stack_args {
    const struct loader_args *args;
    const struct loader_strings *argv; /* after the script's changes */
    struct loader_ids ids;
    u64 phdr, entry, base;
    u16 phnum;
    bool is_exec;
};
/* Maps the stack, writes the image of argc to the strings, fills mm's fields. */
int stack_build(struct mm *mm, const struct stack_args *s, u64 *ret_sp) must_check;

/* 0 … bound-1; 0 when randomisation is off. */
u64 loader_random(const struct mm *mm, u64 bound);

#endif
