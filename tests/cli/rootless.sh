# As an ordinary user: the same, in a user namespace.
set -u
cvisor=$1
fail=0
check() { [ "$1" = "$2" ] || { echo "$3: got '$1', want '$2'"; fail=1; }; }
cp "$cvisor" ./cvisor && chmod 755 . ./cvisor
as_user() { setpriv --reuid=12345 --regid=12345 --clear-groups "$@"; }
cd /
check "$(as_user "$OLDPWD/cvisor" do -- id -u 2>&1)" 12345 "own uid"
as_user "$OLDPWD/cvisor" do -- sh -c 'exit 3'; check $? 3 "exit status"
check "$(as_user "$OLDPWD/cvisor" do -- sh -c 'echo x > /tmp/f && cat /tmp/f' 2>&1)" x "write in the overlay"
as_user "$OLDPWD/cvisor" do -- cat /etc/shadow > /dev/null 2>&1 && { echo "read /etc/shadow"; fail=1; }
exit $fail
