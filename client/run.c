/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "client/feed.h"
#include "client/follow.h"
#include "client/interrupt.h"
#include "client/jobargs.h"
#include "client/jobprint.h"
#include "client/out.h"
#include "client/progress.h"
#include "client/runstatus.h"
#include "client/verb.h"

static int submit(struct client *client, struct job_args *args, int64_t *ret_id)
{
	struct reply reply = { 0 };
	int status = job_args_complete(client, args);

	if (status != STATUS_OK)
		return status;
	interrupt_catch();
	status = client_call(client, CALL_AGAIN, "job.submit", json_incref(args->doc), &reply);
	if (status != STATUS_OK)
		return status;
	*ret_id = job_id(reply.result);
	reply_fini(&reply);
	client->cancel_id = *ret_id;
	if (client->is_cancelling)
		client_cancel(client);
	return STATUS_OK;
}

static int wait_plainly(struct client *client, int64_t id)
{
	json_t *params = json_pack("{s:[I]}", "ids", (json_int_t)id);
	struct reply reply = { 0 };
	int status = client_call(client, CALL_PATIENTLY, "job.wait", params, &reply);

	reply_fini(&reply);
	return status;
}

static bool draw(void *arg, const json_t *job)
{
	if (job_is_done(job))
		return false;
	progress_draw(arg, job);
	return true;
}

static int wait_with_progress(struct client *client, int64_t id)
{
	struct progress progress = { 0 };
	int status = job_follow(client, id, draw, &progress);

	progress_clear(&progress);
	return status;
}

static int wait_with_output(struct client *client, int64_t id)
{
	struct follow f = { .client = client, .id = id, .stream = "both", .is_split = true };

	return output_follow_job(&f);
}

static void print_result(struct client *client, const struct job_args *args, const json_t *job)
{
	const json_t *result = json_object_get(job, "result");
	const char *path = job_string(result, "path");

	/* A gather that goes on has one also when a part failed. */
	if (args->kind == JOB_WORKER || (!job_has_succeeded(job) && args->kind != JOB_GATHER))
		return;
	if (args->kind == JOB_FETCH && args->is_body_to_stdout)
		return;
	if (args->kind != JOB_FETCH) {
		if (result != NULL && !json_is_null(result))
			out_json(result);
	} else if (path != NULL) {
		out_line(path, strlen(path));
	} else {
		out_note("the content is kept: awaitctl output %lld", (long long)client->cancel_id);
	}
}

static int status_of(const struct job_args *args, const json_t *job)
{
	if (args->kind == JOB_WORKER)
		return runstatus_of_worker(job);
	return job_has_succeeded(job) ? STATUS_OK : STATUS_UNSUCCESSFUL;
}

/* Why it did not succeed; not for a command that had its own say and its own status. */
static void say_why(const struct job_args *args, const json_t *job)
{
	const char *code = job_string(json_object_get(job, "error"), "code");
	struct buf b = { 0 };

	if (job_has_succeeded(job))
		return;
	if (args->kind == JOB_WORKER && code != NULL && strcmp(code, "exit") == 0)
		return;
	job_add_ending(&b, job);
	out_note("%s", buf_terminate(&b));
	buf_fini(&b);
}

/* When we give up: its id was never said, and the job did not go away with the daemon. */
static int say_which(int64_t id, int status)
{
	if (status == STATUS_UNREACHABLE)
		out_note("it is job %lld, which is stored: \"awaitctl wait %lld\" asks again",
			 (long long)id, (long long)id);
	return status;
}

static int finish(struct client *client, const struct job_args *args, int64_t id)
{
	struct follow body = { .client = client, .id = id, .stream = "both" };
	struct reply reply = { 0 };
	int status = client_call(client, CALL_PATIENTLY, "job.get",
				 json_pack("{s:I}", "id", (json_int_t)id), &reply);

	if (status != STATUS_OK)
		return say_which(id, status);
	if (client->is_json) {
		out_line(reply.text, reply.text_len);
	} else {
		say_why(args, reply.result);
		print_result(client, args, reply.result);
	}
	status = status_of(args, reply.result);
	if (status == STATUS_OK && args->is_body_to_stdout)
		status = output_copy(&body);
	reply_fini(&reply);
	return status;
}

static int wait_by_kind(struct client *client, const struct job_args *args, int64_t id)
{
	if (args->kind == JOB_WORKER && !client->is_json)
		return wait_with_output(client, id);
	if (args->kind == JOB_FETCH && !client->is_json && out_err_is_terminal())
		return wait_with_progress(client, id);
	return wait_plainly(client, id);
}

static int run_job(struct client *client, struct job_args *args)
{
	int64_t id = 0;
	int status = submit(client, args, &id);

	if (status != STATUS_OK)
		return status;
	status = wait_by_kind(client, args, id);
	return status == STATUS_OK ? finish(client, args, id) : say_which(id, status);
}

static const struct opt run_opts[] = {
	JOB_SOURCE_OPT("read the job document from FILE (-: standard input)"),
	{ 0 },
};

static int run_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct job_source from = { 0 };
	struct job_args args;
	int status = job_source_parse(client, verb, argc, argv, &from);

	if (status < 0 && from.file != NULL)
		status = job_args_read(verb, from.file, &args);
	else if (status < 0)
		status = job_args_parse(client, verb, from.n_args, argv, &args);
	if (status >= 0)
		return status;
	status = run_job(client, &args);
	job_args_fini(&args);
	return status;
}

const struct verb run_verb = {
	.name = "run",
	.usage = "worker [OPTIONS] [--] COMMAND [ARG...]\nfetch [OPTIONS] URL\ntimer [OPTIONS] "
		 "DURATION\n-f FILE",
	.summary = "submit a job, wait for it and pass on what it says",
	.help = "As submit, then waits for the end of the job. A worker's output comes out as it "
		"is written, and its "
		"exit status is ours: 128+N for signal N, 124 timed out, 126 could not be run, "
		"127 not found, 130 "
		"cancelled, 125 anything else. A fetch shows its progress on a terminal, then "
		"prints the file's path; "
		"with --output - it prints the content. All others print their result as JSON, if "
		"there is one. With --json the final "
		"job object is all that is printed.\n\n"
		"With -f the job document is read from a file: so are compositions (gather, "
		"sequence, race), whose parts are documents themselves.\n\n"
		"Ctrl-C (or SIGTERM) cancels the job and waits for its end; the second one leaves "
		"at once.",
	.opts = run_opts,
	.run = run_run,
};
