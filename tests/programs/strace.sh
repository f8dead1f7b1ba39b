# strace -f follows a shell pipeline: who was started, how each ended.
set -eu
printf '%s\n' 'printf "b\na\nc\n" | sort | while read x; do /bin/echo "line $x"; done | wc -l' '(exit 3) || /bin/true' > pipe.sh
strace -f -qq -o log -e trace=execve,exit_group -e signal=none sh pipe.sh
# Processes run side by side: their lines in an order of their own, without numbers that differ.
sed -E -e '/ resumed>/d' -e 's/^[0-9]+ +//; s/0x[0-9a-f]+/P/g; s/\/\* [0-9]+ vars \*\/.*/ENV/; s/ <unfinished.*/)/; s/\) += [0-9?]+$/)/' log | sort
strace -c -o count /bin/true && grep -c execve count
strace -f -e trace=kill -e signal=USR1 -o log sh -c 'trap "echo caught" USR1; kill -USR1 $$'
sed -E 's/^[0-9]+ +//; s/[0-9]{2,}/N/g; s/[0-9]+, SIGUSR1/N, SIGUSR1/; s/si_pid=[0-9]+/si_pid=N/; s/ += / = /' log
