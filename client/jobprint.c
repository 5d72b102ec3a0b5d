/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/jobprint.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/clock.h"
#include "proto/units.h"

enum { COL_ID, COL_KIND, COL_NAME, COL_STATE, COL_WHEN, COL_SUMMARY, N_COLS };

enum { LABEL_WIDTH = 16, CHILDREN_SHOWN = 20 };

#define SECOND INT64_C(1000000)

/* ---- facts ---- */

const char *job_string(const json_t *job, const char *key)
{
	return json_string_value(json_object_get(job, key));
}

int64_t job_id(const json_t *job)
{
	return json_integer_value(json_object_get(job, "id"));
}

bool job_is_done(const json_t *job)
{
	const char *state = job_string(job, "state");

	return state != NULL && strcmp(state, "done") == 0;
}

bool job_has_succeeded(const json_t *job)
{
	const char *outcome = job_string(job, "outcome");

	return outcome != NULL && strcmp(outcome, "succeeded") == 0;
}

/* ---- times ---- */

void span_add(struct buf *b, int64_t us)
{
	static const struct {
		int64_t from_us, unit_us;
	} steps[] = {
		{ 48 * 3600 * SECOND, 3600 * SECOND },
		{ 3600 * SECOND, 60 * SECOND },
		{ 10 * SECOND, SECOND },
		{ SECOND, SECOND / 10 },
		{ 0, 1000 },
	};
	size_t i = 0;

	while (us < steps[i].from_us && i + 1 < sizeof(steps) / sizeof(*steps))
		i++;
	duration_format(us - us % steps[i].unit_us, b);
}

static int read_time(const char *text, int64_t *ret_ms)
{
	const char *why;

	return text == NULL ? -1 : time_parse(text, ret_ms, &why);
}

/* The one or two digits that matter: "3.2s", "11min", "5h". */
static void coarse_span_add(struct buf *b, int64_t us)
{
	static const int64_t units_us[] = { 86400 * SECOND, 3600 * SECOND, 60 * SECOND };

	for (size_t i = 0; i < sizeof(units_us) / sizeof(*units_us); i++) {
		if (us >= 2 * units_us[i])
			us -= us % units_us[i];
	}
	span_add(b, us);
}

static void add_relative(struct buf *b, int64_t ms)
{
	int64_t ago_us = (wall_now_ms() - ms) * 1000;

	if (ago_us < 0)
		buf_adds(b, "in ");
	coarse_span_add(b, ago_us < 0 ? -ago_us : ago_us);
	if (ago_us >= 0)
		buf_adds(b, " ago");
}

void time_add(struct buf *b, const char *text)
{
	char local[64];
	time_t seconds;
	struct tm tm;
	int64_t ms;

	if (read_time(text, &ms) < 0) {
		out_escape(b, text);
		return;
	}
	seconds = (time_t)(ms / 1000);
	localtime_r(&seconds, &tm);
	strftime(local, sizeof(local), "%Y-%m-%d %H:%M:%S %Z", &tm);
	buf_addf(b, "%s (", local);
	add_relative(b, ms);
	buf_addc(b, ')');
}

/* Between two times of the job, or until now. */
static bool add_between(struct buf *b, const char *from, const char *to)
{
	int64_t from_ms, to_ms;

	if (read_time(from, &from_ms) < 0)
		return false;
	if (read_time(to, &to_ms) < 0)
		to_ms = wall_now_ms();
	span_add(b, (to_ms > from_ms ? to_ms - from_ms : 0) * 1000);
	return true;
}

/* ---- one-line descriptions ---- */

/* The error's code with its number or name: "exit 3", "http 404", "signal SIGKILL". */
static void add_error_code(struct buf *b, const json_t *error)
{
	static const char *const facts[] = { "exit", "signal", "status", "errno" };
	const char *code = job_string(error, "code");

	out_escape(b, code);
	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++) {
		const json_t *fact = json_object_get(error, facts[i]);

		if (json_is_integer(fact)) {
			buf_addf(b, " %lld", (long long)json_integer_value(fact));
		} else if (json_is_string(fact)) {
			buf_addc(b, ' ');
			out_escape(b, json_string_value(fact));
		}
	}
}

void job_add_state(struct buf *b, const json_t *job)
{
	const char *outcome = job_string(job, "outcome");
	const char *reason = job_string(job, "reason");
	const json_t *error = json_object_get(job, "error");

	out_escape(b, outcome != NULL ? outcome : job_string(job, "state"));
	if (reason != NULL) {
		buf_adds(b, " (");
		out_escape(b, reason);
		buf_addc(b, ')');
	} else if (outcome != NULL && strcmp(outcome, "failed") == 0 && json_is_object(error)) {
		buf_adds(b, " (");
		add_error_code(b, error);
		buf_addc(b, ')');
	}
}

static void add_argv(struct buf *b, const json_t *argv)
{
	json_t *arg;
	size_t i;

	json_array_foreach(argv, i, arg) {
		const char *text = json_string_value(arg);
		bool is_plain =
			text != NULL && *text != '\0' && strpbrk(text, " \t\n'\"\\$`") == NULL;

		buf_adds(b, i > 0 ? " " : "");
		if (is_plain) {
			out_escape(b, text);
		} else {
			buf_addc(b, '"');
			out_escape(b, text);
			buf_addc(b, '"');
		}
	}
}

static void add_duration(struct buf *b, const json_t *value)
{
	const char *why;
	int64_t us;

	if (duration_from_json(value, &us, &why) == 0)
		duration_format(us, b);
}

void job_add_summary(struct buf *b, const json_t *job)
{
	const json_t *spec = json_object_get(job, "spec");

	if (json_object_get(spec, "argv") != NULL)
		add_argv(b, json_object_get(spec, "argv"));
	else if (json_object_get(spec, "url") != NULL)
		out_escape(b, job_string(spec, "url"));
	else if (json_object_get(spec, "sleep") != NULL)
		add_duration(b, json_object_get(spec, "sleep"));
	else if (json_array_size(json_object_get(job, "children")) > 0)
		buf_addf(b, "%zu parts", json_array_size(json_object_get(job, "children")));
}

void job_add_ending(struct buf *b, const json_t *job)
{
	const json_t *error = json_object_get(job, "error");
	const char *message = job_string(error, "message");

	buf_addf(b, "job %lld ", (long long)job_id(job));
	out_escape(b, job_string(job, job_is_done(job) ? "outcome" : "state"));
	if (message != NULL) {
		buf_adds(b, ": ");
		out_escape(b, message);
	}
}

enum out_color job_color(const json_t *job)
{
	const char *state = job_string(job, "state");

	if (job_has_succeeded(job))
		return OUT_GREEN;
	if (job_is_done(job))
		return OUT_RED;
	if (state != NULL && strcmp(state, "running") == 0)
		return OUT_BLUE;
	return state != NULL && strcmp(state, "stopping") == 0 ? OUT_YELLOW : OUT_PLAIN;
}

/* ---- list ---- */

static const struct column columns[N_COLS] = {
	[COL_ID] = { .name = "ID", .is_right = true },
	[COL_KIND] = { .name = "KIND" },
	[COL_NAME] = { .name = "NAME", .may_cut = true },
	[COL_STATE] = { .name = "STATE" },
	[COL_WHEN] = { .name = "WHEN" },
	[COL_SUMMARY] = { .name = "SUMMARY", .may_cut = true },
};

struct table *jobs_table_new(void)
{
	return table_new(columns, N_COLS);
}

/* What a person asks next: how long ago it ended, for how long it runs, when it starts. */
static void add_when(struct buf *b, const json_t *job)
{
	const char *state = job_string(job, "state");
	const char *due = job_string(job, "due_at");
	int64_t ms;

	if (state == NULL)
		return;
	if (strcmp(state, "done") == 0) {
		if (read_time(job_string(job, "ended_at"), &ms) == 0)
			add_relative(b, ms);
	} else if (strcmp(state, "waiting") == 0) {
		if (read_time(due, &ms) == 0 && ms > wall_now_ms())
			add_relative(b, ms);
		else if (read_time(job_string(job, "submitted_at"), &ms) == 0)
			add_relative(b, ms);
	} else {
		buf_adds(b, "for ");
		add_between(b, job_string(job, "started_at"), NULL);
	}
}

/* The text was escaped as it was made; the table's own escaping leaves that as it is. */
static void set_made(struct table *t, size_t column, enum out_color color, struct buf *b)
{
	table_set(t, column, color, buf_terminate(b));
	b->len = 0;
}

void jobs_table_add_more(struct table *t, int64_t n_more, int64_t parent, const char *branch)
{
	table_add_row(t);
	table_setf(t, COL_KIND, OUT_DIM, "%s%lld more", branch, (long long)n_more);
	table_setf(t, COL_SUMMARY, OUT_DIM, "awaitctl list --parent %lld", (long long)parent);
}

void jobs_table_add(struct table *t, const json_t *job, const char *branch)
{
	struct buf b = { 0 };

	table_add_row(t);
	table_setf(t, COL_ID, OUT_PLAIN, "%lld", (long long)job_id(job));
	table_setf(t, COL_KIND, OUT_PLAIN, "%s%s", branch, job_string(job, "kind"));
	table_set(t, COL_NAME, OUT_PLAIN, job_string(job, "name"));
	job_add_state(&b, job);
	set_made(t, COL_STATE, job_color(job), &b);
	add_when(&b, job);
	set_made(t, COL_WHEN, OUT_PLAIN, &b);
	job_add_summary(&b, job);
	set_made(t, COL_SUMMARY, OUT_DIM, &b);
	buf_fini(&b);
}

/* ---- show ---- */

static void add_label(struct buf *b, const char *label)
{
	size_t width = strlen(label) + 1;

	buf_addf(b, "%s:%*s", label, width < LABEL_WIDTH ? (int)(LABEL_WIDTH - width) : 1, "");
}

static void add_text_fact(struct buf *b, const char *label, const char *text)
{
	if (text == NULL)
		return;
	add_label(b, label);
	out_escape(b, text);
	buf_addc(b, '\n');
}

static void add_time_fact(struct buf *b, const char *label, const char *text)
{
	if (text == NULL)
		return;
	add_label(b, label);
	time_add(b, text);
	buf_addc(b, '\n');
}

/* A JSON value, on one line and harmless. */
static void add_json_fact(struct buf *b, const char *label, const json_t *value)
{
	struct buf text = { 0 };

	if (value == NULL || json_is_null(value) ||
	    (json_is_array(value) && json_array_size(value) == 0))
		return;
	if (json_is_string(value)) {
		add_text_fact(b, label, json_string_value(value));
		return;
	}
	buf_add_json(&text, value);
	add_text_fact(b, label, buf_terminate(&text));
	buf_fini(&text);
}

static void add_members(struct buf *b, const char *heading, const json_t *object)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object)) {
		add_json_fact(b, heading, object);
		return;
	}
	buf_addf(b, "%s:\n", heading);
	json_object_foreach((json_t *)object, key, value) {
		struct buf label = { 0 };

		buf_adds(&label, "  ");
		out_escape(&label, key);
		add_json_fact(b, buf_terminate(&label), value);
		buf_fini(&label);
	}
}

static void add_owner(struct buf *b, const json_t *owner)
{
	add_label(b, "owner");
	if (job_string(owner, "user") != NULL)
		out_escape(b, job_string(owner, "user"));
	else
		buf_addf(b, "uid %lld",
			 (long long)json_integer_value(json_object_get(owner, "uid")));
	buf_addc(b, '\n');
}

static void add_heading(struct buf *b, const json_t *job)
{
	bool has_color = out_has_color();

	buf_addf(b, "%sjob %lld%s  ", has_color ? out_color(OUT_BOLD) : "", (long long)job_id(job),
		 has_color ? "\033[0m" : "");
	if (has_color)
		buf_adds(b, out_color(job_color(job)));
	job_add_state(b, job);
	if (has_color)
		buf_adds(b, "\033[0m");
	buf_addc(b, '\n');
}

static void add_times(struct buf *b, const json_t *job)
{
	const char *due = job_string(job, "due_at");
	const char *submitted = job_string(job, "submitted_at");

	add_time_fact(b, "submitted", submitted);
	if (due != NULL && (submitted == NULL || strcmp(due, submitted) != 0))
		add_time_fact(b, "due", due);
	add_time_fact(b, "started", job_string(job, "started_at"));
	add_time_fact(b, "ended", job_string(job, "ended_at"));
	if (job_string(job, "started_at") != NULL) {
		add_label(b, job_is_done(job) ? "took" : "runs for");
		add_between(b, job_string(job, "started_at"), job_string(job, "ended_at"));
		buf_addc(b, '\n');
	}
}

/* ", 12ms of processor time" of a program that ran. */
static void add_usage(struct buf *b, const json_t *result)
{
	double seconds = json_number_value(json_object_get(result, "user_time")) +
			 json_number_value(json_object_get(result, "system_time"));

	if (json_object_get(result, "user_time") == NULL)
		return;
	buf_adds(b, ", ");
	span_add(b, (int64_t)(seconds * 1e6));
	buf_adds(b, " of processor time");
}

/* Each attempt and what became of it; a single one is what the job's own facts say. */
static void add_attempts(struct buf *b, const json_t *job)
{
	const json_t *attempts = json_object_get(job, "attempts");
	json_t *attempt;
	size_t i;

	if (json_array_size(attempts) < 2)
		return;
	buf_adds(b, "attempts:\n");
	json_array_foreach(attempts, i, attempt) {
		const char *started = job_string(attempt, "started_at");
		char label[32];

		snprintf(label, sizeof(label), "  %lld",
			 (long long)json_integer_value(json_object_get(attempt, "attempt")));
		add_label(b, label);
		if (job_string(attempt, "outcome") != NULL)
			job_add_state(b, attempt);
		else
			buf_adds(b, "running");
		buf_adds(b, ", started ");
		time_add(b, started);
		buf_adds(b, ", ");
		add_between(b, started, job_string(attempt, "ended_at"));
		add_usage(b, json_object_get(attempt, "result"));
		buf_addc(b, '\n');
	}
}

/* "12, 13, 14 and 9997 more" */
static void add_children(struct buf *b, const json_t *job)
{
	const json_t *children = json_object_get(job, "children");
	size_t n = json_array_size(children);

	if (n == 0)
		return;
	add_label(b, "children");
	for (size_t i = 0; i < n && i < CHILDREN_SHOWN; i++)
		buf_addf(b, "%s%lld", i > 0 ? ", " : "",
			 (long long)json_integer_value(json_array_get(children, i)));
	if (n > CHILDREN_SHOWN)
		buf_addf(b, " and %zu more", n - CHILDREN_SHOWN);
	buf_addc(b, '\n');
}

/* "success of 12, done of 13" */
static void add_needs(struct buf *b, const json_t *job)
{
	const json_t *needs = json_object_get(job, "needs");
	json_t *need;
	size_t i;

	if (json_array_size(needs) == 0)
		return;
	add_label(b, "needs");
	json_array_foreach(needs, i, need) {
		buf_adds(b, i > 0 ? ", " : "");
		out_escape(b, job_string(need, "on"));
		buf_addf(b, " of %lld",
			 (long long)json_integer_value(json_object_get(need, "job")));
	}
	buf_addc(b, '\n');
}

void job_print(const json_t *job)
{
	static const char *const plain[] = { "kind", "name", "tags", "queue", "priority" };
	static const char *const rest[] = { "attempt",	"attempts_left", "parent",   "index",
					    "retry_of", "key",		 "truncated" };
	struct buf b = { 0 };

	add_heading(&b, job);
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		add_json_fact(&b, plain[i], json_object_get(job, plain[i]));
	add_owner(&b, json_object_get(job, "owner"));
	add_times(&b, job);
	for (size_t i = 0; i < sizeof(rest) / sizeof(*rest); i++)
		add_json_fact(&b, rest[i], json_object_get(job, rest[i]));
	add_children(&b, job);
	add_needs(&b, job);
	add_attempts(&b, job);
	add_json_fact(&b, "progress", json_object_get(job, "progress"));
	add_members(&b, "spec", json_object_get(job, "spec"));
	if (!json_is_null(json_object_get(job, "result")))
		add_members(&b, "result", json_object_get(job, "result"));
	if (!json_is_null(json_object_get(job, "error")))
		add_members(&b, "error", json_object_get(job, "error"));
	out_buf(&b);
	buf_fini(&b);
}

/* ---- info, stats ---- */

/* Depth is the daemon's own choice, and small. */
void facts_add(struct buf *b, const char *name, const json_t *value)
{
	const char *key;
	json_t *member;

	if (!json_is_object(value)) {
		struct buf text = { 0 };

		if (!json_is_string(value))
			buf_add_json(&text, value);
		buf_addf(b, "%-32s ", name);
		out_escape(b,
			   json_is_string(value) ? json_string_value(value) : buf_terminate(&text));
		buf_addc(b, '\n');
		buf_fini(&text);
		return;
	}
	json_object_foreach((json_t *)value, key, member) {
		struct buf full = { 0 };

		buf_addf(&full, "%s%s", name, *name != '\0' ? "." : "");
		out_escape(&full, key);
		facts_add(b, buf_terminate(&full), member);
		buf_fini(&full);
	}
}
