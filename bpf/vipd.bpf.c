// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/* The forwarding plane on TC ingress, behind XDP where that is: IPv4 here, IPv6 by a jump to the other object (vipd6.bpf.c). The two share all
 * maps. */
#define XDP 0
#define IPV6 0

#include <linux/if_packet.h>

#include "ingress.h"
#include "marked.h"
#include "outer.h"
#include "tell.h"
#include "census.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("classifier")
int vipd_ingress(struct __sk_buff *skb)
{
	/* A switch that floods brings frames for other hosts too, for one those of the director that is Active. */
	if (skb->pkt_type != PACKET_HOST)
		return PASS;
	if (skb->vlan_present) {
		/* Of a VLAN: its own device sees it next, without the tag. VLAN 0 is none, but a priority. */
		if (skb->vlan_tci & 0x0fff)
			return PASS;
		if (bpf_skb_vlan_pop(skb) < 0)
			return DROP;
	}
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return ingress(skb, 0);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		bpf_tail_call(skb, &programs, VIPD_PROGRAM_IPV6);
	return PASS;
}

/* On the way out of the device for marked packets. */
SEC("classifier")
int vipd_marked(struct __sk_buff *skb)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return marked(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		bpf_tail_call(skb, &programs, VIPD_PROGRAM_MARKED6);
	return DROP;
}

SEC("classifier")
int vipd_fullnat(struct __sk_buff *skb)
{
	return fullnat_go_on(skb);
}

SEC("classifier")
int vipd_refuse(struct __sk_buff *skb)
{
	return refuse(skb);
}

SEC("classifier")
int vipd_tell(struct __sk_buff *skb)
{
	return tell_go_on(skb);
}

SEC("classifier")
int vipd_outer(struct __sk_buff *skb)
{
	return outer_go_on(skb);
}

SEC("classifier")
int vipd_inside(struct __sk_buff *skb)
{
	return inside_go_on(skb);
}
