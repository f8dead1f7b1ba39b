# As an ordinary user: the same, in a user namespace.
. "$(dirname "$0")/lib.inc"
as_user() { setpriv --reuid=12345 --regid=12345 --clear-groups "$@"; }
here=$PWD; cd /
check "$(as_user "$cvisor" $quiet do -- id -u 2>&1)" 12345 "own uid"
as_user "$cvisor" $quiet do -- sh -c 'exit 3'; check $? 3 "exit status"
check "$(as_user "$cvisor" $quiet do -- sh -c 'echo x > /tmp/f && cat /tmp/f' 2>&1)" x "write in the overlay"
as_user "$cvisor" $quiet do -- cat /etc/shadow > /dev/null 2>&1 && { echo "read /etc/shadow"; fail=1; }
# Owners are the user's own, whoever looks them up; what is the user's alone can be read.
rm -rf $here/own; mkdir -p $here/own/d; echo mine > $here/own/d/f; chmod 600 $here/own/d/f; chmod 700 $here/own/d; chown -R 12345:12345 $here/own
for directfs in on off; do
    check "$(as_user "$cvisor" $quiet --directfs=$directfs do -- sh -c "cd $here/own && cat d/f && stat -c %u:%g d d/f / && cat d/f > f2 && cat f2" 2>&1)" "mine
12345:12345
12345:12345
65534:65534
mine" "own files, directfs $directfs"
done
# Root of a user namespace of one id is such a user, too.
check "$(unshare -Ur "$cvisor" $quiet do -- id -u 2>&1)" 0 "in a nested user namespace"
finish
