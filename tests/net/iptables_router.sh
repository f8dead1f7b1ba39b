#!/bin/sh
# A router with rules between two namespaces: FORWARD, masquerading, published ports. Natively and in a sandbox.
# timeout: 600
. "$(dirname "$0")/lib.inc"
here=$(cd "$(dirname "$0")" && pwd)
command -v iptables-legacy >/dev/null || { echo "skip: no iptables-legacy"; exit 77; }
unshare -n iptables-legacy -t nat -L >/dev/null 2>&1 || { echo "skip: iptables-legacy does not work here"; exit 77; }
script iptables_router.py 8
finish
