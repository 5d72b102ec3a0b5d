/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "daemon/job/quota.h"
#include "proto/xalloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* From documents to jobs: check, insert durably, admit. */

static int refuse(struct submission *s, size_t i, bool is_many)
{
	char prefix[48];

	if (is_many) {
		(void)snprintf(prefix, sizeof(prefix), "/jobs/%zu", i);
		aw_err_put_under(&s->err, prefix);
	}
	s->result = -EINVAL;
	return -EINVAL;
}

/* Keys that documents may have, but jobs do not obey yet. */
static int check_unsupported(struct submission *s, const struct jobdoc *d)
{
	static const char *const keys[] = { "needs", "retry", "deadline", "keep" };
	char path[16];

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (json_object_get(d->spec, keys[i])) {
			(void)snprintf(path, sizeof(path), "/%s", keys[i]);
			return aw_fail_at(&s->err, AW_UNSUPPORTED, path,
					  "\"%s\" is not supported by this version of awaitd",
					  keys[i]);
		}
	return 0;
}

static int check_document(struct submission *s, struct jobdoc *d)
{
	const struct kind_check who = { .uid = s->uid, .gid = s->gid };
	const struct kind *kind = kinds[d->kind];

	if (!kind)
		return aw_fail_at(&s->err, AW_UNSUPPORTED, "/kind",
				  "%s jobs are not supported by this version of awaitd",
				  job_kind_name(d->kind));
	if (check_unsupported(s, d) < 0)
		return -EINVAL;
	if (d->queue && !runq_find(&engine.runq, d->queue))
		return aw_fail_at(&s->err, AW_NOT_FOUND, "/queue",
				  "there is no queue of that name; create it with \"awaitctl queue "
				  "set NAME --limit N\"");
	return kind->check ? kind->check(d, &who, &s->err) : 0;
}

static struct instant due_of(const struct jobdoc *d, struct instant now)
{
	if (d->has_delay && d->delay_us > 0)
		return instant_add_us(now, d->delay_us);
	if (d->has_at && d->at_ms > now.wall.ms)
		return (struct instant){ .wall = { d->at_ms } };
	return (struct instant){ 0 };
}

static void fill(struct store_new_job *n, const struct submission *s, const struct jobdoc *d)
{
	struct buf spec = { 0 };

	buf_add_json(&spec, d->spec);
	*n = (struct store_new_job){
		.kind = d->kind,
		.name = d->name,
		.queue = d->queue,
		.key = d->key,
		.tags = d->tags ? buf_json_text(d->tags) : NULL,
		.priority = d->priority,
		.uid = s->uid,
		.gid = s->gid,
		.due = due_of(d, s->insert.at),
		.keep_s = -1,
	};
	n->spec = buf_steal(&spec, &n->spec_len);
}

static int prepare(struct submission *s, bool is_many)
{
	s->insert.jobs = xcalloc(s->n, sizeof(*s->insert.jobs));
	s->insert.n = s->n;
	s->insert.at = engine_now();
	for (size_t i = 0; i < s->n; i++) {
		if (check_document(s, &s->docs[i]) < 0)
			return refuse(s, i, is_many);
		fill(&s->insert.jobs[i], s, &s->docs[i]);
	}
	return 0;
}

/* What a submission takes of its owner's quotas, if all of it is new. */
static struct quota_use use_of(const struct submission *s)
{
	struct quota_use use = { .n_jobs = s->insert.n };

	for (size_t i = 0; i < s->insert.n; i++)
		use.n_bytes += s->insert.jobs[i].spec_len;
	return use;
}

static void admit_new(struct store_new_job *n)
{
	struct job *job;

	if (n->existing) {
		quota_release(n->uid, (struct quota_use){ 1, n->spec_len });
		return;
	}
	job = engine_add_job(n->id, n->kind, n->queue, n->priority, n->uid);
	quota_hand_over(job, n->spec_len);
	job->due = n->due;
	if (!n->due.wall.ms && kinds[n->kind]->due)
		job->spec = xstrdup(n->spec);
	engine_admit(job);
}

static void on_inserted(struct store_op *op)
{
	struct submission *s = container_of(op, struct submission, insert.op);

	engine_landed();
	s->result = 0;
	if (op->result < 0)
		quota_release(s->uid, use_of(s));
	if (op->result == -EEXIST) {
		aw_fail_at(&s->err, AW_CONFLICT, "/key",
			   "a job with the key \"%.60s\" was submitted before, with another "
			   "document",
			   s->insert.jobs[s->insert.conflict].key);
		refuse(s, s->insert.conflict, s->is_many);
	} else if (op->result == -ENOSPC) {
		s->result = aw_fail(&s->err, AW_STORAGE_FULL,
				    "the disk of the state directory is full: make space, or "
				    "remove jobs");
	} else if (op->result < 0) {
		s->result = aw_fail(&s->err, AW_INTERNAL, "the job could not be stored");
	} else {
		for (size_t i = 0; i < s->n; i++)
			admit_new(&s->insert.jobs[i]);
	}
	s->done(s);
}

void engine_submit(struct submission *s, bool is_many)
{
	s->is_many = is_many;
	if (engine.is_stopping) {
		s->result = aw_fail(&s->err, AW_SHUTTING_DOWN,
				    "awaitd is stopping; submit again when it is back");
		s->done(s);
		return;
	}
	if (prepare(s, is_many) < 0) {
		s->done(s);
		return;
	}
	s->result = quota_reserve(s->uid, use_of(s), &s->err);
	if (s->result < 0) {
		s->done(s);
		return;
	}
	s->insert.op.type = STORE_INSERT;
	s->insert.op.done = on_inserted;
	engine_fly(&s->insert.op);
}

void submission_fini(struct submission *s)
{
	for (size_t i = 0; s->insert.jobs && i < s->n; i++) {
		free((char *)s->insert.jobs[i].spec);
		free((char *)s->insert.jobs[i].tags);
	}
	free(s->insert.jobs);
	s->insert.jobs = NULL;
	aw_err_fini(&s->err);
}
