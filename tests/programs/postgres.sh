# postgres over TCP and its UNIX socket, with pgbench.
# timeout: 240
# tier: test
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
mkdir data sock
chown postgres data sock
chmod 755 .
as() { setpriv --reuid=postgres --regid=postgres --clear-groups env HOME="$PWD/sock" "$@"; }
as "$bin/initdb" -D data -A trust --no-sync >/dev/null
as "$bin/postgres" -D data -p 7451 -k "$PWD/sock" -c listen_addresses=127.0.0.1 -c fsync=off > log 2>&1 &
for i in $(seq 1 200); do as psql -h 127.0.0.1 -p 7451 -c 'select 1' postgres >/dev/null 2>&1 && break; sleep 0.1; done
as psql -h 127.0.0.1 -p 7451 -At -c 'create table t as select g, g * g as q from generate_series(1, 1000) g; select sum(q) from t' postgres
as psql -h "$PWD/sock" -p 7451 -At -c 'select count(*) from t' postgres
as "$bin/pgbench" -h 127.0.0.1 -p 7451 -i -s 1 -q postgres >/dev/null 2>&1
as "$bin/pgbench" -h 127.0.0.1 -p 7451 -c 4 -j 2 -t 50 postgres 2>/dev/null | grep -o 'actually processed: 200/200'
as "$bin/pg_ctl" -D data -m fast stop >/dev/null
wait || true
echo ended
