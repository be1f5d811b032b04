/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* A header of IPv6 without extensions where it lies in memory: read, age, rewrite. direct4.h has the same functions. */
#pragma once

#include "packet.h"

typedef struct ipv6hdr ip_header;

static __always_inline __u64 words_sum(const __be32 *words, __u32 count)
{
	__u64 sum = 0;
	__u32 i;

#pragma unroll
	for (i = 0; i < count; i++)
		sum += words[i];
	return sum;
}

/* The pseudo header (RFC 8200 section 8.1), not complemented. */
static __always_inline __u64 pseudo_sum(const struct ipv6hdr *ip)
{
	return words_sum(ip->saddr.s6_addr32, 4) + words_sum(ip->daddr.s6_addr32, 4) + ip->payload_len +
	       bpf_htons(ip->nexthdr);
}

static __always_inline int direct_read(const struct ipv6hdr *ip, struct packet *packet, __u32 room)
{
	if (ip->version != 6)
		return 0;
	packet->bytes = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (packet->bytes > room || packet->bytes < sizeof(*ip) + sizeof(struct udphdr))
		return 0;
	address_v6(&packet->flow.source, &ip->saddr);
	address_v6(&packet->flow.target, &ip->daddr);
	if (is_mapped(&packet->flow.source) || is_mapped(&packet->flow.target))
		return 0;
	protocol_set(&packet->flow, ip->nexthdr);
	packet->ttl = ip->hop_limit;
	packet->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	packet->dont_fragment = 1;
	return 1;
}

static __always_inline __u64 address_change(const struct vipd_address *from, const struct vipd_address *to)
{
	return change(from->word[0], to->word[0]) + change(from->word[1], to->word[1]) +
	       change(from->word[2], to->word[2]) + change(from->word[3], to->word[3]);
}

/* One hop less. */
static __always_inline void direct_age(struct ipv6hdr *ip, const struct packet *packet)
{
	ip->hop_limit = packet->ttl - 1;
}

static __always_inline void direct_replace(struct ipv6hdr *ip, const struct packet *packet, enum side side,
					   const struct vipd_address *to, __u64 difference)
{
	__builtin_memcpy(side == SOURCE ? &ip->saddr : &ip->daddr, to, sizeof(*to));
	direct_age(ip, packet);
}
