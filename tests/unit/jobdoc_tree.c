/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/jobdoc_fixture.h"

/* Job documents of compositions: parts, needs, retries, and their limits. */

/* ---- what is refused, and where ---- */

static const struct {
	const char *text;
	enum aw_code code;
	const char *path;
	const char *word; /* that the message has */
} bad[] = {
	/* parts */
	{ "{\"kind\":\"gather\"}", AW_PARAMS, "/jobs", "missing" },
	{ "{\"kind\":\"race\",\"jobs\":null}", AW_PARAMS, "/jobs", "list" },
	{ "{\"kind\":\"race\",\"jobs\":{}}", AW_PARAMS, "/jobs", "list" },
	{ "{\"kind\":\"race\",\"jobs\":5}", AW_PARAMS, "/jobs", "list" },
	{ "{\"kind\":\"sequence\",\"jobs\":[]}", AW_PARAMS, "/jobs", "at least one" },
	{ GATHER "null]}", AW_PARAMS, "/jobs/0", "object" },
	{ GATHER TIMER "},7]}", AW_PARAMS, "/jobs/1", "object" },
	{ GATHER TIMER "},{}]}", AW_PARAMS, "/jobs/1/kind", "missing" },
	{ GATHER "{\"kind\":\"timer\"}]}", AW_PARAMS, "/jobs/0/sleep", "missing" },
	{ GATHER TIMER "}," TIMER "}," TIMER "},{\"kind\":\"worker\",\"argv\":[]}]}", AW_PARAMS,
	  "/jobs/3/argv", "item" },
	{ GATHER TIMER "}," TIMER "}," TIMER ",\"argv\":[\"x\"]}]}", AW_PARAMS, "/jobs/2/argv",
	  "worker" },
	{ GATHER TIMER ","
		       "\"nonsense\":1}]}",
	  AW_PARAMS, "/jobs/0/nonsense", "no key" },
	{ RACE TIMER "}," GATHER "{\"kind\":\"timer\",\"sleep\":-1}]}]}", AW_PARAMS,
	  "/jobs/1/jobs/0/sleep", "negative" },
	{ RACE WORKER ",\"env\":{\"A/B\":\"x\"}}]}", AW_PARAMS, "/jobs/0/env/A~1B", "variable" },
	{ RACE WORKER ",\"success\":[0,256]}]}", AW_PARAMS, "/jobs/0/success/1", "255" },
	{ RACE TIMER ",\"key\":\"k\"}]}", AW_PARAMS, "/jobs/0/key", "outermost" },
	{ RACE TIMER ",\"keep\":5}]}", AW_PARAMS, "/jobs/0/keep", "outermost" },
	{ RACE RACE TIMER "}],\"key\":\"k\"}]}", AW_PARAMS, "/jobs/0/key", "outermost" },
	{ TIMER ",\"shield\":true}", AW_PARAMS, "/shield", "parts" },
	{ RACE TIMER "}],\"shield\":false}", AW_PARAMS, "/shield", "parts" },
	{ RACE TIMER ",\"shield\":1}]}", AW_PARAMS, "/jobs/0/shield", "true or false" },
	{ TIMER ",\"jobs\":[]}", AW_PARAMS, "/jobs", "gather, sequence and race" },

	/* keys that not all kinds have */
	{ GATHER TIMER "}],\"queue\":\"worker\"}", AW_PARAMS, "/queue", "fetch and worker" },
	{ SEQUENCE TIMER "}],\"queue\":\"worker\"}", AW_PARAMS, "/queue", "fetch and worker" },
	{ RACE TIMER "}],\"on_lost\":\"retry\"}", AW_PARAMS, "/on_lost", "fetch and worker" },
	{ GATHER TIMER ",\"queue\":\"worker\"}]}", AW_PARAMS, "/jobs/0/queue", "timer" },
	{ GATHER TIMER "}],\"sleep\":1}", AW_PARAMS, "/sleep", "gather" },
	{ SEQUENCE TIMER "}],\"limit\":1}", AW_PARAMS, "/limit", "gather" },
	{ RACE TIMER "}],\"on_failure\":\"cancel\"}", AW_PARAMS, "/on_failure", "gather" },
	{ GATHER TIMER "}],\"on_failure\":\"stop\"}", AW_PARAMS, "/on_failure", "continue" },
	{ GATHER TIMER "}],\"on_failure\":true}", AW_PARAMS, "/on_failure", "continue" },
	{ GATHER TIMER "}],\"limit\":0}", AW_PARAMS, "/limit", "from 1" },
	{ GATHER TIMER "}],\"limit\":-1}", AW_PARAMS, "/limit", "from 1" },
	{ GATHER TIMER "}],\"limit\":10001}", AW_PARAMS, "/limit", "10000" },
	{ GATHER TIMER "}],\"limit\":\"2\"}", AW_PARAMS, "/limit", "integer" },

	/* needs */
	{ TIMER ",\"needs\":5}", AW_PARAMS, "/needs", "list" },
	{ TIMER ",\"needs\":null}", AW_PARAMS, "/needs", "list" },
	{ TIMER ",\"needs\":[0]}", AW_PARAMS, "/needs/0", "positive" },
	{ TIMER ",\"needs\":[1,-2]}", AW_PARAMS, "/needs/1", "positive" },
	{ TIMER ",\"needs\":[1.0]}", AW_PARAMS, "/needs/0", "positive" },
	{ TIMER ",\"needs\":[true]}", AW_PARAMS, "/needs/0", "positive" },
	{ TIMER ",\"needs\":[null]}", AW_PARAMS, "/needs/0", "positive" },
	{ TIMER ",\"needs\":[[1]]}", AW_PARAMS, "/needs/0", "positive" },
	{ TIMER ",\"needs\":[\"1\"]}", AW_PARAMS, "/needs/0", "@N" },
	{ TIMER ",\"needs\":[\"@\"]}", AW_PARAMS, "/needs/0", "@N" },
	{ TIMER ",\"needs\":[\"@-1\"]}", AW_PARAMS, "/needs/0", "@N" },
	{ TIMER ",\"needs\":[\"@01\"]}", AW_PARAMS, "/needs/0", "@N" },
	{ TIMER ",\"needs\":[\"@1 \"]}", AW_PARAMS, "/needs/0", "@N" },
	{ TIMER ",\"needs\":[\"@99999999999999999999\"]}", AW_PARAMS, "/needs/0", "@N" },
	{ TIMER ",\"needs\":[\"@2\",\"@3\"]}", AW_PARAMS, "/needs/1", "cycle" },
	{ TIMER ",\"needs\":[\"@4\"]}", AW_PARAMS, "/needs/0", "earlier" },
	{ TIMER ",\"needs\":[{\"job\":\"@3\",\"on\":\"done\"}]}", AW_PARAMS, "/needs/0/job",
	  "cycle" },
	{ GATHER TIMER ",\"needs\":[\"@3\"]}]}", AW_PARAMS, "/jobs/0/needs/0", "belongs to" },
	{ GATHER TIMER ",\"needs\":[\"@4\"]}]}", AW_PARAMS, "/jobs/0/needs/0", "earlier" },
	{ TIMER ",\"needs\":[{}]}", AW_PARAMS, "/needs/0/job", "missing" },
	{ TIMER ",\"needs\":[{\"on\":\"done\"}]}", AW_PARAMS, "/needs/0/job", "missing" },
	{ TIMER ",\"needs\":[{\"job\":null}]}", AW_PARAMS, "/needs/0/job", "positive" },
	{ TIMER ",\"needs\":[{\"job\":1,\"on\":null}]}", AW_PARAMS, "/needs/0/on", "failure" },
	{ TIMER ",\"needs\":[{\"job\":1,\"on\":\"succeeded\"}]}", AW_PARAMS, "/needs/0/on",
	  "failure" },
	{ TIMER ",\"needs\":[4,{\"job\":1,\"when\":\"done\"}]}", AW_PARAMS, "/needs/1/when",
	  "unknown" },
	{ TIMER ",\"needs\":[5,6,5,6]}", AW_PARAMS, "/needs/2", "already" },
	{ TIMER ",\"needs\":[5,{\"job\":5,\"on\":\"failure\"}]}", AW_PARAMS, "/needs/1",
	  "already" },
	{ TIMER ",\"needs\":[\"@0\",1,\"@0\"]}", AW_PARAMS, "/needs/2", "already" },

	/* retry */
	{ TIMER ",\"retry\":3}", AW_PARAMS, "/retry", "object" },
	{ TIMER ",\"retry\":[]}", AW_PARAMS, "/retry", "object" },
	{ TIMER ",\"retry\":null}", AW_PARAMS, "/retry", "object" },
	{ TIMER ",\"retry\":{\"tries\":3}}", AW_PARAMS, "/retry/tries", "unknown" },
	{ TIMER ",\"retry\":{\"a/b\":3}}", AW_PARAMS, "/retry/a~1b", "unknown" },
	{ TIMER ",\"retry\":{\"max\":-1}}", AW_PARAMS, "/retry/max", "from 0" },
	{ TIMER ",\"retry\":{\"max\":1000001}}", AW_PARAMS, "/retry/max", "1000000" },
	{ TIMER ",\"retry\":{\"max\":1.5}}", AW_PARAMS, "/retry/max", "integer" },
	{ TIMER ",\"retry\":{\"max\":null}}", AW_PARAMS, "/retry/max", "integer" },
	{ TIMER ",\"retry\":{\"delay\":-1}}", AW_PARAMS, "/retry/delay", "\"retry\"" },
	{ TIMER ",\"retry\":{\"delay\":\"soon\"}}", AW_PARAMS, "/retry/delay", "\"delay\"" },
	{ TIMER ",\"retry\":{\"max_delay\":\"11y\"}}", AW_PARAMS, "/retry/max_delay", "10" },
	{ TIMER ",\"retry\":{\"factor\":0.99}}", AW_PARAMS, "/retry/factor", "1 to 100" },
	{ TIMER ",\"retry\":{\"factor\":100.01}}", AW_PARAMS, "/retry/factor", "1 to 100" },
	{ TIMER ",\"retry\":{\"factor\":\"2\"}}", AW_PARAMS, "/retry/factor", "number" },
	{ TIMER ",\"retry\":{\"jitter\":-0.1}}", AW_PARAMS, "/retry/jitter", "0 to 1" },
	{ TIMER ",\"retry\":{\"jitter\":1.1}}", AW_PARAMS, "/retry/jitter", "0 to 1" },
	{ TIMER ",\"retry\":{\"jitter\":true}}", AW_PARAMS, "/retry/jitter", "number" },
	{ TIMER ",\"retry\":{\"on\":[]}}", AW_PARAMS, "/retry/on", "at least one" },
	{ TIMER ",\"retry\":{\"on\":{}}}", AW_PARAMS, "/retry/on", "code" },
	{ TIMER ",\"retry\":{\"on\":\"any\"}}", AW_PARAMS, "/retry/on", "code" },
	{ TIMER ",\"retry\":{\"on\":[\"http\",5]}}", AW_PARAMS, "/retry/on/1", "code" },
	{ TIMER ",\"retry\":{\"on\":[\"\"]}}", AW_PARAMS, "/retry/on/0", "code" },
	{ TIMER ",\"retry\":{\"on\":[\"exit:256\"]}}", AW_PARAMS, "/retry/on/0", "exit:75" },
	{ TIMER ",\"retry\":{\"on\":[\"exit:\"]}}", AW_PARAMS, "/retry/on/0", "exit:75" },
	{ TIMER ",\"retry\":{\"on\":[\"exit:-1\"]}}", AW_PARAMS, "/retry/on/0", "exit:75" },
	{ TIMER ",\"retry\":{\"on\":[\"exit:01\"]}}", AW_PARAMS, "/retry/on/0", "exit:75" },
	{ TIMER ",\"retry\":{\"on\":[\"http:99\"]}}", AW_PARAMS, "/retry/on/0", "http:503" },
	{ TIMER ",\"retry\":{\"on\":[\"http:600\"]}}", AW_PARAMS, "/retry/on/0", "http:503" },
	{ TIMER ",\"retry\":{\"on\":[\"http:5xx\"]}}", AW_PARAMS, "/retry/on/0", "http:503" },
	{ TIMER ",\"retry\":{\"on\":[\"cancelled\"]}}", AW_PARAMS, "/retry/on/0", "no further" },
	{ TIMER ",\"retry\":{\"on\":[\"deadline\"]}}", AW_PARAMS, "/retry/on/0", "no further" },
	{ TIMER ",\"retry\":{\"on\":[\"io\",\"exit:1\",\"io\"]}}", AW_PARAMS, "/retry/on/2",
	  "twice" },
	{ GATHER TIMER ",\"retry\":{\"max\":true}}]}", AW_PARAMS, "/jobs/0/retry/max", "integer" },

	{ TIMER ",\"deadline\":0}", AW_PARAMS, "/deadline", "more than zero" },
	{ TIMER ",\"deadline\":null}", AW_PARAMS, "/deadline", "duration" },
	{ GATHER TIMER ",\"deadline\":\"11y\"}]}", AW_PARAMS, "/jobs/0/deadline", "10" },
	{ TIMER ",\"keep\":-1}", AW_PARAMS, "/keep", "negative" },
	{ TIMER ",\"keep\":\"for ever\"}", AW_PARAMS, "/keep", "\"keep\"" },

	/* references where none can stand */
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"name\":\"${a:/x}\"}]}", AW_PARAMS,
	  "/jobs/1/name", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"tags\":[\"t\",\"${a:/x}\"]}]}", AW_PARAMS,
	  "/jobs/1/tags/1", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"at\":\"${a:/x}\"}]}", AW_PARAMS,
	  "/jobs/1/at", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"delay\":\"${a:}\"}]}", AW_PARAMS,
	  "/jobs/1/delay", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"priority\":\"${a:/x}\"}]}", AW_PARAMS,
	  "/jobs/1/priority", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"deadline\":\"${a:/x}\"}]}", AW_PARAMS,
	  "/jobs/1/deadline", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," WORKER ",\"queue\":\"q-${a:/x}\"}]}", AW_PARAMS,
	  "/jobs/1/queue", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," WORKER ",\"on_lost\":\"${a:/x}\"}]}", AW_PARAMS,
	  "/jobs/1/on_lost", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"retry\":{\"delay\":\"${a:/x}\"}}]}",
	  AW_PARAMS, "/jobs/1/retry/delay", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"retry\":{\"on\":[\"${a:/x}\"]}}]}",
	  AW_PARAMS, "/jobs/1/retry/on/0", "reference" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"needs\":[1,\"${a:/x}\"]}]}", AW_PARAMS,
	  "/jobs/1/needs/1", "reference" },
	{ TIMER ",\"key\":\"${a:/x}\"}", AW_PARAMS, "/key", "reference" },

	/* references that nobody answers */
	{ SHOW("${a:/x}") "}", AW_PARAMS, "/argv/1", "no earlier part" },
	{ SHOW("${a:}") ",\"needs\":[]}", AW_PARAMS, "/argv/1", "no earlier part" },
	{ SHOW("-${a:/x}-") "}", AW_PARAMS, "/argv/1", "no earlier part" },
	{ WORKER ",\"env\":{\"A\":\"1\",\"B\":\"${a:/x}\"}}", AW_PARAMS, "/env/B", "\"a\"" },
	{ TIMER ",\"value\":{\"a\":[1,{\"b/c\":\"${a:/x}\"}]}}", AW_PARAMS, "/value/a/1/b~1c",
	  "\"a\"" },
	{ TIMER ",\"timeout\":\"${a:/x}\"}", AW_PARAMS, "/timeout", "\"a\"" },
	{ TIMER ",\"grace\":\"${a:/x}\"}", AW_PARAMS, "/grace", "\"a\"" },
	{ "{\"kind\":\"timer\",\"sleep\":\"${a:/x}\"}", AW_PARAMS, "/sleep", "\"a\"" },
	{ WORKER ",\"success\":\"${a:/x}\"}", AW_PARAMS, "/success", "\"a\"" },
	{ WORKER ",\"success\":[0,\"${a:/x}\"]}", AW_PARAMS, "/success/1", "\"a\"" },
	/* a later one, itself, its own part, a part of an earlier part, a part of a gather */
	{ SEQUENCE SHOW("${b:/x}") "}," TIMER ",\"name\":\"b\"}]}", AW_PARAMS, "/jobs/0/argv/1",
	  "no earlier part" },
	{ SEQUENCE SHOW("${a:/x}") ",\"name\":\"a\"}]}", AW_PARAMS, "/jobs/0/argv/1",
	  "no earlier part" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}],\"timeout\":\"${a:/x}\"}", AW_PARAMS, "/timeout",
	  "no earlier part" },
	{ SEQUENCE GATHER TIMER ",\"name\":\"a\"}]}," SHOW("${a:/x}") "}]}", AW_PARAMS,
	  "/jobs/1/argv/1", "no earlier part" },
	{ GATHER TIMER ",\"name\":\"a\"}," SHOW("${a:/x}") "}]}", AW_PARAMS, "/jobs/1/argv/1",
	  "no earlier part" },
	{ RACE TIMER ",\"name\":\"a\"}," SHOW("${a:/x}") "}]}", AW_PARAMS, "/jobs/1/argv/1",
	  "no earlier part" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"name\":\"a\"}," SHOW("${a:/x}") "}]}",
	  AW_PARAMS, "/jobs/2/argv/1", "not unique" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"name\":\"a\"}," TIMER
			 ",\"name\":\"a\"}," GATHER SHOW("${a:/x}") "}]}]}",
	  AW_PARAMS, "/jobs/3/jobs/0/argv/1", "not unique" },
	/* ids: of needed jobs only, though a part is called so */
	{ SHOW("${7:/x}") "}", AW_PARAMS, "/argv/1", "\"needs\"" },
	{ SHOW("${7:/x}") ",\"needs\":[8]}", AW_PARAMS, "/argv/1", "\"needs\"" },
	{ SHOW("${07:/x}") ",\"needs\":[7]}", AW_PARAMS, "/argv/1", "\"needs\"" },
	{ SHOW("${99999999999999999999:/x}") ",\"needs\":[7]}", AW_PARAMS, "/argv/1", "\"needs\"" },
	{ SEQUENCE TIMER ",\"name\":\"7\"}," SHOW("${7:/x}") "}]}", AW_PARAMS, "/jobs/1/argv/1",
	  "\"needs\"" },
	{ SEQUENCE TIMER ",\"needs\":[7]}," SHOW("${7:/x}") "}]}", AW_PARAMS, "/jobs/1/argv/1",
	  "\"needs\"" },
	/* pointers that are none */
	{ SEQUENCE TIMER ",\"name\":\"a\"}," SHOW("${a:/x~}") "}]}", AW_PARAMS, "/jobs/1/argv/1",
	  "~0" },
	{ SEQUENCE TIMER ",\"name\":\"a\"}," SHOW("${a:/x~2}") "}]}", AW_PARAMS, "/jobs/1/argv/1",
	  "~0" },
};

START_TEST(bad_documents)
{
	expect_refusal(bad[_i].text, 3, bad[_i].code, bad[_i].path, bad[_i].word);
}
END_TEST

/* ---- limits ---- */

/* @n timers in a gather. */
static json_t *wide(int n)
{
	json_t *list = json_array(), *timer = json_of(TIMER "}");

	for (int i = 0; i < n; i++)
		json_array_append(list, timer);
	json_decref(timer);
	return json_pack("{s:s, s:o}", "kind", "gather", "jobs", list);
}

START_TEST(at_most_10000_parts)
{
	for (int n = JOB_PARTS_MAX; n <= JOB_PARTS_MAX + 1; n++) {
		json_t *doc = json_pack("{s:s, s:[o]}", "kind", "race", "jobs", wide(n));
		struct aw_err err = { 0 };
		struct jobdoc d = { 0 };
		int r = jobdoc_check(doc, "", 0, &d, &err);

		if (n == JOB_PARTS_MAX) {
			ck_assert_int_eq(r, 0);
			ck_assert_uint_eq(d.parts[0].n_parts, JOB_PARTS_MAX);
		} else {
			ck_assert_int_lt(r, 0);
			ck_assert_int_eq(err.code, AW_LIMIT);
			ck_assert_str_eq(err.path, "/jobs/0/jobs");
			ck_assert_ptr_nonnull(strstr(err.message, "10000"));
		}
		jobdoc_fini(&d);
		aw_err_fini(&err);
		json_decref(doc);
	}
}
END_TEST

START_TEST(at_most_16_levels)
{
	for (int n = JOB_DEPTH_MAX; n <= JOB_DEPTH_MAX + 1; n++) {
		json_t *doc = deep(n, TIMER "}");
		struct aw_err err = { 0 };
		struct jobdoc d = { 0 };
		int r = jobdoc_check(doc, "", 0, &d, &err);
		struct buf path = { 0 };

		for (int i = 0; i < JOB_DEPTH_MAX; i++)
			buf_adds(&path, "/jobs/0");
		if (n == JOB_DEPTH_MAX) {
			ck_assert_int_eq(r, 0);
		} else {
			ck_assert_int_lt(r, 0);
			ck_assert_int_eq(err.code, AW_LIMIT);
			ck_assert_str_eq(err.path, buf_terminate(&path));
			ck_assert_ptr_nonnull(strstr(err.message, "16"));
		}
		buf_fini(&path);
		jobdoc_fini(&d);
		aw_err_fini(&err);
		json_decref(doc);
	}
}
END_TEST

/* The longest paths there are: whole, or cut where a step ends. */
START_TEST(deep_paths_stay_pointers)
{
	static const char *const prefixes[] = { "", "/jobs/499" };
	json_t *doc = deep(JOB_DEPTH_MAX, WORKER ",\"env\":{\"A_RATHER_LONG_NAME_IT_IS\":1}}");
	json_t *longer = json_of(WORKER "}");
	char name[400] = { 0 };

	for (int i = 0; i < N_OF(prefixes); i++) {
		struct aw_err err = { 0 };
		struct jobdoc d = { 0 };

		ck_assert_int_lt(jobdoc_check(doc, prefixes[i], 0, &d, &err), 0);
		ck_assert_uint_eq(strlen(err.path),
				  strlen(prefixes[i]) + 16 * strlen("/jobs/0") +
					  strlen("/env/A_RATHER_LONG_NAME_IT_IS"));
		aw_err_fini(&err);
	}
	memset(name, 'A', sizeof(name) - 1);
	json_object_set_new(longer, "env", json_pack("{s:i}", name, 1));
	for (int i = 0; i < N_OF(prefixes); i++) {
		struct aw_err err = { 0 };
		struct jobdoc d = { 0 };
		char path[64];

		ck_assert_int_lt(jobdoc_check(longer, prefixes[i], 0, &d, &err), 0);
		snprintf(path, sizeof(path), "%s/env", prefixes[i]);
		ck_assert_str_eq(err.path, path);
		aw_err_fini(&err);
	}
	json_decref(doc);
	json_decref(longer);
}
END_TEST

START_TEST(at_most_1000_needs)
{
	for (int n = JOB_NEEDS_MAX; n <= JOB_NEEDS_MAX + 1; n++) {
		json_t *doc = json_of(TIMER "}"), *needs = json_array();
		struct aw_err err = { 0 };
		struct jobdoc d = { 0 };
		int r;

		for (int i = 0; i < n; i++)
			json_array_append_new(needs, json_integer(n - i));
		json_object_set_new(doc, "needs", needs);
		r = jobdoc_check(doc, "", 0, &d, &err);
		ck_assert_int_eq(r == 0, n == JOB_NEEDS_MAX);
		if (r < 0)
			ck_assert_str_eq(err.path, "/needs");
		jobdoc_fini(&d);
		aw_err_fini(&err);
		json_decref(doc);
	}
}
END_TEST

START_TEST(references_are_counted)
{
	struct buf text = { 0 };
	json_t *doc = json_of(TIMER ",\"needs\":[1]}");
	struct aw_err err = { 0 };
	struct jobdoc d = { 0 };

	for (int i = 0; i < JOB_REFS_MAX; i++)
		buf_adds(&text, "${1:}");
	json_object_set_new(doc, "value", json_string(buf_terminate(&text)));
	ck_assert_int_eq(jobdoc_check(doc, "", 0, &d, &err), 0);
	ck_assert_uint_eq(d.n_refs, 1);
	jobdoc_fini(&d);

	buf_adds(&text, "${1:}");
	json_object_set_new(doc, "value", json_string(buf_terminate(&text)));
	ck_assert_int_lt(jobdoc_check(doc, "", 0, &d, &err), 0);
	ck_assert_int_eq(err.code, AW_LIMIT);
	ck_assert_str_eq(err.path, "/value");
	aw_err_fini(&err);
	json_decref(doc);
	buf_fini(&text);
}
END_TEST

/* "@N" in a request of one document: there is none before it. */
START_TEST(places_in_a_single_document)
{
	static const char *const texts[] = { TIMER ",\"needs\":[\"@0\"]}",
					     TIMER ",\"needs\":[\"@1\"]}" };

	for (int i = 0; i < N_OF(texts); i++) {
		json_t *doc = json_of(texts[i]);
		struct aw_err err = { 0 };
		struct jobdoc d = { 0 };

		ck_assert_int_lt(jobdoc_check(doc, "", 0, &d, &err), 0);
		ck_assert_str_eq(err.path, "/needs/0");
		aw_err_fini(&err);
		json_decref(doc);
	}
}
END_TEST

/* ---- the normal form ---- */

static const struct {
	const char *text, *normal;
} good[] = {
	{ "{\"jobs\":[{\"sleep\":\"1min\",\"kind\":\"timer\"}],\"kind\":\"gather\"}",
	  GATHER "{\"kind\":\"timer\",\"sleep\":60}]}" },
	{ GATHER TIMER "}],\"limit\":2,\"on_failure\":\"continue\",\"name\":\"all\"}",
	  "{\"kind\":\"gather\",\"name\":\"all\",\"on_failure\":\"continue\",\"limit\":2,\"jobs\":["
	  TIMER
	  "}]}" },
	{ SEQUENCE RACE GATHER TIMER "}]}," WORKER ",\"success\":3}]}]}",
	  SEQUENCE RACE GATHER TIMER "}]}," WORKER ",\"success\":[3]}]}]}" },
	{ RACE TIMER ",\"shield\":true}," TIMER
		     ",\"shield\":false}],\"key\":\"k\",\"keep\":\"1d\"}",
	  "{\"kind\":\"race\",\"key\":\"k\",\"keep\":86400,\"jobs\":["
	  "{\"kind\":\"timer\",\"shield\":true,\"sleep\":1},"
	  "{\"kind\":\"timer\",\"shield\":false,\"sleep\":1}]}" },
	{ TIMER ",\"needs\":[]}", "{\"kind\":\"timer\",\"needs\":[],\"sleep\":1}" },
	{ TIMER ",\"needs\":[3,{\"job\":2},{\"on\":\"success\",\"job\":\"@1\"},"
		"{\"on\":\"done\",\"job\":1},{\"job\":\"@2\",\"on\":\"failure\"},\"@0\"]}",
	  "{\"kind\":\"timer\",\"needs\":[3,2,\"@1\",{\"job\":1,\"on\":\"done\"},"
	  "{\"job\":\"@2\",\"on\":\"failure\"},\"@0\"],\"sleep\":1}" },
	{ TIMER ",\"needs\":[9223372036854775807]}",
	  "{\"kind\":\"timer\",\"needs\":[9223372036854775807],\"sleep\":1}" },
	{ TIMER ",\"retry\":{}}", "{\"kind\":\"timer\",\"retry\":{},\"sleep\":1}" },
	{ TIMER
	  ",\"retry\":{\"on\":\"http:503\",\"jitter\":0.0,\"max_delay\":\"1h\",\"factor\":2.0,"
	  "\"delay\":\"500ms\",\"max\":5},\"deadline\":\"2min\",\"keep\":0}",
	  "{\"kind\":\"timer\",\"deadline\":120,\"retry\":{\"max\":5,\"delay\":0.5,\"factor\":2,"
	  "\"max_delay\":3600,\"jitter\":0,\"on\":[\"http:503\"]},\"keep\":0,\"sleep\":1}" },
	{ TIMER
	  ",\"retry\":{\"max\":0,\"factor\":1.5,\"jitter\":1,\"on\":[\"exit\",\"exit:0\","
	  "\"exit:255\",\"http:100\",\"http:599\",\"timeout\",\"part_failed\",\"storage_full\"]}}",
	  "{\"kind\":\"timer\",\"retry\":{\"max\":0,\"factor\":1.5,\"jitter\":1,\"on\":[\"exit\","
	  "\"exit:0\",\"exit:255\",\"http:100\",\"http:599\",\"timeout\",\"part_failed\","
	  "\"storage_full\"]},\"sleep\":1}" },
	/* references: typed values stay as they are, lists of one too */
	{ SEQUENCE TIMER ",\"name\":\"a\"},{\"kind\":\"worker\",\"argv\":\"${a:/argv}\","
			 "\"timeout\":\"${a:/t}\",\"grace\":\"${a:}\",\"success\":\"${a:/s}\","
			 "\"env\":\"${a:/env}\",\"cwd\":\"${a:/d}/sub\",\"stdin\":\"x$${y\"}]}",
	  SEQUENCE "{\"kind\":\"timer\",\"name\":\"a\",\"sleep\":1},{\"kind\":\"worker\","
		   "\"timeout\":\"${a:/t}\",\"grace\":\"${a:}\",\"argv\":\"${a:/argv}\","
		   "\"cwd\":\"${a:/d}/sub\",\"env\":\"${a:/env}\",\"stdin\":\"x$${y\","
		   "\"success\":\"${a:/s}\"}]}" },
	{ SEQUENCE TIMER
	  ",\"name\":\"a\"},{\"kind\":\"fetch\",\"url\":\"${a:/url}\","
	  "\"expect\":[\"204\",\"${a:/e}\"],\"overwrite\":\"${a:/o}\","
	  "\"max_size\":\"${a:/m}\",\"method\":\"p${a:/x}\",\"checksum\":\"sha256:${a:/c}\","
	  "\"headers\":{\"B\":\"${a:/h}\",\"A\":\"\"}}]}",
	  SEQUENCE "{\"kind\":\"timer\",\"name\":\"a\",\"sleep\":1},{\"kind\":\"fetch\","
		   "\"url\":\"${a:/url}\",\"overwrite\":\"${a:/o}\",\"method\":\"p${a:/x}\","
		   "\"headers\":{\"A\":\"\",\"B\":\"${a:/h}\"},\"checksum\":\"sha256:${a:/c}\","
		   "\"max_size\":\"${a:/m}\",\"expect\":[204,\"${a:/e}\"]}]}" },
	/* what only looks like one */
	{ SHOW("${HOME} ${A:-b} ${A:0:3} ${:/x} ${} ${a:/x ${") "}",
	  SHOW("${HOME} ${A:-b} ${A:0:3} ${:/x} ${} ${a:/x ${") "}" },
	{ SHOW("$${a:/x}") ",\"name\":\"$${a\"}",
	  "{\"kind\":\"worker\",\"name\":\"$${a\",\"argv\":[\"echo\",\"$${a:/x}\"]}" },
};

/* Also: normalising again changes nothing, and the store's way back gives the same. */
START_TEST(good_documents)
{
	struct jobdoc d = checked(good[_i].text), again = { 0 }, loaded = { 0 };
	struct aw_err err = { 0 };
	char *text = text_of(d.spec), *text_again, *text_loaded;

	ck_assert_str_eq(text, good[_i].normal);
	ck_assert_msg(jobdoc_check(d.spec, "", 3, &again, &err) == 0, "%s: %s", text, err.message);
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

START_TEST(needs_and_retry_are_read_out)
{
	struct jobdoc d = checked(
		TIMER
		",\"needs\":[7,{\"job\":\"@2\",\"on\":\"failure\"},{\"job\":9,\"on\":\"done\"}],"
		"\"retry\":{\"max\":4,\"delay\":0.5,\"factor\":1.5,\"max_delay\":\"1min\","
		"\"jitter\":0,\"on\":\"io\"},\"deadline\":3,\"keep\":\"0s\"}");

	ck_assert_uint_eq(d.n_needs, 3);
	ck_assert(d.needs[0].job == 7 && d.needs[0].on == NEED_SUCCESS);
	ck_assert(d.needs[1].job == 0 && d.needs[1].place == 2 && d.needs[1].on == NEED_FAILURE);
	ck_assert(d.needs[2].job == 9 && d.needs[2].on == NEED_DONE);
	ck_assert_uint_eq(d.retry.max, 4);
	ck_assert_int_eq(d.retry.delay_us, 500000);
	ck_assert_int_eq(d.retry.max_delay_us, 60000000);
	ck_assert(d.retry.factor == 1.5 && d.retry.jitter == 0);
	ck_assert_uint_eq(json_array_size(d.retry.on), 1);
	ck_assert_int_eq(d.deadline_us, 3000000);
	ck_assert_int_eq(d.keep_us, 0);
	jobdoc_fini(&d);

	d = checked(TIMER "}");
	ck_assert_uint_eq(d.n_needs, 0);
	ck_assert_uint_eq(d.retry.max, 0);
	/* The daemon's settings. */
	ck_assert_int_eq(d.retry.delay_us, -1);
	ck_assert_int_eq(d.retry.max_delay_us, -1);
	ck_assert(d.retry.factor == -1 && d.retry.jitter == -1);
	ck_assert_ptr_null(d.retry.on);
	ck_assert_int_eq(d.deadline_us, 0);
	ck_assert_int_eq(d.keep_us, -1);
	ck_assert(!d.has_refs && d.n_refs == 0 && d.n_parts == 0);
	jobdoc_fini(&d);
}
END_TEST

START_TEST(parts_are_read_out)
{
	struct jobdoc d =
		checked(GATHER TIMER ",\"name\":\"a\"}," RACE WORKER ",\"shield\":true}]}],"
				     "\"limit\":2,\"on_failure\":\"continue\"}");
	char *text;

	ck_assert_int_eq(d.kind, JOB_GATHER);
	ck_assert(d.goes_on);
	ck_assert_uint_eq(d.n_limit, 2);
	ck_assert_ptr_null(d.queue);
	ck_assert_int_eq(d.on_lost, ON_LOST_RETRY);
	ck_assert_uint_eq(d.n_parts, 2);
	ck_assert_str_eq(d.parts[0].name, "a");
	ck_assert(!d.parts[0].is_shielded);
	ck_assert_int_eq(d.parts[1].kind, JOB_RACE);
	ck_assert(!d.parts[1].goes_on && d.parts[1].n_limit == 0);
	ck_assert_uint_eq(d.parts[1].n_parts, 1);
	ck_assert(d.parts[1].parts[0].is_shielded);
	ck_assert_str_eq(d.parts[1].parts[0].queue, "worker");
	/* A value put into a part's spec, as kinds do, is in the whole one too. */
	json_object_set_new(d.parts[1].parts[0].spec, "cwd", json_string("/tmp"));
	text = text_of(d.spec);
	ck_assert_ptr_nonnull(strstr(text, "\"cwd\":\"/tmp\""));
	free(text);
	jobdoc_fini(&d);

	d = checked(GATHER TIMER "}]}");
	ck_assert(!d.goes_on && d.n_limit == 0);
	jobdoc_fini(&d);
}
END_TEST

/* A part is stored as a document of its own, with keys that only parts have. */
START_TEST(parts_are_loaded_alone)
{
	struct jobdoc d = checked(SEQUENCE TIMER ",\"name\":\"a\"}," GATHER SHOW(
		"${a:/x}") ",\"shield\":true}],\"shield\":true,\"timeout\":\"${a:/t}\"}]}");
	struct jobdoc part = { 0 }, leaf = { 0 };
	char *text = text_of(d.parts[1].spec), *leaf_text = text_of(d.parts[1].parts[0].spec);
	struct aw_err err = { 0 };

	ck_assert_msg(jobdoc_load(text, strlen(text), &part, &err) == 0, "%s", err.message);
	ck_assert(part.is_shielded && part.has_refs);
	ck_assert_int_eq(part.timeout_us, 0);
	ck_assert_msg(jobdoc_load(leaf_text, strlen(leaf_text), &leaf, &err) == 0, "%s",
		      err.message);
	ck_assert(leaf.is_shielded && leaf.has_refs && leaf.n_refs == 1);
	free(text);
	free(leaf_text);
	jobdoc_fini(&d);
	jobdoc_fini(&part);
	jobdoc_fini(&leaf);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("jobdoc_tree");

	tcase_add_loop_test(tc, bad_documents, 0, N_OF(bad));
	tcase_add_test(tc, at_most_10000_parts);
	tcase_add_test(tc, at_most_16_levels);
	tcase_add_test(tc, deep_paths_stay_pointers);
	tcase_add_test(tc, at_most_1000_needs);
	tcase_add_test(tc, references_are_counted);
	tcase_add_test(tc, places_in_a_single_document);
	tcase_add_loop_test(tc, good_documents, 0, N_OF(good));
	tcase_add_test(tc, needs_and_retry_are_read_out);
	tcase_add_test(tc, parts_are_read_out);
	tcase_add_test(tc, parts_are_loaded_alone);
	return jobdoc_main("jobdoc_tree", tc);
}
