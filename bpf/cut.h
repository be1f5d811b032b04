/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* An IPv4 packet that is too large for its way, and may be cut, is cut as any router would do it (RFC 791 section 2.3).
 * The pieces come in anew where the packet came in, as if the router before had cut it: so they go the way of all
 * fragments, by whatever method. In a tunnel the pieces are inside, which needs no stack at its end to put outer packets
 * together. */
#pragma once

#include "forward.h"

/* Of the largest packet that is cut: jumbo frames have 9,216 bytes. */
#define CUT_PAYLOAD 9216
/* Of a piece at most, in units of 8 bytes. */
#define CUT_PIECE 1480
#define CUT_PIECES 32

/* The packet as it came, and how it is cut. Too large for the stack. */
struct cutting {
	struct iphdr ip;
	__u32 length;    /* of the payload */
	__u32 piece;     /* of a piece's payload */
	__u32 failed;
	__u16 fragment;  /* offset and flags of the packet */
	__u16 reserved;
	__u8 payload[CUT_PAYLOAD + CUT_PIECE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cutting);
} cuttings SEC(".maps");

static __always_inline struct cutting *cutting_begin(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cuttings, &zero);
}

/* The sender left the checksum to a device, which would see the first piece only (is_partial() of xdp_parse.h). A
 * fragment has none that anybody could still write. */
static __always_inline int checksum_is_left(struct __sk_buff *skb, const struct packet *packet, const struct iphdr *ip)
{
	__u32 at = packet->l4 + (packet->flow.protocol == IPPROTO_UDP ? offsetof(struct udphdr, check)
								       : offsetof(struct tcphdr, check));
	__be16 checksum = 0;

	if (packet->is_fragment)
		return 0;
	/* Of SCTP nobody can tell. */
	if (packet->flow.protocol == IPPROTO_SCTP || bpf_skb_load_bytes(skb, at, &checksum, sizeof(checksum)) < 0)
		return 1;
	return checksum && checksum == fold(pseudo_sum(ip));
}

/* What the loop is given. */
struct loop {
	struct __sk_buff *skb;
};

static __always_inline int piece_send(struct __sk_buff *skb, struct cutting *cutting, __u32 at, __u32 size)
{
	struct iphdr *ip = &cutting->ip;

	ip->check = 0;
	ip->check = header_checksum(ip);
	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(*ip) + size, 0) < 0 ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, ip, sizeof(*ip), BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH) < 0 ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(*ip), cutting->payload + at, size, BPF_F_RECOMPUTE_CSUM) < 0)
		return -1;
	return bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS) < 0 ? -1 : 0;
}

/* One piece; 1 ends the loop. */
static long piece_cut(__u32 index, void *context)
{
	struct __sk_buff *skb = ((struct loop *)context)->skb;
	struct cutting *cutting = cutting_begin();
	__u32 at, size;
	__u16 more;

	if (!cutting)
		return 1;
	at = index * cutting->piece;
	if (at >= cutting->length)
		return 1;
	size = cutting->length - at;
	more = cutting->fragment & IP_MF;
	if (size > cutting->piece) {
		size = cutting->piece;
		more = IP_MF;
	}
	/* For the verifier, which does not know what these follow from. */
	asm volatile("" : "+r"(at), "+r"(size));
	if (at > CUT_PAYLOAD || !size || size > CUT_PIECE)
		return 1;
	cutting->ip.tot_len = bpf_htons(sizeof(cutting->ip) + size);
	cutting->ip.frag_off = bpf_htons(((cutting->fragment & IP_OFFSET) + at / 8) | more);
	cutting->failed = piece_send(skb, cutting, at, size) < 0;
	return cutting->failed;
}

/* To packets of `mtu` bytes. 0: it cannot be cut, and is as it came. */
static __always_inline int cut(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	struct cutting *cutting = cutting_begin();
	struct loop loop = { .skb = skb };
	struct iphdr ip;
	__u32 length;

	/* A marked packet (marked.h) is on its way out of a device that has no way in. */
	if (!cutting || !can_be_quoted(packet) || skb->gso_segs > 1 || skb->ingress_ifindex != skb->ifindex)
		return 0;
	if (mtu < sizeof(ip) + 8 || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
		return 0;
	length = bpf_ntohs(ip.tot_len);
	if (length <= sizeof(ip) || length > sizeof(ip) + CUT_PAYLOAD)
		return 0;
	length -= sizeof(ip);
	cutting->ip = ip;
	cutting->fragment = bpf_ntohs(ip.frag_off);
	cutting->failed = 0;
	cutting->length = length;
	cutting->piece = (mtu - sizeof(ip)) & ~7;
	if (cutting->piece > CUT_PIECE)
		cutting->piece = CUT_PIECE;
	if (length <= cutting->piece || length > cutting->piece * CUT_PIECES || checksum_is_left(skb, packet, &ip))
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip), cutting->payload, length) < 0)
		return 0;
	count(VIPD_REASON_CUT);
	bpf_loop(CUT_PIECES, piece_cut, &loop, 0);
	if (cutting->failed)
		count(VIPD_REASON_REWRITE);
	return 1;
}
