# What others change in a container's root while it runs: seen with --file-access shared.
# tier: check
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
mkdir -p vol
make_bundle '["sleep", "1000"]' "{\"mounts\": [{\"destination\": \"/vol\", \"type\": \"bind\", \"source\": \"$PWD/vol\", \"options\": [\"rbind\", \"rw\"]}]}"
begin() { oci "$@" run --detach --bundle "$bundle" c >/dev/null 2>&1 </dev/null || bad "run $*"; }
end() { oci delete --force c; }
in_c() { oci exec c "$@" 2>/dev/null </dev/null; }

begin --file-access shared
in_c ls /tmp/later /vol/later && bad "found before they were made"
echo one > "$bundle/rootfs/tmp/later"
echo two > vol/later
check "$(in_c cat /tmp/later /vol/later | tr '\n' ' ')" "one two " "names that were missed before"
echo replaced > "$bundle/rootfs/tmp/new"
mv "$bundle/rootfs/tmp/new" "$bundle/rootfs/tmp/later"
check "$(in_c cat /tmp/later)" "replaced" "a file that was replaced"
echo longer than before > "$bundle/rootfs/tmp/later"
check "$(in_c cat /tmp/later)" "longer than before" "a file that was written"
rm "$bundle/rootfs/tmp/later"
in_c ls /tmp/later && bad "found after its removal"
in_c sh -c 'echo inside > /tmp/own; mkdir /tmp/d; echo x > /tmp/d/f; rm /tmp/d/f' || bad "changes of its own"
check "$(cat "$bundle/rootfs/tmp/own")" "inside" "written through"
end

# Without it a command from outside sees what has come, and so does the container from then on.
rm -rf "$bundle"/rootfs/tmp/*; ln -s busybox "$bundle/rootfs/bin/mv"
make_bundle '["sh", "-c", "while :; do [ -e /tmp/waited ] && echo yes > /tmp/seen; cat /tmp/conf > /tmp/h 2>/dev/null; mv /tmp/h /tmp/has; sleep 0.1; done"]'
echo before > "$bundle/rootfs/tmp/conf"
begin
await "$bundle/rootfs/tmp/has"
in_c ls /tmp/later && bad "found before it was made"
echo one > "$bundle/rootfs/tmp/later"; echo x > "$bundle/rootfs/tmp/waited"
echo after > "$bundle/rootfs/tmp/new"; mv "$bundle/rootfs/tmp/new" "$bundle/rootfs/tmp/conf"
check "$(in_c cat /tmp/later /tmp/conf | tr '\n' ' ')" "one after " "an exec finds what was missed before and what was replaced"
check "$(in_c sh -c 'cd /tmp && echo l*')" later "an exec's listing"
await "$bundle/rootfs/tmp/seen"
for i in $(seq 100); do [ "$(cat "$bundle/rootfs/tmp/has")" = after ] && break; sleep 0.1; done
check "$(cat "$bundle/rootfs/tmp/has")" after "the container itself, after that"
echo much longer than before > "$bundle/rootfs/tmp/later"
check "$(in_c wc -c /tmp/later)" "24 /tmp/later" "the size of a file that was written"
rm "$bundle/rootfs/tmp/later"
in_c ls /tmp/later && bad "found after its removal"
end

make_bundle '["sleep", "1000"]' "{\"mounts\": [{\"destination\": \"/vol\", \"type\": \"bind\", \"source\": \"$PWD/vol\", \"options\": [\"rbind\", \"rw\"]}]}"
begin --file-access exclusive --file-access-mounts exclusive
check "$(in_c sh -c 'echo a > /vol/own; echo b > /tmp/own; cat /vol/own /tmp/own' | tr '\n' ' ')" "a b " "exclusive"
check "$(cat vol/own)" "a" "written through"
end

for flag in file-access file-access-mounts; do
    out=$(cv --$flag sometimes do -- true 2>&1) && bad "--$flag sometimes is taken"
    case "$out" in *"'exclusive' or 'shared', not 'sometimes'"*) ;; *) bad "--$flag: $out" ;; esac
done
out=$(cv --file-access shared do -- true 2>&1) && bad "'do' takes --file-access shared without --rw"
case "$out" in *--rw*) ;; *) bad "do: $out" ;; esac
end_containers
