# sshd and ssh on the loopback: a command, its status, a pipe each way, a forwarded port.
# timeout: 120
set -eu
PATH=$PATH:/usr/sbin:/sbin
made=""
[ -d /run/sshd ] || { mkdir -p /run/sshd; made=1; }
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f me
cp me.pub keys
chmod 600 keys
cat > conf <<C
Port 7441
ListenAddress 127.0.0.1
HostKey $PWD/host
AuthorizedKeysFile $PWD/keys
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
PidFile $PWD/pid
C
"$(command -v sshd)" -D -e -f conf 2>log &
s() { ssh -F /dev/null -q -p 7441 -i me -o StrictHostKeyChecking=no -o UserKnownHostsFile=known -o BatchMode=yes "$@"; }
for i in $(seq 1 100); do s root@127.0.0.1 true && break; sleep 0.1; done
s root@127.0.0.1 'echo from there; exit 7' || echo "status $?"
head -c 400000 /dev/zero | s root@127.0.0.1 'cat | wc -c'
s root@127.0.0.1 'head -c 300000 /dev/zero | tr "\0" q' | cksum
s root@127.0.0.1 'echo "$SSH_CONNECTION" | cut -d" " -f1,3,4'
s -tt root@127.0.0.1 'tty | grep -c pts; stty size >/dev/null && echo terminal' | tr -d '\r'
kill "$(cat pid)"
wait || true
[ -z "$made" ] || rmdir /run/sshd
echo ended
