/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/jobprint.h"
#include "client/openmetrics.h"
#include "client/verb.h"

struct stats_args {
	bool is_openmetrics;
};

static const struct opt stats_opts[] = {
	{ .name = "openmetrics",
	  .type = OPT_FLAG,
	  .help = "as OpenMetrics text, for Prometheus and what understands it",
	  .offset = offsetof(struct stats_args, is_openmetrics) },
	{ 0 },
};

static void print(const json_t *result)
{
	struct buf b = { 0 };

	facts_add(&b, "", result);
	out_buf(&b);
	buf_fini(&b);
}

static void print_openmetrics(const json_t *result)
{
	struct buf b = { 0 };

	openmetrics_add(&b, result);
	out_buf(&b);
	buf_fini(&b);
}

static int stats_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct stats_args args = { 0 };
	struct aw_err err = { 0 };
	int n_args;
	int status = verb_options(client, verb, &args, 0, 0, argc, argv, &n_args);

	if (status >= 0)
		return status;
	if (!args.is_openmetrics || !client->is_json)
		return client_show(client, "daemon.stats", NULL,
				   args.is_openmetrics ? print_openmetrics : print);
	aw_fail(&err, AW_PARAMS, "either --json or --openmetrics");
	status = verb_usage_error(verb, NULL, &err);
	aw_err_fini(&err);
	return status;
}

const struct verb stats_verb = {
	.name = "stats",
	.usage = "[--openmetrics]",
	.summary = "show the daemon's counters",
	.help = "Prints the daemon's counters and gauges, one per line: its name, then its value.",
	.opts = stats_opts,
	.run = stats_run,
};
