/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* SCTP (RFC 9260): what its chunks mean for a connection, and its checksum.
 *
 * The checksum (CRC32c, RFC 9260 appendix A) covers no address, but the ports. It is linear: a change of the ports
 * changes it by the CRC of that change followed by as many zeros as the packet is long, so no payload is read.
 */
#pragma once

#include "packet.h"

struct sctp_head {
	__be16 source;
	__be16 target;
	__be32 tag;
	__u32 checksum; /* in the order of its bits: little-endian */
	__u8 chunk;     /* type of the first chunk */
	__u8 flags;
	__be16 length;
};

/* The first chunk in the words of TCP's state machine. */
static __always_inline __u8 sctp_flags(__u8 chunk)
{
	switch (chunk) {
	case 1: /* INIT */
		return TCP_SYN;
	case 2: /* INIT ACK */
		return TCP_SYN | TCP_ACK;
	case 6:  /* ABORT */
	case 14: /* SHUTDOWN COMPLETE */
		return TCP_RST;
	case 7: /* SHUTDOWN */
	case 8: /* SHUTDOWN ACK */
		return TCP_FIN | TCP_ACK;
	default:
		return TCP_ACK;
	}
}

/* All ones where a bit is set. Without branches: the verifier would follow all of them. */
static __always_inline __u32 mask_of(__u32 bit)
{
	__u32 mask = -(bit & 1);

	asm volatile("" : "+r"(mask));
	return mask;
}

/* a * b modulo the polynomial of CRC32c, bits reflected: the highest bit is x^0. */
static __always_inline __u32 crc32c_multiply(__u32 a, __u32 b)
{
	__u32 product = 0, i;

	for (i = 0; i < 32; i++) {
		product ^= b & mask_of(a >> (31 - i));
		b = b >> 1 ^ (0x82f63b78 & mask_of(b));
	}
	return product;
}

/* What the checksum changes by where the first four bytes of a packet of `length` bytes change by `change` (as a
 * little-endian number): change * x^(8 * length). A function that the verifier looks at once. */
__noinline __u32 crc32c_shift(__u32 change, __u32 length)
{
	__u32 power = 0x00800000; /* x^8 */
	__u32 i, taken;

	for (i = 0; i < 16; i++) {
		taken = mask_of(length >> i);
		change = (crc32c_multiply(change, power) & taken) | (change & ~taken);
		power = crc32c_multiply(power, power);
	}
	return change;
}

/* A port of a packet whose transport header and payload have `length` bytes. */
static __always_inline int sctp_replace_port(struct __sk_buff *skb, __u32 l4, enum side side, __be16 from, __be16 to,
					     __u32 length)
{
	__u32 check_at = l4 + offsetof(struct sctp_head, checksum), checksum, change = from ^ to;

	if (bpf_skb_load_bytes(skb, check_at, &checksum, sizeof(checksum)) < 0)
		return -1;
	/* The source port is first in memory, so in the low half. */
	change = crc32c_shift(side == SOURCE ? change : change << 16, length);
	/* 0: the device that sends it is to compute it (CHECKSUM_PARTIAL). */
	if (checksum) {
		checksum ^= change;
		if (bpf_skb_store_bytes(skb, check_at, &checksum, sizeof(checksum), 0) < 0)
			return -1;
	}
	return bpf_skb_store_bytes(skb, l4 + (side == SOURCE ? 0 : 2), &to, sizeof(to), 0);
}
