/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Bytes to a flow: Ethernet, IPv4, TCP or UDP, and the ports of fragments. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "account.h"
#include "maps.h"

#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

enum parsed {
	PARSED_FLOW,  /* a flow that may be ours */
	PARSED_ERROR, /* an ICMP error about a flow that may be ours */
	PARSED_OTHER, /* not for us to look at */
};

struct packet {
	struct vipd_flow flow;
	__u64 now_ns;
	__u32 l4;          /* offset of the transport header */
	__u32 bytes;       /* from the IP header on */
	__u32 identification;
	__u8 tcp_flags;    /* enum tcp_flag; 0 for anything but TCP */
	__u8 has_ports;    /* the transport header is in this packet */
	__u8 is_fragment;
	__u8 dont_fragment;
	__u8 ttl;
	__u8 tos;
};

static __always_inline void address_v4(struct vipd_address *address, __be32 v4)
{
	address->word[0] = 0;
	address->word[1] = 0;
	address->word[2] = bpf_htonl(0xffff);
	address->word[3] = v4;
}

static __always_inline void fragment_key(const struct packet *packet, struct vipd_fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source = packet->flow.source;
	key->target = packet->flow.target;
	key->identification = packet->identification;
	key->protocol = packet->flow.protocol;
}

/* A first fragment that is forwarded leaves its ports for those that follow. */
static __always_inline void fragment_remember(const struct packet *packet)
{
	struct vipd_fragment ports = {
		.source_port = packet->flow.source_port,
		.target_port = packet->flow.target_port,
	};
	struct vipd_fragment_key key;

	if (!packet->is_fragment || !packet->has_ports)
		return;
	fragment_key(packet, &key);
	bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
}

static __always_inline enum parsed fragment_recall(struct packet *packet)
{
	struct vipd_fragment *ports;
	struct vipd_fragment_key key;

	fragment_key(packet, &key);
	ports = bpf_map_lookup_elem(&fragments, &key);
	if (!ports) {
		count(VIPD_REASON_FRAGMENT);
		return PARSED_OTHER;
	}
	packet->flow.source_port = ports->source_port;
	packet->flow.target_port = ports->target_port;
	return PARSED_FLOW;
}

static __always_inline enum parsed parse_ports(struct __sk_buff *skb, struct packet *packet)
{
	if (packet->flow.protocol == IPPROTO_TCP) {
		__u8 head[14];

		if (bpf_skb_load_bytes(skb, packet->l4, head, sizeof(head)) < 0)
			goto malformed;
		packet->flow.source_port = *(__be16 *)&head[0];
		packet->flow.target_port = *(__be16 *)&head[2];
		packet->tcp_flags = head[13];
	} else {
		__be16 head[4];

		if (bpf_skb_load_bytes(skb, packet->l4, head, sizeof(head)) < 0)
			goto malformed;
		packet->flow.source_port = head[0];
		packet->flow.target_port = head[1];
	}
	packet->has_ports = 1;
	return PARSED_FLOW;
malformed:
	count(VIPD_REASON_MALFORMED);
	return PARSED_OTHER;
}

static __always_inline enum parsed parse(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr ip;
	__u16 fragment;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return PARSED_OTHER;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
		return PARSED_OTHER;
	if (ip.version != 4 || ip.ihl < 5)
		return PARSED_OTHER;
	if (ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP && ip.protocol != IPPROTO_ICMP)
		return PARSED_OTHER;
	address_v4(&packet->flow.source, ip.saddr);
	address_v4(&packet->flow.target, ip.daddr);
	packet->flow.protocol = ip.protocol;
	packet->now_ns = bpf_ktime_get_coarse_ns();
	packet->l4 = ETH_HLEN + ip.ihl * 4;
	packet->bytes = skb->len - ETH_HLEN;
	packet->identification = ip.id;
	packet->ttl = ip.ttl;
	packet->tos = ip.tos;
	fragment = bpf_ntohs(ip.frag_off);
	packet->is_fragment = (fragment & (IP_MF | IP_OFFSET)) != 0;
	packet->dont_fragment = (fragment & IP_DF) != 0;
	if (ip.protocol == IPPROTO_ICMP)
		return packet->is_fragment ? PARSED_OTHER : PARSED_ERROR;
	if (fragment & IP_OFFSET)
		return fragment_recall(packet);
	return parse_ports(skb, packet);
}
