/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_JOBDOC_FIXTURE_H
#define TESTS_UNIT_JOBDOC_FIXTURE_H

#include "proto/jobdoc.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "tests/unit/suite.h"

/* What tests of job documents share. */

#define TIMER "{\"kind\":\"timer\",\"sleep\":1"
#define FETCH "{\"kind\":\"fetch\",\"url\":\"http://h/\""
#define WORKER "{\"kind\":\"worker\",\"argv\":[\"ls\"]"
#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define GATHER "{\"kind\":\"gather\",\"jobs\":["
#define SEQUENCE "{\"kind\":\"sequence\",\"jobs\":["
#define RACE "{\"kind\":\"race\",\"jobs\":["
#define SHOW(ref) "{\"kind\":\"worker\",\"argv\":[\"echo\",\"" ref "\"]"

#define N_OF(table) (int)(sizeof(table) / sizeof(*table))

static inline json_t *json_of(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

	ck_assert_msg(value != NULL, "%s: %s", text, error.text);
	return value;
}

static inline char *text_of(const json_t *value)
{
	struct buf b = { 0 };

	buf_add_json(&b, value);
	return buf_steal(&b, NULL);
}

/* A jobrefs_source's: @arg is an object of results. */
static inline const json_t *look_up(void *arg, const char *name, size_t len)
{
	return json_object_getn(arg, name, len);
}

/* @text, which is good, as the fourth of its request. */
static inline struct jobdoc checked(const char *text)
{
	struct jobdoc d = { 0 };
	struct aw_err err = { 0 };
	json_t *doc = json_of(text);

	ck_assert_msg(jobdoc_check(doc, "", 3, &d, &err) == 0, "%s: %s: %s", text, err.path,
		      err.message);
	json_decref(doc);
	return d;
}

/*
 * @text, as document @place of its request, is refused with @code at @path below
 * any prefix, in words of which @word is one; and nothing else happens.
 */
static inline void expect_refusal(const char *text, size_t place, enum aw_code code,
				  const char *path, const char *word)
{
	static const char *const prefixes[] = { "", "/jobs/3" };

	for (int i = 0; i < N_OF(prefixes); i++) {
		json_t *doc = json_of(text);
		char *before = text_of(doc), *after, whole[256];
		struct jobdoc d = { .priority = 77 };
		struct aw_err err = { 0 };

		ck_assert_msg(jobdoc_check(doc, prefixes[i], place, &d, &err) < 0,
			      "%s was accepted", text);
		snprintf(whole, sizeof(whole), "%s%s", prefixes[i], path);
		ck_assert_msg(err.code == code, "%s: %s: %s", text, aw_code_word(err.code),
			      err.message);
		ck_assert_msg(strcmp(err.path, whole) == 0, "%s: path %s: %s", text, err.path,
			      err.message);
		ck_assert_uint_gt(strlen(err.message), 10);
		ck_assert_msg(strstr(err.message, word) != NULL, "%s: %s", text, err.message);
		/* Nothing came out, and what came in is as it was. */
		ck_assert_int_eq(d.priority, 77);
		ck_assert_ptr_null(d.spec);
		after = text_of(doc);
		ck_assert_str_eq(before, after);
		free(before);
		free(after);
		aw_err_fini(&err);
		json_decref(doc);
	}
}

/* A timer in @n compositions, each the only part of the one around it. */
static inline json_t *deep(int n, const char *leaf)
{
	static const char *const kinds[] = { "gather", "sequence", "race" };
	json_t *doc = json_of(leaf);

	for (int i = 0; i < n; i++)
		doc = json_pack("{s:s, s:[o]}", "kind", kinds[i % 3], "jobs", doc);
	return doc;
}

/* Run @tc as the suite @name, and return main()'s status. */
static inline int jobdoc_main(const char *name, TCase *tc)
{
	Suite *suite = suite_create(name);

	suite_add_tcase(suite, tc);
	return suite_run(suite);
}

#endif
