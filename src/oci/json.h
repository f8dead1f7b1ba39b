/*
 * Reading JSON into structs by tables, one row a field.
 *
 * A reader knows the place it is at, so that every complaint names its field.
 * null counts as absent. Everything read lives in the document: strings in the
 * JSON tree, arrays in its arena.
 */
#ifndef OCI_JSON_H
#define OCI_JSON_H

#include <jansson.h>

#include "oci/err.h"
#include "oci/spec.h"

struct oci_doc;

struct json_rd {
    struct oci_doc *doc;
    struct err *e;
    const char *name; /* of the file */
    char at[400];     /* "process.rlimits[2]" */
    u32 at_len;
};

enum json_kind {
    JSON_K_STR,      /* char * */
    JSON_K_BOOL,     /* bool */
    JSON_K_U32,      /* u32 */
    JSON_K_S32,      /* s32 */
    JSON_K_U64,      /* u64: also above INT64_MAX */
    JSON_K_S64,      /* s64 */
    JSON_K_OPT,      /* struct oci_opt */
    JSON_K_OPT_U32,  /* struct oci_opt, 0 to UINT32_MAX */
    JSON_K_OPT_U64,  /* struct oci_opt, 0 to INT64_MAX; more is INT64_MAX */
    JSON_K_OPT_BOOL, /* struct oci_opt, 0 or 1 */
    JSON_K_STRS,     /* struct oci_strs */
    JSON_K_PAIRS,    /* struct oci_pairs: an object of strings */
    JSON_K_OBJ,      /* a struct, by `table` */
    JSON_K_OBJS,     /* an array of them: a pointer, then u32 count */
    JSON_K_CALL,     /* fn(rd, value, dst) */
    JSON_K_REFUSED,  /* this runtime cannot do it */
};

struct json_table;
struct json_field {
    const char *name;
    enum json_kind kind;
    u32 offset;
    const struct json_table *table;
    int (*fn)(struct json_rd *rd, json_t *value, void *dst);
    bool is_required;
};
struct json_table {
    const struct json_field *fields;
    u32 nfields;
    size_t size;                                 /* of the struct */
    int (*check)(struct json_rd *rd, void *obj); /* after all fields, or NULL */
};

struct oci_doc *json_doc_new(const char *text, size_t size, const char *name,
                             struct err *e) must_check;
void json_doc_free(struct oci_doc *doc);
json_t *json_doc_root(struct oci_doc *doc);
/* Zeroed memory that the document owns; NULL: none. */
void *json_doc_alloc(struct oci_doc *doc, size_t size) must_check;
/* Reads a file of at most 16 MiB; malloc'ed and NUL-terminated. */
int json_read_file(int dir_fd, const char *path, char **ret_text, size_t *ret_size,
                   struct err *e) must_check;

/* Both fill e with the place in front, and return -1. */
int json_fail(struct json_rd *rd, const char *fmt, ...) printf_like(2, 3);
int json_wrong_type(struct json_rd *rd, const char *wanted, json_t *value);
int json_no_memory(struct json_rd *rd);

/* Into a member or an element of where we are, and out again (with the value of the push). */
u32 json_push(struct json_rd *rd, const char *member);
u32 json_push_index(struct json_rd *rd, size_t i);
void json_pop(struct json_rd *rd, u32 mark);

int json_read(struct json_rd *rd, const struct json_table *table, json_t *obj,
              void *dst) must_check;
int json_read_objs(struct json_rd *rd, const struct json_table *table, json_t *arr,
                   void *ret_list) must_check;
int json_str(struct json_rd *rd, json_t *value, char **ret) must_check;
int json_u64(struct json_rd *rd, json_t *value, u64 max, u64 *ret) must_check;
int json_s64(struct json_rd *rd, json_t *value, s64 min, s64 max, s64 *ret) must_check;
/* printf into the document's memory. */
char *json_doc_printf(struct oci_doc *doc, const char *fmt, ...) printf_like(2, 3);
/* Appends to a list of strings; the list is the document's. */
int json_strs_add(struct oci_doc *doc, struct oci_strs *list, char *s) must_check;

#endif
