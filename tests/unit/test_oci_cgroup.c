/* Control groups of the host: made, limited, joined, read, removed. As root, where there are any.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/cgroup.h"
#include "test.h"

static struct err last_error;

static struct oci_spec *spec_with(const char *path, const char *resources)
{
    static char text[4096];
    struct oci_spec *s;
    snprintf(text, sizeof(text),
             "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"linux\":{\"cgroupsPath\":\"%."
             "500s\",\"resources\":{%.2000s}}}",
             path, resources);
    CHECK_EQ(oci_spec_parse(text, strlen(text), "c", &s, &last_error), 0);
    return s;
}

static int create(const struct oci_spec *s, const char *id, struct oci_cgroup **ret_cg)
{
    memset(&last_error, 0, sizeof(last_error));
    if (oci_cgroup_plan(s, id, false, ret_cg, &last_error) < 0)
        return -1;
    int r = oci_cgroup_make(*ret_cg, s, 0, &last_error);
    if (r < 0)
        oci_cgroup_free(*ret_cg);
    return r;
}

static const char *read_in(const struct oci_cgroup *cg, const char *controller, const char *file)
{
    static char buf[256];
    char path[512];
    const char *dir = oci_cgroup_dir(cg, controller);
    snprintf(path, sizeof(path), "%.300s/%s", dir ? dir : "/nonexistent", file);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, sizeof(buf) - 1);
    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = 0;
    buf[strcspn(buf, "\n")] = 0;
    return buf;
}

static void need_cgroups(void)
{
    struct stat st;
    if (geteuid() != 0 || (stat("/sys/fs/cgroup/memory/tasks", &st) < 0 &&
                           stat("/sys/fs/cgroup/cgroup.procs", &st) < 0))
        SKIP("there are no cgroups to be made here");
}

TEST(life)
{
    need_cgroups();
    struct oci_cgroup *cg, *again;
    struct oci_spec *s =
        spec_with("/cvisor-test/life", "\"memory\":{\"limit\":16777216},\"cpu\":{\"quota\":50000,"
                                       "\"period\":100000,\"shares\":512},"
                                       "\"pids\":{\"limit\":10}");
    int r = create(s, "x", &cg);
    CHECK_STR(last_error.msg, "");
    CHECK_EQ(r, 0);
    bool is_v1 = !strcmp(read_in(cg, "memory", "memory.limit_in_bytes"), "16777216");
    CHECK(is_v1 || !strcmp(read_in(cg, "memory", "memory.max"), "16777216"));
    CHECK_STR(read_in(cg, "pids", "pids.max"), "552"); /* OCI_HOST_TASKS(10) */
    if (is_v1) {
        CHECK_STR(read_in(cg, "cpu", "cpu.cfs_quota_us"), "50000");
        CHECK_STR(read_in(cg, "cpu", "cpu.shares"), "512");
    }
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    CHECK_EQ(oci_cgroup_join(cg, pid, &last_error), 0);
    pid_t *pids;
    u32 n;
    CHECK_EQ(oci_cgroup_pids(cg, &pids, &n, &last_error), 0);
    CHECK_EQ(n, 1);
    CHECK_EQ(pids[0], pid);
    free(pids);
    struct oci_cgroup_stats st;
    oci_cgroup_stats(cg, &st);
    CHECK_EQ(st.mem_limit, 16777216);
    CHECK_EQ(st.pids, 1);
    CHECK(st.mem_raw.n > 5);
    CHECK_EQ(st.oom_kills, 0);
    oci_cgroup_stats_done(&st);
    /* Nobody takes a cgroup that is in use. */
    CHECK_EQ(create(s, "x", &again), -1);
    CHECK(strstr(last_error.msg, "is in use: there are processes in it"));
    char *text = oci_cgroup_save(cg);
    CHECK(text != NULL);
    CHECK_EQ(oci_cgroup_load(text, &again, &last_error), 0);
    free(text);
    CHECK_STR(oci_cgroup_dir(again, "memory"), oci_cgroup_dir(cg, "memory"));
    /* Raised and lowered, with swap. */
    struct oci_resources_doc *doc;
    const char *update =
        "{\"memory\":{\"limit\":33554432},\"pids\":{\"limit\":-1},\"cpu\":{\"quota\":-1}}";
    CHECK_EQ(oci_resources_parse(update, strlen(update), "-", &doc, &last_error), 0);
    CHECK_EQ(oci_cgroup_set(again, &doc->resources, &last_error), 0);
    oci_resources_free(doc);
    CHECK_STR(read_in(cg, "memory", is_v1 ? "memory.limit_in_bytes" : "memory.max"), "33554432");
    CHECK_STR(read_in(cg, "pids", "pids.max"), "max");
    CHECK_EQ(oci_cgroup_destroy(again, &last_error), 0); /* kills what is inside */
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK(access(oci_cgroup_dir(cg, "memory"), F_OK) < 0);
    CHECK_EQ(oci_cgroup_destroy(cg, &last_error), 0); /* nothing is there: fine */
    oci_cgroup_free(again);
    oci_cgroup_free(cg);
    oci_spec_free(s);
}

TEST(paths)
{
    need_cgroups();
    struct oci_cgroup *cg;
    struct oci_spec *s = spec_with("/../cvisor-test/./x/../../cvisor-test//up", "");
    CHECK_EQ(create(s, "id", &cg), 0);
    const char *dir = oci_cgroup_dir(cg, "memory");
    CHECK(strstr(dir, "/cvisor-test/up") && !strstr(dir, ".."));
    CHECK_EQ(oci_cgroup_destroy(cg, &last_error), 0);
    oci_cgroup_free(cg);
    oci_spec_free(s);
    s = spec_with("", "");
    CHECK_EQ(create(s, "cvisor-test-id", &cg), 0);
    dir = oci_cgroup_dir(cg, "pids");
    CHECK(strlen(dir) > 15 && !strcmp(dir + strlen(dir) - 15, "/cvisor-test-id"));
    CHECK_EQ(oci_cgroup_destroy(cg, &last_error), 0);
    oci_cgroup_free(cg);
    oci_spec_free(s);
}

TEST(refusals)
{
    need_cgroups();
    struct oci_cgroup *cg;
    struct oci_spec *s = spec_with("/..", "");
    CHECK_EQ(create(s, "id", &cg), -1);
    CHECK_STR(last_error.msg, "linux.cgroupsPath: '/..' is not the path of a container's cgroup");
    oci_spec_free(s);
    s = spec_with("/cvisor-test/bad", "\"cpu\":{\"cpus\":\"4095\"}");
    CHECK_EQ(create(s, "id", &cg), -1);
    CHECK(strstr(last_error.msg, "cannot set 'cpuset.cpus' of the cgroup"));
    oci_spec_free(s);
    s = spec_with("/cvisor-test/bad", "\"unified\":{\"no.such.file\":\"1\"}");
    CHECK_EQ(create(s, "id", &cg), -1);
    CHECK_STR(last_error.msg,
              "linux.resources.unified: this machine's cgroups have no 'no.such.file'");
    CHECK(access("/sys/fs/cgroup/memory/cvisor-test/bad", F_OK) < 0);
    oci_spec_free(s);
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"systemd\":false,\"dirs\":[{\"v2\":false,\"controllers\":8,\"base\":\"/a\",\"path\":\"/"
        "b/c\"}]}",
        "{\"systemd\":false,\"dirs\":[{\"v2\":false,\"controllers\":8,\"base\":\"/a\",\"path\":\"/"
        "a\"}]}",
        "{\"systemd\":false,\"dirs\":[{\"v2\":false,\"controllers\":8,\"base\":\"/a\",\"path\":\"/"
        "a/../b/x\"}]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK_EQ(oci_cgroup_load(bad[i], &cg, &last_error), -1);
}

/* The last to run: the parents that the tests made. */
TEST(tidy)
{
    static const char *const hierarchies[] = {
        "cpu",  "cpuacct", "cpuset",  "memory",  "devices",    "freezer", "blkio",
        "pids", "systemd", "unified", "hugetlb", "perf_event", "."};
    for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
        char path[100];
        snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/cvisor-test", hierarchies[i]);
        CHECK(rmdir(path) == 0 || errno == ENOENT);
    }
}
