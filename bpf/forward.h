/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Out with it: find the way, rewrite, redirect. The way is found first, so that a packet that cannot go
 * is still as it came. */
#pragma once

#include <stddef.h>

#include "schedule.h"

#define AF_INET 2
/* Other programs and the stack go on with the packet. */
#define PASS TC_ACT_UNSPEC
#define DROP TC_ACT_SHOT

struct way {
	struct bpf_redir_neigh next_hop;
	__u32 ifindex;
};

enum found {
	FOUND,
	FOUND_LOCAL,   /* the target is this host's own */
	FOUND_SMALLER, /* the packet is larger than the MTU; counted */
	FOUND_NONE,    /* counted */
};

/* The way from `source` to `target`. `tot_len` stays 0: the kernel then checks the packet itself against
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
	long found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);

	switch (found) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH: /* redirect_neigh asks for it */
		break;
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return FOUND_LOCAL;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		count(VIPD_REASON_FORWARDING_OFF);
		return FOUND_NONE;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		count(VIPD_REASON_TOO_BIG);
		return FOUND_SMALLER;
	default:
		count(VIPD_REASON_NO_ROUTE);
		return FOUND_NONE;
	}
	way->ifindex = fib.ifindex;
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

/* A client's packet to its destination. */
static __always_inline int forward(struct __sk_buff *skb, const struct packet *packet, __u32 slot,
				   const struct vipd_destination *destination)
{
	struct way way = {};

	if (packet->ttl <= 1) {
		count(VIPD_REASON_TTL);
		return DROP;
	}
	switch (find_way(skb, packet, packet->flow.source.word[3], destination->address.word[3], &way)) {
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
	case FOUND_NONE:
		return DROP;
	}
	if (age(skb, packet) < 0)
		goto refused;
	if (destination->forwarding == VIPD_FORWARDING_MASQ &&
	    rewrite(skb, packet, TARGET, &destination->address, destination->port) < 0)
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
