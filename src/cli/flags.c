/* See flags.h. */
#include "cli/flags.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct flag *find(const struct flag *flags, size_t n, const char *name, size_t size)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(flags[i].name) == size && !memcmp(flags[i].name, name, size))
            return &flags[i];
        if (size == 1 && flags[i].alias == *name)
            return &flags[i];
    }
    return NULL;
}

static int set_switch(const struct flag *f, const char *value, struct err *e)
{
    bool is_on = !value || !strcmp(value, "true") || !strcmp(value, "1") || !strcmp(value, "t");
    if (!is_on && strcmp(value, "false") && strcmp(value, "0") && strcmp(value, "f"))
        return err_set(e, "--%s is a switch: true or false, not '%s'", f->name, value);
    if (f->to)
        *(bool *)f->to = is_on;
    return 0;
}

static int add(struct flag_list *l, const char *value, struct err *e)
{
    const char **v = realloc(l->v, (l->n + 2) * sizeof(*v));
    if (!v)
        return err_set(e, "out of memory");
    v[l->n++] = value;
    v[l->n] = NULL;
    l->v = v;
    return 0;
}

static int set(const struct flag *f, const char *value, struct err *e)
{
    char *end;
    switch (f->kind) {
    case FLAG_STR:
        *(const char **)f->to = value;
        return 0;
    case FLAG_INT:
        errno = 0;
        *(s64 *)f->to = strtoll(value, &end, 10);
        if (errno || end == value || *end)
            return err_set(e, "--%s takes a number, not '%s'", f->name, value);
        return 0;
    case FLAG_LIST:
        return add(f->to, value, e);
    default:
        return set_switch(f, value, e);
    }
}

int flags_parse(const struct flag *flags, size_t nflags, int argc, char **argv, bool is_mixed,
                struct err *e)
{
    int kept = 1, i = 1;
    for (; i < argc; i++) {
        char *a = argv[i];
        if (a[0] != '-' || !a[1]) {
            if (!is_mixed)
                break;
            argv[kept++] = a;
            continue;
        }
        if (!strcmp(a, "--")) {
            i++;
            break;
        }
        const char *name = a + (a[1] == '-' ? 2 : 1);
        size_t size = strcspn(name, "=");
        const struct flag *f = find(flags, nflags, name, size);
        if (!f)
            return err_set(e, "'%s' has no flag '%s'", argv[0], a);
        const char *value = name[size] == '=' ? name + size + 1 : NULL;
        bool is_switch = f->kind == FLAG_SWITCH || f->kind == FLAG_IGNORED_SWITCH;
        if (!is_switch && !value) {
            if (++i == argc)
                return err_set(e, "--%s needs a value", f->name);
            value = argv[i];
        }
        if (is_switch ? set_switch(f, value, e) < 0 : set(f, value, e) < 0)
            return -1;
    }
    for (; i < argc; i++)
        argv[kept++] = argv[i];
    argv[kept] = NULL;
    return kept - 1;
}
