/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/select.h"

struct remove_args {
	struct select select;
};

static const struct opt remove_opts[] = {
	SELECT_OPTS(struct remove_args, select),
	{ 0 },
};

static const char *const removable[] = { "done", NULL };
static const struct select_use use = { .verb = "remove", .states = removable, .is_top_only = true };

static int remove_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct remove_args args = { 0 };
	json_t *ids = NULL;
	int n_args;
	int status = verb_options(client, verb, &args, 0, -1, argc, argv, &n_args);

	if (status < 0)
		status = select_ids(client, verb, &args.select, &use, n_args, argv, &ids);
	if (status < 0)
		status = client_for_ids(client, "job.remove", ids, NULL,
					select_is_filter(&args.select));
	select_fini(&args.select);
	return status;
}

const struct verb remove_verb = {
	.name = "remove",
	.usage = "ID...\nFILTER...",
	.summary = "forget jobs that are done, and their output",
	.help = "Removes the record and the kept output of jobs that are done. Files that a fetch "
		"has written stay. With a filter all ended jobs that it leaves are removed, but no "
		"parts of compositions, after a question if you are at a terminal.",
	.opts = remove_opts,
	.run = remove_run,
};
