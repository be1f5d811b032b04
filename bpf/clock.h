/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The monotonic clock by the tick, in nanoseconds. The kernel is asked once a tick by each CPU, which takes a hundred
 * instructions; jiffies are one. It is asked for the exact time: the kernel moves jiffies on before its coarse clock, which
 * after a rest without ticks, or of a guest that was frozen, is as old as that rest. So this lags by up to a tick. */
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

static __always_inline __u64 clock_ns(void)
{
	__u32 zero = 0;
	struct tick *tick = bpf_map_lookup_elem(&ticks, &zero);
	__u64 jiffies = bpf_jiffies64();

	if (!tick)
		return bpf_ktime_get_ns();
	if (tick->jiffies != jiffies) {
		tick->now_ns = bpf_ktime_get_ns();
		tick->jiffies = jiffies;
	}
	return tick->now_ns;
}
