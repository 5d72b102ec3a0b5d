/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/select.h"

static const char *const removable[] = { "done", NULL };
static const struct select_use use = { .verb = "remove", .states = removable, .is_top_only = true };

static int remove_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	return select_run(client, verb, "job.remove", &use, NULL, argc, argv);
}

const struct verb remove_verb = {
	.name = "remove",
	.usage = "ID...\nFILTER...",
	.summary = "forget jobs that are done, and their output",
	.help = "Removes the record and the kept output of jobs that are done. Files that a fetch "
		"has written stay. With a filter all ended jobs that it leaves are removed, but no "
		"parts of compositions, after a question if you are at a terminal.",
	.opts = select_opts,
	.run = remove_run,
};
