/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* lblc and lblcr: a virtual address keeps its destination (lblcr: its few destinations) until that has more
 * connections than its weight while another one is half idle (ip_vs_lblc.c, ip_vs_lblcr.c). */
#pragma once

#include "pick.h"

/* lblcr gives up its most loaded member after so long without a change (sysctl lblcr_expiration). */
#define LOCALITY_EXPIRES_NS (24ULL * 3600 * 1000000000)

/* One member; those that are gone make room. */
static __always_inline void locality_consider(struct vipd_locality *locality, __u32 i, struct best *best)
{
	struct vipd_member *member = &locality->member[i];
	struct vipd_destination *destination = destination_at(member->destination, member->generation);
	struct vipd_load *load = bpf_map_lookup_elem(&loads, &member->destination);
	__u64 cost;

	if (!destination || !load || !destination->weight) {
		member->generation = 0;
		return;
	}
	best->count++;
	cost = overhead(load);
	if (best->count == 1 || cost * best->most_weight > best->most * destination->weight) {
		best->most = cost;
		best->most_weight = destination->weight;
		best->worst = i;
	}
	if (is_overloaded(destination, load))
		return;
	if (!best->found || best->cost * destination->weight > cost * best->weight) {
		best->found = 1;
		best->cost = cost;
		best->weight = destination->weight;
		best->member = i;
		best->active = not_negative(load->active);
	}
}

/* Of those that are loaded alike the last one that came is taken (ip_vs_dest_set_insert puts it first), as long as none went:
 * then the next one has its place. */
static __always_inline void locality_look(struct vipd_locality *locality, struct best *best)
{
	__u32 i;

	for (i = VIPD_LOCALITY_MEMBERS; i > 0; i--)
		locality_consider(locality, i - 1, best);
}

static __always_inline void locality_insert(struct vipd_locality *locality, const struct pick *pick, __u32 worst,
					    int replicate)
{
	struct vipd_member member = { .destination = pick->chosen, .generation = pick->chosen_generation };
	__u32 i;

	if (!replicate) {
		locality->member[0] = member;
		return;
	}
	for (i = 0; i < VIPD_LOCALITY_MEMBERS; i++) {
		struct vipd_member *at = &locality->member[i];

		if (at->generation == member.generation && at->destination == member.destination)
			return;
	}
	for (i = 0; i < VIPD_LOCALITY_MEMBERS; i++) {
		if (!locality->member[i].generation) {
			locality->member[i] = member;
			return;
		}
	}
	locality->member[worst % VIPD_LOCALITY_MEMBERS] = member;
}

/* Choose for a virtual address; the result is in `search->pick`. */
static __always_inline void locality_choose(struct search *search, const struct vipd_address *target, __u64 now_ns)
{
	struct pick *pick = &search->pick;
	struct vipd_locality *locality;
	int replicate = pick->scheduler == VIPD_SCHEDULER_LBLCR;
	struct best *best = &search->best;

	search->key.target = *target;
	search->key.service = pick->service;
	locality = bpf_map_lookup_elem(&localities, &search->key);
	if (locality) {
		locality_look(locality, best);
		if (best->count > 1 && now_ns > locality->changed_ns + LOCALITY_EXPIRES_NS) {
			locality->member[best->worst % VIPD_LOCALITY_MEMBERS].generation = 0;
			locality->changed_ns = now_ns;
		}
		if (best->found && best->active <= best->weight)
			goto keep;
	}
	pick_run(pick->length);
	if (!pick->found)
		return;
	/* It has more than its weight, but nobody is idle enough to take over. */
	if (locality && best->found && !pick->spare)
		goto keep;
	if (locality) {
		locality_insert(locality, pick, best->worst, replicate);
		locality->changed_ns = now_ns;
	} else {
		__builtin_memset(&search->fresh, 0, sizeof(search->fresh));
		search->fresh.changed_ns = now_ns;
		locality_insert(&search->fresh, pick, 0, replicate);
		bpf_map_update_elem(&localities, &search->key, &search->fresh, BPF_ANY);
	}
	return;
keep:
	pick->chosen = locality->member[best->member % VIPD_LOCALITY_MEMBERS].destination;
	pick->found = 1;
}
