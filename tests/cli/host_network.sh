#!/bin/sh
# --network=host: the broker's identity, capabilities and filter; life without it; how many sockets a
# sandbox may have; what flags do not go with it; nothing is left.
. "$(dirname "$0")/lib.inc"
[ "$(id -u)" = 0 ] || { echo "skip: needs root"; exit 77; }

mkfifo fifo
"$cvisor" $quiet --network host do -- /usr/bin/python3 -c '
import socket, sys
l = socket.create_server(("127.0.0.1", 0)); print("up", flush=True); sys.stdin.readline()
held = []
try:
    while len(held) < 20: held.append(socket.socket()) # some had come with the first
except OSError as e: print(e.errno)
c = socket.socketpair(); c[0].send(b"still here"); print(c[1].recv(20).decode())
try: socket.create_connection(l.getsockname())
except OSError as e: print(e.errno)
' < fifo > out.txt 2>/dev/null & pid=$!
exec 3> fifo
await out.txt
broker=$(helper $pid broker)
[ -n "$broker" ] || bad "there is no broker"
check "$(sed -n 's/^Uid:\t//p' /proc/$broker/status)" "65534	65534	65534	65534" "the broker's identity"
check "$(sed -n 's/^CapPrm:\t//p' /proc/$broker/status)" "0000000000000400" "its capabilities"
check "$(sed -n 's/^CapBnd:\t//p' /proc/$broker/status)" "0000000000000000" "its bounding set"
[ $is_confined = 0 ] || check "$(sed -n 's/^Seccomp:\t//p' /proc/$broker/status)" "2" "its filter"
check "$(ls /proc/$broker/root/)" "" "its root directory"
[ "/proc/$broker/ns/net" -ef /proc/self/ns/net ] || bad "it is in another network namespace"
sentry=$(helper $pid sentry)
[ "/proc/$sentry/ns/net" -ef /proc/self/ns/net ] && bad "the sentry is in the host's network namespace"
kill -9 $broker
while [ -d /proc/$broker ] && ! grep -q '^State:.Z' /proc/$broker/status; do :; done
echo go >&3; exec 3>&-
wait $pid; check $? 0 "the program without a broker"
check "$(tr '\n' ' ' < out.txt)" "up 5 still here 5 " "what it finds"

# Half of the descriptors; the others are for files.
(ulimit -n 700; cv --network host do -- /usr/bin/python3 -c '
import errno, socket
s = []
try:
    while len(s) < 1000: s.append(socket.socket())
except OSError as e: assert e.errno == errno.ENFILE, e
assert len(s) == 350, len(s)
open("/etc/passwd").read()
del s[:]; socket.socket()
') > out.txt 2>&1; check "$(cat out.txt)" "" "the limit"

out=$(cv --network host --egress deny do -- true 2>&1); check $? 2 "--egress"
check "$out" "cvisor: --egress goes with --network=sandbox" "what --egress is told"
out=$(cv --network all do -- true 2>&1); check $? 2 "--network all"
out=$(cv do --netns /proc/self/ns/net -- true 2>&1); check $? 2 "--netns alone"
out=$(cv --network host do --netns /no/where -- true 2>&1); check $? 125 "--netns of nothing"

# An ordinary user has the host's network without privileges on it.
if setpriv --reuid=12345 --regid=12345 --clear-groups "$cvisor" do -- true 2>/dev/null; then
    setpriv --reuid=12345 --regid=12345 --clear-groups "$cvisor" $quiet --network host do --uid 0 -- /usr/bin/python3 -c '
import socket
l = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(l.getsockname())
c.send(b"x"); assert l.accept()[0].recv(9) == b"x"
try: socket.create_server(("127.0.0.1", 99))
except PermissionError: pass
else: print("bound")
' > out.txt 2>&1; check "$(cat out.txt)" "" "an ordinary user"
fi
finish
