# One sentence and the right status for each kind of bad input; nothing left behind.
. "$(dirname "$0")/lib.inc"
expect() { # status pattern flags-and-command...
    local want=$1 pattern=$2; shift 2
    out=$(timeout 20 "$cvisor" $quiet "$@" 2>&1 </dev/null); st=$?
    [ $st = "$want" ] || bad "status $st, want $want: $*: $out"
    [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] || bad "not one line: $*: $out"
    case "$out" in *$pattern*) ;; *) bad "no '$pattern' in: $out" ;; esac
}
expect 127 "no-such-program" do -- no-such-program
expect 127 "/no/such" do -- /no/such
expect 126 "/etc" do -- /etc
expect 126 "/etc/passwd" do -- /etc/passwd
expect 126 "/etc/passwd/x" do -- /etc/passwd/x
expect 125 "/no/root" do --root /no/root -- true
expect 125 "/etc/passwd" do --root /etc/passwd -- true
expect 125 "/no/cwd" do --cwd /no/cwd -- true
expect 125 "/etc/passwd" do --cwd /etc/passwd -- true
expect 125 "/no/dir/log" --log /no/dir/log do -- true
expect 125 "/no/dir/log" --strace-log /no/dir/log do -- true
expect 2 "program" do
expect 2 "nonsense" nonsense
expect 2 "unrecognized" --nonsense
expect 2 "--uid" do --uid x -- true
expect 2 "--uid" do --uid -1 -- true
expect 2 "--env" do --env =x -- true
expect 2 "--cwd" do --cwd etc -- true
expect 2 "--overlay-size" do --overlay-size 12Q -- true
expect 2 "--overlay-size" do --overlay-size -5 -- true
expect 2 "--network" --network=nowhere do -- true
expect 2 "terminal" do -t -- true
expect 127 "''" do -- ''
mkdir empty
expect 127 "true" do --root "$PWD/empty" -- true
mkdir secret && chmod 0 secret
out=$(setpriv --reuid=12345 --regid=12345 --clear-groups "$cvisor" do --root "$PWD/secret" -- true 2>&1); st=$?
check $st 125 "unreadable root"
check "$out" "cvisor: cannot open the root directory '$PWD/secret': Permission denied" "unreadable root"

head -c 100 /bin/true > cut; chmod +x cut
expect 126 "cut" do -- ./cut
head -c 4000 /bin/true | sed 's/\x02\x00\x3e/\x02\x00\x28/' > arm; chmod +x arm
expect 126 "arm" do -- ./arm
printf '#!/no/such/interpreter\n' > script; chmod +x script
expect 127 "script" do -- ./script
printf '#!./loop\n' > loop; chmod +x loop
expect 126 "loop" do -- ./loop
# Corrupt headers: refused or run into a signal, as long as the command says it and is quick.
python3 - <<'END'
import random
random.seed(7)
good = bytearray(open('/bin/true', 'rb').read())
for i in range(24):
    b = bytearray(good)
    for _ in range(1 + i % 4):
        b[random.randrange(16, 64 + 56 * 11)] = random.choice((0, 1, 0x7f, 0x80, 0xff, random.randrange(256)))
    open('fuzz%d' % i, 'wb').write(b)
END
for f in fuzz*; do
    chmod +x $f
    timeout 20 "$cvisor" $quiet do -- ./$f > out 2>&1 < /dev/null; st=$?
    case $st in 124|125) bad "$f: status $st: $(cat out)" ;; esac
    [ $st != 126 ] || [ "$(wc -l < out)" = 1 ] || bad "$f: not one line: $(cat out)"
done
finish
