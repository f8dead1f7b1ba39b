# Rules of iptables on the loopback: run natively and in a sandbox, the same lines come out.
import select
import socket
import subprocess
import sys

from rules import attempt, ipt, socket_error


def listener(port):
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(('127.0.0.1', port))
    l.listen(5)
    return l


def connect(port, t=9):
    s = socket.socket()
    s.settimeout(t)
    return attempt(s.connect, ('127.0.0.1', port)) or 'connected', s


def tcp():
    l = listener(7501)
    print('plain', connect(7501)[0], connect(7502)[0])
    ipt('-A', 'INPUT', '-p', 'tcp', '--dport', '7501', '-j', 'DROP')
    print('drop', connect(7501, .3)[0])
    ipt('-F')
    ipt('-A', 'OUTPUT', '-p', 'tcp', '--dport', '7501', '-j', 'DROP')
    print('drop out', connect(7501, .3)[0])
    ipt('-F')
    ipt('-A', 'INPUT', '-p', 'tcp', '--dport', '7501', '-j', 'REJECT')
    print('reject', connect(7501)[0])
    ipt('-F')
    ipt('-A', 'INPUT', '-p', 'tcp', '--dport', '7501', '-j', 'REJECT', '--reject-with', 'tcp-reset')
    print('reset', connect(7501)[0])
    ipt('-F')
    ipt('-A', 'OUTPUT', '-p', 'tcp', '--dport', '7501', '-j', 'REJECT', '--reject-with', 'icmp-host-prohibited')
    print('reject out', connect(7501)[0])
    ipt('-F')
    while select.select([l], [], [], 0)[0]:
        l.accept()
    # the answer is dropped; then the rule goes while connect waits
    ipt('-A', 'INPUT', '-p', 'tcp', '--sport', '7501', '--tcp-flags', 'SYN,ACK', 'SYN,ACK', '-j', 'DROP')
    s = socket.socket()
    s.setblocking(False)
    print('nonblocking', attempt(s.connect, ('127.0.0.1', 7501)), select.select([], [s], [], .3)[1])
    ipt('-F')
    print('later', len(select.select([], [s], [], 5)[1]), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    a = l.accept()[0]
    s.setblocking(True)
    s.sendall(b'one')
    print(a.recv(10))
    ipt('-A', 'INPUT', '-p', 'tcp', '--dport', '7501', '-j', 'DROP')
    print('held', s.send(b'two'), len(select.select([a], [], [], .5)[0]))
    a.sendall(b'back')
    print(s.recv(10))
    ipt('-F')
    print('released', len(select.select([a], [], [], 10)[0]), a.recv(10))
    ipt('-A', 'OUTPUT', '-p', 'tcp', '--dport', '7501', '--tcp-flags', 'FIN', 'FIN', '-j', 'DROP')
    s.sendall(b'three')
    s.shutdown(socket.SHUT_WR)
    print('fin held', a.recv(10), len(select.select([a], [], [], .4)[0]))
    ipt('-F')
    print('fin', len(select.select([a], [], [], 10)[0]), a.recv(10))
    a.sendall(b'x')
    print(s.recv(3))
    a.close()
    s.close()
    r, s = connect(7501)
    a = l.accept()[0]
    ipt('-A', 'INPUT', '-p', 'tcp', '--dport', '7501', '-j', 'REJECT', '--reject-with', 'tcp-reset')
    print('reset data', attempt(s.send, b'zz'), attempt(s.recv, 10), len(select.select([a], [], [], .3)[0]))
    ipt('-F')

def udp():
    r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    r.bind(('127.0.0.1', 7503))
    r.settimeout(.3)
    c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    c.bind(('127.0.0.1', 7504))
    c.connect(('127.0.0.1', 7503))
    def turn(what):
        x = attempt(c.send, b'hello')
        try:
            y = r.recv(10)
        except socket.timeout:
            y = 'nothing'
        print(what, x, y, socket_error(c))
    turn('udp')
    for chain in 'INPUT', 'OUTPUT':
        for how in ['DROP'], ['REJECT'], ['REJECT', '--reject-with', 'icmp-host-unreachable'], ['REJECT', '--reject-with', 'icmp-admin-prohibited']:
            ipt('-A', chain, '-p', 'udp', '--dport', '7503', '-j', *how)
            turn(chain + ' ' + ' '.join(how))
            ipt('-F')
    ipt('-A', 'INPUT', '-p', 'udp', '-s', '10.0.0.0/8', '-j', 'DROP')
    ipt('-A', 'INPUT', '-i', 'eth+', '-j', 'DROP')
    ipt('-A', 'INPUT', '!', '-i', 'lo', '-j', 'DROP')
    turn('no match')
    ipt('-F')
    c.connect(('127.0.0.1', 7599))
    turn('nobody')
    ipt('-A', 'OUTPUT', '-p', 'icmp', '-j', 'DROP')
    turn('no icmp')
    ipt('-F')

def ping():
    def p(w):
        print(w, subprocess.run('ping -n -c1 -W%d 127.0.0.1 2>&1 | grep -o "[0-9]* received"' % (20 if w == 'ping' else 1), shell=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    p('ping')
    ipt('-A', 'INPUT', '-p', 'icmp', '--icmp-type', 'echo-request', '-j', 'DROP')
    p('no request')
    ipt('-F')
    ipt('-A', 'INPUT', '-p', 'icmp', '--icmp-type', 'echo-reply', '-j', 'DROP')
    p('no reply')
    ipt('-F')
    ipt('-P', 'OUTPUT', 'DROP')
    p('policy')
    ipt('-P', 'OUTPUT', 'ACCEPT')
    p('ping')

subprocess.run(['ip', 'link', 'set', 'lo', 'up'])
for f in tcp, udp, ping:
    f()
    sys.stdout.flush()
