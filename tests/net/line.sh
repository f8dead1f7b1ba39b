#!/bin/sh
# tier: test
# timeout: 500
# Over a bad line every byte is right. Linux's own time over the same line is printed beside ours.
. "$(dirname "$0")/lib.inc"
here=$(dirname "$0")
size=${SIZE:-3000000}
run() { # label, options of the line
    label=$1
    shift
    line "$@"
    there /usr/bin/python3 "$here/xfer.py" serve 7000 & server=$!
    pids="$pids $server"
    listening 7000
    for what in put get; do
        native=$(ip netns exec $a timeout 100 /usr/bin/python3 "$here/xfer.py" $what 10.9.0.2 7000 $size 3) || native=failed
        echo "$label: $what of $size bytes: Linux $native ms"
    done
    T=200 sandbox sh -c "for what in put get; do echo \"$label: \$what of $size bytes: cVisor \$(/usr/bin/python3 $here/xfer.py \$what 10.9.0.2 7000 $size 3) ms\"; done" > out.txt 2>&1
    cat out.txt
    [ "$(grep -c 'cVisor [0-9][0-9]* ms' out.txt)" = 2 ] || bad "$label"
    kill $server $relay_pid 2>/dev/null
    wait $server $relay_pid 2>/dev/null
}
run "clean" delay=100
run "loss 1 %" loss=10 delay=1000
run "loss 5 %" loss=50 delay=1000
run "delay 20 ms" delay=10000
run "delay 100 ms, loss 1 %" delay=50000 loss=10
run "reorder 25 %" reorder=250 delay=1000
run "duplicates 5 %" dup=50 delay=1000
run "corruption 1 %" corrupt=10 delay=1000
finish
