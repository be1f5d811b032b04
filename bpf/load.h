/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* How many connections a destination has, and whether that is too many. */
#pragma once

#include "lookup.h"

static __always_inline __u32 not_negative(__u32 count)
{
	return (__s32)count < 0 ? 0 : count;
}

/* As IPVS counts (tcp_state_active_table in ip_vs_proto_tcp.c). */
static __always_inline int is_active(__u8 state)
{
	return state == VIPD_STATE_SYN_RECV || state == VIPD_STATE_ESTABLISHED;
}

/* A connection of a destination begins (`change` 1) or ends (-1). */
static __always_inline void load_change(const struct vipd_connection *connection, __u8 state, __s32 change)
{
	__u32 slot = connection->destination;
	struct vipd_load *load;

	if (!destination_at(slot, connection->generation))
		return;
	load = bpf_map_lookup_elem(&loads, &slot);
	if (load)
		__sync_fetch_and_add(is_active(state) ? &load->active : &load->inactive, change);
}

/* Thresholds with their hysteresis (ip_vs_bind_dest and ip_vs_unbind_dest in ip_vs_conn.c). */
static __always_inline int is_overloaded(const struct vipd_destination *destination, struct vipd_load *load)
{
	__u64 total = (__u64)not_negative(load->active) + not_negative(load->inactive);
	__u64 upper = destination->upper_threshold, lower = destination->lower_threshold;

	if (!upper)
		return 0;
	if (total >= upper)
		load->overloaded = 1;
	else if (lower ? total < lower : total * 4 < upper * 3)
		load->overloaded = 0;
	return load->overloaded;
}
