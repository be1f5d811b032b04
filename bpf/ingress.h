/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The path of a packet of one family at one hook (hook.h) through the stages, each a header: packet, lookup, conntrack,
 * schedule, persist, flood, account for both hooks; ip4 or ip6, parse, forward, reply, icmp, fullnat of TC; direct4 or
 * direct6, xdp_parse, xdp_forward of XDP. abi.h says what the maps hold.
 *
 * A packet that is not for a service passes untouched.
 */
#pragma once

#include "maps.h"
#include "account.h"
#include "lookup.h"
#include "conntrack.h"
#include "load.h"
#include "pick.h"
#include "locality.h"
#include "schedule.h"
#include "persist.h"
#include "flood.h"

#if XDP
#include "xdp_parse.h"
#include "xdp_forward.h"
#else
#include "parse.h"
#include "forward.h"
#include "reply.h"
#include "icmp.h"
#include "fullnat.h"
#endif

/* A client's packet without a connection that is good: `old` has ended, or its destination has gone. In a flood none is
 * opened. */
static __always_inline int open_and_forward(context *ctx, struct packet *packet,
					    const struct vipd_connection *old, __u32 service_slot,
					    struct vipd_service *service, int in_flood)
{
	struct vipd_destination *destination;
	enum scheduled scheduled;
	__u32 chosen = 0;
	int adopted = 0, hashed, verdict = PASS;

	/* Fragments follow the connection that their first one opened. */
	if (!packet->has_ports)
		return PASS;
	/* TC would choose once more. */
	if (XDP && service->flags & (VIPD_SERVICE_FULLNAT | VIPD_SERVICE_ONE_PACKET))
		return PASS;
	hashed = is_hashed_in_flood(service, service_slot, packet);
	if (packet->flow.protocol != IPPROTO_UDP && !is_syn(packet)) {
		/* The stack resets what nobody knows, and so tells the client. */
		if (!(hashed || is_stateless(service)) || packet->tcp_flags & (TCP_RST | TCP_SYN)) {
			count_passed(VIPD_REASON_NO_CONNECTION);
			return PASS;
		}
		adopted = 1;
	}
	if (!has_destinations(service)) {
		count_passed(VIPD_REASON_NO_DESTINATION);
		return PASS;
	}
	/* It goes nowhere, and leaves nothing behind. */
	if (packet->ttl <= 1)
		return expire(ctx);
	scheduled = hashed ? choose_in_flood(service, service_slot, &packet->flow, &chosen)
			   : choose(service, service_slot, &packet->flow, packet->now_ns, &chosen);
	switch (scheduled) {
	case SCHEDULED:
		break;
	case SCHEDULED_NOBODY:
		return PASS;
	case SCHEDULED_CHANGING:
		return DROP;
	}
	destination = bpf_map_lookup_elem(&destinations, &chosen);
	if (!destination)
		return DROP;
#if !XDP
	if (destination->forwarding == VIPD_FORWARDING_FULLNAT) {
		/* Another director had a local address of its own: the real server does not know this one. */
		if (adopted) {
			count(VIPD_REASON_NO_CONNECTION);
			return PASS;
		}
		return fullnat(ctx, FULLNAT_OPEN, chosen);
	}
#endif
	newcomer_count(packet);
	if (XDP && (in_flood || adopted)) {
		/* What passes is chosen for by TC, and the same: it is not to be the second packet of its flow there. */
		verdict = forward(ctx, packet, chosen, destination);
		if (verdict == PASS)
			return PASS;
	}
	if (in_flood) {
		count(VIPD_REASON_SYN_FLOOD);
		return verdict;
	}
	if ((!(service->flags & VIPD_SERVICE_ONE_PACKET) || packet->flow.protocol != IPPROTO_UDP) &&
	    connection_open(packet, old, chosen, destination) < 0) {
		/* A hash chooses the same for its next packet; nobody else would know that one. */
		if (!is_stateless(service) || !needs_no_entry(service))
			return DROP;
	} else {
		if (adopted)
			count(VIPD_REASON_ADOPTED);
		account_connection(service_slot, chosen);
	}
	if (XDP && adopted)
		return verdict;
	return forward(ctx, packet, chosen, destination);
}

/* `mark` is the firewall mark by which a service is looked for; 0: address and port. */
static __always_inline int ingress(context *ctx, __u32 mark)
{
	struct packet packet = {};
	struct vipd_connection *connection = 0;
	struct vipd_service *service;
	__u32 service_slot = 0;
	int in_flood;

	switch (parse(ctx, &packet)) {
	case PARSED_FLOW:
		break;
	case PARSED_ERROR:
		return follow_error(ctx, &packet);
	case PARSED_OTHER:
		return PASS;
	}
	in_flood = passes_table_by(&packet, &service_slot, &service);
	if (!in_flood || ended_lately(&packet.flow, packet.now_ns)) {
		connection = connection_of(&packet.flow);
		if (connection && connection->flags & VIPD_CONNECTION_REPLY) {
			if (reply_goes_on(&packet, connection))
				return reply(ctx, &packet, connection);
			connection = 0;
		} else if (connection && !connection_is_stale(connection, packet.now_ns)) {
			struct vipd_destination *destination =
				destination_at(connection->destination, connection->generation);

			/* Its destination may be gone: then it is as if it had no connection. */
			if (destination && !begins_anew(connection, &packet)) {
				connection_advance(connection, &packet, destination);
				return forward(ctx, &packet, connection->destination, destination);
			}
			in_flood = 0; /* the flow's next packet would find this one */
		}
	}
	if (!in_flood)
		service = service_of(&packet, mark, &service_slot);
	if (service)
		return open_and_forward(ctx, &packet, connection, service_slot, service, in_flood);
	return reply_without_entry(ctx, &packet);
}
