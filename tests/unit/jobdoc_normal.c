/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/jobdoc_fixture.h"

#include "proto/jobdefaults.h"
#include "proto/jobkeys.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/* Job documents: their normal form, and what is read out of it. */

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
	{ WORKER ",\"limits\":{}}", "{\"kind\":\"worker\",\"argv\":[\"ls\"],\"limits\":{}}" },
	{ WORKER ",\"limits\":{\"output\":0,\"files\":1048576,\"memory\":\"2G\",\"cpu\":\"1min\"}}",
	  "{\"kind\":\"worker\",\"argv\":[\"ls\"],\"limits\":{\"cpu\":60,\"memory\":2147483648,"
	  "\"files\":1048576,\"output\":0}}" },
	{ WORKER ",\"limits\":{\"output\":\"10M\",\"files\":1,\"memory\":1,\"cpu\":\"250ms\"}}",
	  "{\"kind\":\"worker\",\"argv\":[\"ls\"],\"limits\":{\"cpu\":0.25,\"memory\":1,"
	  "\"files\":1,\"output\":10485760}}" },
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
		ck_assert_int_eq(d.grace_us, -1);
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

static const struct {
	const char *text, *left;
} defaults_said[] = {
	{ TIMER ",\"value\":null,\"delay\":\"0s\",\"tags\":[],\"needs\":[],\"priority\":0}",
	  TIMER "}" },
	{ TIMER ",\"retry\":{\"max\":0}}", TIMER "}" },
	{ TIMER ",\"value\":false,\"priority\":1,\"retry\":{\"max\":0,\"delay\":1}}",
	  "{\"kind\":\"timer\",\"priority\":1,\"retry\":{\"delay\":1},\"sleep\":1,"
	  "\"value\":false}" },
	{ FETCH ",\"method\":\"get\",\"on_lost\":\"retry\",\"queue\":\"fetch\",\"overwrite\":false,"
		"\"insecure\":false,\"headers\":{},\"expect\":\"200-299\"}",
	  FETCH "}" },
	{ FETCH ",\"resume\":true}", FETCH "}" },
	{ FETCH ",\"method\":\"post\",\"body\":\"\",\"on_lost\":\"fail\"}",
	  FETCH ",\"body\":\"\"}" },
	/* With another method the other word is the default. */
	{ FETCH ",\"method\":\"PUT\",\"on_lost\":\"fail\"}", FETCH ",\"method\":\"PUT\"}" },
	{ FETCH ",\"method\":\"PUT\",\"on_lost\":\"retry\"}",
	  "{\"kind\":\"fetch\",\"on_lost\":\"retry\",\"url\":\"http://h/\",\"method\":\"PUT\"}" },
	{ FETCH ",\"queue\":\"worker\",\"redirects\":10,\"expect\":[\"200-299\",304]}",
	  "{\"kind\":\"fetch\",\"queue\":\"worker\",\"url\":\"http://h/\","
	  "\"expect\":[\"200-299\",304],\"redirects\":10}" },
	{ WORKER
	  ",\"queue\":\"worker\",\"on_lost\":\"fail\",\"success\":0,\"env\":{},\"limits\":{}}",
	  WORKER "}" },
	{ WORKER ",\"success\":[0,1],\"stdin\":\"\",\"grace\":5,\"umask\":\"0022\"}",
	  "{\"kind\":\"worker\",\"grace\":5,\"argv\":[\"ls\"],\"stdin\":\"\",\"umask\":\"0022\","
	  "\"success\":[0,1]}" },
	{ GATHER TIMER ",\"shield\":false}," WORKER ",\"priority\":0}],\"on_failure\":\"cancel\"}",
	  GATHER TIMER "}," WORKER "}]}" },
	{ GATHER TIMER ",\"shield\":true}],\"on_failure\":\"continue\"}",
	  "{\"kind\":\"gather\",\"on_failure\":\"continue\",\"jobs\":["
	  "{\"kind\":\"timer\",\"shield\":true,\"sleep\":1}]}" },
	/* What a method will be is not known yet. */
	{ SEQUENCE "{\"kind\":\"timer\",\"name\":\"a\",\"sleep\":1}," FETCH
		   ",\"on_lost\":\"fail\",\"method\":\"${a:}\"}]}",
	  SEQUENCE "{\"kind\":\"timer\",\"name\":\"a\",\"sleep\":1},{\"kind\":\"fetch\","
		   "\"on_lost\":\"fail\",\"url\":\"http://h/\",\"method\":\"${a:}\"}]}" },
};

START_TEST(what_holds_anyway_is_left_out)
{
	struct jobdoc d = checked(defaults_said[_i].text);
	json_t *left = jobdefaults_leave_out(d.kind, d.spec);
	cleanup_free char *text = text_of(left);
	struct jobdoc again = checked(text);
	cleanup_free char *normal = text_of(again.spec);

	ck_assert(d.may_say_defaults);
	ck_assert_str_eq(text, defaults_said[_i].left);
	ck_assert_str_eq(normal, text);
	json_decref(left);
	jobdoc_fini(&d);
	jobdoc_fini(&again);
}
END_TEST

/* A default in the table is what the key's normal form would be. */
START_TEST(defaults_are_in_normal_form)
{
	static const char *const starts[N_JOB_KINDS] = {
		[JOB_TIMER] = TIMER,
		[JOB_FETCH] = FETCH,
		[JOB_WORKER] = WORKER,
		[JOB_GATHER] = "{\"kind\":\"gather\",\"jobs\":[" TIMER "}]",
		[JOB_SEQUENCE] = "{\"kind\":\"sequence\",\"jobs\":[" TIMER "}]",
		[JOB_RACE] = "{\"kind\":\"race\",\"jobs\":[" TIMER "}]",
	};

	for (size_t k = 0; k < n_jobkeys; k++)
		for (unsigned kind = 0; kind < N_JOB_KINDS; kind++) {
			cleanup_free char *text = NULL, *normal = NULL;
			struct jobdoc d;
			json_t *left;

			if (!jobkeys[k].otherwise || jobkeys[k].flags & JK_PART ||
			    !(jobkeys[k].kinds & JK_KINDS(kind)))
				continue;
			text = xasprintf("%s,\"%s\":%s}", starts[kind], jobkeys[k].name,
					 jobkeys[k].otherwise);
			d = checked(text);
			normal = text_of(d.spec);
			ck_assert_ptr_nonnull(strstr(normal, jobkeys[k].otherwise));
			left = jobdefaults_leave_out(d.kind, d.spec);
			ck_assert_ptr_null(json_object_get(left, jobkeys[k].name));
			json_decref(left);
			jobdoc_fini(&d);
		}
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("jobdoc_normal");

	tcase_add_loop_test(tc, good_documents, 0, N_OF(good));
	tcase_add_test(tc, common_keys_are_read_out);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, equal_wishes_are_equal_bytes);
	tcase_add_loop_test(tc, what_holds_anyway_is_left_out, 0, N_OF(defaults_said));
	tcase_add_test(tc, defaults_are_in_normal_form);
	tcase_add_test(tc, secrets_are_masked);
	tcase_add_test(tc, masking_survives_anything);
	tcase_add_test(tc, loading_damage_is_an_error);
	tcase_add_test(tc, typed_readers);
	tcase_add_test(tc, table_is_sound);
	tcase_add_test(tc, every_key_meets_every_value);
	return jobdoc_main("jobdoc_normal", tc);
}
