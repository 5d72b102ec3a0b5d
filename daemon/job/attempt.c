/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/kind.h"

#include "daemon/co/await.h"
#include "daemon/conf.h"
#include "daemon/job/engine_int.h"
#include "daemon/log.h"
#include "proto/limits.h"
#include "proto/units.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* One attempt, from the commit of "running" to what co_run returned. */

/* Documents of compositions: some thousand parts, which take milliseconds to read. */
#define LARGE_BYTES ((size_t)128 * 1024)
/* How often one that waits for the store looks whether the disk is full. */
#define FULL_LOOK_US 200000

/* ---- what is kept of it ---- */

struct note {
	struct store_note note;
	struct future landed;
	bool is_abandoned;		 /* nobody waits for it any more */
	char *saved, *executor, *handle; /* own */
};

static void note_free(struct note *n)
{
	free(n->saved);
	free(n->executor);
	free(n->handle);
	free(n);
}

static void on_noted(struct store_op *op)
{
	struct note *n = container_of(op, struct note, note.op);

	engine_landed();
	if (n->is_abandoned)
		note_free(n);
	else
		future_set(&n->landed, op->result);
}

static struct note *note_new(struct attempt *a)
{
	struct note *n = xcalloc(1, sizeof(*n));

	n->note.op.type = STORE_NOTE;
	n->note.op.done = on_noted;
	n->note.id = a->id;
	n->note.attempt = a->attempt;
	future_init(&n->landed);
	return n;
}

static void note_let_go(struct note *n)
{
	if (n->landed.is_set)
		note_free(n);
	else
		n->is_abandoned = true;
}

static void drop_handle(struct run *run)
{
	if (run->handle)
		note_let_go(run->handle);
	run->handle = NULL;
}

/* ---- begin and end ---- */

struct aw_err *run_err(struct run *run)
{
	if (!run->err)
		run->err = xcalloc(1, sizeof(*run->err));
	return run->err;
}

/* Touches nothing but the document and its place: any thread. */
static bool load_doc(struct run *run, struct aw_err *err)
{
	run->has_doc = jobdoc_load(run->spec, run->spec_len, &run->a.doc, err) == 0;
	return run->has_doc;
}

static void fail_doc(struct run *run, const struct aw_err *err)
{
	*run_err(run) = *err; /* moved */
	run->err->code = AW_DAMAGED;
}

bool run_parse_doc(struct run *run)
{
	struct aw_err err = { 0 };

	if (run->has_doc || load_doc(run, &err))
		return true;
	fail_doc(run, &err);
	return false;
}

static bool is_large(const struct run *run)
{
	return run->kind->judge && run->spec_len >= LARGE_BYTES;
}

static void drop_doc(struct run *run)
{
	if (run->has_doc)
		jobdoc_fini(&run->a.doc);
	run->has_doc = false;
}

/* NULL: nothing, or the null that took its place. */
static json_t *parse_saved(const char *text)
{
	json_t *saved = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	if (!json_is_null(saved))
		return saved;
	json_decref(saved);
	return NULL;
}

struct run *run_new(struct job *job, uint32_t attempt, struct instant started, char *spec,
		    size_t spec_len, bool is_damaged, const char *saved_json)
{
	const struct kind *kind = kinds[job->kind];
	struct run *run = xcalloc(1, sizeof(*run));

	*run = (struct run){
		.job = job,
		.kind = kind,
		.spec = spec,
		.spec_len = spec_len,
		.saved = parse_saved(saved_json),
		.grace_us = -1,
		.grace_end = MONO_NEVER,
		.a = { .id = job->id, .attempt = attempt, .started = started, .uid = job->uid },
	};
	run->a.run = run;
	job->run = run;
	job->may_leave = run->saved != NULL;
	run->is_cuttable = !kind || !kind->adopt;
	engine.n_cuttable += run->is_cuttable;
	if (kind && kind->private_bytes)
		run->a.priv = xcalloc(1, kind->private_bytes);
	if (is_damaged) {
		aw_fail(run_err(run), AW_DAMAGED,
			"the stored document does not match its checksum; it was not executed. "
			"Check the disk, run \"awaitd --check\", submit the job again");
		run_over(run, -EINVAL);
	} else if (!kind) {
		aw_fail(run_err(run), AW_UNSUPPORTED, "this version of awaitd cannot run %s jobs",
			job_kind_name(job->kind));
		run_over(run, -EINVAL);
	} else if (!is_large(run) && !run_parse_doc(run)) {
		run_over(run, -EINVAL);
	}
	return run;
}

void run_free(struct run *run)
{
	if (!run)
		return;
	assert(!run->coro);
	engine.n_cuttable -= run->is_cuttable;
	loop_timer_cancel(&run->timeout);
	if (run->kind && run->kind->fini)
		run->kind->fini(&run->a);
	drop_doc(run);
	drop_handle(run);
	free(run->a.priv);
	free(run->spec);
	free(run->message);
	free(run->results);
	json_decref(run->saved);
	json_decref(run->result);
	if (run->err)
		aw_err_fini(run->err);
	free(run->err);
	free(run);
}

void run_over(struct run *run, int result)
{
	loop_timer_cancel(&run->timeout);
	run->is_over = true;
	run->co_result = result;
	run->ended = now_instant();
}

static void attempt_main(void *arg)
{
	struct run *run = arg;

	run->has_run = true;
	run->co_result = run->kind->co_run(&run->a, run->saved, run_err(run));
	run->ended = now_instant();
}

static void on_attempt_ended(void *arg, bool ran)
{
	struct run *run = arg;
	struct instant ended = run->ended;

	run->coro = NULL;
	engine.n_coros--;
	run_over(run, ran ? run->co_result : -ECANCELED);
	if (ran)
		run->ended = ended;
	if (run->job->is_let_go)
		engine_free_job(run->job);
	else
		engine_decide(run->job);
	/* On a full disk no landing will look whether this was the last one. */
	if (engine.is_stopping)
		engine_wants_step();
}

static void spawn(struct run *run)
{
	run->coro = coro_spawn(attempt_main, run, CORO_STACK_SMALL, on_attempt_ended);
	engine.n_coros++;
}

static void on_timeout(struct loop_timer *timer)
{
	struct run *run = container_of(timer, struct run, timeout);

	if (run->is_over || run->is_end_seen || run->why != STOP_NONE)
		return;
	run->why = STOP_TIMEOUT;
	engine_decide(run->job);
}

static void arm_timeout(struct run *run)
{
	int64_t left_us = run->a.doc.timeout_us;

	if (left_us == 0)
		return;
	run->timeout.fn = on_timeout;
	if (run->is_adopted) {
		int64_t gone_us = instant_elapsed_us(run->a.started, now_instant());

		left_us = gone_us < left_us ? left_us - gone_us : 0;
	}
	loop_timer_set(&run->timeout, mono_in_us(left_us));
}

/* A composition: its parts are its work. */
static void begin(struct run *run)
{
	arm_timeout(run);
	tree_begin(run->job);
	drop_doc(run);
}

/* A large document is read by a helper thread, so that nobody waits for it. */
struct reading {
	struct offload work;
	struct run *run; /* its job's changes are in flight as long as this is under way */
	struct aw_err err;
};

static void read_work(struct offload *o)
{
	struct reading *r = container_of(o, struct reading, work);

	load_doc(r->run, &r->err);
}

static void read_done(struct offload *o)
{
	struct reading *r = container_of(o, struct reading, work);
	struct run *run = r->run;

	engine_landed();
	if (!engine.is_over) {
		run->job->is_in_flight = false;
		if (run->has_doc) {
			begin(run);
		} else {
			fail_doc(run, &r->err);
			run_over(run, -EINVAL);
		}
		engine_decide(run->job);
	}
	free(r);
}

static void begin_large(struct run *run)
{
	struct reading *r = xcalloc(1, sizeof(*r));

	r->run = run;
	r->work = (struct offload){ .work = read_work, .done = read_done };
	run->job->is_in_flight = true;
	engine.n_in_flight++;
	offload_submit(&r->work);
}

void run_go(struct run *run)
{
	struct instant due;

	if (run->kind->judge) {
		/* At the start of the daemon the others wait anyway. */
		if (!run->has_doc && !run->is_adopted)
			begin_large(run);
		else if (run_parse_doc(run))
			begin(run);
		else
			run_over(run, -EINVAL);
		return;
	}
	if (!run->kind->due || !run->kind->due(&run->a, &due)) {
		arm_timeout(run);
		spawn(run);
		return;
	}
	/* What is due before its timeout cannot time out, however late we look at it. */
	if (instant_elapsed_us(run->a.started, due) > run->a.doc.timeout_us)
		arm_timeout(run);
	/* It only waits: no stack, and no parsed document either. */
	drop_doc(run);
	calendar_add(&engine.calendar, &run->job->slot, run->a.id, due);
	run->job->place = JOB_IN_CALENDAR;
	engine_wants_step();
}

void run_due(struct run *run)
{
	if (run->is_over)
		return;
	if (!run_parse_doc(run)) {
		run_over(run, -EINVAL);
		engine_decide(run->job);
		return;
	}
	spawn(run);
}

int64_t run_grace_us(const struct run *run)
{
	int64_t grace_us = run->grace_us;

	if (grace_us < 0 && run->has_doc)
		grace_us = run->a.doc.grace_us;
	if (grace_us < 0)
		grace_us = conf->grace_us;
	return grace_us < conf->max_grace_us ? grace_us : conf->max_grace_us;
}

/* A composition stops when its last part has. */
static void stop_parts(struct run *run)
{
	const struct stop_order order = {
		.why = run->job->links->is_overdue ? STOP_DEADLINE : run->why,
		.by_uid = run->by_uid,
		.message =
			run->why == STOP_TIMEOUT ? "it took longer than its timeout" : run->message,
		.grace_us = run->grace_us,
	};

	if (tree_has_live_parts(run->job)) {
		tree_stop(run->job, &order);
		return;
	}
	run_over(run, -ECANCELED);
	engine_decide(run->job);
}

void run_stop(struct run *run, int64_t grace_us)
{
	struct mono end = mono_in_us(grace_us);

	if (run->is_over)
		return;
	run->a.is_stopping = true;
	if (end.ns < run->grace_end.ns)
		run->grace_end = end;
	if (run->coro) {
		coro_cancel(run->coro);
		return;
	}
	if (run->has_begun) {
		stop_parts(run);
		return;
	}
	waiting_take_out(run->job);
	run_over(run, -ECANCELED);
	engine_decide(run->job);
}

void attempt_set_result(struct attempt *a, json_t *result)
{
	json_decref(a->run->result);
	a->run->result = result;
}

bool attempt_end_seen(struct attempt *a)
{
	a->run->is_end_seen = true;
	return !ending_is_asked(a->run);
}

const char *attempt_results(const struct attempt *a)
{
	return a->run->results;
}

void attempt_progressed(struct attempt *a)
{
	if (engine.listener && engine.listener->progressed)
		engine.listener->progressed(a->id);
	engine_note(a->run->job, ENGINE_PROGRESSED);
}

void attempt_output_grew(struct attempt *a)
{
	engine_note(a->run->job, ENGINE_OUTPUT_GREW);
}

struct mono attempt_grace_end(const struct attempt *a)
{
	return a->run->grace_end;
}

bool attempt_is_followed(const struct attempt *a, int result)
{
	return ending_is_followed(a->run, result);
}

/*
 * The store has the request until it lands: a cancel waits so long.  Not so
 * while the disk is full: nobody knows how long that is, and a stop of the
 * daemon waits for all coroutines.
 */
static int co_landed(struct note *n)
{
	int r = -ETIMEDOUT, result = 0;

	co_shield_begin();
	while (r < 0 && !store_is_full(engine.store))
		r = co_future_wait(&n->landed, mono_in_us(FULL_LOOK_US), &result);
	co_shield_end();
	note_let_go(n);
	return r == 0 ? result : -ENOSPC;
}

struct dump {
	const json_t *value;
	char *text;
};

static void dump_now(void *arg)
{
	struct dump *d = arg;

	d->text = buf_json_text(d->value);
}

int co_engine_save(struct attempt *a, const json_t *record)
{
	struct dump d = { .value = record };
	struct note *n;
	int r;

	co_on_loop_stack(dump_now, &d);
	if (strlen(d.text) > JOB_SAVED_MAX_BYTES) {
		free(d.text);
		return -E2BIG;
	}
	n = note_new(a);
	n->saved = d.text;
	n->note.saved_json = n->saved;
	engine_fly(&n->note.op);
	a->run->job->may_leave |= !json_is_null(record);
	r = co_landed(n);
	if (r == 0)
		a->run->job->may_leave = !json_is_null(record);
	return r;
}

void attempt_set_handle(struct attempt *a, const char *executor, const char *handle)
{
	struct note *n = note_new(a);

	drop_handle(a->run);
	a->run->handle = n;
	n->executor = xstrdup(executor);
	n->handle = xstrdup(handle);
	n->note.executor = n->executor;
	n->note.handle = n->handle;
	engine_fly(&n->note.op);
}

int co_attempt_handle_kept(struct attempt *a)
{
	struct note *n = a->run->handle;

	a->run->handle = NULL;
	return n ? co_landed(n) : 0;
}
