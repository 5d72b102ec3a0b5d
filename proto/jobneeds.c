/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobneeds.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/xalloc.h"

#define refuse(...) (jobvalue_refuse(__VA_ARGS__), (json_t *)NULL)

/* "@12": the 12.  Written in its one way, so that equal needs are equal text. */
static bool read_place(const json_t *value, size_t *ret)
{
	const char *digits = json_string_value(value);
	size_t len = json_string_length(value), place = 0;

	if (!digits || len < 2 || len > 10 || digits[0] != '@' || (digits[1] == '0' && len > 2))
		return false;
	for (size_t i = 1; i < len; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		place = place * 10 + (size_t)(digits[i] - '0');
	}
	*ret = place;
	return true;
}

/* "job": a positive integer or "@N". */
static int check_job(struct jobvalue_place *c, const json_t *value)
{
	size_t place;

	if (json_is_integer(value) && json_integer_value(value) > 0)
		return 0;
	if (!read_place(value, &place))
		return jobvalue_refuse(c, "must be the id of a job (a positive integer) or, in a "
					  "request of several documents, \"@N\" for the document "
					  "N, counted from 0");
	if (place < c->n_before)
		return 0;
	if (place == c->n_before && c->up)
		return jobvalue_refuse(c,
				       "is a cycle: the part would wait for document %zu, which "
				       "it belongs to and which ends only after it",
				       place);
	if (place == c->n_before)
		return jobvalue_refuse(c, "is a cycle: document %zu would wait for itself", place);
	return jobvalue_refuse(c, "must name an earlier document: there %s %zu before this one",
			       c->n_before == 1 ? "is" : "are", c->n_before);
}

static json_t *normal_need(struct jobvalue_place *c, const json_t *value)
{
	const json_t *job = json_object_get(value, "job"), *on = json_object_get(value, "on");
	json_t *object = (json_t *)(uintptr_t)value, *member, *need;
	int when = need_on_parse(on ? json_string_value(on) : "success");

	if (!json_is_object(value))
		return check_job(c, value) < 0 ? NULL : json_incref(object);
	json_object_foreach(object, c->field, member)
		if (member != job && member != on)
			return refuse(c, "is unknown: a need has \"job\" and \"on\"");
	c->field = "job";
	if (!job)
		return refuse(c, "is missing");
	if (check_job(c, job) < 0)
		return NULL;
	c->field = "on";
	if (when < 0)
		return refuse(c, "must be \"success\", \"failure\" or \"done\"");
	c->field = NULL;
	if (when == NEED_SUCCESS)
		return json_incref((json_t *)(uintptr_t)job);
	need = xjson(json_object());
	if (json_object_set(need, "job", (json_t *)(uintptr_t)job) < 0 ||
	    json_object_set(need, "on", (json_t *)(uintptr_t)on) < 0)
		xalloc_die();
	return need;
}

static int compare_needs(const void *a, const void *b)
{
	const struct jobdoc_need *x = *(const struct jobdoc_need *const *)a;
	const struct jobdoc_need *y = *(const struct jobdoc_need *const *)b;

	if (x->job != y->job)
		return x->job < y->job ? -1 : 1;
	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return x < y ? -1 : x > y; /* the earlier one first */
}

/* A job that is needed twice: needs that say the same, or that cannot both be met. */
static int check_twins(struct jobvalue_place *c, const json_t *list)
{
	size_t n, twin = SIZE_MAX;
	struct jobdoc_need *needs = jobneeds_read(list, &n);
	const struct jobdoc_need **sorted = xreallocarray(NULL, n + 1, sizeof(*sorted));

	for (size_t i = 0; i < n; i++)
		sorted[i] = &needs[i];
	qsort(sorted, n, sizeof(*sorted), compare_needs);
	for (size_t i = 1; i < n; i++) {
		size_t place = (size_t)(sorted[i] - needs);

		if (sorted[i]->job == sorted[i - 1]->job &&
		    sorted[i]->place == sorted[i - 1]->place && place < twin)
			twin = place;
	}
	free(sorted);
	free(needs);
	c->index = twin;
	return twin == SIZE_MAX ? 0 : jobvalue_refuse(c, "is a job that is needed already");
}

json_t *jobneeds_normal(struct jobvalue_place *c, const json_t *value)
{
	json_t *list;

	if (!json_is_array(value))
		return refuse(c, "must be a list of ids");
	if (json_array_size(value) > JOB_NEEDS_MAX)
		return refuse(c, "has more than %d items", JOB_NEEDS_MAX);
	list = xjson(json_array());
	for (c->index = 0; c->index < json_array_size(value); c->index++) {
		json_t *need = normal_need(c, json_array_get(value, c->index));

		if (!need) {
			json_decref(list);
			return NULL;
		}
		if (json_array_append_new(list, need) < 0)
			xalloc_die();
	}
	if (check_twins(c, list) < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

struct jobdoc_need *jobneeds_read(const json_t *list, size_t *ret_n)
{
	size_t n = json_array_size(list);
	struct jobdoc_need *needs = n ? xcalloc(n, sizeof(*needs)) : NULL;

	for (size_t i = 0; i < n; i++) {
		const json_t *need = json_array_get(list, i), *job = need;

		needs[i].on = NEED_SUCCESS;
		if (json_is_object(need)) {
			int on = need_on_parse(json_string_value(json_object_get(need, "on")));

			job = json_object_get(need, "job");
			needs[i].on = on < 0 ? NEED_SUCCESS : (enum need_on)on;
		}
		needs[i].job = json_integer_value(job);
		if (!needs[i].job)
			(void)read_place(job, &needs[i].place);
	}
	*ret_n = n;
	return needs;
}
