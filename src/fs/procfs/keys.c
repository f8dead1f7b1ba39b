/* /proc/keys: the keys that the reader may see; /proc/key-users: what users have of their quotas.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/keys.h"
#include "procfs/proc_int.h"

static void put_expiry(char *to, size_t size, s64 left_s)
{
    static const struct {
        s64 below, unit;
        char name;
    } steps[] = {{60, 1, 's'},
                 {3600, 60, 'm'},
                 {86400, 3600, 'h'},
                 {604800, 86400, 'd'},
                 {INT64_MAX, 604800, 'w'}};
    size_t i = 0;
    if (left_s <= 0) {
        snprintf(to, size, "%s", left_s < 0 ? "perm" : "expd");
        return;
    }
    while (left_s >= steps[i].below)
        i++;
    snprintf(to, size, "%lld%c", (long long)(left_s / steps[i].unit), steps[i].name);
}

static void put_key(struct seq *s, const struct key_line *l)
{
    char expiry[32];
    put_expiry(expiry, sizeof(expiry), l->left_s);
    seq_printf(s, "%08x I%c-Q--- %5u %4s %08x %5d %5d %-9.9s %s: ", (u32)l->serial,
               l->is_revoked ? 'R' : '-', l->nrefs, expiry, l->perm, (s32)l->uid, (s32)l->gid,
               l->type, l->desc);
    if (strcmp(l->type, "keyring") == 0 && l->size == 0)
        seq_puts(s, "empty\n");
    else
        seq_printf(s, "%lld\n", (long long)l->size);
}

int show_keys(struct seq *s, const struct pinode *pi)
{
    struct task *t = task_current();
    struct key_line *l = malloc(sizeof(*l));
    if (!l || !t) {
        free(l);
        return -LX_ENOMEM;
    }
    bool is_more = true;
    while (!seq_is_full(s) && (is_more = keys_next(t, (s32)s->cursor, l))) {
        put_key(s, l);
        s->cursor = (u64)l->serial;
    }
    if (!is_more)
        s->cursor = SEQ_END;
    free(l);
    return 0;
}

int show_key_users(struct seq *s, const struct pinode *pi)
{
    struct task *t = task_current();
    struct key_user_line l;
    bool is_more = true;
    while (t && !seq_is_full(s) && (is_more = keys_next_user((s64)s->cursor - 1, &l))) {
        s->cursor = (u64)l.uid + 1;
        u32 uid = from_kuid_raw(t->cred->user_ns, l.uid);
        if (uid != UINT32_MAX)
            seq_printf(s, "%5u: %5u %u/%u %u/%u %u/%u\n", uid, l.nkeys, l.nkeys, l.nkeys, l.nkeys,
                       l.max_keys, l.bytes, l.max_bytes);
    }
    if (!is_more)
        s->cursor = SEQ_END;
    return 0;
}
