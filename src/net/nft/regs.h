/* regs: writing registers, whose last word is filled up with zeroes. */
#ifndef NET_NFT_REGS_H
#define NET_NFT_REGS_H

#include <string.h>

#include "net/nft/nft.h"

static inline void nft_reg_u32(struct nft_regs *r, u8 reg, u32 v)
{
    r->d[reg] = v;
}

/* len has been checked with nft_reg. */
static inline void nft_reg_set(struct nft_regs *r, u8 reg, const void *p, u32 len)
{
    if (len % 4)
        r->d[reg + len / 4] = 0;
    memcpy(&r->d[reg], p, len);
}

#endif
