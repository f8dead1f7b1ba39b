/*
 * linux.seccomp of the specification as a classic BPF program, which the guest's
 * kernel runs over the system calls of the container: the host's kernel never sees it.
 */
#ifndef OCI_SECCOMP_H
#define OCI_SECCOMP_H

#include "oci/spec.h"

struct oci_bpf {
    u64 *insns; /* malloc'ed: struct sock_filter each */
    u32 ninsns;
    u32 flags; /* SECCOMP_FILTER_FLAG_* */
};

/*
 * Translates s. What Linux's other runtimes do with a profile is done here too: a system call that
 * nobody has heard of is skipped, and one that is newer than all of the profile's is ENOSYS, so
 * that programs fall back to older ones.
 */
int oci_seccomp_compile(const struct oci_seccomp *s, struct oci_bpf *ret_bpf,
                        struct err *e) must_check;
void oci_bpf_done(struct oci_bpf *bpf);

/* What it takes, for `features`; NULL-terminated. */
extern const char *const oci_seccomp_actions[];
extern const char *const oci_seccomp_operators[];
extern const char *const oci_seccomp_archs[];
extern const char *const oci_seccomp_flags[];

#endif
