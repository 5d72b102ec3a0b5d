/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/needed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/job/engine_int.h"
#include "proto/xalloc.h"

struct needed {
	struct store_get get;
	struct submission *s;
	void (*done)(struct submission *s, int result);
	int64_t *ids; /* owns; sorted, each once */
	size_t n, size;
	bool has_refs; /* something refers to a needed job by name */
};

/* A document and where it stands. */
struct spot {
	const struct spot *up;
	const struct jobdoc *d;
	size_t index; /* of the document in the request, or of the part */
};

void needed_free(struct needed *n)
{
	if (!n)
		return;
	store_get_fini(&n->get);
	free(n->ids);
	free(n);
}

/* ---- which ---- */

static void collect(struct needed *n, const struct jobdoc *d)
{
	for (size_t i = 0; i < d->n_needs; i++) {
		if (d->needs[i].job == 0)
			continue;
		if (n->n == n->size) {
			n->size = n->size ? 2 * n->size : 8;
			n->ids = xreallocarray(n->ids, n->size, sizeof(*n->ids));
		}
		n->ids[n->n++] = d->needs[i].job;
	}
	for (size_t i = 0; i < d->n_refs; i++)
		n->has_refs |= !d->refs[i].is_local;
	for (size_t i = 0; i < d->n_parts; i++)
		collect(n, &d->parts[i]);
}

static int compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void sort_ids(struct needed *n)
{
	size_t n_kept = 0;

	if (n->n)
		qsort(n->ids, n->n, sizeof(*n->ids), compare_ids);
	for (size_t i = 0; i < n->n; i++)
		if (n_kept == 0 || n->ids[n_kept - 1] != n->ids[i])
			n->ids[n_kept++] = n->ids[i];
	n->n = n_kept;
}

/* The record of a needed job, or NULL when it was not asked for or is not there. */
static const struct store_job *record_of(const struct needed *n, int64_t id)
{
	const int64_t *at = n->n ? bsearch(&id, n->ids, n->n, sizeof(*n->ids), compare_ids) : NULL;
	const struct store_job *rec = at && n->get.jobs ? &n->get.jobs[at - n->ids] : NULL;

	return rec && rec->id ? rec : NULL;
}

enum job_outcome needed_outcome(const struct submission *s, int64_t id)
{
	const struct store_job *rec = s->needed ? record_of(s->needed, id) : NULL;

	return rec ? rec->outcome : JOB_UNENDED;
}

/* ---- checks ---- */

static int fail(struct submission *s, const struct spot *spot, enum aw_code code, const char *rest,
		const char *message)
{
	char path[sizeof(s->err.path)];
	size_t at = sizeof(path) - 1;

	/* From the end: the deepest place is what people need most. */
	path[at] = '\0';
	at -= strlen(rest) < at ? strlen(rest) : at;
	memcpy(path + at, rest, strlen(rest));
	for (; spot->up || s->is_many; spot = spot->up) {
		char step[32];
		size_t len = (size_t)snprintf(step, sizeof(step), "/jobs/%zu", spot->index);

		if (len > at)
			break;
		at -= len;
		memcpy(path + at, step, len);
		if (!spot->up)
			break;
	}
	return aw_fail_at(&s->err, code, path + at, "%s", message);
}

static bool is_there(const struct needed *n, int64_t id)
{
	const struct viewer viewer = { .uid = n->s->uid };
	const struct job *job = jobtab_find(&engine.tab, id);
	const struct store_job *rec;

	if (job)
		return viewer_may_see(viewer, job->uid);
	rec = record_of(n, id);
	return rec && viewer_may_see(viewer, rec->uid);
}

static size_t document_of(const struct spot *spot)
{
	while (spot->up)
		spot = spot->up;
	return spot->index;
}

static bool is_tried_again(const struct spot *spot)
{
	for (spot = spot->up; spot; spot = spot->up)
		if (spot->d->retry.max)
			return true;
	return false;
}

static int check_need(struct needed *n, const struct spot *spot, size_t i)
{
	const struct jobdoc_need *need = &spot->d->needs[i];
	char rest[48], message[128];

	(void)snprintf(rest, sizeof(rest), "/needs/%zu", i);
	if (need->job == 0 && need->place >= document_of(spot))
		return fail(n->s, spot, AW_PARAMS, rest,
			    "what this \"@\" meant is not known any more: name the job's id");
	if (need->job == 0 && is_tried_again(spot))
		return fail(n->s, spot, AW_PARAMS, rest,
			    "a part of a composition that may be tried again cannot need \"@N\"; "
			    "let the composition need it");
	if (need->job == 0 || is_there(n, need->job))
		return 0;
	(void)snprintf(message, sizeof(message), "there is no job %lld", (long long)need->job);
	return fail(n->s, spot, AW_NOT_FOUND, rest, message);
}

/* ---- references ---- */

static const char *name_of(const struct needed *n, const struct jobdoc_need *need)
{
	const struct store_job *rec;

	if (need->job == 0)
		return n->s->docs[need->place].name;
	rec = record_of(n, need->job);
	return rec ? rec->name : NULL;
}

/* Of the jobs that @d needs: how many does @name mean? */
static size_t count_meant(const struct needed *n, const struct jobdoc *d, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < d->n_needs; i++) {
		const char *its = name_of(n, &d->needs[i]);
		char id[24];

		(void)snprintf(id, sizeof(id), "%lld", (long long)d->needs[i].job);
		if (name[strspn(name, "0123456789")] == '\0')
			its = id; /* digits alone always mean an id */
		count += its && strcmp(its, name) == 0;
	}
	return count;
}

static int check_ref(struct needed *n, const struct spot *spot, const struct jobdoc_ref *ref)
{
	char message[400];

	for (const struct spot *level = spot; level; level = level->up) {
		size_t count = count_meant(n, level->d, ref->name);

		if (count == 1)
			return 0;
		if (count == 0)
			continue;
		(void)snprintf(
			message, sizeof(message),
			"\"%.255s\" is not unique among the jobs that it needs: refer to the "
			"id",
			ref->name);
		return aw_fail_at(&n->s->err, AW_PARAMS, ref->path, "%s", message);
	}
	return aw_fail_at(&n->s->err, AW_PARAMS, ref->path,
			  "no earlier part and no needed job is called \"%.255s\"", ref->name);
}

static int check_document(struct needed *n, const struct spot *spot)
{
	const struct jobdoc *d = spot->d;

	for (size_t i = 0; i < d->n_needs; i++)
		if (check_need(n, spot, i) < 0)
			return -EINVAL;
	for (size_t i = 0; i < d->n_refs; i++)
		if (!d->refs[i].is_local && check_ref(n, spot, &d->refs[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < d->n_parts; i++) {
		const struct spot part = { .up = spot, .d = &d->parts[i], .index = i };

		if (check_document(n, &part) < 0)
			return -EINVAL;
	}
	return 0;
}

static int check_all(struct needed *n)
{
	for (size_t i = 0; i < n->s->n; i++) {
		const struct spot spot = { .d = &n->s->docs[i], .index = i };

		if (check_document(n, &spot) < 0)
			return -EINVAL;
	}
	return 0;
}

/* ---- looking up ---- */

static void on_got(struct store_op *op)
{
	struct needed *n = container_of(op, struct needed, get.op);

	engine_landed();
	n->done(n->s, check_all(n));
}

/* Names stand in the store only, and so does everything about jobs that are done. */
static bool is_look_up_needed(const struct needed *n)
{
	for (size_t i = 0; i < n->n; i++)
		if (n->has_refs || !jobtab_find(&engine.tab, n->ids[i]))
			return true;
	return false;
}

void needed_check(struct submission *s, void (*done)(struct submission *s, int result))
{
	struct needed *n = xcalloc(1, sizeof(*n));

	s->needed = n;
	n->s = s;
	n->done = done;
	for (size_t i = 0; i < s->n; i++)
		collect(n, &s->docs[i]);
	sort_ids(n);
	if (!is_look_up_needed(n)) {
		done(s, check_all(n));
		return;
	}
	n->get.is_brief = true;
	n->get.op.type = STORE_GET;
	n->get.op.done = on_got;
	n->get.ids = n->ids;
	n->get.n = n->n;
	engine_fly(&n->get.op);
}
