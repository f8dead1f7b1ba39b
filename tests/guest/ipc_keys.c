/* Keys and keyrings. In threads and children, so that the session of the tests stays as it is. */
#include <linux/keyctl.h>
#include <pthread.h>

#include "proc_common.h"

typedef int32_t serial_t;

static long keyctl_(int op, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    return syscall(SYS_keyctl, op, a, b, c, d);
}
#define KEYCTL(op, ...) KEYCTL_(op, ##__VA_ARGS__, 0, 0, 0, 0)
#define KEYCTL_(op, a, b, c, d, ...)                                                               \
    keyctl_(op, (unsigned long)(a), (unsigned long)(b), (unsigned long)(c), (unsigned long)(d))
static long add(const char *type, const char *desc, const void *p, size_t n, serial_t ring)
{
    return syscall(SYS_add_key, type, desc, p, n, ring);
}
static long request(const char *type, const char *desc, const char *info, serial_t ring)
{
    return syscall(SYS_request_key, type, desc, info, ring);
}

#define SESSION          KEY_SPEC_SESSION_KEYRING
#define NEED(cond)       EXPECT(cond)
#define FAILS(call, err) EXPECT((call) == -1 && errno == (err))

static void payloads(void *arg)
{
    char buf[64] = "";
    NEED(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, NULL) > 0);
    serial_t k = (serial_t)add("user", "a:b", "hello", 5, SESSION);
    NEED(k > 0);
    NEED(KEYCTL(KEYCTL_READ, k, buf, sizeof(buf)) == 5 && !memcmp(buf, "hello", 5));
    NEED(KEYCTL(KEYCTL_READ, k, NULL, 0) == 5);
    memset(buf, 0, sizeof(buf));
    NEED(KEYCTL(KEYCTL_READ, k, buf, 3) == 5 && buf[0] == 0); /* all or nothing */
    NEED(add("user", "a:b", "again!", 6, SESSION) == k);      /* updated */
    NEED(KEYCTL(KEYCTL_READ, k, buf, sizeof(buf)) == 6 && !memcmp(buf, "again!", 6));
    NEED(KEYCTL(KEYCTL_UPDATE, k, "x", 1) == 0);
    NEED(KEYCTL(KEYCTL_READ, k, buf, sizeof(buf)) == 1 && buf[0] == 'x');
    FAILS(KEYCTL(KEYCTL_UPDATE, k, "x", 0), EINVAL);
    FAILS(add("user", "empty", "", 0, SESSION), EINVAL);
    FAILS(add("no such type", "empty", "x", 1, SESSION), ENODEV);
    FAILS(add(".user", "empty", "x", 1, SESSION), EPERM);
    FAILS(add("", "empty", "x", 1, SESSION), EINVAL);
    FAILS(add("user", "fault", (void *)8, 8, SESSION), EFAULT);
    FAILS(add("user", "a", "x", 1, k), ENOTDIR);
    FAILS(add("user", "a", "x", 1, 1), ENOKEY);
    FAILS(add("logon", "nocolon", "x", 1, SESSION), EINVAL);
    FAILS(add("keyring", "ring", "x", 1, SESSION), EINVAL);
    serial_t l = (serial_t)add("logon", "s:x", "secret", 6, SESSION);
    NEED(l > 0);
    FAILS(KEYCTL(KEYCTL_READ, l, buf, sizeof(buf)), EOPNOTSUPP);
    NEED(KEYCTL(KEYCTL_DESCRIBE, l, buf, sizeof(buf)) > 0 && !strncmp(buf, "logon;", 6));
    NEED(strstr(buf, ";s:x"));
    serial_t list[8];
    NEED(KEYCTL(KEYCTL_READ, SESSION, list, sizeof(list)) == 8);
    NEED((list[0] == k && list[1] == l) || (list[0] == l && list[1] == k));
}

TEST(payloads)
{
    CHECK_EQ(run_child(payloads, NULL), 0);
}

static void searching(void *arg)
{
    NEED(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, NULL) > 0);
    serial_t outer = (serial_t)add("keyring", "outer", NULL, 0, SESSION);
    serial_t inner = (serial_t)add("keyring", "inner", NULL, 0, outer);
    serial_t k = (serial_t)add("user", "deep", "x", 1, inner);
    NEED(outer > 0 && inner > 0 && k > 0);
    NEED(request("user", "deep", NULL, 0) == k);
    NEED(KEYCTL(KEYCTL_SEARCH, SESSION, "user", "deep", 0) == k);
    NEED(KEYCTL(KEYCTL_SEARCH, outer, "user", "deep", SESSION) == k); /* and links it */
    NEED(KEYCTL(KEYCTL_UNLINK, k, SESSION) == 0);
    FAILS(KEYCTL(KEYCTL_UNLINK, k, SESSION), ENOENT);
    FAILS(request("user", "nothing", NULL, 0), ENOKEY);
    FAILS(KEYCTL(KEYCTL_SEARCH, SESSION, "user", "nothing", 0), ENOKEY);
    FAILS(KEYCTL(KEYCTL_SEARCH, k, "user", "nothing", 0), ENOTDIR);
    FAILS(KEYCTL(KEYCTL_LINK, outer, inner), EDEADLK);
    FAILS(KEYCTL(KEYCTL_LINK, outer, outer), EDEADLK);
    serial_t ring = outer;
    int depth = 0;
    for (; depth < 10; depth++) {
        char name[32];
        snprintf(name, sizeof(name), "above %d", depth);
        serial_t above = (serial_t)add("keyring", name, NULL, 0, KEY_SPEC_PROCESS_KEYRING);
        NEED(above > 0);
        if (KEYCTL(KEYCTL_LINK, ring, above) < 0)
            break;
        ring = above;
    }
    NEED(depth < 10 && errno == ELOOP);
    NEED(KEYCTL(KEYCTL_REVOKE, k) == 0);
    FAILS(KEYCTL(KEYCTL_READ, k, NULL, 0), EKEYREVOKED);
    FAILS(request("user", "deep", NULL, 0), EKEYREVOKED);
    serial_t m = (serial_t)add("user", "gone", "x", 1, SESSION);
    NEED(KEYCTL(KEYCTL_INVALIDATE, m) == 0);
    FAILS(request("user", "gone", NULL, 0), ENOKEY);
    NEED(KEYCTL(KEYCTL_CLEAR, SESSION) == 0);
    NEED(KEYCTL(KEYCTL_READ, SESSION, NULL, 0) == 0);
}

TEST(searching_and_linking)
{
    CHECK_EQ(run_child(searching, NULL), 0);
}

static void rights(void *arg)
{
    char buf[128];
    serial_t s = (serial_t)KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, "named for a test");
    NEED(s > 0);
    NEED(KEYCTL(KEYCTL_GET_KEYRING_ID, SESSION, 0) == s);
    NEED(KEYCTL(KEYCTL_DESCRIBE, s, buf, sizeof(buf)) > 0);
    NEED(strstr(buf, ";3f130000;named for a test"));
    FAILS(KEYCTL(KEYCTL_SETPERM, s, 0x40), EINVAL);
    serial_t k = (serial_t)add("user", "k", "x", 1, SESSION);
    NEED(KEYCTL(KEYCTL_DESCRIBE, k, buf, sizeof(buf)) > 0 && strstr(buf, ";3f010000;k"));
    NEED(KEYCTL(KEYCTL_SETPERM, k, 0x3d3f0000) ==
         0); /* the possessor may not read, the owner may */
    NEED(KEYCTL(KEYCTL_READ, k, NULL, 0) == 1);
    NEED(KEYCTL(KEYCTL_SETPERM, k, 0) == 0);
    FAILS(KEYCTL(KEYCTL_DESCRIBE, k, NULL, 0), EACCES);
    FAILS(KEYCTL(KEYCTL_SETPERM, k, 0), EACCES);
    FAILS(KEYCTL(KEYCTL_UPDATE, k, "y", 1), EACCES);
    FAILS(KEYCTL(KEYCTL_DESCRIBE, 0, NULL, 0), EINVAL);
    FAILS(KEYCTL(KEYCTL_DESCRIBE, -99, NULL, 0), EINVAL);
    FAILS(KEYCTL(KEYCTL_DESCRIBE, KEY_SPEC_GROUP_KEYRING, NULL, 0), EINVAL);
    FAILS(KEYCTL(KEYCTL_DESCRIBE, KEY_SPEC_REQKEY_AUTH_KEY, NULL, 0), ENOKEY);
    FAILS(KEYCTL(KEYCTL_DESCRIBE, KEY_SPEC_THREAD_KEYRING, NULL, 0), ENOKEY); /* not made yet */
    NEED(KEYCTL(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1) > 0);
    NEED(KEYCTL(KEYCTL_DESCRIBE, KEY_SPEC_THREAD_KEYRING, buf, sizeof(buf)) > 0);
    NEED(strstr(buf, ";3f010000;_tid"));
    NEED(KEYCTL(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1) > 0);
    FAILS(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, ".hidden"), EPERM);
    FAILS(KEYCTL(999, 0), EOPNOTSUPP);
    FAILS(KEYCTL(KEYCTL_INSTANTIATE, k, "x", 1, 0), EPERM);
    NEED(KEYCTL(KEYCTL_ASSUME_AUTHORITY, 0) == 0);
    FAILS(KEYCTL(KEYCTL_SET_REQKEY_KEYRING, 99), EINVAL);
}

TEST(rights)
{
    CHECK_EQ(run_child(rights, NULL), 0);
}

static void *joins(void *arg)
{
    *(long *)arg = KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, NULL);
    return NULL;
}

static void sharing(void *arg)
{
    pthread_t th;
    long theirs = 0, mine = KEYCTL(KEYCTL_GET_KEYRING_ID, SESSION, 0);
    NEED(pthread_create(&th, NULL, joins, &theirs) == 0 && pthread_join(th, NULL) == 0);
    NEED(theirs > 0 && theirs != mine);
    NEED(KEYCTL(KEYCTL_GET_KEYRING_ID, SESSION, 0) == mine);
    long process = KEYCTL(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1);
    NEED(process > 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(KEYCTL(KEYCTL_GET_KEYRING_ID, SESSION, 0) == mine);
        EXPECT(KEYCTL(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0) == -1 && errno == ENOKEY);
        _exit(0);
    }
    NEED(wait_status(pid) == 0);
}

TEST(who_shares_which)
{
    CHECK_EQ(run_child(sharing, NULL), 0);
}

static void quota(void *arg)
{
    char name[32];
    int n = 0;
    NEED(setuid(12345) == 0);
    NEED(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, NULL) > 0);
    for (; n < 1000; n++) {
        snprintf(name, sizeof(name), "key %d", n);
        if (add("user", name, "x", 1, SESSION) < 0)
            break;
    }
    NEED(n < 1000 && errno == EDQUOT);
    NEED(KEYCTL(KEYCTL_CLEAR, SESSION) == 0);
    static char big[32768];
    FAILS(add("user", "too big", big, sizeof(big), SESSION), EINVAL);
    FAILS(add("user", "big", big, 30000, SESSION), EDQUOT);
}

TEST(quota)
{
    if (getuid() == 0)
        CHECK_EQ(run_child(quota, NULL), 0);
}

static void timeout(void *arg)
{
    NEED(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, NULL) > 0);
    serial_t k = (serial_t)add("user", "short", "x", 1, SESSION);
    NEED(KEYCTL(KEYCTL_SET_TIMEOUT, k, 1) == 0);
    NEED(KEYCTL(KEYCTL_READ, k, NULL, 0) == 1);
    sleep_ms(1100);
    FAILS(KEYCTL(KEYCTL_READ, k, NULL, 0), EKEYEXPIRED);
}

TEST(timeout)
{
    CHECK_EQ(run_child(timeout, NULL), 0);
}

/* The line about a key in /proc/keys; NULL: none. */
static const char *key_line(serial_t k)
{
    static char line[512];
    unsigned nr;
    FILE *f = fopen("/proc/keys", "r");
    int has = 0;
    while (f && !has && fgets(line, sizeof(line), f))
        has = sscanf(line, "%x", &nr) == 1 && nr == (unsigned)k;
    if (f)
        fclose(f);
    return has ? line : NULL;
}

static void listings(void *arg)
{
    serial_t s = (serial_t)KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, NULL);
    serial_t k = (serial_t)add("user", "shown:x", "abc", 3, SESSION);
    serial_t r = (serial_t)add("keyring", "a ring", NULL, 0, SESSION);
    NEED(s > 0 && k > 0 && r > 0);
    const char *l = key_line(k);
    if (!l) { /* masked, in a container */
        FILE *f = fopen("/proc/keys", "r");
        NEED(!f || fgetc(f) == EOF);
        return;
    }
    char flags[16], expiry[16], type[16];
    unsigned perm;
    int uses, uid, gid;
    NEED(sscanf(l, "%*x %15s %d %15s %x %d %d %15s", flags, &uses, expiry, &perm, &uid, &gid, type) ==
         7);
    NEED(!strcmp(flags, "I--Q---") && uses >= 1 && !strcmp(expiry, "perm") && uid == (int)getuid());
    NEED(perm == 0x3f010000 && !strcmp(type, "user") && strstr(l, " shown:x: 3\n"));
    NEED((l = key_line(r)) && strstr(l, " keyring ") && strstr(l, " a ring: empty\n"));
    NEED(KEYCTL(KEYCTL_LINK, k, r) == 0);
    NEED((l = key_line(r)) && strstr(l, " a ring: 1\n"));
    NEED(KEYCTL(KEYCTL_SET_TIMEOUT, k, 100000) == 0);
    NEED((l = key_line(k)) && sscanf(l, "%*x %*s %*d %15s", expiry) == 1 && !strcmp(expiry, "1d"));
    NEED(KEYCTL(KEYCTL_SETPERM, k, 0x3e000000) == 0); /* all but view */
    NEED(!key_line(k));
    NEED(KEYCTL(KEYCTL_REVOKE, k) == 0);

    char text[256];
    int is_there = 0, nkeys, max;
    FILE *f = fopen("/proc/key-users", "r");
    while (f && fgets(text, sizeof(text), f)) {
        if (sscanf(text, "%d: %*d %d/%*d %*d/%d", &uid, &nkeys, &max) == 3 && uid == (int)getuid())
            is_there = nkeys >= 3 && max >= nkeys;
    }
    if (f)
        fclose(f);
    NEED(is_there);
}

TEST(what_proc_lists)
{
    CHECK_EQ(run_child(listings, NULL), 0);
}

#define GET_PERSISTENT 22
#define RESTRICT       29
#define SOME_USER      45671

/* A process of the user leaves a key in its persistent keyring. */
static void leaves_a_key(void *arg)
{
    char text[128] = "";
    NEED(setgid(SOME_USER) == 0 && setuid(SOME_USER) == 0);
    NEED(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, NULL) > 0);
    serial_t p = (serial_t)KEYCTL(GET_PERSISTENT, -1, SESSION);
    NEED(p > 0);
    NEED(KEYCTL(GET_PERSISTENT, SOME_USER, KEY_SPEC_PROCESS_KEYRING) == p);
    NEED(KEYCTL(KEYCTL_DESCRIBE, p, text, sizeof(text)) > 0);
    EXPECT(!strcmp(text, "keyring;45671;65534;1f030000;_persistent.45671"));
    NEED(add("user", "left", "behind", 6, p) > 0);
    FAILS(KEYCTL(GET_PERSISTENT, 0, SESSION), EPERM);
    FAILS(KEYCTL(GET_PERSISTENT, -1, add("user", "no ring", "x", 1, SESSION)), ENOTDIR);
    FAILS(KEYCTL(GET_PERSISTENT, -1, 1), ENOKEY);
}

/* Another one finds it there, and clears up. */
static void finds_the_key(void *arg)
{
    char buf[8];
    NEED(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, NULL) > 0);
    NEED(KEYCTL(GET_PERSISTENT, SOME_USER, SESSION) > 0); /* CAP_SETUID: anybody's */
    NEED(setgid(SOME_USER) == 0 && setuid(SOME_USER) == 0);
    serial_t p = (serial_t)KEYCTL(GET_PERSISTENT, -1, SESSION);
    serial_t k = (serial_t)request("user", "left", NULL, 0);
    NEED(p > 0 && k > 0);
    NEED(KEYCTL(KEYCTL_READ, k, buf, sizeof(buf)) == 6 && !memcmp(buf, "behind", 6));
    NEED(KEYCTL(KEYCTL_CLEAR, p) == 0);
    FAILS(request("user", "left", NULL, 0), ENOKEY);
}

TEST(persistent)
{
    if (geteuid() != 0)
        SKIP("only root can be another user");
    if (KEYCTL(GET_PERSISTENT, -1, 1) == -1 && errno == EOPNOTSUPP)
        SKIP("this kernel has no persistent keyrings");
    CHECK_EQ(run_child(leaves_a_key, NULL), 0);
    CHECK_EQ(run_child(finds_the_key, NULL), 0);
}

static void restricted(void *arg)
{
    NEED(KEYCTL(KEYCTL_JOIN_SESSION_KEYRING, NULL) > 0);
    serial_t ring = (serial_t)add("keyring", "closed", NULL, 0, SESSION);
    serial_t in = (serial_t)add("user", "in", "x", 1, ring);
    serial_t out = (serial_t)add("user", "out", "x", 1, SESSION);
    NEED(ring > 0 && in > 0 && out > 0);
    FAILS(KEYCTL(RESTRICT, ring, "user", NULL), EINVAL);
    FAILS(KEYCTL(RESTRICT, ring, NULL, "x"), EINVAL);
    FAILS(KEYCTL(RESTRICT, ring, "no such type", "x"), ENOKEY);
    FAILS(KEYCTL(RESTRICT, ring, "user", "x"), ENOENT);
    FAILS(KEYCTL(RESTRICT, out, NULL, NULL), ENOTDIR);
    NEED(KEYCTL(RESTRICT, ring, NULL, NULL) == 0);
    FAILS(KEYCTL(RESTRICT, ring, NULL, NULL), EEXIST);
    FAILS(KEYCTL(KEYCTL_LINK, out, ring), EPERM);
    FAILS(KEYCTL(KEYCTL_MOVE, out, SESSION, ring, 0), EPERM);
    FAILS(add("user", "new", "x", 1, ring), EPERM);
    FAILS(add("user", "in", "y", 1, ring), EPERM);
    NEED(request("user", "in", NULL, 0) == in);
    NEED(KEYCTL(KEYCTL_UNLINK, in, ring) == 0);
}

TEST(restricted_keyrings)
{
    if (KEYCTL(RESTRICT, 1, NULL, NULL) == -1 && errno == EOPNOTSUPP)
        SKIP("this kernel restricts no keyrings");
    CHECK_EQ(run_child(restricted, NULL), 0);
}
