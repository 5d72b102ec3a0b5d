/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/store_fixture.h"

#include <errno.h>

/* Jobs and their attempts: inserted, changed, read again. */

/* ---- inserting and reading ---- */

START_TEST(insert_and_get_every_field)
{
	struct store_new_job job = fx_job();
	int64_t ids[2];
	struct store_get get = { .ids = ids, .n = 2 };
	const struct store_job *j;

	job.name = "back\xc3\xbcp";
	job.tags = "[\"a\",\"b\"]";
	job.priority = -7;
	job.due = fx_at(60000);
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	ck_assert_int_eq(job.id, 1);
	ids[0] = 12345;
	ids[1] = job.id;
	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	ck_assert_int_eq(get.jobs[0].id, 0);
	j = &get.jobs[1];
	ck_assert_int_eq(j->id, 1);
	ck_assert_int_eq(j->kind, JOB_WORKER);
	ck_assert_int_eq(j->state, JOB_WAITING);
	ck_assert_int_eq(j->outcome, JOB_UNENDED);
	ck_assert_str_eq(j->name, "back\xc3\xbcp");
	ck_assert_str_eq(j->tags, "[\"a\",\"b\"]");
	ck_assert_str_eq(j->queue, "worker");
	ck_assert_int_eq(j->priority, -7);
	ck_assert_uint_eq(j->uid, 1000);
	ck_assert_uint_eq(j->gid, 1001);
	ck_assert_uint_eq(j->attempt, 0);
	ck_assert_int_eq(j->submitted.ms, FX_NOW_MS);
	ck_assert_int_eq(j->due.ms, FX_NOW_MS + 60000);
	ck_assert_int_eq(j->started.ms, 0);
	ck_assert_int_eq(j->ended.ms, 0);
	ck_assert_ptr_null(j->result_json);
	ck_assert_ptr_null(j->error_json);
	ck_assert_str_eq(j->spec, FX_SPEC);
	ck_assert_uint_eq(j->spec_len, strlen(FX_SPEC));
	store_get_fini(&get);
}
END_TEST

START_TEST(ids_rise_and_are_never_used_again)
{
	struct store_new_job jobs[3] = { fx_job(), fx_job(), fx_job() };
	struct store_remove rm = { .id = 0 };

	ck_assert_int_eq(fx_insert(jobs, 3), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(jobs[i].id, i + 1);
	rm.id = fx_done_job();
	ck_assert_int_eq(rm.id, 4);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	fx_restart();
	ck_assert_int_eq(fx_insert_one(), 5);
}
END_TEST

/* One request may be larger than a transaction otherwise gets; it is still one. */
START_TEST(a_large_insert_is_one_transaction)
{
	size_t n = 20000;
	struct store_new_job *jobs = xcalloc(n, sizeof(*jobs));
	struct store_stats before, after;

	fx_insert_one();
	for (size_t i = 0; i < n; i++)
		jobs[i] = fx_job();
	store_stats(fx.store, &before);
	ck_assert_int_eq(fx_insert(jobs, n), 0);
	store_stats(fx.store, &after);
	ck_assert_uint_eq(after.n_commits - before.n_commits, 1);
	ck_assert_uint_eq(after.n_rows - before.n_rows, n);
	ck_assert_uint_eq(after.by_state[JOB_WAITING], n + 1);
	ck_assert_int_eq(jobs[n - 1].id, (int64_t)n + 1);
	free(jobs);
}
END_TEST

/* R1.3: what gathers while a commit is on the disk is the next one. */
START_TEST(requests_of_a_turn_share_commits)
{
	enum { N = 2500 };
	static struct store_insert ops[N];
	static struct store_new_job jobs[N];
	struct store_stats st;

	for (size_t i = 0; i < N; i++) {
		jobs[i] = fx_job();
		ops[i] = (struct store_insert){ .jobs = &jobs[i], .n = 1, .at = fx_at(0) };
		fx_submit(&ops[i].op, STORE_INSERT);
	}
	store_stats(fx.store, &st);
	ck_assert_uint_eq(st.n_queued, N);
	while (fx.n_done < N)
		loop_turn(true);
	for (size_t i = 0; i < N; i++) {
		ck_assert_int_eq(ops[i].op.result, 0);
		ck_assert_int_eq(jobs[i].id, (int64_t)i + 1);
	}
	store_stats(fx.store, &st);
	/* At least as many as the cap on one makes it, and far fewer than requests. */
	ck_assert_uint_ge(st.n_commits, 3);
	ck_assert_uint_le(st.n_commits, N / 20);
	ck_assert_uint_eq(st.n_queued, 0);
}
END_TEST

/* ---- states ---- */

static void get_one(int64_t id, struct store_get *get)
{
	static int64_t ids[1];

	ids[0] = id;
	*get = (struct store_get){ .ids = ids, .n = 1 };
	ck_assert_int_eq(fx_run(&get->op, STORE_GET), 0);
	ck_assert_int_eq(get->jobs[0].id, id);
}

START_TEST(life_of_a_job)
{
	int64_t id = fx_insert_one();
	struct store_change c = fx_change(id, 0, JOB_WAITING, JOB_RUNNING);
	struct store_get get;

	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	ck_assert_str_eq(c.spec, FX_SPEC);
	ck_assert_uint_eq(c.spec_len, strlen(FX_SPEC));
	ck_assert(!c.damaged);
	store_change_fini(&c);
	get_one(id, &get);
	ck_assert_int_eq(get.jobs[0].state, JOB_RUNNING);
	ck_assert_uint_eq(get.jobs[0].attempt, 1);
	ck_assert_int_eq(get.jobs[0].started.ms, FX_NOW_MS + 1000);
	store_get_fini(&get);

	ck_assert_int_eq(fx_move(id, 1, JOB_RUNNING, JOB_STOPPING), 0);

	c = fx_change(id, 1, JOB_STOPPING, JOB_DONE);
	c.outcome = JOB_CANCELLED;
	c.at = fx_at(7000);
	c.result_json = "{\"exit\":null}";
	c.error_json = "{\"code\":\"cancelled\"}";
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	get_one(id, &get);
	ck_assert_int_eq(get.jobs[0].state, JOB_DONE);
	ck_assert_int_eq(get.jobs[0].outcome, JOB_CANCELLED);
	ck_assert_int_eq(get.jobs[0].ended.ms, FX_NOW_MS + 7000);
	ck_assert_str_eq(get.jobs[0].result_json, "{\"exit\":null}");
	ck_assert_str_eq(get.jobs[0].error_json, "{\"code\":\"cancelled\"}");
	store_get_fini(&get);

	fx_close();
	/* One row per change, numbered on from the submission, each leading to the one before. */
	ck_assert_int_eq(fx_raw_int("SELECT group_concat(seq, '') = '234' FROM event"), 1);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM event WHERE job = 1 AND attempt = 1"), 3);
	ck_assert_int_eq(fx_raw_int("SELECT last_seq FROM job"), 4);
	ck_assert_int_eq(fx_raw_int("SELECT prev FROM event WHERE seq = 4"), 3);
	ck_assert_int_eq(fx_raw_int("SELECT prev IS NULL FROM event WHERE seq = 2"), 1);
	ck_assert_int_eq(fx_raw_int("SELECT outcome = 'cancelled' AND ended IS NOT NULL"
				    " FROM attempt WHERE job = 1 AND attempt = 1"),
			 1);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM stop"), 0);
}
END_TEST

START_TEST(a_waiting_job_may_end_without_an_attempt)
{
	int64_t id = fx_insert_one();

	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_DONE), 0);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM attempt"), 0);
	/* Nothing to keep: no row for a null result and a null error. */
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM ending"), 0);
}
END_TEST

/* R2.3: a change finds the row as it expects it, or nothing happens at all. */
static const struct {
	int64_t id;
	uint32_t attempt;
	enum job_state from, to;
} stale[] = {
	{ 99, 0, JOB_WAITING, JOB_RUNNING }, { 1, 0, JOB_WAITING, JOB_RUNNING },
	{ 1, 1, JOB_WAITING, JOB_RUNNING },  { 1, 0, JOB_RUNNING, JOB_DONE },
	{ 1, 2, JOB_RUNNING, JOB_DONE },     { 1, 1, JOB_STOPPING, JOB_DONE },
	{ 1, 1, JOB_WAITING, JOB_DONE },     { 1, 2, JOB_RUNNING, JOB_STOPPING },
	{ 1, 1, JOB_STOPPING, JOB_WAITING }, { 1, 0, JOB_RUNNING, JOB_WAITING },
	{ 2, 1, JOB_RUNNING, JOB_DONE },     { 2, 1, JOB_RUNNING, JOB_WAITING },
	{ 2, 1, JOB_WAITING, JOB_RUNNING },  { 2, 1, JOB_RUNNING, JOB_STOPPING },
};

START_TEST(stale_changes_do_nothing)
{
	int64_t running = fx_insert_one(), done = fx_insert_one();
	struct store_stats before, after;

	ck_assert_int_eq(running, 1);
	ck_assert_int_eq(done, 2);
	ck_assert_int_eq(fx_move(running, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(done, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(done, 1, JOB_RUNNING, JOB_DONE), 0);
	store_stats(fx.store, &before);
	ck_assert_int_eq(fx_move(stale[_i].id, stale[_i].attempt, stale[_i].from, stale[_i].to),
			 -ESTALE);
	store_stats(fx.store, &after);
	ck_assert_mem_eq(before.by_state, after.by_state, sizeof(before.by_state));
	ck_assert_mem_eq(before.by_outcome, after.by_outcome, sizeof(before.by_outcome));
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM event"), 3);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM attempt"), 2);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM stop"), 0);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM job WHERE state = 'running'"), 1);
}
END_TEST

/* A conflict of one request leaves the others of its transaction alone. */
START_TEST(changes_take_effect_in_order)
{
	int64_t id = fx_insert_one();
	struct store_change start = fx_change(id, 0, JOB_WAITING, JOB_RUNNING);
	struct store_note note = { .id = id, .attempt = 1, .saved_json = "1" };
	struct store_change twice = start;
	struct store_change end = fx_change(id, 1, JOB_RUNNING, JOB_DONE);
	struct store_change late = fx_change(id, 1, JOB_RUNNING, JOB_STOPPING);
	struct store_get get = { .ids = &id, .n = 1 };
	size_t want = fx.n_done + 6;

	fx_submit(&start.op, STORE_CHANGE);
	fx_submit(&note.op, STORE_NOTE);
	fx_submit(&twice.op, STORE_CHANGE);
	fx_submit(&end.op, STORE_CHANGE);
	fx_submit(&late.op, STORE_CHANGE);
	fx_submit(&get.op, STORE_GET);
	while (fx.n_done < want)
		loop_turn(true);
	ck_assert_int_eq(start.op.result, 0);
	ck_assert_int_eq(note.op.result, 0);
	ck_assert_int_eq(twice.op.result, -ESTALE);
	ck_assert_int_eq(end.op.result, 0);
	ck_assert_int_eq(late.op.result, -ESTALE);
	/* And the query saw what was submitted before it. */
	ck_assert_int_eq(get.jobs[0].state, JOB_DONE);
	store_get_fini(&get);
	store_change_fini(&start);
}
END_TEST

/* ---- attempts ---- */

START_TEST(notes_are_loaded_again)
{
	int64_t id = fx_insert_one();
	struct store_note note = { .id = id, .attempt = 1, .executor = "process" };
	struct store_load l;

	ck_assert_int_eq(fx_run(&note.op, STORE_NOTE), -ESTALE); /* it does not run yet */
	fx_move(id, 0, JOB_WAITING, JOB_RUNNING);
	note.handle = "boot:1:2";
	ck_assert_int_eq(fx_run(&note.op, STORE_NOTE), 0);
	note = (struct store_note){ .id = id, .attempt = 1, .saved_json = "{\"etag\":\"x\"}" };
	ck_assert_int_eq(fx_run(&note.op, STORE_NOTE), 0);
	fx_restart();
	l = fx_load(id);
	ck_assert_str_eq(l.spec, FX_SPEC);
	ck_assert(!l.damaged);
	ck_assert_str_eq(l.executor, "process");
	ck_assert_str_eq(l.handle, "boot:1:2");
	ck_assert_str_eq(l.saved_json, "{\"etag\":\"x\"}");
	ck_assert_int_eq(l.started.wall.ms, FX_NOW_MS + 1000);
	ck_assert_int_eq(l.started.boot.ns, fx_at(1000).boot.ns);
	ck_assert_int_eq(l.why, STOP_NONE);
	ck_assert_uint_eq(l.n_losses, 0);
	store_load_fini(&l);
	note.attempt = 2;
	ck_assert_int_eq(fx_run(&note.op, STORE_NOTE), -ESTALE);
	fx_move(id, 1, JOB_RUNNING, JOB_DONE);
	note.attempt = 1;
	ck_assert_int_eq(fx_run(&note.op, STORE_NOTE), -ESTALE);
	l = (struct store_load){ .id = 77 };
	ck_assert_int_eq(fx_run(&l.op, STORE_LOAD), -ENOENT);
	store_load_fini(&l);
}
END_TEST

/* What an attempt saves is the next one's from its start on, and nobody's after the end. */
START_TEST(what_was_saved_moves_on)
{
	int64_t id = fx_insert_one();
	struct store_note note = { .id = id,
				   .attempt = 1,
				   .executor = "part",
				   .handle = "/a",
				   .saved_json = "{\"etag\":\"x\"}" };
	struct store_change start = fx_change(id, 1, JOB_WAITING, JOB_RUNNING);
	struct store_load l;

	fx_move(id, 0, JOB_WAITING, JOB_RUNNING);
	ck_assert_int_eq(fx_run(&note.op, STORE_NOTE), 0);
	ck_assert_int_eq(fx_move(id, 1, JOB_RUNNING, JOB_WAITING), 0);
	l = fx_load(id);
	ck_assert_str_eq(l.saved_json, "{\"etag\":\"x\"}");
	ck_assert_str_eq(l.handle, "/a");
	store_load_fini(&l);
	ck_assert_int_eq(fx_run(&start.op, STORE_CHANGE), 0);
	ck_assert_str_eq(start.saved_json, "{\"etag\":\"x\"}");
	store_change_fini(&start);
	l = fx_load(id);
	ck_assert_str_eq(l.saved_json, "{\"etag\":\"x\"}");
	ck_assert_str_eq(l.executor, "part");
	ck_assert_str_eq(l.handle, "/a");
	store_load_fini(&l);
	ck_assert_int_eq(fx_move(id, 2, JOB_RUNNING, JOB_WAITING), 0);
	ck_assert_int_eq(fx_move(id, 2, JOB_WAITING, JOB_DONE), 0);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM attempt WHERE saved IS NOT NULL"), 0);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM attempt"), 2);
}
END_TEST

/* Where an attempt ran is of no use to the next one. */
START_TEST(a_handle_alone_stays)
{
	int64_t id = fx_insert_one();
	struct store_note note = { .id = id, .attempt = 1, .executor = "local", .handle = "7" };
	struct store_load l;

	fx_move(id, 0, JOB_WAITING, JOB_RUNNING);
	ck_assert_int_eq(fx_run(&note.op, STORE_NOTE), 0);
	ck_assert_int_eq(fx_move(id, 1, JOB_RUNNING, JOB_WAITING), 0);
	fx_move(id, 1, JOB_WAITING, JOB_RUNNING);
	l = fx_load(id);
	ck_assert_ptr_null(l.executor);
	ck_assert_ptr_null(l.handle);
	ck_assert_ptr_null(l.saved_json);
	store_load_fini(&l);
}
END_TEST

START_TEST(a_stop_is_loaded_again)
{
	int64_t id = fx_insert_one();
	struct store_change c = fx_change(id, 1, JOB_RUNNING, JOB_STOPPING);
	struct store_load l;

	fx_move(id, 0, JOB_WAITING, JOB_RUNNING);
	c.why = STOP_TIMEOUT;
	c.by_uid = 42;
	c.message = "too slow";
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	fx_restart();
	l = fx_load(id);
	ck_assert_int_eq(l.why, STOP_TIMEOUT);
	ck_assert_uint_eq(l.by_uid, 42);
	ck_assert_str_eq(l.message, "too slow");
	store_load_fini(&l);
	/* A retry after a timeout forgets it. */
	ck_assert_int_eq(fx_move(id, 1, JOB_STOPPING, JOB_WAITING), 0);
	l = fx_load(id);
	ck_assert_int_eq(l.why, STOP_NONE);
	ck_assert_ptr_null(l.message);
	ck_assert_ptr_null(l.executor);
	store_load_fini(&l);
}
END_TEST

/* One attempt from its start to its loss, and the start of the next. */
static void lose(int64_t id, uint32_t attempt, int64_t after_ms, bool is_orderly,
		 enum job_outcome outcome)
{
	struct store_change c = fx_change(id, attempt, JOB_RUNNING, JOB_WAITING);

	c.at = fx_at(1000 + after_ms);
	c.outcome = outcome;
	c.is_orderly = is_orderly;
	c.error_json = "{\"code\":\"lost\"}";
	c.due = fx_at(90000);
	/* It is noticed at a start that may be long after the last sign of life. */
	if (outcome == JOB_LOST && !is_orderly) {
		c.attempt_ended = c.at.wall;
		c.at = fx_at(80000);
	}
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	ck_assert_int_eq(fx_move(id, attempt, JOB_WAITING, JOB_RUNNING), 0);
}

static unsigned n_losses(int64_t id)
{
	struct store_load l = fx_load(id);

	store_load_fini(&l);
	return l.n_losses;
}

/* R2.5 */
START_TEST(losses_in_a_row_are_counted)
{
	int64_t id = fx_insert_one();

	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_uint_eq(n_losses(id), 0);
	lose(id, 1, 500, false, JOB_LOST);
	ck_assert_uint_eq(n_losses(id), 1);
	lose(id, 2, 9999, false, JOB_LOST);
	ck_assert_uint_eq(n_losses(id), 2);
	lose(id, 3, 500, true, JOB_LOST); /* an orderly stop is no loss and proves nothing */
	ck_assert_uint_eq(n_losses(id), 2);
	lose(id, 4, 10000, false, JOB_LOST); /* it lived long enough: the row is broken */
	ck_assert_uint_eq(n_losses(id), 0);
	lose(id, 5, 1, false, JOB_LOST);
	ck_assert_uint_eq(n_losses(id), 1);
	lose(id, 6, 1, false, JOB_FAILED);
	ck_assert_uint_eq(n_losses(id), 0);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM attempt"), 7);
	ck_assert_int_eq(fx_raw_int("SELECT due FROM job"), FX_NOW_MS + 90000);
}
END_TEST

/* ---- remove, queues ---- */

START_TEST(remove_takes_all_that_belongs_to_a_job)
{
	int64_t other = fx_done_job(), id = fx_insert_one();
	struct store_change c = fx_change(id, 2, JOB_STOPPING, JOB_DONE);
	struct store_remove rm = { .id = id };
	struct store_stats st;

	fx_move(id, 0, JOB_WAITING, JOB_RUNNING);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), -EBUSY);
	fx_move(id, 1, JOB_RUNNING, JOB_WAITING);
	fx_move(id, 1, JOB_WAITING, JOB_RUNNING);
	fx_move(id, 2, JOB_RUNNING, JOB_STOPPING);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), -EBUSY);
	c.error_json = "{}";
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), -ENOENT);
	store_stats(fx.store, &st);
	ck_assert_uint_eq(st.by_state[JOB_DONE], 1);
	ck_assert_uint_eq(st.by_outcome[JOB_SUCCEEDED], 1);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT id FROM job"), other);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM doc"), 1);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM attempt"), 1);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM event"), 2);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM ending"), 0);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM stop"), 0);
}
END_TEST

static struct {
	char text[256];
} queues;

static void on_queue(void *arg, const char *name, int64_t limit, bool is_paused)
{
	size_t len = strlen(queues.text);

	(void)arg;
	snprintf(queues.text + len, sizeof(queues.text) - len, "%s=%lld%s ", name, (long long)limit,
		 is_paused ? "p" : "");
}

START_TEST(queues_are_kept)
{
	struct store_queue q = { .name = "worker", .limit = 4 };

	ck_assert_int_eq(fx_run(&q.op, STORE_QUEUE), 0);
	q.name = "fetch";
	ck_assert_int_eq(fx_run(&q.op, STORE_QUEUE), 0);
	q.limit = 8;
	q.is_paused = true;
	ck_assert_int_eq(fx_run(&q.op, STORE_QUEUE), 0);
	fx_restart();
	ck_assert_int_eq(store_each_queue(fx.store, on_queue, NULL), 0);
	ck_assert_str_eq(queues.text, "fetch=8p worker=4 ");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store");
	TCase *t = tcase_create("store");

	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, insert_and_get_every_field);
	tcase_add_test(t, ids_rise_and_are_never_used_again);
	tcase_add_test(t, a_large_insert_is_one_transaction);
	tcase_add_test(t, requests_of_a_turn_share_commits);
	tcase_add_test(t, life_of_a_job);
	tcase_add_test(t, a_waiting_job_may_end_without_an_attempt);
	tcase_add_loop_test(t, stale_changes_do_nothing, 0, sizeof(stale) / sizeof(stale[0]));
	tcase_add_test(t, changes_take_effect_in_order);
	tcase_add_test(t, notes_are_loaded_again);
	tcase_add_test(t, what_was_saved_moves_on);
	tcase_add_test(t, a_handle_alone_stays);
	tcase_add_test(t, a_stop_is_loaded_again);
	tcase_add_test(t, losses_in_a_row_are_counted);
	tcase_add_test(t, remove_takes_all_that_belongs_to_a_job);
	tcase_add_test(t, queues_are_kept);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
