# Much work of every kind in one sandbox: what the sentry holds afterwards does not grow from round to round.
# ENDURANCE_SECONDS: how long each kind lasts in the first round (2).
# tier: test
# timeout: 600
. "$(dirname "$0")/lib.inc"
command -v stress-ng > /dev/null || { echo "stress-ng is not here"; exit 77; }
kinds="cpu vm fork futex signal sigq timer pipe clone mmap sem sem-sysv msg mq shm shm-sysv switch pthread"
mkfifo orders answers || exit 1
cv do --cwd "$PWD" -- bash -c 'while read -r kind s; do
    timeout $((s + 60)) stress-ng --$kind 2 -t ${s}s > log 2>&1 || { echo "$kind: status $?"; tail -5 log; } >&2
    echo done
done' < orders > answers & pid=$!
exec 3> orders 4< answers
order() { # kind seconds
    echo "$1 $2" >&3
    read -r -t $(($2 + 90)) answer <&4 && [ "$answer" = done ] || { bad "$1: no answer"; finish; }
}
# Of the sentry: private memory (KiB), threads, descriptors, stubs.
held() {
    echo $(awk '/^Anonymous:/ { print $2 }' /proc/$sentry/smaps_rollup) $(ls /proc/$sentry/task | wc -l) \
        $(ls /proc/$sentry/fd | wc -l) $(cat /proc/$sentry/task/*/children | wc -w)
}
order cpu 1
sentry=$(for p in $(ours); do case "$(tr '\0' ' ' < /proc/$p/cmdline)" in "cvisor sentry"*) echo $p ;; esac; done)
round() { for kind in $kinds; do order $kind $1; done; }
round ${ENDURANCE_SECONDS:-2}
before=$(held)
round 2
after=$(held)
set -- $before $after
# What one round more may hold: caches, idle threads; a leak for each process or object is far more.
[ "$5" -le $(($1 + 4096)) ] || bad "memory grows: $before, then $after"
[ "$6" -le $(($2 + 8)) ] || bad "threads are left: $before, then $after"
[ "$7" -le $(($3 + 16)) ] || bad "descriptors are left: $before, then $after"
[ "$8" -le $(($4 + 4)) ] || bad "stubs are left: $before, then $after"
exec 3>&-
wait $pid; check $? 0 "status of the sandbox"
[ "${ENDURANCE_SECONDS:-}" ] && echo "$before, then $after"
finish
