/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/bulk.h"
#include "client/jobargs.h"
#include "client/out.h"
#include "client/verb.h"
#include "proto/buf.h"

static const struct opt submit_opts[] = {
	JOB_SOURCE_OPT("read job documents from FILE (-: standard input)"),
	{ 0 },
};

static int submit_one(struct client *client, int argc, char **argv)
{
	struct job_args args;
	struct reply reply = { 0 };
	struct buf b = { 0 };
	int status = job_args_parse(client, &submit_verb, argc, argv, &args);

	if (status >= 0)
		return status;
	status = job_args_complete(client, &args);
	if (status == STATUS_OK)
		status = client_call(client, CALL_AGAIN, "job.submit", json_incref(args.doc),
				     &reply);
	if (status == STATUS_OK && client->is_json) {
		out_line(reply.text, reply.text_len);
	} else if (status == STATUS_OK) {
		buf_addi(&b, json_integer_value(json_object_get(reply.result, "id")));
		out_line(b.data, b.len);
	}
	buf_fini(&b);
	reply_fini(&reply);
	job_args_fini(&args);
	return status;
}

static int submit_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct job_source from = { 0 };
	int status = job_source_parse(client, verb, argc, argv, &from);

	if (status >= 0)
		return status;
	return from.file != NULL ? bulk_submit(client, from.file)
				 : submit_one(client, from.n_args, argv);
}

const struct verb submit_verb = {
	.name = "submit",
	.usage = "worker [OPTIONS] [--] COMMAND [ARG...]\nfetch [OPTIONS] URL\ntimer [OPTIONS] "
		 "DURATION\n-f FILE",
	.summary = "submit jobs and print their ids",
	.help = "Submits a job and prints its id. When that is printed, the job is on disk and "
		"will be done, "
		"whatever becomes of the terminal, the daemon or the machine.\n\n"
		"The options are the keys of a job document, with dashes for underscores: "
		"\"awaitctl submit worker --help\" lists them, for each kind its own.\n\n"
		"With -f the documents are read from a file: one document, an array of them, or "
		"one per line. One id "
		"per line is printed, in their order. They go in requests of up to 500, each of "
		"which is "
		"taken whole or not at all; the first error ends it. In \"needs\", \"@N\" is the "
		"document N of the file, counted from 0. Compositions (gather, sequence, race) "
		"are always read from a file.",
	.opts = submit_opts,
	.run = submit_run,
};
