# shellcheck shell=bash
# For the scripts of this directory: this host as the director between the namespaces `client` and `server`. The server has the
# virtual addresses too, and what it says as one of them goes to the client by a link between the two, past the director.
#
#   client c0 10.0.1.10 fd00:1::10 -- 10.0.1.1 fd00:1::1 d0 director d1 10.0.2.1 fd00:2::1 -- 10.0.2.11 fd00:2::11 s0 server
#   client c1 -- s1 server
. "${BASH_SOURCE[0]%/*}/offload.sh"

# plug HOST|'' LINK ADDRESSES...
plug() {
    local at
    for at in "${@:3}"; do
        case $at in
            *:*) ip ${1:+-n $1} -6 address add "$at" dev "$2" nodad ;;
            *) ip ${1:+-n $1} address add "$at" dev "$2" ;;
        esac
    done
    ip ${1:+-n $1} link set "$2" up
}
# triangle VIPS...
triangle() {
    local n vip
    ip link set lo up
    for n in client server; do
        ip netns add "$n"
        ip -n "$n" link set lo up
    done
    ip link add d0 type veth peer name c0 netns client
    ip link add d1 type veth peer name s0 netns server
    ip -n client link add c1 type veth peer name s1 netns server
    plug '' d0 10.0.1.1/24 fd00:1::1/64
    plug '' d1 10.0.2.1/24 fd00:2::1/64
    plug client c0 10.0.1.10/24 fd00:1::10/64
    plug client c1
    plug server s0 10.0.2.11/24 fd00:2::11/64
    plug server s1
    for vip in "$@"; do
        case $vip in
            *:*) vip=$vip/128 && ip -n server -6 rule add from "$vip" lookup 100 ;;
            *) vip=$vip/32 && ip -n server rule add from "$vip" lookup 100 ;;
        esac
        plug '' lo "$vip"
        plug server lo "$vip"
    done
    ip -n client route add default via 10.0.1.1
    ip -n client route add default via fd00:1::1
    ip -n server route add default via 10.0.2.1
    ip -n server route add default via fd00:2::1
    ip -n server route add default dev s1 table 100
    ip -n server -6 route add default dev s1 table 100
    # A host answers for an IPv6 address on its own link alone.
    n=$(ip -n client -o link show dev c1 | sed 's/.*ether \([^ ]*\).*/\1/')
    ip -n server neigh add fd00:1::10 lladdr "$n" dev s1 nud permanent
    echo 1 > /proc/sys/net/ipv4/ip_forward
    echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
}
# checksums ENDS DIRECTOR: whether their links finish them (1), or their stacks (0)
checksums() {
    local link
    for link in client:c0 client:c1 server:s0 server:s1; do offload "${link%:*}" "${link#*:}" 23 "$1"; done
    for link in d0 d1; do offload '' "$link" 23 "$2"; done
}
