/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Out with it by XDP: what forward.h and reply.h do, where the way is known. All that is not plain passes, as it came, to
 * those two. */
#pragma once

#include "persist.h"
#include "tunnel.h"
#include "xdp_parse.h"

static __always_inline int send(const struct xdp_md *xdp, const struct packet *packet, const struct remembered *way)
{
	if (way_is_back(xdp, packet, way))
		return XDP_TX;
	return bpf_redirect(way->ifindex, 0);
}

static __always_inline int drop(__u32 reason)
{
	count(reason);
	return DROP;
}

static __always_inline void checksum_change(__be16 *checksum, __u64 difference, int is_udp)
{
	__u16 sum;

	if (is_udp && !*checksum) /* it has none (RFC 768) */
		return;
	sum = ~fold((__u16)~*checksum + difference);
	*checksum = is_udp && !sum ? 0xffff : sum;
}

/* Replace an address and a port, and take a hop; below 0 nothing was touched. */
static __always_inline int rewrite(const struct xdp_md *xdp, struct plain *plain, const struct packet *packet,
				   enum side side, const struct vipd_address *address, __be16 port)
{
	const struct vipd_flow *flow = &packet->flow;
	__u64 address_difference = address_change(side == SOURCE ? &flow->source : &flow->target, address);
	__u64 difference = address_difference + change(side == SOURCE ? flow->source_port : flow->target_port, port);

	if (flow->protocol == IPPROTO_UDP) {
		checksum_change(&plain->ports.udp_checksum, difference, 1);
	} else {
		if ((void *)(plain + 1) > (void *)(long)xdp->data_end)
			return -1;
		checksum_change(&plain->tcp.checksum, difference, 0);
	}
	direct_replace(ip_of(plain), packet, side, address, address_difference);
	if (side == SOURCE)
		plain->ports.source = port;
	else
		plain->ports.target = port;
	return 0;
}

/* The packet for writing. The verifier has forgotten that it is whole. */
static __always_inline struct plain *plain_of(const struct xdp_md *xdp)
{
	struct plain *plain = (void *)(long)xdp->data;

	return (void *)&plain->tcp > (void *)(long)xdp->data_end ? 0 : plain;
}

/* Everything before the packet that came, in the order of the wire. */
struct outer4 {
	struct ethhdr ethernet;
	struct iphdr ip;
} __attribute__((packed, aligned(2)));

struct outer6 {
	struct ethhdr ethernet;
	struct ipv6hdr ip;
} __attribute__((packed, aligned(2)));

static __always_inline void tunnel_head_put(const struct packet *packet, const struct vipd_destination *destination,
					    __u8 tunnel, struct tunnel_head *head)
{
	if (tunnel == VIPD_TUNNEL_GUE)
		gue_head(packet, destination, head);
	else if (tunnel == VIPD_TUNNEL_GRE)
		gre_head(head);
}

static __always_inline int encapsulate(struct xdp_md *xdp, const struct packet *packet,
				       const struct vipd_destination *destination, const struct remembered *way)
{
	const __u8 tunnel = destination->tunnel, is_v6 = outer_is_v6(destination);
	struct outer4 *outer4;
	struct outer6 *outer6;
	void *end;

	if (bpf_xdp_adjust_head(xdp, -(int)tunnel_overhead(destination)) < 0)
		return -1;
	end = (void *)(long)xdp->data_end;
	outer4 = (void *)(long)xdp->data;
	outer6 = (void *)(long)xdp->data;
	/* A packet of IP is longer than the longest head that may follow. */
	if (is_v6) {
		if ((void *)(outer6 + 1) + sizeof(struct tunnel_head) > end)
			return -1;
		outer_v6(packet, &way->source, &destination->address, tunnel, (void *)&outer6->ip);
		tunnel_head_put(packet, destination, tunnel, (void *)(outer6 + 1));
	} else {
		if ((void *)(outer4 + 1) + sizeof(struct tunnel_head) > end)
			return -1;
		outer_v4(packet, &way->source, &destination->address, tunnel, (void *)&outer4->ip);
		tunnel_head_put(packet, destination, tunnel, (void *)(outer4 + 1));
	}
	addresses_put((void *)outer4, way);
	outer4->ethernet.h_proto = bpf_htons(is_v6 ? ETH_P_IPV6 : ETH_P_IP);
	return 0;
}

/* A client's packet to its destination. */
static __always_inline int forward(struct xdp_md *xdp, const struct packet *packet, __u32 slot,
				   const struct vipd_destination *destination)
{
	struct remembered *way;
	struct plain *plain;

	if (destination->forwarding == VIPD_FORWARDING_FULLNAT || packet->ttl <= 1)
		return PASS;
	way = way_to(xdp, packet, slot, destination);
	if (!way || packet->bytes > way->mtu)
		return PASS;
	plain = plain_of(xdp);
	if (!plain)
		return PASS;
	switch (destination->forwarding) {
	case VIPD_FORWARDING_MASQ:
		if (rewrite(xdp, plain, packet, TARGET, &destination->address,
			    destination_port(destination, packet->flow.target_port)) < 0)
			return PASS;
		addresses_put((void *)plain, way);
		break;
	case VIPD_FORWARDING_TUNNEL:
		direct_age(ip_of(plain), packet);
		if (encapsulate(xdp, packet, destination, way) < 0)
			return drop(VIPD_REASON_REWRITE);
		break;
	default:
		direct_age(ip_of(plain), packet);
		addresses_put((void *)plain, way);
	}
	account(destination->service, slot, FROM_CLIENT, packet->bytes);
	return send(xdp, packet, way);
}

/* What a real server answers (Masq), from the address that the client knows. */
static __always_inline int reply(struct xdp_md *xdp, const struct packet *packet, struct vipd_connection *entry)
{
	struct vipd_destination *destination;
	struct remembered *way;
	struct plain *plain;

	if (entry->flags & (VIPD_CONNECTION_BYPASS | VIPD_CONNECTION_FULLNAT) || packet->ttl <= 1)
		return PASS;
	way = way_back(xdp, packet, &entry->virtual_address, &packet->flow.target);
	if (!way || packet->bytes > way->mtu)
		return PASS;
	plain = plain_of(xdp);
	if (!plain)
		return PASS;
	if (rewrite(xdp, plain, packet, SOURCE, &entry->virtual_address, entry->virtual_port) < 0)
		return PASS;
	addresses_put((void *)plain, way);
	destination = destination_at(entry->destination, entry->generation);
	if (destination)
		account(destination->service, entry->destination, FROM_SERVER, packet->bytes);
	return send(xdp, packet, way);
}

/* TC knows what these mean. */
static __always_inline int expire(struct xdp_md *xdp)
{
	return PASS;
}

static __always_inline int reply_without_entry(struct xdp_md *xdp, const struct packet *packet)
{
	return PASS;
}

static __always_inline int follow_error(struct xdp_md *xdp, const struct packet *packet)
{
	return PASS;
}
