/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <string.h>

#include "client/verb.h"
#include "proto/jobkeys.h"

struct update_args {
	const char *priority, *queue, *at, *delay, *name, *tags; /* borrow from argv */
	json_t *clear;						 /* owns */
};

#define CHANGE(word, letters, text) OPT_MEMBER(update_args, word, OPT_TEXT, letters, text)

static const struct opt update_opts[] = {
	CHANGE(priority, "N", "higher starts first"),
	CHANGE(queue, "QUEUE", "whose limit it counts against"),
	CHANGE(at, "TIME", "do not start before this time"),
	CHANGE(delay, "DURATION", "do not start before so much time has passed from now"),
	CHANGE(name, "NAME", "a label for people"),
	CHANGE(tags, "TAG", "labels to filter by, in place of those it has"),
	{ .name = "clear",
	  .type = OPT_WORDS,
	  .metavar = "WHAT",
	  .help = "back to the default: priority, queue, at, name, tags",
	  .offset = offsetof(struct update_args, clear) },
	{ 0 },
};

/* What "at" and "delay" set is one thing, and so is what clears it. */
static bool may_clear(const char *word)
{
	static const char *const words[] = { "priority", "queue", "at", "delay", "name", "tags" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(words[i], word) == 0)
			return true;
	}
	return false;
}

static int add_cleared(json_t *params, const json_t *words, struct aw_err *err)
{
	json_t *word;
	size_t i;

	json_array_foreach(words, i, word) {
		const char *text = json_string_value(word);

		if (!may_clear(text))
			return aw_fail(err, AW_PARAMS,
				       "--clear: \"%s\" is none of priority, queue, at, name and "
				       "tags",
				       text);
		json_object_set_new(params, text, json_null());
	}
	return 0;
}

/* As the options of submit read them: by the table of a document's keys. */
static int params_of(const struct update_args *args, json_t *params, struct aw_err *err)
{
	const struct {
		const char *key, *text;
	} given[] = {
		{ "priority", args->priority }, { "queue", args->queue }, { "at", args->at },
		{ "delay", args->delay },	{ "name", args->name },	  { "tags", args->tags },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(given) / sizeof(*given); i++) {
		struct aw_err why = { 0 };

		if (given[i].text == NULL)
			continue;
		r = opts_set_key(params, jobkey_find_any(given[i].key, strlen(given[i].key)),
				 given[i].text, &why);
		if (r < 0)
			aw_fail(err, why.code, "--%s: %s", given[i].key, why.message);
		aw_err_fini(&why);
	}
	if (r == 0)
		r = add_cleared(params, args->clear, err);
	if (r == 0 && json_object_size(params) == 0)
		r = aw_fail(err, AW_PARAMS, "an option that says what to change is missing");
	return r;
}

static int update(struct client *client, const struct verb *verb, const struct update_args *args,
		  const char *id_text)
{
	json_t *params = json_object();
	struct aw_err err = { 0 };
	int64_t id = 0;
	int status;

	if (opts_id(id_text, &id, &err) < 0 || params_of(args, params, &err) < 0) {
		status = verb_usage_error(verb, NULL, &err);
		json_decref(params);
	} else {
		json_object_set_new(params, "id", json_integer(id));
		status = client_show(client, "job.update", params, NULL);
	}
	aw_err_fini(&err);
	return status;
}

static int update_run(struct client *client, const struct verb *verb, int argc, char **argv)
{
	struct update_args args = { 0 };
	int n_args;
	int status = verb_options(client, verb, &args, 1, 1, argc, argv, &n_args);

	if (status < 0)
		status = update(client, verb, &args, argv[0]);
	json_decref(args.clear);
	return status;
}

const struct verb update_verb = {
	.name = "update",
	.usage = "OPTIONS ID",
	.summary = "change where and how a waiting job waits",
	.help = "Changes the priority, queue, start time, name or tags of a job that has not "
		"started yet. What it does cannot be changed: cancel it, and submit another.",
	.opts = update_opts,
	.run = update_run,
};
