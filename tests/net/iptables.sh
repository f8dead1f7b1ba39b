#!/bin/sh
# Rules of iptables-legacy on real packets: a native run in the namespace is the oracle for one in a sandbox that has it.
# timeout: 600
. "$(dirname "$0")/lib.inc"
here=$(dirname "$0")
command -v iptables-legacy >/dev/null || { echo "skip: no iptables-legacy"; exit 77; }
unshare -n iptables-legacy -L >/dev/null 2>&1 || { echo "skip: iptables-legacy does not work here"; exit 77; }
run() { # how, where to
    pair
    there /usr/bin/python3 "$here/iptables_peer.py" & pids="$pids $!"
    listening 7002
    "$@"
}
run ip netns exec $a /usr/bin/python3 "$here/iptables.py" > native.txt 2>&1 || bad "native: $(tail -3 native.txt)"
T=200 run sandbox /usr/bin/python3 "$here/iptables.py" > inside.txt 2>&1 || bad "inside: $(tail -3 inside.txt)"
diff native.txt inside.txt > diff.txt || bad "$(cat diff.txt)"
[ "$(wc -l < native.txt)" -gt 25 ] || bad "too few lines: $(cat native.txt)"
finish
