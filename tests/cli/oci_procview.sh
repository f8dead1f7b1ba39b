# What the host sees of a container's processes in /proc below the container's root.
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
[ "$(id -u)" = 0 ] && [ -w /dev/fuse ] || { echo "needs root and FUSE"; exit 77; }
make_bundle '["sh", "-c", "trap \"\" TERM; sleep 777 & wait; wait"]'
mkdir -p "$bundle/rootfs/proc" "$bundle/rootfs/dev"
oci run -d -b "$bundle" --pid-file pid box </dev/null >/dev/null 2>err; check $? 0 "run: $(cat err)"
pid=$(cat pid); view=/proc/$pid/root/proc
for n in $(seq 100); do oci ps box | grep -q sleep && break; sleep 0.1; done
check "$(ls $view | sort | tr '\n' ' ')" "1 2 stat uptime " "the processes"
check "$(tr '\0' '|' < $view/1/cmdline)" 'sh|-c|trap "" TERM; sleep 777 & wait; wait|' "the first one's arguments"
check "$(tr '\0' '|' < $view/2/cmdline)" "sleep|777|" "the second one's arguments"
check "$(cat $view/2/comm)" sleep "its name"
for n in $(seq 100); do ls $view >/dev/null; [ "$(cut -d' ' -f3 $view/2/stat)" = S ] && break; sleep 0.1; done
check "$(cut -d' ' -f1-6 $view/2/stat)" "2 (sleep) S 1 1 1" "its place"
check "$(wc -w < $view/2/stat)" 52 "fields of stat"
check "$(grep -E '^(Name|State|Pid|PPid|Uid|Gid|CapEff|Threads):' $view/2/status | tr '\t\n' ' ;')" \
    "Name: sleep;State: S (sleeping);Pid: 2;PPid: 1;Uid: 0 0 0 0;Gid: 0 0 0 0;Threads: 1;CapEff: 0000000020000420;" "its status"
case "$(readlink $view/2/ns/pid)" in "pid:["*) ;; *) bad "its pid namespace: $(readlink $view/2/ns/pid)" ;; esac
oci exec -d box sh -c 'exec sleep 888'
for n in $(seq 100); do oci ps box | grep -c sleep | grep -q 2 && break; sleep 0.1; done
check "$(ls $view | grep -c '^[0-9]')" 3 "one more"
[ -e $view/99 ] && bad "a process that is none"
(echo x > $view/1/comm) 2>/dev/null && bad "it can be written"
mkdir $view/x 2>/dev/null && bad "directories can be made"
oci exec box sh -c 'for i in 1 2 3 4 5 6 7 8 9 0; do for j in 1 2 3 4 5 6 7 8 9 0 a b; do sleep 999 & done; done; wait' &
for n in $(seq 200); do [ "$(oci ps box | grep -c sleep)" = 122 ] && break; sleep 0.1; done
check "$(ls $view | grep -c '^[0-9]')" 124 "more than one message tells"
oci kill box KILL; await_status box stopped; wait
[ -e $view ] && bad "it outlives the container"
oci delete box
# Of a pod's container its own; a stopped attendant keeps nobody from its end.
make_bundle '["sleep", "1001"]' '{"annotations": {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "pod"}}'
oci run -d -b "$bundle" pod </dev/null >/dev/null 2>&1
bundle=$PWD/bundle2
make_bundle '["sleep", "1002"]' '{"annotations": {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod"}}'
mkdir -p "$bundle/rootfs/proc" "$bundle/rootfs/dev"
oci run -d -b "$bundle" --pid-file pid2 second </dev/null >/dev/null 2>&1; check $? 0 "in a pod"
check "$(cat /proc/$(cat pid2)/root/proc/[0-9]*/cmdline | tr '\0' ' ')" "sleep 1002 " "the second container's"
kill -STOP "$(cat pid2)"
ls "/proc/$(cat pid2)/root/proc" >/dev/null 2>&1 & waiting=$!
oci delete --force second; check $? 0 "delete while it is read"
wait $waiting
oci delete --force pod
end_containers
