#!/bin/sh
# Rules of iptables-legacy on the loopback, and how the tables are listed: in a namespace natively and in a sandbox.
# timeout: 900
. "$(dirname "$0")/lib.inc"
here=$(cd "$(dirname "$0")" && pwd)
command -v iptables-legacy >/dev/null || { echo "skip: no iptables-legacy"; exit 77; }
unshare -n iptables-legacy -L >/dev/null 2>&1 || { echo "skip: iptables-legacy does not work here"; exit 77; }
script iptables_lo.py 30
script iptables_more.py 60
if unshare -n ip6tables-legacy -L >/dev/null 2>&1; then
    script iptables_v6.py 30
fi

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
cat >> list.sh <<'S'
for i in iptables ip6tables; do
t() { $i-legacy "$@" 2>&1; echo "status $?"; }
t -t nat -N one
t -t nat -A POSTROUTING -o eth0 -j MASQUERADE
[ $i = iptables ] && a=10.1.2.3 || a=fd00::3
t -t nat -A OUTPUT -p tcp -d $a --dport 80 -m multiport --dports 80,81:90 -m owner ! --uid-owner 5 -j one
t -t nat -A one -m addrtype --dst-type LOCAL -j RETURN
t -t nat -A one -p tcp -m statistic --mode random --probability 0.5 -m mark ! --mark 0x4/0xff -j REDIRECT --to-ports 15001
[ $i = iptables ] && t -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination $a:81
[ $i = iptables ] || t -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination [$a]:81
t -t nat -A POSTROUTING -d $a -j SNAT --to-source $a
t -t mangle -A PREROUTING -m conntrack --ctstate NEW,RELATED -m limit --limit 5/min -j MARK --set-xmark 0x1/0x3
t -t mangle -A FORWARD -m iprange --src-range $a-$a -j CONNMARK --save-mark
t -A INPUT -m state --state ESTABLISHED -m length --length 10:20 -j LOG --log-prefix "pre "
t -A INPUT -m mac --mac-source 02:00:00:00:00:01 -j REJECT
t -t raw -A PREROUTING -j CT --notrack
for t in raw mangle nat filter; do t -t $t -S; t -t $t -L -n -v; done
$i-legacy-save | grep -v '^#' > saved
cat saved
for t in raw mangle nat filter; do t -t $t -F; t -t $t -X; done
$i-legacy-restore < saved; echo "status $?"
$i-legacy-save | grep -v '^#' | cmp - saved && echo same
done
cat /proc/net/ip6_tables_names
S
list() { timeout 200 "$@" unshare -n bash list.sh 2>&1 || echo "status $?"; }
list env > native.txt
list "$cvisor" $quiet do --cwd "$PWD" -- > inside.txt
diff native.txt inside.txt > diff.txt || bad "listing: $(cat diff.txt)"
finish
