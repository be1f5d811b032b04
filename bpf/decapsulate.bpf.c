// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/* For a real server whose kernel has no tunnel device: IP packets in IP packets for this host, each of either version,
 * lose their outer header on TC ingress, and the stack sees what the client sent. Only what is meant for a virtual
 * address of ours is let out: others could send anything in a tunnel. An object of its own: it needs none of the
 * plane's maps. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IP_OFFSET_OR_MORE 0x3fff
/* BPF_F_ADJ_ROOM_DECAP_L3_*, newer than many a <linux/bpf.h>: Linux 6.3 knows how to change the version. */
#define DECAPSULATE_TO_IPV4 (1ULL << 7)
#define DECAPSULATE_TO_IPV6 (1ULL << 8)

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct address {
	__be32 word[4];
};

/* The virtual addresses of this real server, in network order; IPv4 is mapped (RFC 4291 section 2.5.5.2). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct address);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} vips SEC(".maps");

/* Length of the outer header, and what is in it by its own word; 0: it is none of ours. Fragments are for the stack to
 * put together; it has no use for tunnels, so they end there. */
static __always_inline __u32 outer_header(struct __sk_buff *skb, __u8 *inner)
{
	struct iphdr ip;
	struct ipv6hdr ip6;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.ihl != 5 ||
		    ip.frag_off & bpf_htons(IP_OFFSET_OR_MORE))
			return 0;
		*inner = ip.protocol;
		return sizeof(ip);
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip6, sizeof(ip6)) < 0)
			return 0;
		*inner = ip6.nexthdr;
		return sizeof(ip6);
	}
	return 0;
}

/* Whether the packet at this offset is of this version, and for a virtual address. */
static __always_inline int is_ours(struct __sk_buff *skb, __u32 at, int is_v6)
{
	struct address address = {};
	struct iphdr ip;
	__u8 first = 0;

	if (bpf_skb_load_bytes(skb, at, &first, sizeof(first)) < 0 || first >> 4 != (is_v6 ? 6 : 4))
		return 0;
	if (is_v6) {
		if (bpf_skb_load_bytes(skb, at + offsetof(struct ipv6hdr, daddr), &address, sizeof(address)) < 0)
			return 0;
	} else {
		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) < 0)
			return 0;
		address.word[2] = bpf_htonl(0xffff);
		address.word[3] = ip.daddr;
	}
	return bpf_map_lookup_elem(&vips, &address) != 0;
}

SEC("classifier")
int vipd_decapsulate(struct __sk_buff *skb)
{
	__u8 inner = 0;
	__u32 length;
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO; /* the segments of a GSO packet keep their size */
	int is_v6;

	if (skb->pkt_type != PACKET_HOST)
		return TC_ACT_UNSPEC;
	length = outer_header(skb, &inner);
	if (!length || (inner != IPPROTO_IPIP && inner != IPPROTO_IPV6))
		return TC_ACT_UNSPEC;
	is_v6 = inner == IPPROTO_IPV6;
	if (!is_ours(skb, ETH_HLEN + length, is_v6))
		return TC_ACT_UNSPEC;
	if (is_v6 != (skb->protocol == bpf_htons(ETH_P_IPV6)))
		flags |= is_v6 ? DECAPSULATE_TO_IPV6 : DECAPSULATE_TO_IPV4;
	if (bpf_skb_adjust_room(skb, -(__s32)length, BPF_ADJ_ROOM_MAC, flags) < 0)
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}
