/* Hooks: what they get, and what their failures say. */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "oci/hooks.h"
#include "test.h"

static struct err last_error;
static char dir[] = "/tmp/cvisor-hooks-XXXXXX";

static struct oci_spec *spec_with(const char *hooks)
{
    static char text[4096];
    struct oci_spec *s = NULL;
    if (dir[strlen(dir) - 1] == 'X')
        CHECK(mkdtemp(dir) != NULL);
    snprintf(text, sizeof(text),
             "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"hooks\":{%.3000s}}", hooks);
    memset(&last_error, 0, sizeof(last_error));
    if (oci_spec_parse(text, strlen(text), "c", &s, &last_error) < 0)
        fprintf(stderr, "%s\n", last_error.msg);
    CHECK(s != NULL);
    return s;
}

static int run(const char *hooks, enum oci_hook_kind kind)
{
    struct oci_spec *s = spec_with(hooks);
    int r = oci_hooks_run(&s->hooks[kind], kind, "{\"id\":\"x\"}", &last_error);
    oci_spec_free(s);
    return r;
}

static const char *slurp(const char *name)
{
    static char buf[500];
    char path[100];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, sizeof(buf) - 1);
    if (fd >= 0)
        close(fd);
    unlink(path);
    buf[n > 0 ? n : 0] = 0;
    return buf;
}

TEST(input)
{
    char hooks[500];
    CHECK_EQ(run("", OCI_HOOK_PRESTART), 0);
    setenv("FROM_OUTSIDE", "1", 1);
    snprintf(hooks, sizeof(hooks),
             "\"createRuntime\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"cat > %s/state; "
             "echo $A$FROM_OUTSIDE >> %s/state\"],"
             "\"env\":[\"A=b\",\"PATH=/bin:/usr/bin\"]},"
             "{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"/bin/cat >> %s/state\"]}]",
             dir, dir, dir);
    if (dir[strlen(dir) - 1] == 'X') /* made by spec_with */
        CHECK(false);
    CHECK_EQ(run(hooks, OCI_HOOK_CREATE_RUNTIME), 0);
    CHECK_STR(slurp("state"), "{\"id\":\"x\"}b\n{\"id\":\"x\"}");
}

TEST(failures)
{
    CHECK_EQ(run("\"poststart\":[{\"path\":\"/nonexistent/hook\"}]", OCI_HOOK_POSTSTART), -1);
    CHECK_STR(last_error.msg,
              "cannot run the poststart hook '/nonexistent/hook': No such file or directory");
    CHECK_EQ(run("\"prestart\":[{\"path\":\"/bin/true\"},{\"path\":\"/bin/"
                 "sh\",\"args\":[\"sh\",\"-c\",\"echo oh no >&2; exit 3\"]}]",
                 OCI_HOOK_PRESTART),
             -1);
    CHECK_STR(last_error.msg, "the prestart hook '/bin/sh' failed with status 3: oh no");
    CHECK_EQ(run("\"prestart\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"kill -9 $$\"]}]",
                 OCI_HOOK_PRESTART),
             -1);
    CHECK_STR(last_error.msg, "the prestart hook '/bin/sh' was ended by signal 9");
}

TEST(timeout)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    CHECK_EQ(run("\"poststop\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"/bin/sleep 100; "
                 "true\"],\"timeout\":1}]",
                 OCI_HOOK_POSTSTOP),
             -1);
    clock_gettime(CLOCK_MONOTONIC, &b);
    CHECK_STR(
        last_error.msg,
        "the poststop hook '/bin/sh' took longer than its timeout of 1 seconds and was killed");
    CHECK(b.tv_sec - a.tv_sec < 20);
    CHECK_EQ(run("\"poststop\":[{\"path\":\"/bin/true\",\"timeout\":30}]", OCI_HOOK_POSTSTOP), 0);
}

static int ncomplaints;
static void complain(const char *text, void *arg)
{
    (void)arg;
    ncomplaints += strstr(text, "poststop") != NULL;
}

TEST(all_of_them)
{
    char hooks[500];
    snprintf(hooks, sizeof(hooks),
             "\"poststop\":[{\"path\":\"/bin/false\"},{\"path\":\"/nonexistent\"},"
             "{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"echo done > %s/last\"]}]",
             dir);
    struct oci_spec *s = spec_with(hooks);
    oci_hooks_run_all(&s->hooks[OCI_HOOK_POSTSTOP], OCI_HOOK_POSTSTOP, "{}", complain, NULL);
    oci_spec_free(s);
    CHECK_EQ(ncomplaints, 2);
    CHECK_STR(slurp("last"), "done\n");
    CHECK_EQ(rmdir(dir), 0);
}
