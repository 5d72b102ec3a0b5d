/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/base/utf8.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"

static const struct {
	const char *bytes;
	size_t n_bytes;
	int len;
} chars[] = {
	{ "", 0, -1 },
	{ "a", 1, 1 },
	{ "\0", 1, 1 },
	{ "\x7f", 1, 1 },
	{ "\x80", 1, 0 },
	{ "\xbf", 1, 0 },
	{ "\xc0\x80", 2, 0 }, /* overlong */
	{ "\xc1\xbf", 2, 0 },
	{ "\xc2\x80", 2, 2 },
	{ "\xc2", 1, -1 },
	{ "\xc2"
	  "a",
	  2, 0 },
	{ "\xdf\xbf", 2, 2 },
	{ "\xe0\x9f\xbf", 3, 0 },
	{ "\xe0\xa0\x80", 3, 3 },
	{ "\xe0", 1, -1 },
	{ "\xe0\xa0", 2, -1 },
	{ "\xe0\x9f", 2, 0 },
	{ "\xed\x9f\xbf", 3, 3 },
	{ "\xed\xa0\x80", 3, 0 }, /* a surrogate */
	{ "\xef\xbf\xbf", 3, 3 },
	{ "\xf0\x8f\xbf\xbf", 4, 0 },
	{ "\xf0\x90\x80\x80", 4, 4 },
	{ "\xf0\x90\x80", 3, -1 },
	{ "\xf0\x90"
	  "a",
	  3, 0 },
	{ "\xf4\x8f\xbf\xbf", 4, 4 },
	{ "\xf4\x90\x80\x80", 4, 0 }, /* above U+10FFFF */
	{ "\xf5\x80\x80\x80", 4, 0 },
	{ "\xff", 1, 0 },
};

START_TEST(characters)
{
	for (size_t i = 0; i < sizeof(chars) / sizeof(chars[0]); i++)
		ck_assert_msg(utf8_char(chars[i].bytes, chars[i].n_bytes) == chars[i].len,
			      "case %zu", i);
}
END_TEST

START_TEST(prefix_and_tail)
{
	static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
	static const size_t ends[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10 };

	for (size_t n = 0; n <= 10; n++) {
		ck_assert_uint_eq(utf8_prefix(text, n), ends[n]);
		ck_assert_uint_eq(utf8_cut_tail(text, n), n - ends[n]);
		ck_assert_uint_eq(utf8_bounded(text, n), ends[n]);
	}
	ck_assert_uint_eq(utf8_bounded(text, 1000), 10);
	/* What can never become a character is no cut one. */
	ck_assert_uint_eq(utf8_cut_tail("a\x80\x80\x80\x80", 5), 0);
	ck_assert_uint_eq(utf8_cut_tail("\xff", 1), 0);
	ck_assert_uint_eq(utf8_cut_tail("\xe0\x80", 2), 0);
}
END_TEST

START_TEST(text_has_no_nul)
{
	ck_assert(utf8_is_text("", 0));
	ck_assert(utf8_is_text(NULL, 0));
	ck_assert(utf8_is_text("\xc3\xa4", 2));
	ck_assert(!utf8_is_text("\xc3", 1));
	ck_assert(!utf8_is_text("a\0b", 3));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("utf8");
	TCase *tc = tcase_create("utf8");

	suite_add_tcase(s, tc);
	tcase_add_test(tc, characters);
	tcase_add_test(tc, prefix_and_tail);
	tcase_add_test(tc, text_has_no_nul);
	return suite_run(s);
}
