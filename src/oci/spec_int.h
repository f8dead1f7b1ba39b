/* What the files of the specification share: tables of one that another's refer to. */
#ifndef OCI_SPEC_INT_H
#define OCI_SPEC_INT_H

#include "oci/json.h"

#define FIELD(type_, member_, name_, kind_)                                                        \
    {                                                                                              \
        .name = name_, .kind = kind_, .offset = offsetof(type_, member_)                           \
    }
#define FIELD_REQUIRED(type_, member_, name_, kind_)                                               \
    {                                                                                              \
        .name = name_, .kind = kind_, .offset = offsetof(type_, member_), .is_required = true      \
    }
#define FIELD_OBJ(type_, member_, name_, table_)                                                   \
    {                                                                                              \
        .name = name_, .kind = JSON_K_OBJ, .offset = offsetof(type_, member_), .table = table_     \
    }
#define FIELD_OBJS(type_, member_, name_, table_)                                                  \
    {                                                                                              \
        .name = name_, .kind = JSON_K_OBJS, .offset = offsetof(type_, member_), .table = table_    \
    }
#define FIELD_CALL(type_, member_, name_, fn_)                                                     \
    {                                                                                              \
        .name = name_, .kind = JSON_K_CALL, .offset = offsetof(type_, member_), .fn = fn_          \
    }
#define FIELD_REFUSED(name_)                                                                       \
    {                                                                                              \
        .name = name_, .kind = JSON_K_REFUSED                                                      \
    }
#define TABLE(fields_, type_, check_)                                                              \
    {                                                                                              \
        .fields = fields_, .nfields = ARRAY_SIZE(fields_), .size = sizeof(type_), .check = check_  \
    }

extern const struct json_table json_mount_table;     /* spec_mount.c: struct oci_mount */
extern const struct json_table json_linux_table;     /* spec_linux.c: struct oci_linux */
extern const struct json_table json_resources_table; /* spec_res.c: struct oci_resources */
extern const struct json_table json_process_table;   /* spec_process.c: struct oci_process */
extern const struct json_table json_idmap_table;     /* spec_linux.c: struct oci_idmap */

/* A sentence for the log: the document's list of warnings. */
int json_warn(struct json_rd *rd, const char *fmt, ...) printf_like(2, 3);
/* "private", "rslave", … to MS_* flags; 0: none of them. */
u32 oci_propagation(const char *word);
/* A path that must be absolute, for the place we are at. */
int json_check_absolute(struct json_rd *rd, const char *member, const char *path) must_check;

#endif
