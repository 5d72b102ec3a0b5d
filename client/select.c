/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/select.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/jobprint.h"
#include "client/out.h"
#include "proto/limits.h"

bool select_is_filter(const struct select *s)
{
	return s->state || s->outcome || s->kind || s->queue || s->name || s->tag;
}

void select_fini(struct select *s)
{
	json_decref(s->state);
	json_decref(s->outcome);
	json_decref(s->kind);
	json_decref(s->queue);
	json_decref(s->name);
	json_decref(s->tag);
}

/* job.list's parameters. */
static json_t *params_of(const struct select *s, const struct select_use *use)
{
	const struct {
		const char *name;
		json_t *value;
	} filters[] = { { "state", s->state }, { "outcome", s->outcome }, { "kind", s->kind },
			{ "queue", s->queue }, { "name", s->name },	  { "tag", s->tag } };
	json_t *params = json_object(), *states = json_array();

	for (const char *const *word = use->states; *word; word++)
		json_array_append_new(states, json_string(*word));
	json_object_set_new(params, "state", states);
	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++)
		if (filters[i].value)
			json_object_set(params, filters[i].name, filters[i].value);
	if (use->is_top_only)
		json_object_set_new(params, "parent", json_null());
	json_object_set_new(params, "limit", json_integer(LIST_LIMIT_MAX));
	return params;
}

static void add_ids(json_t *ids, const json_t *jobs)
{
	json_t *job;
	size_t i;

	json_array_foreach(jobs, i, job)
		json_array_append(ids, json_object_get(job, "id"));
}

/* All of them before the first is touched: what is done to some must not change the pages. */
static int find_all(struct client *client, json_t *params, json_t *ids)
{
	bool has_more = true;
	int status = STATUS_OK;

	while (status == STATUS_OK && has_more) {
		struct reply reply = { 0 };
		json_t *next;

		status = client_call(client, CALL_ONCE, "job.list", json_copy(params), &reply);
		if (status != STATUS_OK)
			break;
		add_ids(ids, json_object_get(reply.result, "jobs"));
		next = json_object_get(reply.result, "next");
		has_more = next && !json_is_null(next);
		if (has_more)
			json_object_set(params, "after", next);
		reply_fini(&reply);
	}
	json_decref(params);
	return status;
}

/* A person at the terminal is asked; a script has said what it wants. */
static bool has_consent(const struct select *s, const struct select_use *use, size_t n)
{
	char answer[16];

	if (s->is_yes || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return true;
	(void)fprintf(stderr, "%s %zu job%s? [y/N] ", use->verb, n, n == 1 ? "" : "s");
	(void)fflush(stderr);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int ids_of_filter(struct client *client, const struct select *s,
			 const struct select_use *use, json_t **ret)
{
	json_t *ids = json_array();
	int status = find_all(client, params_of(s, use), ids);

	if (status == STATUS_OK && json_array_size(ids) == 0)
		out_note("no job matches");
	else if (status == STATUS_OK && !has_consent(s, use, json_array_size(ids)))
		status = STATUS_UNSUCCESSFUL;
	if (status != STATUS_OK) {
		json_decref(ids);
		return status;
	}
	*ret = ids;
	return -1;
}

int select_ids(struct client *client, const struct verb *verb, const struct select *s,
	       const struct select_use *use, int n_args, char **argv, json_t **ret)
{
	struct aw_err err = { 0 };
	int status = -1;

	if (select_is_filter(s) && n_args == 0)
		return ids_of_filter(client, s, use, ret);
	if (select_is_filter(s))
		aw_fail(&err, AW_PARAMS, "either ids or a filter");
	else if (n_args == 0)
		aw_fail(&err, AW_PARAMS, "ids of jobs are missing, or a filter like --tag TAG");
	else
		*ret = opts_ids(n_args, argv, &err);
	if (err.code != AW_OK)
		status = verb_usage_error(verb, NULL, &err);
	aw_err_fini(&err);
	return status;
}

/* ---- verbs without options of their own ---- */

struct alone {
	struct select select;
};

const struct opt select_opts[] = {
	SELECT_OPTS(struct alone, select),
	{ 0 },
};

int select_run(struct client *client, const struct verb *verb, const char *method,
	       const struct select_use *use, void (*print)(const json_t *result), int argc,
	       char **argv)
{
	struct alone args = { 0 };
	json_t *ids = NULL;
	int n_args;
	int status = verb_options(client, verb, &args, 0, -1, argc, argv, &n_args);

	if (status < 0)
		status = select_ids(client, verb, &args.select, use, n_args, argv, &ids);
	if (status < 0)
		status = client_for_ids(client, method, ids, NULL, select_is_filter(&args.select),
					print);
	select_fini(&args.select);
	return status;
}
