# Exit status and signals pass through; the environment and the host stay outside.
. "$(dirname "$0")/lib.inc"
cv do -- sh -c 'exit 42'; check $? 42 "exit status"
cv do -- sh -c 'kill -TERM $$' 2>/dev/null; check $? 143 "death by signal"
cv do -- true; check $? 0 "true"
SECRET=x cv do -- sh -c 'test -z "$SECRET"'; check $? 0 "host environment"
check "$(cv do --env A=b -- sh -c 'echo $A')" b "--env"
check "$(cv do --cwd /usr -- pwd)" /usr "--cwd"
check "$(cv do --uid 1234:77 -- sh -c 'id -u; id -g' | tr '\n' ' ')" "1234 77 " "--uid"
check "$(cv do -- uname -n)" cvisor "host name"
check "$(echo in | cv do -- cat)" in "standard input"
cv do -- sh -c 'echo x > /etc/cvisor-test && cat /etc/cvisor-test' >/dev/null; check $? 0 "write in the overlay"
[ ! -e /etc/cvisor-test ] || { echo "the overlay leaked to the host"; fail=1; }
n=$(cv do -- sh -c 'ls /proc | grep -c "^[0-9]"'); [ "$n" -le 4 ] || { echo "$n processes visible"; fail=1; }
"$cvisor" $quiet do -- sleep 100 & pid=$!
sleep 0.5; kill -TERM $pid; wait $pid; check $? 143 "SIGTERM is forwarded"
finish
