# Limits are real inside: tasks, memory, processors; update changes them; events tells; nothing is left.
# timeout: 150
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
v1=/sys/fs/cgroup/memory v2=/sys/fs/cgroup
if [ "$(id -u)" != 0 ] || { [ ! -w $v1/cgroup.procs ] && [ ! -w $v2/cgroup.procs ]; }; then
    echo "no cgroups can be made here"
    exit 0
fi
name=/cvisor-test-$$/box
make_bundle '["true"]'
for a in nproc free awk sed tail dd; do ln -sf busybox "$bundle/rootfs/bin/$a"; done
# The output of script $1 in a container with the resources $2.
inside() {
    make_bundle '["sh", "/script"]' "{\"linux\": {\"cgroupsPath\": \"$name\", \"resources\": $2}, \"mounts\": [{\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\", \"options\": [\"ro\"]}]}"
    printf '%s\n' "$1" > "$bundle/rootfs/script"
    oci run -b "$bundle" box 2>&1 </dev/null
}
gone() { # the cgroups of the container are
    for d in /sys/fs/cgroup/*/cvisor-test-$$/box /sys/fs/cgroup/cvisor-test-$$/box; do
        [ -d $d ] && bad "the cgroup $d is left after $1"
    done
}

check "$(inside 'free -m | awk "/^Mem/ {print \$2}"; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max' '{"memory": {"limit": 134217728}, "pids": {"limit": 30}, "cpu": {"quota": 50000, "period": 100000}}')" \
"128
134217728
30
50000 100000" "limits as seen inside"
gone run
check "$(inside 'nproc; cat /sys/fs/cgroup/cpuset.cpus.effective' '{"cpu": {"cpus": "0"}}')" "1
0" "processors inside"

# A program that forks without end gets EAGAIN, and what was there before lives on.
check "$(inside '(n=0; while [ $n -lt 60 ]; do sleep 20 & n=$((n+1)); done) 2>/tmp/err; grep -qi "temporarily unavailable\|try again" /tmp/err && echo refused; cat /sys/fs/cgroup/pids.current' '{"pids": {"limit": 20}}')" "refused
20" "a fork bomb"
# At the limit, who has been waited for makes room at once: in the guest's count and in the host's.
check "$(inside 'n=0; while [ $n -lt 18 ]; do sleep 300 & n=$((n+1)); done; n=0; while [ $n -lt 400 ]; do now=$(cat /sys/fs/cgroup/pids.current) || break; n=$((n+1)); done; echo $n $now' '{"pids": {"limit": 20}}' | tail -n 1)" "400 20" "one out, one in"

# One that takes too much memory is killed; its parent sees that, and lives.
big='awk "BEGIN { s = \"x\"; while (length(s) < 400000000) s = s s }" 2>/dev/null'
check "$(inside "$big; echo \$?; echo alive" '{"memory": {"limit": 67108864}}')" "137
alive" "a child over the limit"
make_bundle '["awk", "BEGIN { s = \"x\"; while (length(s) < 400000000) s = s s }"]' "{\"linux\": {\"cgroupsPath\": \"$name\", \"resources\": {\"memory\": {\"limit\": 67108864}}}}"
oci run -b "$bundle" box >/dev/null 2>&1 </dev/null; check $? 137 "status of a program over the limit"
gone "the end for want of memory"

# Many small ones: the sandbox is never what is killed, though it may be the largest of all.
small='awk "BEGIN { s = \"x\"; while (length(s) < 2000000) s = s s; system(\"sleep 3\"); print \"whole\" }"'
inside "i=0; while [ \$i -lt 40 ]; do $small & i=\$((i+1)); done; wait; echo alive" '{"memory": {"limit": 50331648}}' > many
grep -qx alive many || bad "many children over the limit: $(tail -n 3 many)"
[ "$(grep -c whole many)" -lt 40 ] || bad "40 times 4 MB fitted into 48"

# Statistics, updates, and what is told of kills.
make_bundle '["sh", "-c", "sleep 1000 & echo > /tmp/up; read x; sh /big; sleep 100"]' "{\"linux\": {\"cgroupsPath\": \"$name\", \"resources\": {\"memory\": {\"limit\": 67108864}, \"pids\": {\"limit\": 10}}}}"
echo "$big" > "$bundle/rootfs/big"
mkfifo in
oci create -b "$bundle" box < in >/dev/null 2>&1 & 
exec 3> in
wait $!
oci start box; check $? 0 start
await "$bundle/rootfs/tmp/up"
oci events --stats box > stats; check $? 0 "events --stats"
/usr/bin/python3 - <<'END' || bad "the statistics: $(cat stats)"
import json
e = json.load(open('stats'))
d = e['data']
assert e['type'] == 'stats' and e['id'] == 'box'
assert d['memory']['usage']['limit'] == 67108864 and 0 < d['memory']['usage']['usage'] < 67108864
assert d['cpu']['usage']['total'] > 0
assert d['pids'] == {'current': 2, 'limit': 10}, d['pids']
END
oci events --interval 1s box > stream &
oci update --pids-limit 5 --memory 96m box; check $? 0 "update by flags"
check "$(oci exec box sh -c 'awk "/MemTotal/ {print \$2}" /proc/meminfo')" 98304 "MemTotal after update"
oci events --stats box | grep -q '"limit":5}' || bad "pids limit after update: $(oci events --stats box)"
echo '{"memory": {"limit": 50331648}, "cpu": {"quota": 20000}}' | oci update -r - box; check $? 0 "update from standard input"
check "$(oci exec box sh -c 'awk "/MemTotal/ {print \$2}" /proc/meminfo')" 49152 "MemTotal after the second update"
oci update --memory x box 2>err; grep -q "memory takes a size" err || bad "a bad size: $(cat err)"
echo go >&3; exec 3>&-
for i in $(seq 50); do grep -q '"oom"' stream && break; sleep 0.2; done
grep -q '{"type":"oom","id":"box"}' stream || bad "no kill was told of: $(cut -c1-80 stream)"
for i in $(seq 50); do grep -q '"type":"stats"' stream && break; sleep 0.2; done
check "$(field box status)" running "the container after the kill of a child"
oci delete --force box; check $? 0 delete
wait
grep -q '"type":"stats"' stream || bad "no statistics in the stream"
gone delete
oci events --stats box 2>err; check $? 1 "events of what is not there"
for d in /sys/fs/cgroup/*/cvisor-test-$$ /sys/fs/cgroup/cvisor-test-$$; do [ ! -d $d ] || rmdir $d; done
end_containers
