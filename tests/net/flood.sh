#!/bin/sh
# SYNs of strangers, fragments that lack others, ARP, neighbour discovery and frames of noise for some seconds: who is
# served stays served, and the memory of the sentry stays bounded.
. "$(dirname "$0")/lib.inc"
here=$(dirname "$0")
seconds=${SECONDS_OF_FLOOD:-10}
below() { # the sentry among the descendants of $1
    for child in $(ps -o pid= --ppid "$1"); do
        case "$(tr '\0' ' ' < "/proc/$child/cmdline" 2>/dev/null)" in "cvisor sentry"*) echo "$child" ;; esac
        below "$child"
    done
}
high() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$1/status"; } # KiB
pair
mac=$(ip -n $a -o link show eth0 | sed 's/.*link.ether \([0-9a-f:]*\).*/\1/')
T=200 sandbox /usr/bin/python3 "$here/xfer.py" serve 7000 & server=$!
pids="$pids $server"
for i in $(seq 100); do there /usr/bin/python3 "$here/xfer.py" get 10.9.0.1 7000 1 1 >/dev/null 2>&1 && break; sleep 0.1; done
for host in 10.9.0.1 fd00:9::1; do
    there /usr/bin/python3 "$here/xfer.py" get $host 7000 3000000 5 >/dev/null || bad "before: $host"
done
sentry=$(below $server)
[ "$(echo "$sentry" | wc -w)" = 1 ] || { bad "not one sentry: '$sentry'"; finish; }
before=$(high "$sentry")
there /usr/bin/python3 "$here/flood.py" eth0 "$mac" "$seconds" > sent.txt & flood=$!
pids="$pids $flood"
n=0
while kill -0 $flood 2>/dev/null; do # what is begun in the flood ends well, if late
    there timeout 120 /usr/bin/python3 "$here/xfer.py" get 10.9.0.1 7000 100000 5 >/dev/null || bad "in the flood"
    n=$((n + 1))
    [ $fail = 0 ] || break
done
wait $flood
for host in 10.9.0.1 fd00:9::1; do
    there ping -c1 -W9 $host >/dev/null || there ping -c3 -W9 $host >/dev/null || bad "no answer to pings after: $host"
    there timeout 120 /usr/bin/python3 "$here/xfer.py" get $host 7000 3000000 5 >/dev/null || bad "after: $host"
done
after=$(high "$sentry")
[ -n "$after" ] || bad "the sentry is gone"
# Reassembly 4 MiB, 1,024 neighbours with three packets each, 1,024 half-open connections, and the sockets' queues
[ "${after:-0}" -lt $((before + 65536)) ] || bad "the sentry grew from $before KiB to $after KiB"
echo "$(cat sent.txt) frames, $n transfers meanwhile; sentry $before KiB, then $after KiB"
finish
