# nginx on the loopback: curl's requests, and wrk with many connections.
# timeout: 120
set -eu
PATH=$PATH:/usr/sbin:/sbin
mkdir -p www logs
head -c 300000 /dev/zero | tr '\0' 'z' > www/big
echo hello > www/index.html
cat > nginx.conf <<C
worker_processes 2; daemon off; pid $PWD/nginx.pid; error_log $PWD/logs/error;
user root;
events { worker_connections 512; }
http { access_log off; sendfile on; keepalive_requests 100000;
  client_body_temp_path $PWD/t1; proxy_temp_path $PWD/t2; fastcgi_temp_path $PWD/t3; uwsgi_temp_path $PWD/t4; scgi_temp_path $PWD/t5;
  server { listen 127.0.0.1:7421; root $PWD/www; location /status { return 204; } } }
C
nginx -p "$PWD" -c "$PWD/nginx.conf" 2>/dev/null &
for i in $(seq 1 200); do curl -s -o /dev/null http://127.0.0.1:7421/status && break; sleep 0.05; done
curl -s http://127.0.0.1:7421/
curl -s http://127.0.0.1:7421/big | cksum
curl -s -r 5-9 http://127.0.0.1:7421/index.html -w '%{http_code}\n' -o /dev/null
curl -s -o /dev/null -w '%{http_code} %{num_connects}\n' http://127.0.0.1:7421/none
wrk -t 2 -c 40 -d 2s http://127.0.0.1:7421/ > wrk.out
grep -c 'requests in' wrk.out
grep -c 'Socket errors\|Non-2xx' wrk.out || true
kill -QUIT "$(cat nginx.pid)"
wait || true
echo ended
