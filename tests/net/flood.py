"""Sends hostile frames to 10.9.0.1 and fd00:9::1 for so many seconds: flood.py INTERFACE MAC SECONDS. A fixed seed."""
import random, socket, struct, sys, time
ifname, mac, seconds = sys.argv[1], bytes.fromhex(sys.argv[2].replace(':', '')), float(sys.argv[3])
rnd = random.Random(1)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((ifname, 0))
mine = s.getsockname()[4]
us4, us6 = bytes([10, 9, 0, 1]), bytes.fromhex('fd000009000000000000000000000001')

def csum(b):
    b += b'\0' * (len(b) & 1)
    t = sum(struct.unpack('!%dH' % (len(b) // 2), b))
    while t >> 16:
        t = (t & 0xffff) + (t >> 16)
    return ~t & 0xffff
def eth(kind, data, dst=mac):
    return dst + mine + struct.pack('!H', kind) + data
def ip4(proto, data, src, ident=0, frag=0, options=b''):
    h = struct.pack('!BBHHHBBH', 0x45 + len(options) // 4, 0, 20 + len(options) + len(data), ident, frag, 64, proto, 0)
    h += src + us4 + options
    return eth(0x800, h[:10] + struct.pack('!H', csum(h)) + h[12:] + data)
def ip6(proto, data, src):
    return eth(0x86dd, struct.pack('!IHBB', 0x60000000, len(data), proto, 255) + src + us6 + data)
def stranger():
    return bytes([10, 9, 0, 3 + rnd.randrange(250)]) if rnd.randrange(2) else rnd.randbytes(4)
def stranger6():
    return us6[:14] + rnd.randbytes(2) if rnd.randrange(2) else b'\xfd' + rnd.randbytes(15)
def pseudo(proto, size, src, dst):
    return src + dst + struct.pack('!II', size, proto)
def syn(src, dst):
    opts = rnd.choice([b'', b'\2\4\5\xb4', b'\2\4\5\xb4\4\2\1\3\3\7', rnd.randbytes(12)])
    opts += b'\0' * (-len(opts) % 4)
    t = struct.pack('!HHIIBBHHH', 1024 + rnd.randrange(60000), 7000, rnd.getrandbits(32), 0, (5 + len(opts) // 4) << 4,
                    rnd.choice([2, 2, 2, 2, 0x12, 0x10, 4, 0xc2, rnd.getrandbits(8)]), rnd.getrandbits(16), 0, 0) + opts
    return t[:16] + struct.pack('!H', csum(pseudo(6, len(t), src, dst) + t)) + t[18:]
def syns():
    src = stranger()
    return ip4(6, syn(src, us4), src)
def syns6():
    src = stranger6()
    return ip6(6, syn(src, us6), src)
def fragments():
    return ip4(rnd.choice([1, 6, 17]), rnd.randbytes(8 * rnd.randrange(1, 180)), stranger(), rnd.getrandbits(16),
               rnd.randrange(8100) | 0x2000 * rnd.randrange(2))
def fragments6():
    return ip6(44, struct.pack('!BBHI', 17, 0, rnd.randrange(8100) << 3 | rnd.randrange(2), rnd.getrandbits(32)) +
               rnd.randbytes(8 * rnd.randrange(1, 170)), stranger6())
def arps():
    return eth(0x806, struct.pack('!HHBBH', 1, 0x800, 6, 4, rnd.choice([1, 1, 2])) + rnd.randbytes(6) + stranger() +
               b'\0' * 6 + us4, rnd.choice([mac, b'\xff' * 6]))
def neighbours():
    src = stranger6()
    m = struct.pack('!BBHI', rnd.choice([133, 134, 135, 136, 137]), 0, 0, rnd.getrandbits(32)) + us6 + b'\1\1' + rnd.randbytes(6)
    return ip6(58, m[:2] + struct.pack('!H', csum(pseudo(58, len(m), src, us6) + m)) + m[4:], src)
def options():
    return ip4(rnd.choice([1, 2, 17, 6]), rnd.randbytes(rnd.randrange(64)), stranger(), options=rnd.randbytes(4 * rnd.randrange(11)))
def headers():
    return ip6(rnd.choice([0, 43, 60]), b''.join(bytes([rnd.choice([0, 43, 44, 60, 6, 17, 58]), rnd.randrange(2)]) + rnd.randbytes(6)
                                               for i in range(rnd.randrange(1, 12))), stranger6())
def noise():
    return eth(rnd.choice([0x800, 0x86dd, 0x806, 0x8100, 0x88a8, rnd.getrandbits(16)]), rnd.randbytes(rnd.randrange(1, 1500)))
def change(f): # some bytes of a frame
    b = bytearray(f) + b'\0' * (len(f) == 14)
    for i in range(rnd.randrange(4)):
        b[14 + rnd.randrange(len(b) - 14)] = rnd.getrandbits(8)
    return bytes(b[:14 + rnd.randrange(len(b) - 13)]) if not rnd.randrange(8) else bytes(b)
kinds = [syns, syns, syns6, fragments, fragments6, arps, neighbours, options, headers, noise]
frames = [change(f) if rnd.randrange(3) == 0 else f for f in (rnd.choice(kinds)() for i in range(20000))]
end, n = time.monotonic() + seconds, 0
while time.monotonic() < end:
    for i in range(200):
        try:
            s.send(frames[n % len(frames)])
        except OSError: # the queue is full
            pass
        n += 1
    if n % len(frames) == 0: # others in their place
        frames = [change(f) for f in frames]
print(n)
