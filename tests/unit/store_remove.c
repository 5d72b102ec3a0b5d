/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>

#include "tests/unit/store_fixture.h"

/* Removing what is done: alone, with its parts, and not at all. */

static int remove_job(int64_t id, int64_t *ret_blocker)
{
	struct store_remove rm = { .id = id };
	int r = fx_run(&rm.op, STORE_REMOVE);

	if (ret_blocker)
		*ret_blocker = rm.blocker;
	return r;
}

/* No row of any job from @id on is left, but those of @gone. */
static void expect_nothing_left(int64_t id)
{
	static const char *const tables[] = { "job WHERE id",	  "doc WHERE job",
					      "ending WHERE job", "attempt WHERE job",
					      "event WHERE job",  "need WHERE job",
					      "stop WHERE job",	  "deadline WHERE job",
					      "expiry WHERE job" };

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		cleanup_free char *sql =
			xasprintf("SELECT count(*) FROM %s >= %lld", tables[i], (long long)id);

		ck_assert_msg(fx_raw_int(sql) == 0, "%s", sql);
	}
}

/* A job with everything that one can have; done. */
static int64_t make_rich_job(const char *key)
{
	struct store_need need = { .job = fx_done_job(), .place = STORE_NO_PLACE };
	struct store_new_job job = fx_job();
	struct store_change end;

	job.key = key;
	job.needs = &need;
	job.n_needs = 1;
	job.deadline = fx_at(90000);
	job.keep_s = 60;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	ck_assert_int_eq(fx_move(job.id, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(job.id, 1, JOB_RUNNING, JOB_STOPPING), 0);
	end = fx_change(job.id, 1, JOB_STOPPING, JOB_DONE);
	end.result_json = "[1]";
	end.error_json = "{}";
	fx_files_bytes = 1000;
	end.count_files = fx_count_files;
	ck_assert_int_eq(fx_run(&end.op, STORE_CHANGE), 0);
	return job.id;
}

static int64_t kept_bytes(void)
{
	return fx_raw_int("SELECT kept_bytes FROM tally");
}

START_TEST(nothing_is_left_of_a_job)
{
	int64_t id = make_rich_job("k");

	fx_close();
	ck_assert_int_eq(kept_bytes(), 1005);
	fx_open();
	ck_assert_int_eq(remove_job(id, NULL), 0);
	ck_assert_int_eq(remove_job(id, NULL), -ENOENT);
	fx_close();
	expect_nothing_left(id);
	ck_assert_int_eq(kept_bytes(), 0);
	ck_assert_int_eq(fx_raw_int("SELECT job FROM gone"), id); /* its directory */
	ck_assert_int_eq(fx_raw_int("SELECT job FROM submit_key WHERE key = 'k'"), -id);
	fx_expect_sound();
}
END_TEST

/* Within a day the key still means the job, though its record is gone (R2.6). */
START_TEST(the_key_outlives_its_job)
{
	int64_t id = make_rich_job("k");
	struct store_new_job again = fx_job();

	ck_assert_int_eq(remove_job(id, NULL), 0);
	fx_restart();
	again.key = "k";
	ck_assert_int_eq(fx_insert(&again, 1), 0);
	ck_assert(again.existing);
	ck_assert_int_eq(again.id, id);
}
END_TEST

/* ---- trees ---- */

enum { ROOT, PART, INNER, INNER_PART, N_TREE };

/* A gather of a worker and a sequence of a worker; each done and run once. */
static void make_tree(int64_t ids[N_TREE])
{
	struct store_new_job jobs[N_TREE] = { fx_job(), fx_job(), fx_job(), fx_job() };

	jobs[ROOT].kind = JOB_GATHER;
	jobs[INNER].kind = JOB_SEQUENCE;
	jobs[PART].parent_place_plus_1 = jobs[INNER].parent_place_plus_1 = ROOT + 1;
	jobs[INNER_PART].parent_place_plus_1 = INNER + 1;
	jobs[INNER].part = 1;
	for (int i = PART; i < N_TREE; i++)
		jobs[i].run_of = 1;
	ck_assert_int_eq(fx_insert(jobs, N_TREE), 0);
	for (int i = N_TREE - 1; i >= 0; i--) {
		ids[i] = jobs[i].id;
		ck_assert_int_eq(fx_move(ids[i], 0, JOB_WAITING, JOB_RUNNING), 0);
		if (i > 0)
			ck_assert_int_eq(fx_move(ids[i], 1, JOB_RUNNING, JOB_DONE), 0);
	}
}

START_TEST(a_composition_goes_with_its_parts)
{
	struct store_stats st;
	int64_t ids[N_TREE];
	struct store_new_job part = fx_job();

	fx_insert_one();
	make_tree(ids);
	/* A further attempt, with a part of its own. */
	part.parent = ids[ROOT];
	part.run_of = 2;
	ck_assert_int_eq(fx_insert(&part, 1), 0);
	ck_assert_int_eq(fx_move(part.id, 0, JOB_WAITING, JOB_DONE), 0);
	ck_assert_int_eq(remove_job(ids[ROOT], NULL), -EBUSY);
	ck_assert_int_eq(fx_move(ids[ROOT], 1, JOB_RUNNING, JOB_DONE), 0);
	ck_assert_int_eq(remove_job(ids[PART], NULL), -EXDEV);
	ck_assert_int_eq(remove_job(ids[INNER], NULL), -EXDEV);
	ck_assert_int_eq(remove_job(ids[INNER_PART], NULL), -EXDEV);
	ck_assert_int_eq(remove_job(ids[ROOT], NULL), 0);
	store_stats(fx.store, &st);
	ck_assert_uint_eq(st.by_state[JOB_DONE], 0);
	ck_assert_uint_eq(st.by_state[JOB_WAITING], 1);
	ck_assert_uint_eq(st.by_outcome[JOB_SUCCEEDED], 0);
	fx_close();
	expect_nothing_left(2);
	/* Compositions have no directory, nor has who never ran. */
	ck_assert_int_eq(fx_raw_int("SELECT count(*) FROM gone"), 2);
	fx_expect_sound();
}
END_TEST

/* ---- needed ---- */

START_TEST(what_an_unfinished_job_needs_stays)
{
	int64_t ids[N_TREE], blocker;
	struct store_need needs[2] = { { .place = STORE_NO_PLACE }, { .place = STORE_NO_PLACE } };
	struct store_new_job job = fx_job();

	make_tree(ids);
	ck_assert_int_eq(fx_move(ids[ROOT], 1, JOB_RUNNING, JOB_DONE), 0);
	needs[0].job = ids[INNER_PART];
	needs[1].job = fx_done_job();
	job.needs = needs;
	job.n_needs = 2;
	ck_assert_int_eq(fx_insert(&job, 1), 0);
	ck_assert_int_eq(remove_job(ids[ROOT], &blocker), -EDEADLK);
	ck_assert_int_eq(blocker, job.id);
	ck_assert_int_eq(remove_job(needs[1].job, &blocker), -EDEADLK);
	ck_assert_int_eq(blocker, job.id);
	ck_assert_int_eq(fx_move(job.id, 0, JOB_WAITING, JOB_DONE), 0);
	ck_assert_int_eq(remove_job(ids[ROOT], &blocker), 0);
	ck_assert_int_eq(remove_job(needs[1].job, &blocker), 0);
	ck_assert_int_eq(blocker, 0);
	fx_close();
	fx_expect_sound();
}
END_TEST

/* A composition that is tried again makes its parts anew, with what they need. */
START_TEST(what_an_earlier_attempt_needed_stays)
{
	struct store_need need = { .job = fx_done_job(), .place = STORE_NO_PLACE };
	int64_t ids[N_TREE], blocker;
	struct store_new_job part = fx_job();

	make_tree(ids);
	part.parent = ids[ROOT];
	part.run_of = 1;
	part.part = 7;
	part.needs = &need;
	part.n_needs = 1;
	ck_assert_int_eq(fx_insert(&part, 1), 0);
	ck_assert_int_eq(fx_move(part.id, 0, JOB_WAITING, JOB_DONE), 0);
	ck_assert_int_eq(fx_move(ids[ROOT], 1, JOB_RUNNING, JOB_WAITING), 0);
	ck_assert_int_eq(remove_job(need.job, &blocker), -EDEADLK);
	ck_assert_int_eq(blocker, ids[ROOT]);
	ck_assert_int_eq(fx_move(ids[ROOT], 1, JOB_WAITING, JOB_DONE), 0);
	ck_assert_int_eq(remove_job(need.job, &blocker), 0);
	fx_close();
	fx_expect_sound();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_remove");
	TCase *t = tcase_create("remove");

	tcase_add_checked_fixture(t, fx_setup, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, nothing_is_left_of_a_job);
	tcase_add_test(t, the_key_outlives_its_job);
	tcase_add_test(t, a_composition_goes_with_its_parts);
	tcase_add_test(t, what_an_unfinished_job_needs_stays);
	tcase_add_test(t, what_an_earlier_attempt_needed_stays);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
