/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Which connections have ended lately. In a flood nobody looks for the flow of a SYN in the table (flood.h) but where the
 * table may have it, of a connection that had the client's port before: that stands here, in memory that fits into the CPU's
 * cache. It says where to look, not what to write: who fills it makes SYNs cost that look.
 */
#pragma once

#include "table.h"

#define ENDED_SHIFT 33

static __always_inline __u8 *ended_at(const struct vipd_settings *conf, const struct vipd_flow *flow)
{
	__u32 zero = 0;
	struct vipd_ended *all = bpf_map_lookup_elem(&ended, &zero);

	return all ? &all->at[flow_hash(conf, flow) >> 16 & (VIPD_ENDED - 1)] : 0;
}

/* A client has ended its connection. Only without NAT flows are asked for: there nobody sees the server end it. */
static __always_inline void ended_note(const struct vipd_flow *flow, __u64 now_ns)
{
	__u32 zero = 0;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	__u8 *at = conf ? ended_at(conf, flow) : 0;

	if (at)
		*at = now_ns >> ENDED_SHIFT | 1;
}

/* Whether the table may still have the flow. Flows of one hash are not told apart, nor what ended long ago: then the table is
 * looked at in vain. */
static __always_inline int ended_lately(const struct vipd_flow *flow, __u64 now_ns)
{
	__u32 zero = 0;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	const __u8 *at = conf ? ended_at(conf, flow) : 0;
	__u8 since = at ? (now_ns >> ENDED_SHIFT) - *at + 1 : 0;

	/* 2^13 ms are less than the unit of time. */
	return !at || (*at && since <= (conf->timeout_ms[VIPD_STATE_FIN_WAIT] >> 13) + 2);
}
