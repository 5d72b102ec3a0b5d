/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_CO_LOOP_H
#define DAEMON_CO_LOOP_H

#include "daemon/base/heap.h"
#include "daemon/base/now.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The one event loop of the process, on libevent (which only loop.c
 * knows).  One turn: wait for fds and the head of the
 * timer heap, run their callbacks, then the run step: posted tasks, deferred
 * tasks and ready coroutines, bounded by count and time, so that no burst
 * starves the fds.  All callbacks run on the loop's own stack and never
 * yield.  Everything here is for the loop's thread, except loop_post().
 */
int loop_init(void); /* 0 or negative errno */
void loop_fini(void);
void loop_run(void);  /* until loop_stop() */
void loop_stop(void); /* the current turn is finished first */
/*
 * One turn; waits for something to happen if @may_wait and nothing is ready.
 * Returns whether more is ready.
 */
bool loop_turn(bool may_wait);
/*
 * For tests: turns without waiting until nothing is ready, no timer is due and
 * a turn found no descriptor to report.  Helper threads are not waited for.
 */
void loop_run_until_idle(void);

/* A call that runs later.  Embed it; it is queued at most once at a time. */
struct loop_task {
	struct loop_task *next;
	void (*fn)(struct loop_task *task);
	bool is_queued; /* private */
};
/*
 * Run @task->fn in the run step.  A no-op when it is queued already.  From
 * inside a task it means the next step, which may be of the same turn as long
 * as that was short; one that queues itself does not hold up the rest.
 */
void loop_defer(struct loop_task *task);
/* The same from any thread; wakes the loop.  The caller makes sure @task is queued only once. */
void loop_post(struct loop_task *task);
/* The same for a chain of @next-linked tasks, in order, with one wake-up. */
void loop_post_chain(struct loop_task *first, struct loop_task *last);

/* A monotonic timer, precise (never early).  Zero-initialise and set fn. */
struct loop_timer {
	struct heap_slot slot;
	void (*fn)(struct loop_timer *timer);
};
/* Moves one that is set; MONO_NEVER cancels. */
void loop_timer_set(struct loop_timer *timer, struct mono when);
void loop_timer_cancel(struct loop_timer *timer); /* no-op when not set */
bool loop_timer_is_set(const struct loop_timer *timer);

enum {
	LOOP_READ = 1 << 0,
	LOOP_WRITE = 1 << 1,
};
/* A watched descriptor.  Level-triggered, persistent.  The fd is borrowed. */
struct event;
struct loop_fd {
	int fd;
	unsigned want;
	void (*fn)(struct loop_fd *lfd, unsigned ready);
	struct event *event; /* private, owns */
};
/* Start watching; @want may be 0 for "not now".  0 or negative errno. */
int loop_fd_open(struct loop_fd *lfd, int fd, unsigned want,
		 void (*fn)(struct loop_fd *lfd, unsigned ready));
int loop_fd_want(struct loop_fd *lfd, unsigned want);
/* Stop watching; before the fd is closed.  No-op on a zeroed one. */
void loop_fd_close(struct loop_fd *lfd);

/* Signals as loop callbacks (self-pipe inside libevent). 0 or negative errno. */
int loop_on_signal(int signo, void (*fn)(int signo));

struct loop_stats {
	uint64_t turns;
	int64_t lag_last_us; /* how long the last turn's callbacks and run step took */
	int64_t lag_max_us;  /* the longest since the last loop_stats() */
};
void loop_stats(struct loop_stats *ret);

#endif
