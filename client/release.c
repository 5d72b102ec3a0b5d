/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/select.h"

static const char *const states[] = { "waiting", NULL };
static const struct select_use use = { .verb = "release", .states = states };

static int release_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	return select_run(client, verb, "job.release", &use, NULL, argc, argv);
}

const struct verb release_verb = {
	.name = "release",
	.usage = "ID...\nFILTER...",
	.summary = "let held jobs start",
	.help = "Ends a hold. The jobs start when everything else that they wait for is there.",
	.opts = select_opts,
	.run = release_run,
};
