/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The connection table: which flow goes to which destination, and for how long.
 *
 * Masq keeps two entries for a connection: the client's, which holds the state, and the real server's,
 * marked REPLY, which holds the way back and is told the state. Route keeps the client's alone.
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

static __always_inline int has_reply(const struct vipd_destination *destination)
{
	return destination->forwarding == VIPD_FORWARDING_MASQ || destination->forwarding == VIPD_FORWARDING_FULLNAT;
}

enum moved {
	MOVED_NOT,
	MOVED_SEEN,  /* it was refreshed */
	MOVED_STATE, /* and has another state */
};

/* A reset ends it, the first FIN half-closes it, the second one closes it. `destination` is the connection's
 * where the client sends, and 0 where the server does. */
static __always_inline enum moved connection_move(struct vipd_connection *connection, __u8 tcp_flags, __u64 now_ns,
						  const struct vipd_destination *destination)
{
	const __u8 both = VIPD_CONNECTION_CLIENT_FIN | VIPD_CONNECTION_SERVER_FIN;
	__u8 fin = destination ? VIPD_CONNECTION_CLIENT_FIN : VIPD_CONNECTION_SERVER_FIN;
	__u8 before = connection->state, after = before;

	if ((before == VIPD_STATE_ESTABLISHED || before == VIPD_STATE_UDP) &&
	    !(tcp_flags & (TCP_RST | TCP_FIN))) {
		connection_touch(connection, now_ns);
		return MOVED_NOT;
	}
	if (tcp_flags & TCP_RST) {
		after = VIPD_STATE_CLOSE;
	} else if (tcp_flags & TCP_FIN) {
		connection->flags |= fin;
		after = destination && has_reply(destination) ? VIPD_STATE_CLOSE_WAIT : VIPD_STATE_FIN_WAIT;
		if ((connection->flags & both) == both)
			after = VIPD_STATE_TIME_WAIT;
	} else if (before == VIPD_STATE_SYN_RECV && destination &&
		   (tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_ACK) {
		after = VIPD_STATE_ESTABLISHED;
	}
	if (after == before)
		return connection_touch(connection, now_ns) ? MOVED_SEEN : MOVED_NOT;
	if (is_active(after) != is_active(before)) {
		load_change(connection, before, -1);
		load_change(connection, after, 1);
	}
	connection->state = after;
	connection->seen_ns = now_ns;
	return MOVED_STATE;
}

/* The real server's entry of a client's connection is told its state: so it is kept as long, and gives room as early.
 * A function that the verifier looks at once. */
__noinline long reply_tell(const struct vipd_flow *client, const struct vipd_connection *connection)
{
	struct vipd_destination *destination;
	struct vipd_connection *reply;
	struct vipd_flow flow = {};

	if (!client || !connection)
		return 0;
	destination = destination_at(connection->destination, connection->generation);
	if (!destination)
		return 0;
	flow.source = destination->address;
	flow.source_port = destination_port(destination, client->target_port);
	flow.protocol = client->protocol;
	if (connection->flags & VIPD_CONNECTION_FULLNAT) {
		flow.target = connection->virtual_address;
		flow.target_port = connection->virtual_port;
	} else {
		flow.target = client->source;
		flow.target_port = client->source_port;
	}
	reply = connection_of(&flow);
	if (!reply || !(reply->flags & VIPD_CONNECTION_REPLY) || reply->flags & VIPD_CONNECTION_BYPASS ||
	    reply->destination != connection->destination || reply->generation != connection->generation)
		return 0;
	/* A client may use one port for two virtual addresses. */
	if (!(reply->flags & VIPD_CONNECTION_FULLNAT) &&
	    (reply->virtual_port != client->target_port || !is_same(&reply->virtual_address, &client->target)))
		return 0;
	reply->state = connection->state;
	reply->seen_ns = connection->seen_ns;
	return 1;
}

/* A packet of the client, to the connection's destination. */
static __always_inline void connection_advance(struct vipd_connection *connection, const struct packet *packet,
					       const struct vipd_destination *destination)
{
	enum moved moved = connection_move(connection, packet->tcp_flags, packet->now_ns, destination);

	if (moved == MOVED_NOT)
		return;
	/* Half-closed it may stay for long. */
	if (connection->state >= VIPD_STATE_FIN_WAIT)
		ended_note(&packet->flow, packet->now_ns);
	if (moved == MOVED_STATE && has_reply(destination))
		reply_tell(&packet->flow, connection);
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
static __always_inline void client_flow(const struct vipd_flow *answer, const struct vipd_connection *reply,
					struct vipd_flow *flow)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->source = answer->target;
	flow->target = reply->virtual_address;
	flow->source_port = answer->target_port;
	flow->target_port = reply->virtual_port;
	flow->protocol = answer->protocol;
}

/* Below 0: there is no room; counted. */
static __always_inline int connection_put(const struct vipd_flow *flow, const struct vipd_connection *connection)
{
	if (connection_store(flow, connection, STORE_ANY) >= 0)
		return 0;
	count(VIPD_REASON_CONNECTIONS_FULL);
	return -1;
}

/* Open a connection of the client's packet with a destination, in the place of `old` if there is one. Below 0: there is no
 * room; counted. */
static __always_inline int connection_open(const struct packet *packet, const struct vipd_connection *old,
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
	/* Without its way back the client's entry would be of no use. */
	if (destination->forwarding == VIPD_FORWARDING_MASQ) {
		reply_flow(packet, destination, &flow);
		connection.flags = VIPD_CONNECTION_REPLY;
		if (connection_put(&flow, &connection) < 0)
			goto refused;
		connection.flags = 0;
	}
	if (connection_put(&packet->flow, &connection) < 0)
		goto refused;
	load_change(&connection, connection.state, 1);
	return 0;
refused:
	if (old)
		load_change(old, old->state, 1);
	return -1;
}

/* What a real server's packet is whose flow has an entry. */
enum looked {
	LOOKED_OVER, /* of no connection of ours */
	LOOKED_ON,
	LOOKED_LOST, /* of one whose client's entry the table has lost */
};

/* The client's entry says whether the connection goes on, and is moved. After it has ended, or its destination has gone, the
 * client may use its port for a connection of its own with the real server: that begins with a SYN, and is left alone.
 * A function that the verifier looks at once. */
__noinline long reply_look(const struct vipd_flow *answer, struct vipd_connection *reply, __u64 now_ns, __u32 tcp_flags)
{
	struct vipd_connection *connection;
	const struct vipd_connection *stated;
	struct vipd_flow flow;

	if (!answer || !reply)
		return LOOKED_OVER;
	if (reply->flags & (VIPD_CONNECTION_BYPASS | VIPD_CONNECTION_FULLNAT))
		return LOOKED_ON;
	client_flow(answer, reply, &flow);
	connection = connection_of(&flow);
	stated = connection ? connection : reply;
	if (!destination_at(reply->destination, reply->generation) ||
	    stated->destination != reply->destination || stated->generation != reply->generation ||
	    connection_is_stale(stated, now_ns) || (tcp_flags & TCP_SYN && stated->state >= VIPD_STATE_FIN_WAIT)) {
		if (!(tcp_flags & TCP_SYN))
			return LOOKED_OVER;
		reply->flags |= VIPD_CONNECTION_BYPASS;
		reply->state = VIPD_STATE_ESTABLISHED;
		reply->seen_ns = now_ns;
		return LOOKED_ON;
	}
	reply->seen_ns = now_ns;
	if (!connection)
		return tcp_flags & TCP_RST ? LOOKED_ON : LOOKED_LOST;
	connection_move(connection, tcp_flags, now_ns, 0);
	reply->state = connection->state;
	return LOOKED_ON;
}

/* A packet that may end a connection, or that begins one after it. */
static __always_inline int is_turn(const struct vipd_connection *reply, __u8 tcp_flags)
{
	return tcp_flags & (TCP_FIN | TCP_RST) || (tcp_flags & TCP_SYN && reply->state >= VIPD_STATE_FIN_WAIT);
}

/* Whether a real server's packet belongs to the connection of its entry. The client's entry is looked at where that may
 * change, and from time to time so that a stream in one direction keeps it alive. It is made again where the table has lost
 * it. */
static __always_inline int reply_goes_on(const struct packet *packet, struct vipd_connection *reply)
{
	struct vipd_connection again;
	struct vipd_flow flow;

	if (packet->now_ns < reply->seen_ns + REFRESH_NS && !is_turn(reply, packet->tcp_flags))
		return 1;
	switch (reply_look(&packet->flow, reply, packet->now_ns, packet->tcp_flags)) {
	case LOOKED_ON:
		return 1;
	case LOOKED_LOST:
		break;
	default:
		return 0;
	}
	again = *reply;
	again.flags = 0;
	client_flow(&packet->flow, reply, &flow);
	if (connection_put(&flow, &again) == 0)
		load_change(&again, again.state, 1);
	return 1;
}
