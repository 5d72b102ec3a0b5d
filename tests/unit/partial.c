/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/partial.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/xalloc.h"

static struct partial make(int64_t total, int64_t synced)
{
	return (struct partial){
		.validator = xstrdup("\"a\""),
		.url = xstrdup("http://a/"),
		.content_type = xstrdup("text/plain"),
		.file = xstrdup("file"),
		.boot = xstrdup("boot"),
		.total_bytes = total,
		.synced_bytes = synced,
	};
}

static const struct {
	const char *file, *boot; /* when it is used */
	int64_t size, total, synced;
	int64_t used;
} uses[] = {
	/* The daemon alone was killed: every byte of the file is what came. */
	{ "file", "boot", 70, 100, 50, 70 },
	{ "file", "boot", 70, -1, 0, 70 },
	{ "file", "boot", 0, 100, 0, 0 },
	/* The machine: what was synced, whatever lies behind it. */
	{ "file", "later", 70, 100, 50, 50 },
	{ "file", "later", 50, 100, 50, 50 },
	{ "file", "later", 70, 100, 0, 0 },
	{ "file", "", 70, 100, 50, 50 },
	/* A file that has lost what it had, has more than there is, or is another one. */
	{ "file", "boot", 49, 100, 50, 0 },
	{ "file", "later", 49, 100, 50, 0 },
	{ "file", "boot", 101, 100, 50, 0 },
	{ "file", "later", 101, 100, 50, 50 },
	{ "other", "boot", 70, 100, 50, 0 },
	{ "", "boot", 70, 100, 50, 0 },
	/* All of it is there: one byte is asked for, to hear that it is the same still. */
	{ "file", "boot", 100, 100, 50, 99 },
	{ "file", "later", 100, 100, 100, 99 },
	{ "file", "boot", 1, 1, 0, 0 },
	{ "file", "boot", 0, 0, 0, 0 },
};

START_TEST(only_sure_bytes_are_used)
{
	struct partial p = make(uses[_i].total, uses[_i].synced);
	int64_t n = partial_use(&p, uses[_i].file, uses[_i].size, uses[_i].boot);

	ck_assert_int_eq(n, uses[_i].used);
	ck_assert_int_le(p.synced_bytes, n);
	ck_assert_str_eq(p.boot, uses[_i].boot);
	partial_fini(&p);
	ck_assert_ptr_null(p.validator);
}
END_TEST

START_TEST(it_is_loaded_as_it_was_dumped)
{
	struct partial p = make(_i ? 100 : -1, 50), q;
	json_t *saved;

	if (_i) {
		free(p.content_type);
		p.content_type = NULL;
	}
	saved = partial_dump(&p);
	ck_assert(partial_load(saved, &q));
	ck_assert_str_eq(q.validator, p.validator);
	ck_assert_str_eq(q.url, p.url);
	ck_assert_pstr_eq(q.content_type, p.content_type);
	ck_assert_str_eq(q.file, p.file);
	ck_assert_str_eq(q.boot, p.boot);
	ck_assert_int_eq(q.total_bytes, p.total_bytes);
	ck_assert_int_eq(q.synced_bytes, p.synced_bytes);
	json_decref(saved);
	partial_fini(&p);
	partial_fini(&q);
}
END_TEST

static const char *const bad[] = { "validator", "url", "file", "boot", "synced" };

START_TEST(what_lacks_something_is_nothing)
{
	struct partial p = make(100, 50), q;
	json_t *saved = partial_dump(&p);

	json_object_set_new(saved, bad[_i], json_true());
	ck_assert(!partial_load(saved, &q));
	ck_assert_ptr_null(q.validator);
	json_object_del(saved, bad[_i]);
	ck_assert(!partial_load(saved, &q));
	ck_assert(!partial_load(json_null(), &q));
	json_decref(saved);
	partial_fini(&p);
	partial_fini(&q);
}
END_TEST

/* It is going to be a line of a request. */
START_TEST(a_validator_is_one_line)
{
	struct partial p = make(100, 50), q;
	json_t *saved = partial_dump(&p);

	json_object_set_new(saved, "validator", json_string("\"a\"\r\nX-Injected: 1"));
	ck_assert(!partial_load(saved, &q));
	json_decref(saved);
	partial_fini(&p);
	partial_fini(&q);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("partial");
	TCase *tc = tcase_create("partial");
	SRunner *sr;
	int n_failed;

	suite_add_tcase(s, tc);
	tcase_add_loop_test(tc, only_sure_bytes_are_used, 0, sizeof(uses) / sizeof(*uses));
	tcase_add_loop_test(tc, it_is_loaded_as_it_was_dumped, 0, 2);
	tcase_add_loop_test(tc, what_lacks_something_is_nothing, 0, sizeof(bad) / sizeof(*bad));
	tcase_add_test(tc, a_validator_is_one_line);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	n_failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
