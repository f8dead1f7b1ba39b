/*
 * TOML edits; see toml.h. The text is cut into statements, headers and keys,
 * each with its lines; values are skipped, not understood. An edit replaces,
 * adds or takes out whole statements or one value.
 */
#include "oci/toml.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PATH_LEN 1024
#define SEP_CHAR     TOML_SEP[0]

struct stmt {
    bool is_header;
    size_t start, end;             /* its lines, with the last newline */
    size_t value_start, value_end; /* of a key */
    char *path;                    /* full: the key's with its table's in front */
};
struct toml {
    struct stmt *stmts;
    u32 count;
};
struct scan {
    const char *text, *name;
    size_t at, size;
    struct err *e;
};

static void toml_done(struct toml *t)
{
    for (u32 i = 0; i < t->count; i++)
        free(t->stmts[i].path);
    free(t->stmts);
}

static int no_memory(struct err *e)
{
    return err_set(e, "out of memory");
}

static int bad(struct scan *s, const char *what)
{
    u32 line = 1;
    for (size_t i = 0; i < s->at && i < s->size; i++)
        line += s->text[i] == '\n';
    return err_set(s->e, "%s:%u: %s; nothing is changed", s->name, line, what);
}

static char peek(const struct scan *s)
{
    return s->at < s->size ? s->text[s->at] : 0;
}

static bool starts(const struct scan *s, const char *what)
{
    size_t n = strlen(what);
    return s->size - s->at >= n && !memcmp(s->text + s->at, what, n);
}

static void skip_blanks(struct scan *s)
{
    while (peek(s) == ' ' || peek(s) == '\t')
        s->at++;
}

static void skip_line(struct scan *s)
{
    while (s->at < s->size && s->text[s->at] != '\n')
        s->at++;
    if (s->at < s->size)
        s->at++;
}

/* Past the newline of a line that holds no more than a comment. */
static int end_line(struct scan *s)
{
    skip_blanks(s);
    if (s->at < s->size && peek(s) != '\n' && peek(s) != '\r' && peek(s) != '#')
        return bad(s, "not TOML");
    skip_line(s);
    return 0;
}

static int skip_string(struct scan *s)
{
    char q = peek(s);
    char triple[4] = {q, q, q, 0};
    bool is_long = starts(s, triple);
    s->at += is_long ? 3 : 1;
    for (; s->at < s->size; s->at++) {
        if (q == '"' && s->text[s->at] == '\\' && s->at + 1 < s->size) {
            s->at++;
        } else if (is_long && starts(s, triple)) {
            s->at += 3;
            for (int i = 0; i < 2 && peek(s) == q; i++)
                s->at++;
            return 0;
        } else if (!is_long && s->text[s->at] == q) {
            s->at++;
            return 0;
        } else if (!is_long && s->text[s->at] == '\n') {
            break;
        }
    }
    return bad(s, "a string does not end");
}

static int skip_value(struct scan *s, size_t *ret_end)
{
    u32 depth = 0;
    size_t end = s->at;
    while (s->at < s->size) {
        char c = peek(s);
        if (depth == 0 && (c == '\n' || c == '#'))
            break;
        if (c == '"' || c == '\'') {
            if (skip_string(s) < 0)
                return -1;
            end = s->at;
            continue;
        }
        if (c == '#') {
            skip_line(s);
            continue;
        }
        depth += c == '[' || c == '{';
        if ((c == ']' || c == '}') && depth-- == 0)
            return bad(s, "not TOML: a bracket closes that did not open");
        s->at++;
        if (!isspace((unsigned char)c))
            end = s->at;
    }
    if (depth)
        return bad(s, "a bracket does not close");
    *ret_end = end;
    return 0;
}

/* Reads a dotted key and appends its parts to the path. */
static int read_key(struct scan *s, char *path)
{
    size_t n = strlen(path);
    for (;;) {
        skip_blanks(s);
        size_t start = s->at, end;
        char q = peek(s);
        if (q == '"' || q == '\'') {
            if (skip_string(s) < 0)
                return -1;
            start++;
            end = s->at - 1;
        } else {
            while (isalnum((unsigned char)peek(s)) || peek(s) == '_' || peek(s) == '-')
                s->at++;
            end = s->at;
            if (start == end)
                return bad(s, "not TOML: a key is missing");
        }
        if (n + (end - start) + 2 > MAX_PATH_LEN)
            return bad(s, "the name is too long");
        if (n)
            path[n++] = SEP_CHAR;
        memcpy(path + n, s->text + start, end - start);
        n += end - start;
        path[n] = 0;
        skip_blanks(s);
        if (peek(s) != '.')
            return 0;
        s->at++;
    }
}

static int add_stmt(struct toml *t, const struct stmt *st, const char *path, struct err *e)
{
    struct stmt *stmts = realloc(t->stmts, (t->count + 1) * sizeof(*stmts));
    if (!stmts)
        return no_memory(e);
    t->stmts = stmts;
    stmts[t->count] = *st;
    stmts[t->count].path = strdup(path);
    if (!stmts[t->count].path)
        return no_memory(e);
    t->count++;
    return 0;
}

static int parse(const char *text, const char *name, struct toml *t, struct err *e)
{
    struct scan s = {.text = text, .name = name, .size = strlen(text), .e = e};
    char table[MAX_PATH_LEN] = "", path[MAX_PATH_LEN];
    while (s.at < s.size) {
        struct stmt st = {.start = s.at};
        skip_blanks(&s);
        char c = peek(&s);
        if (c == '\n' || c == '\r' || c == '#' || c == 0) {
            skip_line(&s);
            continue;
        }
        if (c == '[') {
            bool is_array = starts(&s, "[[");
            s.at += is_array ? 2 : 1;
            table[0] = 0;
            if (read_key(&s, table) < 0)
                return -1;
            if (!starts(&s, is_array ? "]]" : "]"))
                return bad(&s, "not TOML: a header does not close");
            s.at += is_array ? 2 : 1;
            st.is_header = true;
            strcpy(path, table);
        } else {
            strcpy(path, table);
            if (read_key(&s, path) < 0)
                return -1;
            if (peek(&s) != '=')
                return bad(&s, "not TOML: '=' is missing");
            s.at++;
            skip_blanks(&s);
            st.value_start = s.at;
            if (skip_value(&s, &st.value_end) < 0)
                return -1;
        }
        if (end_line(&s) < 0)
            return -1;
        st.end = s.at;
        if (add_stmt(t, &st, path, e) < 0)
            return -1;
    }
    return 0;
}

static int splice(char **text, size_t at, size_t cut, const char *put, struct err *e)
{
    size_t size = strlen(*text), n = strlen(put);
    char *out = malloc(size - cut + n + 1);
    if (!out)
        return no_memory(e);
    memcpy(out, *text, at);
    memcpy(out + at, put, n);
    strcpy(out + at + n, *text + at + cut);
    free(*text);
    *text = out;
    return 0;
}

static bool is_at_or_below(const char *path, const char *above)
{
    size_t n = strlen(above);
    return !strncmp(path, above, n) && (path[n] == 0 || path[n] == SEP_CHAR);
}

static struct stmt *find(struct toml *t, bool is_header, const char *path)
{
    for (u32 i = 0; i < t->count; i++)
        if (t->stmts[i].is_header == is_header && !strcmp(t->stmts[i].path, path))
            return &t->stmts[i];
    return NULL;
}

/* The path as a header or key writes it: bare parts bare, others in quotes. */
static void write_path(FILE *f, const char *path)
{
    while (*path) {
        size_t n = strcspn(path, TOML_SEP);
        bool is_bare = n > 0;
        for (size_t i = 0; i < n; i++)
            is_bare &= isalnum((unsigned char)path[i]) || path[i] == '_' || path[i] == '-';
        fprintf(f, is_bare ? "%.*s" : "\"%.*s\"", (int)n, path);
        path += n;
        if (*path) {
            fputc('.', f);
            path++;
        }
    }
}

/* What stands in the way of a new table: a key that is a part of it or above it. */
static int check_room(struct toml *t, const char *name, const char *table, struct err *e)
{
    for (u32 i = 0; i < t->count; i++) {
        struct stmt *st = &t->stmts[i];
        if (st->is_header || (!is_at_or_below(table, st->path) && !is_at_or_below(st->path, table)))
            continue;
        char *key = NULL;
        size_t n;
        FILE *f = open_memstream(&key, &n);
        if (!f)
            return no_memory(e);
        write_path(f, st->path);
        fclose(f);
        err_set(e,
                "%s: '%.200s' is written in a form that is not edited here; "
                "make it a [table], or add the runtime by hand",
                name, key ? key : "");
        free(key);
        return -1;
    }
    return 0;
}

int toml_set(char **text, const char *name, const char *table, const char *key, const char *value,
             struct err *e)
{
    struct toml t cleanup(toml_done) = {0};
    char path[MAX_PATH_LEN];
    if (parse(*text, name, &t, e) < 0)
        return -1;
    if ((size_t)snprintf(path, sizeof(path), "%s%s%s", table, *table ? TOML_SEP : "", key) >=
        sizeof(path))
        return err_set(e, "the name of a key is too long");
    struct stmt *st = find(&t, false, path);
    if (st)
        return splice(text, st->value_start, st->value_end - st->value_start, value, e);
    char *line = NULL;
    size_t n, at;
    FILE *f = open_memstream(&line, &n);
    if (!f)
        return no_memory(e);
    st = *table ? find(&t, true, table) : NULL;
    if (st) { /* as the first line below its header, two further in */
        at = st->end;
        int indent = (int)strspn(*text + st->start, " \t");
        if (at > 0 && (*text)[at - 1] != '\n')
            fputc('\n', f);
        fprintf(f, "%.*s%s%s = %s\n", indent, *text + st->start, indent ? "  " : "", key, value);
    } else if (!*table) {
        at = 0;
        fprintf(f, "%s = %s\n", key, value);
    } else {
        at = strlen(*text);
        if (check_room(&t, name, table, e) < 0) {
            fclose(f);
            free(line);
            return -1;
        }
        if (at > 0)
            fputs((*text)[at - 1] == '\n' ? "\n" : "\n\n", f);
        fputc('[', f);
        write_path(f, table);
        fprintf(f, "]\n%s = %s\n", key, value);
    }
    fclose(f);
    int r = line ? splice(text, at, 0, line, e) : no_memory(e);
    free(line);
    return r;
}

int toml_remove_tables(char **text, const char *name, const char *table, struct err *e)
{
    struct toml t cleanup(toml_done) = {0};
    if (parse(*text, name, &t, e) < 0)
        return -1;
    for (u32 i = t.count; i-- > 0;) {
        struct stmt *st = &t.stmts[i];
        if (!st->is_header || !is_at_or_below(st->path, table))
            continue;
        u32 last = i;
        while (last + 1 < t.count && !t.stmts[last + 1].is_header)
            last++;
        size_t start = st->start, end = t.stmts[last].end;
        /* One blank line goes with it: the one that toml_set puts before. */
        if (start >= 2 && (*text)[start - 1] == '\n' && (*text)[start - 2] == '\n')
            start--;
        if (splice(text, start, end - start, "", e) < 0)
            return -1;
    }
    return 0;
}

int toml_remove_key(char **text, const char *name, const char *table, const char *key,
                    struct err *e)
{
    struct toml t cleanup(toml_done) = {0};
    char path[MAX_PATH_LEN];
    if (parse(*text, name, &t, e) < 0)
        return -1;
    if ((size_t)snprintf(path, sizeof(path), "%s%s%s", table, *table ? TOML_SEP : "", key) >=
        sizeof(path))
        return err_set(e, "the name of a key is too long");
    struct stmt *st = find(&t, false, path);
    return st ? splice(text, st->start, st->end - st->start, "", e) : 0;
}

int toml_remove_if_empty(char **text, const char *name, const char *table, struct err *e)
{
    struct toml t cleanup(toml_done) = {0};
    if (parse(*text, name, &t, e) < 0)
        return -1;
    struct stmt *st = find(&t, true, table);
    if (!st || (st + 1 < t.stmts + t.count && !st[1].is_header))
        return 0;
    size_t start = st->start;
    if (start >= 2 && (*text)[start - 1] == '\n' && (*text)[start - 2] == '\n')
        start--;
    return splice(text, start, st->end - start, "", e);
}

int toml_get(const char *text, const char *name, const char *table, const char *key,
             char **ret_value, struct err *e)
{
    struct toml t cleanup(toml_done) = {0};
    char path[MAX_PATH_LEN];
    if (parse(text, name, &t, e) < 0)
        return -1;
    if ((size_t)snprintf(path, sizeof(path), "%s%s%s", table, *table ? TOML_SEP : "", key) >=
        sizeof(path))
        return err_set(e, "the name of a key is too long");
    struct stmt *st = find(&t, false, path);
    if (!st)
        return 0;
    *ret_value = strndup(text + st->value_start, st->value_end - st->value_start);
    return *ret_value ? 1 : no_memory(e);
}

char *toml_quote(const char *s)
{
    char *out = NULL;
    size_t n;
    FILE *f = open_memstream(&out, &n);
    if (!f)
        return NULL;
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if ((unsigned char)*s < 0x20 || *s == 0x7f)
            fprintf(f, "\\u%04x", (unsigned)*s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
    fclose(f);
    return out;
}
