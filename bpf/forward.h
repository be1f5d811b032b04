/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Out with it: find the way, rewrite, redirect. The way is found first, so that a packet that cannot go
 * is still as it came. */
#pragma once

#include <stddef.h>

#include "schedule.h"
#include "tunnel.h"

#define AF_INET 2
/* Other programs and the stack go on with the packet. */
#define PASS TC_ACT_UNSPEC
#define DROP TC_ACT_SHOT

struct way {
	struct bpf_redir_neigh next_hop;
	__u32 ifindex;
	__u32 mtu;
	__be32 source; /* this host's own address on the way, where it was asked for */
};

enum found {
	FOUND,
	FOUND_LOCAL,   /* the target is this host's own */
	FOUND_SMALLER, /* the packet is larger than the MTU; counted */
	FOUND_NONE,    /* counted */
};

/* The way from `source` to `target`; `source` 0 asks for ours (Linux 6.7). `tot_len` stays 0: the kernel then checks the packet itself against
 * the MTU, and knows that a GSO packet will be cut. */
static __always_inline enum found find_way(struct __sk_buff *skb, const struct packet *packet, __be32 source,
					   __be32 target, struct way *way)
{
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = packet->flow.protocol,
		.ifindex = skb->ingress_ifindex,
		.ipv4_src = source,
		.ipv4_dst = target,
	};
	long found = bpf_fib_lookup(skb, &fib, sizeof(fib), source ? 0 : BPF_FIB_LOOKUP_SRC);

	switch (found) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		way->mtu = fib.mtu_result;
		break;
	case BPF_FIB_LKUP_RET_NO_NEIGH: /* redirect_neigh asks for it; the size was not looked at */
		if (bpf_check_mtu(skb, fib.ifindex, &way->mtu, 0, 0) == BPF_MTU_CHK_RET_FRAG_NEEDED) {
			count(VIPD_REASON_TOO_BIG);
			return FOUND_SMALLER;
		}
		break;
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return FOUND_LOCAL;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		count(VIPD_REASON_FORWARDING_OFF);
		return FOUND_NONE;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		count(VIPD_REASON_TOO_BIG);
		way->mtu = fib.mtu_result;
		return FOUND_SMALLER;
	default:
		count(VIPD_REASON_NO_ROUTE);
		return FOUND_NONE;
	}
	way->ifindex = fib.ifindex;
	way->source = fib.ipv4_src;
	way->next_hop.nh_family = AF_INET;
	way->next_hop.ipv4_nh = fib.ipv4_dst;
	return FOUND;
}

#define IP_FIELD(field) (ETH_HLEN + offsetof(struct iphdr, field))

/* One hop less, so that two directors that point at each other do not play forever. TTL is the high byte
 * of its 16-bit word. */
static __always_inline int age(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 ttl = packet->ttl - 1;

	if (bpf_l3_csum_replace(skb, IP_FIELD(check), bpf_htons(packet->ttl << 8), bpf_htons(ttl << 8), 2) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, IP_FIELD(ttl), &ttl, sizeof(ttl), 0);
}

enum side { SOURCE, TARGET };

/* Replace an address and a port. Checksums of any kind stay right: PSEUDO_HDR tells the kernel which
 * change a CHECKSUM_PARTIAL packet must see, MANGLED_0 leaves a UDP packet without a checksum without
 * one (RFC 768). */
static __always_inline int rewrite(struct __sk_buff *skb, const struct packet *packet, enum side side,
				   const struct vipd_address *address, __be16 port)
{
	const struct vipd_flow *flow = &packet->flow;
	__be32 from = side == SOURCE ? flow->source.word[3] : flow->target.word[3], to = address->word[3];
	__be16 from_port = side == SOURCE ? flow->source_port : flow->target_port;
	__u32 address_at = side == SOURCE ? IP_FIELD(saddr) : IP_FIELD(daddr);
	__u32 port_at = packet->l4 + (side == SOURCE ? 0 : 2);
	__u64 flags = flow->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 check_at = packet->l4 + (flow->protocol == IPPROTO_UDP ? offsetof(struct udphdr, check)
								      : offsetof(struct tcphdr, check));

	if (packet->has_ports) {
		if (bpf_l4_csum_replace(skb, check_at, from, to, flags | BPF_F_PSEUDO_HDR | sizeof(to)) < 0)
			return -1;
		if (from_port != port) {
			if (bpf_l4_csum_replace(skb, check_at, from_port, port, flags | sizeof(port)) < 0)
				return -1;
			if (bpf_skb_store_bytes(skb, port_at, &port, sizeof(port), 0) < 0)
				return -1;
		}
	}
	if (bpf_l3_csum_replace(skb, IP_FIELD(check), from, to, sizeof(to)) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, address_at, &to, sizeof(to), 0);
}

static __always_inline int send(struct way *way)
{
	return bpf_redirect_neigh(way->ifindex, &way->next_hop, sizeof(way->next_hop), 0);
}

/* RFC 792, RFC 1191: the header and 8 bytes of what was too big, from the virtual address. */
struct need_frag {
	struct iphdr ip;
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 unused;
	__be16 mtu;
	__u8 quote[sizeof(struct iphdr) + 8];
} __attribute__((packed, aligned(4)));

/* Tell the client that its packet does not fit. The packet itself becomes the message. */
static __always_inline int tell_too_big(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	struct need_frag answer = { .type = 3, .code = 4, .mtu = bpf_htons(mtu) };
	struct way way = {};
	__u64 sum;

	/* Options would need a longer quote; a GSO packet cannot be cut. */
	if (packet->l4 != ETH_HLEN + sizeof(struct iphdr) || skb->gso_segs > 1)
		return DROP;
	if (find_way(skb, packet, packet->flow.target.word[3], packet->flow.source.word[3], &way) != FOUND)
		return DROP;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, answer.quote, sizeof(answer.quote)) < 0 ||
	    bpf_skb_change_tail(skb, ETH_HLEN + sizeof(answer), 0) < 0)
		return DROP;
	sum = bpf_csum_diff(0, 0, (__be32 *)&answer.type, sizeof(answer) - sizeof(answer.ip), 0);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	answer.checksum = ~sum;
	answer.ip.version = 4;
	answer.ip.ihl = 5;
	answer.ip.tot_len = bpf_htons(sizeof(answer));
	answer.ip.ttl = 64;
	answer.ip.protocol = IPPROTO_ICMP;
	answer.ip.saddr = packet->flow.target.word[3];
	answer.ip.daddr = packet->flow.source.word[3];
	answer.ip.check = header_checksum(&answer.ip);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &answer, sizeof(answer), BPF_F_INVALIDATE_HASH) < 0)
		return DROP;
	return send(&way);
}

/* Of a tunnel the way begins here, and the answer is where. */
static __always_inline __be32 outer_source(const struct packet *packet, const struct vipd_destination *destination)
{
	return destination->forwarding == VIPD_FORWARDING_TUNNEL ? 0 : packet->flow.source.word[3];
}

static __always_inline int wrap(struct __sk_buff *skb, const struct packet *packet,
				const struct vipd_destination *destination, const struct way *way)
{
	struct outer outer = { .source = way->source, .target = destination->address.word[3] };

	return destination->forwarding == VIPD_FORWARDING_TUNNEL ? encapsulate(skb, packet, &outer) : 0;
}

/* A client's packet to its destination. */
static __always_inline int forward(struct __sk_buff *skb, const struct packet *packet, __u32 slot,
				   const struct vipd_destination *destination)
{
	struct way way = {};

	if (packet->ttl <= 1) {
		count(VIPD_REASON_TTL);
		return DROP;
	}
	switch (find_way(skb, packet, outer_source(packet, destination), destination->address.word[3], &way)) {
	case FOUND:
		break;
	case FOUND_LOCAL:
		/* This host is the real server: what it answers does not come by here, so only Route works. */
		if (destination->forwarding == VIPD_FORWARDING_ROUTE) {
			account(destination->service, slot, FROM_CLIENT, packet->bytes);
			return PASS;
		}
		count(VIPD_REASON_NO_ROUTE);
		return DROP;
	case FOUND_SMALLER:
		return packet->dont_fragment ? tell_too_big(skb, packet, way.mtu) : DROP;
	case FOUND_NONE:
		return DROP;
	}
	if (destination->forwarding == VIPD_FORWARDING_TUNNEL && !encapsulation_fits(skb, packet, way.mtu)) {
		count(VIPD_REASON_TOO_BIG);
		return packet->dont_fragment ? tell_too_big(skb, packet, way.mtu - sizeof(struct iphdr)) : DROP;
	}
	if (age(skb, packet) < 0)
		goto refused;
	if (destination->forwarding == VIPD_FORWARDING_MASQ &&
	    rewrite(skb, packet, TARGET, &destination->address,
		    destination_port(destination, packet->flow.target_port)) < 0)
		goto refused;
	if (wrap(skb, packet, destination, &way) < 0)
		goto refused;
	fragment_remember(packet);
	account(destination->service, slot, FROM_CLIENT, packet->bytes);
	return send(&way);
refused:
	count(VIPD_REASON_REWRITE);
	return DROP;
}

/* A real server's packet back to its client, from the address that the client knows. */
static __always_inline int forward_reply(struct __sk_buff *skb, const struct packet *packet, struct way *way,
					 const struct vipd_connection *reply)
{
	struct vipd_destination *destination = destination_at(reply->destination, reply->generation);

	if (age(skb, packet) < 0 || rewrite(skb, packet, SOURCE, &reply->virtual_address, reply->virtual_port) < 0) {
		count(VIPD_REASON_REWRITE);
		return DROP;
	}
	fragment_remember(packet);
	if (destination)
		account(destination->service, reply->destination, FROM_SERVER, packet->bytes);
	return send(way);
}
