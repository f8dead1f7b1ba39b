/* Mounts of the specification, and what their options mean. */
#include <string.h>
#include <sys/mount.h>

#include "oci/spec_int.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

enum opt_kind {
    OPT_SET,
    OPT_CLEAR,
    OPT_REC_SET,
    OPT_REC_CLEAR,
    OPT_NOTHING,
    OPT_BIND,
    OPT_RBIND,
    OPT_COPYUP,
    OPT_IDMAP,
    OPT_RIDMAP,
    OPT_REFUSED
};

/* mount(8)'s words and those that runtimes have added. */
static const struct option_word {
    const char *word;
    enum opt_kind kind;
    u32 flag;
} words[] = {
    {"defaults", OPT_NOTHING, 0},
    {"ro", OPT_SET, MS_RDONLY},
    {"rw", OPT_CLEAR, MS_RDONLY},
    {"nosuid", OPT_SET, MS_NOSUID},
    {"suid", OPT_CLEAR, MS_NOSUID},
    {"nodev", OPT_SET, MS_NODEV},
    {"dev", OPT_CLEAR, MS_NODEV},
    {"noexec", OPT_SET, MS_NOEXEC},
    {"exec", OPT_CLEAR, MS_NOEXEC},
    {"sync", OPT_SET, MS_SYNCHRONOUS},
    {"async", OPT_CLEAR, MS_SYNCHRONOUS},
    {"dirsync", OPT_SET, MS_DIRSYNC},
    {"remount", OPT_REFUSED, 0},
    {"mand", OPT_REFUSED, 0},
    {"nomand", OPT_NOTHING, 0},
    {"atime", OPT_CLEAR, MS_NOATIME},
    {"noatime", OPT_SET, MS_NOATIME},
    {"diratime", OPT_CLEAR, MS_NODIRATIME},
    {"nodiratime", OPT_SET, MS_NODIRATIME},
    {"relatime", OPT_SET, MS_RELATIME},
    {"norelatime", OPT_CLEAR, MS_RELATIME},
    {"strictatime", OPT_SET, MS_STRICTATIME},
    {"nostrictatime", OPT_CLEAR, MS_STRICTATIME},
    {"lazytime", OPT_NOTHING, 0}, /* when times reach the disk is the host's affair */
    {"nolazytime", OPT_NOTHING, 0},
    {"loud", OPT_NOTHING, 0},
    {"silent", OPT_NOTHING, 0},
    {"iversion", OPT_NOTHING, 0},
    {"noiversion", OPT_NOTHING, 0},
    {"nosymfollow", OPT_SET, MS_NOSYMFOLLOW},
    {"symfollow", OPT_CLEAR, MS_NOSYMFOLLOW},
    {"bind", OPT_BIND, 0},
    {"rbind", OPT_RBIND, 0},
    {"tmpcopyup", OPT_COPYUP, 0},
    {"idmap", OPT_IDMAP, 0},
    {"ridmap", OPT_RIDMAP, 0},
    {"rro", OPT_REC_SET, MS_RDONLY},
    {"rrw", OPT_REC_CLEAR, MS_RDONLY},
    {"rnosuid", OPT_REC_SET, MS_NOSUID},
    {"rsuid", OPT_REC_CLEAR, MS_NOSUID},
    {"rnodev", OPT_REC_SET, MS_NODEV},
    {"rdev", OPT_REC_CLEAR, MS_NODEV},
    {"rnoexec", OPT_REC_SET, MS_NOEXEC},
    {"rexec", OPT_REC_CLEAR, MS_NOEXEC},
    {"rnoatime", OPT_REC_SET, MS_NOATIME},
    {"ratime", OPT_REC_CLEAR, MS_NOATIME},
    {"rnodiratime", OPT_REC_SET, MS_NODIRATIME},
    {"rdiratime", OPT_REC_CLEAR, MS_NODIRATIME},
    {"rrelatime", OPT_REC_SET, MS_RELATIME},
    {"rnorelatime", OPT_REC_CLEAR, MS_RELATIME},
    {"rstrictatime", OPT_REC_SET, MS_STRICTATIME},
    {"rnostrictatime", OPT_REC_CLEAR, MS_STRICTATIME},
    {"rnosymfollow", OPT_REC_SET, MS_NOSYMFOLLOW},
    {"rsymfollow", OPT_REC_CLEAR, MS_NOSYMFOLLOW},
};

static const struct {
    const char *word;
    u32 flags;
} propagation_types[] = {
    {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
    {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
    {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
    {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
};

u32 oci_propagation(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(propagation_types); i++)
        if (!strcmp(propagation_types[i].word, word))
            return propagation_types[i].flags;
    return 0;
}

u32 oci_mount_option_names(const char **ret, u32 max)
{
    u32 n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(words) && n < max; i++)
        if (words[i].kind != OPT_REFUSED)
            ret[n++] = words[i].word;
    for (size_t i = 0; i < ARRAY_SIZE(propagation_types) && n < max; i++)
        ret[n++] = propagation_types[i].word;
    return n;
}

static int add_data(struct json_rd *rd, struct oci_mount *m, const char *word)
{
    if (strchr(word, ','))
        return json_fail(rd, "'%.200s' holds a comma: one option an element", word);
    m->data = m->data ? json_doc_printf(rd->doc, "%s,%s", m->data, word)
                      : json_doc_printf(rd->doc, "%s", word);
    return m->data ? 0 : json_no_memory(rd);
}

static int read_option(struct json_rd *rd, struct oci_mount *m, const char *word)
{
    u32 propagation = oci_propagation(word);
    if (propagation) {
        m->propagation = propagation;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        const struct option_word *w = &words[i];
        if (strcmp(w->word, word))
            continue;
        switch (w->kind) {
        case OPT_SET:
            m->flags |= w->flag;
            m->cleared &= ~w->flag;
            break;
        case OPT_CLEAR:
            m->flags &= ~w->flag;
            m->cleared |= w->flag;
            break;
        case OPT_REC_SET:
            m->rec_set |= w->flag;
            m->rec_cleared &= ~w->flag;
            break;
        case OPT_REC_CLEAR:
            m->rec_set &= ~w->flag;
            m->rec_cleared |= w->flag;
            break;
        case OPT_RBIND:
            m->is_rec = true;
            m->kind = OCI_MOUNT_BIND;
            break;
        case OPT_BIND:
            m->kind = OCI_MOUNT_BIND;
            break;
        case OPT_COPYUP:
            m->is_copyup = true;
            break;
        case OPT_IDMAP:
            m->is_idmap = true;
            break;
        case OPT_RIDMAP:
            m->is_idmap = m->is_ridmap = true;
            break;
        case OPT_NOTHING:
            break;
        case OPT_REFUSED:
            return json_fail(rd, "the option '%s' is not supported by this runtime", word);
        }
        return 0;
    }
    return add_data(rd, m, word);
}

static int check_mount(struct json_rd *rd, void *obj)
{
    struct oci_mount *m = obj;
    if (json_check_absolute(rd, "destination", m->destination) < 0)
        return -1;
    u32 mark = json_push(rd, "options");
    for (u32 i = 0; i < m->options.n; i++) {
        u32 at = json_push_index(rd, i);
        if (read_option(rd, m, m->options.v[i]) < 0)
            return -1;
        json_pop(rd, at);
    }
    json_pop(rd, mark);
    if (m->type && !strcmp(m->type, "bind"))
        m->kind = OCI_MOUNT_BIND;
    if (m->kind == OCI_MOUNT_BIND) {
        if (!m->source || !m->source[0])
            return json_fail(rd, "a bind mount needs a source");
        m->data = NULL; /* mount(2) ignores it as well */
    } else if (!m->type || !m->type[0]) {
        return json_fail(rd, "type is missing, and the options do not say bind");
    }
    if (m->uid_maps.n || m->gid_maps.n) {
        if (m->kind != OCI_MOUNT_BIND)
            return json_fail(rd, "only a bind mount can have uidMappings and gidMappings");
        if (!m->uid_maps.n || !m->gid_maps.n)
            return json_fail(rd, "needs both uidMappings and gidMappings, or neither");
        m->is_idmap = true;
    }
    if (m->is_copyup && (m->kind == OCI_MOUNT_BIND || strcmp(m->type, "tmpfs")))
        return json_fail(rd, "only a tmpfs can have the option 'tmpcopyup'");
    return 0;
}

static const struct json_field fields[] = {
    FIELD_REQUIRED(struct oci_mount, destination, "destination", JSON_K_STR),
    FIELD(struct oci_mount, type, "type", JSON_K_STR),
    FIELD(struct oci_mount, source, "source", JSON_K_STR),
    FIELD(struct oci_mount, options, "options", JSON_K_STRS),
    FIELD_OBJS(struct oci_mount, uid_maps, "uidMappings", &json_idmap_table),
    FIELD_OBJS(struct oci_mount, gid_maps, "gidMappings", &json_idmap_table),
};
const struct json_table json_mount_table = TABLE(fields, struct oci_mount, check_mount);
