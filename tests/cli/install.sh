# The runtime in the configuration of Docker, containerd and Podman; real parsers read the result.
. "$(dirname "$0")/lib.inc"
/usr/bin/python3 - "$cvisor" <<'END' || fail=1
import json, os, subprocess, sys, tomllib
cv = sys.argv[1]
failed = False
W = os.getcwd()
D, C, P = W + '/d/daemon.json', W + '/c/config.toml', W + '/p/x.conf'
ALL = ['--docker=' + D, '--containerd=' + C, '--podman=' + P]


def check(got, want, what):
    global failed
    if got != want:
        failed = True
        print('%s: got %r, want %r' % (what, got, want))


def cvisor(*args, status=0):
    r = subprocess.run([cv] + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check((r.returncode, r.stderr if status == 0 else ''), (status, ''), ' '.join(args))
    return r.stdout if status == 0 else r.stderr


def put(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)


def get(path):
    return open(path).read() if os.path.exists(path) else None


def runtime_of(toml):
    plugins = tomllib.loads(toml)['plugins']
    for name in ('io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.runtime', 'cri'):
        if name in plugins and 'containerd' in plugins[name]:
            return plugins[name]['containerd']['runtimes']['cvisor']


# From nothing, and back to nothing.
cvisor('install', '--path', '/bin/true', '--dry-run', *ALL)
check([get(f) for f in (D, C, P)], [None] * 3, 'a dry run writes nothing')
cvisor('install', '--path', '/bin/true', *ALL)
check(json.loads(get(D)), {'runtimes': {'cvisor': {'path': '/bin/true'}}}, 'Docker')
check(runtime_of(get(C)), {'runtime_type': 'io.containerd.runc.v2', 'options': {'BinaryName': '/bin/true'}}, 'containerd')
check(tomllib.loads(get(P)), {'engine': {'runtimes': {'cvisor': ['/bin/true']}}}, 'Podman')
check(os.stat(D).st_mode & 0o777, 0o644, 'mode')
before = [get(f) for f in (D, C, P)]
check(cvisor('install', '--path', '/bin/true', *ALL).count('already has'), 3, 'again')
check([get(f) for f in (D, C, P)], before, 'files after a second time')
cvisor('install', '--path', '/bin/false', *ALL)
check([get(f).count('/bin/false') for f in (D, C, P)], [1] * 3, 'another path')
check([get(f).count('/bin/true') for f in (D, C, P)], [0] * 3, 'the old path')
cvisor('uninstall', *ALL)
check([get(f) for f in (D, C, P)], [None, 'version = 2\n', None], 'after uninstall')
check(cvisor('uninstall', *ALL).count('does not have'), 3, 'uninstall again')
cvisor('install', *ALL)
check(json.loads(get(D))['runtimes']['cvisor']['path'], cv, 'own path')
cvisor('uninstall', *ALL)

# What is there is kept.
docker = {'log-level': 'warn', 'runtimes': {'other': {'path': '/o', 'runtimeArgs': ['--x']}}, 'default-runtime': 'other', 'n': 12}
put(D, json.dumps(docker, indent=2) + '\n')
os.chmod(D, 0o600)
containerd = '''# a comment
version = 2
imports = [
  "/etc/containerd/[a].toml", # another
]

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = """
[not.a.header]
"""
    [plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'

[debug]
  level = "info"'''
put(C, containerd)
podman = '''[engine]
events_logger = "file"
[engine.runtimes] # mine
  runc = [
    "/usr/bin/runc",
  ]
[network]
'''
put(P + '.real', podman)
os.symlink(P + '.real', P)
cvisor('install', '--path', '/bin/true', *ALL)
d = json.loads(get(D))
check(d['runtimes'].pop('cvisor'), {'path': '/bin/true'}, 'added to Docker')
check(d, docker, 'the rest of Docker')
check(list(json.loads(get(D))), list(docker), 'order')
check(os.stat(D).st_mode & 0o777, 0o600, 'mode kept')
check(runtime_of(get(C))['options']['BinaryName'], '/bin/true', 'added to containerd')
check(get(C).startswith(containerd), True, 'the rest of containerd')
check(tomllib.loads(get(P))['engine'], {'events_logger': 'file', 'runtimes': {'cvisor': ['/bin/true'], 'runc': ['/usr/bin/runc']}}, 'Podman')
check(os.path.islink(P), True, 'the link')
cvisor('install', '--name', 'cv-2', '--path', '/bin/false', *ALL)
check(sorted(json.loads(get(D))['runtimes']), ['cv-2', 'cvisor', 'other'], 'two names')
cvisor('uninstall', *ALL)
cvisor('uninstall', '--name', 'cv-2', *ALL)
check(json.loads(get(D)), docker, 'Docker after uninstall')
check(get(D), json.dumps(docker, indent=2) + '\n', 'layout of Docker')
check(get(C).rstrip('\n'), containerd, 'containerd after uninstall')
check(get(P), podman, 'Podman after uninstall')

# Other versions of containerd's layout.
for text, plugin in (('version = 3\n', 'io.containerd.cri.v1.runtime'), ('root = "/x"\n', 'cri')):
    put(C, text)
    cvisor('install', '--path', '/bin/true', '--containerd=' + C)
    check(list(tomllib.loads(get(C))['plugins']), [plugin], text)

# A table without the options, and one without the type: only what is missing comes in.
put(C, 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.cvisor]\nprivileged_without_host_devices = true')
cvisor('install', '--path', '/bin/true', '--containerd=' + C)
check(runtime_of(get(C)), {'runtime_type': 'io.containerd.runc.v2', 'privileged_without_host_devices': True,
                           'options': {'BinaryName': '/bin/true'}}, 'completed')

# What cannot be edited is refused, and nothing is changed.
for f, text, option, says in (
        (D, '{"runtimes": {', 'docker', 'daemon.json:1:'), (D, '[1]', 'docker', 'not an object'),
        (D, '{"runtimes": 3}', 'docker', "'runtimes' is not an object"),
        (C, 'version = 2\nplugins = {}\n', 'containerd', "'plugins'"), (C, 'version = 9\n', 'containerd', 'version 9'),
        (C, 'a = "x\n', 'containerd', 'config.toml:1: a string does not end'), (C, 'a = [1\n', 'containerd', 'bracket'),
        (C, '\n[a\n', 'containerd', 'config.toml:2:'), (C, 'a b\n', 'containerd', "'='"),
        (P, '[engine]\nruntimes = {runc = ["/r"]}\n', 'podman', "'engine.runtimes'"),
        (P, 'engine.runtimes.runc = ["/r"]\n', 'podman', "'engine.runtimes.runc'")):
    put(f, text)
    err = cvisor('install', '--path', '/bin/true', '--%s=%s' % (option, f), status=1)
    check((says in err, err.count('\n'), get(f)), (True, 1, text), 'refused: %s: %s' % (text, err))
put(D, '{"runtimes": {"cvisor": {"path": "/x"}}, "default-runtime": "cvisor"}')
check('default-runtime' in cvisor('uninstall', '--docker=' + D, status=1), True, 'the default runtime stays')
put(D, '{}')
os.unlink(P)
os.mkdir(P)
check('cvisor: podman' in cvisor('install', '--path', '/bin/true', '--podman=' + P, '--docker=' + D, status=1), True, 'a directory')
check('cvisor' in get(D), True, 'one failure does not stop the others')
for bad in (['--name', 'a/b'], ['--path', 'x'], ['--docker=rel'], ['x'], ['--nope']):
    cvisor('install', *bad, status=2)
cvisor('install', '--path', '/no/such', '--docker=' + D, status=1)
check(sorted(f for d in 'dcp' for f in os.listdir(W + '/' + d)), ['config.toml', 'daemon.json', 'x.conf', 'x.conf.real'], 'files')
sys.exit(failed)
END
finish
