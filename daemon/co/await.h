/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_CO_AWAIT_H
#define DAEMON_CO_AWAIT_H

#include "daemon/base/list.h"
#include "daemon/base/now.h"
#include "daemon/co/coro.h"
#include "daemon/co/loop.h"
#include "proto/xalloc.h"

/* What a coroutine can wait for.  All of these yield, unless it says otherwise. */

/* Sleep until @when.  Returns 0, -ECANCELED, or -ETIMEDOUT if a co_deadline ends before. */
MUST_USE int co_sleep_until(struct mono when);

/* Give way once: others that are ready run first.  0 or -ECANCELED. */
MUST_USE int co_yield(void);

/*
 * Wait until @fd is ready for @want (LOOP_READ, LOOP_WRITE), the deadline
 * passes, or we are cancelled.  Yields even if @fd is ready already, so that a
 * busy peer cannot starve other jobs.
 * Returns 0, -ETIMEDOUT, -ECANCELED, or another negative errno if the loop
 * cannot watch the fd.  Borrows @fd; the caller may close it as soon as this
 * returns.
 */
MUST_USE int co_wait_fd(int fd, unsigned want, struct mono deadline);

/*
 * A value that will be there: set once by anyone on the loop's thread, waited
 * for by any number of coroutines.  Embed it.
 */
struct future {
	bool is_set;
	int result;
	struct list waiters; /* private */
};
void future_init(struct future *f);
/* Set it and wake all waiters.  Setting it twice is a bug (asserted). */
void future_set(struct future *f, int result);
/*
 * 0 with the result in *ret_result (which may be NULL), -ETIMEDOUT or
 * -ECANCELED.  Does not yield if it is set already.  Once future_set() was
 * called the future may be freed, whether its waiters have run or not.
 */
MUST_USE int co_future_wait(struct future *f, struct mono deadline, int *ret_result);

/*
 * Something that happens again and again: a wait returns when it was
 * signalled since the last wait, without yielding if it was so already.  One
 * waiter at a time.  Zero-initialise.
 */
struct signal_flag {
	bool is_up;
	struct coro *waiter; /* private */
};
void signal_flag_raise(struct signal_flag *s);
/* 0, -ETIMEDOUT or -ECANCELED. */
MUST_USE int co_signal_wait(struct signal_flag *s, struct mono deadline);

/*
 * A group owns child coroutines; its owner may not return before all have
 * ended.  co_group_wait() returns 0 when the group is empty; on -ETIMEDOUT or
 * -ECANCELED the members still live: cancel the group and wait again.
 */
struct co_group {
	size_t n_members;
	struct list members; /* private */
	struct coro *waiter; /* private */
	struct coro *owner;  /* private; NULL when made on the loop's stack */
};
void co_group_init(struct co_group *g); /* the running coroutine becomes the owner */
void co_group_spawn(struct co_group *g, coro_fn *fn, void *arg); /* does not yield */
void co_group_cancel(struct co_group *g);			 /* does not yield */
MUST_USE int co_group_wait(struct co_group *g, struct mono deadline);
/* The same, deaf to cancels, for the way out: returns when the group is empty. */
void co_group_join(struct co_group *g);

/*
 * An upper bound for all waits between begin and end: they return -ETIMEDOUT
 * at the latest at @deadline.  Nests; the earliest holds.  Neither yields.
 */
struct co_deadline {
	struct mono outer; /* private */
};
void co_deadline_begin(struct co_deadline *d, struct mono deadline);
void co_deadline_end(struct co_deadline *d);

/*
 * Between these a cancel is kept back, and delivered at the first wait after
 * the end.  Nests.  Neither yields.
 */
void co_shield_begin(void);
void co_shield_end(void);

/*
 * Work that blocks (fsync, rename, getpwuid, tree deletion) on one of a few
 * threads.  The plain form runs done() on the loop's stack afterwards.
 */
struct offload {
	struct loop_task task;		 /* private */
	void (*work)(struct offload *o); /* on a helper thread: no loop calls in there */
	void (*done)(struct offload *o); /* on the loop */
};
void offload_submit(struct offload *o);
/*
 * Finish all that was submitted and end the threads (at shutdown).  The loop
 * is not run: done() follows only if it turns again afterwards.
 */
void offload_fini(void);

/*
 * fn(arg) on a helper thread; returns what it returned.  Not interrupted by a
 * cancel or a deadline (the thread cannot be): they come at the next wait.
 */
int co_offload(int (*fn)(void *arg), void *arg);

#endif
