#!/bin/sh
# --network=host: the guest tests of internet sockets pass on sockets of the host's, in a namespace of
# their own; data both ways; who may bind which port; what is refused.
# timeout: 300
. "$(dirname "$0")/lib.inc"
guests=$(dirname "$1")/tests/guest
exec 2>&1
pair
ip -n $a link set lo up
hosted() { timeout ${T:-60} "$cvisor" $quiet --network host do --netns /run/netns/$a "$@"; }

# ---- the guest tests. What differs is in docs/COMPATIBILITY.md: no copy is saved, no SIGURG comes.
differs="zerocopy_notices urgent_tcp timestamping_receive" # the last: its first packet may be unstamped natively too
for g in net_tcp net_udp net_opt; do
    [ -x "$guests/guest_$g" ] || { bad "guest_$g is not built"; continue; }
    ip netns exec $a "$guests/guest_$g" > native.txt </dev/null
    T=120 hosted --cwd "$PWD" -- "$guests/guest_$g" > host.txt </dev/null
    for name in $(sed -n 's/^ok //p' native.txt); do
        case " $differs " in *" $name "*) continue ;; esac
        grep -qx "ok $name" host.txt || bad "$g/$name: $(grep "^not ok $name" host.txt || echo "did not run")"
    done
done

# ---- who listens here is reached from there, and the other way
hosted -- /usr/bin/python3 -c '
import socket
l = socket.create_server(("10.9.0.1", 80)); print("up", flush=True)
c = l.accept()[0]
while d := c.recv(65536): c.sendall(d)
' > up.txt & pids="$pids $!"
for i in $(seq 100); do grep -q up up.txt && break; sleep 0.1; done
there timeout 20 /usr/bin/python3 -c '
import socket, threading
c = socket.create_connection(("10.9.0.1", 80)); n = 0
def put():
    for i in range(64): c.sendall(bytes([i]) * 65536)
    c.shutdown(socket.SHUT_WR)
threading.Thread(target=put).start()
while d := c.recv(65536): n += len(d)
assert n == 64 * 65536, n' || bad "an echo through the host"

# ---- privileges: the guest's own capability decides
low='
import socket
try: print(socket.socket().bind(("127.0.0.1", 99)))
except OSError as e: print(e.errno)'
hosted -- /usr/bin/python3 -c "$low" > out.txt 2>&1; check "$(cat out.txt)" "None" "root binds a low port"
hosted --uid 1000 -- /usr/bin/python3 -c "$low" > out.txt 2>&1
check "$(cat out.txt)" 13 "a user binds a low port"
hosted -- setpriv --bounding-set=-net_bind_service --inh-caps=-net_bind_service /usr/bin/python3 -c "$low" > out.txt 2>&1
check "$(cat out.txt)" 13 "without the capability"

# ---- what programs see of the network is what the host has; it is not theirs to change
ip netns exec $a /usr/bin/python3 -c '
import socket
l = socket.create_server(("127.0.0.1", 7001)); print("up", flush=True); l.accept()' > up.txt & pids="$pids $!"
for i in $(seq 100); do grep -q up up.txt && break; sleep 0.1; done
# Not the names of other namespaces, who asks (the broker is nobody), the backlog (not in /proc/net).
plain() { sed 's/ link-netns.*//; s/ uid [0-9]*//; s/^\(LISTEN 0  *\)[0-9]* */\1/'; }
while read -r what; do
    ip netns exec $a $what 2>&1 | plain > native.txt
    hosted -- $what 2>&1 | plain > host.txt
    cmp -s native.txt host.txt || bad "$what: $(diff native.txt host.txt | head -5)"
done <<'END'
ip -o link
ip -4 addr
ip -6 addr show to fd00:9::/64
ip addr show dev nothing
ip route
ip route show table local
ip route get 10.9.0.2
ip rule
cat /proc/net/route
cat /proc/net/if_inet6
ss -Hltn sport = :7001
ls /sys/class/net
sed -n s/:.*//p /proc/net/dev
END
hosted -- /usr/bin/python3 -c '
import fcntl, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
r = fcntl.ioctl(s, 0x8915, struct.pack("16s24x", b"eth0")) # SIOCGIFADDR
print(socket.inet_ntoa(r[20:24]), [n for i, n in socket.if_nameindex() if n in ("lo", "eth0")])
' > out.txt 2>&1; check "$(cat out.txt)" "10.9.0.1 ['lo', 'eth0']" "interfaces by ioctl and netlink"
for what in "link set eth0 down" "addr add 10.9.0.77/24 dev eth0" "route del default" "link add x type veth"; do
    hosted -- ip $what > out.txt 2>&1; check "$(cat out.txt)" "RTNETLINK answers: Operation not permitted" "ip $what"
done

# ---- accept tells the peer of a connection that has been reset meanwhile
hosted -- /usr/bin/python3 -c '
import select, socket, struct
l = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(l.getsockname()); a = c.getsockname()
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()
s, peer = l.accept(); assert peer == a, (peer, a)
try: s.recv(1)
except ConnectionResetError: pass
else: print("not reset")
' > out.txt 2>&1; check "$(cat out.txt)" "" "a connection that was reset"

# ---- what is not there
hosted -- /usr/bin/python3 -c '
import socket, errno
def err(f):
    try: f()
    except OSError as e: return e.errno
    return 0
S = socket
assert err(lambda: S.socket(S.AF_INET, S.SOCK_RAW, 1)) == errno.EPERM
assert err(lambda: S.socket(S.AF_PACKET, S.SOCK_RAW, 0)) == errno.EPERM
s = S.socket()
assert err(lambda: s.setsockopt(S.SOL_SOCKET, 26, bytes(16))) == errno.ENOPROTOOPT # SO_ATTACH_FILTER
assert err(lambda: s.setsockopt(6, 31, b"tls")) == errno.ENOPROTOOPT               # TCP_ULP
assert err(lambda: s.setsockopt(S.SOL_SOCKET, 36, 1)) == errno.ENOPROTOOPT         # SO_MARK
' > out.txt; check "$(cat out.txt)" "" "what is refused"
finish
