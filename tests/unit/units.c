/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/units.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/limits.h"
#include "tests/unit/suite.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define YEAR (INT64_C(31557600) * SECOND)

/* us < 0: has to be refused */
static const struct {
	const char *text;
	int64_t us;
} durations[] = {
	{ "0", 0 },
	{ "90", 90 * SECOND },
	{ "1.5", 1500000 },
	{ ".5", 500000 },
	{ "0.25s", 250000 },
	{ "5us", 5 },
	{ "5usec", 5 },
	{ "5\xc2\xb5s", 5 },
	{ "5\xce\xbcs", 5 },
	{ "0.4us", 0 },
	{ "0.5us", 1 },
	{ "250ms", 250000 },
	{ "250msec", 250000 },
	{ "1.0005ms", 1001 },
	{ "2s", 2 * SECOND },
	{ "2sec", 2 * SECOND },
	{ "1second", SECOND },
	{ "2 seconds", 2 * SECOND },
	{ "3m", 180 * SECOND },
	{ "3min", 180 * SECOND },
	{ "1minute", 60 * SECOND },
	{ "3 minutes", 180 * SECOND },
	{ "1h", HOUR },
	{ "1hr", HOUR },
	{ "1 hour", HOUR },
	{ "2hours", 2 * HOUR },
	{ "1.5h", HOUR + HOUR / 2 },
	{ "2d", 2 * DAY },
	{ "1day", DAY },
	{ "2 days", 2 * DAY },
	{ "1w", 7 * DAY },
	{ "1week", 7 * DAY },
	{ "2weeks", 14 * DAY },
	{ "1M", YEAR / 12 },
	{ "1month", YEAR / 12 },
	{ "12months", YEAR },
	{ "1y", YEAR },
	{ "1year", YEAR },
	{ "10years", 10 * YEAR },
	{ "0.1y", YEAR / 10 },
	{ "1h 30min", HOUR + HOUR / 2 },
	{ "1h30min", HOUR + HOUR / 2 },
	{ " 1h\t30 min 5 ", HOUR + HOUR / 2 + 5 * SECOND },
	{ "1s 1s", 2 * SECOND },
	{ "000000000000000000000000000001", SECOND },
	{ "0.333333333333333333333333333333333333s", 333333 },
	{ "315576000", 10 * YEAR },

	{ "", -1 },
	{ "   ", -1 },
	{ "-1", -1 },
	{ "-1s", -1 },
	{ " -5min", -1 },
	{ "+1", -1 },
	{ "infinity", -1 },
	{ " infinity ", -1 },
	{ "nan", -1 },
	{ "1e3", -1 },
	{ "0x10", -1 },
	{ "1.", -1 },
	{ ".", -1 },
	{ "1..5", -1 },
	{ "1,5", -1 },
	{ "s", -1 },
	{ "1 30min", -1 },
	{ "1 parsec", -1 },
	{ "1H", -1 },
	{ "1S", -1 },
	{ "1hmin", -1 },
	{ "1h-30min", -1 },
	{ "5\xc2s", -1 },
	{ "5\xff", -1 },
	{ "315576000.000001", -1 },
	{ "11y", -1 },
	{ "10y 1us", -1 },
	{ "9223372036854775807", -1 },
	{ "99999999999999999999999999999999999999999", -1 },
	{ "99999999999999999999999999999y", -1 },
};

START_TEST(durations_parse)
{
	const char *why = NULL;
	int64_t us = -7;
	int r = duration_parse(durations[_i].text, &us, &why);

	if (durations[_i].us < 0) {
		ck_assert_msg(r < 0, "\"%s\" was accepted", durations[_i].text);
		ck_assert_int_eq(us, -7);
		ck_assert_ptr_nonnull(why);
		return;
	}
	ck_assert_msg(r == 0, "\"%s\" %s", durations[_i].text, why ? why : "");
	ck_assert_int_eq(us, durations[_i].us);
}
END_TEST

START_TEST(durations_format_and_read_back)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
		{ 0, "0s" },
		{ 1, "1us" },
		{ 999, "999us" },
		{ 1500, "1.5ms" },
		{ 250000, "250ms" },
		{ 1500000, "1.5s" },
		{ 60 * SECOND, "1min" },
		{ 61 * SECOND + 500000, "1min 1.5s" },
		{ 60 * SECOND + 1000, "1min 0.001s" },
		{ HOUR + HOUR / 2, "1h 30min" },
		{ DAY + 1, "1d 0.000001s" },
		{ 10 * YEAR, "3652d 12h" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = { 0 };
		const char *why;
		int64_t us;

		duration_format(cases[i].us, &b);
		ck_assert_str_eq(buf_terminate(&b), cases[i].text);
		ck_assert_int_eq(duration_parse(b.data, &us, &why), 0);
		ck_assert_int_eq(us, cases[i].us);
		buf_fini(&b);
	}
}
END_TEST

START_TEST(durations_format_any_number)
{
	static const int64_t cases[] = { -1, -1500000, INT64_MIN, INT64_MAX };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = { 0 };

		duration_format(cases[i], &b);
		ck_assert_uint_gt(b.len, 1);
		buf_fini(&b);
	}
}
END_TEST

/* Numbers of JSON, and what they are printed as when they come back. */
START_TEST(durations_in_json)
{
	static const struct {
		const char *json;
		int64_t us;
		const char *printed;
	} cases[] = {
		{ "0", 0, "0" },
		{ "-0.0", 0, "0" },
		{ "2", 2 * SECOND, "2" },
		{ "2.0", 2 * SECOND, "2" },
		{ "0.25", 250000, "0.25" },
		{ "0.1", 100000, "0.1" },
		{ "1e-6", 1, "1e-06" },
		{ "1e-7", 0, "0" },
		{ "0.0000015", 2, "2e-06" },
		{ "123456.789012", INT64_C(123456789012), "123456.789012" },
		{ "315575999.999999", 10 * YEAR - 1, "315575999.999999" },
		{ "315576000", 10 * YEAR, "315576000" },
		{ "\"1h 30min\"", HOUR + HOUR / 2, "5400" },
		{ "\"250ms\"", 250000, "0.25" },
		{ "-1", -1, NULL },
		{ "-0.001", -1, NULL },
		{ "315576001", -1, NULL },
		{ "315576000.5", -1, NULL },
		{ "1e18", -1, NULL },
		{ "1e300", -1, NULL },
		{ "9223372036854775807", -1, NULL },
		{ "null", -1, NULL },
		{ "true", -1, NULL },
		{ "[]", -1, NULL },
		{ "{}", -1, NULL },
		{ "\"\"", -1, NULL },
		{ "\"infinity\"", -1, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *value = json_loads(cases[i].json, JSON_DECODE_ANY, NULL), *back;
		struct buf b = { 0 };
		const char *why;
		int64_t us = -7, again = -7;
		char *dumped;

		ck_assert_ptr_nonnull(value);
		if (cases[i].us < 0) {
			ck_assert_msg(duration_from_json(value, &us, &why) < 0, "%s accepted",
				      cases[i].json);
			json_decref(value);
			continue;
		}
		ck_assert_int_eq(duration_from_json(value, &us, &why), 0);
		ck_assert_int_eq(us, cases[i].us);
		json_decref(value);
		value = duration_to_json(us);
		buf_add_json(&b, value);
		ck_assert_str_eq(buf_terminate(&b), cases[i].printed);
		dumped = json_dumps(value, BUF_JSON_DUMP_FLAGS | JSON_ENCODE_ANY);
		back = json_loads(dumped, JSON_DECODE_ANY, NULL);
		ck_assert_int_eq(duration_from_json(back, &again, &why), 0);
		ck_assert_int_eq(again, us);
		free(dumped);
		json_decref(value);
		json_decref(back);
		buf_fini(&b);
	}
}
END_TEST

/* A string with a NUL inside must not be read as what stands before it. */
START_TEST(nul_inside_is_refused)
{
	json_t *value = json_stringn("1s\0junk", 7);
	const char *why;
	int64_t n;

	ck_assert_int_lt(duration_from_json(value, &n, &why), 0);
	json_decref(value);
	value = json_stringn("1M\0junk", 7);
	ck_assert_int_lt(size_from_json(value, &n, &why), 0);
	json_decref(value);
}
END_TEST

static const struct {
	const char *text;
	const char *printed; /* NULL: has to be refused */
} times[] = {
	{ "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z" },
	{ "1970-01-01T00:00:00+00:01", "1969-12-31T23:59:00.000Z" },
	{ "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z" },
	{ "1900-02-28T00:00:00Z", "1900-02-28T00:00:00.000Z" },
	{ "1900-02-29T00:00:00Z", NULL },
	{ "0000-02-29T23:59:59.001Z", "0000-02-29T23:59:59.001Z" },
	{ "0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z" },
	{ "2026-11-20T10:00:00Z", "2026-11-20T10:00:00.000Z" },
	{ "2026-11-20t10:00:00z", "2026-11-20T10:00:00.000Z" },
	{ "2026-11-20 10:00:00Z", "2026-11-20T10:00:00.000Z" },
	{ "2026-11-20T10:00:00+01:00", "2026-11-20T09:00:00.000Z" },
	{ "2026-11-20T10:00:00-05:30", "2026-11-20T15:30:00.000Z" },
	{ "2026-11-20T10:00:00-00:00", "2026-11-20T10:00:00.000Z" },
	{ "2027-01-01T00:30:00+01:00", "2026-12-31T23:30:00.000Z" },
	{ "2026-11-20T10:00:00.5Z", "2026-11-20T10:00:00.500Z" },
	{ "2026-11-20T10:00:00.123999999999Z", "2026-11-20T10:00:00.123Z" },
	{ "2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000Z" },
	{ "2000-02-29T12:00:00Z", "2000-02-29T12:00:00.000Z" },
	{ "2024-03-01T00:00:00Z", "2024-03-01T00:00:00.000Z" },
	{ "2038-01-19T03:14:08Z", "2038-01-19T03:14:08.000Z" },
	{ "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z" },

	{ "", NULL },
	{ "now", NULL },
	{ "2026-11-20", NULL },
	{ "2026-11-20T10:00Z", NULL },
	{ "2026-11-20T10:00:00", NULL }, /* no offset */
	{ "2026-11-20T10:00:00.5", NULL },
	{ "2026-11-20T10:00:60Z", NULL }, /* R5.6 */
	{ "2026-12-31T23:59:60Z", NULL },
	{ "2026-11-20T24:00:00Z", NULL },
	{ "2026-11-20T10:60:00Z", NULL },
	{ "2026-02-29T10:00:00Z", NULL },
	{ "2100-02-29T10:00:00Z", NULL },
	{ "2026-04-31T10:00:00Z", NULL },
	{ "2026-13-01T10:00:00Z", NULL },
	{ "2026-00-01T10:00:00Z", NULL },
	{ "2026-01-00T10:00:00Z", NULL },
	{ "2026-11-20T10:00:00+24:00", NULL },
	{ "2026-11-20T10:00:00+01:60", NULL },
	{ "2026-11-20T10:00:00+0100", NULL },
	{ "2026-11-20T10:00:00+1", NULL },
	{ "2026-11-20T10:00:00.Z", NULL },
	{ "2026-11-20T10:00:00Z ", NULL },
	{ " 2026-11-20T10:00:00Z", NULL },
	{ "2026-11-20T10:00:00ZZ", NULL },
	{ "0000-01-01T00:00:00+00:01", NULL },
	{ "9999-12-31T23:59:59-00:01", NULL },
	{ "12026-11-20T10:00:00Z", NULL },
	{ "-026-11-20T10:00:00Z", NULL },
	{ "2026-11-20T10:00:00\xe2\x88\x92"
	  "01:00",
	  NULL },
};

START_TEST(times_parse)
{
	const char *why = NULL;
	char printed[TIME_TEXT_BYTES];
	int64_t ms = -7;
	int r = time_parse(times[_i].text, &ms, &why);

	if (!times[_i].printed) {
		ck_assert_msg(r < 0, "\"%s\" was accepted", times[_i].text);
		ck_assert_int_eq(ms, -7);
		ck_assert_ptr_nonnull(why);
		return;
	}
	ck_assert_msg(r == 0, "\"%s\" %s", times[_i].text, why ? why : "");
	time_format(ms, printed);
	ck_assert_str_eq(printed, times[_i].printed);
}
END_TEST

/* Every day of the years 0 ... 9999 against the C library's calendar. */
START_TEST(times_agree_with_libc)
{
	for (int64_t day = -719528; day < INT64_C(2932897); day++) {
		char ours[TIME_TEXT_BYTES], theirs[64];
		time_t t = day * 86400 + (day + 719528) % 86400;
		struct tm tm;
		const char *why;
		int64_t ms;

		gmtime_r(&t, &tm);
		snprintf(theirs, sizeof(theirs), "%04d-%02d-%02dT%02d:%02d:%02d.000Z",
			 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			 tm.tm_sec);
		time_format((int64_t)t * 1000, ours);
		if (strcmp(ours, theirs) != 0)
			ck_abort_msg("%s is not %s", ours, theirs);
		if (time_parse(ours, &ms, &why) < 0 || ms != (int64_t)t * 1000)
			ck_abort_msg("%s does not read back", ours);
	}
}
END_TEST

START_TEST(times_outside_are_clamped)
{
	char text[TIME_TEXT_BYTES];

	time_format(INT64_MIN, text);
	ck_assert_str_eq(text, "0000-01-01T00:00:00.000Z");
	time_format(INT64_MAX, text);
	ck_assert_str_eq(text, "9999-12-31T23:59:59.999Z");
}
END_TEST

static const struct {
	const char *json;
	int64_t bytes; /* < 0: has to be refused */
} sizes[] = {
	{ "0", 0 },
	{ "1024", 1024 },
	{ "9007199254740992", INT64_C(9007199254740992) },
	{ "\"0\"", 0 },
	{ "\"1234\"", 1234 },
	{ "\"10B\"", 10 },
	{ "\"1K\"", 1024 },
	{ "\"1k\"", 1024 },
	{ "\"1KB\"", 1024 },
	{ "\"1KiB\"", 1024 },
	{ "\"10M\"", 10 << 20 },
	{ "\" 10 MiB \"", 10 << 20 },
	{ "\"1.5G\"", INT64_C(1610612736) },
	{ "\"2T\"", INT64_C(2) << 40 },
	{ "\"8192T\"", INT64_C(1) << 53 },
	{ "-1", -1 },
	{ "1.5", -1 },
	{ "9007199254740993", -1 },
	{ "9223372036854775807", -1 },
	{ "null", -1 },
	{ "[]", -1 },
	{ "\"\"", -1 },
	{ "\"-1\"", -1 },
	{ "\"1.5\"", -1 },
	{ "\"1.5B\"", -1 },
	{ "\"M\"", -1 },
	{ "\"10X\"", -1 },
	{ "\"10MM\"", -1 },
	{ "\"10iB\"", -1 },
	{ "\"10Mi\"", -1 },
	{ "\"10 M B\"", -1 },
	{ "\"1 2\"", -1 },
	{ "\"8193T\"", -1 },
	{ "\"8192.1T\"", -1 },
	{ "\"99999999999999999999999999\"", -1 },
};

START_TEST(sizes_parse)
{
	json_t *value = json_loads(sizes[_i].json, JSON_DECODE_ANY, NULL);
	const char *why = NULL;
	int64_t bytes = -7;
	int r = size_from_json(value, &bytes, &why);

	json_decref(value);
	if (sizes[_i].bytes < 0) {
		ck_assert_msg(r < 0, "%s was accepted", sizes[_i].json);
		ck_assert_int_eq(bytes, -7);
		ck_assert_ptr_nonnull(why);
		return;
	}
	ck_assert_msg(r == 0, "%s %s", sizes[_i].json, why ? why : "");
	ck_assert_int_eq(bytes, sizes[_i].bytes);
}
END_TEST

START_TEST(sizes_format)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 1048575, "1.0 MiB" },
		{ 1468006, "1.4 MiB" },
		{ INT64_C(1) << 40, "1.0 TiB" },
		{ INT64_MAX, "8.0 EiB" },
		{ -2048, "-2.0 KiB" },
		{ INT64_MIN, "-8.0 EiB" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buf b = { 0 };

		size_format(cases[i].bytes, &b);
		ck_assert_str_eq(buf_terminate(&b), cases[i].text);
		buf_fini(&b);
	}
}
END_TEST

/* Whatever the bytes are: no crash, and what is accepted is in range. */
START_TEST(arbitrary_text_survives)
{
	static const char alphabet[] = "0123456789.-+: TZtzhmsMKGBi\xc2\xb5\xce\xbc\xff";
	uint64_t state = 20261120;

	for (int round = 0; round < 200000; round++) {
		char text[24];
		const char *why;
		int64_t n;
		size_t len;

		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		len = state >> 60;
		for (size_t i = 0; i < len; i++) {
			state = state * UINT64_C(6364136223846793005) +
				UINT64_C(1442695040888963407);
			text[i] = alphabet[(state >> 33) % (sizeof(alphabet) - 1)];
		}
		text[len] = '\0';
		if (duration_parse(text, &n, &why) == 0)
			ck_assert(n >= 0 && n <= JOB_DURATION_MAX_US);
		if (time_parse(text, &n, &why) == 0)
			ck_assert(n >= 0);
		if (size_parse(text, &n, &why) == 0)
			ck_assert(n >= 0 && n <= INT64_C(1) << 53);
	}
}
END_TEST

#define N_OF(table) (int)(sizeof(table) / sizeof(*table))

int main(void)
{
	Suite *suite = suite_create("units");
	TCase *tc = tcase_create("units");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, durations_parse, 0, N_OF(durations));
	tcase_add_test(tc, durations_format_and_read_back);
	tcase_add_test(tc, durations_format_any_number);
	tcase_add_test(tc, durations_in_json);
	tcase_add_test(tc, nul_inside_is_refused);
	tcase_add_loop_test(tc, times_parse, 0, N_OF(times));
	tcase_add_test(tc, times_agree_with_libc);
	tcase_add_test(tc, times_outside_are_clamped);
	tcase_add_loop_test(tc, sizes_parse, 0, N_OF(sizes));
	tcase_add_test(tc, sizes_format);
	tcase_add_test(tc, arbitrary_text_survives);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
