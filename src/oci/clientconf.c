/* Client configuration; see clientconf.h. */
#include "oci/clientconf.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/toml.h"

#define MARKER "# Written by 'cvisor install'.\n"

static int no_memory(struct err *e)
{
    return err_set(e, "out of memory");
}

/* ---- Docker --------------------------------------------------------------------------------- */

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == 0;
}

static json_t *docker_load(const struct clientconf *c, const char *text, struct err *e)
{
    json_error_t je;
    json_t *root = is_blank(text) ? json_object() : json_loads(text, 0, &je);
    if (!root)
        err_set(e, "%s:%d:%d: %s; nothing is changed", c->file, je.line, je.column, je.text);
    else if (!json_is_object(root) || (json_object_get(root, "runtimes") &&
                                       !json_is_object(json_object_get(root, "runtimes")))) {
        err_set(e, "%s: %s is not an object; nothing is changed", c->file,
                json_is_object(root) ? "'runtimes'" : "the document");
        json_decref(root);
        root = NULL;
    }
    return root;
}

static int docker_dump(json_t *root, const char *old, char **ret_text, struct err *e)
{
    /* As far in as the first member is. */
    const char *line = strchr(old, '\n');
    size_t indent = line ? strspn(line + 1, " ") : 4;
    if (indent == 0 || indent > 8)
        indent = 4;
    char *text = json_dumps(root, JSON_INDENT(indent));
    if (!text || asprintf(ret_text, "%s\n", text) < 0) {
        free(text);
        return no_memory(e);
    }
    free(text);
    return 0;
}

static int docker_add(const struct clientconf *c, const char *text, char **ret_text, struct err *e)
{
    json_t *root = docker_load(c, text, e);
    if (!root)
        return -1;
    json_t *runtimes = json_object_get(root, "runtimes");
    if (!runtimes && json_object_set_new(root, "runtimes", json_object()) == 0)
        runtimes = json_object_get(root, "runtimes");
    json_t *own = json_object_get(runtimes, c->runtime);
    json_t *path = json_object_get(own, "path");
    int r;
    if (json_is_string(path) && !strcmp(json_string_value(path), c->path)) {
        *ret_text = strdup(text); /* it is there: not even the layout changes */
        r = *ret_text ? 0 : no_memory(e);
    } else {
        if (!json_is_object(own) && json_object_set_new(runtimes, c->runtime, json_object()) == 0)
            own = json_object_get(runtimes, c->runtime);
        r = json_object_set_new(own, "path", json_string(c->path)) < 0
                ? no_memory(e)
                : docker_dump(root, text, ret_text, e);
    }
    json_decref(root);
    return r;
}

static int docker_remove(const struct clientconf *c, const char *text, char **ret_text,
                         struct err *e)
{
    json_t *root = docker_load(c, text, e);
    if (!root)
        return -1;
    json_t *runtimes = json_object_get(root, "runtimes");
    const char *standard = json_string_value(json_object_get(root, "default-runtime"));
    int r = 0;
    if (!json_object_get(runtimes, c->runtime)) {
        *ret_text = strdup(text);
        r = *ret_text ? 0 : no_memory(e);
    } else if (standard && !strcmp(standard, c->runtime)) {
        r = err_set(e, "%s: '%s' is the default-runtime; choose another one first", c->file,
                    c->runtime);
    } else {
        json_object_del(runtimes, c->runtime);
        if (json_object_size(runtimes) == 0)
            json_object_del(root, "runtimes");
        *ret_text = NULL;
        if (json_object_size(root) > 0)
            r = docker_dump(root, text, ret_text, e);
    }
    json_decref(root);
    return r;
}

/* ---- containerd ----------------------------------------------------------------------------- */

/* The table of the runtime, by the version of the file's layout. */
static int containerd_table(const struct clientconf *c, const char *text, char *ret_table,
                            size_t room, struct err *e)
{
    char *version = NULL;
    int r = toml_get(text, c->file, "", "version", &version, e);
    if (r < 0)
        return -1;
    int v = r ? atoi(version) : 1;
    free(version);
    const char *plugin = v == 1   ? "cri"
                         : v == 2 ? "io.containerd.grpc.v1.cri"
                         : v == 3 ? "io.containerd.cri.v1.runtime"
                                  : NULL;
    if (!plugin)
        return err_set(e, "%s: version %d is not known; nothing is changed", c->file, v);
    snprintf(ret_table, room,
             "plugins" TOML_SEP "%s" TOML_SEP "containerd" TOML_SEP "runtimes" TOML_SEP "%s",
             plugin, c->runtime);
    return 0;
}

static int containerd_add(const struct clientconf *c, char **text, struct err *e)
{
    char table[512], options[540];
    if (is_blank(*text)) {
        free(*text);
        *text = strdup("version = 2\n");
        if (!*text)
            return no_memory(e);
    }
    if (containerd_table(c, *text, table, sizeof(table), e) < 0)
        return -1;
    snprintf(options, sizeof(options), "%s" TOML_SEP "options", table);
    char *path = toml_quote(c->path);
    if (!path)
        return no_memory(e);
    int r = toml_set(text, c->file, table, "runtime_type", "\"io.containerd.runc.v2\"", e);
    if (r == 0)
        r = toml_set(text, c->file, options, "BinaryName", path, e);
    free(path);
    return r;
}

static int containerd_remove(const struct clientconf *c, char **text, struct err *e)
{
    char table[512];
    if (containerd_table(c, *text, table, sizeof(table), e) < 0)
        return -1;
    return toml_remove_tables(text, c->file, table, e);
}

/* ---- Podman --------------------------------------------------------------------------------- */

#define PODMAN_TABLE "engine" TOML_SEP "runtimes"

static int podman_add(const struct clientconf *c, char **text, struct err *e)
{
    char *path = toml_quote(c->path), *value;
    if (is_blank(*text)) {
        free(*text);
        *text = strdup(MARKER);
    }
    int n = path && *text ? asprintf(&value, "[%s]", path) : -1;
    free(path);
    if (n < 0)
        return no_memory(e);
    int r = toml_set(text, c->file, PODMAN_TABLE, c->runtime, value, e);
    free(value);
    return r;
}

static int podman_remove(const struct clientconf *c, char **text, struct err *e)
{
    if (toml_remove_key(text, c->file, PODMAN_TABLE, c->runtime, e) < 0 ||
        toml_remove_if_empty(text, c->file, PODMAN_TABLE, e) < 0)
        return -1;
    if (!strncmp(*text, MARKER, strlen(MARKER)) && is_blank(*text + strlen(MARKER))) {
        free(*text);
        *text = NULL;
    }
    return 0;
}

int clientconf_add(const struct clientconf *c, const char *text, char **ret_text, struct err *e)
{
    if (c->client == CLIENT_DOCKER)
        return docker_add(c, text ? text : "", ret_text, e);
    char *t = strdup(text ? text : "");
    if (!t)
        return no_memory(e);
    int r = c->client == CLIENT_CONTAINERD ? containerd_add(c, &t, e) : podman_add(c, &t, e);
    if (r < 0)
        free(t);
    else
        *ret_text = t;
    return r;
}

int clientconf_remove(const struct clientconf *c, const char *text, char **ret_text, struct err *e)
{
    if (!text) {
        *ret_text = NULL;
        return 0;
    }
    if (c->client == CLIENT_DOCKER)
        return docker_remove(c, text, ret_text, e);
    char *t = strdup(text);
    if (!t)
        return no_memory(e);
    int r = c->client == CLIENT_CONTAINERD ? containerd_remove(c, &t, e) : podman_remove(c, &t, e);
    if (r < 0)
        free(t);
    else
        *ret_text = t;
    return r;
}
