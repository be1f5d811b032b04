# Frames that no stack has made, as a driver has them: BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES (Linux 5.18) runs a
# program that writes a datagram's headers and redirects the frame into an interface. On x86-64, as root.
#
#   perl live.pl send LINK TO_MAC PACKETS ROUNDS FLOWS PORT   nanoseconds a packet, of the round in the middle
#   perl live.pl drop LINK                                    drop all that comes in, by XDP, until it is killed
#
# The flows come at random, from PORT and those after it.
use strict;
use warnings;
use Socket;

use constant { SYS_BPF => 321, PROG_LOAD => 5, PROG_TEST_RUN => 10, LINK_CREATE => 28 };
use constant { TYPE_XDP => 6, ATTACH_XDP => 37, LIVE_FRAMES => 2, RANDOM => 7, REDIRECT => 23, XDP_DROP => 1 };
use constant SOURCE_PORT => 34;
use constant DURATION => 36; # of `test` in union bpf_attr, linux/bpf.h

sub address { unpack 'Q', pack 'P', $_[0] }

# What the kernel answers stands in the caller's own attributes.
sub bpf {
    my $done = syscall SYS_BPF, $_[0], $_[1], length $_[1];
    die "bpf command $_[0]: $!\n" if $done < 0;
    return $done;
}

sub instruction { my ($code, $to, $from, $offset, $value) = @_; pack 'CCsl', $code, $to | $from << 4, $offset, $value }

sub load {
    my $code = join '', @_;
    my $licence = "GPL\0";
    return bpf(PROG_LOAD, pack 'LLQQLLQLL', TYPE_XDP, length($code) / 8, address($code), address($licence), 0, 0, 0, 0, 0);
}

sub index_of { open my $file, '<', "/sys/class/net/$_[0]/ifindex" or die "$_[0]: $!\n"; my $line = <$file>; return int $line }

sub sum { my $sum = 0; $sum += $_ for unpack 'n*', $_[0]; $sum = ($sum & 0xffff) + ($sum >> 16) for 1 .. 2; return ~$sum & 0xffff }

# 64 bytes of data from 10.0.1.10 to 192.0.2.100, port 80, without a checksum of UDP.
sub datagram {
    my ($to, $port) = @_;
    my ($from_ip, $to_ip) = (inet_aton('10.0.1.10'), inet_aton('192.0.2.100'));
    my $ip = pack 'CCnnnCCna4a4', 0x45, 0, 92, 0, 0x4000, 64, 17, 0, $from_ip, $to_ip;
    substr $ip, 10, 2, pack 'n', sum($ip);
    return pack('H12', $to =~ tr/://dr) . "\2\0\0\0\0\1\x08\0" . $ip . pack('nnnn', $port, 80, 72, 0) . 'x' x 64;
}

# The other end may have rewritten the frame that comes back from the pool.
sub sender {
    my ($link, $frame, $flows, $port) = @_;
    my @words = unpack 'l*', substr $frame, 0, 44;
    my @store = map { instruction(0x62, 6, 0, 4 * $_, $words[$_]) } 0 .. $#words;
    return load(
        instruction(0x61, 6, 1, 0, 0),                                   # r6 = data
        instruction(0x61, 3, 1, 4, 0),                                   # r3 = data_end
        instruction(0xbf, 4, 6, 0, 0), instruction(0x07, 4, 0, 0, 44),
        instruction(0x2d, 4, 3, @store + 9, 0),                          # shorter than the headers: drop
        @store,
        instruction(0x85, 0, 0, 0, RANDOM), instruction(0x97, 0, 0, 0, $flows), instruction(0x07, 0, 0, 0, $port),
        instruction(0xdc, 0, 0, 0, 16), instruction(0x6b, 6, 0, SOURCE_PORT, 0), # in network byte order
        instruction(0xb7, 1, 0, 0, index_of($link)), instruction(0xb7, 2, 0, 0, 0),
        instruction(0x85, 0, 0, 0, REDIRECT), instruction(0x95, 0, 0, 0, 0),
        instruction(0xb7, 0, 0, 0, XDP_DROP), instruction(0x95, 0, 0, 0, 0),
    );
}

my ($what, $link, @rest) = @ARGV;
if ($what eq 'drop') {
    my $program = load(instruction(0xb7, 0, 0, 0, XDP_DROP), instruction(0x95, 0, 0, 0, 0));
    my $held = bpf(LINK_CREATE, pack 'LLLL', $program, index_of($link), ATTACH_XDP, 0);
    $| = 1;
    print "dropping\n";
    sleep;
}
my ($to, $packets, $rounds, $flows, $port) = @rest;
my $frame = datagram($to, $port);
my $program = sender($link, $frame, $flows, $port);
# The kernel tells how long the frames took, without what the call waits for before and after them.
my $run = sub {
    my ($repeat) = @_;
    my $attributes =
        pack 'LLLLQQLLLLQQLLLL', $program, 0, length $frame, 0, address($frame), 0, $repeat, 0, 0, 0, 0, 0, LIVE_FRAMES, 0, 64, 0;
    bpf(PROG_TEST_RUN, $attributes);
    return unpack 'L', substr $attributes, DURATION, 4;
};
$run->(64);
my @took = sort { $a <=> $b } map { $run->($packets) } 1 .. $rounds;
print "$took[$#took / 2]\n";
