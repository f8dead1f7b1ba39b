# Hooks of all kinds that the runtime runs: when, with which state, and what their failures do.
# timeout: 120
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
# Each says its name and the status in the state that it is given.
printf '#!/bin/sh\nPATH=/usr/bin:/bin\nstate=$(cat)\necho "$1 $(echo "$state" | sed "s/.*\\"status\\":[ ]*\\"\\([a-z]*\\)\\".*/\\1/")" >> %s/said\necho "$state" > %s/state.$1\n[ "$2" != fail ] || { echo no way >&2; exit 7; }\n' "$PWD" "$PWD" > hook
chmod 755 hook
hook() { echo "[{\"path\": \"$PWD/hook\", \"args\": [\"hook\", \"$1\", \"${2:-}\"]}]"; }
all() { # $1: which of them fails
    echo "{\"annotations\": {\"k\": \"v\"}, \"hooks\": {"
    for k in prestart createRuntime createContainer poststart poststop; do
        f=; [ "$k" != "${1:-}" ] || f=fail
        echo "\"$k\": $(hook $k $f),"
    done
    echo "\"startContainer\": []}}"
}
make_bundle '["sh", "-c", "echo inside >&2; sleep 0.3"]' "$(all)"
oci run -b "$bundle" h1 </dev/null 2>err; check $? 0 "run with hooks"
check "$(cat said)" "prestart creating
createRuntime creating
createContainer creating
poststart running
poststop stopped" "the order of hooks"
/usr/bin/python3 - "$bundle" <<'END' || bad "the state that a hook gets: $(cat state.createRuntime)"
import json, sys
s = json.load(open('state.createRuntime'))
assert s['id'] == 'h1' and s['bundle'] == sys.argv[1] and s['pid'] > 0 and s['ociVersion'] and s['annotations'] == {'k': 'v'}
END
rm said
make_bundle '["sleep", "100"]' "$(all)"
oci create -b "$bundle" h2 </dev/null >/dev/null 2>&1; check $? 0 create
check "$(wc -l < said)" 3 "hooks before start"
oci start h2; check $? 0 start
check "$(tail -n 1 said)" "poststart running" "hooks at start"
oci delete --force h2; check $? 0 delete
check "$(tail -n 1 said)" "poststop stopped" "hooks at delete"

for k in prestart createRuntime createContainer; do
    rm -f said
    make_bundle '["true"]' "$(all $k)"
    oci run -b "$bundle" h3 </dev/null 2>err; check $? 1 "status when a $k hook fails"
    grep -q "the $k hook '$PWD/hook' failed with status 7: no way" err || bad "$k: $(cat err)"
    check "$(tail -n 1 said)" "poststop stopped" "poststop after a failing $k hook"
    oci state h3 2>/dev/null && bad "the container is there after a failing $k hook"
done
make_bundle '["sleep", "100"]' "$(all poststart)"
oci create -b "$bundle" h4 </dev/null >/dev/null 2>&1
oci start h4 2>err; check $? 1 "start when a poststart hook fails"
grep -q "the poststart hook" err || bad "poststart: $(cat err)"
await_status h4 stopped
oci delete h4; check $? 0 "delete after a failing poststart hook"
oci run -b "$bundle" h5 </dev/null 2>err; check $? 1 "run when a poststart hook fails"
rm said
make_bundle '["true"]' "$(all poststop)"
oci run -b "$bundle" h6 </dev/null 2>err; check $? 0 "run when a poststop hook fails"
grep -q "the poststop hook '$PWD/hook' failed" err || bad "poststop: $(cat err)"

# startContainer's run inside, before the program, and are not process 1.
printf '#!/bin/sh\nread s; echo "$$ $(id -u) $s" >> /tmp/said\nexit $1\n' > "$bundle/rootfs/bin/inner"; chmod 755 "$bundle/rootfs/bin/inner"
inner() { echo "{\"hooks\": {\"startContainer\": [{\"path\": \"/bin/inner\", \"args\": [\"inner\", \"$1\"], \"env\": [\"PATH=/bin\"]}]}}"; }
make_bundle '["sh", "-c", "echo $$ program >> /tmp/said"]' "$(inner 0)"
oci run -b "$bundle" h8 </dev/null 2>err; check $? 0 "run with a startContainer hook"
check "$(sed 's/{.*"status":[ ]*"\([a-z]*\)".*/\1/' "$bundle/rootfs/tmp/said")" "2 0 created
1 program" "a startContainer hook"
rm "$bundle/rootfs/tmp/said"
make_bundle '["sh", "-c", "echo program >> /tmp/said"]' "$(inner 3)"
oci create -b "$bundle" h9 </dev/null >/dev/null 2>&1
[ ! -e "$bundle/rootfs/tmp/said" ] || bad "a startContainer hook ran before start"
oci start h9 2>err; check $? 1 "start when a startContainer hook fails"
grep -q "the startContainer hook '/bin/inner' failed with status 3" err || bad "startContainer: $(cat err)"
await_status h9 stopped
oci delete h9
grep -q program "$bundle/rootfs/tmp/said" && bad "the program ran after a failing startContainer hook"

make_bundle '["true"]' '{"hooks": {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}}'
oci run -b "$bundle" h7 </dev/null 2>err; check $? 1 "status when a hook takes too long"
grep -q "timeout of 1 seconds" err || bad "timeout: $(cat err)"
end_containers
