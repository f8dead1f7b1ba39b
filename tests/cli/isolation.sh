# Nothing of the host is visible inside, and the helpers hold nothing that they do not need.
. "$(dirname "$0")/lib.inc"
CANARY=secret-of-the-host "$cvisor" $quiet do -- bash -c '
echo "pids $(cd /proc && echo [0-9]*)"
echo "self $$ $(ps -e -o pid= | wc -l)"
echo "node $(uname -n) $(cat /proc/sys/kernel/hostname)"
echo "env $(cat /proc/self/environ | tr "\0" "\n" | cut -d= -f1 | sort | tr "\n" " ")"
echo "mounts $(cut -d" " -f2 /proc/self/mounts | sort | tr "\n" " ")"
echo "nets $(ls /sys/class/net 2>/dev/null | tr "\n" " ")"
echo "dev $(ls /dev | tr "\n" " ")"
echo "sys $(ls /sys | tr "\n" " ")"
echo "modules $(wc -l < /proc/modules 2>/dev/null)"
for f in /proc/kcore /proc/kallsyms /proc/sysrq-trigger /proc/1/root/proc/kcore /sys/kernel/debug /sys/firmware /dev/mem /dev/kmsg /dev/sda /dev/kvm /dev/fuse; do
    if [ -d $f ]; then [ -z "$(ls -A $f)" ] || echo "present $f"
    elif [ -e $f ]; then [ -z "$(head -c 64 $f | tr -d "\0")" ] || echo "present $f"; fi
done
echo "boot $(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
echo "version $(cut -c1-30 /proc/version)"
echo done' > in.txt 2> err.txt < /dev/null || bad "the inner part failed: $(cat err.txt)"
line() { sed -n "s/^$1 //p" in.txt; }
grep -q '^done$' in.txt || bad "the inner part did not end: $(cat in.txt err.txt)"
for p in $(line pids); do [ "$p" -lt 100 ] || bad "a pid of the host in /proc: $p"; done
check "$(line self | cut -d' ' -f1)" 1 "pid of the first process"
check "$(line node)" "cvisor cvisor" "host name"
for v in $(line env); do
    case $v in PATH|HOME|TERM|_|PWD|SHLVL|OLDPWD) ;; *) bad "environment: $v" ;; esac
done
check "$(line mounts)" "/ /dev /dev/mqueue /dev/pts /dev/shm /proc /sys " "mounts"
case "$(line nets)" in ""|"lo ") ;; *) bad "network devices: $(line nets)" ;; esac
for d in $(line dev); do
    case $d in
    console|core|fd|full|fuse|mqueue|net|null|ptmx|pts|random|shm|stderr|stdin|stdout|tty|urandom|zero) ;;
    *) bad "a device: /dev/$d" ;;
    esac
done
for d in $(line sys); do
    case $d in block|bus|class|dev|devices|firmware|fs|hypervisor|kernel|module|power) ;; *) bad "in /sys: $d" ;; esac
done
case "$(line modules)" in ""|0) ;; *) bad "the host's modules: $(line modules)" ;; esac
for f in $(line present); do
    bad "not empty: $f"
done
[ "$(line boot)" != "$(cat /proc/sys/kernel/random/boot_id)" ] || bad "the host's boot_id"
[ "$(line version)" != "$(cut -c1-30 /proc/version)" ] || bad "the host's /proc/version"

# From outside.
field() { sed -n "s/^$2:[[:space:]]*//p" /proc/$1/status; }
helpers() { # a word for messages, capabilities that the gofer may have
    sentry=$(helper $pid sentry) gofer=$(helper $pid gofer)
    [ -n "$sentry" ] && [ -n "$gofer" ] || { bad "$1: no sentry ('$sentry') or gofer ('$gofer')"; return; }
    for ns in pid net mnt ipc uts user; do
        [ "$(readlink /proc/$sentry/ns/$ns)" != "$(readlink /proc/self/ns/$ns)" ] || bad "$1: the sentry is in the host's $ns namespace"
    done
    for ns in pid mnt ipc uts; do
        [ "$(readlink /proc/$gofer/ns/$ns)" != "$(readlink /proc/self/ns/$ns)" ] || bad "$1: the gofer is in the host's $ns namespace"
        [ "$(readlink /proc/$gofer/ns/$ns)" != "$(readlink /proc/$sentry/ns/$ns)" ] || bad "$1: the gofer and the sentry share a $ns namespace"
    done
    for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        check "$(field $sentry $set)" 0000000000000000 "$1: $set of the sentry"
    done
    for set in CapInh CapAmb; do
        check "$(field $gofer $set)" 0000000000000000 "$1: $set of the gofer"
    done
    check "$(field $gofer CapEff)" "$2" "$1: capabilities of the gofer"
    check "$(field $gofer CapPrm)" "$2" "$1: capabilities of the gofer"
    check "$(field $sentry NoNewPrivs)" 1 "$1: no_new_privs of the sentry"
    check "$(ls -A /proc/$sentry/root/)" "" "$1: root of the sentry"
    check "$(ls -A /proc/$gofer/root/)" "" "$1: root of the gofer"
    check "$(tr -d '\0' < /proc/$sentry/environ)$(tr -d '\0' < /proc/$gofer/environ)" "" "$1: environment of the helpers"
    touch /proc/$sentry/root/x 2>/dev/null && bad "$1: the sentry's root can be written"
    if [ $is_confined = 1 ]; then
        check "$(field $gofer NoNewPrivs)" 1 "$1: no_new_privs of the gofer"
        for p in $sentry $gofer $(cat /proc/$sentry/task/*/children); do
            check "$(field $p Seccomp)" 2 "$1: seccomp of $(cat /proc/$p/comm)"
        done
    fi
    for p in $(cat /proc/$sentry/task/*/children); do
        check "$(field $p CapEff)" 0000000000000000 "$1: capabilities of a stub"
        check "$(readlink /proc/$p/ns/pid)" "$(readlink /proc/$sentry/ns/pid)" "$1: pid namespace of a stub"
    done
}
start() {
    rm -f up
    "$@" "$cvisor" $quiet do -- sh -c 'echo up; exec sleep 100' > up < /dev/null & pid=$!
    await up
}
end() { kill -TERM $pid; wait $pid 2>/dev/null; }
start env
helpers "as root" 0000000000000004
[ "$(field $(helper $pid sentry) Uid | cut -f1)" != 0 ] || bad "the sentry is root on the host"
end
start setpriv --reuid=12345 --regid=12345 --clear-groups
helpers "as a user" 0000000000000000
end
finish
