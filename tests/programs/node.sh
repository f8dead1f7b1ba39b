# node with a worker thread and an HTTP server on loopback.
set -eu
cat > w.js <<'J'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
if (!isMainThread) { let s = 0; for (let i = 0; i < 1e6; i++) s += i % workerData; parentPort.postMessage(s); }
else {
  const w = new Worker(__filename, { workerData: 7 });
  w.on('message', m => { console.log('worker', m);
    const http = require('http'); const s = http.createServer((q, r) => r.end('hi ' + q.url));
    s.listen(0, '127.0.0.1', () => http.get({ port: s.address().port, path: '/x' }, r => { let b = ''; r.on('data', d => b += d); r.on('end', () => { console.log(b); s.close();
      require('child_process').execFile('echo', ['child'], (e, o) => console.log(o.trim())); }); })); });
}
J
node w.js
