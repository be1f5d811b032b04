/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Flow to service, slot to destination. */
#pragma once

#include "packet.h"

/* Packets read a service while user space may reuse its slot: one that holds another key is none. */
static __always_inline struct vipd_service *service_at(__u32 slot, const struct vipd_service_key *key)
{
	struct vipd_service *service = bpf_map_lookup_elem(&services, &slot);

	if (!service || !service->scheduler)
		return 0;
	if (service->key.address.word[3] != key->address.word[3] || service->key.address.word[0] != key->address.word[0] ||
	    service->key.port != key->port || service->key.protocol != key->protocol ||
	    service->key.fwmark != key->fwmark)
		return 0;
	if (IPV6 && (service->key.address.word[1] != key->address.word[1] ||
		     service->key.address.word[2] != key->address.word[2]))
		return 0;
	return service;
}

/* `mark` 0: by address and port. */
static __always_inline struct vipd_service *service_of(const struct packet *packet, __u32 mark, __u32 *slot)
{
	struct vipd_service_key key = { .family = IPV6 ? 6 : 4, .fwmark = mark };
	struct vipd_service_slot *found;

	if (!mark) {
		key.address = packet->flow.target;
		key.port = packet->flow.target_port;
		key.protocol = packet->flow.protocol;
	}
	found = bpf_map_lookup_elem(&service_keys, &key);
	if (!found && !mark) { /* one of every port? */
		key.port = 0;
		found = bpf_map_lookup_elem(&service_keys, &key);
	}
	if (!found)
		return 0;
	*slot = found->slot;
	return service_at(*slot, &key);
}

/* The port on which a destination gets what came to `port`. */
static __always_inline __be16 destination_port(const struct vipd_destination *destination, __be16 port)
{
	return destination->flags & VIPD_DESTINATION_KEEPS_PORT ? port : destination->port;
}

/* The destination in a slot, unless the slot has gone to another one since. */
static __always_inline struct vipd_destination *destination_at(__u32 slot, __u32 generation)
{
	struct vipd_destination *destination = bpf_map_lookup_elem(&destinations, &slot);

	if (!destination || !generation || destination->generation != generation)
		return 0;
	return destination;
}
