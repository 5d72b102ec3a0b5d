/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/xalloc.h"

/*
 * job.retry: a new job for each that is done, from its document.  The new one
 * belongs to the old one's owner, whoever asks: its document may hold secrets
 * that are the owner's alone.
 *
 * A thousand documents may be a gigabyte, and minutes of work: so many at once
 * are read, and so long at a stretch they are worked on.
 */
#define AT_ONCE_MAX 32
#define STRETCH_US 2000

struct again {
	struct submission s;
	struct jobdoc doc;
	struct retry_jobs *all;
};

struct retry_jobs {
	struct rpc_call *call;
	int64_t *ids; /* owns */
	size_t n, n_open;
	size_t first, n_done; /* the id of get's first record; how many are worked on */
	struct loop_task go_on;
	struct reply_errors errors;
	struct store_get get;
	int64_t *made; /* owns: ids of the new jobs, 0 = there is none */
	struct again agains[];
};

static void retry_free(struct retry_jobs *w)
{
	for (size_t i = 0; i < w->n; i++) {
		submission_fini(&w->agains[i].s);
		aw_err_fini(&w->agains[i].s.err);
		jobdoc_fini(&w->agains[i].doc);
	}
	reply_errors_fini(&w->errors);
	store_get_fini(&w->get);
	free(w->made);
	free(w->ids);
	free(w);
}

static void fail_all(struct retry_jobs *w, int result)
{
	struct aw_err err = { 0 };

	(void)reply_store_failed(&err, result);
	rpc_finish_fail(w->call, &err);
	aw_err_fini(&err);
	retry_free(w);
}

/* ---- the new document ---- */

static void set_text(json_t *spec, const char *key, const char *text)
{
	if (text && json_object_set_new(spec, key, json_string(text)) < 0)
		xalloc_die();
	if (!text)
		json_object_del(spec, key);
}

/* What job.update may have changed since; what is the default is not named. */
static void take_labels(json_t *spec, const struct store_job *rec)
{
	json_t *tags = rec->tags ? json_loads(rec->tags, 0, NULL) : NULL;
	bool is_own = rec->queue && !strcmp(rec->queue, job_kind_name(rec->kind));

	set_text(spec, "name", rec->name);
	set_text(spec, "queue", is_own ? NULL : rec->queue);
	if (tags)
		json_object_set_new(spec, "tags", tags);
	else
		json_object_del(spec, "tags");
	if (rec->priority)
		json_object_set_new(spec, "priority", xjson(json_integer(rec->priority)));
	else
		json_object_del(spec, "priority");
}

/* By id: in the document they may be places in a request that is long gone. */
static void take_needs(json_t *spec, const struct store_job *rec)
{
	json_t *needs = xjson(json_array());

	for (size_t i = 0; i < rec->n_needs; i++)
		json_array_append_new(
			needs, xjson(json_pack("{s:I, s:s}", "job", (json_int_t)rec->needs[i].job,
					       "on", need_on_name(rec->needs[i].on))));
	if (rec->n_needs)
		json_object_set(spec, "needs", needs);
	else
		json_object_del(spec, "needs");
	json_decref(needs);
}

static int make_document(const struct store_job *rec, struct jobdoc *ret, struct aw_err *err)
{
	/* It is asked for now: what it once waited for in time is over. */
	static const char *const dropped[] = { "key", "shield", "delay", "at" };
	json_t *spec = rec->spec ? json_loadb(rec->spec, rec->spec_len, 0, NULL) : NULL;
	int r;

	if (!json_is_object(spec)) {
		json_decref(spec);
		return aw_fail(err, AW_INTERNAL,
			       "the stored document of job %" PRId64
			       " is damaged; submit the job anew",
			       rec->id);
	}
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
		json_object_del(spec, dropped[i]);
	take_labels(spec, rec);
	take_needs(spec, rec);
	r = jobdoc_check(spec, "", 0, ret, err);
	json_decref(spec);
	return r;
}

/* ---- each id for itself ---- */

static void on_got_new(struct store_op *op)
{
	struct retry_jobs *w = container_of(op, struct retry_jobs, get.op);

	if (op->result < 0) {
		fail_all(w, op->result);
		return;
	}
	reply_finish_each(w->call, w->get.jobs, w->get.n, &w->errors);
	retry_free(w);
}

static void finish(struct retry_jobs *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		if (w->made[i])
			w->made[n++] = w->made[i];
		else
			reply_add_error(&w->errors, w->ids[i], &w->agains[i].s.err);
	}
	if (n) {
		reply_query(&w->get, w->made, n, false, on_got_new);
		return;
	}
	reply_finish_each(w->call, NULL, 0, &w->errors);
	retry_free(w);
}

static void settle_one(struct retry_jobs *w)
{
	if (--w->n_open == 0)
		finish(w);
}

static void on_submitted(struct submission *s)
{
	struct again *a = container_of(s, struct again, s);
	struct retry_jobs *w = a->all;

	if (!s->err.code) {
		w->made[a - w->agains] = submission_job(s, 0)->id;
		submission_fini(s);
		jobdoc_fini(&a->doc);
	}
	settle_one(w);
}

static int check_one(const struct store_job *rec, int64_t id, struct viewer viewer,
		     struct aw_err *err)
{
	if (!reply_may_see(rec, viewer))
		return reply_not_found(err, id);
	if (rec->state != JOB_DONE)
		return aw_fail(err, AW_WRONG_STATE,
			       "job %" PRId64 " is %s; only a job that is done can be retried", id,
			       job_state_name(rec->state));
	return 0;
}

static void retry_one(struct retry_jobs *w, size_t i)
{
	const struct store_job *rec = &w->get.jobs[i - w->first];
	struct again *a = &w->agains[i];

	a->all = w;
	a->s = (struct submission){
		.docs = &a->doc,
		.n = 1,
		.uid = rec->uid,
		.gid = rec->gid,
		.retry_of = rec->id,
		.done = on_submitted,
	};
	if (check_one(rec, w->ids[i], rpc_viewer(w->call), &a->s.err) < 0 ||
	    make_document(rec, &a->doc, &a->s.err) < 0)
		settle_one(w);
	else
		engine_submit(&a->s, false);
}

static void look_up(struct retry_jobs *w);

static void on_go_on(struct loop_task *task)
{
	struct retry_jobs *w = container_of(task, struct retry_jobs, go_on);
	struct mono end = mono_in_us(STRETCH_US);

	while (w->n_done < w->first + w->get.n && now_mono().ns < end.ns)
		retry_one(w, w->n_done++);
	if (w->n_done < w->first + w->get.n) {
		loop_defer(task);
		return;
	}
	store_get_fini(&w->get);
	if (w->n_done < w->n)
		look_up(w);
	else
		settle_one(w);
}

static void on_looked_up(struct store_op *op)
{
	struct retry_jobs *w = container_of(op, struct retry_jobs, get.op);

	if (op->result == 0) {
		on_go_on(&w->go_on);
		return;
	}
	for (size_t i = w->n_done; i < w->n; i++) {
		(void)reply_store_failed(&w->agains[i].s.err, op->result);
		settle_one(w);
	}
	settle_one(w);
}

/* The next of them. */
static void look_up(struct retry_jobs *w)
{
	size_t left = w->n - w->n_done;

	w->first = w->n_done;
	reply_query(&w->get, w->ids + w->first, left < AT_ONCE_MAX ? left : AT_ONCE_MAX, true,
		    on_looked_up);
}

static struct rpc_done retry_jobs(struct rpc_call *call, json_t *params)
{
	struct retry_jobs *w;
	int64_t *ids;
	size_t n;

	ids = rpc_ids(params, "ids", &n);
	w = xcalloc(1, sizeof(*w) + n * sizeof(w->agains[0]));
	w->call = call;
	w->ids = ids;
	w->n = n;
	/* One more than there are: the last answer, which may be an early one, frees it all. */
	w->n_open = n + 1;
	w->made = xcalloc(n, sizeof(*w->made));
	w->go_on.fn = on_go_on;
	look_up(w);
	return rpc_later(call, NULL, NULL);
}

static const struct rpc_param retry_params[] = {
	{ "ids", RPC_IDS, RPC_REQUIRED, 0, 0, "the jobs, all of them done" },
	{ 0 },
};

const struct rpc_method method_job_retry = {
	.name = "job.retry",
	.summary = "make new jobs of jobs that are done",
	.params = retry_params,
	.flags = RPC_CHANGES | RPC_LOOKS,
	.handler = retry_jobs,
};
