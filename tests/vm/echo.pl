#!/usr/bin/env perl
# Answers TCP and UDP with what it was sent. Makes the file READY when it listens.
#
#   perl echo.pl READY ADDRESS,PORT ...
use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;

my $ready = shift;
my $all = IO::Select->new;
my (%listens, %datagrams);
for (@ARGV) {
    my ($address, $port) = split /,/;
    my @at = (LocalHost => $address, LocalPort => $port);
    my $tcp = IO::Socket::IP->new(@at, Listen => 8, ReuseAddr => 1) or die "$_: $@\n";
    my $udp = IO::Socket::IP->new(@at, Proto => "udp") or die "$_: $@\n";
    $all->add($tcp, $udp);
    $listens{$tcp} = 1;
    $datagrams{$udp} = 1;
}
open my $file, ">", $ready or die "$ready: $!\n";
while (1) {
    for my $socket ($all->can_read) {
        if ($listens{$socket}) { my $client = $socket->accept or next; $all->add($client) }
        elsif ($datagrams{$socket}) { my $data; $socket->send($data) if defined $socket->recv($data, 65536) }
        elsif (sysread $socket, my $data, 65536) { while (length $data) { substr($data, 0, syswrite($socket, $data) // die) = "" } }
        else { $all->remove($socket); close $socket }
    }
}
