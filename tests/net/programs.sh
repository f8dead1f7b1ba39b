#!/bin/sh
# tier: test
# timeout: 400
# Programs that serve from inside to clients outside, over the link: HTTP with curl and wget, git over HTTP, TLS, redis;
# a thousand connections to node at once.
. "$(dirname "$0")/lib.inc"
pair
head -c 3000000 /dev/urandom > big.bin
mkdir -p repo && (cd repo && git init -q . && git config user.email a@b && git config user.name a && cp ../big.bin . &&
    git add . && git commit -qm one && git update-server-info) || bad "no repository"
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=inside 2>/dev/null || bad "no certificate"
cat > serve.sh <<'S'
/usr/bin/python3 -m http.server --bind :: 8000 >/dev/null 2>&1 &
openssl s_server -accept 8443 -key key.pem -cert cert.pem -WWW >/dev/null 2>&1 &
command -v redis-server >/dev/null && redis-server --port 6379 --protected-mode no --save "" --daemonize no >/dev/null 2>&1 &
command -v node >/dev/null && node -e 'const h = require("http").createServer((q, s) => s.end("hello"))
h.headersTimeout = h.requestTimeout = 0 /* the last of a thousand may be long in coming */
h.listen({port: 8100, backlog: 2000})' >/dev/null 2>&1 &
wait
S
cat > thousand.py <<'PY'
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
count, all_open = 0, None
async def one():
    global count
    r, w = await asyncio.open_connection('10.9.0.1', 8100)
    count += 1
    if count == 1000:
        all_open.set()
    await all_open.wait()
    w.write(b'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    d = await r.read()
    w.close()
    return d.startswith(b'HTTP/1.1 200') and d.endswith(b'hello')
async def main():
    global all_open
    all_open = asyncio.Event()
    print(sum(await asyncio.gather(*[one() for i in range(1000)])))
asyncio.run(asyncio.wait_for(main(), 120))
PY
timeout 300 "$cvisor" $quiet --network sandbox do --netns /run/netns/$a --cwd "$PWD" -- sh serve.sh & pids="$pids $!"
reach() { # port
    for i in $(seq 300); do there /usr/bin/python3 -c "import socket; socket.create_connection(('10.9.0.1', $1), 5)" 2>/dev/null && return; sleep 0.1; done
    bad "nobody listens on port $1"
}
want=$(sha256sum < big.bin)
sum() { check "$(sha256sum < got.bin)" "$want" "$1"; }
reach 8000
there curl -sS -m 60 -o got.bin http://10.9.0.1:8000/big.bin || bad "curl"; sum curl
there curl -sS -m 60 -o got.bin "http://[fd00:9::1]:8000/big.bin" || bad "curl, IPv6"; sum "curl, IPv6"
check "$(there curl -s -m 60 -o /dev/null -w '%{http_code}' http://10.9.0.1:8000/nothing)" 404 "curl of nothing"
if command -v wget >/dev/null; then
    there wget -q -T 60 -O got.bin http://10.9.0.1:8000/big.bin || bad "wget"; sum wget
fi
there git clone -q http://10.9.0.1:8000/repo/.git clone 2> git.err || bad "git: $(cat git.err)"
cp clone/big.bin got.bin && sum git
reach 8443
there curl -sS -m 60 -k -o got.bin https://10.9.0.1:8443/big.bin || bad "curl, TLS"; sum "curl, TLS"
if command -v redis-server >/dev/null && command -v redis-cli >/dev/null; then
    reach 6379
    there redis-cli -h 10.9.0.1 -x set big < big.bin >/dev/null
    there redis-cli -h 10.9.0.1 --raw get big | head -c 3000000 > got.bin; sum redis
    check "$(there redis-benchmark -h 10.9.0.1 -q -n 2000 -c 50 -t set,get 2>/dev/null | tr '\r' '\n' | grep -c 'requests per second')" 2 "redis-benchmark"
fi
if command -v node >/dev/null; then
    reach 8100
    check "$(there /usr/bin/python3 thousand.py 2>&1 | tail -n 1)" 1000 "a thousand connections to node"
fi
finish
