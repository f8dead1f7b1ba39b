# A FUSE server that never answers: who waits for it can be killed (natively not, once it has read the request),
# nobody else notices, and the sandbox ends.
. "$(dirname "$0")/lib.inc"
cat > s.py <<'P'
import ctypes, os, struct
fd = os.open('/dev/fuse', os.O_RDWR)
if ctypes.CDLL(None).mount(b'x', b'm', b'fuse', 0, b'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % fd):
    raise SystemExit('no mount')
unique = struct.unpack('<IIQ', os.read(fd, 1 << 20)[:16])[2]
body = struct.pack('<IIIIHHIIHH', 7, 31, 0, 0, 12, 9, 65536, 1, 32, 0) + bytes(32)
os.write(fd, struct.pack('<IiQ', 16 + len(body), 0, unique) + body)
open('mounted', 'w')
n = 0
while True:
    os.read(fd, 1 << 20)
    n += 1
    if n == 4:
        open('ready', 'w')
P
cat > g.sh <<'G'
mkdir m
python3 s.py & s=$!
pids=
until [ -e mounted ]; do kill -0 $s || exit 1; sleep 0.05; done
for i in 1 2 3 4; do (exec ls m/$i) >/dev/null 2>&1 & pids="$pids $!"; done
for i in 5 6; do (exec mkdir m/$i) >/dev/null 2>&1 & pids="$pids $!"; done
until [ -e ready ]; do kill -0 $s || exit 1; sleep 0.05; done
ps ax | grep -c '[l]s m/'
ls / >/dev/null && wc -l < /proc/mounts >/dev/null && echo others
kill -9 $pids
for p in $pids; do wait $p; echo $?; done
(exec ls m/x) >/dev/null 2>&1 &
exit 5
G
got=$(timeout 60 "$cvisor" $quiet do --cwd "$PWD" -- bash g.sh 2>err)
check $? 5 "status"
check "$(echo $got)" "4 others 137 137 137 137 137 137" "what the guests saw: $(tail -3 err)"
finish
