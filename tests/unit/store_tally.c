/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/tally.h"
#include "tests/unit/store_fixture.h"

/* What is counted and numbered, when the row that has it is behind. */

/* One job in each state, and one that was done and is gone. */
static void do_something_of_all(void)
{
	struct store_remove rm = { .id = fx_done_job() };
	int64_t id;
	struct store_change end;

	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
	fx_insert_one();
	ck_assert_int_eq(fx_move(fx_insert_one(), 0, JOB_WAITING, JOB_RUNNING), 0);
	id = fx_insert_one();
	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	ck_assert_int_eq(fx_move(id, 1, JOB_RUNNING, JOB_STOPPING), 0);
	id = fx_insert_one();
	ck_assert_int_eq(fx_move(id, 0, JOB_WAITING, JOB_RUNNING), 0);
	end = fx_change(id, 1, JOB_RUNNING, JOB_DONE);
	fx_files_bytes = 1000;
	end.count_files = fx_count_files;
	end.result_json = "[1]";
	ck_assert_int_eq(fx_run(&end.op, STORE_CHANGE), 0);
}

static void expect_something_of_all(void)
{
	struct store_stats st;

	store_stats(fx.store, &st);
	for (int i = 0; i < N_JOB_STATES; i++)
		ck_assert_msg(st.by_state[i] == 1, "%s: %llu", job_state_name((enum job_state)i),
			      (unsigned long long)st.by_state[i]);
	ck_assert_uint_eq(st.by_outcome[JOB_SUCCEEDED], 1);
	ck_assert_uint_eq(st.by_outcome[JOB_FAILED], 0);
	ck_assert_int_eq(st.kept_bytes, 1003);
	ck_assert_int_eq(st.last_seq, 12);
}

START_TEST(a_lone_submit_leaves_the_row_alone)
{
	fx_open();
	fx_close();
	fx_kill_after((void (*)(void))fx_insert_one);
	ck_assert_int_eq(fx_raw_int("SELECT next_id FROM tally"), 1);
	fx_open();
	ck_assert_int_eq(fx_insert_one(), 2);
	fx_close();
	ck_assert_int_eq(fx_raw_int("SELECT next_id FROM tally"), 3);
}
END_TEST

START_TEST(what_came_after_the_row_is_added)
{
	fx_kill_after(do_something_of_all);
	fx_expect_sound();
	fx_open();
	expect_something_of_all();
	ck_assert_int_eq(fx_insert_one(), 6);
	fx_close();
	fx_expect_sound();
	ck_assert_int_eq(fx_raw_int("SELECT next_seq FROM tally"), 14);
}
END_TEST

static void do_much(void)
{
	struct store_new_job jobs[700];

	for (int i = 0; i < 3; i++) {
		for (size_t k = 0; k < 700; k++)
			jobs[k] = fx_job();
		ck_assert_int_eq(fx_insert(jobs, 700), 0);
	}
}

START_TEST(the_row_does_not_fall_far_behind)
{
	fx_kill_after(do_much);
	ck_assert_int_eq(fx_raw_int("SELECT next_id FROM tally"), 1401);
	fx_open();
	ck_assert_int_eq(fx_insert_one(), 2101);
}
END_TEST

static void remove_the_last(void)
{
	struct store_remove rm = { .id = fx_done_job() };

	ck_assert_int_eq(fx_run(&rm.op, STORE_REMOVE), 0);
}

START_TEST(the_number_of_a_removed_job_is_not_dealt_again)
{
	fx_kill_after(remove_the_last);
	fx_open();
	ck_assert_int_eq(fx_insert_one(), 2);
}
END_TEST

START_TEST(after_an_orderly_stop_nothing_may_be_behind)
{
	fx_open();
	fx_done_job();
	fx_close();
	fx_raw("UPDATE tally SET next_seq = next_seq - 1");
	ck_assert_int_eq(fx_try_open(), EX_DATAERR);
	fx_raw("UPDATE meta SET value = 0 WHERE key = 'clean'");
	ck_assert_int_eq(fx_try_open(), 0);
}
END_TEST

START_TEST(a_state_that_is_none_is_damage)
{
	fx_kill_after((void (*)(void))fx_done_job);
	fx_raw("UPDATE event SET state = 'xx' WHERE state = 'done'");
	ck_assert_int_eq(fx_try_open(), EX_DATAERR);
}
END_TEST

/* As awaitd(8) tells, after what could be read was saved. */
START_TEST(without_the_row_all_is_counted)
{
	struct store_stats st;

	fx_kill_after(do_something_of_all);
	fx_raw("DELETE FROM tally; DELETE FROM gone");
	ck_assert_int_eq(fx_check(), EX_DATAERR);
	fx_open();
	store_stats(fx.store, &st);
	for (int i = 0; i < N_JOB_STATES; i++)
		ck_assert_uint_eq(st.by_state[i], 1);
	ck_assert_int_eq(st.kept_bytes, 1003);
	ck_assert_int_eq(fx_insert_one(), 1000006);
	fx_close();
	fx_expect_sound();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_tally");
	TCase *t = tcase_create("tally");

	tcase_add_checked_fixture(t, fx_setup_dir, fx_teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_lone_submit_leaves_the_row_alone);
	tcase_add_test(t, what_came_after_the_row_is_added);
	tcase_add_test(t, the_row_does_not_fall_far_behind);
	tcase_add_test(t, the_number_of_a_removed_job_is_not_dealt_again);
	tcase_add_test(t, after_an_orderly_stop_nothing_may_be_behind);
	tcase_add_test(t, a_state_that_is_none_is_damage);
	tcase_add_test(t, without_the_row_all_is_counted);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
