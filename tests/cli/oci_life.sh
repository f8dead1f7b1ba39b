# A container's life: create, start, exec, pause, kill, delete; wrong states; who waits for its pid.
# timeout: 120
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
make_bundle '["sh", "-c", "echo hello; hostname; exit 5"]'
check "$(oci run -b "$bundle" c0 </dev/null)" "hello
box" "output of run"
oci run --bundle "$bundle" c0 >/dev/null </dev/null; check $? 5 "status of run"

make_bundle '["sh", "-c", "trap \"echo term; exit 7\" TERM; echo up; while :; do sleep 0.1; done"]'
oci create --bundle "$bundle" --pid-file pid c1 >out 2>err </dev/null; check $? 0 "status of create"
check "$(cat pid)" "$(field c1 pid)" "the pid file's pid"
check "$(field c1 status)" created "status after create"
check "$(cat out)" "" "what a created container has said"
check "$(oci create -b "$bundle" c1 2>&1 | sed 's/.*msg=//')" '"container with given ID already exists"' "a second create"
oci exec c1 true 2>/dev/null; check $? 255 "exec before start"
oci start c1; check $? 0 "status of start"
await out
check "$(field c1 status)" running "status after start"
check "$(oci start c1 2>&1 | sed 's/.*msg=//')" '"cannot start an already running container"' "a second start"
check "$(oci exec c1 sh -c 'echo in; exit 3')" in "output of exec"
oci exec c1 sh -c 'exit 3'; check $? 3 "status of exec"
oci exec c1 sh -c 'kill -9 $$'; check $? 137 "status of an exec that was killed"
check "$(echo x | oci exec -e A=b --cwd /tmp -u 5:6 -g 7 c1 sh -c 'cat; echo $A; pwd; id -u; id -g; id -G')" "x
b
/tmp
5
6
6 7" "exec with flags"
oci exec c1 nothing-like-it 2>err; check $? 255 "exec of what is not there"
grep -q "executable file not found in" err || bad "exec of what is not there: $(cat err)"
oci exec -d --pid-file epid c1 sh -c 'sleep 0.3; echo done > /tmp/mark'; check $? 0 "detached exec"
[ -d /proc/$(cat epid) ] || bad "the detached exec's pid is no process"
for i in 1 2 3 4 5 6 7 8 9 10; do [ -s "$bundle/rootfs/tmp/mark" ] && break; sleep 0.1; done
check "$(cat "$bundle/rootfs/tmp/mark")" done "what the detached exec wrote"
oci ps c1 | grep -q ' sh$' || bad "ps shows no sh: $(oci ps c1)"
oci ps --format json c1 | grep -q "^\[$(oci state c1 | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')[],]" || bad "ps --format json: $(oci ps --format json c1)"
# What the host's ps says of its processes: the programs' command lines.
oci exec -d c1 sh -c 'sleep 4321 & exec sleep 4322'; check $? 0 "an exec to look for"
args_of() { for p in $(oci ps --format json c1 | tr -d '[]' | tr , ' '); do tr "\0" "|" 2>/dev/null < /proc/$p/cmdline; echo; done 2>/dev/null; }
for i in $(seq 100); do [ "$(args_of | grep -c '^sleep 43')" = 2 ] && break; sleep 0.1; done
check "$(args_of | grep "^sleep 43" | sort)" "sleep 4321|
sleep 4322|" "command lines on the host"
oci pause c1; check $? 0 pause
check "$(field c1 status)" paused "status after pause"
oci exec c1 true 2>err; check $? 255 "exec in a paused container"
oci pause c1 2>/dev/null; check $? 1 "a second pause"
oci kill c1 TERM; sleep 0.5
check "$(cat out)" up "a paused container takes no signal"
oci resume c1; check $? 0 resume
await_status c1 stopped
check "$(cat out)" "up
term" "the signal came with resume"
oci kill c1 2>err; check $? 1 "kill of a stopped container"
grep -q "container not running" err || bad "kill of a stopped container: $(cat err)"
oci kill --all c1 KILL; check $? 0 "kill --all of a stopped container"
oci exec c1 true 2>err; grep -q "cannot exec in a stopped container" err || bad "exec after the end: $(cat err)"
oci start c1 2>err; grep -q "cannot start a container that has stopped" err || bad "start after the end: $(cat err)"
oci delete c1; check $? 0 delete
oci state c1 2>err; check $? 1 "state of what was deleted"
grep -q "container does not exist" err || bad "state of what was deleted: $(cat err)"
oci delete c1 2>/dev/null; check $? 1 "delete of what was deleted"
oci delete --force c1; check $? 0 "delete --force of what was deleted"

# A program that is not there is an error of create; the JSON log has the sentence.
make_bundle '["no-such-program"]'
oci --log log --log-format json create -b "$bundle" c2 2>err; check $? 1 "create without a program"
grep -q '"level":"error","msg":"cannot run .no-such-program.: executable file not found in \$PATH"' log ||
    bad "the log: $(cat log)"
oci create -b "$bundle" ../c2 2>err; grep -q "invalid container ID format" err || bad "a bad id: $(cat err)"

# pid 1 takes no signal that it has no handler for, but KILL.
make_bundle '["sleep", "1000"]'
oci run -d -b "$bundle" --pid-file pid c3 </dev/null >/dev/null 2>&1
check "$(field c3 status)" running "run -d"
oci kill c3 TERM; sleep 0.3
check "$(field c3 status)" running "pid 1 without a handler after TERM"
oci delete c3 2>err; grep -q "cannot delete container c3 that is not stopped: running" err || bad "delete of a running one: $(cat err)"
oci kill c3 9; await_status c3 stopped
check "$(field c3 pid)" 0 "pid of a stopped container"
oci delete c3
oci run -d -b "$bundle" c3 </dev/null >/dev/null 2>&1
oci delete -f c3; check $? 0 "delete --force of a running container"

# Who is the subreaper sees the program's end: its status, or its signal.
cat >reap.py <<'END'
import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
cmd, bundle = sys.argv[1].split(), sys.argv[2]


def run(*args):
    subprocess.run(cmd + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def await_up():
    """pid 1 has its handler: until then a signal would be lost."""
    while not os.path.exists(bundle + '/rootfs/tmp/up'):
        time.sleep(0.05)
    os.unlink(bundle + '/rootfs/tmp/up')


def end(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


run('create', '-b', bundle, '--pid-file', 'pid', 'r1')
run('start', 'r1')
await_up()
run('exec', '-d', '--pid-file', 'xpid', 'r1', 'sh', '-c', 'sleep 0.2; exit 9')
print(end(int(open('xpid').read())))
run('kill', 'r1', 'USR1')
print(end(int(open('pid').read())))
run('delete', 'r1')
run('create', '-b', bundle, '--pid-file', 'pid', 'r2')
run('start', 'r2')
await_up()
run('kill', 'r2', 'KILL')
print(end(int(open('pid').read())))
run('delete', 'r2')
run('create', '-b', bundle, '--pid-file', 'pid', 'r3')
run('start', 'r3')
await_up()
os.kill(int(open('pid').read()), 10)
print(end(int(open('pid').read())))
run('delete', 'r3')
END
make_bundle '["sh", "-c", "trap \"exit 42\" USR1; echo > /tmp/up; while :; do sleep 0.1; done"]'
check "$(/usr/bin/python3 reap.py "$cvisor --root $root" "$bundle")" "9
42
-9
42" "what the subreaper sees"
# Of another root of states with the same name, and so the same control group: the first one goes on.
make_bundle '["sleep", "1000"]'
oci run -d -b "$bundle" twice </dev/null >/dev/null 2>&1
"$cvisor" --root "$PWD/state2" create -b "$bundle" twice </dev/null >/dev/null 2>&1
"$cvisor" --root "$PWD/state2" list -q | grep -q twice && "$cvisor" --root "$PWD/state2" delete --force twice
check "$(field twice status)" running "a container whose control group another one wanted"
oci delete --force twice
end_containers
