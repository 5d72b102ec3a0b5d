/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/frame.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "tests/unit/suite.h"

static bool is_taken(const char *line, size_t len)
{
	struct aw_err err = { 0 };
	json_t *value = NULL;
	int r = frame_parse(line, len, &value, &err);

	if (r < 0) {
		ck_assert_int_eq(err.code, AW_PARSE);
		ck_assert_int_eq(strncmp(err.message, "byte ", 5), 0);
		ck_assert_ptr_null(value);
	} else {
		ck_assert_ptr_nonnull(value);
	}
	json_decref(value);
	aw_err_fini(&err);
	return r == 0;
}

START_TEST(lines)
{
	static const struct {
		const char *text;
		size_t len; /* 0 = up to the NUL */
		bool is_good;
	} cases[] = {
		{ "{}", 0, true },
		{ "[]", 0, true },
		{ " {\"a\" : [1, 2.5, -3e2, true, false, null, \"x\"]}\r", 0, true },
		{ "5", 0, true }, /* JSON, if no request: that is for the envelope to say */
		{ "\"]]]]{{{{\\\"[[\"", 0, true },
		{ "null", 0, true },
		{ "\"\\ud83d\\ude00\"", 0, true },

		{ "", 0, false },
		{ "   ", 0, false },
		{ "{", 0, false },
		{ "}", 0, false },
		{ "]]]]", 0, false },
		{ "{}{}", 0, false },
		{ "{} x", 0, false },
		{ "{]", 0, false },
		{ "[1,]", 0, false },
		{ "[,1]", 0, false },
		{ "{\"a\"}", 0, false },
		{ "{\"a\":1,}", 0, false },
		{ "{a:1}", 0, false },
		{ "{'a':1}", 0, false },
		{ "{\"a\":1,\"a\":2}", 0, false },
		{ "{\"a\":1,\"\\u0061\":2}", 0, false },
		{ "[{\"x\":{\"b\":1,\"b\":1}}]", 0, false },
		{ "\"abc", 0, false },
		{ "\"abc\\", 0, false },
		{ "\"a\nb\"", 0, false },
		{ "{}\0", 3, false },
		{ "{\"a\":\"x\0y\"}", 11, false },
		{ "\"a\\u0000b\"", 0, false },
		{ "{\"a\\u0000b\":1}", 0, false },
		{ "\"\xff\"", 0, false },
		{ "\"\xc0\x80\"", 0, false },
		{ "\"\xed\xa0\x80\"", 0, false },
		{ "\"\xe2\x82\"", 0, false },
		{ "\"\\ud83d\"", 0, false },
		{ "\xef\xbb\xbf{}", 0, false }, /* byte order mark */
		{ "NaN", 0, false },
		{ "Infinity", 0, false },
		{ "01", 0, false },
		{ "+1", 0, false },
		{ ".5", 0, false },
		{ "1e999", 0, false },
		{ "9223372036854775808", 0, false },
		{ "// x\n{}", 0, false },
		{ "\x1b[0m", 0, false },
		{ "GET / HTTP/1.1", 0, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);

		ck_assert_msg(is_taken(cases[i].text, len) == cases[i].is_good, "%s",
			      cases[i].text);
	}
}
END_TEST

/* @open and @close @depth times around @middle. */
static bool nested_is_taken(const char *open, const char *middle, const char *close, int depth)
{
	struct buf b = { 0 };
	bool taken;

	for (int i = 0; i < depth; i++)
		buf_adds(&b, open);
	buf_adds(&b, middle);
	for (int i = 0; i < depth; i++)
		buf_adds(&b, close);
	taken = is_taken(b.data, b.len);
	buf_fini(&b);
	return taken;
}

START_TEST(depth_ends_at_64)
{
	ck_assert(nested_is_taken("[", "", "]", PROTO_DEPTH_MAX));
	ck_assert(!nested_is_taken("[", "", "]", PROTO_DEPTH_MAX + 1));
	ck_assert(nested_is_taken("{\"[\":", "1", "}", PROTO_DEPTH_MAX));
	ck_assert(!nested_is_taken("{\"[\":", "1", "}", PROTO_DEPTH_MAX + 1));
	ck_assert(!nested_is_taken("[ ", "", "]", 500000));
	/* Siblings are not depth. */
	ck_assert(nested_is_taken("[[]", "", ",[]]", 1));
	ck_assert(is_taken("[[],[],[[]],{},{\"a\":[]}]", 24));
}
END_TEST

/* A list with @item @n_items times. */
static bool list_is_taken(const char *item, int n_items)
{
	struct buf b = { 0 };
	bool taken;

	buf_addc(&b, '[');
	for (int i = 0; i < n_items; i++) {
		if (i)
			buf_addc(&b, ',');
		buf_adds(&b, item);
	}
	buf_addc(&b, ']');
	taken = is_taken(b.data, b.len);
	buf_fini(&b);
	return taken;
}

START_TEST(values_end_at_100000)
{
	/* One value is the list itself. */
	static const char *const one[] = { "1", "[]", "{}", " { } ", "\",,[[\\\",\"", "null" };
	static const char *const two[] = { "[1]", "{\"a\":1}", "[ [] ]", "[\"]\"]" };
	static const char *const three[] = { "[1,2]", "{\"a\":1,\"b\":{}}", "[[1]]" };

	for (size_t i = 0; i < sizeof(one) / sizeof(*one); i++) {
		ck_assert(list_is_taken(one[i], PROTO_VALUES_MAX - 1));
		ck_assert(!list_is_taken(one[i], PROTO_VALUES_MAX));
	}
	for (size_t i = 0; i < sizeof(two) / sizeof(*two); i++) {
		ck_assert(list_is_taken(two[i], PROTO_VALUES_MAX / 2 - 1));
		ck_assert(!list_is_taken(two[i], PROTO_VALUES_MAX / 2));
	}
	for (size_t i = 0; i < sizeof(three) / sizeof(*three); i++) {
		ck_assert(list_is_taken(three[i], PROTO_VALUES_MAX / 3));
		ck_assert(!list_is_taken(three[i], PROTO_VALUES_MAX / 3 + 1));
	}
}
END_TEST

START_TEST(errors_say_where)
{
	struct aw_err err = { 0 };
	json_t *value = NULL;

	ck_assert_int_lt(frame_parse("{\"a\":1,\"a\":2}", 13, &value, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "duplicate"));
	ck_assert_int_lt(frame_parse("[1,2,x]", 7, &value, &err), 0);
	ck_assert_int_eq(strncmp(err.message, "byte 6:", 7), 0);
	aw_err_fini(&err);
	ck_assert_int_lt(frame_parse("\"a\\u0000\"", 9, &value, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "NUL characters"));
	aw_err_fini(&err);
}
END_TEST

/* Whole and damaged: any bytes are an answer, never a crash. */
START_TEST(arbitrary_bytes_survive)
{
	static const char seed[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"job.submit\",\"params\":"
		"{\"kind\":\"worker\",\"argv\":[\"a\\u00e9\",\"\xf0\x9f\x98\x80\"],"
		"\"x\":[1.5e3,{}]}}";
	uint64_t state = 6;

	for (int round = 0; round < 100000; round++) {
		char line[sizeof(seed)];
		size_t len = sizeof(seed) - 1;

		memcpy(line, seed, sizeof(seed));
		for (int i = 0; i < 4; i++) {
			state = state * UINT64_C(6364136223846793005) +
				UINT64_C(1442695040888963407);
			line[(state >> 33) % len] = (char)(state >> 24);
		}
		if (round % 3 == 0)
			len = (state >> 40) % len;
		is_taken(line, len);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame");
	TCase *tc = tcase_create("frame");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, lines);
	tcase_add_test(tc, depth_ends_at_64);
	tcase_add_test(tc, values_end_at_100000);
	tcase_add_test(tc, errors_say_where);
	tcase_add_test(tc, arbitrary_bytes_survive);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
