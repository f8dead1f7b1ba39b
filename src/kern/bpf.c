/* Classic BPF, as far as seccomp takes it (linux/filter.h; man 2 seccomp). */
#include "kern/seccomp.h"

#include <string.h>

#define NMEM 16

/* Instruction classes and fields */
#define CLASS(c) ((c)&7)
#define LD   0x00
#define LDX  0x01
#define ST   0x02
#define STX  0x03
#define ALU  0x04
#define JMP  0x05
#define RET  0x06
#define MISC 0x07
#define W    0x00
#define IMM  0x00
#define ABS  0x20
#define MEM  0x60
#define LEN  0x80
#define ADD  0x00
#define SUB  0x10
#define MUL  0x20
#define DIV  0x30
#define OR   0x40
#define AND  0x50
#define LSH  0x60
#define RSH  0x70
#define NEG  0x80
#define XOR  0xa0
#define JA   0x00
#define JEQ  0x10
#define JGT  0x20
#define JGE  0x30
#define JSET 0x40
#define K    0x00
#define X    0x08
#define A    0x10
#define TAX  0x00
#define TXA  0x80

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

static bool is_valid(const struct lx_sock_filter *f, u32 pc, u32 count)
{
    switch (f->code) {
    case LD | W | ABS:
        return f->k < sizeof(struct lx_seccomp_data) && f->k % 4 == 0;
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

int bpf_check(const struct lx_sock_filter *insns, u32 count)
{
    if (count == 0 || count > LX_BPF_MAXINSNS)
        return -LX_EINVAL;
    for (u32 pc = 0; pc < count; pc++) {
        if (!is_valid(&insns[pc], pc, count))
            return -LX_EINVAL;
    }
    u16 last = insns[count - 1].code;
    if (last != (RET | K) && last != (RET | A))
        return -LX_EINVAL;
    return is_memory_written_first(insns, count) ? 0 : -LX_EINVAL;
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

u32 bpf_run(const struct lx_sock_filter *f, const struct lx_seccomp_data *d)
{
    u32 a = 0, x = 0, mem[NMEM];
    memset(mem, 0, sizeof(mem));
    for (;; f++) {
        switch (f->code) {
        case LD | W | ABS:
            memcpy(&a, (const u8 *)d + f->k, sizeof(a));
            break;
        case LD | W | LEN:
            a = sizeof(*d);
            break;
        case LDX | W | LEN:
            x = sizeof(*d);
            break;
        case LD | IMM:
            a = f->k;
            break;
        case LDX | IMM:
            x = f->k;
            break;
        case LD | MEM:
            a = mem[f->k];
            break;
        case LDX | MEM:
            x = mem[f->k];
            break;
        case ST:
            mem[f->k] = a;
            break;
        case STX:
            mem[f->k] = x;
            break;
        case MISC | TAX:
            x = a;
            break;
        case MISC | TXA:
            a = x;
            break;
        case RET | K:
            return f->k;
        case RET | A:
            return a;
        case JMP | JA:
            f += f->k;
            break;
        default: {
            u32 v = f->code & X ? x : f->k;
            u16 op = f->code & 0xf0;
            if (CLASS(f->code) == JMP) {
                f += compare(op, a, v) ? f->jt : f->jf;
            } else if (op == DIV) {
                if (v == 0)
                    return 0; /* as Linux: a division by zero ends the program with 0, which kills */
                a /= v;
            } else {
                a = alu(op, a, v);
            }
        }
        }
    }
}
