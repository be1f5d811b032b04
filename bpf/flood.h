/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* A flood of SYNs. Where the scheduler chooses by a hash, such a SYN is forwarded without a look at the table: the next
 * packet of its flow goes the same way, and makes the entry. So a flood fills no table, and a SYN waits for no memory.
 */
#pragma once

#include "schedule.h"

#define FLOOD_NS 1000000000ULL
/* More SYNs than this part of the table's entries, on one CPU in FLOOD_NS. */
#define FLOOD_PART 16

struct newcomers {
	__u64 since_ns;
	__u64 count; /* SYNs that opened a flow */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct newcomers);
} newcomers SEC(".maps");

static __always_inline int is_syn(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline void newcomer_count(const struct packet *packet)
{
	__u32 zero = 0;
	struct newcomers *seen = bpf_map_lookup_elem(&newcomers, &zero);

	if (!seen || !is_syn(packet))
		return;
	if (packet->now_ns - seen->since_ns > FLOOD_NS) {
		seen->since_ns = packet->now_ns;
		seen->count = 0;
	}
	seen->count++;
}

static __always_inline int is_flood(const struct packet *packet)
{
	__u32 zero = 0;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	struct newcomers *seen = bpf_map_lookup_elem(&newcomers, &zero);

	return conf && seen && is_syn(packet) && seen->count > conf->connections / FLOOD_PART &&
	       packet->now_ns - seen->since_ns <= FLOOD_NS;
}

/* Whether a flow of this service can do without its entry. A template, a threshold and a way back each need one. */
static __always_inline int needs_no_entry(const struct vipd_service *service)
{
	return is_stateless(service) && !service->persistence_s &&
	       !(service->flags &
		 (VIPD_SERVICE_LIMITED | VIPD_SERVICE_FULLNAT | VIPD_SERVICE_MASQ | VIPD_SERVICE_ONE_PACKET));
}

/* Then `service` is there, in `slot`. */
static __always_inline int passes_table_by(const struct packet *packet, __u32 *slot, struct vipd_service **service)
{
	if (!is_flood(packet))
		return 0;
	*service = service_of(packet, 0, slot);
	return *service && needs_no_entry(*service);
}
