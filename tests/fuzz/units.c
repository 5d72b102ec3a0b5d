/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/units.h"
#include "proto/xalloc.h"
#include "tests/fuzz/fuzz.h"

/* Durations, times and sizes: what is taken is in range, and reads back from its own text. */

static void check_duration(const char *text)
{
	const char *why = NULL;
	struct buf b = { 0 };
	int64_t us, again;
	json_t *value;

	if (duration_parse(text, &us, &why) < 0) {
		assert(why && *why);
		return;
	}
	assert(us >= 0 && us <= JOB_DURATION_MAX_US);
	duration_format(us, &b);
	assert(duration_parse(buf_terminate(&b), &again, &why) == 0 && again == us);
	buf_fini(&b);
	value = duration_to_json(us);
	buf_add_json(&b, value);
	json_decref(value);
	value = json_loadb(b.data, b.len, JSON_DECODE_ANY, NULL);
	assert(value && duration_from_json(value, &again, &why) == 0 && again == us);
	json_decref(value);
	buf_fini(&b);
}

static void check_time(const char *text)
{
	char normal[TIME_TEXT_BYTES];
	const char *why = NULL;
	int64_t ms, again;

	if (time_parse(text, &ms, &why) < 0) {
		assert(why && *why);
		return;
	}
	time_format(ms, normal);
	assert(time_parse(normal, &again, &why) == 0 && again == ms);
}

static void check_size(const char *text)
{
	const char *why = NULL;
	struct buf b = { 0 };
	int64_t bytes;

	if (size_parse(text, &bytes, &why) < 0) {
		assert(why && *why);
		return;
	}
	assert(bytes >= 0 && bytes <= INT64_C(1) << 53);
	size_format(bytes, &b);
	assert(b.len > 0);
	buf_fini(&b);
}

/* Any number as a duration and a size; any 8 bytes as an instant. */
static void check_numbers(const char *text, size_t size)
{
	json_t *value = json_loadb(text, size, JSON_DECODE_ANY, NULL);
	char normal[TIME_TEXT_BYTES];
	const char *why;
	int64_t n;

	if (value && duration_from_json(value, &n, &why) == 0)
		assert(n >= 0 && n <= JOB_DURATION_MAX_US);
	if (value && size_from_json(value, &n, &why) == 0)
		assert(n >= 0 && n <= INT64_C(1) << 53);
	json_decref(value);
	if (size < sizeof(n))
		return;
	memcpy(&n, text, sizeof(n));
	time_format(n, normal);
	assert(strlen(normal) == strlen("2026-11-20T10:00:00.000Z"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1);

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	check_duration(text);
	check_time(text);
	check_size(text);
	check_numbers(text, size);
	free(text);
	return 0;
}
