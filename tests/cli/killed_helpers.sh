# The gofer or the sentry is killed: one sentence, the right status, nothing left.
set -u
cvisor=$1
fail=0
for victim in sentry gofer; do
    timeout 20 "$cvisor" do -- sh -c 'while :; do cat /usr/share/common-licenses/GPL-3 >/dev/null || exit 9; ls -R /usr/share/doc >/dev/null 2>&1 || exit 9; done' 2> err & pid=$!
    sleep 0.7
    inner=$(pgrep -P "$(pgrep -P $pid -f 'cvisor do' | head -1)" -f "cvisor $victim" || pgrep -f "^cvisor $victim" | head -1)
    kill -KILL $inner
    wait $pid; st=$?
    if [ $victim = sentry ]; then
        [ $st = 125 ] || { echo "sentry killed: status $st"; fail=1; }
        [ "$(wc -l < err)" = 1 ] || { echo "not one line:"; cat err; fail=1; }
    else
        [ $st != 0 ] && [ $st != 124 ] || { echo "gofer killed: status $st"; fail=1; }
    fi
done
sleep 0.3
left=$(pgrep -f '^cvisor (sentry|gofer)' | wc -l)
[ "$left" = 0 ] || { echo "$left helper processes left"; fail=1; }
exit $fail
