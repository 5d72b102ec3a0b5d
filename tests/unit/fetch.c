/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/fetch_fixture.h"

/* What is asked of a server, and what becomes of a good answer. */

/* ---- good answers ---- */

START_TEST(body_is_kept_and_summed)
{
	static const char *const paths[] = { "/bytes/3000000?type=text/x-y",
					     "/chunked/3000000?seed=1",
					     "/redirect/2/bytes/3000000" };
	cleanup_free char *sum = ask("/sha256/3000000");
	struct run *r = run_it(url_of(paths[_i]), NULL);
	cleanup_free char *path = jobdir_path(r->a.id, 1, "body");
	struct stat st;

	expect_ok(r);
	ck_assert_str_eq(text_in(r->result, "sha256"), sum);
	ck_assert_int_eq(number_in(r->result, "bytes"), 3000000);
	ck_assert_int_eq(number_in(r->result, "status"), 200);
	ck_assert(json_is_null(json_object_get(r->result, "path")));
	ck_assert(json_is_number(json_object_get(r->result, "elapsed")));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 3000000);
	ck_assert_uint_gt(r->n_grew, 0);
	ck_assert_uint_gt(r->n_progressed, 0);
	ck_assert_int_eq(number_in(r->progress, "done"), 3000000);
	if (_i == 1)
		ck_assert(json_is_null(json_object_get(r->progress, "total")));
	else
		ck_assert_int_eq(number_in(r->progress, "total"), 3000000);
	if (_i == 0)
		ck_assert_str_eq(text_in(r->result, "content_type"), "text/x-y");
	run_free(r);
}
END_TEST

START_TEST(output_is_written_below_its_root)
{
	cleanup_free char *sum = ask("/sha256/5000"), *checksum = xasprintf("sha256:%s", sum);
	struct run *r = run_it(url_of("/bytes/5000#part"),
			       json_pack("{s:s, s:s}", "output", "./a.bin", "checksum", checksum));
	struct stat st;

	expect_ok(r);
	ck_assert_str_eq(text_in(r->result, "path"), in_root("a.bin"));
	ck_assert_str_eq(text_in(r->result, "url"), url_of("/bytes/5000"));
	ck_assert_int_eq(stat(in_root("a.bin"), &st), 0);
	ck_assert_int_eq(st.st_size, 5000);
	ck_assert_uint_eq(st.st_mode & 0777, 0644);
	ck_assert_ptr_nonnull(strstr(r->handle, "//.a.bin."));
	ck_assert_uint_eq(n_files_left(), 2); /* with the body of the sum */
	run_free(r);
}
END_TEST

START_TEST(empty_answer_is_an_empty_file)
{
	struct run *r = run_it(url_of("/status/204"), json_pack("{s:s}", "output", "a"));
	struct stat st;

	expect_ok(r);
	ck_assert_int_eq(number_in(r->result, "bytes"), 0);
	ck_assert_int_eq(strncmp(text_in(r->result, "sha256"), "e3b0c44298fc", 12), 0);
	ck_assert_int_eq(stat(in_root("a"), &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	run_free(r);
}
END_TEST

START_TEST(compressed_answer_is_kept_as_it_came)
{
	struct run *r =
		run_it(url_of("/gzip-bomb?size=10000000"), json_pack("{s:i}", "max_size", 50000));

	expect_ok(r);
	ck_assert_int_lt(number_in(r->result, "bytes"), 50000);
	run_free(r);
}
END_TEST

/* ---- requests ---- */

START_TEST(plain_request_says_little)
{
	json_t *got = echo("/echo?a=b", NULL);

	ck_assert_str_eq(text_in(got, "method"), "GET");
	ck_assert_str_eq(text_in(got, "path"), "/echo?a=b");
	ck_assert_str_eq(header_in(got, "User-Agent"), "awaitd/" PACKAGE_VERSION);
	ck_assert_ptr_nonnull(header_in(got, "Host"));
	ck_assert_ptr_nonnull(header_in(got, "Accept"));
	ck_assert_uint_eq(json_object_size(json_object_get(got, "headers")), 3);
	json_decref(got);
}
END_TEST

START_TEST(characters_beyond_ascii_are_encoded)
{
	json_t *got = echo("/echo/\xc3\xa9?q=\xc3\xa9%20", NULL);

	ck_assert_str_eq(text_in(got, "path"), "/echo/%c3%a9?q=%c3%a9%20");
	json_decref(got);
}
END_TEST

START_TEST(headers_and_body_are_sent)
{
	json_t *got = echo("/echo",
			   json_pack("{s:{s:s, s:s, s:s}, s:s}", "headers", "X-One", "1", "X-Empty",
				     "", "Content-Type", "text/plain", "body", "some text"));

	ck_assert_str_eq(text_in(got, "method"), "POST");
	ck_assert_str_eq(text_in(got, "body"), "some text");
	ck_assert_str_eq(header_in(got, "X-One"), "1");
	ck_assert_str_eq(header_in(got, "X-Empty"), "");
	ck_assert_str_eq(header_in(got, "Content-Type"), "text/plain");
	json_decref(got);
}
END_TEST

static const struct {
	const char *method, *body;
	const char *length; /* Content-Length, NULL = none */
} methods[] = {
	{ "GET", NULL, NULL },	     { "POST", NULL, "0" },  { "POST", "abc", "3" },
	{ "PUT", NULL, "0" },	     { "PUT", "abc", "3" },  { "PATCH", "abc", "3" },
	{ "DELETE", NULL, NULL },    { "DELETE", "x", "1" }, { "OPTIONS", NULL, NULL },
	{ "PROPFIND", "<x/>", "4" }, { "POST", "", "0" },
};

START_TEST(methods_are_sent_as_asked)
{
	json_t *more =
		json_pack("{s:s, s:s*}", "method", methods[_i].method, "body", methods[_i].body);
	json_t *got = echo("/echo", more);

	ck_assert_str_eq(text_in(got, "method"), methods[_i].method);
	ck_assert_str_eq(text_in(got, "body"), methods[_i].body ? methods[_i].body : "");
	ck_assert_pstr_eq(header_in(got, "Content-Length"), methods[_i].length);
	ck_assert_ptr_null(header_in(got, "Content-Type"));
	json_decref(got);
}
END_TEST

START_TEST(large_body_is_sent_whole)
{
	size_t len = 1000000;
	char *text = xmalloc(len + 1);
	json_t *got;

	memset(text, 'x', len);
	text[len] = '\0';
	got = echo("/echo", json_pack("{s:s}", "body", text));
	ck_assert_uint_eq(json_string_length(json_object_get(got, "body")), len);
	ck_assert_ptr_null(header_in(got, "Expect"));
	json_decref(got);
	free(text);
}
END_TEST

START_TEST(head_has_no_body)
{
	struct run *r = run_it(url_of("/bytes/5000"), json_pack("{s:s}", "method", "HEAD"));

	expect_ok(r);
	ck_assert_int_eq(number_in(r->result, "bytes"), 0);
	ck_assert(json_is_null(json_object_get(r->result, "sha256")));
	ck_assert_str_eq(text_in(r->result, "content_type"), "application/octet-stream");
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

START_TEST(environment_does_not_choose_a_proxy)
{
	cleanup_free char *text = NULL;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	text = ask("/bytes/1");
}
END_TEST

START_TEST(configured_proxy_is_used)
{
	char proxy[64];
	struct run *r;

	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", server_port);
	settings.proxy = proxy;
	r = run_it("http://stuck.example/bytes/5", NULL);
	settings.proxy = no_proxy;
	/* The server gets the whole URL, which it does not know. */
	expect_error(r, AW_HTTP, "404");
	run_free(r);
}
END_TEST

/* ---- credentials ---- */

START_TEST(user_part_is_used_and_never_shown)
{
	char url[128];
	struct run *r;

	snprintf(url, sizeof(url), "http://me:s%%40cret@127.0.0.1:%d/basic-auth/me/s@cret",
		 server_port);
	r = run_it(url, NULL);
	expect_ok(r);
	ck_assert_ptr_null(strstr(text_in(r->result, "url"), "cret@"));
	ck_assert_ptr_nonnull(strstr(text_in(r->result, "url"), "//***@127.0.0.1:"));
	run_free(r);

	snprintf(url, sizeof(url), "http://me:wrong@127.0.0.1:%d/basic-auth/me/s@cret",
		 server_port);
	r = run_it(url, NULL);
	expect_error(r, AW_HTTP, "401");
	ck_assert_ptr_null(strstr(r->err.message, "wrong"));
	ck_assert_int_eq(number_in(r->err.facts, "status"), 401);
	run_free(r);
}
END_TEST

START_TEST(user_part_stays_with_its_origin)
{
	static const char *const hosts[] = { "127.0.0.1", "other.example" };
	cleanup_free char *body = NULL;
	char url[256];
	struct run *r;

	snprintf(url, sizeof(url), "http://me:pw@127.0.0.1:%d/redirect-to?url=http://%s:%d/echo",
		 server_port, hosts[_i], server_port);
	r = run_it(url, NULL);
	expect_ok(r);
	body = body_of(r);
	ck_assert_int_eq(strstr(body, "Authorization") != NULL, _i == 0);
	ck_assert_int_eq(strstr(text_in(r->result, "url"), "***@") != NULL, _i == 0);
	run_free(r);
}
END_TEST

/* ---- redirects ---- */

START_TEST(redirects_are_bounded)
{
	struct run *r = run_it(url_of("/redirect-loop"), json_pack("{s:i}", "redirects", 3));

	expect_error(r, AW_HTTP, "\"redirects\"");
	ck_assert_int_eq(number_in(r->err.facts, "status"), 302);
	run_free(r);
	r = run_it(url_of("/redirect/3/bytes/5"), json_pack("{s:i}", "redirects", 3));
	expect_ok(r);
	ck_assert_str_eq(text_in(r->result, "url"), url_of("/bytes/5"));
	run_free(r);
	r = run_it(url_of("/redirect/10/bytes/5"), NULL);
	expect_ok(r);
	run_free(r);
	r = run_it(url_of("/redirect/11/bytes/5"), NULL);
	expect_error(r, AW_HTTP, "more than the job allows");
	run_free(r);
}
END_TEST

START_TEST(expected_redirect_is_the_answer)
{
	struct run *r = run_it(url_of("/redirect-loop"), json_pack("{s:[i]}", "expect", 302));

	expect_ok(r);
	ck_assert_int_eq(number_in(r->result, "status"), 302);
	run_free(r);
	r = run_it(url_of("/redirect-loop"), json_pack("{s:i}", "redirects", 0));
	expect_error(r, AW_HTTP, "status 302");
	run_free(r);
}
END_TEST

static const struct {
	int status;
	const char *method, *body;    /* sent */
	const char *then, *then_body; /* what arrives behind the redirect */
} turns[] = {
	{ 301, "POST", "x", "GET", "" },   { 302, "POST", "x", "GET", "" },
	{ 303, "POST", "x", "GET", "" },   { 303, "PUT", "x", "GET", "" },
	{ 302, "PUT", "x", "PUT", "x" },   { 307, "POST", "x", "POST", "x" },
	{ 308, "POST", "x", "POST", "x" }, { 302, "DELETE", NULL, "DELETE", "" },
};

START_TEST(redirect_keeps_or_turns_the_method)
{
	char path[64];
	json_t *got;

	snprintf(path, sizeof(path), "/redirect/2/echo?status=%d", turns[_i].status);
	got = echo(path,
		   json_pack("{s:s, s:s*}", "method", turns[_i].method, "body", turns[_i].body));
	ck_assert_str_eq(text_in(got, "method"), turns[_i].then);
	ck_assert_str_eq(text_in(got, "body"), turns[_i].then_body);
	json_decref(got);
}
END_TEST

/* R4.11: what is private to the job goes to its own origin only. */
START_TEST(private_parts_do_not_follow_to_another_origin)
{
	char path[128];
	json_t *more = _i ? json_pack("{s:s}", "body", "secret")
			  : json_pack("{s:{s:s}}", "headers", "X-Token", "secret");
	struct run *r;

	snprintf(path, sizeof(path), "/redirect-to?status=307&url=http://other.example:%d/echo",
		 server_port);
	r = run_it(url_of(path), more);
	expect_error(r, AW_HTTP, "another origin");
	ck_assert_ptr_null(strstr(r->err.message, "secret"));
	run_free(r);
	r = run_it(url_of(path), NULL);
	expect_ok(r);
	run_free(r);
}
END_TEST

START_TEST(odd_redirects_are_refused)
{
	static const char *const targets[] = { "file:///etc/passwd", "ftp://127.0.0.1/", "http://",
					       "gopher://127.0.0.1:70/",
					       "http://127.0.0.1:99999/" };
	char path[128];
	struct run *r;

	snprintf(path, sizeof(path), "/redirect-to?url=%s", targets[_i]);
	r = run_it(url_of(path), NULL);
	expect_error(r, AW_HTTP, "redirects (302) to");
	run_free(r);
}
END_TEST

/* ---- documents ---- */

static const struct {
	const char *url, *key, *value, *path;
} bad[] = {
	{ "http://x/", "output", "../up", "/output" },
	{ "http://x/", "output", "/etc/passwd", "/output" },
	{ "http://x/", "output", "a/", "/output" },
	{ "http://exa mple/", NULL, NULL, "/url" },
	{ "http://[::1/", NULL, NULL, "/url" },
};

START_TEST(check_refuses_bad_documents)
{
	struct aw_err err = { .code = AW_OK };
	struct jobdoc d = { .kind = JOB_FETCH };

	d.spec = json_pack("{s:s}", "url", bad[_i].url);
	if (bad[_i].key)
		json_object_set_new(d.spec, bad[_i].key, json_string(bad[_i].value));
	ck_assert_int_eq(kind_fetch.check(&d, &err), -EINVAL);
	ck_assert_int_eq(err.code, AW_PARAMS);
	ck_assert_str_eq(err.path, bad[_i].path);
	aw_err_fini(&err);
	json_decref(d.spec);
}
END_TEST

START_TEST(check_refuses_files_for_head)
{
	struct run r = { .returned = 0 };

	ck_assert_int_eq(
		make_doc(&r, "http://x/", json_pack("{s:s, s:s}", "method", "HEAD", "output", "a")),
		-EINVAL);
	ck_assert_str_eq(r.err.path, "/output");
	jobdoc_fini(&r.a.doc);
	aw_err_fini(&r.err);
}
END_TEST

START_TEST(check_makes_output_absolute)
{
	struct run *r = run_new("http://x/", json_pack("{s:s}", "output", "./b//c"));

	ck_assert_str_eq(text_in(r->a.doc.spec, "output"), in_root("b/c"));
	run_free(r);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fetch");
	TCase *tc = add_case(s, "answers");

	tcase_add_loop_test(tc, body_is_kept_and_summed, 0, 3);
	tcase_add_test(tc, output_is_written_below_its_root);
	tcase_add_test(tc, empty_answer_is_an_empty_file);
	tcase_add_test(tc, compressed_answer_is_kept_as_it_came);

	tc = add_case(s, "requests");
	tcase_add_test(tc, plain_request_says_little);
	tcase_add_test(tc, characters_beyond_ascii_are_encoded);
	tcase_add_test(tc, headers_and_body_are_sent);
	tcase_add_loop_test(tc, methods_are_sent_as_asked, 0, N_OF(methods));
	tcase_add_test(tc, large_body_is_sent_whole);
	tcase_add_test(tc, head_has_no_body);
	tcase_add_test(tc, environment_does_not_choose_a_proxy);
	tcase_add_test(tc, configured_proxy_is_used);
	tcase_add_test(tc, user_part_is_used_and_never_shown);
	tcase_add_loop_test(tc, user_part_stays_with_its_origin, 0, 2);

	tc = add_case(s, "redirects");
	tcase_add_test(tc, redirects_are_bounded);
	tcase_add_test(tc, expected_redirect_is_the_answer);
	tcase_add_loop_test(tc, redirect_keeps_or_turns_the_method, 0, N_OF(turns));
	tcase_add_loop_test(tc, private_parts_do_not_follow_to_another_origin, 0, 2);
	tcase_add_loop_test(tc, odd_redirects_are_refused, 0, 5);

	tc = add_case(s, "documents");
	tcase_add_loop_test(tc, check_refuses_bad_documents, 0, N_OF(bad));
	tcase_add_test(tc, check_refuses_files_for_head);
	tcase_add_test(tc, check_makes_output_absolute);
	return s;
}

int main(void)
{
	return fetch_main(suite());
}
