/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* IPIP (RFC 2003): an outer header from this host to the real server, which has the virtual address itself. */
#pragma once

#include "parse.h"

struct outer {
	__be32 source;
	__be32 target;
};

static __always_inline __be16 header_checksum(const struct iphdr *ip)
{
	__u64 sum = bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The room for the outer header has to be within the MTU. A GSO packet is no problem: its segments are made
 * smaller (TCP), or were as large as they may be (UDP). */
static __always_inline int encapsulation_fits(const struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	return skb->gso_segs > 1 || packet->bytes + sizeof(struct iphdr) <= mtu;
}

static __always_inline int encapsulate(struct __sk_buff *skb, const struct packet *packet, const struct outer *outer)
{
	/* Only TCP bears smaller segments: of UDP each one is a datagram. */
	__u64 flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
		      (packet->flow.protocol == IPPROTO_TCP ? 0 : BPF_F_ADJ_ROOM_FIXED_GSO);
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(packet->bytes + sizeof(struct iphdr)),
		.id = packet->identification,
		.frag_off = packet->dont_fragment ? bpf_htons(IP_DF) : 0,
		.ttl = 64, /* the inner one counts the directors */
		.protocol = IPPROTO_IPIP,
		.saddr = outer->source,
		.daddr = outer->target,
	};

	ip.tos = packet->tos;
	ip.check = header_checksum(&ip);
	if (bpf_skb_adjust_room(skb, sizeof(ip), BPF_ADJ_ROOM_MAC, flags) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
}
