/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Which destination a new connection gets. User space has written the order into the schedule; what is
 * left here is a counter or a hash, and one look. */
#pragma once

#include "conntrack.h"

/* Two directors with one table must agree, so the key is a constant (the fraction of pi). */
#define HASH_KEY 0x243f6a8885a308d3ULL

static __always_inline __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 32);
}

static __always_inline __u32 client_hash(const struct vipd_address *address, __be16 port)
{
	__u64 hash = HASH_KEY;

	hash = mix(hash, (__u64)address->word[0] << 32 | address->word[1]);
	hash = mix(hash, (__u64)address->word[2] << 32 | address->word[3]);
	hash = mix(hash, port);
	return hash >> 16;
}

/* The same client gets the same destination without an entry. */
static __always_inline int is_stateless(const struct vipd_service *service)
{
	return service->scheduler == VIPD_SCHEDULER_MH || service->scheduler == VIPD_SCHEDULER_SH;
}

/* Flag TWO is sh-port and mh-port: the port decides too. */
static __always_inline __u64 position(const struct vipd_service *service, __u32 slot,
				      const struct vipd_address *client, __be16 port)
{
	__u64 *cursor;

	if (is_stateless(service))
		return client_hash(client, service->flags & VIPD_SERVICE_TWO ? port : 0);
	cursor = bpf_map_lookup_elem(&cursors, &slot);
	return cursor ? __sync_fetch_and_add(cursor, 1) : 0;
}

/* Whether anybody takes new connections. */
static __always_inline int has_destinations(const struct vipd_service *service)
{
	return service->table >> 32 != 0;
}

/* A destination of the service in `slot` for this client; `chosen` is its slot. None: the service is
 * changing under the packet. */
static __always_inline struct vipd_destination *schedule(const struct vipd_service *service, __u32 slot,
							 const struct vipd_address *client, __be16 port,
							 __u32 *chosen)
{
	__u64 table = *(volatile const __u64 *)&service->table;
	struct vipd_schedule_key key = { .generation = (__u32)table };
	__u32 length = table >> 32, at;
	struct vipd_schedule_page *page;
	struct vipd_destination *destination;

	if (!length)
		goto changing;
	at = position(service, slot, client, port) % length;
	key.page = at / VIPD_SCHEDULE_PAGE;
	page = bpf_map_lookup_elem(&schedules, &key);
	if (!page)
		goto changing;
	*chosen = page->destination[at % VIPD_SCHEDULE_PAGE];
	destination = bpf_map_lookup_elem(&destinations, chosen);
	if (!destination || !destination->generation || destination->service != slot)
		goto changing;
	return destination;
changing:
	count(VIPD_REASON_CHANGING);
	return 0;
}
