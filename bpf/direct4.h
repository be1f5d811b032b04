/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* A plain header of IPv4 where it lies in memory: read, age, rewrite. direct6.h has the same functions. */
#pragma once

#include "packet.h"

typedef struct iphdr ip_header;

/* The transport's part of the pseudo header (RFC 9293 section 3.1), not complemented. */
static __always_inline __u64 pseudo_sum(const struct iphdr *ip)
{
	return (__u64)ip->saddr + ip->daddr + bpf_htons(ip->protocol) + bpf_htons(bpf_ntohs(ip->tot_len) - sizeof(*ip));
}

/* 0: a header that is not plain, or of no TCP and no UDP. `room`: bytes from the header to the end of the frame. */
static __always_inline int direct_read(const struct iphdr *ip, struct packet *packet, __u32 room)
{
	if (*(const __u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
		return 0;
	packet->bytes = bpf_ntohs(ip->tot_len);
	if (packet->bytes > room || packet->bytes < sizeof(*ip) + sizeof(struct udphdr))
		return 0;
	address_v4(&packet->flow.source, ip->saddr);
	address_v4(&packet->flow.target, ip->daddr);
	protocol_set(&packet->flow, ip->protocol);
	packet->identification = ip->id;
	packet->ttl = ip->ttl;
	packet->tos = ip->tos;
	packet->dont_fragment = (ip->frag_off & bpf_htons(IP_DF)) != 0;
	return 1;
}

static __always_inline __u64 address_change(const struct vipd_address *from, const struct vipd_address *to)
{
	return change(from->word[3], to->word[3]);
}

/* TTL is the high byte of its 16-bit word. */
#define HOP bpf_htons(1 << 8)

/* One hop less: what the sum loses, its complement wins. */
static __always_inline void direct_age(struct iphdr *ip, const struct packet *packet)
{
	__u32 check = ip->check + HOP;

	ip->ttl = packet->ttl - 1;
	ip->check = check + (check >= 0xffff);
}

/* An address, whose change is `difference`, and one hop less. */
static __always_inline void direct_replace(struct iphdr *ip, const struct packet *packet, enum side side,
					   const struct vipd_address *to, __u64 difference)
{
	if (side == SOURCE)
		ip->saddr = to->word[3];
	else
		ip->daddr = to->word[3];
	ip->ttl = packet->ttl - 1;
	ip->check = ~fold((__u16)~ip->check + difference + (__u16)~HOP);
}
