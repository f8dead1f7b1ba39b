/*
 * The runtime in the configuration of container clients: Docker's daemon.json,
 * containerd's config.toml, Podman's containers.conf. Text in, text out.
 */
#ifndef OCI_CLIENTCONF_H
#define OCI_CLIENTCONF_H

#include "oci/err.h"

enum client { CLIENT_DOCKER, CLIENT_CONTAINERD, CLIENT_PODMAN };

struct clientconf {
    enum client client;
    const char *file;    /* its name, for complaints */
    const char *runtime; /* the name that it is to have */
    const char *path;    /* of the program */
};

/*
 * Both take the file's text (NULL: there is no file) and give the new one,
 * malloc'ed; clientconf_remove gives NULL when nothing but what the other has
 * written is left, so that the file can go.
 */
int clientconf_add(const struct clientconf *c, const char *text, char **ret_text,
                   struct err *e) must_check;
int clientconf_remove(const struct clientconf *c, const char *text, char **ret_text,
                      struct err *e) must_check;

#endif
