/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* A flood of SYNs. XDP forwards them without a look at the table, by a hash, where the next packet of a flow is known to go
 * the same way: that one makes the entry. So a flood fills no table, and a SYN waits for no memory.
 *
 * mh, sh and dh are hashes by themselves. For the others (user space says for which, and where in the schedule) a hash
 * chooses from the first SYN that passes the table by, for as long as below; out of a flood the scheduler does, and a flow
 * without an entry is unknown.
 */
#pragma once

#include "persist.h"

#define FLOOD_NS SECOND_NS
/* More SYNs than this part of the table's entries, on one CPU in FLOOD_NS. */
#define FLOOD_PART 16
/* So long after the last SYN that passed by a hash still chooses for new flows: the client sends its SYN again after 1 s and
 * 3 s (RFC 6298 section 5.7), and by whatever hook that comes it is to find the same destination. */
#define FLOOD_CHOICE_NS (4 * SECOND_NS)
/* And so long a handshake may take: a server gives it up after 63 s (net.ipv4.tcp_synack_retries 5). */
#define FLOOD_ADOPTION_NS (64 * SECOND_NS)

static __always_inline int is_syn(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Whether a flow of this service can do without its entry. A template, a threshold and a way back each need one. */
static __always_inline int needs_no_entry(const struct vipd_service *service)
{
	return (is_stateless(service) || service->flood_length) && !service->persistence_s &&
	       !(service->flags &
		 (VIPD_SERVICE_LIMITED | VIPD_SERVICE_FULLNAT | VIPD_SERVICE_MASQ | VIPD_SERVICE_ONE_PACKET));
}

/* Whether a hash chooses for this packet without an entry, where the scheduler itself is none. */
static __always_inline int is_hashed_in_flood(const struct vipd_service *service, __u32 slot, const struct packet *packet)
{
	__u64 *seen_ns, within_ns = is_syn(packet) ? FLOOD_CHOICE_NS : FLOOD_ADOPTION_NS;

	if (is_stateless(service) || packet->flow.protocol != IPPROTO_TCP || !needs_no_entry(service))
		return 0;
	/* Whoever has the connection drops a segment without it (RFC 9293 section 3.10.7.4). */
	if (!(packet->tcp_flags & (TCP_SYN | TCP_ACK)))
		return 0;
	seen_ns = bpf_map_lookup_elem(&floods, &slot);
	return seen_ns && *seen_ns && packet->now_ns < *seen_ns + within_ns;
}

/* The key is secret: nobody aims a flood at one destination. */
static __always_inline enum scheduled choose_in_flood(const struct vipd_service *service, __u32 slot,
						      const struct vipd_flow *flow, __u32 *chosen)
{
	__u32 zero = 0, length = service->flood_length, generation = *(volatile const __u64 *)&service->table;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);

	if (conf && length &&
	    scheduled_at(slot, generation, (__u32)(flow_hash(conf, flow) >> 32) % length, chosen))
		return SCHEDULED;
	count(VIPD_REASON_CHANGING);
	return SCHEDULED_CHANGING;
}

#if XDP
struct newcomers {
	__u64 since_ns;
	__u64 count;  /* SYNs that opened a flow */
	__u64 before; /* the same in the FLOOD_NS before: a flood is over when one is quiet */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct newcomers);
} newcomers SEC(".maps");

static __always_inline void newcomer_count(const struct packet *packet)
{
	__u32 zero = 0;
	struct newcomers *seen = bpf_map_lookup_elem(&newcomers, &zero);
	__u64 age_ns;

	if (!seen || !is_syn(packet))
		return;
	age_ns = packet->now_ns - seen->since_ns;
	if (age_ns > FLOOD_NS) {
		seen->before = age_ns > 2 * FLOOD_NS ? 0 : seen->count;
		seen->since_ns = packet->now_ns;
		seen->count = 0;
	}
	seen->count++;
}

static __always_inline int is_flood(const struct vipd_settings *conf, const struct packet *packet)
{
	__u32 zero = 0, most = conf->connections / FLOOD_PART;
	struct newcomers *seen = bpf_map_lookup_elem(&newcomers, &zero);

	return seen && (seen->count > most || seen->before > most) && packet->now_ns - seen->since_ns <= 2 * FLOOD_NS;
}

/* Many packets read it: it is not written with each. */
static __always_inline void flood_note(__u32 slot, __u64 now_ns)
{
	__u64 *seen_ns = bpf_map_lookup_elem(&floods, &slot);

	if (seen_ns && now_ns > *seen_ns + REFRESH_NS)
		*seen_ns = now_ns;
}

/* Whether the packet opens no entry. Then `service` is there, in `slot`. */
static __always_inline int passes_table_by(const struct packet *packet, __u32 *slot, struct vipd_service **service)
{
	__u32 zero = 0;
	struct vipd_settings *conf;

	if (!is_syn(packet))
		return 0;
	conf = bpf_map_lookup_elem(&settings, &zero);
	if (!conf || !is_flood(conf, packet))
		return 0;
	*service = service_of(packet, 0, slot);
	if (!*service || !needs_no_entry(*service))
		return 0;
	if (!is_stateless(*service))
		flood_note(*slot, packet->now_ns);
	return 1;
}
#else
/* A second path would make the verifier's work on the program of TC twice as long. */
static __always_inline int passes_table_by(const struct packet *packet, __u32 *slot, struct vipd_service **service)
{
	return 0;
}

static __always_inline void newcomer_count(const struct packet *packet)
{
}
#endif
