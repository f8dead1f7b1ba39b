/* The specification's top level, and the documents that callers hold. */
#include "oci/spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/spec_int.h"

const char *const oci_hook_names[OCI_NHOOKS] = {
    [OCI_HOOK_PRESTART] = "prestart",
    [OCI_HOOK_CREATE_RUNTIME] = "createRuntime",
    [OCI_HOOK_CREATE_CONTAINER] = "createContainer",
    [OCI_HOOK_START_CONTAINER] = "startContainer",
    [OCI_HOOK_POSTSTART] = "poststart",
    [OCI_HOOK_POSTSTOP] = "poststop",
};

const char *oci_pairs_get(const struct oci_pairs *p, const char *name)
{
    for (u32 i = 0; i < p->n; i++)
        if (!strcmp(p->v[i].name, name))
            return p->v[i].value;
    return NULL;
}

int json_check_absolute(struct json_rd *rd, const char *member, const char *path)
{
    if (path && path[0] == '/')
        return 0;
    return json_fail(rd, "%s: '%.200s' is not an absolute path", member, path ? path : "");
}

/* The list of warnings of the document that is being read. */
struct reader {
    struct json_rd rd;
    struct oci_strs warnings;
};

int json_warn(struct json_rd *rd, const char *fmt, ...)
{
    struct reader *r = container_of(rd, struct reader, rd);
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    char *s = json_doc_printf(rd->doc, "%s: %s: %s", rd->name, rd->at, text);
    return json_strs_add(rd->doc, &r->warnings, s) < 0 ? json_no_memory(rd) : 0;
}

/* ---- hooks --------------------------------------------------------------------------------- */

static int check_hook(struct json_rd *rd, void *obj)
{
    struct oci_hook *h = obj;
    if (h->timeout_s.is_set && (h->timeout_s.v <= 0 || h->timeout_s.v > INT32_MAX))
        return json_fail(rd, "timeout: must be more than 0 seconds, not %lld",
                         (long long)h->timeout_s.v);
    return json_check_absolute(rd, "path", h->path);
}
static const struct json_field hook_fields[] = {
    FIELD_REQUIRED(struct oci_hook, path, "path", JSON_K_STR),
    FIELD(struct oci_hook, args, "args", JSON_K_STRS),
    FIELD(struct oci_hook, env, "env", JSON_K_STRS),
    FIELD(struct oci_hook, timeout_s, "timeout", JSON_K_OPT),
};
static const struct json_table hook_table = TABLE(hook_fields, struct oci_hook, check_hook);

static int read_hooks(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_hooks *hooks = dst;
    if (!json_is_object(value))
        return json_wrong_type(rd, "an object", value);
    for (u32 i = 0; i < OCI_NHOOKS; i++) {
        json_t *list = json_object_get(value, oci_hook_names[i]);
        u32 mark = json_push(rd, oci_hook_names[i]);
        if (list && !json_is_null(list) && json_read_objs(rd, &hook_table, list, &hooks[i]) < 0)
            return -1;
        json_pop(rd, mark);
    }
    return 0;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int check_version(struct json_rd *rd, json_t *value, void *dst)
{
    char *v;
    if (json_str(rd, value, &v) < 0)
        return -1;
    if (strncmp(v, "1.", 2))
        return json_fail(rd, "'%.64s' is not a version that this runtime knows (1.x)", v);
    *(char **)dst = v;
    return 0;
}

static int read_root(struct json_rd *rd, json_t *value, void *dst)
{
    static const struct json_field root_fields[] = {
        FIELD_REQUIRED(struct oci_spec, root_path, "path", JSON_K_STR),
        FIELD(struct oci_spec, is_root_readonly, "readonly", JSON_K_BOOL),
    };
    static const struct json_table table = TABLE(root_fields, struct oci_spec, NULL);
    struct oci_spec *s = dst;
    if (json_read(rd, &table, value, s) < 0)
        return -1;
    return s->root_path[0] ? 0 : json_fail(rd, "path: is empty");
}

static int read_process(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_spec *s = container_of(dst, struct oci_spec, process);
    s->has_process = true;
    return json_read(rd, &json_process_table, value, dst);
}

static int check_name(struct json_rd *rd, const char *member, const char *name,
                      const struct oci_spec *s)
{
    if (!name || !name[0])
        return 0;
    if (strlen(name) > 64)
        return json_fail(rd, "%s: is longer than 64 bytes", member);
    if (!s->linux_.ns[OCI_NS_UTS].is_set)
        return json_fail(rd, "%s: can only be set in a uts namespace of the container's own",
                         member);
    return 0;
}

static int check_spec(struct json_rd *rd, void *obj)
{
    struct oci_spec *s = obj;
    if (check_name(rd, "hostname", s->hostname, s) < 0 ||
        check_name(rd, "domainname", s->domainname, s) < 0)
        return -1;
    for (u32 i = 0; i < s->mounts.n; i++)
        if (s->mounts.v[i].is_idmap && !s->mounts.v[i].uid_maps.n &&
            !s->linux_.ns[OCI_NS_USER].is_set)
            return json_fail(rd,
                             "mounts[%u]: an id-mapped mount needs uidMappings and gidMappings, "
                             "or a user namespace",
                             i);
    return 0;
}

static const struct json_field fields[] = {
    {.name = "ociVersion",
     .kind = JSON_K_CALL,
     .offset = offsetof(struct oci_spec, version),
     .fn = check_version,
     .is_required = true},
    {.name = "root", .kind = JSON_K_CALL, .offset = 0, .fn = read_root, .is_required = true},
    FIELD_CALL(struct oci_spec, process, "process", read_process),
    FIELD(struct oci_spec, hostname, "hostname", JSON_K_STR),
    FIELD(struct oci_spec, domainname, "domainname", JSON_K_STR),
    FIELD_OBJS(struct oci_spec, mounts, "mounts", &json_mount_table),
    FIELD_CALL(struct oci_spec, hooks, "hooks", read_hooks),
    FIELD(struct oci_spec, annotations, "annotations", JSON_K_PAIRS),
    FIELD_OBJ(struct oci_spec, linux_, "linux", &json_linux_table),
    FIELD_REFUSED("solaris"),
    FIELD_REFUSED("windows"),
    FIELD_REFUSED("vm"),
    FIELD_REFUSED("zos"),
};
static const struct json_table spec_table = TABLE(fields, struct oci_spec, check_spec);

/* Reads the document at text by table into *ret_obj, which its arena holds. */
static int parse(const char *text, size_t size, const char *name, const struct json_table *table,
                 void **ret_obj, struct oci_doc **ret_doc, struct oci_strs *ret_warnings,
                 struct err *e)
{
    struct reader r = {.rd = {.e = e, .name = name}};
    r.rd.doc = json_doc_new(text, size, name, e);
    if (!r.rd.doc)
        return -1;
    void *obj = json_doc_alloc(r.rd.doc, table->size);
    int rc = obj ? json_read(&r.rd, table, json_doc_root(r.rd.doc), obj) : json_no_memory(&r.rd);
    if (rc < 0) {
        json_doc_free(r.rd.doc);
        return -1;
    }
    *ret_obj = obj;
    *ret_doc = r.rd.doc;
    *ret_warnings = r.warnings;
    return 0;
}

int oci_spec_parse(const char *text, size_t size, const char *name, struct oci_spec **ret_spec,
                   struct err *e)
{
    void *obj;
    struct oci_doc *doc;
    struct oci_strs warnings;
    if (parse(text, size, name, &spec_table, &obj, &doc, &warnings, e) < 0)
        return -1;
    struct oci_spec *s = obj;
    s->doc = doc;
    s->warnings = warnings;
    *ret_spec = s;
    return 0;
}

void oci_spec_free(struct oci_spec *spec)
{
    if (spec)
        json_doc_free(spec->doc);
}

int oci_spec_load(int dir_fd, const char *path, struct oci_spec **ret_spec, struct err *e)
{
    char *text;
    size_t size;
    if (json_read_file(dir_fd, path, &text, &size, e) < 0)
        return -1;
    int r = oci_spec_parse(text, size, path, ret_spec, e);
    free(text);
    return r;
}

/* The documents of one part each: the part, then what owns it. */
static int parse_part(const char *text, size_t size, const char *name,
                      const struct json_table *table, size_t doc_size, void **ret_holder,
                      struct oci_doc **ret_doc, struct oci_strs *ret_warnings, struct err *e)
{
    void *part;
    if (parse(text, size, name, table, &part, ret_doc, ret_warnings, e) < 0)
        return -1;
    void *holder = json_doc_alloc(*ret_doc, doc_size);
    if (!holder) {
        json_doc_free(*ret_doc);
        return err_set(e, "%s: out of memory", name);
    }
    memcpy(holder, part, table->size);
    *ret_holder = holder;
    return 0;
}

int oci_process_parse(const char *text, size_t size, const char *name,
                      struct oci_process_doc **ret_p, struct err *e)
{
    void *holder;
    struct oci_doc *doc;
    struct oci_strs warnings;
    if (parse_part(text, size, name, &json_process_table, sizeof(struct oci_process_doc), &holder,
                   &doc, &warnings, e) < 0)
        return -1;
    struct oci_process_doc *p = holder;
    p->doc = doc;
    p->warnings = warnings;
    *ret_p = p;
    return 0;
}

int oci_process_load(int dir_fd, const char *path, struct oci_process_doc **ret_p, struct err *e)
{
    char *text;
    size_t size;
    if (json_read_file(dir_fd, path, &text, &size, e) < 0)
        return -1;
    int r = oci_process_parse(text, size, path, ret_p, e);
    free(text);
    return r;
}

void oci_process_free(struct oci_process_doc *p)
{
    if (p)
        json_doc_free(p->doc);
}

int oci_resources_parse(const char *text, size_t size, const char *name,
                        struct oci_resources_doc **ret_r, struct err *e)
{
    void *holder;
    struct oci_doc *doc;
    struct oci_strs warnings;
    if (parse_part(text, size, name, &json_resources_table, sizeof(struct oci_resources_doc),
                   &holder, &doc, &warnings, e) < 0)
        return -1;
    struct oci_resources_doc *r = holder;
    r->doc = doc;
    *ret_r = r;
    return 0;
}

void oci_resources_free(struct oci_resources_doc *r)
{
    if (r)
        json_doc_free(r->doc);
}
