/* From the specification's words to a sentry's configuration. */
#ifndef OCI_TRANSLATE_H
#define OCI_TRANSLATE_H

#include "oci/sandbox.h"
#include "oci/spec.h"

struct oci_boot {
    struct boot_container container;
    struct sandbox_tree *trees; /* the sources of bind mounts: trees 1 and up of the gofer */
    u32 ntrees;
    bool is_mapped; /* the container has a user namespace of its own, with these maps */
    u32 nuid_map, ngid_map;
    struct boot_idmap *uid_map, *gid_map;
    char *root; /* absolute path of the root directory */
};

/*
 * Fills *ret from a checked spec. What it points to belongs partly to spec and partly to nobody: it
 * lives as long as the command. bundle: an absolute path.
 */
int oci_to_boot(const struct oci_spec *spec, const char *bundle, const char *id,
                struct oci_boot *ret, struct err *e) must_check;
/* The container's seccomp profile and personality, which are its later processes' too. */
int oci_filter_to_boot(const struct oci_linux *l, struct boot_process *p, struct err *e) must_check;
int oci_process_to_boot(const struct oci_process *p, struct boot_process *ret,
                        struct err *e) must_check;

#endif
