/* Control groups through systemd. */
#include <errno.h>
#include <unistd.h>

#include "oci/cgroup_int.h"

int cg_systemd_create(struct oci_cgroup *cg, const char *cgroups_path, const char *id,
                      struct err *e)
{
    (void)cg;
    (void)cgroups_path;
    (void)id;
    if (access("/run/systemd/system", F_OK) < 0)
        return err_set(e,
                       "--systemd-cgroup: systemd does not run on this machine; leave the flag out "
                       "(Podman: --cgroup-manager=cgroupfs)");
    return err_set(e, "--systemd-cgroup is not supported by this runtime; leave the flag out "
                      "(Podman: --cgroup-manager=cgroupfs)");
}
