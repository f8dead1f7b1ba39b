# tier: test
# timeout: 200
# Writers are killed in the middle, in both journal modes: what was committed stays, and the file is sound.
set -eu
for mode in delete wal; do
    sqlite3 $mode.db "pragma journal_mode=$mode; create table t(a integer primary key, b text);" >/dev/null
    for round in 1 2 3 4 5 6; do
        (i=0; while :; do i=$((i + 1)); echo "begin; insert into t(b) values(hex(randomblob(300))); insert into t(b) values('second'); commit;"; done |
            sqlite3 -cmd '.timeout 2000' -cmd 'pragma synchronous=full' $mode.db) 2>/dev/null &
        pid=$!
        until n=$(sqlite3 -cmd '.timeout 5000' $mode.db 'select count(*) from t' 2>/dev/null) && [ "$n" -ge $((round * 20)) ]; do
            sleep 0.02
        done
        kill -9 $(cat /proc/$pid/task/$pid/children) $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        sqlite3 -cmd '.timeout 5000' $mode.db 'pragma integrity_check; select count(*) % 2 from t'
    done
    sqlite3 -cmd '.timeout 5000' $mode.db "select count(*) >= 120, (select count(*) from t where b = 'second') * 2 = count(*) from t"
done
