# A container whose network namespace is another one's: they are in one sandbox, and share its network and no more.
# timeout: 120
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
await_line() { for n in $(seq 200); do grep -q "$2" "$1" && return; sleep 0.05; done; bad "no '$2' in $1: $(cat "$1")"; }
# The namespaces of a bundle that has the network of process $1, and $2 besides.
with_network() {
    echo '{"hostname": "'"${3:-second}"'", "linux": {"namespaces": [{"type": "network", "path": "/proc/'"$1"'/ns/net"}, {"type": "pid"}, {"type": "mount"}, '"$2"']}}'
}
own='{"type": "ipc"}, {"type": "uts"}'
make_bundle '["sh", "-c", "busybox nc -l -p 7000 < /etc/page & echo up; wait; exec sleep 1000"]'
mkdir -p "$bundle/rootfs/etc"; echo page > "$bundle/rootfs/etc/page"
oci run -d -b "$bundle" --pid-file x.pid x </dev/null >x.out 2>&1; check $? 0 "the network's owner: $(cat x.out)"
await_line x.out up
x=$(cat x.pid)
bundle=$PWD/bundle2
make_bundle '["sh", "-c", "until busybox nc 127.0.0.1 7000 </dev/null; do sleep 0.05; done; hostname; busybox ps | wc -l; for n in net ipc uts; do busybox readlink /proc/self/ns/$n; done"]' "$(with_network "$x" "$own")"
oci run -b "$bundle" y </dev/null >y.out 2>&1; check $? 0 "one that has its network: $(cat y.out)"
check "$(sed -n 1p y.out)" page "what it hears over the loopback"
check "$(sed -n 2p y.out)" second "its name"
[ "$(sed -n 3p y.out)" -le 6 ] || bad "it sees processes of others: $(cat y.out)"
check "$(oci exec x hostname)" box "the owner's name"
oci exec x sh -c 'for n in net ipc uts; do busybox readlink /proc/self/ns/$n; done' > x.ns
check "$(sed -n 4p y.out)" "$(sed -n 1p x.ns)" "the network namespace that it sees"
[ "$(sed -n 5p y.out)" != "$(sed -n 2p x.ns)" ] || bad "the ipc namespace is one: $(cat y.out)"
[ "$(sed -n 6p y.out)" != "$(sed -n 3p x.ns)" ] || bad "the uts namespace is one: $(cat y.out)"
oci delete --force y
# Names by the path of the owner's are the owner's.
make_bundle '["hostname"]' "$(with_network "$x" '{"type": "ipc"}, {"type": "uts", "path": "/proc/'"$x"'/ns/uts"}')"
check "$(oci run -b "$bundle" z </dev/null 2>&1)" box "a name that is shared"
# So are System V objects and queues; by themselves they cannot be shared.
make_bundle '["sh", "-c", "busybox readlink /proc/self/ns/ipc"]' "$(with_network "$x" '{"type": "uts"}, {"type": "ipc", "path": "/proc/'"$x"'/ns/ipc"}')"
check "$(oci run -b "$bundle" z </dev/null 2>&1)" "$(sed -n 2p x.ns)" "an ipc namespace that is shared"
make_bundle '["true"]' "$(with_network "$x" '{"type": "uts"}, {"type": "ipc", "path": "/proc/'"$x"'/ns/ipc"}' | sed 's|, "path": "/proc/[0-9]*/ns/net"||')"
oci run -b "$bundle" z </dev/null 2>err; check $? 1 "an ipc namespace alone"
grep -q "the ipc namespace '/proc/$x/ns/ipc' cannot be joined" err || bad "the sentence: $(cat err)"
# Found by any path of the namespace, and by the way of one that has it only from another.
touch ns; mount --bind "/proc/$x/ns/net" ns 2>/dev/null && {
    make_bundle '["sleep", "1000"]' "$(with_network "$x" "$own" | sed "s|/proc/$x/ns/net|$PWD/ns|")"
    oci run -d -b "$bundle" --pid-file w.pid w </dev/null >/dev/null 2>err; check $? 0 "by a bind mount: $(cat err)"
    [ -z "$(helper "$(cat w.pid)" sentry)" ] || bad "it has a sentry of its own"
    bundle=$PWD/bundle3
    make_bundle '["true"]' "$(with_network "$(cat w.pid)" "$own")"
    oci run -b "$bundle" v </dev/null 2>err; check $? 0 "by a second one: $(cat err)"
    umount ns
}
# What two containers of one kernel cannot have each for itself.
make_bundle '["true"]' "$(with_network "$x" "$own"', {"type": "user"}' | sed 's|"linux": {|&"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}], "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}], |')"
oci run -b "$bundle" u </dev/null 2>err; check $? 1 "with other ids"
grep -q "cannot join the sandbox 'x', whose network namespace .* is: linux.uidMappings" err || bad "the sentence: $(cat err)"
# Whose owner does not run yet.
bundle=$PWD/bundle
oci delete --force x
oci create -b "$bundle" --pid-file x.pid x </dev/null >/dev/null 2>&1
bundle=$PWD/bundle3
make_bundle '["true"]' "$(with_network "$(cat x.pid)" "$own")"
oci run -b "$bundle" t </dev/null 2>err; check $? 1 "of one that has not started"
grep -q "cannot join the sandbox 'x'.*it is not running" err || bad "the sentence: $(cat err)"
# The sandbox ends with its first container.
oci delete --force x; oci delete --force w 2>/dev/null
end_containers
