# Packages made with dpkg-deb, installed, upgraded and removed by dpkg and by apt-get from a local archive,
# in a root of their own.
# timeout: 300
# tier: test
set -eu
root=$PWD/root
mkdir -p $root/bin $root/tmp $root/etc $root/var/lib/dpkg/info $root/var/lib/dpkg/updates $root/var/lib/apt/lists/partial
mkdir -p $root/var/cache/apt/archives/partial $root/var/log/apt $root/etc/apt/apt.conf.d $root/etc/apt/preferences.d $root/etc/apt/trusted.gpg.d archive
: > $root/var/lib/dpkg/status
cp "$(command -v busybox)" $root/bin/busybox
for a in sh echo cat rm mkdir ln; do ln -s busybox $root/bin/$a; done
package() { # name version depends
    rm -rf pkg; mkdir -p pkg/DEBIAN pkg/usr/share/$1/deep/er pkg/etc
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: a test\n%s' "$1" "$2" "$3" > pkg/DEBIAN/control
    echo "/etc/$1.conf" > pkg/DEBIAN/conffiles
    printf '#!/bin/sh\nset -e\necho "%s %s: postinst $1 $2" >> /var/log/scripts\n' "$1" "$2" > pkg/DEBIAN/postinst
    printf '#!/bin/sh\nset -e\necho "%s %s: prerm $1 $2" >> /var/log/scripts\n' "$1" "$2" > pkg/DEBIAN/prerm
    chmod 755 pkg/DEBIAN/postinst pkg/DEBIAN/prerm
    echo "conf of $2" > pkg/etc/$1.conf
    for i in $(seq 20); do echo "$1 $2 $i" > pkg/usr/share/$1/deep/f$i; done
    ln pkg/usr/share/$1/deep/f1 pkg/usr/share/$1/deep/hard; ln -s ../f2 pkg/usr/share/$1/deep/er/soft
    dpkg-deb --root-owner-group -b pkg archive/$1_$2_all.deb > /dev/null
}
index() {
    (cd archive; for d in *.deb; do
        dpkg-deb -f $d
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $d $(stat -c %s $d) $(sha256sum $d | cut -d' ' -f1)
    done > Packages)
}
show() { dpkg-query --admindir=$root/var/lib/dpkg -W -f='${Package} ${Version} ${Status}\n'; }
dpkg() { command dpkg --root=$root --log=/dev/null "$@" > dpkg.log 2>&1 || { cat dpkg.log; return 1; }; }
apt() { apt-get -qq -y -o Dir=$root -o Dir::State::status=$root/var/lib/dpkg/status -o DPkg::Options::=--root=$root -o DPkg::Options::=--log=/dev/null \
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Dpkg::Use-Pty=0 -o DPkg::Path=$PATH "$@" > apt.log 2>&1 || { cat apt.log; return 1; }; }
package base 1.0 ''
package top 1.0 "Depends: base (>= 1.0)
"
dpkg -i archive/top_1.0_all.deb > /dev/null && echo "a dependency was not asked for"
dpkg -i archive/base_1.0_all.deb archive/top_1.0_all.deb
show; dpkg --audit
dpkg -r top base
show; ls $root/usr/share 2>/dev/null | wc -l
dpkg -P top base; show
echo "deb [trusted=yes] file:$PWD/archive ./" > $root/etc/apt/sources.list
index; apt update; apt install top
show; cat $root/usr/share/top/deep/f20; stat -c %h $root/usr/share/top/deep/hard; cat $root/usr/share/base/deep/er/soft
echo changed > $root/etc/base.conf
package base 2.0 ''; rm archive/base_1.0_all.deb; index; apt update; apt -o DPkg::Options::=--force-confold upgrade
show; cat $root/etc/base.conf; cat $root/etc/base.conf.dpkg-dist; cat $root/usr/share/base/deep/f7
dpkg -V base || cat dpkg.log
find $root/usr -type f | wc -l
apt purge top base; show
cat $root/var/log/scripts
find $root/etc -type f ! -path '*/apt/*' | wc -l; ls -d $root/usr 2> /dev/null || echo gone
