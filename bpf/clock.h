/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The monotonic clock by the tick, in nanoseconds. The kernel is asked once a tick by each CPU, which takes a hundred
 * instructions; jiffies are one. Where a packet comes between the two steps of a tick, the next tick brings it up again:
 * it lags by up to two ticks. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct tick {
	__u64 jiffies;
	__u64 now_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tick);
} ticks SEC(".maps");

static __always_inline __u64 clock_coarse_ns(void)
{
	__u32 zero = 0;
	struct tick *tick = bpf_map_lookup_elem(&ticks, &zero);
	__u64 jiffies = bpf_jiffies64();

	if (!tick)
		return bpf_ktime_get_coarse_ns();
	if (tick->jiffies != jiffies) {
		tick->now_ns = bpf_ktime_get_coarse_ns();
		tick->jiffies = jiffies;
	}
	return tick->now_ns;
}
