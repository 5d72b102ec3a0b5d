/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/job/engine.h"
#include "daemon/job/history.h"
#include "daemon/job/job.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/xalloc.h"

/*
 * job.remove: look which of the jobs are there and done, and remove their rows.
 * The reply shows the jobs as they were; job/history.c removes their output.
 */

struct victim {
	struct store_remove remove;
	struct remove_jobs *all;
};

struct remove_jobs {
	struct rpc_call *call;
	int64_t *ids; /* owns */
	size_t n, n_open;
	struct reply_errors errors;
	struct store_get get; /* a record whose id is 0 was not removed */
	struct victim victims[];
};

static void remove_free(struct remove_jobs *w)
{
	reply_errors_fini(&w->errors);
	store_get_fini(&w->get);
	free(w->ids);
	free(w);
}

static int not_done(struct aw_err *err, int64_t id, enum job_state state)
{
	return aw_fail(err, AW_WRONG_STATE,
		       "job %" PRId64 " is %s; only a job that is done can be removed", id,
		       job_state_name(state));
}

/* Why the store has not removed it. */
static void not_removed(struct aw_err *err, const struct store_job *rec,
			const struct store_remove *remove)
{
	switch (remove->op.result) {
	case -EBUSY:
		not_done(err, rec->id, rec->state);
		break;
	case -EXDEV:
		aw_fail(err, AW_WRONG_STATE,
			"job %" PRId64 " is a part of job %" PRId64
			" and goes with it; remove the composition",
			rec->id, rec->parent);
		break;
	case -EDEADLK:
		aw_fail(err, AW_WRONG_STATE,
			"job %" PRId64 ", which is not done, needs job %" PRId64
			" or a part of it; wait for it, or cancel it first",
			remove->blocker, rec->id);
		break;
	default:
		reply_store_failed(err, remove->op.result);
	}
}

/* Why job @i was not removed; it is out of the reply then. */
static void judge(struct remove_jobs *w, size_t i)
{
	struct store_job *rec = &w->get.jobs[i];
	const struct store_remove *remove = &w->victims[i].remove;
	struct aw_err err = { 0 };

	if (!reply_may_see(rec, rpc_viewer(w->call)) || remove->op.result == -ENOENT)
		reply_not_found(&err, w->ids[i]);
	else if (!job_verb_may(JOB_VERB_REMOVE, rec->state))
		not_done(&err, w->ids[i], rec->state);
	else if (remove->op.result < 0)
		not_removed(&err, rec, remove);
	else
		return;
	reply_add_error(&w->errors, w->ids[i], &err);
	rec->id = 0;
}

static void finish(struct remove_jobs *w)
{
	for (size_t i = 0; i < w->n; i++)
		judge(w, i);
	history_look(); /* their output follows */
	reply_finish_each(w->call, w->get.jobs, w->n, &w->errors);
	remove_free(w);
}

static void settle_one(struct remove_jobs *w)
{
	if (--w->n_open == 0)
		finish(w);
}

static void on_removed(struct store_op *op)
{
	settle_one(container_of(op, struct victim, remove.op)->all);
}

static void remove_rows(struct remove_jobs *w)
{
	w->n_open = w->n + 1;
	for (size_t i = 0; i < w->n; i++) {
		const struct store_job *rec = &w->get.jobs[i];
		struct victim *v = &w->victims[i];

		if (!reply_may_see(rec, rpc_viewer(w->call)) ||
		    !job_verb_may(JOB_VERB_REMOVE, rec->state)) {
			w->n_open--;
			continue;
		}
		v->all = w;
		v->remove = (struct store_remove){
			.op = { .type = STORE_REMOVE, .done = on_removed },
			.id = rec->id,
		};
		store_submit(engine_store(), &v->remove.op);
	}
	settle_one(w);
}

static void on_looked_up(struct store_op *op)
{
	struct remove_jobs *w = container_of(op, struct remove_jobs, get.op);
	struct aw_err err = { 0 };

	if (op->result == 0) {
		remove_rows(w);
		return;
	}
	reply_store_failed(&err, op->result);
	rpc_finish_fail(w->call, &err);
	aw_err_fini(&err);
	remove_free(w);
}

static struct rpc_done remove_jobs(struct rpc_call *call, json_t *params)
{
	struct remove_jobs *w;
	int64_t *ids;
	size_t n;

	ids = rpc_ids(params, "ids", &n);
	w = xcalloc(1, sizeof(*w) + n * sizeof(w->victims[0]));
	w->call = call;
	w->ids = ids;
	w->n = n;
	reply_query(&w->get, ids, n, false, on_looked_up);
	return rpc_later(call, NULL, NULL);
}

static const struct rpc_param remove_params[] = {
	{ "ids", RPC_IDS, RPC_REQUIRED, 0, 0, "the jobs, all of them done" },
	{ 0 },
};

const struct rpc_method method_job_remove = {
	.name = "job.remove",
	.summary = "forget jobs that are done, and their output",
	.params = remove_params,
	.flags = RPC_WHILE_STOPPING | RPC_CHANGES | RPC_LOOKS,
	.handler = remove_jobs,
};
