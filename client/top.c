/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "client/clock.h"
#include "client/feed.h"
#include "client/interrupt.h"
#include "client/jobprint.h"
#include "client/out.h"
#include "client/table.h"
#include "proto/limits.h"
#include "proto/units.h"

/*
 * "top": a live overview.  Drawn when something has happened, but not more often
 * than a person can read, and once a second for the times in it.
 */

enum { IDLE_US = 1000000, BUSY_US = 250000, KEY_US = 100000, HEAD_LINES = 6, LINES_DEFAULT = 24 };

struct top {
	struct client *client;
	bool is_live; /* on a terminal, again and again */
	bool is_news; /* something has happened since it was drawn */
	struct termios before;
	bool has_keys; /* keys come one by one, without being shown */
};

/* ---- the terminal ---- */

static size_t n_lines(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
		return size.ws_row;
	return LINES_DEFAULT;
}

static void take_terminal(struct top *t)
{
	static const char enter[] = "\033[?1049h\033[?25l";
	struct termios raw;

	out_bytes(enter, sizeof(enter) - 1);
	if (tcgetattr(STDIN_FILENO, &t->before) < 0)
		return;
	raw = t->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	t->has_keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static void give_terminal_back(struct top *t)
{
	static const char leave[] = "\033[?25h\033[?1049l";

	out_bytes(leave, sizeof(leave) - 1);
	out_flush();
	if (t->has_keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
}

/* q ends it; other keys mean nothing. */
static bool is_quit_pressed(const struct top *t)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;

	while (t->has_keys && poll(&p, 1, 0) > 0 && read(STDIN_FILENO, &key, 1) == 1) {
		if (key == 'q' || key == 'Q')
			return true;
	}
	return false;
}

/* ---- what is shown ---- */

static int64_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void add_head(struct buf *b, const json_t *stats)
{
	const json_t *jobs = json_object_get(stats, "jobs");
	const json_t *states = json_object_get(jobs, "states");
	const json_t *outcomes = json_object_get(jobs, "outcomes");
	const json_t *store = json_object_get(stats, "store");
	const char *word;
	json_t *n;

	buf_addf(b, "jobs      %lld waiting, %lld running, %lld stopping\n",
		 (long long)number(states, "waiting"), (long long)number(states, "running"),
		 (long long)number(states, "stopping"));
	buf_adds(b, "ended    ");
	json_object_foreach((json_t *)outcomes, word, n) {
		if (json_integer_value(n) > 0) {
			buf_addf(b, " %lld ", (long long)json_integer_value(n));
			out_escape(b, word);
		}
	}
	buf_addf(b, "\nstore     %lld commits", (long long)number(store, "commits"));
	if (json_is_true(json_object_get(store, "full")))
		buf_adds(b, ", the disk is full");
	buf_addc(b, '\n');
}

static void add_queues(struct buf *b, const json_t *queues)
{
	json_t *queue;
	size_t i;

	buf_adds(b, "queues   ");
	json_array_foreach(queues, i, queue) {
		buf_addc(b, ' ');
		out_escape(b, job_string(queue, "name"));
		buf_addf(b, " %lld/%lld", (long long)number(queue, "running"),
			 (long long)number(queue, "limit"));
		if (number(queue, "waiting") > 0)
			buf_addf(b, "+%lld", (long long)number(queue, "waiting"));
		if (json_is_true(json_object_get(queue, "paused")))
			buf_adds(b, " paused");
		buf_addc(b, i + 1 < json_array_size(queues) ? ',' : ' ');
	}
	buf_adds(b, "\n\n");
}

static int ask(struct top *t, const char *method, json_t *params, const char *member, json_t **ret)
{
	struct reply reply = { 0 };
	int status = client_call(t->client, CALL_PATIENTLY, method, params, &reply);

	if (status == STATUS_OK)
		*ret = json_incref(member != NULL ? json_object_get(reply.result, member)
						  : reply.result);
	reply_fini(&reply);
	return status;
}

static json_t *jobs_params(const char *state, size_t limit, const char *order)
{
	return json_pack("{s:s, s:I, s:s}", "state", state, "limit", (json_int_t)limit, "order",
			 order);
}

/*
 * Those that stop and run, then those that wait, then the last that have ended:
 * what there is room for.
 */
static int add_jobs(struct top *t, struct table *table, size_t room)
{
	static const struct {
		const char *state, *order;
	} parts[] = {
		{ "stopping", "id" }, { "running", "id" }, { "waiting", "id" }, { "done", "-id" }
	};
	int status = STATUS_OK;

	for (size_t i = 0; status == STATUS_OK && room > 0 && i < sizeof(parts) / sizeof(*parts);
	     i++) {
		json_t *jobs = NULL, *job;
		size_t k;

		status = ask(t, "job.list",
			     jobs_params(parts[i].state,
					 room < LIST_LIMIT_MAX ? room : LIST_LIMIT_MAX,
					 parts[i].order),
			     "jobs", &jobs);
		json_array_foreach(jobs, k, job)
			jobs_table_add(table, job, "");
		room -= json_array_size(jobs);
		json_decref(jobs);
	}
	return status;
}

static int draw(struct top *t)
{
	static const char home[] = "\033[H\033[2J";
	struct table *table = jobs_table_new();
	json_t *stats = NULL, *queues = NULL;
	size_t lines = n_lines();
	struct buf b = { 0 };
	int status = ask(t, "daemon.stats", NULL, NULL, &stats);

	t->is_news = false;
	if (status == STATUS_OK)
		status = ask(t, "queue.list", NULL, "queues", &queues);
	/* The last line is the cursor's, or the first one would scroll away. */
	if (status == STATUS_OK)
		status = add_jobs(t, table, lines > HEAD_LINES + 2 ? lines - HEAD_LINES - 1 : 1);
	if (status == STATUS_OK) {
		if (t->is_live)
			buf_add(&b, home, sizeof(home) - 1);
		add_head(&b, stats);
		add_queues(&b, queues);
		out_buf(&b);
		table_print(table);
		out_flush();
	}
	buf_fini(&b);
	table_free(table);
	json_decref(stats);
	json_decref(queues);
	return status;
}

/* ---- live ---- */

static bool on_event(struct feed *f, const json_t *event)
{
	struct top *t = f->arg;

	(void)event;
	t->is_news = true;
	return true;
}

/* Until it is time to draw again; false when it is over. */
static bool wait_for_news(struct top *t, struct feed *f, int *status)
{
	int64_t drawn_us = mono_now_us();

	while (*status == STATUS_OK && !f->is_over) {
		int64_t now_us = mono_now_us();

		if (is_quit_pressed(t))
			return false;
		if (now_us >= drawn_us + (t->is_news ? BUSY_US : IDLE_US))
			return true;
		*status = feed_run(f, now_us + KEY_US);
		if (f->stops_at_signal && t->client->is_cancelling)
			return false;
	}
	return false;
}

static int show_live(struct top *t)
{
	struct feed f = {
		.client = t->client,
		.since = FEED_FROM_NOW,
		.stops_at_signal = true,
		.on_event = on_event,
		.arg = t,
	};
	int status;

	interrupt_catch();
	status = feed_open(&f);
	if (status != STATUS_OK)
		return status;
	take_terminal(t);
	do
		status = draw(t);
	while (status == STATUS_OK && wait_for_news(t, &f, &status));
	give_terminal_back(t);
	return status;
}

static int top_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct top t = { .client = client, .is_live = out_is_terminal() };
	struct aw_err err = { 0 };
	int n_args;
	int status = verb_options(client, verb, NULL, 0, 0, argc, argv, &n_args);

	if (status >= 0)
		return status;
	if (client->is_json) {
		aw_fail(&err, AW_PARAMS,
			"it is for people; programs have stats, list and watch with --json");
		status = verb_usage_error(verb, NULL, &err);
	} else {
		status = t.is_live ? show_live(&t) : draw(&t);
	}
	aw_err_fini(&err);
	return status;
}

const struct verb top_verb = {
	.name = "top",
	.usage = "",
	.summary = "show what the daemon does, live",
	.help = "Shows counts, queues, and the jobs that run, wait and have ended last, and "
		"draws it anew when something happens. q or Ctrl-C ends it. Where standard "
		"output is no terminal it is printed once.",
	.run = top_run,
};
