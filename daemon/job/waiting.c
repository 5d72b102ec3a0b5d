/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "daemon/log.h"
#include "proto/xalloc.h"

#include <assert.h>

/* Jobs that wait: for what, where, and how they end without having started. */

/* What keeps it from being looked at by time and slot at all. */
static enum job_reason obstacle_of(const struct job *job)
{
	const struct links *l = job->links;

	if (job->is_held)
		return JOB_WAITS_HELD;
	if (l && ((l->parent && !l->has_turn) || l->n_unmet > 0))
		return JOB_WAITS_NEEDS;
	return JOB_NO_REASON;
}

enum job_reason waiting_reason(const struct job *job)
{
	enum job_reason obstacle = obstacle_of(job);

	if (obstacle != JOB_NO_REASON)
		return obstacle;
	if (job->due.wall.ms)
		return job->attempt > 0 ? JOB_WAITS_BACKOFF : JOB_WAITS_TIME;
	/* What takes no slot waits for one moment at most: the next step of the engine. */
	if (!job->queue->name)
		return JOB_WAITS_TIME;
	return job->queue->is_paused && job->place == JOB_IN_QUEUE ? JOB_WAITS_PAUSED
								   : JOB_WAITS_SLOT;
}

void waiting_take_out(struct job *job)
{
	if (job->place == JOB_IN_CALENDAR)
		calendar_remove(&engine.calendar, &job->slot);
	else
		runq_remove(job);
	job->place = JOB_NOWHERE;
}

bool waiting_is_over(const struct job *job)
{
	const struct links *l = job->links;

	return l && (l->failure || l->asked.why != STOP_NONE || l->never);
}

void waiting_place(struct job *job)
{
	/* A composition that ends when its parts have may get its turn in between. */
	if (obstacle_of(job) != JOB_NO_REASON || waiting_is_over(job)) {
		waiting_take_out(job);
		return;
	}
	if (job->place != JOB_NOWHERE)
		return;
	if (job->due.wall.ms) {
		calendar_add(&engine.calendar, &job->slot, job->id, job->due);
		job->place = JOB_IN_CALENDAR;
	} else {
		runq_add(job);
	}
	engine_wants_step();
}

/* ---- over without an attempt ---- */

/* It cannot start: over, with @err (finished here), without an attempt. */
static void end_as(struct job *job, enum job_outcome outcome, struct aw_err *err)
{
	struct transition *t = transition_new(job, JOB_DONE);

	waiting_take_out(job);
	runq_release(job); /* its start was being prepared */
	job->queue->n_waiting--;
	t->change.outcome = outcome;
	t->error = ending_error_text(err);
	t->change.error_json = t->error;
	aw_err_fini(err);
	if (outcome == JOB_CANCELLED) {
		t->cancels = job->cancels;
		job->cancels = NULL;
	}
	engine_wants_step();
	engine_transition(t);
}

static void end_cancelled(struct job *job)
{
	const struct stop_order order = cancel_order(job->cancels);
	struct aw_err err = { 0 };

	end_as(job, ending_of_stop(job, &order, &err), &err);
}

static void end_asked(struct job *job)
{
	struct aw_err err = { 0 };

	end_as(job, ending_of_stop(job, &job->links->asked, &err), &err);
}

static void end_never(struct job *job)
{
	const struct need *never = job->links->never;
	struct aw_err err = { 0 };

	aw_fail(&err, AW_NEEDS, "job %lld did not end as it needs (%s)", (long long)never->on_job,
		need_on_name(never->on));
	aw_err_fact(&err, "job", json_integer(never->on_job));
	end_as(job, JOB_SKIPPED, &err);
}

static const struct stop_order skip_parts = {
	.why = STOP_PARENT,
	.is_skip = true,
	.grace_us = -1,
	.message = "it did not start",
};

void waiting_fail(struct job *job, struct aw_err *err)
{
	struct links *l = job_links(job);

	runq_release(job); /* its start was being prepared */
	engine_wants_step();
	l->failure = xcalloc(1, sizeof(*l->failure));
	*l->failure = *err; /* moved */
	*err = (struct aw_err){ 0 };
	engine_decide(job);
}

/* For the reason that weighs most; a composition when the last of its parts has ended. */
static void end(struct job *job)
{
	const struct links *l = job->links;

	waiting_take_out(job);
	if (l && l->failure) {
		if (!tree_parts_go_first(job, &skip_parts))
			end_as(job, JOB_FAILED, l->failure);
	} else if (l && l->asked.why != STOP_NONE) {
		if (!tree_parts_go_first(job, &l->asked))
			end_asked(job);
	} else if (job->cancels) {
		if (tree_has_live_parts(job))
			cancel_ask(job);
		else
			end_cancelled(job);
	} else if (!tree_parts_go_first(job, &skip_parts)) {
		end_never(job);
	}
}

void waiting_decide(struct job *job)
{
	if (waiting_is_over(job) || job->cancels)
		end(job);
	else if (job->links && job->links->edits)
		edit_begin(job);
	else
		waiting_place(job);
}
