// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/* The forwarding plane for IPv6, where vipd_ingress of vipd.bpf.c jumps. */
#define XDP 0
#define IPV6 1

#include "ingress.h"
#include "marked.h"
#include "outer.h"
#include "tell.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("classifier")
int vipd_ingress6(struct __sk_buff *skb)
{
	return ingress(skb, 0);
}

SEC("classifier")
int vipd_fullnat6(struct __sk_buff *skb)
{
	return fullnat_go_on(skb);
}

SEC("classifier")
int vipd_marked6(struct __sk_buff *skb)
{
	return marked(skb);
}

SEC("classifier")
int vipd_refuse6(struct __sk_buff *skb)
{
	return refuse(skb);
}

SEC("classifier")
int vipd_tell6(struct __sk_buff *skb)
{
	return tell_go_on(skb);
}

SEC("classifier")
int vipd_outer6(struct __sk_buff *skb)
{
	return outer_go_on(skb);
}

SEC("classifier")
int vipd_inside6(struct __sk_buff *skb)
{
	return inside_go_on(skb);
}
