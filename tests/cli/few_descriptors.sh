# A sandbox whose host gives it few descriptors: files of the host that a program holds open use them up
# (ENFILE). The sandbox lives on, what was made is there, and all is well when they are closed.
. "$(dirname "$0")/lib.inc"
cat > fd.py <<'P'
import errno, mmap, os, resource, shutil, socket, subprocess, threading
resource.setrlimit(resource.RLIMIT_NOFILE, (4000, 4000))
os.mkdir('F')
fds, why = [], None
try:
    for i in range(3000):
        fds.append(os.open('F/f%d' % i, os.O_CREAT | os.O_RDWR))
        os.write(fds[-1], b'%d' % i)
except OSError as e:
    why = errno.errorcode[e.errno]
print('opened', len(fds) > 100, why)
def attempt(name, f):
    try:
        f()
    except OSError as e:
        if e.errno not in (errno.ENFILE, errno.EMFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS):
            print(name, e)
    except RuntimeError: # a thread that cannot be started
        pass
def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
for i in range(3):
    attempt('fork', fork)
    attempt('run', lambda: subprocess.run(['/bin/true']))
    attempt('socket', lambda: socket.socketpair()[0].close())
    attempt('pipe', lambda: [os.close(x) for x in os.pipe()])
    attempt('map', lambda: mmap.mmap(-1, 1 << 20).close())
    attempt('map file', lambda: mmap.mmap(fds[0], 1).close())
    attempt('thread', lambda: threading.Thread(target=int).start())
    attempt('stat', lambda: os.stat('F/f1'))
    attempt('list', lambda: os.listdir('/usr/bin'))
    attempt('open', lambda: open('/etc/passwd').close())
print('read', [os.pread(fd, 10, 0) for fd in fds[:100]] == [b'%d' % i for i in range(100)])
for fd in fds:
    os.close(fd)
fork()
subprocess.run(['/bin/true'], check=True)
print('again', [os.read(os.open('F/f%d' % i, os.O_RDONLY), 10) for i in range(100)] == [b'%d' % i for i in range(100)])
shutil.rmtree('F')
P
out=$(ulimit -n 1200; timeout 100 "$cvisor" $quiet do --rw --cwd "$PWD" -- python3 fd.py 2>&1)
check $? 0 "status"
check "$(echo $out)" "opened True ENFILE read True again True" "output"
[ ! -e F ] || bad "left: $(ls F | wc -l) files"
finish
