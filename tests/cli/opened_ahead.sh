# Files that the gofer opens before they are asked for: what the sandbox does to them counts.
# tier: check
. "$(dirname "$0")/lib.inc"
make_files() { rm -rf d; mkdir d; for i in $(seq 100 199); do echo "f$i" > d/f$i; done; mkfifo d/g; ln -s f100 d/h; mkdir d/i; }
rw() { cv do --root / --rw --cwd "$PWD" "$@"; }
# A row of opens, after which those of the next files are here already.
cat > row <<'END'
row() { set -- d/f*; n=0; for f; do read -r x < $f; n=$((n + 1)); [ $n -lt 30 ] || break; done; }
row
END
chmod 644 row; chmod 755 .

make_files
check "$(rw -- sh -c '. ./row; for f in d/f*; do read -r x < $f; [ "d/$x" = $f ] || echo "$f has $x"; done; echo end')" end "each file has its own contents"

cat > changes <<'END'
. ./row
echo written > d/f131; read -r x < d/f131; echo $x
: > d/f132; read -r x < d/f132 || echo empty
rm d/f133; [ -e d/f133 ] || echo gone; read -r x < d/f133 || echo absent
echo again > d/f133; read -r x < d/f133; echo $x
mv d/f134 d/f135; read -r x < d/f135; echo $x; read -r x < d/f134 || echo moved
ln d/f136 d/l; rm d/f136; read -r x < d/l; echo $x
rm d/f137; mkdir d/f137; read -r x < d/f137 || echo directory
echo more >> d/f138; cat d/f138
rm d/f13[9] && mkfifo d/f139 && { echo through > d/f139 & } && cat d/f139; wait
END
check "$(rw -- sh changes 2>/dev/null | tr '\n' ' ')" "written empty gone absent again f134 moved f136 directory f138 more through " "changes"
check "$(cat d/f131 d/f135 | tr '\n' ' ') $(ls d/f134 2>/dev/null)" "written f134  " "changes on the host"

# The gofer can open what a program may not.
make_files
chmod 600 d/f131 d/f140; chmod 0 d/f133
for f in 131 133 140; do
    check "$(rw --uid 65534 -- sh -c ". ./row; read -r x < d/f$f && echo \$x" 2>/dev/null)" "" "f$f is not for others"
done
check "$(rw --uid 65534 -- sh -c '. ./row; for f in d/f*; do read -r x < $f && echo $x; done' 2>/dev/null | wc -l)" 97 "all others are"
check "$(rw -- sh -c '. ./row; chmod 600 d/f135; chmod 700 d; exec setpriv --reuid 65534 --clear-groups cat d/f136' 2>&1 | grep -c 'Permission denied')" 1 "a directory that was closed"

# A file that has lost its last name holds no space, whoever had it opened.
make_files
mkfifo end; exec 3<>end
"$cvisor" $quiet do --root / --rw --cwd "$PWD" -- sh -c '. ./row; rm d/f1*; echo up > up; read -r x' <&3 & pid=$!
await up
sentry=$(helper $pid sentry)
[ -n "$sentry" ] || bad "no sentry"
held() { ls -l /proc/$sentry/fd 2>/dev/null | grep -E '/f1[0-9][0-9] \(deleted\)'; }
for i in $(seq 100); do held > held || break; sleep 0.1; done
[ -s held ] && bad "held open: $(cat held)"
[ "$(ls /proc/$sentry/fd | wc -l)" -lt 200 ] || bad "many descriptors"
echo x >&3; wait $pid; exec 3>&-

# Who else may change the tree sees nothing of it.
make_files; rm -f up go seen
"$cvisor" $quiet --file-access shared do --root / --rw --cwd "$PWD" -- sh -c '. ./row; echo up > up; while [ ! -e go ]; do sleep 0.1; done; cat d/f131 d/f132 > seen 2>&1; { read -r x < d/f133; } 2>/dev/null || echo absent >> seen' & pid=$!
await up
echo other > d/new; mv d/new d/f131; echo longer than before > d/f132; rm d/f133; echo x > go
wait $pid
check "$(tr '\n' ' ' < seen)" "other longer than before absent " "shared"
finish
