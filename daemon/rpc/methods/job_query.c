/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/utf8.h"
#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/limits.h"
#include "proto/names.h"
#include "proto/xalloc.h"

/* job.get and job.list. */

#define FILTER_VALUES_MAX 100

/* ---- job.get ---- */

struct get {
	struct store_get get;
	struct rpc_call *call;
	int64_t id;
};

static void on_got(struct store_op *op)
{
	struct get *g = container_of(op, struct get, get.op);
	struct aw_err err = { 0 };
	struct buf b = { 0 };

	if (op->result < 0) {
		reply_store_failed(&err, op->result);
	} else if (!reply_may_see(&g->get.jobs[0], rpc_viewer(g->call))) {
		reply_not_found(&err, g->id);
	} else {
		engine_print_job(&b, &g->get.jobs[0], rpc_viewer(g->call), true);
	}
	if (err.code)
		rpc_finish_fail(g->call, &err);
	else
		rpc_finish_text(g->call, b.data, b.len);
	buf_fini(&b);
	aw_err_fini(&err);
	store_get_fini(&g->get);
	free(g);
}

static struct rpc_done get(struct rpc_call *call, json_t *params)
{
	struct get *g = xcalloc(1, sizeof(*g));

	g->call = call;
	g->id = json_integer_value(json_object_get(params, "id"));
	reply_query(&g->get, &g->id, 1, on_got);
	return rpc_later(call, NULL, NULL);
}

static const struct rpc_param get_params[] = {
	{ "id", RPC_INTEGER, RPC_REQUIRED, 1, INT64_MAX, "the job's id" },
	{ 0 },
};

const struct rpc_method method_job_get = {
	.name = "job.get",
	.summary = "the whole job object",
	.params = get_params,
	.flags = RPC_WHILE_STOPPING,
	.handler = get,
};

/* ---- job.list ---- */

struct list_jobs {
	struct store_list list;
	struct rpc_call *call;
	json_t *params;			      /* owns; the filters' text is in it */
	const char **queues, **names, **tags; /* own the arrays */
};

static void list_free(struct list_jobs *l)
{
	store_list_fini(&l->list);
	free(l->queues);
	free(l->names);
	free(l->tags);
	json_decref(l->params);
	free(l);
}

/* How many values a filter has, and each of them: one string, or a list. */
static size_t n_values(const json_t *value)
{
	return json_is_array(value) ? json_array_size(value) : json_is_string(value);
}

static const char *value_at(const json_t *value, size_t i)
{
	return json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
}

static int too_many(const char *key, struct aw_err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/%s", key);
	return aw_fail_at(err, AW_PARAMS, path, "\"%s\" may have at most %d values", key,
			  FILTER_VALUES_MAX);
}

static int unknown_word(const char *key, const json_t *value, size_t i, const char *const *words,
			struct aw_err *err)
{
	const char *word = value_at(value, i);
	struct buf known = { 0 };
	char path[64];

	for (const char *const *w = words; *w; w++) {
		buf_adds(&known, w == words ? "" : ", ");
		buf_adds(&known, *w);
	}
	if (json_is_array(value))
		snprintf(path, sizeof(path), "/%s/%zu", key, i);
	else
		snprintf(path, sizeof(path), "/%s", key);
	aw_fail_at(err, AW_PARAMS, path, "\"%.*s\" is no %s; there are %s",
		   (int)utf8_bounded(word, 40), word, key, buf_terminate(&known));
	buf_fini(&known);
	return -EINVAL;
}

static const char *const state_words[] = { "waiting", "running", "stopping", "done", NULL };
static const char *const outcome_words[] = { "succeeded", "failed", "timed_out", "cancelled",
					     "skipped",	  "lost",   NULL };
static const char *const kind_words[] = { "timer",    "fetch", "worker", "gather",
					  "sequence", "race",  NULL };

/* A filter of words from a fixed set, as bits. */
static int filter_bits(const json_t *params, const char *key, int (*parse)(const char *word),
		       const char *const *words, unsigned *ret, struct aw_err *err)
{
	const json_t *value = json_object_get(params, key);
	size_t n = n_values(value);

	if (n > FILTER_VALUES_MAX)
		return too_many(key, err);
	for (size_t i = 0; i < n; i++) {
		int bit = parse(value_at(value, i));

		if (bit < 0)
			return unknown_word(key, value, i, words, err);
		*ret |= 1u << bit;
	}
	return 0;
}

/* A filter of free text, as a NULL-terminated array that borrows from @params. */
static int filter_texts(const json_t *params, const char *key, const char ***ret,
			struct aw_err *err)
{
	const json_t *value = json_object_get(params, key);
	size_t n = n_values(value);

	if (n > FILTER_VALUES_MAX)
		return too_many(key, err);
	if (n == 0)
		return 0;
	*ret = xcalloc(n + 1, sizeof(**ret));
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = value_at(value, i);
	return 0;
}

static bool is_parent(const json_t *value)
{
	return json_is_null(value) || (json_is_integer(value) && json_integer_value(value) > 0);
}

/*
 * No job is part of another until compositions are built: null (top level
 * only) takes all, any id takes none.
 */
static int filter_parent(const json_t *params, bool *ret_none, struct aw_err *err)
{
	const json_t *value = json_object_get(params, "parent");
	size_t n = json_is_array(value) ? json_array_size(value) : 1;

	*ret_none = value;
	if (!value)
		return 0;
	if (n == 0 || n > FILTER_VALUES_MAX)
		return aw_fail_at(err, AW_PARAMS, "/parent", "\"parent\" may have 1 to %d values",
				  FILTER_VALUES_MAX);
	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_is_array(value) ? json_array_get(value, i) : value;

		if (!is_parent(one))
			return aw_fail_at(err, AW_PARAMS, "/parent",
					  "\"parent\" must be a job's id, null for top level, or a "
					  "list of them");
		if (json_is_null(one))
			*ret_none = false;
	}
	return 0;
}

/* "after" is ours to read: "id:123", where the page before ended. */
static int read_after(const json_t *params, int64_t *ret, struct aw_err *err)
{
	const char *text = json_string_value(json_object_get(params, "after"));
	char *end;

	if (!text)
		return 0;
	errno = 0;
	if (!strncmp(text, "id:", 3) && text[3] >= '1' && text[3] <= '9') {
		*ret = strtoll(text + 3, &end, 10);
		if (!errno && !*end)
			return 0;
	}
	return aw_fail_at(err, AW_PARAMS, "/after",
			  "\"after\" must be the \"next\" of the page before, unchanged");
}

static int read_order(const json_t *params, bool *ret_descending, struct aw_err *err)
{
	const char *order = json_string_value(json_object_get(params, "order"));

	*ret_descending = order && !strcmp(order, "-id");
	if (!order || *ret_descending || !strcmp(order, "id"))
		return 0;
	return aw_fail_at(err, AW_PARAMS, "/order", "\"order\" must be \"id\" or \"-id\"");
}

static int read_list(struct list_jobs *l, bool *ret_none, struct aw_err *err)
{
	const json_t *p = l->params, *limit = json_object_get(p, "limit");
	struct store_list *q = &l->list;

	if (filter_bits(p, "state", job_state_parse, state_words, &q->states, err) < 0 ||
	    filter_bits(p, "outcome", job_outcome_parse, outcome_words, &q->outcomes, err) < 0 ||
	    filter_bits(p, "kind", job_kind_parse, kind_words, &q->kinds, err) < 0 ||
	    filter_texts(p, "queue", &l->queues, err) < 0 ||
	    filter_texts(p, "name", &l->names, err) < 0 ||
	    filter_texts(p, "tag", &l->tags, err) < 0 || filter_parent(p, ret_none, err) < 0 ||
	    read_after(p, &q->after, err) < 0 || read_order(p, &q->descending, err) < 0)
		return -EINVAL;
	q->queues = l->queues;
	q->names = l->names;
	q->tags = l->tags;
	q->uid = viewer_sees_all(rpc_viewer(l->call)) ? STORE_ANY_UID : rpc_uid(l->call);
	q->limit = json_is_integer(limit) ? (size_t)json_integer_value(limit) : LIST_LIMIT_DEFAULT;
	q->max_bytes = LIST_PAGE_MAX_BYTES;
	return 0;
}

/* The job objects are longer than what the store counted, so that the page may have to end earlier
 * still. */
static void print_page(struct buf *b, const struct store_list *q, struct viewer viewer)
{
	int64_t next = q->next;

	buf_adds(b, "{\"jobs\":[");
	for (size_t i = 0; i < q->n; i++) {
		size_t before = b->len;

		if (i)
			buf_addc(b, ',');
		engine_print_job(b, &q->jobs[i], viewer, false);
		if (i && b->len > LIST_PAGE_MAX_BYTES) {
			b->len = before;
			next = q->jobs[i - 1].id;
			break;
		}
	}
	buf_adds(b, "],\"next\":");
	if (next)
		buf_addf(b, "\"id:%" PRId64 "\"}", next);
	else
		buf_adds(b, "null}");
}

static void on_listed(struct store_op *op)
{
	struct list_jobs *l = container_of(op, struct list_jobs, list.op);
	struct aw_err err = { 0 };
	struct buf b = { 0 };

	if (op->result < 0) {
		reply_store_failed(&err, op->result);
		rpc_finish_fail(l->call, &err);
		aw_err_fini(&err);
	} else {
		print_page(&b, &l->list, rpc_viewer(l->call));
		rpc_finish_text(l->call, b.data, b.len);
		buf_fini(&b);
	}
	list_free(l);
}

static struct rpc_done list_jobs(struct rpc_call *call, json_t *params)
{
	static const char nothing[] = "{\"jobs\":[],\"next\":null}";
	struct list_jobs *l = xcalloc(1, sizeof(*l));
	struct aw_err err = { 0 };
	struct rpc_done done;
	bool is_none;

	l->call = call;
	l->params = json_incref(params);
	if (read_list(l, &is_none, &err) < 0) {
		done = rpc_fail(call, &err);
	} else if (is_none) {
		done = rpc_reply_text(call, nothing, sizeof(nothing) - 1);
	} else {
		l->list.op = (struct store_op){ .type = STORE_LIST, .done = on_listed };
		store_submit(engine_store(), &l->list.op);
		return rpc_later(call, NULL, NULL);
	}
	list_free(l);
	aw_err_fini(&err);
	return done;
}

static const struct rpc_param list_params[] = {
	{ "state", RPC_ONE_OR_LIST, RPC_NULLABLE, 0, 0, "waiting, running, stopping, done" },
	{ "outcome", RPC_ONE_OR_LIST, RPC_NULLABLE, 0, 0,
	  "succeeded, failed, timed_out, cancelled, skipped, lost" },
	{ "kind", RPC_ONE_OR_LIST, RPC_NULLABLE, 0, 0,
	  "timer, fetch, worker, gather, sequence, race" },
	{ "queue", RPC_ONE_OR_LIST, RPC_NULLABLE, 0, 0, "queues by name" },
	{ "name", RPC_ONE_OR_LIST, RPC_NULLABLE, 0, 0, "names of jobs" },
	{ "tag", RPC_ONE_OR_LIST, RPC_NULLABLE, 0, 0, "tags, any of which a job has" },
	{ "parent", RPC_ANY, RPC_NULLABLE, 0, 0, "the id of a composition, null = top level only" },
	{ "limit", RPC_INTEGER, RPC_NULLABLE, 1, LIST_LIMIT_MAX, "at most so many jobs (100)" },
	{ "after", RPC_STRING, RPC_NULLABLE, 0, 0, "the \"next\" of the page before" },
	{ "order", RPC_STRING, RPC_NULLABLE, 0, 0, "id (rising) or -id" },
	{ 0 },
};

const struct rpc_method method_job_list = {
	.name = "job.list",
	.summary = "jobs by state, outcome, kind, queue, name and tag, page by page",
	.params = list_params,
	.flags = RPC_WHILE_STOPPING,
	.handler = list_jobs,
};
