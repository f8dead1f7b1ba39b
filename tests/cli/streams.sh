# Standard streams, signals, long argument lists, roots, and kernels that lack something.
# timeout: 180
. "$(dirname "$0")/lib.inc"
# Streams
check "$(cv do -- sh -c 'ls /proc/self/fd' 0<&- | head -1)" 0 "closed standard input: ls has its directory there"
check "$(cv do -- sh -c '[ -e /proc/$$/fd/0 ] || echo closed' 0<&-)" closed "closed standard input"
cv do -- sh -c '[ -e /proc/$$/fd/2 ] && exit 1; exit 0' 2>&- ; check $? 0 "closed standard error"
cv do -- sh -c 'exit 5' <&- >&- 2>&-; check $? 5 "all closed"
cv do -- yes | head -1 > out; check "${PIPESTATUS[0]} $(cat out)" "141 y" "a closed pipe"
check "$(head -c 50000000 /dev/zero | cv do -- wc -c)" 50000000 "large input"
check "$(cv do -- head -c 50000000 /dev/zero | wc -c)" 50000000 "large output"
printf 'one\ntwo\n' > lines
check "$({ cv do -- head -c 4 > /dev/null; cat; } < lines)" two "the position of a file is shared"
# cat copies between regular files with copy_file_range, which keeps to the host's positions, too.
{ cv do -- sh -c 'echo first; cat lines; echo last'; cv do -- sh -c 'head -c 4 > /dev/null; exec cat' < lines; echo end; } > out
check "$(tr '\n' ' ' < out)" "first one two last two end " "the positions of files are shared with copy_file_range"
cv do -- sh -c 'echo more' >> lines; check "$(tail -1 lines)" more "appending"
check "$(cv do -- sh -c 'echo out; echo err >&2' 2> /dev/null)" out "standard error apart"
# 1 MB of arguments
check "$(cv do -- /bin/echo $(seq -f %0100.0f 1 10000) | md5sum)" "$(seq -f %0100.0f 1 10000 | tr '\n' ' ' | sed 's/ $/\n/' | md5sum)" "a long argument list"
check "$(cv do --env A="$(head -c 100000 /dev/zero | tr '\0' x)" -- sh -c 'echo ${#A}')" 100000 "a long variable"
# Signals
for sig in TERM:143 INT:130 HUP:129 USR1:138 QUIT:131; do
    rm -f up
    # Not `cmd &` of sh alone, which has SIGINT and SIGQUIT ignored.
    env --default-signal=INT,QUIT "$cvisor" $quiet do -- sh -c 'echo up; exec sleep 100' > up & pid=$!
    await up; kill -${sig%:*} $pid; wait $pid 2>/dev/null; check $? ${sig#*:} "SIG${sig%:*} forwarded"
done
rm -f up
"$cvisor" $quiet do -- bash -c 'trap "echo got; exit 9" TERM; echo up; while :; do sleep 0.1; done' > up & pid=$!
await up; kill -TERM $pid; wait $pid; check "$? $(tail -1 up)" "9 got" "a handler runs"
rm -f up
nohup "$cvisor" $quiet do -- sh -c 'echo up; sleep 1; exit 4' > up 2>/dev/null & pid=$!
await up; kill -HUP $pid; wait $pid; check $? 4 "an ignored SIGHUP stays ignored"
# Roots
mkdir plain; echo old > plain/f
cv do --root / --rw --cwd "$PWD/plain" -- sh -c 'echo new > f; mkdir d; ln -s f l' ; check "$? $(cat plain/f) $(readlink plain/l) $(ls -d plain/d)" "0 new f plain/d" "--rw writes"
if [ -x /bin/busybox ]; then
    mkdir -p root/bin && cp /bin/busybox root/bin/ && ln -s busybox root/bin/sh
    if busybox 2>&1 | head -1 | grep -q BusyBox && ! ldd /bin/busybox > /dev/null 2>&1; then
        check "$(cv do --root "$PWD/root" -- sh -c 'busybox ls / | busybox tr "\n" " "; busybox test -c /dev/null && busybox cat /proc/self/comm')" "bin dev proc sys busybox" "a root without mount points"
        check "$(ls root)" bin "mount points stay in the overlay"
    fi
fi
# Kernels that lack something: one sentence that names it
one_line() { # pattern command...
    local pattern=$1; shift
    out=$(timeout 20 "$@" 2>&1 < /dev/null); st=$?
    check $st 125 "status of: $*"
    case "$out" in "cvisor: "*$pattern*) ;; *) bad "no '$pattern' in: $out" ;; esac
    [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] || bad "not one line: $out"
}
if unshare -Ur true 2>/dev/null; then
    one_line "user.max_user_namespaces" unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_user_namespaces; "$@"' - "$cvisor" do -- true
fi
one_line "/proc" unshare -m sh -c 'umount -l /proc; exec "$@"' - "$cvisor" do -- true
finish
