/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/xferrange.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/xalloc.h"

#define MADE "Wed, 21 Oct 2015 07:28:01 GMT"
#define BEFORE "Wed, 21 Oct 2015 07:28:00 GMT"

static const struct {
	const char *etag, *modified, *date;
	const char *picked;
} validators[] = {
	{ "\"a\"", NULL, NULL, "\"a\"" },
	{ "\"a\"", BEFORE, MADE, "\"a\"" },
	{ "\"\"", NULL, NULL, "\"\"" },
	{ "\"a/b:c-!~\"", NULL, NULL, "\"a/b:c-!~\"" },
	/* A weak or broken one, in whose place no date may stand. */
	{ "W/\"a\"", BEFORE, MADE, NULL },
	{ "w/\"a\"", NULL, NULL, NULL },
	{ "a", BEFORE, MADE, NULL },
	{ "\"", NULL, NULL, NULL },
	{ "", BEFORE, MADE, NULL },
	{ "\"a\"b\"", NULL, NULL, NULL },
	{ "\"a b\"", NULL, NULL, NULL },
	{ "\"\xc3\xa9\"", NULL, NULL, NULL },
	/* A date, of a second that was over when the answer was made. */
	{ NULL, BEFORE, MADE, BEFORE },
	{ NULL, MADE, MADE, NULL },
	{ NULL, MADE, BEFORE, NULL },
	{ NULL, BEFORE, NULL, NULL },
	{ NULL, BEFORE, "today", NULL },
	{ NULL, "yesterday", MADE, NULL },
	{ NULL, "Wed, 21 Oct 2015 07:28:00 GMT\x01", MADE, NULL },
	{ NULL, NULL, MADE, NULL },
	{ NULL, NULL, NULL, NULL },
};

START_TEST(only_a_strong_validator_is_picked)
{
	const char *picked =
		xferrange_pick(validators[_i].etag, validators[_i].modified, validators[_i].date);

	if (validators[_i].picked)
		ck_assert_str_eq(picked, validators[_i].picked);
	else
		ck_assert_ptr_null(picked);
}
END_TEST

START_TEST(a_tag_has_a_bound)
{
	char tag[2000];

	memset(tag, 'x', sizeof(tag));
	tag[0] = tag[1023] = '"';
	tag[1024] = '\0';
	ck_assert_ptr_eq(xferrange_pick(tag, NULL, NULL), tag);
	tag[1023] = 'x';
	tag[1024] = '"';
	tag[1025] = '\0';
	ck_assert_ptr_null(xferrange_pick(tag, NULL, NULL));
}
END_TEST

static const struct {
	const char *text;
	int64_t total; /* that was known before */
	int64_t fits;  /* the whole's size then; -1 = it does not fit */
} ranges[] = {
	{ "bytes 5-9/10", 10, 10 },
	{ "bytes 5-9/10", -1, 10 },
	{ "Bytes 5-9/10", -1, 10 },
	{ "bytes 5-9/*", 10, 10 },
	{ "bytes 5-5/6", -1, 6 },
	{ "bytes 5-9/*", -1, -1 },
	{ "bytes 5-8/*", 10, -1 },
	{ "bytes 5-9/10", 11, -1 },
	{ "bytes 4-9/10", 10, -1 },
	{ "bytes 6-9/10", 10, -1 },
	{ "bytes 0-9/10", 10, -1 },
	{ "bytes 5-8/10", 10, -1 },
	{ "bytes 5-10/10", 10, -1 },
	{ "bytes 5-4/5", -1, -1 },
	{ "bytes */10", 10, -1 },
	{ "bytes 5-9", 10, -1 },
	{ "bytes 5-9/", 10, -1 },
	{ "bytes 5-9/10x", 10, -1 },
	{ "bytes 5-9/*x", 10, -1 },
	{ "bytes -5-9/10", 10, -1 },
	{ "bytes +5-9/10", 10, -1 },
	{ "bytes 5-9/9999999999999999999999", -1, -1 },
	{ "items 5-9/10", 10, -1 },
	{ "bytes=5-9/10", 10, -1 },
	{ "bytes", 10, -1 },
	{ "", 10, -1 },
	{ NULL, 10, -1 },
};

START_TEST(only_the_whole_rest_fits)
{
	const struct xfer_rest rest = {
		.url = "http://a/",
		.validator = "\"a\"",
		.from_bytes = 5,
		.total_bytes = ranges[_i].total,
	};
	int64_t total = -1;
	bool fits = xferrange_fits(ranges[_i].text, &rest, &total);

	ck_assert_int_eq(fits, ranges[_i].fits >= 0);
	ck_assert_int_eq(total, ranges[_i].fits);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("xferrange");
	TCase *tc = tcase_create("xferrange");
	SRunner *sr;
	int n_failed;

	suite_add_tcase(s, tc);
	tcase_add_loop_test(tc, only_a_strong_validator_is_picked, 0,
			    sizeof(validators) / sizeof(*validators));
	tcase_add_test(tc, a_tag_has_a_bound);
	tcase_add_loop_test(tc, only_the_whole_rest_fits, 0, sizeof(ranges) / sizeof(*ranges));
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	n_failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
