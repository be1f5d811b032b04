#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS: how long 5,000 services with 4 real servers each take, by ipvsadm -R, by vipd
# ipvsadm -R, and by the daemon; and that none is left when the daemon stops.
#
#   tests/vm/programming.sh VIPD [SERVICES]
set -euo pipefail
vipd=$1
services=${2:-5000}
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $*" >&2
    tail -5 "$dir/log" >&2 || true
    exit 1
}
now() { date +%s%N; }
since() { echo $((($(now) - $1) / 1000000)); }
row() { printf '%-34s %8s ms\n' "$1" "$2"; }

modprobe -a ip_vs ip_vs_rr
for n in $(seq "$services"); do
    vip="10.1.$((n / 250)).$((n % 250 + 1)):80"
    echo "-A -t $vip -s rr"
    for s in 1 2 3 4; do echo "-a -t $vip -r 10.2.$((n / 250)).$s:8080 -m -w 1"; done
done > "$dir/rules"
{
    printf 'global_defs {\n    lvs_datapath ipvs\n}\n'
    for n in $(seq "$services"); do
        printf 'virtual_server 10.1.%s.%s 80 {\n protocol TCP\n lb_algo rr\n lb_kind NAT\n' $((n / 250)) $((n % 250 + 1))
        for s in 1 2 3 4; do printf ' real_server 10.2.%s.%s 8080 {\n }\n' $((n / 250)) "$s"; done
        printf '}\n'
    done
} > "$dir/vipd.conf"
all=$((services * 4))

# Each in a network namespace of its own: IPVS keeps deleted destinations for a while, and looks through them all
# whenever it adds one.
alone() { ip netns add "$1" && ip -n "$1" link set lo up; }
in_its() { local name=$1; shift; ip netns exec "$name" "$@"; }
# Lines of destinations, without reading names.
held() { in_its "$1" ipvsadm -Ln | grep -c ' Masq ' || true; }

alone theirs
began=$(now)
in_its theirs ipvsadm -R < "$dir/rules"
theirs=$(since "$began")
row 'ipvsadm -R' "$theirs"
[ "$(held theirs)" = "$all" ] || fail "ipvsadm made $(held theirs)"

alone restored
began=$(now)
in_its restored "$vipd" ipvsadm --plane ipvs -R < "$dir/rules"
row 'vipd ipvsadm -R' "$(since "$began")"
[ "$(held restored)" = "$all" ] || fail "vipd ipvsadm made $(held restored)"

alone ours
ip netns exec ours "$vipd" run -f "$dir/vipd.conf" --run-dir "$dir/run" 2> "$dir/log" &
pid=$!
began=$(now)
until grep -qs ' is running ' "$dir/log"; do read -rt 0.05 <> <(:) || true; done
ours=$(since "$began")
row 'vipd run, until it is running' "$ours"
[ "$(held ours)" = "$all" ] || fail "the daemon made $(held ours)"
began=$(now)
kill "$pid"
wait "$pid" || fail 'an orderly stop ends with 0'
row 'vipd, its stop' "$(since "$began")"
[ "$(in_its ours ipvsadm -Ln | wc -l)" -eq 3 ] || fail "$(held ours) are left"
[ "$((ours * 2))" -le "$theirs" ] || fail "the daemon takes more than half the time of ipvsadm"
echo 'all held'
