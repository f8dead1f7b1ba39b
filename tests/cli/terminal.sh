# A terminal: the sandbox's own pseudoterminal, bridged to the host's.
# timeout: 60
. "$(dirname "$0")/lib.inc"
/usr/bin/python3 - "$cvisor" $quiet <<'END' || fail=1
import fcntl, os, pty, re, select, signal, struct, sys, termios, time
cmd = sys.argv[1:]
failed = False


def check(got, want, what):
    global failed
    if got != want:
        failed = True
        print('%s: got %r, want %r' % (what, got, want))


def size(fd, rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))


class Session:
    """A command on a host pseudoterminal. The shell around it keeps the terminal open and tells
    the status, so that its settings can be looked at afterwards."""

    def __init__(self, *args):
        self.master, slave = pty.openpty()
        size(self.master, 24, 80)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.text = b''
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(slave, fd)
            os.closerange(3, 100)
            os.environ['TERM'] = 'xterm-test'
            os.execv(cmd[0], cmd + ['do'] + list(args))

    def until(self, pattern, timeout=10):
        end = time.time() + timeout
        while True:
            m = re.search(pattern, self.text)
            if m:
                self.text = self.text[m.end():]
                return m
            left = end - time.time()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise SystemExit('no %r in %r' % (pattern, self.text))
            try:
                self.text += os.read(self.master, 4096)
            except OSError:
                raise SystemExit('the terminal closed; no %r in %r' % (pattern, self.text))

    def say(self, text):
        os.write(self.master, text)

    def end(self):
        for _ in range(100):
            p, st = os.waitpid(self.pid, os.WNOHANG)
            if p:
                return os.waitstatus_to_exitcode(st)
            time.sleep(0.1)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise SystemExit('the command does not end')


s = Session('--', 'bash', '--norc', '--noprofile', '-i')
s.say(b"PS1='<rea''dy>'\n")
s.until(rb'<ready>')
s.say(b'tty\n')
check(s.until(rb'\n(/dev/\S+|not a tty)\r').group(1), b'/dev/pts/0', 'tty')
s.say(b'ps -o tty= -p $$\n')
check(s.until(rb'\n(\S+) *\r').group(1), b'pts/0', 'ps')
s.say(b'ps -t pts/0 -o comm= >/tmp/ps; grep -c bash /tmp/ps\n')  # not a pipe: its other end is a bash at first
check(s.until(rb'\n(\d+)\r').group(1), b'1', 'ps -t')
s.say(b'echo T=$TERM\n')
check(s.until(rb'\nT=(\S*)\r').group(1), b'xterm-test', 'TERM')
s.say(b'stty size\n')
check(s.until(rb'\n(\d+ \d+)\r').group(1), b'24 80', 'first size')
size(s.master, 33, 101)
for _ in range(50):  # the change has a way to go
    s.say(b'stty size\n')
    got = s.until(rb'(\d+ \d+)\r\n').group(1)  # a shell that redraws its line takes the newline away
    if got != b'24 80':
        break
    time.sleep(0.05)
check(got, b'33 101', 'size after a resize')
# In a shell without job control: its sleep is in the foreground with it, and both are told.
s.say(b"sh -c 'trap \"echo WIN\\\\CH\" WINCH; echo se\"\"t; sleep 1; :'\n")
s.until(rb'\nset\r')
size(s.master, 40, 90)
s.until(rb'\nWINCH\r')
s.say(b'sleep 100; echo st=$?\n')
time.sleep(0.5)
start = time.time()
s.say(b'\x03')
s.until(rb'\^C')
s.say(b'echo al""ive $?\n')
check(s.until(rb'\nalive (\d+)\r').group(1), b'130', 'status after ^C')
check(time.time() - start < 5, True, '^C ends a sleep at once')
s.say(b'sleep 100\n')
time.sleep(0.5)
s.say(b'\x1a')
s.until(rb'Stopped')
s.say(b'kill %1; wait; echo go""ne\n')
s.until(rb'\ngone\r')
s.say(b'echo li""sten; cat > /tmp/in\n')
s.until(rb'\nlisten\r')
s.say(b'some text\n\x04')
s.say(b'cat /tmp/in | tr a-z A-Z\n')
s.until(rb'\nSOME TEXT\r')
s.say(b'exit 7\n')
check(s.end(), 7, 'exit status')
check(termios.tcgetattr(s.slave), s.before, 'settings of the host terminal after an exit')

s = Session('--', 'sh', '-c', 'kill -KILL $$')
check(s.end(), -9, 'death by a signal')
check(termios.tcgetattr(s.slave), s.before, 'settings after a death')

s = Session('--', 'no-such-program')
s.until(rb"cannot run 'no-such-program'")
check(s.end(), 127, 'a missing program')
check(termios.tcgetattr(s.slave), s.before, 'settings after a missing program')

s = Session('--', 'sh', '-c', 'echo up; sleep 100')
s.until(rb'up')
os.kill(s.pid, signal.SIGTERM)
check(s.end(), -15, 'SIGTERM at a terminal')
check(termios.tcgetattr(s.slave), s.before, 'settings after SIGTERM')

# All that was written arrives, though the program ends at once.
s = Session('--', 'seq', '1', '20000')
s.until(rb'\n20000\r\n', 20)
check(s.end(), 0, 'a lot of output')

# The terminal goes away: the program hangs up.
s = Session('--', 'sh', '-c', 'echo up; sleep 100')
s.until(rb'up')
os.close(s.slave)
os.close(s.master)
check(s.end(), -1, 'the terminal is closed')
sys.exit(failed)
END
finish
