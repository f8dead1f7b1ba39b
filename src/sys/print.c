/*
 * The table of system calls as text: for `cvisor syscalls` and docs/SYSCALLS.md.
 */
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

const char *sys_name(u32 nr)
{
    static const char *const names[] = {
#define NR_NAME(n) [LX_NR_##n] = #n,
#include "sys/nr_names.inc"
#undef NR_NAME
    };
    return nr < ARRAY_SIZE(names) ? names[nr] : NULL;
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
                support_word(e), e->note ? e->note : "");
    }
    dprintf(fd, is_markdown ? "\n%u full, %u partial, %u refused with Linux's error, %u not supported (ENOSYS).\n"
                            : "%u full, %u partial, %u refused, %u not supported\n",
            nfull, npartial, nrefused, nno);
}
