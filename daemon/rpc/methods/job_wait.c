/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/now.h"
#include "daemon/co/loop.h"
#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/*
 * job.wait.  First look: every job must be there.  Then watch those that are
 * not done; a job that ended between the look and the watch is no longer live
 * and counts as done.  When enough are, or time is over, look again and show
 * them all as they are then.
 *
 * A thousand jobs make an answer of megabytes: until the first look at so many
 * is over the connection's next request is not read, since without that who
 * asks for it over and over is not held back by answers yet unread.
 */
#define FEW_JOBS 16

struct wait_one {
	struct job_watch watch;
	struct wait_jobs *all;
	bool is_watched;
};

struct wait_jobs {
	struct rpc_call *call;
	int64_t *ids; /* owns */
	size_t n, n_done;
	bool is_any;
	bool has_timed_out;
	bool is_gone;
	bool is_asking;	    /* get is on its way */
	int64_t timeout_us; /* -1 = none */
	struct mono end;
	struct loop_timer timer;
	struct store_get get;
	struct wait_one ones[];
};

static void wait_free(struct wait_jobs *w)
{
	store_get_fini(&w->get);
	free(w->ids);
	free(w);
}

static bool is_enough(const struct wait_jobs *w)
{
	return w->n_done == w->n || (w->is_any && w->n_done > 0);
}

static void stop_watching(struct wait_jobs *w)
{
	loop_timer_cancel(&w->timer);
	for (size_t i = 0; i < w->n; i++) {
		if (w->ones[i].is_watched)
			engine_unwatch(&w->ones[i].watch);
		w->ones[i].is_watched = false;
	}
}

static void fail(struct wait_jobs *w, const struct aw_err *err)
{
	rpc_finish_fail(w->call, err);
	wait_free(w);
}

static void answer(struct wait_jobs *w)
{
	struct buf b = { 0 };

	buf_adds(&b, "{\"jobs\":[");
	reply_add_jobs(&b, w->get.jobs, w->n, rpc_viewer(w->call));
	buf_adds(&b, w->has_timed_out ? "],\"timed_out\":true}" : "],\"timed_out\":false}");
	rpc_finish_text(w->call, b.data, b.len);
	buf_fini(&b);
	wait_free(w);
}

/* All are there and visible, or else the error about the first that is not. */
static int check_all(struct wait_jobs *w, struct aw_err *err)
{
	if (w->get.op.result < 0)
		return reply_store_failed(err, w->get.op.result);
	for (size_t i = 0; i < w->n; i++)
		if (!reply_may_see(&w->get.jobs[i], rpc_viewer(w->call)))
			return reply_not_found(err, w->ids[i]);
	return 0;
}

static void on_last_look(struct store_op *op)
{
	struct wait_jobs *w = container_of(op, struct wait_jobs, get.op);
	struct aw_err err = { 0 };

	if (check_all(w, &err) == 0)
		answer(w);
	else
		fail(w, &err);
	aw_err_fini(&err);
}

static void look_again(struct wait_jobs *w)
{
	stop_watching(w);
	store_get_fini(&w->get);
	rpc_set_idle(w->call, false);
	w->is_asking = true;
	reply_query(&w->get, w->ids, w->n, false, on_last_look);
}

static void on_note(struct job_watch *watch, enum engine_note note)
{
	struct wait_one *one = container_of(watch, struct wait_one, watch);

	if (note != ENGINE_ENDED)
		return;
	one->is_watched = false;
	one->all->n_done++;
	if (is_enough(one->all))
		look_again(one->all);
}

static void on_timeout(struct loop_timer *timer)
{
	struct wait_jobs *w = container_of(timer, struct wait_jobs, timer);

	w->has_timed_out = true;
	look_again(w);
}

static void watch_all(struct wait_jobs *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct wait_one *one = &w->ones[i];

		if (w->get.jobs[i].state == JOB_DONE)
			continue;
		one->all = w;
		one->watch.fn = on_note;
		one->is_watched = engine_watch(w->ids[i], &one->watch);
		w->n_done += !one->is_watched;
	}
}

static void on_first_look(struct store_op *op)
{
	struct wait_jobs *w = container_of(op, struct wait_jobs, get.op);
	struct aw_err err = { 0 };

	w->is_asking = false;
	if (w->is_gone || check_all(w, &err) < 0) {
		fail(w, &err);
		aw_err_fini(&err);
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		w->n_done += w->get.jobs[i].state == JOB_DONE;
	/* What we have just seen is the answer, if it is enough or no more is wanted. */
	if (is_enough(w) || w->timeout_us == 0) {
		w->has_timed_out = !is_enough(w);
		answer(w);
		return;
	}
	watch_all(w);
	if (is_enough(w)) {
		look_again(w);
		return;
	}
	if (w->n > FEW_JOBS)
		rpc_go_on(w->call);
	rpc_set_idle(w->call, true);
	loop_timer_set(&w->timer, w->end);
}

static void on_gone(void *arg)
{
	struct wait_jobs *w = arg;
	struct aw_err err = { 0 };

	w->is_gone = true;
	if (w->is_asking)
		return; /* the look ends it */
	stop_watching(w);
	fail(w, &err);
}

static int check_mode(const json_t *params, bool *ret_any, struct aw_err *err)
{
	const char *mode = json_string_value(json_object_get(params, "mode"));

	*ret_any = mode && !strcmp(mode, "any");
	if (!mode || *ret_any || !strcmp(mode, "all"))
		return 0;
	return aw_fail_at(err, AW_PARAMS, "/mode", "\"mode\" must be \"all\" or \"any\"");
}

static int64_t read_timeout(const json_t *params)
{
	const json_t *timeout = json_object_get(params, "timeout");
	const char *why;
	int64_t us;

	if (!timeout || duration_from_json(timeout, &us, &why) < 0)
		return -1;
	return us;
}

static struct rpc_done wait_jobs(struct rpc_call *call, json_t *params)
{
	struct aw_err err = { 0 };
	struct wait_jobs *w;
	struct rpc_done done;
	bool is_any;
	int64_t *ids;
	size_t n;

	if (check_mode(params, &is_any, &err) < 0) {
		done = rpc_fail(call, &err);
		aw_err_fini(&err);
		return done;
	}
	ids = rpc_ids(params, "ids", &n);
	w = xcalloc(1, sizeof(*w) + n * sizeof(w->ones[0]));
	w->call = call;
	w->ids = ids;
	w->n = n;
	w->is_any = is_any;
	w->timeout_us = read_timeout(params);
	w->end = w->timeout_us < 0 ? MONO_NEVER : mono_in_us(w->timeout_us);
	w->timer.fn = on_timeout;
	w->is_asking = true;
	reply_query(&w->get, ids, n, false, on_first_look);
	done = rpc_later(call, on_gone, w);
	if (n > FEW_JOBS)
		rpc_hold(call);
	return done;
}

static const struct rpc_param wait_params[] = {
	{ "ids", RPC_IDS, RPC_REQUIRED, 0, 0, "the jobs" },
	{ "mode", RPC_STRING, RPC_NULLABLE, 0, 0, "all (default) or any" },
	{ "timeout", RPC_DURATION, RPC_NULLABLE, 0, 0,
	  "wait at most so long; 0 = only look, null = for ever" },
	{ 0 },
};

const struct rpc_method method_job_wait = {
	.name = "job.wait",
	.summary = "wait until all or any of the jobs are done",
	.params = wait_params,
	.flags = RPC_WHILE_STOPPING | RPC_ANSWERS_ONLY | RPC_LOOKS,
	.handler = wait_jobs,
};
