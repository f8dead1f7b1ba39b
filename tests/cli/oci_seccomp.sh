# A container's seccomp profile: actions, errnoRet, arguments, for its first process and for execs.
# timeout: 120
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
inside() {
    make_bundle "$1" "{\"linux\": {\"seccomp\": $2}}"
    oci run -b "$bundle" box 2>&1 </dev/null
}
make_bundle '["true"]'
ln -sf busybox "$bundle/rootfs/bin/chmod"; ln -sf busybox "$bundle/rootfs/bin/uname"
rule() { echo "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"mkdir\", \"mkdirat\"], \"action\": $1}]}"; }
check "$(inside '["mkdir", "/tmp/x"]' "$(rule '"SCMP_ACT_ERRNO"')")" "mkdir: can't create directory '/tmp/x': Operation not permitted" "errno"
check "$(inside '["mkdir", "/tmp/x"]' "$(rule '"SCMP_ACT_ERRNO", "errnoRet": 38')")" "mkdir: can't create directory '/tmp/x': Function not implemented" "errnoRet"
inside '["mkdir", "/tmp/x"]' "$(rule '"SCMP_ACT_KILL"')" >/dev/null; check $? 159 "kill"
inside '["sh", "-c", "mkdir /tmp/x; echo $? > /tmp/status"]' "$(rule '"SCMP_ACT_KILL_PROCESS"')" >/dev/null
check "$(cat "$bundle/rootfs/tmp/status")" 159 "kill of a child"
inside '["mkdir", "/tmp/x"]' "$(rule '"SCMP_ACT_TRAP"')" >/dev/null; check $? 159 "trap"
check "$(inside '["mkdir", "/tmp/x"]' "$(rule '"SCMP_ACT_LOG"')")" "" "log"
check "$(inside '["mkdir", "/tmp/y"]' "$(rule '"SCMP_ACT_TRACE"')")" "mkdir: can't create directory '/tmp/y': Function not implemented" "trace without a tracer"
check "$(inside '["sh", "-c", "grep Seccomp: /proc/self/status"]' "$(rule '"SCMP_ACT_ERRNO"')" | tr '\t' ' ')" "Seccomp: 2" "what /proc says"
check "$(inside '["true"]' '{"defaultAction": "SCMP_ACT_NOTIFY"}' | sed 's/.*level=error //')" 'msg="linux.seccomp: defaultAction: the action SCMP_ACT_NOTIFY is not supported by this runtime"' "notify"
check "$(inside '["true"]' '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_X"}]}' | sed 's/.*level=error //')" "msg=\"linux.seccomp: syscalls[0]: 'SCMP_ACT_X' is not an action\"" "an unknown action"

# Execs have it as well, and so has what they start. chmod takes its mode from an argument.
make_bundle '["sleep", "100"]' '{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": [{"index": 1, "value": 511, "op": "SCMP_CMP_EQ"}]}, {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}]}}}'
oci create -b "$bundle" box </dev/null >/dev/null 2>&1 && oci start box
check "$(oci exec box sh -c 'chmod 755 /tmp && echo fine; chmod 777 /tmp' 2>&1)" "fine
chmod: /tmp: Permission denied" "arguments, in an exec"
oci exec box mkdir /tmp/z 2>&1 | grep -q "Cannot assign requested address\|error 99\|Address not available" || bad "errnoRet in an exec: $(oci exec box mkdir /tmp/z 2>&1)"
oci delete --force box

# A profile as engines send it: all that a shell needs works, what it leaves out does not.
engine=/usr/share/containers/seccomp.json
if [ -e $engine ]; then
    profile=$(/usr/bin/python3 - $engine <<'END'
import json, sys
p = json.load(open(sys.argv[1]))
rules = []
for r in p['syscalls']:
    if r.get('includes', {}).get('caps') or r.get('includes', {}).get('minKernel') or \
            'amd64' not in r.get('includes', {}).get('arches', ['amd64']):
        continue
    o = {'names': r['names'], 'action': r['action']}
    if r.get('args'):
        o['args'] = r['args']
    if r.get('errnoRet') is not None and r['action'] == 'SCMP_ACT_ERRNO':
        o['errnoRet'] = r['errnoRet']
    rules.append(o)
print(json.dumps({'defaultAction': p['defaultAction'], 'defaultErrnoRet': p.get('defaultErrnoRet', 1),
                  'architectures': ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'], 'syscalls': rules}))
END
)
    check "$(inside '["sh", "-c", "echo $(ls /bin/sh; (exit 3); echo $?); mount -t tmpfs x /tmp; hostname new"]' "$profile")" "/bin/sh 3
mount: permission denied (are you root?)
hostname: sethostname: Operation not permitted" "an engine's profile"
fi
end_containers
