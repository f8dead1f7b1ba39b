#!/bin/sh
# A container in a network namespace where a name server listens at 127.0.0.11, as Docker's does: its
# programs reach it there though the sandbox has left that stack; its broker has ended by then.
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
[ "$(id -u)" = 0 ] || { echo "skip: needs root"; exit 77; }
ns=cv-r-$$
ip netns add $ns 2>/dev/null && ip link add eth0 netns $ns type veth peer name eth1 netns $ns 2>/dev/null || { echo "skip: no veth"; exit 77; }
server=
trap 'kill $server 2>/dev/null; ip netns del $ns' EXIT
ip -n $ns addr add 10.9.0.1/24 dev eth0
for l in lo eth0 eth1; do ip -n $ns link set $l up; done
ip netns exec $ns /usr/bin/python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.11", 53)); print("up", flush=True)
while True:
    q, a = s.recvfrom(65536)
    if len(q) < 13: continue
    end = q.index(0, 12) + 5
    kind = int.from_bytes(q[end - 4:end - 2], "big")
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\n\1\2\3" if kind == 1 else b""
    s.sendto(q[:2] + b"\x81\x80\0\1" + (b"\0\1" if answer else b"\0\0") + b"\0\0\0\0" + q[12:end] + answer, a)
' > up.txt & server=$!
await up.txt

make_bundle '["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do nslookup box$i.test 127.0.0.11 > /tmp/$i & done; wait; grep -h -c 10.1.2.3 /tmp/?; cat /proc/net/udp > /tmp/udp; grep -c 0B00007F:0035 /tmp/udp; echo up; exec sleep 1000"]' \
    '{"linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network", "path": "/run/netns/'$ns'"}]}}'
ln -sf busybox $bundle/rootfs/bin/nslookup
oci run -d --bundle $bundle c1 > out.txt 2>&1 </dev/null || bad "run: $(cat out.txt)"
for i in $(seq 100); do grep -q up out.txt && break; sleep 0.1; done
check "$(tr '\n' ' ' < out.txt)" "1 1 1 1 1 1 1 1 1 up " "names"
brokers() { for pid in $(ours); do tr '\0' ' ' < /proc/$pid/cmdline; echo; done | grep -c '^cvisor broker'; }
for i in $(seq 100); do [ "$(brokers)" = 0 ] && break; sleep 0.1; done
check "$(brokers)" 0 "brokers"
oci delete --force c1
end_containers
finish
