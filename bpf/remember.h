/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Ways out that were found are remembered for settings.way_ms, each CPU for itself: a route or a neighbour that changes
 * is followed within that time. A place is taken over by whoever comes to it. */
#pragma once

#include "way.h"

#define WAYS 8192
/* A neighbour that only XDP sends to would never be asked whether it is still there (NUD_STALE): once in so long a
 * packet of each place goes by the stack, which does ask. */
#define WAY_PASS_MS 10000

struct remembered {
	struct vipd_address key; /* a client's address, or slot and generation of a destination */
	struct vipd_address source; /* of a tunnel: this host's own address on the way */
	__u64 until_ns;
	__u32 passed_ms; /* when a packet went by the stack, in units of 2^20 ns; 0: never */
	__u32 ifindex;   /* 0: not by XDP */
	__u16 mtu;
	__u8 port;       /* enum vipd_port_flag of the way out */
	__u8 reserved;
	__u8 mac[2 * ETH_ALEN]; /* to and from, as on the wire */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WAYS);
	__type(key, __u32);
	__type(value, struct remembered);
} ways SEC(".maps");

/* The ends of a way; `source` 0 asks for this host's own. */
struct ends {
	const struct vipd_address *source;
	const struct vipd_address *target;
	int version; /* of IP */
};

static __always_inline struct vipd_port *port_at(__u32 ifindex)
{
	return bpf_map_lookup_elem(&ports, &ifindex);
}

static __always_inline void way_store(struct remembered *way, const struct bpf_fib_lookup *fib,
				      const struct ends *ends)
{
	struct vipd_port *port = port_at(fib->ifindex);

	if (!port || !(port->flags & VIPD_PORT_ETHERNET))
		return;
	way->ifindex = fib->ifindex;
	way->mtu = fib->mtu_result;
	way->port = port->flags;
	__builtin_memcpy(way->mac, fib->dmac, ETH_ALEN);
	__builtin_memcpy(way->mac + ETH_ALEN, fib->smac, ETH_ALEN);
	if (ends->source)
		return;
	if (ends->version == 6)
		__builtin_memcpy(&way->source, fib->ipv6_src, sizeof(way->source));
	else
		way->source.word[3] = fib->ipv4_src;
}

/* Ask the kernel. 0: this packet is to go by the stack, which knows what to do, or is to be asked to look again. */
static __always_inline int way_renew(struct xdp_md *xdp, const struct packet *packet, struct remembered *way,
				     const struct vipd_address *key, const struct ends *ends)
{
	struct bpf_fib_lookup fib = { .l4_protocol = packet->flow.protocol, .ifindex = xdp->ingress_ifindex };
	__u32 zero = 0, now_ms = packet->now_ns >> 20;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	long found;

	way->until_ns = 0;
	way->ifindex = 0;
	if (!conf)
		return 0;
	if (!way->passed_ms) {
		way->passed_ms = now_ms;
	} else if (now_ms - way->passed_ms > WAY_PASS_MS) {
		way->passed_ms = now_ms;
		return 0;
	}
	way_ends(&fib, ends->version, ends->source, ends->target);
	found = bpf_fib_lookup(xdp, &fib, sizeof(fib), ends->source ? 0 : BPF_FIB_LOOKUP_SRC);
	if (found == BPF_FIB_LKUP_RET_NO_NEIGH) /* the stack asks for it now: the next packet may find it */
		return 0;
	if (found == BPF_FIB_LKUP_RET_SUCCESS)
		way_store(way, &fib, ends);
	way->key = *key;
	way->until_ns = packet->now_ns + conf->way_ms * 1000000ULL;
	return 1;
}

/* Whether the packet goes out where it came in, and XDP_TX does that. */
static __always_inline int way_is_back(const struct xdp_md *xdp, const struct packet *packet,
				       const struct remembered *way)
{
	return way->ifindex == xdp->ingress_ifindex && packet->port & (VIPD_PORT_BACK | VIPD_PORT_GENERIC);
}

/* Whether XDP can send there from where the packet came in: back, over to a driver that takes frames of XDP, or, in
 * generic XDP, to any. */
static __always_inline int way_is_open(const struct xdp_md *xdp, const struct packet *packet,
				       const struct remembered *way)
{
	if (!way->ifindex)
		return 0;
	return way->port & VIPD_PORT_TARGET || packet->port & VIPD_PORT_GENERIC || way_is_back(xdp, packet, way);
}

/* The way in a place; 0: this packet goes by the stack. */
static __always_inline struct remembered *way_of(struct xdp_md *xdp, const struct packet *packet, __u32 place,
						 const struct vipd_address *key, const struct ends *ends)
{
	struct remembered *way;

	place &= WAYS - 1;
	way = bpf_map_lookup_elem(&ways, &place);
	if (!way)
		return 0;
	if ((packet->now_ns >= way->until_ns || !is_same(&way->key, key)) && !way_renew(xdp, packet, way, key, ends))
		return 0;
	return way_is_open(xdp, packet, way) ? way : 0;
}
