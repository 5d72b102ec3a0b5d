/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/select.h"
#include "proto/units.h"

struct cancel_args {
	struct select select;
	int64_t grace_us;
	const char *message;
};

static const struct opt cancel_opts[] = {
	{ .name = "grace",
	  .type = OPT_DURATION,
	  .metavar = "DURATION",
	  .help = "between the polite stop and the kill (default: the job's)",
	  .offset = offsetof(struct cancel_args, grace_us) },
	{ .name = "message",
	  .letter = 'm',
	  .type = OPT_TEXT,
	  .metavar = "TEXT",
	  .help = "why; kept with the job",
	  .offset = offsetof(struct cancel_args, message) },
	SELECT_OPTS(struct cancel_args, select),
	{ 0 },
};

static const char *const cancellable[] = { "waiting", "running", NULL };
static const struct select_use use = { .verb = "cancel", .states = cancellable };

static int extras_of(const struct cancel_args *args, json_t *extra, struct aw_err *err)
{
	if (args->grace_us >= 0)
		json_object_set_new(extra, "grace", duration_to_json(args->grace_us));
	if (args->message != NULL &&
	    json_object_set_new(extra, "message", json_string(args->message)) < 0)
		return aw_fail(err, AW_PARAMS, "--message: is not valid UTF-8");
	return 0;
}

static int cancel_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct cancel_args args = { .grace_us = -1 };
	struct aw_err err = { 0 };
	json_t *extra = json_object(), *ids = NULL;
	int n_args;
	int status = verb_options(client, verb, &args, 0, -1, argc, argv, &n_args);

	if (status < 0 && extras_of(&args, extra, &err) < 0)
		status = verb_usage_error(verb, NULL, &err);
	if (status < 0)
		status = select_ids(client, verb, &args.select, &use, n_args, argv, &ids);
	if (status < 0)
		status = client_for_ids(client, "job.cancel", ids, extra,
					select_is_filter(&args.select), NULL);
	select_fini(&args.select);
	json_decref(extra);
	aw_err_fini(&err);
	return status;
}

const struct verb cancel_verb = {
	.name = "cancel",
	.usage = "[OPTIONS] ID...\n[OPTIONS] FILTER...",
	.summary = "end jobs that are not done",
	.help = "Asks for the end of each job and returns when that is on disk; \"awaitctl wait\" "
		"waits for the end itself. A running worker gets SIGTERM, and after the grace time "
		"SIGKILL, with all that it started. A job that is done is refused, the others are "
		"cancelled all the same. With a filter all unfinished jobs that it leaves are "
		"cancelled, after a question if you are at a terminal.",
	.opts = cancel_opts,
	.run = cancel_run,
};
