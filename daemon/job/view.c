/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/engine_int.h"
#include "daemon/job/users.h"
#include "proto/limits.h"
#include "proto/quick.h"
#include "proto/units.h"
#include "proto/xalloc.h"

#include <string.h>

/*
 * The job object, printed.  By hand, since this is most of what a pipelined
 * submit costs.
 */

struct view {
	const struct store_job *rec;
	const char *key;    /* NULL = none */
	const json_t *spec; /* to print; NULL = print rec->spec as it is */
	enum job_reason reason;
	int64_t retry_max;
	json_t *progress; /* owns */
	bool is_whole;
};

static void put_word(struct buf *b, const char *word)
{
	if (!word) {
		buf_adds(b, "null");
		return;
	}
	buf_addc(b, '"');
	buf_adds(b, word);
	buf_addc(b, '"');
}

static void put_id(struct buf *b, int64_t id)
{
	if (id)
		buf_addi(b, id);
	else
		buf_adds(b, "null");
}

static void put_time(struct buf *b, struct wall t)
{
	char text[TIME_TEXT_BYTES];

	if (t.ms)
		time_format(t.ms, text);
	put_word(b, t.ms ? text : NULL);
}

/* A member with its comma.  Names are literals, so that each is one copy of known length. */
#define add_key(b, name) buf_adds(b, ",\"" name "\":")
#define add_word(b, name, word) (add_key(b, name), put_word(b, word))
#define add_text(b, name, text) (add_key(b, name), buf_add_json_string(b, text))
#define add_integer(b, name, value) (add_key(b, name), buf_addi(b, value))
#define add_id(b, name, id) (add_key(b, name), put_id(b, id))
#define add_time(b, name, t) (add_key(b, name), put_time(b, t))
#define add_stored(b, name, text) (add_key(b, name), put_stored(b, text))

static void add_owner(struct buf *b, const struct store_job *rec)
{
	buf_adds(b, ",\"owner\":{\"uid\":");
	buf_addi(b, rec->uid);
	add_integer(b, "gid", rec->gid);
	add_text(b, "user", users_name(rec->uid));
	buf_addc(b, '}');
}

static void add_truncated(struct buf *b, const char *name, bool *any)
{
	if (*any)
		buf_addc(b, ',');
	*any = true;
	buf_addc(b, '"');
	buf_adds(b, name);
	buf_addc(b, '"');
}

/*
 * Text that the store kept is parsed again, so that a damaged row cannot break the
 * protocol's framing.
 */
static void put_stored(struct buf *b, const char *text)
{
	json_t *value = text ? quick_load(text) : NULL;

	buf_add_json(b, value);
	json_decref(value);
}

static void add_bulk(struct buf *b, const struct view *v)
{
	const struct store_job *rec = v->rec;
	bool result_long = !v->is_whole && rec->result_len > LIST_VALUE_MAX_BYTES;
	bool spec_long = !v->is_whole && rec->spec_len > LIST_VALUE_MAX_BYTES;
	bool error_long = !v->is_whole && rec->error_len > LIST_VALUE_MAX_BYTES;
	bool any = false;

	add_stored(b, "result", result_long ? NULL : rec->result_json);
	add_stored(b, "error", rec->error_json);
	add_key(b, "spec");
	if (spec_long || (!v->spec && !rec->spec))
		buf_adds(b, "null");
	else if (v->spec)
		buf_add_json(b, v->spec);
	else
		buf_add(b, rec->spec, rec->spec_len);
	buf_adds(b, ",\"truncated\":[");
	if (result_long)
		add_truncated(b, "result", &any);
	if (spec_long)
		add_truncated(b, "spec", &any);
	if (error_long)
		add_truncated(b, "error", &any);
	buf_adds(b, "]}");
}

/* How often it may still start. */
static int64_t attempts_left(const struct view *v)
{
	int64_t max = v->retry_max - v->rec->tries;

	if (v->rec->state == JOB_DONE)
		return 0;
	return (v->rec->state == JOB_WAITING) + (max > 0 ? max : 0);
}

static void add_needs(struct buf *b, const struct store_job *rec)
{
	add_key(b, "needs");
	buf_addc(b, '[');
	for (size_t i = 0; i < rec->n_needs; i++) {
		buf_adds(b, i ? ",{\"job\":" : "{\"job\":");
		buf_addi(b, rec->needs[i].job);
		add_word(b, "on", need_on_name(rec->needs[i].on));
		buf_addc(b, '}');
	}
	buf_addc(b, ']');
}

/* Most jobs stand alone. */
static void add_relations(struct buf *b, const struct store_job *rec)
{
	if (!rec->parent && !rec->n_children && !rec->n_needs && !rec->retry_of) {
		buf_adds(b, ",\"parent\":null,\"index\":null,\"children\":[],\"needs\":[],"
			    "\"retry_of\":null");
		return;
	}
	add_id(b, "parent", rec->parent);
	if (rec->parent)
		add_integer(b, "index", rec->part);
	else
		add_word(b, "index", NULL);
	add_key(b, "children");
	buf_addc(b, '[');
	for (size_t i = 0; i < rec->n_children; i++) {
		if (i)
			buf_addc(b, ',');
		buf_addi(b, rec->children[i]);
	}
	buf_addc(b, ']');
	add_needs(b, rec);
	add_id(b, "retry_of", rec->retry_of);
}

static void print_view(struct buf *b, const struct view *v)
{
	const struct store_job *rec = v->rec;

	buf_reserve(b, 1024 + rec->spec_len);
	buf_adds(b, "{\"id\":");
	buf_addi(b, rec->id);
	add_word(b, "kind", job_kind_name(rec->kind));
	add_text(b, "name", rec->name);
	if (rec->tags)
		add_stored(b, "tags", rec->tags);
	else
		buf_adds(b, ",\"tags\":[]");
	add_text(b, "queue", rec->queue);
	add_integer(b, "priority", rec->priority);
	add_word(b, "state", job_state_name(rec->state));
	add_word(b, "reason", job_reason_name(v->reason));
	add_word(b, "outcome", job_outcome_name(rec->outcome));
	add_owner(b, rec);
	add_integer(b, "attempt", rec->attempt);
	add_integer(b, "attempts_left", attempts_left(v));
	add_time(b, "submitted_at", rec->submitted);
	add_time(b, "due_at", rec->due);
	/* One that was cut off and waits again has not started. */
	add_time(b, "started_at", rec->state == JOB_WAITING ? (struct wall){ 0 } : rec->started);
	add_time(b, "ended_at", rec->ended);
	add_relations(b, rec);
	add_text(b, "key", v->key);
	add_key(b, "progress");
	buf_add_json(b, v->progress);
	add_bulk(b, v);
}

static enum job_reason reason_of(const struct store_job *rec, const struct job *job)
{
	if (rec->state != JOB_WAITING)
		return JOB_NO_REASON;
	/* One that is not live any more has ended since the record was read. */
	return job ? waiting_reason(job) : JOB_WAITS_SLOT;
}

void engine_print_job(struct buf *b, const struct store_job *rec, struct viewer viewer,
		      bool is_whole)
{
	const struct job *job = jobtab_find(&engine.tab, rec->id);
	json_t *spec = rec->spec ? quick_load(rec->spec) : NULL;
	struct view v = {
		.rec = rec,
		.key = jobdoc_string(spec, "key", NULL),
		.reason = reason_of(rec, job),
		.retry_max = jobdoc_integer(json_object_get(spec, "retry"), "max", 0),
		.is_whole = is_whole,
	};
	json_t *shown = NULL;

	if (spec)
		shown = is_whole && viewer_sees_secrets(viewer, rec->uid)
				? json_incref(spec)
				: jobdoc_masked(rec->kind, spec);
	v.spec = shown ? shown : json_null();
	if (job && job->run && job->run->coro && job->run->kind->describe)
		v.progress = job->run->kind->describe(&job->run->a);
	print_view(b, &v);
	json_decref(v.progress);
	json_decref(shown);
	json_decref(spec);
}

/* The ids of the parts of document @i, in their order: they stand behind it.  Gives the array. */
static int64_t *submitted_parts(const struct submission *s, size_t i, size_t *ret_n)
{
	const size_t place = s->places[i], n = s->docs[i].n_parts;
	int64_t *ids = n ? xcalloc(n, sizeof(*ids)) : NULL;

	*ret_n = n;
	for (size_t k = place + 1, found = 0; found < n && k < s->insert.n; k++)
		if (s->insert.jobs[k].parent_place_plus_1 == place + 1)
			ids[found++] = s->insert.jobs[k].id;
	return ids;
}

void engine_print_submitted(struct buf *b, const struct submission *s, size_t i)
{
	const struct store_new_job *n = submission_job(s, i);
	size_t n_parts;
	int64_t *parts = submitted_parts(s, i, &n_parts);
	const struct store_job rec = {
		.id = n->id,
		.kind = n->kind,
		.state = JOB_WAITING,
		.name = (char *)n->name,
		.tags = (char *)n->tags,
		.queue = (char *)n->queue,
		.priority = n->priority,
		.uid = n->uid,
		.gid = n->gid,
		.submitted = s->insert.at.wall,
		.due = n->due.wall,
		.spec = (char *)n->spec,
		.spec_len = n->spec_len,
		.retry_of = n->retry_of,
		.needs = n->needs,
		.n_needs = n->n_needs,
		.children = parts,
		.n_children = n_parts,
	};
	const struct view v = {
		.rec = &rec,
		.key = n->key,
		.reason = reason_of(&rec, jobtab_find(&engine.tab, n->id)),
		.retry_max = s->docs[i].retry.max,
		.is_whole = true,
	};

	print_view(b, &v);
	free(parts);
}
