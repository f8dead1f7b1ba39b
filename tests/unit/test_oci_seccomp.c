/* Seccomp profiles: the programs that come out, run as the guest's kernel runs them. */
#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include "kern/seccomp.h"
#include "oci/seccomp.h"
#include "test.h"

static struct err last_error;

/* Compiles the seccomp object at text. */
static int compile(const char *text, struct oci_bpf *ret)
{
    static char whole[20000];
    struct oci_spec *s;
    snprintf(
        whole, sizeof(whole),
        "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"linux\":{\"seccomp\":%.19000s}}",
        text);
    memset(&last_error, 0, sizeof(last_error));
    if (oci_spec_parse(whole, strlen(whole), "c", &s, &last_error) < 0)
        return -1;
    int r = oci_seccomp_compile(s->linux_.seccomp, ret, &last_error);
    oci_spec_free(s);
    return r;
}

static u32 run_arch(const struct oci_bpf *bpf, u32 arch, u32 nr, u64 arg0, u64 arg1)
{
    struct lx_seccomp_data d = {.nr = (s32)nr, .arch = arch, .args = {arg0, arg1}};
    const void *insns = bpf->insns;
    return bpf_run(insns, &d);
}
static u32 run(const struct oci_bpf *bpf, u32 nr, u64 arg0, u64 arg1)
{
    return run_arch(bpf, AUDIT_ARCH_X86_64, nr, arg0, arg1);
}

static void compile_ok(const char *text, struct oci_bpf *ret)
{
    int r = compile(text, ret);
    if (r < 0)
        fprintf(stderr, "%s\n", last_error.msg);
    CHECK_EQ(r, 0);
    const void *insns = ret->insns;
    CHECK_EQ(bpf_check(insns, ret->ninsns), 0);
}

#define CHECK_REFUSED(text_, sentence_)                                                            \
    do {                                                                                           \
        struct oci_bpf refused_;                                                                   \
        CHECK_EQ(compile(text_, &refused_), -1);                                                   \
        CHECK_STR(last_error.msg, sentence_);                                                      \
    } while (0)

TEST(actions)
{
    static const struct {
        const char *action;
        u32 ret;
    } all[] = {
        {"SCMP_ACT_KILL\"", SECCOMP_RET_KILL_THREAD},
        {"SCMP_ACT_KILL_THREAD\"", SECCOMP_RET_KILL_THREAD},
        {"SCMP_ACT_KILL_PROCESS\"", SECCOMP_RET_KILL_PROCESS},
        {"SCMP_ACT_TRAP\"", SECCOMP_RET_TRAP},
        {"SCMP_ACT_ERRNO\"", SECCOMP_RET_ERRNO | EPERM},
        {"SCMP_ACT_ERRNO\",\"errnoRet\":38", SECCOMP_RET_ERRNO | ENOSYS},
        {"SCMP_ACT_ERRNO\",\"errnoRet\":0", SECCOMP_RET_ERRNO},
        {"SCMP_ACT_TRACE\",\"errnoRet\":7", SECCOMP_RET_TRACE | 7},
        {"SCMP_ACT_LOG\"", SECCOMP_RET_LOG},
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        char text[300];
        struct oci_bpf bpf;
        snprintf(text, sizeof(text),
                 "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"getcwd\","
                 "\"nonsense\"],\"action\":\"%s}]}",
                 all[i].action);
        compile_ok(text, &bpf);
        CHECK_EQ(run(&bpf, __NR_getcwd, 0, 0), all[i].ret);
        CHECK_EQ(run(&bpf, __NR_read, 0, 0), SECCOMP_RET_ALLOW);
        CHECK_EQ(run(&bpf, 1000, 0, 0), SECCOMP_RET_ALLOW);
        oci_bpf_done(&bpf);
    }
}

TEST(defaults)
{
    struct oci_bpf bpf;
    compile_ok("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\","
               "\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],"
               "\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],"
               "\"syscalls\":[{\"names\":[\"read\",\"clone\"],\"action\":\"SCMP_ACT_ALLOW\"}]}",
               &bpf);
    CHECK_EQ(bpf.flags, SECCOMP_FILTER_FLAG_LOG);
    CHECK_EQ(run(&bpf, __NR_read, 0, 0), SECCOMP_RET_ALLOW);
    CHECK_EQ(run(&bpf, __NR_write, 0, 0), SECCOMP_RET_ERRNO | EPERM);
    CHECK_EQ(run(&bpf, __NR_clone3, 0, 0), SECCOMP_RET_ERRNO | ENOSYS); /* newer than the profile */
    CHECK_EQ(run(&bpf, __NR_read | 0x40000000, 0, 0), SECCOMP_RET_ALLOW); /* x32 */
    CHECK_EQ(run(&bpf, __NR_write | 0x40000000, 0, 0), SECCOMP_RET_ERRNO | EPERM);
    CHECK_EQ(run_arch(&bpf, AUDIT_ARCH_I386, 3, 0, 0), SECCOMP_RET_KILL_THREAD);
    oci_bpf_done(&bpf);
    compile_ok("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":13,\"syscalls\":null}",
               &bpf);
    CHECK_EQ(run(&bpf, __NR_read, 0, 0), SECCOMP_RET_ERRNO | EACCES);
    CHECK_EQ(run(&bpf, 1000, 0, 0), SECCOMP_RET_ERRNO | EACCES); /* it knows no call at all */
    CHECK_EQ(run(&bpf, __NR_read | 0x40000000, 0, 0), SECCOMP_RET_KILL_THREAD);
    oci_bpf_done(&bpf);
}

TEST(arguments)
{
    struct oci_bpf bpf;
    static const struct {
        const char *op;
        u64 value, value_two, yes, no;
    } ops[] = {
        {"EQ", 0xffffffffffffffff, 0, 0xffffffffffffffff, 0xffffffff},
        {"NE", 5, 0, 0x100000005, 5},
        {"LT", 0x100000000, 0, 0xffffffff, 0x100000000},
        {"LE", 5, 0, 5, 6},
        {"GT", 5, 0, 0x100000000, 5},
        {"GE", 0x8000000000000000, 0, 0x8000000000000001, 0x7fffffffffffffff},
        {"MASKED_EQ", 0x7e020000, 0, 0x11, 0x10000011 | 0x2000000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        char text[500];
        snprintf(
            text, sizeof(text),
            "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"clone\"],\"action\":"
            "\"SCMP_ACT_ALLOW\","
            "\"args\":[{\"index\":1,\"value\":%llu,\"valueTwo\":%llu,\"op\":\"SCMP_CMP_%s\"}]}]}",
            (unsigned long long)ops[i].value, (unsigned long long)ops[i].value_two, ops[i].op);
        compile_ok(text, &bpf);
        CHECK_EQ(run(&bpf, __NR_clone, 0, ops[i].yes), SECCOMP_RET_ALLOW);
        CHECK_EQ(run(&bpf, __NR_clone, 0, ops[i].no), SECCOMP_RET_ERRNO | EPERM);
        oci_bpf_done(&bpf);
    }
    /* Conditions on different arguments are all to hold, on one argument any. */
    compile_ok("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"fcntl\"],"
               "\"action\":\"SCMP_ACT_ALLOW\","
               "\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},{\"index\":1,\"value\":"
               "2,\"op\":\"SCMP_CMP_EQ\"}]},"
               "{\"names\":[\"ioctl\"],\"action\":\"SCMP_ACT_ALLOW\","
               "\"args\":[{\"index\":1,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},{\"index\":1,\"value\":"
               "2,\"op\":\"SCMP_CMP_EQ\"}]}]}",
               &bpf);
    CHECK_EQ(run(&bpf, __NR_fcntl, 1, 2), SECCOMP_RET_ALLOW);
    CHECK_EQ(run(&bpf, __NR_fcntl, 1, 3), SECCOMP_RET_ERRNO | EPERM);
    CHECK_EQ(run(&bpf, __NR_ioctl, 9, 1), SECCOMP_RET_ALLOW);
    CHECK_EQ(run(&bpf, __NR_ioctl, 9, 2), SECCOMP_RET_ALLOW);
    CHECK_EQ(run(&bpf, __NR_ioctl, 9, 3), SECCOMP_RET_ERRNO | EPERM);
    oci_bpf_done(&bpf);
}

/* What the kernel remembers about a program is what the program answers. */
TEST(always_allowed)
{
    struct oci_bpf bpf;
    compile_ok(
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X32\"],\"syscalls\":["
        "{\"names\":[\"read\",\"futex\",\"getpid\"],\"action\":\"SCMP_ACT_ALLOW\"},"
        "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_LOG\"},"
        "{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":1,"
        "\"op\":\"SCMP_CMP_EQ\"}]}]}",
        &bpf);
    const void *insns = bpf.insns;
    for (u32 nr = 0; nr < 512; nr++) {
        bool is_always = nr == __NR_read || nr == __NR_futex || nr == __NR_getpid;
        CHECK_EQ(bpf_allows_always(insns, nr, AUDIT_ARCH_X86_64), is_always);
        CHECK_EQ(run(&bpf, nr, 0, 0) == SECCOMP_RET_ALLOW, is_always);
    }
    CHECK(!bpf_allows_always(insns, 3, AUDIT_ARCH_I386));
    oci_bpf_done(&bpf);
}

TEST(refusals)
{
    CHECK_REFUSED("{\"defaultAction\":\"SCMP_ACT_FOO\"}",
                  "linux.seccomp: defaultAction: 'SCMP_ACT_FOO' is not an action");
    CHECK_REFUSED("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1}",
                  "linux.seccomp: defaultAction: the action SCMP_ACT_ALLOW has no errnoRet");
    CHECK_REFUSED("{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
                  "linux.seccomp: defaultAction: the action SCMP_ACT_NOTIFY is not supported by "
                  "this runtime");
    CHECK_REFUSED("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"X\"]}",
                  "linux.seccomp: flags[0]: 'X' is not supported by this runtime");
    CHECK_REFUSED("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_VAX\"]}",
                  "linux.seccomp: architectures[0]: 'SCMP_ARCH_VAX' is not an architecture");
    CHECK_REFUSED("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\"}",
                  "linux.seccomp: listenerPath is not supported by this runtime");
    CHECK_REFUSED("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
                  "\"action\":\"SCMP_ACT_ERRNO\","
                  "\"errnoRet\":70000}]}",
                  "linux.seccomp: syscalls[0]: errnoRet: 70000 is more than 65535");
    CHECK_REFUSED("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
                  "\"action\":\"SCMP_ACT_TRAP\","
                  "\"args\":[{\"index\":0,\"value\":1,\"op\":\"EQ\"}]}]}",
                  "linux.seccomp: syscalls[0]: 'EQ' is not an operator");
}
