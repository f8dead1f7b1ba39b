# Copies of a tree with links, holes, attributes and odd names; a second run moves nothing.
set -eu
mkdir -p src/a/b/c src/"odd name
x" && cd src
for i in $(seq 1 60); do echo "content $i" > a/f$i; done
dd if=/dev/zero of=sparse bs=1 count=1 seek=3000000 status=none
ln a/f1 a/hard && ln -s ../a/f2 a/b/soft && ln -s nowhere dangling && mkfifo pipe
chmod 4755 a/f3; chmod 700 a/b; touch -d '2020-02-02 02:02:02.123456789' a/f4 a/b/c
setfattr -n user.note -v hello a/f5
setfacl -m u:1234:r-x,d:g:77:rwx a/b 2>/dev/null && echo acl || echo no acl
cd ..
# Of another second than the copies: what is no file is up to date for rsync when only the fraction differs.
find src -depth ! -type f -exec touch -h -d '2021-01-01 01:01:01.5' {} +
rsync -aHXS --numeric-ids src/ dst/
rsync -aHXS --numeric-ids --itemize-changes src/ dst/
(cd src && find . -printf '%P %y %m %n %s %T@ %l\n' | grep -v '^ d' | sort) > s.txt
(cd dst && find . -printf '%P %y %m %n %s %T@ %l\n' | grep -v '^ d' | sort) > d.txt
cmp s.txt d.txt && echo same
getfattr --only-values -n user.note dst/a/f5; echo
test "$(stat -c %b dst/sparse)" -lt 1000 && echo sparse
rm src/a/f9; echo new > src/a/f10; touch -d '2021-02-02' src/a/f10; touch -d '2021-03-03' src/a; rsync -aH --delete --itemize-changes src/ dst/ | sort
