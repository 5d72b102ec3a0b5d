/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/engine_tree_fixture.h"

/* Cancels that come when something else is under way: who was answered sees no further attempt. */

START_TEST(a_cancel_while_it_stops_because_of_its_timeout)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"timeout\":1,"
			    "\"retry\":{\"max\":1,\"delay\":0}}");

	is_stubborn = true;
	commit_all();
	advance_us(1000000);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_STOPPING);
	cancel(&a, id, 0, 100000);
	ck_assert(!a.is_answered);
	commit();
	ck_assert(a.is_answered);
	ck_assert_int_eq(row_of(id)->asked, STOP_CANCEL);
	ck_assert_int_eq(grace_seen.ns - now_mono().ns, 100000000);
	end_attempt(id, 0);
	commit_all();
	assert_done(id, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 1);
}
END_TEST

START_TEST(a_cancel_that_crosses_the_timeout)
{
	struct asked a, b;
	int64_t id = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"timeout\":1,"
			    "\"retry\":{\"max\":1,\"delay\":0}}");

	is_stubborn = true;
	commit_all();
	advance_us(1000000);
	ck_assert_int_eq(n_pending, 1); /* the timeout */
	cancel(&a, id, 0, 300000);
	cancel(&b, id, 0, 100000);
	commit_all();
	ck_assert(a.is_answered && b.is_answered);
	ck_assert_int_eq(row_of(id)->asked, STOP_CANCEL);
	ck_assert_int_eq(grace_seen.ns - now_mono().ns, 100000000);
	end_attempt(id, 0);
	commit_all();
	assert_done(id, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 1);
}
END_TEST

/* Both come while the start of a timer is being stored, which does not wait for that. */
START_TEST(a_cancel_and_a_timeout_before_the_start_is_stored)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"timer\",\"sleep\":2,\"timeout\":1,"
			    "\"retry\":{\"max\":1,\"delay\":0}}");

	ck_assert_int_eq(n_pending, 1);
	advance_us(1000000);
	cancel(&a, id, 0, -1);
	ck_assert(!a.is_answered);
	commit_all();
	ck_assert(a.is_answered);
	assert_done(id, JOB_CANCELLED);
	ck_assert_uint_eq(row_of(id)->attempt, 1);
}
END_TEST

/* A kind may need a moment between the end and its return: whoever asked first wins. */
START_TEST(a_cancel_behind_the_end)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"timeout\":1}");

	is_slow = true;
	commit_all();
	end_attempt(id, 0);
	ck_assert(is_in_time);
	cancel(&a, id, 0, -1);
	advance_us(2000000);
	ck_assert(!a.is_answered);
	ck_assert_int_eq(n_pending, 0);
	future_set(&slow_end, 0);
	loop_run_until_idle();
	commit_all();
	ck_assert_int_eq(n_cancels_seen, 0);
	ck_assert_int_eq(a.code, AW_WRONG_STATE);
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

START_TEST(a_cancel_before_the_end)
{
	struct asked a;
	int64_t id = submit(WORKER);

	is_slow = is_stubborn = true;
	commit_all();
	cancel(&a, id, 0, -1);
	ck_assert_int_eq(n_pending, 1);
	end_attempt(id, 0);
	ck_assert(!is_in_time);
	commit();
	ck_assert(a.is_answered);
	future_set(&slow_end, 0);
	loop_run_until_idle();
	commit_all();
	assert_done(id, JOB_CANCELLED);
}
END_TEST

static void on_edited(struct job_edit *e)
{
	(void)e;
}

START_TEST(a_turn_comes_too_late_for_a_composition_that_is_cancelled)
{
	struct job_edit edits[2];
	struct asked a;
	int64_t id = submit("{\"kind\":\"gather\",\"limit\":1,\"jobs\":[" W
			    ",{\"kind\":\"gather\",\"jobs\":[" W "]}]}");

	commit_all();
	for (int i = 0; i < 2; i++) { /* the second one keeps the part from ending at once */
		edits[i] = (struct job_edit){ .id = part_of(part_of(id, 1), 0),
					      .fields = STORE_HELD,
					      .is_held = true,
					      .done = on_edited };
		engine_edit(&edits[i]);
	}
	cancel(&a, part_of(id, 1), 0, -1);
	commit();
	ck_assert(a.is_answered);
	end_attempt(part_of(id, 0), 0);
	commit_all();
	assert_done(part_of(id, 1), JOB_CANCELLED);
	ck_assert_uint_eq(row_of(part_of(id, 1))->attempt, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine_cancel");
	TCase *tc = tcase_create("cancel");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_cancel_while_it_stops_because_of_its_timeout);
	tcase_add_test(tc, a_cancel_that_crosses_the_timeout);
	tcase_add_test(tc, a_cancel_and_a_timeout_before_the_start_is_stored);
	tcase_add_test(tc, a_cancel_behind_the_end);
	tcase_add_test(tc, a_cancel_before_the_end);
	tcase_add_test(tc, a_turn_comes_too_late_for_a_composition_that_is_cancelled);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
