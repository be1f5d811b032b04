/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* The one definition of what the maps hold; src/lvs/io/ebpf/abi.rs mirrors it, a test compares both
 * through the object's BTF. A change of any size, offset or meaning raises VIPD_ABI_VERSION: a daemon
 * that finds maps of another version rebuilds them.
 *
 * Addresses and ports are in network byte order, all other numbers in the host's. An IPv4 address is
 * written as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2). Reserved bytes are zero.
 */
#pragma once

#include <linux/types.h>

#define VIPD_ABI_VERSION 15

struct vipd_address {
	__be32 word[4];
};

/* What names a service: an address, or a firewall mark with a family (then the address is zero). */
struct vipd_service_key {
	struct vipd_address address;
	__be16 port;
	__u8 protocol; /* IPPROTO_* */
	__u8 family;   /* 4 or 6 */
	__u32 fwmark;
};

/* What the service key leads to. One word, so that no packet reads half of it. */
struct vipd_service_slot {
	__u32 slot;
	__u32 reserved;
};

enum vipd_scheduler {
	VIPD_SCHEDULER_RR = 1,
	VIPD_SCHEDULER_WRR = 2,
	VIPD_SCHEDULER_SH = 3,
	VIPD_SCHEDULER_MH = 4,
	VIPD_SCHEDULER_LC = 5,
	VIPD_SCHEDULER_WLC = 6,
	VIPD_SCHEDULER_SED = 7,
	VIPD_SCHEDULER_NQ = 8,
	VIPD_SCHEDULER_FO = 9,
	VIPD_SCHEDULER_OVF = 10,
	VIPD_SCHEDULER_DH = 11,
	VIPD_SCHEDULER_LBLC = 12,
	VIPD_SCHEDULER_LBLCR = 13,
};

/* The first three are ipvsadm's `-b` flags in their order. */
enum vipd_service_flag {
	VIPD_SERVICE_ONE = 1,
	VIPD_SERVICE_TWO = 2,
	VIPD_SERVICE_THREE = 4,
	VIPD_SERVICE_ONE_PACKET = 8, /* every datagram is scheduled on its own */
	VIPD_SERVICE_LIMITED = 16,   /* one of its destinations has thresholds */
	VIPD_SERVICE_FULLNAT = 32,   /* one of its destinations has this method: XDP opens no connection */
	VIPD_SERVICE_MASQ = 64,      /* one of its destinations has this method: without an entry no answer is known */
};

/* `table` is the generation of the schedule (low half) and its length (high half): one store flips a
 * service from one complete schedule to the next. */
struct vipd_service {
	__u64 table;
	struct vipd_service_key key; /* a program that raced with the reuse of a slot sees it here */
	__u8 scheduler;              /* enum vipd_scheduler; 0: the slot is free */
	__u8 flags;                  /* enum vipd_service_flag */
	__u8 persistence_prefix;     /* leading bits of 128 that make one client; of IPv4 96 and more */
	__u8 reserved;
	__u32 persistence_s;         /* a client stays with its server so long; 0: every connection is scheduled */
	__u32 flood_length;          /* the places from which a hash chooses in a flood of SYNs (flood.h), `table`'s and more
				      * behind them, or fewer; 0: none does, or the scheduler is a hash itself */
	__u32 reserved_more;
};

/* A page of a schedule: slots of destinations. */
#define VIPD_SCHEDULE_PAGE 256

struct vipd_schedule_key {
	__u32 generation;
	__u32 page;
};

struct vipd_schedule_page {
	__u32 destination[VIPD_SCHEDULE_PAGE];
};

enum vipd_forwarding {
	VIPD_FORWARDING_MASQ = 1,
	VIPD_FORWARDING_ROUTE = 2,
	VIPD_FORWARDING_TUNNEL = 3, /* of any two families */
	VIPD_FORWARDING_FULLNAT = 4,
};

enum vipd_tunnel {
	VIPD_TUNNEL_IPIP = 0,
	VIPD_TUNNEL_GUE = 1, /* variant 0, without a checksum */
	VIPD_TUNNEL_GRE = 2, /* without a checksum */
};

enum vipd_destination_flag {
	VIPD_DESTINATION_KEEPS_PORT = 1,   /* Masq leaves the port as it is */
	VIPD_DESTINATION_OTHER_FAMILY = 2, /* a tunnel to an address of the other family than the service's */
};

/* Generation 0: the slot is free. A connection remembers slot and generation, so the connections of a
 * removed destination do not reach the next one in its slot. */
struct vipd_destination {
	struct vipd_address address;
	__be16 port;
	__u8 forwarding; /* enum vipd_forwarding */
	__u8 flags;      /* enum vipd_destination_flag */
	__u32 generation;
	__u32 service; /* its slot */
	__u32 weight;
	__u32 upper_threshold;
	__u32 lower_threshold;
	__u8 tunnel; /* enum vipd_tunnel */
	__u8 reserved;
	__be16 tunnel_port; /* of GUE */
};

/* Who answers from this address and port (0: every one): finds the service of a reply that has no connection
 * entry. */
struct vipd_real_key {
	struct vipd_address address;
	__be16 port;
	__u8 protocol;
	__u8 reserved;
};

struct vipd_real {
	__u32 destination; /* slot */
	__u32 generation;
	__u32 holders; /* destinations with this address and port; only a single one can be told */
	__u32 reserved;
};

struct vipd_flow {
	struct vipd_address source;
	struct vipd_address target;
	__be16 source_port;
	__be16 target_port;
	__u8 protocol;
	__u8 reserved[3];
} __attribute__((aligned(8)));

/* The order is that of vipd_settings.timeout_ms. SCTP has those of TCP. */
enum vipd_state {
	VIPD_STATE_SYN_RECV = 0,
	VIPD_STATE_ESTABLISHED = 1,
	VIPD_STATE_FIN_WAIT = 2,
	VIPD_STATE_TIME_WAIT = 3,
	VIPD_STATE_CLOSE = 4,
	VIPD_STATE_UDP = 5,
	VIPD_STATE_CLOSE_WAIT = 6, /* the client has sent its FIN, and the server's answers come by us */
	VIPD_STATES = 7,
};

enum vipd_connection_flag {
	VIPD_CONNECTION_REPLY = 1,  /* keyed by the real server's packets; its state follows that of the client's entry */
	VIPD_CONNECTION_BYPASS = 2, /* a client's own connection to the real server: leave it alone */
	VIPD_CONNECTION_CLIENT_FIN = 4,
	VIPD_CONNECTION_SERVER_FIN = 8,
	VIPD_CONNECTION_FULLNAT = 16, /* virtual_address is the local one; with REPLY the client's */
};

/* The least tag of an entry with a connection. */
#define VIPD_TAG_USED 4

struct vipd_connection {
	__u32 tag;   /* of its flow's hash; below VIPD_TAG_USED: there is none (table.h) */
	__u8 state; /* enum vipd_state */
	__u8 flags; /* enum vipd_connection_flag */
	__be16 virtual_port;
	__u64 seen_ns;      /* CLOCK_MONOTONIC, up to a tick old */
	__u32 destination;  /* slot */
	__u32 generation;
	struct vipd_address virtual_address;
	__be32 first_ack; /* FullNat with TOA: what acknowledges the server's SYN alone; 0: past the handshake */
	__u32 reserved;
};

/* What most packets look at is in the first 64 bytes: one line of cache. */
struct vipd_entry {
	struct vipd_flow flow;
	struct vipd_connection connection;
	__u8 reserved[40];
};

/* One line of cache of the index: a slot has the first bits of an entry's tag, and in the others its number; 0: never used. No
 * flow has entry 0. */
#define VIPD_BUCKET_SLOTS 16
#define VIPD_NUMBER_BITS 24

struct vipd_bucket {
	__u32 slot[VIPD_BUCKET_SLOTS];
};

/* When a flow of this hash last ended: the monotonic clock in units of 2^33 ns, an odd number; 0: never (ended.h). */
#define VIPD_ENDED 131072

struct vipd_ended {
	__u8 at[VIPD_ENDED];
};

struct vipd_cursor {
	__u64 used; /* entries from this one on were never used, nor was the first; may be greater than all */
	__u64 hand; /* where the search for one that is over goes on */
};

/* The ports of a datagram in fragments, known from its first one. */
struct vipd_fragment_key {
	struct vipd_address source;
	struct vipd_address target;
	__u32 identification;
	__u8 protocol;
	__u8 reserved[3];
};

struct vipd_fragment {
	__be16 source_port;
	__be16 target_port;
};

struct vipd_counters {
	__u64 connections;
	__u64 packets_in;
	__u64 packets_out;
	__u64 bytes_in; /* from the IP header on, as IPVS counts */
	__u64 bytes_out;
};

/* Where the new connections of a persistent client go. */
struct vipd_template_key {
	struct vipd_address client; /* the bits of the service's prefix */
	__u32 service;              /* its slot */
};

struct vipd_template {
	__u64 seen_ns; /* the last connection began */
	__u64 held_ns; /* the census last saw a connection of it; 0: not yet */
	__u32 destination; /* slot */
	__u32 generation;
};

/* Connections of a destination, as the census counted them. */
struct vipd_census {
	__u32 active;   /* TCP that begins or is established, as IPVS counts (tcp_state_active_table) */
	__u32 inactive; /* all others, UDP too */
	__u32 persistent; /* templates */
	__u32 reserved;
};

/* The same as packets count it, for the schedulers that look at it: it misses the connections that end in
 * silence, until user space writes the census over it. Below zero for moments: a sign bit is zero. */
struct vipd_load {
	__u32 active;
	__u32 inactive;
	__u32 overloaded; /* above the upper threshold, and not below the lower one since */
	__u32 reserved;
};

/* Destinations that serve a virtual address for lblc (one) and lblcr (some). */
#define VIPD_LOCALITY_MEMBERS 8

struct vipd_locality_key {
	struct vipd_address target;
	__u32 service; /* its slot */
};

struct vipd_member {
	__u32 destination; /* slot */
	__u32 generation;  /* 0: nobody */
};

struct vipd_locality {
	__u64 changed_ns;
	struct vipd_member member[VIPD_LOCALITY_MEMBERS];
};

/* Where the FullNat connections of a service begin, by its slot. */
#define VIPD_LOCALS 64

enum vipd_locals_flag {
	VIPD_LOCALS_TOA = 1, /* the client's address goes along in TCP's handshake */
};

struct vipd_locals {
	__u32 count;
	__u32 flags; /* enum vipd_locals_flag */
	struct vipd_address address[VIPD_LOCALS];
};

/* How many addresses of this host the plane knows. */
#define VIPD_OWN_ADDRESSES 16384

/* Programs that vipd_ingress and vipd_marked go on with (BPF_MAP_TYPE_PROG_ARRAY). */
enum vipd_program {
	VIPD_PROGRAM_IPV6 = 0,
	VIPD_PROGRAM_FULLNAT = 1,
	VIPD_PROGRAM_FULLNAT6 = 2,
	VIPD_PROGRAM_MARKED6 = 3,
	VIPD_PROGRAM_REFUSE = 4,
	VIPD_PROGRAM_REFUSE6 = 5,
	VIPD_PROGRAM_TELL = 6,
	VIPD_PROGRAM_TELL6 = 7,
	VIPD_PROGRAM_OUTER = 8,
	VIPD_PROGRAM_OUTER6 = 9,
	VIPD_PROGRAM_INSIDE = 10,
	VIPD_PROGRAM_INSIDE6 = 11,
	VIPD_PROGRAMS = 12,
};

/* The same for vipd_xdp. */
enum vipd_xdp_program {
	VIPD_XDP_PROGRAM_IPV6 = 0,
	VIPD_XDP_PROGRAMS = 1,
};

/* What XDP may do at an interface, by its index; those with a greater index are left to TC. */
#define VIPD_PORTS 4096

enum vipd_port_flag {
	VIPD_PORT_ON = 1,       /* XDP serves what comes in here */
	VIPD_PORT_GENERIC = 2,  /* by generic XDP, which can send to every interface of Ethernet */
	VIPD_PORT_BACK = 4,     /* native XDP sends back by XDP_TX */
	VIPD_PORT_TARGET = 8,   /* takes frames that native XDP redirects to it */
	VIPD_PORT_ETHERNET = 16,
	VIPD_PORT_OFFLOADS = 32, /* what comes in may have a checksum that a device was to finish */
};

struct vipd_port {
	__u8 mac[6];
	__u8 flags; /* enum vipd_port_flag */
	__u8 reserved;
};

/* Words of the fence's deadlines behind those of its virtual routers (fence.bpf.c). */
#define VIPD_FENCE_EARLIEST 4096 /* the first one to come, nanoseconds of CLOCK_MONOTONIC; all ones: none */
#define VIPD_FENCE_REFUSED 4097  /* addresses for which packets are refused */
#define VIPD_FENCE_WORDS 4098

/* Random words that keep secret which flows meet in a bucket. */
#define VIPD_HASH_KEYS 10

struct vipd_settings {
	__u32 abi_version; /* written last: 0 while the maps are being made */
	__u32 generation;  /* the last one given away, so that a restart of the daemon gives none twice */
	__u32 changing;    /* user space is at work: a daemon that finds it set writes all schedules again */
	__u32 way_ms;      /* a way out is remembered so long; 0: routes depend on more than where a packet goes to */
	__u32 timeout_ms[VIPD_STATES]; /* a connection not seen for so long is none */
	__u32 local_port_first; /* ports that FullNat gives, in the host's order */
	__u32 local_port_last;
	__u32 connections; /* entries of the map */
	__u32 buckets;     /* of the index of connections */
	__u32 destinations; /* slots from this one on were never used */
	__u32 quiescent_keeps; /* a persistent client with a new connection stays with a server of weight 0 */
	__u32 hash_key[VIPD_HASH_KEYS];
};

/* Why a packet was not forwarded, or not as its service wished. */
enum vipd_reason {
	VIPD_REASON_NO_DESTINATION = 0,     /* passed up: the service has no destination with a weight */
	VIPD_REASON_NO_CONNECTION = 1,      /* passed up: TCP or SCTP, no SYN, and the scheduler keeps its choice in the entry */
	VIPD_REASON_NO_ROUTE = 2,           /* not forwarded, and a client told: no route to the next hop */
	VIPD_REASON_FORWARDING_OFF = 3,     /* dropped: net.ipv4.ip_forward (IPv6: net.ipv6.conf.IF.forwarding) is off */
	VIPD_REASON_TOO_BIG = 4,            /* not forwarded, and told: larger than the MTU of the way out */
	VIPD_REASON_TTL = 5,                /* not forwarded, and told: the hop limit is used up */
	VIPD_REASON_FRAGMENT = 6,           /* passed up: a fragment whose first one was not seen */
	VIPD_REASON_CONNECTIONS_FULL = 7,   /* all entries are established: a new flow dropped, or sent on without one */
	VIPD_REASON_CHANGING = 8,           /* dropped: its service changed under it */
	VIPD_REASON_MALFORMED = 9,          /* passed up: shorter than its own headers */
	VIPD_REASON_REWRITE = 10,           /* dropped: the kernel refused to rewrite it */
	VIPD_REASON_ADOPTED = 11,           /* forwarded: the flow began at another director, or in a flood */
	VIPD_REASON_EXTENSION = 12,         /* passed up: IPv6 headers that the plane does not follow */
	VIPD_REASON_NO_LOCAL_ADDRESS = 13,  /* dropped: FullNat, and its service has no local addresses */
	VIPD_REASON_LOCAL_PORTS_FULL = 14,  /* dropped: FullNat found no local port that is free */
	VIPD_REASON_FORGED = 15,            /* dropped: a client's data says who the client is (TOA) */
	VIPD_REASON_SYN_FLOOD = 16,         /* forwarded without an entry: the scheduler will choose the same once more */
	VIPD_REASON_NO_NEIGHBOUR = 17,      /* given to the kernel, which has asked for its next hop in vain for a second */
	VIPD_REASON_CUT = 18,               /* forwarded in fragments: larger than the MTU of the way out */
	VIPD_REASON_CONNECTIONS_EVICTED = 19, /* an entry, neither established nor over, that made room for another flow's */
	VIPD_REASONS = 20,
};
