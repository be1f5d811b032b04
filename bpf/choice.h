/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The hashes of sh, dh and mh: IPVS's own, so that a client has one server by either plane. The orders that they
 * choose from are made in user space (src/lvs/io/ebpf/schedule.rs), IPVS's as well. */
#pragma once

#include "maps.h"

/* GOLDEN_RATIO_32 (linux/hash.h) */
#define HASH_RATIO 0x61c88647U
/* Half of mh's key; the halves are alike (ip_vs_mh.c, generate_hash_secret) */
#define MH_KEY 2654435761ULL

/* An address as 32 bits: of IPv6 the four words, each on the others. */
static __always_inline __u32 folded(const struct vipd_address *address, __u8 family)
{
	__be32 word = address->word[3];

	if (family == 6)
		word ^= address->word[0] ^ address->word[1] ^ address->word[2];
	return bpf_ntohl(word);
}

static __always_inline __u64 rotated(__u64 word, __u32 by)
{
	return word << by | word >> (64 - by);
}

/* Of four words of SipHash's state (Aumasson, Bernstein, "SipHash", section 2.2). */
static __always_inline void sip_round(__u64 state[4])
{
	state[0] += state[1];
	state[1] = rotated(state[1], 13) ^ state[0];
	state[0] = rotated(state[0], 32);
	state[2] += state[3];
	state[3] = rotated(state[3], 16) ^ state[2];
	state[0] += state[3];
	state[3] = rotated(state[3], 21) ^ state[0];
	state[2] += state[1];
	state[1] = rotated(state[1], 17) ^ state[2];
	state[2] = rotated(state[2], 32);
}

/* hsiphash (linux/siphash.h) of four bytes on a host of 64 bits: SipHash-1-3. A function that the verifier looks at
 * once. */
__noinline __u32 mh_hash(__u32 value)
{
	__u64 word = 4ULL << 56 | value; /* the length on top */
	__u64 state[4] = {
		0x736f6d6570736575ULL ^ MH_KEY,
		0x646f72616e646f6dULL ^ MH_KEY,
		0x6c7967656e657261ULL ^ MH_KEY,
		0x7465646279746573ULL ^ MH_KEY ^ word,
	};

	sip_round(state);
	state[0] ^= word;
	state[2] ^= 0xff;
	sip_round(state);
	sip_round(state);
	sip_round(state);
	return state[0] ^ state[1] ^ state[2] ^ state[3];
}

/* The upper bits of the product, as hash_32; of any number of buckets. */
static __always_inline __u32 bucket(__u32 value, __u32 buckets)
{
	return (__u64)(value * HASH_RATIO) * buckets >> 32;
}

/* What a scheduler that is a hash hashes. Flag TWO is sh-port and mh-port: the port decides too. */
static __always_inline __u32 hashed_value(const struct vipd_service *service, const struct vipd_flow *flow)
{
	if (service->scheduler == VIPD_SCHEDULER_DH)
		return folded(&flow->target, service->key.family);
	return folded(&flow->source, service->key.family) +
	       (service->flags & VIPD_SERVICE_TWO ? bpf_ntohs(flow->source_port) : 0);
}

/* Where in an order of that length, which is not 0. */
static __always_inline __u32 hashed_place(__u8 scheduler, __u32 value, __u32 length)
{
	return scheduler == VIPD_SCHEDULER_MH ? mh_hash(value) % length : bucket(value, length);
}

/* sh-fallback and mh-fallback: clients of a destination that takes none go to others. */
static __always_inline int falls_back(const struct vipd_service *service)
{
	return service->flags & VIPD_SERVICE_ONE &&
	       (service->scheduler == VIPD_SCHEDULER_SH || service->scheduler == VIPD_SCHEDULER_MH);
}

/* The place of attempt 1, 2, ... after the one at `first` (ip_vs_sh_get_fallback, ip_vs_mh_get_fallback). */
static __always_inline __u32 fallback_place(__u8 scheduler, __u32 value, __u32 first, __u32 attempt, __u32 length)
{
	__u32 offset = (first + attempt - 1) % length;

	return scheduler == VIPD_SCHEDULER_MH ? mh_hash(value + offset) % length : (first + offset) % length;
}
