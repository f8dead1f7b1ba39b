set -eu
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init -q -b main r && cd r
for i in $(seq 1 50); do echo "file $i" > f$i; done
git add . && git commit -q -m one
echo more >> f1 && git commit -q -am two && git rm -q f50 && git commit -q -m three
git log --format='%H %s' && git status --short && git diff --stat HEAD~2 && git fsck && git gc -q && git log --oneline | wc -l
git clone -q . ../c && ls ../c | wc -l
