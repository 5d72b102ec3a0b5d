/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/lookup.h"

#include <assert.h>
#include <stdint.h>

#include "daemon/co/loop.h"

/* glibc gives up after two rounds of 5 s at up to three servers that do not answer. */
#define ABANDONED_US (INT64_C(30) * 1000000)

static struct {
	unsigned n_taken;
	struct list waiting;
	struct loop_timer abandoned[LOOKUPS_MAX];
} lookups = {
	.waiting = { &lookups.waiting, &lookups.waiting },
};

/* The place goes to the one who waits longest. */
static void release(void)
{
	struct list *first = list_pop(&lookups.waiting);
	struct lookup *next;

	assert(lookups.n_taken > 0);
	if (!first) {
		lookups.n_taken--;
		return;
	}
	next = container_of(first, struct lookup, link);
	next->is_held = true;
	signal_flag_raise(next->flag);
}

int co_lookup_begin(struct lookup *l, struct signal_flag *flag, struct mono deadline)
{
	assert(!l->is_held);
	if (lookups.n_taken < LOOKUPS_MAX) {
		lookups.n_taken++;
		l->is_held = true;
		return 0;
	}
	l->flag = flag;
	list_add_tail(&lookups.waiting, &l->link);
	while (!l->is_held) {
		int r = co_signal_wait(flag, deadline);

		if (r < 0) {
			list_remove(&l->link);
			lookup_end(l); /* given to us in the same moment */
			return r;
		}
	}
	return 0;
}

void lookup_end(struct lookup *l)
{
	if (!l->is_held)
		return;
	l->is_held = false;
	release();
}

static void on_abandoned(struct loop_timer *timer)
{
	(void)timer;
	release();
}

void lookup_abandon(struct lookup *l)
{
	if (!l->is_held)
		return;
	l->is_held = false;
	for (size_t i = 0; i < LOOKUPS_MAX; i++) {
		struct loop_timer *t = &lookups.abandoned[i];

		if (loop_timer_is_set(t))
			continue;
		t->fn = on_abandoned;
		loop_timer_set(t, mono_in_us(ABANDONED_US));
		return;
	}
	assert(!"more look-ups than places");
}

void lookup_fini(void)
{
	for (size_t i = 0; i < LOOKUPS_MAX; i++) {
		if (!loop_timer_is_set(&lookups.abandoned[i]))
			continue;
		loop_timer_cancel(&lookups.abandoned[i]);
		release();
	}
}
