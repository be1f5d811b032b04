#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS: two directors, whose sync daemons follow their virtual router. Says `all held`.
#
#   tests/vm/sync.sh VIPD
set -euo pipefail
vipd=$1
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $*" >&2
    for n in one two; do
        ip netns exec $n ipvsadm -L --daemon >&2
        ip netns exec $n ipvsadm -Lnc >&2
    done
    cat "$dir"/log-* >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"
# config PRIORITY
config() {
    cat <<CONF
global_defs {
    lvs_datapath ipvs
    lvs_sync_daemon d0 inst VI_1 ttl 3
    lvs_timeouts tcp 77 udp 33
}
vrrp_instance VI_1 {
    interface d0
    virtual_router_id 7
    priority $1
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.100/24
    }
}
virtual_server 192.0.2.100 80 {
    protocol TCP
    lb_algo rr
    lb_kind NAT
    real_server 192.0.2.9 80 {
    }
}
CONF
}
# start HOST PRIORITY
start() {
    config "$2" > "$dir/$1.conf"
    ip netns exec "$1" "$vipd" run -f "$dir/$1.conf" --run-dir "$dir/run-$1" 2>> "$dir/log-$1" &
    pids[$1]=$!
}
# runs HOST ROLE: this sync daemon alone, with the id of the virtual router.
runs() { [ "$(ip netns exec "$1" ipvsadm -L --daemon)" = "$2 sync daemon (mcast=d0, syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=3)" ]; }
none() { [ -z "$(ip netns exec "$1" ipvsadm -L --daemon)" ]; }
timeouts() { [ "$(ip netns exec "$1" ipvsadm -L --timeout)" = "Timeout (tcp tcpfin udp): $2" ]; }
synced() { ip netns exec two ipvsadm -Lnc | grep -q 'ESTABLISHED *192.0.2.50:'; }

modprobe ip_vs
declare -A pids
ip link add sw type bridge
ip link set sw up
for n in one two server client; do
    ip netns add $n
    ip link add "to-$n" type veth peer name d0 netns $n
    ip link set "to-$n" master sw up
    ip -n $n link set lo up
    ip -n $n link set d0 up
    ip netns exec $n sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; for d in all d0; do echo 0 > /proc/sys/net/ipv4/conf/$d/send_redirects; done'
done
ip -n one address add 192.0.2.1/24 dev d0
ip -n two address add 192.0.2.2/24 dev d0
ip -n server address add 192.0.2.9/24 dev d0
ip -n client address add 192.0.2.50/24 dev d0
# What the server answers has to pass the director.
ip -n server route add 192.0.2.50/32 via 192.0.2.100
for n in one two; do ip netns exec $n sh -c 'echo "2 50" > /proc/sys/net/ipv4/vs/sync_threshold'; done

timeouts one '900 120 300' || fail 'the timeouts of this kernel'
start one 150
until_true 'the first becomes master' runs one master
start two 100
until_true 'the second is a backup' runs two backup
timeouts one '77 120 33' || fail 'the timeouts are set'
ip netns exec server busybox nc -ll -p 80 -e cat &
server=$!
connects() { ip netns exec client bash -c 'exec 3<> /dev/tcp/192.0.2.100/80 && echo x >&3 && read -r -t 5 -u 3'; }
until_true 'a client is answered' connects
ip netns exec client bash -c 'exec 3<> /dev/tcp/192.0.2.100/80; while echo x >&3 && read -r -u 3; do read -rt 0.2 <> <(:) || true; done' &
client=$!
until_true 'its connections are known to the second' synced
ip netns exec two ipvsadm --stop-daemon backup
until_true 'a daemon that somebody stopped is started again' runs two backup
kill "${pids[one]}"
wait "${pids[one]}" || fail 'an orderly stop ends with 0'
none one || fail 'an orderly stop leaves no sync daemon'
timeouts one '900 120 300' || fail 'the timeouts are put back'
until_true 'the second becomes master' runs two master
kill "${pids[two]}"
wait "${pids[two]}" || fail 'an orderly stop ends with 0'
none two || fail 'an orderly stop leaves no sync daemon'
kill "$server" "$client" 2> /dev/null || true
echo 'all held'
