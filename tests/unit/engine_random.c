/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/engine_tree_fixture.h"

#include <time.h>

/*
 * The engine under whatever order of things chance brings: submits, cancels,
 * holds, ends, time, crashes, and a store that has committed some of what it was
 * asked.  What must hold then: who was told that a job is cancelled sees no
 * further attempt of it, a queue keeps to its limit, and at last all is done.
 * AWAITD_TEST_SEED=N repeats a seed.
 */

#define N_RUNS 60
#define N_STEPS 150
#define N_SUBMITS 15
#define N_CANCELS 60
#define N_EDITS 40
#define LIMIT 2 /* of the queue "worker", see test_conf */

static unsigned first_seed;
static uint64_t state;

/* 0 ... n - 1 */
static unsigned chance(unsigned n)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(state >> 33) % n;
}

/* ---- submits ---- */

struct doc {
	struct submission s;
	struct jobdoc d;
	json_t *json;
};
static struct doc docs[N_SUBMITS];
static size_t n_docs;

static void on_doc(struct submission *s)
{
	struct doc *d = container_of(s, struct doc, s);

	submission_fini(&d->s);
	jobdoc_fini(&d->d);
	json_decref(d->json);
}

static void add_surroundings(struct buf *b, bool is_part)
{
	if (chance(6) == 0)
		buf_adds(b, ",\"deadline\":2");
	if (chance(6) == 0)
		buf_adds(b, ",\"delay\":1");
	if (is_part && chance(5) == 0)
		buf_adds(b, ",\"shield\":true");
	if (!is_part && n_rows > 0 && chance(5) == 0)
		buf_addf(b, ",\"needs\":[{\"job\":%u,\"on\":\"%s\"}]", 1 + chance((unsigned)n_rows),
			 need_on_name((enum need_on)chance(N_NEED_ON)));
}

static void add_leaf(struct buf *b, bool is_part)
{
	static const char *const leaves[] = { WORKER, WORKER_RETRY,
					      "{\"kind\":\"timer\",\"sleep\":1}" };

	buf_adds(b, leaves[chance(3)]);
	b->len--; /* the brace */
	if (chance(2))
		buf_adds(b, ",\"timeout\":0.5");
	if (chance(2))
		buf_adds(b, ",\"retry\":{\"max\":2,\"delay\":0.5,\"jitter\":0}");
	add_surroundings(b, is_part);
	buf_addc(b, '}');
}

/* What any job may have that is not a leaf. */
static void add_rest(struct buf *b, bool is_part)
{
	if (chance(2))
		buf_adds(b, ",\"retry\":{\"max\":1,\"delay\":0.5,\"jitter\":0}");
	if (chance(2))
		buf_adds(b, ",\"timeout\":2");
	add_surroundings(b, is_part);
	buf_addc(b, '}');
}

/* A leaf, or a composition of what is at most @depth levels deep. */
static void add_document(struct buf *b, int depth, bool is_part)
{
	static const char *const trees[] = { "{\"kind\":\"gather\"",
					     "{\"kind\":\"gather\",\"limit\":1",
					     "{\"kind\":\"gather\",\"on_failure\":\"continue\"",
					     "{\"kind\":\"sequence\"", "{\"kind\":\"race\"" };

	if (depth == 0 || chance(2)) {
		add_leaf(b, is_part);
		return;
	}
	buf_addf(b, "%s,\"jobs\":[", trees[chance(5)]);
	for (unsigned i = 0, n = 1 + chance(3); i < n; i++) {
		buf_adds(b, i ? "," : "");
		add_document(b, depth - 1, true);
	}
	buf_addc(b, ']');
	add_rest(b, is_part);
}

static void submit_one(void)
{
	struct doc *d = &docs[n_docs];
	struct aw_err err = { 0 };
	struct buf b = { 0 };

	if (n_docs == N_SUBMITS)
		return;
	n_docs++;
	*d = (struct doc){ 0 };
	add_document(&b, 3, false);
	d->json = json_loads(buf_terminate(&b), 0, NULL);
	ck_assert_msg(jobdoc_check(d->json, "", 0, &d->d, &err) == 0, "%s: %s", b.data,
		      err.message);
	buf_fini(&b);
	d->s = (struct submission){ .docs = &d->d, .n = 1, .uid = 1000, .done = on_doc };
	engine_submit(&d->s, false);
}

/* ---- cancels, holds ---- */

static struct told {
	struct cancel c;
	uint32_t attempt; /* the job's, when it was told that it is cancelled */
	bool is_told;
} told[N_CANCELS];
static size_t n_told;

static void on_told(struct cancel *c)
{
	struct told *t = container_of(c, struct told, c);

	t->is_told = c->result == 0;
	t->attempt = row_of(c->id)->attempt;
	aw_err_fini(&c->err);
}

static void cancel_one(void)
{
	struct told *t = &told[n_told];

	if (n_told == N_CANCELS || n_rows == 0)
		return;
	n_told++;
	*t = (struct told){ .c = { .id = 1 + chance((unsigned)n_rows),
				   .grace_us = chance(2) ? -1 : 100000 * (int64_t)chance(5),
				   .done = on_told } };
	engine_cancel(&t->c);
}

static struct job_edit edits[N_EDITS];
static size_t n_edits;

static void on_edited(struct job_edit *e)
{
	aw_err_fini(&e->err);
}

static void hold(struct job_edit *e, int64_t id, bool is_held)
{
	*e = (struct job_edit){
		.id = id, .fields = STORE_HELD, .is_held = is_held, .done = on_edited
	};
	engine_edit(e);
}

static void hold_one(void)
{
	if (n_edits < N_EDITS && n_rows > 0)
		hold(&edits[n_edits++], 1 + chance((unsigned)n_rows), chance(2));
}

/* ---- ends, commits ---- */

static void end_one(int64_t id, int result)
{
	end_attempt(id, result);
	future_init(&ends[id]); /* for another attempt */
}

/* The first @n of what the store was asked, and what must not be parted from them. */
static void commit_some(size_t n)
{
	static struct store_op *now[2 * ROWS_MAX];

	if (n > n_pending)
		n = n_pending;
	while (n > 0 && n < n_pending && pending[n - 1]->is_with_next)
		n++;
	memcpy(now, pending, n * sizeof(*now));
	memmove(pending, pending + n, (n_pending - n) * sizeof(*pending));
	n_pending -= n;
	for (size_t i = 0; i < n; i++) {
		now[i]->result = do_op(now[i]);
		n_transactions += !now[i]->is_with_next;
	}
	for (size_t i = 0; i < n; i++)
		now[i]->done(now[i]);
	loop_run_until_idle();
}

static bool is_read(const struct store_op *op)
{
	return op->type == STORE_GET || op->type == STORE_LOAD || op->type == STORE_SCOPE;
}

/* The daemon dies and comes back: nothing of what was asked of the store is there. */
static void die(void)
{
	for (int i = 0; i < ROWS_MAX; i++)
		future_set(&ends[i], 0);
	loop_run_until_idle();
	while (n_pending) {
		struct store_op *op = pending[0];

		memmove(pending, pending + 1, --n_pending * sizeof(*pending));
		/* What is not stored then never will be; what can be read still is. */
		op->result = is_read(op) ? do_op(op) : -ENOSPC;
		op->done(op);
		loop_run_until_idle();
	}
	engine_fini();
	for (int i = 0; i < ROWS_MAX; i++)
		future_init(&ends[i]);
	ck_assert_int_eq(engine_init(NULL), 0);
	ck_assert_int_eq(engine_load(), 0);
}

/* ---- what must hold ---- */

static void check(void)
{
	size_t n_running = 0;

	for (size_t i = 0; i < n_told; i++)
		ck_assert_msg(!told[i].is_told || row_of(told[i].c.id)->attempt == told[i].attempt,
			      "job %lld was cancelled in attempt %u, and is in attempt %u",
			      (long long)told[i].c.id, told[i].attempt,
			      row_of(told[i].c.id)->attempt);
	for (size_t i = 0; i < n_rows; i++) {
		ck_assert_int_le(rows[i].n_ends, 1);
		n_running += rows[i].kind == JOB_WORKER &&
			     (rows[i].state == JOB_RUNNING || rows[i].state == JOB_STOPPING);
	}
	ck_assert_uint_le(n_running, LIMIT);
}

static bool is_all_done(void)
{
	for (size_t i = 0; i < n_rows; i++)
		if (rows[i].state != JOB_DONE)
			return false;
	return true;
}

/* Nobody holds anything up any more. */
static void finish(void)
{
	static struct job_edit releases[ROWS_MAX];

	is_stubborn = false;
	for (int round = 0; round < 500; round++) {
		commit_all();
		check();
		if (is_all_done())
			return;
		for (size_t i = 0; i < n_rows; i++) {
			int64_t id = (int64_t)i + 1;

			if (rows[i].state == JOB_WAITING && rows[i].is_held) {
				hold(&releases[i], id, false);
				commit_all();
			}
			if (rows[i].state == JOB_RUNNING || rows[i].state == JOB_STOPPING)
				end_one(id, 0);
		}
		advance_us(10000000);
	}
	ck_abort_msg("some jobs do not end");
}

static void step(void)
{
	unsigned what = chance(100);

	if (what < 15)
		submit_one();
	else if (what < 28)
		cancel_one();
	else if (what < 34)
		hold_one();
	else if (what < 50 && n_rows > 0)
		end_one(1 + chance((unsigned)n_rows), (int)chance(3) - 1);
	else if (what < 62)
		advance_us(100000 * (int64_t)chance(10));
	else if (what < 64)
		is_stubborn = !is_stubborn;
	else if (what < 65)
		die();
	else
		commit_some(chance(4));
	loop_run_until_idle();
	check();
}

START_TEST(whatever_comes)
{
	state = first_seed + (unsigned)_i;
	n_docs = n_told = n_edits = 0;
	for (int i = 0; i < N_STEPS; i++)
		step();
	finish();
	ck_assert_uint_eq(engine.n_in_flight, 0);
	ck_assert_uint_eq(engine.n_coros, 0);
	ck_assert_uint_eq(engine.tab.n, 0);
	for (size_t i = 0; i < engine.runq.n; i++) {
		ck_assert_uint_eq(engine.runq.queues[i]->n_running, 0);
		ck_assert_uint_eq(engine.runq.queues[i]->n_waiting, 0);
	}
}
END_TEST

int main(void)
{
	const char *seed = getenv("AWAITD_TEST_SEED");
	Suite *s = suite_create("engine_random");
	TCase *tc = tcase_create("random");

	first_seed = seed ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)time(NULL);
	printf("AWAITD_TEST_SEED=%u\n", first_seed);
	fflush(stdout); /* not once more in each child */
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, whatever_comes, 0, N_RUNS);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
