/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/rpc_fixture.h"

/* ---- bad input: every line gets its error, and the connection goes on ---- */

#define CALL(id, method, params) \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}"
#define TYPES(params) CALL("1", "test.types", params)

static const struct {
	const char *line, *id;
	int number;
	const char *path;
} bad[] = {
	/* not JSON (R4.6) */
	{ "", "null", -32700, NULL },
	{ " ", "null", -32700, NULL },
	{ "x", "null", -32700, NULL },
	{ "{", "null", -32700, NULL },
	{ "}", "null", -32700, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.open\"", "null", -32700, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.open\"}}", "null", -32700, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"test.open\"}", "null", -32700,
	  NULL },
	{ CALL("1", "test.open", "{\"a\":1,\"a\":2}"), "null", -32700, NULL },
	{ CALL("1", "test.open", "{\"a\":\"\xff\"}"), "null", -32700, NULL },
	{ CALL("1", "test.open", "{\"a\":\"\xc0\xaf\"}"), "null", -32700, NULL },
	{ CALL("1", "test.open", "{\"a\":\"\\u0000\"}"), "null", -32700, NULL },
	{ CALL("1", "test.open", "{\"a\":\"\\ud800\"}"), "null", -32700, NULL },
	{ CALL("1", "test.open", "{\"a\":01}"), "null", -32700, NULL },
	{ CALL("1", "test.open", "{\"a\":NaN}"), "null", -32700, NULL },
	{ CALL("1", "test.open", "{\"a\":99999999999999999999}"), "null", -32700, NULL },
	{ CALL("1", "test.open", "{'a':1}"), "null", -32700, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.open\"} {}", "null", -32700, NULL },
	{ "\xef\xbb\xbf{}", "null", -32700, NULL },
	/* no request */
	{ "1", "null", -32600, NULL },
	{ "null", "null", -32600, NULL },
	{ "\"x\"", "null", -32600, NULL },
	{ "{}", "null", -32600, NULL },
	{ "[]", "null", -32600, NULL },
	{ "{\"id\":1,\"method\":\"test.open\"}", "1", -32600, NULL },
	{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"test.open\"}", "1", -32600, NULL },
	{ "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"test.open\"}", "1", -32600, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1}", "1", -32600, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", "1", -32600, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"test.open\"}", "null", -32600, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"test.open\"}", "null", -32600, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"test.open\"}", "null", -32600, NULL },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.open\",\"extra\":1}", "1", -32600,
	  NULL },
	/* no such method */
	{ CALL("1", "test.nothing", "{}"), "1", -32601, NULL },
	{ CALL("\"x\"", "", "{}"), "\"x\"", -32601, NULL },
	{ CALL("null", "TEST.OPEN", "{}"), "null", -32601, NULL },
	{ CALL("1", "test.open ", "{}"), "1", -32601, NULL },
	{ CALL("1", "test.planned", "{}"), "1", -32008, NULL },
	/* wrong params */
	{ CALL("1", "test.open", "[]"), "1", -32602, "" },
	{ CALL("1", "test.open", "1"), "1", -32602, "" },
	{ CALL("1", "test.open", "null"), "1", -32602, "" },
	{ CALL("1", "test.mark", "{}"), "1", -32602, "/text" },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.mark\"}", "1", -32602, "/text" },
	{ CALL("1", "test.mark", "{\"text\":null}"), "1", -32602, "/text" },
	{ CALL("1", "test.mark", "{\"text\":\"a\",\"b\":1}"), "1", -32602, "/b" },
	{ CALL("1", "test.fail", "{\"b\":1}"), "1", -32602, "/b" },
	{ TYPES("{\"a/b~c\":1}"), "1", -32602, "/a~1b~0c" },
	{ TYPES("{\"\":1}"), "1", -32602, "/" },
	{ TYPES("{\"object\":[]}"), "1", -32602, "/object" },
	{ TYPES("{\"array\":{}}"), "1", -32602, "/array" },
	{ TYPES("{\"string\":1}"), "1", -32602, "/string" },
	{ TYPES("{\"string\":null}"), "1", -32602, "/string" },
	{ TYPES("{\"integer\":1.0}"), "1", -32602, "/integer" },
	{ TYPES("{\"integer\":\"1\"}"), "1", -32602, "/integer" },
	{ TYPES("{\"small\":0}"), "1", -32602, "/small" },
	{ TYPES("{\"small\":10}"), "1", -32602, "/small" },
	{ TYPES("{\"bool\":0}"), "1", -32602, "/bool" },
	{ TYPES("{\"duration\":true}"), "1", -32602, "/duration" },
	{ TYPES("{\"duration\":-1}"), "1", -32602, "/duration" },
	{ TYPES("{\"duration\":\"soon\"}"), "1", -32602, "/duration" },
	{ TYPES("{\"duration\":1e300}"), "1", -32602, "/duration" },
	{ TYPES("{\"ids\":1}"), "1", -32602, "/ids" },
	{ TYPES("{\"ids\":[]}"), "1", -32602, "/ids" },
	{ TYPES("{\"ids\":[1,0]}"), "1", -32602, "/ids/1" },
	{ TYPES("{\"ids\":[-1]}"), "1", -32602, "/ids/0" },
	{ TYPES("{\"ids\":[1,2,\"3\"]}"), "1", -32602, "/ids/2" },
	{ TYPES("{\"words\":1}"), "1", -32602, "/words" },
	{ TYPES("{\"words\":[]}"), "1", -32602, "/words" },
	{ TYPES("{\"words\":[\"a\",null]}"), "1", -32602, "/words/1" },
	/* the method's own */
	{ CALL("7", "test.fail", "{}"), "7", -32002, NULL },
};

START_TEST(bad_input)
{
	struct peer p;

	peer_open(&p);
	peer_send(&p, bad[_i].line);
	peer_send(&p, "\n");
	peer_expect_error(&p, bad[_i].id, bad[_i].number, bad[_i].path);
	peer_send(&p, CALL("99", "test.open", "{\"a\":1}") "\n");
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{\"a\":1}}");
	peer_expect_nothing(&p);
	ck_assert(!p.is_eof);
	peer_close(&p);
}
END_TEST

START_TEST(depth_and_number_of_values_are_bounded)
{
	char line[PROTO_DEPTH_MAX * 8 + 256] = CALL("1", "test.open", "{\"a\":");
	struct peer p;

	/* An array in each other: the limit counts the request and its params too. */
	line[strlen(line) - 1] = '\0';
	memset(line + strlen(line), '[', PROTO_DEPTH_MAX);
	memset(line + strlen(line), ']', PROTO_DEPTH_MAX);
	memcpy(line + strlen(line), "}}\n", 4);
	peer_open(&p);
	peer_send(&p, line);
	peer_expect_error(&p, "null", -32700, NULL);
	ck_assert(!p.is_eof);
	peer_close(&p);
}
END_TEST

START_TEST(long_names_are_cut_in_errors)
{
	static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc3\xa4";
	char line[100000];
	struct peer p;

	peer_open(&p);
	memset(line, 'm', sizeof(line));
	memcpy(line, head, sizeof(head) - 1);
	memcpy(line + sizeof(line) - 4, "\"}\n", 4);
	peer_send(&p, line);
	peer_expect_error(&p, "1", -32601, NULL);
	/* Characters of two bytes: no limit may cut one in two. */
	for (size_t i = 0; i < 2; i++) {
		struct buf b = { 0 };

		buf_adds(&b,
			 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.types\",\"params\":{\"");
		buf_adds(&b, i ? "x" : "");
		for (int k = 0; k < 500; k++)
			buf_adds(&b, "\xc3\xa4");
		buf_adds(&b, "\":1}}\n");
		peer_send_all(&p, b.data, b.len);
		peer_expect_error(&p, "1", -32602, NULL);
		buf_fini(&b);
	}
	peer_close(&p);
}
END_TEST

/* ---- good input ---- */

START_TEST(types_that_fit)
{
	static const char *const good[] = {
		"{}",
		"{\"object\":{\"a\":[]},\"array\":[1],\"string\":\"\",\"nullable\":null}",
		"{\"integer\":-9223372036854775808,\"small\":9,\"bool\":false}",
		"{\"duration\":0}",
		"{\"duration\":1.5}",
		"{\"duration\":\"1h 30min\"}",
		"{\"ids\":[1,1,2]}",
		"{\"words\":\"a\"}",
		"{\"words\":[\"a\",\"b\"]}",
		"{\"any\":null}",
	};
	struct peer p;

	peer_open(&p);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct buf b = { 0 };

		buf_addf(
			&b,
			"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"test.types\","
			"\"params\":%s}\n",
			good[i]);
		peer_send_all(&p, b.data, b.len);
		b.len = 0;
		buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":%s}", good[i]);
		peer_expect(&p, buf_terminate(&b));
		buf_fini(&b);
	}
	peer_close(&p);
}
END_TEST

START_TEST(ids_without_duplicates)
{
	json_t *params = json_pack("{s:[i,i,i,i,i]}", "ids", 5, 3, 5, 1, 3);
	size_t n;
	int64_t *ids = rpc_ids(params, "ids", &n);

	ck_assert_uint_eq(n, 3);
	ck_assert_int_eq(ids[0], 5);
	ck_assert_int_eq(ids[1], 3);
	ck_assert_int_eq(ids[2], 1);
	free(ids);
	json_decref(params);
}
END_TEST

START_TEST(facts_stand_in_the_error)
{
	struct peer p;

	peer_open(&p);
	peer_send(&p, CALL("1", "test.fail", "{}") "\n");
	peer_expect(&p,
		    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32002,\"message\":\"no\","
		    "\"data\":{\"code\":\"wrong_state\",\"outcome\":\"lost\"}}}");
	peer_close(&p);
}
END_TEST

/* ---- notifications, batches, order ---- */

START_TEST(notifications_are_not_answered)
{
	struct peer p;

	peer_open(&p);
	peer_send(&p, "{\"jsonrpc\":\"2.0\",\"method\":\"test.mark\",\"params\":{\"text\":\"a\"}}\n"
		      "{\"jsonrpc\":\"2.0\",\"method\":\"test.nothing\"}\n"
		      "{\"jsonrpc\":\"2.0\",\"method\":\"test.mark\"}\n"
		      "{\"jsonrpc\":\"2.0\",\"method\":\"test.mark\",\"params\":[]}\n"
		      "{\"jsonrpc\":\"2.0\",\"method\":\"test.later\"}\n"
		      "{\"jsonrpc\":\"2.0\",\"method\":\"test.fail\"}\n");
	ck_assert_uint_eq(n_pending, 1);
	rpc_finish(pending[0], json_true());
	peer_expect_nothing(&p);
	ck_assert_str_eq(buf_terminate(&order), "a");
	peer_close(&p);
}
END_TEST

START_TEST(a_batch_is_one_answer)
{
	struct peer p;
	json_t *all;

	peer_open(&p);
	peer_send(
		&p,
		"[" CALL("1", "test.later", "{}") "," CALL(
			"2", "test.open",
			"{}") ",7,"
			      "{\"jsonrpc\":\"2.0\",\"method\":\"test.mark\","
			      "\"params\":{\"text\":\"n\"}},[]," CALL(
				      "3", "test.fail", "{}") "]\n");
	peer_expect_nothing(&p);
	/* Another request overtakes it, not into its middle. */
	peer_send(&p, CALL("4", "test.open", "{}") "\n");
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{}}");
	rpc_finish(pending[0], json_integer(5));
	all = peer_take(&p);
	ck_assert_uint_eq(json_array_size(all), 5);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(all, 0), "id")), 2);
	ck_assert_ptr_nonnull(json_object_get(json_array_get(all, 1), "error"));
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(all, 4), "result")), 5);
	json_decref(all);
	ck_assert_str_eq(buf_terminate(&order), "n");
	/* Only notifications: no answer at all. */
	peer_send(&p, "[{\"jsonrpc\":\"2.0\",\"method\":\"test.fail\"}]\n");
	peer_expect_nothing(&p);
	peer_close(&p);
}
END_TEST

static void add_batch(struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%s" CALL("%zu", "test.open", "{}"), i ? "," : "[", i);
	buf_adds(b, "]\n");
}

START_TEST(a_batch_is_bounded)
{
	struct buf b = { 0 };
	struct peer p;
	json_t *all;

	peer_open(&p);
	add_batch(&b, PROTO_BATCH_MAX);
	peer_send_all(&p, b.data, b.len);
	all = peer_take(&p);
	ck_assert_uint_eq(json_array_size(all), PROTO_BATCH_MAX);
	json_decref(all);
	b.len = 0;
	add_batch(&b, PROTO_BATCH_MAX + 1);
	peer_send_all(&p, b.data, b.len);
	peer_expect_error(&p, "null", -32005, NULL);
	buf_fini(&b);
	peer_close(&p);
}
END_TEST

START_TEST(the_answers_of_a_batch_are_bounded)
{
	struct buf b = { 0 };
	struct peer p;
	json_t *all;
	size_t n_refused = 0;

	peer_open(&p);
	for (size_t i = 0; i < 4; i++)
		buf_addf(&b, "%s" CALL("%zu", "test.big", "{\"bytes\":4000000}"), i ? "," : "[", i);
	buf_adds(&b, "]\n");
	peer_send_all(&p, b.data, b.len);
	all = peer_take(&p);
	ck_assert_uint_eq(json_array_size(all), 4);
	for (size_t i = 0; i < 4; i++)
		n_refused += json_object_get(json_array_get(all, i), "error") != NULL;
	ck_assert_uint_eq(n_refused, 1);
	json_decref(all);
	buf_fini(&b);
	peer_close(&p);
}
END_TEST

START_TEST(requests_take_effect_in_order)
{
	struct buf b = { 0 };
	struct peer p;

	peer_open(&p);
	for (int i = 0; i < 200; i++)
		buf_addf(&b, CALL("%d", "test.mark", "{\"text\":\"%c\"}") "\n", i, 'a' + i % 26);
	peer_send_all(&p, b.data, b.len);
	ck_assert_uint_eq(order.len, 200);
	for (int i = 0; i < 200; i++) {
		json_t *reply = peer_take(&p);

		ck_assert_int_eq(order.data[i], 'a' + i % 26);
		ck_assert_int_eq(json_integer_value(json_object_get(reply, "id")), i);
		json_decref(reply);
	}
	buf_fini(&b);
	peer_close(&p);
}
END_TEST

START_TEST(a_barrier_holds_what_follows)
{
	struct peer p, other;

	peer_open(&p);
	peer_open(&other);
	peer_send(&p, CALL("1", "test.barrier", "{}") "\n" CALL("2", "test.open", "{}") "\n");
	peer_expect_nothing(&p);
	/* Only of this connection. */
	peer_send(&other, CALL("1", "test.open", "{}") "\n");
	peer_expect(&other, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	rpc_finish(pending[0], json_true());
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}");
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	peer_close(&p);
	peer_close(&other);
}
END_TEST

START_TEST(what_looks_waits_for_changes_before_it)
{
	struct peer p, other;

	peer_open(&p);
	peer_open(&other);
	peer_send(&p, CALL("1", "test.change", "{}") "\n[" CALL("2", "test.change", "{}") "]\n");
	/* Changes do not wait for each other; what looks waits, and what is behind it. */
	ck_assert_uint_eq(n_pending, 2);
	peer_send(&p, "[" CALL("3", "test.look", "{\"a\":1}") "," CALL(
			      "4", "test.change", "{}") "]\n" CALL("5", "test.open", "{}") "\n");
	ck_assert_uint_eq(n_pending, 2);
	/* Only those of this connection. */
	peer_send(&other, CALL("1", "test.look", "{}") "\n");
	peer_expect(&other, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	rpc_finish(pending[1], json_true());
	peer_expect(&p, "[{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":true}]");
	peer_expect_nothing(&p);
	rpc_finish(pending[0], json_true());
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}");
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}");
	ck_assert_uint_eq(n_pending, 3);
	rpc_finish(pending[2], json_true());
	peer_expect(&p, "[{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"a\":1}},"
			"{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":true}]");
	peer_close(&p);
	peer_close(&other);
}
END_TEST

START_TEST(what_waits_to_look_goes_with_its_peer)
{
	struct dispatch_stats stats;
	struct peer p;

	peer_open(&p);
	peer_send(&p, CALL("1", "test.change", "{}") "\n[" CALL("2", "test.look", "{}") "," CALL(
			      "3", "test.look", "{}") "]\n");
	ck_assert_uint_eq(n_pending, 1);
	conn_doom(p.conn);
	run_until_idle();
	ck_assert_uint_eq(n_gone, 1);
	dispatch_stats(&stats);
	ck_assert_uint_eq(stats.n_calls, 0);
	peer_close(&p);
}
END_TEST

/* ---- permission ---- */

START_TEST(only_root_and_self)
{
	struct peer p;

	peer_open_as(&p, geteuid() + 1);
	peer_send(&p, CALL("1", "test.root", "{}") "\n");
	peer_expect_error(&p, "1", -32003, NULL);
	peer_close(&p);
	peer_open(&p);
	peer_send(&p, CALL("1", "test.root", "{}") "\n");
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
	peer_close(&p);
}
END_TEST

START_TEST(while_stopping)
{
	struct peer p;

	is_stopping = true;
	peer_open(&p);
	peer_send(&p, CALL("1", "test.submit", "{}") "\n" CALL("2", "test.open", "{}") "\n");
	peer_expect_error(&p, "1", -32007, NULL);
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	peer_close(&p);
}
END_TEST

/* ---- ends ---- */

START_TEST(calls_are_told_once_when_the_peer_goes)
{
	struct dispatch_stats stats;
	struct peer p;

	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}") "\n[" CALL("2", "test.later", "{}") "," CALL(
			      "3", "test.later", "{}") "]\n");
	ck_assert_uint_eq(n_pending, 3);
	peer_close(&p);
	ck_assert_uint_eq(n_gone, 3);
	dispatch_stats(&stats);
	ck_assert_uint_eq(stats.n_calls, 0);
}
END_TEST

START_TEST(calls_may_end_after_the_peer)
{
	struct dispatch_stats stats;
	struct aw_err err = { 0 };
	struct peer p;

	finishes_when_gone = false;
	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}") "\n" CALL("2", "test.barrier", "{}") "\n");
	peer_close(&p);
	ck_assert_uint_eq(n_gone, 2);
	rpc_notify_text(pending[0], "test", "{}", 2);
	rpc_finish(pending[0], json_true());
	aw_fail(&err, AW_INTERNAL, "late");
	rpc_finish_fail(pending[1], &err);
	dispatch_stats(&stats);
	ck_assert_uint_eq(stats.n_calls, 0);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, bad_input, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tc, depth_and_number_of_values_are_bounded);
	tcase_add_test(tc, long_names_are_cut_in_errors);
	tcase_add_test(tc, types_that_fit);
	tcase_add_test(tc, ids_without_duplicates);
	tcase_add_test(tc, facts_stand_in_the_error);
	tcase_add_test(tc, notifications_are_not_answered);
	tcase_add_test(tc, a_batch_is_one_answer);
	tcase_add_test(tc, a_batch_is_bounded);
	tcase_add_test(tc, the_answers_of_a_batch_are_bounded);
	tcase_add_test(tc, requests_take_effect_in_order);
	tcase_add_test(tc, a_barrier_holds_what_follows);
	tcase_add_test(tc, what_looks_waits_for_changes_before_it);
	tcase_add_test(tc, what_waits_to_look_goes_with_its_peer);
	tcase_add_test(tc, only_root_and_self);
	tcase_add_test(tc, while_stopping);
	tcase_add_test(tc, calls_are_told_once_when_the_peer_goes);
	tcase_add_test(tc, calls_may_end_after_the_peer);
}

int main(void)
{
	Suite *s = suite_create("dispatch");
	TCase *tc = tcase_create("dispatch");

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
	add_tests(tc);
	return suite_run(s);
}
