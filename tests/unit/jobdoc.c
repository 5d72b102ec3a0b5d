/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobdoc.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/buf.h"
#include "proto/jobkeys.h"
#include "proto/limits.h"
#include "proto/units.h"

#define TIMER "{\"kind\":\"timer\",\"sleep\":1"
#define FETCH "{\"kind\":\"fetch\",\"url\":\"http://h/\""
#define WORKER "{\"kind\":\"worker\",\"argv\":[\"ls\"]"
#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define N_OF(table) (int)(sizeof(table) / sizeof(*table))

static json_t *json_of(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

	ck_assert_msg(value != NULL, "%s: %s", text, error.text);
	return value;
}

static char *text_of(const json_t *value)
{
	struct buf b = { 0 };

	buf_add_json(&b, value);
	return buf_steal(&b, NULL);
}

/* ---- what is refused, and where ---- */

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

	{ FETCH ",\"resume\":true}", AW_UNSUPPORTED, "/resume" },
	{ FETCH ",\"insecure\":1}", AW_PARAMS, "/insecure" },
	{ WORKER ",\"limits\":{}}", AW_UNSUPPORTED, "/limits" },
	{ WORKER ",\"umask\":18}", AW_UNSUPPORTED, "/umask" },
	{ WORKER ",\"nice\":5}", AW_UNSUPPORTED, "/nice" },

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
	static const char *const prefixes[] = { "", "/jobs/3" };

	for (int i = 0; i < N_OF(prefixes); i++) {
		json_t *doc = json_of(bad[_i].text);
		char *before = text_of(doc), *after, path[256];
		struct jobdoc d = { .priority = 77 };
		struct aw_err err = { 0 };

		ck_assert_msg(jobdoc_check(doc, prefixes[i], 0, &d, &err) < 0, "%s was accepted",
			      bad[_i].text);
		snprintf(path, sizeof(path), "%s%s", prefixes[i], bad[_i].path);
		ck_assert_msg(err.code == bad[_i].code, "%s: %s: %s", bad[_i].text,
			      aw_code_word(err.code), err.message);
		ck_assert_msg(strcmp(err.path, path) == 0, "%s: path %s: %s", bad[_i].text,
			      err.path, err.message);
		ck_assert_uint_gt(strlen(err.message), 10);
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

/* ---- the normal form ---- */

static const struct {
	const char *text, *normal;
} good[] = {
	{ TIMER "}", "{\"kind\":\"timer\",\"sleep\":1}" },
	{ "{\"sleep\":\"1h 30min\",\"kind\":\"timer\"}", "{\"kind\":\"timer\",\"sleep\":5400}" },
	{ "{\"kind\":\"timer\",\"sleep\":0}", "{\"kind\":\"timer\",\"sleep\":0}" },
	{ "{\"kind\":\"timer\",\"sleep\":2.0}", "{\"kind\":\"timer\",\"sleep\":2}" },
	{ "{\"kind\":\"timer\",\"sleep\":\"250ms\"}", "{\"kind\":\"timer\",\"sleep\":0.25}" },
	{ "{\"kind\":\"timer\",\"sleep\":\"10y\"}", "{\"kind\":\"timer\",\"sleep\":315576000}" },
	{ TIMER ",\"value\":null}", "{\"kind\":\"timer\",\"sleep\":1,\"value\":null}" },
	{ TIMER ",\"value\":{\"b\":[1,2.5,\"\\u0001\"],\"a\":{}}}",
	  "{\"kind\":\"timer\",\"sleep\":1,\"value\":{\"b\":[1,2.5,\"\\u0001\"],\"a\":{}}}" },
	{ "{\"key\":\"k\",\"grace\":\"1h\",\"timeout\":\"1us\","
	  "\"at\":\"2026-11-20T11:00:00.25+01:00\","
	  "\"priority\":-1000,\"tags\":[\"b\",\"a\"],\"name\":\"\xc3\xa4 b\",\"sleep\":1,"
	  "\"kind\":\"timer\"}",
	  "{\"kind\":\"timer\",\"name\":\"\xc3\xa4 b\",\"tags\":[\"b\",\"a\"],\"priority\":-1000,"
	  "\"at\":\"2026-11-20T10:00:00.250Z\",\"timeout\":1e-06,\"grace\":3600,\"key\":\"k\","
	  "\"sleep\":1}" },
	{ TIMER ",\"tags\":[],\"delay\":\"2min\",\"grace\":0}",
	  "{\"kind\":\"timer\",\"tags\":[],\"delay\":120,\"grace\":0,\"sleep\":1}" },
	{ FETCH ",\"queue\":\"slow\",\"on_lost\":\"fail\"}",
	  "{\"kind\":\"fetch\",\"queue\":\"slow\",\"on_lost\":\"fail\",\"url\":\"http://h/\"}" },
	{ FETCH ",\"method\":\"post\"}",
	  "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"method\":\"POST\"}" },
	{ FETCH ",\"body\":\"\"}", "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"body\":\"\"}" },
	{ FETCH ",\"method\":\"Delete\",\"body\":\"x\"}",
	  "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"method\":\"DELETE\",\"body\":\"x\"}" },
	{ FETCH ",\"headers\":{\"X-B\":\"1\\t2\",\"Accept\":\"\"}}",
	  "{\"kind\":\"fetch\",\"url\":\"http://h/\","
	  "\"headers\":{\"Accept\":\"\",\"X-B\":\"1\\t2\"}}" },
	{ FETCH ",\"checksum\":\"sha256:"
		"E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855\"}",
	  "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"checksum\":\"sha256:" HEX64 "\"}" },
	{ FETCH ",\"expect\":204}", "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"expect\":[204]}" },
	{ FETCH ",\"expect\":\"204\"}",
	  "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"expect\":[204]}" },
	{ FETCH ",\"expect\":\"200-299\"}",
	  "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"expect\":[\"200-299\"]}" },
	{ FETCH ",\"expect\":[\"404-404\",\"100-599\",304]}",
	  "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"expect\":[404,\"100-599\",304]}" },
	{ FETCH ",\"max_size\":\"10M\",\"redirects\":0,\"connect_timeout\":\"1.5s\","
		"\"idle_timeout\":9,\"overwrite\":true,\"output\":\"a b/\xc3\xa4\"}",
	  "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"output\":\"a b/\xc3\xa4\","
	  "\"overwrite\":true,"
	  "\"max_size\":10485760,\"redirects\":0,\"connect_timeout\":1.5,\"idle_timeout\":9}" },
	{ "{\"kind\":\"fetch\",\"url\":\"HTTPS://u:p@w@[::1]:8443?q#f\"}",
	  "{\"kind\":\"fetch\",\"url\":\"HTTPS://u:p@w@[::1]:8443?q#f\"}" },
	{ "{\"kind\":\"fetch\",\"url\":\"http://h:/a\\\\b@c\"}",
	  "{\"kind\":\"fetch\",\"url\":\"http://h:/a\\\\b@c\"}" },
	{ WORKER ",\"success\":3}", "{\"kind\":\"worker\",\"argv\":[\"ls\"],\"success\":[3]}" },
	{ WORKER ",\"success\":[255,0]}",
	  "{\"kind\":\"worker\",\"argv\":[\"ls\"],\"success\":[255,0]}" },
	{ "{\"kind\":\"worker\",\"argv\":[\"sh\",\"-c\",\"\",\"a\\nb\"],\"stdin\":\"\","
	  "\"cwd\":\"/\","
	  "\"env\":{\"_z\":\"1\",\"B\":\"\",\"A9\":\"x=y\"}}",
	  "{\"kind\":\"worker\",\"argv\":[\"sh\",\"-c\",\"\",\"a\\nb\"],\"cwd\":\"/\","
	  "\"env\":{\"A9\":\"x=y\",\"B\":\"\",\"_z\":\"1\"},\"stdin\":\"\"}" },
	{ WORKER ",\"env\":{}}", "{\"kind\":\"worker\",\"argv\":[\"ls\"],\"env\":{}}" },
};

/* Also: normalising again changes nothing, and the store's way back gives the same. */
START_TEST(good_documents)
{
	struct jobdoc d = { 0 }, again = { 0 }, loaded = { 0 };
	struct aw_err err = { 0 };
	json_t *doc = json_of(good[_i].text);
	char *text, *text_again, *text_loaded;

	ck_assert_msg(jobdoc_check(doc, "", 0, &d, &err) == 0, "%s: %s", good[_i].text,
		      err.message);
	json_decref(doc);
	text = text_of(d.spec);
	ck_assert_str_eq(text, good[_i].normal);

	ck_assert_msg(jobdoc_check(d.spec, "", 0, &again, &err) == 0, "%s: %s", text, err.message);
	text_again = text_of(again.spec);
	ck_assert_str_eq(text_again, text);

	ck_assert_msg(jobdoc_load(text, strlen(text), &loaded, &err) == 0, "%s: %s", text,
		      err.message);
	text_loaded = text_of(loaded.spec);
	ck_assert_str_eq(text_loaded, text);

	free(text);
	free(text_again);
	free(text_loaded);
	jobdoc_fini(&d);
	jobdoc_fini(&again);
	jobdoc_fini(&loaded);
}
END_TEST

static struct jobdoc checked(const char *text)
{
	struct jobdoc d = { 0 };
	struct aw_err err = { 0 };
	json_t *doc = json_of(text);

	ck_assert_msg(jobdoc_check(doc, "", 0, &d, &err) == 0, "%s: %s", text, err.message);
	json_decref(doc);
	return d;
}

START_TEST(common_keys_are_read_out)
{
	struct jobdoc d = checked(
		"{\"kind\":\"worker\",\"argv\":[\"ls\"],\"name\":\"n\",\"tags\":[\"t\"],"
		"\"queue\":\"q\",\"priority\":7,\"delay\":\"1.5s\",\"timeout\":2,\"grace\":0.25,"
		"\"key\":\"k\",\"on_lost\":\"retry\"}");

	ck_assert_int_eq(d.kind, JOB_WORKER);
	ck_assert_str_eq(d.name, "n");
	ck_assert_str_eq(d.queue, "q");
	ck_assert_str_eq(d.key, "k");
	ck_assert_uint_eq(json_array_size(d.tags), 1);
	ck_assert_int_eq(d.priority, 7);
	ck_assert(d.has_delay && !d.has_at);
	ck_assert_int_eq(d.delay_us, 1500000);
	ck_assert_int_eq(d.timeout_us, 2000000);
	ck_assert_int_eq(d.grace_us, 250000);
	ck_assert_int_eq(d.on_lost, ON_LOST_RETRY);
	jobdoc_fini(&d);

	d = checked(TIMER ",\"at\":\"1970-01-01T00:00:02Z\"}");
	ck_assert(d.has_at && !d.has_delay);
	ck_assert_int_eq(d.at_ms, 2000);
	jobdoc_fini(&d);

	d = checked(TIMER ",\"delay\":0}");
	ck_assert(d.has_delay);
	ck_assert_int_eq(d.delay_us, 0);
	jobdoc_fini(&d);
}
END_TEST

START_TEST(defaults)
{
	static const struct {
		const char *text, *queue;
		enum job_on_lost on_lost; /* R2.4 */
	} cases[] = {
		{ TIMER "}", NULL, ON_LOST_RETRY },
		{ WORKER "}", "worker", ON_LOST_FAIL },
		{ WORKER ",\"on_lost\":\"retry\"}", "worker", ON_LOST_RETRY },
		{ FETCH "}", "fetch", ON_LOST_RETRY },
		{ FETCH ",\"method\":\"get\"}", "fetch", ON_LOST_RETRY },
		{ FETCH ",\"method\":\"HEAD\"}", "fetch", ON_LOST_RETRY },
		{ FETCH ",\"method\":\"PUT\"}", "fetch", ON_LOST_FAIL },
		{ FETCH ",\"body\":\"x\"}", "fetch", ON_LOST_FAIL },
		{ FETCH ",\"body\":\"x\",\"on_lost\":\"retry\"}", "fetch", ON_LOST_RETRY },
		{ FETCH ",\"on_lost\":\"fail\"}", "fetch", ON_LOST_FAIL },
	};

	for (int i = 0; i < N_OF(cases); i++) {
		struct jobdoc d = checked(cases[i].text);

		if (cases[i].queue)
			ck_assert_str_eq(d.queue, cases[i].queue);
		else
			ck_assert_ptr_null(d.queue);
		ck_assert_int_eq(d.on_lost, cases[i].on_lost);
		ck_assert_ptr_null(d.name);
		ck_assert_ptr_null(d.key);
		ck_assert_ptr_null(d.tags);
		ck_assert_int_eq(d.priority, 0);
		ck_assert(!d.has_delay && !d.has_at);
		ck_assert_int_eq(d.timeout_us, 0);
		ck_assert_int_eq(d.grace_us, JOB_GRACE_DEFAULT_US);
		jobdoc_fini(&d);
	}
}
END_TEST

/* The same wish in other words of the table is the same bytes: what "key" compares. */
START_TEST(equal_wishes_are_equal_bytes)
{
	static const char *const pairs[][2] = {
		{ TIMER ",\"delay\":\"2min\"}",
		  "{\"delay\":120.0,\"sleep\":\"1s\",\"kind\":\"timer\"}" },
		{ TIMER ",\"at\":\"2026-11-20T10:00:00Z\"}",
		  TIMER ",\"at\":\"2026-11-20T11:00:00.0001+01:00\"}" },
		{ FETCH ",\"expect\":200,\"max_size\":\"1K\"}",
		  FETCH ",\"max_size\":1024,\"expect\":[\"200-200\"]}" },
		{ WORKER ",\"env\":{\"A\":\"1\",\"B\":\"2\"}}",
		  WORKER ",\"env\":{\"B\":\"2\",\"A\":\"1\"}}" },
		{ WORKER ",\"success\":0}", WORKER ",\"success\":[0]}" },
	};

	for (int i = 0; i < N_OF(pairs); i++) {
		struct jobdoc a = checked(pairs[i][0]), b = checked(pairs[i][1]);
		char *text_a = text_of(a.spec), *text_b = text_of(b.spec);

		ck_assert_str_eq(text_a, text_b);
		free(text_a);
		free(text_b);
		jobdoc_fini(&a);
		jobdoc_fini(&b);
	}
}
END_TEST

/* ---- secrets ---- */

START_TEST(secrets_are_masked)
{
	static const struct {
		const char *text;
		bool has_secrets;
		const char *masked;
	} cases[] = {
		{ TIMER ",\"value\":\"x\"}", false,
		  "{\"kind\":\"timer\",\"sleep\":1,\"value\":\"x\"}" },
		{ FETCH "}", false, "{\"kind\":\"fetch\",\"url\":\"http://h/\"}" },
		{ "{\"kind\":\"fetch\",\"url\":\"http://user:pw@host/a@b\"}", true,
		  "{\"kind\":\"fetch\",\"url\":\"http://***@host/a@b\"}" },
		{ "{\"kind\":\"fetch\",\"url\":\"https://a@b@host:8443?x=@\"}", true,
		  "{\"kind\":\"fetch\",\"url\":\"https://***@host:8443?x=@\"}" },
		{ "{\"kind\":\"fetch\",\"url\":\"http://host/?u=a@b\"}", false,
		  "{\"kind\":\"fetch\",\"url\":\"http://host/?u=a@b\"}" },
		{ FETCH ",\"body\":\"secret\","
			"\"headers\":{\"Authorization\":\"secret\",\"B\":\"\"}}",
		  true,
		  "{\"kind\":\"fetch\",\"url\":\"http://h/\","
		  "\"headers\":{\"Authorization\":\"***\",\"B\":\"***\"},\"body\":\"***\"}" },
		{ FETCH ",\"headers\":{}}", false,
		  "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"headers\":{}}" },
		{ WORKER ",\"env\":{\"TOKEN\":\"secret\"},\"stdin\":\"secret\"}", true,
		  "{\"kind\":\"worker\",\"argv\":[\"ls\"],\"env\":{\"TOKEN\":\"***\"},"
		  "\"stdin\":\"***\"}" },
	};

	for (int i = 0; i < N_OF(cases); i++) {
		struct jobdoc d = checked(cases[i].text);
		char *before = text_of(d.spec), *after, *text;
		json_t *masked = jobdoc_masked(d.kind, d.spec);

		text = text_of(masked);
		ck_assert_str_eq(text, cases[i].masked);
		ck_assert_int_eq(d.has_secrets, cases[i].has_secrets);
		after = text_of(d.spec);
		ck_assert_str_eq(before, after);
		free(before);
		free(after);
		free(text);
		json_decref(masked);
		jobdoc_fini(&d);
	}
}
END_TEST

/* A row of a damaged store may hold anything. */
START_TEST(masking_survives_anything)
{
	static const char *const texts[] = {
		"{\"url\":5,\"headers\":[],\"body\":{\"a\":1},\"env\":\"x\",\"stdin\":null}",
		"{\"url\":\"\"}",
		"[]",
		"5",
	};

	for (int i = 0; i < N_OF(texts); i++) {
		json_t *spec = json_of(texts[i]);

		for (int kind = 0; kind < N_JOB_KINDS; kind++)
			json_decref(jobdoc_masked((enum job_kind)kind, spec));
		json_decref(spec);
	}
}
END_TEST

START_TEST(loading_damage_is_an_error)
{
	static const char *const texts[] = {
		"",
		"{",
		"null",
		"{}",
		"\xff\xfe",
		"{\"kind\":\"timer\"}",
		"{\"kind\":\"gather\"}",
		"{\"kind\":\"race\",\"jobs\":[{}]}",
		"{\"kind\":\"worker\",\"argv\":5}",
	};

	for (int i = 0; i < N_OF(texts); i++) {
		struct jobdoc d = { 0 };
		struct aw_err err = { 0 };

		ck_assert_int_lt(jobdoc_load(texts[i], strlen(texts[i]), &d, &err), 0);
		ck_assert_int_eq(err.code, AW_DAMAGED);
		ck_assert_ptr_null(d.spec);
		aw_err_fini(&err);
	}
}
END_TEST

START_TEST(typed_readers)
{
	struct jobdoc d =
		checked(FETCH ",\"redirects\":3,\"overwrite\":true,\"idle_timeout\":\"90s\"}");

	ck_assert_int_eq(jobdoc_integer(d.spec, "redirects", 10), 3);
	ck_assert_int_eq(jobdoc_integer(d.spec, "max_size", 10), 10);
	ck_assert_int_eq(jobdoc_integer(d.spec, "url", 10), 10);
	ck_assert(jobdoc_bool(d.spec, "overwrite", false));
	ck_assert(jobdoc_bool(d.spec, "nothing", true));
	ck_assert_int_eq(jobdoc_duration_us(d.spec, "idle_timeout", 1), 90000000);
	ck_assert_int_eq(jobdoc_duration_us(d.spec, "connect_timeout", 1), 1);
	ck_assert_str_eq(jobdoc_string(d.spec, "url", ""), "http://h/");
	ck_assert_str_eq(jobdoc_string(d.spec, "output", "-"), "-");
	jobdoc_fini(&d);
}
END_TEST

/* ---- the table ---- */

START_TEST(table_is_sound)
{
	for (size_t i = 0; i < n_jobkeys; i++) {
		const struct jobkey *key = &jobkeys[i];

		ck_assert_uint_eq(key->name_len, strlen(key->name));
		ck_assert_ptr_eq(jobkey_find_any(key->name, key->name_len), key);
		ck_assert_uint_ne(key->kinds, 0);
		ck_assert_uint_eq(key->kinds & ~JK_ALL, 0);
		ck_assert_ptr_nonnull(key->help);
		ck_assert_int_le(key->min, key->max);
		ck_assert_int_eq(key->choices != NULL, key->type == JK_CHOICE);
		ck_assert_int_eq(key->members != NULL, key->type == JK_OBJECT);
		if (key->type == JK_BOOL)
			ck_assert_ptr_null(key->metavar);
		for (int kind = 0; kind < N_JOB_KINDS; kind++)
			ck_assert_int_eq(jobkey_find((enum job_kind)kind, key->name) == key,
					 (key->kinds & JK_KINDS(kind)) != 0);
	}
	ck_assert_ptr_null(jobkey_find(JOB_TIMER, "nonsense"));
	ck_assert_ptr_null(jobkey_find(JOB_TIMER, "argv"));
	ck_assert_ptr_null(jobkey_find_any("kindred", 7));
	ck_assert_ptr_null(jobkey_find_any("kin", 3));
}
END_TEST

/* Every key is given every type of value: none may crash, and what is taken is stable. */
START_TEST(every_key_meets_every_value)
{
	static const char *const values[] = {
		"null",
		"true",
		"false",
		"0",
		"1",
		"-1",
		"9223372036854775807",
		"0.5",
		"-0.5",
		"1e300",
		"\"\"",
		"\"x\"",
		"\"200\"",
		"\"1s\"",
		"\"/\"",
		"\"http://u@h\"",
		"[]",
		"[[]]",
		"[null]",
		"[1,\"a\"]",
		"[\"a\",\"a\"]",
		"{}",
		"{\"\":\"\"}",
		"{\"a\":{}}",
		"{\"b\":\"x\",\"a\":\"y\"}",
	};
	static const char *const starts[] = { TIMER, FETCH, WORKER };

	for (size_t k = 0; k < n_jobkeys; k++)
		for (int v = 0; v < N_OF(values); v++)
			for (int s = 0; s < N_OF(starts); s++) {
				struct buf b = { 0 };
				struct jobdoc d = { 0 };
				struct aw_err err = { 0 };
				json_t *doc;

				buf_addf(&b, "%s,\"%s\":%s}", starts[s], jobkeys[k].name,
					 values[v]);
				/* The last of two equal keys wins here. */
				doc = json_loads(buf_terminate(&b), 0, NULL);
				ck_assert_ptr_nonnull(doc);
				if (jobdoc_check(doc, "", 0, &d, &err) < 0)
					ck_assert_int_eq(err.path[0], '/');
				else
					json_decref(jobdoc_masked(d.kind, d.spec));
				jobdoc_fini(&d);
				aw_err_fini(&err);
				json_decref(doc);
				buf_fini(&b);
			}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("jobdoc");
	TCase *check = tcase_create("check"), *rest = tcase_create("rest");
	SRunner *sr = srunner_create(suite);
	int n_failed;

	tcase_add_loop_test(check, bad_documents, 0, N_OF(bad));
	tcase_add_test(check, lengths_end_where_they_should);
	tcase_add_test(check, at_most_64_tags);
	tcase_add_test(check, members_and_values_are_bounded);
	tcase_add_test(check, long_unknown_key);
	tcase_add_test(check, nul_characters_are_refused);
	tcase_add_loop_test(check, good_documents, 0, N_OF(good));
	suite_add_tcase(suite, check);
	tcase_add_test(rest, common_keys_are_read_out);
	tcase_add_test(rest, defaults);
	tcase_add_test(rest, equal_wishes_are_equal_bytes);
	tcase_add_test(rest, secrets_are_masked);
	tcase_add_test(rest, masking_survives_anything);
	tcase_add_test(rest, loading_damage_is_an_error);
	tcase_add_test(rest, typed_readers);
	tcase_add_test(rest, table_is_sound);
	tcase_add_test(rest, every_key_meets_every_value);
	suite_add_tcase(suite, rest);
	srunner_run_all(sr, CK_ENV);
	n_failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
