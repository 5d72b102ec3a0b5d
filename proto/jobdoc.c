/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobdoc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/jobkeys.h"
#include "proto/jobvalue.h"
#include "proto/limits.h"
#include "proto/units.h"
#include "proto/xalloc.h"

static int check_kind(const struct jobvalue_place *c, const json_t *doc, enum job_kind *ret)
{
	const json_t *value = json_object_get(doc, "kind");
	int kind = job_kind_parse(json_string_value(value));

	if (!value)
		return jobvalue_fail(c, AW_PARAMS, "kind",
				     "\"kind\" is missing: timer, fetch or worker");
	if (kind < 0)
		return jobvalue_fail(c, AW_PARAMS, "kind",
				     "\"kind\" must be \"timer\", \"fetch\" or \"worker\"");
	if (!(JK_KINDS(kind) & JK_LEAVES)) {
		char text[128];

		snprintf(text, sizeof(text),
			 "jobs of kind \"%s\" are not supported by this version of awaitd",
			 job_kind_name((enum job_kind)kind));
		return jobvalue_fail(c, AW_UNSUPPORTED, "kind", text);
	}
	*ret = (enum job_kind)kind;
	return 0;
}

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

/* Put each value of @doc to the place of its key in @given. */
static int sort_keys(const struct jobvalue_place *c, const json_t *doc, const json_t **given)
{
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
		given[key - jobkeys] = value;
	}
	return 0;
}

/* The normal form of each given key, in the table's order, into @d->spec. */
static int normalise(struct jobvalue_place *c, const json_t *const *given, struct jobdoc *d)
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
		value = jobvalue_normal(c, given[i]);
		if (!value)
			return -EINVAL;
		if (json_object_setn_new_nocheck(d->spec, key->name, key->name_len, value) < 0)
			xalloc_die();
		d->has_secrets |= jobvalue_is_secret(key, value);
	}
	c->member = NULL;
	c->index = JOBVALUE_NO_INDEX;
	return 0;
}

static bool is_reading_method(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* What no key can tell alone. */
static int check_relations(const struct jobvalue_place *c, const json_t *spec)
{
	const char *method = jobdoc_string(spec, "method", NULL);

	if (json_object_get(spec, "delay") && json_object_get(spec, "at"))
		return jobvalue_fail(c, AW_PARAMS, "at", "give \"delay\" or \"at\", not both");
	if (c->kind == JOB_FETCH && method && is_reading_method(method) &&
	    json_object_get(spec, "body"))
		return jobvalue_fail(c, AW_PARAMS, "body",
				     "a GET or HEAD request has no body; leave out \"method\" to "
				     "POST it");
	return 0;
}

/* What a fetch does: its method, or the one its body implies. */
static enum job_on_lost default_on_lost(enum job_kind kind, const json_t *spec)
{
	if (kind == JOB_WORKER)
		return ON_LOST_FAIL;
	if (kind == JOB_FETCH) {
		const char *otherwise = json_object_get(spec, "body") ? "POST" : "GET";

		if (!is_reading_method(jobdoc_string(spec, "method", otherwise)))
			return ON_LOST_FAIL;
	}
	return ON_LOST_RETRY;
}

static const char *default_queue(enum job_kind kind)
{
	/* The two built-in queues are called like the kinds that use them. */
	return kind == JOB_FETCH || kind == JOB_WORKER ? job_kind_name(kind) : NULL;
}

/* Read out of the normal form what the engine wants to know at a glance. */
static void fill_common(struct jobdoc *d)
{
	const json_t *at = json_object_get(d->spec, "at");
	int on_lost = job_on_lost_parse(jobdoc_string(d->spec, "on_lost", NULL));
	const char *why;

	d->name = jobdoc_string(d->spec, "name", NULL);
	d->queue = jobdoc_string(d->spec, "queue", default_queue(d->kind));
	d->key = jobdoc_string(d->spec, "key", NULL);
	d->tags = json_object_get(d->spec, "tags");
	d->priority = (int)jobdoc_integer(d->spec, "priority", 0);
	d->delay_us = jobdoc_duration_us(d->spec, "delay", -1);
	d->has_delay = d->delay_us >= 0;
	if (!d->has_delay)
		d->delay_us = 0;
	d->has_at = at && time_parse(json_string_value(at), &d->at_ms, &why) == 0;
	d->timeout_us = jobdoc_duration_us(d->spec, "timeout", 0);
	d->grace_us = jobdoc_duration_us(d->spec, "grace", JOB_GRACE_DEFAULT_US);
	d->on_lost = on_lost >= 0 ? (enum job_on_lost)on_lost : default_on_lost(d->kind, d->spec);
}

void jobdoc_fini(struct jobdoc *d)
{
	json_decref(d->spec);
	*d = (struct jobdoc){ 0 };
}

int jobdoc_check(const json_t *doc, const char *prefix, struct jobdoc *ret, struct aw_err *err)
{
	const json_t *given[JOBKEYS_MAX] = { NULL };
	struct jobvalue_place c = { .prefix = prefix, .err = err, .index = JOBVALUE_NO_INDEX };
	struct jobdoc d = { 0 };

	if (!json_is_object(doc))
		return aw_fail_at(err, AW_PARAMS, prefix, "a job document is an object");
	if (check_kind(&c, doc, &d.kind) < 0)
		return -EINVAL;
	c.kind = d.kind;
	if (sort_keys(&c, doc, given) < 0)
		return -EINVAL;
	d.spec = xjson(json_object());
	if (normalise(&c, given, &d) < 0 || check_relations(&c, d.spec) < 0) {
		jobdoc_fini(&d);
		return -EINVAL;
	}
	fill_common(&d);
	*ret = d;
	return 0;
}

int jobdoc_load(const char *text, size_t len, struct jobdoc *ret, struct aw_err *err)
{
	json_error_t error;
	json_t *doc = json_loadb(text, len, 0, &error);
	struct aw_err why = { 0 };
	int r;

	if (!doc)
		return aw_fail(err, AW_DAMAGED, "the stored document is no JSON: %s", error.text);
	r = jobdoc_check(doc, "", ret, &why);
	if (r < 0)
		aw_fail_at(err, AW_DAMAGED, why.path, "the stored document is not valid: %s",
			   why.message);
	aw_err_fini(&why);
	json_decref(doc);
	return r;
}

json_t *jobdoc_masked(enum job_kind kind, json_t *spec)
{
	json_t *masked = NULL;

	for (size_t i = 0; i < n_jobkeys; i++) {
		const struct jobkey *key = &jobkeys[i];
		json_t *value;

		if (!(key->flags & JK_SECRET) || !(key->kinds & JK_KINDS(kind)))
			continue;
		value = json_object_get(spec, key->name);
		if (!value)
			continue;
		if (!masked)
			masked = xjson(json_copy(spec));
		if (json_object_set_new_nocheck(masked, key->name, jobvalue_masked(key, value)) < 0)
			xalloc_die();
	}
	return masked ? masked : json_incref(spec);
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
