#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS, GUE (fou) and GRE: tunnels of both planes that end at that kernel, which is told so by
# `ip` alone. IPv4 and IPv6 in either, TCP and UDP; by IPVS, by TC with frames that the director's device cuts or its stack
# does, and by XDP. Says `all held`.
#
#   tests/vm/tunnels.sh VIPD
set -euo pipefail
vipd=$1
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $*" >&2
    for plane in ipvs ebpf; do "$vipd" ipvsadm --plane "$plane" --run-dir "$dir/run" -Ln --stats >&2; done
    "$vipd" status --run-dir "$dir/run" >&2
    ip -n server -s link show type ipip >&2
    cat "$dir"/log* >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"
. "${BASH_SOURCE[0]%/*}/triangle.sh"

modprobe -a ip_vs ip_vs_rr fou fou6 ipip sit ip6_tunnel ip_gre ip6_gre
triangle 192.0.2.1 192.0.2.2 2001:db8::1 2001:db8::2
# What comes out of GUE is IP in IP, 4 or 6 in 4 or 6.
ip -n server fou add port 6080 gue
ip -n server -6 fou add port 6080 gue
ip -n server link add four4 type ipip local 10.0.2.11
ip -n server link add six4 type sit local 10.0.2.11
ip -n server link add any6 type ip6tnl mode any local fd00:2::11
ip -n server link add gre4 type gre local 10.0.2.11
ip -n server link add gre6 type ip6gre local fd00:2::11
for link in four4 six4 any6 gre4 gre6; do ip -n server link set "$link" up; done

# The server gives back what it gets.
ip netns exec server perl "${BASH_SOURCE[0]%/*}/echo.pl" "$dir/ready" {192.0.2.1,192.0.2.2,2001:db8::1,2001:db8::2},{8001,8002,8003,8004} 2> "$dir/log.server" &
server=$!
until_true 'the server listens' test -e "$dir/ready"

# services VIP FORM: what FORM makes of each service: protocol, virtual address, port, server, kind of tunnel
services() {
    local one protocol port kind to
    for one in 8001=gue=10.0.2.11 8002=gue=fd00:2::11 8003=gre=10.0.2.11 8004=gre=fd00:2::11; do
        IFS='=' read -r port kind to <<< "$one"
        for protocol in TCP UDP; do "$2" "$protocol" "$1" "$port" "$to" "$kind"; done
    done
}
in_ipvsadms_words() {
    local -A option=([TCP]=-t [UDP]=-u [gue]='--tun-type gue --tun-port 6080' [gre]='--tun-type gre')
    local vip=$2 to=$4
    [ "$vip" = "${vip#*:}" ] || vip="[$vip]"
    [ "$to" = "${to#*:}" ] || to="[$to]"
    echo "-A ${option[$1]} $vip:$3 -s rr"
    echo "-a ${option[$1]} $vip:$3 -r $to:$3 -i ${option[$5]}"
}
in_keepaliveds_words() {
    local -A option=([gue]='type gue port 6080' [gre]='type gre')
    printf 'virtual_server %s %s {\n protocol %s\n lb_algo rr\n lb_kind TUN %s\n' "$2" "$3" "$1" "${option[$5]}"
    printf ' real_server %s %s {\n }\n}\n' "$4" "$3"
}
for vip in 192.0.2.1 2001:db8::1; do services "$vip" in_ipvsadms_words; done > "$dir/table"
"$vipd" ipvsadm --plane ipvs -R < "$dir/table" || fail 'IPVS takes the table'
# config HOOK
config() {
    printf 'global_defs {\n lvs_datapath ebpf\n lvs_ebpf_mode %s\n}\n' "$1"
    for vip in 192.0.2.2 2001:db8::2; do services "$vip" in_keepaliveds_words; done
}
hook() { "$vipd" status --run-dir "$dir/run" | grep -Eq "^ *d0 +$1 "; }
config tc > "$dir/vipd.conf"
"$vipd" run -f "$dir/vipd.conf" --run-dir "$dir/run" 2> "$dir/log" &
daemon=$!
until_true 'the daemon serves' grep -qs ' is running ' "$dir/log"

# talk N: with all services of the plane's addresses, datagrams, and a stream that does not know yet how much its tunnel bears.
talk() {
    for family in -4 -6; do ip -n client "$family" route flush cache; done
    ip netns exec client perl -Mstrict -MIO::Socket::IP -e '
        $SIG{ALRM} = sub { die "no answer in time\n" };
        for my $vip (@ARGV) {
            for my $port (8001 .. 8004) {
                alarm 20;
                my @to = (PeerHost => $vip, PeerPort => $port);
                my $udp = IO::Socket::IP->new(@to, Proto => "udp") or die "$vip $port: $@\n";
                for my $size (0, 1, 512, 1400) {
                    my $data = join "", map { chr rand 256 } 1 .. $size;
                    $udp->send($data) // die "$vip $port, $size bytes of UDP: $!\n";
                    defined $udp->recv(my $got, 65536) or die "$vip $port, $size bytes of UDP: $!\n";
                    $got eq $data or die "$vip $port: another datagram of $size bytes\n";
                }
                my $tcp = IO::Socket::IP->new(@to) or die "$vip $port: $@\n";
                # One segment as long as its own link bears (TCP_MAXSEG of IPPROTO_TCP): it is told how much the tunnel does.
                for my $size (unpack("i", getsockopt $tcp, 6, 2), 100_000, 30_000) {
                    my $data = substr join("", map { pack "N", $_ * $size } 1 .. 25_000), 0, $size;
                    my ($sent, $got) = (0, "");
                    while ($sent < length $data) { $sent += syswrite($tcp, $data, 65536, $sent) // die "$vip $port: $!\n" }
                    while (length $got < $sent) { sysread($tcp, $got, 65536, length $got) or die "$vip $port: the answer ends: $!\n" }
                    $got eq $data or die "$vip $port: another answer\n";
                }
            }
        }
    ' "192.0.2.$1" "2001:db8::$1" 2> "$dir/log.client"
}
# of_a_hundred N: of so many packets from the client in `talk N` how many came to the stack of d0, past XDP.
of_a_hundred() {
    local before counter sent=/sys/class/net/c0/statistics/tx_packets
    : > "$dir/seen"
    perl -Mstrict -MSocket -e '
        open my $index, "<", "/sys/class/net/d0/ifindex" or die $!;
        # All protocols (ETH_P_ALL); PACKET_STATISTICS is 6 of SOL_PACKET, 263 (linux/if_packet.h).
        socket(my $all, 17, SOCK_RAW, unpack "n", pack "S", 3) or die "AF_PACKET: $!\n";
        bind($all, pack "S n l S C C x8", 17, 3, scalar <$index>, 0, 0, 0) or die "d0: $!\n";
        $| = 1;
        $SIG{TERM} = sub { print unpack("L", getsockopt $all, 263, 6), "\n"; exit };
        print "counting\n";
        sleep;
    ' > "$dir/seen" 2> "$dir/log.seen" &
    counter=$!
    until_true 'packets are counted' grep -q counting "$dir/seen"
    before=$(ip netns exec client cat "$sent")
    talk "$1" || return 1
    kill "$counter"
    wait "$counter"
    echo $((100 * $(tail -n 1 "$dir/seen") / ($(ip netns exec client cat "$sent") - before)))
}
talk 1 || fail 'by IPVS'
hook tc || fail 'd0 is served by TC'
talk 2 || fail 'by TC, and devices that cut'
checksums 1 0
seen=$(of_a_hundred 2) || fail 'by TC, and the stack cuts'
[ "$seen" -ge 90 ] || fail "of a hundred packets only $seen are counted"
# XDP sends on what its sender has finished, and a veth takes it where it has GRO (ETHTOOL_SGRO).
checksums 0 0
offload server s0 44 1
config xdp > "$dir/vipd.conf"
kill -HUP "$daemon"
until_true 'd0 is served by XDP' hook '(generic )?xdp'
seen=$(of_a_hundred 2) || fail 'by XDP'
[ "$seen" -le 10 ] || fail "of a hundred packets $seen went past XDP"
kill "$server" "$daemon"
wait "$daemon" || fail 'an orderly stop ends with 0'
echo 'all held'
