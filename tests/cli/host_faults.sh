# Faults of the host below a sandbox's files: a full disk, errors of the device, files cut short under
# mappings. What a program sees is what it sees natively, and the sandbox lives on.
# timeout: 400
# tier: test
[ "$(id -u)" = 0 ] && [ -e /dev/loop-control ] || { echo "needs root and loop devices"; exit 77; }
# All mounts are in a namespace of this script's own: they end with it.
[ -n "${HOST_FAULTS:-}" ] || exec env HOST_FAULTS=1 unshare -m --propagation private bash "$0" "$@"
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
trap 'cd /; umount -q "$own_dir/vol" "$own_dir/disk" "$own_dir/root" 2>/dev/null' EXIT
mkdir vol disk root
mount --bind / root && mount -o remount,bind,ro root

cat > full.py <<'P'
import errno, mmap, os, sys
def name(f):
    try:
        f()
        return 'ok'
    except OSError as e:
        return errno.errorcode[e.errno]
def fill(fd, size):
    n = 0
    while True:
        try:
            n += os.write(fd, b'x' * size)
        except OSError as e:
            return n, errno.errorcode[e.errno]
os.chdir(sys.argv[1])
a = os.open('a', os.O_CREAT | os.O_RDWR)
os.write(a, b'a' * 100000)
os.fsync(a)
big = os.open('big', os.O_CREAT | os.O_RDWR)
n, why = fill(big, 65536)
more, why2 = fill(big, 1) # what was left in the last block
print('full', why, why2, n + more == os.fstat(big).st_size == os.stat('big').st_size, n > 1000000)
print('sync', name(lambda: os.fsync(big)), os.pread(big, 1, n + more - 1), os.pread(big, 1, n + more))
print('kept', os.pread(a, 200000, 0) == b'a' * 100000)
print('rewrite', name(lambda: os.pwrite(a, b'b' * 4096, 4096)))
# In a hole there is nothing to write to: that process gets SIGBUS, and it alone.
h = os.open('hole', os.O_CREAT | os.O_RDWR)
if name(lambda: os.ftruncate(h, 1 << 20)) == 'ok':
    m = mmap.mmap(h, 1 << 20)
    pid = os.fork()
    if pid == 0:
        for i in range(0, 1 << 20, 4096):
            m[i] = 1
        os._exit(0)
    print('mapping', os.waitpid(pid, 0)[1])
    m.close()
print('fallocate', name(lambda: os.posix_fallocate(h, 0, 1 << 20)))
# Room again.
os.ftruncate(big, 0)
print('again', name(lambda: os.pwrite(h, b'c' * 65536, 0)), name(lambda: os.fsync(h)))
for f in ('a', 'big', 'hole'):
    os.unlink(f)
os.close(a), os.close(big), os.close(h)
c = os.open('c', os.O_CREAT | os.O_RDWR)
print('after', os.write(c, b'c' * 1000000), name(lambda: os.fsync(c)))
P

cat > device.py <<'P'
import errno, mmap, os, sys
def name(f):
    try:
        return f() or 'ok'
    except OSError as e:
        return errno.errorcode[e.errno]
os.chdir(sys.argv[1])
y = os.open('y', os.O_RDONLY)
print('read', name(lambda: len(os.read(y, 65536))), name(lambda: len(os.pread(y, 1, 300000))))
m = mmap.mmap(y, 524288, prot=mmap.PROT_READ)
pid = os.fork()
if pid == 0:
    os._exit(m[400000] & 1)
print('mapping', os.waitpid(pid, 0)[1])
P

cat > late.py <<'P'
import os, sys
def sync(fd):
    try:
        os.fsync(fd)
        return 'ok'
    except OSError as e:
        return 'error' # which one differs between the file's and the device's
os.chdir(sys.argv[1])
x, other = os.open('x', os.O_CREAT | os.O_RDWR), os.open('x', os.O_RDWR)
for i in range(256):
    os.write(x, b'x' * 65536)
# Each open file is told once of what could not be written.
print('late', sync(x), sync(x), sync(other), sync(other), os.fstat(x).st_size)
P

# As with runc, the bind mount's source is a directory of the host.
in_container() { # script
    make_bundle "[\"python3\", \"/srv/$1\", \"/mnt\"]" "{\"root\": {\"path\": \"$PWD/root\", \"readonly\": true},
        \"process\": {\"env\": [\"PATH=/usr/bin:/bin\"]},
        \"mounts\": [{\"destination\": \"/srv\", \"type\": \"bind\", \"source\": \"$PWD\", \"options\": [\"bind\", \"ro\"]},
            {\"destination\": \"/mnt\", \"type\": \"bind\", \"source\": \"$PWD/vol\", \"options\": [\"rbind\", \"rw\"]}]}"
    oci run --bundle "$bundle" c 2>&1
}
compare() { # script, what: natively, with a writable root, and in a bind mount
    fresh; want=$(python3 "$1" "$PWD/vol" 2>&1); old
    fresh; got=$(cv do --rw -- python3 "$PWD/$1" "$PWD/vol" 2>&1 </dev/null); old
    check "$got" "$want" "$2, a writable root"
    fresh; got=$(in_container "$1" </dev/null); old
    check "$got" "$want" "$2, a bind mount"
}
old() { umount vol; }
fresh() { mount -t tmpfs -o size=3M,mode=755 none vol; }
compare full.py "a full tmpfs"

image() { # size in MB, where
    rm -f "$2"; truncate -s "$1M" "$2"
    mkfs.ext4 -q -O ^has_journal -m 0 -E lazy_itable_init=0,nodiscard "$2" && mount -o loop "$2" vol
}
fresh() { image 8 img; }
compare full.py "a full ext4"

# The image has shrunk: what is read from beyond its end is an error of the device.
fresh() {
    image 16 img
    dd if=/dev/urandom of=vol/y bs=64k count=8 conv=fsync status=none
    umount vol; sync img; mount -o loop img vol
    stat vol/y >/dev/null; truncate -s 1M img
}
compare device.py "a device that cannot be read"
case "$want" in *EIO*EIO*) ;; *) echo "(no error natively: $want)" ;; esac

# The image's own disk is full: what was written is lost later, and fsync says so.
fresh() {
    mount -t tmpfs -o size=6M none disk
    image 64 disk/img
}
old() { umount vol; umount disk; }
compare late.py "a device that cannot be written"
old() { umount vol; }

# A file of the host is cut short under mappings of the sandbox's.
cat > cut.py <<'P'
import mmap, os, sys
f = os.open(sys.argv[1] + '/f', os.O_RDWR)
m = mmap.mmap(f, 65536)
pids = []
for i in (0, 1):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(w)
        os.read(r, 1)
        os._exit(m[0 if i else 60000] & 1)
    pids.append((pid, w))
print('mapped', m[60000], flush=True)
sys.stdin.read()
for pid, w in pids:
    os.close(w)
print([os.waitpid(pid, 0)[1] for pid, w in pids], m[100])
print(os.fstat(f).st_size, os.pread(f, 10, 60000), os.pwrite(f, b'z', 60000), m[60000])
P
cut() { # command
    rm -f out go; mkfifo go; head -c 65536 /dev/zero | tr '\0' A > vol/f
    "$@" < go > out 2>&1 &
    pid=$!
    exec 7> go
    await out
    truncate -s 4096 vol/f
    exec 7>&-
    wait $pid
    cat out
}
mount -t tmpfs -o size=3M,mode=755 none vol
want=$(cut python3 cut.py "$PWD/vol")
check "$(cut in_container cut.py)" "$want" "a file that was cut short"
umount vol root
finish
