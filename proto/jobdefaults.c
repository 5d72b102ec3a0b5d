/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobdefaults.h"

#include <string.h>

#include "proto/buf.h"
#include "proto/jobdoc.h"
#include "proto/xalloc.h"

const char *jobdefaults_queue(enum job_kind kind)
{
	/* The two built-in queues are called like the kinds that use them. */
	return kind == JOB_FETCH || kind == JOB_WORKER ? job_kind_name(kind) : NULL;
}

bool jobdefaults_is_reading(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static const char *default_method(const json_t *spec)
{
	return json_object_get(spec, "body") ? "POST" : "GET";
}

enum job_on_lost jobdefaults_on_lost(enum job_kind kind, const json_t *spec)
{
	if (kind == JOB_WORKER)
		return ON_LOST_FAIL;
	if (kind == JOB_FETCH &&
	    !jobdefaults_is_reading(jobdoc_string(spec, "method", default_method(spec))))
		return ON_LOST_FAIL;
	return ON_LOST_RETRY;
}

/* ---- left out ---- */

static bool depends_on_others(const struct jobkey *key)
{
	return key->field == JK_FIELD_QUEUE || key->field == JK_FIELD_ON_LOST ||
	       key->rule == JK_RULE_METHOD;
}

bool jobdefaults_has(const struct jobkey *key)
{
	return key->otherwise || depends_on_others(key);
}

static bool is_word(const json_t *value, const char *word)
{
	const char *text = json_string_value(value);

	return text && word && strcmp(text, word) == 0;
}

/* A method that another job's result has to tell says nothing yet. */
static bool is_method_open(const json_t *spec)
{
	return strchr(jobdoc_string(spec, "method", ""), '$');
}

static bool is_otherwise(const struct jobkey *key, const json_t *value)
{
	struct buf text = { 0 };
	bool is_same;

	buf_add_json(&text, value);
	is_same = strcmp(buf_terminate(&text), key->otherwise) == 0;
	buf_fini(&text);
	return is_same;
}

static bool holds_anyway(enum job_kind kind, const struct jobkey *key, const json_t *spec,
			 const json_t *value)
{
	if (key->field == JK_FIELD_QUEUE)
		return is_word(value, jobdefaults_queue(kind));
	if (key->field == JK_FIELD_ON_LOST)
		return !is_method_open(spec) &&
		       is_word(value, job_on_lost_name(jobdefaults_on_lost(kind, spec)));
	if (key->rule == JK_RULE_METHOD)
		return is_word(value, default_method(spec));
	return key->otherwise && is_otherwise(key, value);
}

static void put(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new_nocheck(object, name, value) < 0)
		xalloc_die();
}

/* Of an object with keys of its own; a reference in its place stays. */
static json_t *leave_out_members(const struct jobkey *members, const json_t *object)
{
	json_t *left = xjson(json_copy((json_t *)(uintptr_t)object));

	for (const struct jobkey *m = members; m->name; m++) {
		const json_t *value = json_object_get(object, m->name);

		if (value && m->otherwise && is_otherwise(m, value))
			json_object_del(left, m->name);
	}
	return left;
}

static json_t *leave_out_parts(const json_t *jobs)
{
	json_t *list = xjson(json_array());

	for (size_t i = 0; i < json_array_size(jobs); i++) {
		const json_t *part = json_array_get(jobs, i);
		int kind = job_kind_parse(jobdoc_string(part, "kind", NULL));

		if (json_array_append_new(list, jobdefaults_leave_out((enum job_kind)kind, part)) <
		    0)
			xalloc_die();
	}
	return list;
}

json_t *jobdefaults_leave_out(enum job_kind kind, const json_t *spec)
{
	json_t *left = xjson(json_object());

	for (size_t i = 0; i < n_jobkeys; i++) {
		const struct jobkey *key = &jobkeys[i];
		json_t *value = json_object_get(spec, key->name);

		if (!value)
			continue;
		if (key->type == JK_PARTS)
			value = leave_out_parts(value);
		else if (key->members)
			value = leave_out_members(key->members, value);
		else
			value = json_incref(value);
		if (holds_anyway(kind, key, spec, value))
			json_decref(value);
		else
			put(left, key->name, value);
	}
	return left;
}
