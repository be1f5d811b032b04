/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* ICMP errors follow the flow that they are about (RFC 792): the quoted packet tells which.
 *
 * A router on the client's side complains to the virtual address: the real server must hear it, in its own
 * addresses. A router on the server's side, or the real server itself, complains to the client: who knows
 * only the virtual address.
 */
#pragma once

#include "forward.h"

/* RFC 792. <linux/icmp.h> would bring in headers of the C library. */
struct icmp_head {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

enum icmp_type { ICMP_DEST_UNREACH = 3, ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETER_PROBLEM = 12 };

/* What the error quotes. */
struct quote {
	struct vipd_flow flow; /* as its answers would come: source and target are swapped */
	__u32 ip;              /* offset of the quoted IP header */
	__u32 ports;           /* offset of the quoted ports */
};

static __always_inline int quote_parse(struct __sk_buff *skb, const struct packet *packet, struct quote *quote)
{
	struct icmp_head icmp;
	struct iphdr ip;
	__be16 ports[2];

	if (bpf_skb_load_bytes(skb, packet->l4, &icmp, sizeof(icmp)) < 0)
		return 0;
	if (icmp.type != ICMP_DEST_UNREACH && icmp.type != ICMP_TIME_EXCEEDED && icmp.type != ICMP_PARAMETER_PROBLEM)
		return 0;
	quote->ip = packet->l4 + sizeof(icmp);
	if (bpf_skb_load_bytes(skb, quote->ip, &ip, sizeof(ip)) < 0)
		return 0;
	if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(IP_OFFSET))
		return 0;
	if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP)
		return 0;
	quote->ports = quote->ip + ip.ihl * 4;
	if (bpf_skb_load_bytes(skb, quote->ports, ports, sizeof(ports)) < 0)
		return 0;
	address_v4(&quote->flow.source, ip.daddr);
	address_v4(&quote->flow.target, ip.saddr);
	quote->flow.source_port = ports[1];
	quote->flow.target_port = ports[0];
	quote->flow.protocol = ip.protocol;
	return 1;
}

static __always_inline int replace_address(struct __sk_buff *skb, __u32 ip, enum side side, __be32 from, __be32 to)
{
	__u32 at = ip + (side == SOURCE ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr));

	if (bpf_l3_csum_replace(skb, ip + offsetof(struct iphdr, check), from, to, sizeof(to)) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, at, &to, sizeof(to), 0);
}

/* Replace one side of the quoted packet. Its address and its header checksum change by the same amount, so
 * the checksum of the ICMP message sees the port alone. */
static __always_inline int replace_quoted(struct __sk_buff *skb, const struct packet *packet,
					  const struct quote *quote, enum side side, __be32 to, __be16 to_port)
{
	/* The flow is the swapped quote: the quoted source is its target. */
	__be32 from = side == SOURCE ? quote->flow.target.word[3] : quote->flow.source.word[3];
	__be16 from_port = side == SOURCE ? quote->flow.target_port : quote->flow.source_port;

	if (replace_address(skb, quote->ip, side, from, to) < 0)
		return -1;
	if (bpf_l4_csum_replace(skb, packet->l4 + offsetof(struct icmp_head, checksum), from_port, to_port,
				sizeof(to_port)) < 0)
		return -1;
	return bpf_skb_store_bytes(skb, quote->ports + (side == SOURCE ? 0 : 2), &to_port, sizeof(to_port), 0);
}

/* About what the client gets: on to the real server. */
static __always_inline int error_to_server(struct __sk_buff *skb, const struct packet *packet,
					   const struct quote *quote, const struct vipd_connection *connection)
{
	struct vipd_destination *destination = destination_at(connection->destination, connection->generation);
	struct way way = {};
	__be32 real;

	if (!destination || packet->ttl <= 1)
		return PASS;
	real = destination->address.word[3];
	if (find_way(skb, packet, outer_source(packet, destination), real, &way) != FOUND)
		return PASS;
	if (age(skb, packet) < 0)
		goto refused;
	if (destination->forwarding == VIPD_FORWARDING_MASQ &&
	    (replace_quoted(skb, packet, quote, SOURCE, real,
			    destination_port(destination, quote->flow.target_port)) < 0 ||
	     replace_address(skb, ETH_HLEN, TARGET, packet->flow.target.word[3], real) < 0))
		goto refused;
	if (wrap(skb, packet, destination, &way) < 0)
		goto refused;
	return send(&way);
refused:
	count(VIPD_REASON_REWRITE);
	return DROP;
}

/* About what the real server gets: on to the client, from the address that the client knows. */
static __always_inline int error_to_client(struct __sk_buff *skb, const struct packet *packet,
					   const struct quote *quote, const struct vipd_connection *reply)
{
	__be32 virtual = reply->virtual_address.word[3];
	struct way way = {};

	if (reply->flags & VIPD_CONNECTION_BYPASS || packet->ttl <= 1)
		return PASS;
	if (find_way(skb, packet, virtual, packet->flow.target.word[3], &way) != FOUND)
		return PASS;
	if (age(skb, packet) < 0 ||
	    replace_quoted(skb, packet, quote, TARGET, virtual, reply->virtual_port) < 0 ||
	    replace_address(skb, ETH_HLEN, SOURCE, packet->flow.source.word[3], virtual) < 0) {
		count(VIPD_REASON_REWRITE);
		return DROP;
	}
	return send(&way);
}

static __always_inline int follow_error(struct __sk_buff *skb, const struct packet *packet)
{
	struct vipd_connection *connection;
	struct quote quote = {};

	if (!quote_parse(skb, packet, &quote))
		return PASS;
	connection = bpf_map_lookup_elem(&connections, &quote.flow);
	if (!connection)
		return PASS;
	if (connection->flags & VIPD_CONNECTION_REPLY)
		return error_to_client(skb, packet, &quote, connection);
	return error_to_server(skb, packet, &quote, connection);
}
