# Mounts, devices, masked and read-only paths of the specification.
# timeout: 120
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
inside() {
    make_bundle '["sh", "/script"]' "${2:-{\}}"
    printf "%s\n" "$1" > "$bundle/rootfs/script"
    oci run -b "$bundle" box 2>&1 </dev/null | sed "s/^.script: line 1: /sh: /"
}
make_bundle '["true"]'
for a in stat find sed cut awk sort df readlink; do ln -sf busybox "$bundle/rootfs/bin/$a"; done
mkdir -p src/dir "$bundle/rootfs/full/sub"
echo file > src/file; echo inner > src/dir/inner; chmod 640 src/file
echo data > "$bundle/rootfs/full/a"; ln -sf a "$bundle/rootfs/full/link"; echo x > "$bundle/rootfs/full/sub/b"; chmod 1770 "$bundle/rootfs/full"; chmod 604 "$bundle/rootfs/full/a"

check "$(inside 'cat /m/d/inner /m/f; echo x > /m/f; echo y > /m/d/new; stat -c %a /m/f' "{\"mounts\": [{\"destination\": \"/m/d\", \"type\": \"bind\", \"source\": \"$PWD/src/dir\", \"options\": [\"rbind\", \"rw\"]}, {\"destination\": \"/m/f\", \"source\": \"$PWD/src/file\", \"options\": [\"bind\", \"ro\"]}]}")" \
"inner
file
sh: can't create /m/f: Read-only file system
640" "bind mounts of a directory and of a file"
check "$(cat src/dir/new src/file)" "y
file" "what the host sees of them"

# What is mounted below the source, with rbind and without; a flag of the whole tree is the tree's.
if [ "$(id -u)" = 0 ] && mkdir -p tree/sub && mount -t tmpfs none tree/sub 2>/dev/null; then
    echo deep > tree/sub/f
    at() { echo "{\"mounts\": [{\"destination\": \"/m\", \"source\": \"$PWD/tree\", \"options\": [$1]}]}"; }
    check "$(inside 'cat /m/sub/f; ls -A /m/sub | wc -l' "$(at '"bind"')" 2>&1)" "cat: can't open '/m/sub/f': No such file or directory
0" "without what is mounted below"
    check "$(inside 'cat /m/sub/f; echo x > /m/x; echo y > /m/sub/y' "$(at '"rbind", "rro"')")" "deep
sh: can't create /m/x: Read-only file system
sh: can't create /m/sub/y: Read-only file system" "all of it read-only"
    check "$(inside 'echo x > /m/x; echo y > /m/sub/y; cp /bin/busybox /m/sub/sh; /m/sub/sh' "$(at '"rbind", "rnoexec"')")" "sh: /m/sub/sh: Permission denied" "all of it without programs"
    check "$(cat tree/x tree/sub/y)" "x
y" "written below a bind mount"
    umount tree/sub
fi

check "$(inside 'cat /full/a; readlink /full/link; cat /full/sub/b; stat -c %a /full /full/a; echo new > /full/a; cat /full/a' '{"mounts": [{"destination": "/full", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "nosuid", "rprivate"]}]}')" \
"data
a
x
1770
604
new" "a tmpfs that begins with what was there"
check "$(cat "$bundle/rootfs/full/a")" data "and leaves it as it is"
check "$(inside 'ls /full; stat -c %a /full; echo x > /full/y' '{"mounts": [{"destination": "/full", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}]}')" \
"1770
sh: can't create /full/y: Read-only file system" "an empty read-only tmpfs with the mode of its place"

check "$(inside 'sed -n "s,^tmpfs /t tmpfs \([^ ]*\).*,\1,p" /proc/mounts; cp /bin/busybox /t/x; /t/x true' '{"mounts": [{"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec", "size=8m", "mode=755"]}]}' | sed 's/relatime.*/relatime/')" \
"rw,nosuid,nodev,noexec,relatime
sh: /t/x: Permission denied" "mount flags"

mkdir -p "$bundle/rootfs/secret" "$bundle/rootfs/fixed"; echo s > "$bundle/rootfs/secret/s"; echo h > "$bundle/rootfs/hidden"; echo y > "$bundle/rootfs/fixed/y"
check "$(inside 'cat /proc/cpuinfo | wc -c; ls -A /secret; cat /hidden; echo 1 > /secret/x; echo 1 > /fixed/x; cat /fixed/y' '{"linux": {"maskedPaths": ["/proc/cpuinfo", "/secret", "/hidden", "/not/there"], "readonlyPaths": ["/fixed", "/not/there"]}}')" \
"0
sh: can't create /secret/x: Read-only file system
sh: can't create /fixed/x: Read-only file system
y" "masked and read-only paths"

check "$(inside 'stat -c "%F %t:%T %a %u" /dev/null /dev/own /dev/pipe; echo x > /dev/own; head -c 3 /dev/zero | wc -c' '{"linux": {"devices": [{"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 4, "gid": 0}, {"path": "/dev/pipe", "type": "p", "fileMode": 384}]}}')" \
"character special file 1:3 666 0
character special file 1:3 666 4
fifo 0:0 600 0
3" "devices"

check "$(inside 'echo x > /x; mkdir /y; echo z > /dev/shm/z && echo fine' '{"root": {"path": "rootfs", "readonly": true}}')" \
"sh: can't create /x: Read-only file system
mkdir: can't create directory '/y': Read-only file system
fine" "a read-only root"
check "$(inside 'cat /sys/fs/cgroup/pids.max; ls /dev/mqueue' '{"mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]}, {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid"]}]}')" max "cgroup and mqueue"

for pair in "[{\"destination\": \"/m\", \"source\": \"$PWD/src\", \"options\": [\"rbind\", \"rshared\"]}]|shared" \
    "[{\"destination\": \"/m\", \"source\": \"/not/there\", \"options\": [\"bind\"]}]|/not/there" \
    "[{\"destination\": \"/m\", \"type\": \"nofs\", \"source\": \"x\"}]|/m" \
    "[{\"destination\": \"/m\", \"type\": \"tmpfs\", \"source\": \"x\", \"options\": [\"nonsense=1\"]}]|/m"; do
    out=$(inside true "{\"mounts\": ${pair%|*}}")

    case "$out" in *"${pair##*|}"*) ;; *) bad "the refusal of ${pair%|*} says $out" ;; esac
done
end_containers
