#!/usr/bin/python3
"""containerd's CRI plugin, as a kubelet speaks to it: pods whose runtime handler is the runtime under test."""
import sys
import containerd as ctd
from harness import *

CONFIG = '''
version = 2
root = "%s"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:latest"
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "under-test"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.under-test]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.under-test.options]
  BinaryName = "%s"
'''
POD, CONTAINER = 0, 1  # NamespaceMode
scenarios.clear()  # those of the module just imported


def encode(fields):
    """A protocol buffer of {number: int, str, bytes, dict (a message) or list of them}."""
    def varint(v):
        out = b''
        while v > 0x7f:
            out += bytes([v & 0x7f | 0x80])
            v >>= 7
        return out + bytes([v])
    out = b''
    for number, value in fields.items():
        for v in value if isinstance(value, list) else [value]:
            if isinstance(v, int):
                out += varint(number << 3) + varint(v)
                continue
            if isinstance(v, dict):
                v = encode(v)
            elif isinstance(v, str):
                v = v.encode()
            out += varint(number << 3 | 2) + varint(len(v)) + v
    return out


def decode(data):
    """{number: [int or bytes]} of a protocol buffer."""
    at, out = 0, {}

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            b = data[at]
            at += 1
            v |= (b & 0x7f) << shift
            shift += 7
            if b < 0x80:
                return v
    while at < len(data):
        key = varint()
        if key & 7 == 0:
            v = varint()
        elif key & 7 == 2:
            n = varint()
            v, at = data[at:at + n], at + n
        else:
            n = 8 if key & 7 == 1 else 4
            v, at = data[at:at + n], at + n
        out.setdefault(key >> 3, []).append(v)
    return out


def labels(d):
    return [{1: k, 2: v} for k, v in d.items()]


def call(method, fields, service='RuntimeService', error=None):
    """One CRI call; with error, it must fail with text that matches."""
    import grpc
    fn = channel.unary_unary('/runtime.v1.%s/%s' % (service, method), request_serializer=encode, response_deserializer=decode)
    try:
        r = fn(fields, timeout=40)
    except grpc.RpcError as e:
        if error is not None:
            has(e.details(), error)
            return None
        fail('%s: %s' % (method, e.details()))
    if error is not None:
        fail('%s succeeds' % method)
    return r


def pod_config(name, pid=CONTAINER):
    os.makedirs(lab.path('logs', name), exist_ok=True)
    return {1: {1: name, 2: 'uid-' + name, 3: 'default'}, 2: name, 3: lab.path('logs', name), 6: labels({'l': 'v'}),
            8: {1: '/pods/' + name, 2: {1: {1: POD, 2: pid}}}}


def run_pod(name, **kw):
    config = pod_config(name, **kw)
    return call('RunPodSandbox', {1: config, 2: 'under-test'})[1][0].decode(), config


def run_container(pod, config, name, *command, linux=None, mounts=()):
    c = {1: {1: name}, 2: {1: ctd.IMAGE}, 3: list(command), 11: name + '.log', 7: list(mounts)}
    c[15] = {2: {3: {1: POD, 2: CONTAINER}}}
    c[15].update(linux or {})
    box = call('CreateContainer', {1: pod, 2: c, 3: config})[1][0].decode()
    call('StartContainer', {1: box})
    return box


def execute(box, *command):
    """(stdout, stderr, exit code)"""
    r = call('ExecSync', {1: box, 2: list(command), 3: 20})
    return r.get(1, [b''])[0].decode(), r.get(2, [b''])[0].decode(), r.get(3, [0])[0]


def state(box):
    """(0 created, 1 running, 2 exited; exit code; reason)"""
    s = decode(call('ContainerStatus', {1: box})[1][0])
    return s.get(3, [0])[0], s.get(7, [0])[0], s.get(10, [b''])[0].decode()


def remove_pod(pod):
    call('StopPodSandbox', {1: pod})
    call('RemovePodSandbox', {1: pod})


def setup():
    global daemon, channel
    try:
        import grpc
    except ImportError:
        fail('python3-grpcio is missing')
    os.makedirs('/etc/cni/net.d', exist_ok=True)
    for f in os.listdir('/etc/cni/net.d'):
        os.unlink('/etc/cni/net.d/' + f)
    put('/etc/cni/net.d/10-pods.conflist', json.dumps({'cniVersion': '0.4.0', 'name': 'pods', 'plugins': [
        {'type': 'bridge', 'bridge': 'pods0', 'isGateway': True,
         'ipam': {'type': 'host-local', 'ranges': [[{'subnet': '10.201.0.0/24'}]], 'routes': [{'dst': '0.0.0.0/0'}]}}]}))
    put('/etc/containerd/config.toml', CONFIG % (lab.path('lib/containerd'), lab.runtime))
    daemon = Daemon('containerd', '-c', '/etc/containerd/config.toml', '-l', 'warn')
    daemon.ready(lambda: ctd.ctr('version', status=None).status == 0)
    ctd.import_image('-n', 'k8s.io')
    ctd.ctr('-n', 'k8s.io', 'images', 'tag', ctd.IMAGE, 'localhost/pause:latest')
    channel = grpc.insecure_channel('unix:///run/containerd/containerd.sock')
    until(lambda: decode(decode(call('Status', {})[1][0])[1][0]).get(2), 'the runtime is ready')


def cleanup():
    for p in call('ListPodSandbox', {}).get(1, []):
        remove_pod(decode(p)[1][0].decode())


def teardown():
    cleanup()
    until(lambda: not lab.runtime_processes(), 'the end of every runtime process: %r' % lab.runtime_processes(), 5)
    until(lambda: 'containerd-shim' not in run('ps', '-e', '-o', 'comm=').out, 'the end of every shim', 10)
    eq(lab.left_cgroups('^[0-9a-f]{64}$'), [], 'cgroups left behind')
    daemon.stop()


@scenario('check')
def pod_of_two():
    """Two containers of a pod: own roots and processes, one network, one host name."""
    pod, config = run_pod('p1')
    server = run_container(pod, config, 'server', 'sh', '-c',
                           'mkdir /www; echo page > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www')
    box = run_container(pod, config, 'client', 'sh', '-c', 'echo out; echo err >&2; sleep 1000')
    eq(state(box)[0], 1, 'state')
    until(lambda: execute(box, 'wget', '-q', '-O', '-', 'http://127.0.0.1:8080/')[0] == 'page\n', 'the other container answers')
    eq(execute(box, 'sh', '-c', 'echo o; echo e >&2; exit 3'), ('o\n', 'e\n', 3), 'exec')
    eq(execute(box, 'ls', '/www')[2], 1, 'own root')
    eq(execute(box, 'pidof', 'httpd')[2], 1, 'own processes')
    log = until(lambda: (lambda t: t if 'err' in t else None)(get(lab.path('logs/p1/client.log'))), 'the log')
    has(log, ' stdout F out$')
    has(log, ' stderr F err$')
    call('StopContainer', {1: server, 2: 1})
    eq(state(server)[0], 2, 'state of a stopped container')
    eq(execute(box, 'echo', 'alive')[0], 'alive\n', 'the other one')
    remove_pod(pod)


@scenario()
def pod_network():
    pod, config = run_pod('p2')
    server = run_container(pod, config, 'server', 'sh', '-c',
                           'mkdir /www; echo page > /www/index.html; exec httpd -f -p 8080 -h /www')
    box = run_container(pod, config, 'client', 'sleep', '1000')
    until(lambda: execute(box, 'wget', '-q', '-O', '-', 'http://127.0.0.1:8080/')[0] == 'page\n', 'over localhost')
    s = decode(call('PodSandboxStatus', {1: pod})[1][0])
    ip = decode(s[5][0])[1][0].decode()
    has(execute(server, 'ip', 'a')[0], re.escape(ip))
    import urllib.request
    eq(urllib.request.urlopen('http://%s:8080/' % ip, timeout=5).read(), b'page\n', 'from the node')
    eq(execute(box, 'hostname')[0], 'p2\n', 'host name')
    remove_pod(pod)


@scenario()
def shared_pid_namespace():
    pod, config = run_pod('p3', pid=POD)
    linux = {2: {3: {1: POD, 2: POD}}}
    run_container(pod, config, 'one', 'sleep', '777', linux=linux)
    box = run_container(pod, config, 'two', 'sleep', '1000', linux=linux)
    until(lambda: 'sleep 777' in execute(box, 'ps')[0], "the other container's process")
    remove_pod(pod)


@scenario()
def stats_and_limits():
    pod, config = run_pod('p4')
    box = run_container(pod, config, 'box', 'sh', '-c', 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 1000',
                        linux={1: {4: 64 << 20}})
    time.sleep(1)
    s = until(lambda: (lambda s: s if s.get(2) and s.get(3) else None)(decode(call('ContainerStats', {1: box})[1][0])), 'statistics')
    eq(decode(decode(s[2][0])[2][0])[1][0] > 0, True, 'processor time')
    eq(decode(decode(s[3][0])[2][0])[1][0] > 0, True, 'memory')
    eq(execute(box, 'sh', '-c', 'dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; echo $?')[0], '137\n', 'over the limit')
    call('UpdateContainerResources', {1: box, 2: {4: 96 << 20}})
    eq(execute(box, 'echo', 'alive')[0], 'alive\n', 'after an update')
    remove_pod(pod)


@scenario()
def container_ends():
    pod, config = run_pod('p5')
    box = run_container(pod, config, 'box', 'sh', '-c', 'exit 7')
    until(lambda: state(box)[0] == 2, 'the end')
    eq(state(box)[1:], (7, 'Error'), 'exit code and reason')
    call('RemoveContainer', {1: box})
    c = {1: {1: 'bad'}, 2: {1: ctd.IMAGE}, 3: ['no-such-program'], 11: 'bad.log'}
    box = call('CreateContainer', {1: pod, 2: c, 3: config})[1][0].decode()
    call('StartContainer', {1: box}, error='no-such-program')
    remove_pod(pod)


@scenario()
def mounts_and_security():
    os.mkdir(lab.path('vol'))
    put(lab.path('vol/f'), 'host\n')
    pod, config = run_pod('p6')
    box = run_container(pod, config, 'box', 'sleep', '1000', mounts=[{1: '/ro', 2: lab.path('vol'), 3: 1}, {1: '/rw', 2: lab.path('vol')}],
                        linux={2: {3: {1: POD, 2: CONTAINER}, 5: {1: 1000}, 7: 1, 8: [2000]}})
    eq(execute(box, 'sh', '-c', 'cat /ro/f; id -u; id -G'), ('host\n1000\n1000 2000\n', '', 0), 'mount, user, groups')
    has(execute(box, 'touch', '/x')[1], 'Read-only file system')
    has(execute(box, 'touch', '/ro/x')[1], 'Read-only file system')
    remove_pod(pod)


if __name__ == '__main__':
    sys.exit(main(setup, teardown, cleanup))
