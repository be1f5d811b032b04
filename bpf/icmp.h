/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* ICMP errors follow the flow that they are about (RFC 792, RFC 4443): the quoted packet tells which.
 *
 * A router on the client's side complains to the virtual address: the real server must hear it, in its own
 * addresses. A router on the server's side, or the real server itself, complains to the client: who knows
 * only the virtual address.
 */
#pragma once

#include "forward.h"

struct icmp_head {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

static __always_inline int quote_parse(struct __sk_buff *skb, const struct packet *packet, struct quote *quote)
{
	struct icmp_head icmp;
	__be16 ports[2];

	if (bpf_skb_load_bytes(skb, packet->l4, &icmp, sizeof(icmp)) < 0 || !is_icmp_error(icmp.type))
		return 0;
	quote->ip = packet->l4 + sizeof(icmp);
	if (!quote_parse_ip(skb, quote))
		return 0;
	/* An error goes to whom the quoted packet came from; anything else is forged or broken. */
	if (!is_same(&packet->flow.target, &quote->flow.target))
		return 0;
	if (quote->flow.protocol != IPPROTO_TCP && quote->flow.protocol != IPPROTO_UDP &&
	    quote->flow.protocol != IPPROTO_SCTP)
		return 0;
	if (bpf_skb_load_bytes(skb, quote->ports, ports, sizeof(ports)) < 0)
		return 0;
	quote->flow.source_port = ports[1];
	quote->flow.target_port = ports[0];
	return 1;
}

/* Replace one side of the quoted packet. */
static __always_inline int replace_quoted(struct __sk_buff *skb, const struct packet *packet,
					  const struct quote *quote, enum side side, const struct vipd_address *to,
					  __be16 to_port)
{
	/* The flow is the swapped quote: the quoted source is its target. */
	const struct vipd_address *from = side == SOURCE ? &quote->flow.target : &quote->flow.source;
	__be16 from_port = side == SOURCE ? quote->flow.target_port : quote->flow.source_port;
	__u32 check_at = packet->l4 + offsetof(struct icmp_head, checksum);

	if (ip_replace(skb, quote->ip, side, from, to) < 0 || icmp_replace_quoted(skb, check_at, from, to) < 0)
		return -1;
	if (bpf_l4_csum_replace(skb, check_at, from_port, to_port, sizeof(to_port)) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, quote->ports + (side == SOURCE ? 0 : 2), &to_port, sizeof(to_port), 0);
}

/* Replace an address of the message itself. */
static __always_inline int replace_outer(struct __sk_buff *skb, const struct packet *packet, enum side side,
					 const struct vipd_address *to)
{
	const struct vipd_address *from = side == SOURCE ? &packet->flow.source : &packet->flow.target;

	if (icmp_replace_outer(skb, packet->l4 + offsetof(struct icmp_head, checksum), from, to) < 0)
		return -1;
	return ip_replace(skb, ETH_HLEN, side, from, to);
}

/* About what the client gets: on to the real server. */
static __always_inline int error_to_server(struct __sk_buff *skb, const struct packet *packet,
					   const struct quote *quote, const struct vipd_connection *connection)
{
	struct vipd_destination *destination = destination_at(connection->destination, connection->generation);
	struct way way = {};

	if (!destination || packet->ttl <= 1)
		return PASS;
	if (find_way_to(skb, packet, destination, &way) != FOUND)
		return PASS;
	if (age(skb, packet) < 0)
		goto refused;
	if (destination->forwarding == VIPD_FORWARDING_MASQ &&
	    (replace_quoted(skb, packet, quote, SOURCE, &destination->address,
			    destination_port(destination, quote->flow.target_port)) < 0 ||
	     replace_outer(skb, packet, TARGET, &destination->address) < 0))
		goto refused;
	if (wrap(skb, packet, destination, &way) < 0)
		goto refused;
	return send(skb, &way);
refused:
	count(VIPD_REASON_REWRITE);
	return DROP;
}

/* About what the real server gets: on to the client, from the address that the client knows. */
static __always_inline int error_to_client(struct __sk_buff *skb, const struct packet *packet,
					   const struct quote *quote, const struct vipd_connection *reply)
{
	const struct vipd_address *virtual = &reply->virtual_address;
	struct way way = {};

	if (reply->flags & VIPD_CONNECTION_BYPASS || packet->ttl <= 1)
		return PASS;
	if (find_way(skb, packet, virtual, &packet->flow.target, &way) != FOUND)
		return PASS;
	if (age(skb, packet) < 0 ||
	    replace_quoted(skb, packet, quote, TARGET, virtual, reply->virtual_port) < 0 ||
	    replace_outer(skb, packet, SOURCE, virtual) < 0) {
		count(VIPD_REASON_REWRITE);
		return DROP;
	}
	return send(skb, &way);
}

/* It may be about a tunnel of ours (outer.h). */
static __always_inline int follow_outer(struct __sk_buff *skb, const struct packet *packet)
{
	skb->cb[0] = packet->l4;
	bpf_tail_call(skb, &programs, IPV6 ? VIPD_PROGRAM_OUTER6 : VIPD_PROGRAM_OUTER);
	return PASS;
}

static __always_inline int follow_error(struct __sk_buff *skb, const struct packet *packet)
{
	struct vipd_connection *connection;
	struct quote quote = {};

	if (!quote_parse(skb, packet, &quote))
		return follow_outer(skb, packet);
	connection = connection_of(&quote.flow);
	if (!connection)
		return follow_outer(skb, packet);
	if (connection->flags & VIPD_CONNECTION_FULLNAT)
		return fullnat(skb, FULLNAT_ERROR, 0);
	if (connection->flags & VIPD_CONNECTION_REPLY)
		return error_to_client(skb, packet, &quote, connection);
	return error_to_server(skb, packet, &quote, connection);
}
