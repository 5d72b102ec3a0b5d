/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/tree.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/verb.h"
#include "proto/buf.h"
#include "tests/unit/suite.h"

/* Jobs in the order of a tree. */

/* A line for each row: its branch, and its id or "+" and how many are left out. */
static const char *rows_of(const char *jobs_text, bool is_reverse)
{
	static char text[1024];
	json_t *jobs = json_loads(jobs_text, 0, NULL);
	struct buf b = { 0 };
	struct tree t;

	ck_assert_ptr_nonnull(jobs);
	tree_init(&t, jobs, is_reverse);
	for (size_t i = 0; i < t.n; i++) {
		const struct tree_row *row = &t.rows[i];

		buf_adds(&b, row->branch);
		if (row->job != NULL)
			buf_addf(&b, "%lld\n",
				 (long long)json_integer_value(json_object_get(row->job, "id")));
		else
			buf_addf(&b, "+%lld of %lld\n", (long long)row->n_more,
				 (long long)row->parent);
	}
	snprintf(text, sizeof(text), "%s", buf_terminate(&b));
	buf_fini(&b);
	tree_fini(&t);
	json_decref(jobs);
	return text;
}

START_TEST(nothing)
{
	ck_assert_str_eq(rows_of("[]", false), "");
}
END_TEST

START_TEST(flat)
{
	ck_assert_str_eq(rows_of("[{\"id\":3},{\"id\":1},{\"id\":2,\"parent\":null}]", false),
			 "1\n2\n3\n");
	ck_assert_str_eq(rows_of("[{\"id\":3},{\"id\":1},{\"id\":2}]", true), "3\n2\n1\n");
}
END_TEST

/* Parts keep their order, also where the newest is first. */
START_TEST(parts_stand_below)
{
	static const char jobs[] = "[{\"id\":6},{\"id\":5,\"parent\":1},{\"id\":4,\"parent\":2},"
				   "{\"id\":3,\"parent\":2},{\"id\":2,\"parent\":1},{\"id\":1}]";

	ck_assert_str_eq(rows_of(jobs, false), "1\n|- 2\n|  |- 3\n|  `- 4\n`- 5\n6\n");
	ck_assert_str_eq(rows_of(jobs, true), "6\n1\n|- 2\n|  |- 3\n|  `- 4\n`- 5\n");
}
END_TEST

START_TEST(a_remark_is_the_last)
{
	ck_assert_str_eq(rows_of("[{\"id\":1},{\"more\":7,\"parent\":1},{\"id\":9,\"parent\":1},"
				 "{\"more\":2,\"parent\":9}]",
				 false),
			 "1\n|- 9\n|  `- +2 of 9\n`- +7 of 1\n");
}
END_TEST

/* Its composition is on no page that was asked for. */
START_TEST(a_part_alone)
{
	ck_assert_str_eq(rows_of("[{\"id\":5,\"parent\":1},{\"id\":6,\"parent\":5}]", false),
			 "5\n`- 6\n");
	ck_assert_str_eq(rows_of("[{\"more\":5,\"parent\":1}]", false), "");
}
END_TEST

/* What a daemon would never say must not hang or crash the client. */
START_TEST(loops)
{
	ck_assert_str_eq(rows_of("[{\"id\":1,\"parent\":2},{\"id\":2,\"parent\":1}]", false), "");
	ck_assert_str_eq(rows_of("[{\"id\":1,\"parent\":1}]", false), "");
}
END_TEST

START_TEST(many_parts_are_quick)
{
	enum { N = 100000 };
	json_t *jobs = json_array();
	struct tree t;

	for (int i = N; i > 0; i--)
		json_array_append_new(jobs, json_pack("{s:i, s:i}", "id", i, "parent", i > 1));
	tree_init(&t, jobs, false);
	ck_assert_uint_eq(t.n, N);
	for (size_t i = 0; i < t.n; i++)
		ck_assert_int_eq(json_integer_value(json_object_get(t.rows[i].job, "id")),
				 (json_int_t)i + 1);
	tree_fini(&t);
	json_decref(jobs);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tree");
	TCase *t = tcase_create("tree");

	setenv("LC_ALL", "C", 1);
	tcase_add_test(t, nothing);
	tcase_add_test(t, flat);
	tcase_add_test(t, parts_stand_below);
	tcase_add_test(t, a_remark_is_the_last);
	tcase_add_test(t, a_part_alone);
	tcase_add_test(t, loops);
	tcase_add_test(t, many_parts_are_quick);
	suite_add_tcase(s, t);
	return suite_run(s);
}
