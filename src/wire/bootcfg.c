/* Boot configuration: encoding and its mirror. */
#include "wire/bootcfg.h"

#include <stdlib.h>
#include <string.h>

#include "abi/errno.h"

#define BOOT_MAGIC 0x62765631U

struct writer {
    u8 *buf;
    size_t size, room;
    bool is_failed;
};

static void put_bytes(struct writer *w, const void *p, size_t n)
{
    if (w->is_failed)
        return;
    if (w->size + n > w->room) {
        size_t room = (w->size + n) * 2 + 1024;
        u8 *buf = realloc(w->buf, room);
        if (!buf) {
            w->is_failed = true;
            return;
        }
        w->buf = buf;
        w->room = room;
    }
    memcpy(w->buf + w->size, p, n);
    w->size += n;
}

static void put_u32(struct writer *w, u32 v)
{
    put_bytes(w, &v, sizeof(v));
}

static void put_u64(struct writer *w, u64 v)
{
    put_bytes(w, &v, sizeof(v));
}

static void put_str(struct writer *w, const char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n >= BOOT_MAX_STRING)
        w->is_failed = true;
    put_u32(w, (u32)n);
    put_bytes(w, s ? s : "", n);
}

int bootcfg_encode(const struct bootcfg *c, void **ret_buf, size_t *ret_size)
{
    struct writer w = {0};
    if (c->nargv > BOOT_MAX_STRINGS || c->nenvp > BOOT_MAX_STRINGS ||
        c->nmounts > BOOT_MAX_MOUNTS || c->ngroups > BOOT_MAX_STRINGS)
        return -LX_E2BIG;
    put_u32(&w, BOOT_MAGIC);
    const u32 words[] = {c->flags, c->log_level, c->uid,   c->gid,     c->nlanes, c->rows,
                         c->cols,  c->nargv,     c->nenvp, c->ngroups, c->nmounts};
    put_bytes(&w, words, sizeof(words));
    put_u64(&w, c->rlimit_nofile);
    put_u64(&w, c->overlay_size);
    put_str(&w, c->hostname);
    put_str(&w, c->cwd);
    for (u32 i = 0; i < c->nargv; i++)
        put_str(&w, c->argv[i]);
    for (u32 i = 0; i < c->nenvp; i++)
        put_str(&w, c->envp[i]);
    put_bytes(&w, c->groups, c->ngroups * sizeof(u32));
    for (u32 i = 0; i < c->nmounts; i++) {
        const struct boot_mount *m = &c->mounts[i];
        put_str(&w, m->type);
        put_str(&w, m->source);
        put_str(&w, m->target);
        put_str(&w, m->options);
        put_u32(&w, m->flags);
        put_u32(&w, (u32)m->attach);
    }
    if (w.is_failed) {
        free(w.buf);
        return -LX_E2BIG;
    }
    *ret_buf = w.buf;
    *ret_size = w.size;
    return 0;
}

struct reader {
    const u8 *p;
    size_t left;
    bool is_failed;
};

static void get_bytes(struct reader *r, void *dst, size_t n)
{
    if (r->is_failed || n > r->left) {
        r->is_failed = true;
        memset(dst, 0, n);
        return;
    }
    memcpy(dst, r->p, n);
    r->p += n;
    r->left -= n;
}

static u32 get_u32(struct reader *r)
{
    u32 v;
    get_bytes(r, &v, sizeof(v));
    return v;
}

static char *get_str(struct reader *r)
{
    u32 n = get_u32(r);
    if (r->is_failed || n >= BOOT_MAX_STRING || n > r->left) {
        r->is_failed = true;
        return NULL;
    }
    char *s = malloc((size_t)n + 1);
    if (!s) {
        r->is_failed = true;
        return NULL;
    }
    get_bytes(r, s, n);
    s[n] = 0;
    if (memchr(s, 0, n))
        r->is_failed = true;
    return s;
}

static char **get_strs(struct reader *r, u32 n)
{
    char **v = calloc((size_t)n + 1, sizeof(*v));
    if (!v) {
        r->is_failed = true;
        return NULL;
    }
    for (u32 i = 0; i < n && !r->is_failed; i++)
        v[i] = get_str(r);
    return v;
}

int bootcfg_decode(const void *buf, size_t size, struct bootcfg *ret_c)
{
    struct reader r = {buf, size, false};
    struct bootcfg c = {0};
    if (get_u32(&r) != BOOT_MAGIC)
        return -LX_EINVAL;
    c.flags = get_u32(&r);
    c.log_level = get_u32(&r);
    c.uid = get_u32(&r);
    c.gid = get_u32(&r);
    c.nlanes = get_u32(&r);
    c.rows = get_u32(&r);
    c.cols = get_u32(&r);
    u32 nargv = get_u32(&r), nenvp = get_u32(&r), ngroups = get_u32(&r), nmounts = get_u32(&r);
    get_bytes(&r, &c.rlimit_nofile, sizeof(c.rlimit_nofile));
    get_bytes(&r, &c.overlay_size, sizeof(c.overlay_size));
    if (nargv > BOOT_MAX_STRINGS || nenvp > BOOT_MAX_STRINGS || ngroups > BOOT_MAX_STRINGS ||
        nmounts > BOOT_MAX_MOUNTS || c.nlanes > BOOT_MAX_LANES || nargv == 0)
        return -LX_EINVAL;
    c.hostname = get_str(&r);
    c.cwd = get_str(&r);
    c.argv = get_strs(&r, nargv);
    c.nargv = c.argv ? nargv : 0;
    c.envp = get_strs(&r, nenvp);
    c.nenvp = c.envp ? nenvp : 0;
    c.groups = calloc((size_t)ngroups + 1, sizeof(u32));
    c.mounts = calloc((size_t)nmounts + 1, sizeof(*c.mounts));
    if (c.groups && c.mounts) {
        c.ngroups = ngroups;
        get_bytes(&r, c.groups, ngroups * sizeof(u32));
        c.nmounts = nmounts;
        for (u32 i = 0; i < nmounts && !r.is_failed; i++) {
            struct boot_mount *m = &c.mounts[i];
            m->type = get_str(&r);
            m->source = get_str(&r);
            m->target = get_str(&r);
            m->options = get_str(&r);
            m->flags = get_u32(&r);
            m->attach = (s32)get_u32(&r);
        }
    } else {
        r.is_failed = true;
    }
    if (r.is_failed || r.left != 0) {
        bootcfg_done(&c);
        return -LX_EINVAL;
    }
    *ret_c = c;
    return 0;
}

static void free_strs(char **v)
{
    for (char **p = v; p && *p; p++)
        free(*p);
    free(v);
}

void bootcfg_done(struct bootcfg *c)
{
    free(c->hostname);
    free(c->cwd);
    free_strs(c->argv);
    free_strs(c->envp);
    free(c->groups);
    for (u32 i = 0; i < c->nmounts; i++) {
        free(c->mounts[i].type);
        free(c->mounts[i].source);
        free(c->mounts[i].target);
        free(c->mounts[i].options);
    }
    free(c->mounts);
    memset(c, 0, sizeof(*c));
}
