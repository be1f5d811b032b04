/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Counters, per CPU: no packet waits for another one's. */
#pragma once

#include "hook.h"
#include "maps.h"

static __always_inline void count(__u32 reason)
{
	__u64 *counter = bpf_map_lookup_elem(&reasons, &reason);

	if (counter)
		(*counter)++;
}

/* Of a packet that is passed up. From XDP it comes to TC, which counts it. */
static __always_inline void count_passed(__u32 reason)
{
	if (!XDP)
		count(reason);
}

enum direction { FROM_CLIENT, FROM_SERVER };

static __always_inline void account_one(struct vipd_counters *counters, enum direction direction, __u32 bytes)
{
	if (!counters)
		return;
	if (direction == FROM_CLIENT) {
		counters->packets_in++;
		counters->bytes_in += bytes;
	} else {
		counters->packets_out++;
		counters->bytes_out += bytes;
	}
}

/* A packet went to, or came from, a destination of a service (both by slot). */
static __always_inline void account(__u32 service, __u32 destination, enum direction direction, __u32 bytes)
{
	account_one(bpf_map_lookup_elem(&service_stats, &service), direction, bytes);
	account_one(bpf_map_lookup_elem(&destination_stats, &destination), direction, bytes);
}

static __always_inline void account_connection(__u32 service, __u32 destination)
{
	struct vipd_counters *counters = bpf_map_lookup_elem(&service_stats, &service);

	if (counters)
		counters->connections++;
	counters = bpf_map_lookup_elem(&destination_stats, &destination);
	if (counters)
		counters->connections++;
}
