# tar keeps owners, times, links, attributes and holes, through a pipe and a file.
set -eu
mkdir -p t/d && cd t
echo one > a; ln a d/b; ln -s a c; mkfifo p; truncate -s 5000000 hole; printf end >> hole
setfattr -n user.k1 -v "$(printf 'v%.0s' $(seq 500))" a
setfattr -n user.k2 -v 0x00ff00 d
chown 1234:5678 d; chmod 1777 d; touch -h -d @1000000000.5 a c d hole p
cd ..
tar --xattrs --xattrs-include='user.*' -S -cf - t | (mkdir x && tar --xattrs --xattrs-include='user.*' -xpf - -C x)
tar --xattrs --sort=name -S -cf t.tar t && tar -tvf t.tar --numeric-owner | awk '{print $1, $2, $3, $6, $7, $8}' | grep -v ' t/$' | sort
for d in t x/t; do (cd $d && getfattr -d -m user -e hex a d; stat -c '%n %f %h %u:%g %s %Y' a d/b c hole p; stat -c '%n %f %h %u:%g %Y' d; test $(stat -c %b hole) -lt 1000 && echo sparse); done
tar --compare -f t.tar && echo equal
