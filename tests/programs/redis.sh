# redis-server with redis-benchmark on loopback.
# timeout: 180
set -eu
redis-server --port 7391 --save '' --appendonly no --daemonize no --dir . > log 2>&1 &
for i in $(seq 1 100); do redis-cli -p 7391 ping >/dev/null 2>&1 && break; sleep 0.05; done
redis-cli -p 7391 set k v; redis-cli -p 7391 incrby n 41; redis-cli -p 7391 incr n; redis-cli -p 7391 get k
redis-benchmark -p 7391 -n 20000 -c 20 -t set,get,incr,lpush -q > bench.out; grep -c 'requests per second' bench.out
redis-cli -p 7391 dbsize > /dev/null; redis-cli -p 7391 lpush l a b c; redis-cli -p 7391 lrange l 0 2
redis-cli -p 7391 shutdown nosave || true; wait; echo ended
