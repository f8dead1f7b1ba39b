#!/bin/sh
# The stack between two namespaces: ping, UDP, TCP, IPv4 and IPv6, both ways; what programs see of it; what is refused.
. "$(dirname "$0")/lib.inc"
here=$(dirname "$0")

# ---- out
pair
there ping -c1 -W2 10.9.0.1 >/dev/null || bad "the pair does not work"
there /usr/bin/python3 "$here/xfer.py" serve 7000 & pids="$pids $!"
listening 7000
sandbox sh -ec '
    ping -c2 -i0.2 -W5 10.9.0.2 >/dev/null || echo "ping"
    ping -6 -c2 -i0.2 -W5 fd00:9::2 >/dev/null 2>&1 || echo "ping 6"
    ping -c1 -W5 -s 5000 10.9.0.2 >/dev/null || echo "ping in pieces"
    ping -6 -c1 -W5 -s 5000 fd00:9::2 >/dev/null 2>&1 || echo "ping 6 in pieces"
    for host in 10.9.0.2 fd00:9::2; do for what in put get; do
        /usr/bin/python3 '"$here"'/xfer.py $what $host 7000 20000000 5 >/dev/null || echo "$what $host"
    done; done
    /usr/bin/python3 -c "
import socket
def err(f):
    try: f()
    except OSError as e: return e.errno
    return 0
import errno
s = socket.socket(); assert err(lambda: s.connect((\"10.9.0.2\", 9))) == errno.ECONNREFUSED
s = socket.socket(); s.settimeout(9); e = err(lambda: s.connect((\"10.9.0.77\", 9))); assert e == errno.EHOSTUNREACH, e
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect((\"10.9.0.2\", 9)); u.send(b\"x\"); u.settimeout(5)
assert err(lambda: u.recv(9)) == errno.ECONNREFUSED
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect((\"10.9.0.2\", 9)); assert u.getsockname()[0] == \"10.9.0.1\"
assert err(lambda: socket.socket().bind((\"10.9.0.9\", 0))) == errno.EADDRNOTAVAIL
l = socket.create_server((\"10.9.0.1\", 0)); c = socket.create_connection(l.getsockname()); assert c.getpeername()[0] == \"10.9.0.1\"
" || echo "errors"
' > out.txt 2>&1
check "$(cat out.txt)" "" "from inside"

# ---- in
pair
T=40 sandbox /usr/bin/python3 "$here/xfer.py" serve 7000 & pids="$pids $!"
for i in $(seq 100); do there /usr/bin/python3 "$here/xfer.py" get 10.9.0.1 7000 1 1 >/dev/null 2>&1 && break; sleep 0.1; done
for host in 10.9.0.1 fd00:9::1; do
    there ping -c2 -i0.2 -W5 $host >/dev/null || bad "ping $host"
    there ping -c1 -W5 -s 5000 $host >/dev/null || bad "ping $host in pieces"
    for what in put get; do
        there /usr/bin/python3 "$here/xfer.py" $what $host 7000 20000000 7 >/dev/null || bad "$what $host"
    done
done
ip -n $a -o addr show dev eth0 | grep -q . && bad "the host kept addresses: $(ip -n $a -o addr show dev eth0)"

# ---- a filter on a TCP socket: what it drops is sent again, and is there once the filter is not
cat > filter.py <<'PY'
import ctypes, select, socket, struct
s = socket.socket()
b = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))  # ret 0
s.setsockopt(socket.SOL_SOCKET, 26, struct.pack('HL', 1, ctypes.addressof(b)))
s.settimeout(0.7)
try:
    s.connect(('10.9.0.2', 7000))
    print('connected past a filter that drops all')
except TimeoutError:
    pass
s.setsockopt(socket.SOL_SOCKET, 27, 0)
print(select.select([], [s], [], 20)[1] == [s], s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
PY
pair
there /usr/bin/python3 "$here/xfer.py" serve 7000 & pids="$pids $!"
listening 7000
check "$(sandbox /usr/bin/python3 filter.py)" "True 0" "a filter on a TCP socket"

# ---- UDP
cat > echo.py <<'PY'
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('::', 7001))
while True:
    d, a = s.recvfrom(70000)
    s.sendto(d, a)
PY
cat > ask.py <<'PY'
import os, socket, sys
for host, fam in ((sys.argv[1], socket.AF_INET), (sys.argv[2], socket.AF_INET6)):
    s = socket.socket(fam, socket.SOCK_DGRAM)
    s.settimeout(5)
    for size in (0, 1, 1400, 1472, 1473, 9000, 60000):
        d = os.urandom(size)
        for attempt in range(3):
            try:
                s.sendto(d, (host, 7001))
                r, a = s.recvfrom(70000)
                break
            except TimeoutError:
                r = None
        assert r == d, (host, size)
PY
pair
there /usr/bin/python3 echo.py & pids="$pids $!"
sleep 0.5
sandbox /usr/bin/python3 ask.py 10.9.0.2 fd00:9::2 || bad "UDP from inside"
pair
T=30 sandbox /usr/bin/python3 echo.py & pids="$pids $!"
sleep 1
there /usr/bin/python3 ask.py 10.9.0.1 fd00:9::1 || bad "UDP from outside"

# ---- what programs see
pair
mac=$(ip -n $a -o link show eth0 | sed 's/.*link.ether \([0-9a-f:]*\).*/\1/')
sandbox sh -ec '
    ip -o -4 addr show dev eth0 | grep -q "inet 10.9.0.1/24 brd\|inet 10.9.0.1/24 scope" || ip -o addr
    ip -o -6 addr show dev eth0 | grep -q "fd00:9::1/64" || echo "no IPv6 address"
    ip -o link show eth0 | grep -q '"$mac"' || ip -o link
    ip route | grep -q "^default via 10.9.0.2 dev eth0" || ip route
    ip route get 11.1.2.3 | grep -q "via 10.9.0.2 dev eth0 src 10.9.0.1" || ip route get 11.1.2.3
    ping -c1 10.9.0.2 >/dev/null
    ip neigh | grep -q "10.9.0.2 dev eth0 lladdr" || ip neigh
    grep -q "^10.9.0.2 .*0x2 .* eth0" /proc/net/arp || cat /proc/net/arp
    grep -q "^ *eth0: *[1-9]" /proc/net/dev || cat /proc/net/dev
    grep -q "^eth0.00000000.0200090A.0003" /proc/net/route || cat /proc/net/route
    grep -q "^fd000009000000000000000000000001 .* eth0" /proc/net/if_inet6 || cat /proc/net/if_inet6
    ip addr add 10.9.0.50/24 dev eth0
    ping -c1 -I 10.9.0.50 10.9.0.2 >/dev/null || echo "second address"
    ip addr del 10.9.0.50/24 dev eth0
    ip route add 12.0.0.0/8 via 10.9.0.2; ip route get 12.1.1.1 | grep -q "via 10.9.0.2" || echo "route add"
    ip route add unreachable 12.1.0.0/16; ping -c1 -W1 12.1.1.1 2>&1 | grep -q "No route to host" || echo "unreachable"
    ip route del unreachable 12.1.0.0/16; ip route del 12.0.0.0/8
    ip link set eth0 down; ping -c1 -W1 10.9.0.2 2>&1 | grep -q "unreachable" || echo "down"
    ip link set eth0 up; ping -c1 10.9.0.2 >/dev/null || echo "up"
' > out.txt 2>&1
check "$(cat out.txt)" "" "what programs see"

# ---- egress
pair
there /usr/bin/python3 "$here/xfer.py" serve 7000 & pids="$pids $!"
there /usr/bin/python3 "$here/xfer.py" serve 7002 & pids="$pids $!"
listening 7000
listening 7002
get="/usr/bin/python3 $here/xfer.py get 10.9.0.2"
X="--egress deny" sandbox sh -c "$get 7000 10 1; ping -c1 -W1 10.9.0.2" > out.txt 2>&1
grep -q "Operation not permitted" out.txt || bad "egress deny: $(cat out.txt)"
pair
there /usr/bin/python3 "$here/xfer.py" serve 7000 & pids="$pids $!"
there /usr/bin/python3 "$here/xfer.py" serve 7002 & pids="$pids $!"
listening 7000
listening 7002
X="--egress allow:10.9.0.0/24:7000" sandbox sh -c "$get 7000 10 1 >/dev/null && echo one; $get 7002 10 1 2>&1 | tail -1" > out.txt 2>&1
grep -q "^one" out.txt && grep -q "not permitted" out.txt || bad "egress allow: $(cat out.txt)"
"$cvisor" --network sandbox --egress allow:nonsense do -- true 2>/dev/null && bad "egress takes nonsense"

# ---- the host's own namespace
"$cvisor" $quiet --network sandbox do --netns /proc/self/ns/net -- true > out.txt 2>&1 && bad "took the host's own namespace"
grep -q "host's own" out.txt || bad "no word of the host's own namespace: $(cat out.txt)"
finish
