/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/limits.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* job.cancel: each id for itself, answered when all requests are durable. */

struct cancel_jobs {
	struct rpc_call *call;
	bool is_gone; /* nobody waits for the answer */
	size_t n, n_open;
	struct reply_errors errors;
	struct store_get get;
	int64_t *cancelled; /* owns: the ids that could be */
	struct cancel cancels[];
};

static void cancel_free(struct cancel_jobs *w)
{
	for (size_t i = 0; i < w->n; i++) {
		free(w->cancels[i].message);
		aw_err_fini(&w->cancels[i].err);
	}
	reply_errors_fini(&w->errors);
	store_get_fini(&w->get);
	free(w->cancelled);
	free(w);
}

static void on_got(struct store_op *op)
{
	struct cancel_jobs *w = container_of(op, struct cancel_jobs, get.op);
	struct aw_err err = { 0 };

	if (op->result < 0) {
		reply_store_failed(&err, op->result);
		rpc_finish_fail(w->call, &err);
		aw_err_fini(&err);
	} else {
		reply_finish_each(w->call, w->get.jobs, w->get.n, &w->errors);
	}
	cancel_free(w);
}

static void finish(struct cancel_jobs *w)
{
	size_t n = 0;

	w->cancelled = xcalloc(w->n, sizeof(*w->cancelled));
	for (size_t i = 0; i < w->n; i++) {
		if (w->cancels[i].result < 0)
			reply_add_error(&w->errors, w->cancels[i].id, &w->cancels[i].err);
		else
			w->cancelled[n++] = w->cancels[i].id;
	}
	if (n && !w->is_gone) {
		reply_query(&w->get, w->cancelled, n, false, on_got);
		return;
	}
	reply_finish_each(w->call, NULL, 0, &w->errors);
	cancel_free(w);
}

static void on_cancelled(struct cancel *c)
{
	struct cancel_jobs *w = c->arg;

	if (--w->n_open == 0)
		finish(w);
}

static void on_gone(void *arg)
{
	struct cancel_jobs *w = arg;

	w->is_gone = true;
}

static int check(const json_t *params, int64_t *ret_grace_us, const char **ret_message,
		 struct aw_err *err)
{
	const json_t *grace = json_object_get(params, "grace");
	const char *why;

	*ret_grace_us = -1;
	*ret_message = json_string_value(json_object_get(params, "message"));
	if (grace && !json_is_null(grace) &&
	    (duration_from_json(grace, ret_grace_us, &why) < 0 || *ret_grace_us > JOB_GRACE_MAX_US))
		return aw_fail_at(err, AW_PARAMS, "/grace", "\"grace\" must be from 0 to 1 hour");
	if (*ret_message && strlen(*ret_message) > CANCEL_MESSAGE_MAX_BYTES)
		return aw_fail_at(err, AW_PARAMS, "/message",
				  "\"message\" may have at most %d bytes",
				  CANCEL_MESSAGE_MAX_BYTES);
	return 0;
}

static struct rpc_done cancel_jobs(struct rpc_call *call, json_t *params)
{
	struct aw_err err = { 0 };
	struct cancel_jobs *w;
	struct rpc_done done;
	const char *message;
	int64_t grace_us, *ids;
	size_t n;

	if (check(params, &grace_us, &message, &err) < 0) {
		done = rpc_fail(call, &err);
		aw_err_fini(&err);
		return done;
	}
	ids = rpc_ids(params, "ids", &n);
	w = xcalloc(1, sizeof(*w) + n * sizeof(w->cancels[0]));
	w->call = call;
	w->n = n;
	done = rpc_later(call, on_gone, w);
	for (size_t i = 0; i < n; i++)
		w->cancels[i] = (struct cancel){
			.id = ids[i],
			.viewer = rpc_viewer(call),
			.grace_us = grace_us,
			.message = message ? xstrdup(message) : NULL,
			.done = on_cancelled,
			.arg = w,
		};
	free(ids);
	/* One more than there are, since some are answered at once: the last answer frees it all.
	 */
	w->n_open = n + 1;
	for (size_t i = 0; i < n; i++)
		engine_cancel(&w->cancels[i]);
	on_cancelled(&w->cancels[0]);
	return done;
}

static const struct rpc_param cancel_params[] = {
	{ "ids", RPC_IDS, RPC_REQUIRED, 0, 0, "the jobs" },
	{ "grace", RPC_DURATION, RPC_NULLABLE, 0, 0,
	  "between the polite stop and the kill (the job's own)" },
	{ "message", RPC_STRING, RPC_NULLABLE, 0, 0, "why, for the jobs' error" },
	{ 0 },
};

const struct rpc_method method_job_cancel = {
	.name = "job.cancel",
	.summary = "ask jobs to end; answered when the requests are durable",
	.params = cancel_params,
	.flags = RPC_WHILE_STOPPING | RPC_CHANGES,
	.handler = cancel_jobs,
};
