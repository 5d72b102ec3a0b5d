/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "client/jobprint.h"
#include "client/out.h"
#include "client/verb.h"

enum { IDS_SHOWN = 20 };

/* "waiting (needs): it waits for the end of job 7 (success)" */
static void print(const json_t *why)
{
	const char *until = job_string(why, "until");
	const json_t *ids = json_object_get(why, "waits_for");
	size_t n = json_array_size(ids);
	struct buf b = { 0 };

	job_add_state(&b, why);
	buf_adds(&b, ": ");
	out_escape(&b, job_string(why, "message"));
	buf_addc(&b, '\n');
	if (until != NULL) {
		buf_adds(&b, "until:     ");
		time_add(&b, until);
		buf_addc(&b, '\n');
	}
	for (size_t i = 0; i < n && i < IDS_SHOWN; i++)
		buf_addf(&b, "%s%lld", i > 0 ? ", " : "waits for: ",
			 (long long)json_integer_value(json_array_get(ids, i)));
	if (n > IDS_SHOWN)
		buf_addf(&b, " and %zu more", n - IDS_SHOWN);
	if (n > 0)
		buf_addc(&b, '\n');
	out_buf(&b);
	buf_fini(&b);
}

static int why_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct aw_err err = { 0 };
	int64_t id;
	int n_args;
	int status = verb_options(client, verb, NULL, 1, 1, argc, argv, &n_args);

	if (status >= 0)
		return status;
	if (opts_id(argv[0], &id, &err) < 0)
		status = verb_usage_error(verb, NULL, &err);
	else
		status = client_show(client, "job.why", json_pack("{s:I}", "id", (json_int_t)id),
				     print);
	aw_err_fini(&err);
	return status;
}

const struct verb why_verb = {
	.name = "why",
	.usage = "ID",
	.summary = "say what a job waits for",
	.help = "Says why a job does not start, or does not end: the time, a slot of its queue, "
		"other jobs, a hold; and until when, where that is known. The answer comes from "
		"what decides it, not from a guess.",
	.run = why_run,
};
