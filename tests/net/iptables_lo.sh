#!/bin/sh
# Rules of iptables-legacy on the loopback, and how the tables are listed: in a namespace natively and in a sandbox.
# timeout: 240
. "$(dirname "$0")/lib.inc"
here=$(cd "$(dirname "$0")" && pwd)
command -v iptables-legacy >/dev/null || { echo "skip: no iptables-legacy"; exit 77; }
unshare -n iptables-legacy -L >/dev/null 2>&1 || { echo "skip: iptables-legacy does not work here"; exit 77; }
run() { timeout 60 "$@" unshare -n /usr/bin/python3 "$here/iptables_lo.py" 2>&1 || echo "status $?"; }
run env > native.txt
run "$cvisor" $quiet do -- > inside.txt
diff native.txt inside.txt > diff.txt || bad "$(cat diff.txt)"
[ "$(wc -l < native.txt)" -gt 30 ] || bad "too few lines: $(cat native.txt)"

# What programs print of tables, rules and counters.
cat > list.sh <<'S'
t() { iptables-legacy "$@" 2>&1; echo "status $?"; }
t -N chain
t -A INPUT -p tcp -m tcp --dport 80:90 -m comment --comment "some text" -j chain
t -A chain -p udp -m udp ! --sport 53 -j RETURN
t -A chain -i lo ! -s 10.0.0.0/8 -d 127.0.0.1 -j REJECT --reject-with icmp-host-unreachable
t -A chain -p icmp -m icmp --icmp-type 8 -j DROP
t -P FORWARD DROP
t -A OUTPUT -j nosuch
t -A INPUT -j INPUT
t -A chain -j chain
t -X chain
t -S
t -L -n -v
iptables-legacy-save | grep -v '^#'
t -D INPUT 1
t -F chain
t -X chain
iptables-legacy-save | grep -v '^#' | tee saved
t -t nosuch -L
iptables-legacy-restore < saved; echo "status $?"
iptables-legacy-save | grep -v '^#'
cat /proc/net/ip_tables_names
S
list() { timeout 60 "$@" unshare -n bash list.sh 2>&1 || echo "status $?"; }
list env > native.txt
list "$cvisor" $quiet do --cwd "$PWD" -- > inside.txt
diff native.txt inside.txt > diff.txt || bad "listing: $(cat diff.txt)"
finish
