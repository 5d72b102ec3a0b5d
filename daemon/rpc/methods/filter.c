/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/base/utf8.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/limits.h"
#include "proto/names.h"
#include "proto/xalloc.h"

/* Filters of job.list and events.subscribe: one value, or a list of them. */

static const char *const state_words[] = { "waiting", "running", "stopping", "done", NULL };
static const char *const outcome_words[] = { "succeeded", "failed", "timed_out", "cancelled",
					     "skipped",	  "lost",   NULL };
static const char *const kind_words[] = { "timer",    "fetch", "worker", "gather",
					  "sequence", "race",  NULL };

const struct filter_words filter_states = { "state", state_words, job_state_parse };
const struct filter_words filter_outcomes = { "outcome", outcome_words, job_outcome_parse };
const struct filter_words filter_kinds = { "kind", kind_words, job_kind_parse };

static size_t n_values(const json_t *value)
{
	return json_is_array(value) ? json_array_size(value) : json_is_string(value);
}

static const char *value_at(const json_t *value, size_t i)
{
	return json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
}

static int too_many(const char *key, struct aw_err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/%s", key);
	return aw_fail_at(err, AW_PARAMS, path, "\"%s\" may have at most %d values", key,
			  FILTER_MAX);
}

static int unknown_word(const char *key, const json_t *value, size_t i,
			const struct filter_words *words, struct aw_err *err)
{
	const char *word = value_at(value, i);
	struct buf known = { 0 };
	char path[64];

	for (const char *const *w = words->words; *w; w++) {
		buf_adds(&known, w == words->words ? "" : ", ");
		buf_adds(&known, *w);
	}
	if (json_is_array(value))
		snprintf(path, sizeof(path), "/%s/%zu", key, i);
	else
		snprintf(path, sizeof(path), "/%s", key);
	aw_fail_at(err, AW_PARAMS, path, "\"%.*s\" is no %s; there are %s",
		   (int)utf8_bounded(word, 40), word, words->what, buf_terminate(&known));
	buf_fini(&known);
	return -EINVAL;
}

int filter_bits(const json_t *params, const char *key, const struct filter_words *words,
		unsigned *ret, struct aw_err *err)
{
	const json_t *value = json_object_get(params, key);
	size_t n = n_values(value);

	if (n > FILTER_MAX)
		return too_many(key, err);
	for (size_t i = 0; i < n; i++) {
		int bit = words->parse(value_at(value, i));

		if (bit < 0)
			return unknown_word(key, value, i, words, err);
		*ret |= 1u << bit;
	}
	return 0;
}

int filter_texts(const json_t *params, const char *key, const char ***ret, struct aw_err *err)
{
	const json_t *value = json_object_get(params, key);
	size_t n = n_values(value);

	if (n > FILTER_MAX)
		return too_many(key, err);
	if (n == 0)
		return 0;
	*ret = xcalloc(n + 1, sizeof(**ret));
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = value_at(value, i);
	return 0;
}
