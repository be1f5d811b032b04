/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What the two hooks say differently. XDP is 0 or 1: an object is of one of them, as it is of one family.
 *
 * On an interface with both, XDP is first and does what it can: TCP and UDP behind plain headers, connections that are
 * known and new ones, by Route, Tunnel and Masq. All else it passes up untouched, and TC does it.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#if XDP
typedef struct xdp_md context;
#define PASS XDP_PASS
#define DROP XDP_DROP
#else
typedef struct __sk_buff context;
/* Other programs and the stack go on with the packet. */
#define PASS TC_ACT_UNSPEC
#define DROP TC_ACT_SHOT
#endif
