/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/co/await.h"
#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/xalloc.h"

/* job.submit and job.submit_many: documents become jobs, answered when they are durable. */

struct submit {
	struct submission s;
	struct rpc_call *call;
	bool is_many;
	struct store_get get; /* for a job that was there already */
	/* Many documents are checked, and freed in the end, off the loop: it takes milliseconds. */
	bool is_large;
	struct offload work;
	json_t *params; /* owns; of the request, until they are checked */
	struct aw_err err;
	struct jobdoc docs[];
};

/* It is on its way to the store: what comes behind it on its connection stays behind it. */
static void on_sent(struct submission *s)
{
	rpc_go_on(((struct submit *)s->arg)->call);
}

/* @params are borrowed; @n of documents. */
static struct submit *submit_new(struct rpc_call *call, json_t *params, size_t n,
				 void (*done)(struct submission *s))
{
	struct submit *w = xcalloc(1, sizeof(*w) + n * sizeof(w->docs[0]));

	w->call = call;
	w->params = params ? json_incref(params) : xjson(json_object());
	w->s.sent = on_sent;
	w->s.docs = w->docs;
	w->s.n = n;
	w->s.uid = rpc_uid(call);
	w->s.gid = rpc_gid(call);
	w->s.done = done;
	w->s.arg = w;
	return w;
}

static void submit_fini(struct submit *w)
{
	submission_fini(&w->s);
	for (size_t i = 0; i < w->s.n; i++)
		jobdoc_fini(&w->docs[i]);
	store_get_fini(&w->get);
	aw_err_fini(&w->err);
	json_decref(w->params);
}

static void fini_work(struct offload *o)
{
	submit_fini(container_of(o, struct submit, work));
}

static void fini_done(struct offload *o)
{
	free(container_of(o, struct submit, work));
}

static void submit_free(struct submit *w)
{
	if (w->is_large) {
		w->work = (struct offload){ .work = fini_work, .done = fini_done };
		offload_submit(&w->work);
		return;
	}
	submit_fini(w);
	free(w);
}

/* Pure: any thread. */
static void check(struct submit *w)
{
	const json_t *jobs = json_object_get(w->params, "jobs");
	int r = 0;

	if (!w->is_many)
		r = jobdoc_check(w->params, "", 0, &w->docs[0], &w->err);
	for (size_t i = 0; w->is_many && i < w->s.n && r == 0; i++) {
		char prefix[48];

		snprintf(prefix, sizeof(prefix), "/jobs/%zu", i);
		r = jobdoc_check(json_array_get(jobs, i), prefix, i, &w->docs[i], &w->err);
	}
	json_decref(w->params);
	w->params = NULL;
}

/* Hand it to the engine, which may answer before it returns. */
static void on_checked(struct submit *w)
{
	if (w->err.code == AW_OK) {
		engine_submit(&w->s, w->is_many);
		return;
	}
	rpc_finish_fail(w->call, &w->err);
	submit_free(w);
}

static void check_work(struct offload *o)
{
	check(container_of(o, struct submit, work));
}

static void check_done(struct offload *o)
{
	on_checked(container_of(o, struct submit, work));
}

/* How many documents are in @jobs and below, up to @most. */
static size_t count(const json_t *jobs, size_t most)
{
	size_t n = json_array_size(jobs);

	for (size_t i = 0; n < most && i < json_array_size(jobs); i++)
		n += count(json_object_get(json_array_get(jobs, i), "jobs"), most - n);
	return n;
}

static struct rpc_done begin(struct submit *w)
{
	struct rpc_done later = rpc_later(w->call, NULL, NULL);

	rpc_hold(w->call);
	w->is_large =
		count(json_object_get(w->params, "jobs"), SUBMISSION_LARGE) >= SUBMISSION_LARGE;
	if (w->is_large) {
		w->work = (struct offload){ .work = check_work, .done = check_done };
		offload_submit(&w->work);
	} else {
		check(w);
		on_checked(w);
	}
	return later;
}

/* ---- one ---- */

/* "existing" goes into the job object that was printed last; @out may be NULL. */
static void finish_one(struct submit *w, struct buf *out, bool is_existing)
{
	if (out) {
		assert(out->len && out->data[out->len - 1] == '}');
		out->len--;
		buf_adds(out, is_existing ? ",\"existing\":true}" : ",\"existing\":false}");
	}
	rpc_finish_end(w->call, out);
	submit_free(w);
}

static void on_existing(struct store_op *op)
{
	struct submit *w = container_of(op, struct submit, get.op);
	struct aw_err err = { 0 };
	struct buf *out;

	if (op->result < 0 || !w->get.jobs[0].id) {
		/* The key outlives its job (R2.6). */
		if (op->result < 0)
			reply_store_failed(&err, op->result);
		else
			(void)aw_fail_at(&err, AW_CONFLICT, "/key",
					 "the job of this key (%lld) was removed; the key stays "
					 "taken for a day after the job's end: use another",
					 (long long)w->get.ids[0]);
		rpc_finish_fail(w->call, &err);
		aw_err_fini(&err);
		submit_free(w);
		return;
	}
	out = rpc_finish_begin(w->call);
	if (out)
		engine_print_job(out, &w->get.jobs[0], rpc_viewer(w->call), true);
	finish_one(w, out, true);
}

static void on_submitted(struct submission *s)
{
	struct submit *w = s->arg;
	const struct store_new_job *job;
	struct buf *out;

	if (s->result < 0) {
		rpc_finish_fail(w->call, &s->err);
		submit_free(w);
		return;
	}
	job = submission_job(s, 0);
	if (job->existing) {
		reply_query(&w->get, &job->id, 1, true, on_existing);
		return;
	}
	out = rpc_finish_begin(w->call);
	if (out)
		engine_print_submitted(out, s, 0);
	finish_one(w, out, false);
}

static struct rpc_done submit(struct rpc_call *call, json_t *params)
{
	return begin(submit_new(call, params, 1, on_submitted));
}

const struct rpc_method method_job_submit = {
	.name = "job.submit",
	.summary = "make a job of a document; answered when it is durable",
	.flags = RPC_OPEN_PARAMS,
	.handler = submit,
};

/* ---- many ---- */

static void on_submitted_many(struct submission *s)
{
	struct submit *w = s->arg;
	struct buf b = { 0 };

	if (s->result < 0) {
		rpc_finish_fail(w->call, &s->err);
		submit_free(w);
		return;
	}
	buf_adds(&b, "{\"ids\":[");
	for (size_t i = 0; i < s->n; i++) {
		if (i)
			buf_addc(&b, ',');
		buf_addi(&b, submission_job(s, i)->id);
	}
	buf_adds(&b, "],\"existing\":[");
	for (size_t i = 0; i < s->n; i++) {
		if (i)
			buf_addc(&b, ',');
		buf_adds(&b, submission_job(s, i)->existing ? "true" : "false");
	}
	buf_adds(&b, "]}");
	rpc_finish_text(w->call, b.data, b.len);
	buf_fini(&b);
	submit_free(w);
}

static struct rpc_done submit_many(struct rpc_call *call, json_t *params)
{
	size_t n = json_array_size(json_object_get(params, "jobs"));
	struct aw_err err = { 0 };
	struct rpc_done done;
	struct submit *w;

	if (n == 0) {
		aw_fail_at(&err, AW_PARAMS, "/jobs", "\"jobs\" must have at least one document");
		done = rpc_fail(call, &err);
		aw_err_fini(&err);
		return done;
	}
	w = submit_new(call, params, n, on_submitted_many);
	w->is_many = true;
	return begin(w);
}

static const struct rpc_param submit_many_params[] = {
	{ "jobs", RPC_ARRAY, RPC_REQUIRED, 0, 0, "a list of job documents" },
	{ 0 },
};

const struct rpc_method method_job_submit_many = {
	.name = "job.submit_many",
	.summary = "make jobs of several documents, all or none, in one transaction",
	.params = submit_many_params,
	.handler = submit_many,
};
