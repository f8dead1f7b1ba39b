/*
 * Boot configuration: one walk over each struct serves encoding and decoding,
 * so that the two cannot differ.
 */
#include "wire/bootcfg.h"

#include <stdlib.h>
#include <string.h>

#include "abi/errno.h"

#define MAGIC_SANDBOX   0x62765632U
#define MAGIC_CONTAINER 0x63765632U
#define MAGIC_PROCESS   0x70765632U

struct codec {
    bool is_decoding;
    int err; /* sticky */
    u8 *out; /* encoding: malloc'ed */
    size_t size, cap;
    const u8 *in; /* decoding */
    size_t left;
};

static void fail(struct codec *c, int err)
{
    if (!c->err)
        c->err = err;
}

static void bytes(struct codec *c, void *p, size_t n)
{
    if (c->err) {
        if (c->is_decoding && n)
            memset(p, 0, n);
        return;
    }
    if (n == 0)
        return;
    if (c->is_decoding) {
        if (n > c->left) {
            fail(c, -LX_EINVAL);
            memset(p, 0, n);
            return;
        }
        memcpy(p, c->in, n);
        c->in += n;
        c->left -= n;
        return;
    }
    if (c->size + n > c->cap) {
        size_t cap = (c->size + n) * 2 + 1024;
        u8 *out = realloc(c->out, cap);
        if (!out) {
            fail(c, -LX_ENOMEM);
            return;
        }
        c->out = out;
        c->cap = cap;
    }
    memcpy(c->out + c->size, p, n);
    c->size += n;
}

static void word(struct codec *c, u32 *v)
{
    bytes(c, v, sizeof(*v));
}

static void sword(struct codec *c, s32 *v)
{
    bytes(c, v, sizeof(*v));
}

static void dword(struct codec *c, u64 *v)
{
    bytes(c, v, sizeof(*v));
}

static void str(struct codec *c, char **s)
{
    u32 n = c->is_decoding || !*s ? 0 : (u32)MIN(strlen(*s), (size_t)BOOT_MAX_STRING);
    if (!c->is_decoding && n >= BOOT_MAX_STRING)
        fail(c, -LX_E2BIG);
    word(c, &n);
    if (!c->is_decoding) {
        bytes(c, *s, n);
        return;
    }
    *s = NULL;
    if (c->err || n >= BOOT_MAX_STRING || n > c->left) {
        fail(c, -LX_EINVAL);
        return;
    }
    *s = malloc((size_t)n + 1);
    if (!*s) {
        fail(c, -LX_ENOMEM);
        return;
    }
    bytes(c, *s, n);
    (*s)[n] = 0;
    if (memchr(*s, 0, n))
        fail(c, -LX_EINVAL);
}

/*
 * A counted array: bounds the count and, decoding, makes a zeroed array with one element to spare
 * (the NULL that ends lists of strings). False when there is nothing to walk.
 */
static bool array(struct codec *c, u32 *n, void *ptr, size_t elem_size, u32 max)
{
    void **v = ptr;
    if (!c->is_decoding && *n > max)
        fail(c, -LX_E2BIG);
    word(c, n);
    if (!c->is_decoding)
        return !c->err;
    *v = NULL;
    if (*n > max)
        fail(c, -LX_EINVAL);
    if (c->err) {
        *n = 0;
        return false;
    }
    *v = calloc((size_t)*n + 1, elem_size);
    if (!*v) {
        *n = 0;
        fail(c, -LX_ENOMEM);
    }
    return *v;
}

static void strs(struct codec *c, u32 *n, char ***v, u32 max)
{
    if (!array(c, n, v, sizeof(char *), max))
        return;
    for (u32 i = 0; i < *n && !c->err; i++)
        str(c, &(*v)[i]);
}

static void process(struct codec *c, struct boot_process *p)
{
    word(c, &p->flags);
    word(c, &p->uid);
    word(c, &p->gid);
    word(c, &p->umask);
    word(c, &p->rows);
    word(c, &p->cols);
    sword(c, &p->oom_score_adj);
    word(c, &p->npassed);
    dword(c, &p->cap_bounding);
    dword(c, &p->cap_effective);
    dword(c, &p->cap_permitted);
    dword(c, &p->cap_inheritable);
    dword(c, &p->cap_ambient);
    word(c, &p->seccomp_flags);
    word(c, &p->sched_policy);
    word(c, &p->sched_priority);
    word(c, &p->ioprio);
    word(c, &p->personality);
    sword(c, &p->nice);
    str(c, &p->cwd);
    strs(c, &p->nargv, &p->argv, BOOT_MAX_STRINGS);
    strs(c, &p->nenvp, &p->envp, BOOT_MAX_STRINGS);
    if (array(c, &p->ngroups, &p->groups, sizeof(u32), BOOT_MAX_STRINGS))
        bytes(c, p->groups, p->ngroups * sizeof(u32));
    if (array(c, &p->nrlimits, &p->rlimits, sizeof(*p->rlimits), 64)) {
        for (u32 i = 0; i < p->nrlimits; i++) {
            word(c, &p->rlimits[i].which);
            dword(c, &p->rlimits[i].cur);
            dword(c, &p->rlimits[i].max);
        }
    }
    if (array(c, &p->nseccomp, &p->seccomp, sizeof(u64), BOOT_MAX_INSNS))
        bytes(c, p->seccomp, p->nseccomp * sizeof(u64));
    if (c->is_decoding && (p->nargv == 0 || p->npassed > BOOT_MAX_PASSED))
        fail(c, -LX_EINVAL);
}

static void mount(struct codec *c, struct boot_mount *m)
{
    str(c, &m->type);
    str(c, &m->source);
    str(c, &m->target);
    str(c, &m->options);
    word(c, &m->kind);
    word(c, &m->flags);
    word(c, &m->propagation);
    sword(c, &m->attach);
}

static void device(struct codec *c, struct boot_device *d)
{
    str(c, &d->path);
    word(c, &d->mode);
    word(c, &d->major);
    word(c, &d->minor);
    word(c, &d->uid);
    word(c, &d->gid);
}

static void container(struct codec *c, struct boot_container *b)
{
    word(c, &b->flags);
    word(c, &b->nlanes);
    word(c, &b->ncgroups);
    dword(c, &b->overlay_size);
    dword(c, &b->memory_limit);
    dword(c, &b->pids_limit);
    dword(c, &b->cpu_quota_us);
    dword(c, &b->cpu_period_us);
    str(c, &b->id);
    str(c, &b->hostname);
    str(c, &b->domainname);
    str(c, &b->pid_ns_of);
    if (array(c, &b->nmounts, &b->mounts, sizeof(*b->mounts), BOOT_MAX_MOUNTS))
        for (u32 i = 0; i < b->nmounts && !c->err; i++)
            mount(c, &b->mounts[i]);
    if (array(c, &b->ndevices, &b->devices, sizeof(*b->devices), BOOT_MAX_MOUNTS))
        for (u32 i = 0; i < b->ndevices && !c->err; i++)
            device(c, &b->devices[i]);
    if (array(c, &b->ndev_rules, &b->dev_rules, sizeof(*b->dev_rules), BOOT_MAX_MOUNTS))
        for (u32 i = 0; i < b->ndev_rules && !c->err; i++) {
            word(c, &b->dev_rules[i].flags);
            word(c, &b->dev_rules[i].major);
            word(c, &b->dev_rules[i].minor);
        }
    strs(c, &b->nmasked, &b->masked, BOOT_MAX_MOUNTS);
    strs(c, &b->nreadonly, &b->readonly, BOOT_MAX_MOUNTS);
    if (array(c, &b->nsysctls, &b->sysctls, sizeof(*b->sysctls), BOOT_MAX_MOUNTS))
        for (u32 i = 0; i < b->nsysctls && !c->err; i++) {
            str(c, &b->sysctls[i].name);
            str(c, &b->sysctls[i].value);
        }
    process(c, &b->process);
    if (c->is_decoding && b->nlanes > BOOT_MAX_LANES)
        fail(c, -LX_EINVAL);
}

static void idmaps(struct codec *c, u32 *n, struct boot_idmap **v)
{
    if (!array(c, n, v, sizeof(**v), BOOT_MAX_IDMAPS))
        return;
    for (u32 i = 0; i < *n && !c->err; i++) {
        struct boot_idmap *m = &(*v)[i];
        word(c, &m->first);
        word(c, &m->lower);
        word(c, &m->count);
        if (m->count == 0 || m->first > UINT32_MAX - m->count || m->lower > UINT32_MAX - m->count)
            fail(c, -LX_EINVAL);
    }
}

static void sandbox(struct codec *c, struct bootcfg *b)
{
    word(c, &b->flags);
    word(c, &b->log_level);
    word(c, &b->own_uid);
    word(c, &b->own_gid);
    idmaps(c, &b->nuid_map, &b->uid_map);
    idmaps(c, &b->ngid_map, &b->gid_map);
    dword(c, &b->rlimit_nofile);
    container(c, &b->container);
    if (array(c, &b->net_size, &b->net, 1, BOOT_MAX_NET))
        bytes(c, b->net, b->net_size);
}

static void magic(struct codec *c, u32 expected)
{
    u32 v = expected;
    word(c, &v);
    if (v != expected)
        fail(c, -LX_EINVAL);
}

static int end_encoding(struct codec *c, void **ret_buf, size_t *ret_size)
{
    if (c->err) {
        free(c->out);
        return c->err;
    }
    *ret_buf = c->out;
    *ret_size = c->size;
    return 0;
}

static int end_decoding(const struct codec *c)
{
    return c->err ? c->err : c->left ? -LX_EINVAL : 0;
}

/* The walk does not change what it encodes. */
#define UNCONST(type, p) ((type *)(uintptr_t)(p))

int bootcfg_encode(const struct bootcfg *b, void **ret_buf, size_t *ret_size)
{
    struct codec c = {0};
    magic(&c, MAGIC_SANDBOX);
    sandbox(&c, UNCONST(struct bootcfg, b));
    return end_encoding(&c, ret_buf, ret_size);
}

int boot_container_encode(const struct boot_container *b, void **ret_buf, size_t *ret_size)
{
    struct codec c = {0};
    magic(&c, MAGIC_CONTAINER);
    container(&c, UNCONST(struct boot_container, b));
    return end_encoding(&c, ret_buf, ret_size);
}

int boot_process_encode(const struct boot_process *p, void **ret_buf, size_t *ret_size)
{
    struct codec c = {0};
    magic(&c, MAGIC_PROCESS);
    process(&c, UNCONST(struct boot_process, p));
    return end_encoding(&c, ret_buf, ret_size);
}

int bootcfg_decode(const void *buf, size_t size, struct bootcfg *ret_b)
{
    struct codec c = {.is_decoding = true, .in = buf, .left = size};
    struct bootcfg b = {0};
    magic(&c, MAGIC_SANDBOX);
    sandbox(&c, &b);
    int r = end_decoding(&c);
    if (r < 0)
        bootcfg_done(&b);
    else
        *ret_b = b;
    return r;
}

int boot_container_decode(const void *buf, size_t size, struct boot_container *ret_b)
{
    struct codec c = {.is_decoding = true, .in = buf, .left = size};
    struct boot_container b = {0};
    magic(&c, MAGIC_CONTAINER);
    container(&c, &b);
    int r = end_decoding(&c);
    if (r < 0)
        boot_container_done(&b);
    else
        *ret_b = b;
    return r;
}

int boot_process_decode(const void *buf, size_t size, struct boot_process *ret_p)
{
    struct codec c = {.is_decoding = true, .in = buf, .left = size};
    struct boot_process p = {0};
    magic(&c, MAGIC_PROCESS);
    process(&c, &p);
    int r = end_decoding(&c);
    if (r < 0)
        boot_process_done(&p);
    else
        *ret_p = p;
    return r;
}

static void free_strs(char **v)
{
    for (char **p = v; p && *p; p++)
        free(*p);
    free(v);
}

void boot_process_done(struct boot_process *p)
{
    free(p->cwd);
    free_strs(p->argv);
    free_strs(p->envp);
    free(p->groups);
    free(p->rlimits);
    free(p->seccomp);
    memset(p, 0, sizeof(*p));
}

void boot_container_done(struct boot_container *c)
{
    free(c->id);
    free(c->hostname);
    free(c->domainname);
    free(c->pid_ns_of);
    for (u32 i = 0; c->mounts && i < c->nmounts; i++) {
        free(c->mounts[i].type);
        free(c->mounts[i].source);
        free(c->mounts[i].target);
        free(c->mounts[i].options);
    }
    free(c->mounts);
    for (u32 i = 0; c->devices && i < c->ndevices; i++)
        free(c->devices[i].path);
    free(c->devices);
    free(c->dev_rules);
    free_strs(c->masked);
    free_strs(c->readonly);
    for (u32 i = 0; c->sysctls && i < c->nsysctls; i++) {
        free(c->sysctls[i].name);
        free(c->sysctls[i].value);
    }
    free(c->sysctls);
    boot_process_done(&c->process);
    memset(c, 0, sizeof(*c));
}

void bootcfg_done(struct bootcfg *c)
{
    boot_container_done(&c->container);
    free(c->uid_map);
    free(c->gid_map);
    free(c->net);
    memset(c, 0, sizeof(*c));
}
