# What nft says of rule sets, and of what is refused: sourced by nft.sh's shells, in a namespace of their own.
cat > rules.nft <<'N'
table inet t {
  set s4 { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.1.1 } }
  chain c1 { counter accept; }
  map m { type inet_service : verdict; elements = { 80 : accept, 81 : jump c1 } }
  counter cn { }
  quota q { over 10 mbytes }
  limit lm { rate 5/second }
  set dyn { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 100; }
  set conc { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 80-90 } }
  chain input { type filter hook input priority 0; policy accept;
    ct state established,related accept
    tcp dport { 22, 80-90 } accept
    ip saddr @s4 drop
    tcp dport vmap @m
    ip saddr . tcp dport { 1.2.3.4 . 80 } drop
    ip saddr . tcp dport @conc drop
    meta iifname "eth*" limit rate 5/second counter drop
    ip daddr & 255.255.0.0 == 10.1.0.0 log prefix "x" reject
    counter name cn quota name "q"
    limit name "lm" accept
    add @dyn { ip saddr }
    tcp flags & (syn|ack) == syn tcp option maxseg size 1460 drop
    fib daddr type local accept
    ip6 saddr fd00::/8 reject with icmpx type admin-prohibited
    meta mark set ct mark
    ct mark set meta mark & 0xff
    udp dport 53 meta skuid 5 drop
    tcp sport set 99
    numgen random mod 10 < 5 drop
    icmp type echo-request accept
    iif lo accept
    ip protocol vmap { tcp : jump c1, udp : goto c1 }
    tcp dport 99 reject with tcp reset
    meta l4proto { tcp, udp } th dport 98 reject
  }
}
table ip nat { 
 chain pre { type nat hook prerouting priority dstnat; tcp dport 80 dnat to 10.0.0.1:8080
 tcp dport 81 redirect to :82
 dnat to tcp dport map { 80 : 1.1.1.1, 443 : 2.2.2.2 }
 }
 chain post { type nat hook postrouting priority 100; oifname "eth0" masquerade
 ip saddr 1.2.3.4 tcp dport 5 snat to 4.3.2.1:80-90
 }
}
N
t() { "$@" 2>&1; echo "status $?"; }
t nft -f rules.nft
t nft -a list ruleset
t nft list table ip nat
t nft -j list set inet t s4
t nft delete table inet t
t nft flush ruleset
t nft list ruleset
t nft add table ip t
t nft add chain ip t a
t nft add chain ip t b
t nft add rule ip t a jump b
t nft add rule ip t b jump a
t nft add chain ip t base '{ type filter hook input priority 0; }'
t nft add rule ip t base jump a
t nft list ruleset
t nft flush chain ip t b
t nft add rule ip t base jump a
t nft add rule ip t b jump base
t nft delete chain ip t b
t nft add rule ip t base tcp dport @nosuch accept
t nft add rule ip t nosuch accept
t nft add rule ip nosuch x accept
t nft add rule ip t base masquerade
t nft add rule ip t a masquerade
t nft add rule ip t base queue num 1
t nft add set ip t s '{ type ipv4_addr; }'
t nft add element ip t s '{ 1.2.3.4, 1.2.3.5 }'
t nft add element ip t s '{ 1.2.3.4 }'
t nft create element ip t s '{ 1.2.3.4 }'
t nft delete element ip t s '{ 1.2.3.9 }'
t nft get element ip t s '{ 1.2.3.4 }'
t nft get element ip t s '{ 1.2.3.9 }'
t nft add rule ip t base ip saddr @s drop
t nft delete set ip t s
t nft create table ip t
t nft create chain ip t a
t nft add chain ip t base '{ type filter hook input priority 5; }'
t nft add chain ip t c2 '{ type nat hook forward priority 5; }'
t nft add chain ip t c2 '{ type nat hook prerouting priority -250; }'
t nft add chain ip t c3 '{ type nosuch hook input priority 0; }'
t nft add set ip t iv '{ type inet_service; flags interval; }'
t nft add element ip t iv '{ 10-20, 30-40 }'
t nft add element ip t iv '{ 15-17 }'
t nft add element ip t iv '{ 5-50 }'
t nft add element ip t iv '{ 10-20 }'
t nft get element ip t iv '{ 15 }'
t nft get element ip t iv '{ 25 }'
t nft delete element ip t iv '{ 10-20 }'
t nft list set ip t iv
t nft add map ip t m '{ type inet_service : verdict; }'
t nft add element ip t m '{ 1 : jump base }'
t nft add element ip t m '{ 1 : jump b }'
t nft add element ip t m '{ 1 : accept }'
t nft delete chain ip t b
t nft add rule ip t b tcp dport vmap @m
t nft add rule ip t base jump b
t nft delete rule ip t base handle 99
t nft insert rule ip t base counter
t nft -a list table ip t
t nft replace rule ip t base handle 6 counter drop
t nft rename chain ip t a z
t nft add counter ip t c
t nft add quota ip t q 10 mbytes
t nft add rule ip t base counter name c
t nft delete counter ip t c
t nft list counters
t nft list table ip t
printf 'add table ip u\nadd chain ip u c\nadd rule ip u c accept\nadd rule ip u nosuch accept\n' > f.nft
t nft -f f.nft
t nft list tables
printf 'add table ip u\nadd chain ip u c\nadd set ip u s { type ipv4_addr; }\nadd element ip u s { 1.1.1.1 }\nadd rule ip u c ip saddr { 1.1.1.1, 2.2.2.2 } accept\ndelete table ip t\nadd rule ip u nosuch accept\n' > f.nft
t nft -f f.nft
t nft list ruleset
t nft delete table ip nosuch
for i in $(seq 18); do echo "add chain ip t k$i"; done > f.nft
for i in $(seq 17); do echo "add rule ip t k$i jump k$((i+1))"; done >> f.nft
t nft -f f.nft
t nft add rule ip t base jump k5
t nft add rule ip t base jump k3
t nft add rule ip t base jump k2
t nft -e -a add rule ip t k1 counter | grep -v generation
t nft add chain bridge x y
t nft add table bridge x
t nft flush ruleset
t nft list ruleset
