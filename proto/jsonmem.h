/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JSONMEM_H
#define PROTO_JSONMEM_H

/*
 * Give jansson a memory of its own: a request is some fifty small pieces, all
 * let go of soon after, which is more than the C library keeps at hand.
 * Pieces that are let go of are kept by size, up to a bound, and given out
 * again, the last one first.  Call it once, before the first JSON value is
 * made.  No-op where an analyser watches over the memory.
 */
void jsonmem_init(void);

#endif
