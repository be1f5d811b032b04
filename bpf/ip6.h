/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The header of IPv6 (RFC 8200) and those behind it: read, age, rewrite. ip4.h has the same functions.
 *
 * No checksum covers the header as a whole. Where the kernel keeps the sum of the packet (CHECKSUM_COMPLETE), an
 * address and the transport's checksum change it by opposite amounts. bpf_l4_csum_replace with PSEUDO_HDR accounts
 * for the second as if IPv4's header checksum had answered the first, so the address is stored with RECOMPUTE_CSUM.
 */
#pragma once

#include "direct6.h"

#define ICMP_OURS IPPROTO_ICMPV6
#define IP_FIELD(field) (ETH_HLEN + offsetof(struct ipv6hdr, field))
/* The length that the header tells, and from where on it counts. */
#define IP_LENGTH IP_FIELD(payload_len)
#define IP_LENGTH_BEGINS (ETH_HLEN + sizeof(struct ipv6hdr))

/* Headers between that of IPv6 and the transport's; more than this nobody sends. */
#define EXTENSIONS 6

/* RFC 4443: all types below 128. */
static __always_inline int is_icmp_error(__u8 type)
{
	return type >= 1 && type <= 4;
}

struct extension {
	__u8 next;
	__u8 length; /* in units of 8 bytes without the first; of a fragment header reserved */
	__u8 rest[6];
};

struct headers {
	__u32 at;             /* offset of the transport header */
	__u32 identification; /* of the datagram that was cut */
	__u8 protocol;
	__u8 is_fragment;
	__u8 is_first;
	__u8 is_fault; /* not to be followed */
};

/* Find the transport header (ip6_input_finish and ipv6_find_hdr know the same extensions). `next` and `at` are those
 * of the first header behind that of IPv6. */
static __always_inline void headers_follow(struct __sk_buff *skb, __u8 next, __u32 at, struct headers *found)
{
	struct extension extension;
	__u32 i;

	found->is_first = 1;
#pragma unroll
	for (i = 0; i < EXTENSIONS; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			break;
		if (bpf_skb_load_bytes(skb, at, &extension, sizeof(extension)) < 0) {
			found->is_fault = 1;
			return;
		}
		if (next == IPPROTO_FRAGMENT) {
			__u16 fragment = bpf_ntohs(*(__be16 *)&extension.rest[0]);

			found->is_fragment = (fragment & 0xfff9) != 0;
			found->is_first = (fragment & 0xfff8) == 0;
			found->identification = *(__u32 *)&extension.rest[2];
			at += 8;
		} else {
			/* Segments left: the address in the header is not where it goes in the end. */
			if (next == IPPROTO_ROUTING && extension.rest[1])
				found->is_fault = 1;
			at += 8 + extension.length * 8;
		}
		next = extension.next;
		if (!found->is_first)
			break;
	}
	found->at = at;
	found->protocol = next;
}

static __always_inline enum parsed ip_parse(struct __sk_buff *skb, struct packet *packet, int *is_first)
{
	struct headers headers = {};
	struct ipv6hdr ip __attribute__((aligned(8))); /* its addresses are read by halves */

	if (load_near(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
		return PARSED_OTHER;
	if (ip.version != 6)
		return PARSED_OTHER;
	headers_follow(skb, ip.nexthdr, ETH_HLEN + sizeof(ip), &headers);
	address_v6(&packet->flow.source, &ip.saddr);
	address_v6(&packet->flow.target, &ip.daddr);
	if (headers.is_fault || is_mapped(&packet->flow.source) || is_mapped(&packet->flow.target)) {
		count(VIPD_REASON_EXTENSION);
		return PARSED_OTHER;
	}
	if (headers.protocol != IPPROTO_TCP && headers.protocol != IPPROTO_UDP && headers.protocol != IPPROTO_SCTP &&
	    headers.protocol != IPPROTO_ICMPV6)
		return PARSED_OTHER;
	packet->flow.protocol = headers.protocol;
	packet->l4 = headers.at;
	packet->identification = headers.identification;
	packet->ttl = ip.hop_limit;
	packet->tos = ip.priority << 4 | ip.flow_lbl[0] >> 4;
	packet->is_fragment = headers.is_fragment;
	packet->dont_fragment = 1;
	*is_first = headers.is_first;
	return PARSED_FLOW;
}

static __always_inline int quote_parse_ip(struct __sk_buff *skb, struct quote *quote)
{
	struct headers headers = {};
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, quote->ip, &ip, sizeof(ip)) < 0)
		return 0;
	if (ip.version != 6)
		return 0;
	headers_follow(skb, ip.nexthdr, quote->ip + sizeof(ip), &headers);
	if (headers.is_fault || !headers.is_first)
		return 0;
	address_v6(&quote->flow.source, &ip.daddr);
	address_v6(&quote->flow.target, &ip.saddr);
	if (is_mapped(&quote->flow.source) || is_mapped(&quote->flow.target))
		return 0;
	quote->flow.protocol = headers.protocol;
	quote->ports = headers.at;
	return 1;
}

/* One hop less, so that two directors that point at each other do not play forever. */
static __always_inline int age(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 hops = packet->ttl - 1;

	return bpf_skb_store_bytes(skb, IP_FIELD(hop_limit), &hops, sizeof(hops), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int give_hop_back(struct __sk_buff *skb)
{
	__u8 hops;

	if (bpf_skb_load_bytes(skb, IP_FIELD(hop_limit), &hops, sizeof(hops)) < 0)
		return -1;
	hops++;
	return bpf_skb_store_bytes(skb, IP_FIELD(hop_limit), &hops, sizeof(hops), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int ip_replace(struct __sk_buff *skb, __u32 ip, enum side side, const struct vipd_address *from,
				      const struct vipd_address *to)
{
	__u32 at = ip + (side == SOURCE ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr));

	/* A quoted header: the checksum of the ICMP message answers for it, and that is no pseudo header. */
	return bpf_skb_store_bytes(skb, at, to, sizeof(*to), ip == ETH_HLEN ? BPF_F_RECOMPUTE_CSUM : 0);
}

static __always_inline __s64 difference(const struct vipd_address *from, const struct vipd_address *to)
{
	return bpf_csum_diff((__be32 *)from, sizeof(*from), (__be32 *)to, sizeof(*to), 0);
}

/* The transport's checksum at `at` sees an address change in its pseudo header. */
static __always_inline int l4_replace(struct __sk_buff *skb, __u32 at, const struct vipd_address *from,
				      const struct vipd_address *to, __u64 flags)
{
	return bpf_l4_csum_replace(skb, at, 0, difference(from, to), flags | BPF_F_PSEUDO_HDR);
}

static __always_inline int icmp_replace_quoted(struct __sk_buff *skb, __u32 at, const struct vipd_address *from,
					       const struct vipd_address *to)
{
	return bpf_l4_csum_replace(skb, at, 0, difference(from, to), 0);
}

static __always_inline int icmp_replace_outer(struct __sk_buff *skb, __u32 at, const struct vipd_address *from,
					      const struct vipd_address *to)
{
	return l4_replace(skb, at, from, to, 0);
}

static __always_inline void ip_answer(const struct packet *packet, struct ipv6hdr *ip, __u8 protocol, __u16 length)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 6;
	ip->payload_len = bpf_htons(length);
	ip->nexthdr = protocol;
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, &packet->flow.target, sizeof(packet->flow.target));
	__builtin_memcpy(&ip->daddr, &packet->flow.source, sizeof(packet->flow.source));
}

/* RFC 4443 sections 3.1 to 3.3: the header of what the message is about, room for a fragment header, and 8 bytes. */
struct message {
	struct ipv6hdr ip;
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 mtu;
	__u8 quote[sizeof(struct ipv6hdr) + 16];
} __attribute__((packed, aligned(4)));

/* More extension headers would need a longer quote. */
static __always_inline int can_be_quoted(const struct packet *packet)
{
	return packet->l4 <= ETH_HLEN + sizeof(struct ipv6hdr) + 8;
}

static __always_inline void message_finish(const struct packet *packet, struct message *answer, enum telling what,
					   __u32 mtu)
{
	const __u32 length = sizeof(*answer) - sizeof(answer->ip);

	switch (what) {
	case TELL_TOO_BIG_OR_CUT:
	case TELL_TOO_BIG:
		answer->type = 2;
		answer->mtu = bpf_htonl(mtu);
		break;
	case TELL_NO_PORT:
		answer->type = 1;
		answer->code = 4;
		break;
	case TELL_NO_HOST:
		answer->type = 1;
		answer->code = 3;
		break;
	case TELL_NO_HOPS:
		answer->type = 3;
		break;
	}
	ip_answer(packet, &answer->ip, IPPROTO_ICMPV6, length);
	answer->checksum =
		~fold(pseudo_sum(&answer->ip) + bpf_csum_diff(0, 0, (__be32 *)&answer->type, length, 0));
}
