# One sentence and the right status for each kind of bad input; nothing left behind.
set -u
cvisor=$1
fail=0
expect() { # status pattern command...
    local want=$1 pattern=$2; shift 2
    out=$(timeout 20 "$@" 2>&1 </dev/null); st=$?
    if [ $st != "$want" ]; then echo "status $st, want $want: $*: $out"; fail=1; fi
    if [ "$(printf '%s\n' "$out" | wc -l)" != 1 ]; then echo "not one line: $*: $out"; fail=1; fi
    case "$out" in *$pattern*) ;; *) echo "no '$pattern' in: $out"; fail=1 ;; esac
}
before=$(pgrep -c cvisor || true)
expect 127 "no-such-program" "$cvisor" do -- no-such-program
expect 127 "/no/such" "$cvisor" do -- /no/such
expect 126 "/etc" "$cvisor" do -- /etc
expect 126 "/etc/passwd" "$cvisor" do -- /etc/passwd
expect 125 "/no/root" "$cvisor" do --root /no/root -- true
expect 125 "/etc/passwd" "$cvisor" do --root /etc/passwd -- true
expect 125 "/no/cwd" "$cvisor" do --cwd /no/cwd -- true
expect 2 "program" "$cvisor" do
expect 2 "nonsense" "$cvisor" nonsense
expect 2 "unrecognized" "$cvisor" --nonsense
expect 2 "--uid" "$cvisor" do --uid x -- true
expect 2 "--network" "$cvisor" --network=host do -- true
head -c 100 /bin/true > cut; chmod +x cut
expect 126 "cut" "$cvisor" do -- ./cut
head -c 4000 /bin/true | sed 's/\x02\x00\x3e/\x02\x00\x28/' > arm; chmod +x arm
expect 126 "arm" "$cvisor" do -- ./arm
printf '#!/no/such/interpreter\n' > script; chmod +x script
expect 127 "script" "$cvisor" do -- ./script
sleep 0.3
after=$(pgrep -c cvisor || true)
[ "$before" = "$after" ] || { echo "processes left: $before before, $after after"; fail=1; }
exit $fail
