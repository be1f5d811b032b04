// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/* The fence, and no_accept: packets for a virtual address whose deadline has passed are dropped on TC ingress, and so are the
 * questions of neighbours where it is. Each advert moves the deadline on, so a daemon that is frozen is deaf before its
 * peer takes over. Packets for an address that its virtual router does not accept (RFC 9568 section 6.1, Accept_Mode) are
 * dropped, but for those of neighbour discovery. An object of its own, before the forwarding program: it needs none of its maps.
 *
 * It outlives its process, whose addresses the kernel has until their lease ends. Until somebody claims one, they are served
 * as before: the peer needs its time. Whoever else of this host has an address later is heard. */
#include <linux/bpf.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "clock.h"

#define ADDRESSES_MAX 65536
#define ROUTERS_MAX 4096
/* Words behind the deadlines, for those who only ask whether anybody may be deaf; XDP does (VIPD_FENCE_* of abi.h). */
#define EARLIEST ROUTERS_MAX
#define REFUSED (ROUTERS_MAX + 1)
#define WORDS (ROUTERS_MAX + 2)
#define NSEC_PER_SEC 1000000000ULL
#define NEIGHBOR_SOLICIT 135
#define NEIGHBOR_ADVERT 136

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* IPv4 is ::ffff:a.b.c.d. */
struct address {
	__u8 octets[16];
};

/* Which virtual router holds an address, how many seconds after its deadline a dead process's kernel may have it, and when
 * somebody else claimed it after the deadline; all ones: when that process was dead. */
struct holder {
	__u32 slot;
	__u32 lease_s;
	__u64 claimed_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ADDRESSES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct holder);
} fence_routers SEC(".maps");

/* Until when it may serve, in nanoseconds of CLOCK_MONOTONIC; 0: no limit. Then EARLIEST, some milliseconds before the
 * first deadline, all ones where there is none; and REFUSED, how many addresses are not accepted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WORDS);
	__type(key, __u32);
	__type(value, __u64);
} fence_deadlines SEC(".maps");

/* Addresses that are not accepted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ADDRESSES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, __u8);
} fence_refused SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} fence_dropped SEC(".maps");

/* vipd_fence_living, as long as the process lives: the kernel empties an array of programs when nobody has it open any
 * more (bpf_map_put_uref in kernel/bpf/syscall.c). */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} fence_living SEC(".maps");

static __always_inline __u64 word(__u32 at)
{
	__u64 *word = bpf_map_lookup_elem(&fence_deadlines, &at);

	return word ? *word : 0;
}

/* `lives`: the process does. */
static __always_inline int is_past(const struct address *address, int lives)
{
	struct holder *holder = bpf_map_lookup_elem(&fence_routers, address);
	__u64 deadline_ns, now_ns;

	if (!holder)
		return 0;
	deadline_ns = word(holder->slot);
	if (!deadline_ns)
		return 0;
	now_ns = bpf_ktime_get_ns();
	if (lives)
		return now_ns > deadline_ns;
	return holder->claimed_ns > deadline_ns && now_ns < deadline_ns + holder->lease_s * NSEC_PER_SEC;
}

/* Somebody else says that the address is his. Of a process that is only frozen that counts if it is killed as it is. */
static __always_inline void claim(const struct address *address, int lives)
{
	struct holder *holder = bpf_map_lookup_elem(&fence_routers, address);

	if (holder)
		holder->claimed_ns = lives ? bpf_ktime_get_ns() : ~0ULL;
}

static __always_inline int is_refused(const struct address *address, int lives)
{
	return lives && bpf_map_lookup_elem(&fence_refused, address) != 0;
}

static __always_inline int load_v4(struct __sk_buff *skb, __u32 offset, struct address *address)
{
	return bpf_skb_load_bytes_relative(skb, offset, &address->octets[12], 4, BPF_HDR_START_NET) == 0;
}

static __always_inline int load_v6(struct __sk_buff *skb, __u32 offset, struct address *address)
{
	return bpf_skb_load_bytes_relative(skb, offset, address, sizeof(*address), BPF_HDR_START_NET) == 0;
}

static __always_inline int is_fenced_v4(struct __sk_buff *skb, int lives)
{
	struct address address = {.octets = {[10] = 0xff, [11] = 0xff}};

	return load_v4(skb, __builtin_offsetof(struct iphdr, daddr), &address) &&
	       (is_past(&address, lives) || is_refused(&address, lives));
}

/* The target's protocol address stands after those of the sender and its hardware address (RFC 826). */
static __always_inline int is_fenced_arp(struct __sk_buff *skb, int lives)
{
	struct address address = {.octets = {[10] = 0xff, [11] = 0xff}};

	if (load_v4(skb, sizeof(struct arphdr) + ETH_ALEN, &address))
		claim(&address, lives);
	return load_v4(skb, sizeof(struct arphdr) + ETH_ALEN + 4 + ETH_ALEN, &address) && is_past(&address, lives);
}

/* The type of a packet of neighbour discovery; 0: it is none. */
static __always_inline __u8 discovery(struct __sk_buff *skb)
{
	__u8 next, type;

	if (bpf_skb_load_bytes_relative(skb, __builtin_offsetof(struct ipv6hdr, nexthdr), &next, 1, BPF_HDR_START_NET) < 0 ||
	    bpf_skb_load_bytes_relative(skb, sizeof(struct ipv6hdr), &type, 1, BPF_HDR_START_NET) < 0 ||
	    next != IPPROTO_ICMPV6)
		return 0;
	return type == NEIGHBOR_SOLICIT || type == NEIGHBOR_ADVERT ? type : 0;
}

static __always_inline int is_fenced_v6(struct __sk_buff *skb, int lives)
{
	struct address address;
	__u8 type = discovery(skb);

	if (load_v6(skb, __builtin_offsetof(struct ipv6hdr, daddr), &address) &&
	    (is_past(&address, lives) || (!type && is_refused(&address, lives))))
		return 1;
	/* The target follows type, code, checksum and 4 bytes of flags (RFC 4861 sections 4.3 and 4.4). */
	if (!type || !load_v6(skb, sizeof(struct ipv6hdr) + 8, &address))
		return 0;
	if (type == NEIGHBOR_ADVERT)
		claim(&address, lives);
	return type == NEIGHBOR_SOLICIT && is_past(&address, lives);
}

static __always_inline int is_fenced(struct __sk_buff *skb, int lives)
{
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return is_fenced_v4(skb, lives);
	case bpf_htons(ETH_P_ARP):
		return is_fenced_arp(skb, lives);
	case bpf_htons(ETH_P_IPV6):
		return is_fenced_v6(skb, lives);
	default:
		return 0;
	}
}

static __always_inline int verdict(struct __sk_buff *skb, int lives)
{
	__u32 first = 0;
	__u64 *dropped;

	if (!is_fenced(skb, lives))
		return TC_ACT_UNSPEC;
	dropped = bpf_map_lookup_elem(&fence_dropped, &first);
	if (dropped)
		*dropped += 1;
	return TC_ACT_SHOT;
}

SEC("classifier")
int vipd_fence_living(struct __sk_buff *skb)
{
	return verdict(skb, 1);
}

SEC("classifier")
int vipd_fence(struct __sk_buff *skb)
{
	/* Most of the time nobody is deaf. */
	if (clock_ns() <= word(EARLIEST) && !word(REFUSED))
		return TC_ACT_UNSPEC;
	bpf_tail_call(skb, &fence_living, 0);
	return verdict(skb, 0);
}
