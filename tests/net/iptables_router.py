# A router between two namespaces, with rules: run natively and in a sandbox, the same lines come out. In a network
# namespace of its own, which is the router.
import os
import signal
import socket
import sys
import threading

from rules import attempt, ipt, run

CLONE_NEWNET = 0x40000000


# A process in a namespace of its own that runs Python text that it is sent.
class Host:
    def __init__(self, name, addr):
        r, self.to = os.pipe()
        self.out, w = os.pipe()
        ready, go = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self.to)
            subprocess_unshare()
            os.write(w, b'1')
            for line in os.fdopen(r):
                os.write(w, (repr(eval(line, globals())) + '\n').encode())
            os._exit(0)
        os.close(r)
        os.close(w)
        os.read(self.out, 1)
        self.lines = os.fdopen(self.out)
        net, n = addr.rsplit('.', 1)
        run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', str(self.pid))
        run('ip', 'addr', 'add', net + '.254/24', 'dev', name)
        run('ip', 'link', 'set', name, 'up')
        ns = ['nsenter', '-t', str(self.pid), '-n', 'ip']
        run(*ns, 'addr', 'add', addr + '/24', 'dev', 'eth0')
        run(*ns, 'link', 'set', 'eth0', 'up')
        run(*ns, 'link', 'set', 'lo', 'up')
        run(*ns, 'route', 'add', 'default', 'via', net + '.254')

    def do(self, text):
        os.write(self.to, (text + '\n').encode())
        return eval(self.lines.readline())


def subprocess_unshare():
    import ctypes
    if ctypes.CDLL(None).unshare(CLONE_NEWNET):
        raise OSError('unshare')


# A server that says who asks.
def serve(port):
    l = socket.create_server(('0.0.0.0', port))
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind(('0.0.0.0', port))

    def tcp():
        while True:
            c, a = l.accept()
            c.sendall(a[0].encode())
            c.close()

    def udp():
        while True:
            d, a = u.recvfrom(9)
            u.sendto(a[0].encode(), a)
    for f in tcp, udp:
        threading.Thread(target=f, daemon=True).start()


def tcp(host, port, wait=20):
    s = socket.socket()
    s.settimeout(wait)
    r = attempt(s.connect, (host, port))
    return r or attempt(s.recv, 99)


def udp(host, port, wait=20):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(wait)
    s.connect((host, port))
    attempt(s.send, b'who')
    return attempt(s.recv, 99)


run('ip', 'link', 'set', 'lo', 'up')
a, b = Host('va', '10.1.0.1'), Host('vb', '10.2.0.1')
open('/proc/sys/net/ipv4/ip_forward', 'w').write('1')
b.do('serve(7000)')
a.do('serve(7000)')


def both(what, wait=20):
    print(what, a.do(f'tcp("10.2.0.1", 7000, {wait})'), a.do(f'udp("10.2.0.1", 7000, {wait})'))
    sys.stdout.flush()


both('plain')
for how in ['DROP'], ['REJECT'], ['REJECT', '--reject-with', 'icmp-admin-prohibited']:
    ipt('-A', 'FORWARD', '-i', 'va', '-o', 'vb', '-s', '10.1.0.0/24', '-j', *how)
    both(how, .3 if how == ['DROP'] else 20)
    ipt('-F')
ipt('-A', 'FORWARD', '-p', 'tcp', '-j', 'REJECT', '--reject-with', 'tcp-reset')
print('reset', a.do('tcp("10.2.0.1", 7000)'))
ipt('-F')
ipt('-A', 'FORWARD', '-m', 'conntrack', '--ctstate', 'ESTABLISHED,RELATED', '-j', 'ACCEPT')
ipt('-A', 'FORWARD', '-i', 'va', '-j', 'ACCEPT')
ipt('-P', 'FORWARD', 'DROP')
both('states')
print('other way', b.do('tcp("10.1.0.1", 7000, .3)'), b.do('udp("10.1.0.1", 7000, .3)'))
ipt('-P', 'FORWARD', 'ACCEPT')
ipt('-F')
ipt('-t', 'nat', '-A', 'POSTROUTING', '-s', '10.1.0.0/24', '!', '-o', 'va', '-j', 'MASQUERADE')
both('masquerade')
print('closed', a.do('tcp("10.2.0.1", 7001)'), a.do('udp("10.2.0.1", 7001)'))
ipt('-t', 'nat', '-A', 'PREROUTING', '-d', '10.2.0.254', '-p', 'tcp', '--dport', '8080', '-j', 'DNAT', '--to-destination', '10.1.0.1:7000')
ipt('-t', 'nat', '-A', 'PREROUTING', '-d', '10.2.0.254', '-p', 'udp', '--dport', '8080', '-j', 'DNAT', '--to-destination', '10.1.0.1:7000')
print('published', b.do('tcp("10.2.0.254", 8080)'), b.do('udp("10.2.0.254", 8080)'))
for h in a, b:
    os.kill(h.pid, signal.SIGKILL)
    os.waitpid(h.pid, 0)
