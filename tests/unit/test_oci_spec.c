/* The OCI specification's parser: what it reads, and the sentence for what is wrong. */
#include <sys/mount.h>
#include <sys/resource.h>

#include "oci/spec.h"
#include "test.h"

static struct err last_error;

static struct oci_spec *parse(const char *text)
{
    struct oci_spec *s = NULL;
    memset(&last_error, 0, sizeof(last_error));
    if (oci_spec_parse(text, strlen(text), "config.json", &s, &last_error) < 0)
        return NULL;
    return s;
}

/* A minimal document with `extra` (members with a comma behind) in front. */
static char *with(const char *extra)
{
    static char text[10000];
    snprintf(text, sizeof(text), "{%.9000s\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"}}",
             extra);
    return text;
}
static char *with_process(const char *members)
{
    static char text[8192];
    snprintf(text, sizeof(text), "\"process\":{%s\"args\":[\"sh\"],\"cwd\":\"/\"},", members);
    return with(text);
}

#define CHECK_REFUSED(text_, sentence_)                                                            \
    do {                                                                                           \
        struct oci_spec *refused_ = parse(text_);                                                  \
        CHECK(refused_ == NULL);                                                                   \
        CHECK_STR(last_error.msg, sentence_);                                                      \
    } while (0)

TEST(whole)
{
    struct oci_spec *s = parse(
        "{\"ociVersion\":\"1.0.2-dev\",\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":"
        "24,\"width\":80},"
        "\"user\":{\"uid\":1,\"gid\":2,\"umask\":18,\"additionalGids\":[3,4]},\"args\":[\"sh\",\"-"
        "c\",\"true\"],"
        "\"env\":[\"A=1\"],\"cwd\":\"/"
        "tmp\",\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],"
        "\"permitted\":[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"],\"inheritable\":null},"
        "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":18446744073709551615,\"soft\":1024}],"
        "\"noNewPrivileges\":true,\"oomScoreAdj\":-500},"
        "\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"hostname\":\"h\","
        "\"mounts\":[{\"destination\":\"/dev/"
        "shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"nosuid\","
        "\"noexec\",\"mode=1777\",\"size=65536k\"]},{\"destination\":\"/b\",\"source\":\"/a\","
        "\"options\":[\"rbind\",\"ro\",\"rprivate\"]}],"
        "\"annotations\":{\"a\":\"b\"},\"hooks\":{\"poststop\":[{\"path\":\"/bin/"
        "x\",\"timeout\":3}]},"
        "\"linux\":{\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},\"cgroupsPath\":\"/x/y\","
        "\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"uts\"},{\"type\":\"network\",\"path\":\"/"
        "proc/1/ns/net\"}],"
        "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}],\"memory\":{\"limit\":"
        "1048576,\"swap\":-1},"
        "\"cpu\":{\"quota\":50000,\"period\":100000,\"cpus\":\"0-1\"},\"pids\":{\"limit\":100},"
        "\"unified\":{\"memory.high\":\"1000\"}},"
        "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"syscalls\":[{"
        "\"names\":[\"read\"],"
        "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":18446744073709551615,"
        "\"op\":\"SCMP_CMP_EQ\"}]}]},"
        "\"maskedPaths\":[\"/proc/kcore\"],\"rootfsPropagation\":\"rslave\"},\"unknown\":{}}");
    if (!s)
        fprintf(stderr, "%s\n", last_error.msg);
    CHECK(s != NULL);
    CHECK(s->process.is_terminal && s->process.rows == 24 && s->process.cols == 80);
    CHECK_EQ(s->process.user.umask.v, 18);
    CHECK_EQ(s->process.user.ngroups, 2);
    CHECK_EQ(s->process.user.groups[1], 4);
    CHECK_EQ(s->process.args.n, 3);
    CHECK(s->process.args.v[3] == NULL);
    CHECK_EQ(s->process.caps.bounding, 1 | 1 << 5);
    CHECK_EQ(s->process.caps.inheritable, 0);
    CHECK_EQ(s->process.rlimits.v[0].resource, RLIMIT_NOFILE);
    CHECK(s->process.rlimits.v[0].hard == UINT64_MAX);
    CHECK_EQ(s->process.oom_score_adj.v, -500);
    CHECK(s->is_root_readonly);
    CHECK_EQ(s->mounts.n, 2);
    CHECK_EQ(s->mounts.v[0].flags, MS_NOSUID | MS_NOEXEC);
    CHECK_STR(s->mounts.v[0].data, "mode=1777,size=65536k");
    CHECK(s->mounts.v[1].kind == OCI_MOUNT_BIND && s->mounts.v[1].is_rec);
    CHECK_EQ(s->mounts.v[1].flags, MS_RDONLY);
    CHECK_EQ(s->mounts.v[1].propagation, MS_PRIVATE | MS_REC);
    CHECK_STR(oci_pairs_get(&s->annotations, "a"), "b");
    CHECK_EQ(s->hooks[OCI_HOOK_POSTSTOP].v[0].timeout_s.v, 3);
    CHECK(s->linux_.ns[OCI_NS_PID].is_set && !s->linux_.ns[OCI_NS_PID].path);
    CHECK_STR(s->linux_.ns[OCI_NS_NET].path, "/proc/1/ns/net");
    CHECK(!s->linux_.ns[OCI_NS_USER].is_set);
    CHECK_EQ(s->linux_.resources.memory.limit.v, 1048576);
    CHECK_EQ(s->linux_.resources.memory.swap.v, -1);
    CHECK(!s->linux_.resources.memory.reservation.is_set);
    CHECK_EQ(s->linux_.resources.pids.v, 100);
    CHECK_STR(s->linux_.resources.devices.v[0].access, "rwm");
    CHECK_EQ(s->linux_.resources.devices.v[0].type, 'a');
    CHECK_EQ(s->linux_.seccomp->default_errno_ret.v, 38);
    CHECK(s->linux_.seccomp->syscalls.v[0].args.v[0].value == UINT64_MAX);
    CHECK_EQ(s->linux_.rootfs_propagation, MS_SLAVE | MS_REC);
    CHECK_EQ(s->warnings.n, 0);
    oci_spec_free(s);
}

TEST(broken_json)
{
    CHECK_REFUSED("", "config.json: the file is empty");
    CHECK_REFUSED("{\n \"a\": tru\n}",
                  "config.json: line 2, column 9: not JSON: invalid token near 'tru'");
    CHECK(parse("{\"a\":1") == NULL);
    CHECK(parse("{\"a\":1}}") == NULL);
    CHECK(parse("{\"a\":\"\\ud800\"}") == NULL);
    CHECK(parse("{\"a\":99999999999999999999999}") == NULL);
    CHECK_REFUSED("[]", "config.json: must be an object, not an array");
}

TEST(big_numbers)
{
    struct oci_spec *s = parse(with(
        "\"annotations\":{\"n\":\"18446744073709551615\",\"q\":\"\\\"9223372036854775808\"},"));
    CHECK(s != NULL);
    CHECK_STR(oci_pairs_get(&s->annotations, "n"), "18446744073709551615");
    CHECK_STR(oci_pairs_get(&s->annotations, "q"), "\"9223372036854775808");
    oci_spec_free(s);
    CHECK_REFUSED(
        with("\"linux\":{\"resources\":{\"memory\":{\"limit\":9223372036854775808}}},"),
        "config.json: linux.resources.memory.limit: must be a whole number, not so large a number");
    CHECK_REFUSED(with("\"hostname\":9223372036854775808,"),
                  "config.json: hostname: must be a string, not so large a number");
    /* All digits, as short as they can be, so that wrapping grows the text as much as it can. */
    s = parse(with("\"x\":[9999999999999999999,9999999999999999999,9999999999999999999,"
                   "9999999999999999999],"));
    CHECK(s != NULL);
    oci_spec_free(s);
}

TEST(top_level)
{
    CHECK_REFUSED("{\"root\":{\"path\":\"r\"}}", "config.json: ociVersion: is missing");
    CHECK_REFUSED("{\"ociVersion\":\"1.0.0\"}", "config.json: root: is missing");
    CHECK_REFUSED("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"\"}}",
                  "config.json: root: path: is empty");
    CHECK_REFUSED(
        "{\"ociVersion\":\"2.0.0\",\"root\":{\"path\":\"r\"}}",
        "config.json: ociVersion: '2.0.0' is not a version that this runtime knows (1.x)");
    CHECK_REFUSED(
        with("\"hostname\":\"x\","),
        "config.json: hostname: can only be set in a uts namespace of the container's own");
    CHECK_REFUSED(with("\"windows\":{},"),
                  "config.json: windows: is not supported by this runtime");
    CHECK_REFUSED(with("\"annotations\":{\"k\":1},"),
                  "config.json: annotations.k: must be a string, not a whole number");
    struct oci_spec *s = parse(with("\"process\":null,\"windows\":null,"));
    CHECK(s != NULL);
    CHECK(!s->has_process);
    oci_spec_free(s);
}

TEST(process)
{
    CHECK_REFUSED(with("\"process\":{\"args\":[\"x\"]},"), "config.json: process.cwd: is missing");
    CHECK_REFUSED(with("\"process\":{\"cwd\":\"/\"},"),
                  "config.json: process: args is missing or empty: there is nothing to run");
    CHECK_REFUSED(with("\"process\":{\"args\":[\"x\"],\"cwd\":\"tmp\"},"),
                  "config.json: process: cwd: 'tmp' is not an absolute path");
    CHECK_REFUSED(with_process("\"terminal\":\"yes\","),
                  "config.json: process.terminal: must be true or false, not a string");
    CHECK_REFUSED(with_process("\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1,\"soft\":1},"
                               "{\"type\":\"RLIMIT_X\",\"hard\":1,\"soft\":1}],"),
                  "config.json: process.rlimits[1].type: 'RLIMIT_X' is not a resource limit");
    CHECK_REFUSED(with_process("\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1,\"soft\":2}],"),
                  "config.json: process.rlimits[0]: soft (2) is above hard (1)");
    CHECK_REFUSED(
        with_process("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"hard\":-1,\"soft\":1}],"),
        "config.json: process.rlimits[0].hard: -1 is out of range (0 to 18446744073709551615)");
    CHECK_REFUSED(with_process("\"user\":{\"uid\":4294967296},"),
                  "config.json: process.user.uid: 4294967296 is out of range (0 to 4294967295)");
    CHECK_REFUSED(with_process("\"user\":{\"umask\":512},"),
                  "config.json: process.user: umask: 512 is more than 0777");
    CHECK_REFUSED(
        with_process("\"user\":{\"additionalGids\":[0,\"a\"]},"),
        "config.json: process.user.additionalGids[1]: must be a whole number, not a string");
    CHECK_REFUSED(with_process("\"oomScoreAdj\":1001,"),
                  "config.json: process: oomScoreAdj: 1001 is out of range (-1000 to 1000)");
    CHECK_REFUSED(
        with_process("\"capabilities\":{\"effective\":[\"CAP_KILL\"]},"),
        "config.json: process.capabilities: effective holds a capability that permitted lacks");
    CHECK_REFUSED(with_process("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_XX\",\"priority\":1},"),
                  "config.json: process.ioPriority: class: 'IOPRIO_CLASS_XX' is not an I/O class");
    CHECK_REFUSED(with_process("\"scheduler\":{\"policy\":\"SCHED_FIFO\"},"),
                  "config.json: process.scheduler: priority: 0 is out of range (1 to 99)");
    struct oci_spec *s = parse(with_process("\"capabilities\":{\"bounding\":[\"CAP_FUTURE\",\"CAP_"
                                            "BPF\"]},\"apparmorProfile\":\"docker-default\","
                                            "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\"},"));
    CHECK(s != NULL);
    CHECK_EQ(s->warnings.n, 2);
    CHECK_STR(s->warnings.v[0],
              "config.json: process.capabilities.bounding[0]: the capability 'CAP_FUTURE' is "
              "unknown and left out");
    CHECK(s->process.caps.bounding == 1ULL << 39);
    CHECK_EQ(s->process.io_class.v, 3);
    oci_spec_free(s);
}

TEST(mounts)
{
    CHECK_REFUSED(with("\"mounts\":[{\"type\":\"tmpfs\"}],"),
                  "config.json: mounts[0].destination: is missing");
    CHECK_REFUSED(with("\"mounts\":[{\"destination\":\"a\",\"type\":\"tmpfs\"}],"),
                  "config.json: mounts[0]: destination: 'a' is not an absolute path");
    CHECK_REFUSED(with("\"mounts\":[{\"destination\":\"/a\"}],"),
                  "config.json: mounts[0]: type is missing, and the options do not say bind");
    CHECK_REFUSED(with("\"mounts\":[{\"destination\":\"/a\",\"options\":[\"bind\"]}],"),
                  "config.json: mounts[0]: a bind mount needs a source");
    CHECK_REFUSED(
        with("\"mounts\":[{\"destination\":\"/"
             "a\",\"type\":\"tmpfs\",\"options\":[\"ro\",\"remount\"]}],"),
        "config.json: mounts[0].options[1]: the option 'remount' is not supported by this runtime");
    CHECK_REFUSED(
        with("\"mounts\":[{\"destination\":\"/a\",\"type\":\"tmpfs\",\"options\":[\"a,b\"]}],"),
        "config.json: mounts[0].options[0]: 'a,b' holds a comma: one option an element");
    CHECK_REFUSED(
        with("\"mounts\":[{\"destination\":\"/a\",\"source\":\"/b\",\"options\":[\"bind\"],"
             "\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]}],"),
        "config.json: mounts[0]: needs both uidMappings and gidMappings, or neither");
    struct oci_spec *s =
        parse(with("\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/b\","
                   "\"options\":[\"rro\",\"ro\",\"rw\"]}],"));
    CHECK(s != NULL);
    CHECK(s->mounts.v[0].kind == OCI_MOUNT_BIND && !s->mounts.v[0].is_rec);
    CHECK_EQ(s->mounts.v[0].flags, 0);
    CHECK_EQ(s->mounts.v[0].cleared, MS_RDONLY);
    CHECK_EQ(s->mounts.v[0].rec_set, MS_RDONLY);
    oci_spec_free(s);
}

TEST(linux_part)
{
    CHECK_REFUSED(with("\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]},"),
                  "config.json: linux.namespaces[1]: the pid namespace is there twice");
    CHECK_REFUSED(with("\"linux\":{\"namespaces\":[{\"type\":\"x\"}]},"),
                  "config.json: linux.namespaces[0]: 'x' is not a type of namespace");
    CHECK_REFUSED(with("\"linux\":{\"namespaces\":[{\"type\":\"user\"}]},"),
                  "config.json: linux: a new user namespace needs uidMappings and gidMappings");
    CHECK_REFUSED(
        with("\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":0}]},"),
        "config.json: linux.uidMappings[0]: size: a mapping of no ids");
    CHECK_REFUSED(with("\"linux\":{\"devices\":[{\"path\":\"/dev/x\",\"type\":\"q\"}]},"),
                  "config.json: linux.devices[0].type: 'q' is not a type of device (c, b, u or p)");
    CHECK_REFUSED(with("\"linux\":{\"intelRdt\":{\"closID\":\"a\"}},"),
                  "config.json: linux.intelRdt: is not supported by this runtime");
    CHECK_REFUSED(with("\"linux\":{\"maskedPaths\":[\"x\"]},"),
                  "config.json: linux.maskedPaths[0]: 'x' is not an absolute path");
    CHECK_REFUSED(
        with("\"linux\":{\"resources\":{\"unified\":{\"../x\":\"1\"}}},"),
        "config.json: linux.resources: unified: '../x' is not the name of a file of a cgroup");
    CHECK_REFUSED(
        with("\"linux\":{\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"x\"}]}},"),
        "config.json: linux.resources.devices[0].access: 'x' is not a device access (of r, w and "
        "m)");
    CHECK_REFUSED(with("\"linux\":{\"personality\":{\"domain\":\"BSD\"}},"),
                  "config.json: linux.personality: domain: 'BSD' is neither LINUX nor LINUX32");
    CHECK_REFUSED(with("\"linux\":{\"seccomp\":{\"syscalls\":[]}},"),
                  "config.json: linux.seccomp.defaultAction: is missing");
    struct oci_spec *s =
        parse(with("\"linux\":{\"intelRdt\":{},\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\","
                   "\"major\":1,\"minor\":3,\"fileMode\":0},{\"path\":\"/dev/y\",\"type\":\"u\","
                   "\"major\":1,\"minor\":3}]},"));
    CHECK(s != NULL);
    CHECK_EQ(s->linux_.devices.v[0].mode, 0);
    CHECK_EQ(s->linux_.devices.v[1].mode, 0666);
    CHECK_EQ(s->linux_.devices.v[1].type, 'c');
    oci_spec_free(s);
}

TEST(hooks)
{
    CHECK_REFUSED(with("\"hooks\":{\"prestart\":[{\"path\":\"x\"}]},"),
                  "config.json: hooks.prestart[0]: path: 'x' is not an absolute path");
    CHECK_REFUSED(with("\"hooks\":{\"poststart\":[{\"path\":\"/x\",\"timeout\":0}]},"),
                  "config.json: hooks.poststart[0]: timeout: must be more than 0 seconds, not 0");
}

TEST(parts)
{
    struct oci_process_doc *p;
    struct oci_resources_doc *r;
    const char *text = "{\"args\":[\"ls\"],\"cwd\":\"/\",\"selinuxLabel\":\"a:b\"}";
    CHECK_EQ(oci_process_parse(text, strlen(text), "p.json", &p, &last_error), 0);
    CHECK_STR(p->process.args.v[0], "ls");
    CHECK_EQ(p->warnings.n, 1);
    oci_process_free(p);
    text = "{\"memory\":{\"limit\":5}}";
    CHECK_EQ(oci_resources_parse(text, strlen(text), "-", &r, &last_error), 0);
    CHECK_EQ(r->resources.memory.limit.v, 5);
    oci_resources_free(r);
    CHECK_EQ(oci_process_load(-1, "/nonexistent/p.json", &p, &last_error), -1);
    CHECK_STR(last_error.msg, "cannot open '/nonexistent/p.json': No such file or directory");
    CHECK_EQ(oci_process_load(-1, "/tmp", &p, &last_error), -1);
    CHECK_STR(last_error.msg, "cannot read '/tmp': it is a directory");
}

TEST(names)
{
    CHECK_EQ(oci_cap_number("CAP_CHOWN"), 0);
    CHECK_EQ(oci_cap_number("sys_admin"), 21);
    CHECK_EQ(oci_cap_number("CAP_CHECKPOINT_RESTORE"), 40);
    CHECK_EQ(oci_cap_number("CAP_X"), -1);
    CHECK_STR(oci_cap_name(40), "CAP_CHECKPOINT_RESTORE");
    CHECK(oci_cap_name(41) == NULL);
    CHECK_EQ(oci_rlimit_number("RLIMIT_RTTIME"), 15);
    CHECK_EQ(oci_rlimit_number("NOFILE"), -1);
}

/* Every cut of a document is refused or read, never worse. */
TEST(truncated)
{
    char *text = with_process(
        "\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"hard\":18446744073709551615,\"soft\":1}],");
    size_t size = strlen(text);
    for (size_t n = 0; n < size; n++) {
        struct oci_spec *s;
        char *copy = malloc(n + 1);
        memcpy(copy, text, n);
        CHECK_EQ(oci_spec_parse(copy, n, "c", &s, &last_error), -1);
        free(copy);
    }
}
