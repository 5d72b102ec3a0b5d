/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_FETCH_FIXTURE_H
#define TESTS_UNIT_FETCH_FIXTURE_H

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
#include "tests/unit/suite.h"

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
				.connect_timeout_us = 30000000,
				.idle_timeout_us = 60000000,
				.redirects = 10,
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
	json_t *given;	  /* what co_run gets as saved */
	json_t *saved;	  /* what is stored now */
	unsigned n_saved; /* how often that was */
	bool is_followed; /* another attempt is to be expected */
	bool is_asked;	  /* to stop, before the end is seen */
	unsigned n_seen;  /* ends */
	int save_result;  /* of co_engine_save() */
	int returned;
	unsigned n_progressed, n_grew;
};

static unsigned n_live;

static inline struct run *run_of(struct attempt *a)
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

int co_attempt_handle_kept(struct attempt *a)
{
	(void)a;
	return 0;
}

int co_engine_save(struct attempt *a, const json_t *record)
{
	struct run *r = run_of(a);

	if (r->save_result < 0)
		return r->save_result;
	json_decref(r->saved);
	r->saved = json_is_null(record) ? NULL : json_deep_copy(record);
	r->n_saved++;
	return 0;
}

bool attempt_end_seen(struct attempt *a)
{
	run_of(a)->n_seen++;
	return !run_of(a)->is_asked;
}

bool attempt_is_followed(const struct attempt *a, int result)
{
	(void)result;
	return container_of(a, struct run, a)->is_followed;
}

/* ---- name servers: names under "stuck" never answer, others under "invalid" do not exist ---- */

static struct {
	pthread_mutex_t lock;
	unsigned n_now, n_peak;
} stuck = { .lock = PTHREAD_MUTEX_INITIALIZER };

static inline void never_answer(void)
{
	pthread_mutex_lock(&stuck.lock);
	if (++stuck.n_now > stuck.n_peak)
		stuck.n_peak = stuck.n_now;
	pthread_mutex_unlock(&stuck.lock);
	for (;;)
		pause();
}

static inline void fill_loopback(struct addrinfo *ai, struct sockaddr_in *in, const char *service)
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

static inline char *url_of(const char *path)
{
	static char url[8][512];
	static int at;
	char *out = url[at = (at + 1) % 8];

	snprintf(out, sizeof(url[0]), "http://127.0.0.1:%d%s", server_port, path);
	return out;
}

static inline char *in_root(const char *rel)
{
	static char path[8][PATH_MAX];
	static int at;
	char *out = path[at = (at + 1) % 8];

	snprintf(out, PATH_MAX, "%s/%s", root, rel);
	return out;
}

/* A job document: @url and then json_pack's "{...}" of further keys.  Takes @more. */
static inline int make_doc(struct run *r, const char *url, json_t *more)
{
	json_t *doc = json_pack("{s:s, s:s}", "kind", "fetch", "url", url);
	int result;

	if (more)
		json_object_update(doc, more);
	json_decref(more);
	result = jobdoc_check(doc, "", 0, &r->a.doc, &r->err);
	ck_assert_msg(result == 0, "%s %s", r->err.path, r->err.message);
	json_decref(doc);
	return kind_fetch.check(&r->a.doc, &r->err);
}

static inline struct run *run_new(const char *url, json_t *more)
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

static inline void run_free(struct run *r)
{
	kind_fetch.fini(&r->a);
	jobdoc_fini(&r->a.doc);
	json_decref(r->result);
	json_decref(r->progress);
	json_decref(r->given);
	json_decref(r->saved);
	aw_err_fini(&r->err);
	free(r->handle);
	free(r->a.priv);
	free(r);
}

static inline int64_t now_us(void)
{
	return now_mono().ns / 1000;
}

static inline void run_main(void *arg)
{
	struct run *r = arg;

	r->returned = kind_fetch.co_run(&r->a, r->given, &r->err);
}

static inline void run_ended(void *arg, bool ran)
{
	struct run *r = arg;

	if (!ran)
		r->returned = -ECANCELED;
	r->coro = NULL;
	r->ended_us = now_us();
	if (--n_live == 0)
		loop_stop();
}

static inline void run_start(struct run *r)
{
	n_live++;
	r->begun_us = now_us();
	r->coro = coro_spawn(run_main, r, CORO_STACK_SMALL, run_ended);
}

static inline struct run *run_it(const char *url, json_t *more)
{
	struct run *r = run_new(url, more);

	run_start(r);
	loop_run();
	return r;
}

/* ---- what came of it ---- */

static inline const char *text_in(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static inline json_int_t number_in(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static inline void expect_ok(const struct run *r)
{
	ck_assert_msg(r->returned == 0, "%d %s: %s", r->returned, aw_code_word(r->err.code),
		      r->err.message);
	ck_assert_ptr_nonnull(r->result);
}

static inline void expect_error(const struct run *r, enum aw_code code, const char *part)
{
	ck_assert_int_eq(r->returned, -EINVAL);
	ck_assert_msg(r->err.code == code, "%s: %s", aw_code_word(r->err.code), r->err.message);
	ck_assert_msg(strstr(r->err.message, part), "\"%s\" lacks \"%s\"", r->err.message, part);
	ck_assert_ptr_null(r->result);
}

static inline char *read_file(const char *path, size_t *ret_len)
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

static inline char *body_of(const struct run *r)
{
	cleanup_free char *path = jobdir_path(r->a.id, r->a.attempt, "body");
	size_t len;

	return read_file(path, &len);
}

/* Fetch @path of the server and give its body. */
static inline char *ask(const char *path)
{
	struct run *r = run_it(url_of(path), NULL);
	char *body;

	expect_ok(r);
	body = body_of(r);
	body[strcspn(body, "\n")] = '\0';
	run_free(r);
	return body;
}

static inline int n_connections(void)
{
	cleanup_free char *text = ask("/stats");
	json_t *stats = json_loads(text, 0, NULL);
	int n = (int)number_in(stats, "connections");

	json_decref(stats);
	return n;
}

/* The answer of /echo: {"method", "headers", "body", ...}.  Gives it. */
static inline json_t *echo(const char *path, json_t *more)
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

static inline const char *header_in(const json_t *echoed, const char *name)
{
	return text_in(json_object_get(echoed, "headers"), name);
}

static unsigned n_files;

static inline int count_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path, (void)st, (void)at;
	n_files += type != FTW_D;
	return 0;
}

/* Files anywhere in the test's folder: results, parts, bodies. */
static inline unsigned n_files_left(void)
{
	n_files = 0;
	nftw(root, count_file, 16, FTW_PHYS);
	return n_files;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static inline void setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(root, sizeof(root), "%.40s/awaitd-fetch.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(root));
	jobdir_init(root);
	ck_assert_int_eq(loop_init(), 0);
	ck_assert_int_eq(xfer_init(), 0);
}

static inline void teardown(void)
{
	xfer_fini();
	offload_fini();
	loop_fini();
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define N_OF(table) ((int)(sizeof(table) / sizeof((table)[0])))

static inline TCase *add_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	return tc;
}

/* ---- the server ---- */

/* Ends by itself when our end of its standard input closes. */
static inline pid_t start_server(int *ret_port)
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

/* Run @s, with the server, and return main()'s status. */
static inline int fetch_main(Suite *s)
{
	pid_t pid = start_server(&server_port);
	int status;

	if (pid < 0) {
		fprintf(stderr, "no python3 for the HTTP fault server: skipped\n");
		return 77;
	}
	if (server_port == 0) {
		fprintf(stderr, "the HTTP fault server did not start\n");
		return EXIT_FAILURE;
	}
	status = suite_run(s);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return status;
}

#endif
