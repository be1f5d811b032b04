#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS: both planes choose the same servers for the same connections, opened and closed in turns,
# with each scheduler that has no hash in it, by TCP and UDP, IPv4 and IPv6. Of UDP none is closed. Says `all held`.
#
#   tests/vm/schedulers.sh VIPD
#
# IPVS puts a destination before those that it has, so it is given them from the last to the first; and its wrr begins its
# round where the order of additions has left it, so every service gets its scheduler when it has its destinations.
set -euo pipefail
vipd=$1
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $*" >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"

# This host is the director.
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
for n in 1 2; do
    ip address add "192.0.2.$n/32" dev lo
    ip -6 address add "2001:db8::$n/128" dev lo nodad
done
ip link set d0 up
ip link set d1 up
ip -n client address add 10.0.1.10/24 dev c0
ip -n client -6 address add fd00:1::10/64 dev c0 nodad
ip -n client link set c0 up
ip -n client route add default via fd00:1::1
ip -n client route add default via 10.0.1.1
ip -n server link set s0 up
for n in 1 2 3 4; do
    ip -n server address add "10.0.2.1$n/24" dev s0
    ip -n server -6 address add "fd00:2::1$n/64" dev s0 nodad
done
ip -n server route add default via 10.0.2.1
ip -n server route add default via fd00:2::1
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding

# A server says its number, and closes when its client does.
ip netns exec server perl -MIO::Select -MIO::Socket::IP -e '
    my (@listeners, @datagrams, %is);
    for my $n (1 .. 4) {
        for my $address ("10.0.2.1$n", "fd00:2::1$n") {
            push @listeners, IO::Socket::IP->new(LocalHost => $address, LocalPort => 80, Listen => 64) || die $@;
            push @datagrams, IO::Socket::IP->new(LocalHost => $address, LocalPort => 80, Proto => "udp") || die $@;
            $is{$_} = $n for $listeners[-1], $datagrams[-1];
        }
    }
    my %takes = map { $_ => 1 } @listeners;
    my $all = IO::Select->new(@listeners, @datagrams);
    open my $ready, ">", $ARGV[0] or die;
    while (1) {
        for my $socket ($all->can_read) {
            my $data;
            if ($takes{$socket}) { my $client = $socket->accept or next; syswrite $client, $is{$socket}; $all->add($client) }
            elsif ($is{$socket}) { $socket->send($is{$socket}) if defined $socket->recv($data, 1) }
            elsif (!sysread $socket, $data, 1) { $all->remove($socket); close $socket }
        }
    }
' "$dir/ready" &
server=$!
until_true 'the servers listen' test -e "$dir/ready"

schedulers=(rr wrr lc wlc sed nq fo ovf lblc lblcr)
weights=('1 1 1 1' '3 1 2 1' '2 4 0 4' '1 5 5 2')
# table -t|-u VIP SERVERS DESTINATIONS...: a service for each scheduler with each set of weights, in ipvsadm's words; the
# servers' addresses but for their last digit
table() {
    local kind=$1 vip=$2 servers=$3 port=8000 scheduler set n each close=
    [ "$servers" = "${servers#[}" ] || close=]
    for scheduler in "${schedulers[@]}"; do
        for set in "${weights[@]}"; do
            port=$((port + 1))
            each=($set)
            echo "-A $kind $vip:$port -s rr"
            for n in "${@:4}"; do echo "-a $kind $vip:$port -r $servers$n$close:80 -m -w ${each[n - 1]}"; done
            echo "-E $kind $vip:$port -s $scheduler"
        done
    done
}
# tables N DESTINATIONS...
tables() {
    local kind
    for kind in -t -u; do
        table "$kind" "192.0.2.$1" 10.0.2.1 "${@:2}"
        table "$kind" "[2001:db8::$1]" '[fd00:2::1' "${@:2}"
    done
}
tables 1 4 3 2 1 | "$vipd" ipvsadm --plane ipvs -R || fail 'IPVS takes the table'
tables 2 1 2 3 4 | "$vipd" ipvsadm --plane ebpf --run-dir "$dir/run" -R || fail 'the eBPF plane takes the table'

# The same random moves on both: open one, or close one of those that are open. Prints a line where the choices differ.
# moves PROTOCOL VIPS COUNT: by IPVS the first of those addresses, by eBPF the second.
moves() {
    echo "$1 $2"
    ip netns exec client perl -MIO::Socket::IP -e '
    my ($protocol, $vips, $moves, $names) = splice @ARGV, 0, 4;
    my @vips = split " ", $vips;
    my @schedulers = split " ", $names;
    $| = 1;
    # A port that is free again would find the connection that it had: nobody closes one of UDP.
    my ($asked, @kept);
    $SIG{ALRM} = sub { die "$asked: no answer\n" };
    my ($port, $failed) = (8000, 0);
    sub choice {
        my $socket = IO::Socket::IP->new(PeerHost => $_[0], PeerPort => $_[1], Proto => $protocol, Timeout => 20);
        my $number;
        if ($socket && $protocol eq "udp") {
            $asked = "$_[0] $_[1]";
            alarm 20;
            undef $socket if !$socket->send("x") || !defined $socket->recv($number, 1);
            alarm 0;
        }
        elsif ($socket) { sysread $socket, $number, 1 or die "a server said nothing: $!\n" }
        return $socket ? ($socket, $number) : (undef, "-");
    }
    # Both ends have closed when the end of the file is here.
    sub end { my ($socket) = @_; return if !$socket || $protocol eq "udp"; shutdown $socket, 1; sysread $socket, my $data, 1; close $socket }
    for my $scheduler (@schedulers) {
        for my $weights (@ARGV) {
            $port++;
            srand $port;
            my (@open, @chosen);
            for (1 .. $moves) {
                if (@open && $protocol eq "tcp" && rand() < 0.3) {
                    my ($pair) = splice @open, int rand @open, 1;
                    end($_) for @$pair;
                    next;
                }
                my ($ipvs, $first) = choice($vips[0], $port);
                my ($ebpf, $second) = choice($vips[1], $port);
                $chosen[0] .= $first;
                $chosen[1] .= $second;
                push @open, [$ipvs, $ebpf] if $ipvs || $ebpf;
            }
            end($_) for map { @$_ } @open;
            push @kept, @open if $protocol eq "udp";
            my $differs = $chosen[0] ne $chosen[1];
            printf "%-6s %s: %s%s\n", $scheduler, $weights, $chosen[0], $differs ? " by IPVS, $chosen[1] by eBPF" : "";
            # The first one is always answered, whatever the scheduler.
            $failed ||= $differs || $chosen[0] !~ /^[1-4]/;
        }
    }
    exit($failed ? 1 : 0);
    ' "$1" "$2" "$3" "${schedulers[*]}" "${weights[@]}" || fail "both planes choose alike for $1 of $2"
}
moves tcp '192.0.2.1 192.0.2.2' 20
moves tcp '2001:db8::1 2001:db8::2' 12
moves udp '192.0.2.1 192.0.2.2' 10
moves udp '2001:db8::1 2001:db8::2' 10
kill "$server"
ipvsadm -C
"$vipd" ipvsadm --plane ebpf --run-dir "$dir/run" -C
echo 'all held'
