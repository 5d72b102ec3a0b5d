/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/schemas.h"

#include <assert.h>
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/rpc/rpc.h"
#include "proto/err.h"
#include "proto/jobkeys.h"
#include "proto/limits.h"
#include "proto/names.h"
#include "proto/xalloc.h"
#include "tests/unit/suite.h"

/*
 * The schemas against the tables.  That of the job document follows from the
 * table of keys; with --print this program prints it, for
 * proto/schemas/job-document.json.
 */

#define DEFINITIONS "#/definitions/"

/* No ck_assert() in what makes the schema: --print is no test. */
static void set(json_t *object, const char *name, json_t *value)
{
	int r = json_object_set_new(object, name, xjson(value));

	assert(r == 0);
}

static void add(json_t *list, json_t *value)
{
	int r = json_array_append_new(list, xjson(value));

	assert(r == 0);
}

static json_t *ref(const char *name)
{
	return json_pack("{s:s+}", "$ref", DEFINITIONS, name);
}

static json_t *ref_in(const char *file, const char *name)
{
	return json_pack("{s:s++}", "$ref", file, DEFINITIONS, name);
}

/* ---- the job document, made from the table of its keys ---- */

static json_t *object_of(const struct jobkey *members);

static json_t *string_between(int64_t min, int64_t max)
{
	json_t *o = json_pack("{s:s}", "type", "string");

	if (min > 0)
		set(o, "minLength", json_integer(min));
	if (max > 0)
		set(o, "maxLength", json_integer(max));
	return o;
}

static json_t *number_between(const char *type, const struct jobkey *key)
{
	return json_pack("{s:s, s:I, s:I}", "type", type, "minimum", (json_int_t)key->min,
			 "maximum", (json_int_t)key->max);
}

static json_t *list_of(json_t *items, int min)
{
	return json_pack("{s:s, s:o, s:i}", "type", "array", "items", items, "minItems", min);
}

/* One of them, or a list. */
static json_t *one_or_list(json_t *item)
{
	return json_pack("{s:[O, o]}", "anyOf", item, list_of(item, 1));
}

static json_t *choice(const struct jobkey *key, enum job_kind kind)
{
	json_t *words;

	if (!strcmp(key->name, "kind"))
		return json_pack("{s:s}", "const", job_kind_name(kind));
	words = json_array();
	for (const char *const *word = key->choices; *word; word++)
		add(words, json_string(*word));
	return json_pack("{s:o}", "enum", words);
}

static json_t *map_of_text(const struct jobkey *key)
{
	return json_pack("{s:s, s:o}", "type", "object", "additionalProperties",
			 string_between(0, key->max));
}

static json_t *typed(const struct jobkey *key, enum job_kind kind)
{
	switch (key->type) {
	case JK_STRING:
		return string_between(key->min, key->max);
	case JK_LABEL:
		return ref("Label");
	case JK_LABELS:
		return json_pack("{s:s, s:o, s:i, s:b}", "type", "array", "items", ref("Label"),
				 "maxItems", JOB_TAGS_MAX, "uniqueItems", 1);
	case JK_STRINGS:
		return list_of(string_between(0, key->max), 1);
	case JK_MAP:
		return map_of_text(key);
	case JK_INTEGER:
		return number_between("integer", key);
	case JK_INTEGERS:
		return one_or_list(number_between("integer", key));
	case JK_NUMBER:
		return number_between("number", key);
	case JK_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case JK_DURATION:
		return ref("Duration");
	case JK_TIME:
		return ref("Time");
	case JK_SIZE:
		return ref("Size");
	case JK_CHOICE:
		return choice(key, kind);
	case JK_EXPECT:
		return one_or_list(ref("Statuses"));
	case JK_CHECKSUM:
		return json_pack("{s:s, s:s}", "type", "string", "pattern",
				 "^sha256:[0-9A-Fa-f]{64}$");
	case JK_MODE:
		return json_pack("{s:s, s:s}", "type", "string", "pattern", "^0?[0-7]{1,3}$");
	case JK_URL:
		return json_pack("{s:s, s:s, s:I}", "type", "string", "pattern",
				 "^[Hh][Tt][Tt][Pp][Ss]?://", "maxLength", (json_int_t)key->max);
	case JK_JSON:
		return json_object();
	case JK_NEEDS:
		return json_pack("{s:s, s:o, s:i}", "type", "array", "items", ref("Need"),
				 "maxItems", JOB_NEEDS_MAX);
	case JK_ERRORS:
		return one_or_list(ref("ErrorToRetry"));
	case JK_OBJECT:
		return object_of(key->members);
	case JK_PARTS:
		return json_pack("{s:s, s:o, s:i, s:i}", "type", "array", "items", ref("Part"),
				 "minItems", 1, "maxItems", JOB_PARTS_MAX);
	case N_JOBKEY_TYPES:
		break;
	}
	assert(0);
	return NULL;
}

/* The value of a key: its type, or, where that is allowed, text with a reference to a result. */
static json_t *value_of(const struct jobkey *key, enum job_kind kind)
{
	json_t *o = typed(key, kind);

	if (key->flags & JK_REFS && key->type != JK_JSON)
		o = json_pack("{s:[o, o]}", "anyOf", o, ref("Reference"));
	else if (json_object_get(o, "$ref"))
		o = json_pack("{s:[o]}", "allOf", o); /* beside a $ref nothing else counts */
	set(o, "description", json_string(key->help));
	return o;
}

static void add_member(json_t *o, const struct jobkey *key, enum job_kind kind)
{
	set(json_object_get(o, "properties"), key->name, value_of(key, kind));
	if (key->flags & JK_REQUIRED)
		add(json_object_get(o, "required"), json_string(key->name));
}

static json_t *closed_object(void)
{
	return json_pack("{s:s, s:{}, s:[], s:b}", "type", "object", "properties", "required",
			 "additionalProperties", 0);
}

static json_t *object_of(const struct jobkey *members)
{
	json_t *o = closed_object();

	for (const struct jobkey *key = members; key->name; key++)
		add_member(o, key, JOB_TIMER);
	return o;
}

static json_t *document_of(enum job_kind kind)
{
	json_t *o = closed_object();

	for (size_t i = 0; i < n_jobkeys; i++)
		if (jobkeys[i].kinds & JK_KINDS(kind))
			add_member(o, &jobkeys[i], kind);
	set(o, "not", json_pack("{s:[s, s]}", "required", "at", "delay"));
	return o;
}

/* Whatever kind, but without the keys that have one of @flags. */
static json_t *document_without(unsigned flags, const char *description)
{
	json_t *keys = json_array();

	for (size_t i = 0; i < n_jobkeys; i++)
		if (jobkeys[i].flags & flags)
			add(keys, json_pack("{s:[s]}", "required", jobkeys[i].name));
	return json_pack("{s:s, s:[o, {s:{s:o}}]}", "description", description, "allOf",
			 ref("AnyDocument"), "not", "anyOf", keys);
}

static json_t *definition(const char *text)
{
	return xjson(json_loads(text, 0, NULL));
}

static void add_values(json_t *all)
{
	set(all, "Label", string_between(1, JOB_NAME_MAX_BYTES));
	set(json_object_get(all, "Label"), "pattern", json_string("^[^\\u0000-\\u001f\\u007f]*$"));
	set(all, "Duration",
	    definition("{\"description\": \"seconds, or a time span like 1h 30min\", \"anyOf\": ["
		       "{\"type\": \"number\", \"minimum\": 0, \"maximum\": 315576000}, "
		       "{\"type\": \"string\", \"minLength\": 1}]}"));
	set(all, "Time",
	    definition("{\"description\": \"RFC 3339 with an offset\", \"type\": \"string\", "
		       "\"pattern\": \"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}"
		       "([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$\"}"));
	set(all, "Size",
	    definition("{\"description\": \"bytes, or text like 10M\", \"anyOf\": ["
		       "{\"type\": \"integer\", \"minimum\": 0}, "
		       "{\"type\": \"string\", \"minLength\": 1}]}"));
	set(all, "Statuses",
	    definition("{\"description\": \"an HTTP status, or some: 200-299\", \"anyOf\": ["
		       "{\"type\": \"integer\", \"minimum\": 100, \"maximum\": 599}, "
		       "{\"type\": \"string\", \"pattern\": \"^[0-9]{3}(-[0-9]{3})?$\"}]}"));
	set(all, "Reference",
	    definition("{\"description\": \"text with references to results: ${NAME:/pointer}\", "
		       "\"type\": \"string\", \"pattern\": \"[$][{]\"}"));
	set(all, "ErrorToRetry",
	    definition("{\"description\": \"an error's code, or exit:N, or http:N\", "
		       "\"type\": \"string\", \"pattern\": \"^[a-z_]+(:[0-9]+)?$\"}"));
	set(all, "Need",
	    json_pack("{s:[o, o, {s:s, s:{s:{s:[o, o]}, s:{s:[s, s, s]}}, s:[s], s:b}]}", "anyOf",
		      ref_in("job.json", "JobId"), ref("PlaceInRequest"), "type", "object",
		      "properties", "job", "anyOf", ref_in("job.json", "JobId"),
		      ref("PlaceInRequest"), "on", "enum", need_on_name(NEED_SUCCESS),
		      need_on_name(NEED_FAILURE), need_on_name(NEED_DONE), "required", "job",
		      "additionalProperties", 0));
	set(all, "PlaceInRequest",
	    definition("{\"description\": \"an earlier document of the same job.submit_many, "
		       "counted from 0\", \"type\": \"string\", \"pattern\": \"^@[0-9]+$\"}"));
}

static json_t *document_schema(void)
{
	json_t *all = json_object(), *any = json_array();

	set(all, "JobDocument", document_without(JK_PART, "what job.submit takes"));
	set(all, "Part", document_without(JK_WHOLE, "a part of a composition"));
	set(all, "AnyDocument", json_pack("{s:o}", "oneOf", any));
	for (int kind = 0; kind < N_JOB_KINDS; kind++) {
		const char *word = job_kind_name((enum job_kind)kind);
		char name[64];

		(void)snprintf(name, sizeof(name), "%c%sDocument", word[0] - 'a' + 'A', word + 1);
		add(any, ref(name));
		set(all, name, document_of((enum job_kind)kind));
	}
	add_values(all);
	return json_pack("{s:s, s:s, s:s, s:[o], s:o}", "$schema",
			 "http://json-schema.org/draft-07/schema#", "title", "Job document",
			 "description", "What job.submit takes. Made from proto/jobkeys.c.",
			 "allOf", ref("JobDocument"), "definitions", all);
}

static json_t *file(const char *name)
{
	for (const struct proto_schema *s = proto_schemas; s->name; s++)
		if (!strcmp(s->name, name))
			return definition(s->text);
	ck_abort_msg("there is no schema %s", name);
	return NULL;
}

START_TEST(document_follows_from_the_table)
{
	json_t *made = document_schema(), *kept = file("job-document");

	ck_assert_msg(json_equal(made, kept),
		      "proto/jobkeys.c has changed: run \"tests/unit/schemas --print >"
		      "proto/schemas/job-document.json\" (the latter in the source folder)");
	json_decref(made);
	json_decref(kept);
}
END_TEST

/* ---- the others ---- */

static json_t *definitions(void)
{
	json_t *all = json_object();
	const char *name;
	json_t *value;

	for (const struct proto_schema *s = proto_schemas; s->name; s++) {
		json_t *schema = file(s->name);

		json_object_foreach(json_object_get(schema, "definitions"), name, value) {
			ck_assert_msg(!json_object_get(all, name), "%s is defined twice", name);
			ck_assert_int_eq(json_object_set(all, name, value), 0);
		}
		json_decref(schema);
	}
	return all;
}

static void check_refs(const json_t *value, const json_t *all)
{
	const char *name;
	json_t *member;
	size_t i;

	json_array_foreach(value, i, member)
		check_refs(member, all);
	json_object_foreach((json_t *)value, name, member) {
		const char *text = json_string_value(member);
		const char *at = text ? strstr(text, DEFINITIONS) : NULL;

		if (text && !strcmp(name, "$ref"))
			ck_assert_msg(at && json_object_get(all, at + strlen(DEFINITIONS)),
				      "nothing is at %s", text);
		check_refs(member, all);
	}
}

START_TEST(references_lead_somewhere)
{
	json_t *all = definitions();

	for (const struct proto_schema *s = proto_schemas; s->name; s++) {
		json_t *schema = file(s->name);

		check_refs(schema, all);
		json_decref(schema);
	}
	json_decref(all);
}
END_TEST

static bool has_word(const json_t *list, const char *word)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (json_is_string(item) && !strcmp(json_string_value(item), word))
			return true;
	return false;
}

/* The enum of @name has the words that @word_of gives for 0 ... @n - 1, and no others. */
static void check_words(const json_t *schema, int n, const char *(*word_of)(int))
{
	const json_t *list = json_object_get(schema, "enum");
	size_t n_words = 0;

	for (int i = 0; i < n; i++) {
		if (!word_of(i))
			continue;
		ck_assert_msg(has_word(list, word_of(i)), "%s is missing", word_of(i));
		n_words++;
	}
	n_words += json_is_null(json_array_get(list, json_array_size(list) - 1));
	ck_assert_uint_eq(json_array_size(list), n_words);
}

static const char *kind_word(int i)
{
	return job_kind_name((enum job_kind)i);
}

static const char *state_word(int i)
{
	return job_state_name((enum job_state)i);
}

static const char *outcome_word(int i)
{
	return job_outcome_name((enum job_outcome)i);
}

static const char *reason_word(int i)
{
	return job_reason_name((enum job_reason)i);
}

/* A job's error: what answers no request, and storage_full, which is both. */
static const char *error_word(int i)
{
	enum aw_code code = (enum aw_code)i;

	return code == AW_OK || (aw_code_rpc(code) && code != AW_STORAGE_FULL) ? NULL
									       : aw_code_word(code);
}

static const json_t *at(const json_t *value, const char *a, const char *b, const char *c)
{
	value = json_object_get(json_object_get(json_object_get(value, a), b), c);
	ck_assert_ptr_nonnull(value);
	return value;
}

START_TEST(words_are_those_of_the_tables)
{
	json_t *all = definitions();

	check_words(json_object_get(all, "Kind"), N_JOB_KINDS, kind_word);
	check_words(json_object_get(all, "State"), N_JOB_STATES, state_word);
	check_words(json_object_get(all, "Outcome"), N_JOB_OUTCOMES, outcome_word);
	check_words(at(all, "Job", "properties", "reason"), N_JOB_REASONS, reason_word);
	check_words(at(all, "JobError", "properties", "code"), N_AW_CODES, error_word);
	json_decref(all);
}
END_TEST

static const struct rpc_method *find_method(const char *name)
{
	for (size_t i = 0; i < n_rpc_methods; i++)
		if (!strcmp(rpc_methods[i]->name, name))
			return rpc_methods[i];
	return NULL;
}

static bool has_param(const struct rpc_method *m, const char *name)
{
	for (const struct rpc_param *p = m->params; p && p->name; p++)
		if (!strcmp(p->name, name))
			return true;
	return false;
}

START_TEST(every_method_has_a_result)
{
	json_t *schema = file("results"), *results = json_object_get(schema, "properties"), *value;
	const char *name;

	for (size_t i = 0; i < n_rpc_methods; i++)
		ck_assert_msg(json_object_get(results, rpc_methods[i]->name),
			      "%s is not in proto/schemas/results.json", rpc_methods[i]->name);
	json_object_foreach(results, name, value)
		ck_assert_msg(find_method(name) || rpc_method_is_planned(name),
			      "proto/schemas/results.json has %s, which is no method", name);
	json_decref(schema);
}
END_TEST

START_TEST(closer_schemas_are_of_parameters)
{
	json_t *schema = file("params"), *value, *member;
	const char *name, *param;

	json_object_foreach(json_object_get(schema, "properties"), name, value) {
		const struct rpc_method *m = find_method(name);

		ck_assert_msg(m || rpc_method_is_planned(name), "%s is no method", name);
		json_object_foreach(json_object_get(value, "properties"), param, member)
			ck_assert_msg(!m || has_param(m, param), "%s has no %s", name, param);
	}
	json_decref(schema);
}
END_TEST

static int print(void)
{
	json_t *schema = document_schema();

	(void)json_dumpf(schema, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(schema);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	Suite *suite = suite_create("schemas");
	TCase *tc = tcase_create("schemas");

	if (argc > 1 && !strcmp(argv[1], "--print"))
		return print();
	tcase_add_test(tc, document_follows_from_the_table);
	tcase_add_test(tc, references_lead_somewhere);
	tcase_add_test(tc, words_are_those_of_the_tables);
	tcase_add_test(tc, every_method_has_a_result);
	tcase_add_test(tc, closer_schemas_are_of_parameters);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
