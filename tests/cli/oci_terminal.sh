# Terminals of containers: the console socket, window sizes, ^C, hang-up; run -t and exec -t on a terminal.
# timeout: 90
. "$(dirname "$0")/lib.inc"
. "$(dirname "$0")/oci.inc"
cat >drive.py <<'END'
import fcntl, os, pty, select, socket, struct, subprocess, sys, termios, time
cvisor, root, bundle = sys.argv[1:4]
failed = 0


def size(fd, rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))


class Term:
    def __init__(self, fd):
        self.fd, self.text = fd, b''

    def until(self, pattern, timeout=15):
        """What came up to the pattern; a failure is printed."""
        global failed
        end = time.time() + timeout
        while pattern not in self.text and time.time() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    data = os.read(self.fd, 4096)
                except OSError:
                    data = b''
                if not data:
                    self.text += b'<end>'
                    break
                self.text += data
        if pattern not in self.text:
            failed += 1
            print('no %r in %r' % (pattern, self.text))
        out, _, self.text = self.text.partition(pattern)
        return out

    def say(self, text):
        os.write(self.fd, text)


def command(*args):
    return [cvisor, '--root', root] + list(args)


def talk(t):
    """A shell's session."""
    t.until(b'ready ')
    size(t.fd, 33, 99)
    t.say(b'tty\n')
    t.until(b'/dev/pts/0\r\n')
    t.until(b'ready ')
    t.say(b'stty size\n')
    t.until(b'33 99\r\n')
    t.until(b'ready ')
    t.say(b'sleep 50\n')
    t.until(b'sleep 50\r\n')
    time.sleep(0.3)
    t.say(b'\x03')
    t.until(b'ready ')
    t.say(b'echo $?\n')
    t.until(b'130\r\n')
    t.until(b'ready ')


def on_socket(*args):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind('sock')
    listener.listen(1)
    p = subprocess.Popen(command(*args, '--console-socket', 'sock') if args[0] != 'exec' else
                         command('exec', '--console-socket', 'sock', *args[1:]), stdin=subprocess.DEVNULL)
    conn, _ = listener.accept()
    _, control, _, _ = conn.recvmsg(100, socket.CMSG_SPACE(4))
    if p.wait() != 0:
        print('%s: status %d' % (args[0], p.returncode))
    os.unlink('sock')
    return Term(struct.unpack('i', control[0][2])[0])


def here(*args):
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(cvisor, command(*args))
    return pid, Term(fd)


def ends_with(pid, want):
    global failed
    got = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if got != want:
        failed += 1
        print('status %d, want %d' % (got, want))


t = on_socket('run', '-d', '-b', bundle, 't1')
talk(t)
x = on_socket('exec', '-t', '-d', 't1', 'sh')
x.until(b'ready ')
x.say(b'tty\n')
x.until(b'/dev/pts/1\r\n')
x.until(b'ready ')
x.say(b'exit\n')
x.until(b'<end>')
pid, y = here('exec', '-t', 't1', 'sh')
y.until(b'ready ')
y.say(b'exit 4\n')
ends_with(pid, 4)
os.close(t.fd)  # the terminal's other end goes: SIGHUP ends the shell
pid, u = here('run', '-b', bundle, 't2')
talk(u)
u.say(b'exit 6\n')
ends_with(pid, 6)
sys.exit(failed > 0)
END
make_bundle '["sh"]' '{"process": {"terminal": true, "env": ["PATH=/bin", "TERM=dumb", "PS1=ready "]}}'
/usr/bin/python3 drive.py "$cvisor" "$root" "$bundle" || fail=1
await_status t1 stopped
oci delete t1
oci create -b "$bundle" t3 2>err </dev/null; check $? 1 "a detached terminal without a console socket"
grep -q "without --console-socket" err || bad "the sentence: $(cat err)"
end_containers
