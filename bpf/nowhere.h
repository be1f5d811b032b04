/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Where a packet cannot go, told apart: the kernel has one word for "this host" and "no route", and is silent of a
 * neighbour that does not answer. */
#pragma once

#include "packet.h"

/* bpf_fib_lookup() says NOT_FWDED of both. User space knows this host's addresses. */
static __always_inline int is_own(const struct vipd_address *target)
{
	return bpf_map_lookup_elem(&own_addresses, target) != 0;
}

/* Since when the kernel has asked for a neighbour, and when it last had to, in nanoseconds of CLOCK_MONOTONIC. */
struct asked {
	__u64 since_ns;
	__u64 last_ns;
};

/* By the address that a packet goes to. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct vipd_address);
	__type(value, struct asked);
} asked_neighbours SEC(".maps");

/* The packet waits in the kernel for an answer, which mostly comes within a millisecond. After three questions, a second
 * apart, what waits is dropped (mcast_solicit, retrans_time_ms). */
#define NEIGHBOUR_ANSWERS_NS 1000000000ULL
/* A neighbour that answered is not asked for so long (gc_stale_time): then it is another question. */
#define NEIGHBOUR_FORGOTTEN_NS 60000000000ULL

static __always_inline void neighbour_ask(const struct packet *packet, const struct vipd_address *target)
{
	struct asked *asked = bpf_map_lookup_elem(&asked_neighbours, target);
	struct asked fresh = { .since_ns = packet->now_ns, .last_ns = packet->now_ns };

	if (!asked || packet->now_ns - asked->last_ns > NEIGHBOUR_FORGOTTEN_NS) {
		bpf_map_update_elem(&asked_neighbours, target, &fresh, BPF_ANY);
		return;
	}
	asked->last_ns = packet->now_ns;
	if (packet->now_ns - asked->since_ns > NEIGHBOUR_ANSWERS_NS)
		count(VIPD_REASON_NO_NEIGHBOUR);
}
