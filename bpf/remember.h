/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Ways out that were found are remembered for settings.way_ms, each CPU for itself: a route or a neighbour that changes
 * is followed within that time. A place is taken over by whoever comes to it. */
#pragma once

#include "way.h"

#define WAYS 8192
/* A neighbour that only these programs send to would never be asked whether it is still there (NUD_STALE): once in so
 * long a packet of each place goes by the stack, which does ask. */
#define WAY_PASS_MS 10000

struct remembered {
	struct vipd_address key; /* a client's address, or slot and generation of a destination */
	struct vipd_address source; /* of a tunnel: this host's own address on the way */
	__u64 until_ns;
	__u32 passed_ms; /* when a packet went by the stack, in units of 2^20 ns; 0: never */
	__u32 ifindex;   /* 0: not without the stack */
	__u16 mtu;       /* of the packet, before a tunnel's headers */
	__u8 port;       /* enum vipd_port_flag of the way out; XDP */
	__u8 reserved;
	__u8 mac[2 * ETH_ALEN]; /* to and from, as on the wire; at a multiple of 4 */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WAYS);
	__type(key, __u32);
	__type(value, struct remembered);
} ways SEC(".maps");

#if XDP
static __always_inline struct vipd_port *port_at(__u32 ifindex)
{
	return bpf_map_lookup_elem(&ports, &ifindex);
}
#endif

static __always_inline void way_store(struct remembered *way, const struct bpf_fib_lookup *fib,
				      const struct ends *ends)
{
#if XDP
	struct vipd_port *port = port_at(fib->ifindex);

	if (!port || !(port->flags & VIPD_PORT_ETHERNET))
		return;
	way->port = port->flags;
#endif
	way->ifindex = fib->ifindex;
	way->mtu = fib->mtu_result > ends->overhead ? fib->mtu_result - ends->overhead : 0;
	__builtin_memcpy(way->mac, fib->dmac, ETH_ALEN);
	__builtin_memcpy(way->mac + ETH_ALEN, fib->smac, ETH_ALEN);
	if (!ends->source)
		source_store(&way->source, fib, ends);
}

static __always_inline void addresses_put(struct ethhdr *ethernet, const struct remembered *way)
{
	const word32 *from = (const word32 *)way->mac;
	word32 *to = (word32 *)ethernet;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}

/* Ask the kernel. 0: this packet is to go by the stack, which knows what to do, or is to be asked to look again. */
static __noinline int way_renew(context *ctx, const struct packet *packet, struct remembered *way,
				     const struct vipd_address *key, const struct ends *ends)
{
	__u32 zero = 0, now_ms = packet->now_ns >> 20;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	struct inquiry *inquiry;
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
	inquiry = inquire(packet, ctx->ingress_ifindex, ends);
	if (!inquiry)
		return 0;
	inquiry->fib.tot_len = 1; /* for 0 TC would tell the MTU of the interface, not of the route */
	found = bpf_fib_lookup(ctx, &inquiry->fib, sizeof(inquiry->fib), ends->source ? 0 : BPF_FIB_LOOKUP_SRC);
	if (found == BPF_FIB_LKUP_RET_NO_NEIGH) /* the stack asks for it now: the next packet may find it */
		return 0;
	if (found == BPF_FIB_LKUP_RET_SUCCESS)
		way_store(way, &inquiry->fib, ends);
	way->key = *key;
	way->until_ns = packet->now_ns + conf->way_ms * 1000000ULL;
	return 1;
}

#if XDP
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
#else
static __always_inline int way_is_open(const struct __sk_buff *skb, const struct packet *packet,
				       const struct remembered *way)
{
	return way->ifindex != 0;
}
#endif

static __always_inline struct remembered *way_at(__u32 place)
{
	place &= WAYS - 1;
	return bpf_map_lookup_elem(&ways, &place);
}

/* Keys are aligned to 8 bytes, as the addresses of a flow are. */
static __always_inline int way_holds(const struct remembered *way, const struct packet *packet,
				     const struct vipd_address *key)
{
	const word64 *one = (const word64 *)&way->key, *other = (const word64 *)key;

	return packet->now_ns < way->until_ns && one[0] == other[0] && one[1] == other[1];
}

/* To a destination; 0: this packet goes by the stack. */
static __always_inline struct remembered *way_to(context *ctx, const struct packet *packet, __u32 slot,
						 const struct vipd_destination *destination)
{
	__u64 words[2] = { slot | (__u64)destination->generation << 32, 0 };
	const struct vipd_address *key = (void *)words;
	struct remembered *way = way_at(slot);

	if (!way)
		return 0;
	if (!way_holds(way, packet, key)) {
		struct ends ends;

		ends_to(packet, destination, &ends);
		if (!way_renew(ctx, packet, way, key, &ends))
			return 0;
	}
	return way_is_open(ctx, packet, way) ? way : 0;
}

/* Back to a client. */
static __always_inline struct remembered *way_back(context *ctx, const struct packet *packet,
						   const struct vipd_address *virtual,
						   const struct vipd_address *client)
{
	struct remembered *way = way_at((client->word[3] * 0x9e3779b1) >> 16);

	if (!way)
		return 0;
	if (!way_holds(way, packet, client)) {
		struct ends ends = { .source = virtual, .target = client, .version = IPV6 ? 6 : 4 };

		if (!way_renew(ctx, packet, way, client, &ends))
			return 0;
	}
	return way_is_open(ctx, packet, way) ? way : 0;
}
