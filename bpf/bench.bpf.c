// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/* For benches/ebpf.rs: puts a packet in order again before each run, and jumps to the program that is measured.
 * BPF_PROG_TEST_RUN by itself repeats with the packet as the program left it. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define BYTES 96

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct bench_packet {
	__u32 length;
	__u32 flows;   /* as many sources, one after another */
	__u32 address; /* offset of the last two bytes of the source address */
	__u32 port;    /* offset of the source port */
	__u64 cursor;
	__u8 bytes[BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_packet);
} bench_packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_target SEC(".maps");

/* The same for XDP: a program jumps to those of its kind. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_xdp_target SEC(".maps");

static __always_inline int put(void *data, void *end, __u32 at, __u16 value)
{
	__be16 *place = data + (at & 127);

	if ((void *)(place + 1) > end)
		return -1;
	*place = bpf_htons(value);
	return 0;
}

SEC("xdp")
int vipd_bench_xdp(struct xdp_md *xdp)
{
	__u32 zero = 0, flow, i;
	struct bench_packet *packet = bpf_map_lookup_elem(&bench_packets, &zero);
	void *data, *end;

	if (!packet)
		return XDP_ABORTED;
	if (xdp->data_end - xdp->data > packet->length &&
	    bpf_xdp_adjust_head(xdp, (int)(xdp->data_end - xdp->data) - (int)packet->length) < 0)
		return XDP_ABORTED;
	data = (void *)(long)xdp->data;
	end = (void *)(long)xdp->data_end;
	if (data + BYTES > end)
		return XDP_ABORTED;
#pragma unroll
	for (i = 0; i < BYTES / 8; i++)
		((__u64 *)data)[i] = ((__u64 *)packet->bytes)[i];
	if (packet->flows > 1) {
		flow = packet->cursor++ % packet->flows;
		if (put(data, end, packet->port, 1024 + (flow & 0x7fff)) < 0 ||
		    put(data, end, packet->address, 2 + (flow >> 15)) < 0)
			return XDP_ABORTED;
	}
	bpf_tail_call(xdp, &bench_xdp_target, 0);
	return XDP_PASS; /* nobody to measure: the price of this program itself */
}

SEC("classifier")
int vipd_bench(struct __sk_buff *skb)
{
	__u32 zero = 0, flow;
	struct bench_packet *packet = bpf_map_lookup_elem(&bench_packets, &zero);
	__be16 half;

	if (!packet)
		return TC_ACT_SHOT;
	if (skb->len > packet->length &&
	    bpf_skb_adjust_room(skb, (__s32)packet->length - (__s32)skb->len, BPF_ADJ_ROOM_MAC, 0) < 0)
		return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, 0, packet->bytes, sizeof(packet->bytes), 0) < 0)
		return TC_ACT_SHOT;
	if (packet->flows > 1) {
		flow = packet->cursor++ % packet->flows;
		half = bpf_htons(1024 + (flow & 0x7fff));
		bpf_skb_store_bytes(skb, packet->port, &half, sizeof(half), 0);
		half = bpf_htons(2 + (flow >> 15));
		bpf_skb_store_bytes(skb, packet->address, &half, sizeof(half), 0);
	}
	bpf_tail_call(skb, &bench_target, 0);
	return TC_ACT_UNSPEC; /* nobody to measure: the price of this program itself */
}
