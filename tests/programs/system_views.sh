# compare: status
# What ps, top and kin show has the shape that it has elsewhere. The script checks the shapes itself.
set -u
fail=0
like() { # name pattern command...: some line of the output matches
    local name=$1 pat=$2 out; shift 2
    out=$("$@" 2>&1) || { echo "$name: status $?: $out" | head -5; fail=1; return; }
    printf '%s\n' "$out" | grep -Eq -- "$pat" || { echo "$name: nothing like '$pat' in:"; printf '%s\n' "$out" | head -8; fail=1; }
}
exec 9< /etc/passwd
like 'ps header' '^ *PID +PPID .*CMD' ps -eo pid,ppid,user,stat,tty,time,vsz,rss,cmd
like 'ps self' ' ps -eo ' ps -eo pid,ppid,user,stat,tty,time,vsz,rss,cmd
like 'ps stat' '^ *[0-9]+ +[RSD]' ps -eo pid,stat
like 'ps aux' '^USER +PID +%CPU +%MEM' ps aux
like 'ps threads' '^ *[0-9]+ +[0-9]+ ' ps -eLo pid,lwp,wchan
like top 'Tasks: +[0-9]+ total' top -b -n 1
like 'top cpu' '^%Cpu\(s\): *[0-9.]+ us' top -b -n 1
like 'top mem' 'iB Mem : +[0-9.]+ total' top -b -n 1
like free '^Mem: +[1-9][0-9]*( +[0-9]+){5}' free
like vmstat '^ *[0-9]+( +[0-9]+){16}' vmstat
like uptime 'load average: [0-9.]+, [0-9.]+' uptime
like 'df root' ' [0-9]+% /$' df /
like 'df inodes' '^Filesystem +Inodes' df -i /
like mount ' on / type ' mount
like 'mount proc' ' on /proc type proc ' mount
like findmnt '^/ ' findmnt -n -l -o TARGET,FSTYPE
like 'findmnt tree' '/proc' findmnt
like lsof "^[a-z]+ +$$ .* 9r .* REG .* /etc/passwd" lsof -p $$
like 'lsof cwd' ' cwd +DIR ' lsof -p $$
like ss '^Netid +State' ss -a
like pmap 'total +[0-9]+K' pmap $$
like 'pmap x' '\[ stack \]|\[stack\]' pmap -x $$
like pgrep '^[0-9]+$' pgrep -n .
like nproc '^[1-9]' nproc
like lscpu '^CPU\(s\): +[1-9]' lscpu
like pidof '^[0-9]' pidof bash
like tty 'not a tty' sh -c 'tty < /dev/null; true'
like 'stat fs' 'Type: ' stat -f /
like lsns 'mnt' lsns
like prlimit 'NOFILE' prlimit
like pstree 'bash' ps axjf
like w 'USER +TTY' w
exit $fail
