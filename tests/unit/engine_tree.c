/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/engine_tree_fixture.h"

/* Compositions, needs, retries and deadlines, over the array that is the store. */

/* ---- gather ---- */

START_TEST(gather_starts_all_and_ends_with_the_last)
{
	int64_t id = submit(
		"{\"kind\":\"gather\",\"jobs\":[" T(0.2, "a") "," T(0.1, "b") "," T(0.3, "c") "]}");

	commit_all();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(state_of(part_of(id, i)), JOB_RUNNING);
	advance_us(100000);
	commit_all();
	assert_done(part_of(id, 1), JOB_SUCCEEDED);
	ck_assert_int_eq(state_of(part_of(id, 0)), JOB_RUNNING);
	advance_us(100000);
	commit_all();
	assert_done(part_of(id, 0), JOB_SUCCEEDED);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	advance_us(100000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_int_eq(row_of(id)->compose, STORE_COMPOSE_LIST);
	/* R2.10: the last part and what follows from it are one transaction. */
	ck_assert_uint_eq(row_of(id)->transaction, row_of(part_of(id, 2))->transaction);
}
END_TEST

START_TEST(gather_fails_fast_and_waits_for_the_others)
{
	int64_t id = submit("{\"kind\":\"gather\",\"jobs\":[" W "," W "," T(100, "t") "]}");

	commit_all();
	is_stubborn = true;
	end_attempt(part_of(id, 0), -1);
	commit_all();
	assert_done(part_of(id, 0), JOB_FAILED);
	assert_done(part_of(id, 2), JOB_CANCELLED);
	ck_assert_int_eq(state_of(part_of(id, 1)), JOB_STOPPING);
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	end_attempt(part_of(id, 1), 5);
	commit_all();
	assert_done(part_of(id, 1), JOB_CANCELLED);
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "part_failed"));
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "part 0"));
	ck_assert_int_eq(row_of(id)->compose, STORE_COMPOSE_ERRORS);
}
END_TEST

START_TEST(gather_can_go_on_after_a_failure)
{
	int64_t id =
		submit("{\"kind\":\"gather\",\"on_failure\":\"continue\",\"jobs\":[" W "," W "]}");

	commit_all();
	end_attempt(part_of(id, 0), -1);
	commit_all();
	ck_assert_int_eq(state_of(part_of(id, 1)), JOB_RUNNING);
	end_attempt(part_of(id, 1), 3);
	commit_all();
	assert_done(part_of(id, 1), JOB_SUCCEEDED);
	assert_done(id, JOB_FAILED);
	ck_assert_int_eq(row_of(id)->compose, STORE_COMPOSE_LIST_AND_ERRORS);
}
END_TEST

static int count_in(int64_t parent, enum job_state state)
{
	int n = 0;

	for (size_t i = 0; i < n_rows; i++)
		n += rows[i].parent == parent && rows[i].state == state;
	return n;
}

START_TEST(gather_keeps_to_its_limit)
{
	int64_t id = submit("{\"kind\":\"gather\",\"limit\":2,\"jobs\":[" T(1, "a") "," T(
		2, "b") "," T(1, "c") "," T(1, "d") "," T(1, "e") "]}");

	commit_all();
	for (int s = 0; s < 3; s++) {
		ck_assert_int_eq(count_in(id, JOB_RUNNING), 2);
		advance_us(1000000);
		commit_all();
	}
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

START_TEST(a_turn_of_a_part_that_has_ended_goes_on)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"gather\",\"on_failure\":\"continue\",\"limit\":1,"
			    "\"jobs\":[" W "," W "," W "," W "]}");

	commit_all();
	cancel(&a, part_of(id, 1), 0, -1);
	cancel(&a, part_of(id, 2), 0, -1);
	commit_all();
	end_attempt(part_of(id, 0), 0);
	commit_all();
	ck_assert_int_eq(state_of(part_of(id, 3)), JOB_RUNNING);
}
END_TEST

START_TEST(ten_hundred_parts)
{
	struct buf doc = { 0 };
	int64_t id;

	buf_adds(&doc, "{\"kind\":\"gather\",\"jobs\":[");
	for (int i = 0; i < 1000; i++)
		buf_addf(&doc, "%s" T(1, "x"), i ? "," : "");
	buf_adds(&doc, "]}");
	id = submit(buf_terminate(&doc));
	buf_fini(&doc);
	commit_all();
	ck_assert_int_eq(count_in(id, JOB_RUNNING), 1000);
	advance_us(1000000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

/* ---- sequence ---- */

START_TEST(sequence_is_one_after_the_other)
{
	int64_t id = submit("{\"kind\":\"sequence\",\"jobs\":[" T(1, "a") "," T(2, "b") "]}");

	commit_all();
	ck_assert_int_eq(state_of(part_of(id, 0)), JOB_RUNNING);
	ck_assert_int_eq(state_of(part_of(id, 1)), JOB_WAITING);
	advance_us(1000000);
	commit_all();
	ck_assert_int_eq(state_of(part_of(id, 1)), JOB_RUNNING);
	advance_us(2000000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_int_eq(row_of(id)->compose, STORE_COMPOSE_LAST);
}
END_TEST

START_TEST(sequence_ends_with_the_first_failure)
{
	int64_t id = submit("{\"kind\":\"sequence\",\"jobs\":[" W ",{\"kind\":\"gather\",\"jobs\":["
			    "" W "," W "]}," W "]}");
	int64_t inner = part_of(id, 1);

	commit_all();
	end_attempt(part_of(id, 0), -1);
	commit_all();
	assert_done(part_of(id, 0), JOB_FAILED);
	assert_done(part_of(inner, 0), JOB_SKIPPED);
	assert_done(part_of(inner, 1), JOB_SKIPPED);
	assert_done(inner, JOB_SKIPPED);
	assert_done(part_of(id, 2), JOB_SKIPPED);
	assert_done(id, JOB_FAILED);
	ck_assert_int_eq(n_entered, 1);
}
END_TEST

/* ---- race ---- */

START_TEST(race_is_won_by_the_first_success)
{
	int64_t id =
		submit("{\"kind\":\"race\",\"jobs\":[" W "," T(2, "slow") "," T(1, "fast") "]}");

	commit_all();
	end_attempt(part_of(id, 0), -1);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	advance_us(1000000);
	commit_all();
	assert_done(part_of(id, 2), JOB_SUCCEEDED);
	assert_done(part_of(id, 1), JOB_CANCELLED);
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_int_eq(row_of(id)->compose, STORE_COMPOSE_WINNER);
}
END_TEST

START_TEST(race_without_a_winner_fails)
{
	int64_t id = submit("{\"kind\":\"race\",\"jobs\":[" W "," W "]}");

	commit_all();
	end_attempt(part_of(id, 0), -1);
	end_attempt(part_of(id, 1), -1);
	commit_all();
	assert_done(id, JOB_FAILED);
}
END_TEST

/* ---- cancel ---- */

START_TEST(cancel_of_a_running_tree)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"gather\",\"limit\":1,\"jobs\":[{\"kind\":\"sequence\","
			    "\"jobs\":[" W "," W "]}," W "]}");

	commit_all();
	ck_assert_int_eq(n_entered, 1);
	cancel(&a, id, 0, -1);
	ck_assert(!a.is_answered);
	commit();
	ck_assert(a.is_answered);
	ck_assert_int_eq(a.result, 0);
	ck_assert_int_eq(state_of(id), JOB_STOPPING);
	commit_all();
	for (size_t i = 0; i < n_rows; i++)
		assert_done((int64_t)i + 1, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 1);
}
END_TEST

START_TEST(cancel_of_a_waiting_tree)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"gather\",\"delay\":100,\"jobs\":[{\"kind\":\"race\","
			    "\"jobs\":[" W "," W "]}," W "]}");

	commit_all();
	cancel(&a, id, 0, -1);
	commit();
	ck_assert(a.is_answered);
	ck_assert_int_eq(row_of(id)->asked, STOP_CANCEL);
	commit_all();
	for (size_t i = 0; i < n_rows; i++)
		assert_done((int64_t)i + 1, JOB_CANCELLED);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

START_TEST(a_shielded_part_is_waited_for)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"gather\",\"jobs\":[{\"kind\":\"worker\",\"argv\":[\"x\"],"
			    "\"shield\":true}," W "]}");

	commit_all();
	cancel(&a, id, 0, -1);
	commit_all();
	assert_done(part_of(id, 1), JOB_CANCELLED);
	ck_assert_int_eq(state_of(part_of(id, 0)), JOB_RUNNING);
	ck_assert_int_eq(state_of(id), JOB_STOPPING);
	end_attempt(part_of(id, 0), 1);
	commit_all();
	assert_done(part_of(id, 0), JOB_SUCCEEDED);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

START_TEST(a_part_cancelled_alone_fails_its_composition)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"gather\",\"jobs\":[" W "," W "]}");

	commit_all();
	cancel(&a, part_of(id, 0), 0, -1);
	commit_all();
	assert_done(part_of(id, 0), JOB_CANCELLED);
	assert_done(part_of(id, 1), JOB_CANCELLED);
	assert_done(id, JOB_FAILED);
}
END_TEST

/* ---- time ---- */

START_TEST(timeout_of_a_composition)
{
	int64_t id = submit("{\"kind\":\"gather\",\"timeout\":1,\"jobs\":[" W "," T(5, "x") "]}");

	commit_all();
	advance_us(1000000);
	commit_all();
	assert_done(part_of(id, 0), JOB_CANCELLED);
	assert_done(part_of(id, 1), JOB_CANCELLED);
	assert_done(id, JOB_TIMED_OUT);
}
END_TEST

START_TEST(parts_inherit_the_deadline_shielded_or_not)
{
	int64_t id = submit("{\"kind\":\"sequence\",\"deadline\":3,\"jobs\":[{\"kind\":\"worker\","
			    "\"argv\":[\"x\"],\"shield\":true}," W "]}");

	commit_all();
	advance_us(3000000);
	commit_all();
	assert_done(part_of(id, 0), JOB_TIMED_OUT);
	assert_done(part_of(id, 1), JOB_TIMED_OUT);
	assert_done(id, JOB_TIMED_OUT);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"deadline\""));
}
END_TEST

START_TEST(deadline_while_waiting)
{
	int64_t id = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"delay\":10,\"deadline\":2}");

	commit_all();
	advance_us(2000000);
	commit_all();
	assert_done(id, JOB_TIMED_OUT);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

/* ---- retry ---- */

#define RETRY \
	"{\"kind\":\"worker\",\"argv\":[\"x\"],\"retry\":{\"max\":2,\"delay\":4,\"jitter\":0}}"

START_TEST(a_failure_is_tried_again_after_its_back_off)
{
	int64_t id = submit(RETRY);

	commit_all();
	end_attempt(id, -1);
	future_init(&ends[id]);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	ck_assert_int_eq(waiting_reason(jobtab_find(&engine.tab, id)), JOB_WAITS_BACKOFF);
	advance_us(3999000);
	commit_all();
	ck_assert_int_eq(n_entered, 1);
	advance_us(1000);
	commit_all();
	ck_assert_int_eq(n_entered, 2);
	end_attempt(id, -1);
	future_init(&ends[id]);
	commit_all();
	advance_us(8000000);
	commit_all();
	ck_assert_int_eq(n_entered, 3);
	end_attempt(id, -1);
	commit_all();
	assert_done(id, JOB_FAILED);
	ck_assert_uint_eq(row_of(id)->tries, 2);
}
END_TEST

START_TEST(a_cancel_during_back_off)
{
	struct asked a;
	int64_t id = submit(RETRY);

	commit_all();
	end_attempt(id, -1);
	commit_all();
	cancel(&a, id, 0, -1);
	commit_all();
	assert_done(id, JOB_CANCELLED);
	ck_assert_int_eq(a.result, 0);
	advance_us(10000000);
	commit_all();
	ck_assert_int_eq(n_entered, 1);
}
END_TEST

START_TEST(a_cancel_between_the_failure_and_its_commit)
{
	struct asked a;
	int64_t id = submit(RETRY);

	commit_all();
	end_attempt(id, -1);
	cancel(&a, id, 0, -1);
	commit_all();
	assert_done(id, JOB_CANCELLED);
	ck_assert(a.is_answered);
	ck_assert_int_eq(n_entered, 1);
}
END_TEST

START_TEST(a_composition_tried_again_gets_new_parts)
{
	int64_t id = submit("{\"kind\":\"gather\",\"retry\":{\"max\":1,\"delay\":1,\"jitter\":0},"
			    "\"jobs\":[" W "," T(0, "t") "]}");
	int64_t first = part_of(id, 0), again;

	commit_all();
	end_attempt(first, -1);
	commit_all();
	assert_done(first, JOB_FAILED);
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	advance_us(1000000);
	commit_all();
	again = part_of(id, 0);
	ck_assert_int_ne(again, first);
	ck_assert_uint_eq(row_of(again)->run_of, 2);
	ck_assert_int_eq(state_of(again), JOB_RUNNING);
	end_attempt(again, 1);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
}
END_TEST

/* ---- needs ---- */

static int64_t submit_needing(int64_t on, const char *word)
{
	char doc[160];

	(void)snprintf(
		doc, sizeof(doc),
		"{\"kind\":\"worker\",\"argv\":[\"x\"],\"needs\":[{\"job\":%lld,\"on\":\"%s\"}]}",
		(long long)on, word);
	return submit(doc);
}

START_TEST(needs_of_every_sort)
{
	int64_t a = submit(WORKER), b, c, d, e;

	commit_all();
	b = submit_needing(a, "success");
	c = submit_needing(a, "failure");
	d = submit_needing(a, "done");
	e = submit_needing(c, "success");
	commit_all();
	ck_assert_int_eq(n_entered, 1);
	ck_assert_int_eq(waiting_reason(jobtab_find(&engine.tab, b)), JOB_WAITS_NEEDS);
	end_attempt(a, 0);
	commit_all();
	ck_assert_int_eq(state_of(b), JOB_RUNNING);
	assert_done(c, JOB_SKIPPED);
	assert_done(e, JOB_SKIPPED);
	ck_assert_int_eq(state_of(d), JOB_RUNNING);
	end_attempt(b, 0);
	end_attempt(d, 0);
	commit_all();
	/* What has ended already counts at once. */
	c = submit_needing(a, "success");
	d = submit_needing(a, "failure");
	commit_all();
	ck_assert_int_eq(state_of(c), JOB_RUNNING);
	assert_done(d, JOB_SKIPPED);
}
END_TEST

START_TEST(a_tree_whose_need_can_never_be_met)
{
	int64_t a = submit(WORKER), id;
	char doc[256];

	commit_all();
	end_attempt(a, 0);
	commit_all();
	(void)snprintf(doc, sizeof(doc),
		       "{\"kind\":\"gather\",\"needs\":[{\"job\":%lld,\"on\":\"failure\"}],"
		       "\"jobs\":[" W ",{\"kind\":\"race\",\"jobs\":[" W "]}]}",
		       (long long)a);
	id = submit(doc);
	commit_all();
	for (int64_t i = id; i < id + 4; i++)
		assert_done(i, JOB_SKIPPED);
	ck_assert_int_eq(n_entered, 1);
}
END_TEST

START_TEST(a_need_that_is_not_there)
{
	enum aw_code code;

	ck_assert_int_lt(
		submit_as("{\"kind\":\"worker\",\"argv\":[\"x\"],\"needs\":[77]}", 1000, &code), 0);
	ck_assert_int_eq(code, AW_NOT_FOUND);
}
END_TEST

START_TEST(a_long_chain_is_skipped_without_depth)
{
	int64_t first = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"delay\":100}"),
		last = first;
	struct asked a;

	for (int i = 0; i < 2000; i++)
		last = submit_needing(last, "success");
	commit_all();
	cancel(&a, first, 0, -1);
	commit_all();
	assert_done(first, JOB_CANCELLED);
	assert_done(last, JOB_SKIPPED);
}
END_TEST

/* ---- results flow ---- */

START_TEST(a_result_flows_to_the_next_part)
{
	int64_t id = submit("{\"kind\":\"sequence\",\"jobs\":[{\"kind\":\"timer\",\"sleep\":0,"
			    "\"name\":\"a\",\"value\":{\"s\":[2]}},{\"kind\":\"timer\","
			    "\"sleep\":\"${a:/s/0}\",\"value\":\"got ${a:/s}\"}]}");

	commit_all();
	ck_assert_int_eq(state_of(part_of(id, 1)), JOB_RUNNING);
	advance_us(1999000);
	commit_all();
	ck_assert_int_eq(state_of(part_of(id, 1)), JOB_RUNNING);
	crash(); /* it still knows how long */
	commit_all();
	advance_us(1000);
	commit_all();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_str_eq(row_of(part_of(id, 1))->result, "\"got [2]\"");
}
END_TEST

START_TEST(an_escape_is_text_that_means_nothing)
{
	int64_t id = submit("{\"kind\":\"timer\",\"sleep\":0,\"value\":\"$${x:/y} ${HOME}\"}");

	commit_all();
	assert_done(id, JOB_SUCCEEDED);
	ck_assert_str_eq(row_of(id)->result, "\"${x:/y} ${HOME}\"");
}
END_TEST

START_TEST(what_cannot_be_resolved_fails_before_it_starts)
{
	int64_t id = submit("{\"kind\":\"sequence\",\"jobs\":[{\"kind\":\"timer\",\"sleep\":0,"
			    "\"name\":\"a\",\"value\":1},{\"kind\":\"timer\",\"sleep\":0,"
			    "\"value\":\"${a:/x}\"}]}");

	commit_all();
	assert_done(part_of(id, 1), JOB_FAILED);
	ck_assert_uint_eq(row_of(part_of(id, 1))->attempt, 0);
	ck_assert_ptr_nonnull(strstr(row_of(part_of(id, 1))->error, "\"needs\""));
	assert_done(id, JOB_FAILED);
}
END_TEST

/* ---- hold ---- */

static void on_edited(struct job_edit *e)
{
	*(bool *)e->arg = true;
}

START_TEST(held_jobs_wait_until_they_are_released)
{
	int64_t id = submit("{\"kind\":\"worker\",\"argv\":[\"x\"],\"delay\":1}");
	bool done = false;
	struct job_edit e = {
		.id = id, .fields = STORE_HELD, .is_held = true, .done = on_edited, .arg = &done
	};

	engine_edit(&e);
	ck_assert(!done);
	commit_all();
	ck_assert(done);
	ck_assert_int_eq(e.result, 0);
	advance_us(5000000);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_WAITING);
	ck_assert_int_eq(waiting_reason(jobtab_find(&engine.tab, id)), JOB_WAITS_HELD);
	crash();
	ck_assert_int_eq(waiting_reason(jobtab_find(&engine.tab, id)), JOB_WAITS_HELD);
	e.is_held = false;
	engine_edit(&e);
	commit_all();
	ck_assert_int_eq(state_of(id), JOB_RUNNING);
	engine_edit(&e);
	ck_assert_int_eq(e.err.code, AW_WRONG_STATE);
	aw_err_fini(&e.err);
}
END_TEST

/* ---- what a review found ---- */

START_TEST(a_composition_that_cannot_start_takes_its_parts_along)
{
	int64_t x = submit("{\"kind\":\"timer\",\"sleep\":0,\"value\":{\"n\":\"zz\"}}"), id;
	char doc[300];

	commit_all();
	(void)snprintf(doc, sizeof(doc),
		       "{\"kind\":\"gather\",\"needs\":[%lld],\"limit\":\"${%lld:/n}\","
		       "\"jobs\":[" W ",{\"kind\":\"race\",\"jobs\":[" W "]}]}",
		       (long long)x, (long long)x);
	id = submit(doc);
	commit_all();
	assert_done(id, JOB_FAILED);
	ck_assert_ptr_nonnull(strstr(row_of(id)->error, "\"needs\""));
	for (int64_t i = id + 1; i < id + 4; i++)
		assert_done(i, JOB_SKIPPED);
	ck_assert_int_eq(n_entered, 0);
}
END_TEST

START_TEST(a_damaged_composition_takes_its_parts_along)
{
	int64_t id = submit("{\"kind\":\"gather\",\"delay\":1,\"jobs\":[" W "," W "]}");

	commit_all();
	free(row_of(id)->spec);
	row_of(id)->spec = xstrdup("{\"kind\":");
	advance_us(1000000);
	commit_all();
	assert_done(id, JOB_FAILED);
	assert_done(id + 1, JOB_CANCELLED);
	assert_done(id + 2, JOB_CANCELLED);
}
END_TEST

START_TEST(the_deadline_reaches_shielded_parts_of_what_stops)
{
	struct asked a;
	int64_t id = submit("{\"kind\":\"gather\",\"deadline\":2,\"jobs\":[" SHIELDED "}," W "]}");

	commit_all();
	cancel(&a, id, 0, -1);
	commit_all();
	ck_assert_int_eq(state_of(part_of(id, 0)), JOB_RUNNING);
	advance_us(2000000);
	commit_all();
	assert_done(part_of(id, 0), JOB_TIMED_OUT);
	assert_done(id, JOB_CANCELLED);
}
END_TEST

START_TEST(parts_of_another_attempt_are_made_once)
{
	bool done = false;
	int64_t id = submit("{\"kind\":\"gather\",\"retry\":{\"max\":1,\"delay\":1,\"jitter\":0},"
			    "\"jobs\":[" W "]}");
	struct job_edit e = {
		.id = id, .fields = STORE_HELD, .is_held = true, .done = on_edited, .arg = &done
	};
	struct asked a;

	commit_all();
	end_attempt(part_of(id, 0), -1);
	commit_all();
	now_fake_advance_us(1000000);
	engine_wants_step();
	loop_run_until_idle();
	commit(); /* its new parts are on their way to the store */
	engine_edit(&e);
	commit_all();
	ck_assert(done);
	ck_assert_uint_eq(n_rows, 3);
	cancel(&a, 3, 0, -1);
	commit_all();
	e.is_held = false;
	engine_edit(&e);
	commit_all();
	ck_assert_uint_eq(n_rows, 3);
	assert_done(id, JOB_FAILED);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("engine_tree");
	TCase *tc = tcase_create("tree");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, gather_starts_all_and_ends_with_the_last);
	tcase_add_test(tc, gather_fails_fast_and_waits_for_the_others);
	tcase_add_test(tc, gather_can_go_on_after_a_failure);
	tcase_add_test(tc, gather_keeps_to_its_limit);
	tcase_add_test(tc, a_turn_of_a_part_that_has_ended_goes_on);
	tcase_add_test(tc, ten_hundred_parts);
	tcase_add_test(tc, sequence_is_one_after_the_other);
	tcase_add_test(tc, sequence_ends_with_the_first_failure);
	tcase_add_test(tc, race_is_won_by_the_first_success);
	tcase_add_test(tc, race_without_a_winner_fails);
	tcase_add_test(tc, cancel_of_a_running_tree);
	tcase_add_test(tc, cancel_of_a_waiting_tree);
	tcase_add_test(tc, a_shielded_part_is_waited_for);
	tcase_add_test(tc, a_part_cancelled_alone_fails_its_composition);
	tcase_add_test(tc, timeout_of_a_composition);
	tcase_add_test(tc, parts_inherit_the_deadline_shielded_or_not);
	tcase_add_test(tc, deadline_while_waiting);
	tcase_add_test(tc, a_failure_is_tried_again_after_its_back_off);
	tcase_add_test(tc, a_cancel_during_back_off);
	tcase_add_test(tc, a_cancel_between_the_failure_and_its_commit);
	tcase_add_test(tc, a_composition_tried_again_gets_new_parts);
	tcase_add_test(tc, needs_of_every_sort);
	tcase_add_test(tc, a_tree_whose_need_can_never_be_met);
	tcase_add_test(tc, a_need_that_is_not_there);
	tcase_add_test(tc, a_long_chain_is_skipped_without_depth);
	tcase_add_test(tc, a_result_flows_to_the_next_part);
	tcase_add_test(tc, an_escape_is_text_that_means_nothing);
	tcase_add_test(tc, what_cannot_be_resolved_fails_before_it_starts);
	tcase_add_test(tc, held_jobs_wait_until_they_are_released);
	tcase_add_test(tc, a_composition_that_cannot_start_takes_its_parts_along);
	tcase_add_test(tc, a_damaged_composition_takes_its_parts_along);
	tcase_add_test(tc, the_deadline_reaches_shielded_parts_of_what_stops);
	tcase_add_test(tc, parts_of_another_attempt_are_made_once);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
