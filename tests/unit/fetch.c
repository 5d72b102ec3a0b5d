/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/kind.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/list.h"
#include "daemon/co/await.h"
#include "daemon/co/coro.h"
#include "daemon/co/loop.h"
#include "daemon/conf.h"
#include "daemon/job/jobdir.h"
#include "daemon/kinds/deny.h"
#include "daemon/kinds/xfer.h"

/*
 * The kind "fetch" against the HTTP fault server, on the real loop, with the
 * engine's side of an attempt and the name servers played by this file.
 */
extern const struct kind kind_fetch;

extern char **environ;

static int server_port;
static char root[64];
static char *output_roots[] = { root, NULL };
static char no_proxy[] = "";
static struct network any_network[1];
static struct conf settings = { .output_roots = output_roots,
				.proxy = no_proxy,
				.allow_networks = { any_network, 1 } };
const struct conf *conf = &settings;

/* ---- the engine's side ---- */

struct run {
	struct attempt a;
	int64_t begun_us, ended_us;
	struct aw_err err;
	struct coro *coro;
	json_t *result;	  /* of the job */
	json_t *progress; /* describe(), when it was last called */
	char *handle;
	int returned;
	unsigned n_progressed, n_grew;
};

static unsigned n_live;

static struct run *run_of(struct attempt *a)
{
	return container_of(a, struct run, a);
}

void attempt_set_result(struct attempt *a, json_t *result)
{
	json_decref(run_of(a)->result);
	run_of(a)->result = result;
}

void attempt_progressed(struct attempt *a)
{
	struct run *r = run_of(a);

	r->n_progressed++;
	json_decref(r->progress);
	r->progress = kind_fetch.describe(a);
}

void attempt_output_grew(struct attempt *a)
{
	run_of(a)->n_grew++;
}

void attempt_set_handle(struct attempt *a, const char *executor, const char *handle)
{
	ck_assert_str_eq(executor, "part");
	run_of(a)->handle = xstrdup(handle);
}

/* ---- name servers: names under "stuck" never answer, others under "invalid" do not exist ---- */

static struct {
	pthread_mutex_t lock;
	unsigned n_now, n_peak;
} stuck = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void never_answer(void)
{
	pthread_mutex_lock(&stuck.lock);
	if (++stuck.n_now > stuck.n_peak)
		stuck.n_peak = stuck.n_now;
	pthread_mutex_unlock(&stuck.lock);
	for (;;)
		pause();
}

static void fill_loopback(struct addrinfo *ai, struct sockaddr_in *in, const char *service)
{
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in->sin_port = htons((uint16_t)strtol(service ? service : "0", NULL, 10));
	*ai = (struct addrinfo){
		.ai_family = AF_INET,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP,
		.ai_addr = (struct sockaddr *)in,
		.ai_addrlen = sizeof(*in),
	};
}

/* Take the place of libc's, for libcurl's threads too. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	struct {
		struct addrinfo ai;
		struct sockaddr_in in;
	} * both;

	(void)hints;
	if (strstr(name, "stuck"))
		never_answer();
	if (strstr(name, "invalid"))
		return EAI_NONAME;
	both = xcalloc(1, sizeof(*both));
	fill_loopback(&both->ai, &both->in, service);
	*ret = &both->ai;
	return 0;
}

void freeaddrinfo(struct addrinfo *ai)
{
	free(ai);
}

/* ---- running jobs ---- */

static char *url_of(const char *path)
{
	static char url[8][512];
	static int at;
	char *out = url[at = (at + 1) % 8];

	snprintf(out, sizeof(url[0]), "http://127.0.0.1:%d%s", server_port, path);
	return out;
}

static char *in_root(const char *rel)
{
	static char path[8][PATH_MAX];
	static int at;
	char *out = path[at = (at + 1) % 8];

	snprintf(out, PATH_MAX, "%s/%s", root, rel);
	return out;
}

/* A job document: @url and then json_pack's "{...}" of further keys.  Takes @more. */
static int make_doc(struct run *r, const char *url, json_t *more)
{
	const struct kind_check who = { .uid = geteuid() };
	json_t *doc = json_pack("{s:s, s:s}", "kind", "fetch", "url", url);
	int result;

	if (more)
		json_object_update(doc, more);
	json_decref(more);
	result = jobdoc_check(doc, "", 0, &r->a.doc, &r->err);
	ck_assert_msg(result == 0, "%s %s", r->err.path, r->err.message);
	json_decref(doc);
	return kind_fetch.check(&r->a.doc, &who, &r->err);
}

static struct run *run_new(const char *url, json_t *more)
{
	static int64_t last_id;
	struct run *r = xcalloc(1, sizeof(*r));

	r->a.id = ++last_id;
	r->a.attempt = 1;
	r->a.uid = geteuid();
	r->a.priv = xcalloc(1, kind_fetch.private_bytes);
	ck_assert_msg(make_doc(r, url, more) == 0, "%s %s", r->err.path, r->err.message);
	return r;
}

static void run_free(struct run *r)
{
	kind_fetch.fini(&r->a);
	jobdoc_fini(&r->a.doc);
	json_decref(r->result);
	json_decref(r->progress);
	aw_err_fini(&r->err);
	free(r->handle);
	free(r->a.priv);
	free(r);
}

static int64_t now_us(void)
{
	return now_mono().ns / 1000;
}

static void run_main(void *arg)
{
	struct run *r = arg;

	r->returned = kind_fetch.co_run(&r->a, NULL, &r->err);
}

static void run_ended(void *arg, bool ran)
{
	struct run *r = arg;

	if (!ran)
		r->returned = -ECANCELED;
	r->coro = NULL;
	r->ended_us = now_us();
	if (--n_live == 0)
		loop_stop();
}

static void run_start(struct run *r)
{
	n_live++;
	r->begun_us = now_us();
	r->coro = coro_spawn(run_main, r, CORO_STACK_SMALL, run_ended);
}

static struct run *run_it(const char *url, json_t *more)
{
	struct run *r = run_new(url, more);

	run_start(r);
	loop_run();
	return r;
}

/* ---- what came of it ---- */

static const char *text_in(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static json_int_t number_in(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void expect_ok(const struct run *r)
{
	ck_assert_msg(r->returned == 0, "%d %s: %s", r->returned, aw_code_word(r->err.code),
		      r->err.message);
	ck_assert_ptr_nonnull(r->result);
}

static void expect_error(const struct run *r, enum aw_code code, const char *part)
{
	ck_assert_int_eq(r->returned, -EINVAL);
	ck_assert_msg(r->err.code == code, "%s: %s", aw_code_word(r->err.code), r->err.message);
	ck_assert_msg(strstr(r->err.message, part), "\"%s\" lacks \"%s\"", r->err.message, part);
	ck_assert_ptr_null(r->result);
}

static char *read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	size_t size = 8 * 1024 * 1024;
	char *data = xmalloc(size);

	ck_assert_msg(f != NULL, "no file %s", path);
	*ret_len = fread(data, 1, size - 1, f);
	data[*ret_len] = '\0';
	fclose(f);
	return data;
}

static char *body_of(const struct run *r)
{
	cleanup_free char *path = jobdir_path(r->a.id, r->a.attempt, "body");
	size_t len;

	return read_file(path, &len);
}

/* Fetch @path of the server and give its body. */
static char *ask(const char *path)
{
	struct run *r = run_it(url_of(path), NULL);
	char *body;

	expect_ok(r);
	body = body_of(r);
	body[strcspn(body, "\n")] = '\0';
	run_free(r);
	return body;
}

static int n_connections(void)
{
	cleanup_free char *text = ask("/stats");
	json_t *stats = json_loads(text, 0, NULL);
	int n = (int)number_in(stats, "connections");

	json_decref(stats);
	return n;
}

/* The answer of /echo: {"method", "headers", "body", ...}.  Gives it. */
static json_t *echo(const char *path, json_t *more)
{
	struct run *r = run_it(url_of(path), more);
	cleanup_free char *body = NULL;
	json_t *got;

	expect_ok(r);
	body = body_of(r);
	got = json_loads(body, 0, NULL);
	ck_assert_ptr_nonnull(got);
	run_free(r);
	return got;
}

static const char *header_in(const json_t *echoed, const char *name)
{
	return text_in(json_object_get(echoed, "headers"), name);
}

static unsigned n_files;

static int count_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path, (void)st, (void)at;
	n_files += type != FTW_D;
	return 0;
}

/* Files anywhere in the test's folder: results, parts, bodies. */
static unsigned n_files_left(void)
{
	n_files = 0;
	nftw(root, count_file, 16, FTW_PHYS);
	return n_files;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(root, sizeof(root), "%.40s/awaitd-fetch.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(root));
	jobdir_init(root);
	ck_assert_int_eq(loop_init(), 0);
	ck_assert_int_eq(xfer_init(), 0);
}

static void teardown(void)
{
	xfer_fini();
	offload_fini();
	loop_fini();
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

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

/* ---- addresses (R4.12) ---- */

static const struct {
	const char *text;
	bool denied;
} addresses[] = {
	{ "127.0.0.1", false },
	{ "10.0.0.1", false },
	{ "100.100.100.199", false },
	{ "169.253.255.255", false },
	{ "169.254.0.1", true },
	{ "169.254.169.254", true },
	{ "170.0.0.1", false },
	{ "100.100.100.200", true },
	{ "0.0.0.0", true },
	{ "0.1.2.3", true },
	{ "1.0.0.1", false },
	{ "224.0.0.1", true },
	{ "239.255.255.255", true },
	{ "240.0.0.1", false },
	{ "255.255.255.255", true },
	{ "::1", false },
	{ "::", true },
	{ "fe80::1", true },
	{ "febf::1", true },
	{ "fec0::1", false },
	{ "fd00:ec2::254", true },
	{ "fd00:ec2::253", false },
	{ "ff02::1", true },
	{ "::ffff:169.254.169.254", true },
	{ "::ffff:127.0.0.1", false },
	{ "::ffff:0.0.0.0", true },
	{ "64:ff9b::a9fe:a9fe", true },
	{ "64:ff9b::7f00:1", false },
	{ "::169.254.169.254", true },
	{ "2001:db8::1", false },
};

static const struct sockaddr *address_of(const char *text)
{
	static struct sockaddr_in in;
	static struct sockaddr_in6 in6;

	in = (struct sockaddr_in){ .sin_family = AF_INET };
	in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return (const struct sockaddr *)&in;
	ck_assert_int_eq(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return (const struct sockaddr *)&in6;
}

START_TEST(link_local_and_metadata_addresses_are_denied)
{
	const char *text = addresses[_i].text;

	ck_assert_msg(deny_address(address_of(text)) == addresses[_i].denied, "%s", text);
}
END_TEST

/* What belongs to the machine or its site, in all its disguises; and what does not, just beside. */
static const struct {
	const char *text;
	bool is_local;
} locals[] = {
	{ "127.0.0.1", true },
	{ "127.255.255.255", true },
	{ "126.255.255.255", false },
	{ "128.0.0.1", false },
	{ "10.0.0.1", true },
	{ "11.0.0.1", false },
	{ "172.15.255.255", false },
	{ "172.16.0.1", true },
	{ "172.31.255.255", true },
	{ "172.32.0.1", false },
	{ "192.168.7.7", true },
	{ "192.169.0.1", false },
	{ "100.64.0.1", true },
	{ "100.127.255.255", true },
	{ "100.128.0.1", false },
	{ "198.18.0.1", true },
	{ "8.8.8.8", false },
	{ "::1", true },
	{ "::2", false },
	{ "fc00::1", true },
	{ "fdff::1", true },
	{ "fe00::1", false },
	{ "fec0::1", true },
	{ "2001:db8::1", false },
	{ "::ffff:127.0.0.1", true },
	{ "::ffff:8.8.8.8", false },
	{ "64:ff9b::10.1.2.3", true },
	{ "64:ff9b::8.8.8.8", false },
	{ "::10.1.2.3", true },
	{ "2002:c0a8:0101::1", true },
	{ "2002:0808:0808::1", false },
};

START_TEST(local_addresses_are_denied_unless_allowed)
{
	const struct sockaddr *sa = address_of(locals[_i].text);
	struct network allowed[2];

	ck_assert_msg(deny_local(sa, NULL, 0) == locals[_i].is_local, "%s", locals[_i].text);
	ck_assert(!deny_local(sa, any_network, 1));
	ck_assert_ptr_null(network_parse("10.1.0.0/16", &allowed[0]));
	ck_assert_ptr_null(network_parse("fd00::/8", &allowed[1]));
	ck_assert(!deny_local(address_of("10.1.255.255"), allowed, 2));
	ck_assert(!deny_local(address_of("::ffff:10.1.2.3"), allowed, 2));
	ck_assert(deny_local(address_of("10.2.0.0"), allowed, 2));
	ck_assert(!deny_local(address_of("fd12::1"), allowed, 2));
	ck_assert(deny_local(address_of("fc12::1"), allowed, 2));
}
END_TEST

static const struct {
	const char *text, *shown; /* NULL: it is refused */
} networks[] = {
	{ "10.0.0.0/8", "10.0.0.0/8" },
	{ "10.0.0.1", "10.0.0.1/32" },
	{ "0.0.0.0/0", "0.0.0.0/0" },
	{ "::/0", "::/0" },
	{ "FD00::/8", "fd00::/8" },
	{ "::1", "::1/128" },
	{ "10.0.0.1/8", NULL },
	{ "10.0.0.0/33", NULL },
	{ "10.0.0.0/", NULL },
	{ "10.0.0.0/8x", NULL },
	{ "10.0.0.0/-1", NULL },
	{ "10.0.0.0/00008", NULL },
	{ "::/129", NULL },
	{ "/8", NULL },
	{ "10", NULL },
	{ "example.org", NULL },
};

START_TEST(networks_are_parsed_strictly)
{
	char text[NETWORK_TEXT_BYTES];
	struct network n;
	const char *why = network_parse(networks[_i].text, &n);

	ck_assert_msg(!why == !!networks[_i].shown, "%s: %s", networks[_i].text, why ? why : "");
	if (why)
		return;
	network_format(&n, text);
	ck_assert_str_eq(text, networks[_i].shown);
}
END_TEST

/* As a setting: the server on loopback is not contacted, by no way round. */
START_TEST(local_server_is_not_contacted)
{
	cleanup_free char *before = ask("/count/local"), *after = NULL;
	char urls[3][96];
	struct run *r;

	snprintf(urls[0], sizeof(urls[0]), "http://127.0.0.1:%d/count/local", server_port);
	snprintf(urls[1], sizeof(urls[1]), "http://localhost:%d/count/local", server_port);
	snprintf(urls[2], sizeof(urls[2]), "http://[::ffff:127.0.0.1]:%d/count/local", server_port);
	settings.allow_networks.n = 0;
	for (int i = 0; i < 3; i++) {
		r = run_it(urls[i], NULL);
		expect_error(r, AW_NETWORK, "allow_networks");
		run_free(r);
	}
	settings.allow_networks.n = 1;
	after = ask("/count/local");
	ck_assert_int_eq(strtol(after, NULL, 10), strtol(before, NULL, 10) + 1);
}
END_TEST

/* Denied ones behind which nobody is, should the rule ever be broken. */
START_TEST(denied_address_is_never_contacted)
{
	static const char *const urls[] = { "http://224.0.0.1/", "http://0x7f.1@0/",
					    "http://[ff02::1]/" };
	struct run *r = _i < 3 ? run_it(urls[_i], NULL)
			       : run_it(url_of("/redirect-to?url=http://224.0.0.1/"), NULL);

	expect_error(r, AW_NETWORK, "never contacts");
	run_free(r);
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
	ck_assert_int_eq(kind_fetch.check(&d, &(struct kind_check){ 0 }, &err), -EINVAL);
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

#define N_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static TCase *add_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return tc;
}

static Suite *fetch_suite(void)
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

	tc = add_case(s, "faults");
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
	tcase_add_loop_test(tc, link_local_and_metadata_addresses_are_denied, 0, N_OF(addresses));
	tcase_add_loop_test(tc, local_addresses_are_denied_unless_allowed, 0, N_OF(locals));
	tcase_add_loop_test(tc, networks_are_parsed_strictly, 0, N_OF(networks));
	tcase_add_test(tc, local_server_is_not_contacted);
	tcase_add_loop_test(tc, denied_address_is_never_contacted, 0, 4);

	tc = add_case(s, "many");
	tcase_add_loop_test(tc, cancel_leaves_nothing, 0, 5);
	tcase_add_test(tc, stuck_names_hold_nothing_up);
	tcase_add_test(tc, many_run_at_once);
	tcase_add_test(tc, connections_are_reused_by_plain_fetches_only);

	tc = add_case(s, "documents");
	tcase_add_loop_test(tc, check_refuses_bad_documents, 0, N_OF(bad));
	tcase_add_test(tc, check_refuses_files_for_head);
	tcase_add_test(tc, check_makes_output_absolute);
	return s;
}

/* ---- the server ---- */

/* Ends by itself when our end of its standard input closes. */
static pid_t start_server(int *ret_port)
{
	const char *srcdir = getenv("srcdir");
	cleanup_free char *script = xasprintf("%s/tests/support/httpd.py", srcdir ? srcdir : ".");
	char python[] = "python3", option[] = "--exit-with-stdin";
	char *argv[] = { python, script, option, NULL };
	posix_spawn_file_actions_t actions;
	int in[2], out[2];
	char line[64] = "";
	FILE *ready;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	if (posix_spawnp(&pid, python, &actions, NULL, argv, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	ready = fdopen(out[0], "r");
	if (pid > 0 && ready &&
	    (!fgets(line, sizeof(line), ready) || sscanf(line, "READY %d", ret_port) != 1))
		*ret_port = 0;
	if (ready)
		fclose(ready);
	return pid;
}

int main(void)
{
	SRunner *sr;
	int n_failed;
	pid_t pid = start_server(&server_port);

	if (pid < 0) {
		fprintf(stderr, "no python3 for the HTTP fault server: skipped\n");
		return 77;
	}
	if (server_port == 0) {
		fprintf(stderr, "the HTTP fault server did not start\n");
		return EXIT_FAILURE;
	}
	sr = srunner_create(fetch_suite());
	srunner_run_all(sr, CK_ENV);
	n_failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
