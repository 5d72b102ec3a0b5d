/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/names.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/err.h"
#include "tests/unit/suite.h"

/* ---- words ---- */

#define CHECK_TABLE(type, n, name, parse)                                  \
	do {                                                               \
		for (int v = 0; v < (int)(n); v++)                         \
			if (name((type)v))                                 \
				ck_assert_int_eq(parse(name((type)v)), v); \
		ck_assert_ptr_null(name((type)(n)));                       \
		ck_assert_ptr_null(name((type)-1));                        \
		ck_assert_int_eq(parse(NULL), -1);                         \
		ck_assert_int_eq(parse(""), -1);                           \
		ck_assert_int_eq(parse("DONE"), -1);                       \
	} while (0)

START_TEST(words_go_both_ways)
{
	CHECK_TABLE(enum job_kind, N_JOB_KINDS, job_kind_name, job_kind_parse);
	CHECK_TABLE(enum job_state, N_JOB_STATES, job_state_name, job_state_parse);
	CHECK_TABLE(enum job_outcome, N_JOB_OUTCOMES, job_outcome_name, job_outcome_parse);
	CHECK_TABLE(enum job_on_lost, N_ON_LOST, job_on_lost_name, job_on_lost_parse);
	CHECK_TABLE(enum need_on, N_NEED_ON, need_on_name, need_on_parse);
}
END_TEST

/* The words are a contract: other people's programs compare them. */
START_TEST(words_are_the_interface)
{
	ck_assert_str_eq(job_kind_name(JOB_TIMER), "timer");
	ck_assert_str_eq(job_kind_name(JOB_FETCH), "fetch");
	ck_assert_str_eq(job_kind_name(JOB_WORKER), "worker");
	ck_assert_str_eq(job_kind_name(JOB_GATHER), "gather");
	ck_assert_str_eq(job_kind_name(JOB_SEQUENCE), "sequence");
	ck_assert_str_eq(job_kind_name(JOB_RACE), "race");
	ck_assert_str_eq(job_state_name(JOB_WAITING), "waiting");
	ck_assert_str_eq(job_state_name(JOB_RUNNING), "running");
	ck_assert_str_eq(job_state_name(JOB_STOPPING), "stopping");
	ck_assert_str_eq(job_state_name(JOB_DONE), "done");
	ck_assert_ptr_null(job_outcome_name(JOB_UNENDED));
	ck_assert_str_eq(job_outcome_name(JOB_SUCCEEDED), "succeeded");
	ck_assert_str_eq(job_outcome_name(JOB_FAILED), "failed");
	ck_assert_str_eq(job_outcome_name(JOB_TIMED_OUT), "timed_out");
	ck_assert_str_eq(job_outcome_name(JOB_CANCELLED), "cancelled");
	ck_assert_str_eq(job_outcome_name(JOB_SKIPPED), "skipped");
	ck_assert_str_eq(job_outcome_name(JOB_LOST), "lost");
	ck_assert_ptr_null(job_reason_name(JOB_NO_REASON));
	ck_assert_str_eq(job_reason_name(JOB_WAITS_TIME), "time");
	ck_assert_str_eq(job_reason_name(JOB_WAITS_NEEDS), "needs");
	ck_assert_str_eq(job_reason_name(JOB_WAITS_SLOT), "slot");
	ck_assert_str_eq(job_reason_name(JOB_WAITS_BACKOFF), "backoff");
	ck_assert_str_eq(job_reason_name(JOB_WAITS_HELD), "held");
	ck_assert_str_eq(job_reason_name(JOB_WAITS_PAUSED), "paused");
	ck_assert_str_eq(job_on_lost_name(ON_LOST_FAIL), "fail");
	ck_assert_str_eq(job_on_lost_name(ON_LOST_RETRY), "retry");
}
END_TEST

/* ---- errors ---- */

START_TEST(codes_are_the_interface)
{
	static const struct {
		enum aw_code code;
		const char *word;
		int rpc;
	} cases[] = {
		{ AW_PARSE, "parse", -32700 },
		{ AW_REQUEST, "request", -32600 },
		{ AW_METHOD, "method", -32601 },
		{ AW_PARAMS, "params", -32602 },
		{ AW_INTERNAL, "internal", -32603 },
		{ AW_NOT_FOUND, "not_found", -32001 },
		{ AW_WRONG_STATE, "wrong_state", -32002 },
		{ AW_DENIED, "denied", -32003 },
		{ AW_CONFLICT, "conflict", -32004 },
		{ AW_LIMIT, "limit", -32005 },
		{ AW_STORAGE_FULL, "storage_full", -32006 },
		{ AW_SHUTTING_DOWN, "shutting_down", -32007 },
		{ AW_UNSUPPORTED, "unsupported", -32008 },
		{ AW_EXIT, "exit", 0 },
		{ AW_SIGNAL, "signal", 0 },
		{ AW_SPAWN, "spawn", 0 },
		{ AW_HTTP, "http", 0 },
		{ AW_NETWORK, "network", 0 },
		{ AW_TLS, "tls", 0 },
		{ AW_CHECKSUM, "checksum", 0 },
		{ AW_TOO_LARGE, "too_large", 0 },
		{ AW_IO, "io", 0 },
		{ AW_TIMEOUT, "timeout", 0 },
		{ AW_DEADLINE, "deadline", 0 },
		{ AW_LOST, "lost", 0 },
		{ AW_CRASH_LOOP, "crash_loop", 0 },
		{ AW_DAMAGED, "damaged", 0 },
		{ AW_PART_FAILED, "part_failed", 0 },
		{ AW_NEEDS, "needs", 0 },
		{ AW_CANCELLED, "cancelled", 0 },
	};

	ck_assert_uint_eq(sizeof(cases) / sizeof(*cases), N_AW_CODES - 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_str_eq(aw_code_word(cases[i].code), cases[i].word);
		ck_assert_int_eq(aw_code_rpc(cases[i].code), cases[i].rpc);
	}
	ck_assert_str_eq(aw_code_word((enum aw_code)9999), "internal");
}
END_TEST

START_TEST(a_later_failure_replaces_the_first)
{
	struct aw_err err = { 0 };

	ck_assert_int_eq(aw_fail_at(&err, AW_PARAMS, "/a", "first %d", 1), -EINVAL);
	aw_err_fact(&err, "exit", json_integer(3));
	/* The message may be made of the one before. */
	ck_assert_int_eq(aw_fail(&err, AW_IO, "again: %s", err.message), -EINVAL);
	ck_assert_int_eq(err.code, AW_IO);
	ck_assert_str_eq(err.path, "");
	ck_assert_str_eq(err.message, "again: first 1");
	ck_assert_ptr_null(err.facts);
	aw_err_fini(&err);
}
END_TEST

START_TEST(job_error_has_facts_but_keeps_its_code)
{
	struct aw_err err = { 0 };
	json_t *error;
	char *text;

	aw_fail(&err, AW_EXIT, "exited with status 3");
	aw_err_fact(&err, "exit", json_integer(3));
	aw_err_fact(&err, "code", json_string("forged"));
	aw_err_fact(&err, "name", json_string("\xff"));
	error = aw_err_job_json(&err);
	text = json_dumps(error, JSON_COMPACT);
	ck_assert_str_eq(text, "{\"code\":\"exit\",\"message\":\"exited with status 3\","
			       "\"exit\":3,\"name\":null}");
	free(text);
	json_decref(error);
	aw_err_fini(&err);
}
END_TEST

/* Bytes of file names and libraries end up in messages: JSON must come out of any of them. */
START_TEST(messages_are_always_utf8)
{
	static const char *const bad[] = {
		"\xff",
		"\xc3",
		"\xc0\x80",
		"\xe0\x80\x80",
		"\xed\xa0\x80",
		"\xf5\x80\x80\x80",
		"\xf4\x90\x80\x80",
		"\x80",
		"\xe2\x82",
		"\xf0\x80\x80\x80",
		"ok\xfe\xffok",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct aw_err err = { 0 };
		json_t *error;

		aw_fail_at(&err, AW_IO, bad[i], "name %s", bad[i]);
		ck_assert_ptr_nonnull(strchr(err.message, '?'));
		ck_assert_ptr_nonnull(strchr(err.path, '?'));
		error = aw_err_job_json(&err);
		ck_assert_ptr_nonnull(json_object_get(error, "message"));
		json_decref(error);
		aw_err_fini(&err);
	}
}
END_TEST

START_TEST(good_utf8_stays)
{
	static const char text[] =
		"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf \xf4\x8f\xbf\xbf";
	struct aw_err err = { 0 };

	aw_fail(&err, AW_IO, "%s", text);
	ck_assert_str_eq(err.message, text);
	aw_err_fini(&err);
}
END_TEST

START_TEST(a_cut_message_is_utf8_still)
{
	struct aw_err err = { 0 };
	char text[2048] = "";
	json_t *error;

	for (size_t i = 0; i + 3 < sizeof(text); i += 3)
		memcpy(text + i, "\xe2\x82\xac", 4);
	aw_fail(&err, AW_IO, "%s", text);
	ck_assert_uint_eq(strlen(err.message), sizeof(err.message) - 1);
	error = aw_err_job_json(&err);
	ck_assert_ptr_nonnull(json_object_get(error, "message"));
	json_decref(error);
	aw_err_fini(&err);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("names");
	TCase *words = tcase_create("words"), *errors = tcase_create("errors");

	tcase_add_test(words, words_go_both_ways);
	tcase_add_test(words, words_are_the_interface);
	suite_add_tcase(suite, words);
	tcase_add_test(errors, codes_are_the_interface);
	tcase_add_test(errors, a_later_failure_replaces_the_first);
	tcase_add_test(errors, job_error_has_facts_but_keeps_its_code);
	tcase_add_test(errors, messages_are_always_utf8);
	tcase_add_test(errors, good_utf8_stays);
	tcase_add_test(errors, a_cut_message_is_utf8_still);
	suite_add_tcase(suite, errors);
	return suite_run(suite);
}
