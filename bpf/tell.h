/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What becomes of a packet that goes no further: who sent it is told (RFC 792, RFC 4443), or it is cut to what its way
 * bears. A program of its own, where tell() of forward.h jumps. */
#pragma once

#include "forward.h"

#if !IPV6
#include "cut.h"
#endif

/* Too large for the stack beside the packet's own words. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct message);
} answers SEC(".maps");

/* From the address that the packet was for. The packet itself becomes the message. */
static __always_inline int say(struct __sk_buff *skb, struct packet *packet, enum telling what, __u32 mtu)
{
	__u32 zero = 0;
	struct message *answer = bpf_map_lookup_elem(&answers, &zero);
	struct way way = {};

	/* A GSO packet cannot be cut. */
	if (!answer || !can_be_quoted(packet) || skb->gso_segs > 1)
		return DROP;
	packet->bytes = sizeof(*answer);
	if (find_way(skb, packet, &packet->flow.target, &packet->flow.source, &way) != FOUND)
		return DROP;
	__builtin_memset(answer, 0, sizeof(*answer));
	if (bpf_skb_load_bytes(skb, ETH_HLEN, answer->quote, sizeof(answer->quote)) < 0 ||
	    answer_begin(skb, packet, ETH_HLEN + sizeof(*answer)) < 0)
		return DROP;
	message_finish(packet, answer, what, mtu);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, answer, sizeof(*answer), BPF_F_INVALIDATE_HASH) < 0)
		return DROP;
	return send(skb, &way);
}

static __always_inline int tell_go_on(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 what = skb->cb[0], mtu = skb->cb[1];
	int is_first = 0;

	if (ip_parse(skb, &packet, &is_first) != PARSED_FLOW)
		return DROP;
	packet.now_ns = clock_ns();
#if !IPV6
	if (what == TELL_TOO_BIG_OR_CUT && !packet.dont_fragment && cut(skb, &packet, mtu))
		return DROP;
#endif
	if (what == TELL_TOO_BIG_OR_CUT)
		what = TELL_TOO_BIG;
	if (what == TELL_TOO_BIG)
		count(VIPD_REASON_TOO_BIG);
	/* Of a datagram in fragments the first one speaks for all (RFC 1122 section 3.2.2). */
	return is_first ? say(skb, &packet, what, mtu) : DROP;
}
