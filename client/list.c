/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/jobprint.h"
#include "client/out.h"
#include "client/tree.h"
#include "client/verb.h"
#include "proto/limits.h"

enum { LIST_DEFAULT = 100, LAST_ENDED = 5 };
/* Of a composition; and all lines together, beyond which no further one is opened. */
enum { PARTS_SHOWN = 10, LINES_MAX = 1000 };

struct list_args {
	json_t *state, *outcome, *kind, *queue, *name, *tag; /* own */
	const char *parent; /* borrows from argv; NULL = not given */
	int64_t limit;
	bool is_all, is_reverse, is_flat;
};

#define FILTER(word, letters, text) OPT_MEMBER(list_args, word, OPT_WORDS, letters, text)

static const struct opt list_opts[] = {
	FILTER(state, "STATE", "waiting, running, stopping or done"),
	FILTER(outcome, "OUTCOME", "succeeded, failed, timed_out, cancelled, skipped or lost"),
	FILTER(kind, "KIND", "timer, fetch, worker, gather, sequence or race"),
	FILTER(queue, "QUEUE", "in this queue"),
	FILTER(name, "NAME", "with this name"),
	FILTER(tag, "TAG", "with this tag"),
	{ .name = "parent",
	  .type = OPT_TEXT,
	  .metavar = "ID",
	  .help = "parts of this composition; \"none\": what is no part of another",
	  .offset = offsetof(struct list_args, parent) },
	{ .name = "limit",
	  .letter = 'n',
	  .type = OPT_COUNT,
	  .metavar = "N",
	  .help = "at most N jobs (default: 100)",
	  .offset = offsetof(struct list_args, limit) },
	{ .name = "all",
	  .letter = 'a',
	  .type = OPT_FLAG,
	  .help = "no limit; without filters: ended jobs too",
	  .offset = offsetof(struct list_args, is_all) },
	{ .name = "reverse",
	  .letter = 'r',
	  .type = OPT_FLAG,
	  .help = "the newest first",
	  .offset = offsetof(struct list_args, is_reverse) },
	{ .name = "flat",
	  .type = OPT_FLAG,
	  .help = "a line for each job in the order of ids, no tree",
	  .offset = offsetof(struct list_args, is_flat) },
	{ 0 },
};

struct list {
	struct client *client;
	json_t *jobs; /* owns */
	json_t *next; /* owns; where the last page ended, NULL or JSON null = nothing behind it */
};

/* Fetch pages of what @params asks for (taken) until @limit jobs are there; -1 = all. */
static int fetch(struct list *l, json_t *params, int64_t limit)
{
	size_t start = json_array_size(l->jobs);
	int status = STATUS_OK;
	bool has_more = true;

	while (status == STATUS_OK && has_more) {
		int64_t left = limit < 0 ? LIST_LIMIT_MAX
					 : limit - (int64_t)(json_array_size(l->jobs) - start);
		struct reply reply = { 0 };

		if (left <= 0)
			break;
		json_object_set_new(params, "limit",
				    json_integer(left < LIST_LIMIT_MAX ? left : LIST_LIMIT_MAX));
		status = client_call(l->client, CALL_ONCE, "job.list", json_deep_copy(params),
				     &reply);
		if (status != STATUS_OK)
			break;
		json_array_extend(l->jobs, json_object_get(reply.result, "jobs"));
		json_decref(l->next);
		l->next = json_incref(json_object_get(reply.result, "next"));
		has_more = l->next != NULL && !json_is_null(l->next);
		if (has_more)
			json_object_set(params, "after", l->next);
		reply_fini(&reply);
	}
	json_decref(params);
	return status;
}

static json_t *order_of(const struct list_args *args)
{
	return json_string(args->is_reverse ? "-id" : "id");
}

/* The filter "parent" into @params.  0 or -EINVAL with @err. */
static int add_parent(json_t *params, const char *parent, struct aw_err *err)
{
	int64_t id = 0;

	if (parent == NULL)
		return 0;
	if (strcmp(parent, "none") == 0) {
		json_object_set_new(params, "parent", json_null());
		return 0;
	}
	if (opts_id(parent, &id, err) < 0)
		return -EINVAL;
	json_object_set_new(params, "parent", json_integer(id));
	return 0;
}

static int fetch_filtered(struct list *l, const struct list_args *args)
{
	const struct {
		const char *name;
		json_t *value;
	} filters[] = { { "state", args->state }, { "outcome", args->outcome },
			{ "kind", args->kind },	  { "queue", args->queue },
			{ "name", args->name },	  { "tag", args->tag } };
	json_t *params = json_object();
	struct aw_err err = { 0 };

	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
		if (filters[i].value != NULL)
			json_object_set(params, filters[i].name, filters[i].value);
	}
	json_object_set_new(params, "order", order_of(args));
	if (add_parent(params, args->parent, &err) < 0) {
		int status =
			out_fail(STATUS_USAGE, "usage",
				 "list: --parent: %s; try \"awaitctl list --help\"", err.message);

		aw_err_fini(&err);
		json_decref(params);
		return status;
	}
	return fetch(l, params, args->is_all ? -1 : args->limit);
}

static int by_id(const void *a, const void *b)
{
	int64_t x = job_id(*(json_t *const *)a);
	int64_t y = job_id(*(json_t *const *)b);

	return (x > y) - (x < y);
}

static void sort_jobs(struct list *l, bool is_reverse)
{
	size_t n = json_array_size(l->jobs);
	json_t **jobs = calloc(n + 1, sizeof(json_t *));
	json_t *sorted = json_array();

	if (jobs == NULL)
		abort();
	for (size_t i = 0; i < n; i++)
		jobs[i] = json_array_get(l->jobs, i);
	qsort(jobs, n, sizeof(json_t *), by_id);
	for (size_t i = 0; i < n; i++)
		json_array_append(sorted, jobs[is_reverse ? n - 1 - i : i]);
	free(jobs);
	json_decref(l->jobs);
	l->jobs = sorted;
}

/* What is unfinished, and in the room that is left the last few that ended. */
static int fetch_usual(struct list *l, const struct list_args *args, bool is_tree)
{
	json_t *params = json_pack("{s:[s,s,s], s:o}", "state", "waiting", "running", "stopping",
				   "order", order_of(args));
	json_t *ended = json_pack("{s:s, s:s}", "state", "done", "order", "-id");
	int64_t room;
	json_t *next;
	int status;

	if (is_tree) {
		json_object_set_new(params, "parent", json_null());
		json_object_set_new(ended, "parent", json_null());
	}
	status = fetch(l, params, args->limit);
	next = json_incref(l->next);
	room = args->limit - (int64_t)json_array_size(l->jobs);
	if (status == STATUS_OK && room > 0)
		status = fetch(l, json_incref(ended), room < LAST_ENDED ? room : LAST_ENDED);
	json_decref(ended);
	/* Whether there is more is said of what is unfinished. */
	json_decref(l->next);
	l->next = next;
	sort_jobs(l, args->is_reverse);
	return status;
}

/* ---- the tree ---- */

/* Parts of @id in @states (taken; NULL = all), at most @limit, the first or the last ones. */
static int fetch_parts(struct list *l, int64_t id, json_t *states, const char *order, int64_t limit)
{
	json_t *params = json_pack("{s:I, s:s}", "parent", (json_int_t)id, "order", order);

	if (states != NULL)
		json_object_set_new(params, "state", states);
	return fetch(l, params, limit);
}

/*
 * Few parts: all.  Many: those that run, then those that wait.  Parts of
 * earlier attempts have lower ids, so that the last @n are the latest one's.
 */
static int open_composition(struct list *l, const json_t *job)
{
	int64_t n = (int64_t)json_array_size(json_object_get(job, "children"));
	size_t before = json_array_size(l->jobs);
	int64_t id = job_id(job), n_shown;
	int status;

	if (n <= PARTS_SHOWN)
		return fetch_parts(l, id, NULL, "-id", n);
	status = fetch_parts(l, id, json_pack("[s,s]", "running", "stopping"), "id", PARTS_SHOWN);
	n_shown = (int64_t)(json_array_size(l->jobs) - before);
	if (status == STATUS_OK && n_shown < PARTS_SHOWN)
		status = fetch_parts(l, id, json_pack("[s]", "waiting"), "id",
				     PARTS_SHOWN - n_shown);
	n_shown = (int64_t)(json_array_size(l->jobs) - before);
	if (n > n_shown)
		json_array_append_new(l->jobs,
				      json_pack("{s:I, s:I}", "more", (json_int_t)(n - n_shown),
						"parent", (json_int_t)id));
	return status;
}

/* What a composition that is done was made of is not what a person looks for first. */
static int open_all(struct list *l)
{
	json_t *next = json_incref(l->next);
	int status = STATUS_OK;

	for (size_t i = 0; status == STATUS_OK && i < json_array_size(l->jobs); i++) {
		json_t *job = json_incref(json_array_get(l->jobs, i));

		if (json_array_size(json_object_get(job, "children")) > 0 && !job_is_done(job) &&
		    json_array_size(l->jobs) < LINES_MAX)
			status = open_composition(l, job);
		json_decref(job);
	}
	json_decref(l->next);
	l->next = next;
	return status;
}

/* ---- printing ---- */

static void print(const struct list *l, const struct list_args *args, bool is_tree)
{
	struct table *t;
	json_t *job;
	size_t i;

	if (is_tree) {
		tree_print(l->jobs, args->is_reverse);
	} else {
		t = jobs_table_new();
		json_array_foreach(l->jobs, i, job)
			jobs_table_add(t, job, "");
		table_print(t);
		table_free(t);
	}
	if (json_array_size(l->jobs) == 0 && out_is_terminal())
		out_note("no jobs");
	if (l->next != NULL && !json_is_null(l->next))
		out_note("there are more; --all shows them, --limit N so many");
}

static int list(struct client *client, const struct list_args *args)
{
	struct list l = { .client = client, .jobs = json_array() };
	bool is_filtered = args->state != NULL || args->outcome != NULL || args->kind != NULL ||
			   args->queue != NULL || args->name != NULL || args->tag != NULL ||
			   args->parent != NULL;
	/* A program wants what it always got: a line for each job. */
	bool is_tree = out_is_terminal() && !client->is_json && !args->is_flat && !is_filtered;
	int status = is_filtered || args->is_all ? fetch_filtered(&l, args)
						 : fetch_usual(&l, args, is_tree);

	if (status == STATUS_OK && is_tree && !args->is_all)
		status = open_all(&l);
	if (status == STATUS_OK && client->is_json) {
		json_t *result = json_pack("{s:O, s:O?}", "jobs", l.jobs, "next", l.next);

		if (l.next == NULL)
			json_object_set_new(result, "next", json_null());
		out_json(result);
		json_decref(result);
	} else if (status == STATUS_OK) {
		print(&l, args, is_tree);
	}
	json_decref(l.jobs);
	json_decref(l.next);
	return status;
}

static int list_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct list_args args = { .limit = LIST_DEFAULT };
	int n_args;
	int status = verb_options(client, verb, &args, 0, 0, argc, argv, &n_args);

	if (status < 0)
		status = list(client, &args);
	json_decref(args.state);
	json_decref(args.outcome);
	json_decref(args.kind);
	json_decref(args.queue);
	json_decref(args.name);
	json_decref(args.tag);
	return status;
}

const struct verb list_verb = {
	.name = "list",
	.usage = "[OPTIONS]",
	.summary = "show jobs: what is unfinished, and the last few that ended",
	.help = "Lists jobs in the order of their ids. Without filters: what is unfinished, and "
		"the last few that ended. A filter takes one or more words, separated by commas; "
		"filters of different kinds all have to hold.\n\n"
		"On a terminal, and without filters, the parts of a composition stand below it: "
		"of a large one those that run and those that come next. With --all it is all of "
		"them, with --flat a plain list.\n\n"
		"Where standard output is no terminal, a line per job is printed with a tab "
		"between the fields, nothing is cut, and an empty field is \"-\".",
	.opts = list_opts,
	.run = list_run,
};
