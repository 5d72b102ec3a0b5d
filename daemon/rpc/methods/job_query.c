/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/limits.h"
#include "proto/names.h"
#include "proto/quick.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* job.get and job.list. */

/* Records may be large: who asks for many at once gets them one after the other. */
#define ONE_BY_ONE (RPC_WHILE_STOPPING | RPC_ANSWERS_ONLY | RPC_BARRIER | RPC_LOOKS)

/* ---- job.get ---- */

struct get {
	struct store_get get;
	struct rpc_call *call;
	int64_t id;
};

static void add_time(struct buf *b, const char *key, struct wall t)
{
	char text[TIME_TEXT_BYTES];

	buf_adds(b, key);
	if (t.ms)
		time_format(t.ms, text);
	buf_add_json_string(b, t.ms ? text : NULL);
}

static void add_attempt(struct buf *b, const struct store_attempt *a)
{
	json_t *error = a->error_json ? quick_load(a->error_json) : NULL;
	json_t *result = a->result_json ? quick_load(a->result_json) : NULL;

	buf_adds(b, "{\"attempt\":");
	buf_addi(b, a->attempt);
	add_time(b, ",\"started_at\":", a->started);
	add_time(b, ",\"ended_at\":", a->ended);
	buf_adds(b, ",\"outcome\":");
	buf_add_json_string(b, job_outcome_name(a->outcome));
	buf_adds(b, ",\"result\":");
	buf_add_json(b, result);
	buf_adds(b, ",\"error\":");
	buf_add_json(b, error);
	buf_addc(b, '}');
	json_decref(error);
	json_decref(result);
}

/* Into the job object that is printed in @b: job.get alone has them. */
static void add_attempts(struct buf *b, const struct store_job *rec)
{
	assert(b->len && b->data[b->len - 1] == '}');
	b->len--;
	buf_adds(b, ",\"attempts\":[");
	for (size_t i = 0; i < rec->n_attempts; i++) {
		if (i)
			buf_addc(b, ',');
		add_attempt(b, &rec->attempts[i]);
	}
	buf_adds(b, "]}");
}

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
		add_attempts(&b, &g->get.jobs[0]);
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
	g->get = (struct store_get){
		.op = { .type = STORE_GET, .done = on_got },
		.ids = &g->id,
		.n = 1,
		.with_attempts = true,
	};
	store_submit(engine_store(), &g->get.op);
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
	.flags = ONE_BY_ONE,
	.handler = get,
};

/* ---- job.list ---- */

struct list_jobs {
	struct store_list list;
	struct rpc_call *call;
	json_t *params;			      /* owns; the filters' text is in it */
	const char **queues, **names, **tags; /* own the arrays */
	int64_t *parents;		      /* owns */
};

static void list_free(struct list_jobs *l)
{
	store_list_fini(&l->list);
	free(l->queues);
	free(l->names);
	free(l->tags);
	free(l->parents);
	json_decref(l->params);
	free(l);
}

/* A job's id, or null for top level, as the store has them: 0 is top level.  -1: neither. */
static int64_t read_parent(const json_t *value)
{
	if (json_is_null(value))
		return 0;
	return json_is_integer(value) && json_integer_value(value) > 0 ? json_integer_value(value)
								       : -1;
}

static int filter_parents(struct list_jobs *l, struct aw_err *err)
{
	const json_t *value = json_object_get(l->params, "parent");
	size_t n = json_is_array(value) ? json_array_size(value) : value != NULL;
	struct store_list *q = &l->list;

	if (value && (n == 0 || n > FILTER_MAX))
		return aw_fail_at(err, AW_PARAMS, "/parent", "\"parent\" may have 1 to %d values",
				  FILTER_MAX);
	l->parents = xcalloc(n + 1, sizeof(*l->parents));
	for (size_t i = 0; i < n; i++) {
		l->parents[i] =
			read_parent(json_is_array(value) ? json_array_get(value, i) : value);
		if (l->parents[i] < 0)
			return aw_fail_at(err, AW_PARAMS, "/parent",
					  "\"parent\" must be a job's id, null for top level, or a "
					  "list of them");
	}
	/* Of a single one the store finds the parts without looking at all jobs. */
	if (n == 1) {
		q->parent = l->parents[0] ? l->parents[0] : -1;
		return 0;
	}
	q->parents = l->parents;
	q->n_parents = n;
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

static int read_list(struct list_jobs *l, struct aw_err *err)
{
	const json_t *p = l->params, *limit = json_object_get(p, "limit");
	struct store_list *q = &l->list;

	if (filter_bits(p, "state", &filter_states, &q->states, err) < 0 ||
	    filter_bits(p, "outcome", &filter_outcomes, &q->outcomes, err) < 0 ||
	    filter_bits(p, "kind", &filter_kinds, &q->kinds, err) < 0 ||
	    filter_texts(p, "queue", &l->queues, err) < 0 ||
	    filter_texts(p, "name", &l->names, err) < 0 ||
	    filter_texts(p, "tag", &l->tags, err) < 0 || filter_parents(l, err) < 0 ||
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
	struct list_jobs *l = xcalloc(1, sizeof(*l));
	struct aw_err err = { 0 };
	struct rpc_done done;

	l->call = call;
	l->params = json_incref(params);
	if (read_list(l, &err) == 0) {
		l->list.op = (struct store_op){ .type = STORE_LIST, .done = on_listed };
		store_submit(engine_store(), &l->list.op);
		return rpc_later(call, NULL, NULL);
	}
	done = rpc_fail(call, &err);
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
	.summary = "jobs by state, outcome, kind, queue, name, tag and parent, page by page",
	.params = list_params,
	.flags = ONE_BY_ONE,
	.handler = list_jobs,
};
