/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobdoc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/jobdefaults.h"
#include "proto/jobkeys.h"
#include "proto/jobneeds.h"
#include "proto/jobvalue.h"
#include "proto/limits.h"
#include "proto/quick.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* Where a document comes from, which says what is known about it. */
enum source {
	SUBMITTED, /* the whole, as it came in */
	STORED,	   /* a whole or a part; what is around it is not there */
	RESOLVED,  /* the same, and its own strings hold no references any more */
};

/* A document of the tree that is being checked, and the one it is a part of. */
struct level {
	const struct level *up;
	struct jobvalue_place place;
	enum source source;
	size_t depth;	/* compositions down to here, this one included */
	size_t *n_refs; /* of the whole tree */
	struct jobdoc *d;
	/* A sequence: the names of the parts before; true = one part's, false = of several. */
	json_t *names;
};

/* At the document, not at one of its keys. */
static int fail_document(const struct level *l, enum aw_code code, const char *text)
{
	struct buf path = { 0 };

	jobvalue_add_path(&path, &l->place, NULL);
	aw_fail_at(l->place.err, code, buf_terminate(&path), "%s", text);
	buf_fini(&path);
	return -EINVAL;
}

static int check_kind(const struct jobvalue_place *c, const json_t *doc, enum job_kind *ret)
{
	const json_t *value = json_object_get(doc, "kind");
	int kind = job_kind_parse(json_string_value(value));

	if (!value)
		return jobvalue_fail(c, AW_PARAMS, "kind",
				     "\"kind\" is missing: timer, fetch, worker, gather, sequence "
				     "or race");
	if (kind < 0)
		return jobvalue_fail(c, AW_PARAMS, "kind",
				     "\"kind\" must be \"timer\", \"fetch\", \"worker\", "
				     "\"gather\", \"sequence\" or \"race\"");
	*ret = (enum job_kind)kind;
	return 0;
}

/* ---- fields ---- */

static struct jobdoc_retry read_retry(const json_t *retry)
{
	const json_t *factor = json_object_get(retry, "factor");
	const json_t *jitter = json_object_get(retry, "jitter");

	return (struct jobdoc_retry){
		.max = (unsigned)jobdoc_integer(retry, "max", 0),
		.delay_us = jobdoc_duration_us(retry, "delay", -1),
		.max_delay_us = jobdoc_duration_us(retry, "max_delay", -1),
		.factor = factor ? json_number_value(factor) : -1,
		.jitter = jitter ? json_number_value(jitter) : -1,
		.on = json_object_get(retry, "on"),
	};
}

/* The duration @value says; a reference to a result says none yet. */
static int64_t duration_or(const json_t *value, int64_t otherwise)
{
	const char *why;
	int64_t us;

	return duration_from_json(value, &us, &why) == 0 ? us : otherwise;
}

/* What holds where a key is not given. */
static void set_defaults(struct jobdoc *d)
{
	d->queue = jobdefaults_queue(d->kind);
	d->grace_us = -1;
	d->keep_us = -1;
	d->retry = read_retry(NULL);
}

static void read_duration(struct jobdoc *d, enum jobkey_field field, const json_t *value)
{
	if (field == JK_FIELD_DELAY) {
		d->delay_us = duration_or(value, 0);
		d->has_delay = true;
	} else if (field == JK_FIELD_TIMEOUT) {
		d->timeout_us = duration_or(value, 0);
	} else if (field == JK_FIELD_DEADLINE) {
		d->deadline_us = duration_or(value, 0);
	} else if (field == JK_FIELD_GRACE) {
		d->grace_us = duration_or(value, -1);
	} else {
		d->keep_us = duration_or(value, -1);
	}
}

/* Read out of the normal form what the engine wants to know at a glance. */
static void read_field(struct jobdoc *d, enum jobkey_field field, const json_t *value)
{
	const char *text = json_string_value(value), *why;

	switch (field) {
	case JK_FIELD_NAME:
		d->name = text;
		break;
	case JK_FIELD_TAGS:
		d->tags = (json_t *)(uintptr_t)value;
		break;
	case JK_FIELD_QUEUE:
		d->queue = text;
		break;
	case JK_FIELD_KEY:
		d->key = text;
		break;
	case JK_FIELD_PRIORITY:
		d->priority = (int)json_integer_value(value);
		break;
	case JK_FIELD_LIMIT:
		d->n_limit = (size_t)json_integer_value(value); /* 0 of a reference */
		break;
	case JK_FIELD_AT:
		d->has_at = time_parse(text, &d->at_ms, &why) == 0;
		break;
	case JK_FIELD_NEEDS:
		d->needs = jobneeds_read(value, &d->n_needs);
		break;
	case JK_FIELD_RETRY:
		d->retry = read_retry(value);
		break;
	case JK_FIELD_ON_LOST:
		d->on_lost = (enum job_on_lost)job_on_lost_parse(text);
		break;
	case JK_FIELD_SHIELD:
		d->is_shielded = json_is_true(value);
		break;
	case JK_FIELD_ON_FAILURE:
		d->goes_on = strcmp(text, "continue") == 0;
		break;
	case JK_FIELD_DELAY:
	case JK_FIELD_TIMEOUT:
	case JK_FIELD_DEADLINE:
	case JK_FIELD_GRACE:
	case JK_FIELD_KEEP:
		read_duration(d, field, value);
		break;
	case JK_FIELD_NONE:
	case N_JOBKEY_FIELDS:
		break;
	}
}

/* ---- keys ---- */

/* @name is a key, but of other kinds. */
static int fail_misplaced(const struct jobvalue_place *c, const struct jobkey *key)
{
	struct buf text = { 0 };
	const char *before = "";
	unsigned rest;

	buf_addf(&text, "\"%s\" is a key of ", key->name);
	for (unsigned kind = 0; kind < N_JOB_KINDS; kind++) {
		if (!(key->kinds & JK_KINDS(kind)))
			continue;
		buf_addf(&text, "%s%s", before, job_kind_name((enum job_kind)kind));
		rest = key->kinds >> (kind + 1);
		before = rest & (rest - 1) ? ", " : " and ";
	}
	buf_addf(&text, " jobs; a %s has none", job_kind_name(c->kind));
	jobvalue_fail(c, AW_PARAMS, key->name, buf_terminate(&text));
	buf_fini(&text);
	return -EINVAL;
}

/* Is @key, which its kind has, one for a document at this place? */
static int check_place(const struct level *l, const struct jobkey *key)
{
	char text[128];

	if (key->flags & JK_WHOLE && l->up)
		snprintf(text, sizeof(text),
			 "a part has no \"%s\"; the outermost composition may have one", key->name);
	else if (key->flags & JK_PART && !l->up && l->source == SUBMITTED)
		snprintf(text, sizeof(text), "\"%s\" is a key of a composition's parts", key->name);
	else
		return 0;
	return jobvalue_fail(&l->place, AW_PARAMS, key->name, text);
}

/* Put each value of @doc to the place of its key in @given. */
static int sort_keys(const struct level *l, const json_t *doc, const json_t **given)
{
	const struct jobvalue_place *c = &l->place;
	json_t *object = (json_t *)(uintptr_t)doc, *value;
	const char *name;
	size_t len;

	json_object_keylen_foreach(object, name, len, value)
	{
		const struct jobkey *key = jobkey_find_any(name, len);

		if (!key) {
			char text[512];

			snprintf(text, sizeof(text), "a job document has no key \"%s\"", name);
			return jobvalue_fail(c, AW_PARAMS, name, text);
		}
		if (!(key->kinds & JK_KINDS(c->kind)))
			return fail_misplaced(c, key);
		if (check_place(l, key) < 0)
			return -EINVAL;
		given[key - jobkeys] = value;
	}
	return 0;
}

/*
 * The normal form of each given key but the parts, in the table's order, into
 * @d->spec, and into @given instead of what came in.
 */
static int normalise(struct jobvalue_place *c, const json_t **given, struct jobdoc *d)
{
	for (size_t i = 0; i < n_jobkeys; i++) {
		const struct jobkey *key = &jobkeys[i];
		json_t *value;

		c->key = key;
		c->member = NULL;
		c->index = JOBVALUE_NO_INDEX;
		if (!given[i]) {
			char text[128];

			if (!(key->flags & JK_REQUIRED) || !(key->kinds & JK_KINDS(c->kind)))
				continue;
			snprintf(text, sizeof(text), "\"%s\" is missing: a %s needs it", key->name,
				 job_kind_name(c->kind));
			return jobvalue_fail(c, AW_PARAMS, key->name, text);
		}
		if (key->type == JK_PARTS)
			continue;
		value = jobvalue_normal(c, given[i]);
		if (!value)
			return -EINVAL;
		if (json_object_setn_new_nocheck(d->spec, key->name, key->name_len, value) < 0)
			xalloc_die();
		given[i] = value;
		d->has_secrets |= jobvalue_is_secret(key, value);
		d->may_say_defaults |= jobdefaults_has(key);
		read_field(d, key->field, value);
	}
	c->member = NULL;
	c->index = JOBVALUE_NO_INDEX;
	return 0;
}

/* What no key can tell alone. */
static int check_relations(const struct jobvalue_place *c, const struct jobdoc *d)
{
	const char *method;

	if (d->has_delay && d->has_at)
		return jobvalue_fail(c, AW_PARAMS, "at", "give \"delay\" or \"at\", not both");
	if (d->kind != JOB_FETCH)
		return 0;
	method = jobdoc_string(d->spec, "method", NULL);
	if (method && jobdefaults_is_reading(method) && json_object_get(d->spec, "body"))
		return jobvalue_fail(c, AW_PARAMS, "body",
				     "a GET or HEAD request has no body; leave out \"method\" to "
				     "POST it");
	return 0;
}

/* ---- references ---- */

static int fail_ref(const struct level *l, const struct jobrefs_place *place, enum aw_code code,
		    const char *text)
{
	struct buf path = { 0 };

	jobvalue_add_path(&path, &l->place, NULL);
	jobrefs_add_path(&path, place);
	aw_fail_at(l->place.err, code, buf_terminate(&path), "%s", text);
	buf_fini(&path);
	return -EINVAL;
}

/* A reference to "%s" ... */
static int fail_ref_to(const struct level *l, const struct jobrefs_place *place,
		       const struct jobrefs_match *match, const char *text)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "\"%.*s\" %s", (int)match->name_len, match->name, text);
	return fail_ref(l, place, AW_PARAMS, whole);
}

static bool is_needed(const struct level *l, int64_t id)
{
	for (; l; l = l->up)
		for (size_t i = 0; i < l->d->n_needs; i++)
			if (l->d->needs[i].job == id)
				return true;
	return false;
}

static bool has_needs(const struct level *l)
{
	for (; l; l = l->up)
		if (l->d->n_needs)
			return true;
	return false;
}

/* Who answers the reference @match in a string of @l? */
static int find_answer(const struct level *l, const struct jobrefs_place *place,
		       const struct jobrefs_match *match, bool *ret_is_local)
{
	int64_t id;

	*ret_is_local = false;
	if (jobrefs_is_id(match->name, match->name_len, &id)) {
		if (l->source == SUBMITTED && (id == 0 || !is_needed(l, id)))
			return fail_ref_to(l, place, match,
					   "is no job that this one needs: name its id in "
					   "\"needs\" (a number is always an id, never a name)");
		return 0;
	}
	for (const struct level *up = l->up; up; up = up->up) {
		const json_t *one = json_object_getn(up->names, match->name, match->name_len);

		*ret_is_local = json_is_true(one);
		if (one)
			return *ret_is_local
				       ? 0
				       : fail_ref_to(l, place, match,
						     "is not unique: several earlier parts of "
						     "the sequence have this name");
	}
	if (l->source == SUBMITTED && !has_needs(l))
		return fail_ref_to(l, place, match,
				   "is no earlier part of a sequence, and no job is needed that "
				   "could be called so; write $${ for a literal ${");
	return 0;
}

static void add_ref(const struct level *l, const struct jobrefs_place *place,
		    const struct jobrefs_match *match, bool is_local)
{
	struct jobdoc *d = l->d;
	const struct jobdoc_ref *last = d->n_refs ? &d->refs[d->n_refs - 1] : NULL;
	struct buf path = { 0 };

	jobvalue_add_path(&path, &l->place, NULL);
	buf_consume(&path, strlen(l->place.prefix));
	jobrefs_add_path(&path, place);
	buf_terminate(&path);
	if (last && strcmp(last->path, path.data) == 0 &&
	    strncmp(last->name, match->name, match->name_len) == 0 &&
	    last->name[match->name_len] == '\0') {
		buf_fini(&path);
		return;
	}
	if ((d->n_refs & (d->n_refs - 1)) == 0)
		d->refs = xreallocarray(d->refs, d->n_refs ? 2 * d->n_refs : 1, sizeof(*d->refs));
	d->refs[d->n_refs++] = (struct jobdoc_ref){
		.name = xstrndup(match->name, match->name_len),
		.path = buf_steal(&path, NULL),
		.is_local = is_local,
	};
}

static int on_ref(void *arg, const struct jobrefs_place *place, const struct jobrefs_match *match)
{
	const struct level *l = arg;
	bool is_local;
	char text[128];

	l->d->has_refs = true;
	if (match->is_escape)
		return 0;
	if (++*l->n_refs > JOB_REFS_MAX) {
		snprintf(text, sizeof(text), "the document has more than %d references to results",
			 JOB_REFS_MAX);
		return fail_ref(l, place, AW_LIMIT, text);
	}
	if (!jobrefs_is_pointer(match->pointer, match->pointer_len))
		return fail_ref_to(l, place, match,
				   "is not followed by a JSON pointer: \"~\" in it must be "
				   "\"~0\" or, for \"/\", \"~1\"");
	if (find_answer(l, place, match, &is_local) < 0)
		return -EINVAL;
	add_ref(l, place, match, is_local);
	return 0;
}

/* ---- parts ---- */

static int check_document(struct level *l, const json_t *doc);

static int check_part(struct level *l, size_t i, const json_t *doc)
{
	struct level part = {
		.up = l,
		.place = { .up = &l->place,
			   .part = i,
			   .prefix = l->place.prefix,
			   .err = l->place.err,
			   .n_before = l->place.n_before,
			   .index = JOBVALUE_NO_INDEX },
		.source = l->source,
		.depth = l->depth,
		.n_refs = l->n_refs,
		.d = &l->d->parts[i],
	};

	if (check_document(&part, doc) < 0)
		return -EINVAL;
	l->d->has_secrets |= part.d->has_secrets;
	l->d->may_say_defaults |= part.d->may_say_defaults;
	if (l->names && part.d->name) {
		bool is_first = !json_object_get(l->names, part.d->name);

		if (json_object_set_new_nocheck(l->names, part.d->name, json_boolean(is_first)) < 0)
			xalloc_die();
	}
	return 0;
}

static int check_size(struct level *l, const json_t *jobs)
{
	char text[160];

	l->place.key = jobkey_find(l->place.kind, "jobs");
	if (!json_is_array(jobs))
		return jobvalue_refuse(&l->place, "must be a list of job documents");
	if (json_array_size(jobs) == 0)
		return jobvalue_refuse(&l->place, "must have at least one part");
	if (json_array_size(jobs) > JOB_PARTS_MAX) {
		snprintf(text, sizeof(text),
			 "\"jobs\" has %zu parts, a composition at most %d: divide them among "
			 "compositions inside it",
			 json_array_size(jobs), JOB_PARTS_MAX);
		return jobvalue_fail(&l->place, AW_LIMIT, "jobs", text);
	}
	if (++l->depth > JOB_DEPTH_MAX) {
		snprintf(text, sizeof(text), "compositions are nested deeper than %d levels",
			 JOB_DEPTH_MAX);
		return fail_document(l, AW_LIMIT, text);
	}
	return 0;
}

static int check_parts(struct level *l, const json_t *jobs)
{
	struct jobdoc *d = l->d;
	json_t *list;
	int r = check_size(l, jobs);

	if (r < 0)
		return r;
	d->n_parts = json_array_size(jobs);
	d->parts = xcalloc(d->n_parts, sizeof(*d->parts));
	list = xjson(json_array());
	if (d->kind == JOB_SEQUENCE)
		l->names = xjson(json_object());
	for (size_t i = 0; r == 0 && i < d->n_parts; i++) {
		r = check_part(l, i, json_array_get(jobs, i));
		if (r == 0 && json_array_append(list, d->parts[i].spec) < 0)
			xalloc_die();
	}
	json_decref(l->names);
	l->names = NULL;
	if (json_object_set_new(d->spec, "jobs", list) < 0)
		xalloc_die();
	return r;
}

/* ---- documents ---- */

/* What is done of l->d stays there, for the caller to free. */
static int check_document(struct level *l, const json_t *doc)
{
	const json_t *given[JOBKEYS_MAX] = { NULL };
	struct jobvalue_place *c = &l->place;

	if (!json_is_object(doc))
		return fail_document(l, AW_PARAMS, "a job document is an object");
	if (check_kind(c, doc, &l->d->kind) < 0)
		return -EINVAL;
	c->kind = l->d->kind;
	if (sort_keys(l, doc, given) < 0)
		return -EINVAL;
	l->d->spec = xjson(json_object());
	set_defaults(l->d);
	if (normalise(c, given, l->d) < 0 || check_relations(c, l->d) < 0)
		return -EINVAL;
	if (!json_object_get(l->d->spec, "on_lost"))
		l->d->on_lost = jobdefaults_on_lost(l->d->kind, l->d->spec);
	for (size_t i = 0; i < n_jobkeys && !c->is_resolved; i++)
		if (given[i] && jobrefs_each(&jobkeys[i], given[i], on_ref, l) < 0)
			return -EINVAL;
	return JK_KINDS(c->kind) & JK_GROUPS ? check_parts(l, json_object_get(doc, "jobs")) : 0;
}

static int check_whole(enum source source, const json_t *doc, const char *prefix, size_t n_before,
		       struct jobdoc *ret, struct aw_err *err)
{
	struct jobdoc d = { 0 };
	size_t n_refs = 0;
	struct level l = {
		.place = { .prefix = prefix,
			   .err = err,
			   .n_before = n_before,
			   .is_resolved = source == RESOLVED,
			   .index = JOBVALUE_NO_INDEX },
		.source = source,
		.n_refs = &n_refs,
		.d = &d,
	};

	if (check_document(&l, doc) < 0) {
		jobdoc_fini(&d);
		return -EINVAL;
	}
	*ret = d;
	return 0;
}

void jobdoc_let_go(struct jobdoc *d)
{
	for (size_t i = 0; i < d->n_parts; i++)
		jobdoc_let_go(&d->parts[i]);
	json_decref(d->spec);
	d->spec = d->tags = NULL;
	d->name = d->queue = d->key = NULL;
	d->retry.on = NULL;
}

void jobdoc_fini(struct jobdoc *d)
{
	for (size_t i = 0; i < d->n_parts; i++)
		jobdoc_fini(&d->parts[i]);
	free(d->parts);
	for (size_t i = 0; i < d->n_refs; i++) {
		free(d->refs[i].name);
		free(d->refs[i].path);
	}
	free(d->refs);
	free(d->needs);
	json_decref(d->spec);
	*d = (struct jobdoc){ 0 };
}

int jobdoc_check(const json_t *doc, const char *prefix, size_t n_before, struct jobdoc *ret,
		 struct aw_err *err)
{
	return check_whole(SUBMITTED, doc, prefix, n_before, ret, err);
}

int jobdoc_load(const char *text, size_t len, struct jobdoc *ret, struct aw_err *err)
{
	json_error_t error;
	json_t *doc = quick_parse(text, len);
	struct aw_err why = { 0 };
	int r;

	if (!doc)
		doc = json_loadb(text, len, 0, &error);
	if (!doc)
		return aw_fail(err, AW_DAMAGED, "the stored document is no JSON: %s", error.text);
	r = check_whole(STORED, doc, "", SIZE_MAX, ret, &why);
	if (r < 0)
		aw_fail_at(err, AW_DAMAGED, why.path, "the stored document is not valid: %s",
			   why.message);
	aw_err_fini(&why);
	json_decref(doc);
	return r;
}

int jobdoc_resolve(const struct jobdoc *d, const struct jobrefs_source *source, struct jobdoc *ret,
		   struct aw_err *err)
{
	json_t *spec = jobrefs_resolve(d->kind, d->spec, source, err);
	struct aw_err why = { 0 };
	int r;

	if (!spec)
		return -EINVAL;
	r = check_whole(RESOLVED, spec, "", SIZE_MAX, ret, &why);
	if (r < 0) {
		aw_fail_at(err, AW_NEEDS, why.path, "with the results put in, %s", why.message);
		aw_err_fact(err, "pointer", json_string(why.path));
	}
	aw_err_fini(&why);
	json_decref(spec);
	return r;
}

/* ---- secrets ---- */

/* The member @name of @spec as @value (taken), in a copy that is made when it is needed. */
static void put_masked(json_t **copy, json_t *spec, const char *name, json_t *value)
{
	if (!*copy)
		*copy = xjson(json_copy(spec));
	if (json_object_set_new_nocheck(*copy, name, value) < 0)
		xalloc_die();
}

static json_t *masked_part(json_t *part, size_t depth);

/* A new list where a part has secrets, else NULL. */
static json_t *masked_parts(json_t *jobs, size_t depth)
{
	json_t *copy = NULL, *part;
	size_t i;

	json_array_foreach(jobs, i, part) {
		json_t *masked = masked_part(part, depth);

		if (masked == part) {
			json_decref(masked);
			continue;
		}
		if (!copy)
			copy = xjson(json_copy(jobs));
		if (json_array_set_new(copy, i, masked) < 0)
			xalloc_die();
	}
	return copy;
}

/* @kind < 0 of a damaged document: every secret of whatever kind. */
static json_t *masked_document(int kind, json_t *spec, size_t depth)
{
	json_t *masked = NULL, *jobs;

	for (size_t i = 0; i < n_jobkeys; i++) {
		const struct jobkey *key = &jobkeys[i];
		json_t *value;

		if (!(key->flags & JK_SECRET) || (kind >= 0 && !(key->kinds & JK_KINDS(kind))))
			continue;
		value = json_object_get(spec, key->name);
		if (value)
			put_masked(&masked, spec, key->name, jobvalue_masked(key, value));
	}
	jobs = masked_parts(json_object_get(spec, "jobs"), depth + 1);
	if (jobs)
		put_masked(&masked, spec, "jobs", jobs);
	return masked ? masked : json_incref(spec);
}

static json_t *masked_part(json_t *part, size_t depth)
{
	const char *kind = json_string_value(json_object_get(part, "kind"));

	/* No document that was taken is as deep as this, or anything but an object. */
	if (depth > JOB_DEPTH_MAX || !json_is_object(part))
		return xjson(json_string("***"));
	return masked_document(job_kind_parse(kind), part, depth);
}

json_t *jobdoc_masked(enum job_kind kind, json_t *spec)
{
	return masked_document((int)kind, spec, 0);
}

int64_t jobdoc_duration_us(const json_t *spec, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(spec, key);
	const char *why;
	int64_t us;

	return value && duration_from_json(value, &us, &why) == 0 ? us : otherwise;
}

int64_t jobdoc_integer(const json_t *spec, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(spec, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

const char *jobdoc_string(const json_t *spec, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(spec, key));

	return text ? text : otherwise;
}

bool jobdoc_bool(const json_t *spec, const char *key, bool otherwise)
{
	const json_t *value = json_object_get(spec, key);

	return json_is_boolean(value) ? json_is_true(value) : otherwise;
}
