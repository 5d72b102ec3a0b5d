/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/follow.h"
#include "client/verb.h"

struct output_args {
	bool is_following;
	const char *stream;
	int64_t attempt;
};

static const struct opt output_opts[] = {
	{ .name = "follow",
	  .letter = 'f',
	  .type = OPT_FLAG,
	  .help = "go on until the job has ended",
	  .offset = offsetof(struct output_args, is_following) },
	{ .name = "stream",
	  .type = OPT_TEXT,
	  .metavar = "STREAM",
	  .help = "stdout, stderr or both (the default)",
	  .offset = offsetof(struct output_args, stream) },
	{ .name = "attempt",
	  .type = OPT_COUNT,
	  .metavar = "N",
	  .help = "that of attempt N (default: the latest)",
	  .offset = offsetof(struct output_args, attempt) },
	{ 0 },
};

static int output_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct output_args args = { .stream = "both" };
	struct follow f = { .client = client };
	struct aw_err err = { 0 };
	int n_args;
	int status = verb_options(client, verb, &args, 1, 1, argc, argv, &n_args);

	if (status >= 0)
		return status;
	f.stream = args.stream;
	f.attempt = args.attempt;
	f.tells_attempts = true;
	if (opts_id(argv[0], &f.id, &err) < 0)
		status = verb_usage_error(verb, NULL, &err);
	else if (!args.is_following)
		status = output_copy(&f);
	else
		status = args.attempt > 0 ? output_follow(&f) : output_follow_job(&f);
	aw_err_fini(&err);
	return status;
}

const struct verb output_verb = {
	.name = "output",
	.usage = "[OPTIONS] ID",
	.summary = "print what a job has written",
	.help = "Prints the output of a worker, or the content of a fetch that has no file of "
		"its own, byte for byte: both streams in the order in which they were written. "
		"With -f it goes on until the job has ended, through further attempts too, "
		"unless --attempt names one. With --json each piece is printed as the protocol "
		"has it, one per line.",
	.opts = output_opts,
	.run = output_run,
};
