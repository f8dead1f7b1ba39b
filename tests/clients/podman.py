#!/usr/bin/python3
"""Podman, as root, over the runtime under test."""
import sys
from harness import *

CONF = '''
[containers]
default_ulimits = ["nofile=%d:%d", "nproc=%d:%d"]
[engine]
runtime = "%s"
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
%s = ["%s"]
'''


def podman(*args, **kw):
    return run('podman', *args, **kw)


def inspect(name, field):
    return podman('inspect', '-f', '{{%s}}' % field, name).out


def start(name, *args):
    """A detached container that sleeps, unless told otherwise: (options..., 'img', command...)"""
    if 'img' not in args:
        args += ('img', 'sleep', '1000')
    podman('run', '-d', '--name', name, '--network=none', *args)


def remove(*names):
    podman('rm', '-f', '-t', '0', *names)


def setup():
    files, procs = limits()
    put('/etc/containers/containers.conf', CONF % (files, files, procs, procs, lab.name, lab.name, lab.runtime))
    podman('import', lab.tarball(), 'img')


def cleanup():
    podman('pod', 'rm', '-a', '-f', '-t', '0', status=None)
    podman('rm', '-a', '-f', '-t', '0')


def teardown():
    """Nothing of a container may be left: processes, mounts, cgroups, the runtime's state."""
    cleanup()
    until(lambda: not lab.runtime_processes(), 'the end of every runtime process: %r' % lab.runtime_processes(), 5)
    left = [m for m in get('/proc/self/mounts').splitlines() if 'libpod' in m or '/merged' in m or '/shm ' in m and 'containers' in m]
    eq(left, [], 'mounts left behind')
    eq(lab.left_cgroups(r'libpod-[0-9a-f]{64}'), [], 'cgroups left behind')
    eq([f for d in ('/run/runc', '/run/cvisor', '/run/crun') if os.path.isdir(d) for f in os.listdir(d)], [],
       'state left behind')


@scenario('check')
def run_basics():
    eq(podman('run', '--rm', '--network=none', 'img', 'echo', 'hello').stdout, 'hello\n', 'output')
    r = podman('run', '--rm', '--network=none', 'img', 'sh', '-c', 'echo out; echo err >&2; exit 3', status=3)
    eq((r.stdout, r.err), ('out\n', 'err\n'), 'both outputs')
    podman('run', '--rm', '--network=none', 'img', 'no-such-program', status=127)
    podman('run', '--rm', '--network=none', 'img', '/etc', status=126)
    podman('run', '--rm', '--network=none', 'img', '/etc/passwd', status=126)


@scenario()
def run_options():
    r = podman('run', '--rm', '--network=none', '--hostname', 'somehost', '-e', 'A=b c', '-w', '/var', 'img', 'sh', '-c',
               'hostname; echo $A; pwd; id -u')
    eq(r.out.split('\n'), ['somehost', 'b c', '/var', '0'], 'hostname, environment, directory')
    eq(podman('run', '-i', '--rm', '--network=none', 'img', 'tr', 'a-z', 'A-Z', stdin='typed\n').stdout, 'TYPED\n', 'standard input')
    eq(podman('run', '--rm', '--network=none', '--entrypoint', '/bin/echo', 'img', 'x').out, 'x', 'entry point')
    eq(podman('run', '--rm', '--network=none', '--ulimit', 'nofile=123:456', '--ulimit', 'nproc=1000:2000', 'img', 'sh', '-c', 'ulimit -n; ulimit -Hn').out,
       '123\n456', 'limits')
    eq(podman('run', '--rm', '--network=none', '--sysctl', 'kernel.msgmax=4096', 'img', 'cat', '/proc/sys/kernel/msgmax').out,
       '4096', 'sysctl')
    r = podman('run', '--rm', '--network=none', '--shm-size=3m', '--tmpfs', '/t:size=2m,mode=711', 'img', 'sh', '-c',
               'df -k /dev/shm /t | tail -n 2; stat -c %a /t')
    eq([l.split()[1] for l in r.out.split('\n')[:2]] + [r.out.split('\n')[2]], ['3072', '2048', '711'], 'tmpfs')
    eq(podman('run', '--rm', '--network=none', '--umask', '0077', 'img', 'sh', '-c', 'umask').out, '0077', 'umask')
    eq(podman('run', '--rm', '--network=none', '--oom-score-adj', '77', 'img', 'cat', '/proc/self/oom_score_adj').out, '77',
       'oom_score_adj')
    eq(podman('run', '--rm', '--network=none', '--device', '/dev/null:/dev/other:rw', 'img', 'sh', '-c',
              'echo x > /dev/other && stat -c %F /dev/other').out, 'character special file', 'device')
    eq(podman('run', '--rm', '--network=none', 'img', 'sh', '-c', 'cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l').out.split('\n')[0],
       'sh', 'process 1')


@scenario()
def life_cycle():
    podman('create', '--name', 'box', '--network=none', 'img', 'sh', '-c', 'echo up; sleep 1000')
    eq(inspect('box', '.State.Status'), 'created', 'status')
    podman('start', 'box')
    eq(inspect('box', '.State.Status'), 'running', 'status')
    pid = int(inspect('box', '.State.Pid'))
    eq(os.path.exists('/proc/%d' % pid), True, 'process of the container')
    eq(inspect('box', '.OCIRuntime'), lab.name, 'runtime')
    has(podman('ps').out, r'^\w+ .* Up .* box$')
    podman('start', 'box')
    podman('stop', '-t', '0', 'box')
    eq(inspect('box', '.State.Status'), 'exited', 'status')
    eq(inspect('box', '.State.ExitCode'), '137', 'exit code')
    podman('start', 'box')
    until(lambda: podman('logs', 'box').stdout.count('up') == 2, 'second start')
    podman('restart', '-t', '0', 'box')
    until(lambda: podman('logs', 'box').stdout.count('up') == 3, 'restart')
    podman('rm', 'box', status='error')
    podman('rm', '-f', '-t', '0', 'box')
    podman('inspect', 'box', status='error')


@scenario('check')
def exec_basics():
    start('box')
    eq(podman('exec', 'box', 'echo', 'hello').stdout, 'hello\n', 'output')
    podman('exec', 'box', 'sh', '-c', 'exit 5', status=5)
    podman('exec', 'box', 'sh', '-c', 'kill -TERM $$', status=143)
    podman('exec', 'box', 'no-such-program', status=127)
    r = podman('exec', '-e', 'X=y', '-w', '/tmp', '-u', '1000:2000', 'box', 'sh', '-c', 'echo $X; pwd; id -u; id -g')
    eq(r.out.split('\n'), ['y', '/tmp', '1000', '2000'], 'options')
    eq(podman('exec', '-u', 'user', 'box', 'id', '-un').out, 'user', 'user by name')
    eq(podman('exec', '-i', 'box', 'tr', 'a-z', 'A-Z', stdin='typed\n').stdout, 'TYPED\n', 'standard input')
    podman('exec', '-d', 'box', 'sh', '-c', 'echo detached > /tmp/d')
    until(lambda: podman('exec', 'box', 'cat', '/tmp/d', status=None).out == 'detached', 'a detached exec')
    eq(podman('exec', 'box', 'cat', '/proc/1/comm').out, 'sleep', 'sees process 1')
    podman('exec', '--privileged', 'box', 'true')
    remove('box')
    podman('exec', 'box', 'true', status='error')


@scenario('check')
def exec_terminal():
    start('box')
    t = Terminal('podman', 'exec', '-it', 'box', 'sh')
    shell_on_terminal(t)
    t.say(b'exit 7\n')
    eq(t.end(), 7, 'exit status')
    remove('box')


@scenario()
def run_terminal():
    t = Terminal('podman', 'run', '-it', '--name', 'box', '--network=none', 'img', 'sh')
    shell_on_terminal(t)
    t.say(b'exit 6\n')
    eq(t.end(), 6, 'exit status')
    has(podman('logs', 'box').stdout, 'SOME TEXT', 'log of a terminal')
    remove('box')
    r = podman('run', '--rm', '-t', '--network=none', 'img', 'sh', '-c', 'tty >/dev/null && echo yes')
    eq(r.stdout, 'yes\r\n', 'a terminal without input')


@scenario()
def logs():
    podman('run', '--name', 'box', '--network=none', 'img', 'sh', '-c', 'for i in 1 2 3; do echo line $i; done; echo bad >&2')
    r = podman('logs', 'box')
    eq((r.stdout, r.err), ('line 1\nline 2\nline 3\n', 'bad\n'), 'both streams')
    eq(podman('logs', '--tail', '1', 'box').stdout + podman('logs', '--tail', '1', 'box').err != '', True, 'tail')
    remove('box')
    start('box', 'img', 'sh', '-c', 'for i in 1 2 3; do echo line $i; sleep 0.3; done')
    eq(podman('logs', '-f', 'box').stdout, 'line 1\nline 2\nline 3\n', 'followed')
    remove('box')
    podman('run', '--name', 'box', '--network=none', 'img', 'seq', '1', '20000')
    eq(podman('logs', 'box').stdout, ''.join('%d\n' % i for i in range(1, 20001)), 'a lot of output')
    remove('box')


@scenario()
def attach():
    start('box', '-i', 'img', 'sh', '-c', 'while read x; do echo got $x; done; exit 4')
    r = podman('attach', 'box', stdin='one\ntwo\n', status=None)
    eq(r.out, 'got one\ngot two', 'attached')
    eq(podman('wait', 'box').out, '4', 'exit status')
    remove('box')
    start('box', '-it', 'img', 'sh')
    t = Terminal('podman', 'attach', 'box')
    t.say(b'\n')
    t.until(b'# ')
    t.ask(b'echo $((6*7))', rb'\n(42)\r')
    for key in (b'\x10', b'\x11'):  # the client wants each in a read of its own
        t.say(key)
        time.sleep(0.3)
    eq(t.end(), 0, 'detached')
    eq(inspect('box', '.State.Status'), 'running', 'status after detaching')
    t = Terminal('podman', 'attach', 'box')
    t.say(b'exit 3\n')
    t.end()
    eq(podman('wait', 'box').out, '3', 'exit status')
    remove('box')


@scenario()
def cp():
    put(lab.path('file'), 'from the host\n')
    start('box')
    podman('cp', lab.path('file'), 'box:/root/file')
    eq(podman('exec', 'box', 'cat', '/root/file').stdout, 'from the host\n', 'copied in while running')
    podman('exec', 'box', 'sh', '-c', 'mkdir /root/d && echo inside > /root/d/f && chmod 640 /root/d/f')
    podman('cp', 'box:/root/d', lab.path('back'))
    eq(get(lab.path('back/f')), 'inside\n', 'copied out while running')
    eq(os.stat(lab.path('back/f')).st_mode & 0o777, 0o640, 'mode')
    podman('exec', 'box', 'ls', '/root/later', status='error')
    podman('cp', lab.path('file'), 'box:/root/later')
    eq(podman('exec', 'box', 'cat', '/root/later').stdout, 'from the host\n', 'a name that was missed before')
    podman('stop', '-t', '0', 'box')
    podman('cp', 'box:/root/d/f', lab.path('back2'))
    eq(get(lab.path('back2')), 'inside\n', 'copied out when stopped')
    remove('box')


@scenario()
def commit_and_diff():
    podman('run', '--name', 'box', '--network=none', 'img', 'sh', '-c', 'echo new > /root/new; rm /etc/group; mkdir /a; ln -s x /a/l')
    has(podman('diff', 'box').out, r'^A /root/new$')
    has(podman('diff', 'box').out, r'^D /etc/group$')
    podman('commit', '-q', 'box', 'committed')
    eq(podman('run', '--rm', '--network=none', 'committed', 'sh', '-c', 'cat /root/new; ls /etc/group 2>/dev/null; readlink /a/l').out,
       'new\nx', 'committed image')
    remove('box')
    podman('rmi', 'committed')


@scenario('check')
def stop():
    start('box', 'img', 'sh', '-c', 'trap "echo bye; exit 9" TERM; echo up; while :; do sleep 0.1; done')
    until(lambda: 'up' in podman('logs', 'box').stdout, 'start')
    begin = time.time()
    podman('stop', '-t', '10', 'box')
    eq(time.time() - begin < 5, True, 'SIGTERM ends it at once')
    eq(inspect('box', '.State.ExitCode'), '9', 'exit code')
    has(podman('logs', 'box').stdout, 'bye')
    remove('box')
    start('box', 'img', 'sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.1; done')
    until(lambda: 'up' in podman('logs', 'box').stdout, 'start')
    begin = time.time()
    podman('stop', '-t', '1', 'box')
    eq(1 <= time.time() - begin < 5, True, 'SIGKILL after a second')
    eq(inspect('box', '.State.ExitCode'), '137', 'exit code')
    remove('box')
    start('box', '--stop-signal', 'USR1', 'img', 'sh', '-c', 'trap "exit 8" USR1; echo up; while :; do sleep 0.1; done')
    until(lambda: 'up' in podman('logs', 'box').stdout, 'start')
    podman('stop', '-t', '10', 'box')
    eq(inspect('box', '.State.ExitCode'), '8', 'exit code with a stop signal')
    remove('box')


@scenario()
def kill():
    start('box', 'img', 'sh', '-c', 'trap "echo usr1" USR1; echo up; while :; do sleep 0.1; done')
    until(lambda: 'up' in podman('logs', 'box').stdout, 'start')
    podman('kill', '-s', 'USR1', 'box')
    until(lambda: 'usr1' in podman('logs', 'box').stdout, 'the signal')
    podman('kill', 'box')
    eq(podman('wait', 'box').out, '137', 'wait')
    eq(inspect('box', '.State.Status'), 'exited', 'status')
    podman('kill', 'box', status='error')
    remove('box')


@scenario()
def pause():
    start('box', 'img', 'sh', '-c', 'i=0; while :; do i=$((i+1)); echo $i > /tmp/n; sleep 0.02; done')
    until(lambda: podman('exec', 'box', 'cat', '/tmp/n', status=None).out, 'start')
    podman('pause', 'box')
    eq(inspect('box', '.State.Status'), 'paused', 'status')
    podman('exec', 'box', 'true', status='error')
    podman('pause', 'box', status='error')
    podman('unpause', 'box')
    eq(inspect('box', '.State.Status'), 'running', 'status')
    first = podman('exec', 'box', 'cat', '/tmp/n').out
    until(lambda: podman('exec', 'box', 'cat', '/tmp/n').out not in ('', first), 'going on')
    podman('pause', 'box')
    podman('rm', '-f', '-t', '0', 'box')


@scenario()
def pause_stops_time():
    """What runs stands still while paused: a volume shows it from outside."""
    os.mkdir(lab.path('vp'))
    start('box', '-v', lab.path('vp') + ':/v', 'img', 'sh', '-c', 'while :; do echo x >> /v/f; sleep 0.02; done')
    until(lambda: os.path.exists(lab.path('vp/f')), 'start')
    podman('pause', 'box')
    size = os.stat(lab.path('vp/f')).st_size
    time.sleep(0.5)
    eq(os.stat(lab.path('vp/f')).st_size, size, 'written while paused')
    podman('unpause', 'box')
    until(lambda: os.stat(lab.path('vp/f')).st_size > size, 'going on')
    remove('box')


@scenario()
def stats():
    start('box', 'img', 'sh', '-c', 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo up; sleep 1000')
    until(lambda: 'up' in podman('logs', 'box').stdout, 'start', 40)
    s = json.loads(podman('stats', '--no-stream', '--format', 'json', 'box').out)[0]
    eq(s['name'], 'box', 'name')
    eq(int(s['pids']) >= 1, True, 'pids %r' % s)
    eq(re.match(r'[\d.]+[kM]B / ', s['mem_usage']) is not None, True, 'memory %r' % s)
    eq(float(s['mem_usage'].split('kB')[0].split('MB')[0]) > 0, True, 'memory %r' % s)
    has(s['cpu_time'], r'^([1-9].*|0\.[0-9]*[1-9].*)s$', 'processor time')
    remove('box')


@scenario()
def top():
    start('box', 'img', 'sh', '-c', 'sleep 777 & wait')
    until(lambda: podman('exec', 'box', 'pidof', 'sleep', status=None).out, 'start')
    r = podman('top', 'box', 'pid', 'comm', 'args')
    has(r.out, r'^1 +sh ')
    has(r.out, r'sleep +sleep 777')
    has(podman('top', 'box', '-o', 'pid,comm').out, r'^ +1 sh')
    has(podman('top', 'box').out, r'^root +1 +0 .*sh -c sleep 777')
    has(podman('top', 'box', 'user', 'group', 'ppid', 'capeff', 'nice', 'seccomp', 'args').out, r'^root +root +1 .*CHOWN.* 0 +filter +sleep 777')
    remove('box')


@scenario()
def inspecting():
    start('box', '--memory', '64m', '--label', 'l=v', '--annotation', 'a=b')
    eq(inspect('box', '.HostConfig.Memory'), str(64 << 20), 'memory')
    eq(inspect('box', '.Config.Labels.l'), 'v', 'label')
    eq(inspect('box', '.State.Running'), 'true', 'running')
    eq(inspect('box', '.State.OOMKilled'), 'false', 'OOM')
    eq(json.loads(get(inspect('box', '.OCIConfigPath')))['annotations']['a'], 'b', 'annotation')
    remove('box')


@scenario()
def healthcheck():
    start('box', '--health-cmd', 'test -e /tmp/ok', '--health-interval=disable', '--health-retries', '1')
    podman('healthcheck', 'run', 'box', status=1)
    eq(inspect('box', '.State.Health.Status'), 'unhealthy', 'health')
    podman('exec', 'box', 'touch', '/tmp/ok')
    podman('healthcheck', 'run', 'box')
    eq(inspect('box', '.State.Health.Status'), 'healthy', 'health')
    remove('box')


@scenario('check')
def volumes():
    os.mkdir(lab.path('vol'))
    put(lab.path('vol/in'), 'host\n')
    start('box', '-v', lab.path('vol') + ':/rw', '-v', lab.path('vol') + ':/ro:ro', '-v', 'named:/named', '--tmpfs', '/t')
    eq(podman('exec', 'box', 'cat', '/rw/in', '/ro/in').stdout, 'host\nhost\n', 'read')
    podman('exec', 'box', 'sh', '-c', 'echo guest > /rw/out; chown 1000:2000 /rw/out; chmod 604 /rw/out')
    eq(get(lab.path('vol/out')), 'guest\n', 'written')
    s = os.stat(lab.path('vol/out'))
    eq((s.st_uid, s.st_gid, s.st_mode & 0o777), (1000, 2000, 0o604), 'owner and mode')
    has(podman('exec', 'box', 'sh', '-c', 'echo x > /ro/x', status=1).err, 'Read-only file system')
    podman('exec', 'box', 'ls', '/rw/late', status=1)
    put(lab.path('vol/late'), 'late\n')
    eq(podman('exec', 'box', 'cat', '/rw/late').stdout, 'late\n', 'made later on the host')
    put(lab.path('vol/in'), 'changed, and longer\n')
    eq(podman('exec', 'box', 'cat', '/rw/in').stdout, 'changed, and longer\n', 'changed on the host')
    podman('exec', 'box', 'sh', '-c', 'echo kept > /named/f')
    remove('box')
    eq(podman('run', '--rm', '--network=none', '-v', 'named:/n', 'img', 'cat', '/n/f').out, 'kept', 'named volume')
    podman('volume', 'rm', 'named')
    eq(podman('run', '--rm', '--network=none', '-v', lab.path('vol/late') + ':/etc/passwd:ro', 'img', 'cat', '/etc/passwd').out,
       'late', 'a file as a mount')


@scenario()
def users():
    eq(podman('run', '--rm', '--network=none', '--user', '1000:1000', '--group-add', '2000', 'img', 'sh', '-c',
              'id -u; id -g; id -G').out, '1000\n1000\n1000 2000', 'numbers')
    r = podman('run', '--rm', '--network=none', '--user', 'user', 'img', 'sh', '-c', 'id -un; id -Gn; echo $HOME; touch /x',
               status=1)
    eq(r.out, 'user\nuser extra\n/home/user', 'names')
    has(r.err, 'Permission denied')
    podman('run', '--rm', '--network=none', '--user', 'nobody-here', 'img', 'true', status='error')


@scenario()
def user_namespace():
    r = podman('run', '--rm', '--network=none', '--uidmap', '0:100000:5000', '--gidmap', '0:100000:5000', 'img', 'sh', '-c',
               'id -u; cat /proc/self/uid_map; touch /tmp/f; stat -c %u /tmp/f')
    eq(r.out.split(), ['0', '0', '100000', '5000', '0'], 'mapped')


@scenario()
def user_namespace_bridge():
    """The engine sets the network of such a container up when it has been created."""
    podman('run', '-d', '--name', 'box', '--uidmap', '0:100000:5000', '--gidmap', '0:100000:5000', 'img', 'sh', '-c',
           'mkdir /www; echo page > /www/index.html; exec httpd -f -h /www')
    ip = inspect('box', '.NetworkSettings.IPAddress')
    has(podman('exec', 'box', 'ip', 'a').out, re.escape(ip))
    import urllib.request
    until(lambda: podman('exec', 'box', 'wget', '-q', '-O', '-', 'http://127.0.0.1:80/', status=None).out == 'page', 'own server')
    eq(urllib.request.urlopen('http://%s:80/' % ip, timeout=5).read(), b'page\n', 'from the host')
    remove('box')


@scenario('check')
def read_only():
    r = podman('run', '--rm', '--network=none', '--read-only', 'img', 'sh', '-c', 'touch /x; touch /tmp/y && echo tmp', status=0)
    eq(r.out, 'tmp', '/tmp can be written')
    has(r.err, 'Read-only file system')
    r = podman('run', '--rm', '--network=none', '--read-only', '--read-only-tmpfs=false', 'img', 'touch', '/tmp/y', status=1)
    has(r.err, 'Read-only file system')


def caps(*args):
    out = podman('run', '--rm', '--network=none', *args, 'img', 'grep', '^Cap', '/proc/self/status').out
    return {l.split(':')[0]: int(l.split(':')[1], 16) for l in out.split('\n')}


@scenario()
def capabilities():
    c = caps()
    eq((c['CapPrm'], c['CapEff'], c['CapBnd'], c['CapAmb']), (0x800405fb, 0x800405fb, 0x800405fb, 0), 'default')
    c = caps('--cap-drop', 'all')
    eq((c['CapPrm'], c['CapEff'], c['CapBnd']), (0, 0, 0), 'none')
    c = caps('--cap-drop', 'all', '--cap-add', 'NET_RAW,SYS_TIME')
    eq((c['CapEff'], c['CapBnd']), (1 << 13 | 1 << 25, 1 << 13 | 1 << 25), 'two')
    c = caps('--user', '1000')
    eq((c['CapEff'], c['CapPrm']), (0, 0), 'of a user')
    podman('run', '--rm', '--network=none', '--cap-drop', 'CHOWN', 'img', 'chown', '1', '/tmp', status=1)
    podman('run', '--rm', '--network=none', 'img', 'chown', '1', '/tmp')
    eq(podman('run', '--rm', '--network=none', '--security-opt', 'no-new-privileges', 'img', 'grep', 'NoNewPrivs',
              '/proc/self/status').out.split()[1], '1', 'no new privileges')


@scenario()
def privileged():
    r = podman('run', '--rm', '--network=none', '--privileged', 'img', 'sh', '-c',
               'mount -t tmpfs x /tmp && echo y > /tmp/f && cat /tmp/f; grep CapEff /proc/self/status')
    has(r.out, '^y$')
    eq(int(r.out.split()[-1], 16) >> 21 & 1, 1, 'SYS_ADMIN')


@scenario()
def memory_limit():
    start('box', '--memory', '64m')
    r = podman('exec', 'box', 'sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null',
               status=None)
    eq(r.out.split()[:1], [str(64 << 20)], 'limit seen inside')
    # One process over the limit dies; its shell lives.
    r = podman('exec', 'box', 'sh', '-c', 'dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo $?', status=None)
    if r.status == 0:
        eq(r.out, '137', 'status of a process over the limit')
    remove('box')
    # Debian's conmon notes the kill in a file of its working directory, where its Podman does not look.
    os.mkdir(lab.path('oomdir'))
    podman('run', '--name', 'box', '--network=none', '--memory', '32m', '--memory-swap', '32m', 'img', 'sh', '-c',
           'dd if=/dev/zero of=/dev/null bs=200M count=1; st=$?; sleep 1; exit $st', status=137, cwd=lab.path('oomdir'))
    eq(inspect('box', '.State.OOMKilled') == 'true' or os.path.exists(lab.path('oomdir/oom')), True, 'OOM')
    remove('box')


@scenario()
def pids_limit():
    r = podman('run', '--rm', '--network=none', '--pids-limit', '10', 'img', 'sh', '-c',
               'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done; echo lived', status=None)
    has(r.err, "can't fork|Resource temporarily unavailable")
    r = podman('run', '--rm', '--network=none', '--pids-limit', '20', 'img', 'sh', '-c',
               'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; echo lived')
    eq((r.out, r.err), ('lived', ''), 'below the limit')


@scenario()
def update():
    start('box', '--memory', '64m')
    podman('update', '--memory', '96m', 'box')
    r = podman('exec', 'box', 'sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null',
               status=None)
    eq(r.out.split()[:1], [str(96 << 20)], 'limit seen inside')
    remove('box')


@scenario()
def seccomp():
    put(lab.path('profile'), json.dumps({'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [
        {'names': ['mkdir', 'mkdirat'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 38},
        {'names': ['chmod', 'fchmodat'], 'action': 'SCMP_ACT_ERRNO'},
        {'names': ['sync'], 'action': 'SCMP_ACT_KILL_PROCESS'}]}))
    opt = '--security-opt=seccomp=' + lab.path('profile')
    has(podman('run', '--rm', '--network=none', opt, 'img', 'mkdir', '/x', status=1).err, 'Function not implemented')
    has(podman('run', '--rm', '--network=none', opt, 'img', 'chmod', '700', '/tmp', status=1).err, 'Operation not permitted')
    podman('run', '--rm', '--network=none', opt, 'img', 'sync', status=159)
    eq(podman('run', '--rm', '--network=none', opt, 'img', 'grep', 'Seccomp:', '/proc/self/status').out.split()[1], '2', 'status')
    start('box', opt)
    has(podman('exec', 'box', 'mkdir', '/x', status=1).err, 'Function not implemented')
    remove('box')
    podman('run', '--rm', '--network=none', '--security-opt=seccomp=unconfined', 'img', 'mkdir', '/x')


@scenario()
def init():
    start('box', '--init', 'img', 'sh', '-c', '(sleep 0.2 &) ; exec sleep 1000')
    has(podman('exec', 'box', 'cat', '/proc/1/cmdline').out, 'init')
    until(lambda: podman('exec', 'box', 'pidof', 'sleep').out.count(' ') == 0, 'orphan is gone')
    eq(podman('exec', 'box', 'sh', '-c', 'grep -l "^State:.Z" /proc/[0-9]*/status; true').out, '', 'zombies')
    begin = time.time()
    podman('stop', '-t', '10', 'box')
    eq(time.time() - begin < 5, True, 'init passes SIGTERM on')
    remove('box')


@scenario()
def pod():
    podman('pod', 'create', '--name', 'p', '--network=none')
    podman('run', '-d', '--pod', 'p', '--name', 'server', 'img', 'sh', '-c',
           'mkdir /www; echo page > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www')
    r = until(lambda: (lambda r: r if r.status == 0 else None)(
        podman('run', '--rm', '--pod', 'p', 'img', 'wget', '-q', '-O', '-', 'http://127.0.0.1:8080/', status=None)),
        'the other container answers')
    eq(r.stdout, 'page\n', 'page')
    eq(podman('run', '--rm', '--pod', 'p', 'img', 'hostname').out, 'p', 'host name')
    podman('run', '--rm', '--pod', 'p', 'img', 'ls', '/www', status=1)
    eq(len(podman('ps', '--filter', 'pod=p', '-q').out.split()), 2, 'containers')
    podman('pod', 'stop', '-t', '0', 'p')
    podman('pod', 'rm', '-f', '-t', '0', 'p')


@scenario(timeout=90)
def build():
    os.mkdir(lab.path('ctx'))
    put(lab.path('ctx/Containerfile'), '''FROM img
COPY data /data
RUN tr a-z A-Z < /data > /made && mkdir -p /d/e && ln -s e /d/l && chown 1000:1000 /made && chmod 640 /made
ENV A=b
RUN echo $A > /env && rm /etc/group
USER user
CMD ["cat", "/made"]
''')
    put(lab.path('ctx/data'), 'some data\n')
    podman('build', '--runtime', lab.runtime, '--network=none', '-q', '-t', 'built', lab.path('ctx'))
    eq(podman('run', '--rm', '--network=none', 'built').stdout, 'SOME DATA\n', 'command')
    eq(podman('run', '--rm', '--network=none', 'built', 'sh', '-c', 'ls /etc/group 2>&-; stat -c "%u %a" /made; cat /env; readlink /d/l').out,
       '1000 640\nb\ne', 'layers')
    put(lab.path('ctx/Containerfile'), 'FROM img\nRUN echo no >&2; exit 7\n')
    has(podman('build', '--runtime', lab.runtime, '--network=none', '-t', 'bad', lab.path('ctx'), status=7).err, 'exit status 7|status 7')


@scenario()
def rootfs_option():
    eq(podman('run', '--rm', '--network=none', '--rootfs', lab.path('rootfs'), 'uname', '-s').out, 'Linux', 'uname')


@scenario()
def networks():
    eq(podman('run', '--rm', '--network=none', 'img', 'ls', '/sys/class/net').out, 'lo', 'none')
    podman('run', '--rm', '--network=none', '--cap-add=NET_RAW', 'img', 'ping', '-c1', '-W2', '127.0.0.1')
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen()
    port = str(s.getsockname()[1])
    podman('run', '--rm', '--network=none', 'img', 'nc', '-w', '2', '127.0.0.1', port, status=1)
    s.close()


@scenario()
def network_host():
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen()
    podman('run', '-d', '--name', 'box', '--network=host', 'img', 'sh', '-c', 'echo through | nc -w 5 127.0.0.1 %d' % s.getsockname()[1])
    s.settimeout(10)
    eq(s.accept()[0].recv(100), b'through\n', 'through the host')
    s.close()
    remove('box')


@scenario()
def network_bridge():
    podman('run', '-d', '--name', 'box', '-p', '127.0.0.1:18080:80', 'img', 'sh', '-c', 'mkdir /www; echo page > /www/index.html; exec httpd -f -h /www')
    ip = inspect('box', '.NetworkSettings.IPAddress')
    has(podman('exec', 'box', 'ip', 'a').out, re.escape(ip))
    until(lambda: podman('exec', 'box', 'wget', '-q', '-O', '-', 'http://127.0.0.1:80/', status=None).out == 'page', 'own server')
    eq(podman('run', '--rm', 'img', 'wget', '-q', '-O', '-', 'http://%s:80/' % ip).out, 'page', 'from another container')
    import urllib.request
    eq(urllib.request.urlopen('http://%s/' % ip, timeout=5).read(), b'page\n', 'from the host')
    eq(urllib.request.urlopen('http://127.0.0.1:18080/', timeout=5).read(), b'page\n', 'a published port')
    remove('box')


@scenario()
def checkpoint():
    start('box')
    r = podman('container', 'checkpoint', 'box', status='error')
    if not lab.is_runc:
        has(r.err, 'checkpoint')
    eq(inspect('box', '.State.Status'), 'running', 'status after a refusal')
    eq(podman('exec', 'box', 'echo', 'alive').out, 'alive', 'after a refusal')
    remove('box')


@scenario()
def bad_runtime_input():
    """What the runtime refuses is said in the client's words."""
    r = podman('run', '--rm', '--network=none', '-w', '/etc/passwd', 'img', 'true', status='error')
    has(r.err, 'passwd|not a directory')
    r = podman('run', '--rm', '--network=none', '--cap-add', 'NO_SUCH_CAP', 'img', 'true', status='error')
    r = podman('run', '--rm', '--network=none', '--sysctl', 'kernel.no_such=1', 'img', 'true', status='error')
    has(r.err, 'no_such')


@scenario()
def clean_up():
    """Containers that end by themselves leave nothing; a killed runtime process is cleaned up."""
    for i in range(3):
        podman('run', '--rm', '--network=none', 'img', 'true')
    until(lambda: not lab.runtime_processes(), 'no process is left', 5)
    start('box')
    os.kill(int(inspect('box', '.State.Pid')), signal.SIGKILL)
    until(lambda: inspect('box', '.State.Status') == 'exited', 'end of a container whose process was killed')
    eq(inspect('box', '.State.ExitCode'), '137', 'exit code')
    podman('start', 'box')
    eq(podman('exec', 'box', 'echo', 'again').out, 'again', 'started again')
    remove('box')


@scenario()
def installed():
    if lab.is_runc:
        skip('cvisor installs itself')
    run(lab.runtime, 'install', '--name', 'under-name', '--path', lab.runtime, '--podman')
    eq(podman('--runtime', 'under-name', 'run', '--rm', '--network=none', 'img', 'echo', 'hello').out, 'hello', 'by its name')
    eq(podman('run', '--rm', '--network=none', 'img', 'echo', 'hello').out, 'hello', 'what was there before')
    run(lab.runtime, 'uninstall', '--name', 'under-name', '--podman')
    podman('--runtime', 'under-name', 'run', '--rm', '--network=none', 'img', 'true', status='error')


if __name__ == '__main__':
    sys.exit(main(setup, teardown, cleanup))
