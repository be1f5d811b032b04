/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Tunnels: an outer header from this host to the real server, which has the virtual address itself. The outer family is
 * that of the real server's address. IPIP (RFC 2003, RFC 2473, RFC 4213), GRE (RFC 2784) and GUE (variant 0 of
 * draft-ietf-intarea-gue, as the kernel's fou speaks it), the last two without a checksum of their own. */
#pragma once

#include "packet.h"

#define INNER_PROTOCOL (IPV6 ? IPPROTO_IPV6 : IPPROTO_IPIP)

/* What stands between the outer IP header and the inner one. Its kind (enum vipd_tunnel) is read from the map once: the
 * compiler would do so at each question. */
struct tunnel_head {
	__be16 word[6];
};

#define GRE_LENGTH 4
#define GUE_LENGTH (8 + 4) /* UDP and GUE */

static __always_inline __u32 tunnel_head_length(__u8 tunnel)
{
	switch (tunnel) {
	case VIPD_TUNNEL_GUE:
		return GUE_LENGTH;
	case VIPD_TUNNEL_GRE:
		return GRE_LENGTH;
	default:
		return 0;
	}
}

static __always_inline int outer_is_v6(const struct vipd_destination *destination)
{
	return destination->flags & VIPD_DESTINATION_OTHER_FAMILY ? !IPV6 : IPV6;
}

static __always_inline __u32 tunnel_overhead(const struct vipd_destination *destination)
{
	return (outer_is_v6(destination) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) +
	       tunnel_head_length(destination->tunnel);
}

/* Only TCP bears smaller segments: of UDP each one is a datagram. */
static __always_inline __u64 room_flags(const struct packet *packet, __u8 tunnel)
{
	__u64 flags = packet->flow.protocol == IPPROTO_TCP ? 0 : BPF_F_ADJ_ROOM_FIXED_GSO;

	if (tunnel == VIPD_TUNNEL_GUE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	if (tunnel == VIPD_TUNNEL_GRE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
	return flags;
}

static __always_inline __u8 outer_protocol(__u8 tunnel)
{
	switch (tunnel) {
	case VIPD_TUNNEL_GUE:
		return IPPROTO_UDP;
	case VIPD_TUNNEL_GRE:
		return IPPROTO_GRE;
	default:
		return INNER_PROTOCOL;
	}
}

/* The source port spreads the flows over the queues of the real server (RFC 6335's dynamic ports). */
static __always_inline __be16 tunnel_source_port(const struct packet *packet)
{
	__u32 hash = (packet->flow.source.word[3] ^ packet->flow.target.word[3]) * 0x9e3779b1;

	hash ^= ((__u32)packet->flow.source_port << 16 | packet->flow.target_port) * 0x85ebca6b;
	return bpf_htons(0xc000 | hash >> 18);
}

static __always_inline void gre_head(struct tunnel_head *head)
{
	head->word[0] = 0;
	head->word[1] = bpf_htons(IPV6 ? ETH_P_IPV6 : ETH_P_IP);
}

static __always_inline void gue_head(const struct packet *packet, const struct vipd_destination *destination,
				     struct tunnel_head *head)
{
	head->word[0] = tunnel_source_port(packet);
	head->word[1] = destination->tunnel_port;
	head->word[2] = bpf_htons(packet->bytes + GUE_LENGTH);
	head->word[3] = 0;
	head->word[4] = bpf_htons(INNER_PROTOCOL);
	head->word[5] = 0;
}

/* The head at `at`, for which there is room. */
static __always_inline int tunnel_head_write(struct __sk_buff *skb, const struct packet *packet,
					     const struct vipd_destination *destination, __u8 tunnel, __u32 at)
{
	struct tunnel_head head;

	switch (tunnel) {
	case VIPD_TUNNEL_GRE:
		gre_head(&head);
		return bpf_skb_store_bytes(skb, at, &head, GRE_LENGTH, 0);
	case VIPD_TUNNEL_GUE:
		gue_head(packet, destination, &head);
		return bpf_skb_store_bytes(skb, at, &head, GUE_LENGTH, 0);
	default:
		return 0;
	}
}

static __always_inline void outer_v4(const struct packet *packet, const struct vipd_address *source,
				     const struct vipd_address *target, __u8 tunnel, struct iphdr *ip)
{
	__u32 length = packet->bytes + sizeof(*ip) + tunnel_head_length(tunnel);
	/* Whole words, as on the wire; the inner TTL counts the directors. */
	__u32 head = 0x45 | packet->tos << 8 | (__u32)bpf_htons(length) << 16;
	__u32 fragment = (packet->identification & 0xffff) | (packet->dont_fragment ? bpf_htons(IP_DF) << 16 : 0);
	__u32 rest = 64 | outer_protocol(tunnel) << 8;
	__be32 from = source->word[3], to = target->word[3];
	__u16 check = ~fold((__u64)head + fragment + rest + from + to);
	word32 *word = (word32 *)ip;

	word[0] = head;
	word[1] = fragment;
	word[2] = rest | (__u32)check << 16;
	word[3] = from;
	word[4] = to;
}

static __always_inline void outer_v6(const struct packet *packet, const struct vipd_address *source,
				     const struct vipd_address *target, __u8 tunnel, struct ipv6hdr *ip)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 6;
	ip->priority = packet->tos >> 4;
	ip->flow_lbl[0] = packet->tos << 4;
	ip->payload_len = bpf_htons(packet->bytes + tunnel_head_length(tunnel));
	ip->nexthdr = outer_protocol(tunnel);
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, source, sizeof(*source));
	__builtin_memcpy(&ip->daddr, target, sizeof(*target));
}

#if !XDP
static __always_inline int encapsulate_v4(struct __sk_buff *skb, const struct packet *packet,
					  const struct vipd_destination *destination,
					  const struct vipd_address *source)
{
	const __u8 tunnel = destination->tunnel;
	const __u32 head = tunnel_head_length(tunnel);
	struct iphdr *ip;

	if (bpf_skb_adjust_room(skb, sizeof(*ip) + head, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | room_flags(packet, tunnel)) < 0 ||
	    tunnel_head_write(skb, packet, destination, tunnel, ETH_HLEN + sizeof(*ip)) < 0)
		return -1;
	ip = data_of(skb) + ETH_HLEN;
	if ((void *)(ip + 1) > data_end_of(skb))
		return -1;
	outer_v4(packet, source, &destination->address, tunnel, ip);
	return 0;
}

static __always_inline int encapsulate_v6(struct __sk_buff *skb, const struct packet *packet,
					  const struct vipd_destination *destination,
					  const struct vipd_address *source)
{
	const __u8 tunnel = destination->tunnel;
	const __u32 head = tunnel_head_length(tunnel);
	struct ipv6hdr *ip;

	if (bpf_skb_adjust_room(skb, sizeof(*ip) + head, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 | room_flags(packet, tunnel)) < 0 ||
	    tunnel_head_write(skb, packet, destination, tunnel, ETH_HLEN + sizeof(*ip)) < 0)
		return -1;
	ip = data_of(skb) + ETH_HLEN;
	if ((void *)(ip + 1) > data_end_of(skb))
		return -1;
	outer_v6(packet, source, &destination->address, tunnel, ip);
	return 0;
}
#endif
