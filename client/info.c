/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/jobprint.h"
#include "client/verb.h"

static void print(const json_t *result)
{
	struct buf b = { 0 };

	facts_add(&b, "", result);
	out_buf(&b);
	buf_fini(&b);
}

static int info_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	int n_args;
	int status = verb_options(client, verb, NULL, 0, 0, argc, argv, &n_args);

	return status >= 0 ? status : client_show(client, "daemon.info", NULL, print);
}

const struct verb info_verb = {
	.name = "info",
	.usage = "",
	.summary = "show the daemon's version, place, limits and settings",
	.help = "Prints what the daemon says of itself, a fact per line: its name, then its value.",
	.run = info_run,
};
