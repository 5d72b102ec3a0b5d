/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/message.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "tests/unit/suite.h"

/* ---- requests ---- */

#define ID128                                                              \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *text;
	enum aw_code code;
	const char *id; /* as JSON, NULL = no id was read */
} requests[] = {
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":1}", AW_OK, "1" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":-7,\"params\":{}}", AW_OK, "-7" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"x\"}", AW_OK, "\"x\"" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"\"}", AW_OK, "\"\"" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":null}", AW_OK, "null" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", AW_OK, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"\",\"id\":1}", AW_OK, "1" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"" ID128 "\"}", AW_OK, "\"" ID128 "\"" },

	{ "5", AW_REQUEST, NULL },
	{ "null", AW_REQUEST, NULL },
	{ "\"x\"", AW_REQUEST, NULL },
	{ "[]", AW_REQUEST, NULL },
	{ "{}", AW_REQUEST, NULL },
	{ "{\"id\":5}", AW_REQUEST, "5" },
	{ "{\"method\":\"m\",\"id\":5}", AW_REQUEST, "5" },
	{ "{\"jsonrpc\":\"1.0\",\"method\":\"m\",\"id\":5}", AW_REQUEST, "5" },
	{ "{\"jsonrpc\":2.0,\"method\":\"m\",\"id\":5}", AW_REQUEST, "5" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5}", AW_REQUEST, "5" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":7}", AW_REQUEST, "5" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":null}", AW_REQUEST, "5" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"m\"}", AW_REQUEST, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1.0,\"method\":\"m\"}", AW_REQUEST, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"m\"}", AW_REQUEST, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"m\"}", AW_REQUEST, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"m\"}", AW_REQUEST, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"" ID128 "a\"}", AW_REQUEST, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"m\",\"uid\":0}", AW_REQUEST, "5" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}", AW_REQUEST, "5" },

	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"m\",\"params\":[]}", AW_PARAMS, "5" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"m\",\"params\":null}", AW_PARAMS, "5" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"m\",\"params\":\"x\"}", AW_PARAMS, "5" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"m\",\"params\":7}", AW_PARAMS, "5" },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":[]}", AW_PARAMS, NULL },
};

START_TEST(requests_are_taken_apart)
{
	json_t *value = json_loads(requests[_i].text, JSON_DECODE_ANY, NULL);
	struct aw_err err = { 0 };
	struct message m;
	struct buf b = { 0 };
	int r = message_parse(value, &m, &err);

	ck_assert_int_eq(r == 0, requests[_i].code == AW_OK);
	ck_assert_msg(err.code == requests[_i].code, "%s: %s", requests[_i].text, err.message);
	if (requests[_i].id) {
		ck_assert_msg(m.id != NULL, "%s", requests[_i].text);
		buf_add_json(&b, m.id);
		ck_assert_str_eq(buf_terminate(&b), requests[_i].id);
	} else {
		ck_assert_ptr_null(m.id);
	}
	if (r == 0)
		ck_assert_ptr_nonnull(m.method);
	buf_fini(&b);
	aw_err_fini(&err);
	json_decref(value);
}
END_TEST

START_TEST(unknown_member_is_named)
{
	json_t *value = json_loads("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"param\":{}}", 0, NULL);
	struct aw_err err = { 0 };
	struct message m;

	ck_assert_int_lt(message_parse(value, &m, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "\"param\""));
	aw_err_fini(&err);
	json_decref(value);
}
END_TEST

START_TEST(what_we_send_is_a_request)
{
	json_t *params = json_loads("{\"id\":5}", 0, NULL), *value;
	struct buf b = { 0 };
	struct aw_err err = { 0 };
	struct message m;

	message_add_request(&b, 0, "job.get", params);
	ck_assert_str_eq(buf_terminate(&b), "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"job.get\","
					    "\"params\":{\"id\":5}}");
	value = json_loads(b.data, 0, NULL);
	ck_assert_int_eq(message_parse(value, &m, &err), 0);
	ck_assert_str_eq(m.method, "job.get");
	json_decref(value);
	b.len = 0;
	message_add_request(&b, -1, "a\"b", NULL);
	ck_assert_str_eq(buf_terminate(&b), "{\"jsonrpc\":\"2.0\",\"method\":\"a\\\"b\"}");
	json_decref(params);
	buf_fini(&b);
}
END_TEST

/* ---- replies ---- */

START_TEST(results)
{
	json_t *id = json_string("a\"b");
	struct buf b = { 0 };

	message_begin_result(&b, id);
	buf_adds(&b, "{}}");
	ck_assert_str_eq(buf_terminate(&b),
			 "{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"b\",\"result\":{}}");
	json_decref(id);
	buf_fini(&b);
}
END_TEST

/* Every code: its number, its word, and only wrong params name a place. */
START_TEST(errors)
{
	for (int code = AW_OK; code < N_AW_CODES; code++) {
		struct aw_err err = { 0 };
		struct buf b = { 0 };
		enum aw_code shown = code == AW_OK ? AW_INTERNAL : (enum aw_code)code;
		json_t *reply, *data;
		json_int_t number;

		aw_fail(&err, (enum aw_code)code, "what \"%s\"", "went wrong");
		message_add_error(&b, NULL, &err);
		reply = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
		ck_assert_ptr_nonnull(reply);
		ck_assert(json_is_null(json_object_get(reply, "id")));
		number = json_integer_value(
			json_object_get(json_object_get(reply, "error"), "code"));
		ck_assert_int_eq(number, aw_code_rpc(shown) ? aw_code_rpc(shown) : -32603);
		data = json_object_get(json_object_get(reply, "error"), "data");
		ck_assert_str_eq(json_string_value(json_object_get(data, "code")),
				 aw_code_word(shown));
		ck_assert_int_eq(json_object_get(data, "path") != NULL, code == AW_PARAMS);
		ck_assert_int_eq(json_object_get(data, "message") != NULL, code == AW_PARAMS);
		json_decref(reply);
		buf_fini(&b);
		aw_err_fini(&err);
	}
}
END_TEST

START_TEST(error_with_place_and_facts)
{
	struct aw_err err = { 0 };
	struct buf b = { 0 };
	json_t *id = json_integer(9);

	aw_fail_at(&err, AW_PARAMS, "/sleep", "\"sleep\" is missing");
	message_add_error(&b, id, &err);
	ck_assert_str_eq(buf_terminate(&b),
			 "{\"jsonrpc\":\"2.0\",\"id\":9,\"error\":{\"code\":-32602,"
			 "\"message\":\"\\\"sleep\\\" is missing\",\"data\":{\"code\":\"params\","
			 "\"path\":\"/sleep\",\"message\":\"\\\"sleep\\\" is missing\"}}}");
	b.len = 0;
	aw_fail(&err, AW_WRONG_STATE, "job 5 has ended");
	aw_err_fact(&err, "outcome", json_string("succeeded"));
	aw_err_fact(&err, "code", json_string("forged"));
	message_add_error(&b, id, &err);
	ck_assert_str_eq(buf_terminate(&b),
			 "{\"jsonrpc\":\"2.0\",\"id\":9,\"error\":{\"code\":-32002,"
			 "\"message\":\"job 5 has ended\",\"data\":{\"code\":\"wrong_state\","
			 "\"outcome\":\"succeeded\"}}}");
	aw_err_fini(&err);
	json_decref(id);
	buf_fini(&b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("message");
	TCase *in = tcase_create("requests"), *out = tcase_create("replies");

	tcase_add_loop_test(in, requests_are_taken_apart, 0,
			    (int)(sizeof(requests) / sizeof(*requests)));
	tcase_add_test(in, unknown_member_is_named);
	tcase_add_test(in, what_we_send_is_a_request);
	suite_add_tcase(suite, in);
	tcase_add_test(out, results);
	tcase_add_test(out, errors);
	tcase_add_test(out, error_with_place_and_facts);
	suite_add_tcase(suite, out);
	return suite_run(suite);
}
