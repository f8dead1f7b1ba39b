# Numbers of /proc/sys/fs mean what they say.
. "$(dirname "$0")/lib.inc"
cat > t.py <<'P'
import ctypes, fcntl, os, select, errno, signal, time
libc = ctypes.CDLL(None, use_errno=True)
def put(name, v):
    with open('/proc/sys/fs/' + name, 'w') as f:
        f.write(str(v))
def get(name):
    return int(open('/proc/sys/fs/' + name).read())
def call(r):
    return r if r >= 0 else -ctypes.get_errno()
def want(what, got, ok):
    if got != ok:
        print(what, 'got', got, 'want', ok)
SETPIPE = 1031
put('pipe-max-size', 100000)
want('rounded', get('pipe-max-size'), 131072)
put('inotify/max_user_instances', 2)
put('inotify/max_user_watches', 1)
put('inotify/max_queued_events', 3)
put('epoll/max_user_watches', 2)
put('pipe-user-pages-soft', 20)
put('pipe-user-pages-hard', 34)
put('lease-break-time', 1)
os.setgroups([])
os.setresgid(1234, 1234, 1234)
os.setresuid(1234, 1234, 1234)
os.chdir('/tmp')
# pipes: 16 pages, then beyond the soft limit 2, then beyond the hard one none
a = os.pipe()
want('max size', fcntl.fcntl(a[0], SETPIPE, 65536), 65536)
try:
    fcntl.fcntl(a[0], SETPIPE, 262144)
    print('above pipe-max-size')
except PermissionError:
    pass
b = os.pipe()
want('soft', fcntl.fcntl(b[0], 1032), 8192)
more = []
try:
    for i in range(20):
        more.append(os.pipe())
    print('no hard limit')
except OSError as e:
    want('hard', e.errno, errno.ENFILE)
want('pipes', len(more), 8)
for p in more:
    os.close(p[0]), os.close(p[1])
# inotify
ins = [call(libc.inotify_init1(0x800)) for i in range(3)]
want('instances', [i > 0 for i in ins[:2]] + ins[2:], [True, True, -errno.EMFILE])
os.close(ins[1])
want('given back', call(libc.inotify_init1(0)) > 0, True)
want('watch', call(libc.inotify_add_watch(ins[0], b'/tmp', 0x100)), 1)
want('second watch', call(libc.inotify_add_watch(ins[0], b'/', 0x100)), -errno.ENOSPC)
for i in range(5):
    open('f%d' % i, 'w').close()
ev = os.read(ins[0], 4096)
want('overflow', int.from_bytes(ev[-12:-8], 'little'), 0x4000)
# epoll
e = select.epoll()
e.register(a[0]), e.register(b[0])
try:
    e.register(b[1])
    print('a third epoll watch')
except OSError as x:
    want('epoll', x.errno, errno.ENOSPC)
# leases
fd = os.open('f0', os.O_RDONLY)
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
t = time.time()
os.close(os.open('f0', os.O_WRONLY))
want('lease-break-time', 0.9 < time.time() - t < 10, True)
P
out=$(cv do --cwd "$PWD" -- python3 t.py 2>&1) || bad "status $?"
check "$out" "" "sysctls"
finish
