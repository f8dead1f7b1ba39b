# A pod: containers that share a sandbox, by the annotations of CRI.
# timeout: 120
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
make_bundle '["sleep", "1000"]' '{"annotations": {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "pod"}}'
oci create -b "$bundle" --pid-file pod.pid pod </dev/null >/dev/null 2>&1 && oci start pod; check $? 0 "the pod's first container"
in_pod='"annotations": {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod"}'
first=$bundle
bundle=$PWD/bundle2
make_bundle '["sh", "-c", "trap \"exit 3\" TERM; echo pid $$; echo mine > /own; ps | wc -l; while :; do sleep 0.1; done"]' "{$in_pod}"
oci create -b "$bundle" --pid-file a.pid a </dev/null >a.out 2>a.err; check $? 0 "create in a pod: $(cat a.err)"
check "$(field a status)" created "status after create"
[ -z "$(helper $(cat a.pid) sentry)" ] || bad "the second container has a sentry of its own"
oci start a; check $? 0 "start in a pod"
await a.out
for i in $(seq 50); do [ "$(wc -l < a.out)" = 2 ] && break; sleep 0.1; done
check "$(head -n1 a.out)" "pid 1" "the second container's first process"
[ "$(tail -n1 a.out)" -le 5 ] || bad "it sees processes of others: $(cat a.out)"
check "$(cat "$bundle/rootfs/own")" mine "its own root"
[ -e "$first/rootfs/own" ] && bad "the roots are one"
bundle=$PWD/bundle3
make_bundle '["sh", "-c", "exit 9"]' "{$in_pod}"
oci run -b "$bundle" b </dev/null; check $? 9 "run in a pod"
make_bundle '["sleep", "1000"]' "{$in_pod}"
oci run -d -b "$bundle" c </dev/null >/dev/null 2>&1; check $? 0 "run -d in a pod"
check "$(oci exec a sh -c 'cat /own; echo $$ > /dev/null; exit 4')" mine "exec in a pod"
oci exec c true; check $? 0 "exec in the third"
check "$(oci ps --format json c | sed 's/[],].*//')" "[$(field c pid)" "the third's processes"
check "$(oci ps c | grep -c sleep)" 1 "the third's programs"
# Its programs are in its own control groups: what it uses is counted, and limited, there.
if [ "$(id -u)" = 0 ] && { [ -w /sys/fs/cgroup/memory/cgroup.procs ] || [ -w /sys/fs/cgroup/cgroup.procs ]; }; then
    oci exec -d c sh -c 'sleep 1001 & sleep 1002'
    args_of() { for p in $(oci ps --format json c | tr -d '[]' | tr , ' '); do tr '\0' '|' 2>/dev/null < /proc/$p/cmdline; echo; done 2>/dev/null; }
    for i in $(seq 100); do [ "$(args_of | grep -c '^sleep 100')" = 3 ] && break; sleep 0.1; done
    check "$(args_of | grep '^sleep 100' | sort | tr '\n' ' ')" "sleep 1000| sleep 1001| sleep 1002| " "programs in its control groups"
fi
oci pause c && oci exec a true; check $? 0 "the others run while one is paused"
check "$(field c status)" paused "status of the one"
check "$(field a status)" running "status of the other"
oci resume c
oci kill a TERM; await_status a stopped
check "$(field c status)" running "one container's end is not another's"
oci delete a; check $? 0 "delete in a pod"
oci kill c KILL; await_status c stopped; oci delete c
# Those that come after the end of others find everything in order.
oci run -b "$bundle" -d e </dev/null >/dev/null 2>&1; check $? 0 "a later container"
# One that shares another one's processes: it is seen and signalled there, and its end takes all of its own along.
ns='{"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}'
shared() { echo "{$in_pod, \"linux\": {\"namespaces\": [$ns, {\"type\": \"pid\", \"path\": \"/proc/$1/ns/pid\"}]}}"; }
make_bundle '["sleep", "777"]' "{$in_pod}"
oci run -d -b "$bundle" h --pid-file h.pid </dev/null >/dev/null 2>&1; check $? 0 "whose processes are shared"
make_bundle '["sh", "-c", "ps -o args | grep sleep | grep -v grep; echo $$ > /tmp/me; (trap \"\" TERM; sleep 778 & wait; wait) & sleep 779 & echo up; exec sleep 780"]' "$(shared "$(cat h.pid)")"
oci run -d -b "$bundle" i </dev/null >i.out 2>&1; check $? 0 "run with another one's pid namespace: $(cat i.out)"
for n in $(seq 100); do grep -q up i.out && break; sleep 0.1; done
check "$(head -n1 i.out)" "sleep 777" "the other one's processes"
[ "$(cat "$bundle/rootfs/tmp/me")" != 1 ] || bad "its first process is the first of a pid namespace"
for n in $(seq 100); do [ "$(oci exec h ps -o args | grep -c '^sleep 7[78]')" = 4 ] && break; sleep 0.1; done
check "$(oci exec h ps -o args | grep '^sleep 7[78]' | sort | tr '\n' ' ')" "sleep 777 sleep 778 sleep 779 sleep 780 " "what the other one sees"
check "$(oci ps i | grep -c sleep)" 3 "its own programs"
check "$(oci exec h sh -c 'kill $(ps -o pid,args | grep "sleep 77[9]" | head -c 6); echo $?')" 0 "a signal from the other one"
oci kill i KILL; await_status i stopped
check "$(oci exec h ps -o args | grep '^sleep 7[78]' | tr '\n' ' ')" "sleep 777 " "its processes after its end"
check "$(field h status)" running "the other one after that"
oci delete i
make_bundle '["true"]' "$(shared 1)"
oci run -b "$bundle" j >/dev/null 2>err </dev/null; check $? 1 "a pid namespace of none of the pod"
grep -q "is no container of the pod" err || bad "the sentence: $(cat err)"
make_bundle '["sleep", "1000"]' "$(shared "$(cat h.pid)")"
oci run -d -b "$bundle" k </dev/null >/dev/null 2>&1; check $? 0 "a second one that shares"
oci kill h KILL; await_status h stopped; await_status k stopped # the namespace has lost its first process
oci delete h; oci delete k
make_bundle '["sleep", "1000"]' "{$in_pod}"
# Not started, and given up.
oci create -b "$bundle" d </dev/null >/dev/null 2>&1 && oci delete d; check $? 0 "create and delete in a pod"
make_bundle '["no-such-thing"]' "{$in_pod}"
oci create -b "$bundle" f 2>err </dev/null; check $? 1 "create without a program in a pod"
grep -q "executable file not found" err || bad "the sentence: $(cat err)"
check "$(field pod status)" running "the pod"
# The sandbox's end is everybody's.
oci kill pod KILL; await_status pod stopped; await_status e stopped
oci delete e; oci delete pod
oci create -b "$bundle" g 2>err </dev/null; check $? 1 "create in a pod that is gone"
grep -q "the pod's sandbox 'pod'" err || bad "the sentence: $(cat err)"
# An ordinary user's, who may make no control groups.
if [ "$(id -u)" = 0 ]; then
    root=$PWD/ustate; mkdir -p "$root"; chmod 755 .
    oci() { setpriv --reuid=12345 --regid=12345 --clear-groups "$cvisor" --root "$root" "$@"; }
    bundle=$PWD/bundle4
    map='[{"containerID": 0, "hostID": 12345, "size": 1}]'
    user='"linux": {"namespaces": [{"type": "pid"}, {"type": "user"}, '"$ns"'], "uidMappings": '"$map"', "gidMappings": '"$map"'}'
    make_bundle '["sleep", "1000"]' '{"annotations": {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "upod"}, '"$user"'}'
    chown -R 12345:12345 "$bundle" "$root"
    oci run -d -b "$bundle" upod </dev/null >/dev/null 2>err; check $? 0 "an ordinary user's pod: $(cat err)"
    make_bundle '["sh", "-c", "exit 6"]' '{"annotations": {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "upod"}, '"$user"'}'
    oci run -b "$bundle" usecond </dev/null 2>err; check $? 6 "its second container: $(cat err)"
    oci delete --force upod
fi
end_containers
