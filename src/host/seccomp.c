/* See seccomp.h. Rules are tried in order: put the hot calls first. */
#include "host/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/errno.h"
#include "base/log.h"

#define OFF_NR     ((u32)offsetof(struct seccomp_data, nr))
#define OFF_ARCH   ((u32)offsetof(struct seccomp_data, arch))
#define OFF_IP     ((u32)offsetof(struct seccomp_data, instruction_pointer))
#define OFF_ARG(i) ((u32)(offsetof(struct seccomp_data, args) + 8 * (size_t)(i)))

/* Jump targets inside a rule: patched when the rule's end is known. */
#define TO_END 255

struct builder {
    struct sock_filter *insns;
    size_t count, cap;
};

static void emit(struct builder *b, u16 code, u8 jt, u8 jf, u32 k)
{
    if (b->count < b->cap)
        b->insns[b->count] = (struct sock_filter){code, jt, jf, k};
    b->count++;
}

static void emit_load(struct builder *b, u32 off)
{
    emit(b, BPF_LD | BPF_W | BPF_ABS, 0, 0, off);
}

static void emit_jump(struct builder *b, u16 op, u32 k, u8 jt, u8 jf)
{
    emit(b, (u16)(BPF_JMP | op | BPF_K), jt, jf, k);
}

static void emit_half(struct builder *b, u32 off, u32 value, u32 mask)
{
    if (mask == 0)
        return;
    emit_load(b, off);
    if (mask != 0xffffffff)
        emit(b, BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
    emit_jump(b, BPF_JEQ, value, 0, TO_END);
}

static void emit_cond(struct builder *b, const struct seccomp_cond *c)
{
    u32 lo_off = OFF_ARG(c->arg), hi_off = lo_off + 4;
    u32 lo = (u32)c->value, hi = (u32)(c->value >> 32);
    switch ((enum seccomp_op)c->op) {
    case SECCOMP_EQ:
        emit_half(b, hi_off, hi, 0xffffffff);
        emit_half(b, lo_off, lo, 0xffffffff);
        break;
    case SECCOMP_MASKED_EQ:
        emit_half(b, hi_off, hi, (u32)(c->mask >> 32));
        emit_half(b, lo_off, lo, (u32)c->mask);
        break;
    case SECCOMP_EQ32:
        emit_half(b, lo_off, lo, 0xffffffff);
        break;
    case SECCOMP_MASKED_EQ32:
        emit_half(b, lo_off, lo, (u32)c->mask);
        break;
    case SECCOMP_LE: /* hi < vhi, or hi == vhi and lo <= vlo */
        emit_load(b, hi_off);
        emit_jump(b, BPF_JGT, hi, TO_END, 0);
        emit_jump(b, BPF_JEQ, hi, 0, 2);
        emit_load(b, lo_off);
        emit_jump(b, BPF_JGT, lo, TO_END, 0);
        break;
    case SECCOMP_GE:
        emit_load(b, hi_off);
        emit_jump(b, BPF_JGT, hi, 3, 0);
        emit_jump(b, BPF_JEQ, hi, 0, TO_END);
        emit_load(b, lo_off);
        emit_jump(b, BPF_JGE, lo, 0, TO_END);
        break;
    case SECCOMP_ONE_OF:
        emit_half(b, hi_off, 0, (u32)(c->mask >> 32));
        emit_load(b, lo_off);
        emit(b, BPF_ALU | BPF_AND | BPF_K, 0, 0, (u32)c->mask);
        emit_jump(b, BPF_JGE, 32, TO_END, 0);
        emit(b, BPF_MISC | BPF_TAX, 0, 0, 0);
        emit(b, BPF_LD | BPF_IMM, 0, 0, 1);
        emit(b, BPF_ALU | BPF_LSH | BPF_X, 0, 0, 0);
        emit_jump(b, BPF_JSET, lo, 0, TO_END);
        break;
    }
}

/* The accumulator holds the number when is_loaded. */
static int emit_rule(struct builder *b, const struct seccomp_rule *r, bool is_loaded, bool has_ip)
{
    if (!is_loaded)
        emit_load(b, OFF_NR);
    size_t begin = b->count;
    emit_jump(b, BPF_JEQ, r->nr, 0, TO_END);
    if (r->ip_end && !has_ip) {
        emit_half(b, OFF_IP + 4, (u32)(r->ip_min >> 32), 0xffffffff);
        emit_load(b, OFF_IP);
        emit_jump(b, BPF_JGE, (u32)r->ip_min, 0, TO_END);
        emit_jump(b, BPF_JGE, (u32)r->ip_end, TO_END, 0);
    }
    for (int i = 0; i < SECCOMP_MAX_CONDS && r->conds[i].op; i++)
        emit_cond(b, &r->conds[i]);
    emit(b, BPF_RET | BPF_K, 0, 0, r->action ? r->action : SECCOMP_RET_ALLOW);
    if (b->count > b->cap)
        return -LX_E2BIG;
    for (size_t i = begin; i < b->count; i++) {
        struct sock_filter *f = &b->insns[i];
        if (BPF_CLASS(f->code) != BPF_JMP)
            continue;
        u8 dist = (u8)(b->count - i - 1);
        if (f->jt == TO_END)
            f->jt = dist;
        if (f->jf == TO_END)
            f->jf = dist;
    }
    return 0;
}

/* All rules have the same instruction-pointer check: it is made once, in front. */
static bool has_common_ip(const struct seccomp_rule *rules, size_t nrules)
{
    for (size_t i = 0; i < nrules; i++)
        if (!rules[i].ip_end || rules[i].ip_min != rules[0].ip_min ||
            rules[i].ip_end != rules[0].ip_end)
            return false;
    return nrules > 0;
}

int seccomp_compile(const struct seccomp_rule *rules, size_t nrules, u32 default_action,
                    struct sock_filter *ret_insns, size_t cap)
{
    struct builder b = {ret_insns, 0, cap};
    bool has_ip = has_common_ip(rules, nrules);
    emit_load(&b, OFF_ARCH);
    emit_jump(&b, BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
    emit(&b, BPF_RET | BPF_K, 0, 0, default_action);
    if (has_ip) {
        emit_load(&b, OFF_IP + 4);
        emit_jump(&b, BPF_JEQ, (u32)(rules[0].ip_min >> 32), 1, 0);
        emit(&b, BPF_RET | BPF_K, 0, 0, default_action);
        emit_load(&b, OFF_IP);
        emit_jump(&b, BPF_JGE, (u32)rules[0].ip_end, 1, 0);
        emit_jump(&b, BPF_JGE, (u32)rules[0].ip_min, 1, 0);
        emit(&b, BPF_RET | BPF_K, 0, 0, default_action);
    }
    bool is_loaded = false;
    for (size_t i = 0; i < nrules; i++) {
        int r = emit_rule(&b, &rules[i], is_loaded, has_ip);
        if (r < 0)
            return r;
        is_loaded = !rules[i].conds[0].op && (has_ip || !rules[i].ip_end);
    }
    emit(&b, BPF_RET | BPF_K, 0, 0, default_action);
    return b.count > cap || b.count > BPF_MAXINSNS ? -LX_E2BIG : (int)b.count;
}

static const char *action_name(u32 action)
{
    switch (action & SECCOMP_RET_ACTION_FULL) {
    case 0:
    case SECCOMP_RET_ALLOW:
        return "allow";
    case SECCOMP_RET_TRAP:
        return "trap";
    case SECCOMP_RET_ERRNO:
        return "errno";
    case SECCOMP_RET_KILL_PROCESS:
        return "kill";
    }
    return "other";
}

void seccomp_print(int fd, const char *title, const struct seccomp_rule *rules, size_t nrules,
                   u32 default_action, const char *(*name_of)(u32 nr))
{
    dprintf(fd, "%s (otherwise: %s)\n", title, action_name(default_action));
    for (size_t i = 0; i < nrules; i++) {
        const struct seccomp_rule *r = &rules[i];
        const char *name = name_of ? name_of(r->nr) : NULL;
        if (name)
            dprintf(fd, "  %s", name);
        else
            dprintf(fd, "  %u", r->nr);
        for (int j = 0; j < SECCOMP_MAX_CONDS && r->conds[j].op; j++) {
            const struct seccomp_cond *c = &r->conds[j];
            switch ((enum seccomp_op)c->op) {
            case SECCOMP_EQ:
            case SECCOMP_EQ32:
                dprintf(fd, " arg%u=%#lx", c->arg, (unsigned long)c->value);
                break;
            case SECCOMP_MASKED_EQ:
            case SECCOMP_MASKED_EQ32:
                dprintf(fd, " arg%u&%#lx=%#lx", c->arg, (unsigned long)c->mask,
                        (unsigned long)c->value);
                break;
            case SECCOMP_ONE_OF:
                dprintf(fd, " arg%u&%#lx in bits of %#lx", c->arg, (unsigned long)c->mask,
                        (unsigned long)c->value);
                break;
            case SECCOMP_LE:
                dprintf(fd, " arg%u<=%#lx", c->arg, (unsigned long)c->value);
                break;
            case SECCOMP_GE:
                dprintf(fd, " arg%u>=%#lx", c->arg, (unsigned long)c->value);
                break;
            }
        }
        if (r->ip_end)
            dprintf(fd, " from stub text");
        if (r->action && r->action != SECCOMP_RET_ALLOW)
            dprintf(fd, ": %s", action_name(r->action));
        dprintf(fd, "\n");
    }
}

int seccomp_install(const struct seccomp_rule *rules, size_t nrules, u32 default_action,
                    bool is_tsync)
{
    size_t cap = BPF_MAXINSNS;
    struct sock_filter *insns = malloc(cap * sizeof(*insns)); /* few of its pages are touched */
    if (!insns)
        return -LX_ENOMEM;
    int r = seccomp_compile(rules, nrules, default_action, insns, cap);
#ifdef UNSAFE_SUD
    log_once(LOG_WARN, "built without host filters: nothing is isolated");
    free(insns);
    (void)is_tsync;
    return r < 0 ? r : 0;
#endif
    if (r > 0) {
        struct sock_fprog prog = {(unsigned short)r, insns};
        r = 0;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, is_tsync ? SECCOMP_FILTER_FLAG_TSYNC : 0,
                    &prog) != 0)
            r = errno ? -errno : -LX_EBUSY;
    }
    free(insns);
    return r;
}
