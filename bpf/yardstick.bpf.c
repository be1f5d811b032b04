// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/* For benches/ebpf.rs: what others do with such a packet, measured in the same run. An XDP balancer for IPv4 and TCP through
 * IPIP, of the parts that those published have (Katran's among them): virtual addresses in a hash map, flows in the kernel's
 * LRU map, which a SYN does not ask; a consistent hash into a ring of servers for those that are new, which are written
 * there unless there are too many of them in a second; counters of the service, the server and the map. It is lean: one
 * family, one kind of tunnel, no ICMP, no health of servers. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define RING 65537
#define SECOND_NS 1000000000ULL

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct yard_flow {
	__u32 source[4]; /* both families have room, as they share a map */
	__u32 target[4];
	__u32 ports;
	__u32 protocol;
};

struct yard_known {
	__u32 server;
	__u32 reserved;
	__u64 seen_ns;
};

struct yard_service_key {
	__u32 address[4];
	__u16 port;
	__u16 protocol;
};

struct yard_service {
	__u32 flags;
	__u32 number;
};

struct yard_server {
	__u32 address[4];
	__u32 flags;
};

struct yard_stats {
	__u64 packets;
	__u64 bytes;
};

struct yard_newcomers {
	__u64 since_ns;
	__u64 count;
};

struct yard_settings {
	__u64 newcomers_max; /* a second and CPU */
	__u32 source;        /* of the outer header */
	__u8 mac[8];
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1); /* the bench says how many */
	__type(key, struct yard_flow);
	__type(value, struct yard_known);
} yard_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, struct yard_service_key);
	__type(value, struct yard_service);
} yard_services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RING);
	__type(key, __u32);
	__type(value, __u32);
} yard_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct yard_server);
} yard_servers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct yard_settings);
} yard_settings SEC(".maps");

/* Of the service, of the flows that are known and new, and of each server behind these. */
enum { OF_SERVICE, OF_ALL, OF_NEW, OF_SERVERS = 8 };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4096 + OF_SERVERS);
	__type(key, __u32);
	__type(value, struct yard_stats);
} yard_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct yard_newcomers);
} yard_newcomers SEC(".maps");

static __always_inline void add(__u32 at, __u64 bytes)
{
	struct yard_stats *stats = bpf_map_lookup_elem(&yard_stats, &at);

	if (!stats)
		return;
	stats->packets++;
	stats->bytes += bytes;
}

static __always_inline __u32 turn(__u32 word, int by)
{
	return word << by | word >> (32 - by);
}

/* The final mix of Bob Jenkins's lookup3, over address and ports. */
static __always_inline __u32 hash_of(__u32 a, __u32 b, __u32 c)
{
	a += 0xdeadbeef + (2 << 2);
	b += 0xdeadbeef + (2 << 2);
	c += 0xdeadbeef + (2 << 2);
	c ^= b;
	c -= turn(b, 14);
	a ^= c;
	a -= turn(c, 11);
	b ^= a;
	b -= turn(a, 25);
	c ^= b;
	c -= turn(b, 16);
	a ^= c;
	a -= turn(c, 4);
	b ^= a;
	b -= turn(a, 14);
	c ^= b;
	c -= turn(b, 24);
	return c;
}

static __always_inline int too_many(const struct yard_settings *conf, __u64 now_ns)
{
	__u32 zero = 0;
	struct yard_newcomers *seen = bpf_map_lookup_elem(&yard_newcomers, &zero);

	if (!seen)
		return 1;
	if (now_ns - seen->since_ns > SECOND_NS) {
		seen->since_ns = now_ns;
		seen->count = 1;
		return 0;
	}
	return ++seen->count > conf->newcomers_max;
}

static __always_inline __u32 server_for_new(const struct yard_settings *conf, const struct yard_flow *flow)
{
	__u32 at = hash_of(flow->source[0], flow->ports, 0) % RING, *server = bpf_map_lookup_elem(&yard_ring, &at);
	struct yard_known known = {};

	if (!server)
		return 0;
	known.server = *server;
	known.seen_ns = bpf_ktime_get_ns();
	if (!too_many(conf, known.seen_ns))
		bpf_map_update_elem(&yard_flows, flow, &known, BPF_ANY);
	return known.server;
}

static __always_inline __u16 check_of(const struct iphdr *ip)
{
	const __u16 *half = (const __u16 *)ip;
	__u32 sum = 0;
	int i;

#pragma unroll
	for (i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += half[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int encapsulate(struct xdp_md *xdp, const struct yard_settings *conf,
				       const struct yard_server *server, __u16 bytes, __u8 tos)
{
	struct ethhdr *old, *ethernet;
	struct iphdr *ip;

	if (bpf_xdp_adjust_head(xdp, -(int)sizeof(*ip)) < 0)
		return XDP_DROP;
	ethernet = (void *)(long)xdp->data;
	ip = (void *)(ethernet + 1);
	old = (void *)ethernet + sizeof(*ip);
	if ((void *)(old + 1) > (void *)(long)xdp->data_end || (void *)(ip + 1) > (void *)(long)xdp->data_end)
		return XDP_DROP;
	__builtin_memcpy(ethernet->h_source, old->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, conf->mac, ETH_ALEN);
	ethernet->h_proto = bpf_htons(ETH_P_IP);
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = sizeof(*ip) >> 2;
	ip->tos = tos;
	ip->tot_len = bpf_htons(bytes + sizeof(*ip));
	ip->ttl = 64;
	ip->protocol = IPPROTO_IPIP;
	ip->saddr = conf->source;
	ip->daddr = server->address[0];
	ip->check = check_of(ip);
	return XDP_TX;
}

SEC("xdp")
int vipd_yardstick(struct xdp_md *xdp)
{
	void *data = (void *)(long)xdp->data, *end = (void *)(long)xdp->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct yard_service_key wanted = {};
	struct yard_flow flow = {};
	struct yard_settings *conf;
	struct yard_known *known;
	struct yard_service *service;
	struct yard_server *server;
	__u32 zero = 0, number = 0;
	__u16 bytes;
	__u8 tos;

	if ((void *)(tcp + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->frag_off & bpf_htons(0x3fff) || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	bytes = bpf_ntohs(ip->tot_len);
	tos = ip->tos;
	flow.source[0] = ip->saddr;
	flow.target[0] = ip->daddr;
	flow.ports = (__u32)tcp->source << 16 | tcp->dest;
	flow.protocol = ip->protocol;
	wanted.address[0] = ip->daddr;
	wanted.port = tcp->dest;
	wanted.protocol = ip->protocol;
	service = bpf_map_lookup_elem(&yard_services, &wanted);
	conf = bpf_map_lookup_elem(&yard_settings, &zero);
	if (!service || !conf)
		return XDP_PASS;
	add(OF_ALL, 0);
	if (!tcp->syn) {
		known = bpf_map_lookup_elem(&yard_flows, &flow);
		if (known)
			number = known->server;
	}
	if (!number) {
		add(OF_NEW, 0);
		number = server_for_new(conf, &flow);
	}
	server = bpf_map_lookup_elem(&yard_servers, &number);
	if (!number || !server)
		return XDP_DROP;
	add(OF_SERVICE, bytes);
	add(OF_SERVERS + (number & 0xfff), bytes);
	return encapsulate(xdp, conf, server, bytes, tos);
}
