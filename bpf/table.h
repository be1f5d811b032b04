/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Where connections are kept: entries in an array, in the order in which they were first used, and an index (index.h) of
 * buckets of one line of cache each, which a flow's hash leads to.
 *
 * The kernel's own LRU map costs a new flow more than the rest of its path together. Here a packet of a known flow reads
 * two lines, and a new flow writes two, of which the second lies behind that of the flow before.
 *
 * A slot goes from never used (0) to used, and never back: a search ends at the first that was never used. Slot and entry
 * both have the flow's tag, the slot its first bits; a slot whose entry has others is stale, one in 256 of these looks as if
 * it were not: a search compares the flow, and who looks for room may take over that entry as well as any.
 *
 * Who writes an entry that others may see makes its tag TAG_BUSY by an atomic step, and sets the flow's own tag last. Two
 * CPUs that open one flow at the same time may both keep an entry: searches find the same one of the two.
 */
#pragma once

#include "index.h"

#define TAG_BUSY 1
#define TAG_FREED 2

/* What taking over an entry would do, the least first; beside them stands when it was seen. What has ended goes before what
 * has begun, or sends datagrams. What is established is not taken over: a flow that finds no other room is refused. */
#define ROOM_OVER 0
#define ROOM_REPLY_OVER 1
#define ROOM_ENDED 0
#define ROOM_BEGUN (1ULL << 62)
#define ROOM_ESTABLISHED (1ULL << 63)

/* So many entries of a flow's own bucket are choice enough, where they are not established. So many slots of it are looked
 * at, and more only where these leave neither that choice nor a slot that leads nowhere. */
#define ROOM_CHOICE 3
#define ROOM_SLOTS 8
/* Entries that are looked at for one that is over, outside a flow's own bucket; and for one that is not established, where
 * the first ones all are: they may lie together. */
#define ROOM_TRIES 16
#define ROOM_TRIES_MORE 2048

/* The number of a flow's entry; below 0: none. A function that the verifier looks at once. */
__noinline long connection_find(const struct vipd_flow *flow)
{
	__u32 zero = 0, i, tag, slot;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	struct vipd_bucket *bucket;
	struct vipd_entry *entry;
	__u64 hash;

	if (!conf || !flow)
		return -1;
	hash = flow_hash(conf, flow);
	tag = tag_of(hash);
	bucket = bucket_of(conf, hash);
	if (!bucket)
		return -1;
#pragma unroll
	for (i = 0; i < VIPD_BUCKET_SLOTS; i++) {
		slot = slot_at(bucket, (__u32)hash + i);
		if (!slot)
			break;
		if (!is_slot_of(slot, tag))
			continue;
		entry = entry_at(number_of(slot));
		if (entry && is_entry_of(entry, tag, flow))
			return number_of(slot);
	}
	return -1;
}

static __always_inline struct vipd_connection *connection_of(const struct vipd_flow *flow)
{
	long number = connection_find(flow);
	struct vipd_entry *entry;

	if (number < 0)
		return 0;
	entry = entry_at(number);
	return entry ? &entry->connection : 0;
}

/* A client that alone sends datagrams does not keep the real server's entry from being over: that goes second. */
static __always_inline __u64 room_of(const struct vipd_settings *conf, const struct vipd_connection *entry, __u64 now_ns)
{
	__u64 idle_ns = now_ns > entry->seen_ns ? now_ns - entry->seen_ns : 0;
	__u64 over = entry->flags & VIPD_CONNECTION_REPLY ? ROOM_REPLY_OVER : ROOM_OVER;
	__u32 state = entry->state;

	if (state >= VIPD_STATES || idle_ns > conf->timeout_ms[state] * 1000000ULL)
		return over;
	if (state == VIPD_STATE_TIME_WAIT || state == VIPD_STATE_CLOSE)
		return entry->seen_ns | ROOM_ENDED;
	if (state != VIPD_STATE_ESTABLISHED)
		return entry->seen_ns | ROOM_BEGUN;
	/* Of a destination that has gone no packet follows it. */
	if (!(entry->flags & VIPD_CONNECTION_BYPASS) && !destination_at(entry->destination, entry->generation))
		return over;
	return entry->seen_ns | ROOM_ESTABLISHED;
}

enum store {
	STORE_ANY = 0,      /* in the place of the flow's entry, if there is one */
	STORE_NEW = 1,      /* of two CPUs at most one */
	STORE_SEARCHED = 2, /* besides: room_find() has been */
};

#define STORE_TAKEN (-1) /* there is an entry */
#define STORE_BUSY (-2)  /* another CPU was at the same place: try again */
#define STORE_FULL (-3)  /* there is no entry that was never used, or no slot; then, none that may be taken over */
#define STORE_SEARCH (-4) /* the flow's bucket leaves no choice: room_find(), and again */
#define STORE_ATTEMPTS 4

/* An entry for a new flow, and the slot that is to lead to it. */
struct place {
	__u32 slot; /* what is in the slot now */
	__u32 at;
	__u32 number;
	__u32 was; /* the entry's tag now */
};

/* A search in used entries. The stack has no room for it. */
struct room {
	struct place place;
	__u64 now_ns;
	__u64 least;
	__u64 enough; /* to end the search */
	__u64 begin;  /* where the hand was */
	__u64 passed; /* entries that long searches looked at in vain, one after another */
	__u64 cost;   /* of what is taken over */
	__s64 refusal; /* why there is no place: STORE_* */
	__u32 number; /* of the entry that makes room first */
	__u32 was;    /* its tag */
	__u32 free_slot; /* the first of the bucket's that leads nowhere */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

static __always_inline int entry_claim(struct vipd_entry *entry, __u32 was)
{
	return was != TAG_BUSY && __sync_val_compare_and_swap(&entry->connection.tag, was, TAG_BUSY) == was;
}

/* One entry after where the hand was. 1 ends the search. */
static long room_try(__u32 index, void *unused)
{
	__u32 zero = 0, number, was;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	struct room *room = bpf_map_lookup_elem(&rooms, &zero);
	struct vipd_entry *entry;
	__u64 least;

	if (!conf || !room || !conf->connections)
		return 1;
	number = (room->begin + index) % conf->connections;
	entry = entry_at(number);
	if (!entry)
		return 1;
	was = tag_at(entry);
	if (!was || was == TAG_BUSY) /* another CPU is about to use it */
		return 0;
	least = was == TAG_FREED ? ROOM_OVER : room_of(conf, &entry->connection, room->now_ns);
	if (least < room->least) {
		room->least = least;
		room->number = number;
		room->was = was;
	}
	return least <= room->enough;
}

/* The entry elsewhere that makes room first, of a few; of many where those are established, unless as many as there are have
 * been looked at in vain: a table that is full is not searched for every SYN. Nobody calls it but who also calls
 * connection_replace(), beside which the stack has no room for it. */
__noinline long room_find(void)
{
	__u32 zero = 0;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	struct vipd_cursor *at = bpf_map_lookup_elem(&cursor, &zero);
	struct room *room = bpf_map_lookup_elem(&rooms, &zero);
	long tried;

	if (!conf || !at || !room)
		return 0;
	room->least = ~0ULL;
	room->enough = ROOM_REPLY_OVER;
	room->begin = __sync_fetch_and_add(&at->hand, ROOM_TRIES);
	bpf_loop(ROOM_TRIES, room_try, 0, 0);
	if (room->least >= ROOM_ESTABLISHED && room->passed < conf->connections) {
		room->enough = ROOM_ESTABLISHED - 1;
		room->begin += ROOM_TRIES;
		tried = bpf_loop(ROOM_TRIES_MORE, room_try, 0, 0);
		if (tried > 0) { /* past what is taken now: the next flow is not to take it from this one */
			__sync_fetch_and_add(&at->hand, tried);
			room->passed += tried;
		}
	}
	if (room->least < ROOM_ESTABLISHED)
		room->passed = 0;
	return 0;
}

/* All entries have been used: one that is over, of the first in the flow's own bucket; else the one that makes room first,
 * unless that is established. A search for the flow ends at the first slot that was never used: nothing behind it is of
 * use. */
static __always_inline struct vipd_entry *place_find(const struct vipd_settings *conf, const struct vipd_bucket *bucket,
						     __u32 hash, struct room *room, __u32 how)
{
	struct place *place = &room->place;
	__u32 i, slot, seen, choice = 0, free = VIPD_BUCKET_SLOTS;
	__u64 cost, least = ~0ULL;
	struct vipd_entry *entry;
	int elsewhere = 0;

#pragma unroll
	for (i = 0; i < VIPD_BUCKET_SLOTS; i++) {
		if (i >= ROOM_SLOTS && (choice >= ROOM_CHOICE || free < VIPD_BUCKET_SLOTS))
			break;
		slot = slot_at(bucket, hash + i);
		entry = entry_at(number_of(slot));
		if (!entry)
			continue;
		seen = tag_at(entry);
		if (!slot || seen < VIPD_TAG_USED || !is_slot_of(slot, seen)) {
			if (slot && seen < TAG_FREED) /* another CPU is about to use it */
				continue;
			if (free == VIPD_BUCKET_SLOTS) {
				free = (hash + i) % VIPD_BUCKET_SLOTS;
				room->free_slot = slot;
			}
			if (!slot)
				break;
			continue;
		}
		cost = room_of(conf, &entry->connection, room->now_ns);
		choice += cost < ROOM_ESTABLISHED;
		if (cost < least) {
			least = cost;
			place->slot = slot;
			place->at = hash + i;
			place->was = seen;
		}
		if (cost <= ROOM_REPLY_OVER)
			break;
	}
	room->refusal = STORE_BUSY;
	if (least > ROOM_REPLY_OVER && choice < ROOM_CHOICE && free < VIPD_BUCKET_SLOTS) {
		if (!(how & STORE_SEARCHED)) {
			room->refusal = STORE_SEARCH;
			return 0;
		}
		/* An entry that the free slot leads to already: another CPU may have led it there since. */
		elsewhere = room->least < least && room->number != number_of(room->free_slot);
		if (elsewhere)
			least = room->least;
	}
	if (least == ~0ULL)
		return 0;
	room->cost = least;
	if (least >= ROOM_ESTABLISHED) {
		room->refusal = STORE_FULL;
		return 0;
	}
	if (elsewhere) {
		place->number = room->number;
		place->was = room->was;
		place->slot = room->free_slot;
		place->at = free;
	} else {
		place->number = number_of(place->slot);
	}
	entry = entry_at(place->number);
	return entry && entry_claim(entry, place->was) ? entry : 0;
}

/* An entry that nobody has used, if the flow's bucket has a slot for it. Its tag stays 0 until it is written. */
static __always_inline struct vipd_entry *place_fresh(const struct vipd_settings *conf, __u32 at,
							  struct place *place)
{
	__u32 zero = 0;
	struct vipd_cursor *next = bpf_map_lookup_elem(&cursor, &zero);

	if (!next || at >= VIPD_BUCKET_SLOTS || *(volatile __u64 *)&next->used >= conf->connections)
		return 0;
	place->number = __sync_fetch_and_add(&next->used, 1);
	if (!place->number) /* its slot would be 0 */
		place->number = __sync_fetch_and_add(&next->used, 1);
	place->slot = 0;
	place->at = at;
	return entry_at(place->number);
}

static __always_inline void entry_write(struct vipd_entry *entry, const struct vipd_flow *flow,
					const struct vipd_connection *value)
{
	entry->flow = *flow;
	entry->connection.state = value->state;
	entry->connection.flags = value->flags;
	entry->connection.virtual_port = value->virtual_port;
	entry->connection.seen_ns = value->seen_ns;
	entry->connection.destination = value->destination;
	entry->connection.generation = value->generation;
	/* The second line. A client's own entry has the virtual address in its key. */
	if (value->flags & (VIPD_CONNECTION_REPLY | VIPD_CONNECTION_FULLNAT)) {
		entry->connection.virtual_address = value->virtual_address;
		entry->connection.first_ack = value->first_ack;
	}
}

/* After all else of the entry. x86 keeps stores in order: there the packet need not wait for the entry's line. */
static __always_inline void tag_set(struct vipd_entry *entry, __u32 tag)
{
#ifdef __x86_64__
	asm volatile("" ::: "memory");
	*(volatile __u32 *)&entry->connection.tag = tag;
#else
	__sync_lock_test_and_set(&entry->connection.tag, tag);
#endif
}

/* Of two CPUs that wrote one flow, both see the other's entry, or one does. */
static __always_inline int is_twice(const struct vipd_bucket *bucket, __u32 tag, __u32 own, const struct vipd_flow *flow)
{
	struct vipd_entry *entry;
	__u32 i, slot;

#pragma unroll
	for (i = 0; i < VIPD_BUCKET_SLOTS; i++) {
		slot = slot_at(bucket, i);
		if (!slot || !is_slot_of(slot, tag) || number_of(slot) == own)
			continue;
		entry = entry_at(number_of(slot));
		if (entry && is_entry_of(entry, tag, flow))
			return 1;
	}
	return 0;
}

/* Lead a slot to an entry that no search finds yet, and write it. */
static __always_inline long place_take(struct vipd_bucket *bucket, const struct place *place, struct vipd_entry *entry,
				       __u32 tag, const struct vipd_flow *flow, const struct vipd_connection *value,
				       __u32 how)
{
	__u32 *slot = &bucket->slot[place->at % VIPD_BUCKET_SLOTS];

	if (__sync_val_compare_and_swap(slot, place->slot, slot_of(tag, place->number)) != place->slot) {
		tag_set(entry, TAG_FREED);
		return STORE_BUSY;
	}
	entry_write(entry, flow, value);
	if (!(how & STORE_NEW)) {
		tag_set(entry, tag);
		return 0;
	}
	__sync_lock_test_and_set(&entry->connection.tag, tag);
	if (!is_twice(bucket, tag, place->number, flow))
		return 0;
	tag_set(entry, TAG_FREED);
	return STORE_TAKEN;
}

/* Into the flow's own entry, or into one that was never used. */
__noinline long connection_write(const struct vipd_flow *flow, const struct vipd_connection *value, __u32 how)
{
	__u32 zero = 0, i, tag, slot, at = VIPD_BUCKET_SLOTS;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	struct vipd_bucket *bucket;
	struct vipd_entry *entry;
	struct place place = {};
	__u64 hash;

	if (!conf || !flow || !value)
		return STORE_BUSY;
	hash = flow_hash(conf, flow);
	tag = tag_of(hash);
	bucket = bucket_of(conf, hash);
	if (!bucket)
		return STORE_BUSY;
#pragma unroll
	for (i = 0; i < VIPD_BUCKET_SLOTS; i++) {
		slot = slot_at(bucket, (__u32)hash + i);
		if (!slot) {
			at = ((__u32)hash + i) % VIPD_BUCKET_SLOTS;
			break;
		}
		if (!is_slot_of(slot, tag))
			continue;
		entry = entry_at(number_of(slot));
		if (!entry || !is_entry_of(entry, tag, flow))
			continue;
		if (how == STORE_NEW)
			return STORE_TAKEN;
		if (!entry_claim(entry, tag))
			return STORE_BUSY;
		entry_write(entry, flow, value);
		tag_set(entry, tag);
		return 0;
	}
	entry = place_fresh(conf, at, &place);
	return entry ? place_take(bucket, &place, entry, tag, flow, value, how) : STORE_FULL;
}

/* The flow has no entry: into one that has been used. */
__noinline long connection_replace(const struct vipd_flow *flow, const struct vipd_connection *value, __u32 how)
{
	__u32 zero = 0;
	struct vipd_settings *conf = bpf_map_lookup_elem(&settings, &zero);
	struct room *room = bpf_map_lookup_elem(&rooms, &zero);
	struct vipd_bucket *bucket;
	struct vipd_entry *entry;
	__u64 hash;
	long done;

	if (!conf || !room || !flow || !value)
		return STORE_BUSY;
	hash = flow_hash(conf, flow);
	bucket = bucket_of(conf, hash);
	if (!bucket)
		return STORE_BUSY;
	room->now_ns = value->seen_ns;
	entry = place_find(conf, bucket, hash, room, how);
	if (!entry)
		return room->refusal;
	done = place_take(bucket, &room->place, entry, tag_of(hash), flow, value, how);
	if (!done && room->cost >= ROOM_BEGUN)
		count(VIPD_REASON_CONNECTIONS_EVICTED);
	return done;
}

/* 0: the entry is there, with the values of `value`, whose `seen_ns` is now. */
static __always_inline long connection_store(const struct vipd_flow *flow, const struct vipd_connection *value,
					     enum store how)
{
	long done = STORE_BUSY;
	__u32 attempt;

	for (attempt = 0; attempt < STORE_ATTEMPTS && done == STORE_BUSY; attempt++) {
		done = connection_write(flow, value, how);
		if (done == STORE_FULL)
			done = connection_replace(flow, value, how);
		if (done == STORE_SEARCH) {
			room_find();
			done = connection_replace(flow, value, how | STORE_SEARCHED);
		}
	}
	return done;
}
