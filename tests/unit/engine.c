/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/await.h"
#include "daemon/conf.h"
#include "daemon/job/alarm.h"
#include "daemon/job/engine_int.h"
#include "daemon/job/users.h"
#include "daemon/log.h"
#include "proto/xalloc.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The engine on a virtual clock, over a store that commits when the test says
 * so: what may happen before a commit, and what only after it, is visible.
 */

static const struct conf test_conf = {
	.stop_timeout_us = 20000000,
	.fetch_limit = 64,
	.worker_limit = 2,
};
const struct conf *conf = &test_conf;

void log_at(int priority, const char *fmt, ...)
{
	(void)priority, (void)fmt;
}

void log_at_job(int priority, const struct log_job *job, const char *fmt, ...)
{
	(void)priority;
	(void)job;
	(void)fmt;
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
	struct instant due, started, ended;
	enum stop_why why;
	int n_ends;
};

static struct row rows[64];
static size_t n_rows;
static struct store_op *pending[256];
static size_t n_pending;
static int insert_result;
static unsigned losses;
static bool load_damaged;

void store_submit(struct store *store, struct store_op *op)
{
	(void)store;
	ck_assert_uint_lt(n_pending, 256);
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

		n->id = (int64_t)++n_rows;
		rows[n_rows - 1] = (struct row){
			.id = n->id,
			.kind = n->kind,
			.state = JOB_WAITING,
			.uid = n->uid,
			.spec = xstrdup(n->spec),
			.due = n->due,
			.queue = n->queue ? xstrdup(n->queue) : NULL,
		};
	}
	return 0;
}

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static int do_change(struct store_change *c)
{
	struct row *r = row_of(c->id);

	ck_assert_int_ne(r->state, JOB_DONE);
	if (r->state != c->from || r->attempt != c->attempt)
		return -ESTALE;
	r->state = c->to;
	if (c->to == JOB_RUNNING) {
		r->attempt++;
		r->started = c->at;
		c->spec = xstrdup(r->spec);
		c->spec_len = strlen(r->spec);
	}
	if (c->to == JOB_STOPPING)
		r->why = c->why;
	if (c->to == JOB_WAITING)
		r->due = c->due;
	if (c->to == JOB_DONE) {
		r->n_ends++;
		r->ended = c->at;
		r->outcome = c->outcome;
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
	case STORE_ASK:
	case STORE_NOTE:
	case STORE_QUEUE:
	case STORE_REMOVE:
	case STORE_LIST:
	case STORE_SCOPE:
	case STORE_EVENTS:
	case STORE_BACKUP:
	case N_STORE_OPS:
		break;
	}
	return 0;
}

/* Commit what is pending now (not what that leads to), and let everything run. */
static void commit(void)
{
	struct store_op *now[256];
	size_t n = n_pending;

	memcpy(now, pending, sizeof(now));
	n_pending = 0;
	for (size_t i = 0; i < n; i++)
		now[i]->result = do_op(now[i]);
	for (size_t i = 0; i < n; i++)
		now[i]->done(now[i]);
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
}

void store_load_fini(struct store_load *l)
{
	free(l->spec);
	free(l->message);
}

void store_get_fini(struct store_get *g)
{
	free(g->jobs);
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
						 .due = r->due };

		if (r->state != JOB_DONE)
			fn(arg, &live);
	}
	return 0;
}

/* ---- a kind whose attempts end when the test says so ---- */

static struct future ends[64];
static int n_entered, n_cancels_seen;
static bool is_stubborn; /* a cancelled attempt ends only when the test ends it */
static struct mono grace_seen;

static int co_fake_run(struct attempt *a, const json_t *saved, struct aw_err *err)
{
	struct future *end = &ends[a->id];
	int result = 0, r;

	(void)saved;
	n_entered++;
	while ((r = co_future_wait(end, MONO_NEVER, &result)) == -ECANCELED) {
		n_cancels_seen++;
		grace_seen = attempt_grace_end(a);
		if (!is_stubborn)
			return -ECANCELED;
	}
	if (result == -ECONNRESET)
		return aw_fail(err, AW_LOST, "whatever watched it is gone");
	if (result < 0)
		return aw_fail(err, AW_EXIT, "it failed");
	attempt_set_result(a, json_integer(result));
	return 0;
}

extern const struct kind kind_timer;
static const struct kind kind_fake = { .kind = JOB_WORKER, .co_run = co_fake_run };
const struct kind *const kinds[N_JOB_KINDS] = {
	[JOB_TIMER] = &kind_timer,
	[JOB_WORKER] = &kind_fake,
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
		ck_assert_msg(!answered, "answered before it was durable");
		commit();
	}
	ck_assert(answered);
	result = s.result;
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
	return (int64_t)n_rows;
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
	for (int i = 0; i < 64; i++)
		future_init(&ends[i]);
	n_rows = n_pending = 0;
	insert_result = n_entered = n_cancels_seen = 0;
	losses = 0;
	is_stubborn = load_damaged = is_store_full = false;
	engine_up();
}

static void teardown(void)
{
	/* Let what still runs end, so that nothing leaks. */
	for (int i = 0; i < 64; i++)
		if (!ends[i].is_set)
			future_set(&ends[i], 0);
	commit_all();
	engine_fini();
	offload_fini();
	users_fini();
	loop_fini();
	for (size_t i = 0; i < n_rows; i++) {
		free(rows[i].spec);
		free(rows[i].error);
		free(rows[i].result);
		free(rows[i].queue);
	}
	now_fake_stop();
}

/* The daemon dies and comes back: memory is gone, rows stay. */
static void crash(void)
{
	for (int i = 0; i < 64; i++) {
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
	for (int i = 0; i < 64; i++)
		future_init(&ends[i]);
	n_entered = 0;
	ck_assert_int_eq(engine_init(NULL), 0);
	ck_assert_int_eq(engine_load(), 0);
	loop_run_until_idle();
}

/* ---- life ---- */

START_TEST(nothing_starts_before_running_is_committed)
{
	int64_t id = submit(WORKER);

	ck_assert_int_eq(n_pending, 1);
	ck_assert_int_eq(n_entered, 0);
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	commit();
	ck_assert_int_eq(n_entered, 1);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	end_attempt(id, 7);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	commit();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_str_eq(row_of(id)->result, "7");
	ck_assert_ptr_null(row_of(id)->error);
}
END_TEST

static enum engine_note last_note;
static int n_notes;

static void on_note(struct job_watch *w, enum engine_note note)
{
	(void)w;
	last_note = note;
	n_notes++;
}

START_TEST(an_end_is_told_after_its_commit)
{
	struct job_watch w = { .fn = on_note };
	int64_t id = submit(WORKER);

	n_notes = 0;
	ck_assert(engine_watch(id, &w));
	commit();
	ck_assert_int_eq(n_notes, 1);
	end_attempt(id, -1);
	ck_assert_int_eq(n_notes, 1);
	commit();
	ck_assert_int_eq(n_notes, 2);
	ck_assert_int_eq(last_note, ENGINE_ENDED);
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"exit\""));
	ck_assert(!engine_watch(id, &w));
	engine_unwatch(&w);
}
END_TEST

START_TEST(slots_are_free_when_the_end_is_queued)
{
	int64_t a = submit(WORKER), b = submit(WORKER), c = submit(WORKER);

	commit();
	ck_assert_int_eq(n_entered, 2); /* the limit */
	ck_assert_int_eq(state_of(c), JOB_WAITING);
	end_attempt(a, 0);
	ck_assert_int_eq(n_pending, 2); /* the end and the next start share a commit */
	commit();
	ck_assert_int_eq(n_entered, 3);
	end_attempt(b, 0);
	end_attempt(c, 0);
	commit();
	assert_done(c, JOB_SUCCEEDED);
}
END_TEST

START_TEST(timer_is_never_early_and_has_no_stack)
{
	int64_t id = submit("{\"kind\":\"timer\",\"sleep\":1.5,\"value\":{\"a\":[1]}}");
	struct coro_stats cs;

	commit();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	coro_stats(&cs);
	ck_assert_uint_eq(cs.n_live, 0);
	advance_us(1499999);
	ck_assert_int_eq(n_pending, 0);
	advance_us(1);
	ck_assert_int_eq(n_pending, 1);
	commit();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_str_eq(row_of(id)->result, "{\"a\":[1]}");
}
END_TEST

#define SHORT_TIMER "{\"kind\":\"timer\",\"sleep\":0.05}"

START_TEST(a_timer_is_not_late_because_its_start_is_being_stored)
{
	int64_t id = submit(SHORT_TIMER);

	ck_assert_int_eq(n_pending, 1);
	advance_us(50000);
	ck_assert_int_eq(n_pending, 1); /* the end waits for the commit of the start */
	advance_us(3000000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_int_eq(row_of(id)->ended.wall.ms - row_of(id)->started.wall.ms, 50);
}
END_TEST

START_TEST(delay_and_at)
{
	int64_t delay = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"delay\":10}");
	int64_t at = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],"
			    "\"at\":\"2023-11-14T22:13:25Z\"}"); /* 5 s from now */

	ck_assert_int_eq(n_pending, 0);
	now_fake_step_wall_ms(5000);
	advance_us(0);
	commit();
	ck_assert_int_eq(state_of(at), JOB_RUNNING);
	ck_assert_int_eq(state_of(delay), JOB_WAITING);
	advance_us(10000000);
	commit();
	ck_assert_int_eq(state_of(delay), JOB_RUNNING);
}
END_TEST

START_TEST(refusals)
{
	enum aw_code code;

	insert_result = -ENOSPC;
	ck_assert_int_lt(submit_as(WORKER, 1, &code), 0);
	ck_assert_int_eq(code, AW_STORAGE_FULL);
	insert_result = -EEXIST;
	ck_assert_int_lt(submit_as(WORKER, 1, &code), 0);
	ck_assert_int_eq(code, AW_CONFLICT);
	insert_result = 0;
	ck_assert_int_lt(
		submit_as("{\"kind\":\"worker\",\"argv\":[\"x\"],\"queue\":\"none\"}", 1, &code),
		0);
	ck_assert_int_eq(code, AW_NOT_FOUND);
	ck_assert_uint_eq(engine.tab.n, 0);
}
END_TEST

START_TEST(a_damaged_document_is_never_executed)
{
	int64_t id = submit(WORKER);

	free(row_of(id)->spec);
	row_of(id)->spec = xstrdup("{\"kind\":\"worker\",\"argv\":7}");
	commit_all();
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"damaged\""));
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

/* ---- cancel, one test per state ---- */

START_TEST(cancel_waiting_for_time)
{
	int64_t id = submit("{\"kind\":\"timer\",\"sleep\":1,\"delay\":100}");
	struct asked a;

	cancel(&a, id, 1000, -1);
	ck_assert(!a.is_answered);
	commit();
	ck_assert(a.is_answered);
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
	advance_us(200000000);
	ck_assert_int_eq(n_pending, 0);
}
END_TEST

START_TEST(cancel_waiting_for_a_slot)
{
	struct asked a;
	int64_t id;

	engine_queue_set("worker", -1, 1, NULL, NULL);
	commit_all();
	id = submit(WORKER);
	ck_assert_int_eq(n_pending, 0);
	cancel(&a, id, 0, -1);
	commit();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
	engine_queue_set("worker", -1, 0, NULL, NULL);
	commit_all();
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

START_TEST(cancel_while_the_start_is_in_flight)
{
	int64_t id = submit(WORKER);
	struct asked a;

	cancel(&a, id, 1000, -1);
	commit();
	ck_assert(!a.is_answered);
	commit();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

START_TEST(cancel_running)
{
	int64_t id = submit(WORKER);
	struct asked a, b;

	is_stubborn = true;
	commit();
	cancel(&a, id, 1000, 3000000);
	ck_assert(!a.is_answered);
	ck_assert_int_eq(n_cancels_seen, 0); /* not before the request is durable */
	commit();
	ck_assert(a.is_answered);
	ck_assert_int_eq(state_of(id), JOB_STOPPING);
	ck_assert_int_eq(n_cancels_seen, 1);
	ck_assert_int_eq(grace_seen.ns, now_mono().ns + 3000000000);
	/* A second one is a no-op, but its shorter grace counts. */
	cancel(&b, id, 1000, 1000000);
	ck_assert(b.is_answered);
	ck_assert_int_eq(b.result, 0);
	ck_assert_int_eq(n_cancels_seen, 2);
	ck_assert_int_eq(grace_seen.ns, now_mono().ns + 1000000000);
	end_attempt(id, 0);
	commit();
	assert_done(id, JOB_CANCELLED); /* queued before the end was seen: whatever the end says */
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"by\":1000"));
}
END_TEST

START_TEST(cancel_in_flight_beats_a_later_end)
{
	int64_t id = submit(WORKER);
	struct asked a;

	is_stubborn = true;
	commit();
	cancel(&a, id, 1000, -1);
	end_attempt(id, 0);
	commit_all();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

START_TEST(an_end_that_was_seen_first_wins)
{
	int64_t id = submit(WORKER);
	struct asked a;

	commit();
	end_attempt(id, 0);
	cancel(&a, id, 1000, -1);
	ck_assert(!a.is_answered);
	commit();
	ck_assert_int_lt(a.result, 0);
	ck_assert_int_eq(a.code, AW_WRONG_STATE);
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

START_TEST(cancel_a_timer_that_sleeps)
{
	int64_t id = submit("{\"kind\":\"timer\",\"sleep\":1000}");
	struct asked a;

	commit();
	cancel(&a, id, 1000, -1);
	commit_all();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

START_TEST(cancel_before_the_end_of_a_timer_whose_start_is_in_flight)
{
	int64_t id = submit(SHORT_TIMER);
	struct asked a;

	cancel(&a, id, 1000, -1);
	advance_us(50000);
	commit_all();
	ck_assert(a.is_answered);
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

START_TEST(cancel_after_the_end_of_a_timer_whose_start_is_in_flight)
{
	int64_t id = submit(SHORT_TIMER);
	struct asked a;

	advance_us(50000);
	cancel(&a, id, 1000, -1);
	commit_all();
	ck_assert_int_eq(a.code, AW_WRONG_STATE);
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

START_TEST(stop_while_a_timer_s_start_is_in_flight)
{
	int64_t id = submit(SHORT_TIMER);

	engine_stop(false, NULL);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	crash();
	commit_all();
	advance_us(50000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

START_TEST(cancel_done_unknown_and_foreign)
{
	int64_t id = submit(WORKER);
	struct asked a;

	cancel(&a, id, 1001, -1);
	ck_assert_int_eq(a.code, AW_NOT_FOUND);
	cancel(&a, 99, 1000, -1);
	commit_all();
	ck_assert_int_eq(a.code, AW_NOT_FOUND);
	end_attempt(id, 0);
	commit_all();
	cancel(&a, id, 1001, -1);
	commit_all();
	ck_assert_int_eq(a.code, AW_NOT_FOUND);
	cancel(&a, id, 1000, -1);
	commit_all();
	ck_assert_int_eq(a.code, AW_WRONG_STATE);
}
END_TEST

/* ---- timeouts ---- */

START_TEST(timeout_ends_an_attempt)
{
	int64_t id = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"timeout\":2}");

	commit();
	advance_us(1999999);
	ck_assert_int_eq(n_pending, 0);
	advance_us(1);
	ck_assert_int_eq(n_pending, 1);
	commit_all();
	assert_done(id, JOB_TIMED_OUT);
}
END_TEST

START_TEST(cancel_after_a_timeout_stays_timed_out)
{
	int64_t id = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"timeout\":2}");
	struct asked a;

	is_stubborn = true;
	commit();
	advance_us(2000000);
	cancel(&a, id, 1000, -1);
	commit();
	ck_assert(a.is_answered);
	ck_assert_int_eq(a.result, 0);
	end_attempt(id, 0);
	commit_all();
	assert_done(id, JOB_TIMED_OUT);
}
END_TEST

/* ---- orderly stop ---- */

static bool is_stopped;

static void on_stopped(void)
{
	is_stopped = true;
}

START_TEST(orderly_stop)
{
	int64_t lost = submit(WORKER), again = submit(WORKER_RETRY);
	int64_t queued = submit(WORKER), timer = submit("{\"kind\":\"timer\",\"sleep\":60}");
	enum aw_code code;

	commit();
	is_stopped = false;
	engine_stop(false, on_stopped);
	ck_assert_int_lt(submit_as(WORKER, 1, &code), 0);
	ck_assert_int_eq(code, AW_SHUTTING_DOWN);
	commit_all();
	ck_assert(is_stopped);
	assert_done(lost, JOB_LOST);
	ck_assert_int_eq(state_of(again), JOB_WAITING);
	ck_assert_int_eq(state_of(queued), JOB_WAITING);
	ck_assert_int_eq(row_of(queued)->attempt, 0);
	ck_assert_int_eq(state_of(timer), JOB_RUNNING);
}
END_TEST

START_TEST(a_start_in_flight_at_the_stop_waits_again)
{
	int64_t id = submit(WORKER);

	is_stopped = false;
	engine_stop(false, on_stopped);
	commit_all();
	ck_assert(is_stopped);
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

START_TEST(a_stop_leaves_timers_as_they_are)
{
	int64_t delayed = submit("{\"kind\":\"timer\",\"sleep\":60,\"delay\":1}");
	int64_t due = submit(SHORT_TIMER);

	advance_us(1000000); /* the delayed one's start and the short one's are in flight */
	is_stopped = false;
	engine_stop(false, on_stopped);
	commit_all();
	ck_assert(is_stopped);
	ck_assert_int_eq(state_of(delayed), JOB_RUNNING);
	ck_assert_int_ne(state_of(due), JOB_WAITING);
	ck_assert_uint_eq(row_of(delayed)->attempt, 1);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_a_full_disk)
{
	int64_t id = submit(WORKER);
	struct asked a;

	commit();
	is_store_full = true;
	is_stopped = false;
	cancel(&a, id, 1000, -1);
	ck_assert_int_eq(n_cancels_seen, 1); /* who fills the disk can be stopped */
	ck_assert(!a.is_answered);
	engine_stop(false, on_stopped);
	advance_us(1000000);
	ck_assert(is_stopped);
	/* The store is closed: what it kept is given up. */
	for (size_t i = 0; i < n_pending; i++) {
		pending[i]->result = -ENOSPC;
		pending[i]->done(pending[i]);
	}
	n_pending = 0;
	ck_assert(a.is_answered);
	ck_assert_int_eq(a.code, AW_STORAGE_FULL);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
}
END_TEST

START_TEST(drain_waits_for_attempts)
{
	int64_t a = submit(WORKER), b, c;

	b = submit(WORKER);
	c = submit(WORKER);
	commit();
	is_stopped = false;
	engine_stop(true, on_stopped);
	commit_all();
	ck_assert(!is_stopped);
	end_attempt(a, 0);
	end_attempt(b, 0);
	commit_all();
	ck_assert(is_stopped);
	assert_done(a, JOB_SUCCEEDED);
	ck_assert_int_eq(state_of(c), JOB_WAITING);
}
END_TEST

/* ---- restart ---- */

START_TEST(restart_applies_on_lost)
{
	int64_t lost = submit(WORKER), again = submit(WORKER_RETRY);
	int64_t timer = submit("{\"kind\":\"timer\",\"sleep\":60}");

	commit();
	advance_us(5000000);
	crash();
	commit();
	commit();
	assert_done(lost, JOB_LOST);
	ck_assert_int_eq(state_of(again), JOB_WAITING);
	commit();
	ck_assert_int_eq(state_of(again), JOB_RUNNING);
	ck_assert_int_eq(row_of(again)->attempt, 2);
	ck_assert_int_eq(n_entered, 1);
	/* The timer keeps its instant. */
	advance_us(54999999);
	ck_assert_int_eq(state_of(timer), JOB_RUNNING);
	ck_assert_int_eq(n_pending, 0);
	advance_us(1);
	commit();
	assert_done(timer, JOB_SUCCEEDED);
}
END_TEST

START_TEST(a_timer_that_was_due_before_its_timeout_succeeds_however_late)
{
	int64_t good = submit("{\"kind\":\"timer\",\"sleep\":2,\"timeout\":4}");
	int64_t bad = submit("{\"kind\":\"timer\",\"sleep\":4,\"timeout\":2}");

	commit_all();
	advance_us(500000);
	crash();
	now_fake_advance_us(10000000); /* nobody has looked meanwhile: the daemon was down */
	commit_all();
	advance_us(0);
	commit_all();
	assert_done(good, JOB_SUCCEEDED);
	assert_done(bad, JOB_TIMED_OUT);
}
END_TEST

START_TEST(three_losses_in_one_life_are_a_crash_loop)
{
	int64_t id = submit(WORKER_RETRY);

	for (int i = 1; i <= 3; i++) {
		commit_all();
		ck_assert_int_eq(state_of(id), JOB_RUNNING);
		ck_assert_uint_eq(row_of(id)->attempt, (uint32_t)i);
		end_attempt(id, -ECONNRESET);
		future_init(&ends[id]);
	}
	commit_all();
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"crash_loop\""));
}
END_TEST

START_TEST(restart_finishes_a_cancel)
{
	int64_t id = submit(WORKER_RETRY);
	struct asked a;

	is_stubborn = true;
	commit();
	cancel(&a, id, 1000, -1);
	commit();
	ck_assert_int_eq(state_of(id), JOB_STOPPING);
	crash();
	commit_all();
	assert_done(id, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

START_TEST(three_quick_losses_are_a_crash_loop)
{
	int64_t id = submit(WORKER_RETRY);

	commit();
	losses = 2;
	crash();
	commit_all();
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"crash_loop\""));
}
END_TEST

START_TEST(a_slow_loss_is_no_crash_loop)
{
	int64_t id = submit(WORKER_RETRY);

	commit();
	losses = 2;
	advance_us(11000000);
	crash();
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
}
END_TEST

START_TEST(a_cancel_during_recovery_waits_for_it)
{
	int64_t id = submit(WORKER_RETRY);
	struct asked a;

	commit();
	crash();
	cancel(&a, id, 1000, -1);
	ck_assert(!a.is_answered);
	commit_all();
	ck_assert_int_eq(a.result, 0);
	assert_done(id, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine");
	TCase *tc = tcase_create("engine");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_starts_before_running_is_committed);
	tcase_add_test(tc, an_end_is_told_after_its_commit);
	tcase_add_test(tc, slots_are_free_when_the_end_is_queued);
	tcase_add_test(tc, timer_is_never_early_and_has_no_stack);
	tcase_add_test(tc, a_timer_is_not_late_because_its_start_is_being_stored);
	tcase_add_test(tc, delay_and_at);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, a_damaged_document_is_never_executed);
	tcase_add_test(tc, cancel_waiting_for_time);
	tcase_add_test(tc, cancel_waiting_for_a_slot);
	tcase_add_test(tc, cancel_while_the_start_is_in_flight);
	tcase_add_test(tc, cancel_running);
	tcase_add_test(tc, cancel_in_flight_beats_a_later_end);
	tcase_add_test(tc, an_end_that_was_seen_first_wins);
	tcase_add_test(tc, cancel_a_timer_that_sleeps);
	tcase_add_test(tc, cancel_before_the_end_of_a_timer_whose_start_is_in_flight);
	tcase_add_test(tc, cancel_after_the_end_of_a_timer_whose_start_is_in_flight);
	tcase_add_test(tc, stop_while_a_timer_s_start_is_in_flight);
	tcase_add_test(tc, cancel_done_unknown_and_foreign);
	tcase_add_test(tc, timeout_ends_an_attempt);
	tcase_add_test(tc, cancel_after_a_timeout_stays_timed_out);
	tcase_add_test(tc, orderly_stop);
	tcase_add_test(tc, a_start_in_flight_at_the_stop_waits_again);
	tcase_add_test(tc, a_stop_leaves_timers_as_they_are);
	tcase_add_test(tc, a_stop_does_not_wait_for_a_full_disk);
	tcase_add_test(tc, drain_waits_for_attempts);
	tcase_add_test(tc, restart_applies_on_lost);
	tcase_add_test(tc, a_timer_that_was_due_before_its_timeout_succeeds_however_late);
	tcase_add_test(tc, three_losses_in_one_life_are_a_crash_loop);
	tcase_add_test(tc, restart_finishes_a_cancel);
	tcase_add_test(tc, three_quick_losses_are_a_crash_loop);
	tcase_add_test(tc, a_slow_loss_is_no_crash_loop);
	tcase_add_test(tc, a_cancel_during_recovery_waits_for_it);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
