# A file system of libfuse3 (fuse-overlayfs) mounted, used by programs and unmounted.
# timeout: 180
set -eu
[ -w /dev/fuse ] && command -v fuse-overlayfs >/dev/null || exit 77
mkdir -p o/l o/u o/w o/m
echo hello > o/l/a
mkdir o/l/d; echo x > o/l/d/x; ln -s a o/l/s
fuse-overlayfs -f -o lowerdir=o/l,upperdir=o/u,workdir=o/w o/m 2>/dev/null &
until [ -e o/m/a ]; do kill -0 $!; sleep 0.05; done
grep o/m /proc/mounts | sed 's/.*o.m //'
ls o/m; cat o/m/a o/m/s
echo new > o/m/n; cat o/m/n; cp /bin/ls o/m/ls; o/m/ls -l o/m/d | wc -l
mkdir o/m/e; mv o/m/d/x o/m/e/y; rm o/m/a; ls -R o/m | md5sum; cat o/m/e/y
dd if=/dev/zero of=o/m/big bs=64k count=40 2>/dev/null; stat -c '%s %A' o/m/big; md5sum < o/m/big
cp -r /usr/include/linux/netfilter o/m/inc; diff -r /usr/include/linux/netfilter o/m/inc && echo same
find o/m/inc | wc -l
tar cf o/m/t.tar -C o/m inc; tar tf o/m/t.tar | wc -l
echo 'int main(void) { return 5; }' > o/m/c.c; (cd o/m && gcc c.c -o c); st=0; o/m/c || st=$?; echo $st
rm -rf o/m/inc; ls o/m; ls -A o/u
umount o/m; wait || true; ls o/m
# The server killed: what was its answers ENOTCONN, and goes by umount.
fuse-overlayfs -f -o lowerdir=o/l,upperdir=o/u,workdir=o/w o/m 2>/dev/null &
until [ -e o/m/n ]; do kill -0 $!; sleep 0.05; done
kill -9 $!; wait || true
cat o/m/n 2>&1 || true
umount o/m; ls o/m; echo done
