#!/usr/bin/env bash
# Inside a VM whose kernel has VLANs: client and real server each behind a tag of their own, the director between them by NAT.
# TCP, datagrams, and a datagram in fragments, over IPv4 and IPv6, in each mode of the eBPF plane. Says `all held`.
#
#   tests/vm/vlan.sh VIPD
set -euo pipefail
vipd=$1
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $*" >&2
    "$vipd" status --run-dir "$dir/run" >&2
    cat "$dir"/log* >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"

modprobe 8021q
# tagged HOST|'' LINK TAG ADDRESSES...
tagged() {
    local at
    ip ${1:+-n $1} link set "$2" up
    ip ${1:+-n $1} link add link "$2" name "$2.$3" type vlan id "$3"
    ip ${1:+-n $1} link set "$2.$3" up
    for at in "${@:4}"; do
        case $at in
            *:*) ip ${1:+-n $1} -6 address add "$at" dev "$2.$3" nodad ;;
            *) ip ${1:+-n $1} address add "$at" dev "$2.$3" ;;
        esac
    done
}
ip link set lo up
for host in client server; do
    ip netns add "$host"
    ip -n "$host" link set lo up
done
ip link add d0 type veth peer name c0 netns client
ip link add d1 type veth peer name s0 netns server
tagged client c0 10 192.0.2.50/24 2001:db8::50/64
tagged '' d0 10 192.0.2.1/24 2001:db8::1/64 192.0.2.100/32 2001:db8::100/128
tagged '' d1 20 10.0.0.1/24 fd00::1/64
tagged server s0 20 10.0.0.11/24 fd00::11/64
ip -n server route add default via 10.0.0.1
ip -n server route add default via fd00::1
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding

# The server gives back what it gets.
ip netns exec server perl "${BASH_SOURCE[0]%/*}/echo.pl" "$dir/ready" {10.0.0.11,fd00::11},8000 2> "$dir/log.server" &
until_true 'the server listens' test -e "$dir/ready"

talk() {
    ip netns exec client perl -Mstrict -MIO::Socket::IP -e '
        $SIG{ALRM} = sub { die "no answer in time\n" };
        for my $vip (@ARGV) {
            alarm 20;
            my @to = (PeerHost => $vip, PeerPort => 80);
            my $udp = IO::Socket::IP->new(@to, Proto => "udp") or die "$vip: $@\n";
            for my $size (1, 1400, 3000) {
                my $data = join "", map { chr rand 256 } 1 .. $size;
                $udp->send($data) // die "$vip, $size bytes of UDP: $!\n";
                defined $udp->recv(my $got, 65536) or die "$vip, $size bytes of UDP: $!\n";
                $got eq $data or die "$vip: another datagram of $size bytes\n";
            }
            my $tcp = IO::Socket::IP->new(@to) or die "$vip: $@\n";
            my $data = join "", map { pack "N", $_ } 1 .. 10_000;
            my ($sent, $got) = (0, "");
            while ($sent < length $data) { $sent += syswrite($tcp, $data, 65536, $sent) // die "$vip: $!\n" }
            while (length $got < $sent) { sysread($tcp, $got, 65536, length $got) or die "$vip: the answer ends: $!\n" }
            $got eq $data or die "$vip: another answer\n";
        }
    ' 192.0.2.100 2001:db8::100 2> "$dir/log.client"
}
config() {
    local protocol one
    printf 'global_defs {\n lvs_datapath ebpf\n lvs_ebpf_mode %s\n}\n' "$1"
    for protocol in TCP UDP; do
        for one in 192.0.2.100=10.0.0.11 2001:db8::100=fd00::11; do
            printf 'virtual_server %s 80 {\n protocol %s\n lb_algo rr\n lb_kind NAT\n' "${one%=*}" "$protocol"
            printf ' real_server %s 8000 {\n }\n}\n' "${one#*=}"
        done
    done
}
# How many services there are, and whether each has packets in.
counted() {
    "$vipd" ipvsadm --run-dir "$dir/run" -Ln --stats | awk '$1 == "TCP" || $1 == "UDP" { print ($4 > 0) }' | sort | uniq -c | tr -s ' '
}
for mode in tc auto xdp; do
    config "$mode" > "$dir/vipd.conf"
    "$vipd" run -f "$dir/vipd.conf" --run-dir "$dir/run" 2> "$dir/log" &
    daemon=$!
    until_true "the daemon serves ($mode)" grep -qs ' is running ' "$dir/log"
    talk || fail "$mode"
    [ "$(counted)" = " 4 1" ] || fail "$mode: not every service has counted packets: $(counted)"
    kill "$daemon"
    wait "$daemon"
done
echo 'all held'
