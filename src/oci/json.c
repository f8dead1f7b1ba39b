/* JSON by tables; see json.h. */
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE  (16U << 20)
#define MAX_ITEMS 100000U

/*
 * Limits such as 18446744073709551615 are common and jansson's integers end at
 * 2^63 - 1: such numbers become strings with this prefix before it parses.
 */
#define BIG_PREFIX "\\u0001u64:"
#define BIG_MARK   "\001u64:"

struct chunk {
    struct chunk *next;
    max_align_t data[];
};
struct oci_doc {
    json_t *root;
    struct chunk *chunks;
};

/* ---- documents ----------------------------------------------------------------------------- */

/* Length of the run of digits at p when it is a whole number above INT64_MAX, else 0. */
static size_t big_number(const char *p, const char *end)
{
    u64 v = 0;
    const char *q = p;
    bool is_big = false;
    for (; q < end && *q >= '0' && *q <= '9'; q++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (u64)(*q - '0'), &v))
            return 0;
        is_big = v > INT64_MAX;
    }
    if (!is_big || (q < end && (*q == '.' || *q == 'e' || *q == 'E')))
        return 0;
    return (size_t)(q - p);
}

/* A copy of text with big numbers as strings, or NULL: out of memory. */
static char *wrap_big_numbers(const char *text, size_t size, size_t *ret_size)
{
    const char *end = text + size;
    size_t room = size + 1 + (size / 19 + 1) * (sizeof(BIG_PREFIX) + 2); /* none has fewer digits */
    char *out = malloc(room);
    if (!out)
        return NULL;
    size_t n = 0;
    bool is_string = false, is_after_digit = false;
    for (const char *p = text; p < end;) {
        size_t big =
            !is_string && !is_after_digit && *p >= '1' && *p <= '9' && (p == text || p[-1] != '-')
                ? big_number(p, end)
                : 0;
        if (big) {
            n += (size_t)sprintf(out + n, "\"" BIG_PREFIX "%.*s\"", (int)big, p);
            p += big;
            continue;
        }
        if (is_string && *p == '\\' && p + 1 < end)
            out[n++] = *p++;
        else if (*p == '"')
            is_string = !is_string;
        is_after_digit = !is_string && ((*p >= '0' && *p <= '9') || *p == '.');
        out[n++] = *p++;
    }
    out[n] = 0;
    *ret_size = n;
    return out;
}

struct oci_doc *json_doc_new(const char *text, size_t size, const char *name, struct err *e)
{
    json_error_t je;
    size_t wrapped_size;
    struct oci_doc *doc = calloc(1, sizeof(*doc));
    char *wrapped = wrap_big_numbers(text, size, &wrapped_size);
    if (!doc || !wrapped) {
        free(doc);
        free(wrapped);
        err_set(e, "%s: out of memory", name);
        return NULL;
    }
    doc->root = json_loadb(wrapped, wrapped_size, 0, &je);
    free(wrapped);
    if (!doc->root) {
        if (size == 0)
            err_set(e, "%s: the file is empty", name);
        else
            err_set(e, "%s: line %d, column %d: not JSON: %s", name, je.line, je.column, je.text);
        free(doc);
        return NULL;
    }
    return doc;
}

void json_doc_free(struct oci_doc *doc)
{
    if (!doc)
        return;
    while (doc->chunks) {
        struct chunk *c = doc->chunks;
        doc->chunks = c->next;
        free(c);
    }
    json_decref(doc->root);
    free(doc);
}

json_t *json_doc_root(struct oci_doc *doc)
{
    return doc->root;
}

void *json_doc_alloc(struct oci_doc *doc, size_t size)
{
    struct chunk *c = calloc(1, sizeof(*c) + size);
    if (!c)
        return NULL;
    c->next = doc->chunks;
    doc->chunks = c;
    return c->data;
}

char *json_doc_printf(struct oci_doc *doc, const char *fmt, ...)
{
    va_list ap;
    char *text;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return NULL;
    char *s = json_doc_alloc(doc, (size_t)n + 1);
    if (s)
        memcpy(s, text, (size_t)n + 1);
    free(text);
    return s;
}

int json_strs_add(struct oci_doc *doc, struct oci_strs *list, char *s)
{
    char **v = json_doc_alloc(doc, (list->n + 2) * sizeof(*v));
    if (!v || !s)
        return -1;
    if (list->n)
        memcpy(v, list->v, list->n * sizeof(*v));
    v[list->n++] = s;
    list->v = v;
    return 0;
}

int json_read_file(int dir_fd, const char *path, char **ret_text, size_t *ret_size, struct err *e)
{
    struct stat st;
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_errno(e, "cannot open '%s'", path);
    if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
        close(fd);
        return err_set(e, "cannot read '%s': it is a directory", path);
    }
    (void)fcntl(fd, F_SETFL, 0); /* a pipe is waited for; its opening was not */
    size_t size = 0, room = 64 * 1024;
    char *text = malloc(room + 1);
    for (;;) {
        if (!text) {
            close(fd);
            return err_set(e, "cannot read '%s': out of memory", path);
        }
        ssize_t n = read(fd, text + size, room - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_errno(e, "cannot read '%s'", path);
            break;
        }
        if (n == 0) {
            text[size] = 0;
            close(fd);
            *ret_text = text;
            *ret_size = size;
            return 0;
        }
        size += (size_t)n;
        if (size == MAX_FILE) {
            err_set(e, "'%s' is larger than %u MiB", path, MAX_FILE >> 20);
            break;
        }
        if (size == room) {
            room = MIN(room * 4, (size_t)MAX_FILE);
            char *more = realloc(text, room + 1);
            if (!more)
                free(text);
            text = more;
        }
    }
    free(text);
    close(fd);
    return -1;
}

/* ---- places -------------------------------------------------------------------------------- */

static u32 push(struct json_rd *rd, const char *text)
{
    u32 mark = rd->at_len;
    int n = snprintf(rd->at + mark, sizeof(rd->at) - mark, "%s", text);
    rd->at_len = (u32)MIN((size_t)mark + (size_t)n, sizeof(rd->at) - 1);
    return mark;
}

u32 json_push(struct json_rd *rd, const char *member)
{
    char text[140];
    snprintf(text, sizeof(text), "%s%.128s", rd->at_len ? "." : "", member);
    return push(rd, text);
}

u32 json_push_index(struct json_rd *rd, size_t i)
{
    char text[32];
    snprintf(text, sizeof(text), "[%zu]", i);
    return push(rd, text);
}

void json_pop(struct json_rd *rd, u32 mark)
{
    rd->at[mark] = 0;
    rd->at_len = mark;
}

int json_fail(struct json_rd *rd, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set(rd->e, "%s: %s%s%s", rd->name, rd->at, rd->at_len ? ": " : "", text);
}

int json_no_memory(struct json_rd *rd)
{
    return json_fail(rd, "out of memory");
}

static const char *type_name(json_t *v)
{
    if (json_is_string(v) && !strncmp(json_string_value(v), BIG_MARK, strlen(BIG_MARK)))
        return "so large a number";
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a truth value";
    default:
        return "null";
    }
}

int json_wrong_type(struct json_rd *rd, const char *wanted, json_t *value)
{
    return json_fail(rd, "must be %s, not %s", wanted, type_name(value));
}

/* ---- values -------------------------------------------------------------------------------- */

int json_str(struct json_rd *rd, json_t *value, char **ret)
{
    if (!json_is_string(value) || !strncmp(json_string_value(value), BIG_MARK, strlen(BIG_MARK)))
        return json_wrong_type(rd, "a string", value);
    *ret = (char *)(uintptr_t)json_string_value(value);
    return 0;
}

int json_s64(struct json_rd *rd, json_t *value, s64 min, s64 max, s64 *ret)
{
    if (!json_is_integer(value))
        return json_wrong_type(rd, "a whole number", value);
    s64 v = json_integer_value(value);
    if (v < min || v > max)
        return json_fail(rd, "%lld is out of range (%lld to %lld)", (long long)v, (long long)min,
                         (long long)max);
    *ret = v;
    return 0;
}

int json_u64(struct json_rd *rd, json_t *value, u64 max, u64 *ret)
{
    u64 v;
    if (json_is_string(value) && !strncmp(json_string_value(value), BIG_MARK, strlen(BIG_MARK)))
        v = strtoull(json_string_value(value) + strlen(BIG_MARK), NULL, 10);
    else if (!json_is_integer(value))
        return json_wrong_type(rd, "a whole number", value);
    else if (json_integer_value(value) < 0)
        return json_fail(rd, "%lld is out of range (0 to %llu)",
                         (long long)json_integer_value(value), (unsigned long long)max);
    else
        v = (u64)json_integer_value(value);
    if (v > max)
        return json_fail(rd, "%llu is out of range (0 to %llu)", (unsigned long long)v,
                         (unsigned long long)max);
    *ret = v;
    return 0;
}

static int read_strs(struct json_rd *rd, json_t *value, struct oci_strs *ret)
{
    if (!json_is_array(value))
        return json_wrong_type(rd, "an array of strings", value);
    size_t n = json_array_size(value);
    if (n > MAX_ITEMS)
        return json_fail(rd, "has too many elements");
    if (n == 0) {
        *ret = (struct oci_strs){0};
        return 0;
    }
    char **v = json_doc_alloc(rd->doc, (n + 1) * sizeof(*v));
    if (!v)
        return json_no_memory(rd);
    for (size_t i = 0; i < n; i++) {
        u32 mark = json_push_index(rd, i);
        if (json_str(rd, json_array_get(value, i), &v[i]) < 0)
            return -1;
        json_pop(rd, mark);
    }
    *ret = (struct oci_strs){v, (u32)n};
    return 0;
}

static int read_pairs(struct json_rd *rd, json_t *value, struct oci_pairs *ret)
{
    if (!json_is_object(value))
        return json_wrong_type(rd, "an object of strings", value);
    size_t n = json_object_size(value);
    if (n > MAX_ITEMS)
        return json_fail(rd, "has too many members");
    struct oci_pair *v = n ? json_doc_alloc(rd->doc, n * sizeof(*v)) : NULL;
    if (n && !v)
        return json_no_memory(rd);
    u32 i = 0;
    const char *key;
    json_t *member;
    json_object_foreach(value, key, member)
    {
        u32 mark = json_push(rd, key);
        v[i].name = (char *)(uintptr_t)key;
        if (json_str(rd, member, &v[i].value) < 0)
            return -1;
        i++;
        json_pop(rd, mark);
    }
    *ret = (struct oci_pairs){v, i};
    return 0;
}

struct obj_list { /* what every "struct { T *v; u32 n; }" looks like */
    void *v;
    u32 n;
};

int json_read_objs(struct json_rd *rd, const struct json_table *table, json_t *arr, void *ret_list)
{
    if (!json_is_array(arr))
        return json_wrong_type(rd, "an array", arr);
    size_t n = json_array_size(arr);
    if (n > MAX_ITEMS)
        return json_fail(rd, "has too many elements");
    u8 *v = n ? json_doc_alloc(rd->doc, n * table->size) : NULL;
    if (n && !v)
        return json_no_memory(rd);
    for (size_t i = 0; i < n; i++) {
        u32 mark = json_push_index(rd, i);
        if (json_read(rd, table, json_array_get(arr, i), v + i * table->size) < 0)
            return -1;
        json_pop(rd, mark);
    }
    struct obj_list list = {v, (u32)n};
    memcpy(ret_list, &list, sizeof(v) + sizeof(u32));
    return 0;
}

static int read_opt(struct json_rd *rd, enum json_kind kind, json_t *value, struct oci_opt *ret)
{
    u64 u;
    s64 s;
    if (kind == JSON_K_OPT_BOOL) {
        if (!json_is_boolean(value))
            return json_wrong_type(rd, "true or false", value);
        *ret = (struct oci_opt){true, json_is_true(value)};
        return 0;
    }
    if (kind == JSON_K_OPT) {
        if (json_s64(rd, value, INT64_MIN, INT64_MAX, &s) < 0)
            return -1;
        *ret = (struct oci_opt){true, s};
        return 0;
    }
    if (json_u64(rd, value, kind == JSON_K_OPT_U32 ? UINT32_MAX : UINT64_MAX, &u) < 0)
        return -1;
    *ret = (struct oci_opt){true, (s64)MIN(u, (u64)INT64_MAX)};
    return 0;
}

static int read_field(struct json_rd *rd, const struct json_field *f, json_t *value, void *dst)
{
    u64 u;
    s64 s;
    switch (f->kind) {
    case JSON_K_STR:
        return json_str(rd, value, dst);
    case JSON_K_BOOL:
        if (!json_is_boolean(value))
            return json_wrong_type(rd, "true or false", value);
        *(bool *)dst = json_is_true(value);
        return 0;
    case JSON_K_U32:
        if (json_u64(rd, value, UINT32_MAX, &u) < 0)
            return -1;
        *(u32 *)dst = (u32)u;
        return 0;
    case JSON_K_S32:
        if (json_s64(rd, value, INT32_MIN, INT32_MAX, &s) < 0)
            return -1;
        *(s32 *)dst = (s32)s;
        return 0;
    case JSON_K_U64:
        return json_u64(rd, value, UINT64_MAX, dst);
    case JSON_K_S64:
        return json_s64(rd, value, INT64_MIN, INT64_MAX, dst);
    case JSON_K_OPT:
    case JSON_K_OPT_U32:
    case JSON_K_OPT_U64:
    case JSON_K_OPT_BOOL:
        return read_opt(rd, f->kind, value, dst);
    case JSON_K_STRS:
        return read_strs(rd, value, dst);
    case JSON_K_PAIRS:
        return read_pairs(rd, value, dst);
    case JSON_K_OBJ:
        return json_read(rd, f->table, value, dst);
    case JSON_K_OBJS:
        return json_read_objs(rd, f->table, value, dst);
    case JSON_K_CALL:
        return f->fn(rd, value, dst);
    case JSON_K_REFUSED:
        break;
    }
    return json_fail(rd, "is not supported by this runtime");
}

int json_read(struct json_rd *rd, const struct json_table *table, json_t *obj, void *dst)
{
    if (!json_is_object(obj))
        return json_wrong_type(rd, "an object", obj);
    for (u32 i = 0; i < table->nfields; i++) {
        const struct json_field *f = &table->fields[i];
        json_t *value = json_object_get(obj, f->name);
        u32 mark = json_push(rd, f->name);
        if (!value || json_is_null(value)) {
            if (f->is_required)
                return json_fail(rd, "is missing");
        } else if (read_field(rd, f, value, (u8 *)dst + f->offset) < 0) {
            return -1;
        }
        json_pop(rd, mark);
    }
    return table->check ? table->check(rd, dst) : 0;
}
