# The gofer, the sentry or the command is killed: one sentence, the right status, nothing left.
. "$(dirname "$0")/lib.inc"
for victim in sentry gofer; do
    rm -f err out
    timeout 20 "$cvisor" $quiet do -- sh -c 'echo up; while :; do cat /usr/share/common-licenses/GPL-3 >/dev/null || exit 9; ls -R /usr/share/doc >/dev/null 2>&1 || exit 9; done' > out 2> err &
    pid=$!
    await out
    kill -KILL $(helper $(cat /proc/$pid/task/*/children) $victim)
    wait $pid; st=$?
    if [ $victim = sentry ]; then
        check $st 125 "status after the sentry was killed"
        [ "$(wc -l < err)" = 1 ] || bad "not one line: $(cat err)"
    else
        [ $st != 0 ] && [ $st != 124 ] || bad "gofer killed: status $st"
    fi
done
# A stopped helper does not keep the command from ending.
rm -f out
"$cvisor" $quiet do -- sh -c 'echo up; exec sleep 100' > out & pid=$!
await out
kill -STOP $(helper $pid gofer)
kill -TERM $pid; wait $pid; check $? 143 "SIGTERM with a stopped gofer"
# The command itself is killed: the sandbox goes with it.
rm -f out
"$cvisor" $quiet do -- sh -c 'sleep 100 & sleep 101 & echo up; wait' > out & pid=$!
await out
[ $(ours | wc -l) -ge 3 ] || bad "the sandbox's processes were not found"
kill -KILL $pid; wait $pid 2>/dev/null
finish
