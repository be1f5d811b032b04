// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/* The forwarding plane in XDP: IPv4 here, IPv6 by a jump to the other object (xdp6.bpf.c). They share the maps of
 * vipd.bpf.c, and leave to it all that is not plain. */
#define XDP 1
#define IPV6 0

#include "ingress.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("xdp")
int vipd_xdp(struct xdp_md *xdp)
{
	struct ethhdr *ethernet = (void *)(long)xdp->data;
	__be16 protocol;

	if ((void *)(ethernet + 1) > (void *)(long)xdp->data_end)
		return PASS;
	protocol = ((const word16 *)(ethernet + 1))[-1]; /* its type */
	if (protocol == bpf_htons(ETH_P_IP))
		return ingress(xdp, 0);
	if (protocol == bpf_htons(ETH_P_IPV6))
		bpf_tail_call(xdp, &xdp_programs, VIPD_XDP_PROGRAM_IPV6);
	return PASS;
}
