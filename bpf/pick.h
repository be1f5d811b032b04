/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Schedulers that look at every destination: the least loaded one by the measure of lc, wlc, sed or nq; the
 * first that is not full for fo and ovf, whose schedule is sorted by weight; the next that is not full for rr and wrr;
 * for sh and mh IPVS's way on from the one of the hash. */
#pragma once

#include "choice.h"
#include "load.h"

struct pick {
	__u32 service;    /* slot */
	__u32 generation; /* of the schedule */
	__u32 length;
	__u32 start;      /* where in the schedule to begin */
	__u32 hashed;     /* for a hash that falls back: what is hashed */
	__u32 chosen;     /* slot of the destination */
	__u32 chosen_generation;
	__u64 cost;
	__u64 weight;
	__u8 scheduler;
	__u8 found;
	__u8 changing; /* the service changed under the packet */
	__u8 spare;    /* somebody has less than half of its weight in connections */
};

/* The members of a locality, looked at. */
struct best {
	__u64 cost, weight; /* of the least loaded member that still takes connections */
	__u64 most, most_weight;
	__u32 member;       /* its place */
	__u32 active;
	__u32 worst;        /* place of the most loaded member */
	__u32 count;
	__u32 found;
	__u32 reserved;
};

/* A search is too large for the stack beside the packet's own words; and the verifier, which follows every
 * value on the stack, is quick with values in a map. */
struct search {
	struct pick pick;
	struct best best;
	struct vipd_locality_key key;
	struct vipd_locality fresh;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct search);
} searches SEC(".maps");

static __always_inline struct search *search_begin(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&searches, &zero);
}

/* What stands in the schedule at a place; 0: the service is changing under the packet. */
static __always_inline struct vipd_destination *scheduled_at(__u32 service, __u32 generation, __u32 at, __u32 *slot)
{
	struct vipd_schedule_key key = { .generation = generation, .page = at / VIPD_SCHEDULE_PAGE };
	struct vipd_schedule_page *page = bpf_map_lookup_elem(&schedules, &key);
	struct vipd_destination *destination;

	if (!page)
		return 0;
	*slot = page->destination[at % VIPD_SCHEDULE_PAGE];
	destination = bpf_map_lookup_elem(&destinations, slot);
	if (!destination || !destination->generation || destination->service != service)
		return 0;
	return destination;
}

static __always_inline void take(struct pick *pick, __u32 slot, const struct vipd_destination *destination)
{
	pick->chosen = slot;
	pick->chosen_generation = destination->generation;
	pick->found = 1;
}

/* ip_vs_dest_conn_overhead: an active connection weighs as 256 inactive ones. */
static __always_inline __u64 overhead(const struct vipd_load *load)
{
	return ((__u64)not_negative(load->active) << 8) + not_negative(load->inactive);
}

/* One destination; 1 ends the walk. */
static long pick_one(__u32 index, void *unused)
{
	struct search *search = search_begin();
	struct pick *pick;
	__u32 at, length, slot = 0, active;
	struct vipd_destination *destination;
	struct vipd_load *load;
	__u64 cost, weight;

	if (!search)
		return 1;
	pick = &search->pick;
	length = pick->length;
	if (!length)
		return 1;
	if (index && (pick->scheduler == VIPD_SCHEDULER_SH || pick->scheduler == VIPD_SCHEDULER_MH))
		at = fallback_place(pick->scheduler, pick->hashed, pick->start, index, length);
	else
		at = (pick->start + index) % length;
	destination = scheduled_at(pick->service, pick->generation, at, &slot);
	load = bpf_map_lookup_elem(&loads, &slot);
	if (!destination || !load) {
		pick->changing = 1;
		return 1;
	}
	active = not_negative(load->active);
	if (active * 2 < destination->weight)
		pick->spare = 1;
	if (!destination->weight || is_overloaded(destination, load))
		return 0;
	weight = destination->weight;
	switch (pick->scheduler) {
	case VIPD_SCHEDULER_LC:
		weight = 1;
		cost = overhead(load);
		break;
	case VIPD_SCHEDULER_WLC:
	case VIPD_SCHEDULER_LBLC:
	case VIPD_SCHEDULER_LBLCR:
		cost = overhead(load);
		break;
	case VIPD_SCHEDULER_NQ:
		if (!active) {
			take(pick, slot, destination);
			return 1;
		}
		cost = active + 1;
		break;
	case VIPD_SCHEDULER_SED:
		cost = active + 1;
		break;
	case VIPD_SCHEDULER_OVF:
		if (active > weight)
			return 0;
		take(pick, slot, destination);
		return 1;
	default:
		take(pick, slot, destination);
		return 1;
	}
	/* cost / weight, without the division */
	if (!pick->found || pick->cost * weight > cost * pick->weight) {
		take(pick, slot, destination);
		pick->cost = cost;
		pick->weight = weight;
	}
	return 0;
}

/* Walk at most `places` places of the schedule. */
static __always_inline void pick_run(__u32 places)
{
	bpf_loop(places, pick_one, 0, 0);
}
