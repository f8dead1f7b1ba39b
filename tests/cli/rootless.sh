# As an ordinary user: the same, in a user namespace.
. "$(dirname "$0")/lib.inc"
as_user() { setpriv --reuid=12345 --regid=12345 --clear-groups "$@"; }
cd /
check "$(as_user "$cvisor" $quiet do -- id -u 2>&1)" 12345 "own uid"
as_user "$cvisor" $quiet do -- sh -c 'exit 3'; check $? 3 "exit status"
check "$(as_user "$cvisor" $quiet do -- sh -c 'echo x > /tmp/f && cat /tmp/f' 2>&1)" x "write in the overlay"
as_user "$cvisor" $quiet do -- cat /etc/shadow > /dev/null 2>&1 && { echo "read /etc/shadow"; fail=1; }
# Root of a user namespace of one id is such a user, too.
check "$(unshare -Ur "$cvisor" $quiet do -- id -u 2>&1)" 0 "in a nested user namespace"
finish
