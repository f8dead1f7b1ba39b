# tier: test
# timeout: 250
# A repository with many files: add, clone over hard links, checkout, status, stash, worktree.
set -eu
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init -q -b main r && cd r
for d in $(seq 1 40); do mkdir -p d$d/s; (cd d$d; for f in $(seq 1 25); do echo "$d $f" > f$f; done; for f in $(seq 1 25); do echo "$d $f s" > s/g$f; done); done
git add . && git commit -q -m many && git log --format=%H
cd .. && git clone -q r c && cd c && git status --short | wc -l
find . -path ./.git -prune -o -type f -print | wc -l
git rm -q -r d1 && git commit -q -m less && git checkout -q HEAD~1 && ls | wc -l
git checkout -q main && ls | wc -l
echo change > d2/f1 && git stash -q && git status --short && git stash pop -q && git diff --stat | tail -1
git worktree add -q ../w HEAD~1 && ls ../w | wc -l
git mv d3 moved && git commit -q -am moved && git log --follow --format=%s moved/f1
git gc -q --prune=now && git fsck 2>/dev/null && echo sound
