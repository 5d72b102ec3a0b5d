/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/quick.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "tests/unit/suite.h"

/*
 * What is taken is what the library makes of it: the same values, members in
 * the same order.  Returns whether it was taken.
 */
static bool is_as_the_library(const char *line, size_t len)
{
	json_t *quick = quick_parse(line, len);
	json_t *value;
	char *a, *b;

	if (!quick)
		return false;
	value = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	ck_assert_msg(value != NULL, "the library refuses %.*s", (int)len, line);
	ck_assert_msg(json_equal(quick, value), "%.*s", (int)len, line);
	a = buf_json_text(quick);
	b = buf_json_text(value);
	ck_assert_str_eq(a, b);
	free(a);
	free(b);
	json_decref(quick);
	json_decref(value);
	return true;
}

START_TEST(what_is_plain)
{
	static const char *const plain[] = {
		"{}",
		"[]",
		" \t\r\n{ \"a\" : [ 1 , -2 , true , false , null , \"x\" , { } , [ ] ] } \r",
		"0",
		"-0",
		"-1",
		"999999999999999999",
		"-999999999999999999",
		"\"\"",
		"\"\x7f\"",
		"\"a\\\"b\\\\c\\/d\\be\\ff\\ng\\rh\\ti\"",
		"\"\\n\\n\"",
		"{\"a\\n\":\"b\\n\",\"c\":\"d\"}",
		"\"\xc3\xa9 \xf0\x9f\x98\x80 \\n \xe2\x82\xac\"",
		"{\"\xc3\xa9\":1,\"\xc3\xa8\\t\":2}",
		"{\"\":{\"\":{\"\":\"\"}}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"job.submit\",\"params\":{\"kind\":"
		"\"worker\",\"argv\":[\"sh\",\"-c\",\"printf '%s\\\\n' \\\"x\\\"\"],"
		"\"priority\":-5}}",
	};

	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		ck_assert_msg(is_as_the_library(plain[i], strlen(plain[i])), "%s", plain[i]);
}
END_TEST

START_TEST(what_is_for_the_library)
{
	static const struct {
		const char *text;
		size_t len; /* 0 = up to the NUL */
	} cases[] = {
		/* unusual */
		{ "1.5", 0 },
		{ "1e3", 0 },
		{ "1E3", 0 },
		{ "1000000000000000000", 0 },
		{ "\"\\u00e9\"", 0 },
		{ "{\"a\\u0062\":1}", 0 },
		/* wrong */
		{ "", 0 },
		{ " ", 0 },
		{ "{", 0 },
		{ "[", 0 },
		{ "}", 0 },
		{ "{}}", 0 },
		{ "{} x", 0 },
		{ "{]", 0 },
		{ "[}", 0 },
		{ "[1,]", 0 },
		{ "[,1]", 0 },
		{ "[1 2]", 0 },
		{ "{,}", 0 },
		{ "{\"a\"}", 0 },
		{ "{\"a\":}", 0 },
		{ "{\"a\":1,}", 0 },
		{ "{\"a\" 1}", 0 },
		{ "{a:1}", 0 },
		{ "{1:1}", 0 },
		{ "{\"a\":1,\"a\":1}", 0 },
		{ "{\"a\\n\":1,\"b\":2,\"a\\n\":1}", 0 },
		{ "[{\"x\":{\"b\":1,\"b\":1}}]", 0 },
		{ "\"a", 0 },
		{ "\"a\\", 0 },
		{ "\"a\\\"", 0 },
		{ "\"\\n", 0 },
		{ "\"\\x\"", 0 },
		{ "\"\\\0\"", 4 },
		{ "\"a\0b\"", 5 },
		{ "\"a\tb\"", 0 },
		{ "\"\\n\tb\"", 0 },
		{ "{\"a\tb\":1}", 0 },
		{ "\"\xff\"", 0 },
		{ "\"\xc0\x80\"", 0 },
		{ "\"\xed\xa0\x80\"", 0 },
		{ "\"\xe2\x82\"", 0 },
		{ "\"\\n\xe2\x82\"", 0 },
		{ "{\"\xe2\x82\":1}", 0 },
		{ "\xef\xbb\xbf{}", 0 },
		{ "-", 0 },
		{ "--1", 0 },
		{ "+1", 0 },
		{ "01", 0 },
		{ "-01", 0 },
		{ "1x", 0 },
		{ "tru", 0 },
		{ "truex", 0 },
		{ "nul", 0 },
		{ "NaN", 0 },
		{ "{}\0", 3 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);
		/* On the heap, so that a look beyond its end is seen by what watches for it. */
		char *exact = malloc(len ? len : 1);

		memcpy(exact, cases[i].text, len);
		ck_assert_msg(!is_as_the_library(exact, len), "%s", cases[i].text);
		free(exact);
	}
}
END_TEST

/* A name with escapes is kept while its value is read; a longer one is the library's. */
START_TEST(names_with_escapes)
{
	struct buf b = { 0 };

	for (int n = 60; n < 70; n++) {
		b.len = 0;
		buf_adds(&b, "{\"\\n");
		for (int i = 0; i < n; i++)
			buf_addc(&b, 'x');
		buf_adds(&b, "\":\"a\\nb\"}");
		ck_assert_int_eq(is_as_the_library(b.data, b.len), n + 1 <= 64);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(load_takes_all)
{
	static const char *const texts[] = { "1.5", "{\"a\":\"\\u00e9\"}", "[1,2]", "null" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		json_t *value = quick_load(texts[i]);

		ck_assert_msg(value != NULL, "%s", texts[i]);
		json_decref(value);
	}
	ck_assert_ptr_null(quick_load(""));
	ck_assert_ptr_null(quick_load("{"));
	ck_assert_ptr_null(quick_load("{\"a\":1}}"));
}
END_TEST

static bool nested_is_taken(int depth)
{
	struct buf b = { 0 };
	bool taken;

	for (int i = 0; i < depth; i++)
		buf_addc(&b, '[');
	for (int i = 0; i < depth; i++)
		buf_addc(&b, ']');
	taken = is_as_the_library(b.data, b.len);
	buf_fini(&b);
	return taken;
}

static bool list_is_taken(int n_items)
{
	struct buf b = { 0 };
	bool taken;

	for (int i = 0; i < n_items; i++)
		buf_adds(&b, i ? ",1" : "[1");
	buf_addc(&b, ']');
	taken = is_as_the_library(b.data, b.len);
	buf_fini(&b);
	return taken;
}

START_TEST(limits)
{
	ck_assert(nested_is_taken(PROTO_DEPTH_MAX));
	ck_assert(!nested_is_taken(PROTO_DEPTH_MAX + 1));
	ck_assert(!nested_is_taken(500000));
	ck_assert(list_is_taken(PROTO_VALUES_MAX - 1));
	ck_assert(!list_is_taken(PROTO_VALUES_MAX));
}
END_TEST

/* Damaged in few places, with bytes that mean something, so that much of it stays JSON. */
START_TEST(never_another_value)
{
	static const char seed[] =
		"{\"jsonrpc\":\"2.0\",\"id\":12,\"m\\n\":\"\xc3\xa9\\t\",\"p\":{\"k\":\"w\",\"a\":["
		"\"\\\"x\",\"\xf0\x9f\x98\x80\",true,-0,[],{}],\"b\":null,\"b2\":{\"c\":1 }}}";
	static const char bytes[] = "\"\"\\\\{}[],: 0123456789-+.eEutrnfalsb\n\t\x80\xc3\xa9\xf0";
	const size_t len = sizeof(seed) - 1;
	uint64_t state = 6;
	unsigned n_taken = 0;

	for (int round = 0; round < 200000; round++) {
		char line[sizeof(seed)];

		memcpy(line, seed, sizeof(seed));
		for (int i = 0; i < 1 + round % 3; i++) {
			size_t at;

			state = state * UINT64_C(6364136223846793005) +
				UINT64_C(1442695040888963407);
			at = (state >> 33) % len;
			line[at] = bytes[(state >> 20) % (sizeof(bytes) - 1)];
		}
		n_taken += is_as_the_library(line, len);
	}
	/* Else this would say nothing. */
	ck_assert_uint_gt(n_taken, 10000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("quick");
	TCase *tc = tcase_create("quick");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, what_is_plain);
	tcase_add_test(tc, what_is_for_the_library);
	tcase_add_test(tc, names_with_escapes);
	tcase_add_test(tc, load_takes_all);
	tcase_add_test(tc, limits);
	tcase_add_test(tc, never_another_value);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
