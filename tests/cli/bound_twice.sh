# A directory that the host shows in two places, one inside the other: two directories to the sandbox.
. "$(dirname "$0")/lib.inc"
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 0; }
mkdir -p tree/mnt tree/dir
echo one > tree/file
cat > t.py <<'P'
import os, errno
os.chdir('tree')
def fails(what, err, fn, *args):
    try:
        fn(*args)
        print(what, 'succeeded')
    except OSError as e:
        if e.errno != err:
            print(what, errno.errorcode[e.errno])
for i in range(3):
    if sorted(os.listdir('mnt')) != ['dir', 'file', 'mnt'] or os.listdir('mnt/mnt') != []:
        print('listed', os.listdir('mnt'), os.listdir('mnt/mnt'))
    if os.stat('mnt').st_ino != os.stat('.').st_ino:
        print('numbers differ')
fails('across', errno.EXDEV, os.rename, 'mnt/file', 'dir/moved')
fails('link', errno.EXDEV, os.link, 'file', 'mnt/link')
os.rename('file', 'dir/file')
os.rename('mnt/dir/file', 'mnt/back')
with open('mnt/back') as f:
    if f.read() != 'one\n':
        print('contents')
print(sum(1 for _ in os.walk('.')))
P
out=$(unshare -m sh -c 'mount --make-rprivate / && mount --bind tree tree/mnt &&
    exec timeout 60 "$0" $1 do --rw --cwd "$2" -- python3 t.py' "$cvisor" "$quiet" "$PWD" 2>&1) || bad "status $?"
check "$out" 5 "a directory in itself"
check "$(cat tree/back)" one "the host's file"
finish
