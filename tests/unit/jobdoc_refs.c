/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/xalloc.h"
#include "tests/unit/jobdoc_fixture.h"

/* Job documents of compositions: references to results, and secrets. */

/* ---- references ---- */

static void expect_ref(const struct jobdoc *d, size_t i, const char *name, const char *path,
		       bool is_local)
{
	ck_assert_uint_gt(d->n_refs, i);
	ck_assert_str_eq(d->refs[i].name, name);
	ck_assert_str_eq(d->refs[i].path, path);
	ck_assert_int_eq(d->refs[i].is_local, is_local);
}

START_TEST(references_are_found)
{
	struct jobdoc d = checked(
		SEQUENCE TIMER
		",\"name\":\"a\"}," TIMER ",\"name\":\"b\"}," GATHER SEQUENCE TIMER
		",\"name\":\"a\"}," SHOW(
			"${a:/x}${b:}${a:}${a:/y}") ",\"env\":{\"E\":\"$${a:}\"},"
			"\"timeout\":\"${b:/t}\"}]}],\"grace\":\"${a:}\"},"
		TIMER
						    ",\"value\":[\"$${\"]}]}");
	const struct jobdoc *gather = &d.parts[2], *leaf = &gather->parts[0].parts[1];

	ck_assert(!d.has_refs && d.n_refs == 0);
	ck_assert(gather->has_refs);
	ck_assert_uint_eq(gather->n_refs, 1);
	expect_ref(gather, 0, "a", "/jobs/2/grace", true);
	ck_assert(leaf->has_refs);
	ck_assert_uint_eq(leaf->n_refs, 4);
	expect_ref(leaf, 0, "b", "/jobs/2/jobs/0/jobs/1/timeout", true);
	expect_ref(leaf, 1, "a", "/jobs/2/jobs/0/jobs/1/argv/1", true);
	expect_ref(leaf, 2, "b", "/jobs/2/jobs/0/jobs/1/argv/1", true);
	expect_ref(leaf, 3, "a", "/jobs/2/jobs/0/jobs/1/argv/1", true);
	/* An escape is undone at the start, too. */
	ck_assert(d.parts[3].has_refs && d.parts[3].n_refs == 0);
	jobdoc_fini(&d);
}
END_TEST

/* A name that is twice among parts does no harm when nobody means it, or a nearer one hides it. */
START_TEST(the_nearest_name_counts)
{
	struct jobdoc d =
		checked(SEQUENCE TIMER ",\"name\":\"a\"}," TIMER ",\"name\":\"a\"}," SEQUENCE TIMER
				       ",\"name\":\"a\"}," SHOW("${a:/x}") "}]}]}");

	expect_ref(&d.parts[2].parts[1], 0, "a", "/jobs/2/jobs/1/argv/1", true);
	jobdoc_fini(&d);
}
END_TEST

/* Needs answer the rest: the job's own or those of what is around it. */
START_TEST(needed_jobs_answer)
{
	struct jobdoc d = checked(
		"{\"kind\":\"sequence\",\"needs\":[7,\"@1\"],\"timeout\":\"${n:/t}\",\"jobs\":["
	  TIMER
		",\"name\":\"a\"}," GATHER SHOW("${7:/x}${8:}${a:}${n:}") ",\"needs\":[8]}]}]}");
	const struct jobdoc *leaf = &d.parts[1].parts[0];
	struct aw_err err = { 0 };
	json_t *doc;

	expect_ref(&d, 0, "n", "/timeout", false);
	ck_assert_uint_eq(leaf->n_refs, 4);
	expect_ref(leaf, 0, "7", "/jobs/1/jobs/0/argv/1", false);
	expect_ref(leaf, 1, "8", "/jobs/1/jobs/0/argv/1", false);
	expect_ref(leaf, 2, "a", "/jobs/1/jobs/0/argv/1", true);
	expect_ref(leaf, 3, "n", "/jobs/1/jobs/0/argv/1", false);
	jobdoc_fini(&d);

	/* The prefix is for errors: refs point into the document. */
	doc = json_of(SHOW("${x:/y}") ",\"needs\":[1]}");
	ck_assert_int_eq(jobdoc_check(doc, "/jobs/5", 0, &d, &err), 0);
	expect_ref(&d, 0, "x", "/argv/1", false);
	jobdoc_fini(&d);
	json_decref(doc);
}
END_TEST

START_TEST(resolved_documents_are_checked_again)
{
	static const struct {
		const char *part, *results, *spec; /* spec NULL: an error at ... */
		const char *path;
	} cases[] = {
		{ SHOW("${a:/x}") ",\"timeout\":\"${a:/t}\",\"success\":\"${a:/s}\"}",
		  "{\"a\":{\"x\":\"y\",\"t\":\"2min\",\"s\":7}}",
		  "{\"kind\":\"worker\",\"timeout\":120,\"argv\":[\"echo\",\"y\"],\"success\":[7]}",
		  NULL },
		/* What a result says, and what an escape was for, is text now. */
		{ SHOW("$${a:/x} ${a:/x}") ",\"timeout\":9}", "{\"a\":{\"x\":\"${b:/y}$${\"}}",
		  "{\"kind\":\"worker\",\"timeout\":9,"
		  "\"argv\":[\"echo\",\"${a:/x} ${b:/y}$${\"]}",
		  NULL },
		{ "{\"kind\":\"worker\",\"argv\":\"${a:/argv}\",\"env\":\"${a:/env}\"}",
		  "{\"a\":{\"argv\":[\"ls\",\"-l\"],\"env\":{\"B\":\"1\",\"A\":\"2\"}}}",
		  "{\"kind\":\"worker\",\"argv\":[\"ls\",\"-l\"],"
		  "\"env\":{\"A\":\"2\",\"B\":\"1\"}}",
		  NULL },
		{ GATHER SHOW("${a:/x} $${") "}],\"limit\":\"${a:/n}\"}", "{\"a\":{\"n\":3}}",
		  "{\"kind\":\"gather\",\"limit\":3,\"jobs\":[" SHOW("${a:/x} $${") "}]}", NULL },
		{ SHOW("x") ",\"limits\":{\"cpu\":\"${a:/cpu}\",\"memory\":\"${a:/n}M\"}}",
		  "{\"a\":{\"cpu\":\"1min\",\"n\":2}}",
		  "{\"kind\":\"worker\",\"argv\":[\"echo\",\"x\"],"
		  "\"limits\":{\"cpu\":60,\"memory\":2097152}}",
		  NULL },
		{ SHOW("x") ",\"limits\":\"${a:}\"}", "{\"a\":{\"files\":64}}",
		  "{\"kind\":\"worker\",\"argv\":[\"echo\",\"x\"],\"limits\":{\"files\":64}}",
		  NULL },
		{ SHOW("x") ",\"limits\":{\"files\":\"${a:/n}\"}}", "{\"a\":{\"n\":0}}", NULL,
		  "/limits/files" },
		{ SHOW("${a:/x}") "}", "{\"a\":{\"x\":5}}", NULL, "/argv/1" },
		{ SHOW("${a:/x}") "}", "{\"a\":{\"x\":[\"b\"]}}", NULL, "/argv/1" },
		{ SHOW("${a:/x}") "}", "{\"a\":{\"y\":[\"b\"]}}", NULL, "/argv/1" },
		{ SHOW("${a:/x}") "}", "{}", NULL, "/argv/1" },
		{ TIMER ",\"timeout\":\"${a:/x}\"}", "{\"a\":{\"x\":-1}}", NULL, "/timeout" },
		{ TIMER ",\"timeout\":\"${a:/x}\"}", "{\"a\":{\"x\":\"${a:/x}\"}}", NULL,
		  "/timeout" },
		{ WORKER ",\"env\":{\"A\":\"${a:/x}\"}}", "{\"a\":{\"x\":null}}", NULL, "/env/A" },
		{ WORKER ",\"success\":[0,\"${a:/x}\"]}", "{\"a\":{\"x\":300}}", NULL,
		  "/success/1" },
		{ "{\"kind\":\"fetch\",\"url\":\"${a:}\"}", "{\"a\":\"ftp://h/\"}", NULL, "/url" },
		{ "{\"kind\":\"fetch\",\"url\":\"http://h/\",\"headers\":{\"X\":\"${a:}\"}}",
		  "{\"a\":\"b\\r\\nY: c\"}", NULL, "/headers/X" },
	};

	for (int i = 0; i < N_OF(cases); i++) {
		cleanup_free char *text =
			xasprintf(SEQUENCE TIMER ",\"name\":\"a\"},%s]}", cases[i].part);
		struct jobdoc d = checked(text), resolved = { 0 };
		json_t *results = json_of(cases[i].results);
		struct jobrefs_source source = { look_up, results };
		cleanup_free char *before = text_of(d.spec), *after = NULL, *spec = NULL;
		struct aw_err err = { 0 };
		int r = jobdoc_resolve(&d.parts[1], &source, &resolved, &err);

		if (cases[i].spec) {
			ck_assert_msg(r == 0, "%s: %s", text, err.message);
			spec = text_of(resolved.spec);
			ck_assert_str_eq(spec, cases[i].spec);
			ck_assert(!resolved.has_refs);
		} else {
			ck_assert_msg(r < 0, "%s", text);
			ck_assert_int_eq(err.code, AW_NEEDS);
			ck_assert_str_eq(err.path, cases[i].path);
			ck_assert_str_eq(json_string_value(json_object_get(err.facts, "pointer")),
					 cases[i].path);
		}
		after = text_of(d.spec);
		ck_assert_str_eq(before, after);
		aw_err_fini(&err);
		jobdoc_fini(&resolved);
		jobdoc_fini(&d);
		json_decref(results);
	}
}
END_TEST

/* ---- secrets ---- */

START_TEST(secrets_of_parts_are_masked)
{
	static const struct {
		const char *text;
		bool has_secrets;
		const char *masked;
	} cases[] = {
		{ GATHER TIMER "}," WORKER "}]}", false, GATHER TIMER "}," WORKER "}]}" },
		{ SEQUENCE TIMER "}," RACE WORKER ",\"env\":{\"T\":\"secret\"}},"
				 "{\"kind\":\"fetch\",\"url\":\"http://u:secret@h/\","
				 "\"headers\":{\"A\":\"secret\"},\"body\":\"secret\"}]}]}",
		  true,
		  SEQUENCE TIMER "}," RACE WORKER ",\"env\":{\"T\":\"***\"}},"
				 "{\"kind\":\"fetch\",\"url\":\"http://***@h/\","
				 "\"headers\":{\"A\":\"***\"},\"body\":\"***\"}]}]}" },
		/* A URL that is not there yet: what stands before a "@" may be anything. */
		{ "{\"kind\":\"fetch\",\"needs\":[1],\"url\":\"http://u:secret${1:/p}@h/\"}", true,
		  "{\"kind\":\"fetch\",\"needs\":[1],\"url\":\"***\"}" },
		{ "{\"kind\":\"fetch\",\"needs\":[1],\"url\":\"${1:/url}\"}", false,
		  "{\"kind\":\"fetch\",\"needs\":[1],\"url\":\"${1:/url}\"}" },
		{ WORKER ",\"needs\":[1],\"env\":\"${1:/env}\"}", true,
		  "{\"kind\":\"worker\",\"needs\":[1],\"argv\":[\"ls\"],\"env\":\"***\"}" },
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

/* A row of a damaged store may hold anything; what is not understood is not shown. */
START_TEST(masking_survives_anything)
{
	static const char *const texts[] = {
		"{\"jobs\":5}",
		"{\"jobs\":{\"env\":\"x\"}}",
		"{\"jobs\":[5,null,[],\"secret\"]}",
		"{\"jobs\":[{\"kind\":\"none\",\"env\":{\"A\":\"secret\"},\"body\":\"secret\"}]}",
		"{\"jobs\":[{\"kind\":5,\"jobs\":[{\"stdin\":\"secret\"}]}]}",
	};
	json_t *spec = deep(40, WORKER ",\"stdin\":\"secret\"}");

	for (int i = -1; i < N_OF(texts); i++) {
		if (i >= 0)
			spec = json_of(texts[i]);
		for (int kind = 0; kind < N_JOB_KINDS; kind++) {
			json_t *masked = jobdoc_masked((enum job_kind)kind, spec);
			char *text = text_of(masked);

			ck_assert_msg(strstr(text, "secret") == NULL, "%s", text);
			/* No tree that was taken is so deep: what is below is not looked at. */
			ck_assert(i >= 0 || strstr(text, "worker") == NULL);
			free(text);
			json_decref(masked);
		}
		json_decref(spec);
	}
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("jobdoc_refs");

	tcase_add_test(tc, references_are_found);
	tcase_add_test(tc, the_nearest_name_counts);
	tcase_add_test(tc, needed_jobs_answer);
	tcase_add_test(tc, resolved_documents_are_checked_again);
	tcase_add_test(tc, secrets_of_parts_are_masked);
	tcase_add_test(tc, masking_survives_anything);
	return jobdoc_main("jobdoc_refs", tc);
}
