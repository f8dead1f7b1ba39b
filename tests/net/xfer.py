#!/usr/bin/python3
"""Checksummed transfers.  xfer.py serve PORT | xfer.py put|get HOST PORT BYTES SEED
put and get print the time in milliseconds, or say what is wrong and exit with 1."""
import hashlib, random, socket, sys, threading, time

PIECE = 1 << 18

def pieces(size, seed):
    block = random.Random(seed).randbytes(PIECE)
    at = 0
    while at < size:
        n = min(PIECE, size - at)
        yield (at.to_bytes(8, 'little') + block)[:n]
        at += n

def digest(size, seed):
    h = hashlib.sha256()
    for p in pieces(size, seed):
        h.update(p)
    return h.hexdigest()

def exactly(s, n):
    b = b''
    while len(b) < n:
        p = s.recv(n - len(b))
        if not p:
            raise EOFError('the connection ended early')
        b += p
    return b

def drain(s, size=None):
    h, n = hashlib.sha256(), 0
    while size is None or n < size:
        p = s.recv(PIECE)
        if not p:
            break
        h.update(p)
        n += len(p)
    return h.hexdigest(), n

def one(s):
    with s:
        head = exactly(s, 17)
        size, seed = int.from_bytes(head[1:9], 'little'), int.from_bytes(head[9:17], 'little')
        if head[0:1] == b'P':
            got, _ = drain(s, size)
            s.sendall(got.encode())
        else:
            for p in pieces(size, seed):
                s.sendall(p)

def serve(port):
    l = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        threading.Thread(target=one, args=(l.accept()[0],), daemon=True).start()

def main():
    if sys.argv[1] == 'serve':
        serve(int(sys.argv[2]))
    what, host, port, size, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    want = digest(size, seed)
    s = socket.create_connection((host, port), timeout=120)
    began = time.monotonic()
    s.sendall((b'P' if what == 'put' else b'G') + size.to_bytes(8, 'little') + seed.to_bytes(8, 'little'))
    if what == 'put':
        for p in pieces(size, seed):
            s.sendall(p)
        got = exactly(s, 64).decode()
        n = size
    else:
        got, n = drain(s)
    took = time.monotonic() - began
    if got != want or n != size:
        sys.exit(f'{what} of {size} bytes: {n} bytes, checksum {got[:12]} for {want[:12]}')
    print(int(took * 1000))

main()
