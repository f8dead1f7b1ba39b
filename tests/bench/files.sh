#!/bin/bash
# files.sh prepare DIR: makes what `run` works on. files.sh run DIR: prints "NAME MILLISECONDS" lines.
set -eu
dir=$2
git() { command git -c safe.directory='*' -c user.name=bench -c user.email=bench@example.org "$@"; }

timed() { # name, command…
    local name=$1 begin end
    shift
    begin=$(date +%s%N)
    "$@" > /dev/null
    end=$(date +%s%N)
    echo "$name $(((end - begin) / 1000000))"
}

if [ "$1" = prepare ]; then
    mkdir -p "$dir/tree" "$dir/src"
    cd "$dir/tree"
    for i in {1..100}; do
        mkdir d$i
        for j in {1..100}; do echo "file $i $j" > d$i/f$j; done
    done
    git init -q .
    git add -A
    git commit -qm all
    tar cf "$dir/tree.tar" d*
    cd "$dir/src"
    for i in {1..50}; do
        { echo '#include <stdio.h>'; echo '#include <stdlib.h>'; echo '#include <string.h>'
          for j in {1..20}; do
              echo "int f${i}_$j(int *a, int n) { int s = $j; for (int i = 0; i < n; i++) s += a[i] * $i + (s >> 3); return s; }"
          done; } > m$i.c
    done
    printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n%%.o: %%.c\n\tgcc -O2 -c -o $@ $<\n' > Makefile
    sync
    exit
fi

# Through a pipe: to /dev/null itself tar reads nothing.
timed tar_doc sh -c 'tar cf - /usr/share/doc | cat'
timed git_first git -C "$dir/tree" status
timed git_again git -C "$dir/tree" status
mkdir "$dir/out"
timed untar tar xf "$dir/tree.tar" -C "$dir/out"
timed make make -j2 -C "$dir/src"
