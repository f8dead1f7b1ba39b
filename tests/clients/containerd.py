#!/usr/bin/python3
"""containerd and its client ctr, through the runc shim with the runtime under test as its binary."""
import sys
from harness import *

CONFIG = '''
version = 2
root = "%s"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "/run/containerd/containerd.sock"
'''
IMAGE = 'localhost/img:latest'


def ctr(*args, **kw):
    return run('ctr', *args, **kw)


def ctr_run(*args, **kw):
    """ctr run: options, then the id, then the command."""
    opts = []
    args = list(args)
    while args and args[0].startswith('-'):
        opts.append(args.pop(0))
    return ctr('run', '--runc-binary', lab.runtime, '--runc-root', '/run/under-test', *opts, IMAGE, *args, **kw)


def start(name, *opts, command=('sleep', '1000')):
    ctr_run('-d', *opts, name, *command)


def task_exec(name, *command, opts=(), **kw):
    task_exec.count += 1
    return ctr('task', 'exec', '--exec-id', 'e%d' % task_exec.count, *opts, name, *command, **kw)


task_exec.count = 0


def status(name):
    for l in ctr('task', 'ls').out.split('\n')[1:]:
        if l.split()[0] == name:
            return l.split()[2]
    return None


def remove(*names):
    for n in names:
        ctr('task', 'kill', '-s', 'SIGKILL', '-a', n, status=None)
        until(lambda: status(n) in ('STOPPED', None), 'the end of %s' % n)
        ctr('task', 'rm', '-f', n, status=None)
        ctr('container', 'rm', n)


def setup():
    global daemon
    put('/etc/containerd/config.toml', CONFIG % lab.path('lib/containerd'))
    daemon = Daemon('containerd', '-c', '/etc/containerd/config.toml', '-l', 'warn')
    daemon.ready(lambda: ctr('version', status=None).status == 0)
    import_image()


def import_image(*opts):
    """Imports an image archive as docker save writes it."""
    import hashlib
    layer = open(lab.tarball(), 'rb').read()
    os.makedirs(lab.path('image'))
    with open(lab.path('image/layer.tar'), 'wb') as f:
        f.write(layer)
    config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {'Env': ['PATH=/bin'], 'Cmd': ['sleep', '100000']},
                         'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + hashlib.sha256(layer).hexdigest()]}})
    name = hashlib.sha256(config.encode()).hexdigest() + '.json'
    put(lab.path('image', name), config)
    put(lab.path('image/manifest.json'), json.dumps([{'Config': name, 'RepoTags': [IMAGE], 'Layers': ['layer.tar']}]))
    run('tar', '-C', lab.path('image'), '-cf', lab.path('image.tar'), 'manifest.json', name, 'layer.tar')
    ctr(*opts, 'images', 'import', lab.path('image.tar'))


def cleanup():
    for c in ctr('container', 'ls', '-q').out.split():
        remove(c)


def teardown():
    cleanup()
    until(lambda: not lab.runtime_processes(), 'the end of every runtime process: %r' % lab.runtime_processes(), 5)
    until(lambda: 'containerd-shim' not in run('ps', '-e', '-o', 'comm=').out, 'the end of every shim', 10)
    eq([m for m in get('/proc/self/mounts').splitlines() if '/run/containerd/' in m], [], 'mounts left behind')
    eq(lab.left_cgroups('^(default|t_.*)$') and [f for d in lab.left_cgroups('^default$') for f in os.listdir(d)
                                                if os.path.isdir(os.path.join(d, f))], [], 'cgroups left behind')
    eq([f for _, _, fs in os.walk('/run/under-test') for f in fs], [], 'state left behind')
    daemon.stop()


@scenario('check')
def run_basics():
    eq(ctr_run('--rm', 'c1', 'echo', 'hello').stdout, 'hello\n', 'output')
    r = ctr_run('--rm', 'c1', 'sh', '-c', 'echo out; echo err >&2; exit 3', status=3)
    eq((r.stdout, r.err), ('out\n', 'err\n'), 'both outputs')
    r = ctr_run('--rm', '--env=A=b', '--cwd=/var', 'c1', 'sh', '-c', 'echo $A; pwd; id -u')
    eq(r.out, 'b\n/var\n0', 'options')


@scenario()
def failed_start():
    r = ctr_run('--rm', 'c1', 'no-such-program', status='error')
    has(r.err, 'no-such-program')
    eq(ctr('container', 'ls', '-q').out, '', 'containers')
    until(lambda: not lab.runtime_processes(), 'the end of every runtime process', 5)


@scenario('check')
def task_life_cycle():
    start('c1', command=('sh', '-c', 'trap "exit 9" TERM; while :; do sleep 0.1; done'))
    eq(status('c1'), 'RUNNING', 'status')
    r = ctr('task', 'ps', 'c1')
    eq(len(r.out.split('\n')) >= 2, True, 'ps: %s' % r.out)
    pid = [l.split()[1] for l in ctr('task', 'ls').out.split('\n')[1:] if l.startswith('c1 ')][0]
    has(r.out, r'^%s\b' % pid, 'ps holds process 1')
    ctr('task', 'kill', '-s', 'SIGTERM', 'c1')
    until(lambda: status('c1') == 'STOPPED', 'end by SIGTERM')
    has(ctr('task', 'rm', 'c1').err, 'non-zero exit code 9')
    ctr('task', 'start', '-d', 'c1')
    eq(status('c1'), 'RUNNING', 'status of a second task')
    ctr('task', 'kill', '-s', 'SIGKILL', 'c1')
    until(lambda: status('c1') == 'STOPPED', 'end by SIGKILL')
    has(ctr('task', 'rm', 'c1').err, 'non-zero exit code 137')
    ctr('container', 'rm', 'c1')


@scenario('check')
def execs():
    start('c1')
    eq(task_exec('c1', 'echo', 'hello').stdout, 'hello\n', 'output')
    task_exec('c1', 'sh', '-c', 'exit 5', status=5)
    # Not --user: for it this ctr mounts the container's overlay a second time, which breaks the first.
    eq(task_exec('c1', 'pwd', opts=('--cwd', '/tmp')).out, '/tmp', 'directory')
    has(task_exec('c1', 'no-such-program', status='error').err, 'no-such-program')
    task_exec('c1', 'sh', '-c', 'echo x > /tmp/f; sleep 1000', opts=('-d',))
    until(lambda: task_exec('c1', 'cat', '/tmp/f', status=None).out == 'x', 'a detached exec')
    remove('c1')


@scenario()
def exec_terminal():
    start('c1')
    t = Terminal('ctr', 'task', 'exec', '--exec-id', 'term', '-t', 'c1', 'sh')
    shell_on_terminal(t)
    t.say(b'exit 7\n')
    eq(t.end(), 7, 'exit status')
    remove('c1')


@scenario()
def run_terminal():
    t = Terminal('ctr', 'run', '--runc-binary', lab.runtime, '--runc-root', '/run/under-test', '--rm', '-t', IMAGE, 'c1', 'sh')
    shell_on_terminal(t)
    t.say(b'exit 6\n')
    eq(t.end(), 6, 'exit status')


@scenario()
def attach():
    start('c1', command=('sh', '-c', 'sleep 1; echo late; exit 4'))
    ctr('task', 'attach', 'c1', status=4)
    remove('c1')


@scenario()
def pause():
    os.mkdir(lab.path('vp'))
    start('c1', '--mount=type=bind,src=%s,dst=/v,options=rbind:rw' % lab.path('vp'),
          command=('sh', '-c', 'while :; do echo x >> /v/f; sleep 0.02; done'))
    until(lambda: os.path.exists(lab.path('vp/f')), 'start')
    ctr('task', 'pause', 'c1')
    eq(status('c1'), 'PAUSED', 'status')
    size = os.stat(lab.path('vp/f')).st_size
    time.sleep(0.5)
    eq(os.stat(lab.path('vp/f')).st_size, size, 'written while paused')
    ctr('task', 'resume', 'c1')
    eq(status('c1'), 'RUNNING', 'status')
    until(lambda: os.stat(lab.path('vp/f')).st_size > size, 'going on')
    remove('c1')


@scenario()
def metrics():
    start('c1', command=('sh', '-c', 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo x > /tmp/f; sleep 1000'))
    until(lambda: task_exec('c1', 'cat', '/tmp/f', status=None).out == 'x', 'some work', 40)
    m = dict(l.split() for l in ctr('task', 'metrics', 'c1').out.split('\n') if len(l.split()) == 2)
    memory = m.get('memory.usage_in_bytes') or m.get('memory.usage')
    cpu = m.get('cpuacct.usage') or m.get('cpu.usage_usec')
    eq(memory is not None and int(memory) > 0, True, 'memory in %r' % m)
    eq(cpu is not None and int(cpu) > 0, True, 'processor time in %r' % m)
    remove('c1')


@scenario()
def checkpoint():
    start('c1')
    r = ctr('task', 'checkpoint', 'c1', status='error')
    if not lab.is_runc:
        has(r.err, 'checkpoint')
    eq(status('c1'), 'RUNNING', 'status after a refusal')
    eq(task_exec('c1', 'echo', 'alive').out, 'alive', 'after a refusal')
    remove('c1')


@scenario()
def kill_signals():
    start('c1', command=('sh', '-c', 'trap "echo usr1 > /tmp/f" USR1; echo up > /tmp/u; while :; do sleep 0.1; done'))
    until(lambda: task_exec('c1', 'cat', '/tmp/u', status=None).out, 'start')
    ctr('task', 'kill', '-s', 'SIGUSR1', 'c1')
    until(lambda: task_exec('c1', 'cat', '/tmp/f', status=None).out == 'usr1', 'the signal')
    task_exec('c1', 'sleep', '1000', opts=('-d',))
    ctr('task', 'kill', '-s', 'SIGKILL', '-a', 'c1')
    until(lambda: status('c1') == 'STOPPED', 'the end of all')
    ctr('task', 'kill', 'c1', status='error')
    remove('c1')


@scenario()
def kill_exec():
    start('c1')
    ctr('task', 'exec', '-d', '--exec-id', 'ex', 'c1', 'sleep', '999')
    until(lambda: task_exec('c1', 'pidof', 'sleep').out.count(' ') == 1, 'the exec')
    ctr('task', 'kill', '-s', 'SIGKILL', '--exec-id', 'ex', 'c1')
    until(lambda: task_exec('c1', 'pidof', 'sleep').out.count(' ') == 0, 'the end of the exec')
    eq(status('c1'), 'RUNNING', 'status')
    remove('c1')


@scenario()
def memory_limit():
    start('c1', '--memory-limit=%d' % (64 << 20))
    r = task_exec('c1', 'sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null', status=None)
    if r.out:  # ctr mounts no cgroups by itself
        eq(r.out.split()[0], str(64 << 20), 'limit seen inside')
    r = task_exec('c1', 'sh', '-c', 'dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo $?')
    eq(r.out, '137', 'status of a process over the limit')
    remove('c1')


@scenario()
def mounts():
    os.mkdir(lab.path('vol'))
    put(lab.path('vol/in'), 'host\n')
    start('c1', '--mount=type=bind,src=%s,dst=/rw,options=rbind:rw' % lab.path('vol'),
          '--mount=type=bind,src=%s,dst=/ro,options=rbind:ro' % lab.path('vol'),
          '--mount=type=tmpfs,src=tmpfs,dst=/t,options=size=1m:mode=700')
    eq(task_exec('c1', 'cat', '/rw/in', '/ro/in').stdout, 'host\nhost\n', 'read')
    task_exec('c1', 'sh', '-c', 'echo guest > /rw/out')
    eq(get(lab.path('vol/out')), 'guest\n', 'written')
    has(task_exec('c1', 'touch', '/ro/x', status=1).err, 'Read-only file system')
    eq(task_exec('c1', 'sh', '-c', 'stat -f -c %T /t; stat -c %a /t').out, 'tmpfs\n700', 'tmpfs')
    remove('c1')


@scenario()
def read_only():
    r = ctr_run('--rm', '--read-only', 'c1', 'touch', '/x', status=1)
    has(r.err, 'Read-only file system')


@scenario()
def seccomp():
    put(lab.path('profile'), json.dumps({'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [
        {'names': ['mkdir', 'mkdirat'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 38}]}))
    has(ctr_run('--rm', '--seccomp', '--seccomp-profile=' + lab.path('profile'), 'c1', 'mkdir', '/x', status=1).err,
        'Function not implemented')
    eq(ctr_run('--rm', '--seccomp', 'c1', 'grep', 'Seccomp:', '/proc/self/status').out.split()[1], '2', 'default profile')


@scenario()
def options():
    eq(ctr_run('--rm', '--privileged', 'c1', 'grep', 'CapEff', '/proc/self/status').out.split()[1] > '0000001fffffffff', True,
       'privileged')
    eq(ctr_run('--rm', '--cap-drop=CAP_CHOWN', 'c1', 'chown', '1', '/tmp', status=1).status, 1, 'dropped capability')
    eq(ctr_run('--rm', '--no-pivot', 'c1', 'echo', 'x').out, 'x', 'no pivot')
    put(lab.path('env'), 'FROM_FILE=1\n')
    eq(ctr_run('--rm', '--env-file=' + lab.path('env'), 'c1', 'sh', '-c', 'echo $FROM_FILE').out, '1', 'environment from a file')
    ctr_run('-d', '--pid-file=' + lab.path('pid'), 'c1', 'sleep', '1000')
    eq(os.path.exists('/proc/' + get(lab.path('pid'))), True, 'pid file')
    remove('c1')


@scenario()
def network_host():
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen()
    start('c1', '--net-host', command=('sh', '-c', 'echo through | nc -w 5 127.0.0.1 %d' % s.getsockname()[1]))
    s.settimeout(10)
    eq(s.accept()[0].recv(100), b'through\n', 'through the host')
    s.close()
    remove('c1')


@scenario()
def network_none():
    eq(ctr_run('--rm', 'c1', 'ls', '/sys/class/net').out, 'lo', 'interfaces')


@scenario()
def many_at_once():
    """Eight containers at a time: names, states and exit codes do not mix."""
    procs = [subprocess.Popen(['ctr', 'run', '--runc-binary', lab.runtime, '--runc-root', '/run/under-test', '--rm', IMAGE,
                               'm%d' % i, 'sh', '-c', 'echo %d; exit %d' % (i, i)], env=lab.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) for i in range(8)]
    for i, p in enumerate(procs):
        out, err = p.communicate(timeout=50)
        eq((p.returncode, out, err), (i, b'%d\n' % i, b''), 'container %d' % i)


@scenario()
def killed_process():
    """The first process killed from outside is the container's end."""
    start('c1')
    pid = int([l.split()[1] for l in ctr('task', 'ls').out.split('\n')[1:] if l.startswith('c1 ')][0])
    os.kill(pid, signal.SIGKILL)
    until(lambda: status('c1') == 'STOPPED', 'the end of the task')
    has(ctr('task', 'rm', 'c1').err, 'non-zero exit code 137')
    ctr('container', 'rm', 'c1')


@scenario()
def kubernetes_installer():
    """The installer of deploy/kubernetes on a node that is a directory; containerd reads the result."""
    if lab.is_runc:
        skip('installs cvisor only')
    deploy = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../deploy/kubernetes')
    has(get(deploy + '/runtimeclass.yaml'), '^handler: cvisor$')
    lines = get(deploy + '/installer.yaml').split('\n')
    first = next(i for i, l in enumerate(lines) if l.endswith('- |')) + 1
    indent = len(lines[first]) - len(lines[first].lstrip())
    script = []
    while lines[first].startswith(' ' * indent):
        script.append(lines[first][indent:])
        first += 1
    os.makedirs(lab.path('host/etc/containerd'))
    put(lab.path('host/etc/containerd/config.toml'), re.sub('disabled_plugins.*\n', '', get('/etc/containerd/config.toml')))
    program = lab.runtime + '.real' if lab.opts.trace else lab.runtime
    env = dict(lab.env, HOST=lab.path('host'), RESTART='touch ' + lab.path('restarted'))
    sh = '\n'.join(script).replace('/cvisor "', program + ' "', 1)
    has(run('sh', '-ec', sh, env=env).out, "now in")
    os.unlink(lab.path('restarted'))
    has(run('sh', '-ec', sh, env=env).out, 'already has')
    eq(os.path.exists(lab.path('restarted')), False, 'a restart without a change')
    got = get(lab.path('host/etc/containerd/config.toml'))
    eq(get(deploy + '/containerd.toml').split('\n\n', 1)[1].strip() in got, True, 'the snippet in %r' % got)
    dump = run('containerd', '-c', lab.path('host/etc/containerd/config.toml'), 'config', 'dump').out
    has(dump, r'runtimes\.cvisor\.options\]\n *BinaryName = "/usr/local/bin/cvisor"')


if __name__ == '__main__':
    sys.exit(main(setup, teardown, cleanup))
