"""Network rows of the benchmarks: a server in a sandbox, or in a plain network namespace, and its client in
another namespace, the host's Linux, over a veth pair. Usage: net.py CVISOR [--quick] [NAME...] prints the figures.

The CPU is that of all processes of both ends, per MiB or request: what a link costs is paid by whoever sends
on it, so neither end alone tells it.
"""
import json, os, re, shutil, signal, statistics, subprocess, sys, tempfile, time

TICK = os.sysconf('SC_CLK_TCK')
SERVER, CLIENT = '10.91.0.1', '10.91.0.2'


def run(*cmd, timeout=60):
    return subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, text=True)


class Pair:
    """Two namespaces with a veth pair between them, for as long as it lives."""

    def __enter__(self):
        self.near, self.far = ('cvb-%s-%d' % (x, os.getpid()) for x in 'sc')
        for cmd in ('netns add %s' % self.near, 'netns add %s' % self.far,
                    'link add eth0 netns %s type veth peer name eth0 netns %s' % (self.near, self.far),
                    '-n %s addr add %s/24 dev eth0' % (self.near, SERVER), '-n %s addr add %s/24 dev eth0' % (self.far, CLIENT),
                    *('-n %s link set %s up' % (n, l) for n in (self.near, self.far) for l in ('eth0', 'lo'))):
            if run('ip', *cmd.split()).returncode:
                self.__exit__()
                raise OSError('ip ' + cmd)
        return self

    def __exit__(self, *_):
        for n in (self.near, self.far):
            for pid in run('ip', 'netns', 'pids', n).stdout.split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except OSError:
                    pass
            run('ip', 'netns', 'del', n)

    def prefix(self, kind, cvisor):
        if kind == 'netns':
            return ['ip', 'netns', 'exec', self.near]
        return [cvisor, '--network', 'sandbox', 'do', '--netns', '/run/netns/' + self.near, '--']


def tree(pid):
    pids, todo = [], [pid]
    while todo:
        p = todo.pop()
        pids.append(p)
        try:
            for t in os.listdir('/proc/%d/task' % p):
                todo += [int(c) for c in open('/proc/%d/task/%s/children' % (p, t)).read().split()]
        except OSError:
            pass
    return pids


def cpu_s(pids):
    n = 0
    for p in pids:
        try:
            f = open('/proc/%d/stat' % p).read().rsplit(')', 1)[1].split()
            n += int(f[11]) + int(f[12])
        except OSError:
            pass
    return n / TICK


class Server:
    """A server's processes, from when it listens until the end of the block."""

    def __init__(self, pair, kind, cvisor, port, cmd):
        self.pair, self.port = pair, port
        self.cmd = pair.prefix(kind, cvisor) + cmd

    def __enter__(self):
        self.p = subprocess.Popen(self.cmd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        until = time.time() + 20
        probe = 'import socket; socket.create_connection(("%s", %d), 1)' % (SERVER, self.port)
        while run('ip', 'netns', 'exec', self.pair.far, '/usr/bin/python3', '-c', probe).returncode:
            if time.time() > until or self.p.poll() is not None:
                self.__exit__()
                raise OSError('does not listen: %s' % self.cmd)
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.p.pid, signal.SIGTERM)
        except OSError:
            pass
        try:
            self.p.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.p.pid, signal.SIGKILL)
            self.p.wait()

    def measure(self, cmd):
        """A client's output, and the CPU seconds of both ends."""
        pids = tree(self.p.pid)
        before = cpu_s(pids)
        p = subprocess.Popen(['ip', 'netns', 'exec', self.pair.far] + cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        out = p.stdout.read()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        if p.returncode:
            raise OSError('%s: %s' % (cmd, out[-300:]))
        return out, cpu_s(pids) - before + usage.ru_utime + usage.ru_stime


def iperf(server, seconds, *more):
    """(Gbit/s received, CPU ms per MiB, loss in percent)"""
    out, cpu = server.measure(['iperf3', '-J', '-c', SERVER, '-t', str(seconds), *more])
    end = json.loads(out)['end']
    if '-u' not in more:
        s = end['sum_received']
        return s['bits_per_second'] / 1e9, cpu * 1e3 / (s['bytes'] / 2**20), None
    s = end.get('sum_received') or end['sum']
    kept = s['packets'] - s['lost_packets']
    size = int(more[more.index('-l') + 1])
    return kept * size * 8 / s['seconds'] / 1e9, cpu * 1e3 / max(kept * size / 2**20, 1e-9), s['lost_percent']


def wrk(server, seconds, connections):
    out, cpu = server.measure(['wrk', '-t1', '-c%d' % connections, '-d%ds' % seconds, 'http://%s:8080/index.html' % SERVER])
    n = int(re.search(r'(\d+) requests in', out).group(1))
    return float(re.search(r'Requests/sec:\s+([\d.]+)', out).group(1)), cpu * 1e6 / n, None


def redis(server, seconds, *more):
    n = 20000 * seconds
    out, cpu = server.measure(['redis-benchmark', '-h', SERVER, '-p', '6380', '-t', 'get', '-c', '50', '-n', str(n), '-q', *more])
    return float(re.findall(r'([\d.]+) requests per second', out)[-1]), cpu * 1e6 / n, None


UDP = ('-u', '-b', '2G', '-l', '1400')
CASES = {
    # name: (what, server, how, goal as a share of the plain namespace's rate)
    'tcp_in': ('TCP, 1 stream in', 'iperf3', lambda s, t: iperf(s, t), 0.8),
    'tcp_out': ('TCP, 1 stream out', 'iperf3', lambda s, t: iperf(s, t, '-R'), 0.8),
    'tcp_in8': ('TCP, 8 streams in', 'iperf3', lambda s, t: iperf(s, t, '-P', '8'), 0.8),
    'tcp_out8': ('TCP, 8 streams out', 'iperf3', lambda s, t: iperf(s, t, '-P', '8', '-R'), 0.8),
    'udp_in': ('UDP of 1,400 bytes in, 2 Gbit/s offered', 'iperf3', lambda s, t: iperf(s, t, *UDP), 0.8),
    'udp_out': ('UDP of 1,400 bytes out, 2 Gbit/s offered', 'iperf3', lambda s, t: iperf(s, t, *UDP, '-R'), 0.8),
    'nginx': ('nginx, 1 KiB, wrk with 32 connections', 'nginx', lambda s, t: wrk(s, t, 32), 0.7),
    'nginx_1': ('nginx, 1 KiB, 1 connection', 'nginx', lambda s, t: wrk(s, t, 1), 0.7),
    'redis': ('redis GET, 50 connections', 'redis', lambda s, t: redis(s, t), 0.7),
    'redis_16': ('redis GET, 16 in a pipeline', 'redis', lambda s, t: redis(s, t * 4, '-P', '16'), 0.7),
}
CONF = """daemon off; master_process off; worker_processes 1; pid %(dir)s/pid; error_log %(dir)s/err; user root;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path %(dir)s/b; proxy_temp_path %(dir)s/p;
fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
server { listen 8080; root %(dir)s; } }
"""


def servers(work):
    with open(work + '/index.html', 'w') as f:
        f.write('x' * 1023 + '\n')
    with open(work + '/nginx.conf', 'w') as f:
        f.write(CONF % {'dir': work})
    return {
        'iperf3': (5201, ['iperf3', '-s']),
        'nginx': (8080, ['nginx', '-c', work + '/nginx.conf', '-e', work + '/err']),
        'redis': (6380, ['redis-server', '--port', '6380', '--bind', '0.0.0.0', '--protected-mode', 'no', '--save', '', '--appendonly', 'no', '--dir', work]),
    }


def measure(cvisor, rounds, seconds, names=None, log=None):
    """{name: {kind: (rate, cpu, loss)}}: medians; what did not run is left out."""
    work = tempfile.mkdtemp(prefix='cvnet.', dir='/tmp')
    os.chmod(work, 0o755)
    known, got = servers(work), {}
    try:
        for name in names or CASES:
            _, which, how, _ = CASES[name]
            port, cmd = known[which]
            if not shutil.which(cmd[0]):
                continue
            for _ in range(rounds):
                for kind in ('netns', 'cvisor'):
                    try:
                        with Pair() as pair, Server(pair, kind, cvisor, port, cmd) as s:
                            got.setdefault(name, {}).setdefault(kind, []).append(how(s, seconds))
                            if log:
                                log(name, kind, got[name][kind][-1])
                    except (OSError, ValueError, KeyError, AttributeError, subprocess.TimeoutExpired) as e:
                        print('%s, %s: %s' % (name, kind, e), file=sys.stderr)
    finally:
        shutil.rmtree(work)
    return {n: {k: tuple(None if c[0] is None else statistics.median(c) for c in zip(*v)) for k, v in kinds.items()} for n, kinds in got.items()}


def show(v, name):
    rate, cpu, loss = v
    if name.startswith(('tcp', 'udp')):
        return '%.2f Gbit/s%s, %.2f ms/MiB' % (rate, '' if loss is None else ' (%.1f %% lost)' % loss, cpu)
    return '%.0f/s, %.0f µs' % (rate, cpu)


def rows(cvisor, rounds, seconds):
    """Rows for the table of docs/BENCHMARKS.md."""
    out = []
    got = measure(cvisor, rounds, seconds)
    for name, (what, _, _, goal) in CASES.items():
        kinds = got.get(name, {})
        n, c = kinds.get('netns'), kinds.get('cvisor')
        ratio = c[0] / n[0] if n and c and n[0] else None
        out.append(('over veth: ' + what, show(n, name) if n else '–', show(c, name) if c else '–', '%.2f' % ratio if ratio else '–', '–',
                    '≥ %g × native' % goal, ratio is not None and ratio >= goal))
    return out


if __name__ == '__main__':
    args = [a for a in sys.argv[1:] if a != '--quick']
    quick = '--quick' in sys.argv
    res = measure(os.path.abspath(args[0]), 1 if quick else 3, 2 if quick else 5, args[1:] or None,
                  lambda *a: print(*a, file=sys.stderr))
    for name, kinds in res.items():
        print(name, {k: show(v, name) for k, v in kinds.items()},
              '%.2f' % (kinds['cvisor'][0] / kinds['netns'][0]) if len(kinds) == 2 else '')
