/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What the kernel's routes are asked. */
#pragma once

#include "tunnel.h"

#define AF_INET 2
#define AF_INET6 10

/* `source` 0 asks for this host's own (Linux 6.7). */
struct ends {
	const struct vipd_address *source;
	const struct vipd_address *target;
	int version;    /* of IP */
	__u32 overhead; /* bytes that a tunnel puts before the packet */
};

/* To a destination; of a tunnel the way begins here, and may be of the other family. */
static __always_inline void ends_to(const struct packet *packet, const struct vipd_destination *destination,
				    struct ends *ends)
{
	int is_tunnel = destination->forwarding == VIPD_FORWARDING_TUNNEL;

	ends->source = is_tunnel ? 0 : &packet->flow.source;
	ends->target = &destination->address;
	ends->overhead = is_tunnel ? tunnel_overhead(destination) : 0;
	ends->version = (is_tunnel ? outer_is_v6(destination) : IPV6) ? 6 : 4;
}

/* Question and answer. Too large for the stack beside the packet's own words. */
struct inquiry {
	struct bpf_fib_lookup fib;
	struct bpf_redir_neigh next_hop; /* TC */
	struct vipd_address source;      /* this host's own address on the way, where it was asked for */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct inquiry);
} inquiries SEC(".maps");

/* What the kernel is to be asked; 0: never. */
static __always_inline struct inquiry *inquire(const struct packet *packet, __u32 ingress, const struct ends *ends)
{
	__u32 zero = 0;
	struct inquiry *inquiry = bpf_map_lookup_elem(&inquiries, &zero);
	struct bpf_fib_lookup *fib = &inquiry->fib;

	if (!inquiry)
		return 0;
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->l4_protocol = packet->flow.protocol;
	fib->ifindex = ingress;
	if (ends->version == 6) {
		fib->family = AF_INET6;
		if (ends->source)
			__builtin_memcpy(fib->ipv6_src, ends->source, sizeof(*ends->source));
		__builtin_memcpy(fib->ipv6_dst, ends->target, sizeof(*ends->target));
	} else {
		fib->family = AF_INET;
		fib->ipv4_src = ends->source ? ends->source->word[3] : 0;
		fib->ipv4_dst = ends->target->word[3];
	}
	return inquiry;
}

/* The source that was asked for. */
static __always_inline void source_store(struct vipd_address *source, const struct bpf_fib_lookup *fib,
					 const struct ends *ends)
{
	if (ends->version == 6)
		__builtin_memcpy(source, fib->ipv6_src, sizeof(*source));
	else
		source->word[3] = fib->ipv4_src;
}
