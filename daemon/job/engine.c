/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine.h"

#include "daemon/conf.h"
#include "daemon/job/alarm.h"
#include "daemon/job/alive.h"
#include "daemon/job/engine_int.h"
#include "daemon/job/hook.h"
#include "daemon/job/jobdir.h"
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
/* While a stop waits for the store: how often to look whether the disk is full. */
#define FULL_LOOK_US 200000

struct engine engine;

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
static bool has_all_landed(void)
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

	if (!stopped || !has_all_landed())
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
	links_free(job->links);
	free(job->spec);
	free(job);
}

/* What a job that is gone would have been looked at for. */
static void cut_links(struct job *job)
{
	struct links *l = job->links;

	if (!l)
		return;
	edit_refuse_all(job);
	calendar_remove(&engine.deadlines, &l->deadline);
	list_remove(&l->woken);
	for (size_t i = 0; i < l->n_needs; i++)
		list_remove(&l->needs[i].link);
}

static void forget_job(struct job *job)
{
	waiting_take_out(job);
	runq_release(job);
	cut_links(job);
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

void engine_set_deadline(struct job *job, struct instant deadline)
{
	if (!deadline.wall.ms)
		return;
	calendar_add(&engine.deadlines, &job_links(job)->deadline, job->id, deadline);
	engine_wants_step();
}

void engine_restore(struct job *job, enum job_state state)
{
	set_state(job, state);
	job->queue->n_waiting--;
	runq_occupy(job);
}

/* ---- changes of state ---- */

static void on_change_landed(struct store_op *op);

struct transition *transition_new(struct job *job, enum job_state to)
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
		.at = now_instant(),
	};
	return t;
}

/* With nothing left to wait for, @job's own change comes right behind its last part's. */
static bool follows_at_once(const struct job *job)
{
	if (job->is_in_flight || tree_has_live_parts(job))
		return false;
	if (job->state == JOB_WAITING)
		return waiting_is_over(job);
	return job->run && job->run->is_over;
}

/* Only these have a directory, once they have run. */
static bool has_files(const struct job *job)
{
	return (job->kind == JOB_WORKER || job->kind == JOB_FETCH) && job->attempt > 0;
}

/*
 * The end of @job will be stored: what it decides elsewhere may be decided
 * now, since all of that goes to the store behind it.  A part's end and its
 * composition's are one transaction (R2.10).
 */
void engine_settle(struct transition *t)
{
	struct job *job = t->job, *parent = job->links ? job->links->parent : NULL;

	assert(!tree_has_live_parts(job));
	job->is_settled = true;
	job->outcome = (uint8_t)t->change.outcome;
	if (has_files(job))
		t->change.count_files = jobdir_bytes;
	if (parent) {
		job->links->parent = NULL;
		parts_end(parent->links->parts, job->links->part, job->id, t->change.outcome);
		tree_judge(parent);
		t->change.op.is_with_next = follows_at_once(parent);
	}
	engine_fly(&t->change.op);
	if (parent)
		engine_decide(parent);
	assert(!t->change.op.is_with_next || parent->is_in_flight);
	needs_settle(job);
}

/*
 * The door through which every change of state goes.  Slots and run order
 * have changed already; everything else waits for the commit.
 */
void engine_transition(struct transition *t)
{
	t->job->is_in_flight = true;
	if (t->change.to != JOB_DONE)
		engine_fly(&t->change.op);
	else if (leftover_may_be(t->job, t->change.outcome))
		leftover_remove(t);
	else
		engine_settle(t);
}

static void transition_free(struct transition *t)
{
	store_change_fini(&t->change);
	free(t->result);
	free(t->error);
	free(t->spec);
	free(t->results);
	free(t);
}

void engine_happened(int64_t seq)
{
	if (engine.listener && engine.listener->changed)
		engine.listener->changed(seq);
}

void engine_listen(const struct engine_listener *listener)
{
	engine.listener = listener;
}

/* ---- starting ---- */

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

void engine_start(struct job *job, char *spec, char *results)
{
	struct transition *t = transition_new(job, JOB_RUNNING);

	t->spec = spec;
	t->results = results;
	job->queue->n_waiting--;
	engine.n_started++;
	engine_transition(t);
	if (job->spec)
		ride_along(job, t->change.at);
}

/* ---- stopping ---- */

void engine_deliver_stop(struct run *run)
{
	run->is_delivered = true;
	run_stop(run, run_grace_us(run));
}

static void ask_to_stop(struct job *job)
{
	struct transition *t;
	struct run *run = job->run;

	ending_take_asked(run);
	t = transition_new(job, JOB_STOPPING);
	/* Where another attempt would follow, stopping is not yet what was asked for. */
	if (!ending_is_retried(run)) {
		t->cancels = job->cancels;
		job->cancels = NULL;
	}
	t->change.why = run->why;
	t->change.by_uid = run->by_uid;
	t->change.message = run->message;
	engine_transition(t);
	/*
	 * Who fills the disk must be stoppable while it is full: only the answer waits for the
	 * commit.
	 */
	if (store_is_full(engine.store))
		engine_deliver_stop(run);
}

static void on_stopping(struct job *job)
{
	ending_take_asked(job->run);
	if (!job->run->is_delivered)
		engine_deliver_stop(job->run);
}

/* ---- what follows ---- */

/* Its parts live still where its document is damaged. */
static void end_attempt(struct job *job)
{
	const struct stop_order order = {
		.why = STOP_PARENT, .by_uid = job->uid, .grace_us = -1, .message = "it has failed"
	};

	if (!tree_parts_go_first(job, &order))
		ending_finish(job);
}

static void decide_running(struct job *job)
{
	struct run *run = job->run;

	if (run->is_over)
		end_attempt(job);
	else if (run->is_end_seen)
		return; /* a cancel comes too late, and will be told so */
	else if (ending_is_asked(run))
		ask_to_stop(job);
}

/* It stops already: what is new is at most that it has less time for it. */
static void take_late_cancels(struct job *job)
{
	struct cancel *late = job->cancels;

	ending_take_asked(job->run);
	job->cancels = NULL;
	cancel_answer_all(late);
	engine_deliver_stop(job->run);
}

static void decide_stopping(struct job *job)
{
	if (job->cancels && ending_is_retried(job->run)) {
		cancel_ask(job);
		return;
	}
	if (job->cancels)
		take_late_cancels(job);
	if (job->run->is_over && !job->is_in_flight)
		end_attempt(job);
}

void engine_decide(struct job *job)
{
	if (job->is_in_flight) {
		/* Who asks before the end is seen wins, whenever either is stored. */
		if (job->run && !job->run->is_over && !job->run->is_end_seen)
			ending_take_asked(job->run);
		return;
	}
	if (job->state != JOB_WAITING && job->links)
		edit_refuse_all(job);
	switch ((enum job_state)job->state) {
	case JOB_WAITING:
		waiting_decide(job);
		break;
	case JOB_RUNNING:
		decide_running(job);
		break;
	case JOB_STOPPING:
		decide_stopping(job);
		break;
	case JOB_DONE:
	case N_JOB_STATES:
		break;
	}
}

static void on_running(struct transition *t)
{
	struct store_change *c = &t->change;
	struct job *job = t->job;
	struct run *run;

	job->attempt++;
	if (job->run)
		return;
	if (t->spec) {
		free(c->spec);
		c->spec = t->spec;
		c->spec_len = strlen(t->spec);
		t->spec = NULL;
	}
	run = run_new(job, job->attempt, c->at, c->spec, c->spec_len, c->damaged, c->saved_json);
	c->spec = NULL;
	run->results = t->results;
	t->results = NULL;
	if (run->is_over)
		return;
	ending_take_asked(run);
	if (run->why != STOP_NONE && !run->kind->judge) {
		/* It never ran: ended in one change, answered when that is durable. */
		run_over(run, -ECANCELED);
		return;
	}
	if (engine.is_stopping && run->is_cuttable) {
		run->is_cut = true;
		run_over(run, -ECANCELED);
		return;
	}
	if (run->is_cuttable)
		alive_watch();
	run_go(run);
}

static void on_done(struct transition *t)
{
	struct job *job = t->job;
	struct cancel *late = job->cancels;
	enum job_outcome outcome = t->change.ended_as;

	engine.n_ended++;
	joblog_end(job, outcome, t->change.error_json);
	hook_ended(outcome);
	engine_note(job, ENGINE_ENDED);
	job->cancels = NULL;
	forget_job(job);
	cancel_refuse_all(late, outcome);
}

/*
 * It was not stored, and never will be: the store is being closed on a full
 * disk.  The row stays as it was, and the next start decides from there.
 */
void engine_give_up(struct transition *t)
{
	struct job *job = t->job;
	static const char message[] = "the disk of the state directory is full: it could not be "
				      "stored";

	cancel_fail_all(t->cancels, AW_STORAGE_FULL, message);
	cancel_fail_all(job->cancels, AW_STORAGE_FULL, message);
	job->cancels = NULL;
	transition_free(t);
}

/* What waits for the end of a job that we lose sight of: nobody can tell it how that was. */
static void abandon(struct job *job)
{
	struct job *parent = job->links ? job->links->parent : NULL;

	if (job->links && job->links->parts)
		tree_abandon(job);
	if (job->is_settled)
		return;
	job->is_settled = true;
	job->outcome = JOB_LOST;
	if (parent) {
		job->links->parent = NULL;
		parts_end(parent->links->parts, job->links->part, job->id, JOB_LOST);
		tree_judge(parent);
		engine_decide(parent);
	}
	needs_settle(job);
}

/* The row says something else than we: believe the row, and let go of the job. */
static void on_stale(struct transition *t)
{
	struct job *job = t->job;

	log_error("job %lld: change from %s to %s did not apply: the stored job is in another "
		  "state",
		  (long long)job->id, job_state_name(t->change.from), job_state_name(t->change.to));
	cancel_fail_all(t->cancels, AW_INTERNAL, "the stored job is in another state");
	cancel_fail_all(job->cancels, AW_INTERNAL, "the stored job is in another state");
	job->cancels = NULL;
	engine_note(job, ENGINE_ENDED);
	abandon(job);
	forget_job(job);
}

static void on_waiting_again(struct transition *t)
{
	struct job *job = t->job;

	if (t->change.uses_try)
		joblog_again(job, t->change.outcome, t->change.error_json);
	run_free(job->run);
	job->run = NULL;
	job->due = t->change.due;
	job->queue->n_waiting++;
}

static void on_change_landed(struct store_op *op)
{
	struct transition *t = container_of(op, struct transition, change.op);
	struct job *job = t->job;
	enum job_state to = t->change.to;

	engine_landed();
	if (op->result == -ESTALE) {
		on_stale(t);
		transition_free(t);
		return;
	}
	if (op->result < 0) {
		engine_give_up(t);
		return;
	}
	job->is_in_flight = false;
	set_state(job, to);
	engine_happened(t->change.seq);
	cancel_answer_all(t->cancels);
	if (to == JOB_DONE) {
		on_done(t);
	} else {
		if (to == JOB_RUNNING)
			on_running(t);
		else if (to == JOB_STOPPING)
			on_stopping(job);
		else
			on_waiting_again(t);
		engine_note(job, ENGINE_CHANGED);
		engine_decide(job);
	}
	transition_free(t);
}

/* ---- the step: what is due, what may start ---- */

static void on_due(struct job *job)
{
	job->place = JOB_NOWHERE;
	if (job->run) {
		run_due(job->run);
		return;
	}
	job->due = (struct instant){ 0 };
	engine_decide(job);
}

static void on_deadline(struct links *l)
{
	const struct stop_order order = { .why = STOP_DEADLINE, .grace_us = -1 };

	tree_ask(l->job, &order);
}

static bool run_calendar(void)
{
	struct instant now = now_instant();
	struct heap_slot *due;

	for (unsigned i = 0; i < DUE_PER_STEP; i++) {
		due = calendar_pop_due(&engine.calendar, now.boot, now.wall);
		if (!due)
			return false;
		on_due(container_of(due, struct job, slot));
	}
	return true;
}

static bool run_deadlines(void)
{
	struct instant now = now_instant();
	struct heap_slot *due;

	for (unsigned i = 0; i < DUE_PER_STEP; i++) {
		due = calendar_pop_due(&engine.deadlines, now.boot, now.wall);
		if (!due)
			return false;
		on_deadline(container_of(due, struct links, deadline));
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
		if (prepare_is_needed(job))
			prepare_begin(job);
		else
			engine_start(job, NULL, NULL);
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
	if (!engine.is_stopping || engine.is_draining) {
		more = run_deadlines();
		more |= run_calendar();
		more |= needs_step();
		more |= tree_step();
	}
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
	next = calendar_earlier(calendar_next(&engine.calendar), calendar_next(&engine.deadlines));
	alarm_set(next.boot, next.wall);
}

/* ---- start-up and stop ---- */

int engine_init(struct store *store)
{
	engine = (struct engine){ .store = store, .step = { .fn = on_step } };
	list_init(&engine.woken);
	list_init(&engine.stopping);
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

	/* Links point across: no job may go before all of them are cut. */
	while ((job = jobtab_next(&engine.tab, &at)))
		cut_links(job);
	at = 0;
	while ((job = jobtab_next(&engine.tab, &at)))
		engine_free_job(job);
	jobtab_fini(&engine.tab);
	calendar_fini(&engine.calendar);
	calendar_fini(&engine.deadlines);
	runq_fini(&engine.runq);
	quota_fini();
	hook_fini();
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

		if (!run || !run->coro || !run->is_cuttable)
			continue;
		grace_us = run_grace_us(run);
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
