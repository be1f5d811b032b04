/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* ICMP errors about the outer packet of a tunnel, which go to this host: who sent what is inside must hear of them, as of
 * an MTU between here and the real server (RFC 2003 section 4, RFC 4459 section 3.2; ip_vs_in_icmp() does the same). Two
 * programs: follow_error() of icmp.h jumps to that of the outer family, this one to that of the family inside, which
 * finds the flow.
 *
 * Only what quotes a flow that is there, in the tunnel that it goes by, is believed. All else is the stack's: this host
 * may have tunnels of its own.
 */
#pragma once

#include "icmp.h"

/* BPF_F_ADJ_ROOM_DECAP_L3_*, newer than many a <linux/bpf.h>: Linux 6.3 knows how to change the version. */
#define DECAPSULATE_TO_IPV4 (1ULL << 7)
#define DECAPSULATE_TO_IPV6 (1ULL << 8)

/* RFC 791: each host takes as much in one piece. */
#define MTU_LEAST 68

/* What the first program found, in skb->cb; the first two are those of tell(). */
enum outer_word {
	OUTER_TELLING,
	OUTER_MTU,
	OUTER_IP,     /* offset of the quoted outer header */
	OUTER_INSIDE, /* offset of the header inside */
	OUTER_TUNNEL, /* enum vipd_tunnel; of GUE its port in the high half, as on the wire */
};

/* What stands in the quoted tunnel. */
struct inside {
	__u32 at; /* offset of its IP header */
	int is_v6;
	__u32 tunnel; /* as OUTER_TUNNEL */
};

/* What it means to the client; 0: nothing. */
static __always_inline enum telling telling_of(const struct icmp_head *icmp, __u32 *mtu)
{
	__u32 rest = bpf_ntohl(icmp->rest);

	if (IPV6 ? icmp->type == 2 : icmp->type == 3 && icmp->code == 4) {
		*mtu = IPV6 ? rest : rest & 0xffff;
		return TELL_TOO_BIG;
	}
	return icmp->type == (IPV6 ? 1 : 3) ? TELL_NO_HOST : 0;
}

/* The head between the two IP headers, and what IP is behind it; 0: no tunnel of ours. */
static __always_inline int inside_find(struct __sk_buff *skb, const struct quote *quote, struct inside *inside)
{
	struct tunnel_head head;

	inside->at = quote->ports;
	switch (quote->flow.protocol) {
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		inside->tunnel = VIPD_TUNNEL_IPIP;
		inside->is_v6 = quote->flow.protocol == IPPROTO_IPV6;
		return 1;
	case IPPROTO_GRE:
		if (bpf_skb_load_bytes(skb, inside->at, &head, GRE_LENGTH) < 0 || head.word[0])
			return 0;
		inside->at += GRE_LENGTH;
		inside->tunnel = VIPD_TUNNEL_GRE;
		inside->is_v6 = head.word[1] == bpf_htons(ETH_P_IPV6);
		return inside->is_v6 || head.word[1] == bpf_htons(ETH_P_IP);
	case IPPROTO_UDP:
		if (bpf_skb_load_bytes(skb, inside->at, &head, GUE_LENGTH) < 0 || head.word[5])
			return 0;
		inside->at += GUE_LENGTH;
		inside->tunnel = VIPD_TUNNEL_GUE | (__u32)head.word[1] << 16;
		inside->is_v6 = head.word[4] == bpf_htons(IPPROTO_IPV6);
		return inside->is_v6 || head.word[4] == bpf_htons(IPPROTO_IPIP);
	default:
		return 0;
	}
}

/* Whom the IP header at `at` is for: that of the error, or the quoted one, which is of the same family. */
static __always_inline int target_read(struct __sk_buff *skb, __u32 at, struct vipd_address *target)
{
	struct in6_addr v6 __attribute__((aligned(8)));
	__be32 v4;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, at + offsetof(struct ipv6hdr, daddr), &v6, sizeof(v6)) < 0)
			return 0;
		address_v6(target, &v6);
	} else {
		if (bpf_skb_load_bytes(skb, at + offsetof(struct iphdr, daddr), &v4, sizeof(v4)) < 0)
			return 0;
		address_v4(target, v4);
	}
	return 1;
}

static __always_inline int outer_go_on(struct __sk_buff *skb)
{
	struct vipd_address target __attribute__((aligned(8)));
	__u32 mtu = 0, overhead, at = skb->cb[0];
	struct inside inside = {};
	struct quote quote = {};
	struct icmp_head icmp;
	enum telling what;

	if (!target_read(skb, ETH_HLEN, &target) || bpf_skb_load_bytes(skb, at, &icmp, sizeof(icmp)) < 0)
		return PASS;
	what = telling_of(&icmp, &mtu);
	quote.ip = at + sizeof(icmp);
	if (!what || !quote_parse_ip(skb, &quote) || !is_same(&target, &quote.flow.target) ||
	    !inside_find(skb, &quote, &inside))
		return PASS;
	overhead = sizeof(ip_header) + tunnel_head_length(inside.tunnel & 0xff);
	if (what == TELL_TOO_BIG && mtu < overhead + MTU_LEAST)
		return PASS;
	skb->cb[OUTER_TELLING] = what;
	skb->cb[OUTER_MTU] = mtu - overhead;
	skb->cb[OUTER_IP] = quote.ip;
	skb->cb[OUTER_INSIDE] = inside.at;
	skb->cb[OUTER_TUNNEL] = inside.tunnel;
	bpf_tail_call(skb, &programs, inside.is_v6 ? VIPD_PROGRAM_INSIDE6 : VIPD_PROGRAM_INSIDE);
	return PASS;
}

/* The flow at `at`. Headers that are not plain would be for more than a look. */
static __always_inline int inside_read(struct __sk_buff *skb, __u32 at, struct vipd_flow *flow)
{
	ip_header ip __attribute__((aligned(8)));

	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) < 0)
		return 0;
#if IPV6
	if (ip.version != 6)
		return 0;
	address_v6(&flow->source, &ip.saddr);
	address_v6(&flow->target, &ip.daddr);
	if (is_mapped(&flow->source) || is_mapped(&flow->target))
		return 0;
	protocol_set(flow, ip.nexthdr);
#else
	if (ip.version != 4 || ip.ihl != 5 || ip.frag_off & bpf_htons(IP_OFFSET))
		return 0;
	address_v4(&flow->source, ip.saddr);
	address_v4(&flow->target, ip.daddr);
	protocol_set(flow, ip.protocol);
#endif
	if (flow->protocol != IPPROTO_TCP && flow->protocol != IPPROTO_UDP && flow->protocol != IPPROTO_SCTP)
		return 0;
	return bpf_skb_load_bytes(skb, at + sizeof(ip), ports_of(flow), sizeof(*ports_of(flow))) == 0;
}

/* Whether the flow goes by this tunnel. */
static __always_inline int is_our_tunnel(const struct vipd_flow *flow, const struct vipd_address *target, __u32 tunnel)
{
	struct vipd_connection *connection = connection_of(flow);
	struct vipd_destination *destination;

	if (!connection || connection->flags & VIPD_CONNECTION_REPLY)
		return 0;
	destination = destination_at(connection->destination, connection->generation);
	if (!destination || destination->forwarding != VIPD_FORWARDING_TUNNEL ||
	    destination->tunnel != (tunnel & 0xffff))
		return 0;
	if (destination->tunnel == VIPD_TUNNEL_GUE && destination->tunnel_port != tunnel >> 16)
		return 0;
	return is_same(&destination->address, target);
}

static __always_inline int inside_go_on(struct __sk_buff *skb)
{
	struct vipd_address target __attribute__((aligned(8)));
	__u32 at = skb->cb[OUTER_INSIDE];
	struct vipd_flow flow = {};
	__u64 flags = 0;

	if (!inside_read(skb, at, &flow) || !target_read(skb, skb->cb[OUTER_IP], &target) ||
	    !is_our_tunnel(&flow, &target, skb->cb[OUTER_TUNNEL]))
		return PASS;
	if (IPV6 != (skb->protocol == bpf_htons(ETH_P_IPV6)))
		flags = IPV6 ? DECAPSULATE_TO_IPV6 : DECAPSULATE_TO_IPV4;
	/* What is left is as much of the client's packet as was quoted. */
	if (bpf_skb_adjust_room(skb, ETH_HLEN - (__s32)at, BPF_ADJ_ROOM_MAC, flags) < 0) {
		count(VIPD_REASON_REWRITE);
		return DROP;
	}
	return tell(skb, skb->cb[OUTER_TELLING], skb->cb[OUTER_MTU]);
}
