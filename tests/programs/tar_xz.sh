set -eu
mkdir in && cp -r /usr/share/common-licenses in/ && ln -s common-licenses in/link && mkdir -p in/deep/er && touch -d @1000000000 in/deep/er/f
tar cJf a.tar.xz --sort=name --owner=0 --group=0 --numeric-owner in
mkdir out && tar xJf a.tar.xz -C out
diff -r in out/in && tar tvJf a.tar.xz | awk '{print $1,$3,$6,$7,$8}' | grep -v licenses/$ | head -40; find out | sort | wc -l
