/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Bytes to a flow: Ethernet, IP, TCP, UDP or SCTP. */
#pragma once

#if IPV6
#include "ip6.h"
#else
#include "ip4.h"
#endif

#include "sctp.h"

/* The head of the transport. */
static __always_inline int load_head(struct __sk_buff *skb, const struct packet *packet, void *to, __u32 size)
{
	const __u32 plain = ETH_HLEN + sizeof(ip_header);

	/* Over IPv6 the verifier would have too many ways to follow. */
	if (!IPV6 && packet->l4 == plain)
		return load_near(skb, plain, to, size);
	return bpf_skb_load_bytes(skb, packet->l4, to, size);
}

static __always_inline enum parsed parse_ports(struct __sk_buff *skb, struct packet *packet)
{
	if (packet->flow.protocol == IPPROTO_TCP) {
		word32 head[4]; /* to the byte of the flags, and two more */

		if (load_head(skb, packet, head, sizeof(head)) < 0)
			goto malformed;
		*ports_of(&packet->flow) = head[0];
		packet->tcp_flags = head[3] >> 8;
	} else if (packet->flow.protocol == IPPROTO_SCTP) {
		struct sctp_head head;

		if (bpf_skb_load_bytes(skb, packet->l4, &head, sizeof(head)) < 0)
			goto malformed;
		packet->flow.source_port = head.source;
		packet->flow.target_port = head.target;
		packet->tcp_flags = sctp_flags(head.chunk);
	} else {
		word32 head[2];

		if (load_head(skb, packet, head, sizeof(head)) < 0)
			goto malformed;
		*ports_of(&packet->flow) = head[0];
	}
	packet->has_ports = 1;
	return PARSED_FLOW;
malformed:
	count(VIPD_REASON_MALFORMED);
	return PARSED_OTHER;
}

static __always_inline enum parsed parse(struct __sk_buff *skb, struct packet *packet)
{
	int is_first = 0;

	if (ip_parse(skb, packet, &is_first) != PARSED_FLOW)
		return PARSED_OTHER;
	packet->now_ns = clock_ns();
	packet->bytes = skb->len - ETH_HLEN;
	if (packet->flow.protocol == ICMP_OURS)
		return packet->is_fragment ? PARSED_OTHER : PARSED_ERROR;
	if (!is_first)
		return fragment_recall(packet);
	return parse_ports(skb, packet);
}
