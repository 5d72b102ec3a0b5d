/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/quota.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/conf.h"
#include "tests/unit/suite.h"

static struct conf settings;
const struct conf *conf = &settings;
static struct aw_err err;

static void setup(void)
{
	settings.quota_jobs = 3;
	settings.quota_bytes = 1000;
}

static void teardown(void)
{
	quota_fini();
	aw_err_fini(&err);
}

static int reserve(uid_t uid, uint64_t n_jobs, uint64_t n_bytes)
{
	return quota_reserve(uid, (struct quota_use){ n_jobs, n_bytes }, &err);
}

static void expect_used(uid_t uid, uint64_t n_jobs, uint64_t n_bytes)
{
	struct quota_use use = quota_used(uid);

	ck_assert_uint_eq(use.n_jobs, n_jobs);
	ck_assert_uint_eq(use.n_bytes, n_bytes);
}

static int64_t fact(const char *name)
{
	return json_integer_value(json_object_get(err.facts, name));
}

START_TEST(up_to_the_limit_and_no_further)
{
	ck_assert_int_eq(reserve(5, 2, 400), 0);
	ck_assert_int_eq(reserve(5, 1, 600), 0);
	expect_used(5, 3, 1000);
	ck_assert_int_lt(reserve(5, 1, 0), 0);
	ck_assert_int_eq(err.code, AW_LIMIT);
	ck_assert_ptr_nonnull(strstr(err.message, "quotas.unfinished_jobs"));
	ck_assert_str_eq(json_string_value(json_object_get(err.facts, "quota")), "unfinished_jobs");
	ck_assert_int_eq(fact("used"), 3);
	ck_assert_int_eq(fact("max"), 3);
	/* Nothing was counted for what was refused. */
	expect_used(5, 3, 1000);
	quota_release(5, (struct quota_use){ 1, 10 });
	ck_assert_int_lt(reserve(5, 1, 11), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "quotas.document_bytes"));
	ck_assert_int_eq(fact("used"), 990);
	ck_assert_int_eq(reserve(5, 1, 10), 0);
}
END_TEST

START_TEST(users_do_not_share)
{
	ck_assert_int_eq(reserve(5, 3, 0), 0);
	ck_assert_int_eq(reserve(6, 3, 1000), 0);
	ck_assert_int_lt(reserve(5, 1, 0), 0);
	quota_release(6, (struct quota_use){ 3, 1000 });
	expect_used(6, 0, 0);
	expect_used(5, 3, 0);
}
END_TEST

START_TEST(root_and_zero_are_without_limit)
{
	ck_assert_int_eq(reserve(0, 1000000, 1000000), 0);
	expect_used(0, 1000000, 1000000);
	settings.quota_jobs = settings.quota_bytes = 0;
	ck_assert_int_eq(reserve(5, 1000000, UINT64_C(1) << 40), 0);
}
END_TEST

START_TEST(a_job_gives_back_what_was_counted_for_it)
{
	struct job job = { .uid = 5 };

	ck_assert_int_eq(reserve(5, 1, 70), 0);
	quota_hand_over(&job, 70);
	expect_used(5, 1, 70);
	quota_uncharge(&job);
	expect_used(5, 0, 0);
	/* Only once. */
	quota_uncharge(&job);
	expect_used(5, 0, 0);
	/* After a restart what is there counts, even beyond the limit. */
	quota_charge(&job, 5000);
	expect_used(5, 1, 5000);
	ck_assert_int_lt(reserve(5, 1, 0), 0);
	quota_uncharge(&job);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("quota");
	TCase *tc = tcase_create("quota");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, up_to_the_limit_and_no_further);
	tcase_add_test(tc, users_do_not_share);
	tcase_add_test(tc, root_and_zero_are_without_limit);
	tcase_add_test(tc, a_job_gives_back_what_was_counted_for_it);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
