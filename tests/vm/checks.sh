#!/usr/bin/env bash
# Inside a VM whose clock counts instructions: what a TCP_CHECK costs the daemon, keepalived and vipd in turn with the same
# file. Instructions are the time that its threads had the processor, in user space and in the kernel for it.
#
#   tests/vm/checks.sh VIPD [REAL_SERVERS [SECONDS]]
set -euo pipefail
vipd=$1
servers=${2:-200}
seconds=${3:-60}
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $*" >&2
    tail -20 "$dir"/log* >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"

declare -A cost
modprobe -a ip_vs ip_vs_rr
ip netns add servers
ip link add d0 type veth peer name s0 netns servers
ip address add 10.0.0.1/16 dev d0
ip link set d0 up
ip -n servers link set lo up
ip -n servers link set s0 up
addresses=$(for n in $(seq 0 $((servers - 1))); do echo "10.0.$((1 + n / 200)).$((1 + n % 200))"; done)
for address in $addresses; do echo "address add $address/16 dev s0"; done | ip -n servers -batch -
# It accepts, and counts what it accepted when it is asked.
ip netns exec servers perl -MSocket -e '
    socket(my $s, PF_INET, SOCK_STREAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($s, pack_sockaddr_in(80, INADDR_ANY)) or die; listen($s, 1024) or die;
    my $count = 0;
    $SIG{USR1} = sub { open(my $f, ">", "$ARGV[0].new"); print $f "$count\n"; close $f; rename "$ARGV[0].new", $ARGV[0] };
    while (1) { if (accept(my $c, $s)) { $count++; close $c } }
' "$dir/accepted" &
acceptor=$!
accepted() {
    rm -f "$dir/accepted"
    kill -USR1 "$acceptor"
    until_true 'the servers count' test -e "$dir/accepted"
    cat "$dir/accepted"
}

{
    echo 'global_defs {'
    echo '    lvs_datapath ipvs'
    echo '}'
    echo 'virtual_server 192.0.2.100 80 {'
    echo '    protocol TCP'
    echo '    lb_algo rr'
    echo '    lb_kind NAT'
    echo '    delay_loop 1'
    for address in $addresses; do
        echo "    real_server $address 80 {"
        echo '        TCP_CHECK {'
        echo '            connect_timeout 3'
        echo '        }'
        echo '    }'
    done
    echo '}'
} > "$dir/vipd.conf"
grep -v lvs_datapath "$dir/vipd.conf" > "$dir/keepalived.conf"

# Nanoseconds, which are instructions, that these processes had so far.
spent() {
    local pid
    for pid in "$@"; do cat /proc/"$pid"/task/*/schedstat; done | awk '{ sum += $1 } END { printf "%d\n", sum }'
}
family() { echo "$1" $(pgrep -P "$1" || true); }
# The same, a line for each name of a thread.
by_thread() {
    local pid thread
    for pid in "$@"; do
        for thread in /proc/"$pid"/task/*; do echo "$(tr ' ' _ < "$thread/comm") $(cat "$thread/schedstat")"; done
    done | awk '{ sum[$1] += $2 } END { for (name in sum) printf "%s %d\n", name, sum[name] }' | sort
}
# measure NAME PID
measure() {
    local pids before after counted
    # The first checks and what the start leaves behind are not counted.
    sleep 5
    pids=$(family "$2")
    counted=$(accepted)
    before=$(spent $pids)
    by_thread $pids > "$dir/before"
    sleep "$seconds"
    # In the order of the beginning, so that both are of the same time.
    counted=$(($(accepted) - counted))
    after=$(spent $pids)
    by_thread $pids > "$dir/after"
    [ "$counted" -ge $((servers * (seconds - 1))) ] || fail "$1 made $counted checks in $seconds s"
    cost[$1]=$(((after - before) / counted))
    printf '%-12s %8s %14s\n' "$1" "$counted" "${cost[$1]}"
    join "$dir/before" "$dir/after" |
        awk -v checks="$counted" '$3 - $2 >= 10 * checks { printf "  %-23s %12d\n", $1, ($3 - $2) / checks }'
}
all_there() { [ "$(ipvsadm -Ln | grep -c '^  ->')" -ge "$servers" ]; }

printf '%-12s %8s %14s\n' "$servers servers" checks 'instr./check'
for round in 1 2; do
    keepalived -n -l -G -C -f "$dir/keepalived.conf" -p "$dir/pid" -c "$dir/checkers.pid" > "$dir/log.keepalived" 2>&1 &
    daemon=$!
    until_true 'keepalived has the servers' all_there
    measure keepalived "$daemon"
    kill "$daemon"
    wait "$daemon" || true
    ipvsadm -C
    "$vipd" run -f "$dir/vipd.conf" --run-dir "$dir/run" 2> "$dir/log" &
    daemon=$!
    until_true 'vipd has the servers' all_there
    measure vipd "$daemon"
    kill "$daemon"
    wait "$daemon" || fail 'an orderly stop ends with 0'
    ipvsadm -C
    echo "vipd / keepalived: $(awk "BEGIN { printf \"%.2f\", ${cost[vipd]} / ${cost[keepalived]} }")"
done
