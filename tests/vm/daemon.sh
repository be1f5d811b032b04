#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS: the daemon serves by it, repairs it, and leaves none of it. Says `all held`.
#
#   tests/vm/daemon.sh VIPD
set -euo pipefail
vipd=$1
dir=$(mktemp -d)
run=$dir/run

fail() {
    echo "NOT HELD: $*" >&2
    ipvsadm -Ln >&2
    cat "$dir/log" >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"
shows() { ipvsadm -Ln | grep -q "$1"; }
shows_no() { ! ipvsadm -Ln | grep -q "$1"; }
held() { ip -o address show dev d0 | grep -q 192.0.2.100; }
answers() { [ "$(busybox wget -qO- http://192.0.2.100/)" = hello ]; }
as_it_was() { [ "$(ipvsadm -Sn)" = "$table" ]; }
# repaired TIMES: in the log, and to who asks.
repaired() {
    [ "$(grep -c 'somebody else changed our services' "$dir/log")" -ge "$1" ] &&
        [ "$("$vipd" status --run-dir "$run" --json | grep -o 'somebody else changed our services; repaired by' | wc -l)" -ge "$1" ]
}
empty() { [ "$(ipvsadm -Ln | wc -l)" -eq 3 ]; }

# The real server is a namespace; this host is director and client at once.
ip link set lo up
ip link add d0 type veth peer name e0
ip address add 192.0.2.2/24 dev d0
ip link set d0 up
ip link set e0 up
ip netns add server
ip link add v0 type veth peer name v1 netns server
ip address add 10.0.0.1/24 dev v0
ip link set v0 up
ip -n server address add 10.0.0.2/24 dev v1
ip -n server link set v1 up
ip -n server route add default via 10.0.0.1
echo 1 > /proc/sys/net/ipv4/ip_forward
mkdir "$dir/www"
echo hello > "$dir/www/index.html"
ip netns exec server busybox httpd -f -p 80 -h "$dir/www" &
server=$!

cat > "$dir/vipd.conf" <<'CONF'
global_defs {
    lvs_datapath ipvs
}
vrrp_instance VI_1 {
    interface d0
    virtual_router_id 7
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.100/24
    }
}
virtual_server 192.0.2.100 80 {
    protocol TCP
    lb_algo wlc
    lb_kind NAT
    delay_loop 1
    warmup 0
    retry 0
    connect_timeout 2
    real_server 10.0.0.2 80 {
        weight 3
        TCP_CHECK {
        }
    }
}
virtual_server 192.0.2.100 5060 {
    protocol UDP
    lb_algo rr
    lb_kind NAT
    persistence_timeout 60
    persistence_engine sip
    real_server 10.0.0.2 5060 {
    }
}
CONF
start() {
    "$vipd" run -f "$dir/vipd.conf" --run-dir "$run" 2>> "$dir/log" &
    pid=$!
    until_true 'the daemon answers' "$vipd" status --run-dir "$run"
}

ipvsadm -A -t 192.0.2.200:80 -s rr
start
until_true 'the address is held' held
until_true 'the service is there' shows 'TCP  192.0.2.100:80 wlc'
until_true 'the real server is there' shows '10.0.0.2:80 *Masq *3'
until_true 'a client is answered' answers
shows '192.0.2.100:5060 rr persistent 60 pe sip' || fail 'the engine is there'
sed -i '/persistence_engine/d' "$dir/vipd.conf"
kill -HUP "$pid"
until_true 'a reload takes the engine away' shows_no 'pe sip'
shows '192.0.2.100:5060 rr persistent 60' || fail 'and nothing else'
ipvsadm -D -t 192.0.2.100:80
until_true 'what somebody deleted is put back' shows '10.0.0.2:80 *Masq *3'
until_true 'and told' repaired 1
# All of it, with the service whose only real server nobody checks.
table=$(ipvsadm -Sn | grep -v 192.0.2.200)
ipvsadm -C
until_true 'what somebody cleared is put back' as_it_was
until_true 'and told again' repaired 2
until_true 'and a client is answered' answers
shows_no '192.0.2.200' || fail 'what is not ours is not put back'
ipvsadm -A -t 192.0.2.200:80 -s rr

kill "$server"
until_true 'a dead real server is out' shows_no '10.0.0.2:80'
ip netns exec server busybox httpd -f -p 80 -h "$dir/www" &
server=$!
until_true 'a real server that is back is in' shows '10.0.0.2:80'

kill -9 "$pid"
wait "$pid" || true
shows '192.0.2.100:80' || fail 'a killed daemon leaves forwarding as it is'
sed -i 's/192.0.2.100 80/192.0.2.100 81/' "$dir/vipd.conf"
start
until_true 'the new service is there' shows '192.0.2.100:81'
shows_no '192.0.2.100:80' || fail 'what a killed daemon left and the configuration has no more is deleted'
shows '192.0.2.200:80' || fail 'what is not ours stays'

kill "$pid"
wait "$pid" || fail 'an orderly stop ends with 0'
shows_no '192.0.2.100' || fail 'an orderly stop leaves none of our services'
held && fail 'an orderly stop leaves no address'
ipvsadm -D -t 192.0.2.200:80
empty || fail 'the table is empty'
kill "$server"
echo 'all held'
