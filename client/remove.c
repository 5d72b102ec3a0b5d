/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/verb.h"

static int remove_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct aw_err err = { 0 };
	json_t *ids;
	int n_args;
	int status = verb_options(client, verb, NULL, 1, -1, argc, argv, &n_args);

	if (status >= 0)
		return status;
	ids = opts_ids(n_args, argv, &err);
	status = ids == NULL ? verb_usage_error(verb, NULL, &err)
			     : client_for_ids(client, "job.remove", ids, NULL);
	aw_err_fini(&err);
	return status;
}

const struct verb remove_verb = {
	.name = "remove",
	.usage = "ID...",
	.summary = "forget jobs that are done, and their output",
	.help = "Removes the record and the kept output of jobs that are done. Files that a fetch "
		"has written stay.",
	.run = remove_run,
};
