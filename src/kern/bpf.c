/*
 * Classic BPF (linux/filter.h): for seccomp, which knows only words of its own record, and for
 * sockets, which read packets, network byte order, at any offset.
 */
#include "kern/bpf.h"

#include "kern/seccomp.h"

#include <string.h>

#define NMEM 16

/* Instruction classes and fields */
#define CLASS(c) ((c)&7)
#define LD       0x00
#define LDX      0x01
#define ST       0x02
#define STX      0x03
#define ALU      0x04
#define JMP      0x05
#define RET      0x06
#define MISC     0x07
#define W        0x00
#define H        0x08
#define B        0x10
#define IND      0x40
#define MSH      0xa0
#define MOD      0x90
#define IMM      0x00
#define ABS      0x20
#define MEM      0x60
#define LEN      0x80
#define ADD      0x00
#define SUB      0x10
#define MUL      0x20
#define DIV      0x30
#define OR       0x40
#define AND      0x50
#define LSH      0x60
#define RSH      0x70
#define NEG      0x80
#define XOR      0xa0
#define JA       0x00
#define JEQ      0x10
#define JGT      0x20
#define JGE      0x30
#define JSET     0x40
#define K        0x00
#define X        0x08
#define A        0x10
#define TAX      0x00
#define TXA      0x80

static bool is_alu_valid(u16 code, u32 k)
{
    u16 op = code & 0xf0;
    if (op == NEG)
        return code == (ALU | NEG);
    if (op != ADD && op != SUB && op != MUL && op != DIV && op != OR && op != AND && op != LSH &&
        op != RSH && op != XOR)
        return false;
    if (code == (ALU | DIV | K))
        return k != 0;
    if (code == (ALU | LSH | K) || code == (ALU | RSH | K))
        return k < 32;
    return true;
}

/* What only socket filters have. */
static bool is_packet_insn(const struct lx_sock_filter *f)
{
    switch (f->code) {
    case LD | W | ABS:
    case LD | H | ABS:
    case LD | B | ABS:
        return f->k < LX_SKF_AD_OFF || f->k - LX_SKF_AD_OFF < LX_SKF_AD_MAX;
    case LD | W | IND:
    case LD | H | IND:
    case LD | B | IND:
    case LDX | B | MSH:
    case ALU | MOD | X:
        return true;
    case ALU | MOD | K:
        return f->k != 0;
    default:
        return false;
    }
}

static bool is_valid(const struct lx_sock_filter *f, u32 pc, u32 count, bool is_packet)
{
    if (is_packet && is_packet_insn(f))
        return true;
    switch (f->code) {
    case LD | W | ABS:
        return !is_packet && f->k < sizeof(struct lx_seccomp_data) && f->k % 4 == 0;
    case LD | W | LEN:
    case LDX | W | LEN:
    case LD | IMM:
    case LDX | IMM:
    case RET | K:
    case RET | A:
    case MISC | TAX:
    case MISC | TXA:
        return true;
    case LD | MEM:
    case LDX | MEM:
    case ST:
    case STX:
        return f->k < NMEM;
    case JMP | JA:
        return f->k < count - pc - 1;
    case JMP | JEQ | K:
    case JMP | JEQ | X:
    case JMP | JGT | K:
    case JMP | JGT | X:
    case JMP | JGE | K:
    case JMP | JGE | X:
    case JMP | JSET | K:
    case JMP | JSET | X:
        return pc + f->jt + 1 < count && pc + f->jf + 1 < count;
    default:
        return CLASS(f->code) == ALU && is_alu_valid(f->code, f->k);
    }
}

/* A cell must have been written on every way to where it is read. Jumps only go forward. */
static bool is_memory_written_first(const struct lx_sock_filter *insns, u32 count)
{
    u16 masks[LX_BPF_MAXINSNS], valid = 0;
    memset(masks, 0xff, sizeof(masks));
    for (u32 pc = 0; pc < count; pc++) {
        const struct lx_sock_filter *f = &insns[pc];
        valid &= masks[pc];
        switch (f->code) {
        case ST:
        case STX:
            valid |= (u16)(1U << f->k);
            break;
        case LD | MEM:
        case LDX | MEM:
            if (!(valid & (1U << f->k)))
                return false;
            break;
        case JMP | JA:
            masks[pc + 1 + f->k] &= valid;
            valid = 0xffff;
            break;
        default:
            if (CLASS(f->code) == JMP) {
                masks[pc + 1 + f->jt] &= valid;
                masks[pc + 1 + f->jf] &= valid;
                valid = 0xffff;
            }
            break;
        }
    }
    return true;
}

static int check(const struct lx_sock_filter *insns, u32 count, bool is_packet)
{
    if (count == 0 || count > LX_BPF_MAXINSNS)
        return -LX_EINVAL;
    for (u32 pc = 0; pc < count; pc++) {
        if (!is_valid(&insns[pc], pc, count, is_packet))
            return -LX_EINVAL;
    }
    u16 last = insns[count - 1].code;
    if (last != (RET | K) && last != (RET | A))
        return -LX_EINVAL;
    return is_memory_written_first(insns, count) ? 0 : -LX_EINVAL;
}

int bpf_check(const struct lx_sock_filter *insns, u32 count)
{
    return check(insns, count, false);
}

int bpf_check_packet(const struct lx_sock_filter *insns, u32 count)
{
    return check(insns, count, true);
}

static u32 alu(u16 op, u32 a, u32 v)
{
    switch (op) {
    case ADD:
        return a + v;
    case SUB:
        return a - v;
    case MUL:
        return a * v;
    case OR:
        return a | v;
    case AND:
        return a & v;
    case LSH:
        return v < 32 ? a << v : 0;
    case RSH:
        return v < 32 ? a >> v : 0;
    case XOR:
        return a ^ v;
    default:
        return -a; /* NEG */
    }
}

static bool compare(u16 op, u32 a, u32 v)
{
    switch (op) {
    case JEQ:
        return a == v;
    case JGT:
        return a > v;
    case JGE:
        return a >= v;
    default:
        return a & v; /* JSET */
    }
}

/* ---- running -------------------------------------------------------------------------------- */

struct machine {
    u32 a, x, mem[NMEM];
    const struct lx_seccomp_data *data; /* or NULL: a packet */
    const struct bpf_packet *packet;
};

static bool load_ancillary(struct machine *m, u32 which)
{
    const struct bpf_packet *p = m->packet;
    switch (which) {
    case LX_SKF_AD_PROTOCOL:
        m->a = p->protocol;
        return true;
    case LX_SKF_AD_PKTTYPE:
        m->a = p->pkttype;
        return true;
    case LX_SKF_AD_IFINDEX:
        m->a = p->ifindex;
        return true;
    case LX_SKF_AD_HATYPE:
        m->a = p->hatype;
        return true;
    case LX_SKF_AD_MARK:
        m->a = p->mark;
        return true;
    case LX_SKF_AD_ALU_XOR_X:
        m->a ^= m->x;
        return true;
    default: /* queue, CPU, hash, VLAN, …: nothing there */
        m->a = 0;
        return true;
    }
}

/* A big-endian value of 1, 2 or 4 bytes; false: out of the packet, which ends the program with 0.
 */
static bool load_packet(struct machine *m, u16 size_code, u32 off)
{
    const struct bpf_packet *p = m->packet;
    u32 base = p->data, size = size_code == W ? 4 : size_code == H ? 2 : 1;
    if (off >= LX_SKF_AD_OFF)
        return load_ancillary(m, off - LX_SKF_AD_OFF);
    if (off >= LX_SKF_NET_OFF) {
        base = p->net;
        off -= LX_SKF_NET_OFF;
    } else if (off >= LX_SKF_LL_OFF) {
        base = p->link;
        off -= LX_SKF_LL_OFF;
    } else if (off > INT32_MAX) {
        return false;
    }
    u64 at = (u64)base + off;
    if (at + size > p->size)
        return false;
    m->a = 0;
    for (u32 i = 0; i < size; i++)
        m->a = m->a << 8 | p->buf[at + i];
    return true;
}

static bool load(struct machine *m, const struct lx_sock_filter *f)
{
    u32 off;
    if (m->data) {
        memcpy(&m->a, (const u8 *)m->data + f->k, sizeof(m->a));
        return true;
    }
    if (f->code == (LDX | B | MSH)) {
        u32 a = m->a;
        bool is_ok = load_packet(m, B, f->k);
        m->x = (m->a & 0xf) * 4;
        m->a = a;
        return is_ok;
    }
    if ((f->code & 0xe0) == ABS)
        return load_packet(m, f->code & 0x18, f->k);
    if (__builtin_add_overflow(m->x, f->k, &off) || off > INT32_MAX)
        return false;
    return load_packet(m, f->code & 0x18, off);
}

static u32 run(struct machine *m, const struct lx_sock_filter *f)
{
    u32 len = m->data ? (u32)sizeof(*m->data) : m->packet->size - m->packet->data;
    for (;; f++) {
        switch (f->code) {
        case LD | W | ABS:
        case LD | H | ABS:
        case LD | B | ABS:
        case LD | W | IND:
        case LD | H | IND:
        case LD | B | IND:
        case LDX | B | MSH:
            if (!load(m, f))
                return 0;
            break;
        case LD | W | LEN:
            m->a = len;
            break;
        case LDX | W | LEN:
            m->x = len;
            break;
        case LD | IMM:
            m->a = f->k;
            break;
        case LDX | IMM:
            m->x = f->k;
            break;
        case LD | MEM:
            m->a = m->mem[f->k];
            break;
        case LDX | MEM:
            m->x = m->mem[f->k];
            break;
        case ST:
            m->mem[f->k] = m->a;
            break;
        case STX:
            m->mem[f->k] = m->x;
            break;
        case MISC | TAX:
            m->x = m->a;
            break;
        case MISC | TXA:
            m->a = m->x;
            break;
        case RET | K:
            return f->k;
        case RET | A:
            return m->a;
        case JMP | JA:
            f += f->k;
            break;
        default: {
            u32 v = f->code & X ? m->x : f->k;
            u16 op = f->code & 0xf0;
            if (CLASS(f->code) == JMP) {
                f += compare(op, m->a, v) ? f->jt : f->jf;
            } else if (op == DIV || op == MOD) {
                if (v == 0)
                    return 0; /* as Linux: a division by zero ends the program with 0 */
                m->a = op == DIV ? m->a / v : m->a % v;
            } else {
                m->a = alu(op, m->a, v);
            }
        }
        }
    }
}

u32 bpf_run(const struct lx_sock_filter *insns, const struct lx_seccomp_data *d)
{
    struct machine m = {.data = d};
    return run(&m, insns);
}

u32 bpf_run_packet(const struct lx_sock_filter *insns, const struct bpf_packet *p)
{
    struct machine m = {.packet = p};
    return run(&m, insns);
}

/* As bpf_run, while only the number and the machine are known: jumps on what they decide. */
bool bpf_allows_always(const struct lx_sock_filter *f, u32 nr, u32 arch)
{
    u32 a = 0;
    for (;; f++) {
        switch (f->code) {
        case LD | W | ABS:
            if (f->k == offsetof(struct lx_seccomp_data, nr))
                a = nr;
            else if (f->k == offsetof(struct lx_seccomp_data, arch))
                a = arch;
            else
                return false;
            break;
        case LD | IMM:
            a = f->k;
            break;
        case ALU | AND | K:
            a &= f->k;
            break;
        case RET | K:
            return f->k == LX_SECCOMP_RET_ALLOW;
        case JMP | JA:
            f += f->k;
            break;
        case JMP | JEQ | K:
        case JMP | JGT | K:
        case JMP | JGE | K:
        case JMP | JSET | K:
            f += compare(f->code & 0xf0, a, f->k) ? f->jt : f->jf;
            break;
        default:
            return false;
        }
    }
}
