/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Out with it: find the way, rewrite, redirect. The way is found first, so that a packet that cannot go
 * is still as it came. */
#pragma once

#include "nowhere.h"
#include "parse.h"
#include "remember.h"
#include "schedule.h"

struct way {
	const struct remembered *known;         /* with the MAC addresses; 0: the stack finds them */
	const struct bpf_redir_neigh *next_hop; /* for the stack */
	const struct vipd_address *source;      /* this host's own address on the way, where it was asked for */
	__u32 ifindex;
	__u32 mtu; /* of the packet, before a tunnel's headers */
};

enum found {
	FOUND,
	FOUND_LOCAL,   /* the target is this host's own */
	FOUND_SMALLER, /* the packet is larger than `mtu` */
	FOUND_NONE,    /* counted */
};

/* How large the packet would be on the wire. Of a GSO packet each segment is, and they are made to fit. */
static __always_inline __u16 size_on_wire(const struct __sk_buff *skb, const struct packet *packet,
					  const struct ends *ends)
{
	__u32 size = packet->bytes + ends->overhead;

	if (skb->gso_size)
		return 1;
	return size > 0xffff ? 0xffff : size;
}

static __always_inline __u32 without_overhead(__u32 mtu, const struct ends *ends)
{
	return mtu > ends->overhead ? mtu - ends->overhead : 0;
}

/* The way from one end to the other. The kernel compares `tot_len` with the MTU of the route; for 0 it would take that of
 * the interface. */
static __noinline enum found find_way_of(struct __sk_buff *skb, const struct packet *packet, const struct ends *ends,
					 struct way *way)
{
	struct inquiry *inquiry = inquire(packet, skb->ingress_ifindex, ends);
	struct bpf_fib_lookup *fib = &inquiry->fib;
	long found;

	if (!inquiry)
		return FOUND_NONE;
	fib->tot_len = size_on_wire(skb, packet, ends);
	found = bpf_fib_lookup(skb, fib, sizeof(*fib), ends->source ? 0 : BPF_FIB_LOOKUP_SRC);
	switch (found) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		way->mtu = without_overhead(fib->mtu_result, ends);
		break;
	case BPF_FIB_LKUP_RET_NO_NEIGH: /* redirect_neigh asks for it; it fits, but how much would is not told */
		neighbour_ask(packet, ends->target);
		bpf_check_mtu(skb, fib->ifindex, &way->mtu, 0, 0);
		way->mtu = without_overhead(way->mtu, ends);
		break;
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		if (is_own(ends->target))
			return FOUND_LOCAL;
		count(VIPD_REASON_NO_ROUTE);
		return FOUND_NONE;
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		count(VIPD_REASON_FORWARDING_OFF);
		return FOUND_NONE;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		way->mtu = without_overhead(fib->mtu_result, ends);
		return FOUND_SMALLER;
	default:
		count(VIPD_REASON_NO_ROUTE);
		return FOUND_NONE;
	}
	way->ifindex = fib->ifindex;
	/* An IPv4 route may have an IPv6 gateway (RFC 8950). */
	inquiry->next_hop.nh_family = fib->family;
	__builtin_memcpy(inquiry->next_hop.ipv6_nh, fib->ipv6_dst, sizeof(fib->ipv6_dst));
	way->next_hop = &inquiry->next_hop;
	if (!ends->source)
		source_store(&inquiry->source, fib, ends);
	way->source = &inquiry->source;
	return FOUND;
}

static __always_inline enum found find_way(struct __sk_buff *skb, const struct packet *packet,
					   const struct vipd_address *source, const struct vipd_address *target,
					   struct way *way)
{
	struct ends ends = { .source = source, .target = target, .version = IPV6 ? 6 : 4 };

	return find_way_of(skb, packet, &ends, way);
}

static __always_inline enum found find_way_to(struct __sk_buff *skb, const struct packet *packet,
					      const struct vipd_destination *destination, struct way *way)
{
	struct ends ends;

	ends_to(packet, destination, &ends);
	return find_way_of(skb, packet, &ends, way);
}

/* A way that is remembered, where the packet fits. A GSO packet is for the kernel to judge. */
static __always_inline int recall(const struct packet *packet, const struct remembered *known, struct way *way)
{
	if (!known || packet->bytes > known->mtu)
		return 0;
	way->known = known;
	way->ifindex = known->ifindex;
	way->mtu = known->mtu;
	way->source = &known->source;
	return 1;
}

static __always_inline enum found recall_way_to(struct __sk_buff *skb, const struct packet *packet, __u32 slot,
						const struct vipd_destination *destination, struct way *way)
{
	if (skb->gso_segs <= 1 && recall(packet, way_to(skb, packet, slot, destination), way))
		return FOUND;
	return find_way_to(skb, packet, destination, way);
}

static __always_inline enum found recall_way_back(struct __sk_buff *skb, const struct packet *packet,
						  const struct vipd_address *virtual,
						  const struct vipd_address *client, struct way *way)
{
	if (skb->gso_segs <= 1 && recall(packet, way_back(skb, packet, virtual, client), way))
		return FOUND;
	return find_way(skb, packet, virtual, client, way);
}

/* A port of SCTP, whose checksum sees it with the whole packet. A fragment does not know how long that is. */
static __always_inline int rewrite_sctp_port(struct __sk_buff *skb, const struct packet *packet, enum side side,
					     __be16 from, __be16 to)
{
	__be16 length;

	if (packet->is_fragment || bpf_skb_load_bytes(skb, IP_LENGTH, &length, sizeof(length)) < 0)
		return -1;
	return sctp_replace_port(skb, packet->l4, side, from, to, IP_LENGTH_BEGINS + bpf_ntohs(length) - packet->l4);
}

static __always_inline int port_store(struct __sk_buff *skb, const struct packet *packet, enum side side, __be16 port)
{
	const __u32 plain = ETH_HLEN + sizeof(ip_header);
	__be16 *ports = data_of(skb) + plain;

	if (!IPV6 && packet->l4 == plain && (void *)(ports + 2) <= data_end_of(skb)) {
		ports[side == SOURCE ? 0 : 1] = port;
		return 0;
	}
	return bpf_skb_store_bytes(skb, packet->l4 + (side == SOURCE ? 0 : 2), &port, sizeof(port), 0);
}

/* Replace an address and a port. Checksums of any kind stay right: PSEUDO_HDR tells the kernel which
 * change a CHECKSUM_PARTIAL packet must see, MANGLED_0 leaves a UDP packet without a checksum without
 * one (RFC 768). */
static __always_inline int rewrite(struct __sk_buff *skb, const struct packet *packet, enum side side,
				   const struct vipd_address *address, __be16 port)
{
	const struct vipd_flow *flow = &packet->flow;
	const struct vipd_address *from = side == SOURCE ? &flow->source : &flow->target;
	__be16 from_port = side == SOURCE ? flow->source_port : flow->target_port;
	__u64 flags = flow->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 check_at = packet->l4 + (flow->protocol == IPPROTO_UDP ? offsetof(struct udphdr, check)
								      : offsetof(struct tcphdr, check));

	if (flow->protocol == IPPROTO_SCTP) {
		if (packet->has_ports && from_port != port && rewrite_sctp_port(skb, packet, side, from_port, port) < 0)
			return -1;
	} else if (packet->has_ports) {
		if (l4_replace(skb, check_at, from, address, flags) < 0)
			return -1;
		if (from_port != port) {
			if (bpf_l4_csum_replace(skb, check_at, from_port, port, flags | sizeof(port)) < 0)
				return -1;
			if (port_store(skb, packet, side, port) < 0)
				return -1;
		}
	}
	return ip_replace(skb, ETH_HLEN, side, from, address);
}

/* The packet becomes an answer to it, of `length` bytes, which are to be written. A checksum that its sender left to a
 * device (CHECKSUM_PARTIAL) would be written into these; the kernel forgets it where what it begins at is taken away. */
static __always_inline int answer_begin(struct __sk_buff *skb, const struct packet *packet, __u32 length)
{
	__u32 away = packet->l4 + 2;

	if (bpf_skb_change_tail(skb, length + away, 0) < 0)
		return -1;
	return bpf_skb_adjust_room(skb, -(int)away, BPF_ADJ_ROOM_MAC, 0) < 0 ? -1 : 0;
}

static __always_inline int send(struct __sk_buff *skb, struct way *way)
{
	if (way->known) {
		struct ethhdr *ethernet = data_of(skb);

		if ((void *)(ethernet + 1) > data_end_of(skb)) {
			count(VIPD_REASON_REWRITE);
			return DROP;
		}
		addresses_put(ethernet, way->known);
		((word16 *)(ethernet + 1))[-1] = skb->protocol; /* the type */
		return bpf_redirect(way->ifindex, 0);
	}
	return bpf_redirect_neigh(way->ifindex, (void *)way->next_hop, sizeof(*way->next_hop), 0);
}

/* What who sent the packet is to hear of it (tell.h). A program of its own: it costs the others nothing. */
static __always_inline int tell(struct __sk_buff *skb, enum telling what, __u32 mtu)
{
	skb->cb[0] = what;
	skb->cb[1] = mtu;
	bpf_tail_call(skb, &programs, IPV6 ? VIPD_PROGRAM_TELL6 : VIPD_PROGRAM_TELL);
	count(VIPD_REASON_CHANGING);
	return DROP;
}

/* The hop limit is used up. */
static __always_inline int expire(struct __sk_buff *skb)
{
	count(VIPD_REASON_TTL);
	return tell(skb, TELL_NO_HOPS, 0);
}

static __always_inline int wrap(struct __sk_buff *skb, const struct packet *packet,
				const struct vipd_destination *destination, const struct way *way)
{
	if (destination->forwarding != VIPD_FORWARDING_TUNNEL)
		return 0;
	if (outer_is_v6(destination))
		return encapsulate_v6(skb, packet, destination, way->source);
	return encapsulate_v4(skb, packet, destination, way->source);
}

/* What the program of FullNat is to do. */
enum fullnat_step {
	FULLNAT_OPEN = 1, /* a new connection with the destination in a slot */
	FULLNAT_FORWARD,
	FULLNAT_REPLY,
	FULLNAT_ERROR,
};

static __always_inline int fullnat(struct __sk_buff *skb, enum fullnat_step step, __u32 slot)
{
	skb->cb[0] = step;
	skb->cb[1] = slot;
	bpf_tail_call(skb, &programs, IPV6 ? VIPD_PROGRAM_FULLNAT6 : VIPD_PROGRAM_FULLNAT);
	count(VIPD_REASON_CHANGING);
	return DROP;
}

/* A client's packet to its destination. */
static __always_inline int forward(struct __sk_buff *skb, struct packet *packet, __u32 slot,
				   const struct vipd_destination *destination)
{
	struct way way = {};

	if (destination->forwarding == VIPD_FORWARDING_FULLNAT)
		return fullnat(skb, FULLNAT_FORWARD, slot);
	if (packet->ttl <= 1)
		return expire(skb);
	switch (recall_way_to(skb, packet, slot, destination, &way)) {
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
		return tell(skb, TELL_TOO_BIG_OR_CUT, way.mtu);
	case FOUND_NONE:
		return DROP;
	}
	if (age(skb, packet) < 0)
		goto refused;
	if (destination->forwarding == VIPD_FORWARDING_MASQ &&
	    rewrite(skb, packet, TARGET, &destination->address,
		    destination_port(destination, packet->flow.target_port)) < 0)
		goto refused;
	if (packet->is_fragment) {
		fragment_remember(packet);
		/* In a tunnel each one is a datagram of its own, which may be cut once more. */
		packet->identification = bpf_get_prandom_u32();
	}
	if (wrap(skb, packet, destination, &way) < 0)
		goto refused;
	account(destination->service, slot, FROM_CLIENT, packet->bytes);
	return send(skb, &way);
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
	return send(skb, way);
}
