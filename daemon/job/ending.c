/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/conf.h"
#include "daemon/job/engine_int.h"
#include "daemon/job/retry.h"
#include "proto/buf.h"
#include "proto/units.h"
#include "proto/xalloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* How an attempt ended, and what that makes of its job. */

char *ending_error_text(const struct aw_err *err)
{
	json_t *value = aw_err_job_json(err);
	char *text = buf_json_text(value);

	json_decref(value);
	return text;
}

/* ---- asked to stop ---- */

static void take_order(struct run *run, const struct stop_order *order)
{
	if (run->why == STOP_NONE) {
		run->why = order->why;
		run->by_uid = order->by_uid;
		run->message = order->message ? xstrdup(order->message) : NULL;
	}
	run->grace_us = stop_grace_us(run->grace_us, order->grace_us);
}

/* What nobody has looked at yet, or what is kept beside the job for later. */
static bool has_requests(const struct job *job)
{
	return job->cancels || (job->links && job->links->asked.why != STOP_NONE);
}

bool ending_is_asked(const struct run *run)
{
	return run->why != STOP_NONE || has_requests(run->job);
}

/* The first that asked gives the reason; the shortest grace holds. */
void ending_take_asked(struct run *run)
{
	const struct job *job = run->job;

	if (job->links && job->links->asked.why != STOP_NONE)
		take_order(run, &job->links->asked);
	if (job->cancels) {
		const struct stop_order order = cancel_order(job->cancels);

		take_order(run, &order);
	}
}

enum job_outcome ending_of_stop(const struct job *job, const struct stop_order *order,
				struct aw_err *err)
{
	const struct job *parent = job->links ? job->links->parent : NULL;

	switch (order->why) {
	case STOP_CANCEL:
		aw_fail(err, AW_CANCELLED, "%s",
			order->message ? order->message : "cancelled on request");
		aw_err_fact(err, "by", json_integer(order->by_uid));
		return JOB_CANCELLED;
	case STOP_DEADLINE:
		aw_fail(err, AW_DEADLINE, "it was not done by its deadline");
		return JOB_TIMED_OUT;
	case STOP_PARENT:
		aw_fail(err, order->is_skip ? AW_NEEDS : AW_CANCELLED, "%s with its %s%s%s",
			order->is_skip ? "skipped" : "cancelled",
			parent ? job_kind_name(parent->kind) : "composition",
			order->message ? ": " : "", order->message ? order->message : "");
		if (!order->is_skip)
			aw_err_fact(err, "by", json_integer(order->by_uid));
		if (parent)
			aw_err_fact(err, "parent", json_integer(parent->id));
		return order->is_skip ? JOB_SKIPPED : JOB_CANCELLED;
	case STOP_TIMEOUT:
	case STOP_NONE:
	case N_STOP_WHY:
		break;
	}
	return JOB_UNENDED;
}

static void set_timeout_error(struct run *run)
{
	struct buf limit = { 0 };

	if (run_parse_doc(run))
		duration_format(run->a.doc.timeout_us, &limit);
	aw_fail(run_err(run), AW_TIMEOUT, "the attempt took longer than its timeout%s%s",
		limit.len ? " of " : "", buf_terminate(&limit));
	buf_fini(&limit);
}

/* ---- compositions ---- */

static void set_part_error(struct run *run)
{
	const struct parts *p = run->job->links->parts;
	const struct part *part;

	if (p->first_failed == STORE_NO_PLACE)
		return; /* nothing is known of its parts: a damaged store */
	part = &p->v[p->first_failed];
	aw_fail(run_err(run), AW_PART_FAILED, "part %zu (job %lld) ended as %s", p->first_failed,
		(long long)part->id, job_outcome_name(part->outcome));
	aw_err_fact(run_err(run), "job", json_integer(part->id));
}

/* ---- outcomes ---- */

static enum job_outcome outcome_of(struct run *run)
{
	const struct stop_order order = { .why = run->why,
					  .by_uid = run->by_uid,
					  .message = run->message };

	if (run->why == STOP_TIMEOUT) {
		set_timeout_error(run);
		return JOB_TIMED_OUT;
	}
	if (run->why != STOP_NONE)
		return ending_of_stop(run->job, &order, run_err(run));
	if (run->co_result == 0)
		return JOB_SUCCEEDED;
	if (run->has_begun)
		set_part_error(run);
	if (run_err(run)->code == AW_OK)
		aw_fail(run_err(run), AW_INTERNAL, "the attempt ended without a reason (%s)",
			strerror(-run->co_result));
	return JOB_FAILED;
}

/* A composition's result is made in the store, out of its parts' results. */
static void compose(struct transition *t, const struct run *run, enum job_outcome outcome)
{
	if (outcome != JOB_SUCCEEDED && outcome != JOB_FAILED)
		return;
	t->change.compose = run->verdict.compose;
	if (t->change.compose == STORE_COMPOSE_WINNER)
		t->change.winner = (unsigned)run->job->links->parts->first_succeeded;
}

static void take_result(struct transition *t, const struct run *run)
{
	if (run->result)
		t->result = buf_json_text(run->result);
	t->change.result_json = t->result;
}

static void take_error(struct transition *t, struct run *run)
{
	t->error = ending_error_text(run_err(run));
	t->change.error_json = t->error;
}

static void end_with(struct job *job, enum job_outcome outcome)
{
	struct run *run = job->run;
	struct transition *t = transition_new(job, JOB_DONE);

	t->change.at = run->ended;
	t->change.outcome = outcome;
	t->change.is_orderly = run->is_cut;
	if (job->state == JOB_RUNNING && run->why == STOP_CANCEL) {
		/* There was no stop in between: the request becomes durable with the end. */
		t->cancels = job->cancels;
		job->cancels = NULL;
	}
	if (run->has_begun)
		compose(t, run, outcome);
	take_result(t, run);
	if (outcome != JOB_SUCCEEDED)
		take_error(t, run);
	runq_release(job);
	engine_wants_step();
	engine_transition(t);
}

/* ---- once more ---- */

static double random_fraction(void)
{
	uint32_t n = UINT32_MAX / 2;

	(void)!getrandom(&n, sizeof(n), GRND_NONBLOCK);
	return (double)n / UINT32_MAX;
}

static uint32_t n_tries(const struct job *job)
{
	return job->links ? job->links->tries : 0;
}

bool ending_is_retried(struct run *run)
{
	static const struct aw_err timeout = { .code = AW_TIMEOUT };

	return run->why == STOP_TIMEOUT && run_parse_doc(run) &&
	       retry_wants(&run->a.doc.retry, n_tries(run->job), &timeout);
}

bool ending_is_followed(struct run *run, int result)
{
	if (has_requests(run->job))
		return false;
	if (run->why != STOP_NONE)
		return ending_is_retried(run);
	if (result == -ECANCELED)
		return run->is_cut && run->a.doc.on_lost == ON_LOST_RETRY;
	return retry_wants(&run->a.doc.retry, n_tries(run->job), run_err(run));
}

/* A timeout or a failure, and the document allows another attempt. */
static bool wants_again(struct run *run, enum job_outcome outcome)
{
	return (outcome == JOB_FAILED || run->why == STOP_TIMEOUT) &&
	       run_err(run)->code != AW_DAMAGED && run_parse_doc(run) &&
	       retry_wants(&run->a.doc.retry, n_tries(run->job), run_err(run));
}

static void try_again(struct job *job, enum job_outcome outcome)
{
	struct run *run = job->run;
	const struct jobdoc_retry retry = retry_with_settings(&run->a.doc.retry);
	int64_t delay_us = retry_delay_us(&retry, n_tries(job), random_fraction());
	struct transition *t = transition_new(job, JOB_WAITING);

	t->change.at = run->ended;
	t->change.outcome = outcome;
	t->change.uses_try = true;
	t->change.due = instant_add_us(run->ended, delay_us);
	take_result(t, run);
	take_error(t, run);
	job_links(job)->tries++;
	runq_release(job);
	engine_wants_step();
	engine_transition(t);
}

/* The attempt has an outcome of its own; that of the job may be another one. */
static void end_or_try_again(struct job *job, enum job_outcome outcome)
{
	const struct links *l = job->links;

	if (!wants_again(job->run, outcome)) {
		end_with(job, outcome);
	} else if (l && l->asked.why != STOP_NONE) {
		/* Nobody wants another attempt any more. */
		end_with(job, ending_of_stop(job, &l->asked, run_err(job->run)));
	} else {
		try_again(job, outcome);
	}
}

/* ---- cut off ---- */

static bool was_cut_off(struct run *run)
{
	if (run->why != STOP_NONE)
		return false;
	if (run->co_result == -ECANCELED)
		return run->is_cut;
	return run->co_result < 0 && run_err(run)->code == AW_LOST;
}

/* Whoever saw it end said why already, if anybody did. */
static void set_lost_error(struct run *run, const char *then)
{
	if (run_err(run)->code == AW_LOST)
		return;
	aw_fail(run_err(run), AW_LOST, "%s while attempt %u ran%s",
		run->is_cut ? "awaitd was stopped" : "awaitd or the machine went away",
		run->a.attempt, then);
}

static void back_to_waiting(struct job *job)
{
	struct run *run = job->run;
	struct transition *t = transition_new(job, JOB_WAITING);

	set_lost_error(run, "; it starts again");
	t->change.at = run->ended;
	t->change.outcome = JOB_LOST;
	t->change.is_orderly = run->is_cut;
	t->change.attempt_ended = run->alive;
	take_result(t, run);
	take_error(t, run);
	runq_release(job);
	engine_transition(t);
}

/*
 * A daemon that dies so often in a row right after an attempt's start: the job is to blame
 * (R2.5).
 */
static void set_crash_loop_error(struct run *run, unsigned n_losses)
{
	struct buf within = { 0 };

	duration_format(conf->crash_loop_us, &within);
	aw_fail(run_err(run), AW_CRASH_LOOP,
		"%u times in a row its attempt was cut off within %s of its start; it is not "
		"started again: look what it does to awaitd or the machine",
		n_losses, buf_terminate(&within));
	buf_fini(&within);
}

void ending_cut_off(struct job *job, unsigned n_losses)
{
	struct run *run = job->run;

	/*
	 * A coroutine that never made a step has done nothing: it may start again whatever
	 * on_lost says.
	 */
	if ((run->is_cut && !run->has_run) ||
	    (run->has_doc && run->a.doc.on_lost == ON_LOST_RETRY &&
	     n_losses + 1 < conf->crash_loop_attempts)) {
		back_to_waiting(job);
		return;
	}
	if (run->has_doc && run->a.doc.on_lost == ON_LOST_RETRY) {
		set_crash_loop_error(run, n_losses + 1);
		end_with(job, JOB_FAILED);
		return;
	}
	set_lost_error(run,
		       ", and on_lost is \"fail\": look whether its work was done, then submit "
		       "it again");
	end_with(job, JOB_LOST);
}

void ending_finish(struct job *job)
{
	struct run *run = job->run;

	if (!was_cut_off(run)) {
		end_or_try_again(job, outcome_of(run));
		return;
	}
	if (!run->is_cut) {
		int64_t lived_ms = run->ended.wall.ms - run->a.started.wall.ms;
		bool is_quick = lived_ms < conf->crash_loop_us / 1000;

		job->n_losses = is_quick ? job->n_losses + 1 : 0;
	}
	ending_cut_off(job, job->n_losses ? job->n_losses - 1 : 0);
}
