/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What real servers answer (Masq), with a connection entry and without. */
#pragma once

#include "forward.h"
#include "persist.h"

static __always_inline int reply(struct __sk_buff *skb, const struct packet *packet, struct vipd_connection *entry)
{
	struct way way = {};

	if (entry->flags & (VIPD_CONNECTION_BYPASS | VIPD_CONNECTION_FULLNAT)) {
		if (entry->flags & VIPD_CONNECTION_FULLNAT)
			return fullnat(skb, FULLNAT_REPLY, 0);
		connection_touch(entry, packet->now_ns);
		return PASS;
	}
	if (packet->ttl <= 1) {
		count(VIPD_REASON_TTL);
		return PASS; /* the stack tells the real server */
	}
	switch (recall_way_back(skb, packet, &entry->virtual_address, &packet->flow.target, &way)) {
	case FOUND:
		break;
	case FOUND_LOCAL:
		return PASS;
	case FOUND_SMALLER:
		if (!packet->dont_fragment)
			return tell(skb, TELL_TOO_BIG_OR_CUT, way.mtu);
		/* The stack tells the real server, in the real server's own terms (RFC 1191 section 4). */
		count(VIPD_REASON_TOO_BIG);
		return PASS;
	case FOUND_NO_ROUTE:
	case FOUND_NONE:
		return DROP;
	}
	return forward_reply(skb, packet, &way, entry);
}

/* The real server answers a client that has a connection of its own, without the service: later packets
 * of it must not be taken for a flow of another director. */
static __always_inline void bypass(const struct packet *packet)
{
	struct vipd_connection connection = {
		.seen_ns = packet->now_ns,
		.state = VIPD_STATE_ESTABLISHED,
		.flags = VIPD_CONNECTION_REPLY | VIPD_CONNECTION_BYPASS,
	};

	connection_put(&packet->flow, &connection);
}

/* By address and port, else by the address that answers from every port. */
static __always_inline struct vipd_real *real_of(struct vipd_real_key *key)
{
	struct vipd_real *real = bpf_map_lookup_elem(&reals, key);

	if (real)
		return real;
	key->port = 0;
	return bpf_map_lookup_elem(&reals, key);
}

/* A real server's packet whose entry is missing: the table lost it, or another director opened the
 * connection and the scheduler would have chosen this very destination. */
static __always_inline int reply_without_entry(struct __sk_buff *skb, const struct packet *packet)
{
	struct vipd_real_key key = {
		.address = packet->flow.source,
		.port = packet->flow.source_port,
		.protocol = packet->flow.protocol,
	};
	struct vipd_real *real = real_of(&key);
	struct vipd_connection entry = { .seen_ns = packet->now_ns, .flags = VIPD_CONNECTION_REPLY };
	struct vipd_connection *connection;
	struct vipd_destination *destination;
	struct vipd_service *service;
	struct vipd_flow flow;
	struct way way = {};

	if (!real || real->holders != 1)
		return PASS;
	destination = destination_at(real->destination, real->generation);
	if (!destination || destination->forwarding != VIPD_FORWARDING_MASQ)
		return PASS;
	service = bpf_map_lookup_elem(&services, &destination->service);
	if (!service || !service->scheduler || packet->ttl <= 1)
		return PASS;
	entry.destination = real->destination;
	entry.generation = real->generation;
	entry.virtual_address = service->key.address;
	entry.virtual_port = service->key.port;
	if (destination->flags & VIPD_DESTINATION_KEEPS_PORT) {
		if (entry.virtual_port && entry.virtual_port != packet->flow.source_port)
			return PASS;
		entry.virtual_port = packet->flow.source_port;
	}
	client_flow(&packet->flow, &entry, &flow);
	connection = connection_of(&flow);
	/* As ingress() takes it. */
	if (connection && (connection_is_stale(connection, packet->now_ns) ||
			   !destination_at(connection->destination, connection->generation)))
		connection = 0;
	if (connection) {
		if (connection->destination != real->destination || connection->generation != real->generation)
			return PASS;
		entry.state = connection->state;
	} else {
		__u32 chosen = 0;

		if (service->flags & VIPD_SERVICE_ONE_PACKET && packet->flow.protocol == IPPROTO_UDP)
			goto send;
		/* A datagram may be the server's own question, and a SYN opens something new. */
		if (packet->flow.protocol == IPPROTO_UDP || !is_stateless(service) || packet->tcp_flags & TCP_RST)
			return PASS;
		if (packet->tcp_flags & TCP_SYN) {
			bypass(packet);
			return PASS;
		}
		if (!has_destinations(service) ||
		    choose(service, destination->service, &flow, packet->now_ns, &chosen) != SCHEDULED)
			return PASS;
		if (chosen != real->destination)
			return PASS;
		entry.state = VIPD_STATE_ESTABLISHED;
	}
send:
	switch (find_way(skb, packet, &entry.virtual_address, &packet->flow.target, &way)) {
	case FOUND:
		break;
	case FOUND_SMALLER:
		if (!packet->dont_fragment)
			return tell(skb, TELL_TOO_BIG_OR_CUT, way.mtu);
		count(VIPD_REASON_TOO_BIG);
		return PASS;
	case FOUND_LOCAL: /* a health check of our own */
	case FOUND_NO_ROUTE:
	case FOUND_NONE:
		return PASS;
	}
	if (service->flags & VIPD_SERVICE_ONE_PACKET)
		return forward_reply(skb, packet, &way, &entry);
	if (connection_put(&packet->flow, &entry) == 0 && !connection) {
		entry.flags = 0;
		if (connection_put(&flow, &entry) == 0) {
			count(VIPD_REASON_ADOPTED);
			load_change(&entry, entry.state, 1);
			account_connection(destination->service, real->destination);
		}
	}
	return forward_reply(skb, packet, &way, &entry);
}
