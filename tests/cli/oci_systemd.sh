# --systemd-cgroup: a scope is asked for over D-Bus, the container's groups are below it, limits are set there.
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
[ "$(id -u)" = 0 ] && [ -w /sys/fs/cgroup ] || { echo "needs root and cgroups"; exit 77; }
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then # version 2 alone: its controllers must be ours to pass on
    for c in $(cat /sys/fs/cgroup/cgroup.controllers); do
        echo "+$c" 2>/dev/null > /sys/fs/cgroup/cgroup.subtree_control || { echo "the controllers cannot be passed on"; exit 77; }
    done
fi
unset DBUS_SYSTEM_BUS_ADDRESS DBUS_SESSION_BUS_ADDRESS
here=$(cd "$(dirname "$0")" && pwd)
manager() { # in this mode
    rm -f bus log
    /usr/bin/python3 "$here/systemd.py" "$PWD/bus" "$PWD/log" "$1" & manager=$!
    for n in $(seq 200); do grep -q ^up log 2>/dev/null && break; sleep 0.05; done
    export DBUS_SYSTEM_BUS_ADDRESS="unix:path=$PWD/bus,guid=0"
}
over() { kill $manager; wait $manager 2>/dev/null; }
with_path() { make_bundle "$1" '{"linux": {"cgroupsPath": "'"$2"'", "resources": {"pids": {"limit": 50}}}}'; }
where() { sed -n 's/^0:://p; s/^[0-9]*:name=systemd://p' "/proc/$(field "$1" pid)/cgroup" | grep -v '^/$' | sort -u; }
manager ok
group=$(sed -n 's/^up //p' log)
with_path '["sleep", "1000"]' "a-b_c.slice:lab:c1"
oci --systemd-cgroup run -d -b "$bundle" c1 </dev/null >out 2>&1; check $? 0 "a container in a scope: $(cat out)"
check "$(where c1)" "$group/a.slice/a-b_c.slice/lab-c1.scope/container" "where it is"
grep -q "^start lab-c1.scope fail CPUAccounting=True CollectMode=inactive-or-failed DefaultDependencies=False Delegate=True .*Slice=a-b_c.slice .*TasksMax=18446744073709551615 pids=1 \[\]$" log || bad "what was asked for: $(cat log)"
[ "$(oci ps c1 | grep -c sleep)" = 1 ] || bad "ps"
for d in /sys/fs/cgroup/pids /sys/fs/cgroup; do
    [ -e "$d$group/a.slice/a-b_c.slice/lab-c1.scope/container/pids.max" ] &&
        check "$(cat "$d$group/a.slice/a-b_c.slice/lab-c1.scope/container/pids.max")" 712 "the limit behind the guest's own"
done
oci update --pids-limit 60 c1; check $? 0 "update"
oci delete --force c1; check $? 0 "delete"
grep -q "^stop lab-c1.scope replace$" log || bad "the scope was not stopped: $(cat log)"
grep "^left\|^bad" log && bad "what systemd found"
check "$(find /sys/fs/cgroup -name 'lab-c1*')" "" "groups left behind"
# The defaults, the same name again, and one that fails to start.
make_bundle '["true"]'
oci --systemd-cgroup run -b "$bundle" c1 </dev/null 2>err; check $? 0 "without a path: $(cat err)"
grep -q "^start cvisor-c1.scope .*Slice=system.slice" log || bad "the defaults: $(cat log)"
make_bundle '["no-such-program"]'
oci --systemd-cgroup run -b "$bundle" c1 </dev/null 2>err; check $? 1 "without a program"
check "$(grep -c '^stop cvisor-c1.scope' log)" 2 "scopes that were stopped"
# What is no place for a scope.
for p in "/a/b" "a:b" "a.slice:b:c:d" "a:b:c" "a--b.slice:x:y" "-a.slice:x:y" "a.slice:x:y.slice" "a.slice:x:"; do
    with_path '["true"]' "$p"
    oci --systemd-cgroup run -b "$bundle" c2 </dev/null 2>err; check $? 1 "the path '$p'"
    grep -q "linux.cgroupsPath: " err || bad "the sentence for '$p': $(cat err)"
done
over
with_path '["true"]' "-.slice:lab:c3"
manager exists
oci --systemd-cgroup run -b "$bundle" c3 </dev/null 2>err; check $? 0 "a unit that had failed: $(cat err)"
grep -q "^ResetFailedUnit lab-c3.scope" log || bad "the failed unit stays: $(cat log)"
over
fails() { # mode, sentence
    manager "$1"
    oci --systemd-cgroup run -b "$bundle" c4 </dev/null 2>err; check $? 1 "with a manager that does '$1'"
    grep -q "$2" err || bad "the sentence for '$1': $(cat err)"
    over
}
fails failed "cannot make the scope 'lab-c3.scope': systemd could not do its job on the unit 'lab-c3.scope': failed"
fails hangup "systemd's bus has hung up"
fails garbage "systemd's bus speaks a D-Bus that is not understood here"
rm -f bus
if [ ! -e /run/systemd/system ] && [ ! -e /run/dbus/system_bus_socket ]; then
    oci --systemd-cgroup run -b "$bundle" c5 </dev/null 2>err; check $? 1 "without systemd"
    grep -q "systemd does not run on this machine; leave the flag out" err || bad "the sentence: $(cat err)"
fi
check "$(find /sys/fs/cgroup -path '*/cvisor-systemd-*' -name '*.scope')" "" "scopes left behind"
# Slices in hierarchies that systemd does not look after stay, as with other runtimes.
find /sys/fs/cgroup -depth -path "*/cvisor-systemd-*" -type d -exec rmdir {} +
end_containers
