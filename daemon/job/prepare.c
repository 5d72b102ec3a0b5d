/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "daemon/job/jobrows.h"
#include "daemon/job/quota.h"
#include "proto/jobrefs.h"
#include "proto/xalloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Between a free slot and the start: other jobs' results are put into the
 * document, and a composition that is tried again gets new parts.
 */

struct preparation {
	struct store_scope scope;
	struct job *job;      /* its changes are in flight as long as this is under way */
	char *spec, *results; /* own; for the start */
	struct jobdoc doc;    /* of a composition, whose texts the rows of its parts borrow */
	struct store_insert insert;
};

/* ---- references ---- */

struct source {
	const struct store_scope *scope;
	json_t **values; /* owns; of each entry, parsed when it is first asked for */
};

/* Digits alone always mean an id. */
static bool is_called(const struct store_scope_entry *e, const char *name, size_t len)
{
	char id[24];
	size_t id_len = (size_t)snprintf(id, sizeof(id), "%lld", (long long)e->id);

	if (strspn(name, "0123456789") >= len)
		return e->is_need && id_len == len && memcmp(id, name, len) == 0;
	return e->name && strlen(e->name) == len && memcmp(e->name, name, len) == 0;
}

static json_t *value_of(const struct store_scope_entry *e)
{
	json_t *value = e->result_json ? json_loads(e->result_json, JSON_DECODE_ANY, NULL) : NULL;

	return value ? value : json_null();
}

static const json_t *look_up(void *arg, const char *name, size_t len)
{
	struct source *s = arg;

	for (size_t i = 0; i < s->scope->n; i++) {
		if (!is_called(&s->scope->entries[i], name, len))
			continue;
		if (!s->values[i])
			s->values[i] = value_of(&s->scope->entries[i]);
		return s->values[i];
	}
	return NULL;
}

static int resolve(const struct store_scope *scope, const struct jobdoc *d, struct jobdoc *ret,
		   struct aw_err *err)
{
	struct source source = { .scope = scope };
	const struct jobrefs_source from = { .look_up = look_up, .arg = &source };
	int r;

	source.values = xcalloc(scope->n ? scope->n : 1, sizeof(*source.values));
	r = jobdoc_resolve(d, &from, ret, err);
	for (size_t i = 0; i < scope->n; i++)
		json_decref(source.values[i]);
	free(source.values);
	return r;
}

static int check_kind(struct jobdoc *d, struct aw_err *err)
{
	const struct kind *kind = kinds[d->kind];
	struct aw_err why = { 0 };

	if (!kind->check || kind->check(d, &why) == 0)
		return 0;
	aw_fail(err, AW_NEEDS, "with the results in their places the document is not valid: %s",
		why.message);
	aw_err_fact(err, "pointer", json_string(why.path));
	aw_err_fini(&why);
	return -EINVAL;
}

char *prepare_resolve(const struct store_scope *scope, struct aw_err *err)
{
	struct jobdoc stored = { 0 }, resolved = { 0 };
	char *text = NULL;

	if (jobdoc_load(scope->spec, scope->spec_len, &stored, err) < 0)
		return NULL;
	if (resolve(scope, &stored, &resolved, err) == 0) {
		if (check_kind(&resolved, err) == 0)
			text = buf_json_text(resolved.spec);
		jobdoc_fini(&resolved);
	}
	jobdoc_fini(&stored);
	return text;
}

/* ---- what a worker may read ---- */

static void add_result(json_t *all, const char *name, json_t *value)
{
	/* The nearest of a name hides those that are further out. */
	if (!json_object_get(all, name))
		json_object_set_nocheck(all, name, value);
}

/* The results of @scope by name and id: JSON text, to free; NULL when there are none. */
static char *results_of(const struct store_scope *scope)
{
	json_t *all;
	char *text;

	if (scope->n == 0)
		return NULL;
	all = xjson(json_object());
	for (size_t i = 0; i < scope->n; i++) {
		const struct store_scope_entry *e = &scope->entries[i];
		json_t *value = value_of(e);
		char id[24];

		(void)snprintf(id, sizeof(id), "%lld", (long long)e->id);
		if (e->is_need)
			add_result(all, id, value);
		if (e->name)
			add_result(all, e->name, value);
		json_decref(value);
	}
	text = buf_json_text(all);
	json_decref(all);
	return text;
}

/* ---- parts for another attempt ---- */

static bool needs_parts(const struct job *job)
{
	const struct parts *p = job->links ? job->links->parts : NULL;

	return kinds[job->kind] && kinds[job->kind]->judge && job->attempt > 0 &&
	       (!p || p->run_of != job->attempt + 1);
}

static void prepare_free(struct preparation *p)
{
	store_scope_fini(&p->scope);
	jobrows_free(p->insert.jobs, p->insert.n);
	jobdoc_fini(&p->doc);
	free(p->spec);
	free(p->results);
	free(p);
}

/* It cannot start now after all: what came up meanwhile is looked at. */
static void give_back(struct job *job)
{
	runq_release(job);
	engine_wants_step();
	engine_decide(job);
}

static bool has_been_overtaken(const struct job *job)
{
	const struct links *l = job->links;

	return engine.is_stopping || job->cancels || (l && (l->asked.why != STOP_NONE || l->edits));
}

static void start(struct preparation *p)
{
	char *spec = p->spec, *results = p->results;

	p->spec = p->results = NULL;
	engine_start(p->job, spec, results);
}

static void admit_parts(struct preparation *p)
{
	struct links *l = job_links(p->job);

	parts_free(l->parts);
	l->parts = NULL;
	for (size_t i = 0; i < p->insert.n; i++) {
		const struct store_new_job *n = &p->insert.jobs[i];
		struct job *part = engine_add_job(n->id, n->kind, n->queue, n->priority, n->uid);

		quota_charge(part, n->spec_len);
		part->due = n->due;
		part->wants_scope = n->has_refs;
		tree_join(part, jobtab_find(&engine.tab, n->parent), n->part);
		engine_set_deadline(part, n->deadline);
		needs_set(part, n->needs, n->n_needs, NULL);
	}
	if (l->parts)
		l->parts->run_of = p->job->attempt + 1;
	for (size_t i = 0; i < p->insert.n; i++)
		engine_decide(jobtab_find(&engine.tab, p->insert.jobs[i].id));
	engine_happened(p->insert.last_seq);
}

static void fail_insert(struct job *job, int result)
{
	struct aw_err err = { 0 };

	if (result == -ENOENT)
		aw_fail(&err, AW_NEEDS, "a job that one of its parts needs was removed meanwhile");
	else if (result == -ENOSPC)
		aw_fail(&err, AW_STORAGE_FULL,
			"the parts of another attempt could not be stored: the disk of the state "
			"directory is full");
	else
		aw_fail(&err, AW_INTERNAL, "the parts of another attempt could not be stored");
	waiting_fail(job, &err);
}

static void on_parts_inserted(struct store_op *op)
{
	struct preparation *p = container_of(op, struct preparation, insert.op);
	struct job *job = p->job;

	engine_landed();
	/* What ends among the new parts must not decide about it yet. */
	if (op->result == 0)
		admit_parts(p);
	job->is_in_flight = false;
	if (has_been_overtaken(job))
		give_back(job);
	else if (op->result == 0)
		start(p);
	else
		fail_insert(job, op->result);
	prepare_free(p);
}

static void insert_parts(struct preparation *p)
{
	struct job *job = p->job;
	struct jobrows r = {
		.uid = job->uid, .gid = p->scope.gid, .at = now_instant(), .is_inside_other = true
	};

	jobrows_add_parts(&r, &p->doc, job->id, job->attempt + 1);
	p->insert.jobs = r.jobs;
	p->insert.n = r.n;
	p->insert.at = r.at;
	p->insert.op.type = STORE_INSERT;
	p->insert.op.done = on_parts_inserted;
	job->is_in_flight = true;
	engine_fly(&p->insert.op);
}

/* ---- all of it ---- */

bool prepare_is_needed(const struct job *job)
{
	return job->wants_scope || needs_parts(job);
}

static bool is_made_again(struct preparation *p)
{
	const char *text = p->spec ? p->spec : p->scope.spec;
	struct aw_err err = { 0 };

	if (!needs_parts(p->job))
		return false;
	if (jobdoc_load(text, strlen(text), &p->doc, &err) < 0) {
		aw_err_fini(&err); /* the start will find it damaged */
		return false;
	}
	insert_parts(p);
	return true;
}

static void on_scope(struct store_op *op)
{
	struct preparation *p = container_of(op, struct preparation, scope.op);
	struct job *job = p->job;
	struct aw_err err = { 0 };
	bool is_sound = op->result == 0 && !p->scope.damaged;

	engine_landed();
	job->is_in_flight = false;
	if (has_been_overtaken(job)) {
		give_back(job);
		prepare_free(p);
		return;
	}
	if (op->result == -EFBIG) {
		aw_fail(&err, AW_NEEDS,
			"the results that it could refer to are larger than %d MiB "
			"together: let them be files",
			STORE_RESULT_MAX_BYTES >> 20);
		waiting_fail(job, &err);
		prepare_free(p);
		return;
	}
	if (is_sound && job->wants_scope) {
		p->spec = prepare_resolve(&p->scope, &err);
		p->results = results_of(&p->scope);
		if (!p->spec) {
			waiting_fail(job, &err);
			prepare_free(p);
			return;
		}
	}
	if (is_sound && is_made_again(p))
		return;
	start(p);
	prepare_free(p);
}

void prepare_begin(struct job *job)
{
	struct preparation *p = xcalloc(1, sizeof(*p));

	p->job = job;
	p->scope.op.type = STORE_SCOPE;
	p->scope.op.done = on_scope;
	p->scope.id = job->id;
	job->is_in_flight = true;
	engine_fly(&p->scope.op);
}
