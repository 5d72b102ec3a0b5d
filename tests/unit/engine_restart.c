/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/engine_tree_fixture.h"

/* Compositions that go on after a restart, over the array that is the store. */

START_TEST(a_crash_in_the_middle_of_a_sequence)
{
	int64_t id = submit("{\"kind\":\"sequence\",\"jobs\":[" T(1, "a") "," T(2, "b") "]}");

	commit_all();
	advance_us(1000000);
	commit_all();
	assert_done(part_of(id, 0), JOB_SUCCEEDED);
	crash();
	commit_all();
	advance_us(2000000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_uint_eq(row_of(part_of(id, 0))->attempt, 1);
	ck_assert_uint_eq(row_of(id)->attempt, 1);
}
END_TEST

START_TEST(a_crash_in_the_middle_of_a_cancel)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"gather\",\"jobs\":[" T(
		9, "a") ",{\"kind\":\"sequence\","
			"\"jobs\":[" T(9, "b") "," T(9, "c") "]}]}");

	commit_all();
	cancel(&a, id, 0, -1);
	commit();
	ck_assert_int_eq(state_of(id), JOB_STOPPING);
	crash();
	commit_all();
	for (size_t i = 0; i < n_rows; i++)
		assert_done((int64_t)i + 1, JOB_CANCELLED);
}
END_TEST

START_TEST(a_crash_in_the_middle_of_failing_fast)
{
	int64_t id = submit("{\"kind\":\"gather\",\"jobs\":[" T(9, "a") "," W "]}");

	commit_all();
	end_attempt(part_of(id, 1), -1);
	commit(); /* the failure, not what follows */
	crash();
	commit_all();
	assert_done(part_of(id, 0), JOB_CANCELLED);
	assert_done(id, JOB_FAILED);
}
END_TEST

START_TEST(parts_that_are_missing_do_not_keep_it_waiting)
{
	int64_t id = submit("{\"kind\":\"gather\",\"jobs\":[" T(9, "a") "," T(9, "b") "]}");

	commit_all();
	row_of(part_of(id, 0))->parent = 0; /* the store has lost it */
	crash();
	commit_all();
	assert_done(id, JOB_FAILED);
}
END_TEST

START_TEST(a_shielded_part_in_back_off_stays_so_over_a_crash)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"gather\",\"jobs\":[" SHIELDED
			    ",\"retry\":{\"max\":1,\"delay\":5,\"jitter\":0}}," W "]}");

	commit_all();
	end_attempt(part_of(id, 0), -1);
	commit_all();
	cancel(&a, id, 0, -1);
	commit_all();
	ck_assert_int_eq(state_of(part_of(id, 0)), JOB_WAITING);
	crash();
	commit_all();
	ck_assert_int_eq(state_of(part_of(id, 0)), JOB_WAITING);
	advance_us(5000000);
	commit_all();
	end_attempt(part_of(id, 0), 1);
	commit_all();
	assert_done(part_of(id, 0), JOB_SUCCEEDED);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

/* What its parts came to counts in the order in which they ended. */
START_TEST(a_race_keeps_its_winner_over_a_crash)
{
	int64_t id = submit(
		"{\"kind\":\"race\",\"jobs\":[{\"kind\":\"timer\",\"sleep\":2,\"shield\":true},"
		"{\"kind\":\"timer\",\"sleep\":1},"
		"{\"kind\":\"timer\",\"sleep\":3,\"shield\":true}]}");

	commit_all();
	for (unsigned i = 1; i <= 2; i++) {
		advance_us(1000000);
		commit_all();
		assert_done(part_of(id, 2 - i), JOB_SUCCEEDED);
	}
	crash();
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	advance_us(1000000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_int_eq(row_of(id)->compose, STORE_COMPOSE_WINNER);
	ck_assert_uint_eq(row_of(id)->winner, 1);
}
END_TEST

/* ---- who had a turn before the stop, and who had none ---- */

/* Both slots of the queue are taken, until a crash: then those attempts are lost. */
static void take_slots(void)
{
	for (int i = 0; i < 2; i++)
		submit(W);
	commit_all();
}

#define WAITS SHIELDED "}"

/* The first has ended, which gave its turn on: the next two wait for a slot, the last has none. */
START_TEST(a_shielded_part_that_waits_for_its_slot_stays_so)
{
	struct asked a;
	int64_t id;

	take_slots();
	id = submit("{\"kind\":\"gather\",\"limit\":2,\"jobs\":[" T(1, "a") "," WAITS "," WAITS
									    "," WAITS "]}");
	commit_all();
	advance_us(1000000);
	commit_all();
	cancel(&a, id, 0, -1);
	commit_all();
	assert_done(part_of(id, 3), JOB_CANCELLED);
	crash();
	commit_all();
	for (unsigned i = 1; i <= 2; i++) {
		end_attempt(part_of(id, i), 1);
		commit_all();
		assert_done(part_of(id, i), JOB_SUCCEEDED);
	}
	assert_done(id, JOB_CANCELLED);
}
END_TEST

/* The transaction with the end of @id, which waited, did not come to the disk. */
static void forget_end(int64_t id)
{
	struct row *r = row_of(id);

	free(r->error);
	r->error = NULL;
	r->state = JOB_WAITING;
	r->n_ends = 0;
	r->outcome = JOB_UNENDED;
}

/* The first ends because of the stop: nobody else gets a turn for that. */
START_TEST(a_stop_gives_no_turns_over_a_crash)
{
	struct asked a;
	int64_t id;

	take_slots();
	id = submit("{\"kind\":\"gather\",\"limit\":2,\"jobs\":[" T(9, "a") "," WAITS "," WAITS
									    "]}");
	commit_all();
	cancel(&a, id, 0, -1);
	commit(); /* it stops */
	commit(); /* its first part stops */
	commit(); /* ... and has ended; what else was told is not stored */
	assert_done(part_of(id, 0), JOB_CANCELLED);
	forget_end(part_of(id, 2));
	crash();
	commit_all();
	assert_done(part_of(id, 2), JOB_CANCELLED);
	end_attempt(part_of(id, 1), 1);
	commit_all();
	assert_done(part_of(id, 1), JOB_SUCCEEDED);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

/* It is no cancel that stops the others, but the failure of one. */
START_TEST(a_failure_leaves_shielded_parts_alone_over_a_crash)
{
	int64_t id;

	take_slots();
	id = submit("{\"kind\":\"gather\",\"limit\":3,\"jobs\":[{\"kind\":\"timer\",\"sleep\":1,"
		    "\"timeout\":0.5}," WAITS "," WAITS "," WAITS "]}");
	commit_all();
	advance_us(500000);
	commit_all();
	assert_done(part_of(id, 0), JOB_TIMED_OUT);
	assert_done(part_of(id, 3), JOB_CANCELLED);
	crash();
	commit_all();
	for (unsigned i = 1; i <= 2; i++) {
		end_attempt(part_of(id, i), 1);
		commit_all();
		assert_done(part_of(id, i), JOB_SUCCEEDED);
	}
	assert_done(id, JOB_FAILED);
}
END_TEST

/* ---- another attempt's parts ---- */

START_TEST(what_the_parts_of_another_attempt_need_may_be_gone)
{
	int64_t needed = submit("{\"kind\":\"timer\",\"sleep\":0}"), id;
	char doc[300];

	commit_all();
	(void)snprintf(doc, sizeof(doc),
		       "{\"kind\":\"gather\",\"retry\":{\"max\":1,\"delay\":1,\"jitter\":0},"
		       "\"jobs\":[{\"kind\":\"worker\",\"argv\":[\"x\"],\"needs\":[%lld]}," W "]}",
		       (long long)needed);
	id = submit(doc);
	commit_all();
	end_attempt(part_of(id, 0), -1);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	insert_result = -ENOENT;
	advance_us(1000000);
	commit_all();
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"needs\""));
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "removed meanwhile"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("engine_restart");
	TCase *tc = tcase_create("restart");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_crash_in_the_middle_of_a_sequence);
	tcase_add_test(tc, a_crash_in_the_middle_of_a_cancel);
	tcase_add_test(tc, a_crash_in_the_middle_of_failing_fast);
	tcase_add_test(tc, parts_that_are_missing_do_not_keep_it_waiting);
	tcase_add_test(tc, a_shielded_part_in_back_off_stays_so_over_a_crash);
	tcase_add_test(tc, a_race_keeps_its_winner_over_a_crash);
	tcase_add_test(tc, a_shielded_part_that_waits_for_its_slot_stays_so);
	tcase_add_test(tc, a_stop_gives_no_turns_over_a_crash);
	tcase_add_test(tc, a_failure_leaves_shielded_parts_alone_over_a_crash);
	tcase_add_test(tc, what_the_parts_of_another_attempt_need_may_be_gone);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
