/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* From a flow to the few entries that may be its own. The index is small, since its lines are far apart, and an address in a
 * page that was not used lately costs as much as the line: with slots of 64 bits a packet of one of 64k flows took half as
 * long again. */
#pragma once

#include "lookup.h"

/* NH (RFC 4418 section 5.2.2): without the key nobody finds flows that meet in a bucket. */
static __always_inline __u64 flow_hash(const struct vipd_settings *conf, const struct vipd_flow *flow)
{
	const __u32 *key = conf->hash_key;
	__u32 ports = *(const word32 *)&flow->source_port, protocol = *(const word32 *)&flow->protocol;
	__u64 hash;

	hash = (__u64)(__u32)(key[0] + flow->source.word[3]) * (__u32)(key[1] + flow->target.word[3]);
	hash += (__u64)(__u32)(key[2] + ports) * (__u32)(key[3] + protocol);
	if (IPV6) {
		hash += (__u64)(__u32)(key[4] + flow->source.word[0]) * (__u32)(key[5] + flow->source.word[1]);
		hash += (__u64)(__u32)(key[6] + flow->source.word[2]) * (__u32)(key[7] + flow->target.word[0]);
		hash += (__u64)(__u32)(key[8] + flow->target.word[1]) * (__u32)(key[9] + flow->target.word[2]);
	}
	/* For flows that differ little NH is nearly a line: the finalizer of MurmurHash3 bends it. */
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdULL;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return hash ^ hash >> 33;
}

static __always_inline __u32 tag_of(__u64 hash)
{
	return (__u32)hash | VIPD_TAG_USED;
}

static __always_inline struct vipd_bucket *bucket_of(const struct vipd_settings *conf, __u64 hash)
{
	__u32 at = (hash >> 32) * conf->buckets >> 32;

	return bpf_map_lookup_elem(&buckets, &at);
}

static __always_inline __u32 slot_at(const struct vipd_bucket *bucket, __u32 at)
{
	return *(volatile const __u32 *)&bucket->slot[at % VIPD_BUCKET_SLOTS];
}

static __always_inline __u32 slot_of(__u32 tag, __u32 number)
{
	return tag >> VIPD_NUMBER_BITS << VIPD_NUMBER_BITS | number;
}

static __always_inline __u32 number_of(__u32 slot)
{
	return slot & ((1U << VIPD_NUMBER_BITS) - 1);
}

static __always_inline int is_slot_of(__u32 slot, __u32 tag)
{
	return slot >> VIPD_NUMBER_BITS == tag >> VIPD_NUMBER_BITS;
}

static __always_inline __u32 tag_at(const struct vipd_entry *entry)
{
	return *(volatile const __u32 *)&entry->connection.tag;
}

static __always_inline struct vipd_entry *entry_at(__u32 number)
{
	return bpf_map_lookup_elem(&connections, &number);
}

static __always_inline int is_entry_of(const struct vipd_entry *entry, __u32 tag, const struct vipd_flow *flow)
{
	const word64 *a = (const word64 *)&entry->flow, *b = (const word64 *)flow;
	const word32 *c = (const word32 *)&entry->flow.source_port, *d = (const word32 *)&flow->source_port;

	return tag_at(entry) == tag && !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) |
					 (c[0] ^ d[0]) | (c[1] ^ d[1]));
}
