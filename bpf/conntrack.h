/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The connection table: which flow goes to which destination, and for how long.
 *
 * Masq keeps two entries for a connection: the client's, which holds the state, and the real server's,
 * marked REPLY, which holds the way back. Route keeps the client's alone.
 */
#pragma once

#include "ended.h"
#include "load.h"

/* An entry is refreshed at most so often: a stream does not write to its cache line with every packet. */
#define REFRESH_NS 250000000LL

static __always_inline int connection_is_stale(const struct vipd_connection *connection, __u64 now_ns)
{
	__s64 idle_ns = now_ns - connection->seen_ns; /* another CPU's clock may be ahead */
	__u32 zero = 0, state = connection->state;
	struct vipd_settings *conf;

	if (idle_ns <= REFRESH_NS) /* no timeout is below a second */
		return 0;
	conf = bpf_map_lookup_elem(&settings, &zero);
	return !conf || state >= VIPD_STATES || idle_ns > conf->timeout_ms[state] * 1000000LL;
}

/* 1: it was refreshed. */
static __always_inline int connection_touch(struct vipd_connection *connection, __u64 now_ns)
{
	if (now_ns <= connection->seen_ns + REFRESH_NS)
		return 0;
	connection->seen_ns = now_ns;
	return 1;
}

/* A flow that is adopted has not proved more than one whose SYN came: its next packet makes it established. */
static __always_inline __u8 state_at_start(const struct packet *packet)
{
	return packet->flow.protocol == IPPROTO_UDP ? VIPD_STATE_UDP : VIPD_STATE_SYN_RECV;
}

/* A SYN on a connection that has ended is the client reusing its port (RFC 9293 section 3.6.1). */
static __always_inline int begins_anew(const struct vipd_connection *connection, const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && connection->state >= VIPD_STATE_FIN_WAIT;
}

/* A reset ends it, the first FIN half-closes it, the second one closes it. */
static __always_inline void connection_advance(struct vipd_connection *connection, const struct packet *packet,
					       enum direction direction)
{
	const __u8 both = VIPD_CONNECTION_CLIENT_FIN | VIPD_CONNECTION_SERVER_FIN;
	__u8 fin = direction == FROM_CLIENT ? VIPD_CONNECTION_CLIENT_FIN : VIPD_CONNECTION_SERVER_FIN;
	__u8 before = connection->state, after = before;

	if ((before == VIPD_STATE_ESTABLISHED || before == VIPD_STATE_UDP) &&
	    !(packet->tcp_flags & (TCP_RST | TCP_FIN))) {
		connection_touch(connection, packet->now_ns);
		return;
	}
	if (packet->tcp_flags & TCP_RST) {
		after = VIPD_STATE_CLOSE;
	} else if (packet->tcp_flags & TCP_FIN) {
		connection->flags |= fin;
		after = (connection->flags & both) == both ? VIPD_STATE_TIME_WAIT : VIPD_STATE_FIN_WAIT;
	} else if (before == VIPD_STATE_SYN_RECV && direction == FROM_CLIENT &&
		   (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_ACK) {
		after = VIPD_STATE_ESTABLISHED;
	}
	if (after != before) {
		if (is_active(after) != is_active(before)) {
			load_change(connection, before, -1);
			load_change(connection, after, 1);
		}
		connection->state = after;
		connection->seen_ns = packet->now_ns;
	} else if (!connection_touch(connection, packet->now_ns)) {
		return;
	}
	/* Half-closed it may stay for long. */
	if (direction == FROM_CLIENT && after >= VIPD_STATE_FIN_WAIT)
		ended_note(&packet->flow, packet->now_ns);
}

/* The key of the real server's packets in a connection of this client. */
static __always_inline void reply_flow(const struct packet *packet, const struct vipd_destination *destination,
				       struct vipd_flow *flow)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->source = destination->address;
	flow->target = packet->flow.source;
	flow->source_port = destination_port(destination, packet->flow.target_port);
	flow->target_port = packet->flow.source_port;
	flow->protocol = packet->flow.protocol;
}

/* The key of the client's packets, from one of the real server's. */
static __always_inline void client_flow(const struct packet *packet, const struct vipd_connection *reply,
					struct vipd_flow *flow)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->source = packet->flow.target;
	flow->target = reply->virtual_address;
	flow->source_port = packet->flow.target_port;
	flow->target_port = reply->virtual_port;
	flow->protocol = packet->flow.protocol;
}

static __always_inline void connection_put(const struct vipd_flow *flow, const struct vipd_connection *connection)
{
	if (connection_store(flow, connection, STORE_ANY) < 0)
		count(VIPD_REASON_CONNECTIONS_FULL);
}

/* Open a connection of the client's packet with a destination, in the place of `old` if there is one. */
static __always_inline void connection_open(const struct packet *packet, const struct vipd_connection *old,
					    __u32 slot, const struct vipd_destination *destination)
{
	struct vipd_connection connection = {
		.seen_ns = packet->now_ns,
		.destination = slot,
		.generation = destination->generation,
		.virtual_address = packet->flow.target,
		.virtual_port = packet->flow.target_port,
		.state = state_at_start(packet),
	};
	struct vipd_flow flow;

	if (old) {
		load_change(old, old->state, -1);
		/* It goes on, after so long that its entry is stale. */
		if (old->destination == slot && old->generation == destination->generation &&
		    connection.state == VIPD_STATE_SYN_RECV && !(packet->tcp_flags & TCP_SYN))
			connection.state = VIPD_STATE_ESTABLISHED;
	}
	load_change(&connection, connection.state, 1);
	connection_put(&packet->flow, &connection);
	if (destination->forwarding != VIPD_FORWARDING_MASQ)
		return;
	reply_flow(packet, destination, &flow);
	connection.flags = VIPD_CONNECTION_REPLY;
	connection_put(&flow, &connection);
}

/* What is more than an answer to a SYN: nobody else takes over the entry lightly (table.h). */
static __always_inline void reply_establish(const struct packet *packet, struct vipd_connection *reply)
{
	if (reply->state == VIPD_STATE_SYN_RECV && !(packet->tcp_flags & (TCP_SYN | TCP_RST)))
		reply->state = VIPD_STATE_ESTABLISHED;
}

/* The client's entry has the state; it is looked at when the state may change, and from time to time so
 * that a stream in one direction keeps it alive. It is made again where the table has lost it. */
static __always_inline void reply_advance(const struct packet *packet, struct vipd_connection *reply)
{
	struct vipd_connection *connection;
	struct vipd_flow flow;

	reply_establish(packet, reply);
	if (!(packet->tcp_flags & (TCP_FIN | TCP_RST)) && packet->now_ns < reply->seen_ns + REFRESH_NS)
		return;
	reply->seen_ns = packet->now_ns;
	client_flow(packet, reply, &flow);
	connection = connection_of(&flow);
	if (connection && connection->generation == reply->generation &&
	    connection->destination == reply->destination) {
		connection_advance(connection, packet, FROM_SERVER);
		return;
	}
	if (!connection && destination_at(reply->destination, reply->generation)) {
		struct vipd_connection again = *reply;

		again.flags = 0;
		load_change(&again, again.state, 1);
		connection_put(&flow, &again);
	}
}
