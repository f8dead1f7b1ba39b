/*
 * The table of system calls as text: for `cvisor syscalls` and docs/SYSCALLS.md.
 */
#include <stddef.h>
#include <stdio.h>

#include "sys/sys.h"

static const char *support_word(const struct sys_entry *e)
{
    switch (e->support) {
    case SYS_FULL:
        return "full";
    case SYS_PARTIAL:
        return "partial";
    case SYS_ERR:
        return "refused";
    default:
        return "no";
    }
}

/* The texts, one behind the other, and where each begins: no pointers, as in the table itself. */
static const struct names {
    char none; /* so that no name is at 0 */
#define NR_NAME(n) char n[sizeof(#n)];
#include "sys/nr_names.inc"
#undef NR_NAME
} names = {
    0,
#define NR_NAME(n) #n,
#include "sys/nr_names.inc"
#undef NR_NAME
};
static const u16 name_offsets[] = {
#define NR_NAME(n) [LX_NR_##n] = offsetof(struct names, n),
#include "sys/nr_names.inc"
#undef NR_NAME
};

static const struct notes {
    char none;
#define SYS(name, support, note, ...) char name[sizeof(note)];
#include "sys/table_all.inc"
#undef SYS
} notes = {
    0,
#define SYS(name, support, note, ...) note,
#include "sys/table_all.inc"
#undef SYS
};
static const u16 note_offsets[LX_NR_COUNT] = {
#define SYS(name, support, note, ...) [LX_NR_##name] = offsetof(struct notes, name),
#include "sys/table_all.inc"
#undef SYS
};
_Static_assert(sizeof(names) <= UINT16_MAX && sizeof(notes) <= UINT16_MAX, "offsets");

const char *sys_name(u32 nr)
{
    u32 at = nr < ARRAY_SIZE(name_offsets) ? name_offsets[nr] : 0;
    return at ? (const char *)&names + at : NULL;
}

void sys_print_table(int fd, bool is_markdown)
{
    u32 nfull = 0, npartial = 0, nrefused = 0, nno = 0;
    if (is_markdown)
        dprintf(fd, "| number | call | support | note |\n|---|---|---|---|\n");
    for (u32 nr = 0; nr < LX_NR_COUNT; nr++) {
        const struct sys_entry *e = &sys_table[nr];
        const char *name = sys_name(nr);
        if (!name)
            continue;
        nfull += e->support == SYS_FULL;
        npartial += e->support == SYS_PARTIAL;
        nrefused += e->support == SYS_ERR;
        nno += e->support == SYS_UNKNOWN || e->support == SYS_NONE;
        dprintf(fd, is_markdown ? "| %u | %s | %s | %s |\n" : "%3u %-26s %-8s %s\n", nr, name,
                support_word(e), (const char *)&notes + note_offsets[nr]);
    }
    dprintf(fd, is_markdown ? "\n%u full, %u partial, %u refused with Linux's error, %u not supported (ENOSYS).\n"
                            : "%u full, %u partial, %u refused, %u not supported\n",
            nfull, npartial, nrefused, nno);
}
