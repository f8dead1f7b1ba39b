"""Does what sysctl.py asks for."""
import socket, subprocess
l = socket.create_server(('10.9.0.2', 7000))
while True:
    s, _ = l.accept()
    s.settimeout(60)
    what = s.makefile().readline().strip()
    if what == 'connect':
        c = socket.create_connection(('10.9.0.1', 7100), timeout=60)
        s.sendall(b'connected')
        s.recv(1)
        c.close()
    elif what == 'ping':
        s.sendall(b'%d' % subprocess.call(['ping', '-c1', '-W3', '10.9.0.1'], stdout=subprocess.DEVNULL))
    elif what == 'send':
        for i in range(300):
            s.sendall(bytes([i & 255]) * 1000)
    elif what == 'stranger':
        for addr, word in (('10.77.0.1', b'stranger'), ('10.9.0.2', b'neighbour')):
            u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            u.bind((addr, 0))
            u.sendto(word, ('10.9.0.1', 7200))
        s.sendall(b'sent')
    s.close()
