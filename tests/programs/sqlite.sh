set -eu
sqlite3 t.db 'pragma journal_mode=wal; create table t(a integer primary key, b text);'
for i in 1 2 3; do sqlite3 t.db "begin; with recursive c(x) as (select 1 union all select x+1 from c where x<2000) insert into t(b) select 'row '||x from c; commit;"; done
(for i in $(seq 1 20); do sqlite3 -cmd '.timeout 5000' t.db "insert into t(b) values('a$i')"; done) &
for i in $(seq 1 20); do sqlite3 -cmd '.timeout 5000' t.db "insert into t(b) values('b$i')"; done; wait
sqlite3 t.db 'pragma wal_checkpoint(truncate); select count(*), sum(length(b)) from t; pragma integrity_check;'
