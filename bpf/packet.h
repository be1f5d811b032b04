/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What is known of a packet, and the ports of datagrams in fragments.
 *
 * The stages are compiled once for each hook (hook.h) and each family: IPV6 is 0 or 1. A packet of one never runs through
 * a test for the other, and both share all maps: an IPv4 address is mapped, and mapped addresses are not served over IPv6.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>

#include "account.h"
#include "clock.h"
#include "hook.h"
#include "maps.h"

#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

enum side { SOURCE, TARGET };

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
	__u8 tcp_flags;    /* enum tcp_flag; SCTP in the words of TCP; 0 for UDP */
	__u8 has_ports;    /* the transport header is in this packet */
	__u8 is_fragment;
	__u8 dont_fragment; /* over IPv6 always */
	__u8 ttl;          /* or hop limit */
	__u8 tos;          /* or traffic class */
	__u8 port;         /* enum vipd_port_flag of where it came in; XDP */
};

/* What is said of a packet that goes no further. */
enum telling {
	TELL_TOO_BIG_OR_CUT = 1, /* nothing, where it may be cut */
	TELL_TOO_BIG,
	TELL_NO_PORT, /* nobody has its port */
	TELL_NO_HOST, /* nobody reaches whom it is for */
	TELL_NO_HOPS,
};

/* What an ICMP error quotes. */
struct quote {
	struct vipd_flow flow; /* as its answers would come: source and target are swapped */
	__u32 ip;              /* offset of the quoted IP header */
	__u32 ports;           /* offset of the quoted ports */
};

/* A flow is written and read in words of the same width: a CPU waits where a load wants what two stores have written. */
typedef __u16 __attribute__((may_alias)) word16;
typedef __u32 __attribute__((may_alias)) word32;
typedef __u64 __attribute__((may_alias)) word64;

/* Addresses of a flow, which is aligned to 8 bytes. */
static __always_inline void address_v4(struct vipd_address *address, __be32 v4)
{
	word64 *half = (word64 *)address;

	half[0] = 0;
	half[1] = (__u64)v4 << 32 | bpf_htonl(0xffff);
}

static __always_inline void address_v6(struct vipd_address *address, const struct in6_addr *v6)
{
	const word64 *from = (const word64 *)v6;
	word64 *half = (word64 *)address;

	half[0] = from[0];
	half[1] = from[1];
}

static __always_inline word32 *ports_of(struct vipd_flow *flow)
{
	return (word32 *)&flow->source_port;
}

/* With the reserved bytes behind it. */
static __always_inline void protocol_set(struct vipd_flow *flow, __u8 protocol)
{
	*(word32 *)&flow->protocol = protocol;
}

/* ::ffff:0:0/96 means IPv4 in the maps, and is on no wire. */
static __always_inline int is_mapped(const struct vipd_address *address)
{
	return !address->word[0] && !address->word[1] && address->word[2] == bpf_htonl(0xffff);
}

static __always_inline int is_same(const struct vipd_address *one, const struct vipd_address *other)
{
	return one->word[0] == other->word[0] && one->word[1] == other->word[1] && one->word[2] == other->word[2] &&
	       one->word[3] == other->word[3];
}

/* A sum below 2^36 to 16 bits. */
static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* What a ones' complement sum changes by. */
static __always_inline __u64 change(__u32 from, __u32 to)
{
	return (__u64)(__u32)~from + to;
}

static __always_inline __be16 header_checksum(const struct iphdr *ip)
{
	__u32 word[sizeof(*ip) / 4];

	__builtin_memcpy(word, ip, sizeof(word));
	return ~fold((__u64)word[0] + word[1] + word[2] + word[3] + word[4]);
}

#if !XDP
/* Where the part of the packet begins and ends that lies in one piece. By hand: the verifier wants to see the field. */
static __always_inline void *data_of(const struct __sk_buff *skb)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(data) : "r"(skb), "i"(offsetof(struct __sk_buff, data)));
	return data;
}

static __always_inline void *data_end_of(const struct __sk_buff *skb)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(end) : "r"(skb), "i"(offsetof(struct __sk_buff, data_end)));
	return end;
}

/* Bytes near the beginning mostly lie in one piece, and then need no call. `at` and `size` are constants. Linux and BPF read
 * words at any place: without a promise the compiler would copy byte by byte. */
static __always_inline int load_near(struct __sk_buff *skb, __u32 at, void *to, __u32 size)
{
	void *from = data_of(skb) + at;

	if (from + size > data_end_of(skb))
		return bpf_skb_load_bytes(skb, at, to, size);
	__builtin_memcpy(to, __builtin_assume_aligned(from, sizeof(word64)), size);
	return 0;
}
#endif

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
