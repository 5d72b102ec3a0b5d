/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/fetch_fixture.h"

/* What goes wrong with a fetch, cancels, and many at once. */

/* ---- refusals and faults ---- */

START_TEST(refused_status_keeps_nothing)
{
	struct run *r =
		run_it(url_of("/status/404?size=100000"), json_pack("{s:s}", "output", "a"));

	expect_error(r, AW_HTTP, "404");
	ck_assert_int_eq(number_in(r->err.facts, "status"), 404);
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
	r = run_it(url_of("/status/404"), NULL);
	expect_error(r, AW_HTTP, "404");
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

START_TEST(expected_statuses_are_good)
{
	struct run *r =
		run_it(url_of("/status/404"), json_pack("{s:[s, i]}", "expect", "200-299", 404));

	expect_ok(r);
	ck_assert_int_eq(number_in(r->result, "status"), 404);
	run_free(r);
	r = run_it(url_of("/status/200"), json_pack("{s:[s]}", "expect", "201-204"));
	expect_error(r, AW_HTTP, "200");
	run_free(r);
}
END_TEST

START_TEST(wrong_checksum_keeps_nothing)
{
	static const char wrong[] =
		"sha256:0000000000000000000000000000000000000000000000000000000000000000";
	json_t *more = json_pack("{s:s}", "checksum", wrong);
	struct run *r;

	if (_i)
		json_object_set_new(more, "output", json_string("a"));
	r = run_it(url_of("/bytes/5000"), more);
	expect_error(r, AW_CHECKSUM, wrong);
	ck_assert_ptr_nonnull(strstr(r->err.message, "sha256:"));
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

static const struct {
	const char *path;
	enum aw_code code;
	const char *part;
} faults[] = {
	{ "/short", AW_NETWORK, "before the end" },
	{ "/close", AW_NETWORK, "" },
	{ "/reset", AW_NETWORK, "" },
	{ "/reset?after=100", AW_NETWORK, "" },
	{ "/empty", AW_NETWORK, "without an answer" },
	{ "/garbage", AW_NETWORK, "does not speak HTTP" },
	{ "/headers-flood", AW_NETWORK, "KiB of headers" },
	{ "/headers-flood?n=1&length=200000", AW_NETWORK, "a header of more than" },
};

START_TEST(faults_are_told_and_leave_nothing)
{
	struct run *r = run_it(url_of(faults[_i].path), json_pack("{s:s}", "output", "a"));

	expect_error(r, faults[_i].code, faults[_i].part);
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

START_TEST(size_is_bounded_however_it_is_told)
{
	static const char *const paths[] = { "/bytes/5001", "/chunked/5001", "/chunked/5000000" };
	struct run *r = run_it(url_of(paths[_i]), json_pack("{s:i}", "max_size", 5000));

	expect_error(r, AW_TOO_LARGE, "max_size");
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
	r = run_it(url_of("/chunked/5000"), json_pack("{s:i}", "max_size", 5000));
	expect_ok(r);
	run_free(r);
}
END_TEST

START_TEST(silence_is_a_timeout)
{
	static const char *const paths[] = { "/hang", "/stall", "/slow?rate=1&size=50" };
	struct run *r = run_it(url_of(paths[_i]), json_pack("{s:f}", "idle_timeout", 0.25));
	int64_t us = r->ended_us - r->begun_us;

	expect_error(r, AW_TIMEOUT, "no data");
	ck_assert_int_ge(us, 250000);
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(r);
}
END_TEST

START_TEST(slow_but_steady_is_no_timeout)
{
	struct run *r = run_it(url_of("/slow?rate=2000&size=1000"),
			       json_pack("{s:f}", "idle_timeout", 0.4));

	expect_ok(r);
	run_free(r);
}
END_TEST

START_TEST(refused_connection_is_told)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char url[64];
	struct run *r;

	/* Bound but not listening: nobody else gets this port meanwhile. */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(in.sin_port));
	r = run_it(url, NULL);
	expect_error(r, AW_NETWORK, "Connection refused");
	run_free(r);
	close(fd);
}
END_TEST

START_TEST(unknown_host_is_told)
{
	struct run *r = run_it("http://does-not-exist.invalid/", NULL);

	expect_error(r, AW_NETWORK, "cannot resolve host \"does-not-exist.invalid\"");
	run_free(r);
}
END_TEST

START_TEST(no_tls_where_none_is_spoken)
{
	char url[64];
	struct run *r;

	snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server_port);
	r = run_it(url, json_pack("{s:f}", "connect_timeout", 0.5));
	ck_assert_int_eq(r->returned, -EINVAL);
	ck_assert(r->err.code == AW_TLS || r->err.code == AW_TIMEOUT);
	run_free(r);
}
END_TEST

START_TEST(file_faults_come_before_the_request)
{
	cleanup_free char *before = ask("/count/x"), *after = NULL;
	struct run *r = run_it(url_of("/count/x"), json_pack("{s:s}", "output", "no/such/folder"));

	expect_error(r, AW_IO, "create it first");
	run_free(r);
	fclose(fopen(in_root("a"), "we"));
	r = run_it(url_of("/count/x"), json_pack("{s:s}", "output", "a"));
	expect_error(r, AW_IO, "exists already");
	run_free(r);
	after = ask("/count/x");
	ck_assert_int_eq(strtol(after, NULL, 10), strtol(before, NULL, 10) + 1);
}
END_TEST

/* ---- cancel ---- */

struct later {
	struct loop_timer timer;
	struct run *run;
};

static void on_later(struct loop_timer *timer)
{
	coro_cancel(container_of(timer, struct later, timer)->run->coro);
}

START_TEST(cancel_leaves_nothing)
{
	static const char *const urls[] = { "/slow?rate=1000&size=100000", "/hang", "/delay/30/x",
					    "stuck.example", "/bytes/1" };
	bool is_name = strcmp(urls[_i], "stuck.example") == 0;
	struct later later = { .timer.fn = on_later };
	int64_t wait_us = _i == 4 ? 0 : 300000, us;

	later.run = run_new(is_name ? "http://stuck.example/" : url_of(urls[_i]),
			    json_pack("{s:s}", "output", "a"));
	run_start(later.run);
	loop_timer_set(&later.timer, mono_in_us(wait_us));
	loop_run();
	us = later.run->ended_us - later.run->begun_us;
	ck_assert_int_eq(later.run->returned, -ECANCELED);
	ck_assert_int_le(us, wait_us + 1000000);
	ck_assert_uint_eq(n_files_left(), 0);
	run_free(later.run);
}
END_TEST

/* Whose end is not its own to make any more leaves nothing, however near it was. */
START_TEST(who_is_asked_to_stop_gives_no_name)
{
	static const char *const urls[] = { "/bytes/1000", "/bytes/3000000" };

	for (int is_asked = 0; is_asked < 2; is_asked++) {
		struct run *r = run_new(url_of(urls[_i]), json_pack("{s:s}", "output", "a"));

		r->is_asked = is_asked;
		run_start(r);
		loop_run();
		ck_assert_uint_eq(r->n_seen, 1);
		ck_assert_int_eq(r->returned, is_asked ? -ECANCELED : 0);
		ck_assert_uint_eq(n_files_left(), is_asked ? 0 : 1);
		(void)unlink(in_root("a"));
		run_free(r);
	}
}
END_TEST

/* ---- many at once ---- */

/*
 * R4.10: a name server that never answers.  The loop does not notice, no more
 * than 32 threads look names up, also when those who asked have gone, and
 * jobs that need no look-up go on.
 */
START_TEST(stuck_names_hold_nothing_up)
{
	enum { N = 80 };
	struct run *runs[N];
	struct loop_stats stats;
	cleanup_free char *text = NULL;
	unsigned before;

	loop_stats(&stats);
	pthread_mutex_lock(&stuck.lock);
	before = stuck.n_peak = stuck.n_now; /* of other tests, when they run in one process */
	pthread_mutex_unlock(&stuck.lock);
	for (int i = 0; i < N; i++) {
		char url[64];

		snprintf(url, sizeof(url), "http://stuck-%d.example/", i);
		runs[i] = run_new(url, json_pack("{s:f}", "connect_timeout", 0.4));
		run_start(runs[i]);
	}
	loop_run();
	loop_stats(&stats);
	ck_assert_int_lt(stats.lag_max_us, 2000000);
	for (int i = 0; i < N; i++) {
		expect_error(runs[i], AW_TIMEOUT, "connect_timeout");
		ck_assert_int_lt(runs[i]->ended_us - runs[i]->begun_us, 10000000);
		run_free(runs[i]);
	}
	pthread_mutex_lock(&stuck.lock);
	ck_assert_uint_eq(stuck.n_peak - before, 32);
	pthread_mutex_unlock(&stuck.lock);
	text = ask("/bytes/1");
}
END_TEST

START_TEST(many_run_at_once)
{
	enum { N = 200 };
	struct run *runs[N];
	int64_t begun_us = now_us();

	for (int i = 0; i < N; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/delay/0.3/x?size=1000&seed=%d", i % 7);
		runs[i] = run_new(url_of(path), NULL);
		run_start(runs[i]);
	}
	loop_run();
	/* One after the other they would take a minute. */
	ck_assert_int_lt(now_us() - begun_us, 10000000);
	for (int i = 0; i < N; i++) {
		expect_ok(runs[i]);
		run_free(runs[i]);
	}
}
END_TEST

/* Only what is not private, and not somebody else's, shares connections. */
START_TEST(connections_are_reused_by_plain_fetches_only)
{
	int before = n_connections(), between;

	for (int i = 0; i < 10; i++)
		run_free(run_it(url_of("/bytes/10"), NULL));
	between = n_connections();
	ck_assert_int_eq(between, before);
	for (int i = 0; i < 10; i++)
		run_free(
			run_it(url_of("/bytes/10"), json_pack("{s:{s:s}}", "headers", "X-A", "b")));
	ck_assert_int_eq(n_connections(), between + 10);
	for (int i = 0; i < 10; i++) {
		struct run *r = run_new(url_of("/bytes/10"), NULL);

		r->a.uid = geteuid() + 1;
		run_start(r);
		loop_run();
		run_free(r);
	}
	ck_assert_int_eq(n_connections(), between + 20);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fetch_faults");
	TCase *tc = add_case(s, "faults");

	tcase_add_test(tc, refused_status_keeps_nothing);
	tcase_add_test(tc, expected_statuses_are_good);
	tcase_add_loop_test(tc, wrong_checksum_keeps_nothing, 0, 2);
	tcase_add_loop_test(tc, faults_are_told_and_leave_nothing, 0, N_OF(faults));
	tcase_add_loop_test(tc, size_is_bounded_however_it_is_told, 0, 3);
	tcase_add_loop_test(tc, silence_is_a_timeout, 0, 3);
	tcase_add_test(tc, slow_but_steady_is_no_timeout);
	tcase_add_test(tc, refused_connection_is_told);
	tcase_add_test(tc, unknown_host_is_told);
	tcase_add_test(tc, no_tls_where_none_is_spoken);
	tcase_add_test(tc, file_faults_come_before_the_request);

	tc = add_case(s, "many");
	tcase_add_loop_test(tc, cancel_leaves_nothing, 0, 5);
	tcase_add_loop_test(tc, who_is_asked_to_stop_gives_no_name, 0, 2);
	tcase_add_test(tc, stuck_names_hold_nothing_up);
	tcase_add_test(tc, many_run_at_once);
	tcase_add_test(tc, connections_are_reused_by_plain_fetches_only);
	return s;
}

int main(void)
{
	return fetch_main(suite());
}
