/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>

#include "daemon/base/now.h"
#include "tests/unit/store_fixture.h"

/* What the ends of parts make of the end of their composition. */

#define N_PARTS 4

static int64_t group; /* its parts are group + 1 ... group + N_PARTS */

/* A running composition of kind gather and @n waiting parts. */
static void make_group(unsigned n)
{
	struct store_new_job *jobs = xcalloc(n + 1, sizeof(*jobs));

	for (unsigned i = 0; i <= n; i++) {
		jobs[i] = fx_job();
		jobs[i].kind = i == 0 ? JOB_GATHER : JOB_TIMER;
		jobs[i].parent_place_plus_1 = i > 0;
		jobs[i].run_of = i > 0;
		jobs[i].part = i > 0 ? i - 1 : 0;
	}
	ck_assert_int_eq(fx_insert(jobs, n + 1), 0);
	group = jobs[0].id;
	free(jobs);
	ck_assert_int_eq(fx_move(group, 0, JOB_WAITING, JOB_RUNNING), 0);
}

static void setup_group(void)
{
	fx_setup();
	make_group(N_PARTS);
}

static void end_part(unsigned index, enum job_outcome outcome, const char *result,
		     const char *error)
{
	struct store_change c = fx_change(group + 1 + index, 0, JOB_WAITING, JOB_DONE);

	c.outcome = outcome;
	c.result_json = result;
	c.error_json = error;
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	ck_assert_int_eq(c.ended_as, outcome);
}

static void end_all(const char *const results[N_PARTS])
{
	for (unsigned i = 0; i < N_PARTS; i++)
		end_part(i, JOB_SUCCEEDED, results[i], NULL);
}

static struct store_change group_end(enum job_outcome outcome, enum store_compose compose)
{
	struct store_change c = fx_change(group, 1, JOB_RUNNING, JOB_DONE);

	c.outcome = outcome;
	c.compose = compose;
	return c;
}

/* The composition's record: outcome, result and error; NULL = none. */
static void expect_group(enum job_outcome outcome, const char *result, const char *error)
{
	struct store_get get = { .ids = &group, .n = 1 };
	const struct store_job *job;

	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	job = get.jobs;
	ck_assert_int_eq(job->outcome, outcome);
	if (result)
		ck_assert_str_eq(job->result_json, result);
	else
		ck_assert_ptr_null(job->result_json);
	if (error)
		ck_assert_str_eq(job->error_json, error);
	else
		ck_assert_ptr_null(job->error_json);
	store_get_fini(&get);
	fx_close();
	fx_expect_sound();
}

static void run_end(struct store_change c, enum job_outcome ended_as)
{
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	ck_assert_int_eq(c.ended_as, ended_as);
}

static const char *const results[N_PARTS] = { "1", "{\"a\":[2]}", NULL, "\"four\"" };

START_TEST(a_list_is_in_the_order_of_the_parts)
{
	for (unsigned i = N_PARTS; i-- > 0;)
		end_part(i, JOB_SUCCEEDED, results[i], NULL);
	run_end(group_end(JOB_SUCCEEDED, STORE_COMPOSE_LIST), JOB_SUCCEEDED);
	expect_group(JOB_SUCCEEDED, "[1,{\"a\":[2]},null,\"four\"]", NULL);
}
END_TEST

START_TEST(the_last_ones_result)
{
	end_all(results);
	run_end(group_end(JOB_SUCCEEDED, STORE_COMPOSE_LAST), JOB_SUCCEEDED);
	expect_group(JOB_SUCCEEDED, "\"four\"", NULL);
}
END_TEST

START_TEST(the_winners_result)
{
	struct store_change c = group_end(JOB_SUCCEEDED, STORE_COMPOSE_WINNER);

	end_part(0, JOB_CANCELLED, NULL, "{\"code\":\"cancelled\"}");
	end_part(1, JOB_SUCCEEDED, results[1], NULL);
	end_part(2, JOB_SUCCEEDED, "9", NULL);
	end_part(3, JOB_CANCELLED, NULL, NULL);
	c.winner = 2;
	run_end(c, JOB_SUCCEEDED);
	expect_group(JOB_SUCCEEDED, "{\"winner\":2,\"result\":9}", NULL);
}
END_TEST

#define PART_ERRORS                                                                           \
	"[{\"job\":2,\"index\":0,\"code\":\"exit\",\"message\":\"it ended with \\\"3\\\"\"}," \
	"{\"job\":4,\"index\":2,\"code\":\"skipped\",\"message\":\"skipped\"},"               \
	"{\"job\":5,\"index\":3,\"code\":\"lost\",\"message\":\"lost\"}]"

static void end_with_errors(void)
{
	end_part(0, JOB_FAILED, "{\"exit\":3}",
		 "{\"code\":\"exit\",\"message\":\"it ended with \\\"3\\\"\",\"exit\":3}");
	end_part(1, JOB_SUCCEEDED, "true", NULL);
	end_part(2, JOB_SKIPPED, NULL, NULL);
	end_part(3, JOB_LOST, NULL, "{}");
}

START_TEST(errors_of_all_that_did_not_succeed)
{
	struct store_change c = group_end(JOB_FAILED, STORE_COMPOSE_ERRORS);

	end_with_errors();
	c.error_json = "{\"code\":\"part_failed\",\"job\":2}";
	run_end(c, JOB_FAILED);
	expect_group(JOB_FAILED, NULL,
		     "{\"code\":\"part_failed\",\"job\":2,\"errors\":" PART_ERRORS "}");
}
END_TEST

START_TEST(results_and_errors)
{
	struct store_change c = group_end(JOB_FAILED, STORE_COMPOSE_LIST_AND_ERRORS);

	end_with_errors();
	c.error_json = "{}";
	run_end(c, JOB_FAILED);
	expect_group(JOB_FAILED, "[null,true,null,null]", "{\"errors\":" PART_ERRORS "}");
}
END_TEST

START_TEST(no_errors_are_an_empty_list)
{
	struct store_change c = group_end(JOB_TIMED_OUT, STORE_COMPOSE_ERRORS);

	end_all(results);
	c.error_json = "{\"code\":\"timeout\"}";
	run_end(c, JOB_TIMED_OUT);
	expect_group(JOB_TIMED_OUT, NULL, "{\"code\":\"timeout\",\"errors\":[]}");
}
END_TEST

/* Whatever was to be made of them: success needs the success of the parts that decide. */
START_TEST(success_must_be_borne_out)
{
	static const enum store_compose composes[] = { STORE_COMPOSE_LIST, STORE_COMPOSE_LAST,
						       STORE_COMPOSE_WINNER };
	static const unsigned jobs[] = { 2, 5, 4 };
	cleanup_free char *error = xasprintf(
		"{\"code\":\"part_failed\",\"message\":\"job %u, one of its parts, did not"
		" succeed\",\"job\":%u,\"errors\":" PART_ERRORS "}",
		jobs[_i], jobs[_i]);
	struct store_change c = group_end(JOB_SUCCEEDED, composes[_i]);

	end_with_errors();
	c.winner = 2;
	run_end(c, JOB_FAILED);
	expect_group(JOB_FAILED, NULL, error);
	ck_assert_int_eq(fx_raw_int("SELECT outcome = 'failed' FROM attempt WHERE job = 1"), 1);
	ck_assert_int_eq(fx_raw_int("SELECT outcome = 'failed' FROM event WHERE job = 1"
				    " ORDER BY seq DESC LIMIT 1"),
			 1);
}
END_TEST

/* The parts of the latest attempt count, not those of an earlier one. */
START_TEST(an_earlier_attempts_parts_do_not_count)
{
	struct store_new_job part = fx_job();

	end_with_errors();
	part.parent = group;
	part.run_of = 2;
	ck_assert_int_eq(fx_insert(&part, 1), 0);
	end_part((unsigned)(part.id - group - 1), JOB_SUCCEEDED, "7", NULL);
	run_end(group_end(JOB_SUCCEEDED, STORE_COMPOSE_LIST), JOB_SUCCEEDED);
	expect_group(JOB_SUCCEEDED, "[7]", NULL);
}
END_TEST

START_TEST(a_long_message_is_cut_at_a_character)
{
	struct store_change c = group_end(JOB_FAILED, STORE_COMPOSE_ERRORS);
	char message[1201], want[1100], error[1300];
	struct store_get get = { .ids = &group, .n = 1 };

	for (int i = 0; i < 1200; i += 3)
		memcpy(message + i, "\xe2\x82\xac",
		       3); /* a euro sign; 1024 is in the middle of one */
	message[1200] = '\0';
	(void)snprintf(error, sizeof(error), "{\"code\":\"io\",\"message\":\"%s\"}", message);
	(void)snprintf(want, sizeof(want), "\"message\":\"%.1023s\"}", message);
	end_part(0, JOB_FAILED, NULL, error);
	c.error_json = "{}";
	run_end(c, JOB_FAILED);
	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	ck_assert_ptr_nonnull(strstr(get.jobs[0].error_json, want));
	store_get_fini(&get);
}
END_TEST

/* More than a result may hold: the daemon lives, and says what to do. */
START_TEST(results_that_are_too_large_fail_the_job)
{
	static const enum store_compose composes[] = { STORE_COMPOSE_LIST, STORE_COMPOSE_LAST };
	size_t len = STORE_RESULT_MAX_BYTES / (_i == 0 ? 2 : 1);
	char *text = xmalloc(len + 1);
	struct store_get get = { .ids = &group, .n = 1 };

	memset(text, '1', len);
	text[len] = '\0';
	end_part(0, JOB_SUCCEEDED, _i == 0 ? text : "1", NULL);
	end_part(1, JOB_SUCCEEDED, "2", NULL);
	end_part(2, JOB_SUCCEEDED, "3", NULL);
	end_part(3, JOB_SUCCEEDED, text, NULL);
	free(text);
	run_end(group_end(JOB_SUCCEEDED, composes[_i]), JOB_FAILED);
	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	ck_assert_ptr_null(get.jobs[0].result_json);
	ck_assert_ptr_nonnull(strstr(get.jobs[0].error_json, "\"too_large\""));
	ck_assert_ptr_nonnull(strstr(get.jobs[0].error_json, "64 MiB"));
	store_get_fini(&get);
}
END_TEST

/* The last part's end and what it decides, in one transaction. */
START_TEST(the_end_of_the_last_part_counts_in_its_own_transaction)
{
	struct store_change part = fx_change(group + N_PARTS, 0, JOB_WAITING, JOB_DONE);
	struct store_change end = group_end(JOB_SUCCEEDED, STORE_COMPOSE_LIST);
	size_t want = fx.n_done;
	struct store_stats before, after;

	for (unsigned i = 0; i < N_PARTS - 1; i++)
		end_part(i, JOB_SUCCEEDED, "1", NULL);
	want = fx.n_done + 2;
	store_stats(fx.store, &before);
	part.result_json = "2";
	part.op.is_with_next = true;
	fx_submit(&part.op, STORE_CHANGE);
	fx_submit(&end.op, STORE_CHANGE);
	while (fx.n_done < want)
		loop_turn(true);
	store_stats(fx.store, &after);
	ck_assert_uint_eq(after.n_commits, before.n_commits + 1);
	ck_assert_int_eq(end.ended_as, JOB_SUCCEEDED);
	expect_group(JOB_SUCCEEDED, "[1,1,1,2]", NULL);
}
END_TEST

/* ---- growth ---- */

static double seconds_to_compose(unsigned n)
{
	struct store_change c;
	struct mono began;

	make_group(n);
	for (unsigned i = 0; i < n; i++) {
		c = fx_change(group + 1 + i, 0, JOB_WAITING, JOB_DONE);
		c.result_json = "{\"exit\":0}";
		ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	}
	c = group_end(JOB_SUCCEEDED, STORE_COMPOSE_LIST);
	began = now_mono();
	ck_assert_int_eq(fx_run(&c.op, STORE_CHANGE), 0);
	return (double)(now_mono().ns - began.ns) / 1e9;
}

START_TEST(ten_thousand_parts_are_composed_in_a_moment)
{
	double took = seconds_to_compose(10000);
	struct store_get get = { .ids = &group, .n = 1 };

	ck_assert_int_eq(fx_run(&get.op, STORE_GET), 0);
	ck_assert_uint_eq(strlen(get.jobs[0].result_json), 10000 * strlen("{\"exit\":0},") + 1);
	store_get_fini(&get);
	ck_assert_msg(took < 2.0, "%.3f s", took);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_compose");
	TCase *t = tcase_create("compose");

	tcase_add_checked_fixture(t, setup_group, fx_teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_list_is_in_the_order_of_the_parts);
	tcase_add_test(t, the_last_ones_result);
	tcase_add_test(t, the_winners_result);
	tcase_add_test(t, errors_of_all_that_did_not_succeed);
	tcase_add_test(t, results_and_errors);
	tcase_add_test(t, no_errors_are_an_empty_list);
	tcase_add_loop_test(t, success_must_be_borne_out, 0, 3);
	tcase_add_test(t, an_earlier_attempts_parts_do_not_count);
	tcase_add_test(t, a_long_message_is_cut_at_a_character);
	tcase_add_loop_test(t, results_that_are_too_large_fail_the_job, 0, 2);
	tcase_add_test(t, the_end_of_the_last_part_counts_in_its_own_transaction);
	tcase_add_test(t, ten_thousand_parts_are_composed_in_a_moment);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return fx_main(suite());
}
