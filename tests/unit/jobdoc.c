/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/jobdoc_fixture.h"

/* Job documents: what is refused, and where; the limits. */

static const struct {
	const char *text;
	enum aw_code code;
	const char *path;
} bad[] = {
	{ "null", AW_PARAMS, "" },
	{ "[]", AW_PARAMS, "" },
	{ "\"timer\"", AW_PARAMS, "" },
	{ "{}", AW_PARAMS, "/kind" },
	{ "{\"sleep\":1}", AW_PARAMS, "/kind" },
	{ "{\"kind\":null}", AW_PARAMS, "/kind" },
	{ "{\"kind\":1}", AW_PARAMS, "/kind" },
	{ "{\"kind\":\"Timer\"}", AW_PARAMS, "/kind" },
	{ "{\"kind\":\"\"}", AW_PARAMS, "/kind" },

	{ "{\"kind\":\"timer\"}", AW_PARAMS, "/sleep" },
	{ "{\"kind\":\"fetch\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"worker\"}", AW_PARAMS, "/argv" },

	{ "{\"kind\":\"timer\",\"tags\":[\"a\"]}", AW_PARAMS, "/sleep" },

	{ TIMER ",\"nonsense\":1}", AW_PARAMS, "/nonsense" },
	{ TIMER ",\"\":1}", AW_PARAMS, "/" },
	{ TIMER ",\"a/b~c\":1}", AW_PARAMS, "/a~1b~0c" },
	{ TIMER ",\"Name\":\"x\"}", AW_PARAMS, "/Name" },
	{ TIMER ",\"kin\":1}", AW_PARAMS, "/kin" },
	{ TIMER ",\"argv\":[\"x\"]}", AW_PARAMS, "/argv" },
	{ TIMER ",\"url\":\"http://h/\"}", AW_PARAMS, "/url" },
	{ TIMER ",\"queue\":\"fetch\"}", AW_PARAMS, "/queue" },
	{ TIMER ",\"on_lost\":\"fail\"}", AW_PARAMS, "/on_lost" },
	{ TIMER ",\"jobs\":[]}", AW_PARAMS, "/jobs" },
	{ TIMER ",\"umask\":18}", AW_PARAMS, "/umask" },
	{ FETCH ",\"argv\":[\"x\"]}", AW_PARAMS, "/argv" },
	{ FETCH ",\"sleep\":1}", AW_PARAMS, "/sleep" },
	{ WORKER ",\"sleep\":1}", AW_PARAMS, "/sleep" },
	{ WORKER ",\"url\":\"http://h/\"}", AW_PARAMS, "/url" },
	{ WORKER ",\"resume\":true}", AW_PARAMS, "/resume" },

	{ FETCH ",\"resume\":1}", AW_PARAMS, "/resume" },
	{ FETCH ",\"insecure\":1}", AW_PARAMS, "/insecure" },
	{ WORKER ",\"umask\":18}", AW_PARAMS, "/umask" },
	{ WORKER ",\"umask\":\"\"}", AW_PARAMS, "/umask" },
	{ WORKER ",\"umask\":\"0o22\"}", AW_PARAMS, "/umask" },
	{ WORKER ",\"umask\":\"28\"}", AW_PARAMS, "/umask" },
	{ WORKER ",\"umask\":\"1000\"}", AW_PARAMS, "/umask" },
	{ WORKER ",\"umask\":\"00022\"}", AW_PARAMS, "/umask" },
	{ WORKER ",\"nice\":20}", AW_PARAMS, "/nice" },
	{ WORKER ",\"nice\":-21}", AW_PARAMS, "/nice" },
	{ WORKER ",\"nice\":\"5\"}", AW_PARAMS, "/nice" },
	{ TIMER ",\"limits\":{}}", AW_PARAMS, "/limits" },
	{ WORKER ",\"limits\":null}", AW_PARAMS, "/limits" },
	{ WORKER ",\"limits\":5}", AW_PARAMS, "/limits" },
	{ WORKER ",\"limits\":[]}", AW_PARAMS, "/limits" },
	{ WORKER ",\"limits\":{\"cpus\":1}}", AW_PARAMS, "/limits/cpus" },
	{ WORKER ",\"limits\":{\"cpu\":0}}", AW_PARAMS, "/limits/cpu" },
	{ WORKER ",\"limits\":{\"cpu\":-1}}", AW_PARAMS, "/limits/cpu" },
	{ WORKER ",\"limits\":{\"cpu\":\"11y\"}}", AW_PARAMS, "/limits/cpu" },
	{ WORKER ",\"limits\":{\"cpu\":null}}", AW_PARAMS, "/limits/cpu" },
	{ WORKER ",\"limits\":{\"cpu\":true}}", AW_PARAMS, "/limits/cpu" },
	{ WORKER ",\"limits\":{\"memory\":0}}", AW_PARAMS, "/limits/memory" },
	{ WORKER ",\"limits\":{\"memory\":-1}}", AW_PARAMS, "/limits/memory" },
	{ WORKER ",\"limits\":{\"memory\":1.5}}", AW_PARAMS, "/limits/memory" },
	{ WORKER ",\"limits\":{\"memory\":\"much\"}}", AW_PARAMS, "/limits/memory" },
	{ WORKER ",\"limits\":{\"files\":0}}", AW_PARAMS, "/limits/files" },
	{ WORKER ",\"limits\":{\"files\":\"64\"}}", AW_PARAMS, "/limits/files" },
	{ WORKER ",\"limits\":{\"files\":64.0}}", AW_PARAMS, "/limits/files" },
	{ WORKER ",\"limits\":{\"files\":1048577}}", AW_PARAMS, "/limits/files" },
	{ WORKER ",\"limits\":{\"output\":-1}}", AW_PARAMS, "/limits/output" },
	{ WORKER ",\"limits\":{\"output\":\"10 bananas\"}}", AW_PARAMS, "/limits/output" },
	{ WORKER ",\"limits\":{\"cpu\":1,\"output\":{}}}", AW_PARAMS, "/limits/output" },

	{ TIMER ",\"name\":\"\"}", AW_PARAMS, "/name" },
	{ TIMER ",\"name\":null}", AW_PARAMS, "/name" },
	{ TIMER ",\"name\":5}", AW_PARAMS, "/name" },
	{ TIMER ",\"name\":\"a\\nb\"}", AW_PARAMS, "/name" },
	{ TIMER ",\"name\":\"a\\u007fb\"}", AW_PARAMS, "/name" },
	{ TIMER ",\"name\":\"a\\u0085b\"}", AW_PARAMS, "/name" },
	{ TIMER ",\"tags\":\"x\"}", AW_PARAMS, "/tags" },
	{ TIMER ",\"tags\":null}", AW_PARAMS, "/tags" },
	{ TIMER ",\"tags\":[\"a\",5]}", AW_PARAMS, "/tags/1" },
	{ TIMER ",\"tags\":[\"a\",\"\"]}", AW_PARAMS, "/tags/1" },
	{ TIMER ",\"tags\":[\"a\",\"b\",\"a\"]}", AW_PARAMS, "/tags/2" },
	{ TIMER ",\"tags\":[\"a\",\"\\u001b[0m\"]}", AW_PARAMS, "/tags/1" },
	{ TIMER ",\"priority\":1.0}", AW_PARAMS, "/priority" },
	{ TIMER ",\"priority\":\"1\"}", AW_PARAMS, "/priority" },
	{ TIMER ",\"priority\":1001}", AW_PARAMS, "/priority" },
	{ TIMER ",\"priority\":-1001}", AW_PARAMS, "/priority" },
	{ TIMER ",\"priority\":9223372036854775807}", AW_PARAMS, "/priority" },
	{ TIMER ",\"priority\":true}", AW_PARAMS, "/priority" },
	{ TIMER ",\"delay\":-1}", AW_PARAMS, "/delay" },
	{ TIMER ",\"delay\":\"soon\"}", AW_PARAMS, "/delay" },
	{ TIMER ",\"delay\":null}", AW_PARAMS, "/delay" },
	{ TIMER ",\"delay\":\"11y\"}", AW_PARAMS, "/delay" },
	{ TIMER ",\"delay\":1e18}", AW_PARAMS, "/delay" },
	{ TIMER ",\"at\":1}", AW_PARAMS, "/at" },
	{ TIMER ",\"at\":\"2026-11-20T10:00:00\"}", AW_PARAMS, "/at" },
	{ TIMER ",\"at\":\"2026-11-20T10:00:60Z\"}", AW_PARAMS, "/at" },
	{ TIMER ",\"at\":\"2026-11-20T10:00:00Z\",\"delay\":1}", AW_PARAMS, "/at" },
	{ TIMER ",\"timeout\":0}", AW_PARAMS, "/timeout" },
	{ TIMER ",\"timeout\":\"0s\"}", AW_PARAMS, "/timeout" },
	{ TIMER ",\"timeout\":false}", AW_PARAMS, "/timeout" },
	{ TIMER ",\"grace\":3600.5}", AW_PARAMS, "/grace" },
	{ TIMER ",\"grace\":\"61min\"}", AW_PARAMS, "/grace" },
	{ TIMER ",\"key\":\"\"}", AW_PARAMS, "/key" },
	{ TIMER ",\"key\":7}", AW_PARAMS, "/key" },

	{ "{\"kind\":\"timer\",\"sleep\":\"x\"}", AW_PARAMS, "/sleep" },
	{ "{\"kind\":\"timer\",\"sleep\":null}", AW_PARAMS, "/sleep" },
	{ "{\"kind\":\"timer\",\"sleep\":\"infinity\"}", AW_PARAMS, "/sleep" },

	{ "{\"kind\":\"fetch\",\"url\":5}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"ftp://h/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"file:///etc/passwd\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"h/x\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http:/h/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http:///x\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://?x\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://user@/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://:80/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://h:x/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://h:65536/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://[::1/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://[]/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://[::1]x/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://good\\\\@bad/\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://h/a b\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://h/a\\r\\nX: y\"}", AW_PARAMS, "/url" },
	{ "{\"kind\":\"fetch\",\"url\":\" http://h/\"}", AW_PARAMS, "/url" },
	{ FETCH ",\"queue\":\"\"}", AW_PARAMS, "/queue" },
	{ FETCH ",\"queue\":\"a\\tb\"}", AW_PARAMS, "/queue" },
	{ FETCH ",\"on_lost\":\"ignore\"}", AW_PARAMS, "/on_lost" },
	{ FETCH ",\"on_lost\":true}", AW_PARAMS, "/on_lost" },
	{ FETCH ",\"output\":\"\"}", AW_PARAMS, "/output" },
	{ FETCH ",\"output\":null}", AW_PARAMS, "/output" },
	{ FETCH ",\"overwrite\":\"yes\"}", AW_PARAMS, "/overwrite" },
	{ FETCH ",\"overwrite\":1}", AW_PARAMS, "/overwrite" },
	{ FETCH ",\"method\":\"\"}", AW_PARAMS, "/method" },
	{ FETCH ",\"method\":\"GET X\"}", AW_PARAMS, "/method" },
	{ FETCH ",\"method\":\"G\\r\\nET\"}", AW_PARAMS, "/method" },
	{ FETCH ",\"method\":\"connect\"}", AW_PARAMS, "/method" },
	{ FETCH ",\"method\":\"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG\"}", AW_PARAMS, "/method" },
	{ FETCH ",\"headers\":[\"a\"]}", AW_PARAMS, "/headers" },
	{ FETCH ",\"headers\":{\"X\":1}}", AW_PARAMS, "/headers/X" },
	{ FETCH ",\"headers\":{\"X\":null}}", AW_PARAMS, "/headers/X" },
	{ FETCH ",\"headers\":{\"\":\"x\"}}", AW_PARAMS, "/headers/" },
	{ FETCH ",\"headers\":{\"X Y\":\"x\"}}", AW_PARAMS, "/headers/X Y" },
	{ FETCH ",\"headers\":{\"X/Y\":\"x\"}}", AW_PARAMS, "/headers/X~1Y" },
	{ FETCH ",\"headers\":{\"X:\":\"x\"}}", AW_PARAMS, "/headers/X:" },
	{ FETCH ",\"headers\":{\"X\":\"a\\r\\nY: b\"}}", AW_PARAMS, "/headers/X" },
	{ FETCH ",\"headers\":{\"X\":\"a\\nb\"}}", AW_PARAMS, "/headers/X" },
	{ FETCH ",\"headers\":{\"host\":\"other\"}}", AW_PARAMS, "/headers/host" },
	{ FETCH ",\"headers\":{\"Content-Length\":\"5\"}}", AW_PARAMS, "/headers/Content-Length" },
	{ FETCH ",\"headers\":{\"A\":\"x\",\"transfer-encoding\":\"chunked\"}}", AW_PARAMS,
	  "/headers/transfer-encoding" },
	{ FETCH ",\"headers\":{\"Connection\":\"close\"}}", AW_PARAMS, "/headers/Connection" },
	{ FETCH ",\"body\":{}}", AW_PARAMS, "/body" },
	{ FETCH ",\"body\":\"x\",\"method\":\"GET\"}", AW_PARAMS, "/body" },
	{ FETCH ",\"body\":\"x\",\"method\":\"head\"}", AW_PARAMS, "/body" },
	{ FETCH ",\"checksum\":\"sha256:12\"}", AW_PARAMS, "/checksum" },
	{ FETCH ",\"checksum\":\"md5:d41d8cd98f00b204e9800998ecf8427e\"}", AW_PARAMS, "/checksum" },
	{ FETCH ",\"checksum\":\"sha256:"
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85g\"}",
	  AW_PARAMS, "/checksum" },
	{ FETCH ",\"checksum\":5}", AW_PARAMS, "/checksum" },
	{ FETCH ",\"max_size\":0}", AW_PARAMS, "/max_size" },
	{ FETCH ",\"max_size\":-1}", AW_PARAMS, "/max_size" },
	{ FETCH ",\"max_size\":\"many\"}", AW_PARAMS, "/max_size" },
	{ FETCH ",\"max_size\":1.5}", AW_PARAMS, "/max_size" },
	{ FETCH ",\"expect\":99}", AW_PARAMS, "/expect" },
	{ FETCH ",\"expect\":600}", AW_PARAMS, "/expect" },
	{ FETCH ",\"expect\":\"2xx\"}", AW_PARAMS, "/expect" },
	{ FETCH ",\"expect\":\"299-200\"}", AW_PARAMS, "/expect" },
	{ FETCH ",\"expect\":\"200-600\"}", AW_PARAMS, "/expect" },
	{ FETCH ",\"expect\":200.0}", AW_PARAMS, "/expect" },
	{ FETCH ",\"expect\":[]}", AW_PARAMS, "/expect" },
	{ FETCH ",\"expect\":[200,\"x\"]}", AW_PARAMS, "/expect/1" },
	{ FETCH ",\"expect\":[200,[201]]}", AW_PARAMS, "/expect/1" },
	{ FETCH ",\"expect\":{}}", AW_PARAMS, "/expect" },
	{ FETCH ",\"redirects\":-1}", AW_PARAMS, "/redirects" },
	{ FETCH ",\"redirects\":101}", AW_PARAMS, "/redirects" },
	{ FETCH ",\"connect_timeout\":0}", AW_PARAMS, "/connect_timeout" },
	{ FETCH ",\"idle_timeout\":\"x\"}", AW_PARAMS, "/idle_timeout" },

	{ "{\"kind\":\"worker\",\"argv\":\"ls\"}", AW_PARAMS, "/argv" },
	{ "{\"kind\":\"worker\",\"argv\":[]}", AW_PARAMS, "/argv" },
	{ "{\"kind\":\"worker\",\"argv\":[\"\"]}", AW_PARAMS, "/argv/0" },
	{ "{\"kind\":\"worker\",\"argv\":[\"ls\",5]}", AW_PARAMS, "/argv/1" },
	{ "{\"kind\":\"worker\",\"argv\":[\"ls\",null]}", AW_PARAMS, "/argv/1" },
	{ "{\"kind\":\"worker\",\"argv\":{\"0\":\"ls\"}}", AW_PARAMS, "/argv" },
	{ WORKER ",\"cwd\":\"\"}", AW_PARAMS, "/cwd" },
	{ WORKER ",\"cwd\":\"relative\"}", AW_PARAMS, "/cwd" },
	{ WORKER ",\"cwd\":5}", AW_PARAMS, "/cwd" },
	{ WORKER ",\"env\":[]}", AW_PARAMS, "/env" },
	{ WORKER ",\"env\":{\"A\":1}}", AW_PARAMS, "/env/A" },
	{ WORKER ",\"env\":{\"\":\"x\"}}", AW_PARAMS, "/env/" },
	{ WORKER ",\"env\":{\"1A\":\"x\"}}", AW_PARAMS, "/env/1A" },
	{ WORKER ",\"env\":{\"A=B\":\"x\"}}", AW_PARAMS, "/env/A=B" },
	{ WORKER ",\"env\":{\"OK\":\"x\",\"\\u00e4\":\"x\"}}", AW_PARAMS, "/env/\xc3\xa4" },
	{ WORKER ",\"env\":{\"AWAITD_JOB_ID\":\"1\"}}", AW_PARAMS, "/env/AWAITD_JOB_ID" },
	{ WORKER ",\"env\":{\"LD_PRELOAD\":\"x\"}}", AW_PARAMS, "/env/LD_PRELOAD" },
	{ WORKER ",\"env\":{\"NOTIFY_SOCKET\":\"x\"}}", AW_PARAMS, "/env/NOTIFY_SOCKET" },
	{ WORKER ",\"env\":{\"LISTEN_FDS\":\"3\"}}", AW_PARAMS, "/env/LISTEN_FDS" },
	{ WORKER ",\"env\":{\"WATCHDOG_USEC\":\"3\"}}", AW_PARAMS, "/env/WATCHDOG_USEC" },
	{ WORKER ",\"env\":{\"CREDENTIALS_DIRECTORY\":\"/\"}}", AW_PARAMS,
	  "/env/CREDENTIALS_DIRECTORY" },
	{ WORKER ",\"stdin\":5}", AW_PARAMS, "/stdin" },
	{ WORKER ",\"success\":[]}", AW_PARAMS, "/success" },
	{ WORKER ",\"success\":256}", AW_PARAMS, "/success" },
	{ WORKER ",\"success\":[0,-1]}", AW_PARAMS, "/success/1" },
	{ WORKER ",\"success\":[\"0\"]}", AW_PARAMS, "/success/0" },
	{ WORKER ",\"success\":0.0}", AW_PARAMS, "/success" },
};

START_TEST(bad_documents)
{
	expect_refusal(bad[_i].text, 0, bad[_i].code, bad[_i].path, "");
}
END_TEST

/* A string of @len bytes for @key: is it taken? */
static bool takes_length(const char *start, const char *key, size_t len)
{
	struct buf b = { 0 };
	struct aw_err err = { 0 };
	struct jobdoc d = { 0 };
	json_t *doc;
	int r;

	buf_addf(&b, "%s,\"%s\":\"", start, key);
	if (strcmp(key, "cwd") == 0 && len > 0) {
		buf_addc(&b, '/');
		len--;
	}
	for (size_t i = 0; i < len; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "\"}");
	doc = json_of(buf_terminate(&b));
	r = jobdoc_check(doc, "", 0, &d, &err);
	if (r < 0)
		ck_assert_str_eq(err.path + 1, key);
	jobdoc_fini(&d);
	aw_err_fini(&err);
	json_decref(doc);
	buf_fini(&b);
	return r == 0;
}

START_TEST(lengths_end_where_they_should)
{
	static const struct {
		const char *start, *key;
		size_t max;
	} cases[] = {
		{ TIMER, "name", 255 },	   { FETCH, "queue", 255 }, { TIMER, "key", 255 },
		{ FETCH, "output", 4095 }, { WORKER, "cwd", 4095 }, { WORKER, "stdin", 128 * 1024 },
		{ FETCH, "method", 32 },
	};

	for (int i = 0; i < N_OF(cases); i++) {
		ck_assert(takes_length(cases[i].start, cases[i].key, cases[i].max));
		ck_assert(!takes_length(cases[i].start, cases[i].key, cases[i].max + 1));
	}
}
END_TEST

/* A worker with @n bytes in argv[1], or of "NAME=" and a value: where is it refused? */
static void expect_length(const char *start, size_t n_before, size_t len, const char *path)
{
	struct buf b = { 0 };
	struct aw_err err = { 0 };
	struct jobdoc d = { 0 };
	json_t *doc;
	int r;

	buf_adds(&b, start);
	for (size_t i = n_before; i < len; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, n_before ? "\"}}" : "\"]}");
	doc = json_of(buf_terminate(&b));
	r = jobdoc_check(doc, "", 0, &d, &err);
	ck_assert_msg((r < 0) == (path != NULL), "%.60s ... %zu: %s", start, len, err.message);
	if (path) {
		ck_assert_int_eq(err.code, AW_PARAMS);
		ck_assert_str_eq(err.path, path);
		ck_assert_ptr_nonnull(strstr(err.message, "131071 bytes"));
		ck_assert_ptr_nonnull(strstr(err.message, "stdin or a file"));
	}
	jobdoc_fini(&d);
	aw_err_fini(&err);
	json_decref(doc);
	buf_fini(&b);
}

/* To the byte what execve() takes; tests/integration/job_errors.py asks it. */
START_TEST(what_no_program_can_be_given)
{
	static const char argv[] = "{\"kind\":\"worker\",\"argv\":[\"true\",\"";
	static const char env[] = WORKER ",\"env\":{\"A\":\"\",\"NAME\":\"";

	expect_length(argv, 0, 131071, NULL);
	expect_length(argv, 0, 131072, "/argv/1");
	expect_length(env, strlen("NAME="), 131071, NULL);
	expect_length(env, strlen("NAME="), 131072, "/env/NAME");
	expect_length(env, strlen("NAME="), 131072 + strlen("NAME="), "/env/NAME");
}
END_TEST

START_TEST(at_most_64_tags)
{
	for (int n = JOB_TAGS_MAX; n <= JOB_TAGS_MAX + 1; n++) {
		struct buf b = { 0 };
		struct aw_err err = { 0 };
		struct jobdoc d = { 0 };
		json_t *doc;

		buf_adds(&b, TIMER ",\"tags\":[\"t0\"");
		for (int i = 1; i < n; i++)
			buf_addf(&b, ",\"t%d\"", i);
		buf_adds(&b, "]}");
		doc = json_of(buf_terminate(&b));
		ck_assert_int_eq(jobdoc_check(doc, "", 0, &d, &err) == 0, n == JOB_TAGS_MAX);
		jobdoc_fini(&d);
		aw_err_fini(&err);
		json_decref(doc);
		buf_fini(&b);
	}
}
END_TEST

/* What one key may hold, so that no document holds up the loop. */
START_TEST(members_and_values_are_bounded)
{
	static const struct {
		const char *start, *before, *after, *end; /* around each number */
		int max;
	} cases[] = {
		{ "{\"kind\":\"worker\",\"argv\":[\"x\"],\"env\":{", "\"N", "\":\"\"", "}}",
		  JOB_MEMBERS_MAX },
		{ TIMER ",\"value\":[", "", "", "]}", JOB_VALUES_MAX - 1 },
		{ TIMER ",\"value\":{\"a\":[", "[", "]", "]}}", (JOB_VALUES_MAX - 2) / 2 },
	};

	for (int i = 0; i < 2 * N_OF(cases); i++) {
		int n = cases[i / 2].max + i % 2;
		struct buf b = { 0 };
		struct aw_err err = { 0 };
		struct jobdoc d = { 0 };
		json_t *doc;

		buf_adds(&b, cases[i / 2].start);
		for (int k = 0; k < n; k++)
			buf_addf(&b, "%s%s%d%s", k ? "," : "", cases[i / 2].before, k,
				 cases[i / 2].after);
		buf_adds(&b, cases[i / 2].end);
		doc = json_of(buf_terminate(&b));
		ck_assert_msg((jobdoc_check(doc, "", 0, &d, &err) == 0) == (i % 2 == 0), "%d", i);
		jobdoc_fini(&d);
		aw_err_fini(&err);
		json_decref(doc);
		buf_fini(&b);
	}
}
END_TEST

/* A long unknown name is cut in the error, and that is all. */
START_TEST(long_unknown_key)
{
	struct buf b = { 0 };
	struct aw_err err = { 0 };
	struct jobdoc d = { 0 };
	json_t *doc;

	buf_adds(&b, TIMER ",\"");
	for (int i = 0; i < 100000; i++)
		buf_adds(&b, "\xe2\x82\xac");
	buf_adds(&b, "\":1}");
	doc = json_of(buf_terminate(&b));
	ck_assert_int_lt(jobdoc_check(doc, "", 0, &d, &err), 0);
	/* A pointer to what holds it: the document. */
	ck_assert_str_eq(err.path, "");
	ck_assert_ptr_nonnull(strstr(err.message, "has no key"));
	aw_err_fini(&err);
	json_decref(doc);
	buf_fini(&b);
}
END_TEST

/* jansson lets a NUL into strings when asked to: none may get through to execve or a header. */
START_TEST(nul_characters_are_refused)
{
	static const char *const texts[] = {
		TIMER ",\"name\":\"a\\u0000b\"}",
		TIMER ",\"key\":\"a\\u0000b\"}",
		TIMER ",\"delay\":\"1s\\u0000b\"}",
		TIMER ",\"at\":\"2026-11-20T10:00:00Z\\u0000b\"}",
		"{\"kind\":\"fetch\",\"url\":\"http://h/\\u0000b\"}",
		FETCH ",\"output\":\"a\\u0000b\"}",
		FETCH ",\"method\":\"GET\\u0000b\"}",
		FETCH ",\"headers\":{\"X\":\"a\\u0000b\"}}",
		WORKER ",\"env\":{\"X\":\"a\\u0000b\"}}",
		WORKER ",\"cwd\":\"/a\\u0000b\"}",
		WORKER ",\"stdin\":\"a\\u0000b\"}",
		"{\"kind\":\"worker\",\"argv\":[\"ls\",\"a\\u0000b\"]}",
	};

	for (int i = 0; i < N_OF(texts); i++) {
		json_t *doc = json_loads(texts[i], JSON_ALLOW_NUL, NULL);
		struct aw_err err = { 0 };
		struct jobdoc d = { 0 };

		ck_assert_ptr_nonnull(doc);
		ck_assert_msg(jobdoc_check(doc, "", 0, &d, &err) < 0, "%s", texts[i]);
		aw_err_fini(&err);
		json_decref(doc);
	}
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("jobdoc");

	tcase_add_loop_test(tc, bad_documents, 0, N_OF(bad));
	tcase_add_test(tc, lengths_end_where_they_should);
	tcase_add_test(tc, what_no_program_can_be_given);
	tcase_add_test(tc, at_most_64_tags);
	tcase_add_test(tc, members_and_values_are_bounded);
	tcase_add_test(tc, long_unknown_key);
	tcase_add_test(tc, nul_characters_are_refused);
	return jobdoc_main("jobdoc", tc);
}
