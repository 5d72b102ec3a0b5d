/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/history.h"

#include "daemon/co/await.h"
#include "daemon/co/loop.h"
#include "daemon/conf.h"
#include "daemon/job/jobdir.h"
#include "daemon/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/*
 * Two chains of requests, each with one in flight: prunes, until nothing more
 * may go, and sweeps, which remove directories a batch at a time.
 */

#define AFTER_END_US INT64_C(1000000)	     /* from an end to the look that it causes */
#define RETRY_US INT64_C(60000000)	     /* after a full disk, or a directory that stays */
#define LOOK_AT_LEAST_US INT64_C(3600000000) /* clocks are set, files get unstuck */

static struct {
	struct store *store; /* borrowed; NULL = stopped */
	struct loop_timer timer;
	struct mono timer_at; /* MONO_NEVER = not set */

	struct store_prune prune;
	bool is_pruning, prune_again;
	uint64_t n_pruned; /* by this chain of steps */

	struct store_sweep sweep;
	bool is_sweeping, sweep_again;
	struct offload offload;
	int64_t away[STORE_SWEEP_MAX]; /* of sweep.ids, those whose directories are away */
	size_t n_away, n_stuck;
	int stuck_error;   /* a negative errno */
	int64_t stuck_job; /* the first one */
} history;

/* ---- when ---- */

/* Look again at @when at the latest. */
static void set_timer(struct mono when)
{
	if (when.ns >= history.timer_at.ns)
		return;
	history.timer_at = when;
	loop_timer_set(&history.timer, when);
}

void history_note_end(void)
{
	if (history.store && !history.is_pruning)
		set_timer(mono_in_us(AFTER_END_US));
}

/* ---- pruning ---- */

static int64_t limit_of(int64_t setting)
{
	return setting > 0 ? setting : INT64_MAX;
}

static void on_pruned(struct store_op *op);

static void prune_step(void)
{
	history.is_pruning = true;
	history.prune_again = false;
	history.prune = (struct store_prune){
		.op = { .type = STORE_PRUNE, .done = on_pruned },
		.now = now_wall(),
		.keep_ms = limit_of(conf->history_keep_us / 1000),
		.max_jobs = limit_of(conf->history_max_jobs),
		.max_bytes = limit_of(conf->history_max_bytes),
	};
	store_submit(history.store, &history.prune.op);
}

static void sweep(void);

/* The chain has come to its end: the timer brings the next one. */
static void on_pruned_all(int result)
{
	int64_t wait_us = LOOK_AT_LEAST_US;

	history.is_pruning = false;
	if (history.n_pruned > 0)
		log_info("history: %" PRIu64 " jobs were removed, their time was over",
			 history.n_pruned);
	history.n_pruned = 0;
	if (result < 0)
		wait_us = RETRY_US;
	else if (history.prune.next.ms != 0)
		wait_us = (history.prune.next.ms - history.prune.now.ms) * 1000;
	if (wait_us < AFTER_END_US)
		wait_us = AFTER_END_US;
	set_timer(mono_in_us(wait_us < LOOK_AT_LEAST_US ? wait_us : LOOK_AT_LEAST_US));
}

static void on_pruned(struct store_op *op)
{
	if (!history.store)
		return;
	if (op->result == 0 && history.prune.n_jobs > 0) {
		history.n_pruned += history.prune.n_jobs;
		sweep();
	}
	if (op->result == 0 && (!history.prune.is_at_end || history.prune_again))
		prune_step();
	else
		on_pruned_all(op->result);
}

static void prune(void)
{
	if (history.is_pruning)
		history.prune_again = true;
	else
		prune_step();
}

/* ---- sweeping ---- */

static void on_swept(struct store_op *op);

/* The batch behind the last one; what is away by now is forgotten. */
static void sweep_next(int64_t after)
{
	history.sweep.op = (struct store_op){ .type = STORE_SWEEP, .done = on_swept };
	history.sweep.away = history.away;
	history.sweep.n_away = history.n_away;
	history.sweep.after = after;
	store_submit(history.store, &history.sweep.op);
}

static void sweep(void)
{
	if (history.is_sweeping) {
		history.sweep_again = true;
		return;
	}
	history.is_sweeping = true;
	history.sweep_again = false;
	history.n_away = history.n_stuck = 0;
	sweep_next(0);
}

/* On a helper thread, which alone has these members now. */
static void remove_directories(struct offload *o)
{
	(void)o;
	history.n_away = 0;
	for (size_t i = 0; i < history.sweep.n; i++) {
		int r = jobdir_remove(history.sweep.ids[i]);

		if (r == 0) {
			history.away[history.n_away++] = history.sweep.ids[i];
		} else if (history.n_stuck++ == 0) {
			history.stuck_error = r;
			history.stuck_job = history.sweep.ids[i];
		}
	}
}

static void on_removed(struct offload *o)
{
	(void)o;
	if (history.store)
		sweep_next(history.sweep.ids[history.sweep.n - 1]);
}

static void on_swept_all(void)
{
	history.is_sweeping = false;
	if (history.n_stuck > 0) {
		log_warning("the output of %zu removed jobs cannot be removed, job %" PRId64
			    " for one: %s; awaitd tries again",
			    history.n_stuck, history.stuck_job, strerror(-history.stuck_error));
		set_timer(mono_in_us(RETRY_US));
	}
	if (history.sweep_again)
		sweep();
}

static void on_swept(struct store_op *op)
{
	if (!history.store)
		return;
	if (op->result == 0 && history.sweep.n > 0) {
		history.offload =
			(struct offload){ .work = remove_directories, .done = on_removed };
		offload_submit(&history.offload);
		return;
	}
	if (op->result < 0) {
		history.is_sweeping = false;
		set_timer(mono_in_us(RETRY_US));
		return;
	}
	on_swept_all();
}

/* ---- life ---- */

void history_look(void)
{
	if (!history.store)
		return;
	prune();
	sweep();
}

static void on_timer(struct loop_timer *timer)
{
	(void)timer;
	history.timer_at = MONO_NEVER;
	history_look();
}

void history_start(struct store *store)
{
	history.store = store;
	history.timer = (struct loop_timer){ .fn = on_timer };
	history.timer_at = MONO_NEVER;
	history_look();
}

void history_stop(void)
{
	if (history.store)
		loop_timer_cancel(&history.timer);
	history.store = NULL;
}
