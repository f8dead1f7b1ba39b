"""What values of /proc/sys/net do on a link; prints what was seen. The peer (sysctl_peer.py) is at 10.9.0.2."""
import hashlib, os, socket, struct, subprocess
def put(name, v):
    with open('/proc/sys/net/' + name, 'w') as f:
        f.write(str(v))
def options(s): # of TCP_INFO: timestamps, SACK, scaling, ECN
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5] & 15
def connect(clamp=0):
    s = socket.socket()
    if clamp:
        s.setsockopt(socket.IPPROTO_TCP, 10, clamp)
    s.settimeout(60)
    s.connect(('10.9.0.2', 7000))
    return s
def ask(what):
    with connect() as s:
        s.sendall(what.encode() + b'\n')
        return s.recv(100)
base = {'ipv4/tcp_ecn': 2, 'ipv4/tcp_timestamps': 1, 'ipv4/tcp_sack': 1, 'ipv4/tcp_window_scaling': 1}
for name, v in list(base.items()) + [('ipv4/tcp_ecn', 1), ('ipv4/tcp_ecn', 0), ('ipv4/tcp_timestamps', 0),
                                     ('ipv4/tcp_sack', 0), ('ipv4/tcp_window_scaling', 0)]:
    put(name, v)
    l = socket.create_server(('10.9.0.1', 7100))
    l.settimeout(60)
    with connect() as out:
        out.sendall(b'connect\n')
        there = out.recv(100)
        a, _ = l.accept()
        print(name, v, 'out', options(out), 'in', options(a), there)
        a.close()
    l.close()
    put(name, base[name])
for name, v in (('ipv4/tcp_ecn', 7), ('ipv4/tcp_retries2', 256), ('ipv4/tcp_syn_retries', 0)):
    try:
        put(name, v)
        print(name, v, 'taken')
    except OSError as e:
        print(name, v, e.errno)
for v in (1, 0):
    put('ipv4/icmp_echo_ignore_all', v)
    print('ping', v, subprocess.call(['ping', '-c1', '-W1', '127.0.0.1'], stdout=subprocess.DEVNULL), ask('ping'))
with connect(3000) as s:
    s.sendall(b'send\n')
    h = hashlib.sha256()
    while d := s.recv(65536):
        h.update(d)
    print('clamped', h.hexdigest()[:16])
put('ipv4/tcp_syncookies', 2)
l = socket.create_server(('10.9.0.1', 7100))
l.settimeout(60)
for i in range(3):
    print('cookie', ask('connect'), l.accept()[0].getpeername()[0])
put('ipv4/tcp_syncookies', 1)
subprocess.check_call(['ip', 'route', 'add', 'unreachable', '10.77.0.0/24'])
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(60)
u.bind(('10.9.0.1', 7200))
for v in (0, 1, 2):
    put('ipv4/conf/all/rp_filter', v)
    print('rp_filter', v, ask('stranger'), end=' ')
    d = b''
    while d != b'neighbour':
        d = u.recv(100)
        print(d.decode(), end=' ')
    print()
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) # what is sent to everybody comes to its sender's host too
b.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
b.settimeout(60)
b.bind(('', 7300))
for to in ('255.255.255.255', '10.9.0.255'):
    b.sendto(b'all', (to, 7300))
    print(to, b.recv(100))
