# What the specification says of a container's process is so inside: ids, capabilities, limits, names.
# timeout: 120
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
# The output of a script in a container with the configuration $2.
inside() {
    make_bundle '["sh", "/script"]' "${2:-{\}}"
    printf "%s\n" "$1" > "$bundle/rootfs/script"
    oci run -b "$bundle" box 2>&1 </dev/null | sed "s/^.script: line 1: /sh: /"
}
make_bundle '["true"]'
for a in nproc uname free awk sed tr cut chmod stat find; do ln -sf busybox "$bundle/rootfs/bin/$a"; done

check "$(inside 'id -u; id -g; id -G; umask; pwd; touch /tmp/f; stat -c %a /tmp/f' \
    '{"process": {"user": {"uid": 5, "gid": 6, "umask": 31, "additionalGids": [9, 7]}, "cwd": "/tmp/new/dir"}, "mounts": [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}]}')" \
"5
6
6 7 9
0037
/tmp/new/dir
640" "ids, groups, umask, a working directory that was not there"

caps='{"process": {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"], "permitted": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}, "noNewPrivileges": true, "user": {"uid": 1, "gid": 1}}}'
check "$(inside 'grep -E "Cap|NoNew" /proc/self/status' "$caps" | tr '\t' ' ')" \
"CapInh: 0000000000000020
CapPrm: 0000000000000020
CapEff: 0000000000000020
CapBnd: 00000000000000a1
CapAmb: 0000000000000020
NoNewPrivs: 1" "capabilities of a user after exec"
check "$(inside 'grep -E "CapPrm|CapEff|CapBnd" /proc/self/status' '{"process": {"capabilities": {"bounding": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"]}}}' | tr '\t' ' ')" \
"CapPrm: 0000000000000001
CapEff: 0000000000000001
CapBnd: 0000000000000001" "capabilities of root after exec"
check "$(inside 'grep -E Cap /proc/self/status | cut -f2 | tr -d 0; id -u' '{"process": {"capabilities": null}}')" "




0" "root without capabilities"

check "$(inside 'ulimit -n; ulimit -Hn; ulimit -c; ulimit -u; cat /proc/self/oom_score_adj' \
    '{"process": {"oomScoreAdj": 300, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}, {"type": "RLIMIT_NPROC", "soft": 50, "hard": 60}]}}')" \
"100
200
0
50
300" "limits and oom_score_adj"

check "$(inside 'hostname; cat /proc/sys/kernel/domainname; uname -m' '{"hostname": "one", "domainname": "two.example", "linux": {"personality": {"domain": "LINUX32"}}}')" \
"one
two.example
i686" "names and personality"
check "$(inside 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmax' '{"linux": {"sysctl": {"net.ipv4.ip_unprivileged_port_start": "17", "kernel.shmmax": "1000000"}}}')" \
"17
1000000" "sysctls"
case "$(inside true '{"linux": {"sysctl": {"net.no.such": "1"}}}')" in
*"cannot set the sysctl 'net.no.such'"*) ;; *) bad "an unknown sysctl: $(inside true '{"linux": {"sysctl": {"net.no.such": "1"}}}')" ;; esac

check "$(inside hostname '{"hostname": "", "linux": {"namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}]}}')" "$(hostname)" "the name of the host's uts namespace"

# Refused by name.
for pair in '{"linux": {"timeOffsets": {"monotonic": {"secs": 1}}, "namespaces": [{"type": "time"}, {"type": "uts"}, {"type": "pid"}, {"type": "ipc"}, {"type": "mount"}]}}|timeOffsets' \
    '{"linux": {"intelRdt": {"closID": "x"}}}|intelRdt' '{"linux": {"rootfsPropagation": "shared"}}|rootfsPropagation' \
    '{"linux": {"namespaces": [{"type": "uts"}, {"type": "ipc"}, {"type": "mount"}]}}|there is no pid namespace' \
    '{"linux": {"namespaces": [{"type": "uts"}, {"type": "pid", "path": "/proc/1/ns/pid"}, {"type": "ipc"}, {"type": "mount"}]}}|cannot join the pid namespace' \
    '{"process": {"execCPUAffinity": {"initial": "0"}}}|execCPUAffinity' '{"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 1, "period": 1}}}|SCHED_DEADLINE'; do
    out=$(inside true "${pair%|*}")
    case "$out" in *"${pair##*|}"*) ;; *) bad "not refused: ${pair##*|}: $out" ;; esac
done
# Broken documents say where.
make_bundle '["true"]'
printf '{"ociVersion": "1.0.2",\n "root": }' > "$bundle/config.json"
oci run -b "$bundle" box 2>err </dev/null; check $? 1 "status with broken JSON"
grep -q "config.json: line 2, column" err || bad "broken JSON: $(cat err)"
rm "$bundle/config.json"
oci run -b "$bundle" box 2>err </dev/null; grep -q "cannot open 'config.json'" err || bad "no configuration: $(cat err)"
end_containers
