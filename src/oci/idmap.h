/*
 * Id maps of user namespaces: those that a specification asks for, the one that we live in, and
 * giving a process one.
 */
#ifndef OCI_IDMAP_H
#define OCI_IDMAP_H

#include <sys/types.h>

#include "oci/err.h"
#include "oci/spec.h"
#include "wire/bootcfg.h"

/* A copy of what the specification says, checked; 0 ranges without a user namespace. */
int idmap_from_spec(const struct oci_idmaps *from, const char *what, u32 *ret_n,
                    struct boot_idmap **ret_map, struct err *e) must_check;
bool idmap_has(const struct boot_idmap *map, u32 n, u32 id);

/*
 * The caller's own maps when it lives in a user namespace of an engine's, as what its sandboxes
 * show and hold to. Nothing is filled in when all ids are there.
 */
int idmap_own(struct bootcfg *boot, struct err *e) must_check;

/* The one id of ours that boot's maps name, as the namespace calls it; false: they name others. */
bool idmap_single(const struct bootcfg *boot, u32 uid, u32 gid, u32 *ret_uid, u32 *ret_gid);

/*
 * Gives the new user namespace of process pid boot's maps: itself when it may, else with
 * newuidmap and newgidmap, which know what /etc/subuid and /etc/subgid allow.
 */
int idmap_write(pid_t pid, const struct bootcfg *boot, bool is_privileged,
                struct err *e) must_check;

#endif
