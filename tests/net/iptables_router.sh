#!/bin/sh
# A router with rules between two namespaces: FORWARD, masquerading, published ports. Natively and in a sandbox.
# timeout: 600
. "$(dirname "$0")/lib.inc"
here=$(cd "$(dirname "$0")" && pwd)
command -v iptables-legacy >/dev/null || { echo "skip: no iptables-legacy"; exit 77; }
unshare -n iptables-legacy -t nat -L >/dev/null 2>&1 || { echo "skip: iptables-legacy does not work here"; exit 77; }
run() { timeout 200 "$@" unshare -n /usr/bin/python3 "$here/iptables_router.py" 2>&1 || echo "status $?"; }
run env > native.txt
run "$cvisor" $quiet do -- > inside.txt
diff native.txt inside.txt > diff.txt || bad "$(cat diff.txt)"
[ "$(wc -l < native.txt)" -gt 8 ] || bad "too few lines: $(cat native.txt)"
finish
