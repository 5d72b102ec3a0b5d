/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_CALENDAR_H
#define DAEMON_JOB_CALENDAR_H

#include "daemon/base/heap.h"
#include "daemon/base/now.h"

/*
 * What is due when.  Pure: the caller says what time it is.  Two heaps,
 * because two clocks decide (R5.1): elapsed time with suspend for delays and
 * sleeps, the wall clock for "at" and for what was written in another boot.
 */
struct calendar {
	struct heap boot; /* key: ns of CLOCK_BOOTTIME */
	struct heap wall; /* key: ms since 1970 */
};

void calendar_fini(struct calendar *c);
/*
 * Enter what @slot stands for; it is in no heap.  An instant without a boot
 * time follows the wall clock.  @tie decides between equal instants.
 */
void calendar_add(struct calendar *c, struct heap_slot *slot, int64_t tie, struct instant when);
/* No-op when it is not in there.  A slot that other heaps use too must not be in one of them. */
void calendar_remove(struct calendar *c, struct heap_slot *slot);
/* Take out what is due by then, or NULL. */
struct heap_slot *calendar_pop_due(struct calendar *c, struct boot boot, struct wall wall);

struct calendar_next {
	struct boot boot; /* INT64_MAX = none */
	struct wall wall;
};
struct calendar_next calendar_next(const struct calendar *c);
/* The earlier of two, clock by clock. */
struct calendar_next calendar_earlier(struct calendar_next a, struct calendar_next b);

#endif
