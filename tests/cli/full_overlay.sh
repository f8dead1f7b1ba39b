# The overlay has a limit: ENOSPC inside, and the sandbox lives on.
. "$(dirname "$0")/lib.inc"
out=$(cv do --overlay-size 16M --cwd /tmp -- sh -c 'dd if=/dev/zero of=/tmp/big bs=1M count=64 2>&1 | grep -o "No space left on device" | head -1; stat -c %s /tmp/big; rm /tmp/big; dd if=/dev/zero of=/tmp/small bs=1M count=4 2>/dev/null; stat -c %s /tmp/small') || exit 1
set -- $(echo "$out" | tail -2)
echo "$out" | grep -q "No space left" || { echo "no ENOSPC: $out"; exit 1; }
[ "$1" -le 16777216 ] && [ "$1" -ge 12000000 ] && [ "$2" = 4194304 ] || { echo "sizes: $out"; exit 1; }
finish
