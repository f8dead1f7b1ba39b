#!/usr/bin/python3
"""Podman as an ordinary user: one with subordinate ids, one without."""
import sys
from harness import *

UID, BARE = 12345, 12346
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


def user_env(uid):
    return dict(lab.env, HOME=lab.path('home%d' % uid), XDG_RUNTIME_DIR='/run/user/%d' % uid, USER='lab%d' % uid)


def podman(*args, uid=UID, **kw):
    return run('podman', *args, user=uid, env=user_env(uid), cwd=lab.path('home%d' % uid), **kw)


def setup():
    files, procs = limits()
    put('/etc/containers/containers.conf', CONF % (files, files, procs, procs, lab.name, lab.name, lab.runtime))
    with open('/etc/passwd', 'a') as f:
        for u in (UID, BARE):
            f.write('lab%d:x:%d:%d:lab:%s:/bin/sh\n' % (u, u, u, lab.path('home%d' % u)))
    with open('/etc/group', 'a') as f:
        for u in (UID, BARE):
            f.write('lab%d:x:%d:\n' % (u, u))
    for f in ('/etc/subuid', '/etc/subgid'):
        put(f, 'lab%d:200000:65536\n' % UID)
    for u in (UID, BARE):
        for d in ('/run/user/%d' % u, lab.path('home%d' % u)):
            os.makedirs(d)
            os.chown(d, u, u)
            os.chmod(d, 0o700)
    podman('import', lab.tarball(), 'img')
    shutil.copytree(lab.path('rootfs'), lab.path('home%d' % BARE, 'rootfs'), symlinks=True)
    run('chown', '-R', '%d:%d' % (BARE, BARE), lab.path('home%d' % BARE))


def cleanup():
    podman('pod', 'rm', '-a', '-f', '-t', '0', status=None)
    for u in (UID, BARE):
        podman('rm', '-a', '-f', '-t', '0', uid=u)


def teardown():
    cleanup()
    until(lambda: not lab.runtime_processes(), 'the end of every runtime process: %r' % lab.runtime_processes(), 5)


@scenario('check')
def run_basics():
    eq(podman('run', '--rm', '--network=none', 'img', 'id', '-u').out, '0', 'user')
    podman('run', '--rm', '--network=none', 'img', 'sh', '-c', 'exit 3', status=3)
    r = podman('run', '--rm', '--network=none', '--user', '1000:1000', 'img', 'sh', '-c', 'id -u; touch /tmp/f && stat -c %u /tmp/f')
    eq(r.out, '1000\n1000', 'another user')
    has(podman('run', '--rm', '--network=none', 'img', 'cat', '/proc/self/uid_map').out, r'0 +%d +1\n +1 +200000 +65536' % UID, 'map')


@scenario()
def execs():
    podman('run', '-d', '--name', 'box', '--network=none', 'img', 'sleep', '1000')
    eq(podman('exec', 'box', 'echo', 'hello').out, 'hello', 'output')
    podman('exec', 'box', 'sh', '-c', 'exit 5', status=5)
    eq(podman('exec', '-u', 'user', 'box', 'id', '-un').out, 'user', 'user')
    t = Terminal('podman', 'exec', '-it', 'box', 'sh', env=user_env(UID), user=UID)
    shell_on_terminal(t)
    t.say(b'exit 7\n')
    eq(t.end(), 7, 'exit status')
    podman('stop', '-t', '0', 'box')
    eq(podman('inspect', '-f', '{{.State.ExitCode}}', 'box').out, '137', 'exit code')
    podman('rm', 'box')


@scenario()
def volumes():
    v = lab.path('home%d' % UID, 'vol')
    os.mkdir(v)
    os.chown(v, UID, UID)
    podman('run', '--rm', '--network=none', '-v', v + ':/v', 'img', 'sh', '-c', 'echo x > /v/f; touch /v/g; chown 1000 /v/g')
    eq((os.stat(v + '/f').st_uid, os.stat(v + '/g').st_uid), (UID, 200999), 'owners')
    r = podman('run', '--rm', '--network=none', '--userns=keep-id', '-v', v + ':/v', 'img', 'sh', '-c', 'id -u; stat -c %u /v/f')
    eq(r.out.split(), [str(UID)] * 2, 'own id kept')


@scenario()
def build():
    ctx = lab.path('home%d' % UID, 'ctx')
    os.mkdir(ctx)
    put(ctx + '/Containerfile', 'FROM img\nRUN echo built > /f && chown 1000:1000 /f\nCMD ["cat", "/f"]\n')
    podman('build', '--runtime', lab.runtime, '--network=none', '-q', '-t', 'built', ctx)
    eq(podman('run', '--rm', '--network=none', 'built').out, 'built', 'command')


@scenario()
def pod():
    podman('pod', 'create', '--name', 'p', '--network=none')
    podman('run', '-d', '--pod', 'p', '--name', 'server', 'img', 'sh', '-c',
           'mkdir /www; echo page > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www')
    r = until(lambda: (lambda r: r if r.status == 0 else None)(
        podman('run', '--rm', '--pod', 'p', 'img', 'wget', '-q', '-O', '-', 'http://127.0.0.1:8080/', status=None)),
        'the other container answers')
    eq(r.stdout, 'page\n', 'page')
    podman('pod', 'rm', '-f', '-t', '0', 'p')


@scenario()
def without_subuids():
    root = lab.path('home%d' % BARE, 'rootfs')
    r = podman('run', '--rm', '--network=none', '--rootfs', root, 'sh', '-c', 'id -u; echo x > /tmp/f; exit 3', uid=BARE, status=3)
    eq(r.out, '0', 'user')
    eq(os.stat(root + '/tmp/f').st_uid, BARE, 'owner')


if __name__ == '__main__':
    sys.exit(main(setup, teardown, cleanup))
