# The gofer is killed while a program writes: from then on files cannot be opened (EIO) and the program
# can say so; what was synced is there; nothing is left.
. "$(dirname "$0")/lib.inc"
mkdir w
cat > w.py <<'P'
import errno, os, sys
held = os.open('w/held', os.O_CREAT | os.O_WRONLY)
n = 0
while True:
    try:
        os.write(held, b'%08d' % n)
        os.fsync(held)
        fd = os.open('w/tmp', os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.write(fd, b'record %d\n' % n * 1000)
        os.fsync(fd)
        os.close(fd)
        os.rename('w/tmp', 'w/r%d' % n)
        dir = os.open('w', os.O_RDONLY)
        os.fsync(dir)
        os.close(dir)
        n += 1
        print(n, flush=True)
    except OSError as e:
        print(errno.errorcode[e.errno], flush=True)
        # What is open needs no gofer; a name does.
        os.write(held, b'last')
        os.fsync(held)
        try:
            os.listdir('w')
            os.mkdir('w/d')
        except OSError as e:
            print(errno.errorcode[e.errno], n)
        sys.exit(9)
P
timeout 60 "$cvisor" $quiet do --rw --cwd "$PWD" -- python3 w.py > out 2> err &
pid=$!
await out
kill -KILL $(helper $(cat /proc/$pid/task/*/children) gofer)
wait $pid; check $? 9 "status"
set -- $(tail -2 out)
check "$1 $2" "EIO EIO" "what the program met"
n=${3:-0}
[ "$n" -ge 1 ] || bad "nothing was written"
for i in $(seq 0 $((n - 1))); do
    [ "$(wc -l < w/r$i)" = 1000 ] && [ "$(sort -u w/r$i)" = "record $i" ] || { bad "r$i is not whole"; break; }
done
check "$(tail -c 4 w/held)" "last" "what was written through an open file"
[ "$(wc -l < err)" = 1 ] && grep -q "its files are gone (EIO)" err || bad "not one sentence: $(cat err)"
# A container: its root and its mounts are the gofer's; the attendant reports the program's end.
. "$(dirname "$0")/oci.inc"
make_bundle '["sh", "-c", "i=0; while echo $i > /tmp/f; do i=$((i + 1)); cat /tmp/f > /dev/null; done; exit 7"]'
oci run --bundle "$bundle" c > out2 2>&1 </dev/null & pid=$!
await_status c running
await "$bundle/rootfs/tmp/f"
kill -KILL $(helper "$(field c pid)" gofer)
wait $pid; check $? 7 "a container's status"
end_containers
