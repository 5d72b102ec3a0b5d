/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/needs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/xalloc.h"

/* The N of "@N", or -1 for any other value. */
static int64_t place_of(const json_t *value)
{
	const char *text = json_string_value(value);
	int64_t place = 0;

	if (text == NULL || text[0] != '@' || text[1] == '\0' || strlen(text) > 10)
		return -1;
	for (text++; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		place = 10 * place + (*text - '0');
	}
	return place;
}

/* What a need names: itself, or its member "job". */
static json_t *job_of(json_t *need)
{
	return json_is_object(need) ? json_object_get(need, "job") : need;
}

size_t needs_count_places(const json_t *doc, int64_t *ret_max)
{
	json_t *needs = json_object_get(doc, "needs"), *parts = json_object_get(doc, "jobs"), *item;
	size_t i, n = 0;

	*ret_max = -1;
	json_array_foreach(needs, i, item) {
		int64_t place = place_of(job_of(item));

		n += place >= 0;
		if (place > *ret_max)
			*ret_max = place;
	}
	json_array_foreach(parts, i, item) {
		int64_t max;

		n += needs_count_places(item, &max);
		if (max > *ret_max)
			*ret_max = max;
	}
	return n;
}

static json_t *translated(int64_t place, int64_t first, const int64_t *ids, size_t n_ids)
{
	char text[32];

	if ((size_t)place < n_ids)
		return xjson(json_integer(ids[place]));
	snprintf(text, sizeof(text), "@%" PRId64, place - first);
	return xjson(json_string(text));
}

static void translate(json_t *doc, int64_t first, const int64_t *ids, size_t n_ids)
{
	json_t *needs = json_object_get(doc, "needs"), *parts = json_object_get(doc, "jobs"), *item;
	size_t i;

	json_array_foreach(needs, i, item) {
		int64_t place = place_of(job_of(item));

		if (place < 0)
			continue;
		if (json_is_object(item))
			json_object_set_new(item, "job", translated(place, first, ids, n_ids));
		else
			json_array_set_new(needs, i, translated(place, first, ids, n_ids));
	}
	json_array_foreach(parts, i, item)
		translate(item, first, ids, n_ids);
}

json_t *needs_translated(const json_t *doc, int64_t first, const int64_t *ids, size_t n_ids)
{
	json_t *copy = xjson(json_deep_copy(doc));

	translate(copy, first, ids, n_ids);
	return copy;
}
