#!/bin/sh
# nf_tables: what nft and iptables-nft load, list and delete, and what the rules do on the loopback: natively and in a
# sandbox the same lines come out.
# timeout: 900
. "$(dirname "$0")/lib.inc"
here=$(cd "$(dirname "$0")" && pwd)
command -v nft >/dev/null || { echo "skip: no nft"; exit 77; }
unshare -n nft -f - >/dev/null 2>&1 <<'N' || { echo "skip: nft does not work here"; exit 77; }
table inet t {
    chain c {
        type nat hook output priority 0
        ct state new tcp dport { 1, 2 } redirect to :3
    }
}
N
same() { # what, command in the two places
    what=$1; shift
    timeout 200 unshare -n "$@" > native.txt 2>&1 || bad "$what, natively: $(tail -n 3 native.txt)"
    timeout 200 "$cvisor" $quiet do --cwd "$PWD" -- unshare -n "$@" > inside.txt 2>&1 || bad "$what, inside: $(tail -n 3 inside.txt)"
    diff native.txt inside.txt > diff.txt || bad "$what: $(cat diff.txt)"
}
same listing bash "$here/nft_list.inc"
[ "$(wc -l < native.txt)" -gt 300 ] || bad "too few lines: $(cat native.txt)"
unshare -n iptables-legacy -L >/dev/null 2>&1 && script nft_lo.py 60
finish
