/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/opts.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/jobargs.h"
#include "client/runstatus.h"
#include "tests/unit/suite.h"

struct values {
	bool is_any, is_all;
	const char *file;
	json_t *words;
	int64_t limit, timeout_us;
};

static const struct opt table[] = {
	{ .name = "any",
	  .letter = 'a',
	  .type = OPT_FLAG,
	  .offset = offsetof(struct values, is_any) },
	{ .name = "all",
	  .letter = 'A',
	  .type = OPT_FLAG,
	  .offset = offsetof(struct values, is_all) },
	{ .name = "file",
	  .letter = 'f',
	  .type = OPT_TEXT,
	  .metavar = "FILE",
	  .offset = offsetof(struct values, file) },
	{ .name = "word",
	  .type = OPT_WORDS,
	  .metavar = "WORD",
	  .offset = offsetof(struct values, words) },
	{ .name = "limit",
	  .letter = 'n',
	  .type = OPT_COUNT,
	  .metavar = "N",
	  .offset = offsetof(struct values, limit) },
	{ .name = "timeout",
	  .type = OPT_DURATION,
	  .metavar = "DURATION",
	  .offset = offsetof(struct values, timeout_us) },
	{ .name = "help", .letter = 'h', .type = OPT_HELP },
	{ 0 },
};

/* Splits @line at blanks (a quoted empty word is "@"); returns what opts_parse() does. */
static int parse(const char *line, bool stops_early, struct opts *o, struct values *v, char **argv,
		 struct aw_err *err)
{
	static char copy[512];
	char *rest = copy;
	char *word;
	int argc = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	while ((word = strsep(&rest, " ")) != NULL)
		argv[argc++] = strcmp(word, "@") == 0 ? word + 1 : word;
	*o = (struct opts){ .sets = { { table, v } }, .stops_early = stops_early };
	*v = (struct values){ .limit = -1, .timeout_us = -1 };
	return opts_parse(o, argc, argv, err);
}

START_TEST(options_and_arguments_mix)
{
	struct opts o;
	struct values v;
	struct aw_err err = { 0 };
	char *argv[32];

	ck_assert_int_eq(parse("1 --any 2 -f x --limit=7 3 --timeout 1h -- --any", false, &o, &v,
			       argv, &err),
			 0);
	ck_assert(v.is_any && !v.is_all);
	ck_assert_str_eq(v.file, "x");
	ck_assert_int_eq(v.limit, 7);
	ck_assert_int_eq(v.timeout_us, INT64_C(3600000000));
	ck_assert_int_eq(o.n_args, 4);
	ck_assert_str_eq(argv[0], "1");
	ck_assert_str_eq(argv[2], "3");
	ck_assert_str_eq(argv[3], "--any");
}
END_TEST

START_TEST(stops_at_the_command)
{
	struct opts o;
	struct values v;
	struct aw_err err = { 0 };
	char *argv[32];

	ck_assert_int_eq(parse("--any ls --all -- x", true, &o, &v, argv, &err), 0);
	ck_assert(v.is_any && !v.is_all);
	ck_assert_int_eq(o.n_args, 4);
	ck_assert_str_eq(argv[0], "ls");
	ck_assert_str_eq(argv[2], "--");
}
END_TEST

START_TEST(letters_bundle_and_take_values)
{
	static const char *const lines[] = { "-aAfx", "-a -A -f x", "-aA --file x",
					     "-aA --file=x" };

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct opts o;
		struct values v;
		struct aw_err err = { 0 };
		char *argv[32];

		ck_assert_int_eq(parse(lines[i], false, &o, &v, argv, &err), 0);
		ck_assert(v.is_any && v.is_all);
		ck_assert_str_eq(v.file, "x");
		ck_assert_int_eq(o.n_args, 0);
	}
}
END_TEST

START_TEST(words_gather)
{
	struct opts o;
	struct values v;
	struct aw_err err = { 0 };
	char *argv[32];

	ck_assert_int_eq(parse("--word a,b --word c", false, &o, &v, argv, &err), 0);
	ck_assert_int_eq(json_array_size(v.words), 3);
	ck_assert_str_eq(json_string_value(json_array_get(v.words, 2)), "c");
	json_decref(v.words);
}
END_TEST

START_TEST(help_ends_reading)
{
	struct opts o;
	struct values v;
	struct aw_err err = { 0 };
	char *argv[32];

	ck_assert_int_eq(parse("-h --bogus", false, &o, &v, argv, &err), 0);
	ck_assert_int_eq(o.wish, OPTS_HELP);
}
END_TEST

START_TEST(wrong_lines_are_named)
{
	static const struct {
		const char *line, *named;
	} cases[] = {
		{ "--bogus", "--bogus" },
		{ "--an", "--an" },
		{ "--any=1", "--any" },
		{ "-x", "-x" },
		{ "--file", "--file" },
		{ "-n", "-n" },
		{ "--limit x", "--limit" },
		{ "--limit -1", "-1" },
		{ "--limit 1x", "1x" },
		{ "--limit @", "--limit" },
		{ "--timeout x", "\"x\"" },
		{ "--word a,,b", "--word" },
		{ "--limit 99999999999999999999", "--limit" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct opts o;
		struct values v;
		struct aw_err err = { 0 };
		char *argv[32];

		ck_assert_msg(parse(cases[i].line, false, &o, &v, argv, &err) < 0, "%s",
			      cases[i].line);
		ck_assert_int_eq(err.code, AW_PARAMS);
		ck_assert_msg(strstr(err.message, cases[i].named) != NULL, "%s: %s", cases[i].line,
			      err.message);
		json_decref(v.words);
		aw_err_fini(&err);
	}
}
END_TEST

/* ---- keys of documents ---- */

/* What text gives for a key, as JSON; "!" for an error. */
static char *key_json(enum job_kind kind, const char *name, const char *text)
{
	json_t *doc = json_object();
	struct aw_err err = { 0 };
	char *s;

	if (opts_set_key(doc, jobkey_find(kind, name), text, &err) < 0)
		s = strdup("!");
	else
		s = json_dumps(json_object_get(doc, name),
			       JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
	aw_err_fini(&err);
	json_decref(doc);
	return s;
}

START_TEST(keys_have_their_type)
{
	static const struct {
		enum job_kind kind;
		const char *name, *text, *json;
	} cases[] = {
		{ JOB_TIMER, "name", "x", "\"x\"" },
		{ JOB_TIMER, "name", "\xff", "!" },
		{ JOB_TIMER, "tags", "a,b", "[\"a\",\"b\"]" },
		{ JOB_TIMER, "priority", "-5", "-5" },
		{ JOB_TIMER, "priority", "5.5", "!" },
		{ JOB_TIMER, "priority", "1001", "!" },
		{ JOB_TIMER, "sleep", "1h 30min", "\"1h 30min\"" },
		{ JOB_TIMER, "sleep", "soon", "!" },
		{ JOB_TIMER, "at", "2031-05-06T07:08:09+02:00", "\"2031-05-06T07:08:09+02:00\"" },
		{ JOB_TIMER, "at", "2031-05-06T07:08:09", "!" },
		{ JOB_TIMER, "value", "{\"a\":[1,null]}", "{\"a\":[1,null]}" },
		{ JOB_TIMER, "value", "word", "!" },
		{ JOB_TIMER, "value", "{\"a\":1,\"a\":2}", "!" },
		{ JOB_FETCH, "max_size", "10M", "\"10M\"" },
		{ JOB_FETCH, "max_size", "big", "!" },
		{ JOB_FETCH, "expect", "200-299,304", "[\"200-299\",304]" },
		{ JOB_FETCH, "on_lost", "retry", "\"retry\"" },
		{ JOB_FETCH, "on_lost", "never", "!" },
		{ JOB_FETCH, "headers", "X-A: b=c", "{\"X-A\":\"b=c\"}" },
		{ JOB_FETCH, "headers", "X-A=b:c", "{\"X-A\":\"b:c\"}" },
		{ JOB_FETCH, "headers", "X-A", "!" },
		{ JOB_FETCH, "headers", "=b", "!" },
		{ JOB_WORKER, "env", "A=x=y z", "{\"A\":\"x=y z\"}" },
		{ JOB_WORKER, "env", "A=", "{\"A\":\"\"}" },
		{ JOB_WORKER, "env", "AWAITD_TEST_COPIED", "{\"AWAITD_TEST_COPIED\":\"v\"}" },
		{ JOB_WORKER, "env", "AWAITD_TEST_UNSET", "!" },
		{ JOB_WORKER, "success", "0,3", "[0,3]" },
		{ JOB_WORKER, "success", "0,x", "!" },
		{ JOB_WORKER, "argv", "a,b", "[\"a,b\"]" },
	};

	setenv("AWAITD_TEST_COPIED", "v", 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *got = key_json(cases[i].kind, cases[i].name, cases[i].text);

		ck_assert_msg(strcmp(got, cases[i].json) == 0, "%s=%s: %s", cases[i].name,
			      cases[i].text, got);
		free(got);
	}
}
END_TEST

static void free_options(struct opt *opts)
{
	for (struct opt *opt = opts; opt->name != NULL; opt++)
		free((char *)opt->name);
	free(opts);
}

static bool has_option(const struct opt *opts, const char *name)
{
	for (; opts->name != NULL; opts++) {
		if (strcmp(opts->name, name) == 0)
			return true;
	}
	return false;
}

/* Every key of the table that is built has its option, and later ones say so. */
START_TEST(every_key_has_an_option)
{
	static const enum job_kind kinds[] = { JOB_TIMER, JOB_FETCH, JOB_WORKER };

	for (size_t k = 0; k < 3; k++) {
		struct opt *common = opts_of_kind(kinds[k], true);
		struct opt *own = opts_of_kind(kinds[k], false);

		for (size_t i = 0; i < n_jobkeys; i++) {
			char name[64];
			bool is_here = (jobkeys[i].kinds & JK_KINDS(kinds[k])) &&
				       jobkeys[i].type != JK_STRINGS &&
				       jobkeys[i].type != JK_OBJECT &&
				       !(jobkeys[i].flags & JK_PART) &&
				       strcmp(jobkeys[i].name, "kind") != 0;

			snprintf(name, sizeof(name), "%s", jobkeys[i].name);
			for (char *p = name; *p != '\0'; p++)
				*p = *p == '_' ? '-' : *p;
			ck_assert_msg((has_option(common, name) || has_option(own, name)) ==
					      is_here,
				      "%s of %s", name, job_kind_name(kinds[k]));
		}
		ck_assert(has_option(own, "no-overwrite") == (kinds[k] == JOB_FETCH));
		ck_assert(has_option(common, "retry-max") && has_option(common, "retry-max-delay"));
		ck_assert(!has_option(common, "retry"));
		free_options(common);
		free_options(own);
	}
}
END_TEST

START_TEST(what_is_on_can_be_put_off)
{
	static const char *const names[] = { "--resume", "--no-resume" };
	struct opt *own = opts_of_kind(JOB_FETCH, false);

	for (int i = 0; i < 2; i++) {
		char *argv[] = { (char *)names[i] };
		json_t *doc = json_object();
		struct opts o = { .sets = { { own, doc } } };
		struct aw_err err = { 0 };

		ck_assert_int_eq(opts_parse(&o, 1, argv, &err), 0);
		ck_assert_ptr_eq(json_object_get(doc, "resume"), i ? json_false() : json_true());
		json_decref(doc);
		aw_err_fini(&err);
	}
	free_options(own);
}
END_TEST

/* Of a key that one kind has as well; a reference can stand for any of them. */
START_TEST(options_of_the_limits)
{
	struct opt *own = opts_of_kind(JOB_WORKER, false);
	char *argv[] = { (char *)"--limits-cpu",    (char *)"1min",
			 (char *)"--limits-memory", (char *)"2G",
			 (char *)"--limits-files",  (char *)"${7:/n}",
			 (char *)"--limits-output", (char *)"0" };
	char *wrong[] = { (char *)"--limits-files=0" };
	json_t *doc = json_object();
	struct opts o = { .sets = { { own, doc } } };
	struct aw_err err = { 0 };
	char *text;

	ck_assert_msg(opts_parse(&o, (int)(sizeof(argv) / sizeof(*argv)), argv, &err) == 0, "%s",
		      err.message);
	text = json_dumps(doc, JSON_COMPACT);
	ck_assert_str_eq(text, "{\"limits\":{\"cpu\":\"1min\",\"memory\":\"2G\","
			       "\"files\":\"${7:/n}\",\"output\":\"0\"}}");
	free(text);
	ck_assert_int_lt(opts_parse(&o, 1, wrong, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "--limits-files"));
	aw_err_fini(&err);
	ck_assert(!has_option(own, "limits"));
	json_decref(doc);
	free_options(own);
}
END_TEST

/* Members of a key that is an object are options of their own; lists grow with each option. */
START_TEST(options_of_an_object_key)
{
	struct opt *common = opts_of_kind(JOB_TIMER, true);
	char *argv[] = { (char *)"--retry-max=3",
			 (char *)"--retry-delay",
			 (char *)"2s",
			 (char *)"--retry-factor",
			 (char *)"1.5",
			 (char *)"--retry-on",
			 (char *)"network,exit:75",
			 (char *)"--retry-on",
			 (char *)"http:503",
			 (char *)"--retry-jitter",
			 (char *)"0",
			 (char *)"--needs",
			 (char *)"7",
			 (char *)"--needs=8:done",
			 (char *)"--timeout",
			 (char *)"${7:/t}" };
	json_t *doc = json_object();
	struct opts o = { .sets = { { common, doc } } };
	struct aw_err err = { 0 };
	char *text;

	ck_assert_msg(opts_parse(&o, (int)(sizeof(argv) / sizeof(*argv)), argv, &err) == 0, "%s",
		      err.message);
	text = json_dumps(doc, JSON_COMPACT);
	ck_assert_str_eq(text, "{\"retry\":{\"max\":3,\"delay\":\"2s\",\"factor\":1.5,"
			       "\"on\":[\"network\",\"exit:75\",\"http:503\"],\"jitter\":0},"
			       "\"needs\":[7,{\"job\":8,\"on\":\"done\"}],"
			       "\"timeout\":\"${7:/t}\"}");
	free(text);
	json_decref(doc);
	free_options(common);
}
END_TEST

START_TEST(bad_values_of_an_object_key)
{
	static const char *const texts[] = {
		"--retry-max=-1",     "--retry-max=x",	   "--retry-factor=0.5", "--retry-factor=x",
		"--retry-jitter=2",   "--retry-jitter=[]", "--retry-delay=soon", "--needs=0",
		"--needs=7:whenever", "--needs=7:",	   "--needs=a",		 "--retry=3",
	};
	struct opt *common = opts_of_kind(JOB_TIMER, true);

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char *argv[] = { (char *)texts[i] };
		json_t *doc = json_object();
		struct opts o = { .sets = { { common, doc } } };
		struct aw_err err = { 0 };

		ck_assert_msg(opts_parse(&o, 1, argv, &err) < 0, "%s", texts[i]);
		ck_assert_int_eq(err.code, AW_PARAMS);
		json_decref(doc);
		aw_err_fini(&err);
	}
	free_options(common);
}
END_TEST

/* ---- help ---- */

START_TEST(help_keeps_within_80_columns)
{
	struct opt *own = opts_of_kind(JOB_FETCH, false);
	struct buf b = { 0 };
	char *rest, *line;

	opts_help(&b, own);
	opts_wrap(&b,
		  "a text of many words that is longer than one line of a terminal of the "
		  "usual width, which has eighty columns\n\n  and an indented one",
		  0);
	rest = buf_terminate(&b);
	ck_assert(strstr(rest, "--[no-]overwrite") != NULL);
	ck_assert(strstr(rest, "\n  and an indented") != NULL);
	while ((line = strsep(&rest, "\n")) != NULL)
		ck_assert_msg(strlen(line) <= 80, "%s", line);
	buf_fini(&b);
	free_options(own);
}
END_TEST

/* ---- the document's small print ---- */

START_TEST(paths_from_here)
{
	char here[4096];
	static const struct {
		const char *path, *suffix;
	} cases[] = { { "x/y", "/x/y" },
		      { "./x", "/x" },
		      { ".//./x", "/x" },
		      { ".hidden", "/.hidden" },
		      { "..hidden", "/..hidden" },
		      { "x/../y", "/x/../y" },
		      { ".", "" } };

	ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *got = path_from_here(cases[i].path);

		ck_assert_msg(strncmp(got, here, strlen(here)) == 0, "%s", got);
		ck_assert_str_eq(got + strlen(here), cases[i].suffix);
		free(got);
	}
	ck_assert_int_eq(chdir("/usr/lib"), 0);
	char *up = path_from_here("../share/x");
	char *top = path_from_here("../../../x");
	char *root = path_from_here("../..");

	ck_assert_str_eq(up, "/usr/share/x");
	ck_assert_str_eq(top, "/x");
	ck_assert_str_eq(root, "/");
	free(up);
	free(top);
	free(root);
}
END_TEST

/* R2.6: later keys sort behind earlier ones, and no two are the same. */
START_TEST(keys_rise)
{
	char before[JOB_KEY_BYTES], key[JOB_KEY_BYTES];

	job_key_make(before);
	for (int i = 0; i < 1000; i++) {
		job_key_make(key);
		ck_assert_int_lt(strcmp(before, key), 0);
		memcpy(before, key, sizeof(key));
	}
}
END_TEST

START_TEST(ids_are_positive_integers)
{
	static const char *const bad[] = { "0",	 "-1",	"x",
					   "1x", " 1",	"+1",
					   "",	 "1.0", "9223372036854775808" };
	struct aw_err err = { 0 };
	int64_t id = 0;

	ck_assert_int_eq(opts_id("42", &id, &err), 0);
	ck_assert_int_eq(id, 42);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(opts_id(bad[i], &id, &err) < 0, "%s", bad[i]);
	aw_err_fini(&err);
}
END_TEST

START_TEST(an_id_counts_once)
{
	char *argv[] = { (char[]){ "7" }, (char[]){ "12" }, (char[]){ "007" }, (char[]){ "12" },
			 (char[]){ "3" } };
	struct aw_err err = { 0 };
	json_t *ids = opts_ids(5, argv, &err), *expected = json_pack("[i, i, i]", 7, 12, 3);

	ck_assert(json_equal(ids, expected));
	json_decref(ids);
	json_decref(expected);
	argv[3][0] = 'x';
	ck_assert_ptr_null(opts_ids(5, argv, &err));
	aw_err_fini(&err);
}
END_TEST

/* Interface, section 5: what "run worker" exits with. */
START_TEST(status_of_run_worker)
{
	static const struct {
		const char *job;
		int status;
	} cases[] = {
		{ "{'outcome':'succeeded','result':{'exit':0},'error':null}", 0 },
		{ "{'outcome':'succeeded','result':{'exit':3},'error':null}", 3 },
		{ "{'outcome':'failed','result':{'exit':7},'error':{'code':'exit','exit':7}}", 7 },
		{ "{'outcome':'failed','error':{'code':'signal','signal':'SIGKILL'}}", 137 },
		{ "{'outcome':'failed','error':{'code':'signal','signal':'SEGV'}}", 139 },
		{ "{'outcome':'failed','error':{'code':'signal','signal':'SIGRTMIN+6'}}",
		  128 + 34 + 6 },
		{ "{'outcome':'failed','result':{'signal':15},'error':{'code':'signal'}}", 143 },
		{ "{'outcome':'timed_out','error':{'code':'timeout'}}", 124 },
		{ "{'outcome':'cancelled','error':{'code':'cancelled'}}", 130 },
		{ "{'outcome':'failed','error':{'code':'spawn','errno':'ENOENT'}}", 127 },
		{ "{'outcome':'failed','error':{'code':'spawn','stage':'exec','errno':'EACCES'}}",
		  126 },
		{ "{'outcome':'failed','error':{'code':'spawn','stage':'chdir','errno':'ENOENT'}}",
		  126 },
		{ "{'outcome':'lost','error':{'code':'lost'}}", 125 },
		{ "{'outcome':'failed','error':{'code':'damaged'}}", 125 },
		{ "{'outcome':'failed','error':{'code':'signal','signal':'SIGNONE'}}", 125 },
		{ "{'outcome':null}", 125 },
		{ "{}", 125 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[256];
		json_t *job;

		snprintf(text, sizeof(text), "%s", cases[i].job);
		for (char *p = text; *p != '\0'; p++)
			*p = *p == '\'' ? '"' : *p;
		job = json_loads(text, 0, NULL);
		ck_assert_msg(runstatus_of_worker(job) == cases[i].status, "%s: %d", text,
			      runstatus_of_worker(job));
		json_decref(job);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("opts");
	TCase *parsing = tcase_create("parsing");
	TCase *keys = tcase_create("keys");
	TCase *rest = tcase_create("rest");

	tcase_add_test(parsing, options_and_arguments_mix);
	tcase_add_test(parsing, stops_at_the_command);
	tcase_add_test(parsing, letters_bundle_and_take_values);
	tcase_add_test(parsing, words_gather);
	tcase_add_test(parsing, help_ends_reading);
	tcase_add_test(parsing, wrong_lines_are_named);
	tcase_add_test(keys, keys_have_their_type);
	tcase_add_test(keys, every_key_has_an_option);
	tcase_add_test(keys, what_is_on_can_be_put_off);
	tcase_add_test(keys, options_of_the_limits);
	tcase_add_test(keys, options_of_an_object_key);
	tcase_add_test(keys, bad_values_of_an_object_key);
	tcase_add_test(keys, help_keeps_within_80_columns);
	tcase_add_test(rest, paths_from_here);
	tcase_add_test(rest, keys_rise);
	tcase_add_test(rest, ids_are_positive_integers);
	tcase_add_test(rest, an_id_counts_once);
	tcase_add_test(rest, status_of_run_worker);
	suite_add_tcase(suite, parsing);
	suite_add_tcase(suite, keys);
	suite_add_tcase(suite, rest);
	return suite_run(suite);
}
