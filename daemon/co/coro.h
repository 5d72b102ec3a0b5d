/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_CO_CORO_H
#define DAEMON_CO_CORO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/now.h"

/*
 * Coroutines.  The contract:
 *
 *  1. Only coro and stack switch stacks.  One loop thread; other threads only
 *     post to the loop.  What blocks goes through co_offload().
 *  2. coro_wake() marks ready and returns; the run step resumes, bounded by
 *     count and time per turn.  A wake-up never runs anything inline.
 *  3. Library callbacks stay on the loop's stack, never yield, only wake.
 *     JSON is parsed and printed there: co_on_loop_stack().
 *  4. A cancel delivers -ECANCELED once; it outranks a timeout.  A normal
 *     wake that is queued already is delivered first, the cancel then comes
 *     at the next wait.  Later waits work again, so that clean-up may wait.
 *  5. A coroutine that has never run has no stack: it is attached at the
 *     first resume.  Cancelled before that, it is finished on the spot.  One
 *     that has started is freed only after its function has returned.
 *  6. Every wait has an absolute monotonic deadline, MONO_NEVER included.
 *  7. Parents own children: a function may not return while a group of its
 *     own has members.
 *  8. Across a co_ call hold no iterator, no borrowed pointer, no static
 *     buffer, no expectation about errno.
 *  9. The stack's size is one of a few classes; guard page, pool, high-water
 *     census in test builds, sanitizer and valgrind hooks.
 *
 * Functions that may yield begin with co_ and run on a coroutine only.
 */
struct coro;

enum coro_stack {
	CORO_STACK_SMALL, /* 64 KiB */
	CORO_STACK_LARGE, /* 256 KiB */
	N_CORO_STACKS
};

typedef void coro_fn(void *arg);
/*
 * Called on the loop's stack when the coroutine is over; @ran is false if it
 * was cancelled before its first step.  The coroutine is gone afterwards.
 */
typedef void coro_ended_fn(void *arg, bool ran);

/* A new coroutine, ready: its first step is in the run step, never in here.  @ended may be NULL. */
struct coro *coro_spawn(coro_fn *fn, void *arg, enum coro_stack stack, coro_ended_fn *ended);
/* The same, but its first step comes no earlier than @when.  Until then it is a small record. */
struct coro *coro_spawn_at(struct mono when, coro_fn *fn, void *arg, enum coro_stack stack,
			   coro_ended_fn *ended);

/*
 * Ask @co to end: its current or next wait returns -ECANCELED, once.  A
 * second cancel before the first is delivered is the same one.  Inside
 * co_shield_begin() ... co_shield_end() it is kept back until the end.
 */
void coro_cancel(struct coro *co);

struct coro *coro_self(void); /* the running one, NULL on the loop's stack */
bool coro_is_cancelled(void); /* a cancel was delivered to, or waits for, the running one */

/*
 * The two primitives under every wait.  co_suspend() gives way until
 * coro_wake(co, result) and returns its result, or -ECANCELED; at the latest
 * -ETIMEDOUT at the deadline of co_deadline_begin().  co_suspend_until() has
 * a deadline of its own as well.  If a cancel waits already, both return
 * -ECANCELED without giving way.
 *
 * A wake for a coroutine that is not suspended, or is woken already, is a bug
 * (asserted).  A cancel or a deadline may have been first, so whoever wakes
 * asks coro_is_waiting() before, and the waiter, once it is back, takes
 * itself off whatever could still wake it.
 */
int co_suspend(void);
int co_suspend_until(struct mono deadline);
bool coro_is_waiting(const struct coro *co); /* suspended, and nothing has woken it yet */
void coro_wake(struct coro *co, int result);

/*
 * Run fn(arg) on the loop's stack at once and come back: for library calls
 * that need real stack (curl, jansson).  No other coroutine runs meanwhile;
 * fn may wake, never wait.  On the loop's stack it is a plain call.
 */
void co_on_loop_stack(void (*fn)(void *arg), void *arg);

struct coro_stats {
	size_t n_live;		 /* coroutines that exist */
	size_t n_stacks;	 /* of these, with a stack */
	size_t n_pooled;	 /* stacks kept for the next, with or without memory */
	size_t stack_high_bytes; /* deepest use seen; 0 unless this is a census build */
	const char *guard;	 /* the weakest in use: "madvise", "mprotect", "canary" */
	const char *substrate;	 /* how stacks are switched: "x86-64", "aarch64", "ucontext" */
};
void coro_stats(struct coro_stats *ret);

/*
 * For the loop only.  Resume what is ready, at most @max_resumes times or
 * until @budget_us is over; returns how often.  One that gave way by
 * co_yield() comes again in the next call.  coro_has_ready() tells whether
 * more is ready.  coro_fini() frees the pools; no coroutine may be left.
 */
unsigned coro_run_ready(unsigned max_resumes, int64_t budget_us);
bool coro_has_ready(void);
void coro_fini(void);

#endif
