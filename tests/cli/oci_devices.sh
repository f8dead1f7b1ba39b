# linux.resources.devices: which devices a container may make and open.
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
caps='"process": {"capabilities": {"bounding": ["CAP_MKNOD"], "effective": ["CAP_MKNOD"], "permitted": ["CAP_MKNOD"]}}'
nodes='"devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438}, {"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 438}]'
inside() { # rules, commands
    make_bundle '["sh", "/script"]' "{$caps, \"linux\": {$nodes, \"resources\": {\"devices\": [$1]}}}"
    ln -sf busybox "$bundle/rootfs/bin/mknod"
    printf '%s\n' "$2" > "$bundle/rootfs/script"
    oci run -b "$bundle" box 2>&1 </dev/null | sed 's/^.script: line [0-9]*: //'
}
none='{"allow": false, "access": "rwm"}'
fuse='"type": "c", "major": 10, "minor": 229'
try='true < /dev/fuse && echo read; true > /dev/fuse && echo written; true <> /dev/fuse && echo both'
check "$(inside '' "$try")" "read
written
both" "without rules"
refused="can't open /dev/fuse: Operation not permitted
can't create /dev/fuse: Operation not permitted
can't create /dev/fuse: Operation not permitted"
check "$(inside "$none" "$try")" "$refused" "nothing is allowed"
check "$(inside '{"allow": false}' "$try")" "$refused" "nothing, in fewer words"
check "$(inside "$none, {\"allow\": true, $fuse, \"access\": \"rw\"}" "$try")" "read
written
both" "this one is allowed"
check "$(inside "$none, {\"allow\": true, $fuse, \"access\": \"r\"}" "$try")" "read
can't create /dev/fuse: Operation not permitted
can't create /dev/fuse: Operation not permitted" "to be read"
check "$(inside "$none, {\"allow\": true, \"type\": \"c\", \"major\": 10, \"access\": \"rwm\"}, {\"allow\": false, $fuse, \"access\": \"w\"}" "$try")" "read
can't create /dev/fuse: Operation not permitted
can't create /dev/fuse: Operation not permitted" "the order of the rules"
check "$(inside "$none, {\"allow\": true, \"type\": \"b\", \"major\": 10, \"minor\": 229, \"access\": \"rwm\"}" "$try")" "$refused" "a block device's rule"
# What every container has.
check "$(inside "$none" 'for d in null zero full random urandom tty mine; do head -c 0 /dev/$d || echo "no $d"; done; echo x > /dev/mine; mknod /tmp/n c 1 3; mknod /tmp/f c 10 229; true < /tmp/n && true < /tmp/f' | grep -v '/dev/tty: No such device')" \
    "no tty
can't open /tmp/f: Operation not permitted" "devices of every container"
# Also for what is started in it later, and not for the others of a pod.
make_bundle '["sleep", "1000"]' "{\"linux\": {$nodes, \"resources\": {\"devices\": [$none]}}, \"annotations\": {\"io.kubernetes.cri.container-type\": \"sandbox\", \"io.kubernetes.cri.sandbox-id\": \"pod\"}}"
oci run -d -b "$bundle" pod </dev/null >/dev/null 2>&1
oci exec pod sh -c ': < /dev/fuse' 2>/dev/null && bad "an exec opens it"
bundle=$PWD/bundle2
make_bundle '["sh", "-c", ": < /dev/fuse && echo read"]' "{\"linux\": {$nodes}, \"annotations\": {\"io.kubernetes.cri.container-type\": \"container\", \"io.kubernetes.cri.sandbox-id\": \"pod\"}}"
check "$(oci run -b "$bundle" second </dev/null 2>&1)" read "another container of the pod"
oci delete --force pod
end_containers
