/* Parsing TCP segments. The length of everything is checked here and nowhere later. */
#include "net/stack/tcb.h"
#include "net/stack/wirefmt.h"

#define OPT_END    0
#define OPT_NOP    1
#define OPT_MSS    2
#define OPT_WSCALE 3
#define OPT_SACKOK 4
#define OPT_SACK   5
#define OPT_TS     8

static void parse_sack(const u8 *o, u32 size, struct tcp_rx *s)
{
    if (size < 10 || (size - 2) % 8)
        return;
    for (u32 at = 2; at < size && s->nsacks < TCP_MAX_SACKS; at += 8) {
        s->sacks[s->nsacks][0] = rd32(o + at);
        s->sacks[s->nsacks][1] = rd32(o + at + 4);
        s->nsacks++;
    }
}

/* Options that make no sense are skipped, as Linux does; a bad length ends the list. */
static void parse_options(const u8 *o, u32 left, struct tcp_rx *s)
{
    bool is_syn = s->flags & TCPF_SYN;
    while (left) {
        if (o[0] == OPT_END)
            return;
        if (o[0] == OPT_NOP) {
            o++;
            left--;
            continue;
        }
        if (left < 2 || o[1] < 2 || o[1] > left)
            return;
        u32 size = o[1];
        if (o[0] == OPT_MSS && size == 4 && is_syn)
            s->mss_opt = rd16(o + 2);
        else if (o[0] == OPT_WSCALE && size == 3 && is_syn)
            s->wscale = (s8)MIN(o[2], 14);
        else if (o[0] == OPT_SACKOK && size == 2 && is_syn)
            s->has_sack_ok = true;
        else if (o[0] == OPT_SACK && !is_syn)
            parse_sack(o, size, s);
        else if (o[0] == OPT_TS && size == 10) {
            s->has_ts = true;
            s->tsval = rd32(o + 2);
            s->tsecr = rd32(o + 6);
        }
        o += size;
        left -= size;
    }
}

bool tcp_parse(const u8 *p, u32 size, struct tcp_rx *s)
{
    *s = (struct tcp_rx){.wscale = -1};
    if (size < TCP_HLEN)
        return false;
    u32 header = (p[12] >> 4) * 4U;
    if (header < TCP_HLEN || header > size)
        return false;
    s->seq = rd32(p + 4);
    s->ack = rd32(p + 8);
    s->flags = p[13];
    s->win = rd16(p + 14);
    s->urg = rd16(p + 18);
    parse_options(p + TCP_HLEN, header - TCP_HLEN, s);
    s->data = p + header;
    s->len = size - header;
    s->piece = s->len;
    return true;
}
