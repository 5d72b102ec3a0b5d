/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine.h"

#include "daemon/conf.h"
#include "daemon/job/alarm.h"
#include "daemon/job/engine_int.h"
#include "daemon/job/joblog.h"
#include "daemon/job/quota.h"
#include "daemon/log.h"
#include "proto/limits.h"
#include "proto/units.h"
#include "proto/xalloc.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/*
 * Jobs that become due, and starts, of one step: a clock that jumps must not hold up the
 * loop (R5.2).
 */
#define DUE_PER_STEP 1000
#define STARTS_PER_STEP 100
/*
 * A daemon that dies this often in a row right after an attempt's start: the job is to blame
 * (R2.5).
 */
#define LOSSES_MAX 3
/* While a stop waits for the store: how often to look whether the disk is full. */
#define FULL_LOOK_US 200000

struct engine engine;

/* A change of state on its way to the store. */
struct transition {
	struct store_change change;
	struct job *job;
	struct cancel *cancels; /* answered when this is durable */
	char *result, *error;	/* own */
};

struct instant engine_now(void)
{
	return (struct instant){ .wall = now_wall(), .boot = now_boot() };
}

struct instant instant_add_us(struct instant t, int64_t us)
{
	t.wall.ms += us / 1000;
	if (t.boot.ns)
		t.boot.ns += us * 1000;
	return t;
}

void engine_fly(struct store_op *op)
{
	engine.n_in_flight++;
	store_submit(engine.store, op);
}

static void on_full_timer(struct loop_timer *timer)
{
	(void)timer;
	engine_wants_step();
}

/*
 * Has everything landed?  On a full disk nothing does, and nobody knows for
 * how long: then what the store keeps is given up, and found again as it was
 * before after the restart.
 */
static bool is_settled(void)
{
	if (engine.n_coros)
		return false;
	if (!engine.n_in_flight || store_is_full(engine.store))
		return true;
	engine.full_timer.fn = on_full_timer;
	loop_timer_set(&engine.full_timer, mono_in_us(FULL_LOOK_US));
	return false;
}

static void check_stopped(void)
{
	void (*stopped)(void) = engine.stopped;

	if (!stopped || !is_settled())
		return;
	engine.stopped = NULL;
	engine.is_over = true;
	loop_timer_cancel(&engine.full_timer);
	stopped();
}

void engine_landed(void)
{
	engine.n_in_flight--;
	if (engine.is_stopping)
		engine_wants_step();
}

void engine_wants_step(void)
{
	loop_defer(&engine.step);
}

/* ---- jobs in memory ---- */

struct job *engine_add_job(int64_t id, enum job_kind kind, const char *queue, int priority,
			   uid_t uid)
{
	struct job *job = xcalloc(1, sizeof(*job));

	*job = (struct job){
		.id = id,
		.kind = (uint8_t)kind,
		.state = JOB_WAITING,
		.priority = (int16_t)priority,
		.uid = uid,
	};
	job->queue = queue ? runq_find(&engine.runq, queue) : runq_slotless(&engine.runq);
	if (!job->queue) /* a row of a queue that is not there: damaged, but the job is not */
		job->queue = runq_create(&engine.runq, queue, 1, false);
	jobtab_add(&engine.tab, job);
	engine.n_by_state[JOB_WAITING]++;
	job->queue->n_waiting++;
	return job;
}

void engine_free_job(struct job *job)
{
	run_free(job->run);
	free(job->watchers);
	free(job->spec);
	free(job);
}

static void forget_job(struct job *job)
{
	calendar_remove(&engine.calendar, job);
	runq_remove(job);
	runq_release(job);
	jobtab_remove(&engine.tab, job);
	quota_uncharge(job);
	engine.n_by_state[job->state]--;
	engine_wants_step();
	if (!job->run || !job->run->coro) {
		engine_free_job(job);
		return;
	}
	job->is_let_go = true;
	run_stop(job->run, 0);
}

/* The only place that sets a job's state, when the store has committed it. */
static void set_state(struct job *job, enum job_state state)
{
	engine.n_by_state[job->state]--;
	engine.n_by_state[state]++;
	job->state = (uint8_t)state;
}

void engine_restore(struct job *job, enum job_state state)
{
	set_state(job, state);
	job->queue->n_waiting--;
	runq_occupy(job);
}

void engine_admit(struct job *job)
{
	if (job->due.wall.ms)
		calendar_add(&engine.calendar, job, job->due);
	else
		runq_add(job);
	engine_wants_step();
}

/* ---- changes of state ---- */

static void on_change_landed(struct store_op *op);

static struct transition *transition_new(struct job *job, enum job_state to)
{
	struct transition *t = xcalloc(1, sizeof(*t));

	assert(!job->is_in_flight && job_state_may(job->state, to));
	t->job = job;
	t->change = (struct store_change){
		.op = { .type = STORE_CHANGE, .done = on_change_landed },
		.id = job->id,
		.attempt = job->attempt,
		.from = job->state,
		.to = to,
		.at = engine_now(),
	};
	return t;
}

/*
 * The door through which every change of state goes.  Slots and run order
 * have changed already; everything else waits for the commit.
 */
static void engine_transition(struct transition *t)
{
	t->job->is_in_flight = true;
	engine_fly(&t->change.op);
}

static void transition_free(struct transition *t)
{
	store_change_fini(&t->change);
	free(t->result);
	free(t->error);
	free(t);
}

static char *error_text(const struct aw_err *err)
{
	json_t *value = aw_err_job_json(err);
	char *text = buf_json_text(value);

	json_decref(value);
	return text;
}

static void set_cancel_error(struct aw_err *err, uid_t by, const char *message)
{
	aw_fail(err, AW_CANCELLED, "%s", message ? message : "cancelled on request");
	aw_err_fact(err, "by", json_integer(by));
}

/*
 * A second start of a timer does no harm, so its attempt need not wait until
 * "running" is committed: a short sleep is not late because the disk is busy.
 * Its end waits for that commit like everything else.
 */
static void ride_along(struct job *job, struct instant started)
{
	struct run *run;
	char *spec = job->spec;

	job->spec = NULL;
	run = run_new(job, job->attempt + 1, started, spec, strlen(spec), false, NULL);
	if (!run->is_over)
		run_go(run);
}

static void start(struct job *job)
{
	struct transition *t = transition_new(job, JOB_RUNNING);

	job->queue->n_waiting--;
	engine.n_started++;
	engine_transition(t);
	if (job->spec)
		ride_along(job, t->change.at);
}

/* A job that waits is cancelled: over in one change. */
static void cancel_waiting(struct job *job)
{
	struct transition *t = transition_new(job, JOB_DONE);
	struct aw_err err = { 0 };

	calendar_remove(&engine.calendar, job);
	runq_remove(job);
	job->queue->n_waiting--;
	t->cancels = job->cancels;
	job->cancels = NULL;
	set_cancel_error(&err, t->cancels->viewer.uid, t->cancels->message);
	t->change.outcome = JOB_CANCELLED;
	t->error = error_text(&err);
	t->change.error_json = t->error;
	aw_err_fini(&err);
	engine_transition(t);
}

/* The first of the cancels that wait gives the reason; the shortest grace holds. */
static void take_cancels(struct run *run)
{
	struct job *job = run->job;

	for (struct cancel *c = job->cancels; c; c = c->next) {
		if (run->why == STOP_NONE) {
			run->why = STOP_CANCEL;
			run->by_uid = c->viewer.uid;
			run->message = c->message ? xstrdup(c->message) : NULL;
		}
		if (c->grace_us >= 0 && (run->grace_us < 0 || c->grace_us < run->grace_us))
			run->grace_us = c->grace_us;
	}
}

static int64_t grace_of(const struct run *run)
{
	if (run->grace_us >= 0)
		return run->grace_us;
	return run->has_doc ? run->a.doc.grace_us : JOB_GRACE_DEFAULT_US;
}

static void deliver_stop(struct run *run)
{
	run->is_delivered = true;
	run_stop(run, grace_of(run));
}

static void ask_to_stop(struct job *job)
{
	struct transition *t;
	struct run *run = job->run;

	take_cancels(run);
	t = transition_new(job, JOB_STOPPING);
	t->cancels = job->cancels;
	job->cancels = NULL;
	t->change.why = run->why;
	t->change.by_uid = run->by_uid;
	t->change.message = run->message;
	engine_transition(t);
	/*
	 * Who fills the disk must be stoppable while it is full: only the answer waits for the
	 * commit.
	 */
	if (store_is_full(engine.store))
		deliver_stop(run);
}

static void on_stopping(struct job *job)
{
	struct cancel *late = job->cancels;

	/* Cancels that came while this was under way find it stopping: nothing more to store. */
	take_cancels(job->run);
	job->cancels = NULL;
	engine_answer_cancels(late);
	if (late || !job->run->is_delivered)
		deliver_stop(job->run);
}

static bool was_cut_off(struct run *run)
{
	if (run->why != STOP_NONE)
		return false;
	if (run->co_result == -ECANCELED)
		return run->is_cut;
	return run->co_result < 0 && run_err(run)->code == AW_LOST;
}

static void set_timeout_error(struct run *run)
{
	struct buf limit = { 0 };

	if (run->has_doc)
		duration_format(run->a.doc.timeout_us, &limit);
	aw_fail(run_err(run), AW_TIMEOUT, "the attempt took longer than its timeout%s%s",
		limit.len ? " of " : "", buf_terminate(&limit));
	buf_fini(&limit);
}

static enum job_outcome outcome_of(struct run *run)
{
	switch (run->why) {
	case STOP_CANCEL:
		set_cancel_error(run_err(run), run->by_uid, run->message);
		return JOB_CANCELLED;
	case STOP_TIMEOUT:
		set_timeout_error(run);
		return JOB_TIMED_OUT;
	case STOP_DEADLINE:
	case STOP_PARENT:
	case STOP_NONE:
	case N_STOP_WHY:
		break;
	}
	if (run->co_result == 0)
		return JOB_SUCCEEDED;
	if (run_err(run)->code == AW_OK)
		aw_fail(run_err(run), AW_INTERNAL, "the attempt ended without a reason (%s)",
			strerror(-run->co_result));
	return JOB_FAILED;
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
	if (run->result)
		t->result = buf_json_text(run->result);
	if (outcome != JOB_SUCCEEDED)
		t->error = error_text(run_err(run));
	t->change.result_json = t->result;
	t->change.error_json = t->error;
	runq_release(job);
	engine_wants_step();
	engine_transition(t);
}

static void back_to_waiting(struct job *job, bool is_orderly)
{
	struct transition *t = transition_new(job, JOB_WAITING);

	t->change.at = job->run->ended;
	t->change.outcome = JOB_LOST;
	t->change.is_orderly = is_orderly;
	runq_release(job);
	engine_transition(t);
}

void engine_cut_off(struct job *job, unsigned n_losses)
{
	struct run *run = job->run;
	bool is_orderly = run->is_cut;

	/*
	 * A coroutine that never made a step has done nothing: it may start again whatever
	 * on_lost says.
	 */
	if ((is_orderly && !run->has_run) ||
	    (run->has_doc && run->a.doc.on_lost == ON_LOST_RETRY && n_losses + 1 < LOSSES_MAX)) {
		back_to_waiting(job, is_orderly);
		return;
	}
	if (run->has_doc && run->a.doc.on_lost == ON_LOST_RETRY) {
		aw_fail(run_err(run), AW_CRASH_LOOP,
			"%d times in a row its attempt was cut off within 10 s of its start; it is "
			"not started again: look what it does to awaitd or the machine",
			LOSSES_MAX);
		end_with(job, JOB_FAILED);
		return;
	}
	if (run_err(run)->code != AW_LOST)
		aw_fail(run_err(run), AW_LOST,
			"%s while attempt %u ran, and on_lost is \"fail\": look whether its work "
			"was done, then submit it again",
			is_orderly ? "awaitd was stopped" : "awaitd or the machine went away",
			run->a.attempt);
	end_with(job, JOB_LOST);
}

static void finish(struct job *job)
{
	struct run *run = job->run;

	if (!was_cut_off(run)) {
		end_with(job, outcome_of(run));
		return;
	}
	if (!run->is_cut) {
		bool is_quick = run->ended.wall.ms - run->a.started.wall.ms < QUICK_LOSS_MS;

		job->n_losses = is_quick ? job->n_losses + 1 : 0;
	}
	engine_cut_off(job, job->n_losses ? job->n_losses - 1 : 0);
}

void engine_decide(struct job *job)
{
	if (job->is_in_flight) {
		/* A cancel that comes before the end wins, whenever either is stored. */
		if (job->run && !job->run->is_over && job->cancels)
			take_cancels(job->run);
		return;
	}
	switch ((enum job_state)job->state) {
	case JOB_WAITING:
		if (job->cancels)
			cancel_waiting(job);
		break;
	case JOB_RUNNING:
		if (job->run->is_over)
			finish(job);
		else if (job->run->is_end_seen)
			break; /* a cancel comes too late, and will be told so */
		else if (job->cancels || job->run->why != STOP_NONE)
			ask_to_stop(job);
		break;
	case JOB_STOPPING:
		if (job->cancels)
			on_stopping(job);
		if (job->run->is_over && !job->is_in_flight)
			finish(job);
		break;
	case JOB_DONE:
	case N_JOB_STATES:
		break;
	}
}

/* Is it none of those that a stop cuts off?  It ends by itself, or goes on after the restart. */
static bool goes_on(const struct run *run)
{
	return run->kind && run->kind->adopt;
}

static void on_running(struct transition *t)
{
	struct store_change *c = &t->change;
	struct job *job = t->job;
	struct run *run;

	job->attempt++;
	if (job->run)
		return;
	run = run_new(job, job->attempt, c->at, c->spec, c->spec_len, c->damaged, NULL);
	c->spec = NULL;
	if (run->is_over)
		return;
	if (job->cancels) {
		/* It never ran: cancelled in one change, answered when that is durable. */
		take_cancels(run);
		run_over(run, -ECANCELED);
		return;
	}
	if (engine.is_stopping && !goes_on(run)) {
		run->is_cut = true;
		run_over(run, -ECANCELED);
		return;
	}
	run_go(run);
}

static void on_done(struct transition *t)
{
	struct job *job = t->job;
	struct cancel *late = job->cancels;

	engine.n_ended++;
	joblog_end(job, t->change.outcome, t->change.error_json);
	engine_note(job, ENGINE_ENDED);
	job->cancels = NULL;
	forget_job(job);
	engine_refuse_cancels(late, t->change.outcome);
}

/*
 * It was not stored, and never will be: the store is being closed on a full
 * disk.  The row stays as it was, and the next start decides from there.
 */
static void on_given_up(struct transition *t)
{
	struct job *job = t->job;
	static const char message[] = "the disk of the state directory is full: it could not be "
				      "stored";

	engine_fail_cancels(t->cancels, AW_STORAGE_FULL, message);
	engine_fail_cancels(job->cancels, AW_STORAGE_FULL, message);
	job->cancels = NULL;
}

/* The row says something else than we: believe the row, and let go of the job. */
static void on_stale(struct transition *t)
{
	struct job *job = t->job;

	log_error("job %lld: change from %s to %s did not apply: the stored job is in another "
		  "state",
		  (long long)job->id, job_state_name(t->change.from), job_state_name(t->change.to));
	engine_fail_cancels(t->cancels, AW_INTERNAL, "the stored job is in another state");
	engine_fail_cancels(job->cancels, AW_INTERNAL, "the stored job is in another state");
	job->cancels = NULL;
	engine_note(job, ENGINE_ENDED);
	forget_job(job);
}

static void on_waiting_again(struct job *job)
{
	run_free(job->run);
	job->run = NULL;
	job->due = (struct instant){ 0 };
	job->queue->n_waiting++;
	engine_admit(job);
}

static void on_change_landed(struct store_op *op)
{
	struct transition *t = container_of(op, struct transition, change.op);
	struct job *job = t->job;
	enum job_state to = t->change.to;

	engine_landed();
	if (op->result < 0) {
		if (op->result == -ESTALE)
			on_stale(t);
		else
			on_given_up(t);
		transition_free(t);
		return;
	}
	job->is_in_flight = false;
	set_state(job, to);
	engine_answer_cancels(t->cancels);
	if (to == JOB_DONE) {
		on_done(t);
	} else {
		if (to == JOB_RUNNING)
			on_running(t);
		else if (to == JOB_STOPPING)
			on_stopping(job);
		else
			on_waiting_again(job);
		engine_note(job, ENGINE_CHANGED);
		engine_decide(job);
	}
	transition_free(t);
}

/* ---- the step: what is due, what may start ---- */

static void on_due(struct job *job)
{
	if (job->run)
		run_due(job->run);
	else
		runq_add(job);
}

static bool run_calendar(void)
{
	struct instant now = engine_now();
	struct job *job;

	for (unsigned i = 0; i < DUE_PER_STEP; i++) {
		job = calendar_pop_due(&engine.calendar, now.boot, now.wall);
		if (!job)
			return false;
		on_due(job);
	}
	return true;
}

static bool run_starts(void)
{
	struct job *job;

	for (unsigned i = 0; i < STARTS_PER_STEP; i++) {
		job = runq_take(&engine.runq);
		if (!job)
			return false;
		start(job);
	}
	return true;
}

static void cut_all(void);

static void on_step(struct loop_task *task)
{
	struct calendar_next next;
	bool more = false;

	(void)task;
	if (engine.is_draining && engine.n_cuttable == 0)
		engine.is_draining = false;
	if (!engine.is_stopping || engine.is_draining)
		more = run_calendar();
	if (!engine.is_stopping)
		more |= run_starts();
	if (engine.is_stopping && !engine.is_draining) {
		cut_all();
		check_stopped();
		return;
	}
	if (more) {
		engine_wants_step();
		return;
	}
	next = calendar_next(&engine.calendar);
	alarm_set(next.boot, next.wall);
}

/* ---- start-up and stop ---- */

int engine_init(struct store *store)
{
	engine = (struct engine){ .store = store, .step = { .fn = on_step } };
	runq_init(&engine.runq);
	return alarm_open(engine_wants_step);
}

struct store *engine_store(void)
{
	return engine.store;
}

void engine_fini(void)
{
	struct job *job;
	size_t at = 0;

	while ((job = jobtab_next(&engine.tab, &at)))
		engine_free_job(job);
	jobtab_fini(&engine.tab);
	calendar_fini(&engine.calendar);
	runq_fini(&engine.runq);
	quota_fini();
	alarm_close();
}

/* End the attempts that cannot outlive the daemon. */
static void cut_all(void)
{
	struct job *job;
	size_t at = 0;

	if (engine.is_cut)
		return;
	engine.is_cut = true;
	while ((job = jobtab_next(&engine.tab, &at))) {
		struct run *run = job->run;
		int64_t grace_us;

		if (!run || !run->coro || goes_on(run))
			continue;
		grace_us = grace_of(run);
		if (grace_us > conf->stop_timeout_us)
			grace_us = conf->stop_timeout_us;
		run->is_cut = true;
		run_stop(run, grace_us);
	}
}

void engine_stop(bool drain, void (*done)(void))
{
	engine.is_stopping = true;
	engine.is_draining = drain && !engine.is_cut;
	engine.stopped = done;
	engine_wants_step();
}

bool engine_is_stopping(void)
{
	return engine.is_stopping;
}

void engine_stats(struct engine_stats *ret)
{
	*ret = (struct engine_stats){
		.n_live = engine.tab.n,
		.n_waiting = engine.n_by_state[JOB_WAITING],
		.n_running = engine.n_by_state[JOB_RUNNING],
		.n_stopping = engine.n_by_state[JOB_STOPPING],
		.n_started = engine.n_started,
		.n_ended = engine.n_ended,
	};
}
