# shellcheck shell=bash
# For the scripts of this directory: the offloads of a link. Of its numbers ETHTOOL_STXCSUM is 23 (checksums, SCTP's too, are
# left to the device), ETHTOOL_SGRO 44 (linux/ethtool.h).

# offload HOST|'' LINK NUMBER 0|1
offload() {
    ${1:+ip netns exec $1} perl -MSocket -e '
        my ($link, $which, $on) = @ARGV;
        socket(my $s, PF_INET, SOCK_DGRAM, 0) or die;
        my $value = pack("LL", $which, $on);
        ioctl($s, 0x8946, pack("a16 P8 x16", $link, $value)) or die "offload $which of $link: $!";
    ' "${@:2}"
}
