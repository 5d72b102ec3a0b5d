/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/params.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/utf8.h"
#include "proto/limits.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* What a sentence calls each type. */
static const char *const type_words[N_RPC_TYPES] = {
	[RPC_OBJECT] = "an object",
	[RPC_ARRAY] = "a list",
	[RPC_STRING] = "a string",
	[RPC_INTEGER] = "an integer",
	[RPC_BOOL] = "true or false",
	[RPC_DURATION] = "a duration: seconds, or text like \"1h 30min\"",
	[RPC_IDS] = "a list of job ids",
	[RPC_ONE_OR_LIST] = "a string or a list of strings",
	[RPC_ANY] = "anything",
};

static int wrong_type(const struct rpc_param *p, const char *path, struct aw_err *err)
{
	return aw_fail_at(err, AW_PARAMS, path, "\"%s\" must be %s", p->name, type_words[p->type]);
}

static int check_integer(const struct rpc_param *p, const json_t *value, const char *path,
			 struct aw_err *err)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value))
		return wrong_type(p, path, err);
	if ((p->min || p->max) && (n < p->min || n > p->max))
		return aw_fail_at(err, AW_PARAMS, path,
				  "\"%s\" must be from %" PRId64 " to %" PRId64, p->name, p->min,
				  p->max);
	return 0;
}

static int check_duration(const struct rpc_param *p, const json_t *value, const char *path,
			  struct aw_err *err)
{
	const char *why;
	int64_t us;

	if (!json_is_number(value) && !json_is_string(value))
		return wrong_type(p, path, err);
	if (duration_from_json(value, &us, &why) < 0)
		return aw_fail_at(err, AW_PARAMS, path, "\"%s\" %s", p->name, why);
	return 0;
}

static int check_ids(const struct rpc_param *p, const json_t *value, const char *path,
		     struct aw_err *err)
{
	char place[96];
	json_t *id;
	size_t i;

	if (!json_is_array(value))
		return wrong_type(p, path, err);
	if (json_array_size(value) < 1 || json_array_size(value) > PROTO_IDS_MAX)
		return aw_fail_at(err, AW_PARAMS, path,
				  "\"%s\" must have 1 to %d ids, this has %zu", p->name,
				  PROTO_IDS_MAX, json_array_size(value));
	json_array_foreach(value, i, id) {
		if (json_is_integer(id) && json_integer_value(id) > 0)
			continue;
		snprintf(place, sizeof(place), "%s/%zu", path, i);
		return aw_fail_at(err, AW_PARAMS, place, "a job id must be a positive integer");
	}
	return 0;
}

static int check_one_or_list(const struct rpc_param *p, const json_t *value, const char *path,
			     struct aw_err *err)
{
	char place[96];
	json_t *item;
	size_t i;

	if (json_is_string(value))
		return 0;
	if (!json_is_array(value))
		return wrong_type(p, path, err);
	if (!json_array_size(value))
		return aw_fail_at(
			err, AW_PARAMS, path,
			"\"%s\" is an empty list, which nothing can match; leave it out for all",
			p->name);
	json_array_foreach(value, i, item) {
		if (json_is_string(item))
			continue;
		snprintf(place, sizeof(place), "%s/%zu", path, i);
		return aw_fail_at(err, AW_PARAMS, place, "an item of \"%s\" must be a string",
				  p->name);
	}
	return 0;
}

static int check_value(const struct rpc_param *p, const json_t *value, struct aw_err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/%s", p->name);
	switch (p->type) {
	case RPC_OBJECT:
		return json_is_object(value) ? 0 : wrong_type(p, path, err);
	case RPC_ARRAY:
		return json_is_array(value) ? 0 : wrong_type(p, path, err);
	case RPC_STRING:
		return json_is_string(value) ? 0 : wrong_type(p, path, err);
	case RPC_BOOL:
		return json_is_boolean(value) ? 0 : wrong_type(p, path, err);
	case RPC_INTEGER:
		return check_integer(p, value, path, err);
	case RPC_DURATION:
		return check_duration(p, value, path, err);
	case RPC_IDS:
		return check_ids(p, value, path, err);
	case RPC_ONE_OR_LIST:
		return check_one_or_list(p, value, path, err);
	case RPC_ANY:
		return 0;
	case N_RPC_TYPES:
		break;
	}
	assert(0);
	return 0;
}

static const struct rpc_param *find(const struct rpc_method *method, const char *name)
{
	for (const struct rpc_param *p = method->params; p && p->name; p++)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

/* A name that we do not know may hold anything: escaped for the pointer, bounded at a character. */
static int unknown(const struct rpc_method *method, const char *name, struct aw_err *err)
{
	enum { SHOWN_BYTES = 64 };
	size_t len = utf8_bounded(name, SHOWN_BYTES);
	char path[2 * SHOWN_BYTES + 2], *to = path;

	*to++ = '/';
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '~' || name[i] == '/') {
			*to++ = '~';
			*to++ = name[i] == '~' ? '0' : '1';
		} else {
			*to++ = name[i];
		}
	}
	*to = '\0';
	return aw_fail_at(err, AW_PARAMS, path, "%s has no parameter \"%.*s\"", method->name,
			  (int)len, name);
}

int params_check(const struct rpc_method *method, const json_t *params, struct aw_err *err)
{
	const char *name;
	json_t *value;
	char path[64];

	if (method->flags & RPC_OPEN_PARAMS)
		return 0;
	json_object_foreach((json_t *)params, name, value) {
		const struct rpc_param *p = find(method, name);

		if (!p)
			return unknown(method, name, err);
		if (json_is_null(value) && p->flags & RPC_NULLABLE)
			continue;
		if (check_value(p, value, err) < 0)
			return -EINVAL;
	}
	for (const struct rpc_param *p = method->params; p && p->name; p++) {
		if (!(p->flags & RPC_REQUIRED) || json_object_get(params, p->name))
			continue;
		snprintf(path, sizeof(path), "/%s", p->name);
		return aw_fail_at(err, AW_PARAMS, path, "\"%s\" is missing: %s", p->name, p->help);
	}
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static bool has_duplicates(const int64_t *ids, size_t n)
{
	int64_t *sorted = xmalloc(n * sizeof(*sorted));
	bool found = false;

	memcpy(sorted, ids, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_ids);
	for (size_t i = 1; i < n; i++)
		found |= sorted[i] == sorted[i - 1];
	free(sorted);
	return found;
}

/* Keep the first of each, in the order asked. */
static size_t drop_duplicates(int64_t *ids, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < kept && ids[k] != ids[i])
			k++;
		if (k == kept)
			ids[kept++] = ids[i];
	}
	return kept;
}

int64_t *rpc_ids(const json_t *params, const char *name, size_t *ret_n)
{
	const json_t *list = json_object_get(params, name);
	size_t n = json_array_size(list);
	int64_t *ids = xmalloc((n + 1) * sizeof(*ids));

	for (size_t i = 0; i < n; i++)
		ids[i] = json_integer_value(json_array_get(list, i));
	/* Comparing all with all is for the rare list that needs it. */
	*ret_n = n > 1 && has_duplicates(ids, n) ? drop_duplicates(ids, n) : n;
	return ids;
}
