# What rules of iptables do to real packets: run natively and in a sandbox, the same lines come out.
# There (10.9.0.2): a TCP echo server on port 7000, a UDP one on 7001; it connects to our port on command.
import os
import socket
import subprocess
import sys

from rules import IPTABLES, attempt, ipt, name

THERE = '10.9.0.2'


def connect(port, wait):
    s = socket.socket()
    s.settimeout(wait)
    return attempt(s.connect, (THERE, port)) or 'connected', s


def outgoing():
    print('plain', connect(7000, 20)[0])
    for how in ['DROP'], ['REJECT'], ['REJECT', '--reject-with', 'tcp-reset'], ['REJECT', '--reject-with', 'icmp-net-prohibited']:
        ipt('-A', 'OUTPUT', '-o', 'eth0', '-p', 'tcp', '--dport', '7000', '-j', *how)
        print('out', *how, connect(7000, .3 if how == ['DROP'] else 20)[0])
        ipt('-F')
    ipt('-A', 'INPUT', '-p', 'tcp', '-s', THERE, '--sport', '7000', '-j', 'DROP')
    print('in', connect(7000, .3)[0])
    ipt('-F')
    s = connect(7000, 20)[1]
    s.sendall(b'one')
    print(s.recv(9))
    ipt('-A', 'INPUT', '-p', 'tcp', '--sport', '7000', '-j', 'DROP')
    s.settimeout(.4)
    s.sendall(b'two')
    print('held', attempt(s.recv, 9))
    ipt('-F')
    s.settimeout(20)
    print('released', attempt(s.recv, 9))
    ipt('-A', 'OUTPUT', '-p', 'tcp', '--dport', '7000', '-j', 'REJECT', '--reject-with', 'tcp-reset')
    print('reset', attempt(s.send, b'three'), attempt(s.recv, 9))
    ipt('-F')


def datagrams():
    c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    c.connect((THERE, 7001))

    def turn(*what):
        c.settimeout(.3 if what[0] != 'plain' else 20)
        print(*what, attempt(c.send, b'hello'), attempt(c.recv, 9), name(c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
    turn('plain')
    for chain in 'OUTPUT', 'INPUT':
        for how in ['DROP'], ['REJECT'], ['REJECT', '--reject-with', 'icmp-admin-prohibited']:
            ipt('-A', chain, '-p', 'udp', '-j', *how)
            turn(chain, *how)
            ipt('-F')
    big = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    big.settimeout(20)
    ipt('-A', 'INPUT', '-p', 'udp', '--sport', '7001', '-m', 'comment', '--comment', 'whole', '-j', 'ACCEPT')
    ipt('-A', 'INPUT', '-f', '-j', 'DROP')
    ipt('-P', 'INPUT', 'DROP')
    big.sendto(b'x' * 5000, (THERE, 7001))
    print('pieces', len(attempt(big.recv, 9000)))
    ipt('-P', 'INPUT', 'ACCEPT')
    ipt('-F')


def ping():
    def one(what):
        r = subprocess.run(['ping', '-n', '-c1', '-W20' if what == 'ping' else '-W1', THERE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(what, r.returncode, 'not permitted' in r.stdout)
    one('ping')
    ipt('-A', 'OUTPUT', '-p', 'icmp', '--icmp-type', 'echo-request', '-j', 'DROP')
    one('no request')
    ipt('-F')
    ipt('-A', 'INPUT', '-p', 'icmp', '-j', 'DROP')
    one('no reply')
    ipt('-F')


# They connect to us: what they see, they say.
def incoming():
    k = socket.create_connection((THERE, 7002))
    f = k.makefile('rw')

    def ask(what, port, wait=20):
        print(what, port, wait, file=f, flush=True)
        return f.readline().strip()
    l = socket.create_server(('0.0.0.0', 7100))
    print('plain', ask('tcp', 7100), ask('tcp', 7101), ask('udp', 7101))
    for how in ['DROP'], ['REJECT'], ['REJECT', '--reject-with', 'tcp-reset'], ['REJECT', '--reject-with', 'icmp-host-prohibited']:
        ipt('-A', 'INPUT', '-i', 'eth0', '-p', 'tcp', '--dport', '7100', '-j', *how)
        print('in', *how, ask('tcp', 7100, .5 if how == ['DROP'] else 20))
        ipt('-F')
    ipt('-A', 'INPUT', '-p', 'udp', '--dport', '7101', '-j', 'DROP')
    print('in', ask('udp', 7101, .5))
    ipt('-F')
    ipt('-A', 'OUTPUT', '-p', 'icmp', '-j', 'DROP')
    print('no icmp', ask('udp', 7101, .5))
    ipt('-F')
    l.close()


def original(s):
    d = attempt(s.getsockopt, socket.SOL_IP, 80, 16)
    return d if isinstance(d, str) else (socket.inet_ntoa(d[4:8]), d[2] << 8 | d[3])


def talk(what, s, a=None):
    s.settimeout(20)
    print(what, s.getpeername(), end=' ')
    if a:
        a.settimeout(20)
        print(a.getsockname(), original(a), end=' ')
    s.sendall(b'hello')
    if a:
        print(attempt(a.recv, 9), end=' ')
        a.sendall(b'hello')
    print(attempt(s.recv, 9))


# NAT on the way out: elsewhere, to ourselves, and with another source.
def nat_out():
    def nat(*a):
        ipt('-t', 'nat', '-A', *a)
    nat('OUTPUT', '-p', 'tcp', '-d', '10.9.0.99', '--dport', '80', '-j', 'DNAT', '--to-destination', THERE + ':7000')
    nat('OUTPUT', '-p', 'udp', '-d', '10.9.0.99', '-j', 'DNAT', '--to-destination', THERE + ':7001')
    s = socket.create_connection(('10.9.0.99', 80), 20)
    talk('dnat', s)
    big = b'x' * 300000
    s.settimeout(20)
    import threading
    threading.Thread(target=s.sendall, args=(big,)).start()
    n = 0
    while n < len(big):
        n += len(s.recv(65536))
    print('bulk', n)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(20)
    u.connect(('10.9.0.99', 5555))
    print('udp', u.send(b'ask'), attempt(u.recv, 9))
    print('udp', u.send(b'z' * 4000), len(attempt(u.recv, 9000)))
    ipt('-t', 'nat', '-F')
    nat('OUTPUT', '-p', 'udp', '-d', THERE, '-j', 'DNAT', '--to-destination', THERE + ':7999')
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(20)
    u.connect((THERE, 5556))
    print('nobody', u.send(b'ask'), attempt(u.recv, 9))
    ipt('-t', 'nat', '-F')
    l = socket.create_server(('127.0.0.1', 15001))
    nat('OUTPUT', '-p', 'tcp', '-o', 'eth0', '-m', 'owner', '!', '--uid-owner', '1337', '-j', 'REDIRECT', '--to-ports', '15001')
    for host, port in (THERE, 80), ('10.9.0.77', 443), ('192.0.2.1', 8080):
        s = socket.create_connection((host, port), 20)
        talk('redirect', s, l.accept()[0])
    ipt('-t', 'nat', '-F')
    r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    r.bind(('127.0.0.1', 15053))
    r.settimeout(20)
    nat('OUTPUT', '-p', 'udp', '--dport', '53', '-j', 'REDIRECT', '--to-ports', '15053')
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(20)
    u.connect((THERE, 53))
    u.send(b'query')
    d, a = r.recvfrom(9)
    r.sendto(b'answer', a)
    print('udp home', d, a[0], u.recv(9))
    ipt('-t', 'nat', '-F')
    nat('POSTROUTING', '-o', 'eth0', '-p', 'tcp', '-j', 'MASQUERADE', '--to-ports', '40000-40010')
    s = socket.create_connection((THERE, 7002), 20)
    f = s.makefile('rw')
    print('who', 0, 0, file=f, flush=True)
    host, port = f.readline().split()
    print('masquerade', host, 40000 <= int(port) <= 40010)
    ipt('-t', 'nat', '-F')
    subprocess.run(['ping', '-n', '-c1', '-W20', THERE], stdout=subprocess.DEVNULL, check=True)


# What comes in for one port is served on another; states.
def nat_in():
    k = socket.create_connection((THERE, 7002))
    f = k.makefile('rw')

    def ask(what, port, wait=20):
        print(what, port, wait, file=f, flush=True)
        return f.readline().strip()
    l = socket.create_server(('0.0.0.0', 7200))
    ipt('-t', 'nat', '-A', 'PREROUTING', '-i', 'eth0', '-p', 'tcp', '--dport', '7201', '-j', 'REDIRECT', '--to-ports', '7200')
    ipt('-t', 'nat', '-A', 'PREROUTING', '-p', 'tcp', '--dport', '7202', '-j', 'DNAT', '--to-destination', '10.9.0.1:7200')
    for port in 7201, 7202:
        print('echo', port, 0, file=f, flush=True)
        a = l.accept()[0]
        print(a.getsockname(), a.getpeername()[0], original(a), a.recv(9))
        a.sendall(b'back')
        print(f.readline().strip())
    ipt('-t', 'nat', '-F')
    ipt('-A', 'INPUT', '-m', 'conntrack', '--ctstate', 'ESTABLISHED,RELATED', '-j', 'ACCEPT')
    ipt('-A', 'INPUT', '-i', 'eth0', '-p', 'tcp', '--dport', '7200', '-m', 'mac', '!', '--mac-source', '02:00:00:00:00:99', '-m', 'state', '--state', 'NEW', '-j', 'ACCEPT')
    ipt('-P', 'INPUT', 'DROP')
    print('states', ask('tcp', 7200), ask('tcp', 7203, .5), ask('udp', 7204, .5))
    s = socket.create_connection((THERE, 7000), 20)
    talk('out', s)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(20)
    u.connect((THERE, 7999))
    print('related', u.send(b'x'), attempt(u.recv, 9))
    r = subprocess.run(['ping', '-n', '-c1', '-W20', THERE], stdout=subprocess.DEVNULL)
    print('ping', r.returncode)
    ipt('-P', 'INPUT', 'ACCEPT')
    ipt('-F')


ISTIO = '''*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_REDIRECT - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_OUTPUT - [0:0]
-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -p tcp --dport 7002 -j RETURN
-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
COMMIT
'''


# A service mesh's sidecar: what the application sends goes to it, what it sends goes out, what comes in goes to it.
def istio():
    k = socket.create_connection((THERE, 7002))
    f = k.makefile('rw')
    out = socket.create_server(('0.0.0.0', 15001))
    into = socket.create_server(('0.0.0.0', 15006))
    app = socket.create_server(('0.0.0.0', 8080))
    subprocess.run([IPTABLES + '-restore', '--noflush'], input=ISTIO, text=True, check=True)
    s = socket.create_connection((THERE, 7000), 20)
    talk('application', s, out.accept()[0])
    s = socket.create_connection(('127.0.0.1', 8080), 20)
    talk('itself', s, app.accept()[0])
    sys.stdout.flush()
    if not (pid := os.fork()):
        os.setgid(1337)
        os.setuid(1337)
        talk('sidecar', socket.create_connection((THERE, 7000), 20))
        s = socket.create_connection(('10.9.0.1', 8080), 20)
        talk('sidecar home', s, into.accept()[0])
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    print('echo', 8080, 0, file=f, flush=True)
    a = into.accept()[0]
    print('from outside', original(a), a.recv(9))
    a.sendall(b'back')
    print(f.readline().strip())
    ipt('-t', 'nat', '-F')


subprocess.run(['ip', 'link', 'set', 'lo', 'up'])
for f in outgoing, datagrams, ping, incoming, nat_out, nat_in, istio:
    f()
    sys.stdout.flush()
