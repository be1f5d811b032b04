#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS: both planes give each of many clients the same server by sh, dh and mh, with and without
# their flags, by UDP, IPv4 and IPv6. Says `all held`.
#
#   tests/vm/hashes.sh VIPD
#
# Both planes serve the same addresses, IPVS on ports from 8001, the eBPF plane on ports from 9001, and each client asks both
# from one socket. IPVS puts a destination before those that it has, so it is given them as a file has them most often, from
# the lowest address to the highest.
set -euo pipefail
vipd=$1
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $*" >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"

# This host is the director. The client has every address of 10.7.0.0/16 and fd00:7::/64.
ip link set lo up
for n in client server; do
    ip netns add "$n"
    ip -n "$n" link set lo up
done
ip link add d0 type veth peer name c0 netns client
ip link add d1 type veth peer name s0 netns server
ip address add 10.0.1.1/24 dev d0
ip address add 10.0.2.1/24 dev d1
ip -6 address add fd00:1::1/64 dev d0 nodad
ip -6 address add fd00:2::1/64 dev d1 nodad
ip link set d0 up
ip link set d1 up
ip -n client address add 10.0.1.10/24 dev c0
ip -n client -6 address add fd00:1::10/64 dev c0 nodad
ip -n client link set c0 up
ip -n client route add default via 10.0.1.1
ip -n client route add default via fd00:1::1
ip -n client route add local 10.7.0.0/16 dev lo
ip -n client -6 route add local fd00:7::/64 dev lo
ip netns exec client sysctl -q net.ipv6.ip_nonlocal_bind=1
ip route add 10.7.0.0/16 via 10.0.1.10
ip route add fd00:7::/64 via fd00:1::10
ip -n server link set s0 up
for n in 1 2 3 4; do
    ip -n server address add "10.0.2.1$n/24" dev s0
    ip -n server -6 address add "fd00:2::1$n/64" dev s0 nodad
done
ip -n server route add default via 10.0.2.1
ip -n server route add default via fd00:2::1
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding

# A server says its number.
ip netns exec server perl -MIO::Select -MIO::Socket::IP -e '
    my %is;
    my $all = IO::Select->new;
    for my $n (1 .. 4) {
        for my $address ("10.0.2.1$n", "fd00:2::1$n") {
            my $socket = IO::Socket::IP->new(LocalHost => $address, LocalPort => 53, Proto => "udp") || die $@;
            $is{$socket} = $n;
            $all->add($socket);
        }
    }
    open my $ready, ">", $ARGV[0] or die;
    while (1) {
        for my $socket ($all->can_read) { $socket->send($is{$socket}) if defined $socket->recv(my $data, 1) }
    }
' "$dir/ready" &
server=$!
until_true 'the servers listen' test -e "$dir/ready"

# `WEIGHTS SCHEDULER [FLAGS]`; of weight 0 is who had 1 before, and IPVS would have left the place in vain without a fallback.
rows=('1 1 1 1 sh' '3 1 2 1 sh' '50 60 70 76 sh' '3 1 2 1 sh sh-port' '2 1 1 3 sh sh-fallback' '2 0 1 1 sh sh-fallback'
    '0 0 1 0 sh sh-fallback,sh-port' '1 1 1 1 mh' '3 1 2 1 mh' '100 300 200 100 mh' '1 70 500 3 mh' '3 1 2 1 mh mh-port'
    '2 0 1 1 mh mh-fallback' '1 0 0 1 mh mh-fallback,mh-port' '1 1 1 1 dh' '7 1 1 3 dh')
# dh asks for the service's address, so it has many.
addresses=12
# table PORT SERVERS...: services on all addresses, in ipvsadm's words
table() {
    local base=$1 n row words each port flags
    shift
    for row in "${!rows[@]}"; do
        read -ra words <<< "${rows[row]}"
        port=$((base + row + 1))
        flags=${words[5]:+-b ${words[5]}}
        for n in $(seq "$addresses"); do
            [ "${words[4]}" = dh ] || [ "$n" = 1 ] || continue
            echo "-A -u 192.0.2.$n:$port -s ${words[4]} $flags"
            echo "-A -u [2001:db8::$n]:$port -s ${words[4]} $flags"
            for each in "$@"; do
                echo "-a -u 192.0.2.$n:$port -r 10.0.2.1$each:53 -m -w $((words[each - 1] > 0 ? words[each - 1] : 1))"
                echo "-a -u [2001:db8::$n]:$port -r [fd00:2::1$each]:53 -m -w $((words[each - 1] > 0 ? words[each - 1] : 1))"
            done
            for each in "$@"; do
                [ "${words[each - 1]}" -gt 0 ] && continue
                echo "-e -u 192.0.2.$n:$port -r 10.0.2.1$each:53 -m -w 0"
                echo "-e -u [2001:db8::$n]:$port -r [fd00:2::1$each]:53 -m -w 0"
            done
        done
    done
}
for n in $(seq "$addresses"); do
    ip address add "192.0.2.$n/32" dev lo
    ip -6 address add "2001:db8::$n/128" dev lo nodad
done
table 8000 1 2 3 4 > "$dir/ipvs"
"$vipd" ipvsadm --plane ipvs -R < "$dir/ipvs" || fail 'IPVS takes the table'
# In another order, which is nothing to the eBPF plane.
table 9000 3 1 4 2 | "$vipd" ipvsadm --plane ebpf --run-dir "$dir/run" -R || fail 'the eBPF plane takes the table'

ip netns exec client perl -MSocket=:all -e '
    my ($addresses, @rows) = @ARGV;
    my $failed = 0;
    $| = 1;
    $SIG{ALRM} = sub { die "$asked: no answer\n" };
    # What the service says to a socket of that client.
    sub ask {
        my ($socket, $to, $port, $v6) = @_;
        $asked = "$to $port";
        my $target = $v6 ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $to)) : pack_sockaddr_in($port, inet_aton($to));
        alarm 20;
        send($socket, "x", 0, $target) or die "$asked: $!\n";
        defined recv($socket, my $number, 1, 0) or die "$asked: $!\n";
        alarm 0;
        return $number;
    }
    for my $v6 (0, 1) {
        my $number = 0;
        for my $row (@rows) {
            my ($hash) = $row =~ /(sh|mh|dh)/;
            my @to = map { $v6 ? "2001:db8::$_" : "192.0.2.$_" } 1 .. ($hash eq "dh" ? $addresses : 1);
            my @chosen = ("", "");
            srand ++$number;
            for my $n (1 .. ($hash eq "dh" ? 2 : 64)) {
                my ($high, $low) = (int rand 256, int rand 256);
                my $from = $v6 ? sprintf "fd00:7::%x:%x", $high, $low + 1 : "10.7.$high.$low";
                socket(my $socket, $v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die;
                bind($socket, $v6 ? pack_sockaddr_in6(0, inet_pton(AF_INET6, $from)) : pack_sockaddr_in(0, inet_aton($from)))
                    or die "$from: $!\n";
                for my $to (@to) { $chosen[$_] .= ask($socket, $to, 8000 + 1000 * $_ + $number, $v6) for 0, 1 }
            }
            my $differs = $chosen[0] ne $chosen[1];
            printf "IPv%s %s: %s%s\n", $v6 ? 6 : 4, $row, $chosen[0], $differs ? " by IPVS, $chosen[1] by eBPF" : "";
            $failed ||= $differs;
        }
    }
    exit $failed;
' "$addresses" "${rows[@]}" || fail 'both planes choose alike'
kill "$server"
ipvsadm -C
"$vipd" ipvsadm --plane ebpf --run-dir "$dir/run" -C
echo 'all held'
