/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/jobvalue.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* job.hold, job.release and job.update: where and how a waiting job waits. */

/* ---- hold, release: each id for itself, answered when all of it is durable ---- */

struct hold_jobs {
	struct rpc_call *call;
	size_t n, n_open;
	struct reply_errors errors;
	struct store_get get;
	int64_t *changed; /* owns: the ids that could be */
	struct job_edit edits[];
};

static void hold_free(struct hold_jobs *w)
{
	for (size_t i = 0; i < w->n; i++)
		aw_err_fini(&w->edits[i].err);
	reply_errors_fini(&w->errors);
	store_get_fini(&w->get);
	free(w->changed);
	free(w);
}

static void on_got(struct store_op *op)
{
	struct hold_jobs *w = container_of(op, struct hold_jobs, get.op);
	struct aw_err err = { 0 };

	if (op->result < 0) {
		(void)reply_store_failed(&err, op->result);
		rpc_finish_fail(w->call, &err);
		aw_err_fini(&err);
	} else {
		reply_finish_each(w->call, w->get.jobs, w->get.n, &w->errors);
	}
	hold_free(w);
}

static void finish(struct hold_jobs *w)
{
	size_t n = 0;

	w->changed = xcalloc(w->n, sizeof(*w->changed));
	for (size_t i = 0; i < w->n; i++) {
		if (w->edits[i].result < 0)
			reply_add_error(&w->errors, w->edits[i].id, &w->edits[i].err);
		else
			w->changed[n++] = w->edits[i].id;
	}
	if (n) {
		reply_query(&w->get, w->changed, n, false, on_got);
		return;
	}
	reply_finish_each(w->call, NULL, 0, &w->errors);
	hold_free(w);
}

static void settle_one(struct hold_jobs *w)
{
	if (--w->n_open == 0)
		finish(w);
}

static void on_held(struct job_edit *e)
{
	settle_one(e->arg);
}

static struct rpc_done hold_jobs(struct rpc_call *call, const json_t *params, bool is_held)
{
	struct hold_jobs *w;
	struct rpc_done done;
	int64_t *ids;
	size_t n;

	ids = rpc_ids(params, "ids", &n);
	w = xcalloc(1, sizeof(*w) + n * sizeof(w->edits[0]));
	w->call = call;
	w->n = n;
	done = rpc_later(call, NULL, NULL);
	for (size_t i = 0; i < n; i++)
		w->edits[i] = (struct job_edit){
			.id = ids[i],
			.viewer = rpc_viewer(call),
			.fields = STORE_HELD,
			.is_held = is_held,
			.done = on_held,
			.arg = w,
		};
	free(ids);
	/* One more than there are: some are answered at once, and the last answer frees it all. */
	w->n_open = n + 1;
	for (size_t i = 0; i < n; i++)
		engine_edit(&w->edits[i]);
	settle_one(w);
	return done;
}

static struct rpc_done hold(struct rpc_call *call, json_t *params)
{
	return hold_jobs(call, params, true);
}

static struct rpc_done release(struct rpc_call *call, json_t *params)
{
	return hold_jobs(call, params, false);
}

static const struct rpc_param hold_params[] = {
	{ "ids", RPC_IDS, RPC_REQUIRED, 0, 0, "the jobs, all of them waiting" },
	{ 0 },
};

const struct rpc_method method_job_hold = {
	.name = "job.hold",
	.summary = "do not start waiting jobs until they are released",
	.params = hold_params,
	.flags = RPC_WHILE_STOPPING | RPC_CHANGES,
	.handler = hold,
};

const struct rpc_method method_job_release = {
	.name = "job.release",
	.summary = "let held jobs start",
	.params = hold_params,
	.flags = RPC_WHILE_STOPPING | RPC_CHANGES,
	.handler = release,
};

/* ---- update ---- */

struct update {
	struct rpc_call *call;
	json_t *params; /* owns */
	struct store_get get;
	struct job_edit edit;
	/* own, in their normal form; what edit borrows is in them */
	json_t *name, *queue;
	char *tags;
};

static void update_free(struct update *u)
{
	json_decref(u->params);
	json_decref(u->name);
	json_decref(u->queue);
	free(u->tags);
	aw_err_fini(&u->edit.err);
	store_get_fini(&u->get);
	free(u);
}

static void fail_update(struct update *u, struct aw_err *err)
{
	rpc_finish_fail(u->call, err);
	aw_err_fini(err);
	update_free(u);
}

/*
 * The parameter @name as the document's key of that name, in normal form (a
 * new reference): NULL in *ret for null, which means what a document means
 * that does not have the key.  1 if it is given, 0 if not, or -EINVAL.
 */
static int read_key(const struct update *u, enum job_kind kind, const char *name, json_t **ret,
		    struct aw_err *err)
{
	const json_t *value = json_object_get(u->params, name);
	struct jobvalue_place place = {
		.prefix = "",
		.err = err,
		.key = jobkey_find(kind, name),
		.kind = kind,
		.index = JOBVALUE_NO_INDEX,
	};
	char path[32];

	*ret = NULL;
	if (!value)
		return 0;
	if (!place.key) {
		snprintf(path, sizeof(path), "/%s", name);
		return aw_fail_at(err, AW_PARAMS, path, "a %s has no %s", job_kind_name(kind),
				  name);
	}
	if (json_is_null(value))
		return 1;
	*ret = jobvalue_normal(&place, value);
	return *ret ? 1 : -EINVAL;
}

static int read_labels(struct update *u, enum job_kind kind, struct aw_err *err)
{
	struct job_edit *e = &u->edit;
	json_t *tags;
	int r = read_key(u, kind, "name", &u->name, err);

	if (r < 0)
		return r;
	if (r)
		e->fields |= STORE_NAME;
	e->name = json_string_value(u->name);
	r = read_key(u, kind, "tags", &tags, err);
	if (r < 0)
		return r;
	if (r)
		e->fields |= STORE_TAGS;
	if (json_array_size(tags))
		u->tags = buf_json_text(tags);
	e->tags = u->tags;
	json_decref(tags);
	return 0;
}

/* What the document's reader makes of a kind without a queue of its own given. */
static const char *default_queue(enum job_kind kind)
{
	return kind == JOB_FETCH || kind == JOB_WORKER ? job_kind_name(kind) : NULL;
}

static int read_place(struct update *u, enum job_kind kind, struct aw_err *err)
{
	struct job_edit *e = &u->edit;
	json_t *priority;
	int r = read_key(u, kind, "queue", &u->queue, err);

	if (r < 0)
		return r;
	if (r)
		e->fields |= STORE_IN_QUEUE;
	e->queue = u->queue ? json_string_value(u->queue) : default_queue(kind);
	r = read_key(u, kind, "priority", &priority, err);
	if (r < 0)
		return r;
	if (r)
		e->fields |= STORE_PRIORITY;
	e->priority = (int)json_integer_value(priority);
	json_decref(priority);
	return 0;
}

static int read_due(struct update *u, enum job_kind kind, struct aw_err *err)
{
	json_t *delay = NULL, *at = NULL;
	int64_t delay_us = -1, at_ms = 0;
	const char *why;
	int has_delay = read_key(u, kind, "delay", &delay, err);
	int has_at = has_delay < 0 ? has_delay : read_key(u, kind, "at", &at, err);
	int r = has_at < 0 ? has_at : 0;

	if (has_delay > 0 && has_at > 0)
		r = aw_fail_at(err, AW_PARAMS, "/at", "\"at\" and \"delay\" exclude each other");
	/* Both are in normal form: that they can be read is certain. */
	if (r == 0 && delay)
		r = duration_from_json(delay, &delay_us, &why);
	if (r == 0 && at)
		r = time_parse(json_string_value(at), &at_ms, &why);
	if (r == 0 && (has_delay || has_at)) {
		u->edit.fields |= STORE_DUE;
		u->edit.due = engine_due(delay_us, at_ms);
	}
	json_decref(delay);
	json_decref(at);
	return r;
}

static void on_read_back(struct store_op *op)
{
	struct update *u = container_of(op, struct update, get.op);
	struct aw_err err = { 0 };
	struct buf b = { 0 };

	if (op->result < 0)
		(void)reply_store_failed(&err, op->result);
	else if (!u->get.jobs[0].id)
		(void)reply_not_found(&err, u->edit.id);
	if (err.code) {
		fail_update(u, &err);
		return;
	}
	engine_print_job(&b, &u->get.jobs[0], VIEWER_WITHOUT_SECRETS, true);
	rpc_finish_text(u->call, b.data, b.len);
	buf_fini(&b);
	update_free(u);
}

static void on_updated(struct job_edit *e)
{
	struct update *u = e->arg;

	if (e->result < 0) {
		struct aw_err err = e->err;

		e->err = (struct aw_err){ 0 };
		fail_update(u, &err);
		return;
	}
	reply_query(&u->get, &e->id, 1, true, on_read_back);
}

/* What may be changed depends on the kind, so the record comes first. */
static void on_looked_up(struct store_op *op)
{
	struct update *u = container_of(op, struct update, get.op);
	const struct store_job *rec = op->result == 0 ? &u->get.jobs[0] : NULL;
	struct aw_err err = { 0 };

	if (!rec)
		(void)reply_store_failed(&err, op->result);
	else if (!reply_may_see(rec, u->edit.viewer))
		(void)reply_not_found(&err, u->edit.id);
	else if (read_labels(u, rec->kind, &err) == 0 && read_place(u, rec->kind, &err) == 0)
		(void)read_due(u, rec->kind, &err);
	store_get_fini(&u->get);
	if (err.code)
		fail_update(u, &err);
	else
		engine_edit(&u->edit);
}

static struct rpc_done update(struct rpc_call *call, json_t *params)
{
	struct aw_err err = { 0 };
	struct update *u;

	if (json_object_size(params) < 2) {
		struct rpc_done done;

		(void)aw_fail_at(&err, AW_PARAMS, "",
				 "nothing to change; name one or more of priority, queue, at, "
				 "delay, name and tags");
		done = rpc_fail(call, &err);
		aw_err_fini(&err);
		return done;
	}
	u = xcalloc(1, sizeof(*u));
	u->call = call;
	u->params = json_incref(params);
	u->edit.id = json_integer_value(json_object_get(params, "id"));
	u->edit.viewer = rpc_viewer(call);
	u->edit.done = on_updated;
	u->edit.arg = u;
	reply_query(&u->get, &u->edit.id, 1, false, on_looked_up);
	return rpc_later(call, NULL, NULL);
}

static const struct rpc_param update_params[] = {
	{ "id", RPC_INTEGER, RPC_REQUIRED, 1, INT64_MAX, "the job's id" },
	{ "priority", RPC_ANY, RPC_NULLABLE, 0, 0, "higher starts first; null = 0" },
	{ "queue", RPC_ANY, RPC_NULLABLE, 0, 0,
	  "whose limit it counts against; null = its kind's" },
	{ "at", RPC_ANY, RPC_NULLABLE, 0, 0, "do not start before this time; null = at once" },
	{ "delay", RPC_ANY, RPC_NULLABLE, 0, 0,
	  "do not start before so much time has passed from now; null = at once" },
	{ "name", RPC_ANY, RPC_NULLABLE, 0, 0, "a label for people; null = none" },
	{ "tags", RPC_ANY, RPC_NULLABLE, 0, 0, "labels to filter by; null = none" },
	{ 0 },
};

const struct rpc_method method_job_update = {
	.name = "job.update",
	.summary = "change where and how a waiting job waits",
	.params = update_params,
	.flags = RPC_WHILE_STOPPING | RPC_CHANGES,
	.handler = update,
};
