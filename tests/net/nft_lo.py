# Rules of nft on the loopback: run natively and in a sandbox, the same lines come out.
import re
import select
import socket
import subprocess
import sys

from rules import attempt, run, socket_error


def nft(*lines):
    """One batch of the lines; what nft says, and a status that is not 0, are printed."""
    r = subprocess.run(['nft', '-f', '-'], input='\n'.join(lines).replace('} }', '}\n}') + '\n', stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if r.returncode or r.stdout:
        print('nft', r.returncode, r.stdout.strip())


def listing(*what):
    r = subprocess.run(['nft', 'list', *what], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(re.sub('bytes [0-9]+', 'bytes', r.stdout.strip())) # the loopback here has no TCP options


def listener(port, family=socket.AF_INET):
    l = socket.socket(family)
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(('::1' if family == socket.AF_INET6 else '127.0.0.1', port))
    l.listen(20)
    return l


def connect(port, wait=20, to='127.0.0.1', source=None):
    s = socket.socket(socket.AF_INET6 if ':' in to else socket.AF_INET)
    s.settimeout(wait)
    if source:
        s.bind((source, 0))
    r = attempt(s.connect, (to, port)) or 'connected'
    s.close()
    return r


def reach(*ports):
    return [connect(p) for p in ports]


def chain(*rules, family='inet', hook='input', kind='filter', priority='0', policy='accept'):
    nft('flush ruleset', f'table {family} t {{ chain c {{ type {kind} hook {hook} priority {priority}; policy {policy};', *rules, '} }')


def verdicts():
    chain('tcp dport 7601 reject with tcp reset', 'tcp dport 7602 reject', 'tcp dport 7603 accept', 'tcp dport 7600-7603 reject')
    print('plain', reach(7601, 7602, 7603, 7604))
    listing('table', 'inet', 't')
    nft('flush ruleset', 'table ip t { chain a { tcp dport 7601 return; tcp dport 7602 goto b; tcp dport 7603 jump b; tcp dport 7603 accept; }',
        'chain b { tcp dport 7603 return; reject with tcp reset; }',
        'chain c { type filter hook input priority 0; jump a; tcp dport 7601 accept; tcp dport 7600-7603 reject with icmp host-unreachable; } }')
    print('chains', reach(7601, 7602, 7603, 7604))
    chain('tcp sport 1-65535 tcp dport 7601 accept', 'iifname "lo" tcp dport 7602 drop', 'oifname "lo" accept', family='ip', policy='drop')
    print('policy', connect(7601, .3), connect(7602, .3))
    chain('ip saddr 127.0.0.0/8 ip ttl 64 ip protocol tcp th dport 7601 reject with tcp reset', 'tcp flags & (syn | ack) == syn tcp dport 7602 reject with tcp reset',
          'tcp option maxseg size 1-65535 tcp dport 7603 reject with tcp reset', 'tcp dport 7604 meta skuid 0 reject with tcp reset')
    print('fields', reach(7601, 7602, 7603, 7604))
    chain('tcp dport 7601 meta skuid 0 reject with tcp reset', 'tcp dport 7602 meta skuid 1 reject with tcp reset', 'tcp dport 7603 oif lo reject', 'tcp dport 7604 fib daddr type local reject with icmp port-unreachable', hook='output', family='ip')
    print('output', reach(7601, 7602, 7603, 7604))


def order():
    """The lower priority speaks first; an accept is only that chain's."""
    for first, second in ((-10, 10), (10, -10)):
        nft('flush ruleset', f'table ip t {{ chain a {{ type filter hook input priority {first}; tcp dport 7601 reject with tcp reset; tcp dport 7602 accept; }}',
            f'chain b {{ type filter hook input priority {second}; tcp dport 7601 reject with icmp host-unreachable; tcp dport 7602 reject with icmp host-unreachable; }} }}')
        print('order', reach(7601, 7602))
    nft('flush ruleset', 'table ip t { chain a { type filter hook input priority -1; tcp dport 7601 reject with tcp reset; }',
        'chain b { type filter hook input priority 1; tcp dport 7601-7602 reject with icmp net-unreachable; } }')
    run('iptables-legacy', '-A', 'INPUT', '-p', 'tcp', '--dport', '7601:7602', '-j', 'REJECT', '--reject-with', 'icmp-host-unreachable')
    print('with legacy', reach(7601, 7602))
    nft('add chain ip t a { type filter hook input priority -1; }', 'flush chain ip t a', 'add rule ip t a tcp dport 7603 meta mark set 5', 'flush chain ip t b', 'add rule ip t b tcp dport 7603 meta mark 6 reject with tcp reset')
    run('iptables-legacy', '-A', 'INPUT', '-p', 'tcp', '-m', 'mark', '--mark', '5', '-j', 'MARK', '--set-mark', '6')
    print('marks', reach(7603))
    run('iptables-legacy', '-F')
    nft('add table ip t { flags dormant; }')
    print('dormant', reach(7603))


def sets():
    nft('flush ruleset', 'table inet t {', 'set p { type inet_service; flags interval; elements = { 7601, 7603-7604 }; }',
        'set who { type ipv4_addr . inet_service; flags interval; elements = { 127.0.0.0/8 . 7602-7603 }; }',
        'map v { type inet_service : verdict; elements = { 7601 : accept, 7602 : jump r }; }',
        'chain r { reject with tcp reset; }',
        'chain c { type filter hook input priority 0; tcp dport vmap @v; tcp dport @p reject with icmpx host-unreachable; ip saddr . tcp dport @who reject; } }')
    print('sets', reach(7601, 7602, 7603, 7604, 7605))
    nft('add element inet t p { 7605 }', 'delete element inet t p { 7603-7604 }', 'delete element inet t v { 7602 }')
    print('changed', reach(7601, 7602, 7603, 7604, 7605))
    listing('ruleset')
    chain('ip saddr 127.0.0.9 tcp dport { 7601, 7603 } reject with tcp reset', 'ip saddr . tcp dport { 127.0.0.8 . 7601, 127.0.0.1 . 7602 } reject with tcp reset')
    print('anonymous', connect(7601, source='127.0.0.9'), connect(7601, source='127.0.0.8'), reach(7601, 7602, 7603, 7605))
    nft('flush ruleset', 'table ip t {', 'set seen { type ipv4_addr; size 2; flags dynamic; counter; }', 'set late { type ipv4_addr; flags dynamic, timeout; timeout 1h; }',
        'chain c { type filter hook input priority 0; tcp dport 7601 tcp flags syn add @seen { ip saddr } reject with tcp reset; tcp dport 7602 update @late { ip saddr limit rate 1/hour burst 2 packets } accept; tcp dport 7602 reject with tcp reset; } }')
    print('dynamic', [connect(7601, source=f'127.0.0.{i}') for i in (3, 4, 3, 5)], reach(7602, 7602, 7602))
    listing('set', 'ip', 't', 'seen')


def stateful():
    nft('flush ruleset', 'table ip t {', 'counter n { }', 'quota q { until 1 bytes }', 'limit l { rate 1/hour burst 2 packets }',
        'chain c { type filter hook input priority 0; tcp dport 7601 tcp flags syn counter name n; tcp dport 7602 tcp flags syn quota name q accept; tcp dport 7602 reject with tcp reset;',
        'tcp dport 7603 tcp flags syn limit name "l" accept; tcp dport 7603 tcp flags syn reject with tcp reset; } }')
    print('objects', reach(7601, 7601, 7602, 7602, 7603, 7603, 7603))
    listing('counters')
    subprocess.run(['nft', 'reset', 'counters'], stdout=subprocess.DEVNULL)
    listing('counters')
    chain('ct state new tcp dport 7601 reject with tcp reset', 'ct state new ct mark set 7', 'ct mark 7 tcp dport 7602 reject with tcp reset', 'ct direction reply tcp sport 7603 reject with tcp reset',
          'meta l4proto tcp ct original proto-dst 7604 ct state new reject with tcp reset')
    print('ct', reach(7601, 7602, 7604, 7605))


def nat():
    chain('tcp dport 7611 dnat to 127.0.0.1:7601', 'tcp dport 7612 redirect to :7602', 'ip daddr 10.77.0.1 dnat to tcp dport map { 80 : 127.0.0.1 . 7603, 81 : 127.0.0.1 . 7604 }', hook='output', kind='nat', priority='-100', family='ip')
    print('dnat', reach(7611, 7612), [connect(p, to='10.77.0.1') for p in (80, 81)])
    chain('ip saddr 127.0.0.9 snat to 127.0.0.7', hook='postrouting', kind='nat', priority='100', family='ip')
    l = listener(7606)
    s = socket.create_connection(('127.0.0.1', 7606), 20, ('127.0.0.9', 0))
    print('snat', l.accept()[1][0])
    nft('flush ruleset')
    s.close()
    chain('tcp dport 7611 dnat ip6 to [::1]:7607', hook='output', kind='nat', priority='-100')
    l = listener(7607, socket.AF_INET6)
    print('v6', connect(7611, to='::1'), reach(7601))


def udp():
    r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    r.bind(('127.0.0.1', 7621))
    c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    c.connect(('127.0.0.1', 7621))
    for rule in '', 'udp length 14 drop', 'udp length 13 reject', 'udp dport 7621 drop':
        chain(rule)
        r.settimeout(20 if not rule or '14' in rule else .3)
        print('udp', rule, attempt(c.send, b'hello'), attempt(r.recv, 10), socket_error(c))


def atomic():
    nft('flush ruleset', 'table ip t { chain c { type filter hook input priority 0; tcp dport 7601 reject with tcp reset; } }')
    nft('flush ruleset', 'table ip t { set s { type ipv4_addr; }; chain c { type filter hook input priority 0; tcp dport 7602 reject with tcp reset; } }', 'add element ip t s { 1.2.3.4 }', 'add rule ip t nosuch accept')
    print('undone', reach(7601, 7602))
    listing('ruleset')
    m = subprocess.Popen(['stdbuf', '-oL', 'nft', 'monitor'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    said = []
    while not said: # until it listens
        run('nft', 'add', 'table', 'ip', 'first')
        run('nft', 'delete', 'table', 'ip', 'first')
        if select.select([m.stdout], [], [], .2)[0]:
            said.append(m.stdout.readline())
    nft('add table ip told', 'add chain ip told c { type filter hook input priority 0; }', 'add set ip told s { type inet_service; }', 'add element ip told s { 1, 2 }', 'add rule ip told c tcp dport @s counter accept', 'add counter ip told n',
        'insert rule ip told c tcp dport { 5, 6 } drop')
    nft('delete rule ip told c handle 3', 'flush set ip told s', 'delete table ip told')
    nft('add table ip last')
    for line in m.stdout:
        if 'told' in line:
            print(re.sub(r'process.*', '', line.strip()))
        if 'ip last' in line:
            break
    m.kill()
    m.wait()


subprocess.run(['ip', 'link', 'set', 'lo', 'up'])
ports = [listener(p) for p in range(7601, 7606)]
for f in verdicts, order, sets, stateful, nat, udp, atomic:
    f()
    sys.stdout.flush()
