/* cvisor features: what of the specification this runtime has, as JSON (runtime-spec, features.md).
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/oci.h"
#include "oci/seccomp.h"
#include "oci/spec.h"

static json_t *list_of(const char *const *names, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(a, json_string(names[i])); /* no memory shows at the end */
    return a;
}

static json_t *list_to_null(const char *const *names)
{
    size_t n = 0;
    while (names[n])
        n++;
    return list_of(names, n);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *sorted(const char **names, size_t n)
{
    qsort(names, n, sizeof(*names), by_name);
    return list_of(names, n);
}

static json_t *linux_part(void)
{
    const char *ns[OCI_NNS], *caps[64];
    size_t ncaps = 0;
    for (size_t i = 0; i < OCI_NNS; i++)
        ns[i] = oci_ns_names[i];
    while (ncaps < ARRAY_SIZE(caps) && oci_cap_name((int)ncaps)) {
        caps[ncaps] = oci_cap_name((int)ncaps);
        ncaps++;
    }
    return json_pack("{s:o, s:o, s:{s:b, s:b, s:b, s:b}, s:{s:b, s:o, s:o, s:o, s:o}, s:{s:b}, "
                     "s:{s:b}, s:{s:b}}",
                     "namespaces", sorted(ns, OCI_NNS), "capabilities", list_of(caps, ncaps),
                     "cgroup", "v1", 1, "v2", 1, "systemd", 1, "systemdUser", 1, "seccomp",
                     "enabled", 1, "actions", list_to_null(oci_seccomp_actions), "operators",
                     list_to_null(oci_seccomp_operators), "archs", list_to_null(oci_seccomp_archs),
                     "supportedFlags", list_to_null(oci_seccomp_flags), "apparmor", "enabled", 0,
                     "selinux", "enabled", 0, "intelRdt", "enabled", 0);
}

int cmd_features(const struct global_opts *g, int argc, char **argv)
{
    struct err e = {0};
    const char *options[128];
    int n = flags_parse(NULL, 0, argc, argv, true, &e);
    if (n < 0 || oci_need_args(n, 0, argv[0], "no argument", &e) < 0)
        return oci_fail(g, 1, &e);
    u32 noptions = oci_mount_option_names(options, ARRAY_SIZE(options));
    json_t *top = json_pack("{s:s, s:s, s:o, s:o, s:o, s:{s:s}}", "ociVersionMin", "1.0.0",
                            "ociVersionMax", "1.1.0", "hooks", list_of(oci_hook_names, OCI_NHOOKS),
                            "mountOptions", sorted(options, noptions), "linux", linux_part(),
                            "annotations", "org.cvisor.guest-kernel", "6.12.0");
    char *text = top ? json_dumps(top, JSON_INDENT(4)) : NULL;
    json_decref(top);
    if (!text) {
        err_set(&e, "out of memory");
        return oci_fail(g, 1, &e);
    }
    puts(text);
    free(text);
    return 0;
}
