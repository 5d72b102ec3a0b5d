/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/feed.h"
#include "client/jobprint.h"
#include "client/out.h"
#include "proto/limits.h"
#include "proto/units.h"

struct watch_args {
	int64_t since;
	json_t *kinds; /* owns */
	bool has_progress;
};

static const struct opt watch_opts[] = {
	{ .name = "since",
	  .type = OPT_COUNT,
	  .metavar = "N",
	  .help = "begin behind event number N (0: with all that is known; default: from now)",
	  .offset = offsetof(struct watch_args, since) },
	{ .name = "kind",
	  .type = OPT_WORDS,
	  .metavar = "KIND",
	  .help = "timer, fetch, worker, gather, sequence or race",
	  .offset = offsetof(struct watch_args, kinds) },
	{ .name = "progress",
	  .type = OPT_FLAG,
	  .help = "how far running jobs are, too",
	  .offset = offsetof(struct watch_args, has_progress) },
	{ 0 },
};

struct watching {
	const struct watch_args *args;
	bool is_json, is_terminal;
	json_t *open; /* owns; the ids that have not ended yet, as keys; NULL = watch for ever */
	bool is_left_out; /* look again which of them have ended */
};

/* ---- one line ---- */

/* "10:00:00.123", of the local zone. */
static void add_clock(struct buf *b, const char *text)
{
	char clock[16];
	const char *why;
	time_t seconds;
	struct tm tm;
	int64_t ms;

	if (text == NULL || time_parse(text, &ms, &why) < 0) {
		buf_adds(b, "            ");
		return;
	}
	seconds = (time_t)(ms / 1000);
	localtime_r(&seconds, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	buf_addf(b, "%s.%03d", clock, (int)(ms % 1000));
}

/* What has happened; an end tells how, a wait why. */
static void add_happening(struct buf *b, const json_t *event)
{
	const json_t *job = json_object_get(event, "job");
	const char *type = job_string(event, "type"), *state = job_string(job, "state");

	if (type != NULL && state != NULL && strcmp(type, state) == 0 &&
	    (strcmp(type, "done") == 0 || strcmp(type, "waiting") == 0)) {
		job_add_state(b, job);
		return;
	}
	out_escape(b, type);
	if (type != NULL && strcmp(type, "running") == 0 &&
	    json_integer_value(json_object_get(event, "attempt")) > 1)
		buf_addf(b, " (attempt %lld)",
			 (long long)json_integer_value(json_object_get(event, "attempt")));
}

static void add_progress(struct buf *b, const json_t *job)
{
	const json_t *progress = json_object_get(job, "progress");
	double done = json_number_value(json_object_get(progress, "done"));
	double total = json_number_value(json_object_get(progress, "total"));

	if (total > 0)
		buf_addf(b, "%d%% ", (int)(100 * done / total));
	size_format((int64_t)done, b);
}

static void add_details(struct buf *b, const json_t *event)
{
	const json_t *job = json_object_get(event, "job");
	const char *type = job_string(event, "type");

	if (type != NULL && strcmp(type, "progress") == 0)
		add_progress(b, job);
	else
		job_add_summary(b, job);
}

static enum out_color color_of(const json_t *event)
{
	const char *type = job_string(event, "type");

	if (type == NULL || strcmp(type, "submitted") == 0 || strcmp(type, "waiting") == 0)
		return OUT_PLAIN;
	if (strcmp(type, "running") == 0)
		return OUT_BLUE;
	if (strcmp(type, "stopping") == 0)
		return OUT_YELLOW;
	return strcmp(type, "done") == 0 ? job_color(json_object_get(event, "job")) : OUT_DIM;
}

static void print_for_terminal(const json_t *event)
{
	enum { HAPPENING_COLUMNS = 22 };
	const json_t *job = json_object_get(event, "job");
	enum out_color color = out_has_color() ? color_of(event) : OUT_PLAIN;
	struct buf what = { 0 }, rest = { 0 }, line = { 0 };
	size_t width = out_width(STDOUT_FILENO), columns;

	add_happening(&what, event);
	columns = out_columns(buf_terminate(&what));
	add_clock(&line, job_string(event, "time"));
	buf_addf(&line, " %6lld %s%s%s%*s", (long long)job_id(job), out_color(color), what.data,
		 color != OUT_PLAIN ? "\033[0m" : "",
		 columns < HAPPENING_COLUMNS ? (int)(HAPPENING_COLUMNS - columns) : 1, "");
	buf_addf(&rest, "%-8s ", job_string(job, "kind"));
	if (job_string(job, "name") != NULL) {
		out_escape(&rest, job_string(job, "name"));
		buf_adds(&rest, "  ");
	}
	add_details(&rest, event);
	columns = 20 + (columns < HAPPENING_COLUMNS ? HAPPENING_COLUMNS : columns + 1);
	out_cut(buf_terminate(&rest), width > columns + 8 ? width - columns : 8);
	buf_adds(&line, rest.data);
	out_line(line.data, line.len);
	buf_fini(&what);
	buf_fini(&rest);
	buf_fini(&line);
}

/* One tab between the fields, nothing cut: number, time, id, what happened, kind, name, summary. */
static void print_for_program(const json_t *event)
{
	const json_t *job = json_object_get(event, "job");
	struct buf b = { 0 };

	buf_addf(&b, "%lld\t", (long long)json_integer_value(json_object_get(event, "seq")));
	out_escape(&b, job_string(event, "time"));
	buf_addf(&b, "\t%lld\t", (long long)job_id(job));
	add_happening(&b, event);
	buf_addc(&b, '\t');
	out_escape(&b, job_string(job, "kind"));
	buf_addc(&b, '\t');
	out_escape(&b, job_string(job, "name"));
	buf_addc(&b, '\t');
	add_details(&b, event);
	out_line(b.data, b.len);
	buf_fini(&b);
}

static void print(const struct watching *w, const json_t *event)
{
	const char *type = job_string(event, "type");

	if (w->is_json)
		out_json(event);
	else if (!json_is_object(json_object_get(event, "job")))
		out_note("events are left out here: they are gone, or came faster than they were "
			 "read");
	else if (type != NULL && strcmp(type, "progress") == 0 && !w->args->has_progress)
		return;
	else if (w->is_terminal)
		print_for_terminal(event);
	else
		print_for_program(event);
	out_flush();
}

/* ---- until all have ended ---- */

/* False when there is nothing more to wait for. */
static bool mark_ended(struct watching *w, const json_t *job)
{
	char key[32];

	if (w->open == NULL || !job_is_done(job))
		return true;
	snprintf(key, sizeof(key), "%lld", (long long)job_id(job));
	json_object_del(w->open, key);
	return json_object_size(w->open) > 0;
}

static bool on_event(struct feed *f, const json_t *event)
{
	struct watching *w = f->arg;
	const json_t *job = json_object_get(event, "job");

	print(w, event);
	if (!json_is_object(job)) {
		w->is_left_out = w->open != NULL;
		return !w->is_left_out;
	}
	return mark_ended(w, job);
}

/* Which of the jobs have ended?  Also finds out that there is no such job. */
static int look(struct feed *f, bool *ret_all)
{
	struct watching *w = f->arg;
	json_t *params = json_pack("{s:O, s:i}", "ids", f->jobs, "timeout", 0);
	struct reply reply = { 0 };
	int status = client_call(f->client, CALL_PATIENTLY, "job.wait", params, &reply);
	json_t *job;
	size_t i;

	*ret_all = false;
	if (status == STATUS_OK) {
		json_array_foreach(json_object_get(reply.result, "jobs"), i, job)
			*ret_all |= !mark_ended(w, job);
	}
	reply_fini(&reply);
	return status;
}

static int watch_until_ended(struct feed *f)
{
	struct watching *w = f->arg;
	bool is_all = false;
	int status = look(f, &is_all);

	while (status == STATUS_OK && !is_all) {
		w->is_left_out = false;
		f->is_over = false;
		status = feed_run(f, -1);
		if (!w->is_left_out)
			break;
		if (status == STATUS_OK)
			status = look(f, &is_all);
	}
	return status;
}

static json_t *as_keys(const json_t *ids)
{
	json_t *keys = json_object(), *id;
	char key[32];
	size_t i;

	json_array_foreach(ids, i, id) {
		snprintf(key, sizeof(key), "%lld", (long long)json_integer_value(id));
		json_object_set_new(keys, key, json_true());
	}
	return keys;
}

static int watch(struct client *client, const struct watch_args *args, const json_t *ids)
{
	bool is_ending = json_array_size(ids) > 0 && args->since < 0;
	struct watching w = {
		.args = args,
		.is_json = client->is_json,
		.is_terminal = out_is_terminal(),
		.open = is_ending ? as_keys(ids) : NULL,
	};
	struct feed f = {
		.client = client,
		.jobs = json_array_size(ids) > 0 ? ids : NULL,
		.kinds = args->kinds,
		.since = args->since,
		.on_event = on_event,
		.arg = &w,
	};
	int status = feed_open(&f);

	if (status == STATUS_OK)
		status = is_ending ? watch_until_ended(&f) : feed_run(&f, -1);
	json_decref(w.open);
	return status;
}

static int watch_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct watch_args args = { .since = FEED_FROM_NOW };
	struct aw_err err = { 0 };
	json_t *ids = NULL;
	int n_args;
	int status = verb_options(client, verb, &args, 0, PROTO_IDS_MAX, argc, argv, &n_args);

	if (status < 0) {
		ids = n_args > 0 ? opts_ids(n_args, argv, &err) : json_array();
		status = ids != NULL ? watch(client, &args, ids)
				     : verb_usage_error(verb, NULL, &err);
	}
	json_decref(ids);
	json_decref(args.kinds);
	aw_err_fini(&err);
	return status;
}

const struct verb watch_verb = {
	.name = "watch",
	.usage = "[OPTIONS] [ID...]",
	.summary = "show what happens to jobs, as it happens",
	.help = "Prints a line for each thing that happens to a job: submitted, running, "
		"stopping, waiting again, changed, and how it ended. With ids only for these "
		"jobs and their parts, and without --since until all of them have ended; else "
		"until it is interrupted. With --since what has happened before comes first; "
		"every event has a number, so that a program can go on where it was.\n\n"
		"Where standard output is no terminal, the fields are number, time, id, what "
		"happened, kind, name and summary, with a tab between them. With --json each "
		"event is printed as the protocol has it, one per line.",
	.opts = watch_opts,
	.run = watch_run,
};
