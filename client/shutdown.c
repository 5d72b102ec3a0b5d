/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/verb.h"

struct shutdown_args {
	bool is_drain;
};

static const struct opt shutdown_opts[] = {
	{ .name = "drain",
	  .type = OPT_FLAG,
	  .help = "first wait for the fetches and workers that run",
	  .offset = offsetof(struct shutdown_args, is_drain) },
	{ 0 },
};

static int shutdown_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct shutdown_args args = { 0 };
	json_t *params = NULL;
	int n_args;
	int status = verb_options(client, verb, &args, 0, 0, argc, argv, &n_args);

	if (status >= 0)
		return status;
	if (args.is_drain)
		params = json_pack("{s:b}", "drain", 1);
	return client_show(client, "daemon.shutdown", params, NULL);
}

const struct verb shutdown_verb = {
	.name = "shutdown",
	.usage = "[--drain]",
	.summary = "stop the daemon",
	.help = "Stops the daemon in order: nothing new is started, running fetches and workers "
		"are ended. What waits, and "
		"timers, go on at the next start. A service manager may start it again at once.",
	.opts = shutdown_opts,
	.run = shutdown_run,
};
