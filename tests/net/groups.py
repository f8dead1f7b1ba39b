"""A router's view of a link: groups.py INTERFACE. Prints the reports that it hears, a line each, asks when told to on
its standard input: igmp3, igmp2, mld2, mld1; ends with the input."""
import os, select, socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
mine = s.getsockname()[4]

def csum(b):
    t = sum(struct.unpack('!%dH' % (len(b) // 2), b))
    while t >> 16:
        t = (t & 0xffff) + (t >> 16)
    return ~t & 0xffff
def ask4(m):
    m = m[:2] + struct.pack('!H', csum(m)) + m[4:]
    h = struct.pack('!BBHHHBBH4s4sI', 0x46, 0xc0, 24 + len(m), 0, 0, 1, 2, 0, bytes([10, 9, 0, 2]), bytes([224, 0, 0, 1]), 0x94040000)
    s.send(bytes.fromhex('01005e000001') + mine + b'\x08\x00' + h[:10] + struct.pack('!H', csum(h)) + h[12:] + m)
def ask6(m):
    src, dst = bytes.fromhex('fe80' + '0' * 27 + '2'), bytes.fromhex('ff02' + '0' * 27 + '1')
    m = m[:2] + struct.pack('!H', csum(src + dst + struct.pack('!II', len(m), 58) + m)) + m[4:]
    h = struct.pack('!IHBB', 0x60000000, 8 + len(m), 0, 1) + src + dst + bytes([58, 0, 5, 2, 0, 0, 1, 0])
    s.send(bytes.fromhex('333300000001') + mine + b'\x86\xdd' + h + m)
asks = {'igmp3': lambda: ask4(struct.pack('!BBHIBBH', 0x11, 5, 0, 0, 2, 125, 0)),
        'igmp2': lambda: ask4(struct.pack('!BBHI', 0x11, 5, 0, 0)),
        'mld2': lambda: ask6(struct.pack('!BBHHH16sBBH', 130, 0, 0, 500, 0, bytes(16), 2, 125, 0)),
        'mld1': lambda: ask6(struct.pack('!BBHHH16s', 130, 0, 0, 500, 0, bytes(16)))}
def hear(f):
    if f[6:12] == mine:
        return
    d = f[14:]
    if f[12:14] == b'\x08\x00' and d[9] == 2:
        n = (d[0] & 15) * 4
        m = d[n:struct.unpack('!H', d[2:4])[0]]
        ok = d[8] == 1 and n == 24 and csum(d[:n]) == 0 and csum(m) == 0
        if m[0] == 0x22:
            for i in range(struct.unpack('!H', m[6:8])[0]): # records without sources
                r = m[8 + 8 * i:]
                print('igmp3', r[0], socket.inet_ntoa(r[4:8]), socket.inet_ntoa(d[16:20]), ok, flush=True)
        else:
            print('igmp2', hex(m[0]), socket.inet_ntoa(m[4:8]), socket.inet_ntoa(d[16:20]), ok, flush=True)
    elif f[12:14] == b'\x86\xdd' and d[6] == 0 and d[40] == 58:
        m = d[48:40 + struct.unpack('!H', d[4:6])[0]]
        ok = d[7] == 1 and d[42:46] == b'\5\2\0\0' and csum(d[8:40] + struct.pack('!II', len(m), 58) + m) == 0
        dst = socket.inet_ntop(socket.AF_INET6, d[24:40])
        if m[0] == 143:
            for i in range(struct.unpack('!H', m[6:8])[0]):
                r = m[8 + 20 * i:]
                print('mld2', r[0], socket.inet_ntop(socket.AF_INET6, r[4:20]), dst, ok, flush=True)
        else:
            print('mld1', m[0], socket.inet_ntop(socket.AF_INET6, m[8:24]), dst, ok, flush=True)
print('ready', flush=True)
while True:
    r, _, _ = select.select([s, 0], [], [])
    if s in r:
        hear(s.recv(65536))
    if 0 in r:
        line = os.read(0, 100).decode()
        if not line:
            break
        for word in line.split():
            asks[word]()
