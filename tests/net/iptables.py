# What rules of iptables do to real packets: run natively and in a sandbox, the same lines come out.
# There (10.9.0.2): a TCP echo server on port 7000, a UDP one on 7001; it connects to our port on command.
import errno
import select
import socket
import subprocess
import sys

THERE = '10.9.0.2'


def ipt(*a):
    r = subprocess.run(['iptables-legacy', *a], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if r.returncode:
        print('iptables', *a, r.returncode, r.stdout.strip())


def name(e):
    return errno.errorcode.get(e, str(e))


def attempt(f, *a):
    try:
        return f(*a)
    except socket.timeout:
        return 'timeout'
    except OSError as e:
        return name(e.errno)


def connect(port, wait):
    s = socket.socket()
    s.settimeout(wait)
    return attempt(s.connect, (THERE, port)) or 'connected', s


def outgoing():
    print('plain', connect(7000, 5)[0])
    for how in ['DROP'], ['REJECT'], ['REJECT', '--reject-with', 'tcp-reset'], ['REJECT', '--reject-with', 'icmp-net-prohibited']:
        ipt('-A', 'OUTPUT', '-o', 'eth0', '-p', 'tcp', '--dport', '7000', '-j', *how)
        print('out', *how, connect(7000, .3 if how == ['DROP'] else 5)[0])
        ipt('-F')
    ipt('-A', 'INPUT', '-p', 'tcp', '-s', THERE, '--sport', '7000', '-j', 'DROP')
    print('in', connect(7000, .3)[0])
    ipt('-F')
    s = connect(7000, 5)[1]
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
        c.settimeout(.3 if what[0] != 'plain' else 5)
        print(*what, attempt(c.send, b'hello'), attempt(c.recv, 9), name(c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
    turn('plain')
    for chain in 'OUTPUT', 'INPUT':
        for how in ['DROP'], ['REJECT'], ['REJECT', '--reject-with', 'icmp-admin-prohibited']:
            ipt('-A', chain, '-p', 'udp', '-j', *how)
            turn(chain, *how)
            ipt('-F')
    big = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    big.settimeout(5)
    ipt('-A', 'INPUT', '-p', 'udp', '--sport', '7001', '-m', 'comment', '--comment', 'whole', '-j', 'ACCEPT')
    ipt('-A', 'INPUT', '-f', '-j', 'DROP')
    ipt('-P', 'INPUT', 'DROP')
    big.sendto(b'x' * 5000, (THERE, 7001))
    print('pieces', len(attempt(big.recv, 9000)))
    ipt('-P', 'INPUT', 'ACCEPT')
    ipt('-F')


def ping():
    def one(what):
        r = subprocess.run(['ping', '-n', '-c1', '-W1', THERE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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

    def ask(what, port):
        print(what, port, file=f, flush=True)
        return f.readline().strip()
    l = socket.create_server(('0.0.0.0', 7100))
    print('plain', ask('tcp', 7100), ask('tcp', 7101), ask('udp', 7101))
    for how in ['DROP'], ['REJECT'], ['REJECT', '--reject-with', 'tcp-reset'], ['REJECT', '--reject-with', 'icmp-host-prohibited']:
        ipt('-A', 'INPUT', '-i', 'eth0', '-p', 'tcp', '--dport', '7100', '-j', *how)
        print('in', *how, ask('tcp', 7100))
        ipt('-F')
    ipt('-A', 'INPUT', '-p', 'udp', '--dport', '7101', '-j', 'DROP')
    print('in', ask('udp', 7101))
    ipt('-F')
    ipt('-A', 'OUTPUT', '-p', 'icmp', '-j', 'DROP')
    print('no icmp', ask('udp', 7101))
    ipt('-F')
    l.close()


subprocess.run(['ip', 'link', 'set', 'lo', 'up'])
for f in outgoing, datagrams, ping, incoming:
    f()
    sys.stdout.flush()
