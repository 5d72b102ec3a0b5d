/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/retry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/conf.h"

static bool is_fact(const struct aw_err *err, const char *name, int64_t value)
{
	const json_t *fact = json_object_get(err->facts, name);

	return json_is_integer(fact) && json_integer_value(fact) == value;
}

/* One of the words of "on": an error's code, "exit:N" or "http:N". */
static bool is_meant(const char *word, const struct aw_err *err)
{
	int64_t n;

	if (sscanf(word, "exit:%" SCNd64, &n) == 1)
		return err->code == AW_EXIT && is_fact(err, "exit", n);
	if (sscanf(word, "http:%" SCNd64, &n) == 1)
		return err->code == AW_HTTP && is_fact(err, "status", n);
	return strcmp(word, aw_code_word(err->code)) == 0;
}

bool retry_wants(const struct jobdoc_retry *r, uint32_t n_used, const struct aw_err *err)
{
	if (n_used >= r->max)
		return false;
	for (size_t i = 0; i < json_array_size(r->on); i++)
		if (is_meant(json_string_value(json_array_get(r->on, i)), err))
			return true;
	return !r->on;
}

struct jobdoc_retry retry_with_settings(const struct jobdoc_retry *r)
{
	struct jobdoc_retry whole = *r;

	if (r->delay_us < 0)
		whole.delay_us = conf->retry_delay_us;
	if (r->max_delay_us < 0)
		whole.max_delay_us = conf->retry_max_delay_us;
	if (r->factor < 0)
		whole.factor = conf->retry_factor;
	if (r->jitter < 0)
		whole.jitter = conf->retry_jitter;
	return whole;
}

int64_t retry_delay_us(const struct jobdoc_retry *r, uint32_t n_used, double random)
{
	double delay = (double)r->delay_us;

	for (uint32_t i = 0; i < n_used && delay < (double)r->max_delay_us && r->factor > 1; i++)
		delay *= r->factor;
	if (delay > (double)r->max_delay_us)
		delay = (double)r->max_delay_us;
	return (int64_t)(delay * (1 + r->jitter * (2 * random - 1)));
}
