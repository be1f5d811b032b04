/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Counts the connections and templates of every destination, and holds the templates that have connections. Run by user space (BPF_PROG_TEST_RUN): a walk in the
 * kernel takes a tenth of the time of one over system calls. */
#pragma once

#include "persist.h"

struct bpf_map;

struct census_state {
	__u64 now_ns;
	__u64 used; /* entries from this one on were never used */
};

/* A connection of a persistent client keeps its template. */
static __always_inline void census_hold(const struct vipd_flow *flow, const struct vipd_connection *connection,
					__u32 slot, __u64 now_ns)
{
	struct vipd_service *service = bpf_map_lookup_elem(&services, &slot);
	struct vipd_template_key key = {};
	struct vipd_template *template;

	if (!service || !service->persistence_s)
		return;
	template_key(service, slot, &flow->source, &key);
	template = bpf_map_lookup_elem(&templates, &key);
	if (template && template->destination == connection->destination &&
	    template->generation == connection->generation)
		template->held_ns = now_ns;
}

static long census_template(struct bpf_map *map, const struct vipd_template_key *key,
			    struct vipd_template *template, struct census_state *state)
{
	__u32 slot = template->destination, service_slot = key->service;
	struct vipd_service *service = bpf_map_lookup_elem(&services, &service_slot);
	struct vipd_census *counted = bpf_map_lookup_elem(&census, &slot);

	if (!service || !counted || !service->persistence_s || template_is_stale(template, service, state->now_ns))
		return 0;
	if (destination_at(slot, template->generation))
		counted->persistent++;
	return 0;
}

static long census_one(struct bpf_map *map, const __u32 *number, struct vipd_entry *entry,
		       struct census_state *state)
{
	const struct vipd_connection *connection = &entry->connection;
	__u32 slot = connection->destination;
	struct vipd_destination *destination;
	struct vipd_census *counted;

	if (*number >= state->used)
		return 1;
	if (tag_at(entry) < VIPD_TAG_USED || connection->flags & VIPD_CONNECTION_REPLY ||
	    connection_is_stale(connection, state->now_ns))
		return 0;
	destination = destination_at(slot, connection->generation);
	if (!destination)
		return 0;
	census_hold(&entry->flow, connection, destination->service, state->now_ns);
	counted = bpf_map_lookup_elem(&census, &slot);
	if (!counted)
		return 0;
	if (is_active(connection->state))
		counted->active++;
	else
		counted->inactive++;
	return 0;
}

SEC("classifier")
int vipd_census(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct vipd_cursor *next = bpf_map_lookup_elem(&cursor, &zero);
	struct census_state state = { .now_ns = bpf_ktime_get_coarse_ns() };

	if (!next)
		return 0;
	state.used = next->used;
	bpf_for_each_map_elem(&connections, census_one, &state, 0);
	bpf_for_each_map_elem(&templates, census_template, &state, 0);
	return 0;
}
