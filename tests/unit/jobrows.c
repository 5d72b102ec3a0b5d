/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/jobrows.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proto/xalloc.h"
#include "tests/unit/suite.h"

static void check(const char *text, struct jobdoc *ret)
{
	json_t *json = json_loads(text, 0, NULL);
	struct aw_err err = { 0 };

	ck_assert_ptr_nonnull(json);
	ck_assert_msg(jobdoc_check(json, "", 0, ret, &err) == 0, "%s: %s", err.path, err.message);
	json_decref(json);
}

static struct jobrows rows_of(struct jobdoc *d, size_t *places)
{
	struct jobrows r = { .uid = 5, .gid = 6, .at.wall.ms = 1000, .places = places };

	r.places[0] = jobrows_add(&r, d);
	jobdoc_fini(d);
	return r;
}

/* The document is gone when the rows are looked at. */
START_TEST(rows_have_texts_of_their_own)
{
	struct jobdoc d;
	size_t places[1];
	struct jobrows r;

	check("{\"key\":\"k\",\"kind\":\"worker\",\"argv\":[\"true\"],\"name\":\"n\","
	      "\"queue\":\"q\",\"tags\":[\"t\",\"u\"],\"priority\":3}",
	      &d);
	r = rows_of(&d, places);
	ck_assert_uint_eq(r.n, 1);
	ck_assert_str_eq(r.jobs[0].spec,
			 "{\"kind\":\"worker\",\"name\":\"n\",\"tags\":[\"t\",\"u\"],"
			 "\"queue\":\"q\",\"priority\":3,\"key\":\"k\","
			 "\"argv\":[\"true\"]}");
	ck_assert_uint_eq(r.jobs[0].spec_len, strlen(r.jobs[0].spec));
	ck_assert_str_eq(r.jobs[0].name, "n");
	ck_assert_str_eq(r.jobs[0].queue, "q");
	ck_assert_str_eq(r.jobs[0].key, "k");
	ck_assert_str_eq(r.jobs[0].tags, "[\"t\",\"u\"]");
	ck_assert_int_eq(r.jobs[0].priority, 3);
	jobrows_free(r.jobs, r.n);
}
END_TEST

/* Long texts move the piece of memory while it is filled. */
START_TEST(long_texts)
{
	cleanup_free char *name = xmalloc(256), *text = NULL;
	struct jobdoc d;
	size_t places[1];
	struct jobrows r;

	memset(name, 'x', 255);
	name[255] = '\0';
	text = xasprintf("{\"kind\":\"timer\",\"sleep\":1,\"name\":\"%s\",\"key\":\"%s\"}", name,
			 name);
	check(text, &d);
	r = rows_of(&d, places);
	ck_assert_str_eq(r.jobs[0].name, name);
	ck_assert_str_eq(r.jobs[0].key, name);
	ck_assert_ptr_null(r.jobs[0].queue);
	ck_assert_ptr_null(r.jobs[0].tags);
	jobrows_free(r.jobs, r.n);
}
END_TEST

START_TEST(parts_come_behind_their_composition)
{
	struct jobdoc d;
	size_t places[1];
	struct jobrows r;

	check("{\"kind\":\"gather\",\"name\":\"g\",\"jobs\":["
	      "{\"kind\":\"timer\",\"sleep\":1,\"name\":\"a\"},"
	      "{\"kind\":\"sequence\",\"jobs\":[{\"kind\":\"timer\",\"sleep\":2}]}]}",
	      &d);
	r = rows_of(&d, places);
	ck_assert_uint_eq(r.n, 4);
	ck_assert_str_eq(r.jobs[0].name, "g");
	ck_assert_str_eq(r.jobs[1].name, "a");
	ck_assert_uint_eq(r.jobs[1].parent_place_plus_1, 1);
	ck_assert_uint_eq(r.jobs[2].parent_place_plus_1, 1);
	ck_assert_uint_eq(r.jobs[2].part, 1);
	ck_assert_uint_eq(r.jobs[3].parent_place_plus_1, 3);
	ck_assert_str_eq(r.jobs[3].spec, "{\"kind\":\"timer\",\"sleep\":2}");
	jobrows_free(r.jobs, r.n);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("jobrows");
	TCase *tc = tcase_create("jobrows");

	tcase_add_test(tc, rows_have_texts_of_their_own);
	tcase_add_test(tc, long_texts);
	tcase_add_test(tc, parts_come_behind_their_composition);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
