/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* IPIP (RFC 2003, RFC 2473, RFC 4213): an outer header from this host to the real server, which has the virtual address
 * itself. The outer family is that of the real server's address. */
#pragma once

#include "parse.h"

#define INNER_PROTOCOL (IPV6 ? IPPROTO_IPV6 : IPPROTO_IPIP)

/* The room for the outer header has to be within the MTU. A GSO packet is no problem: its segments are made
 * smaller (TCP), or were as large as they may be (UDP). */
static __always_inline int encapsulation_fits(const struct __sk_buff *skb, const struct packet *packet, __u32 mtu,
					      __u32 overhead)
{
	return skb->gso_segs > 1 || packet->bytes + overhead <= mtu;
}

/* Only TCP bears smaller segments: of UDP each one is a datagram. */
static __always_inline __u64 room_flags(const struct packet *packet)
{
	return packet->flow.protocol == IPPROTO_TCP ? 0 : BPF_F_ADJ_ROOM_FIXED_GSO;
}

static __always_inline int encapsulate_v4(struct __sk_buff *skb, const struct packet *packet, __be32 source,
					  __be32 target)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(packet->bytes + sizeof(struct iphdr)),
		.id = packet->identification,
		.frag_off = packet->dont_fragment ? bpf_htons(IP_DF) : 0,
		.ttl = 64, /* the inner one counts the directors */
		.protocol = INNER_PROTOCOL,
		.saddr = source,
		.daddr = target,
	};

	ip.tos = packet->tos;
	ip.check = header_checksum(&ip);
	if (bpf_skb_adjust_room(skb, sizeof(ip), BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | room_flags(packet)) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
}

static __always_inline int encapsulate_v6(struct __sk_buff *skb, const struct packet *packet,
					  const struct vipd_address *source, const struct vipd_address *target)
{
	struct ipv6hdr ip = {
		.version = 6,
		.priority = packet->tos >> 4,
		.payload_len = bpf_htons(packet->bytes),
		.nexthdr = INNER_PROTOCOL,
		.hop_limit = 64,
	};

	ip.flow_lbl[0] = packet->tos << 4;
	__builtin_memcpy(&ip.saddr, source, sizeof(*source));
	__builtin_memcpy(&ip.daddr, target, sizeof(*target));
	if (bpf_skb_adjust_room(skb, sizeof(ip), BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 | room_flags(packet)) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
}
