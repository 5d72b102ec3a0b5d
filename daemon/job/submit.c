/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "daemon/job/jobrows.h"
#include "daemon/job/needed.h"
#include "daemon/job/quota.h"
#include "proto/xalloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* From documents to jobs: check, insert durably, admit. */

/* ---- checks ---- */

/* Put the place of document (or part) @i before the one in the error. */
static int within(struct aw_err *err, size_t i)
{
	char prefix[48];

	(void)snprintf(prefix, sizeof(prefix), "/jobs/%zu", i);
	aw_err_put_under(err, prefix);
	return -EINVAL;
}

static int refuse(struct submission *s, size_t i)
{
	if (s->is_many)
		within(&s->err, i);
	return -EINVAL;
}

static int check_one(struct submission *s, struct jobdoc *d)
{
	const struct kind *kind = kinds[d->kind];

	if (!kind)
		return aw_fail_at(&s->err, AW_UNSUPPORTED, "/kind",
				  "%s jobs are not supported by this version of awaitd",
				  job_kind_name(d->kind));
	if (d->queue && !runq_find(&engine.runq, d->queue))
		return aw_fail_at(&s->err, AW_NOT_FOUND, "/queue",
				  "there is no queue of that name; create it with \"awaitctl queue "
				  "set NAME --limit N\"");
	/* What refers to results is checked when they are there. */
	return kind->check && !d->has_refs ? kind->check(d, &s->err) : 0;
}

static int check_document(struct submission *s, struct jobdoc *d)
{
	if (check_one(s, d) < 0)
		return -EINVAL;
	for (size_t i = 0; i < d->n_parts; i++)
		if (check_document(s, &d->parts[i]) < 0)
			return within(&s->err, i);
	return 0;
}

static bool looks_at_others(const struct jobdoc *d)
{
	bool does = d->n_needs || d->n_refs;

	for (size_t i = 0; i < d->n_parts && !does; i++)
		does = looks_at_others(&d->parts[i]);
	return does;
}

/* ---- admission ---- */

/* What a submission takes of its owner's quotas, if all of it is new. */
static struct quota_use use_of(const struct submission *s)
{
	struct quota_use use = { .n_jobs = s->insert.n };

	for (size_t i = 0; i < s->insert.n; i++)
		use.n_bytes += s->insert.jobs[i].spec_len;
	return use;
}

static void admit(const struct submission *s, const struct store_new_job *n)
{
	struct job *job;

	if (n->existing) {
		quota_release(n->uid, (struct quota_use){ 1, n->spec_len });
		return;
	}
	job = engine_add_job(n->id, n->kind, n->queue, n->priority, n->uid);
	quota_hand_over(job, n->spec_len);
	job->due = n->due;
	job->wants_scope = n->has_refs;
	if (n->parent)
		tree_join(job, jobtab_find(&engine.tab, n->parent), n->part);
	engine_set_deadline(job, n->deadline);
	if (n->n_needs) {
		cleanup_free enum job_outcome *outcomes = xcalloc(n->n_needs, sizeof(*outcomes));

		for (size_t i = 0; i < n->n_needs; i++)
			outcomes[i] = needed_outcome(s, n->needs[i].job);
		needs_set(job, n->needs, n->n_needs, outcomes);
	}
	if (!n->due.wall.ms && !n->has_refs && kinds[n->kind]->due && !job->links)
		job->spec = xstrdup(n->spec);
}

static void admit_all(const struct submission *s)
{
	for (size_t i = 0; i < s->insert.n; i++)
		admit(s, &s->insert.jobs[i]);
	/* A composition may be skipped at once: not before all its parts are there. */
	for (size_t i = 0; i < s->insert.n; i++)
		if (!s->insert.jobs[i].existing)
			engine_decide(jobtab_find(&engine.tab, s->insert.jobs[i].id));
	engine_happened(s->insert.last_seq);
}

/* Which document the row @at is of, or a part of. */
static size_t document_of(const struct submission *s, size_t at)
{
	size_t i = s->n - 1;

	while (i > 0 && s->places[i] > at)
		i--;
	return i;
}

static void on_inserted(struct store_op *op)
{
	struct submission *s = container_of(op, struct submission, insert.op);
	size_t at = s->insert.conflict;

	engine_landed();
	s->result = op->result < 0 ? -EINVAL : 0;
	if (op->result < 0)
		quota_release(s->uid, use_of(s));
	if (op->result == -EEXIST) {
		aw_fail_at(&s->err, AW_CONFLICT, "/key",
			   "a job with the key \"%.60s\" was submitted before, with another "
			   "document",
			   s->insert.jobs[at].key);
		refuse(s, document_of(s, at));
	} else if (op->result == -ENOENT) {
		aw_fail_at(&s->err, AW_NOT_FOUND, "/needs",
			   "a job that it needs was removed just now");
		refuse(s, document_of(s, at));
	} else if (op->result == -ENOSPC) {
		aw_fail(&s->err, AW_STORAGE_FULL,
			"hardly any space is left on the disk of the state directory: make space, "
			"or remove jobs");
	} else if (op->result < 0) {
		aw_fail(&s->err, AW_INTERNAL, "the job could not be stored");
	} else {
		admit_all(s);
	}
	s->done(s);
}

/* ---- submitting ---- */

/* Pure: any thread. */
static void make_rows(struct submission *s)
{
	struct jobrows r = { .uid = s->uid, .gid = s->gid, .at = s->at };

	r.size = s->n;
	r.jobs = xcalloc(r.size, sizeof(*r.jobs));
	r.places = s->places = xcalloc(s->n, sizeof(*s->places));
	for (size_t i = 0; i < s->n; i++)
		s->places[i] = jobrows_add(&r, &s->docs[i]);
	/* A document's values are many small pieces: they need not wait for the disk with us. */
	for (size_t i = 0; i < s->n; i++)
		jobdoc_let_go(&s->docs[i]);
	if (s->retry_of)
		r.jobs[0].retry_of = s->retry_of;
	s->insert.jobs = r.jobs;
	s->insert.n = r.n;
	s->insert.at = r.at;
}

static void fail(struct submission *s)
{
	s->result = -EINVAL;
	s->done(s);
}

static int refuse_late(struct submission *s)
{
	return aw_fail(&s->err, AW_SHUTTING_DOWN,
		       "awaitd is stopping; submit again when it is back");
}

static void send(struct submission *s)
{
	if ((engine.is_over && refuse_late(s) < 0) ||
	    quota_reserve(s->uid, use_of(s), s->is_ours ? NULL : &s->err) < 0) {
		fail(s);
		return;
	}
	s->insert.op.type = STORE_INSERT;
	s->insert.op.done = on_inserted;
	engine_fly(&s->insert.op);
	if (s->sent)
		s->sent(s);
}

static void rows_work(struct offload *o)
{
	make_rows(container_of(o, struct submission, work));
}

static void rows_done(struct offload *o)
{
	engine_landed();
	send(container_of(o, struct submission, work));
}

static size_t count(const struct jobdoc *docs, size_t n)
{
	size_t all = n;

	for (size_t i = 0; i < n && all < SUBMISSION_LARGE; i++)
		all += count(docs[i].parts, docs[i].n_parts);
	return all;
}

static void insert(struct submission *s, int result)
{
	if (result < 0) {
		fail(s);
		return;
	}
	s->at = now_instant();
	if (count(s->docs, s->n) < SUBMISSION_LARGE) {
		make_rows(s);
		send(s);
		return;
	}
	s->work = (struct offload){ .work = rows_work, .done = rows_done };
	engine.n_in_flight++;
	offload_submit(&s->work);
}

static int check_documents(struct submission *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (check_document(s, &s->docs[i]) < 0)
			return refuse(s, i);
	return 0;
}

void engine_submit(struct submission *s, bool is_many)
{
	bool looks = false;

	s->is_many = is_many;
	if (engine.is_stopping) {
		insert(s, refuse_late(s));
		return;
	}
	for (size_t i = 0; i < s->n && !looks; i++)
		looks = looks_at_others(&s->docs[i]);
	if (check_documents(s) < 0)
		insert(s, -EINVAL);
	else if (looks)
		needed_check(s, insert);
	else
		insert(s, 0);
}

const struct store_new_job *submission_job(const struct submission *s, size_t i)
{
	return &s->insert.jobs[s->places[i]];
}

void submission_fini(struct submission *s)
{
	jobrows_free(s->insert.jobs, s->insert.n);
	s->insert.jobs = NULL;
	free(s->places);
	s->places = NULL;
	needed_free(s->needed);
	s->needed = NULL;
	aw_err_fini(&s->err);
}
