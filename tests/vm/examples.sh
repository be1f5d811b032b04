#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS and ipip: the examples of conf/ serve by IPVS, with real servers that nothing but
# `vipd real-server setup` prepared. Says `all held`.
#
#   tests/vm/examples.sh VIPD CONF
set -euo pipefail
vipd=$1
conf=$2
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $example: $*" >&2
    ip netns exec director ipvsadm -Ln >&2
    cat "$dir/log" >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"

# plug HOST INTERFACE ADDRESS SWITCH
plug() {
    ip link add "$1-$2" type veth peer name "$2" netns "$1"
    ip link set "$1-$2" master "$4" up
    ip -n "$1" address add "$3" dev "$2"
    ip -n "$1" link set "$2" up
}
# hosts one|two|tunnel: where the real servers are.
hosts() {
    local n
    for n in outside inside; do
        ip link add "$n" type bridge mcast_snooping 0
        ip link set "$n" up
    done
    for n in client director s1 s2; do
        ip netns add "$n"
        ip -n "$n" link set lo up
    done
    plug client eth0 192.0.2.50/24 outside
    plug director eth0 192.0.2.2/24 outside
    [ "$1" = one ] || plug director eth1 10.0.0.2/24 inside
    for n in 1 2; do
        case $1 in
            one) plug "s$n" eth0 "192.0.2.1$n/24" outside ;;
            two) plug "s$n" eth0 "10.0.0.1$n/24" inside && ip -n "s$n" route add default via 10.0.0.1 ;;
            tunnel) plug "s$n" eth0 "10.0.0.1$n/24" inside && plug "s$n" eth1 "192.0.2.1$n/24" outside ;;
        esac
    done
}
away() {
    kill "$pid" "${servers[@]}"
    wait "$pid" || fail 'an orderly stop ends with 0'
    wait
    for n in client director s1 s2; do ip netns delete "$n"; done
    ip link delete outside
    ip link delete inside
}
# serve PORT: web servers that say their number.
serve() {
    local n
    servers=()
    for n in 1 2; do
        mkdir -p "$dir/www$n"
        echo "$n" > "$dir/www$n/index.html"
        ip netns exec "s$n" busybox httpd -f -p "$1" -h "$dir/www$n" &
        servers+=($!)
    done
}
# resolve PREFIX [VIP]: servers that make an answer of every question, with their number at its end, at PREFIX and that number.
resolve() {
    local n address
    for n in 1 2; do
        for address in "$1$n" ${2:-}; do
            ip netns exec "s$n" perl -MIO::Socket::INET -e '
                my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => $ARGV[0], LocalPort => 53) or die $@;
                while (defined $s->recv(my $q, 512)) { substr($q, 2, 1) |= "\x80"; $s->send($q . $ARGV[1]) }
            ' "$address" "$n" &
            servers+=($!)
        done
    done
}
set_up() {
    local n
    for n in 1 2; do
        ip netns exec "s$n" "$vipd" real-server setup --vip "$vip" --method "$1" --run-dir "$dir/s$n" || fail 'setup'
    done
}
# start EXAMPLE PORT: until the example serves.
start() {
    sed '/lvs_datapath/d; s/^global_defs {/&\n    lvs_datapath ipvs/' "$conf/$1" > "$dir/vipd.conf"
    ip netns exec director "$vipd" run -f "$dir/vipd.conf" --run-dir "$dir/run" 2>> "$dir/log" &
    pid=$!
    until_true 'the VIP is served' held
    until_true 'a client is answered' get "$2"
}
held() { ip -n director -o address show | grep -v tentative | grep -qF "$vip/"; }
# get PORT: the number of the server that answers.
get() {
    ip netns exec client timeout 5 bash -c '
        exec 3<> "/dev/tcp/$0/$1" && printf "GET / HTTP/1.0\r\n\r\n" >&3 && tail -n 1 <&3 | grep -x "[12]"
    ' "$vip" "$1"
}
# shares PORT COUNT: who answers, in order.
shares() { for _ in $(seq "$2"); do get "$1" || fail 'a request'; done | sort | uniq -c | awk '{ printf "%s:%s ", $2, $1 }'; }

# questions COUNT: as many questions of DNS from a port of their own each, which both servers answer in turn.
questions() {
    ip netns exec client perl -MIO::Socket::INET -e '
        $SIG{ALRM} = sub { die "no answer" };
        my %seen;
        for (1 .. $ARGV[0]) {
            my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "192.0.2.100", PeerPort => 53) or die $@;
            alarm 5; $s->send("\0\7\1\0\0\1\0\0\0\0\0\0"); $s->recv(my $a, 512); $seen{chop $a}++
        }
        exit($seen{1} == $seen{2} ? 0 : 1);
    ' "$1"
}

modprobe ip_vs
vip=192.0.2.100
example=nat
hosts two
serve 8443
resolve 10.0.0.1
start nat.conf 443
until_true 'datagrams are shared' questions 4
[ "$(shares 443 3 | wc -w)" = 1 ] || fail "one client stays with its server: $(shares 443 3)"
away

example=dr
hosts one
serve 80
set_up dr
resolve 192.0.2.1 "$vip"
start dr.conf 80
until_true 'datagrams are shared' questions 4
[ "$(shares 80 4 | wc -w)" = 2 ] || fail "both serve: $(shares 80 4)"
away

example=tun
hosts tunnel
serve 80
for n in 1 2; do ip netns exec "s$n" sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter'; done
set_up tun
ip -n s1 address show dev tunl0 | grep -q 192.0.2.100 || fail 'this kernel has the device'
resolve 10.0.0.1 "$vip"
start tun.conf 80
until_true 'datagrams are shared' questions 4
[ "$(shares 80 4)" = '1:3 2:1 ' ] || fail "by weight: $(ip netns exec director ipvsadm -Ln --stats)"
away

example=persistence
hosts one
serve 443
set_up dr
start persistence.conf 443
[ "$(shares 443 3 | wc -w)" = 1 ] || fail "one client stays with its server: $(shares 443 3)"
away

example=udp-dns
hosts one
serve 53
set_up dr
resolve 192.0.2.1 "$vip"
start udp-dns.conf 53
ask() {
    ip netns exec client perl -MIO::Socket::INET -e '
        my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "192.0.2.100", PeerPort => 53) or die $@;
        $SIG{ALRM} = sub { die "no answer" };
        my %seen;
        for (1 .. 8) { alarm 5; $s->send("\0\7\1\0\0\1\0\0\0\0\0\0"); $s->recv(my $a, 512); $seen{chop $a}++ }
        exit(join(" ", map { "$_:$seen{$_}" } sort keys %seen) eq "1:4 2:4" ? 0 : 1);
    '
}
until_true 'questions of one port go to both in turn' ask
away

example=fwmark
hosts one
serve 80
plain=("${servers[@]}")
serve 443
servers+=("${plain[@]}")
set_up dr
# The firewall's part, as the example writes it.
modprobe nf_tables
sed -n '/^#   table/,/^#   }$/s/^#//p' "$conf/fwmark.conf" | ip netns exec director nft -f -
start fwmark.conf 80
[ "$(for port in 80 443 80; do get $port; done | sort -u | wc -l)" = 1 ] || fail 'one client stays on both ports'
away

example=ipv6
hosts one
serve 80
vip=2001:db8::100
for one in client:50 director:2 s1:11 s2:12; do
    ip -n "${one%:*}" -6 address add "2001:db8::${one#*:}/64" dev eth0 nodad
done
set_up dr
start ipv6.conf 80
both() { [ "$(ip netns exec director ipvsadm -Ln | grep -c ' Route ')" = 2 ]; }
until_true 'both real servers are there' both
[ "$(shares 80 6)" = '1:4 2:2 ' ] || fail "by weight: $(ip netns exec director ipvsadm -Ln --stats)"
away
echo 'all held'
