# timeout: 240
# tier: test
# LMDB: a sparse file that is mapped and grown, readers beside a writer, a writer that is killed.
set -eu
python3 -c 'import lmdb' 2> /dev/null || { echo "needs python3-lmdb"; exit 77; }
cat > t.py <<'P'
import lmdb, os, signal, struct
env = lmdb.open('db', map_size=64 << 20, max_dbs=4)
with env.begin(write=True) as t:
    for i in range(2000):
        t.put(b'k%06d' % i, b'v%d' % i * 20)
with env.begin() as old:
    with env.begin(write=True) as t: # the reader keeps its own view
        for i in range(0, 2000, 2):
            t.delete(b'k%06d' % i)
        t.put(b'big', os.urandom(1 << 20))
    print(old.stat()['entries'], old.get(b'k000000')[:4], old.get(b'big'))
with env.begin() as t:
    print(t.stat()['entries'], t.get(b'k000000'), len(t.get(b'big')))
env.close()
for writemap in (False, True):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        e = lmdb.open('db', map_size=64 << 20, max_dbs=4, writemap=writemap)
        n = 0
        while True:
            with e.begin(write=True) as t:
                n += 1
                t.put(b'n', struct.pack('<Q', n))
                t.put(b'twin', struct.pack('<Q', n))
                t.put(b'pad%d' % (n % 50), b'p' * (n * 37 % 5000))
            os.write(w, b'.')
    for i in range(25):
        os.read(r, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    e = lmdb.open('db', map_size=64 << 20, max_dbs=4, writemap=writemap)
    e.reader_check()
    with e.begin() as t:
        n = struct.unpack('<Q', t.get(b'n'))[0]
        print(n >= 25, t.get(b'n') == t.get(b'twin'), sum(1 for k in t.cursor()) >= 1000)
    e.copy('copy%d' % writemap) if os.mkdir('copy%d' % writemap) is None else 0
    e.close()
    c = lmdb.open('copy%d' % writemap, readonly=True)
    with c.begin() as t:
        print(t.get(b'n') == t.get(b'twin'))
    c.close()
env = lmdb.open('db', map_size=128 << 20)
with env.begin(write=True) as t:
    t.put(b'more', b'm' * (70 << 20))
print(os.stat('db/data.mdb').st_size > 70 << 20)
P
python3 t.py
