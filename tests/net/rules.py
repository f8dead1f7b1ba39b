# What the scripts about iptables share. Run natively and in a sandbox, they print the same lines.
import errno
import os
import socket
import subprocess


def run(*a):
    """Runs a program; what it says, and a status that is not 0, are printed."""
    r = subprocess.run(a, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if r.returncode or r.stdout:
        print(*a, r.returncode, r.stdout.strip())


# Which of the two: "legacy", whose tables are the kernel's own, or "nft", which writes rules of nf_tables.
KIND = os.environ.get('IPTABLES', 'legacy')
IPTABLES = 'iptables-' + KIND
IP6TABLES = 'ip6tables-' + KIND


def ipt(*a):
    run(IPTABLES, *a)


def name(e):
    return errno.errorcode.get(e, str(e))


def attempt(f, *a):
    """What f(*a) returns, or the name of its error, or 'timeout'."""
    try:
        return f(*a)
    except socket.timeout:
        return 'timeout'
    except OSError as e:
        return name(e.errno) if e.errno else str(e)


def socket_error(s):
    """The name of the socket's pending error, 0 without one."""
    e = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return name(e) if e else 0
