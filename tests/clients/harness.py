"""A private place to run container clients in, and what their scenarios share.

A client (Podman, containerd, Docker) is started in namespaces of its own: mounts, processes,
network, cgroups, IPC and host name. Its configuration and data are below one temporary directory
(an overlay stands on /etc, binds on /var/lib/...), so nothing on the machine changes, and the end
of the first process of the namespace takes every daemon, container, mount, interface and firewall
rule with it. The cgroups are below one directory of each hierarchy, removed last.

A client's file holds scenarios, functions marked @scenario, and ends in main(). The runtime is
the path given by --runtime. runc is the oracle: a scenario passes with it before it says anything
about another runtime.

    tests/clients/podman.py --runtime build/cvisor [--tier check|test] [--only PATTERN] [--trace]

Output: one line a scenario, 'ok NAME', 'not ok NAME: what' or 'skip NAME: why'. --trace logs
the runtime's command lines and prints them at the end. --shell gives a shell in the place instead.
"""
import argparse, ctypes, fcntl, fnmatch, glob, json, os, pty, re, resource, select, shutil, signal
import socket, struct, subprocess, sys, tempfile, termios, time

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x8000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

scenarios = []

class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def scenario(tier='test', timeout=60, last=False):
    """Marks a scenario. tier 'check': also in the fast subset. last: runs after the others."""
    def add(fn):
        scenarios.append((fn.__name__, fn, tier, timeout, last))
        return fn
    return add


def skip(why):
    raise Skipped(why)


def fail(what):
    raise Failed(what)


def eq(got, want, what):
    if got != want:
        raise Failed('%s: got %r, want %r' % (what, got, want))


def has(text, pattern, what=None):
    """text matches the regular expression; returns the match."""
    m = re.search(pattern, text, re.M)
    if not m:
        raise Failed('%s: no %r in %r' % (what or 'output', pattern, text[-1500:]))
    return m


def until(fn, what, timeout=15):
    """Calls fn until it gives something true; returns that."""
    end = time.time() + timeout
    while True:
        got = fn()
        if got:
            return got
        if time.time() > end:
            raise Failed('%s does not happen in %d seconds' % (what, timeout))
        time.sleep(0.05)


class Result:
    def __init__(self, args, status, out, err):
        self.args, self.status, self.stdout, self.err = args, status, out, err
        self.out = out.strip()

    def __str__(self):
        return '%s: status %s; stdout %r; stderr %r' % (
            ' '.join(self.args), self.status, self.stdout[-600:], self.err[-1200:])


def run(*args, status=0, stdin=None, timeout=40, env=None, user=None, cwd=None):
    """Runs a command and returns its Result. status: what it must be; None: anything;
    'error': anything but 0."""
    kw = {}
    if user is not None:
        kw = dict(user=user, group=user, extra_groups=[])
    p = subprocess.Popen(list(args), stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env or lab.env,
                         start_new_session=True, cwd=cwd or lab.dir, **kw)
    try:
        out, err = p.communicate(stdin.encode() if stdin is not None else None, timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        try:
            out, err = p.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            out, err = b'', b''
        raise Failed('%s does not end in %d seconds; stdout %r; stderr %r' % (
            ' '.join(args), timeout, out[-600:], err[-1200:]))
    r = Result(args, p.returncode, out.decode(errors='replace'), err.decode(errors='replace'))
    if status is not None and (r.status == 0 if status == 'error' else r.status != status):
        raise Failed('%s (want status %s)' % (r, status))
    return r


class Terminal:
    """A command on a pseudoterminal."""

    def __init__(self, *args, env=None, user=None):
        self.args, self.text = args, b''
        pid, self.master = pty.fork()
        if pid == 0:
            try:
                if user is not None:
                    os.setgroups([])
                    os.setgid(user)
                    os.setuid(user)
                os.chdir(lab.dir)
                os.execvpe(args[0], args, dict(env or lab.env, TERM='xterm'))
            finally:
                os._exit(127)
        self.pid = pid
        self.size(24, 80)

    def size(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))

    def until(self, pattern, timeout=15):
        end = time.time() + timeout
        while True:
            m = re.search(pattern, self.text)
            if m:
                self.text = self.text[m.end():]
                return m
            left = end - time.time()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise Failed('%s: no %r in %r' % (' '.join(self.args), pattern, self.text[-1500:]))
            try:
                got = os.read(self.master, 4096)
            except OSError:
                got = b''
            if not got:
                raise Failed('%s: the terminal closed; no %r in %r' % (
                    ' '.join(self.args), pattern, self.text[-1500:]))
            self.text += got

    def say(self, text):
        os.write(self.master, text)

    def ask(self, line, pattern):
        """Types a line to a shell and returns what the first group of the answer holds."""
        self.say(line + b'\n')
        return self.until(pattern).group(1).decode()

    def end(self, timeout=15):
        """The command's exit status; reads on so that it can write its last."""
        limit = time.time() + timeout
        while time.time() < limit:
            p, st = os.waitpid(self.pid, os.WNOHANG)
            if p:
                os.close(self.master)
                return os.waitstatus_to_exitcode(st)
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self.master, 4096)
                except OSError:
                    time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.master)
        raise Failed('%s does not end; last text %r' % (' '.join(self.args), self.text[-500:]))


def shell_on_terminal(t, prompt=b'# '):
    """What an interactive busybox shell in a container must do on a terminal t."""
    t.until(re.escape(prompt))
    eq(t.ask(b'tty', rb'\n(/dev/\S+|not a tty)\r')[:8], '/dev/pts', 'tty')
    t.size(33, 101)
    for _ in range(100):  # the change has a way to go
        got = t.ask(b'stty size', rb'\n(\d+ \d+)\r')
        if got == '33 101':
            break
        time.sleep(0.05)
    eq(got, '33 101', 'size after a resize')
    t.say(b'sleep 100; echo st=$?\n')
    time.sleep(0.5)
    t.say(b'\x03')
    t.until(rb'\^C')
    eq(t.ask(b'echo al""ive', rb'\n(alive)\r'), 'alive', 'after ^C')
    t.say(b'echo li""sten; cat > /tmp/typed\n')
    t.until(rb'\nlisten\r')
    t.say(b'some text\n\x04')
    t.until(re.escape(prompt))
    eq(t.ask(b'tr a-z A-Z < /tmp/typed', rb'\n([A-Z ]+)\r'), 'SOME TEXT', 'typed input')


class Daemon:
    """A process of the place, with its output in a file."""

    def __init__(self, *args, name=None, env=None):
        self.log = os.path.join(lab.dir, (name or os.path.basename(args[0])) + '.log')
        with open(self.log, 'ab') as f:
            self.p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                                      env=env or lab.env, start_new_session=True, cwd=lab.dir)
        self.name = name or args[0]

    def ready(self, fn, timeout=30):
        def check():
            if self.p.poll() is not None:
                fail('%s ended: %s' % (self.name, self.tail()))
            return fn()
        try:
            until(check, '%s answers' % self.name, timeout)
        except Failed as e:
            fail('%s: %s' % (e, self.tail()))

    def tail(self):
        with open(self.log, errors='replace') as f:
            return f.read()[-1500:]

    def stop(self):
        self.p.terminate()
        try:
            self.p.wait(15)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()


def mount(source, target, fstype, flags=0, data=''):
    os.makedirs(target, exist_ok=True)
    if libc.mount(source.encode(), target.encode(), fstype.encode() if fstype else None,
                  ctypes.c_ulong(flags), data.encode() if data else None) != 0:
        e = ctypes.get_errno()
        raise OSError(e, 'mount %s on %s (%s %s): %s' % (source, target, fstype, data, os.strerror(e)))


def cgroup_mounts():
    """[(mount point, type, controllers)] of this machine."""
    r = []
    with open('/proc/self/mountinfo') as f:
        for line in f:
            a, _, b = line.rstrip('\n').partition(' - ')
            fstype, _, opts = b.split(' ', 2)
            point = a.split(' ')[4]
            if fstype == 'cgroup2' and point.startswith('/sys/fs/cgroup'):
                r.append((point, fstype, ''))
            elif fstype == 'cgroup' and point.startswith('/sys/fs/cgroup'):
                names = [o for o in opts.split(',') if o not in ('rw', 'ro') and
                         not o.startswith(('xattr', 'release_agent', 'clone_children', 'noprefix'))]
                r.append((point, fstype, ','.join(names)))
    return r


def put(path, text):
    with open(path, 'w') as f:
        f.write(text)


def get(path):
    with open(path, errors='replace') as f:
        return f.read()


def own_cgroups():
    """controllers ('' for version 2) -> path of this process."""
    return {line.split(':')[1]: line.rstrip('\n').split(':', 2)[2] for line in open('/proc/self/cgroup')}


class Cgroups:
    """One directory in each hierarchy, below this process's own."""

    def __init__(self, name):
        self.dirs, self.name = [], name
        own = own_cgroups()
        for point, fstype, controllers in cgroup_mounts():
            base = point + own.get(controllers, '/')
            if not os.path.isdir(base):  # we are in a namespace of cgroups or in a container
                base = point
            d = os.path.join(base, name)
            for old in glob.glob(os.path.join(base, 'cvlab.*')):
                if not os.path.exists('/proc/' + old.rsplit('.', 1)[1]):
                    self.remove(old)
            os.mkdir(d)
            self.dirs.append(d)
            for f in ('cpuset.cpus', 'cpuset.mems'):
                p = os.path.join(d, f)
                if fstype == 'cgroup' and os.path.exists(p):
                    put(p, get(os.path.join(base, f)).strip())

    def enter(self):
        for d in self.dirs:
            put(d + '/cgroup.procs', '0')

    @staticmethod
    def remove(d):
        for sub, _, _ in os.walk(d, topdown=False):
            for _ in range(100):
                try:
                    os.rmdir(sub)
                    break
                except FileNotFoundError:
                    break
                except OSError:  # what was in it is on its way out
                    time.sleep(0.05)

    def done(self):
        for d in self.dirs:
            self.remove(d)


class Lab:
    def start(self, opts):
        self.dir, self.opts = opts.dir, opts
        self.real_runtime = os.path.abspath(opts.runtime)
        self.name = os.path.basename(self.real_runtime)
        self.env = {'PATH': PATH, 'HOME': self.dir + '/home', 'LC_ALL': 'C.UTF-8', 'TMPDIR': self.dir + '/tmp',
                    'TERM': 'dumb'}
        self.is_runc = self.name in ('runc', 'crun')

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def enter(self):
        """In a new set of namespaces: makes the place."""
        mounts = cgroup_mounts()
        mount('none', '/', None, MS_REC | MS_PRIVATE)
        for point, fstype in (('/proc', 'proc'), ('/sys', 'sysfs')):
            libc.umount2(point.encode(), MNT_DETACH)
            mount(fstype, point, fstype)
        if mounts and mounts[0][0] == '/sys/fs/cgroup':
            mount('cgroup', '/sys/fs/cgroup', 'cgroup2')
            os.mkdir('/sys/fs/cgroup/init')
            put('/sys/fs/cgroup/init/cgroup.procs', '0')
            for c in get('/sys/fs/cgroup/cgroup.controllers').split():
                try:
                    put('/sys/fs/cgroup/cgroup.subtree_control', '+' + c)
                except OSError:
                    pass
        elif mounts:
            mount('tmpfs', '/sys/fs/cgroup', 'tmpfs', data='mode=755')
            for point, fstype, controllers in mounts:
                opts = 'none,' + controllers if controllers.startswith('name=') else controllers
                mount('cgroup', point, fstype, data=opts)
                for c in controllers.split(','):
                    if ',' in controllers and not os.path.exists('/sys/fs/cgroup/' + c):
                        os.symlink(os.path.basename(point), '/sys/fs/cgroup/' + c)
        for d in ('tmp', 'home', 'bin', 'etc', 'etc.work', 'lib'):
            os.makedirs(self.path(d), exist_ok=True)
        os.chmod(self.path('tmp'), 0o1777)
        mount('overlay', '/etc', 'overlay',
              data='lowerdir=/etc,upperdir=%s,workdir=%s' % (self.path('etc'), self.path('etc.work')))
        for name in ('containers', 'docker', 'containerd', 'cni'):
            os.makedirs(self.path('lib', name))
            mount(self.path('lib', name), '/var/lib/' + name, None, MS_BIND)
        mount('tmpfs', '/run', 'tmpfs', data='mode=755')
        os.makedirs('/run/lock')
        os.makedirs('/run/user')
        socket.sethostname('lab')
        s = socket.socket()
        flags = struct.unpack('16sH', fcntl.ioctl(s, 0x8913, struct.pack('16sH14x', b'lo', 0))[:18])[1]
        fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', b'lo', flags | 1))
        s.close()
        os.umask(0o022)
        self.runtime = self.path('bin', self.name)
        if self.opts.trace:
            shutil.copy(self.real_runtime, self.runtime + '.real')
            self.calls = self.path('tmp', 'calls')
            put(self.runtime, '#!/bin/sh\necho "$(date +%%s.%%N) $*" >> %s\nexec %s.real "$@"\n' % (self.calls, self.runtime))
        else:
            shutil.copy(self.real_runtime, self.runtime)
        os.chmod(self.runtime, 0o755)
        self.make_rootfs(self.path('rootfs'))

    def make_rootfs(self, d):
        """A root of busybox alone."""
        for sub in ('bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root', 'var', 'home/user'):
            os.makedirs(os.path.join(d, sub))
        os.chmod(os.path.join(d, 'tmp'), 0o1777)
        os.chown(os.path.join(d, 'home/user'), 1000, 1000)
        shutil.copy('/bin/busybox', d + '/bin/busybox')
        names = subprocess.run(['/bin/busybox', '--list'], stdout=subprocess.PIPE, check=True).stdout.decode()
        for n in names.split():
            if n != 'busybox':
                os.symlink('busybox', os.path.join(d, 'bin', n))
        put(d + '/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n')
        put(d + '/etc/group', 'root:x:0:\nuser:x:1000:\nextra:x:2000:user\n')

    def tarball(self):
        path = self.path('rootfs.tar')
        if not os.path.exists(path):
            run('tar', '-C', self.path('rootfs'), '-cf', path, '.')
        return path

    def runtime_processes(self):
        """Processes of the runtime under test that live now: [(pid, command line)]."""
        r, exes = [], [self.runtime, self.runtime + '.real']
        stats = [os.stat(e) for e in exes if os.path.exists(e)]
        for p in os.listdir('/proc'):
            if not p.isdigit():
                continue
            try:
                s = os.stat('/proc/%s/exe' % p)
                if any(os.path.samestat(s, x) for x in stats):
                    r.append((int(p), get('/proc/%s/cmdline' % p).replace('\0', ' ')))
            except OSError:
                pass
        return r

    def left_cgroups(self, pattern):
        """cgroups whose name matches the regular expression."""
        r = []
        for d, subs, _ in os.walk('/sys/fs/cgroup'):
            r += [os.path.join(d, s) for s in subs if re.search(pattern, s)]
        return r


lab = Lab()  # the place that this process is in


def limits():
    """This machine's hard limits of files and processes, as far as clients may hand them on."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    procs = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    bound = lambda v, most: most if v == resource.RLIM_INFINITY else min(v, most)
    return bound(files, 1 << 20), bound(procs, 32768)


def run_scenarios(opts, setup, teardown, cleanup):
    def alarm(sig, frame):
        raise Failed('takes too long')
    bad = False
    signal.signal(signal.SIGALRM, alarm)
    ordered = sorted(scenarios, key=lambda s: s[4])
    wanted = [s for s in ordered if (s[2] == 'check' or opts.tier == 'test') and fnmatch.fnmatch(s[0], opts.only)]
    if not wanted and not opts.shell:
        return 0
    try:
        signal.alarm(120)
        setup()
    except (Failed, OSError, subprocess.SubprocessError) as e:
        signal.alarm(0)
        print('not ok setup: %s' % str(e).replace('\n', '\\n'), flush=True)
        if opts.shell:
            subprocess.run(['/bin/bash'], env=dict(lab.env, RUNTIME=lab.runtime), cwd=lab.dir)
        return 1
    if opts.shell:
        signal.alarm(0)
        subprocess.run(['/bin/bash'], env=dict(lab.env, RUNTIME=lab.runtime), cwd=lab.dir)
        wanted = []
    for name, fn, _, timeout, _ in wanted:
        start = time.time()
        signal.alarm(timeout)
        try:
            fn()
            line = 'ok ' + name
        except Skipped as e:
            line = 'skip %s: %s' % (name, e)
        except Exception as e:
            bad = True
            where = ''
            tb = e.__traceback__
            while tb:
                if tb.tb_frame.f_code.co_name == fn.__name__:
                    where = 'line %d: ' % tb.tb_lineno
                tb = tb.tb_next
            what = str(e) if isinstance(e, Failed) else '%s: %s' % (type(e).__name__, e)
            line = 'not ok %s: %s%s' % (name, where, what.replace('\n', '\\n'))
            signal.alarm(60)
            try:
                cleanup()
            except Failed as e:
                line += '; and then: %s' % str(e).replace('\n', '\\n')
        signal.alarm(0)
        print(line, flush=True)
        if opts.times:
            print('   %.1f s' % (time.time() - start), file=sys.stderr, flush=True)
    signal.alarm(60)
    try:
        teardown()
    except Failed as e:
        bad = True
        print('not ok teardown: %s' % str(e).replace('\n', '\\n'), flush=True)
    signal.alarm(0)
    if opts.trace and os.path.exists(lab.calls):
        sys.stderr.write(get(lab.calls))
    return 1 if bad else 0


def inside(opts, *fns):
    """The first process of the place: makes it, starts the scenarios, reaps what is orphaned."""
    lab.start(opts)
    lab.enter()
    pid = os.fork()
    if pid == 0:
        st = run_scenarios(opts, *fns)
        sys.stdout.flush()
        os._exit(st)
    while True:
        try:
            p, st = os.wait()
        except InterruptedError:
            continue
        if p == pid:
            return os.waitstatus_to_exitcode(st)


def main(setup, teardown, cleanup):
    """setup starts the client, teardown ends it and looks for what is left; cleanup takes away the
    containers of a scenario that failed."""
    ap = argparse.ArgumentParser()
    ap.add_argument('--runtime', required=True)
    ap.add_argument('--tier', default='test', choices=['check', 'test'])
    ap.add_argument('--only', default='*')
    ap.add_argument('--trace', action='store_true')
    ap.add_argument('--times', action='store_true')
    ap.add_argument('--shell', action='store_true')
    opts = ap.parse_args()
    if os.geteuid() != 0:
        print('skip all: needs root')
        return 0
    opts.dir = tempfile.mkdtemp(prefix='cvlab.', dir='/tmp')
    os.chmod(opts.dir, 0o755)
    cgroups = pid = None
    signal.signal(signal.SIGTERM, lambda s, f: sys.exit(1))
    try:
        try:
            cgroups = Cgroups('cvlab.%d' % os.getpid())
        except OSError as e:
            print('skip all: cgroups cannot be made here (%s)' % e)
            return 0
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                libc.prctl(1, signal.SIGKILL, 0, 0, 0)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                cgroups.enter()
                flags = (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWUTS)
                if libc.unshare(flags) != 0:
                    raise OSError(ctypes.get_errno(), 'unshare')
                first = os.fork()
                if first == 0:
                    libc.prctl(1, signal.SIGKILL, 0, 0, 0)
                    try:
                        status = inside(opts, setup, teardown, cleanup)
                    except Exception as e:
                        print('not ok setup: %s: %s' % (type(e).__name__, e), flush=True)
                    os._exit(status)
                status = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
            except Exception as e:
                print('not ok setup: %s: %s' % (type(e).__name__, e), flush=True)
            finally:
                os._exit(status & 0xff)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        pid = None
        return status
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        if cgroups:
            cgroups.done()
        shutil.rmtree(opts.dir, ignore_errors=True)
