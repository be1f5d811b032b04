// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/* For a real server whose kernel has no ipip device: IPIP packets for this host lose their outer header on TC
 * ingress, and the stack sees what the client sent. Only what is meant for a virtual address of ours is let out:
 * others could send anything in a tunnel. An object of its own: it needs none of the plane's maps. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IP_OFFSET_OR_MORE 0x3fff

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* The virtual addresses of this real server, in network order. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} vips SEC(".maps");

SEC("classifier")
int vipd_decapsulate(struct __sk_buff *skb)
{
	struct iphdr outer, inner;

	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST)
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &outer, sizeof(outer)) < 0)
		return TC_ACT_UNSPEC;
	/* Fragments are for the stack to put together; it has no use for IPIP, so they end there. */
	if (outer.protocol != IPPROTO_IPIP || outer.ihl != 5 || outer.frag_off & bpf_htons(IP_OFFSET_OR_MORE))
		return TC_ACT_UNSPEC;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(outer), &inner, sizeof(inner)) < 0 || inner.version != 4)
		return TC_ACT_UNSPEC;
	if (!bpf_map_lookup_elem(&vips, &inner.daddr))
		return TC_ACT_UNSPEC;
	/* The segments of a GSO packet keep their size. */
	if (bpf_skb_adjust_room(skb, -(__s32)sizeof(outer), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO) < 0)
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}
