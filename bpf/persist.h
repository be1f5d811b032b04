/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Persistence: a client's new connections follow its earlier ones (ip_vs_sched_persist in ip_vs_core.c).
 *
 * A template is good for persistence_s from the last connection that began on it, and for as long as one of
 * its connections is there. A destination of weight 0 keeps connections, not clients, unless quiescent_keeps is set
 * (IPVS with expire_quiescent_template 1 and 0): a drain comes to an end.
 */
#pragma once

#include "schedule.h"

#define SECOND_NS 1000000000ULL
/* IPVS looks again after so long whether a template has connections (ip_vs_conn_expire). */
#define TEMPLATE_HOLD_NS (60 * SECOND_NS)

/* The network of a client. */
static __always_inline void template_key(const struct vipd_service *service, __u32 slot,
					 const struct vipd_address *client, struct vipd_template_key *key)
{
	__u32 i, prefix = service->persistence_prefix;

	key->service = slot;
#pragma unroll
	for (i = 0; i < 4; i++) {
		__u32 mask = prefix >= 32 * (i + 1) ? ~0U : 0;

		if (prefix > 32 * i && prefix < 32 * (i + 1))
			mask = ~0U << ((32 * (i + 1) - prefix) & 31);
		key->client.word[i] = client->word[i] & bpf_htonl(mask);
	}
}

static __always_inline int template_is_stale(const struct vipd_template *template, const struct vipd_service *service,
					     __u64 now_ns)
{
	if (now_ns < template->seen_ns + service->persistence_s * SECOND_NS)
		return 0;
	return !template->held_ns || now_ns >= template->held_ns + TEMPLATE_HOLD_NS;
}

/* Whether a server of weight 0 keeps its clients. */
static __always_inline int quiescent_keeps(void)
{
	__u32 zero = 0;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);

	return conf && conf->quiescent_keeps;
}

/* Whether the template still says where to go; then `chosen` is the slot. */
static __always_inline int template_follow(struct vipd_template *template, const struct vipd_service *service,
					   __u32 slot, __u64 now_ns, __u32 *chosen)
{
	struct vipd_destination *destination;

	if (template_is_stale(template, service, now_ns))
		return 0;
	destination = destination_at(template->destination, template->generation);
	if (!destination || destination->service != slot || (!destination->weight && !quiescent_keeps()))
		return 0;
	template->seen_ns = now_ns;
	*chosen = template->destination;
	return 1;
}

/* As schedule(), and the same for a persistent client. */
static __always_inline enum scheduled choose(const struct vipd_service *service, __u32 slot,
					     const struct vipd_flow *flow, __u64 now_ns, __u32 *chosen)
{
	struct vipd_template fresh = { .seen_ns = now_ns };
	struct vipd_destination *destination;
	struct vipd_template_key key = {};
	struct vipd_template *template;
	enum scheduled scheduled;

	if (!service->persistence_s)
		return schedule(service, slot, flow, now_ns, chosen);
	template_key(service, slot, &flow->source, &key);
	template = bpf_map_lookup_elem(&templates, &key);
	if (template && template_follow(template, service, slot, now_ns, chosen))
		return SCHEDULED;
	scheduled = schedule(service, slot, flow, now_ns, chosen);
	if (scheduled != SCHEDULED)
		return scheduled;
	destination = bpf_map_lookup_elem(&destinations, chosen);
	if (!destination)
		return SCHEDULED_CHANGING;
	fresh.destination = *chosen;
	fresh.generation = destination->generation;
	/* A browser opens several connections at once, on several CPUs: the first one decides. */
	if (bpf_map_update_elem(&templates, &key, &fresh, template ? BPF_ANY : BPF_NOEXIST) == 0)
		return SCHEDULED;
	template = bpf_map_lookup_elem(&templates, &key);
	if (template)
		template_follow(template, service, slot, now_ns, chosen);
	else
		count(VIPD_REASON_CONNECTIONS_FULL);
	return SCHEDULED;
}
