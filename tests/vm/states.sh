#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS: both planes list the same states, with the same timeouts, for the same connections at every
# turn of their lives, by NAT and DR. Says `all held`.
#
#   tests/vm/states.sh VIPD
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
for n in 1 2; do ip -n server address add "10.0.2.1$n/24" dev s0; done
for vip in 192.0.2.1 192.0.2.2; do ip -n server address add "$vip/32" dev lo; done
ip -n server route add default via 10.0.2.1
echo 1 > /proc/sys/net/ipv4/ip_forward
# By DR the server answers past the director.
ip -n server link add s1 type veth peer name c1 netns client
for of in server,s1,1 client,c1,2; do
    IFS=, read -r n link host <<< "$of"
    ip -n "$n" address add "10.0.3.$host/24" dev "$link"
    ip -n "$n" link set "$link" up
    ip netns exec "$n" sysctl -qw net.ipv4.conf.all.rp_filter=0 "net.ipv4.conf.$link.rp_filter=0"
done
ip -n server rule add from 192.0.2.0/24 lookup 100
ip -n server route add default via 10.0.3.2 table 100
# Nobody has this address: a SYN is not answered.
ip neighbour add 10.0.2.99 lladdr "$(ip -n server -o link show s0 | grep -oE 'ether [^ ]+' | cut -d' ' -f2)" dev d1

# A server closes when its client does, or when the client asks for it, whichever is first.
ip netns exec server perl -MIO::Select -MIO::Socket::INET -e '
    my @listeners = map { IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => $_, Listen => 64) || die } 80, 8001;
    my %is = map { $_ => 1 } @listeners;
    my $all = IO::Select->new(@listeners);
    open my $ready, ">", $ARGV[0] or die;
    while (1) {
        for my $socket ($all->can_read) {
            if ($is{$socket}) { my $client = $socket->accept or next; syswrite $client, "h"; $all->add($client) }
            elsif (!sysread $socket, my $data, 1) { $all->remove($socket); $open{$socket} = $socket }
            elsif ($data eq "f") { shutdown $socket, 1 }
            elsif ($data eq "c") { close $_ for values %open; %open = () }
        }
    }
' "$dir/ready" &
server=$!
until_true 'the servers listen' test -e "$dir/ready"

# table VIP SERVER, since the client has one port for both: by NAT at port 8000, by DR at 8001; where nobody answers at 8002 and 8003, where it is refused at 8004
table() {
    local port to
    for to in "8000 $2:80 -m" "8001 $2:8001 -g" '8002 10.0.2.99:80 -m' '8003 10.0.2.99:8003 -g' "8004 $2:9 -m"; do
        port=${to%% *}
        echo "-A -t $1:$port -s rr"
        echo "-a -t $1:$port -r ${to#* }"
    done
}
ebpf=("$vipd" ipvsadm --plane ebpf --run-dir "$dir/run")
table 192.0.2.1 10.0.2.11 | ipvsadm -R || fail 'IPVS takes the table'
table 192.0.2.2 10.0.2.12 | "${ebpf[@]}" -R || fail 'the eBPF plane takes the table'

# state PORT IPVSADM...: of the connection that the client has from that port: its state, and the least of IPVS's timeouts that
# is not below what it has left
state() {
    local port=$1
    shift
    "$@" -Lnc | awk -v port=":$port" '
        $1 == "TCP" && index($4, port) {
            split($2, at, ":")
            left = at[1] * 60 + at[2]
            print $3, (left > 120 ? 900 : left > 60 ? 120 : left > 10 ? 60 : 10)
        }'
}
# alike PORT STATE
alike() {
    local a b
    a=$(state "$1" ipvsadm)
    b=$(state "$1" "${ebpf[@]}")
    said="$a s"
    echo "IPVS $a, eBPF $b"
    [ "$a" = "$b" ] && [ "${a% *}" = "$2" ]
}
# go WHAT: the client's next step; then both planes have the state for its port
turn=0
go() {
    local port=$1 name=$2 wanted=$3
    echo "$4" >&3
    turn=$((turn + 1))
    until_true "the client is there: $name" grep -qx "$turn" "$dir/turns"
    until_true "$wanted: $name" alike "$port" "$wanted"
    echo "$name: $said"
}

# Each line is what to do on both planes: open PORT VPORT, send PORT BYTE, shut PORT, reset PORT, knock PORT VPORT (nobody answers).
mkfifo "$dir/steps"
ip netns exec client perl -MIO::Socket::INET -MSocket=:all -e '
    $| = 1;
    my (%open, $turn);
    while (<STDIN>) {
        my ($what, $port, $with) = split;
        if ($what eq "open" || $what eq "knock") {
            for my $vip ("192.0.2.1", "192.0.2.2") {
                my $socket = IO::Socket::INET->new(Proto => "tcp", LocalPort => $port, ReuseAddr => 1, Blocking => 0) or die $!;
                $socket->blocking($what eq "open");
                connect $socket, sockaddr_in($with, inet_aton($vip));
                push @{ $open{$port} }, $socket;
                sysread $socket, my $hello, 1 if $what eq "open";
            }
        }
        for my $socket (@{ $open{$port} }) {
            syswrite $socket, $with if $what eq "send";
            shutdown $socket, 1 if $what eq "shut";
            setsockopt $socket, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0) if $what eq "reset";
        }
        delete $open{$port} if $what eq "reset";
        print ++$turn, "\n";
    }
' < "$dir/steps" > "$dir/turns" &
exec 3> "$dir/steps"

go 40001 'NAT, nobody answers' SYN_RECV 'knock 40001 8002'
go 40002 'DR, nobody answers' SYN_RECV 'knock 40002 8003'
go 40003 'NAT, refused' CLOSE 'knock 40003 8004'
for of in '40010 8000 NAT CLOSE_WAIT TIME_WAIT' '40020 8001 DR FIN_WAIT FIN_WAIT'; do
    read -r port to how half both <<< "$of"
    go "$port" "$how, open" ESTABLISHED "open $port $to"
    go "$port" "$how, the client ends" "$half" "shut $port"
    server_first=$([ "$how" = NAT ] && echo FIN_WAIT || echo ESTABLISHED)
    go $((port + 1)) "$how, another one" ESTABLISHED "open $((port + 1)) $to"
    go $((port + 1)) "$how, the server ends" "$server_first" "send $((port + 1)) f"
    go $((port + 1)) "$how, the client ends, too" "$both" "shut $((port + 1))"
    go $((port + 2)) "$how, a third one" ESTABLISHED "open $((port + 2)) $to"
    go "$port" "$how, the server ends, too" "$both" "send $((port + 2)) c"
    go $((port + 2)) "$how, reset" CLOSE "reset $((port + 2))"
done
exec 3>&-
kill "$server"
ipvsadm -C
"${ebpf[@]}" -C
echo 'all held'
