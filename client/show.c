/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/jobprint.h"
#include "client/out.h"
#include "client/verb.h"

static int show_job(struct client *client, int64_t id)
{
	return client_show(client, "job.get", json_pack("{s:I}", "id", (json_int_t)id), job_print);
}

static int show_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct aw_err err = { 0 };
	int n_args;
	int status = verb_options(client, verb, NULL, 1, -1, argc, argv, &n_args);
	json_t *ids, *id;
	size_t i;

	if (status >= 0)
		return status;
	ids = opts_ids(n_args, argv, &err);
	if (ids == NULL)
		status = verb_usage_error(verb, NULL, &err);
	else
		status = STATUS_OK;
	json_array_foreach(ids, i, id) {
		int r;

		if (i > 0 && !client->is_json)
			out_line("", 0);
		r = show_job(client, json_integer_value(id));
		status = r != STATUS_OK ? r : status;
		if (r == STATUS_UNREACHABLE)
			break;
	}
	json_decref(ids);
	aw_err_fini(&err);
	return status;
}

const struct verb show_verb = {
	.name = "show",
	.usage = "ID...",
	.summary = "show all that is known of a job",
	.help = "Prints the facts of each job, one per line, with times in the local time zone; of "
		"one that was tried more than once also its attempts. With --json one job object "
		"per line.",
	.run = show_run,
};
