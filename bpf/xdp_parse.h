/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Bytes to a flow in XDP: Ethernet, a plain IP header, TCP or UDP. */
#pragma once

#if IPV6
#include "direct6.h"
#else
#include "direct4.h"
#endif

#include "remember.h"

/* What TCP and UDP have in common, and the rest of TCP. */
struct ports_head {
	__be16 source;
	__be16 target;
	__be16 length; /* UDP */
	__be16 udp_checksum;
};

struct tcp_rest {
	__u8 acknowledged[5];
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
};

struct plain {
	struct ethhdr ethernet;
	ip_header ip;
	struct ports_head ports;
	struct tcp_rest tcp; /* only where the protocol is TCP */
} __attribute__((packed, aligned(2)));

/* Linux and BPF read words at any place. */
static __always_inline ip_header *ip_of(struct plain *plain)
{
	return (void *)&plain->ip;
}

/* The fence (fence.bpf.c) is on TC: where a virtual router has run out of time, or refuses packets, it is to see them. */
static __always_inline int is_fenced(__u64 now_ns)
{
	__u32 at = VIPD_FENCE_EARLIEST;
	__u64 *word = bpf_map_lookup_elem(&fence_deadlines, &at);

	if (!word || now_ns > *word)
		return 1;
	at = VIPD_FENCE_REFUSED;
	word = bpf_map_lookup_elem(&fence_deadlines, &at);
	return !word || *word;
}

/* A switch that floods brings frames for other hosts too, for one those of the director that is Active. */
static __always_inline int is_for_port(const struct vipd_port *port, const struct ethhdr *ethernet)
{
	const word32 *one = (const word32 *)port->mac, *other = (const word32 *)ethernet->h_dest;

	return one[0] == other[0] && *(const word16 *)(one + 1) == *(const word16 *)(other + 1);
}

/* The sender left the checksum to a device (CHECKSUM_PARTIAL), which XDP does not tell: there is the sum of the pseudo
 * header alone, which is not 0. Who does it another way is taken for such a one once in 65,536 times, and no worse for it. */
static __always_inline int is_partial(const struct packet *packet, const ip_header *ip, __be16 checksum)
{
	return packet->port & VIPD_PORT_OFFLOADS && checksum && checksum == fold(pseudo_sum(ip));
}

static __always_inline enum parsed parse(struct xdp_md *xdp, struct packet *packet)
{
	struct plain *plain = (void *)(long)xdp->data;
	void *end = (void *)(long)xdp->data_end;
	struct vipd_port *port = port_at(xdp->ingress_ifindex);

	if (!port || !(port->flags & VIPD_PORT_ON))
		return PARSED_OTHER;
	if ((void *)&plain->tcp > end || !is_for_port(port, &plain->ethernet))
		return PARSED_OTHER;
	if (!direct_read(ip_of(plain), packet, end - (void *)&plain->ip))
		return PARSED_OTHER;
	packet->port = port->flags;
	*ports_of(&packet->flow) = *(const word32 *)&plain->ports.source;
	if (packet->flow.protocol == IPPROTO_TCP) {
		if ((void *)(plain + 1) > end || is_partial(packet, ip_of(plain), plain->tcp.checksum))
			return PARSED_OTHER;
		packet->tcp_flags = plain->tcp.flags;
	} else if (packet->flow.protocol != IPPROTO_UDP ||
		   is_partial(packet, ip_of(plain), plain->ports.udp_checksum)) {
		return PARSED_OTHER;
	}
	packet->has_ports = 1;
	packet->now_ns = clock_ns();
	return is_fenced(packet->now_ns) ? PARSED_OTHER : PARSED_FLOW;
}
