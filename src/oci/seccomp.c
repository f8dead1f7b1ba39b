/* Seccomp profiles; see seccomp.h. libseccomp makes the program, nothing here installs one. */
#include "oci/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define API_LEVEL  6    /* of the guest's kernel, whatever the host's has */
#define MAX_INSNS  4096 /* BPF_MAXINSNS */
#define STUB_INSNS 6
#define X32_BIT    0x40000000U

const char *const oci_seccomp_actions[] = {
    "SCMP_ACT_ALLOW",        "SCMP_ACT_ERRNO",       "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
    "SCMP_ACT_TRACE",        "SCMP_ACT_TRAP",        NULL,
};
const char *const oci_seccomp_operators[] = {
    "SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
    "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL,
};
const char *const oci_seccomp_archs[] = {"SCMP_ARCH_X32", "SCMP_ARCH_X86_64", NULL};
const char *const oci_seccomp_flags[] = {
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    NULL,
};

/* ---- words --------------------------------------------------------------------------------- */

static int read_action(const char *where, const char *name, const struct oci_opt *errno_ret,
                       u32 *ret_action, struct err *e)
{
    const struct {
        const char *name;
        u32 action;
    } plain[] = {
        {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
        {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
        {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
        {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
        {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
        {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    };
    u64 value = errno_ret->is_set ? (u64)errno_ret->v : EPERM;
    if (value > UINT16_MAX)
        return err_set(e, "linux.seccomp: %s: errnoRet: %llu is more than 65535", where,
                       (unsigned long long)value);
    if (!strcmp(name, "SCMP_ACT_ERRNO")) {
        *ret_action = SCMP_ACT_ERRNO((u32)value);
        return 0;
    }
    if (!strcmp(name, "SCMP_ACT_TRACE")) {
        *ret_action = SCMP_ACT_TRACE((u32)value);
        return 0;
    }
    if (!strcmp(name, "SCMP_ACT_NOTIFY"))
        return err_set(
            e, "linux.seccomp: %s: the action SCMP_ACT_NOTIFY is not supported by this runtime",
            where);
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        if (strcmp(plain[i].name, name))
            continue;
        if (errno_ret->is_set)
            return err_set(e, "linux.seccomp: %s: the action %s has no errnoRet", where, name);
        *ret_action = plain[i].action;
        return 0;
    }
    return err_set(e, "linux.seccomp: %s: '%.64s' is not an action", where, name);
}

static int read_op(const char *where, const char *name, enum scmp_compare *ret_op, struct err *e)
{
    static const struct {
        const char *name;
        enum scmp_compare op;
    } ops[] = {
        {"SCMP_CMP_NE", SCMP_CMP_NE},
        {"SCMP_CMP_LT", SCMP_CMP_LT},
        {"SCMP_CMP_LE", SCMP_CMP_LE},
        {"SCMP_CMP_EQ", SCMP_CMP_EQ},
        {"SCMP_CMP_GE", SCMP_CMP_GE},
        {"SCMP_CMP_GT", SCMP_CMP_GT},
        {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    };
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        if (!strcmp(ops[i].name, name)) {
            *ret_op = ops[i].op;
            return 0;
        }
    }
    return err_set(e, "linux.seccomp: %s: '%.64s' is not an operator", where, name);
}

static int read_flags(const struct oci_seccomp *s, u32 *ret_flags, struct err *e)
{
    static const struct {
        const char *name;
        u32 flag;
    } flags[] = {
        {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
        {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
        {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    };
    *ret_flags = 0;
    for (u32 i = 0; i < s->flags.n; i++) {
        size_t k = 0;
        while (k < ARRAY_SIZE(flags) && strcmp(flags[k].name, s->flags.v[i]))
            k++;
        if (k == ARRAY_SIZE(flags))
            return err_set(e, "linux.seccomp: flags[%u]: '%.64s' is not supported by this runtime",
                           i, s->flags.v[i]);
        *ret_flags |= flags[k].flag;
    }
    return 0;
}

/*
 * The guest's kernel runs x86-64 code, so the rules for other machines can never apply. They
 * are left out: a shorter program is a faster one. x32 calls share the machine's number.
 */
static int add_archs(scmp_filter_ctx ctx, const struct oci_seccomp *s, struct err *e)
{
    static const char *const known[] = {
        "X86",     "X86_64",      "X32",    "ARM",      "AARCH64",     "MIPS",
        "MIPS64",  "MIPS64N32",   "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC",
        "PPC64",   "PPC64LE",     "S390",   "S390X",    "PARISC",      "PARISC64",
        "RISCV64", "LOONGARCH64", "M68K",   "SH",       "SHEB",
    };
    for (u32 i = 0; i < s->architectures.n; i++) {
        const char *name = s->architectures.v[i];
        size_t k = 0;
        if (strncmp(name, "SCMP_ARCH_", 10))
            k = ARRAY_SIZE(known);
        while (k < ARRAY_SIZE(known) && strcmp(known[k], name + 10))
            k++;
        if (k == ARRAY_SIZE(known))
            return err_set(e, "linux.seccomp: architectures[%u]: '%.64s' is not an architecture", i,
                           name);
        int r = strcmp(name + 10, "X32") ? 0 : seccomp_arch_add(ctx, SCMP_ARCH_X32);
        if (r < 0 && r != -EEXIST)
            return err_set(e, "linux.seccomp: architectures[%u]: %s: %s", i, name, strerror(-r));
    }
    return 0;
}

/* ---- rules --------------------------------------------------------------------------------- */

static int add_rule(scmp_filter_ctx ctx, const char *where, u32 action, int nr,
                    const struct scmp_arg_cmp *args, u32 nargs, struct err *e)
{
    int r = seccomp_rule_add_array(ctx, action, nr, nargs, args);
    if (r == 0 || r == -EEXIST)
        return 0;
    return err_set(e, "linux.seccomp: %s: cannot be made a filter: %s", where, strerror(-r));
}

static int add_rules(scmp_filter_ctx ctx, const struct oci_seccomp_rule *rule, const char *where,
                     u32 action, int *max_nr, struct err *e)
{
    struct scmp_arg_cmp args[6];
    bool has_again = false, is_used[6] = {false};
    u32 nargs = rule->args.n;
    for (u32 i = 0; i < nargs; i++) {
        has_again |= is_used[rule->args.v[i].index];
        is_used[rule->args.v[i].index] = true;
    }
    for (u32 n = 0; n < rule->names.n; n++) {
        int nr = seccomp_syscall_resolve_name(rule->names.v[n]);
        if (nr == __NR_SCMP_ERROR)
            continue; /* not one of this machine */
        *max_nr = MAX(*max_nr, nr);
        for (u32 i = 0; i < nargs; i++) {
            const struct oci_seccomp_arg *a = &rule->args.v[i];
            enum scmp_compare op;
            if (read_op(where, a->op, &op, e) < 0)
                return -1;
            struct scmp_arg_cmp *cmp = has_again ? &args[0] : &args[i];
            *cmp = (struct scmp_arg_cmp){
                .arg = a->index, .op = op, .datum_a = a->value, .datum_b = a->value_two};
            /* Several conditions on one argument are alternatives: a rule each. */
            if (has_again && add_rule(ctx, where, action, nr, args, 1, e) < 0)
                return -1;
        }
        if (!has_again && add_rule(ctx, where, action, nr, args, nargs, e) < 0)
            return -1;
    }
    return 0;
}

static int fill(scmp_filter_ctx ctx, const struct oci_seccomp *s, u32 default_action, int *max_nr,
                struct err *e)
{
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary search, not a list */
    if (r < 0)
        return err_set(e, "linux.seccomp: %s", strerror(-r));
    if (add_archs(ctx, s, e) < 0)
        return -1;
    for (u32 i = 0; i < s->syscalls.n; i++) {
        const struct oci_seccomp_rule *rule = &s->syscalls.v[i];
        char where[40];
        u32 action;
        snprintf(where, sizeof(where), "syscalls[%u]", i);
        if (read_action(where, rule->action, &rule->errno_ret, &action, e) < 0)
            return -1;
        if (action == default_action) {
            for (u32 k = 0; k < rule->names.n; k++)
                *max_nr = MAX(*max_nr, seccomp_syscall_resolve_name(rule->names.v[k]));
            continue;
        }
        if (add_rules(ctx, rule, where, action, max_nr, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- the program --------------------------------------------------------------------------- */

/* A call newer than all that the profile knows is ENOSYS, where the default would refuse it. */
static u32 put_stub(struct sock_filter *out, int max_nr, u32 default_action)
{
    if (max_nr < 0 || default_action == SCMP_ACT_ALLOW || default_action == SCMP_ACT_LOG ||
        (default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE ||
        default_action == SCMP_ACT_ERRNO(ENOSYS))
        return 0;
    const struct sock_filter stub[STUB_INSNS] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (u32)max_nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    memcpy(out, stub, sizeof(stub));
    return STUB_INSNS;
}

static int export(scmp_filter_ctx ctx, int max_nr, u32 default_action, struct oci_bpf *ret,
                  struct err *e)
{
    struct stat st;
    int fd = memfd_create("bpf", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "linux.seccomp: cannot make a memory file");
    int r = seccomp_export_bpf(ctx, fd);
    if (r < 0 || fstat(fd, &st) < 0) {
        close(fd);
        return err_set(e, "linux.seccomp: cannot be made a filter: %s",
                       strerror(r < 0 ? -r : errno));
    }
    size_t n = (size_t)st.st_size / sizeof(struct sock_filter);
    struct sock_filter *insns = calloc(n + STUB_INSNS, sizeof(*insns));
    u32 nstub = insns ? put_stub(insns, max_nr, default_action) : 0;
    if (!insns ||
        pread(fd, insns + nstub, n * sizeof(*insns), 0) != (ssize_t)(n * sizeof(*insns))) {
        free(insns);
        close(fd);
        return err_set(e, "linux.seccomp: out of memory");
    }
    close(fd);
    if (n + nstub > MAX_INSNS) {
        free(insns);
        return err_set(
            e, "linux.seccomp: is too large: a filter of %zu instructions, where %d is the most",
            n + nstub, MAX_INSNS);
    }
    _Static_assert(sizeof(struct sock_filter) == sizeof(u64), "an instruction is 8 bytes");
    ret->insns = (u64 *)(void *)insns;
    ret->ninsns = (u32)n + nstub;
    return 0;
}

int oci_seccomp_compile(const struct oci_seccomp *s, struct oci_bpf *ret_bpf, struct err *e)
{
    u32 default_action, flags;
    int max_nr = -1;
    struct oci_bpf bpf = {0};
    if (s->listener_path && s->listener_path[0])
        return err_set(e, "linux.seccomp: listenerPath is not supported by this runtime");
    if (read_action("defaultAction", s->default_action, &s->default_errno_ret, &default_action, e) <
            0 ||
        read_flags(s, &flags, e) < 0)
        return -1;
    int r = seccomp_api_set(API_LEVEL);
    scmp_filter_ctx ctx = r == 0 ? seccomp_init(default_action) : NULL;
    if (!ctx)
        return err_set(e, "linux.seccomp: cannot start libseccomp");
    r = fill(ctx, s, default_action, &max_nr, e);
    if (r == 0)
        r = export(ctx, max_nr, default_action, &bpf, e);
    seccomp_release(ctx);
    if (r < 0)
        return -1;
    bpf.flags = flags;
    *ret_bpf = bpf;
    return 0;
}

void oci_bpf_done(struct oci_bpf *bpf)
{
    free(bpf->insns);
    *bpf = (struct oci_bpf){0};
}
