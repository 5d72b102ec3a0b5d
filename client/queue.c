/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "client/jobprint.h"
#include "client/out.h"
#include "client/table.h"
#include "client/verb.h"

struct queue_args {
	int64_t limit;
};

static const struct opt queue_opts[] = {
	{ .name = "limit",
	  .letter = 'n',
	  .type = OPT_COUNT,
	  .metavar = "N",
	  .help = "of set: how many of its jobs run at once",
	  .offset = offsetof(struct queue_args, limit) },
	{ 0 },
};

enum { COL_NAME, COL_LIMIT, COL_RUNNING, COL_WAITING, COL_PAUSED, N_COLS };

static const struct column columns[N_COLS] = {
	[COL_NAME] = { .name = "NAME", .may_cut = true },
	[COL_LIMIT] = { .name = "LIMIT", .is_right = true },
	[COL_RUNNING] = { .name = "RUNNING", .is_right = true },
	[COL_WAITING] = { .name = "WAITING", .is_right = true },
	[COL_PAUSED] = { .name = "PAUSED" },
};

static void set_number(struct table *t, size_t column, const json_t *queue, const char *key)
{
	table_setf(t, column, OUT_PLAIN, "%lld",
		   (long long)json_integer_value(json_object_get(queue, key)));
}

static void print_queues(const json_t *result)
{
	struct table *t = table_new(columns, N_COLS);
	json_t *queue;
	size_t i;

	json_array_foreach(json_object_get(result, "queues"), i, queue) {
		bool is_paused = json_is_true(json_object_get(queue, "paused"));

		table_add_row(t);
		table_set(t, COL_NAME, OUT_PLAIN, job_string(queue, "name"));
		set_number(t, COL_LIMIT, queue, "limit");
		set_number(t, COL_RUNNING, queue, "running");
		set_number(t, COL_WAITING, queue, "waiting");
		table_set(t, COL_PAUSED, is_paused ? OUT_YELLOW : OUT_PLAIN,
			  is_paused ? "yes" : "no");
	}
	table_print(t);
	table_free(t);
}

static int change(struct client *client, const char *method, const char *name, int64_t limit,
		  struct aw_err *err)
{
	json_t *params = json_object();

	if (json_object_set_new(params, "name", json_string(name)) < 0) {
		json_decref(params);
		return aw_fail(err, AW_PARAMS, "the queue's name is not valid UTF-8");
	}
	if (limit >= 0)
		json_object_set_new(params, "limit", json_integer(limit));
	return client_show(client, method, params, NULL);
}

static int dispatch(struct client *client, const struct queue_args *args, int n_args, char **argv,
		    struct aw_err *err)
{
	const char *what = n_args > 0 ? argv[0] : "list";

	if (strcmp(what, "list") == 0 && n_args <= 1)
		return client_show(client, "queue.list", NULL, print_queues);
	if (n_args != 2)
		return aw_fail(
			err, AW_PARAMS,
			"list, or set, pause or resume and the name of a queue, is expected");
	if (strcmp(what, "set") == 0 && args->limit < 0)
		return aw_fail(err, AW_PARAMS, "set: --limit N is missing");
	if (strcmp(what, "set") == 0)
		return change(client, "queue.set", argv[1], args->limit, err);
	if (args->limit >= 0)
		return aw_fail(err, AW_PARAMS, "--limit belongs to set");
	if (strcmp(what, "pause") == 0)
		return change(client, "queue.pause", argv[1], -1, err);
	if (strcmp(what, "resume") == 0)
		return change(client, "queue.resume", argv[1], -1, err);
	return aw_fail(err, AW_PARAMS, "\"%s\" is none of list, set, pause and resume", what);
}

static int queue_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct queue_args args = { .limit = -1 };
	struct aw_err err = { 0 };
	int n_args;
	int status = verb_options(client, verb, &args, 0, 2, argc, argv, &n_args);

	if (status >= 0)
		return status;
	status = dispatch(client, &args, n_args, argv, &err);
	if (err.code != AW_OK)
		status = verb_usage_error(verb, NULL, &err);
	aw_err_fini(&err);
	return status;
}

const struct verb queue_verb = {
	.name = "queue",
	.usage = "[list]\nset NAME --limit N\npause NAME\nresume NAME",
	.summary = "show queues, change their limits, pause and resume them",
	.help = "A queue limits how many of its jobs run at once. \"set\" changes the limit, and "
		"creates a queue that "
		"there is not yet. A paused queue starts nothing new.",
	.opts = queue_opts,
	.run = queue_run,
};
