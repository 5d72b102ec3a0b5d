/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/job/engine.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/xalloc.h"

/* job.submit and job.submit_many: documents become jobs, answered when they are durable. */

struct submit {
	struct submission s;
	struct rpc_call *call;
	struct store_get get; /* for a job that was there already */
	struct jobdoc docs[];
};

static struct submit *submit_new(struct rpc_call *call, size_t n,
				 void (*done)(struct submission *s))
{
	struct submit *w = xcalloc(1, sizeof(*w) + n * sizeof(w->docs[0]));

	w->call = call;
	w->s.docs = w->docs;
	w->s.n = n;
	w->s.uid = rpc_uid(call);
	w->s.gid = rpc_gid(call);
	w->s.done = done;
	w->s.arg = w;
	return w;
}

static void submit_free(struct submit *w)
{
	size_t n = w->s.n;

	submission_fini(&w->s);
	aw_err_fini(&w->s.err);
	for (size_t i = 0; i < n; i++)
		jobdoc_fini(&w->docs[i]);
	store_get_fini(&w->get);
	free(w);
}

static struct rpc_done refuse(struct submit *w, const struct aw_err *err)
{
	struct rpc_done done = rpc_fail(w->call, err);

	submit_free(w);
	return done;
}

/* Hand it to the engine, which may answer before it returns. */
static struct rpc_done send_off(struct submit *w, bool is_many)
{
	struct rpc_done later = rpc_later(w->call, NULL, NULL);

	engine_submit(&w->s, is_many);
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
	struct submit *w = submit_new(call, 1, on_submitted);
	struct aw_err err = { 0 };
	json_t *document = params ? json_incref(params) : xjson(json_object());
	struct rpc_done done;

	if (jobdoc_check(document, "", 0, &w->docs[0], &err) < 0)
		done = refuse(w, &err);
	else
		done = send_off(w, false);
	aw_err_fini(&err);
	json_decref(document);
	return done;
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

static int check_all(struct submit *w, const json_t *jobs, struct aw_err *err)
{
	char prefix[48];

	for (size_t i = 0; i < w->s.n; i++) {
		snprintf(prefix, sizeof(prefix), "/jobs/%zu", i);
		if (jobdoc_check(json_array_get(jobs, i), prefix, i, &w->docs[i], err) < 0)
			return -EINVAL;
	}
	return 0;
}

static struct rpc_done submit_many(struct rpc_call *call, json_t *params)
{
	const json_t *jobs = json_object_get(params, "jobs");
	size_t n = json_array_size(jobs);
	struct aw_err err = { 0 };
	struct rpc_done done;
	struct submit *w;

	if (n == 0) {
		aw_fail_at(&err, AW_PARAMS, "/jobs", "\"jobs\" must have at least one document");
		done = rpc_fail(call, &err);
		aw_err_fini(&err);
		return done;
	}
	w = submit_new(call, n, on_submitted_many);
	done = check_all(w, jobs, &err) < 0 ? refuse(w, &err) : send_off(w, true);
	aw_err_fini(&err);
	return done;
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
