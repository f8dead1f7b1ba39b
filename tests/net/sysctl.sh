#!/bin/sh
# Values of /proc/sys/net on a link: a native run in the namespace is the oracle for one in a sandbox that has it.
. "$(dirname "$0")/lib.inc"
here=$(dirname "$0")
run() {
    pair
    there sh -c 'echo 1 > /proc/sys/net/ipv4/tcp_ecn' || { echo "skip: no tcp_ecn here"; exit 77; }
    ip -n $a link set lo up
    ip -n $a addr change 10.9.0.1/24 broadcast 10.9.0.255 dev eth0
    ip -n $b addr add 10.77.0.1/32 dev lo
    there /usr/bin/python3 "$here/sysctl_peer.py" 2> peer.err & pids="$pids $!"
    listening 7000
    "$@"
}
run ip netns exec $a /usr/bin/python3 "$here/sysctl.py" > native.txt 2>&1 || bad "native: $(tail -3 native.txt)"
T=150 run sandbox /usr/bin/python3 "$here/sysctl.py" > inside.txt 2>&1 || bad "inside: $(tail -3 inside.txt)"
diff native.txt inside.txt > diff.txt || bad "$(cat diff.txt; tail -n 1 peer.err)"
[ "$(wc -l < native.txt)" -gt 20 ] || bad "too few lines: $(cat native.txt)"
finish
