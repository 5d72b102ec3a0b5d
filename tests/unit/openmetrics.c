/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/openmetrics.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"

static struct buf text;

static void teardown(void)
{
	buf_fini(&text);
}

static void print(const char *stats)
{
	json_t *value = json_loads(stats, 0, NULL);

	ck_assert_ptr_nonnull(value);
	openmetrics_add(&text, value);
	json_decref(value);
	(void)buf_terminate(&text);
}

START_TEST(kinds_of_samples)
{
	print("{\"jobs\":{\"states\":{\"waiting\":3,\"done\":0},\"ended\":7},"
	      "\"store\":{\"full\":true,\"commit_max\":0.00025}}");
	ck_assert_str_eq(
		text.data,
		"# TYPE awaitd_jobs gauge\n"
		"# HELP awaitd_jobs Stored jobs by state.\n"
		"awaitd_jobs{state=\"waiting\"} 3\n"
		"awaitd_jobs{state=\"done\"} 0\n"
		"# TYPE awaitd_jobs_ended counter\n"
		"# HELP awaitd_jobs_ended Jobs that have ended since the daemon's start.\n"
		"awaitd_jobs_ended_total 7\n"
		"# TYPE awaitd_store_commit_max_seconds gauge\n"
		"# UNIT awaitd_store_commit_max_seconds seconds\n"
		"# HELP awaitd_store_commit_max_seconds The longest commit.\n"
		"awaitd_store_commit_max_seconds 0.00025\n"
		"# TYPE awaitd_store_full gauge\n"
		"# HELP awaitd_store_full Whether the disk of the state directory is full.\n"
		"awaitd_store_full 1\n"
		"# EOF\n");
}
END_TEST

START_TEST(label_values_are_escaped)
{
	print("{\"queues\":{\"a\\\"b\\\\c\\nd\":{\"running\":1,\"paused\":false}}}");
	ck_assert_ptr_nonnull(
		strstr(text.data, "awaitd_queue_running{queue=\"a\\\"b\\\\c\\nd\"} 1\n"));
	ck_assert_ptr_nonnull(
		strstr(text.data, "awaitd_queue_paused{queue=\"a\\\"b\\\\c\\nd\"} 0\n"));
}
END_TEST

/* A daemon of another version may tell less, or something else. */
START_TEST(what_is_not_there_is_left_out)
{
	print("{\"jobs\":7,\"queues\":{\"x\":null},\"log\":{\"dropped\":\"many\"}}");
	ck_assert_ptr_null(strstr(text.data, "awaitd_jobs"));
	ck_assert_ptr_null(strstr(text.data, "_total"));
	ck_assert_str_eq(text.data + text.len - 6, "# EOF\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("openmetrics");
	TCase *tc = tcase_create("openmetrics");

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, kinds_of_samples);
	tcase_add_test(tc, label_values_are_escaped);
	tcase_add_test(tc, what_is_not_there_is_left_out);
	return suite_run(s);
}
