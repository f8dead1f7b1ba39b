# NAT, states, matches and targets on the loopback: run natively and in a sandbox, the same lines come out.
import socket
import struct
import subprocess
import sys

from rules import IPTABLES, attempt, ipt, run


def flush():
    for t in 'raw', 'mangle', 'nat', 'filter':
        ipt('-t', t, '-F')
        ipt('-t', t, '-X')


def counters(*table):
    r = subprocess.run([IPTABLES, '-w', '-v', '-n', '-x', '-L', '-t', table[0]], stdout=subprocess.PIPE, text=True).stdout
    for line in r.splitlines():
        f = line.split()
        if f and f[0].isdigit():
            print(' ', f[0], *f[2:])


def tcp_listener(port, host='127.0.0.1', family=socket.AF_INET):
    l = socket.socket(family)
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind((host, port))
    l.listen(5)
    return l


def original(s):
    d = attempt(s.getsockopt, socket.SOL_IP, 80, 16)
    return d if isinstance(d, str) else (socket.inet_ntoa(d[4:8]), struct.unpack('!H', d[2:4])[0])


def connect(host, port, t=3):
    s = socket.socket()
    s.settimeout(t)
    return attempt(s.connect, (host, port)) or 'connected', s


def exchange(what, l, host, port):
    r, s = connect(host, port)
    print(what, r, end=' ')
    if r != 'connected':
        print()
        return
    a, peer = l.accept()
    print(peer[0], peer[1] == s.getsockname()[1], a.getsockname(), s.getpeername(), 'original', original(a), original(s), end=' ')
    s.sendall(b'ping')
    a.settimeout(3)
    print(attempt(a.recv, 9), end=' ')
    a.sendall(b'pong')
    print(attempt(s.recv, 9), end=' ')
    s.shutdown(socket.SHUT_WR)
    print(attempt(a.recv, 9), end=' ')
    a.close()
    print(attempt(s.recv, 9))


def redirect():
    l = tcp_listener(15001, '0.0.0.0')
    exchange('plain', l, '127.0.0.1', 15001)
    ipt('-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '--dport', '80', '-j', 'REDIRECT', '--to-ports', '15001')
    exchange('redirect', l, '127.0.0.1', 80)
    exchange('redirect', l, '127.0.0.5', 80)
    print('other', connect('127.0.0.1', 81)[0])
    counters('nat')
    flush()
    ipt('-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '-d', '127.0.0.11', '-j', 'DNAT', '--to-destination', '127.0.0.2:15001')
    exchange('dnat', l, '127.0.0.11', 53)
    ipt('-t', 'nat', '-A', 'POSTROUTING', '-p', 'tcp', '-d', '127.0.0.2', '-j', 'SNAT', '--to-source', '127.0.0.9')
    exchange('dnat snat', l, '127.0.0.11', 53)
    flush()
    ipt('-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '-d', '127.0.0.11', '-j', 'DNAT', '--to-destination', '127.0.0.2:15099')
    print('nobody', connect('127.0.0.11', 53)[0])
    flush()


def udp():
    r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    r.bind(('127.0.0.1', 42000))
    r.settimeout(.3)
    ipt('-t', 'nat', '-A', 'OUTPUT', '-d', '127.0.0.11', '-p', 'udp', '--dport', '53', '-j', 'DNAT', '--to-destination', '127.0.0.1:42000')
    ipt('-t', 'nat', '-A', 'POSTROUTING', '-s', '127.0.0.11', '-p', 'udp', '--sport', '42000', '-j', 'SNAT', '--to-source', ':53')
    c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    c.bind(('127.0.0.1', 42001))
    c.settimeout(.3)
    c.connect(('127.0.0.11', 53))
    for i in range(3):
        c.send(b'query')
        d, a = r.recvfrom(99)
        print(d, a)
        r.sendto(b'answer', a)
        print(c.recvfrom(99))
    counters('nat')
    r.close()
    print('nobody', attempt(c.send, b'query'), attempt(c.recv, 9))
    flush()


def states():
    l = tcp_listener(7601)
    ipt('-A', 'INPUT', '-m', 'state', '--state', 'ESTABLISHED,RELATED', '-j', 'ACCEPT')
    ipt('-A', 'INPUT', '-p', 'tcp', '--dport', '7601', '-m', 'conntrack', '--ctstate', 'NEW', '-m', 'comment', '--comment', 'in', '-j', 'ACCEPT')
    ipt('-A', 'INPUT', '-j', 'DROP')
    exchange('state', l, '127.0.0.1', 7601)
    r, s = connect('127.0.0.1', 7602, .3)
    print('not let', r)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    print('udp', attempt(u.sendto, b'x', ('127.0.0.1', 7603)))
    flush()
    r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    r.bind(('127.0.0.1', 7604))
    r.settimeout(.3)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind(('127.0.0.1', 7605))
    u.settimeout(.3)
    ipt('-A', 'OUTPUT', '-p', 'udp', '--sport', '7604', '-m', 'conntrack', '!', '--ctstate', 'ESTABLISHED', '-j', 'DROP')
    print('unasked', attempt(r.sendto, b'x', ('127.0.0.1', 7605)))
    u.sendto(b'ask', ('127.0.0.1', 7604))
    print('asked', attempt(r.sendto, b'x', ('127.0.0.1', 7605)), attempt(u.recv, 9))
    flush()


def matches():
    l = tcp_listener(7601)

    def one(what, *rule, chain='OUTPUT'):
        ipt('-A', chain, '-p', 'tcp', *rule, '-j', 'REJECT', '--reject-with', 'tcp-reset')
        r, s = connect('127.0.0.1', 7601)
        print(what, r)
        if r == 'connected':
            l.accept()[0].close()
        s.close()
        ipt('-F')
    one('multiport yes', '-m', 'multiport', '--dports', '1,7600:7700')
    one('multiport no', '-m', 'multiport', '!', '--dports', '1,7600:7700')
    one('addrtype local', '-m', 'addrtype', '--dst-type', 'LOCAL')
    one('addrtype unicast', '-m', 'addrtype', '--dst-type', 'UNICAST')
    one('addrtype not', '-m', 'addrtype', '!', '--dst-type', 'LOCAL')
    one('addrtype src', '-m', 'addrtype', '--src-type', 'MULTICAST,BROADCAST')
    one('owner 0', '-m', 'owner', '--uid-owner', '0')
    one('owner 1', '-m', 'owner', '--uid-owner', '1')
    one('owner gid', '-m', 'owner', '--gid-owner', '0')
    one('owner not', '-m', 'owner', '!', '--uid-owner', '0')
    one('iprange', '-m', 'iprange', '--dst-range', '127.0.0.0-127.0.0.9')
    one('iprange not', '-m', 'iprange', '--src-range', '10.0.0.0-10.0.0.9')
    one('mark', '-m', 'mark', '--mark', '7')
    ipt('-t', 'mangle', '-A', 'OUTPUT', '-j', 'MARK', '--set-mark', '7')
    one('mark', '-m', 'mark', '--mark', '7')
    one('mark in', '-m', 'mark', '--mark', '7', chain='INPUT')
    flush()
    ipt('-t', 'mangle', '-A', 'OUTPUT', '-p', 'tcp', '--syn', '-j', 'CONNMARK', '--set-mark', '9')
    ipt('-t', 'mangle', '-A', 'INPUT', '-j', 'CONNMARK', '--restore-mark')
    one('connmark', '-m', 'mark', '--mark', '9', chain='INPUT')
    flush()
    one('length', '-m', 'length', '--length', '1000:2000')
    one('ttl', '-m', 'ttl', '--ttl-eq', '64')
    one('statistic', '-m', 'statistic', '--mode', 'nth', '--every', '1', '--packet', '0')
    one('limit', '-m', 'limit', '--limit', '1/hour', '--limit-burst', '1')
    one('mac', '-m', 'mac', '--mac-source', '02:00:00:00:00:01', chain='INPUT')
    one('option', '--tcp-option', '2')
    one('state', '-m', 'state', '--state', 'NEW')
    one('notrack', '-m', 'conntrack', '--ctstate', 'UNTRACKED')
    ipt('-t', 'raw', '-A', 'OUTPUT', '-j', 'CT', '--notrack')
    one('notrack', '-m', 'conntrack', '--ctstate', 'UNTRACKED')
    flush()
    ipt('-A', 'OUTPUT', '-p', 'tcp', '-j', 'LOG', '--log-prefix', 'x ')
    one('log', '-m', 'owner', '--socket-exists')
    r, s = connect('127.0.0.1', 7601)
    print('only log', r)
    flush()


def refused():
    for a in (['-t', 'nat', '-A', 'OUTPUT', '-j', 'SNAT', '--to-source', '1.2.3.4'], ['-A', 'OUTPUT', '-j', 'DNAT', '--to-destination', '1.2.3.4'],
              ['-t', 'nat', '-A', 'OUTPUT', '-j', 'MASQUERADE'], ['-A', 'INPUT', '-m', 'owner', '--uid-owner', '0', '-j', 'DROP'],
              ['-t', 'mangle', '-A', 'OUTPUT', '-j', 'REJECT'], ['-A', 'INPUT', '-p', 'icmp', '-j', 'REJECT', '--reject-with', 'tcp-reset'],
              ['-A', 'OUTPUT', '-m', 'mac', '--mac-source', '02:00:00:00:00:01']):
        r = subprocess.run([IPTABLES, *a], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(a, r.returncode, r.stdout.strip())


subprocess.run(['ip', 'link', 'set', 'lo', 'up'])
for f in redirect, udp, states, matches, refused:
    print(f.__name__)
    f()
    sys.stdout.flush()
for t in 'raw', 'mangle', 'nat':
    run(IPTABLES, '-t', t, '-S')
