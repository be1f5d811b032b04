// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/* The forwarding plane in XDP for IPv6, where vipd_xdp of xdp.bpf.c jumps. */
#define XDP 1
#define IPV6 1

#include "ingress.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("xdp")
int vipd_xdp6(struct xdp_md *xdp)
{
	return ingress(xdp, 0);
}
