/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/buf.h"

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/suite.h"

START_TEST(grows_and_consumes)
{
	struct buf b = { 0 };
	size_t len;
	char *text;

	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,", i);
	ck_assert_uint_eq(b.len, 10 * 2 + 90 * 3 + 900 * 4);
	buf_consume(&b, 4);
	ck_assert_int_eq(memcmp(b.data, "2,3,", 4), 0);
	buf_consume(&b, b.len);
	ck_assert_uint_eq(b.len, 0);
	buf_add(&b, NULL, 0);
	buf_adds(&b, "end");
	buf_addc(&b, '.');
	text = buf_steal(&b, &len);
	ck_assert_str_eq(text, "end.");
	ck_assert_uint_eq(len, 4);
	ck_assert_ptr_null(b.data);
	free(text);
	buf_fini(&b);
	buf_fini(&b);
}
END_TEST

START_TEST(long_format_fits)
{
	struct buf b = { 0 };

	buf_addf(&b, "%0500d", 7);
	ck_assert_uint_eq(b.len, 500);
	ck_assert_int_eq(b.data[499], '7');
	buf_fini(&b);
}
END_TEST

START_TEST(integers)
{
	static const int64_t values[] = { 0, 1, -1, 9, 10, -10, 1234567890, INT64_MAX, INT64_MIN };

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		struct buf b = { 0 };
		char expected[32];

		snprintf(expected, sizeof(expected), "%" PRId64, values[i]);
		buf_addi(&b, values[i]);
		ck_assert_str_eq(buf_terminate(&b), expected);
		buf_fini(&b);
	}
}
END_TEST

/* What we print is what jansson prints. */
START_TEST(json_like_jansson)
{
	static const char *const texts[] = {
		"null",
		"true",
		"false",
		"0",
		"-1",
		"9223372036854775807",
		"-9223372036854775808",
		"0.25",
		"1.0",
		"-0.5",
		"100000.0",
		"1e300",
		"1.5e-10",
		"-2.5e+20",
		"\"\"",
		"\"plain\"",
		"\"q\\\"b\\\\s\\/t\\t\\n\\r\\b\\f\\u0001\\u001f\\u007f\"",
		"\"\\u00e9\\u20ac\\ud83d\\ude00\"",
		"[]",
		"{}",
		"[[],{},[1,[2,[3]]]]",
		"{\"b\":1,\"a\":{\"c\":[true,null]},\"\":\"x\",\"\\\"\":2}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		json_t *value = json_loads(texts[i], JSON_DECODE_ANY, NULL);
		char *expected = json_dumps(value, BUF_JSON_DUMP_FLAGS | JSON_ENCODE_ANY);
		struct buf b = { 0 };

		ck_assert_ptr_nonnull(expected);
		buf_add_json(&b, value);
		ck_assert_str_eq(buf_terminate(&b), expected);
		buf_fini(&b);
		free(expected);
		json_decref(value);
	}
}
END_TEST

/* No digit is lost, none is added. */
START_TEST(reals_read_back)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{ 0.1, "0.1" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 5e-324, "4.94065645841247e-324" },
		{ 1.7976931348623157e308, "1.7976931348623157e308" },
		{ 1e15, "1e15" },
		{ 123456789.0, "123456789.0" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *value = json_real(cases[i].value), *back;
		struct buf b = { 0 };

		buf_add_json(&b, value);
		ck_assert_str_eq(buf_terminate(&b), cases[i].text);
		back = json_loads(b.data, JSON_DECODE_ANY, NULL);
		ck_assert(json_real_value(back) == cases[i].value);
		json_decref(back);
		json_decref(value);
		buf_fini(&b);
	}
}
END_TEST

START_TEST(nothing_is_null)
{
	struct buf b = { 0 };

	buf_add_json(&b, NULL);
	buf_add_json_string(&b, NULL);
	ck_assert_str_eq(buf_terminate(&b), "nullnull");
	buf_fini(&b);
}
END_TEST

START_TEST(nul_in_a_string_is_escaped)
{
	struct buf b = { 0 };

	buf_add_json_stringn(&b, "a\0b", 3);
	ck_assert_str_eq(buf_terminate(&b), "\"a\\u0000b\"");
	buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("buf");
	TCase *tc = tcase_create("buf");

	tcase_add_test(tc, grows_and_consumes);
	tcase_add_test(tc, long_format_fits);
	tcase_add_test(tc, integers);
	tcase_add_test(tc, json_like_jansson);
	tcase_add_test(tc, reals_read_back);
	tcase_add_test(tc, nothing_is_null);
	tcase_add_test(tc, nul_in_a_string_is_escaped);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
