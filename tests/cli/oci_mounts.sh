# Bind mounts, tmpfs with what was there, devices, masked and read-only paths, sysctls.
# timeout: 60
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
mkdir -p data ro; echo one > data/f; echo two > ro/g; echo file > single
make_bundle '["sh", "-c", "cat /data/f /ro/g /single; echo new > /data/n; echo x > /ro/x; echo y > /copied/y; ls /copied; cat /copied/deep/a; ls -l /dev/mine /copied/link | cut -c1-10; ls /masked | wc -l; cat /hidden | wc -c; echo z > /fixed/z; cat /proc/sys/kernel/msgmax; echo 1 > /proc/sys/kernel/msgmax; echo r > /r"]' '{"mounts": [
  {"destination": "/data", "type": "bind", "source": "'$PWD'/data", "options": ["rbind", "rprivate"]},
  {"destination": "/ro", "type": "bind", "source": "../ro", "options": ["bind", "ro"]},
  {"destination": "/single", "type": "bind", "source": "'$PWD'/single", "options": ["bind", "ro"]},
  {"destination": "/copied", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}],
 "linux": {"devices": [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 432, "uid": 5, "gid": 6}],
  "maskedPaths": ["/masked", "/hidden", "/not/there"], "readonlyPaths": ["/fixed", "/proc/sys"],
  "sysctl": {"kernel.msgmax": "12345"}}}'
ln -sf busybox "$bundle/rootfs/bin/cut"
mkdir -p "$bundle"/rootfs/{copied/deep,masked,fixed}
echo a > "$bundle/rootfs/copied/deep/a"; ln -s deep "$bundle/rootfs/copied/link"
echo m > "$bundle/rootfs/masked/m"; echo h > "$bundle/rootfs/hidden"
oci run -b "$bundle" m1 >out 2>err </dev/null
check "$(cat out)" "one
two
file
deep
link
y
a
lrwxrwxrwx
crw-rw----
0
0
12345" "what the container saw"
check "$(grep -c 'Read-only file system' err)" 3 "writes to what is read-only: $(cat err)"
check "$(cat data/n 2>&1)" new "a file made on a bind mount"
[ -e ro/x ] && bad "a read-only bind mount was written"
check "$(cat "$bundle/rootfs/r")" r "a file made on the root"
[ -e "$bundle/rootfs/copied/y" ] && bad "the copy was not a copy"
[ -d "$bundle/rootfs/data" ] || bad "no mount point was made"
# A read-only root: mount points come from nowhere, the host's tree is not touched.
make_bundle '["sh", "-c", "cat /place/f; echo x > /x; echo y > /place/y; exit 0"]' '{"root": {"path": "rootfs", "readonly": true},
  "mounts": [{"destination": "/place", "type": "bind", "source": "'$PWD'/data", "options": ["bind"]}]}'
check "$(oci run -b "$bundle" m2 2>err </dev/null)" one "a bind mount on a read-only root"
grep -q 'Read-only file system' err || bad "the root was writable: $(cat err)"
check "$(cat data/y)" y "a writable bind mount on a read-only root"
[ -e "$bundle/rootfs/place" ] && bad "a mount point was made on a read-only root"
# Errors name the thing.
make_bundle '["true"]' '{"mounts": [{"destination": "/d", "type": "bind", "source": "/no/such/dir", "options": ["bind"]}]}'
oci run -b "$bundle" m3 2>err </dev/null; check $? 1 "a bind mount of nothing"
grep -q "/no/such/dir" err || bad "the sentence does not name the source: $(cat err)"
make_bundle '["true"]' '{"mounts": [{"destination": "/d", "type": "nofs", "source": "x"}]}'
oci run -b "$bundle" m4 2>err </dev/null; check $? 1 "a file system that does not exist"
grep -q "'/d'" err || bad "the sentence does not name the mount: $(cat err)"
make_bundle '["true"]' '{"linux": {"sysctl": {"kernel.nothing": "1"}}}'
oci run -b "$bundle" m5 2>err </dev/null; check $? 1 "a sysctl that does not exist"
grep -q "kernel.nothing" err || bad "the sentence does not name the sysctl: $(cat err)"
end_containers
