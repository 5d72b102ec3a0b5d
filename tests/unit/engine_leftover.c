/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/engine_fixture.h"

/* What an attempt leaves to the next one, and what becomes of it when there is none. */

#define AGAIN                                                          \
	"{\"kind\":\"worker\",\"argv\":[\"x\"],\"on_lost\":\"retry\"," \
	"\"retry\":{\"max\":1,\"delay\":60,\"jitter\":0}}"

/* Commit what helper threads lead to, too. */
static void settle(void)
{
	for (int i = 0; i < 3; i++) {
		commit_all();
		offload_fini();
	}
	commit_all();
}

static void start_again(int64_t id)
{
	future_init(&ends[id]);
	advance_us(60000000);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	ck_assert_int_eq(row_of(id)->attempt, 2);
}

/* A job whose first attempt has failed and left something. */
static int64_t waiting_with_leftover(void)
{
	int64_t id = submit(AGAIN);

	commit();
	to_save = "half";
	end_attempt(id, -1);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	ck_assert_str_eq(row_of(id)->saved, "\"half\"");
	return id;
}

START_TEST(the_next_attempt_gets_it)
{
	int64_t id = waiting_with_leftover();

	ck_assert_ptr_null(given);
	start_again(id);
	ck_assert_str_eq(given, "half");
	end_attempt(id, 7);
	settle();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_uint_eq(n_removed, 0);
}
END_TEST

/* It is gone before the end is stored. */
static void expect_removal(int64_t id, enum job_outcome outcome)
{
	ck_assert_uint_eq(n_removed, 0);
	ck_assert_uint_eq(n_pending, 1);
	commit(); /* what there is was looked up */
	offload_fini();
	ck_assert_uint_eq(n_removed, 1);
	ck_assert_int_ne(state_of(id), JOB_DONE);
	settle();
	assert_done(id, outcome);
	ck_assert_uint_eq(n_removed, 1);
}

START_TEST(it_is_removed_when_the_last_one_fails)
{
	int64_t id = waiting_with_leftover();

	start_again(id);
	end_attempt(id, -1);
	expect_removal(id, JOB_FAILED);
}
END_TEST

START_TEST(it_is_removed_by_a_cancel_in_the_back_off)
{
	int64_t id = waiting_with_leftover();
	struct asked a, b;

	if (_i) {
		crash();
		settle();
	}
	cancel(&a, id, 1000, -1);
	ck_assert(!a.is_answered);
	cancel(&b, id, 1000, -1); /* while it is under way */
	expect_removal(id, JOB_CANCELLED);
	ck_assert(a.is_answered && a.result == 0);
	ck_assert(b.is_answered && b.code == AW_WRONG_STATE);
}
END_TEST

START_TEST(it_is_removed_by_a_cancel_while_it_runs_again)
{
	int64_t id = waiting_with_leftover();
	struct asked a;

	start_again(id);
	cancel(&a, id, 1000, -1);
	commit();
	ck_assert(a.is_answered && a.result == 0);
	expect_removal(id, JOB_CANCELLED);
}
END_TEST

START_TEST(a_crash_in_the_removal_repeats_it)
{
	int64_t id = waiting_with_leftover();
	struct asked a;

	start_again(id);
	cancel(&a, id, 1000, -1);
	commit(); /* it is stopping */
	commit();
	offload_fini();
	ck_assert_uint_eq(n_removed, 1);
	crash();
	settle();
	assert_done(id, JOB_CANCELLED);
	ck_assert_uint_eq(n_removed, 2);
}
END_TEST

START_TEST(a_crash_leaves_it_to_the_next_attempt)
{
	int64_t id = waiting_with_leftover();

	start_again(id);
	to_save = NULL;
	crash();
	settle();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	ck_assert_int_eq(row_of(id)->attempt, 3);
	ck_assert_str_eq(given, "half");
	ck_assert_uint_eq(n_removed, 0);
}
END_TEST

START_TEST(where_nothing_was_left_nothing_is_removed)
{
	int64_t id = submit(AGAIN);
	struct asked a;

	commit();
	end_attempt(id, -1);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	if (_i) {
		crash();
		settle();
	}
	cancel(&a, id, 1000, -1);
	settle();
	assert_done(id, JOB_CANCELLED);
	ck_assert_uint_eq(n_removed, 0);
}
END_TEST

/* The attempt that saves is not cut short, but nobody wants what it left any more. */
START_TEST(a_cancel_while_it_is_stored_removes_it)
{
	int64_t id = submit(AGAIN);
	struct asked a;

	commit();
	to_save = "half";
	end_attempt(id, -1);
	ck_assert_uint_eq(n_pending, 1); /* what it leaves */
	cancel(&a, id, 1000, -1);
	settle();
	assert_done(id, JOB_CANCELLED);
	ck_assert_uint_eq(n_removed, 1);
}
END_TEST

/* No attempt waits for a full disk: the daemon could not stop. */
START_TEST(a_full_disk_is_not_waited_for)
{
	int64_t id = submit(AGAIN);

	commit();
	to_save = "half";
	is_store_full = _i == 0;
	end_attempt(id, -1);
	is_store_full = true;
	for (int i = 0; i < 10 && engine.n_coros; i++) {
		now_fake_advance_us(100000);
		loop_run_until_idle();
	}
	ck_assert_uint_eq(engine.n_coros, 0);
	is_store_full = false;
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_WAITING);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("engine_leftover");
	TCase *tc = tcase_create("leftover");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_next_attempt_gets_it);
	tcase_add_test(tc, it_is_removed_when_the_last_one_fails);
	tcase_add_loop_test(tc, it_is_removed_by_a_cancel_in_the_back_off, 0, 2);
	tcase_add_test(tc, it_is_removed_by_a_cancel_while_it_runs_again);
	tcase_add_test(tc, a_crash_in_the_removal_repeats_it);
	tcase_add_test(tc, a_crash_leaves_it_to_the_next_attempt);
	tcase_add_loop_test(tc, where_nothing_was_left_nothing_is_removed, 0, 2);
	tcase_add_test(tc, a_cancel_while_it_is_stored_removes_it);
	tcase_add_loop_test(tc, a_full_disk_is_not_waited_for, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(suite());
	int n_failed;

	srunner_run_all(r, CK_NORMAL);
	n_failed = srunner_ntests_failed(r);
	srunner_free(r);
	return n_failed ? 1 : 0;
}
