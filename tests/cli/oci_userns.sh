# User namespaces of containers: ids on the host, what the program sees, what is refused; by root, and by an ordinary
# user with and without subordinate ids.
# timeout: 120
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
ns='{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}'
maps() { # the ranges of both maps, a JSON list
    echo '{"linux": {"namespaces": ['"$ns"', {"type": "user"}], "uidMappings": '"$1"', "gidMappings": '"$1"'}}'
}
range() { echo '{"containerID": '$1', "hostID": '$2', "size": '$3'}'; }
caps='{"process": {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID"], "effective": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID"], "permitted": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID"]}}'
with_caps() { echo "$caps, ${1#\{}"; }
gofer_of() { helper "$(field "$1" pid)" gofer; }
ids_of() { sed -n "s/^Uid:\t//p" /proc/$1/status | cut -f1; }

make_bundle '["true"]'
for a in chown stat dd tr; do ln -sf busybox "$bundle/rootfs/bin/$a"; done
if [ "$(id -u)" = 0 ]; then
    chown -R 100000:100000 "$bundle/rootfs"; chmod 1777 "$bundle/rootfs/tmp"
    echo secret > "$bundle/rootfs/hosts"; chmod 600 "$bundle/rootfs/hosts"   # host root's: nobody's in the container
    make_bundle '["sh", "-c", "id -u; cat /proc/self/uid_map | tr -s \" \"; stat -c %u:%g /bin /hosts; echo x > /tmp/f; stat -c %u:%g /tmp/f; chown 7:8 /tmp/f; stat -c %u:%g /tmp/f; cat /hosts; chown 5000 /tmp/f; chown 4999 /tmp/f && stat -c %u /tmp/f; cat /proc/self/gid_map | tr -s \" \""]' \
        "$(with_caps "$(maps "[$(range 0 100000 4000), $(range 4000 300000 1000)]")")"
    oci run -b "$bundle" u1 >out 2>err </dev/null; check $? 0 "status: $(cat err)"
    check "$(cat out)" "0
 0 100000 4000
 4000 300000 1000
0:0
65534:65534
0:0
7:8
4999
 0 100000 4000
 4000 300000 1000" "what the program sees"
    check "$(sed 's/.*: //' err)" "Permission denied
Invalid argument" "host root's file, and an id that there is not: $(cat err)"
    check "$(stat -c %u:%g "$bundle/rootfs/tmp/f")" 300999:100008 "the file's owner on the host"
    # What serves the files is nobody else on the host.
    make_bundle '["sleep", "1000"]' "$(maps "[$(range 0 100000 5000)]")"
    oci run -d -b "$bundle" u2 >out 2>err </dev/null; check $? 0 "a detached one: $(cat err)"
    check "$(ids_of "$(gofer_of u2)")" 100000 "the gofer's id on the host"
    check "$(oci exec -u 4999:4999 u2 sh -c 'id -u; touch /tmp/g; stat -c %u /tmp/g')" "4999
4999" "exec as another id"
    check "$(stat -c %u "$bundle/rootfs/tmp/g")" 104999 "the owner of what it made"
    oci exec -u 5000 u2 true 2>err; check $? 255 "exec as an id that there is not"
    grep -qi "invalid argument" err || bad "the sentence does not say so: $(cat err)"
    oci delete --force u2
    # Interfaces that come when it has been created, as an engine's do that waits for the user namespace.
    if command -v ip > /dev/null && ip netns add cvu-$$ 2>/dev/null; then
        make_bundle '["sleep", "1000"]' "$(maps "[$(range 0 100000 5000)]")"
        ln -sf busybox "$bundle/rootfs/bin/ip"
        oci create -b "$bundle" --pid-file u3.pid u3 >/dev/null 2>err </dev/null; check $? 0 "create: $(cat err)"
        ip link add eth0 netns "$(cat u3.pid)" type veth peer name eth0 netns cvu-$$
        ip -n cvu-$$ addr add 10.77.0.1/24 dev eth0; ip -n cvu-$$ link set eth0 up
        in_net() { nsenter -t "$(cat u3.pid)" -n ip "$@"; }
        in_net addr add 10.77.0.2/24 dev eth0; in_net link set eth0 up
        oci start u3 2>err; check $? 0 "start: $(cat err)"
        check "$(oci exec u3 ip -o -4 addr show dev eth0 | grep -o 'inet [0-9./]*')" "inet 10.77.0.2/24" "its address"
        check "$(in_net -o -4 addr show dev eth0)" "" "the host's own address there"
        check "$(oci exec u3 cat /sys/class/net/eth0/operstate)" up "the interface in sysfs"
        ip netns exec cvu-$$ ping -c 1 -W 5 10.77.0.2 > ping.out 2>&1; check $? 0 "an echo: $(cat ping.out)"
        oci delete --force u3
        ip netns del cvu-$$
    fi
    # The one that an engine lives in, when the bundle asks for none: as a rootless engine's.
    cat > nested.py <<'END'
import ctypes, os, sys
r, w = os.pipe(); r2, w2 = os.pipe()
child = os.fork()
if child == 0:
    ctypes.CDLL(None).unshare(0x10000000)  # CLONE_NEWUSER
    os.write(w, b'x'); os.read(r2, 1)
    os.setgid(0); os.setuid(0)
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(r, 1)
for f in ('uid_map', 'gid_map'):
    open('/proc/%d/%s' % (child, f), 'w').write('0 100000 1\n1 200000 65536\n')
os.write(w2, b'x')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
END
    make_bundle '["sh", "-c", "cat /proc/self/uid_map | tr -s \" \"; echo x > /tmp/n; chown 3 /tmp/n"]' "$(with_caps '{"hostname": "box"}')"
    mkdir -p nstate; chown 100000 nstate
    check "$(/usr/bin/python3 nested.py "$cvisor" --root "$PWD/nstate" run -b "$bundle" n1 2>&1 </dev/null)" " 0 100000 1
 1 200000 65536" "in an engine's user namespace"
    check "$(stat -c %u "$bundle/rootfs/tmp/n")" 200002 "the owner on the host there"
    # Refused.
    refused() { # what, pattern, configuration
        make_bundle '["true"]' "$3"
        oci run -b "$bundle" r1 >/dev/null 2>err </dev/null; check $? 1 "$1"
        grep -q "$2" err || bad "$1: $(cat err)"
    }
    refused "maps without root" "no id for the container's root" "$(maps "[$(range 1 100000 10)]")"
    refused "ranges that overlap" "overlaps" "$(maps "[$(range 0 100000 10), $(range 5 200000 10)]")"
    refused "a namespace by path" "cannot join the user namespace" '{"linux": {"namespaces": ['"$ns"', {"type": "user", "path": "/proc/self/ns/user"}]}}'
    refused "a program's id outside" "process.user.uid: 10 has no place" '{"process": {"user": {"uid": 10, "gid": 0}}, '"$(maps "[$(range 0 100000 10)]" | cut -c2-)"
fi

# As an ordinary user: one id by oneself, several by newuidmap, which asks /etc/subuid.
[ "$(id -u)" = 0 ] || end_containers
as_user() { setpriv --reuid=12345 --regid=12345 --clear-groups "$@"; }
make_bundle '["sh", "-c", "id -u; cat /proc/self/uid_map | tr -s \" \"; stat -c %u /bin; echo x > /tmp/o"]' "$(maps "[$(range 0 12345 1)]")"
chown -R 12345:12345 "$bundle"; rm -f "$bundle/rootfs/hosts"; mkdir -p ustate; chown 12345 ustate; chmod 711 .
check "$(as_user "$cvisor" --root "$PWD/ustate" run -b "$bundle" o1 2>&1 </dev/null)" "0
 0 12345 1
0" "one id"
check "$(stat -c %u "$bundle/rootfs/tmp/o")" 12345 "the owner of what it made"
make_bundle '["sh", "-c", "cat /proc/self/uid_map | tr -s \" \"; stat -c %u /bin; echo x > /tmp/s; chown 4 /tmp/s; stat -c %u /tmp/s"]' \
    "$(with_caps "$(maps "[$(range 0 12345 1), $(range 1 200000 100)]")")"
rm -f "$bundle/rootfs/tmp/s"
in_etc() { # a command with an own /etc/subuid and user database, in a mount namespace
    unshare -m sh -c 'mount -t tmpfs none /mnt && cp /etc/passwd /etc/group /mnt && echo "lab:x:12345:12345::/:/bin/sh" >> /mnt/passwd &&
        echo "lab:200000:1000" > /mnt/subuid && cp /mnt/subuid /mnt/subgid && touch /etc/subuid /etc/subgid &&
        for f in passwd subuid subgid; do mount --bind /mnt/$f /etc/$f || exit 99; done; "$@"' - "$@"
}
if [ -x /usr/bin/newuidmap ]; then
    check "$(in_etc setpriv --reuid=12345 --regid=12345 --clear-groups "$cvisor" --root "$PWD/ustate" run -b "$bundle" o2 2>&1 </dev/null)" " 0 12345 1
 1 200000 100
0
4" "several ids"
    check "$(stat -c %u "$bundle/rootfs/tmp/s")" 200003 "the owner on the host of another id's file"
    make_bundle '["true"]' "$(maps "[$(range 0 12345 1), $(range 1 300000 100)]")"
    in_etc setpriv --reuid=12345 --regid=12345 --clear-groups "$cvisor" --root "$PWD/ustate" run -b "$bundle" o3 >/dev/null 2>err </dev/null
    check $? 1 "ids that are somebody else's"
    grep -q "newuidmap failed" err || bad "the sentence does not say so: $(cat err)"
fi
end_containers
