# ss, ip, netstat, ifconfig, ping and tcpdump of what a program does on the loopback.
set -eu
PATH=$PATH:/usr/sbin:/sbin
/usr/bin/python3 - <<'P' &
import socket, time
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(('127.0.0.1', 7411)); l.listen(7)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', 7412))
x = socket.socket(socket.AF_UNIX); x.bind('\0cvisor-net-tools'); x.listen(3)
c = socket.create_connection(('127.0.0.1', 7411)); a = l.accept()[0]
a.send(b'12345')
open('ready', 'w').close()
while True:
    time.sleep(0.02)
    try: open('stop').close(); break
    except OSError: pass
P
for i in $(seq 1 200); do [ -e ready ] && break; sleep 0.02; done
ss -Htln 'sport = :7411'
ss -Htn 'sport = :7411' | sed 's/127.0.0.1:[0-9]* *$/peer/'
ss -Htn 'dport = :7411' | sed 's/127.0.0.1:[0-9]* /local /'
ss -Huln 'sport = :7412'
ss -Hxl | grep -o '@cvisor-net-tools'
netstat -tln | grep -c ':7411 '
netstat -tn | grep ':7411' | wc -l
ip -o -4 addr show dev lo | grep -o 'inet 127.0.0.1/8'
ip -o -6 addr show dev lo | grep -o 'inet6 ::1/128'
# Linux names the table once the namespace has, or had, other policy rules.
ip route get 127.0.0.1 | head -1 | sed 's/ uid.*//; s/ table local//; s/ *$//'
ip -o link show dev lo | grep -o 'lo: <LOOPBACK,UP,LOWER_UP> mtu [0-9]*'
ip link show dev nosuch0 2>&1 || echo "status $?"
ifconfig lo | grep -o 'inet 127.0.0.1  netmask 255.0.0.0'
ping -n -c 2 -i 0.2 127.0.0.1 | sed 's/time.*//' | head -3
ping -n -c 1 ::1 | grep -c '64 bytes from ::1: icmp_seq=1 ttl=64'
timeout 20 tcpdump -n -i lo -c 2 -l udp and dst port 7412 > dump 2>log &
t=$!
for i in $(seq 1 200); do grep -q listening log && break; sleep 0.02; done
sleep 0.3
/usr/bin/python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 7413))
for i in range(2): s.sendto(b'x' * (i + 1), ('127.0.0.1', 7412))"
wait $t
sed 's/^[^ ]* //' dump
touch stop
wait
