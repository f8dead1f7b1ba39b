# The other side of iptables.py: echo on TCP 7000 and UDP 7001; on 7002, connects back on command and says how it went.
import errno
import socket
import threading


def tcp():
    l = socket.create_server(('', 7000))

    def serve(c):
        try:
            while (d := c.recv(65536)):
                c.sendall(d)
        except OSError:
            pass
    while True:
        threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()


def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('', 7001))
    while True:
        d, a = s.recvfrom(65536)
        s.sendto(d, a)


def attempt(kind, host, port, wait):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(wait)
    try:
        s.connect((host, port))
        if kind == 'udp':
            s.send(b'x')
            s.recv(9)
        return 'ok'
    except socket.timeout:
        return 'timeout'
    except OSError as e:
        return errno.errorcode[e.errno]


def back():
    l = socket.create_server(('', 7002))

    def serve(c, a):
        try:
            commands(c, a)
        except OSError:
            pass

    def commands(c, a):
        f = c.makefile('rw')
        for line in f:
            kind, port, wait = line.split()
            if kind == 'who':
                print(*a, file=f, flush=True)
                continue
            if kind == 'echo':
                e = socket.create_connection((a[0], int(port)), 5)
                e.sendall(b'knock')
                print(e.getpeername(), e.recv(9), file=f, flush=True)
                continue
            print(attempt(kind, a[0], int(port), float(wait)), file=f, flush=True)
    while True:
        threading.Thread(target=serve, args=l.accept(), daemon=True).start()


threading.Thread(target=udp, daemon=True).start()
threading.Thread(target=back, daemon=True).start()
tcp()
