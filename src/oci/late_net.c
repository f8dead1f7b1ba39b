/* See late_net.h. */
#include "oci/late_net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "oci/client.h"
#include "oci/idmap.h"
#include "oci/netns.h"
#include "wire/control.h"

/* An engine of an ordinary user's serves such a network itself, by other means. */
static bool is_engines_work(const struct oci_state *s, const struct oci_spec *spec)
{
    const struct oci_namespace *ns = spec->linux_.ns;
    struct bootcfg own = {0};
    if (s->pod || geteuid() != 0 || !ns[OCI_NS_USER].is_set || !ns[OCI_NS_NET].is_set ||
        ns[OCI_NS_NET].path || idmap_own(&own, NULL) < 0)
        return false;
    bool has_all = own.nuid_map == 0;
    free(own.uid_map);
    free(own.gid_map);
    return has_all;
}

/* The configuration, then a packet socket an interface. */
static int hand_over(const struct oci_state *s, const struct sandbox_params *p, struct err *e)
{
    static struct ctl_reply reply;
    int fds[CTL_MAX_FDS], link = -1, r = -1;
    u32 n = 0;
    int config = memfd_create("net", MFD_CLOEXEC);
    if (config < 0 ||
        write(config, p->boot->net, p->boot->net_size) != (ssize_t)p->boot->net_size) {
        err_errno(e, "cannot write the network's configuration");
    } else {
        fds[n++] = config;
        for (u32 i = 0; i < p->nnet_fds; i++)
            fds[n++] = p->net_fds[i];
        link = client_connect(s, e);
    }
    if (link >= 0 && client_send(link, CTL_NET, 0, 0, s->id, fds, n, e) == 0)
        r = client_receive(link, CLIENT_WAIT_MS, &reply, e);
    if (link >= 0)
        close(link);
    if (config >= 0)
        close(config);
    return r;
}

int late_net_take(const struct oci_state *s, const struct oci_spec *spec, const char *egress,
                  struct err *e)
{
    struct bootcfg boot = {0};
    struct sandbox_params p = {.boot = &boot};
    if (!is_engines_work(s, spec))
        return 0;
    int r = netns_take_late(s->pid, egress, &p, e);
    if (r == 0 && p.nnet_fds)
        r = hand_over(s, &p, e);
    for (u32 i = 0; i < p.nnet_fds; i++)
        close(p.net_fds[i]);
    free(boot.net);
    return r;
}
