# Containers whose commands and helpers are killed at random points leave nothing behind.
# tier: test
# timeout: 600
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
make_bundle '["sh", "-c", "while :; do sleep 0.1; done"]'
cgroups() { find /sys/fs/cgroup -type d 2>/dev/null | grep -c '/cyc[0-9]*$'; }
/usr/bin/python3 - "$cvisor" "$root" "$bundle" "${CYCLES:-200}" <<'END' || fail=1
import os, random, signal, subprocess, sys, time
cvisor, root, bundle, cycles = sys.argv[1:4] + [int(sys.argv[4])]
seed = int(os.environ.get('SEED', time.time()))
rnd = random.Random(seed)
failed = 0


def start(*args):
    return subprocess.Popen([cvisor, '--root', root] + list(args), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def children(pid):
    try:
        return [int(c) for t in os.listdir('/proc/%d/task' % pid)
                for c in open('/proc/%d/task/%s/children' % (pid, t)).read().split()]
    except OSError:
        return []


def bad(text):
    global failed
    failed += 1
    print('seed %d: %s' % (seed, text))


for i in range(cycles):
    name = 'cyc%d' % i
    how = rnd.choice(['none', 'create', 'create', 'start', 'attendant', 'helper', 'stop', 'delete'])
    p = start('create', '-b', bundle, '--pid-file', 'pid%d' % i, name)
    if how == 'create':
        time.sleep(rnd.random() * 0.06)
        p.kill()
    p.wait()
    pid = int(open('pid%d' % i).read()) if os.path.exists('pid%d' % i) else 0
    p = start('start', name)
    if how == 'start':
        time.sleep(rnd.random() * 0.02)
        p.kill()
    p.wait()
    victims = [pid] if how == 'attendant' else children(pid) if how in ('helper', 'stop') else []
    for v in rnd.sample(victims, min(1, len(victims))):
        if v > 0:
            try:
                os.kill(v, signal.SIGSTOP if how == 'stop' else signal.SIGKILL)
            except ProcessLookupError:
                pass
    if how == 'delete':
        p = start('delete', '--force', name)
        time.sleep(rnd.random() * 0.03)
        p.kill()
        p.wait()
    begin = time.time()
    p = start('delete', '--force', name)
    try:
        if p.wait(timeout=30) != 0:
            bad('%s (%s): delete --force failed' % (name, how))
    except subprocess.TimeoutExpired:
        bad('%s (%s): delete --force hangs' % (name, how))
        p.kill()
        p.wait()
    if time.time() - begin > 10:
        bad('%s (%s): delete --force took %.1f s' % (name, how, time.time() - begin))
    if os.path.exists(root + '/' + name):
        bad('%s (%s): its state is left' % (name, how))
sys.exit(failed > 0)
END
check "$(cgroups)" 0 "cgroups left behind"
end_containers
