# A bash pipeline over /usr: find, sort, awk, xargs, sha256sum.
set -eu
find /usr/share/common-licenses /usr/include/linux -type f | sort | sed -n 1,200p | xargs sha256sum | awk '{print substr($1,1,16), $2}'
find /usr/bin -maxdepth 1 -type f -name 'b*' | sort | xargs -n 4 stat -c '%s %a %n' | sort
seq 1 20000 | awk '{s+=$1} END {print s}'
