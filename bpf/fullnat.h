/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* FullNat: to the real server a connection begins at one of the director's local addresses, so what it answers comes
 * back here whatever its routes are. A program of its own, where the path of the others jumps: it costs them nothing.
 *
 * A connection has two entries. In the client's the virtual address, which its key has already, makes room for the
 * local one; in the real server's, whose key has the local address, for the client's.
 */
#pragma once

#include "conntrack.h"
#include "forward.h"
#include "icmp.h"
#include "parse.h"
#include "toa.h"

/* Local ports that are tried for a connection. */
#define PROBES 1024

static __always_inline int fullnat_drop(__u32 reason)
{
	count(reason);
	return DROP;
}

/* The client's packets, from an entry of the real server's; 0: the destination has gone. */
static __always_inline int fullnat_client_flow(const struct vipd_flow *reply, const struct vipd_connection *entry,
					       struct vipd_flow *flow)
{
	struct vipd_destination *destination = destination_at(entry->destination, entry->generation);
	struct vipd_service *service;

	if (!destination)
		return 0;
	service = bpf_map_lookup_elem(&services, &destination->service);
	if (!service)
		return 0;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->source = entry->virtual_address;
	flow->source_port = entry->virtual_port;
	flow->target = service->key.address;
	/* A service of every port: the real server has the client's. */
	flow->target_port = service->key.port ? service->key.port : reply->source_port;
	flow->protocol = reply->protocol;
	return 1;
}

/* Whether the port of an entry may be taken: its connection has ended, or uses another one. */
static __always_inline int fullnat_is_free(const struct vipd_flow *reply, const struct vipd_connection *entry,
					   struct vipd_flow *flow, __u64 now_ns)
{
	struct vipd_connection *connection;

	if (!fullnat_client_flow(reply, entry, flow))
		return 1;
	connection = connection_of(flow);
	if (!connection || connection_is_stale(connection, now_ns))
		return 1;
	return connection->virtual_port != reply->target_port ||
	       !is_same(&connection->virtual_address, &reply->target);
}

/* What a search for a port works on; a per-CPU map keeps the stack small. */
struct allocation {
	struct vipd_flow reply;      /* key of the real server's packets */
	struct vipd_flow other;
	struct vipd_connection entry; /* its value */
	__u64 now_ns;
	__u32 service; /* slot */
	__u32 start;
	__u32 ports;   /* how many an address has */
	__u32 first;
	__u32 found;
	__u32 full; /* the table has no room */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct allocation);
} allocations SEC(".maps");

static __always_inline struct allocation *allocation_begin(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&allocations, &zero);
}

/* One address and port; 1 ends the search. */
static long fullnat_try(__u32 index, void *unused)
{
	struct allocation *allocation = allocation_begin();
	struct vipd_connection *taken;
	struct vipd_locals *locals;
	__u32 at;
	long done;

	if (!allocation || !allocation->ports)
		return 1;
	locals = bpf_map_lookup_elem(&locals_of, &allocation->service);
	if (!locals || !locals->count)
		return 1;
	at = allocation->start + index;
	allocation->reply.target = locals->address[(at % locals->count) % VIPD_LOCALS];
	at /= locals->count;
	allocation->reply.target_port = bpf_htons(allocation->first + at % allocation->ports);
	/* NOEXIST: of two CPUs that want one port, one gets it. */
	done = connection_store(&allocation->reply, &allocation->entry, STORE_NEW);
	allocation->found = done == 0;
	allocation->full = done == STORE_FULL;
	if (allocation->found || allocation->full)
		return 1;
	taken = connection_of(&allocation->reply);
	if (!taken || !(taken->flags & VIPD_CONNECTION_FULLNAT) ||
	    !fullnat_is_free(&allocation->reply, taken, &allocation->other, allocation->now_ns))
		return 0;
	if (connection_store(&allocation->reply, &allocation->entry, STORE_ANY) == 0) {
		allocation->found = 1;
		return 1;
	}
	return 0;
}

/* A local address and port for a client's new connection, and both entries. */
static __always_inline int fullnat_open(const struct packet *packet, __u32 slot,
					const struct vipd_destination *destination)
{
	struct allocation *allocation = allocation_begin();
	__u32 zero = 0, last;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	struct vipd_connection *old = connection_of(&packet->flow);
	struct vipd_connection *entry;
	struct vipd_locals *locals;

	if (!allocation || !conf)
		return -1;
	if (old) /* ended, or of a destination that has gone */
		load_change(old, old->state, -1);
	locals = bpf_map_lookup_elem(&locals_of, &destination->service);
	if (!locals || !locals->count) {
		count(VIPD_REASON_NO_LOCAL_ADDRESS);
		return -1;
	}
	__builtin_memset(allocation, 0, sizeof(*allocation));
	reply_flow(packet, destination, &allocation->reply);
	entry = &allocation->entry;
	entry->seen_ns = packet->now_ns;
	entry->destination = slot;
	entry->generation = destination->generation;
	entry->virtual_address = packet->flow.source;
	entry->virtual_port = packet->flow.source_port;
	entry->state = state_at_start(packet);
	entry->flags = VIPD_CONNECTION_REPLY | VIPD_CONNECTION_FULLNAT;
	allocation->now_ns = packet->now_ns;
	allocation->service = destination->service;
	allocation->start = bpf_get_prandom_u32() >> 1;
	allocation->first = conf->local_port_first;
	last = conf->local_port_last;
	allocation->ports = last >= allocation->first ? last - allocation->first + 1 : 0;
	bpf_loop(PROBES, fullnat_try, 0, 0);
	if (!allocation->found) {
		count(allocation->full ? VIPD_REASON_CONNECTIONS_FULL : VIPD_REASON_LOCAL_PORTS_FULL);
		return -1;
	}
	entry->virtual_address = allocation->reply.target;
	entry->virtual_port = allocation->reply.target_port;
	entry->flags = VIPD_CONNECTION_FULLNAT;
	if (connection_put(&packet->flow, entry) < 0)
		return -1;
	load_change(entry, entry->state, 1);
	return 0;
}

/* The way from the local address. What is remembered does not depend on where a packet begins: settings.way_ms. */
static __always_inline enum found fullnat_way(struct __sk_buff *skb, const struct packet *packet,
					      const struct vipd_connection *connection,
					      const struct vipd_destination *destination, struct way *way)
{
	if (skb->gso_segs <= 1 &&
	    recall(packet, way_to(skb, packet, connection->destination, destination), way))
		return FOUND;
	return find_way(skb, packet, &connection->virtual_address, &destination->address, way);
}

/* A client's packet, whose entry is there, to its destination. */
static __always_inline int fullnat_forward(struct __sk_buff *skb, const struct packet *packet)
{
	struct vipd_connection *connection = connection_of(&packet->flow);
	struct vipd_destination *destination;
	struct way way = {};
	int told;

	if (!connection || !(connection->flags & VIPD_CONNECTION_FULLNAT))
		return fullnat_drop(VIPD_REASON_CHANGING);
	destination = destination_at(connection->destination, connection->generation);
	if (!destination)
		return fullnat_drop(VIPD_REASON_CHANGING);
	if (packet->ttl <= 1)
		return expire(skb);
	switch (fullnat_way(skb, packet, connection, destination, &way)) {
	case FOUND:
		break;
	case FOUND_LOCAL:
		return unreachable(skb);
	case FOUND_NO_ROUTE:
		return tell(skb, TELL_NO_HOST, 0);
	case FOUND_SMALLER:
		return tell(skb, TELL_TOO_BIG_OR_CUT, way.mtu);
	case FOUND_NONE:
		return DROP;
	}
	if (age(skb, packet) < 0 ||
	    rewrite(skb, packet, SOURCE, &connection->virtual_address, connection->virtual_port) < 0 ||
	    rewrite(skb, packet, TARGET, &destination->address,
		    destination_port(destination, packet->flow.target_port)) < 0)
		return fullnat_drop(VIPD_REASON_REWRITE);
	told = toa_forward(skb, packet, destination->service, connection, way.mtu);
	if (told < 0)
		return fullnat_drop(told == TOA_FORGED ? VIPD_REASON_FORGED : VIPD_REASON_REWRITE);
	fragment_remember(packet);
	account(destination->service, connection->destination, FROM_CLIENT, packet->bytes);
	return send(skb, &way);
}

/* What the real server answers, back to the client. */
static __always_inline int fullnat_reply(struct __sk_buff *skb, const struct packet *packet)
{
	struct vipd_connection *entry = connection_of(&packet->flow);
	struct vipd_connection *connection;
	struct vipd_destination *destination;
	struct vipd_flow flow;
	struct way way = {};

	if (!entry || !fullnat_client_flow(&packet->flow, entry, &flow))
		return fullnat_drop(VIPD_REASON_CHANGING);
	if (packet->ttl <= 1)
		return expire(skb);
	switch (recall_way_back(skb, packet, &flow.target, &flow.source, &way)) {
	case FOUND:
		break;
	case FOUND_SMALLER:
		return tell(skb, TELL_TOO_BIG_OR_CUT, way.mtu);
	case FOUND_LOCAL:
		return fullnat_drop(VIPD_REASON_NO_ROUTE);
	case FOUND_NO_ROUTE:
	case FOUND_NONE:
		return DROP;
	}
	connection = connection_of(&flow);
	/* The client's next connection has another port, and is not moved by what is left of this one. */
	if (!connection || connection->generation != entry->generation ||
	    connection->virtual_port != packet->flow.target_port ||
	    !is_same(&connection->virtual_address, &packet->flow.target))
		return fullnat_drop(VIPD_REASON_CHANGING);
	connection_touch(entry, packet->now_ns);
	connection_move(connection, packet->tcp_flags, packet->now_ns, 0);
	if (entry->state != connection->state)
		entry->state = connection->state;
	if (age(skb, packet) < 0 || rewrite(skb, packet, SOURCE, &flow.target, flow.target_port) < 0 ||
	    rewrite(skb, packet, TARGET, &flow.source, flow.source_port) < 0)
		return fullnat_drop(VIPD_REASON_REWRITE);
	fragment_remember(packet);
	destination = destination_at(entry->destination, entry->generation);
	if (destination) {
		toa_reply(skb, packet, destination->service, connection);
		account(destination->service, entry->destination, FROM_SERVER, packet->bytes);
	}
	return send(skb, &way);
}

/* An error about what the client gets goes to the real server, one about what that gets to the client. */
static __always_inline int fullnat_error(struct __sk_buff *skb, const struct packet *packet)
{
	struct vipd_connection *entry;
	struct vipd_destination *destination;
	struct quote quote = {};
	struct vipd_flow flow;
	struct way way = {};

	if (packet->ttl <= 1 || !quote_parse(skb, packet, &quote))
		return PASS;
	entry = connection_of(&quote.flow);
	if (!entry)
		return PASS;
	destination = destination_at(entry->destination, entry->generation);
	if (!destination)
		return PASS;
	if (!(entry->flags & VIPD_CONNECTION_REPLY)) {
		if (find_way(skb, packet, &packet->flow.source, &destination->address, &way) != FOUND)
			return PASS;
		if (age(skb, packet) < 0 ||
		    replace_quoted(skb, packet, &quote, SOURCE, &destination->address,
				   destination_port(destination, quote.flow.target_port)) < 0 ||
		    replace_quoted(skb, packet, &quote, TARGET, &entry->virtual_address, entry->virtual_port) < 0 ||
		    replace_outer(skb, packet, TARGET, &destination->address) < 0)
			return fullnat_drop(VIPD_REASON_REWRITE);
		return send(skb, &way);
	}
	if (!fullnat_client_flow(&quote.flow, entry, &flow) ||
	    find_way(skb, packet, &flow.target, &flow.source, &way) != FOUND)
		return PASS;
	if (age(skb, packet) < 0 || replace_quoted(skb, packet, &quote, TARGET, &flow.target, flow.target_port) < 0 ||
	    replace_quoted(skb, packet, &quote, SOURCE, &flow.source, flow.source_port) < 0 ||
	    replace_outer(skb, packet, SOURCE, &flow.target) < 0 || replace_outer(skb, packet, TARGET, &flow.source) < 0)
		return fullnat_drop(VIPD_REASON_REWRITE);
	return send(skb, &way);
}

/* Where fullnat() of forward.h jumps. */
static __always_inline int fullnat_go_on(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 slot = skb->cb[1];
	struct vipd_destination *destination;
	__u32 step = skb->cb[0];
	enum parsed parsed = parse(skb, &packet);

	switch (step) {
	case FULLNAT_OPEN:
		destination = bpf_map_lookup_elem(&destinations, &slot);
		if (parsed != PARSED_FLOW || !destination || destination->forwarding != VIPD_FORWARDING_FULLNAT)
			return fullnat_drop(VIPD_REASON_CHANGING);
		if (fullnat_open(&packet, slot, destination) < 0)
			return DROP;
		account_connection(destination->service, slot);
		return fullnat_forward(skb, &packet);
	case FULLNAT_FORWARD:
		return parsed == PARSED_FLOW ? fullnat_forward(skb, &packet) : DROP;
	case FULLNAT_REPLY:
		return parsed == PARSED_FLOW ? fullnat_reply(skb, &packet) : DROP;
	case FULLNAT_ERROR:
		return parsed == PARSED_ERROR ? fullnat_error(skb, &packet) : PASS;
	default:
		return PASS;
	}
}
