# Programs that own a terminal: vim, less, tmux with an interrupt inside, job control of a shell.
set -eu
cat > term.py <<'P'
import os, pty, select, sys, time
def run(argv, steps, env=None):
    """steps: (text that must appear, what is typed then). Returns the exit status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM='xterm', LC_ALL='C.UTF-8', PS1='ready> ', **(env or {}))
        os.execvp(argv[0], argv)
    seen = b''
    for want, type_ in steps:
        end = time.time() + 30
        while want.encode() not in seen:
            if not select.select([fd], [], [], max(0, end - time.time()))[0]:
                print('missing', repr(want), 'after', repr(seen[-300:]))
                os.kill(pid, 9)
                return -1
            try:
                d = os.read(fd, 4096)
            except OSError:
                d = b''
            if not d:
                break
            seen += d
        seen = b''
        os.write(fd, type_.encode())
    end = time.time() + 30
    while time.time() < end:
        try:
            if not os.read(fd, 4096):
                break
        except OSError:
            break
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
open('text', 'w').write(''.join('line %d\n' % i for i in range(1, 200)))
print('vim', run(['vi', '-u', 'NONE', 'text'], [('line 1', ':%s/line/row/\r'), ('row 199', 'GoNEW\x1b:wq\r')]))
print(open('text').read().splitlines()[0], open('text').read().splitlines()[-1])
print('less', run(['less', 'text'], [('row 1', '/row 150\r'), ('row 150', 'q')]))
run_sleep = "sh -c 'echo r''un; exec sleep 100'\r"  # exec: a shell that is told between fork and exec keeps it to itself
print('shell', run(['bash', '--norc', '-i'], [('ready> ', run_sleep), ('run\r\n', '\x1a'), ('Stopped', 'jobs\r'),
      ('Stopped', 'kill %1; fg\r'), ('Terminated', "sh -c 'echo r''un; cat'\r"), ('run\r\n', 'hello\r'),
      ('hello\r\nhello', '\x03'), ('ready> ', 'exit 7\r')]))
print('tmux', run(['tmux', '-L', 'cvt', '-f', '/dev/null', 'new', 'bash', '--norc', '-i'],
      [('ready> ', 'echo in$((40 + 2))\r'), ('in42', run_sleep), ('run', '\x03'), ('ready> ', 'tty | cut -c 1-9\r'), ('/dev/pts/', 'exit\r')]))
P
python3 term.py
