/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/fetch_fixture.h"

#include "daemon/kinds/partial.h"

/* Going on with what an earlier attempt got, and when not to. */

#define SIZE 100000

/* The content of /part, with another one's seed when it has changed. */
static char *sum_of(const char *seed)
{
	cleanup_free char *path = xasprintf("/sha256/%d?seed=%s", SIZE, seed);

	return ask(path);
}

static json_t *asked_of(const char *name)
{
	cleanup_free char *path = xasprintf("/asked/%s", name);
	cleanup_free char *text = ask(path);
	json_t *asked = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(asked);
	return asked;
}

/* What request @i, from 0, had in Range (@k 0) or If-Range (@k 1); NULL = it had none. */
static const char *asked_at(const json_t *asked, size_t i, size_t k)
{
	return json_string_value(json_array_get(json_array_get(asked, i), k));
}

/* A first attempt at @path, which is cut off and followed by another one. */
static struct run *first_attempt(const char *path, json_t *more)
{
	struct run *r = run_new(url_of(path), more);

	r->is_followed = true;
	run_start(r);
	loop_run();
	return r;
}

/* The attempt after @before, which is freed: the same job, with what was stored. */
static struct run *make_next(struct run *before, const char *url, json_t *more)
{
	struct run *r = run_new(url, more);

	r->a.id = before->a.id;
	r->a.attempt = before->a.attempt + 1;
	r->given = json_incref(before->saved);
	r->saved = json_incref(before->saved);
	run_free(before);
	return r;
}

static struct run *next_attempt(struct run *before, const char *path, json_t *more)
{
	struct run *r = make_next(before, url_of(path), more);

	run_start(r);
	loop_run();
	return r;
}

static const char *const outputs[] = { NULL, "a" };

static json_t *to_output(int i)
{
	return outputs[i] ? json_pack("{s:s}", "output", outputs[i]) : NULL;
}

static void expect_content(const struct run *r, const char *seed)
{
	cleanup_free char *sum = sum_of(seed);
	cleanup_free char *body = jobdir_path(r->a.id, r->a.attempt, "body");
	const char *path = text_in(r->result, "path");
	struct stat st;

	ck_assert_str_eq(text_in(r->result, "sha256"), sum);
	ck_assert_int_eq(number_in(r->result, "bytes"), SIZE);
	ck_assert_int_eq(number_in(r->result, "status"), 200);
	ck_assert_str_eq(text_in(r->result, "content_type"), "text/x-part");
	ck_assert_int_eq(stat(path ? path : body, &st), 0);
	ck_assert_int_eq(st.st_size, SIZE);
}

/* ---- it goes on ---- */

START_TEST(next_attempt_asks_for_the_rest)
{
	cleanup_free char *name = xasprintf("rest-%d", _i);
	cleanup_free char *path = xasprintf("/part/%s", name);
	struct run *r = first_attempt(path, to_output(_i));
	json_t *asked;

	expect_error(r, AW_NETWORK, "before the end");
	ck_assert_ptr_nonnull(r->saved);
	ck_assert_int_eq(number_in(r->saved, "synced"), SIZE / 2);
	ck_assert_uint_eq(n_files_left(), 1);
	r = next_attempt(r, path, to_output(_i));
	expect_ok(r);
	expect_content(r, "1");
	ck_assert_int_eq(number_in(r->progress, "done"), SIZE);
	ck_assert_int_eq(number_in(r->progress, "total"), SIZE);
	asked = asked_of(name);
	ck_assert_uint_eq(json_array_size(asked), 2);
	ck_assert_ptr_null(asked_at(asked, 0, 0));
	ck_assert_str_eq(asked_at(asked, 1, 0), "bytes=50000-");
	ck_assert_str_eq(asked_at(asked, 1, 1), "\"1\"");
	json_decref(asked);
	run_free(r);
}
END_TEST

START_TEST(many_attempts_come_to_one_file)
{
	static const char path[] = "/part/many?cuts=3&after=20000";
	struct run *r = first_attempt(path, NULL);
	json_t *asked;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(number_in(r->saved, "synced"), 20000 * (i + 1));
		r = make_next(r, url_of(path), NULL);
		r->is_followed = true;
		run_start(r);
		loop_run();
		ck_assert_int_eq(r->err.code, AW_NETWORK);
	}
	r = next_attempt(r, path, NULL);
	expect_ok(r);
	expect_content(r, "1");
	asked = asked_of("many");
	ck_assert_str_eq(asked_at(asked, 3, 0), "bytes=60000-");
	json_decref(asked);
	run_free(r);
}
END_TEST

START_TEST(a_date_will_do_where_there_is_no_tag)
{
	struct run *r = first_attempt("/part/date?tag=date", NULL);
	json_t *asked;

	r = next_attempt(r, "/part/date?tag=date", NULL);
	expect_ok(r);
	expect_content(r, "1");
	asked = asked_of("date");
	ck_assert_str_eq(asked_at(asked, 1, 0), "bytes=50000-");
	ck_assert_str_eq(asked_at(asked, 1, 1), "Wed, 21 Oct 2015 07:27:01 GMT");
	json_decref(asked);
	run_free(r);
}
END_TEST

START_TEST(a_size_that_is_not_told_again_is_known)
{
	struct run *r = first_attempt("/part/star?rest=star", NULL);
	json_t *asked;

	r = next_attempt(r, "/part/star?rest=star", NULL);
	expect_ok(r);
	expect_content(r, "1");
	asked = asked_of("star");
	ck_assert_uint_eq(json_array_size(asked), 2);
	json_decref(asked);
	run_free(r);
}
END_TEST

/* What there is is nobody's output before it is known that it stays. */
START_TEST(an_attempt_without_an_answer_leaves_it_as_it_is)
{
	struct run *r = first_attempt("/part/silent", NULL);
	cleanup_free char *first = jobdir_path(r->a.id, 1, "body");
	cleanup_free char *second = jobdir_path(r->a.id, 2, "body");
	cleanup_free char *third = jobdir_path(r->a.id, 3, "body");

	r = make_next(r, "http://does-not-exist.invalid/", NULL);
	r->is_followed = true;
	run_start(r);
	loop_run();
	expect_error(r, AW_NETWORK, "cannot resolve");
	ck_assert_int_eq(number_in(r->saved, "synced"), SIZE / 2);
	ck_assert_int_eq(access(first, F_OK), 0);
	ck_assert_int_eq(access(second, F_OK), -1);
	r = next_attempt(r, "/part/silent", NULL);
	expect_ok(r);
	ck_assert_int_eq(access(first, F_OK), -1);
	ck_assert_int_eq(access(third, F_OK), 0);
	expect_content(r, "1");
	run_free(r);
}
END_TEST

START_TEST(a_refused_one_leaves_it_as_it_is)
{
	cleanup_free char *path = xasprintf("/part/refused-%d", _i);
	struct run *r = first_attempt(path, to_output(_i));

	r = make_next(r, url_of("/status/503"), to_output(_i));
	r->is_followed = true;
	run_start(r);
	loop_run();
	expect_error(r, AW_HTTP, "503");
	r = next_attempt(r, path, to_output(_i));
	expect_ok(r);
	ck_assert_uint_eq(n_files_left(), 1);
	expect_content(r, "1");
	run_free(r);
}
END_TEST

/* ---- it begins anew ---- */

static const struct {
	const char *name, *query;
	const char *seed;  /* of what is there in the end */
	const char *range; /* of the second request */
	size_t n_requests;
} anew[] = {
	{ "changed", "change=2", "1x", "bytes=50000-", 2 },
	{ "blind", "change=2&rest=blind", "1x", "bytes=50000-", 3 },
	{ "untagged", "rest=untagged", "1", "bytes=50000-", 3 },
	{ "no", "rest=no", "1", "bytes=50000-", 2 },
	{ "other", "rest=other", "1", "bytes=50000-", 3 },
	{ "slice", "rest=slice", "1", "bytes=50000-", 3 },
	{ "less", "rest=less", "1", "bytes=50000-", 3 },
	{ "gone", "rest=gone", "1", "bytes=50000-", 3 },
	{ "gzip", "rest=gzip", "1", "bytes=50000-", 3 },
	{ "weak", "tag=weak", "1", NULL, 2 },
	{ "fresh", "tag=fresh", "1", NULL, 2 },
	{ "none", "tag=none", "1", NULL, 2 },
};

START_TEST(what_does_not_fit_begins_anew)
{
	int i = _i / 2, output = _i % 2;
	cleanup_free char *name = xasprintf("%s-%d", anew[i].name, output);
	cleanup_free char *path = xasprintf("/part/%s?%s", name, anew[i].query);
	struct run *r = first_attempt(path, to_output(output));
	json_t *asked;

	ck_assert_int_eq(r->err.code, AW_NETWORK);
	ck_assert_uint_eq(n_files_left(), anew[i].range ? 1 : 0);
	r = next_attempt(r, path, to_output(output));
	expect_ok(r);
	ck_assert_uint_eq(n_files_left(), 1);
	expect_content(r, anew[i].seed);
	asked = asked_of(name);
	ck_assert_uint_eq(json_array_size(asked), anew[i].n_requests);
	if (anew[i].range)
		ck_assert_str_eq(asked_at(asked, 1, 0), anew[i].range);
	else
		ck_assert_ptr_null(asked_at(asked, 1, 0));
	ck_assert_ptr_null(asked_at(asked, 2, 0));
	json_decref(asked);
	run_free(r);
}
END_TEST

/* What was stored may meet no other bytes: it goes first, or nothing comes. */
START_TEST(what_is_stored_goes_before_other_bytes_come)
{
	static const char path[] = "/part/forget?change=2";
	struct run *r = make_next(first_attempt(path, NULL), url_of(path), NULL);

	r->save_result = -ENOSPC;
	run_start(r);
	loop_run();
	expect_error(r, AW_STORAGE_FULL, "begins anew");
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

START_TEST(another_address_is_another_thing)
{
	cleanup_free char *one = xasprintf("/redirect-to?url=%s", url_of("/part/one"));
	cleanup_free char *two = xasprintf("/redirect-to?url=%s", url_of("/part/two?cuts=0"));
	struct run *r = first_attempt(one, NULL);
	json_t *asked;

	r = next_attempt(r, two, NULL);
	expect_ok(r);
	expect_content(r, "1");
	asked = asked_of("two");
	ck_assert_uint_eq(json_array_size(asked), 1);
	ck_assert_ptr_null(asked_at(asked, 0, 0));
	json_decref(asked);
	run_free(r);
}
END_TEST

START_TEST(the_same_address_behind_a_redirect_is_the_same)
{
	cleanup_free char *path = xasprintf("/redirect-to?url=%s", url_of("/part/behind"));
	struct run *r = first_attempt(path, NULL);
	json_t *asked;

	r = next_attempt(r, path, NULL);
	expect_ok(r);
	expect_content(r, "1");
	asked = asked_of("behind");
	ck_assert_str_eq(asked_at(asked, 1, 0), "bytes=50000-");
	json_decref(asked);
	run_free(r);
}
END_TEST

/* ---- nothing is left ---- */

static json_t *never(int i)
{
	switch (i) {
	case 0:
		return json_pack("{s:b}", "resume", 0);
	case 1:
		return json_pack("{s:{s:s}}", "headers", "range", "bytes=0-");
	default:
		return json_pack("{s:s}", "method", "POST");
	}
}

START_TEST(some_jobs_are_never_resumed)
{
	cleanup_free char *path = xasprintf("/part/never-%d?rest=no", _i);
	struct run *r = first_attempt(path, never(_i));

	ck_assert_int_eq(r->err.code, AW_NETWORK);
	ck_assert_ptr_null(r->saved);
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

START_TEST(the_last_attempt_leaves_nothing)
{
	cleanup_free char *path = xasprintf("/part/last-%d", _i);
	struct run *r = run_it(url_of(path), to_output(_i));

	expect_error(r, AW_NETWORK, "before the end");
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

START_TEST(what_failed_its_check_is_not_gone_on_with)
{
	static const char wrong[] =
		"sha256:0000000000000000000000000000000000000000000000000000000000000000";
	struct run *r = first_attempt("/part/check?cuts=0", json_pack("{s:s}", "checksum", wrong));

	expect_error(r, AW_CHECKSUM, "sha256");
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
	r = first_attempt("/part/large?cuts=0", json_pack("{s:i}", "max_size", SIZE - 1));
	expect_error(r, AW_TOO_LARGE, "max_size");
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

/* The whole counts, not what this attempt got. */
START_TEST(sizes_are_of_the_whole)
{
	struct run *r = first_attempt("/part/whole", NULL);

	r = next_attempt(r, "/part/whole", json_pack("{s:i}", "max_size", SIZE - 1));
	expect_error(r, AW_TOO_LARGE, "max_size");
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

START_TEST(more_than_was_promised_is_not_the_file)
{
	struct run *r = first_attempt("/part/long?rest=long", NULL);

	r = next_attempt(r, "/part/long?rest=long", NULL);
	expect_error(r, AW_NETWORK, "of 100000");
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

/* ---- after a crash ---- */

/* The machine went down: what was not synced may be anything. */
START_TEST(only_synced_bytes_outlive_the_machine)
{
	cleanup_free char *name = xasprintf("power-%d", _i), *path = xasprintf("/part/%s", name);
	struct run *r = first_attempt(path, to_output(_i));
	cleanup_free char *body = jobdir_path(r->a.id, 1, "body");
	cleanup_free char *part = xasprintf("%s/.a.%d.part", root, (int)r->a.id);
	static const char zeros[20000];
	json_t *asked;
	int fd = open(_i ? part : body, O_WRONLY | O_CLOEXEC);

	ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), 30000), sizeof(zeros));
	close(fd);
	json_object_set_new(r->saved, "boot", json_string("another"));
	json_object_set_new(r->saved, "synced", json_integer(30000));
	r = next_attempt(r, path, to_output(_i));
	expect_ok(r);
	expect_content(r, "1");
	asked = asked_of(name);
	ck_assert_str_eq(asked_at(asked, 1, 0), "bytes=30000-");
	json_decref(asked);
	run_free(r);
}
END_TEST

/* Wait until something is stored, then stop as a killed daemon does: nothing is cleaned up. */
static void on_look(struct loop_timer *timer)
{
	struct run *r = *(struct run **)(timer + 1);

	if (r->n_saved > 0)
		coro_cancel(r->coro);
	else
		loop_timer_set(timer, mono_in_us(10000));
}

struct looking {
	struct loop_timer timer;
	struct run *run;
};

START_TEST(a_slow_one_is_noted_while_it_runs)
{
	struct looking l = { .timer.fn = on_look };

	l.run = run_new(url_of("/part/slow?end=stall"), json_pack("{s:s}", "output", "a"));
	run_start(l.run);
	loop_timer_set(&l.timer, mono_in_us(10000));
	loop_run();
	ck_assert_int_eq(l.run->returned, -ECANCELED);
	ck_assert_uint_eq(l.run->n_saved, 1);
	/* Nothing is known to be on the disk yet. */
	ck_assert_int_eq(number_in(l.run->saved, "synced"), 0);
	ck_assert_str_eq(text_in(l.run->saved, "validator"), "\"1\"");
	run_free(l.run);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fetch_resume");
	TCase *on = add_case(s, "goes on"), *anew_case = add_case(s, "begins anew");
	TCase *nothing = add_case(s, "leaves nothing"), *crash = add_case(s, "crash");

	tcase_add_loop_test(on, next_attempt_asks_for_the_rest, 0, N_OF(outputs));
	tcase_add_test(on, many_attempts_come_to_one_file);
	tcase_add_test(on, a_date_will_do_where_there_is_no_tag);
	tcase_add_test(on, a_size_that_is_not_told_again_is_known);
	tcase_add_test(on, an_attempt_without_an_answer_leaves_it_as_it_is);
	tcase_add_loop_test(on, a_refused_one_leaves_it_as_it_is, 0, N_OF(outputs));
	tcase_add_test(on, the_same_address_behind_a_redirect_is_the_same);
	tcase_add_loop_test(anew_case, what_does_not_fit_begins_anew, 0, 2 * N_OF(anew));
	tcase_add_test(anew_case, what_is_stored_goes_before_other_bytes_come);
	tcase_add_test(anew_case, another_address_is_another_thing);
	tcase_add_loop_test(nothing, some_jobs_are_never_resumed, 0, 3);
	tcase_add_loop_test(nothing, the_last_attempt_leaves_nothing, 0, N_OF(outputs));
	tcase_add_test(nothing, what_failed_its_check_is_not_gone_on_with);
	tcase_add_test(nothing, sizes_are_of_the_whole);
	tcase_add_test(nothing, more_than_was_promised_is_not_the_file);
	tcase_add_loop_test(crash, only_synced_bytes_outlive_the_machine, 0, N_OF(outputs));
	tcase_add_test(crash, a_slow_one_is_noted_while_it_runs);
	return s;
}

int main(void)
{
	return fetch_main(suite());
}
