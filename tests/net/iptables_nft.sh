#!/bin/sh
# The scripts about iptables with iptables-nft, whose rules are nf_tables' with matches and targets of iptables in them.
# timeout: 900
. "$(dirname "$0")/lib.inc"
here=$(cd "$(dirname "$0")" && pwd)
command -v iptables-nft >/dev/null || { echo "skip: no iptables-nft"; exit 77; }
unshare -n iptables-nft -t nat -A POSTROUTING -m comment --comment x -j MASQUERADE >/dev/null 2>&1 ||
    { echo "skip: iptables-nft does not work here"; exit 77; }
export IPTABLES=nft
script iptables_lo.py 30
script iptables_more.py 60
script iptables_v6.py 30
finish
