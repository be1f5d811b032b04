#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS: both planes choose the same servers for the same connections, opened and closed in turns,
# with each scheduler that has no hash in it. Says `all held`.
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
for vip in 192.0.2.1 192.0.2.2; do ip address add "$vip/32" dev lo; done
ip link set d0 up
ip link set d1 up
ip -n client address add 10.0.1.10/24 dev c0
ip -n client link set c0 up
ip -n client route add default via 10.0.1.1
ip -n server link set s0 up
for n in 1 2 3 4; do ip -n server address add "10.0.2.1$n/24" dev s0; done
ip -n server route add default via 10.0.2.1
echo 1 > /proc/sys/net/ipv4/ip_forward

# A server says its number, and closes when its client does.
ip netns exec server perl -MIO::Select -MIO::Socket::INET -e '
    my @listeners = map { IO::Socket::INET->new(LocalAddr => "10.0.2.1$_", LocalPort => 80, Listen => 64) || die } 1 .. 4;
    my %is = map { ($listeners[$_] => $_ + 1) } 0 .. 3;
    my $all = IO::Select->new(@listeners);
    open my $ready, ">", $ARGV[0] or die;
    while (1) {
        for my $socket ($all->can_read) {
            if ($is{$socket}) { my $client = $socket->accept or next; syswrite $client, $is{$socket}; $all->add($client) }
            elsif (!sysread $socket, my $data, 1) { $all->remove($socket); close $socket }
        }
    }
' "$dir/ready" &
server=$!
until_true 'the servers listen' test -e "$dir/ready"

schedulers=(rr wrr lc wlc sed nq fo ovf lblc lblcr)
weights=('1 1 1 1' '3 1 2 1' '2 4 0 4' '1 5 5 2')
# table VIP DESTINATIONS...: a service for each scheduler with each set of weights, in ipvsadm's words
table() {
    local vip=$1 port=8000 scheduler set n each
    shift
    for scheduler in "${schedulers[@]}"; do
        for set in "${weights[@]}"; do
            port=$((port + 1))
            each=($set)
            echo "-A -t $vip:$port -s rr"
            for n in "$@"; do echo "-a -t $vip:$port -r 10.0.2.1$n:80 -m -w ${each[n - 1]}"; done
            echo "-E -t $vip:$port -s $scheduler"
        done
    done
}
table 192.0.2.1 4 3 2 1 | "$vipd" ipvsadm --plane ipvs -R || fail 'IPVS takes the table'
table 192.0.2.2 1 2 3 4 | "$vipd" ipvsadm --plane ebpf --run-dir "$dir/run" -R || fail 'the eBPF plane takes the table'

# The same random moves on both: open one, or close one of those that are open. Prints a line where the choices differ.
ip netns exec client perl -MIO::Socket::INET -e '
    my ($moves, $names) = (shift, shift);
    my @schedulers = split " ", $names;
    my ($port, $failed) = (8000, 0);
    sub choice {
        my $socket = IO::Socket::INET->new(PeerAddr => $_[0], PeerPort => $_[1], Timeout => 20);
        return (undef, "-") if !$socket;
        sysread $socket, my $number, 1 or die "a server said nothing: $!\n";
        return ($socket, $number);
    }
    # Both ends have closed when the end of the file is here.
    sub end { my ($socket) = @_; return if !$socket; shutdown $socket, 1; sysread $socket, my $data, 1; close $socket }
    for my $scheduler (@schedulers) {
        for my $weights (@ARGV) {
            $port++;
            srand $port;
            my (@open, @chosen);
            for (1 .. $moves) {
                if (@open && rand() < 0.3) {
                    my ($pair) = splice @open, int rand @open, 1;
                    end($_) for @$pair;
                    next;
                }
                my ($ipvs, $first) = choice("192.0.2.1", $port);
                my ($ebpf, $second) = choice("192.0.2.2", $port);
                $chosen[0] .= $first;
                $chosen[1] .= $second;
                push @open, [$ipvs, $ebpf] if $ipvs || $ebpf;
            }
            end($_) for map { @$_ } @open;
            my $differs = $chosen[0] ne $chosen[1];
            printf "%-6s %s: %s%s\n", $scheduler, $weights, $chosen[0], $differs ? " by IPVS, $chosen[1] by eBPF" : "";
            # The first one is always answered, whatever the scheduler.
            $failed ||= $differs || $chosen[0] !~ /^[1-4]/;
        }
    }
    exit($failed ? 1 : 0);
' 20 "${schedulers[*]}" "${weights[@]}" || fail 'both planes choose alike'
kill "$server"
ipvsadm -C
"$vipd" ipvsadm --plane ebpf --run-dir "$dir/run" -C
echo 'all held'
