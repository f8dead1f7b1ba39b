# python3: threads, subprocess, asyncio, a loopback HTTP server that answers its own client.
set -eu
/usr/bin/python3 - <<'P'
import threading, subprocess, asyncio, http.server, urllib.request, os, sys, tempfile
total = 0
lock = threading.Lock()
def work(n):
    global total
    for i in range(n):
        with lock: total += 1
ts = [threading.Thread(target=work, args=(2000,)) for _ in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]
print('threads', total)
print(subprocess.run(['echo', 'from', 'child'], capture_output=True, text=True).stdout.strip())
print(subprocess.run('exit 3', shell=True).returncode)
async def co(i):
    await asyncio.sleep(0.001 * i)
    return i * i
async def main():
    print('asyncio', await asyncio.gather(*(co(i) for i in range(10))))
    p = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)
    out, _ = await p.communicate(b'through cat')
    print(out)
asyncio.run(main())
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ('you asked for ' + self.path).encode()
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)
threading.Thread(target=s.serve_forever, daemon=True).start()
for i in range(5):
    print(urllib.request.urlopen('http://127.0.0.1:%d/page%d' % (s.server_port, i)).read().decode())
s.shutdown()
with tempfile.TemporaryDirectory() as d:
    os.makedirs(d + '/a/b')
    open(d + '/a/b/f', 'w').write('x' * 100000)
    print(os.stat(d + '/a/b/f').st_size, sorted(os.listdir(d)))
P
