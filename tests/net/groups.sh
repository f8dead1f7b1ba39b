#!/bin/sh
# Groups: what a router of the link is told of joins and leaves, by IGMP and MLD.
# A native run is the oracle for the words.
. "$(dirname "$0")/lib.inc"
here=$(dirname "$0")
trap "" PIPE # who is told may be gone: that is said
cat > member.py <<'PY'
import socket, struct, sys
four, six = bytes([239, 1, 2, 3]), socket.inet_pton(socket.AF_INET6, 'ff05::1:3')
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
b = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
a.bind(('', 7005))
b.bind(('::', 7006))
join4 = lambda: a.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, four + bytes(4))
leave4 = lambda: a.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, four + bytes(4))
mreq6 = six + struct.pack('I', socket.if_nametoindex('eth0'))
join6 = lambda: b.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, mreq6)
leave6 = lambda: b.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, mreq6)
for line in sys.stdin:
    {'join4': join4, 'leave4': leave4, 'join6': join6, 'leave6': leave6}[line.strip()]()
    print('done', flush=True)
PY
heard() { # waits for the line
    for i in $(seq 300); do grep -qx "$1" heard.txt && return; sleep 0.1; done
    bad "$how: the router did not hear '$1', but: $(sort heard.txt | uniq -c; tail -n 2 router.err)"
}
tell() { # the member
    echo "$1" >&3
    answer=$(timeout 60 head -n 1 <&4)
    [ "$answer" = "${2:-done}" ] || bad "$how: $1: $answer"
}
run() {
    how=$1
    pair
    rm -f to_member from_member to_router
    mkfifo to_member from_member to_router
    there /usr/bin/python3 "$here/groups.py" eth0 < to_router > heard.txt 2> router.err & pids="$pids $!"
    exec 5> to_router
    heard ready
    shift
    "$@" /usr/bin/python3 member.py < to_member > from_member 2> member.err & pids="$pids $!"
    exec 3> to_member 4< from_member
    tell join4
    heard "igmp3 4 239.1.2.3 224.0.0.22 True"
    tell join6
    heard "mld2 4 ff05::1:3 ff02::16 True"
    tell leave4
    heard "igmp3 3 239.1.2.3 224.0.0.22 True"
    tell leave6
    heard "mld2 3 ff05::1:3 ff02::16 True"
    exec 3>&- 4<&- 5>&-
}
run native ip netns exec $a
run inside sandbox
finish
