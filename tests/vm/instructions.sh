#!/usr/bin/env bash
# Inside a VM whose clock counts instructions: what a packet costs from the client's send() to the real server's
# interface, less what the sender costs alone. Each row is the median of three floods of UDP datagrams.
#
#   tests/vm/instructions.sh VIPD veth|live|cards
#
# The hosts are joined by pairs of veth, or by the five cards of scripts/vm -n 5. With `live` the client's frames come as a
# driver has them, not as the stack's (live.pl), and what they cost until the director's card drops them is taken off.
set -euo pipefail
vipd=$1
links=$2
case $links in
    veth) packets=3000 rest=0 all_flows='1 1000' ;;
    live) packets=10000 rest=0 all_flows='1 1000' ;;
    # Cards are served while nothing else is to be done: what is idle does not count, and is known to 10 ms only.
    cards) packets=20000 rest=0.2 all_flows=1 ;;
esac
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $*" >&2
    tail -20 "$dir"/log* >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"
. "${BASH_SOURCE[0]%/*}/offload.sh"
live=${BASH_SOURCE[0]%/*}/live.pl
# flood FLOWS: nanoseconds, which are instructions, of a datagram. IPVS keeps the connections of a service that was deleted,
# so every case has ports of its own.
first_port=10000
flood() {
    if [ "$links" = live ]; then
        ip netns exec client perl "$live" send c0 "$(mac director d0)" "$packets" 3 "$1" "$first_port"
        return
    fi
    ip netns exec client perl -MTime::HiRes=clock_gettime,CLOCK_MONOTONIC -MSocket -e '
        my ($packets, $flows, $first, $rest) = @ARGV;
        sub idle { open(my $f, "<", "/proc/stat") or die; return (split " ", <$f>)[4] / 100; }
        my $to = pack_sockaddr_in(80, inet_aton("192.0.2.100"));
        my @sockets = map {
            socket(my $s, PF_INET, SOCK_DGRAM, 0) or die;
            bind($s, pack_sockaddr_in($first + $_, inet_aton("10.0.1.10"))) or die; connect($s, $to) or die; $s
        } 1 .. $flows;
        my $data = "x" x 64;
        send($_, $data, 0) for @sockets;
        my @rounds = sort { $a <=> $b } map {
            my ($began, $idle) = (clock_gettime(CLOCK_MONOTONIC), idle());
            send($sockets[$_ % $flows], $data, 0) for 1 .. $packets;
            select(undef, undef, undef, $rest) if $rest;
            my $took = clock_gettime(CLOCK_MONOTONIC) - $began;
            $took -= idle() - $idle if $rest;
            int($took * 1e9 / $packets)
        } 1 .. 3;
        print "$rounds[1]\n";
    ' "$packets" "$1" "$first_port" "$rest"
}
arrived() { ip netns exec server cat /sys/class/net/d0/statistics/rx_packets; }
# config PLANE METHOD MODE
config() {
    cat <<CONF
global_defs {
    lvs_datapath $1
    lvs_ebpf_mode $3
}
virtual_server 192.0.2.100 80 {
    protocol UDP
    lb_algo rr
    lb_kind $2
    real_server 10.0.2.11 80 {
    }
}
CONF
}
held() { ip netns exec director "$vipd" ipvsadm --run-dir "$dir/run" -Ln | grep -q 10.0.2.11; }
served_by_xdp() { ip netns exec director "$vipd" status --run-dir "$dir/run" | grep -Eq '^ *d0 +(generic )?xdp '; }
# row NAME FLOWS
row() {
    local before cost
    before=$(arrived)
    cost=$(flood "$2")
    first_port=$((first_port + 2000))
    [ "$1" = sender ] || [ $(($(arrived) - before)) -ge $((3 * packets * 99 / 100)) ] || fail "$1: $(($(arrived) - before)) arrived"
    [ "$1" = sender ] && sender=$cost
    printf '%-28s %6s %10s %12s\n' "$1" "$2" "$cost" "$((cost - sender))"
}

for n in client director server; do
    ip netns add $n
    ip -n $n link set lo up
done
# card NUMBER NAME HOST
card() {
    ip link set "eth$1" netns "$3" name "$2"
}
if [ "$links" = cards ]; then
    modprobe virtio_net
    card 0 c0 client
    card 1 d0 director
    card 2 d1 director
    card 3 d0 server
    card 4 void client
    ip -n client link set void up
    ip -n client neigh add 10.0.3.1 lladdr 02:00:00:00:00:09 dev void nud permanent
else
    ip link add c0 netns client type veth peer name d0 netns director
    ip link add d1 netns director type veth peer name d0 netns server
fi
ip -n client address add 10.0.1.10/24 dev c0
ip -n director address add 10.0.1.1/24 dev d0
ip -n director address add 192.0.2.100/32 dev d0
ip -n director address add 10.0.2.1/24 dev d1
ip -n server address add 10.0.2.11/24 dev d0
for end in client:c0 director:d0 director:d1 server:d0; do ip -n "${end%:*}" link set "${end#*:}" up; done
ip -n client route add default via 10.0.1.1
ip netns exec director sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
mac() { ip -n "$1" -o link show dev "$2" | sed 's/.*ether \([^ ]*\).*/\1/'; }
ip -n client neigh replace 10.0.1.1 lladdr "$(mac director d0)" dev c0 nud permanent
ip -n director neigh replace 10.0.2.11 lladdr "$(mac server d0)" dev d1 nud permanent
ip -n director neigh replace 10.0.1.10 lladdr "$(mac client c0)" dev d0 nud permanent
modprobe -a ip_vs ip_vs_rr ipip sch_ingress cls_matchall act_gact
# The real server answers nothing: one direction is measured.
drop() { tc -n "$1" qdisc add dev "$2" clsact && tc -n "$1" filter add dev "$2" ingress matchall action drop; }
drop server d0

# drop_frames HOST LINK: by XDP, as long as $dropper runs
drop_frames() {
    ip netns exec "$1" perl "$live" drop "$2" > "$dir/dropper" 2> "$dir/log.dropper" &
    dropper=$!
    until_true "frames dropped by $1" grep -q dropping "$dir/dropper"
}
sender() {
    if [ "$links" = live ]; then
        drop_frames director d0
        row sender 1
        kill "$dropper"
        wait "$dropper" || true
        return
    fi
    if [ "$links" = cards ]; then
        ip -n client route add 192.0.2.100 via 10.0.3.1 dev void onlink
        row sender 1
        ip -n client route delete 192.0.2.100
        return
    fi
    drop director d0
    row sender 1
    tc -n director qdisc delete dev d0 clsact
}
# cases NAME PLANE MODE
cases() {
    local method pid
    for method in NAT DR TUN; do
        if [ "$2 $method" = 'ebpf TUN' ] && [ "$(printf '6.7\n%s\n' "$(uname -r)" | sort -V | head -1)" != 6.7 ]; then
            echo "$1 TUN                  needs Linux 6.7, and this is $(uname -r)"
            continue
        fi
        config "$2" "$method" "$3" > "$dir/vipd.conf"
        ip netns exec director "$vipd" run -f "$dir/vipd.conf" --run-dir "$dir/run" 2> "$dir/log" &
        pid=$!
        until_true "$1 $method" held
        [ "$3" != xdp ] || until_true "$1 $method" served_by_xdp
        # Frozen: its own work is not the packets'.
        kill -STOP "$pid"
        for flows in $all_flows; do row "$1 $method" "$flows"; done
        kill -CONT "$pid"
        kill "$pid"
        wait "$pid" || fail 'an orderly stop ends with 0'
    done
}

if [ "$links" = live ]; then
    # A veth takes frames where it has GRO or XDP; and a driver's frames have their checksums.
    offload client c0 23 0
    offload director d0 44 1
    offload server d0 44 1
fi
printf '%-28s %6s %10s %12s\n' 'instructions a packet' flows all 'over sender'
sender
cases ipvs ipvs tc
cases 'ebpf tc' ebpf tc
# By the driver from Linux 6.3 on, generic before. A veth gives XDP what XDP can send on where its sender finishes checksums,
# and takes its frames where it has GRO.
if [ "$links" = veth ]; then
    offload client c0 23 0
    offload server d0 44 1
    sender
fi
cases 'ebpf xdp' ebpf xdp
