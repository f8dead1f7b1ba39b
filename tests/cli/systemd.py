"""As much of systemd as a runtime asks for scopes: a D-Bus peer at a socket, which makes and removes
their cgroups and logs what it was asked. Messages are read strictly, by the D-Bus specification.

    systemd.py SOCKET LOG MODE     MODE: ok; exists (the first start is refused: UnitExists); failed (the
                                   job fails); hangup, garbage (instead of the first answer)
"""
import os, re, socket, struct, sys

GROUP = '/cvisor-systemd-%d' % os.getpid()


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def align(self, n):
        while self.at % n:
            assert self.data[self.at] == 0, 'padding that is not zero'
            self.at += 1

    def number(self, fmt):
        n = struct.calcsize(fmt)
        self.align(n)
        v = struct.unpack_from('<' + fmt, self.data, self.at)[0]
        self.at += n
        return v

    def text(self, n):
        s = self.data[self.at:self.at + n].decode()
        assert self.data[self.at + n] == 0 and '\0' not in s, 'a string without an end'
        self.at += n + 1
        return s

    def value(self, sig):
        """(value, rest of the signature)"""
        c, rest = sig[0], sig[1:]
        if c in 'so':
            return self.text(self.number('I')), rest
        if c == 'g':
            return self.text(self.number('B')), rest
        if c == 'b':
            v = self.number('I')
            assert v in (0, 1), 'a boolean of %d' % v
            return bool(v), rest
        if c in 'uty':
            return self.number({'u': 'I', 't': 'Q', 'y': 'B'}[c]), rest
        if c == 'v':
            inner = self.text(self.number('B'))
            v, left = self.value(inner)
            assert not left
            return v, rest
        if c == '(':
            self.align(8)
            items = []
            while rest[0] != ')':
                v, rest = self.value(rest)
                items.append(v)
            return tuple(items), rest[1:]
        assert c == 'a', sig
        n = self.number('I')
        self.align({'(': 8, 't': 8, 'y': 1, 'g': 1, 'v': 1}.get(rest[0], 4))
        end, items = self.at + n, []
        after = skip_type(rest)
        while self.at < end:
            v, _ = self.value(rest)
            items.append(v)
        assert self.at == end, 'an array whose size does not fit'
        return items, after

    def values(self, sig):
        out = []
        while sig:
            v, sig = self.value(sig)
            out.append(v)
        return out


def skip_type(sig):
    if sig[0] == 'a':
        return skip_type(sig[1:])
    if sig[0] != '(':
        return sig[1:]
    sig = sig[1:]
    while sig[0] != ')':
        sig = skip_type(sig)
    return sig[1:]


class Writer:
    def __init__(self):
        self.data = b''

    def add(self, sig, *values):
        for c, v in zip(sig, values):
            if c in 'so':
                self.pad(4)
                self.data += struct.pack('<I', len(v)) + v.encode() + b'\0'
            elif c == 'g':
                self.data += bytes([len(v)]) + v.encode() + b'\0'
            elif c == 'u':
                self.pad(4)
                self.data += struct.pack('<I', v)
            elif c == 'v': # of a string
                self.add('gs', 's', v)
        return self

    def pad(self, n):
        self.data += b'\0' * (-len(self.data) % n)


serial = 0


def message(kind, fields, sig='', *values):
    global serial
    serial += 1
    body = Writer().add(sig, *values).data
    if sig:
        fields = fields + [(8, 'g', sig)]
    head = Writer()
    for code, t, v in fields:
        head.pad(8)
        head.data += bytes([code])
        head.add('g', t)
        head.add(t, v)
    n = len(head.data)
    head.pad(8)
    return struct.pack('<4BIII', ord('l'), kind, 0, 1, len(body), serial, n) + head.data + body


def hierarchy():
    for line in open('/proc/self/mountinfo'):
        if ' - cgroup2 ' in line or 'name=systemd' in line:
            yield line.split()[4]


def unit_dirs(slice_, unit):
    names, path = [] if slice_ == '-.slice' else slice_[:-len('.slice')].split('-'), ''
    for i in range(len(names)):
        path += '/' + '-'.join(names[:i + 1]) + '.slice'
    return [h + GROUP + path + '/' + unit for h in hierarchy()]


def enable(d):
    """What is delegated has the controllers, as far as there are any, of version 2."""
    parents = []
    while os.path.exists(os.path.dirname(d) + '/cgroup.subtree_control'):
        d = os.path.dirname(d)
        parents.insert(0, d)
    for p in parents:
        for c in open(p + '/cgroup.controllers').read().split():
            try:
                open(p + '/cgroup.subtree_control', 'w').write('+' + c)
            except OSError: # shows when a limit is set
                pass


units, njobs, refused = {}, 0, False


def log(*what):
    with open(sys.argv[2], 'a') as f:
        print(*what, file=f)


def call(conn, nr, member, args):
    """Answers one call."""
    global njobs, refused
    reply = lambda *a: conn.sendall(message(2, [(5, 'u', nr)], *a))
    error = lambda name, text: conn.sendall(message(3, [(5, 'u', nr), (4, 's', name)], 's', text))

    def job(unit, result='done'):
        global njobs
        njobs += 1
        path = '/org/freedesktop/systemd1/job/%d' % njobs
        removed = lambda p, r: conn.sendall(message(4, [(1, 'o', '/org/freedesktop/systemd1'), (2, 's', 'org.freedesktop.systemd1.Manager'),
                                                        (3, 's', 'JobRemoved')], 'uoss', njobs, p, unit, r))
        removed('/org/freedesktop/systemd1/job/999', 'done') # somebody else's, before the answer
        reply('o', path)
        removed(path, result)

    if member == 'Hello':
        reply('s', ':1.7')
    elif member == 'Get':
        reply('v', GROUP if args == ['org.freedesktop.systemd1.Manager', 'ControlGroup'] else 'what?')
    elif member in ('Subscribe', 'AddMatch', 'ResetFailedUnit'):
        log(member, *args)
        reply()
    elif member == 'StartTransientUnit':
        name, mode, properties, aux = args
        p = dict(properties)
        log('start', name, mode, *('%s=%s' % (k, v) for k, v in sorted(p.items()) if k != 'PIDs'), 'pids=%d' % len(p['PIDs']), aux)
        if sys.argv[3] == 'exists' and not refused:
            refused = True
            error('org.freedesktop.systemd1.UnitExists', 'Unit %s already exists.' % name)
            return
        if sys.argv[3] == 'failed':
            job(name, 'failed')
            return
        for d in unit_dirs(p['Slice'], name):
            os.makedirs(d)
            enable(d)
            for pid in p['PIDs']:
                open(d + '/cgroup.procs', 'w').write(str(pid))
        units[name] = p['Slice']
        job(name)
    elif member == 'StopUnit' and args[0] in units:
        log('stop', *args)
        for d in unit_dirs(units.pop(args[0]), args[0]):
            while d.rsplit('/', 1)[1] != os.path.basename(os.path.dirname(GROUP + '/x')):
                try:
                    os.rmdir(d)
                except OSError as e:
                    log('left', d, e)
                    break
                d = os.path.dirname(d)
            if os.path.isdir(d) and d.endswith(GROUP):
                os.rmdir(d)
        job(args[0])
    else:
        error('org.freedesktop.systemd1.NoSuchUnit', 'Unit %s not loaded.' % args[:1])


def serve(conn):
    data = b''
    while b'BEGIN\r\n' not in data:
        got = conn.recv(4096)
        if not got:
            return
        data += got
    login, _, data = data.partition(b'BEGIN\r\n')
    assert login == b'\0AUTH EXTERNAL\r\nDATA\r\n', login
    conn.sendall(b'DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n')
    while True:
        while len(data) < 16 or len(data) < total(data):
            got = conn.recv(4096)
            if not got:
                return
            data += got
        if sys.argv[3] == 'hangup':
            return
        if sys.argv[3] == 'garbage':
            conn.sendall(b'l\2\0\1' + b'\xff' * 60)
            return
        n = total(data)
        m, data = data[:n], data[n:]
        size, nr, nfields = struct.unpack_from('<III', m, 4)
        assert m[:4] == b'l\1\0\1'
        r, fields = Reader(m, 16), {}
        while r.at < 16 + nfields:
            r.align(8)
            code = r.number('B')
            fields[code] = r.value('v')[0]
        r.align(8)
        body = Reader(m[r.at:])
        args = body.values(fields.get(8, ''))
        assert body.at == size, 'a body of another size'
        call(conn, nr, fields[3], args)


def total(data):
    size, _, n = struct.unpack_from('<III', data, 4)
    return 16 + (n + 7 & ~7) + size


s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
log('up', GROUP)
while True:
    conn, _ = s.accept()
    try:
        serve(conn)
    except Exception as e: # the log is what the test looks at
        log('bad message:', repr(e))
    conn.close()
