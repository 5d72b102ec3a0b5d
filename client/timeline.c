/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "client/clock.h"
#include "client/jobprint.h"
#include "client/out.h"
#include "client/tree.h"
#include "client/verb.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* "timeline": when each part of a composition ran, as bars. */

enum { JOBS_DEFAULT = 200, LABEL_MAX = 32, BAR_MIN = 20 };

struct timeline_args {
	int64_t limit;
};

static const struct opt timeline_opts[] = {
	{ .name = "limit",
	  .letter = 'n',
	  .type = OPT_COUNT,
	  .metavar = "N",
	  .help = "at most N jobs (default: 200)",
	  .offset = offsetof(struct timeline_args, limit) },
	{ 0 },
};

struct timeline {
	struct client *client;
	int64_t limit, n; /* jobs, remarks not counted */
	json_t *jobs;	  /* owns; whole objects, and what tree.h says of parts left out */
	int64_t from_ms, to_ms;
	size_t label_columns, bar_columns;
};

/* ---- fetching ---- */

static int add_job(struct timeline *t, int64_t id)
{
	struct reply reply = { 0 };
	int status = client_call(t->client, CALL_AGAIN, "job.get",
				 json_pack("{s:I}", "id", (json_int_t)id), &reply);

	if (status == STATUS_OK && t->client->is_json)
		out_line(reply.text, reply.text_len);
	if (status == STATUS_OK)
		json_array_append(t->jobs, reply.result);
	t->n++;
	reply_fini(&reply);
	return status;
}

/* The parts of @job, as many as are wanted still. */
static int add_parts(struct timeline *t, const json_t *job)
{
	const json_t *children = json_object_get(job, "children");
	size_t n = json_array_size(children), k = 0;
	int status = STATUS_OK;

	for (; status == STATUS_OK && k < n && t->n < t->limit; k++)
		status = add_job(t, json_integer_value(json_array_get(children, k)));
	if (k < n)
		json_array_append_new(t->jobs, json_pack("{s:I, s:I}", "more", (json_int_t)(n - k),
							 "parent", (json_int_t)job_id(job)));
	return status;
}

/* The job and all below it, a composition at a time. */
static int fetch(struct timeline *t, int64_t id)
{
	int status = add_job(t, id);

	for (size_t i = 0; status == STATUS_OK && i < json_array_size(t->jobs); i++) {
		json_t *job = json_incref(json_array_get(t->jobs, i));

		status = add_parts(t, job);
		json_decref(job);
	}
	return status;
}

/* ---- times ---- */

static bool read_ms(const json_t *object, const char *key, int64_t *ret)
{
	const char *text = job_string(object, key), *why;

	return text != NULL && time_parse(text, ret, &why) == 0;
}

/* From the first submission to the last end, or now. */
static void find_span(struct timeline *t)
{
	int64_t now = wall_now_ms(), ms;
	json_t *job;
	size_t i;

	t->from_ms = INT64_MAX;
	t->to_ms = 0;
	json_array_foreach(t->jobs, i, job) {
		if (read_ms(job, "submitted_at", &ms) && ms < t->from_ms)
			t->from_ms = ms;
		if (!read_ms(job, "ended_at", &ms))
			ms = job_id(job) != 0 ? now : 0;
		if (ms > t->to_ms)
			t->to_ms = ms;
	}
	if (t->to_ms <= t->from_ms)
		t->to_ms = t->from_ms + 1;
}

static size_t column_of(const struct timeline *t, int64_t ms)
{
	int64_t span = t->to_ms - t->from_ms, at = ms - t->from_ms;

	at = at < 0 ? 0 : at > span ? span : at;
	return (size_t)((double)at * (double)t->bar_columns / (double)span);
}

/* ---- bars ---- */

enum mark { MARK_NONE, MARK_WAITS, MARK_RUNS, MARK_GOOD, MARK_BAD, N_MARKS };

static const struct {
	const char *utf8, *ascii;
	enum out_color color;
} marks[N_MARKS] = {
	[MARK_NONE] = { " ", " ", OUT_PLAIN }, [MARK_WAITS] = { "·", ".", OUT_DIM },
	[MARK_RUNS] = { "▒", "=", OUT_BLUE },  [MARK_GOOD] = { "█", "#", OUT_GREEN },
	[MARK_BAD] = { "▓", "x", OUT_RED },
};

static void set_marks(const struct timeline *t, unsigned char *bar, int64_t from_ms, int64_t to_ms,
		      enum mark mark)
{
	size_t from = column_of(t, from_ms), to = column_of(t, to_ms);

	/* What is too short to see is seen all the same. */
	if (to <= from)
		to = from + 1;
	if (to > t->bar_columns)
		to = t->bar_columns;
	if (from >= to)
		from = to - 1;
	memset(bar + from, mark, to - from);
}

static enum mark mark_of(const json_t *attempt)
{
	if (job_string(attempt, "outcome") == NULL)
		return MARK_RUNS;
	return job_has_succeeded(attempt) ? MARK_GOOD : MARK_BAD;
}

static void add_bar(struct buf *b, const struct timeline *t, const json_t *job)
{
	unsigned char *bar = xcalloc(t->bar_columns + 1, 1);
	bool is_utf8 = out_is_utf8(), has_color = out_has_color();
	int64_t from, to, now = wall_now_ms();
	json_t *attempt;
	size_t i;

	if (!read_ms(job, "ended_at", &to))
		to = now;
	if (read_ms(job, "submitted_at", &from))
		set_marks(t, bar, from, to, MARK_WAITS);
	json_array_foreach(json_object_get(job, "attempts"), i, attempt) {
		if (!read_ms(attempt, "ended_at", &to))
			to = now;
		if (read_ms(attempt, "started_at", &from))
			set_marks(t, bar, from, to, mark_of(attempt));
	}
	for (i = 0; i < t->bar_columns; i++) {
		bool begins = i == 0 || bar[i] != bar[i - 1];

		if (has_color && begins)
			buf_addf(b, "%s%s", i > 0 ? "\033[0m" : "", out_color(marks[bar[i]].color));
		buf_adds(b, is_utf8 ? marks[bar[i]].utf8 : marks[bar[i]].ascii);
	}
	if (has_color)
		buf_adds(b, "\033[0m");
	free(bar);
}

/* ---- lines ---- */

static void add_label(struct buf *b, const struct tree_row *row)
{
	buf_adds(b, row->branch);
	if (row->job == NULL) {
		buf_addf(b, "%lld more", (long long)row->n_more);
		return;
	}
	buf_addf(b, "%lld %s", (long long)job_id(row->job), job_string(row->job, "kind"));
	if (job_string(row->job, "name") != NULL) {
		buf_addc(b, ' ');
		out_escape(b, job_string(row->job, "name"));
	}
}

/* "0.3s succeeded", "0.1s + 0.1s failed (exit 3)" would be too long: all attempts together. */
static void add_ending(struct buf *b, const json_t *job)
{
	int64_t from, to, sum_ms = 0;
	json_t *attempt;
	size_t i;

	json_array_foreach(json_object_get(job, "attempts"), i, attempt) {
		if (!read_ms(attempt, "ended_at", &to))
			to = wall_now_ms();
		if (read_ms(attempt, "started_at", &from) && to > from)
			sum_ms += to - from;
	}
	span_add(b, sum_ms * 1000);
	buf_addc(b, ' ');
	job_add_state(b, job);
	if (json_array_size(json_object_get(job, "attempts")) > 1)
		buf_addf(b, ", %zu attempts", json_array_size(json_object_get(job, "attempts")));
}

static void add_padded(struct buf *b, char *text, size_t columns)
{
	out_cut(text, columns);
	buf_addf(b, "%s%*s", text, (int)(columns - out_columns(text)), "");
}

static void print_row(const struct timeline *t, const struct tree_row *row)
{
	struct buf label = { 0 }, line = { 0 };

	add_label(&label, row);
	add_padded(&line, buf_terminate(&label), t->label_columns);
	buf_addc(&line, ' ');
	if (row->job != NULL) {
		add_bar(&line, t, row->job);
		buf_addc(&line, ' ');
		add_ending(&line, row->job);
	}
	out_line(line.data, line.len);
	buf_fini(&label);
	buf_fini(&line);
}

/* The scale: its ends. */
static void print_scale(const struct timeline *t)
{
	struct buf from = { 0 }, span = { 0 }, line = { 0 };
	char text[TIME_TEXT_BYTES];
	size_t room;

	time_format(t->from_ms, text);
	buf_addf(&from, "%s", text);
	buf_adds(&span, "+");
	span_add(&span, (t->to_ms - t->from_ms) * 1000);
	buf_terminate(&from);
	buf_terminate(&span);
	room = t->bar_columns > span.len ? t->bar_columns - span.len : 0;
	buf_addf(&line, "%*s %-*s%s", (int)t->label_columns, "", (int)room, from.data, span.data);
	out_line(line.data, line.len);
	buf_fini(&from);
	buf_fini(&span);
	buf_fini(&line);
}

static void measure(struct timeline *t, const struct tree *tree)
{
	size_t width = out_width(STDOUT_FILENO), label = 8, ending = 0;

	for (size_t i = 0; i < tree->n; i++) {
		struct buf b = { 0 };
		size_t n;

		add_label(&b, &tree->rows[i]);
		n = out_columns(buf_terminate(&b));
		label = n > label ? n : label;
		b.len = 0;
		if (tree->rows[i].job != NULL)
			add_ending(&b, tree->rows[i].job);
		n = out_columns(buf_terminate(&b));
		ending = n > ending ? n : ending;
		buf_fini(&b);
	}
	t->label_columns = label < LABEL_MAX ? label : LABEL_MAX;
	width = width > t->label_columns + ending + 3 ? width - t->label_columns - ending - 3 : 0;
	t->bar_columns = width > BAR_MIN ? width : BAR_MIN;
}

static void print(struct timeline *t)
{
	struct tree tree;

	tree_init(&tree, t->jobs, false);
	find_span(t);
	measure(t, &tree);
	print_scale(t);
	for (size_t i = 0; i < tree.n; i++)
		print_row(t, &tree.rows[i]);
	tree_fini(&tree);
}

static int timeline(struct client *client, const struct timeline_args *args, int64_t id)
{
	struct timeline t = { .client = client, .limit = args->limit, .jobs = json_array() };
	int status = fetch(&t, id);

	if (status == STATUS_OK && !client->is_json)
		print(&t);
	json_decref(t.jobs);
	return status;
}

static int timeline_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct timeline_args args = { .limit = JOBS_DEFAULT };
	struct aw_err err = { 0 };
	int64_t id;
	int n_args;
	int status = verb_options(client, verb, &args, 1, 1, argc, argv, &n_args);

	if (status >= 0)
		return status;
	status = opts_id(argv[0], &id, &err) < 0 ? verb_usage_error(verb, NULL, &err)
						 : timeline(client, &args, id);
	aw_err_fini(&err);
	return status;
}

const struct verb timeline_verb = {
	.name = "timeline",
	.usage = "[--limit N] ID",
	.summary = "show when the parts of a composition ran, as bars",
	.help = "Draws a line for the job and for each of its parts: dots while it waited, a bar "
		"for each attempt, and how it ended. With --json the job objects, one per line.",
	.opts = timeline_opts,
	.run = timeline_run,
};
