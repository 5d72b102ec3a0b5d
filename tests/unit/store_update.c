/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>

#include "daemon/store/rows.h"
#include "tests/unit/store_fixture.h"

/* Changes without a change of state, and writes that belong together. */

static struct store_job get_job(int64_t id)
{
	struct store_get get = { .ids = &id, .n = 1 };
	struct store_job job;

	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	job = get.jobs[0];
	memset(&get.jobs[0], 0, sizeof(job));
	store_get_fini(&get);
	return job;
}

/* ---- updates ---- */

static int64_t make_job(void)
{
	struct store_new_job job = fx_job();

	job.name = "old";
	job.tags = "[\"old\"]";
	job.priority = 1;
	job.due = fx_at(1000);
	job.has_refs = true;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	return job.id;
}

static void expect_job(int64_t id, int priority, const char *queue, const char *name,
		       const char *tags, int64_t due_ms, bool is_held)
{
	struct store_job job = get_job(id);

	ck_assert_int_eq(job.priority, priority);
	ck_assert_str_eq(job.queue, queue);
	if (name)
		ck_assert_str_eq(job.name, name);
	else
		ck_assert_ptr_null(job.name);
	if (tags)
		ck_assert_str_eq(job.tags, tags);
	else
		ck_assert_ptr_null(job.tags);
	ck_assert_int_eq(job.due.ms, due_ms);
	ck_assert(job.is_held == is_held);
	ck_assert(job.has_refs);
	ck_assert_int_eq(job.state, JOB_WAITING);
	rows_job_fini(&job);
}

static struct store_update new_update(int64_t id, unsigned fields)
{
	return (struct store_update){
		.id = id,
		.fields = fields,
		.at = fx_at(500).wall,
		.priority = 9,
		.queue = "fetch",
		.name = "new",
		.tags = "[\"new\"]",
		.due = fx_at(77000),
		.is_held = true,
	};
}

START_TEST(only_the_fields_that_were_named_change)
{
	int64_t id = make_job();
	static const unsigned fields[] = { STORE_PRIORITY, STORE_IN_QUEUE, STORE_DUE,
					   STORE_NAME,	   STORE_TAGS,	   STORE_HELD };

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct store_update u = new_update(id, fields[i]);
		size_t n = i + 1;

		ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), 0);
		ck_assert_int_eq(u.seq, 2 + (int64_t)i);
		expect_job(id, 9, n > 1 ? "fetch" : "worker", n > 3 ? "new" : "old",
			   n > 4 ? "[\"new\"]" : "[\"old\"]", FX_NOW_MS + (n > 2 ? 77000 : 1000),
			   n > 5);
	}
	fx_close();
	fx_expect_sound();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM event WHERE state = 'waiting'"
				    " AND time = 1790000000500"),
			 6);
}
END_TEST

START_TEST(fields_can_be_emptied)
{
	int64_t id = make_job();
	struct store_update u = new_update(id, STORE_HELD);

	ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), 0);
	u = (struct store_update){
		.id = id,
		.fields = STORE_NAME | STORE_TAGS | STORE_DUE | STORE_HELD,
		.at = fx_at(600).wall,
	};
	ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), 0);
	fx_restart();
	expect_job(id, 1, "worker", NULL, NULL, 0, false);
}
END_TEST

static void on_live(void *arg, const struct store_live *job)
{
	struct store_live *copy = arg;

	*copy = *job;
	copy->queue = NULL;
}

START_TEST(a_held_job_is_held_after_a_restart)
{
	struct store_update u = new_update(make_job(), STORE_HELD);
	struct store_live live = { 0 };

	ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), 0);
	fx_restart();
	ck_assert_int_eq(store_each_live(fx.store, on_live, &live), 0);
	ck_assert(live.is_held);
	ck_assert(live.has_refs);
}
END_TEST

START_TEST(what_does_not_wait_is_not_updated)
{
	int64_t running = fx_insert_one(), done = fx_done_job();
	struct store_update u = new_update(running, STORE_NAME);

	ck_assert_int_eq(fx_move(running, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), -ESTALE);
	u.attempt = 1;
	ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), -ESTALE);
	u.id = done;
	ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), -ESTALE);
	u.id = 99;
	ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), -ESTALE);
	ck_assert_int_eq(u.seq, 0);
	/* Waiting again, but another time. */
	ck_assert_int_eq(fx_move(running, 1, JOB_RUNNING, JOB_WAITING), 0);
	u = new_update(running, STORE_NAME);
	ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), -ESTALE);
	u.attempt = 1;
	ck_assert_int_eq(fx_run(&u.op, STORE_UPDATE), 0);
}
END_TEST

/* ---- asked to stop ---- */

static int64_t make_group(void)
{
	struct store_new_job job = fx_job();

	job.kind = JOB_GATHER;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	return job.id;
}

struct asked {
	int n;
	int64_t id;
	enum stop_why why;
	uid_t by_uid;
	char message[64];
};

static void on_asked(void *arg, int64_t id, enum stop_why why, uid_t by_uid, const char *message)
{
	struct asked *a = arg;

	a->n++;
	a->id = id;
	a->why = why;
	a->by_uid = by_uid;
	(void)snprintf(a->message, sizeof(a->message), "%s", message ? message : "(none)");
}

START_TEST(a_waiting_composition_remembers_that_it_is_to_stop)
{
	int64_t group = make_group(), other = fx_insert_one();
	struct store_ask ask = { .id = group, .why = STOP_DEADLINE, .by_uid = 5 };
	struct asked asked = { 0 };

	ck_assert_int_eq(fx_run(&ask.op, STORE_ASK), 0);
	ask.why = STOP_CANCEL;
	ask.message = "enough";
	ck_assert_int_eq(fx_run(&ask.op, STORE_ASK), 0); /* the later one stands */
	ck_assert_int_eq(fx_move(other, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(other, 1, JOB_RUNNING, JOB_STOPPING), 0);
	fx_close();
	fx_expect_sound();
	fx_open();
	ck_assert_int_eq(store_each_asked(fx.store, on_asked, &asked), 0);
	ck_assert_int_eq(asked.n, 1);
	ck_assert_int_eq(asked.id, group);
	ck_assert_int_eq(asked.why, STOP_CANCEL);
	ck_assert_uint_eq(asked.by_uid, 5);
	ck_assert_str_eq(asked.message, "enough");
	ck_assert_int_eq(fx_move(group, 0, JOB_WAITING, JOB_DONE), 0);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM stop WHERE job = 1"), 0);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM event WHERE job = 1"), 1);
	fx_expect_sound();
}
END_TEST

START_TEST(a_stopping_job_can_get_another_reason)
{
	int64_t id = fx_insert_one();
	struct store_ask ask = {
		.id = id, .attempt = 1, .state = JOB_STOPPING, .why = STOP_PARENT, .message = "m"
	};
	struct store_load load = { .id = id };

	ck_assert_int_eq(fx_run(&ask.op, STORE_ASK), -ESTALE);
	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_run(&ask.op, STORE_ASK), -ESTALE);
	ck_assert_int_eq(fx_move(id, 1, JOB_RUNNING, JOB_STOPPING), 0);
	ck_assert_int_eq(fx_run(&ask.op, STORE_ASK), 0);
	ck_assert_int_eq(fx_run(&load.op, STORE_LOAD), 0);
	ck_assert_int_eq(load.why, STOP_PARENT);
	ck_assert_str_eq(load.message, "m");
	store_load_fini(&load);
}
END_TEST

/* ---- writes that belong together ---- */

#define N_CHAIN 2500

/* More rows than a transaction takes otherwise, and more requests than are handed over at once. */
START_TEST(writes_that_belong_together_are_one_transaction)
{
	struct store_insert *ops = xcalloc(N_CHAIN, sizeof(*ops));
	struct store_new_job *jobs = xcalloc(N_CHAIN, sizeof(*jobs));
	struct store_stats before, after;
	size_t want = fx.n_done + N_CHAIN;

	fx_insert_one();
	want++;
	store_stats(fx.store, &before);
	for (int i = 0; i < N_CHAIN; i++) {
		jobs[i] = fx_job();
		ops[i] = (struct store_insert){ .jobs = &jobs[i], .n = 1, .at = fx_at(0) };
		ops[i].op.is_with_next = i + 1 < N_CHAIN;
		fx_submit(&ops[i].op, STORE_INSERT);
	}
	while (fx.n_done < want)
		loop_turn(true);
	store_stats(fx.store, &after);
	ck_assert_uint_eq(after.n_commits, before.n_commits + 1);
	for (int i = 0; i < N_CHAIN; i++)
		ck_assert_int_eq(jobs[i].id, 2 + i);
	free(ops);
	free(jobs);
}
END_TEST

/* Each is fenced for itself; what belongs together is the time, not the outcome. */
START_TEST(a_stale_one_does_not_undo_its_next)
{
	int64_t id = fx_insert_one(), other = fx_insert_one();
	struct store_change stale = fx_change(id, 3, JOB_RUNNING, JOB_DONE);
	struct store_change sound = fx_change(other, 0, JOB_WAITING, JOB_RUNNING);
	size_t want = fx.n_done + 2;

	stale.op.is_with_next = true;
	fx_submit(&stale.op, STORE_CHANGE);
	fx_submit(&sound.op, STORE_CHANGE);
	while (fx.n_done < want)
		loop_turn(true);
	ck_assert_int_eq(stale.op.result, -ESTALE);
	ck_assert_int_eq(sound.op.result, 0);
	store_change_fini(&sound);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_update");
	TCase *t = tcase_create("update");

	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, only_the_fields_that_were_named_change);
	tcase_add_test(t, fields_can_be_emptied);
	tcase_add_test(t, a_held_job_is_held_after_a_restart);
	tcase_add_test(t, what_does_not_wait_is_not_updated);
	tcase_add_test(t, a_waiting_composition_remembers_that_it_is_to_stop);
	tcase_add_test(t, a_stopping_job_can_get_another_reason);
	tcase_add_test(t, writes_that_belong_together_are_one_transaction);
	tcase_add_test(t, a_stale_one_does_not_undo_its_next);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
