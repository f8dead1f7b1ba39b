# Rules of ip6tables on the loopback: run natively and in a sandbox, the same lines come out.
import socket
import subprocess
import sys

from rules import IP6TABLES, attempt, run, socket_error


def ipt(*a):
    run(IP6TABLES, *a)


def connect(port, t=9):
    s = socket.socket(socket.AF_INET6)
    s.settimeout(t)
    return attempt(s.connect, ('::1', port)) or 'connected', s


def with_rule(chain, protocol, port, how, f):
    ipt('-A', chain, '-p', protocol, '-d', '::1', '--dport', str(port), '-j', *how)
    f(chain, *how)
    ipt('-F')


def tcp():
    l = socket.create_server(('::1', 7501), family=socket.AF_INET6)
    print('plain', connect(7501)[0], connect(7502)[0])
    for chain in 'INPUT', 'OUTPUT':
        with_rule(chain, 'tcp', 7501, ['DROP'], lambda *w: print(*w, connect(7501, .3)[0]))
        for kind in 'icmp6-port-unreachable', 'tcp-reset', 'icmp6-adm-prohibited', 'icmp6-no-route', 'icmp6-addr-unreachable':
            with_rule(chain, 'tcp', 7501, ['REJECT', '--reject-with', kind], lambda *w: print(*w, connect(7501)[0]))
    l.close()


def nat():
    l = socket.create_server(('::1', 7505), family=socket.AF_INET6)
    ipt('-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '--dport', '80', '-j', 'REDIRECT', '--to-ports', '7505')
    r, s = connect(80)
    print('redirect', r, s.getpeername()[:2])
    a = l.accept()[0]
    d = attempt(a.getsockopt, socket.IPPROTO_IPV6, 80, 28)
    print(a.getsockname()[:2], d if isinstance(d, str) else (d[2] << 8 | d[3], socket.inet_ntop(socket.AF_INET6, d[8:24])))
    s.sendall(b'x')
    print(a.recv(3))
    a.sendall(b'y')
    print(s.recv(3))
    ipt('-t', 'nat', '-F')
    ipt('-A', 'INPUT', '-m', 'state', '--state', 'ESTABLISHED', '-j', 'ACCEPT')
    ipt('-P', 'INPUT', 'DROP')
    s.sendall(b'x')
    print('established', a.recv(3))
    print('new', connect(7505, .3)[0])
    ipt('-P', 'INPUT', 'ACCEPT')
    ipt('-F')


def udp():
    r = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    r.bind(('::1', 7503))
    r.settimeout(.3)
    c = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    c.bind(('::1', 7504))
    c.connect(('::1', 7503))

    def turn(*what):
        print(*what, attempt(c.send, b'hello'), attempt(r.recv, 10), socket_error(c))
    turn('udp')
    for chain in 'INPUT', 'OUTPUT':
        with_rule(chain, 'udp', 7503, ['DROP'], turn)
        for kind in 'icmp6-port-unreachable', 'icmp6-adm-prohibited', 'icmp6-no-route', 'icmp6-policy-fail':
            with_rule(chain, 'udp', 7503, ['REJECT', '--reject-with', kind], turn)
    c.connect(('::1', 7599))
    turn('nobody')
    ipt('-A', 'OUTPUT', '-p', 'icmpv6', '--icmpv6-type', 'port-unreachable', '-j', 'DROP')
    turn('no icmp')
    ipt('-F')


def ping():
    def one(what):
        r = subprocess.run(['ping', '-6', '-n', '-c1', '-W20' if what == 'ping' else '-W1', '::1'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print(what, r.returncode)
    one('ping')
    for kind in 'echo-request', 'echo-reply':
        ipt('-A', 'INPUT', '-p', 'icmpv6', '--icmpv6-type', kind, '-j', 'DROP')
        one(kind)
        ipt('-F')


subprocess.run(['ip', 'link', 'set', 'lo', 'up'])
for f in tcp, nat, udp, ping:
    f()
    sys.stdout.flush()
