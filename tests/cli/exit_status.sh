# Exit status and signals pass through; the environment and the host stay outside.
set -u
cvisor=$1
fail=0
check() { [ "$1" = "$2" ] || { echo "$3: got '$1', want '$2'"; fail=1; }; }
"$cvisor" do -- sh -c 'exit 42'; check $? 42 "exit status"
"$cvisor" do -- sh -c 'kill -TERM $$'; check $? 143 "death by signal"
"$cvisor" do -- true; check $? 0 "true"
SECRET=x "$cvisor" do -- sh -c 'test -z "$SECRET"'; check $? 0 "host environment"
check "$("$cvisor" do --env A=b -- sh -c 'echo $A')" b "--env"
check "$("$cvisor" do --cwd /usr -- pwd)" /usr "--cwd"
check "$("$cvisor" do --uid 1234:77 -- sh -c 'id -u; id -g' | tr '\n' ' ')" "1234 77 " "--uid"
check "$("$cvisor" do -- uname -n)" cvisor "host name"
check "$(echo in | "$cvisor" do -- cat)" in "standard input"
"$cvisor" do -- sh -c 'echo x > /etc/cvisor-test && cat /etc/cvisor-test' >/dev/null; check $? 0 "write in the overlay"
[ ! -e /etc/cvisor-test ] || { echo "the overlay leaked to the host"; fail=1; }
n=$("$cvisor" do -- sh -c 'ls /proc | grep -c "^[0-9]"'); [ "$n" -le 4 ] || { echo "$n processes visible"; fail=1; }
"$cvisor" do -- sleep 100 & pid=$!
sleep 0.5; kill -TERM $pid; wait $pid; check $? 143 "SIGTERM is forwarded"
exit $fail
