/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* TOA: the real server learns the client's address and port from an option of TCP's handshake, kind 254, as DPVS and
 * Alibaba's LVS write it (struct toa). It goes into the SYN, where a server finds it by TCP_SAVED_SYN, and into the
 * segments without payload that acknowledge the server's SYN and nothing more, where the toa module of real servers
 * looks. Neither is near any MTU, so no segment grows beyond the MSS. Where an option does not fit, none is added.
 */
#pragma once

#include "forward.h"

#define TOA_KIND 254
/* An answer below: the packet is to be dropped. */
#define TOA_FORGED (-2)
#define TCP_HEADER_MAX 60
#define TCP_OPTIONS_MAX (TCP_HEADER_MAX - sizeof(struct tcphdr))
#define TCP_AT(field) offsetof(struct tcphdr, field)

struct toa {
	__u8 kind;
	__u8 length;
	__be16 port;
	__be32 address[IPV6 ? 4 : 1];
};

static __always_inline int wants_toa(__u32 service)
{
	struct vipd_locals *locals = bpf_map_lookup_elem(&locals_of, &service);

	return locals && locals->flags & VIPD_LOCALS_TOA;
}

/* Options of a segment with data that are looked at: time stamp, SACK and MD5, each with its padding. */
#define TOA_LOOKS 10

/* A client may not say who it is: such an option in its data could complete the handshake. Who has more options than
 * anybody sends hides one. */
static __always_inline int toa_is_forged(struct __sk_buff *skb, const struct packet *packet, __u32 header)
{
	__u32 at = sizeof(struct tcphdr), i;
	__u8 option[2];

#pragma unroll
	for (i = 0; i < TOA_LOOKS; i++) {
		if (at + 1 >= header || bpf_skb_load_bytes(skb, packet->l4 + at, option, sizeof(option)) < 0)
			return 0;
		if (option[0] == TOA_KIND)
			return 1;
		if (option[0] == 0)
			return 0;
		at += option[0] == 1 ? 1 : option[1] < 2 ? 2 : option[1];
		at &= 127;
	}
	return at + 1 < header;
}

/* The IP header and the checksum of TCP learn that the segment has grown, and TCP's header by how much. */
static __always_inline int toa_account(struct __sk_buff *skb, const struct packet *packet, __u16 length, __be16 word,
				       const struct toa *toa)
{
	__u32 check_at = packet->l4 + TCP_AT(check);
	__be16 was = bpf_htons(length), is = bpf_htons(length + sizeof(*toa));
	__be16 grown = bpf_htons(bpf_ntohs(word) + (sizeof(*toa) / 4 << 12));

	if (!IPV6 && bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), was, is, sizeof(is)) < 0)
		return -1;
	if (bpf_skb_store_bytes(skb, IP_LENGTH, &is, sizeof(is), IPV6 ? BPF_F_RECOMPUTE_CSUM : 0) < 0)
		return -1;
	/* The pseudo header has the length of the segment, which grows by as much as the IP length. */
	if (bpf_l4_csum_replace(skb, check_at, was, is, BPF_F_PSEUDO_HDR | sizeof(is)) < 0)
		return -1;
	if (bpf_l4_csum_replace(skb, check_at, word, grown, sizeof(grown)) < 0)
		return -1;
	if (bpf_l4_csum_replace(skb, check_at, 0, bpf_csum_diff(0, 0, (__be32 *)toa, sizeof(*toa), 0), 0) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, packet->l4 + 12, &grown, sizeof(grown), 0);
}

/* Before the client's own options: who looks finds the first. Below 0: the kernel refused, and the packet is
 * spoilt; or TOA_FORGED. */
static __always_inline int toa_add(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	__u32 first = packet->l4 + sizeof(struct tcphdr), header, options, end;
	struct toa toa = { .kind = TOA_KIND, .length = sizeof(toa), .port = packet->flow.source_port };
	__u8 others[TCP_OPTIONS_MAX];
	__be16 length, word;

	if (bpf_skb_load_bytes(skb, IP_LENGTH, &length, sizeof(length)) < 0 ||
	    bpf_skb_load_bytes(skb, packet->l4 + 12, &word, sizeof(word)) < 0)
		return -1;
	length = bpf_ntohs(length);
	end = IP_LENGTH_BEGINS + length;
	header = bpf_ntohs(word) >> 12 << 2;
	if (header < sizeof(struct tcphdr) || packet->is_fragment)
		return 0;
	if (packet->l4 + header != end)
		return packet->tcp_flags & TCP_SYN || !toa_is_forged(skb, packet, header) ? 0 : TOA_FORGED;
	if (header + sizeof(toa) > TCP_HEADER_MAX || end + sizeof(toa) > ETH_HLEN + mtu)
		return 0;
	options = (header - sizeof(struct tcphdr)) & 63;
	if (options > sizeof(others))
		return 0;
	if (options && bpf_skb_load_bytes(skb, first, others, options) < 0)
		return -1;
#if IPV6
	__builtin_memcpy(toa.address, &packet->flow.source, sizeof(toa.address));
#else
	toa.address[0] = packet->flow.source.word[3];
#endif
	/* Behind the end there may be the padding of Ethernet. */
	if (bpf_skb_change_tail(skb, end + sizeof(toa), 0) < 0)
		return -1;
	if (bpf_skb_store_bytes(skb, first, &toa, sizeof(toa), 0) < 0)
		return -1;
	if (options && bpf_skb_store_bytes(skb, first + sizeof(toa), others, options, 0) < 0)
		return -1;
	return toa_account(skb, packet, length, word, &toa);
}

/* A client's packet on its way to the real server, rewritten. */
static __always_inline int toa_forward(struct __sk_buff *skb, const struct packet *packet, __u32 service,
				       struct vipd_connection *connection, __u32 mtu)
{
	__be32 acknowledged;

	if (packet->flow.protocol != IPPROTO_TCP || !packet->has_ports || packet->tcp_flags & TCP_RST)
		return 0;
	if (packet->tcp_flags & TCP_SYN)
		return wants_toa(service) ? toa_add(skb, packet, mtu) : 0;
	if (!connection->first_ack)
		return 0;
	if (bpf_skb_load_bytes(skb, packet->l4 + TCP_AT(ack_seq), &acknowledged, sizeof(acknowledged)) < 0)
		return -1;
	if (acknowledged == connection->first_ack)
		return toa_add(skb, packet, mtu);
	connection->first_ack = 0; /* the server has told, and the client has heard it: they are past the handshake */
	return 0;
}

/* The real server's SYN: what acknowledges it and nothing more is of the handshake. */
static __always_inline void toa_reply(struct __sk_buff *skb, const struct packet *packet, __u32 service,
				      struct vipd_connection *connection)
{
	__be32 sequence;

	if (packet->flow.protocol != IPPROTO_TCP || (packet->tcp_flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK))
		return;
	if (wants_toa(service) &&
	    bpf_skb_load_bytes(skb, packet->l4 + TCP_AT(seq), &sequence, sizeof(sequence)) == 0)
		connection->first_ack = bpf_htonl(bpf_ntohl(sequence) + 1);
}
