/*
 * `#!` lines, as Linux's binfmt_script reads them: blanks, the interpreter, then
 * all the rest of the line, trimmed, as one argument. Only the first 256 bytes of
 * the file count: an interpreter name that runs into their end is refused, an
 * argument is cut off.
 */
#include <string.h>

#include "loader/loader_int.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

int script_parse(const char head[LOADER_HEAD_SIZE], struct script *ret)
{
    if (head[0] != '#' || head[1] != '!')
        return -LX_ENOEXEC;
    const char *p = head + 2, *limit = head + LOADER_HEAD_SIZE;
    const char *end = memchr(p, '\n', (size_t)(limit - p));
    const char *nul = memchr(p, 0, (size_t)((end ? end : limit) - p));
    bool is_cut = !end && !nul; /* the line goes on beyond what we have */
    if (nul)
        end = nul;
    else if (!end)
        end = limit;
    while (p < end && is_blank(*p))
        p++;
    while (end > p && is_blank(end[-1]))
        end--;
    const char *name_end = p;
    while (name_end < end && !is_blank(*name_end))
        name_end++;
    if (name_end == p || (is_cut && name_end == limit))
        return -LX_ENOEXEC;
    *ret = (struct script){0};
    memcpy(ret->interp, p, (size_t)(name_end - p));
    const char *arg = name_end;
    while (arg < end && is_blank(*arg))
        arg++;
    ret->has_arg = arg < end;
    memcpy(ret->arg, arg, (size_t)(end - arg));
    return 0;
}
