/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Services by firewall mark. netfilter marks a packet behind TC ingress; a routing rule then leads it to a device of
 * ours, on whose way out it comes here. Packets of a connection that is known never do: TC ingress sends them on.
 *
 * The stack has forwarded it already, and does not get it back. So the hop that it took is given back, since the path
 * takes one itself; and what the stack would have answered is answered here.
 */
#pragma once

#include "ingress.h"

struct reset {
	ip_header ip;
	struct tcphdr tcp;
} __attribute__((packed, aligned(4)));

/* Nobody knows the connection (RFC 9293 section 3.10.7.1). The packet itself becomes the reset. */
static __always_inline int reset(struct __sk_buff *skb, const struct packet *packet)
{
	struct reset answer = {};
	struct way way = {};
	struct tcphdr got;

	if (skb->gso_segs > 1 || bpf_skb_load_bytes(skb, packet->l4, &got, sizeof(got)) < 0)
		return DROP;
	if (find_way(skb, packet, &packet->flow.target, &packet->flow.source, &way) != FOUND)
		return DROP;
	ip_answer(packet, &answer.ip, IPPROTO_TCP, sizeof(answer.tcp));
	answer.tcp.source = packet->flow.target_port;
	answer.tcp.dest = packet->flow.source_port;
	answer.tcp.seq = got.ack_seq;
	answer.tcp.doff = sizeof(answer.tcp) / 4;
	answer.tcp.rst = 1;
	answer.tcp.check = ~fold(pseudo_sum(&answer.ip) +
				 bpf_csum_diff(0, 0, (__be32 *)&answer.tcp, sizeof(answer.tcp), 0));
	if (answer_begin(skb, packet, ETH_HLEN + sizeof(answer)) < 0 ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, &answer, sizeof(answer), BPF_F_INVALIDATE_HASH) < 0)
		return DROP;
	return send(skb, &way);
}

/* A packet that its service does not take. To the rest "port unreachable", as ip_vs_leave() says it. */
static __always_inline int refuse(struct __sk_buff *skb)
{
	struct packet packet = {};

	if (parse(skb, &packet) != PARSED_FLOW || !packet.has_ports)
		return DROP;
	if (packet.flow.protocol == IPPROTO_TCP && packet.tcp_flags & (TCP_ACK | TCP_RST))
		return packet.tcp_flags & TCP_RST ? DROP : reset(skb, &packet);
	return tell(skb, TELL_NO_PORT, 0);
}

static __always_inline int marked(struct __sk_buff *skb)
{
	int verdict;

	if (!skb->mark || give_hop_back(skb) < 0)
		return DROP;
	verdict = ingress(skb, skb->mark);
	if (verdict != PASS)
		return verdict;
	bpf_tail_call(skb, &programs, IPV6 ? VIPD_PROGRAM_REFUSE6 : VIPD_PROGRAM_REFUSE);
	return DROP;
}
