/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/select.h"

static const char *const states[] = { "waiting", NULL };
static const struct select_use use = { .verb = "hold", .states = states };

static int hold_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	return select_run(client, verb, "job.hold", &use, NULL, argc, argv);
}

const struct verb hold_verb = {
	.name = "hold",
	.usage = "ID...\nFILTER...",
	.summary = "do not start waiting jobs until they are released",
	.help = "A job that waits is held: it does not start before \"awaitctl release\" lets it "
		"go, also when its time has come. Jobs that run are not stopped by it; they are "
		"refused.",
	.opts = select_opts,
	.run = hold_run,
};
