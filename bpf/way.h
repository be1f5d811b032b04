/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What the kernel's routes are asked. */
#pragma once

#include "packet.h"

#define AF_INET 2
#define AF_INET6 10

static __always_inline void way_ends(struct bpf_fib_lookup *fib, int version, const struct vipd_address *source,
				     const struct vipd_address *target)
{
	if (version == 6) {
		fib->family = AF_INET6;
		if (source)
			__builtin_memcpy(fib->ipv6_src, source, sizeof(*source));
		__builtin_memcpy(fib->ipv6_dst, target, sizeof(*target));
	} else {
		fib->family = AF_INET;
		fib->ipv4_src = source ? source->word[3] : 0;
		fib->ipv4_dst = target->word[3];
	}
}
