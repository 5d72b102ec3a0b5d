/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "client/clock.h"
#include "client/jobprint.h"
#include "client/out.h"
#include "client/verb.h"
#include "proto/limits.h"

struct wait_args {
	bool is_any;
	int64_t timeout_us;
};

static const struct opt wait_opts[] = {
	{ .name = "any",
	  .type = OPT_FLAG,
	  .help = "wait for the first one to end, not for all",
	  .offset = offsetof(struct wait_args, is_any) },
	{ .name = "timeout",
	  .type = OPT_DURATION,
	  .metavar = "DURATION",
	  .help = "give up after so long, with status 124 (0: look and do not wait)",
	  .offset = offsetof(struct wait_args, timeout_us) },
	{ 0 },
};

struct waiting {
	struct client *client;
	bool is_any;
	int64_t until_us; /* of mono_now_us(); -1 = for ever */
};

static json_t *params_of(const struct waiting *w, const json_t *ids)
{
	json_t *params = json_object();
	int64_t left_us;

	json_object_set(params, "ids", (json_t *)ids);
	json_object_set_new(params, "mode", json_string(w->is_any ? "any" : "all"));
	if (w->until_us >= 0) {
		left_us = w->until_us - mono_now_us();
		json_object_set_new(params, "timeout",
				    json_real(left_us > 0 ? (double)left_us / 1e6 : 0));
	}
	return params;
}

/*
 * One job.wait, over a restart of the daemon too.  What is left of the timeout
 * is worked out for each try.
 */
static int ask(const struct waiting *w, const json_t *ids, struct reply *ret)
{
	int64_t until_us = 0;
	int status = w->client->conn.is_open ? STATUS_OK : client_connect(w->client);

	while (status == STATUS_OK) {
		json_t *params = params_of(w, ids);
		int r = client_ask(w->client, "job.wait", params, ret);

		json_decref(params);
		if (r == 0 && ret->error == NULL)
			return STATUS_OK;
		if (r == 0 && !client_is_stopping(ret))
			status = out_refused(ret->error, NULL);
		else
			status = client_reconnect(w->client, r, &until_us);
		reply_fini(ret);
	}
	return status;
}

/* Of those that are done, the one that ended first; times of one form sort as text. */
static const json_t *first_ended(const json_t *jobs)
{
	const json_t *first = NULL;
	json_t *job;
	size_t i;

	json_array_foreach(jobs, i, job) {
		const char *ended = job_string(job, "ended_at");

		if (job_is_done(job) && ended != NULL &&
		    (first == NULL || strcmp(ended, job_string(first, "ended_at")) < 0))
			first = job;
	}
	return first;
}

static void print_ended(const json_t *jobs)
{
	struct buf b = { 0 };
	json_t *job;
	size_t i;

	json_array_foreach(jobs, i, job) {
		if (!job_is_done(job))
			continue;
		buf_addf(&b, "%lld ", (long long)job_id(job));
		out_escape(&b, job_string(job, "outcome"));
		buf_addc(&b, '\n');
	}
	out_buf(&b);
	buf_fini(&b);
}

static int judge(const struct waiting *w, const json_t *result)
{
	const json_t *jobs = json_object_get(result, "jobs");
	const json_t *first;
	json_t *job;
	size_t i;

	if (json_is_true(json_object_get(result, "timed_out"))) {
		out_note("wait: the time ran out");
		return STATUS_TIMED_OUT;
	}
	if (w->is_any) {
		first = first_ended(jobs);
		return first != NULL && job_has_succeeded(first) ? STATUS_OK : STATUS_UNSUCCESSFUL;
	}
	json_array_foreach(jobs, i, job) {
		if (!job_has_succeeded(job))
			return STATUS_UNSUCCESSFUL;
	}
	return STATUS_OK;
}

static int wait_some(const struct waiting *w, const json_t *ids)
{
	struct reply reply = { 0 };
	int status = ask(w, ids, &reply);

	if (status != STATUS_OK)
		return status;
	if (w->client->is_json)
		out_line(reply.text, reply.text_len);
	else
		print_ended(json_object_get(reply.result, "jobs"));
	status = judge(w, reply.result);
	reply_fini(&reply);
	return status;
}

/* More ids than a call takes: one call after the other, which for "all" is the same. */
static int wait_all(const struct waiting *w, const json_t *ids)
{
	size_t n = json_array_size(ids);
	int status = STATUS_OK;

	for (size_t at = 0; at < n; at += PROTO_IDS_MAX) {
		json_t *some = json_array();
		int r;

		for (size_t i = at; i < n && i < at + PROTO_IDS_MAX; i++)
			json_array_append(some, json_array_get(ids, i));
		r = wait_some(w, some);
		json_decref(some);
		status = r > status ? r : status;
		if (r != STATUS_OK && r != STATUS_UNSUCCESSFUL)
			return r;
	}
	return status;
}

static int wait_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct wait_args args = { .timeout_us = -1 };
	struct aw_err err = { 0 };
	struct waiting w;
	json_t *ids;
	int n_args;
	int status = verb_options(client, verb, &args, 1, -1, argc, argv, &n_args);

	if (status >= 0)
		return status;
	ids = opts_ids(n_args, argv, &err);
	if (ids != NULL && args.is_any && json_array_size(ids) > PROTO_IDS_MAX)
		aw_fail(&err, AW_PARAMS, "--any takes at most %d ids", PROTO_IDS_MAX);
	w = (struct waiting){ .client = client,
			      .is_any = args.is_any,
			      .until_us =
				      args.timeout_us < 0 ? -1 : mono_now_us() + args.timeout_us };
	client->give_up_us = w.until_us > 0 ? w.until_us : 0;
	status = err.code != AW_OK ? verb_usage_error(verb, NULL, &err) : wait_all(&w, ids);
	json_decref(ids);
	aw_err_fini(&err);
	return status;
}

const struct verb wait_verb = {
	.name = "wait",
	.usage = "[--any] [--timeout DURATION] ID...",
	.summary = "wait until jobs have ended",
	.help = "Waits until all of the jobs have ended (with --any: one of them) and prints a "
		"line with id and outcome "
		"for each that has. The status is 0 if all succeeded (with --any: the first one "
		"did), else 1; 124 if "
		"the time ran out.",
	.opts = wait_opts,
	.run = wait_run,
};
