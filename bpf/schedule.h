/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Which destination a new connection gets. User space has written the order into the schedule; for rr, wrr
 * and the hashes what is left here is a counter or a hash, and one look. */
#pragma once

#include "choice.h"
#include "conntrack.h"
#include "locality.h"

enum scheduled {
	SCHEDULED,
	SCHEDULED_NOBODY,   /* all are full; counted */
	SCHEDULED_CHANGING, /* the service is changing under the packet; counted */
};

/* The same flow gets the same destination without an entry. */
static __always_inline int is_stateless(const struct vipd_service *service)
{
	return service->scheduler == VIPD_SCHEDULER_MH || service->scheduler == VIPD_SCHEDULER_SH ||
	       service->scheduler == VIPD_SCHEDULER_DH;
}

/* The schedule is a list to be searched, not an order to be followed. */
static __always_inline int looks_at_all(const struct vipd_service *service)
{
	return service->scheduler >= VIPD_SCHEDULER_LC && service->scheduler != VIPD_SCHEDULER_DH;
}

/* Where in an order of that length, which is not 0. */
static __always_inline __u32 position(const struct vipd_service *service, __u32 slot, const struct vipd_flow *flow,
				      __u32 length)
{
	__u64 *cursor;

	if (is_stateless(service))
		return hashed_place(service->scheduler, hashed_value(service, flow), length);
	cursor = bpf_map_lookup_elem(&cursors, &slot);
	return cursor ? __sync_fetch_and_add(cursor, 1) % length : 0;
}

/* Whether anybody takes new connections. */
static __always_inline int has_destinations(const struct vipd_service *service)
{
	return service->table >> 32 != 0;
}

/* The search of a service with thresholds or with a scheduler that compares: the destination's slot, or one
 * of the negative numbers below. A function that the verifier looks at once. */
#define SEARCH_NOBODY (-1)
#define SEARCH_CHANGING (-2)

__noinline long search_destination(__u32 slot, const struct vipd_flow *flow, __u64 now_ns)
{
	struct vipd_service *service = bpf_map_lookup_elem(&services, &slot);
	struct search *search = search_begin();
	struct pick *pick;
	__u64 table;

	if (!search || !service || !flow)
		return SEARCH_CHANGING;
	table = *(volatile __u64 *)&service->table;
	__builtin_memset(search, 0, sizeof(*search));
	search->best.most_weight = 1;
	pick = &search->pick;
	pick->service = slot;
	pick->generation = (__u32)table;
	pick->length = table >> 32;
	pick->scheduler = service->scheduler;
	if (!pick->length)
		return SEARCH_CHANGING;
	if (service->scheduler == VIPD_SCHEDULER_LBLC || service->scheduler == VIPD_SCHEDULER_LBLCR) {
		locality_choose(search, &flow->target, now_ns);
	} else {
		if (!looks_at_all(service))
			pick->start = position(service, slot, flow, pick->length);
		pick->hashed = hashed_value(service, flow);
		/* Without mh-fallback and sh-fallback it is the one of the hash, or nobody. */
		pick_run(!is_stateless(service) ? pick->length : falls_back(service) ? pick->length + 1 : 1);
	}
	if (pick->changing)
		return SEARCH_CHANGING;
	return pick->found ? (long)pick->chosen : SEARCH_NOBODY;
}

/* A destination of the service in `slot` for this client's flow; `chosen` is its slot. */
static __always_inline enum scheduled schedule(const struct vipd_service *service, __u32 slot,
					       const struct vipd_flow *flow, __u64 now_ns, __u32 *chosen)
{
	__u64 table = *(volatile const __u64 *)&service->table;
	__u32 length = table >> 32;
	struct vipd_destination *destination = 0;
	long found = SEARCH_CHANGING;

	if (!looks_at_all(service) && !(service->flags & VIPD_SERVICE_LIMITED)) {
		if (length)
			destination = scheduled_at(slot, (__u32)table, position(service, slot, flow, length), chosen);
		if (destination && destination->weight)
			return SCHEDULED;
	}
	/* At the place of a hash that falls back there may be one of weight 0. */
	if (destination || looks_at_all(service) || service->flags & VIPD_SERVICE_LIMITED)
		found = search_destination(slot, flow, now_ns);
	if (found == SEARCH_NOBODY) {
		count_passed(VIPD_REASON_NO_DESTINATION);
		return SCHEDULED_NOBODY;
	}
	*chosen = found;
	if (found >= 0)
		return SCHEDULED;
	count(VIPD_REASON_CHANGING);
	return SCHEDULED_CHANGING;
}
