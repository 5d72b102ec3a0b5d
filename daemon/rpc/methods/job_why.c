/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/xalloc.h"

/* job.why: what a job waits for, from the code that decides it. */

struct why {
	struct store_get get;
	struct rpc_call *call;
	int64_t id;
};

static void on_got(struct store_op *op)
{
	struct why *w = container_of(op, struct why, get.op);
	struct aw_err err = { 0 };

	if (op->result < 0)
		(void)reply_store_failed(&err, op->result);
	else if (!reply_may_see(&w->get.jobs[0], rpc_viewer(w->call)))
		(void)reply_not_found(&err, w->id);
	if (err.code)
		rpc_finish_fail(w->call, &err);
	else
		rpc_finish(w->call, engine_why(&w->get.jobs[0]));
	aw_err_fini(&err);
	store_get_fini(&w->get);
	free(w);
}

static struct rpc_done why(struct rpc_call *call, json_t *params)
{
	struct why *w = xcalloc(1, sizeof(*w));

	w->call = call;
	w->id = json_integer_value(json_object_get(params, "id"));
	reply_query(&w->get, &w->id, 1, false, on_got);
	return rpc_later(call, NULL, NULL);
}

static const struct rpc_param why_params[] = {
	{ "id", RPC_INTEGER, RPC_REQUIRED, 1, INT64_MAX, "the job's id" },
	{ 0 },
};

const struct rpc_method method_job_why = {
	.name = "job.why",
	.summary = "what a job waits for, and until when",
	.params = why_params,
	.flags = RPC_WHILE_STOPPING | RPC_ANSWERS_ONLY | RPC_BARRIER | RPC_LOOKS,
	.handler = why,
};
