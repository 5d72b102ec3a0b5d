/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_ENGINE_FIXTURE_H
#define TESTS_UNIT_ENGINE_FIXTURE_H

#include "daemon/co/await.h"
#include "daemon/conf.h"
#include "daemon/job/alarm.h"
#include "daemon/job/engine_int.h"
#include "daemon/job/users.h"
#include "daemon/log.h"
#include "proto/xalloc.h"

#include <assert.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"

/* Each program of the engine's tests uses some of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

/*
 * The engine on a virtual clock, over a store that commits when the test says
 * so: what may happen before a commit, and what only after it, is visible.
 */

static const struct conf test_conf = {
	.stop_timeout_us = 20000000,
	.fetch_limit = 64,
	.worker_limit = 2,
	.hook_limit = 4,
	.grace_us = 5000000,
	.max_grace_us = INT64_C(3600000000),
	.retry_delay_us = 1000000,
	.retry_factor = 2,
	.retry_max_delay_us = 300000000,
	.retry_jitter = 0.1,
	.crash_loop_us = 10000000,
	.crash_loop_attempts = 3,
};
const struct conf *conf = &test_conf;

void log_at(int priority, const char *fmt, ...)
{
	(void)priority, (void)fmt;
}

void log_at_job(int priority, const struct log_job *job, const char *fmt, ...)
{
	(void)priority, (void)job, (void)fmt;
}

/* The real clocks have no part in this: the test says when to look at the calendar. */
int alarm_open(void (*fn)(void))
{
	(void)fn;
	return 0;
}

void alarm_close(void)
{
}

void alarm_set(struct boot boot, struct wall wall)
{
	(void)boot, (void)wall;
}

/* ---- a store that is an array ---- */

struct row {
	int64_t id;
	enum job_kind kind;
	enum job_state state;
	enum job_outcome outcome;
	uint32_t attempt;
	uid_t uid;
	char *spec, *error, *result, *queue;
	char *saved; /* of the current attempt, or the last one */
	struct instant due, started, ended, deadline;
	enum stop_why why;
	int n_ends;
	/* a tree's */
	int64_t parent;
	unsigned part;
	uint32_t run_of, tries;
	bool is_held, has_refs;
	struct store_need needs[8];
	size_t n_needs;
	enum store_compose compose;
	unsigned winner;
	enum stop_why asked;
	char *name;
	size_t transaction; /* the one that ended it */
	uint64_t seq;	    /* of its last change */
};

#define ROWS_MAX 4096

static struct row rows[ROWS_MAX];
static size_t n_rows;
static struct store_op *pending[2 * ROWS_MAX];
static size_t n_pending;
static size_t n_transactions;
static uint64_t last_seq;
static int insert_result;
static unsigned losses;
static bool load_damaged;

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	ck_assert_uint_lt(n_pending, 2 * ROWS_MAX);
	pending[n_pending++] = op;
}

static bool is_store_full;

bool store_is_full(struct store *store)
{
	(void)store;
	return is_store_full;
}

static struct row *row_of(int64_t id)
{
	ck_assert_int_ge(id, 1);
	ck_assert_uint_le((size_t)id, n_rows);
	return &rows[id - 1];
}

static int do_insert(struct store_insert *in)
{
	if (insert_result < 0)
		return insert_result;
	for (size_t i = 0; i < in->n; i++) {
		struct store_new_job *n = &in->jobs[i];

		ck_assert_uint_lt(n_rows, ROWS_MAX);
		n->id = (int64_t)++n_rows;
		if (n->parent_place_plus_1)
			n->parent = in->jobs[n->parent_place_plus_1 - 1].id;
		for (size_t k = 0; k < n->n_needs; k++)
			if (n->needs[k].place != STORE_NO_PLACE)
				n->needs[k].job = in->jobs[n->needs[k].place].id;
		rows[n_rows - 1] = (struct row){
			.parent = n->parent,
			.part = n->part,
			.run_of = n->run_of,
			.has_refs = n->has_refs,
			.deadline = n->deadline,
			.n_needs = n->n_needs,
			.name = n->name ? xstrdup(n->name) : NULL,
			.id = n->id,
			.kind = n->kind,
			.state = JOB_WAITING,
			.uid = n->uid,
			.spec = xstrdup(n->spec),
			.due = n->due,
			.queue = n->queue ? xstrdup(n->queue) : NULL,
		};
		ck_assert_uint_le(n->n_needs, 8);
		if (n->n_needs)
			memcpy(rows[n_rows - 1].needs, n->needs, n->n_needs * sizeof(*n->needs));
	}
	return 0;
}

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static int do_note(const struct store_note *n)
{
	struct row *r = row_of(n->id);

	if ((r->state != JOB_RUNNING && r->state != JOB_STOPPING) || r->attempt != n->attempt)
		return -ESTALE;
	if (n->saved_json) {
		free(r->saved);
		r->saved = xstrdup(n->saved_json);
	}
	return 0;
}

static int do_change(struct store_change *c)
{
	struct row *r = row_of(c->id);

	ck_assert_int_ne(r->state, JOB_DONE);
	if (r->state != c->from || r->attempt != c->attempt)
		return -ESTALE;
	r->state = c->to;
	r->seq = ++last_seq;
	if (c->to == JOB_RUNNING) {
		r->attempt++;
		r->started = c->at;
		c->spec = xstrdup(r->spec);
		c->spec_len = strlen(r->spec);
		c->saved_json = copy(r->saved);
	}
	if (c->to == JOB_STOPPING)
		r->why = c->why;
	if (c->to == JOB_WAITING) {
		r->due = c->due;
		r->tries += c->uses_try;
	}
	if (c->to == JOB_DONE) {
		bool lives = false;

		for (size_t i = 0; i < n_rows; i++) /* R2.10 */
			lives |= rows[i].parent == r->id && rows[i].state != JOB_DONE;
		ck_assert_msg(!lives, "a part of %lld lives", (long long)r->id);
		r->compose = c->compose;
		r->winner = c->winner;
		r->transaction = n_transactions;
		r->n_ends++;
		r->ended = c->at;
		r->outcome = c->ended_as = c->outcome;
		r->error = copy(c->error_json);
		r->result = copy(c->result_json);
	}
	return 0;
}

static int do_load(struct store_load *l)
{
	struct row *r = row_of(l->id);

	l->spec = xstrdup(r->spec);
	l->spec_len = strlen(r->spec);
	l->started = r->started;
	l->why = r->why;
	l->damaged = load_damaged;
	l->n_losses = losses;
	l->saved_json = copy(r->saved);
	if (r->saved) {
		l->executor = xstrdup("fake");
		l->handle = xstrdup("half");
	}
	return 0;
}

static int do_get(struct store_get *g)
{
	g->jobs = xcalloc(g->n, sizeof(*g->jobs));
	for (size_t i = 0; i < g->n; i++)
		if (g->ids[i] >= 1 && (size_t)g->ids[i] <= n_rows) {
			struct row *r = row_of(g->ids[i]);

			g->jobs[i] = (struct store_job){
				.id = r->id, .uid = r->uid, .state = r->state, .outcome = r->outcome
			};
		}
	return 0;
}

static int do_update(const struct store_update *u)
{
	struct row *r = row_of(u->id);

	if (r->state != JOB_WAITING || r->attempt != u->attempt)
		return -ESTALE;
	if (u->fields & STORE_HELD)
		r->is_held = u->is_held;
	if (u->fields & STORE_DUE)
		r->due = u->due;
	return 0;
}

static int do_ask(const struct store_ask *a)
{
	struct row *r = row_of(a->id);

	if (r->state != a->state)
		return -ESTALE;
	r->asked = r->why = a->why;
	return 0;
}

/* What @id sees: the jobs it and those around it need, and earlier parts of sequences. */
static int do_scope(struct store_scope *s)
{
	struct row *r = row_of(s->id);

	s->spec = xstrdup(r->spec);
	s->spec_len = strlen(r->spec);
	s->entries = xcalloc(64, sizeof(*s->entries));
	for (;;) {
		for (size_t i = 0; i < r->n_needs; i++) {
			struct row *on = row_of(r->needs[i].job);

			s->entries[s->n++] =
				(struct store_scope_entry){ on->id, copy(on->name), true,
							    on->outcome, copy(on->result) };
		}
		if (!r->parent)
			return 0;
		for (size_t i = 0; i < n_rows; i++)
			if (rows[i].parent == r->parent && rows[i].part < r->part &&
			    rows[i].run_of == r->run_of && rows[i].name &&
			    row_of(r->parent)->kind == JOB_SEQUENCE)
				s->entries[s->n++] =
					(struct store_scope_entry){ rows[i].id, copy(rows[i].name),
								    false, rows[i].outcome,
								    copy(rows[i].result) };
		r = row_of(r->parent);
	}
}

static int64_t events_end; /* the number behind the last event; all are of no interest */

static int do_events(struct store_events *e)
{
	e->next = events_end;
	e->is_at_end = true;
	return 0;
}

static int do_op(struct store_op *op)
{
	switch (op->type) {
	case STORE_INSERT:
		return do_insert(container_of(op, struct store_insert, op));
	case STORE_CHANGE:
		return do_change(container_of(op, struct store_change, op));
	case STORE_LOAD:
		return do_load(container_of(op, struct store_load, op));
	case STORE_GET:
		return do_get(container_of(op, struct store_get, op));
	case STORE_UPDATE:
		return do_update(container_of(op, struct store_update, op));
	case STORE_ASK:
		return do_ask(container_of(op, struct store_ask, op));
	case STORE_SCOPE:
		return do_scope(container_of(op, struct store_scope, op));
	case STORE_EVENTS:
		return do_events(container_of(op, struct store_events, op));
	case STORE_NOTE:
		return do_note(container_of(op, struct store_note, op));
	case STORE_QUEUE:
	case STORE_REMOVE:
	case STORE_PRUNE:
	case STORE_SWEEP:
	case STORE_LIST:
	case STORE_BACKUP:
	case N_STORE_OPS:
		break;
	}
	return 0;
}

/* Commit what is pending now (not what that leads to), and let everything run. */
static void commit(void)
{
	size_t n = n_pending;
	struct store_op **now = xcalloc(n ? n : 1, sizeof(*now));

	memcpy(now, pending, n * sizeof(*now));
	n_pending = 0;
	for (size_t i = 0; i < n; i++) {
		now[i]->result = do_op(now[i]);
		n_transactions += !now[i]->is_with_next;
	}
	for (size_t i = 0; i < n; i++)
		now[i]->done(now[i]);
	free(now);
	loop_run_until_idle();
}

static void commit_all(void)
{
	loop_run_until_idle();
	while (n_pending)
		commit();
}

void store_change_fini(struct store_change *c)
{
	free(c->spec);
	free(c->saved_json);
}

void store_load_fini(struct store_load *l)
{
	free(l->spec);
	free(l->saved_json);
	free(l->executor);
	free(l->handle);
	free(l->message);
}

void store_scope_fini(struct store_scope *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->entries[i].name);
		free(s->entries[i].result_json);
	}
	free(s->entries);
	free(s->spec);
}

void store_get_fini(struct store_get *g)
{
	free(g->jobs);
}

void store_stats(struct store *store, struct store_stats *ret)
{
	(void)store;
	*ret = (struct store_stats){ 0 };
}

void store_events_fini(struct store_events *e)
{
	(void)e;
}

int store_each_doc_size(struct store *store, void (*fn)(void *arg, int64_t id, size_t n_bytes),
			void *arg)
{
	(void)store;
	(void)fn;
	(void)arg;
	return 0;
}

int store_each_queue(struct store *store, void (*fn)(void *, const char *, int64_t, bool),
		     void *arg)
{
	(void)store, (void)fn, (void)arg;
	return 0;
}

int store_each_live(struct store *store, void (*fn)(void *, const struct store_live *), void *arg)
{
	(void)store;
	for (size_t i = 0; i < n_rows; i++) {
		const struct row *r = &rows[i];
		const struct store_live live = { .id = r->id,
						 .kind = r->kind,
						 .state = r->state,
						 .queue = r->queue,
						 .uid = r->uid,
						 .attempt = r->attempt,
						 .due = r->due,
						 .parent = r->parent,
						 .part = r->part,
						 .tries = r->tries,
						 .is_held = r->is_held,
						 .has_refs = r->has_refs };

		if (r->state != JOB_DONE)
			fn(arg, &live);
	}
	return 0;
}

int store_each_need(struct store *store,
		    void (*fn)(void *, int64_t, int64_t, enum need_on, enum job_outcome), void *arg)
{
	(void)store;
	for (size_t i = 0; i < n_rows; i++)
		for (size_t k = 0; rows[i].state != JOB_DONE && k < rows[i].n_needs; k++)
			fn(arg, rows[i].id, rows[i].needs[k].job, rows[i].needs[k].on,
			   row_of(rows[i].needs[k].job)->outcome);
	return 0;
}

/* The attempt of @parent whose parts are the last ones; it may not have begun. */
static uint32_t last_run(int64_t parent)
{
	uint32_t run = 1;

	for (size_t i = 0; i < n_rows; i++)
		if (rows[i].parent == parent && rows[i].run_of > run)
			run = rows[i].run_of;
	return run;
}

static bool is_ended_part(const struct row *r)
{
	const struct row *p = r->parent ? row_of(r->parent) : NULL;

	return p && p->state != JOB_DONE && r->state == JOB_DONE && r->run_of == last_run(p->id);
}

static void tell_ended_part(const struct row *r,
			    void (*fn)(void *, const struct store_ended_part *), void *arg)
{
	const struct row *p = row_of(r->parent);
	const struct store_ended_part part = {
		.id = r->id,
		.parent = p->id,
		.run_of = r->run_of,
		.part = r->part,
		.outcome = r->outcome,
		.is_late = p->state == JOB_STOPPING && r->seq > p->seq,
	};

	fn(arg, &part);
}

int store_each_ended_part(struct store *store, void (*fn)(void *, const struct store_ended_part *),
			  void *arg)
{
	(void)store;
	for (uint64_t seq = 1; seq <= last_seq; seq++)
		for (size_t i = 0; i < n_rows; i++)
			if (rows[i].seq == seq && is_ended_part(&rows[i]))
				tell_ended_part(&rows[i], fn, arg);
	return 0;
}

int store_each_deadline(struct store *store, void (*fn)(void *, int64_t, struct instant), void *arg)
{
	(void)store;
	for (size_t i = 0; i < n_rows; i++)
		if (rows[i].state != JOB_DONE && rows[i].deadline.wall.ms)
			fn(arg, rows[i].id, rows[i].deadline);
	return 0;
}

int store_each_asked(struct store *store,
		     void (*fn)(void *, int64_t, enum stop_why, uid_t, const char *), void *arg)
{
	(void)store;
	for (size_t i = 0; i < n_rows; i++)
		if (rows[i].state == JOB_WAITING && rows[i].asked != STOP_NONE)
			fn(arg, rows[i].id, rows[i].asked, 0, NULL);
	return 0;
}

/* ---- a kind whose attempts end when the test says so ---- */

static struct future ends[ROWS_MAX];
static int n_entered, n_cancels_seen;
static bool is_stubborn; /* a cancelled attempt ends only when the test ends it */
static bool is_slow;	 /* between its end that is seen and its return it waits for slow_end */
static bool is_in_time;	 /* nobody had asked it to stop when its end was seen */
static struct future slow_end;
static struct mono grace_seen;
static const char *to_save; /* what an attempt leaves that failed, if another one follows */
static char *given;	    /* what the last one got */
static unsigned n_removed;  /* calls of end_leftover */

/* Leave something for the attempt after this one. */
static int co_leave(struct attempt *a, int result)
{
	json_t *record = to_save ? json_string(to_save) : NULL;

	if (record && attempt_is_followed(a, result))
		(void)!co_engine_save(a, record);
	json_decref(record);
	return result;
}

static void count_removal(const struct leftover *left)
{
	n_removed += !left->is_followed;
}

static void co_return_slowly(struct attempt *a)
{
	int result;

	is_in_time = attempt_end_seen(a);
	while (co_future_wait(&slow_end, MONO_NEVER, &result) == -ECANCELED)
		n_cancels_seen++;
}

static int co_fake_run(struct attempt *a, const json_t *saved, struct aw_err *err)
{
	struct future *end = &ends[a->id];
	int result = 0, r;

	free(given);
	given = copy(json_string_value(saved));
	n_entered++;
	while ((r = co_future_wait(end, MONO_NEVER, &result)) == -ECANCELED) {
		n_cancels_seen++;
		grace_seen = attempt_grace_end(a);
		if (!is_stubborn)
			return co_leave(a, -ECANCELED);
	}
	if (is_slow)
		co_return_slowly(a);
	if (result == -ECONNRESET)
		return aw_fail(err, AW_LOST, "whatever watched it is gone");
	if (result < 0)
		return co_leave(a, aw_fail(err, AW_EXIT, "it failed"));
	attempt_set_result(a, json_integer(result));
	return 0;
}

extern const struct kind kind_timer, kind_gather, kind_sequence, kind_race;
static const struct kind kind_fake = {
	.kind = JOB_WORKER,
	.co_run = co_fake_run,
	.end_leftover = count_removal,
};
const struct kind *const kinds[N_JOB_KINDS] = {
	[JOB_TIMER] = &kind_timer,	 [JOB_WORKER] = &kind_fake, [JOB_GATHER] = &kind_gather,
	[JOB_SEQUENCE] = &kind_sequence, [JOB_RACE] = &kind_race,
};

static void end_attempt(int64_t id, int result)
{
	future_set(&ends[id], result);
	loop_run_until_idle();
}

/* ---- helpers ---- */

static void on_submitted(struct submission *s)
{
	*(bool *)s->arg = true;
}

static int64_t submitted_id; /* of the last one */

static int submit_as(const char *text, uid_t uid, enum aw_code *ret_code)
{
	json_t *doc = json_loads(text, 0, NULL);
	struct jobdoc d;
	struct aw_err err = { 0 };
	bool answered = false;
	struct submission s = {
		.docs = &d, .n = 1, .uid = uid, .done = on_submitted, .arg = &answered
	};
	int result;

	ck_assert_msg(jobdoc_check(doc, "", 0, &d, &err) == 0, "%s %s", err.path, err.message);
	engine_submit(&s, false);
	if (!answered) {
		loop_run_until_idle();
		while (n_pending == 0) /* a helper thread makes the rows of many */
			loop_turn(true);
		ck_assert_msg(!answered, "answered before it was durable");
		commit();
		if (!answered) /* what it needs was looked up first */
			commit();
	}
	ck_assert(answered);
	result = s.result;
	if (result == 0)
		submitted_id = submission_job(&s, 0)->id;
	if (ret_code)
		*ret_code = s.err.code;
	submission_fini(&s);
	jobdoc_fini(&d);
	json_decref(doc);
	return result;
}

/* Submit and return the id; the insert is committed, nothing after it. */
static int64_t submit(const char *text)
{
	ck_assert_int_eq(submit_as(text, 1000, NULL), 0);
	return submitted_id;
}

#define WORKER "{\"kind\":\"worker\",\"argv\":[\"x\"]}"
#define WORKER_RETRY "{\"kind\":\"worker\",\"argv\":[\"x\"],\"on_lost\":\"retry\"}"

struct asked {
	struct cancel c;
	bool is_answered;
	int result;
	enum aw_code code;
};

static void on_cancelled(struct cancel *c)
{
	struct asked *a = c->arg;

	a->is_answered = true;
	a->result = c->result;
	a->code = c->err.code;
	aw_err_fini(&c->err);
	free(c->message);
}

static void cancel(struct asked *a, int64_t id, uid_t viewer, int64_t grace_us)
{
	*a = (struct asked){ 0 };
	a->c = (struct cancel){ .id = id,
				.viewer = { .uid = viewer },
				.grace_us = grace_us,
				.done = on_cancelled,
				.arg = a };
	engine_cancel(&a->c);
	loop_run_until_idle();
}

static enum job_state state_of(int64_t id)
{
	return row_of(id)->state;
}

static void assert_done(int64_t id, enum job_outcome outcome)
{
	ck_assert_str_eq(job_state_name(state_of(id)), "done");
	ck_assert_str_eq(job_outcome_name(row_of(id)->outcome), job_outcome_name(outcome));
	ck_assert_int_eq(row_of(id)->n_ends, 1);
	ck_assert_ptr_null(jobtab_find(&engine.tab, id));
}

static void advance_us(int64_t us)
{
	now_fake_advance_us(us);
	engine_wants_step();
	loop_run_until_idle();
}

static void engine_up(void)
{
	ck_assert_int_eq(engine_init(NULL), 0);
	ck_assert_int_eq(engine_load(), 0);
	commit_all();
}

static void setup(void)
{
	now_fake_start((struct mono){ 1000000000 }, (struct boot){ 2000000000 },
		       (struct wall){ 1700000000000 });
	ck_assert_int_eq(loop_init(), 0);
	for (int i = 0; i < ROWS_MAX; i++)
		future_init(&ends[i]);
	n_rows = n_pending = 0;
	last_seq = 0;
	insert_result = n_entered = n_cancels_seen = 0;
	losses = 0;
	is_stubborn = is_slow = load_damaged = is_store_full = false;
	future_init(&slow_end);
	to_save = NULL;
	n_removed = 0;
	engine_up();
}

static void teardown(void)
{
	/* Let what still runs end, so that nothing leaks. */
	for (int i = 0; i < ROWS_MAX; i++)
		if (!ends[i].is_set)
			future_set(&ends[i], 0);
	if (!slow_end.is_set)
		future_set(&slow_end, 0);
	commit_all();
	engine_fini();
	offload_fini();
	users_fini();
	loop_fini();
	free(given);
	given = NULL;
	for (size_t i = 0; i < n_rows; i++) {
		free(rows[i].spec);
		free(rows[i].error);
		free(rows[i].result);
		free(rows[i].queue);
		free(rows[i].saved);
		free(rows[i].name);
	}
	now_fake_stop();
}

/* The daemon dies and comes back: memory is gone, rows stay. */
static void crash(void)
{
	for (int i = 0; i < ROWS_MAX; i++) {
		if (!ends[i].is_set)
			future_set(&ends[i], 0);
	}
	loop_run_until_idle();
	for (size_t i = 0; i < n_pending; i++) {
		pending[i]->result = -ESTALE;
		pending[i]->done(pending[i]);
	}
	n_pending = 0;
	loop_run_until_idle();
	engine_fini();
	for (int i = 0; i < ROWS_MAX; i++)
		future_init(&ends[i]);
	n_entered = 0;
	ck_assert_int_eq(engine_init(NULL), 0);
	ck_assert_int_eq(engine_load(), 0);
	loop_run_until_idle();
}

#endif
