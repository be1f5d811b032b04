/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The header of IPv4 (RFC 791): read, age, rewrite. ip6.h has the same functions. */
#pragma once

#include "direct4.h"

#define ICMP_OURS IPPROTO_ICMP
#define IP_FIELD(field) (ETH_HLEN + offsetof(struct iphdr, field))
/* The length that the header tells, and from where on it counts. */
#define IP_LENGTH IP_FIELD(tot_len)
#define IP_LENGTH_BEGINS ETH_HLEN

/* RFC 792. <linux/icmp.h> would bring in headers of the C library. */
static __always_inline int is_icmp_error(__u8 type)
{
	return type == 3 || type == 11 || type == 12; /* unreachable, time exceeded, parameter problem */
}

/* `is_first`: the transport header is in this packet. */
static __always_inline enum parsed ip_parse(struct __sk_buff *skb, struct packet *packet, int *is_first)
{
	struct iphdr ip;
	__u16 fragment;

	if (load_near(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
		return PARSED_OTHER;
	if (ip.version != 4 || ip.ihl < 5)
		return PARSED_OTHER;
	if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP && ip.protocol != IPPROTO_SCTP &&
	    ip.protocol != IPPROTO_ICMP)
		return PARSED_OTHER;
	address_v4(&packet->flow.source, ip.saddr);
	address_v4(&packet->flow.target, ip.daddr);
	protocol_set(&packet->flow, ip.protocol);
	packet->l4 = ETH_HLEN + ip.ihl * 4;
	packet->identification = ip.id;
	packet->ttl = ip.ttl;
	packet->tos = ip.tos;
	fragment = bpf_ntohs(ip.frag_off);
	packet->is_fragment = (fragment & (IP_MF | IP_OFFSET)) != 0;
	packet->dont_fragment = (fragment & IP_DF) != 0;
	*is_first = (fragment & IP_OFFSET) == 0;
	return PARSED_FLOW;
}

/* The packet that an ICMP error quotes at `quote->ip`: addresses, protocol, and where its ports are. */
static __always_inline int quote_parse_ip(struct __sk_buff *skb, struct quote *quote)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, quote->ip, &ip, sizeof(ip)) < 0)
		return 0;
	if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(IP_OFFSET))
		return 0;
	address_v4(&quote->flow.source, ip.daddr);
	address_v4(&quote->flow.target, ip.saddr);
	quote->flow.protocol = ip.protocol;
	quote->ports = quote->ip + ip.ihl * 4;
	return 1;
}

/* The packet's own header where it lies in memory, which costs less than a call for each field; 0: a part of it is
 * elsewhere. Checksums of the packet as a whole see no change: the header's own answers for it. */
static __always_inline struct iphdr *header_at_hand(struct __sk_buff *skb)
{
	struct iphdr *ip = data_of(skb) + ETH_HLEN;

	return (void *)(ip + 1) > data_end_of(skb) ? 0 : ip;
}

/* One hop less, so that two directors that point at each other do not play forever. TTL is the high byte
 * of its 16-bit word. */
static __always_inline int age(struct __sk_buff *skb, const struct packet *packet)
{
	struct iphdr *at_hand = header_at_hand(skb);
	__u8 ttl = packet->ttl - 1;

	if (at_hand) {
		direct_age(at_hand, packet);
		return 0;
	}
	if (bpf_l3_csum_replace(skb, IP_FIELD(check), bpf_htons(packet->ttl << 8), bpf_htons(ttl << 8), 2) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, IP_FIELD(ttl), &ttl, sizeof(ttl), 0);
}

/* The hop that the stack took. */
static __always_inline int give_hop_back(struct __sk_buff *skb)
{
	__u8 ttl, more;

	if (bpf_skb_load_bytes(skb, IP_FIELD(ttl), &ttl, sizeof(ttl)) < 0)
		return -1;
	more = ttl + 1;
	if (bpf_l3_csum_replace(skb, IP_FIELD(check), bpf_htons(ttl << 8), bpf_htons(more << 8), 2) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, IP_FIELD(ttl), &more, sizeof(more), 0);
}

/* An address of the IP header at `ip`, which may be a quoted one. */
static __always_inline int ip_replace(struct __sk_buff *skb, __u32 ip, enum side side, const struct vipd_address *from,
				      const struct vipd_address *to)
{
	__u32 at = ip + (side == SOURCE ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr));
	__be32 was = from->word[3], is = to->word[3];
	struct iphdr *at_hand = ip == ETH_HLEN ? header_at_hand(skb) : 0;

	if (at_hand) {
		at_hand->check = ~fold((__u16)~at_hand->check + change(was, is));
		if (side == SOURCE)
			at_hand->saddr = is;
		else
			at_hand->daddr = is;
		return 0;
	}
	if (bpf_l3_csum_replace(skb, ip + offsetof(struct iphdr, check), was, is, sizeof(is)) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, at, &is, sizeof(is), 0);
}

/* The transport's checksum at `at` sees an address change in its pseudo header. */
static __always_inline int l4_replace(struct __sk_buff *skb, __u32 at, const struct vipd_address *from,
				      const struct vipd_address *to, __u64 flags)
{
	return bpf_l4_csum_replace(skb, at, from->word[3], to->word[3], flags | BPF_F_PSEUDO_HDR | sizeof(__be32));
}

/* The checksum of an ICMP message sees nothing: it has no pseudo header, and a quoted address and the quoted
 * header's checksum change by the same amount. */
static __always_inline int icmp_replace_quoted(struct __sk_buff *skb, __u32 at, const struct vipd_address *from,
					       const struct vipd_address *to)
{
	return 0;
}

static __always_inline int icmp_replace_outer(struct __sk_buff *skb, __u32 at, const struct vipd_address *from,
					      const struct vipd_address *to)
{
	return 0;
}

/* The header of an answer to the packet, from the virtual address. */
static __always_inline void ip_answer(const struct packet *packet, struct iphdr *ip, __u8 protocol, __u16 length)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(sizeof(*ip) + length);
	ip->ttl = 64;
	ip->protocol = protocol;
	ip->saddr = packet->flow.target.word[3];
	ip->daddr = packet->flow.source.word[3];
	ip->check = header_checksum(ip);
}

/* RFC 792, RFC 1191: the header and 8 bytes of what the message is about. */
struct message {
	struct iphdr ip;
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 unused;
	__be16 mtu;
	__u8 quote[sizeof(struct iphdr) + 8];
} __attribute__((packed, aligned(4)));

/* Options would need a longer quote. */
static __always_inline int can_be_quoted(const struct packet *packet)
{
	return packet->l4 == ETH_HLEN + sizeof(struct iphdr);
}

static __always_inline void message_finish(const struct packet *packet, struct message *answer, enum telling what,
					   __u32 mtu)
{
	answer->type = what == TELL_NO_HOPS ? 11 : 3;
	switch (what) {
	case TELL_TOO_BIG_OR_CUT:
	case TELL_TOO_BIG:
		answer->code = 4;
		answer->mtu = bpf_htons(mtu > 0xffff ? 0xffff : mtu);
		break;
	case TELL_NO_PORT:
		answer->code = 3;
		break;
	case TELL_NO_HOST:
		answer->code = 1;
		break;
	case TELL_NO_HOPS:
		break;
	}
	answer->checksum = ~fold(bpf_csum_diff(0, 0, (__be32 *)&answer->type, sizeof(*answer) - sizeof(answer->ip), 0));
	ip_answer(packet, &answer->ip, IPPROTO_ICMP, sizeof(*answer) - sizeof(answer->ip));
}
