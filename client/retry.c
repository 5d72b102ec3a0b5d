/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/jobprint.h"
#include "client/out.h"
#include "client/select.h"

/* The ids of the new jobs, as submit prints them. */
static void print(const json_t *result)
{
	struct buf b = { 0 };
	json_t *job;
	size_t i;

	json_array_foreach(json_object_get(result, "jobs"), i, job)
		buf_addf(&b, "%lld\n", (long long)job_id(job));
	out_buf(&b);
	buf_fini(&b);
}

static const char *const states[] = { "done", NULL };
static const struct select_use use = { .verb = "retry", .states = states, .is_top_only = true };

static int retry_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	return select_run(client, verb, "job.retry", &use, print, argc, argv);
}

const struct verb retry_verb = {
	.name = "retry",
	.usage = "ID...\nFILTER...",
	.summary = "make new jobs of jobs that are done",
	.help = "Submits the document of each job again, as it was last, for now, and prints the "
		"ids of the new jobs. The old ones stay as they are; \"awaitctl show\" of a new "
		"one says which it is a retry of.",
	.opts = select_opts,
	.run = retry_run,
};
