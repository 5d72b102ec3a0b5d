/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>

#include "tests/unit/store_fixture.h"

/* History is forgotten: by age, by number, by size, by each job's own keep; and in steps. */

#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)

/* Insert @job, run it once, end it at FX_NOW_MS + @at_ms; its id. */
static int64_t end_at(struct store_new_job job, int64_t at_ms, int64_t kept_bytes)
{
	struct store_change end;

	ck_assert_int_eq(fx_insert(&job, 1), 0);
	ck_assert_int_eq(fx_move(job.id, 0, JOB_WAITING, JOB_RUNNING), 0);
	end = fx_change(job.id, 1, JOB_RUNNING, JOB_DONE);
	end.at = fx_at(at_ms);
	fx_files_bytes = kept_bytes;
	end.count_files = fx_count_files;
	ck_assert_int_eq(fx_run(&end.op, STORE_CHANGE), 0);
	return job.id;
}

static int64_t ended_at(int64_t at_ms)
{
	return end_at(fx_job(), at_ms, 0);
}

static struct store_prune at(int64_t now_ms)
{
	return (struct store_prune){
		.now = { FX_NOW_MS + now_ms },
		.keep_ms = INT64_MAX,
		.max_jobs = INT64_MAX,
		.max_bytes = INT64_MAX,
	};
}

/* All steps; how many jobs went. */
static size_t prune(struct store_prune *p)
{
	size_t n = 0, n_steps = 0;

	do {
		ck_assert_int_eq(fx_run(&p->op, STORE_PRUNE), 0);
		n += p->n_jobs;
		ck_assert_uint_le(p->n_jobs, 500);
		ck_assert_uint_lt(n_steps++, 1000);
	} while (!p->is_at_end);
	return n;
}

static bool is_there(int64_t id)
{
	struct store_get get = { .ids = &id, .n = 1 };
	bool is;

	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	is = get.jobs[0].id != 0;
	store_get_fini(&get);
	return is;
}

static void expect_sound(void)
{
	fx_close();
	fx_expect_sound();
	fx_open();
}

START_TEST(by_age)
{
	int64_t old = ended_at(1000), live = fx_insert_one(), young = ended_at(2000);
	struct store_prune p = at(1000 + DAY_MS - 1);

	p.keep_ms = DAY_MS;
	ck_assert_uint_eq(prune(&p), 0);
	ck_assert_int_eq(p.next.ms, FX_NOW_MS + 1000 + DAY_MS);
	p.now.ms++;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(old));
	ck_assert(is_there(young));
	ck_assert(is_there(live));
	ck_assert_int_eq(p.next.ms, FX_NOW_MS + 2000 + DAY_MS);
	fx_restart();
	p.now.ms += 1000;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(young));
	ck_assert_int_eq(p.next.ms, 0);
	/* What ends later has its turn later, though other events lie between. */
	ck_assert_int_eq(fx_move(live, 0, JOB_WAITING, JOB_RUNNING), 0);
	young = ended_at(90000);
	ck_assert_uint_eq(prune(&p), 0);
	p.now.ms += DAY_MS;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(young));
	ck_assert(is_there(live));
	expect_sound();
}
END_TEST

/* On damaged data: what is left of a job that is not there holds up nobody. */
START_TEST(the_cursor_goes_past_lost_jobs)
{
	int64_t first = ended_at(1000), lost = ended_at(2000), last = ended_at(3000), kept;
	struct store_prune p = at(10 * DAY_MS);
	struct store_new_job job = fx_job();

	job.keep_s = 60;
	kept = end_at(job, 4000, 0);
	ck_assert_int_eq(lost, 2);
	fx_close();
	fx_raw("DELETE FROM attempt WHERE job = 2; DELETE FROM doc WHERE job = 2;"
	       "DELETE FROM job WHERE id = 2; INSERT INTO expiry VALUES (2, 1);");
	fx_open();
	p.keep_ms = DAY_MS;
	ck_assert_uint_eq(prune(&p), 3);
	ck_assert(!is_there(first));
	ck_assert(!is_there(last));
	ck_assert(!is_there(kept));
}
END_TEST

START_TEST(for_ever)
{
	struct store_prune p = at(3650 * DAY_MS);

	ended_at(0);
	ck_assert_uint_eq(prune(&p), 0);
}
END_TEST

/* The oldest end goes first, not the lowest id. */
START_TEST(by_number)
{
	int64_t first = fx_insert_one(), second = ended_at(0), third = ended_at(0);
	struct store_prune p = at(0);
	struct store_stats st;

	ck_assert_int_eq(fx_move(first, 0, JOB_WAITING, JOB_DONE), 0);
	p.max_jobs = 2;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(second));
	p.max_jobs = 1;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(third));
	ck_assert(is_there(first));
	store_stats(fx.store, &st);
	ck_assert_uint_eq(st.by_state[JOB_DONE], 1);
	expect_sound();
}
END_TEST

START_TEST(by_size)
{
	int64_t ids[3];
	struct store_prune p = at(0);
	struct store_stats st;

	for (int i = 0; i < 3; i++)
		ids[i] = end_at(fx_job(), 0, 1000);
	store_stats(fx.store, &st);
	ck_assert_int_eq(st.kept_bytes, 3000);
	p.max_bytes = 3000;
	ck_assert_uint_eq(prune(&p), 0);
	p.max_bytes = 1999;
	ck_assert_uint_eq(prune(&p), 2);
	ck_assert(is_there(ids[2]));
	fx_restart();
	store_stats(fx.store, &st);
	ck_assert_int_eq(st.kept_bytes, 1000);
	expect_sound();
}
END_TEST

/* ---- keep ---- */

static int64_t ended_with_keep(int64_t at_ms, int64_t keep_s)
{
	struct store_new_job job = fx_job();

	job.keep_s = keep_s;
	return end_at(job, at_ms, 0);
}

START_TEST(a_keep_of_its_own_goes_before_the_settings)
{
	int64_t brief = ended_with_keep(0, 60), at_once = ended_with_keep(0, 0);
	int64_t longer = ended_with_keep(0, 10 * 86400), plain = ended_at(0);
	struct store_prune p = at(0);

	p.keep_ms = DAY_MS;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(at_once));
	ck_assert_int_eq(p.next.ms, FX_NOW_MS + 60000);
	p.now.ms += 60000;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(brief));
	p.now.ms += 2 * DAY_MS;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(plain));
	ck_assert(is_there(longer));
	ck_assert_int_eq(p.next.ms, FX_NOW_MS + 10 * DAY_MS);
	p.now.ms += 8 * DAY_MS;
	ck_assert_uint_eq(prune(&p), 1);
	expect_sound();
}
END_TEST

/* The limits hold for all; whoever asked to be kept goes last, the nearest to its end first. */
START_TEST(limits_take_those_with_a_keep_last)
{
	int64_t year = ended_with_keep(0, 365 * 86400), week = ended_with_keep(0, 7 * 86400);
	int64_t plain = ended_at(5000);
	struct store_prune p = at(6000);

	p.max_jobs = 2;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(plain));
	p.max_jobs = 1;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(week));
	ck_assert(is_there(year));
	p.max_jobs = 0;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(year));
	expect_sound();
}
END_TEST

/* ---- what must stay ---- */

static int64_t insert_needing(int64_t id)
{
	struct store_need need = { .job = id, .place = STORE_NO_PLACE };
	struct store_new_job job = fx_job();

	job.needs = &need;
	job.n_needs = 1;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	return job.id;
}

START_TEST(what_an_unfinished_job_needs_waits_for_it)
{
	int64_t needed = ended_at(0), needs = insert_needing(needed), other = ended_at(0);
	struct store_prune p = at(DAY_MS);

	p.keep_ms = DAY_MS;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(is_there(needed));
	ck_assert(!is_there(other));
	/* It is not looked at all the time. */
	ck_assert_int_eq(fx_move(needs, 0, JOB_WAITING, JOB_DONE), 0);
	ck_assert_uint_eq(prune(&p), 0);
	ck_assert_int_eq(p.next.ms, FX_NOW_MS + 1000 + DAY_MS);
	p.now.ms += HOUR_MS;
	ck_assert_uint_eq(prune(&p), 2); /* and the one that needed it, by now */
	ck_assert(!is_there(needed));
	expect_sound();
}
END_TEST

/* Limits that cannot be kept do not make it spin, and cost nobody a day of what they asked for. */
START_TEST(limits_that_cannot_be_kept)
{
	int64_t needed = ended_with_keep(0, 7 * 86400), plain = ended_at(0);
	struct store_prune p = at(0);

	insert_needing(needed);
	insert_needing(plain);
	p.max_jobs = 0;
	p.keep_ms = 2 * DAY_MS;
	ck_assert_uint_eq(prune(&p), 0);
	ck_assert_uint_eq(prune(&p), 0);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT due FROM expiry WHERE job = 1"),
			 FX_NOW_MS + 7 * DAY_MS);
	/* The settings may change: a day at most. */
	ck_assert_int_eq(fx_raw_int("SELECT due FROM expiry WHERE job = 2"), FX_NOW_MS + DAY_MS);
	fx_open();
}
END_TEST

/* What could not go by the limits goes by its age, when that comes, and not before. */
START_TEST(who_was_needed_is_not_forgotten_early)
{
	int64_t needed = ended_at(0), needs = insert_needing(needed);
	struct store_prune p = at(0);

	p.max_jobs = 0;
	p.keep_ms = 3 * DAY_MS;
	ck_assert_uint_eq(prune(&p), 0);
	ck_assert_int_eq(fx_move(needs, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(needs, 1, JOB_RUNNING, JOB_DONE), 0);
	p.max_jobs = 100;
	p.now.ms += 2 * DAY_MS;
	ck_assert_uint_eq(prune(&p), 0);
	p.now.ms += DAY_MS;
	ck_assert_uint_eq(prune(&p), 1);
	ck_assert(!is_there(needed));
}
END_TEST

/* ---- trees ---- */

/* A gather of @n workers that ran; ended, in this order: parts, then the whole. */
static int64_t ended_tree(unsigned n)
{
	struct store_new_job *jobs = xcalloc(n + 2, sizeof(*jobs));
	struct store_change *c = xcalloc(n + 2, sizeof(*c));
	int64_t id;

	/* The gather is a part itself, of a sequence, so that there is something to nest. */
	for (unsigned i = 0; i < n + 2; i++) {
		jobs[i] = fx_job();
		jobs[i].kind = i == 0 ? JOB_SEQUENCE : i == 1 ? JOB_GATHER : JOB_WORKER;
		jobs[i].parent_place_plus_1 = i < 2 ? i : 2;
		jobs[i].run_of = i > 0;
		jobs[i].part = i > 1 ? i - 2 : 0;
	}
	ck_assert_int_eq(fx_insert(jobs, n + 2), 0);
	for (int round = 0; round < 2; round++) {
		size_t want = fx.n_done + n + 2;

		for (unsigned i = n + 2; i-- > 0;) {
			c[i] = round == 0 ? fx_change(jobs[i].id, 0, JOB_WAITING, JOB_RUNNING)
					  : fx_change(jobs[i].id, 1, JOB_RUNNING, JOB_DONE);
			fx_submit(&c[i].op, STORE_CHANGE);
		}
		while (fx.n_done < want)
			loop_turn(true);
		for (unsigned i = 0; i < n + 2; i++)
			store_change_fini(&c[i]);
	}
	id = jobs[0].id;
	free(jobs);
	free(c);
	return id;
}

START_TEST(a_small_tree_goes_as_one)
{
	int64_t plain = ended_at(0), tree = ended_tree(10);
	struct store_prune p = at(1000);

	p.keep_ms = 0;
	ck_assert_uint_eq(prune(&p), 13);
	ck_assert(!is_there(plain));
	ck_assert(!is_there(tree));
	ck_assert(!is_there(tree + 11));
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM job"), 0);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM gone"), 11);
	fx_expect_sound();
}
END_TEST

static void expect_hidden(int64_t tree, unsigned n)
{
	struct store_list l = { .uid = STORE_ANY_UID, .limit = 1000, .max_bytes = 1 << 20 };
	struct store_events e = { .uid = STORE_ANY_UID, .limit = 1000, .max_bytes = 1 << 20 };
	struct store_need need = { .job = tree, .place = STORE_NO_PLACE };
	struct store_new_job job = fx_job();
	struct store_remove rm = { .id = tree };

	ck_assert(!is_there(tree));
	ck_assert(!is_there(tree + 1));
	ck_assert(!is_there(tree + 2));
	ck_assert(!is_there(tree + n + 1));
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	ck_assert_uint_eq(l.n, 1);
	store_list_fini(&l);
	l.parent = tree + 1;
	ck_assert_int_eq(fx_run(&l.op, STORE_LIST), 0);
	ck_assert_uint_eq(l.n, 0);
	store_list_fini(&l);
	ck_assert_int_eq(fx_run(&e.op, STORE_EVENTS), 0);
	for (size_t i = 0; i < e.n; i++)
		ck_assert_int_eq(e.events[i].job.id, 1);
	store_events_fini(&e);
	job.needs = &need;
	job.n_needs = 1;
	ck_assert_int_eq(fx_insert(&job, 1), -ENOENT);
	need.job = tree + 3;
	ck_assert_int_eq(fx_insert(&job, 1), -ENOENT);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), -ENOENT);
	rm.id = tree + 1;
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), -ENOENT);
}

/* Its rows go in steps, but it goes as one: from the removal on nobody sees any of it. */
START_TEST(a_large_tree_goes_in_steps)
{
	enum { N = 1500 };
	int64_t plain = ended_at(0), tree = ended_tree(N);
	struct store_remove rm = { .id = tree };
	struct store_prune p = at(1000);
	struct store_stats st;

	ck_assert_int_eq(plain, 1);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	expect_hidden(tree, N);
	ck_assert_int_eq(fx_run(&p.op, STORE_PRUNE), 0);
	ck_assert_uint_gt(p.n_jobs, 0);
	ck_assert(!p.is_at_end);
	expect_hidden(tree, N);
	fx_close();
	fx_expect_sound(); /* halfway, too */
	ck_assert_int_gt(fx_raw_int("SELECT count(*) FROM job"), 1000);
	fx_open();
	expect_hidden(tree, N);
	ck_assert_uint_ge(prune(&p), 1000);
	expect_hidden(tree, N);
	store_stats(fx.store, &st);
	ck_assert_uint_eq(st.by_state[JOB_DONE], 1);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM job"), 1);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM event"), 2);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM doomed"), 0);
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM gone"), N);
	fx_expect_sound();
}
END_TEST

START_TEST(a_large_tree_of_which_a_part_is_needed_stays)
{
	enum { N = 400 };
	int64_t tree = ended_tree(N);
	struct store_need need = { .job = tree + N + 1, .place = STORE_NO_PLACE };
	struct store_new_job job = fx_job();
	struct store_remove rm = { .id = tree };

	job.needs = &need;
	job.n_needs = 1;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), -EDEADLK);
	ck_assert_int_eq(rm.blocker, job.id);
	ck_assert_int_eq(fx_move(job.id, 0, JOB_WAITING, JOB_DONE), 0);
	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	ck_assert(!is_there(tree));
}
END_TEST

START_TEST(large_trees_go_by_age_too)
{
	int64_t first = ended_tree(400), second = ended_tree(700);
	struct store_prune p = at(1000);

	p.keep_ms = 0;
	ck_assert_uint_eq(prune(&p), 402 + 702);
	ck_assert(!is_there(first));
	ck_assert(!is_there(second));
	expect_sound();
}
END_TEST

/* ---- steps ---- */

START_TEST(much_goes_in_small_steps)
{
	enum { N = 3000 };
	struct store_new_job *jobs = xcalloc(N, sizeof(*jobs));
	struct store_change *c = xcalloc(N, sizeof(*c));
	struct store_prune p = at(1000);
	size_t want;

	for (int i = 0; i < N; i++)
		jobs[i] = fx_job();
	ck_assert_int_eq(fx_insert(jobs, N), 0);
	want = fx.n_done + N;
	for (int i = 0; i < N; i++) {
		c[i] = fx_change(jobs[i].id, 0, JOB_WAITING, JOB_DONE);
		fx_submit(&c[i].op, STORE_CHANGE);
	}
	while (fx.n_done < want)
		loop_turn(true);
	p.keep_ms = 0;
	ck_assert_int_eq(fx_run(&p.op, STORE_PRUNE), 0);
	ck_assert_uint_gt(p.n_jobs, 0);
	ck_assert_uint_lt(p.n_jobs, N / 4);
	ck_assert_uint_eq(p.n_jobs + prune(&p), N);
	free(jobs);
	free(c);
	expect_sound();
}
END_TEST

/* A prune waits for those that wait for it: it comes last, though it was submitted first. */
START_TEST(others_come_first)
{
	struct store_prune p = at(DAY_MS);
	struct store_new_job job = fx_job();
	struct store_insert in = { .jobs = &job, .n = 1, .at = fx_at(0) };
	int64_t id = ended_at(0);
	struct store_get get = { .ids = &id, .n = 1 };
	size_t want = fx.n_done + 3;

	p.keep_ms = 0;
	fx_submit(&p.op, STORE_PRUNE);
	fx_submit(&get.op, STORE_GET);
	fx_submit(&in.op, STORE_INSERT);
	while (fx.n_done < want)
		loop_turn(true);
	ck_assert_int_eq(get.jobs[0].id, id);
	store_get_fini(&get);
	ck_assert_uint_eq(p.n_jobs, 1);
	ck_assert(!is_there(id));
}
END_TEST

START_TEST(closing_cancels_what_was_not_begun)
{
	struct store_prune p[3] = { at(0), at(0), at(0) };
	struct store_sweep sweep = { 0 };

	for (int i = 0; i < 3; i++)
		fx_submit(&p[i].op, STORE_PRUNE);
	fx_submit(&sweep.op, STORE_SWEEP);
	fx_close();
	ck_assert_int_eq(sweep.op.result, -ECANCELED);
	ck_assert_int_eq(p[2].op.result, -ECANCELED);
}
END_TEST

/* ---- keys ---- */

START_TEST(keys_live_a_day_and_no_longer)
{
	struct store_new_job job = fx_job(), again = fx_job();
	struct store_insert in = { .jobs = &again, .n = 1 };
	struct store_prune p = at(0);
	int64_t id;

	job.key = again.key = "k";
	id = end_at(job, 0, 0);
	p.max_jobs = 0;
	ck_assert_uint_eq(prune(&p), 1);
	p.now.ms += DAY_MS - 1;
	ck_assert_uint_eq(prune(&p), 0);
	in.at = fx_at(DAY_MS - 1);
	ck_assert_int_eq(fx_run(&in.op, STORE_INSERT), 0);
	ck_assert(again.existing);
	ck_assert_int_eq(again.id, id);
	p.now.ms++;
	prune(&p);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM submit_key"), 0);
	fx_expect_sound();
}
END_TEST

/* ---- directories ---- */

START_TEST(directories_are_told_until_they_are_away)
{
	enum { N = STORE_SWEEP_MAX + 10 };
	struct store_sweep sweep = { 0 };
	struct store_prune p = at(1000);
	int64_t away[2];

	for (int i = 0; i < N; i++)
		ended_at(0);
	ck_assert_int_eq(fx_run(&sweep.op, STORE_SWEEP), 0);
	ck_assert_uint_eq(sweep.n, 0);
	p.keep_ms = 0;
	ck_assert_uint_eq(prune(&p), N);
	fx_restart();
	ck_assert_int_eq(fx_run(&sweep.op, STORE_SWEEP), 0);
	ck_assert_uint_eq(sweep.n, STORE_SWEEP_MAX);
	ck_assert_int_eq(sweep.ids[0], 1);
	/* One of them stays, for now. */
	away[0] = 1;
	away[1] = 3;
	sweep.away = away;
	sweep.n_away = 2;
	sweep.after = sweep.ids[STORE_SWEEP_MAX - 1];
	ck_assert_int_eq(fx_run(&sweep.op, STORE_SWEEP), 0);
	ck_assert_uint_eq(sweep.n, 10);
	ck_assert_int_eq(sweep.ids[0], STORE_SWEEP_MAX + 1);
	sweep.after = 0;
	sweep.n_away = 0;
	ck_assert_int_eq(fx_run(&sweep.op, STORE_SWEEP), 0);
	ck_assert_int_eq(sweep.ids[0], 2);
	ck_assert_int_eq(sweep.ids[1], 4);
	expect_sound();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_prune");
	TCase *t = tcase_create("prune");

	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, by_age);
	tcase_add_test(t, the_cursor_goes_past_lost_jobs);
	tcase_add_test(t, for_ever);
	tcase_add_test(t, by_number);
	tcase_add_test(t, by_size);
	tcase_add_test(t, a_keep_of_its_own_goes_before_the_settings);
	tcase_add_test(t, limits_take_those_with_a_keep_last);
	tcase_add_test(t, what_an_unfinished_job_needs_waits_for_it);
	tcase_add_test(t, limits_that_cannot_be_kept);
	tcase_add_test(t, who_was_needed_is_not_forgotten_early);
	tcase_add_test(t, a_small_tree_goes_as_one);
	tcase_add_test(t, a_large_tree_goes_in_steps);
	tcase_add_test(t, a_large_tree_of_which_a_part_is_needed_stays);
	tcase_add_test(t, large_trees_go_by_age_too);
	tcase_add_test(t, much_goes_in_small_steps);
	tcase_add_test(t, others_come_first);
	tcase_add_test(t, closing_cancels_what_was_not_begun);
	tcase_add_test(t, keys_live_a_day_and_no_longer);
	tcase_add_test(t, directories_are_told_until_they_are_away);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
