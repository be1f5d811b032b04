#!/usr/bin/env bash
# Inside a VM whose kernel has IPVS and SCTP: associations between two kernels, through virtual services of both planes by
# NAT, NAT with another port, DR and a tunnel: data both ways, listed, closed in order. The checksums are the stack's, are left
# to the devices, or are the sender's to leave and the director's device's to finish. Says `all held`.
#
#   tests/vm/sctp.sh VIPD
set -euo pipefail
vipd=$1
dir=$(mktemp -d)

fail() {
    echo "NOT HELD: $*" >&2
    for plane in ipvs ebpf; do
        on "$plane" -Ln --stats >&2
        on "$plane" -Lnc >&2
    done
    for n in client server; do
        echo "$n: $(counted "$n" . | tr -s '\t\n' ' ')" >&2
    done
    cat "$dir"/log* >&2
    exit 1
}
. "${BASH_SOURCE[0]%/*}/until.sh"
. "${BASH_SOURCE[0]%/*}/triangle.sh"
# on PLANE: the daemon has the eBPF plane
on() { "$vipd" ipvsadm --plane "$1" --run-dir "$dir/run" "${@:2}"; }
# counted HOST PATTERN: lines of its SCTP counters
counted() { ip netns exec "$1" grep -E "$2" /proc/net/sctp/snmp; }

modprobe -a sctp ip_vs ip_vs_rr ipip ip6_tunnel
triangle 192.0.2.1 192.0.2.2 2001:db8::1 2001:db8::2
plug server tunl0
plug server ip6tnl0

# Sockets of SCTP, of one address.
cat > "$dir/Sctp.pm" <<'PERL'
package Sctp;
use strict;
use warnings;
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);
use constant SCTP => 132;
sub end { my ($ip, $port) = @_; return $ip =~ /:/ ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $ip)) : pack_sockaddr_in($port, inet_aton($ip)) }
sub bound {
    my ($ip, $port) = @_;
    my $socket;
    socket($socket, $ip =~ /:/ ? AF_INET6 : AF_INET, SOCK_STREAM, SCTP) or die "SCTP: $!\n";
    bind($socket, end($ip, $port)) or die "$ip $port: $!\n";
    return $socket;
}
1;
PERL
# The server gives back what it gets, and closes when its client does.
ip netns exec server perl -Mstrict -I"$dir" -MSctp -MIO::Select -e '
    my $ready = shift;
    my $all = IO::Select->new;
    my %listens;
    for (@ARGV) {
        my $socket = Sctp::bound(split /,/);
        listen($socket, 64) or die "$_: $!\n";
        $all->add($socket);
        $listens{$socket} = 1;
    }
    open my $file, ">", $ready or die;
    while (1) {
        for my $socket ($all->can_read) {
            if ($listens{$socket}) { accept(my $client, $socket) or next; $all->add($client) }
            elsif (sysread $socket, my $data, 65536) { syswrite($socket, $data) // die "answer: $!\n" }
            else { $all->remove($socket); close $socket }
        }
    }
' "$dir/ready" {10.0.2.11,fd00:2::11},{3868,7000} {192.0.2.1,192.0.2.2,2001:db8::1,2001:db8::2},{3870,3871} 2> "$dir/log.server" &
server=$!
until_true 'the server listens' test -e "$dir/ready"

# services VIP SERVER FORM: what FORM makes of each service: virtual address, port, server, its port, method
services() {
    local one port to method
    for one in 3868:3868:NAT 3869:7000:NAT 3870:3870:DR 3871:3871:TUN; do
        IFS=: read -r port to method <<< "$one"
        "$3" "$1" "$port" "$2" "$to" "$method"
    done
}
in_ipvsadms_words() {
    local -A option=([NAT]=-m [DR]=-g [TUN]=-i)
    echo "-A --sctp-service $1:$2 -s rr"
    echo "-a --sctp-service $1:$2 -r $3:$4 ${option[$5]}"
}
in_keepaliveds_words() {
    printf 'virtual_server %s %s {\n protocol SCTP\n lb_algo rr\n lb_kind %s\n real_server %s %s {\n }\n}\n' "$1" "$2" "$5" "$3" "$4"
}
{
    services 192.0.2.1 10.0.2.11 in_ipvsadms_words
    services '[2001:db8::1]' '[fd00:2::11]' in_ipvsadms_words
} | "$vipd" ipvsadm --plane ipvs -R || fail 'IPVS takes the table'
{
    printf 'global_defs {\n lvs_datapath ebpf\n}\n'
    services 192.0.2.2 10.0.2.11 in_keepaliveds_words
    services 2001:db8::2 fd00:2::11 in_keepaliveds_words
} > "$dir/vipd.conf"
"$vipd" run -f "$dir/vipd.conf" --run-dir "$dir/run" 2> "$dir/log" &
daemon=$!
until_true 'the daemon serves' grep -qs ' is running ' "$dir/log"

# talk WAYS...: an association with each service, which carries messages of many sizes both ways, waits for a line, and ends.
talk() {
    ip netns exec client perl -Mstrict -I"$dir" -MSctp -e '
        $| = 1;
        $SIG{ALRM} = sub { die "no answer in time\n" };
        my @open;
        sub whole {
            my ($socket, $wanted, $name) = @_;
            my $got = "";
            while (length $got < length $wanted) { sysread($socket, $got, 65536, length $got) or die "$name: the answer ends: $!\n" }
            $got eq $wanted or die "$name: another answer\n";
        }
        for (@ARGV) {
            my ($from, $vip, $port) = split /,/;
            my $socket = Sctp::bound($from, 0);
            alarm 10;
            connect($socket, Sctp::end($vip, $port)) or die "$_: $!\n";
            for my $size (1, 2, 3, 4, 97, 1300, 1452, 5000) {
                my $data = join "", map { chr rand 256 } 1 .. $size;
                syswrite $socket, $data or die "$_: $!\n";
                whole($socket, $data, "$_, $size bytes");
            }
            # Many under way at once: several to a packet, and packets that the stack leaves to be cut.
            my $all = "";
            for (1 .. 40) { my $data = $_ x 800; syswrite $socket, $data or die "$_: $!\n"; $all .= $data }
            whole($socket, $all, "$_, all at once");
            push @open, $socket;
        }
        alarm 0;
        print "talked\n";
        my $go = <STDIN>;
        close $_ for @open;
    ' "$@"
}

# lists PLANE STATE VIP:PORT SERVER:PORT...: connections of the client
lists() {
    local listed plane=$1 state=$2
    listed=$(on "$plane" -Lnc)
    shift 2
    while [ $# -gt 0 ]; do
        grep -qE "^SCTP +[0-9]+:[0-9]+ +$state +\[?(10\.0\.1\.10|fd00:1::10)\]?:[0-9]+ +${1//[/\\[} +${2//[/\\[}\$" <<< "$listed" || return 1
        shift 2
    done
}
# established PLANE N: the associations with all of its services
established() {
    lists "$1" ESTABLISHED "192.0.2.$2:3868" 10.0.2.11:3868 "192.0.2.$2:3869" 10.0.2.11:7000 \
        "192.0.2.$2:3870" 10.0.2.11:3870 "192.0.2.$2:3871" 10.0.2.11:3871 \
        "[2001:db8::$2]:3868" '[fd00:2::11]:3868' "[2001:db8::$2]:3869" '[fd00:2::11]:7000' \
        "[2001:db8::$2]:3870" '[fd00:2::11]:3870' "[2001:db8::$2]:3871" '[fd00:2::11]:3871'
}
# none_active PLANE: all have ended, so that no destination counts one as active
none_active() { [ "$(on "$1" -Ln | awk '$1 == "->" && $2 ~ /:[0-9]+$/ { destinations++; active += $5 } END { print destinations, active }')" = '8 0' ]; }
talked_or_gone() { [ -s "$dir/talk" ] || [ ! -e "/proc/$client" ]; }
# ways PLANE PORTS...
ways() {
    local port
    for port in "${@:2}"; do echo "10.0.1.10,192.0.2.$1,$port" "fd00:1::10,2001:db8::$1,$port"; done
}
mkfifo "$dir/go"
ended=0
for who in '0 0' '1 1' '1 0'; do
    checksums $who
    all=($(ways 1 3868 3869 3870 3871) $(ways 2 3868 3869 3870))
    # What is left to the device is left to be cut, too (GSO); but no eBPF program may put that into a tunnel.
    [ "$who" = '1 1' ] || all+=($(ways 2 3871))
    ip -n client link set c0 gso_max_size "$([ "$who" = '1 1' ] && echo 65536 || echo 1500)"
    talk "${all[@]}" < "$dir/go" > "$dir/talk" 2> "$dir/log.client" &
    client=$!
    exec 3> "$dir/go"
    until_true 'they have talked, or not' talked_or_gone
    grep -q talked "$dir/talk" || fail "data both ways, checksums $who"
    # The programs take their time here: once for all.
    if [ "$ended" = 0 ]; then
        established ipvs 1 || fail 'IPVS lists them'
        established ebpf 2 || fail 'the eBPF plane lists them'
    fi
    echo >&3
    wait "$client" || fail "they end, checksums $who"
    exec 3>&-
    ended=$((ended + ${#all[@]}))
    until_true 'the server has ended all of them' test "$(counted server 'SctpCurrEstab' | awk '{ print $2 }')" = 0
    for n in client server; do
        [ "$(counted "$n" 'Aborteds|ChecksumErrors|OutOfBlues' | awk '{ print $2 }' | xargs)" = '0 0 0' ] || fail "$n, checksums $who"
        [ "$(counted "$n" Shutdowns | awk '{ print $2 }')" = "$ended" ] || fail "$n ends in order, checksums $who"
    done
done
for plane in ipvs ebpf; do until_true "$plane counts no active one" none_active "$plane"; done
kill "$server" "$daemon"
wait "$daemon" || fail 'an orderly stop ends with 0'
echo 'all held'
