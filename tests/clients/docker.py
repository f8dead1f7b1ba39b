#!/usr/bin/python3
"""dockerd with its own containerd, over the runtime under test."""
import sys, urllib.request
from harness import *


def docker(*args, **kw):
    return run('docker', *args, **kw)


def inspect(name, field):
    return docker('inspect', '-f', '{{%s}}' % field, name).out


def start(name, *args):
    if 'img' not in args:
        args += ('img', 'sleep', '1000')
    if not any(a.startswith('--network') for a in args):
        args = ('--network=none',) + args
    docker('run', '-d', '--name', name, *args)


def remove(*names):
    docker('rm', '-f', *names)


def setup():
    global daemon
    files, procs = limits()
    os.makedirs('/etc/docker', exist_ok=True)
    put('/etc/docker/daemon.json', json.dumps({
        'default-runtime': 'under-test', 'runtimes': {'under-test': {'path': lab.runtime}},
        'default-ulimits': {'nofile': {'Name': 'nofile', 'Soft': files, 'Hard': files}},
        'bip': '10.199.0.1/24', 'default-address-pools': [{'base': '10.200.0.0/16', 'size': 24}],
        'shutdown-timeout': 1}))
    daemon = Daemon('dockerd', '-l', 'warn')
    daemon.ready(lambda: docker('version', status=None).status == 0)
    docker('import', lab.tarball(), 'img')


def cleanup():
    names = docker('ps', '-aq').out.split()
    if names:
        remove(*names)


def teardown():
    cleanup()
    until(lambda: not lab.runtime_processes(), 'the end of every runtime process: %r' % lab.runtime_processes(), 5)
    until(lambda: 'containerd-shim' not in run('ps', '-e', '-o', 'comm=').out, 'the end of every shim', 10)
    eq([m for m in get('/proc/self/mounts').splitlines() if '/merged' in m or '/docker/netns/' in m and 'default' not in m], [],
       'mounts left behind')
    eq(lab.left_cgroups(r'^[0-9a-f]{64}$'), [], 'cgroups left behind')
    daemon.stop()


@scenario('check')
def run_basics():
    eq(docker('run', '--rm', '--network=none', 'img', 'echo', 'hello').stdout, 'hello\n', 'output')
    r = docker('run', '--rm', '--network=none', 'img', 'sh', '-c', 'echo out; echo err >&2; exit 3', status=3)
    eq((r.stdout, r.err), ('out\n', 'err\n'), 'both outputs')
    has(docker('run', '--rm', '--network=none', 'img', 'no-such-program', status=127).err, 'no-such-program')
    has(docker('run', '--rm', '--network=none', 'img', '/etc/passwd', status=126).err, 'permission denied|cannot')
    r = docker('run', '-i', '--rm', '--network=none', '-h', 'somehost', '-e', 'A=b c', '-w', '/var/new', '-u', '1000:2000', 'img', 'sh', '-c',
               'hostname; echo $A; pwd; id -u; id -g; tr a-z A-Z', stdin='typed\n')
    eq(r.out.split('\n'), ['somehost', 'b c', '/var/new', '1000', '2000', 'TYPED'], 'options')


@scenario()
def life_cycle():
    docker('create', '--name', 'box', '--network=none', 'img', 'sh', '-c', 'trap "exit 9" TERM; echo up; while :; do sleep 0.1; done')
    eq(inspect('box', '.State.Status'), 'created', 'status')
    docker('start', 'box')
    eq(inspect('box', '.State.Status'), 'running', 'status')
    until(lambda: 'up' in docker('logs', 'box').stdout, 'start')
    docker('stop', '-t', '10', 'box')
    eq(inspect('box', '.State.ExitCode'), '9', 'exit code')
    docker('start', 'box')
    until(lambda: docker('logs', 'box').stdout.count('up') == 2, 'second start')
    docker('restart', '-t', '5', 'box')
    until(lambda: docker('logs', 'box').stdout.count('up') == 3, 'restart')
    docker('kill', 'box')
    eq(docker('wait', 'box').out, '137', 'wait')
    docker('rm', 'box')


@scenario('check')
def run_terminal():
    t = Terminal('docker', 'run', '-it', '--rm', '--network=none', 'img', 'sh')
    shell_on_terminal(t)
    t.say(b'exit 6\n')
    eq(t.end(), 6, 'exit status')


@scenario('check')
def execs():
    start('box')
    eq(docker('exec', 'box', 'echo', 'hello').stdout, 'hello\n', 'output')
    docker('exec', 'box', 'sh', '-c', 'exit 5', status=5)
    r = docker('exec', '-i', '-e', 'X=y', '-w', '/tmp', '-u', 'user', 'box', 'sh', '-c', 'echo $X; pwd; id -un; tr a-z A-Z', stdin='typed\n')
    eq(r.out.split('\n'), ['y', '/tmp', 'user', 'TYPED'], 'options')
    has(docker('exec', 'box', 'no-such-program', status='error').stdout + docker('exec', 'box', 'no-such-program', status='error').err,
        'no-such-program')
    docker('exec', '-d', 'box', 'sh', '-c', 'echo detached > /tmp/d')
    until(lambda: docker('exec', 'box', 'cat', '/tmp/d', status=None).out == 'detached', 'a detached exec')
    if not lab.is_runc:  # which cannot give capabilities that this machine's root lacks
        # It has the capabilities; the engine's seccomp profile is the container's and stays, whatever the exec.
        has(docker('exec', '--privileged', 'box', 'grep', 'CapEff', '/proc/self/status').out, 'ffffffff$')
        has(docker('exec', '--privileged', 'box', 'mount', '-t', 'tmpfs', 'x', '/var', status='error').err, 'not permitted|permission denied')
        start('free', '--security-opt', 'seccomp=unconfined')
        docker('exec', '--privileged', 'free', 'sh', '-c', 'mount -t tmpfs x /var && umount /var')
        docker('exec', 'free', 'mount', '-t', 'tmpfs', 'x', '/var', status='error')
        remove('free')
    t = Terminal('docker', 'exec', '-it', 'box', 'sh')
    shell_on_terminal(t)
    t.say(b'exit 7\n')
    eq(t.end(), 7, 'exit status')
    remove('box')


@scenario()
def logs_and_attach():
    docker('create', '-i', '--name', 'box', '--network=none', 'img', 'sh', '-c', 'echo bad >&2; sleep 1; echo good; exit 4')
    docker('start', 'box')
    has(docker('attach', '--no-stdin', 'box', status=4).stdout, 'good')
    r = docker('logs', 'box')
    eq((r.stdout, r.err), ('good\n', 'bad\n'), 'log')
    remove('box')
    start('box', 'img', 'sh', '-c', 'for i in 1 2 3; do echo line $i; sleep 0.3; done')
    eq(docker('logs', '-f', 'box').stdout, 'line 1\nline 2\nline 3\n', 'followed')
    remove('box')


@scenario()
def pause_and_stats():
    start('box', '--memory=64m', 'img', 'sh', '-c', 'while :; do echo x >> /tmp/f; done')
    docker('pause', 'box')
    eq(inspect('box', '.State.Status'), 'paused', 'status')
    docker('exec', 'box', 'true', status='error')
    docker('unpause', 'box')
    s = json.loads(docker('stats', '--no-stream', '--format', '{{json .}}', 'box').out)
    has(s['MemUsage'], r'^[1-9][\d.]*[KM]iB / 64MiB')
    eq(int(s['PIDs']) >= 1, True, 'pids %r' % s)
    eq(float(s['CPUPerc'].rstrip('%')) > 1, True, 'processor %r' % s)
    remove('box')


@scenario()
def top():
    start('box', 'img', 'sh', '-c', 'sleep 777 & wait')
    until(lambda: docker('exec', 'box', 'pidof', 'sleep', status=None).out, 'start')
    has(docker('top', 'box').out, 'sleep 777')
    has(docker('top', 'box', '-o', 'pid,args').out, 'sleep 777')
    remove('box')


@scenario()
def cp_and_diff():
    put(lab.path('file'), 'from the host\n')
    start('box')
    docker('cp', lab.path('file'), 'box:/root/file')
    eq(docker('exec', 'box', 'cat', '/root/file').stdout, 'from the host\n', 'copied in')
    docker('exec', 'box', 'sh', '-c', 'mkdir /root/d && echo inside > /root/d/f; rm /etc/group')
    docker('cp', 'box:/root/d', lab.path('back'))
    eq(get(lab.path('back/f')), 'inside\n', 'copied out')
    d = docker('diff', 'box').out
    has(d, r'^A /root/d/f$')
    has(d, r'^D /etc/group$')
    docker('commit', 'box', 'committed')
    remove('box')
    eq(docker('run', '--rm', '--network=none', 'committed', 'cat', '/root/d/f').out, 'inside', 'committed image')
    docker('rmi', 'committed')


@scenario()
def healthcheck():
    start('box', '--health-cmd', 'test -e /tmp/ok', '--health-interval=0.3s', '--health-retries=2', '--health-timeout=5s')
    until(lambda: inspect('box', '.State.Health.Status') == 'unhealthy', 'unhealthy')
    docker('exec', 'box', 'touch', '/tmp/ok')
    until(lambda: inspect('box', '.State.Health.Status') == 'healthy', 'healthy')
    remove('box')


@scenario()
def restart_policy():
    os.mkdir(lab.path('counts'))
    start('box', '--restart=on-failure:2', '-v', lab.path('counts') + ':/c', 'img', 'sh', '-c', 'echo x >> /c/n; exit 1')
    until(lambda: inspect('box', '.State.Status') == 'exited' and inspect('box', '.RestartCount') == '2', 'two restarts')
    eq(get(lab.path('counts/n')), 'x\n' * 3, 'runs')
    remove('box')
    start('box', '--restart=always')
    first = inspect('box', '.State.Pid')
    os.kill(int(first), signal.SIGKILL)
    until(lambda: inspect('box', '.State.Status') == 'running' and inspect('box', '.State.Pid') not in ('0', first), 'restart')
    eq(docker('exec', 'box', 'echo', 'again').out, 'again', 'restarted')
    remove('box')


@scenario(timeout=90)
def build():
    os.mkdir(lab.path('ctx'))
    put(lab.path('ctx/Dockerfile'), '''FROM img
COPY data /data
RUN tr a-z A-Z < /data > /made && mkdir -p /d/e && ln -s e /d/l && chown 1000:1000 /made && chmod 640 /made
ENV A=b
RUN echo $A > /env && rm /etc/group
USER user
CMD ["cat", "/made"]
''')
    put(lab.path('ctx/data'), 'some data\n')
    docker('build', '--network=none', '-q', '-t', 'built', lab.path('ctx'))
    eq(docker('run', '--rm', '--network=none', 'built').stdout, 'SOME DATA\n', 'command')
    eq(docker('run', '--rm', '--network=none', 'built', 'sh', '-c', 'ls /etc/group 2>&-; stat -c "%u %a" /made; cat /env; readlink /d/l').out,
       '1000 640\nb\ne', 'layers')
    put(lab.path('ctx/Dockerfile'), 'FROM img\nRUN echo no >&2; exit 7\n')
    has(docker('build', '--network=none', '-t', 'bad', lab.path('ctx'), status='error').err, 'non-zero code: 7')


@scenario('check')
def limits_and_security():
    r = docker('run', '--rm', '--network=none', '--read-only', '--tmpfs', '/tmp', 'img', 'sh', '-c', 'touch /x; echo y > /tmp/y && cat /tmp/y')
    eq(r.out, 'y', 'tmpfs')
    has(r.err, 'Read-only file system')
    r = docker('run', '--rm', '--network=none', '--cap-drop=all', '--cap-add=SYS_TIME', 'img', 'grep', 'CapEff', '/proc/self/status')
    eq(int(r.out.split()[1], 16), 1 << 25, 'capabilities')
    put(lab.path('profile'), json.dumps({'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [
        {'names': ['mkdir', 'mkdirat'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 38}]}))
    has(docker('run', '--rm', '--network=none', '--security-opt=seccomp=' + lab.path('profile'), 'img', 'mkdir', '/x', status=1).err,
        'Function not implemented')
    r = docker('run', '--rm', '--network=none', '--pids-limit=10', 'img', 'sh', '-c',
               'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 2 & done; echo lived', status=None)
    has(r.err, "can't fork|Resource temporarily unavailable")


@scenario()
def memory_limit():
    docker('run', '--name', 'box', '--network=none', '--memory=32m', '--memory-swap=32m', 'img', 'sh', '-c',
           'dd if=/dev/zero of=/dev/null bs=200M count=1; st=$?; sleep 1; exit $st', status=137)
    eq(inspect('box', '.State.OOMKilled'), 'true', 'OOM')
    remove('box')
    start('box', '--memory=64m')
    docker('update', '--memory=96m', '--memory-swap=96m', 'box')
    r = docker('exec', 'box', 'sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null',
               status=None)
    eq(r.out.split()[:1], [str(96 << 20)], 'limit seen inside after an update')
    remove('box')


@scenario()
def init():
    start('box', '--init', 'img', 'sh', '-c', '(sleep 0.2 &) ; exec sleep 1000')
    has(docker('exec', 'box', 'cat', '/proc/1/cmdline').out, 'init')
    begin = time.time()
    docker('stop', '-t', '10', 'box')
    eq(time.time() - begin < 5, True, 'init passes SIGTERM on')
    remove('box')


@scenario()
def volumes():
    os.mkdir(lab.path('vol'))
    put(lab.path('vol/in'), 'host\n')
    start('box', '-v', lab.path('vol') + ':/rw', '-v', lab.path('vol') + ':/ro:ro', '-v', 'named:/named',
          '--mount', 'type=tmpfs,dst=/t,tmpfs-size=1m')
    docker('exec', 'box', 'sh', '-c', 'cat /rw/in > /rw/out; echo kept > /named/f')
    eq(get(lab.path('vol/out')), 'host\n', 'written')
    docker('exec', 'box', 'touch', '/ro/x', status=1)
    remove('box')
    eq(docker('run', '--rm', '--network=none', '-v', 'named:/n', 'img', 'cat', '/n/f').out, 'kept', 'named volume')


@scenario()
def shared_namespaces():
    """Two containers with one network: they talk over localhost."""
    start('box', 'img', 'sh', '-c', 'mkdir /www; echo page > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www')
    r = until(lambda: (lambda r: r if r.status == 0 else None)(
        docker('run', '--rm', '--network=container:box', 'img', 'wget', '-q', '-O', '-', 'http://127.0.0.1:8080/', status=None)),
        'the other container answers')
    eq(r.stdout, 'page\n', 'page')
    remove('box')


@scenario()
def network_host():
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen()
    start('box', '--network=host', 'img', 'sh', '-c', 'echo through | nc -w 5 127.0.0.1 %d' % s.getsockname()[1])
    s.settimeout(10)
    eq(s.accept()[0].recv(100), b'through\n', 'through the host')
    s.close()
    remove('box')


@scenario()
def two_on_host_network():
    start('box', '--network=host', 'img', 'sh', '-c', 'mkdir /www; echo page > /www/index.html; exec httpd -f -p 127.0.0.1:8081 -h /www')
    r = until(lambda: (lambda r: r if r.status == 0 else None)(
        docker('run', '--rm', '--network=host', 'img', 'wget', '-q', '-O', '-', 'http://127.0.0.1:8081/', status=None)),
        'the other container answers')
    eq(r.stdout, 'page\n', 'page')
    remove('box')


@scenario()
def network_bridge():
    start('box', '--network=bridge', '-p', '127.0.0.1:18080:80', 'img', 'sh', '-c',
          'mkdir /www; echo page > /www/index.html; exec httpd -f -h /www')
    ip = inspect('box', '.NetworkSettings.IPAddress')
    until(lambda: docker('exec', 'box', 'wget', '-q', '-O', '-', 'http://127.0.0.1:80/', status=None).out == 'page', 'own server')
    eq(docker('run', '--rm', 'img', 'wget', '-q', '-O', '-', 'http://%s:80/' % ip).out, 'page', 'from another container')
    eq(urllib.request.urlopen('http://%s/' % ip, timeout=5).read(), b'page\n', 'from the host')
    eq(urllib.request.urlopen('http://127.0.0.1:18080/', timeout=5).read(), b'page\n', 'a published port')
    remove('box')


@scenario()
def user_defined_bridge():
    docker('network', 'create', 'net')
    start('server', '--network=net', 'img', 'sh', '-c', 'mkdir /www; echo page > /www/index.html; exec httpd -f -h /www')
    r = until(lambda: (lambda r: r if r.status == 0 else None)(
        docker('run', '--rm', '--network=net', 'img', 'sh', '-c',
               "ip=$(nslookup server 127.0.0.11 | awk '/^Address/ {a=$NF} END {print a}'); wget -q -O - http://$ip:80/", status=None)),
        'the other container answers by its name')
    eq(r.stdout, 'page\n', 'page')
    remove('server')
    docker('network', 'rm', 'net')


@scenario()
def installed():
    if lab.is_runc:
        skip('cvisor installs itself')
    run(lab.runtime, 'install', '--name', 'under-name', '--path', lab.runtime, '--docker')
    daemon.p.send_signal(signal.SIGHUP)
    until(lambda: 'under-name' in docker('info', '-f', '{{json .Runtimes}}').out, 'the reload')
    eq(docker('run', '--rm', '--runtime=under-name', '--network=none', 'img', 'echo', 'hello').out, 'hello', 'by its name')
    run(lab.runtime, 'uninstall', '--name', 'under-name', '--docker')
    eq('under-name' in json.loads(get('/etc/docker/daemon.json'))['runtimes'], False, 'taken out')


@scenario(last=True)
def daemon_restart():
    """Containers whose daemon goes away and comes back are found again (live restore is off: they end)."""
    global daemon
    start('box', '--restart=always')
    daemon.stop()
    until(lambda: not lab.runtime_processes(), 'the end of every container', 20)
    daemon = Daemon('dockerd', '-l', 'warn')
    daemon.ready(lambda: docker('version', status=None).status == 0)
    until(lambda: inspect('box', '.State.Status') == 'running', 'restart')
    eq(docker('exec', 'box', 'echo', 'again').out, 'again', 'restarted')
    remove('box')


if __name__ == '__main__':
    sys.exit(main(setup, teardown, cleanup))
