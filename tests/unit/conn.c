/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/rpc_fixture.h"

#include "daemon/base/now.h"
#include "daemon/co/await.h"

#define CALL(id, method, params) \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}\n"
#define BARE(id, method) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\"}"
#define HELLO CALL("1", "test.open", "{}")
#define HELLO_REPLY "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"

/* A request of @len bytes, newline included. */
static char *request_of(size_t len)
{
	static const char head[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.open\",\"params\":{\"a\":\"";
	static const char tail[] = "\"}}\n";
	char *line = xmalloc(len + 1);

	memset(line, 'a', len);
	memcpy(line, head, sizeof(head) - 1);
	memcpy(line + len - (sizeof(tail) - 1), tail, sizeof(tail));
	return line;
}

/* ---- framing ---- */

START_TEST(any_cut_of_the_input)
{
	static const char text[] = CALL("1", "test.open", "{}") CALL("2", "test.open", "{}");
	struct peer p;

	peer_open(&p);
	for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
		peer_send_all(&p, text, cut);
		peer_send_all(&p, text + cut, sizeof(text) - 1 - cut);
		peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
		peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
	}
	peer_expect_nothing(&p);
	peer_close(&p);
}
END_TEST

START_TEST(byte_by_byte)
{
	struct peer p;

	peer_open(&p);
	for (const char *c = HELLO; *c; c++)
		peer_send_all(&p, c, 1);
	peer_expect(&p, HELLO_REPLY);
	peer_close(&p);
}
END_TEST

START_TEST(the_longest_line_and_one_more)
{
	char *line = request_of(PROTO_LINE_MAX_BYTES);
	struct peer p;
	json_t *reply;

	peer_open(&p);
	for (int i = 0; i < 3; i++) {
		peer_send_all(&p, line, PROTO_LINE_MAX_BYTES);
		reply = peer_take(&p);
		ck_assert_ptr_nonnull(json_object_get(reply, "result"));
		json_decref(reply);
	}
	free(line);
	line = request_of(PROTO_LINE_MAX_BYTES + 1);
	peer_send(&p, HELLO);
	peer_send_all(&p, line, PROTO_LINE_MAX_BYTES + 1);
	/* What came before is answered, then the error, then the end. */
	peer_expect(&p, HELLO_REPLY);
	peer_expect_error(&p, "null", -32005, NULL);
	peer_expect_nothing(&p);
	ck_assert(p.is_eof);
	free(line);
	peer_close(&p);
}
END_TEST

START_TEST(an_endless_line_is_refused_while_it_comes)
{
	char chunk[65536];
	struct conn_stats stats;
	struct peer p;

	memset(chunk, 'z', sizeof(chunk));
	peer_open(&p);
	/* The peer keeps sending: it must be able to see why it is refused. */
	for (int i = 0; i < 64; i++)
		peer_send_all(&p, chunk, sizeof(chunk));
	peer_expect_error(&p, "null", -32005, NULL);
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_open, 1);
	peer_close(&p);
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_open, 0);
}
END_TEST

/* ---- time ---- */

static void start_fake_clock(void)
{
	now_fake_start((struct mono){ 1000000000 }, (struct boot){ 1000000000 },
		       (struct wall){ 1000000 });
}

/* As much of @data as is taken while calls are under way; how much that is. */
static size_t send_some(struct peer *p, const char *data, size_t len)
{
	size_t sent = 0;

	for (int i = 0; i < 64; i++) {
		sent += peer_send_bytes(p, data + sent, len - sent);
		loop_run_until_idle();
	}
	return sent;
}

/* Whatever holds back the requests before it. */
START_TEST(what_is_due_is_answered_before_the_refusal)
{
	static const struct {
		const char *text;
		int n_answers;
	} lasts[] = {
		{ CALL("2", "test.barrier", "{}"), 1 },
		{ CALL("2", "test.later", "{}"), 1 },
		{ CALL("2", "test.change", "{}") CALL("3", "test.look", "{}"), 2 },
		{ "[" BARE("2", "test.barrier") "," BARE("3", "test.open") "]\n", 1 },
	};
	char *line = request_of(PROTO_LINE_MAX_BYTES + 1);
	size_t sent;
	struct peer p;

	peer_open(&p);
	peer_send(&p, CALL("7", "test.await", "{}")); /* this one is not waited for */
	peer_send(&p, HELLO);
	peer_send(&p, lasts[_i].text);
	sent = send_some(&p, line, PROTO_LINE_MAX_BYTES + 1);
	peer_expect(&p, HELLO_REPLY);
	peer_expect_nothing(&p);
	ck_assert(!p.is_eof);
	ck_assert_uint_eq(n_pending, 2);
	rpc_finish(pending[1], json_true());
	peer_send_all(&p, line + sent, PROTO_LINE_MAX_BYTES + 1 - sent);
	for (int n = 0; n < lasts[_i].n_answers; n++) {
		json_t *reply = peer_take(&p);

		ck_assert_ptr_nonnull(reply);
		ck_assert_ptr_null(json_object_get(reply, "error"));
		json_decref(reply);
	}
	peer_expect_error(&p, "null", -32005, NULL);
	peer_expect_nothing(&p);
	ck_assert(p.is_eof);
	free(line);
	peer_close(&p);
	ck_assert_uint_eq(n_gone, 1);
}
END_TEST

START_TEST(what_is_due_is_answered_before_a_slow_line_is_refused)
{
	struct peer p;

	start_fake_clock();
	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}") "{");
	now_fake_advance_us(31 * 1000000);
	peer_expect_nothing(&p);
	rpc_finish(pending[0], json_object());
	peer_expect(&p, HELLO_REPLY);
	peer_expect_error(&p, "null", -32005, NULL);
	peer_receive(&p);
	ck_assert(p.is_eof);
	peer_close(&p);
	now_fake_stop();
}
END_TEST

/* A peer that goes meanwhile is let go. */
START_TEST(a_peer_that_is_refused_may_go)
{
	char *line = request_of(PROTO_LINE_MAX_BYTES + 1);
	struct conn_stats stats;
	struct peer p;

	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}"));
	peer_send_all(&p, line, PROTO_LINE_MAX_BYTES + 1);
	peer_close(&p);
	ck_assert_uint_eq(n_gone, 0);
	rpc_finish(pending[0], json_true());
	run_until_idle();
	for (conn_stats(&stats); stats.n_open; conn_stats(&stats))
		(void)loop_turn(true);
	free(line);
}
END_TEST

START_TEST(a_line_has_to_end)
{
	struct peer p;

	start_fake_clock();
	peer_open(&p);
	peer_send(&p, HELLO);
	peer_expect(&p, HELLO_REPLY);
	/* Nothing begun: nothing to end. */
	now_fake_advance_us(3600 * INT64_C(1000000));
	peer_expect_nothing(&p);
	peer_send(&p, "{");
	now_fake_advance_us(29 * 1000000);
	/* More of it does not prolong it. */
	peer_send(&p, "\"jsonrpc\"");
	peer_expect_nothing(&p);
	now_fake_advance_us(1000001);
	peer_expect_error(&p, "null", -32005, NULL);
	peer_receive(&p);
	ck_assert(p.is_eof);
	peer_close(&p);
	now_fake_stop();
}
END_TEST

START_TEST(each_line_has_its_own_time)
{
	struct peer p;

	start_fake_clock();
	peer_open(&p);
	for (int i = 0; i < 4; i++) {
		peer_send(&p, i ? "}\n{\"a\":1" : "{\"a\":1");
		now_fake_advance_us(20 * 1000000);
		loop_run_until_idle();
	}
	for (int i = 0; i < 3; i++)
		peer_expect_error(&p, "null", -32600, NULL);
	peer_expect_nothing(&p);
	ck_assert(!p.is_eof);
	peer_close(&p);
	now_fake_stop();
}
END_TEST

/* ---- ends ---- */

START_TEST(a_half_close_still_gets_its_answers)
{
	struct conn_stats stats;
	struct peer p;

	peer_open(&p);
	peer_send_bytes(&p, CALL("1", "test.later", "{}"), strlen(CALL("1", "test.later", "{}")));
	for (int i = 0; i < 100; i++)
		peer_send_bytes(&p, HELLO, strlen(HELLO));
	shutdown(p.fd, SHUT_WR);
	for (int i = 0; i < 100; i++)
		peer_expect(&p, HELLO_REPLY);
	peer_expect_nothing(&p);
	ck_assert(!p.is_eof);
	rpc_finish(pending[0], json_true());
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}");
	peer_receive(&p);
	ck_assert(p.is_eof);
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_open, 0);
	peer_close(&p);
}
END_TEST

START_TEST(a_half_closed_peer_may_still_go)
{
	struct peer p;

	start_fake_clock();
	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}"));
	shutdown(p.fd, SHUT_WR);
	now_fake_advance_us(10 * 1000000);
	loop_run_until_idle();
	ck_assert_uint_eq(n_gone, 0);
	peer_close(&p);
	now_fake_advance_us(2 * 1000000);
	loop_run_until_idle();
	ck_assert_uint_eq(n_gone, 1);
	now_fake_stop();
}
END_TEST

START_TEST(a_cut_last_line_is_told)
{
	struct peer p;

	peer_open(&p);
	peer_send(&p, HELLO "{\"jsonrpc\":\"2.0\"");
	shutdown(p.fd, SHUT_WR);
	peer_expect(&p, HELLO_REPLY);
	peer_expect_error(&p, "null", -32700, NULL);
	peer_receive(&p);
	ck_assert(p.is_eof);
	peer_close(&p);
}
END_TEST

START_TEST(requests_of_a_peer_that_left_count)
{
	struct conn_stats stats;
	struct buf b = { 0 };
	struct peer p;

	peer_open(&p);
	for (int i = 0; i < 500; i++)
		buf_adds(&b, CALL("1", "test.mark", "{\"text\":\"x\"}"));
	ck_assert_uint_eq(peer_send_bytes(&p, b.data, b.len), b.len);
	buf_fini(&b);
	peer_close(&p);
	ck_assert_uint_eq(order.len, 500);
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_open, 0);
}
END_TEST

START_TEST(a_peer_that_reads_no_more)
{
	struct conn_stats stats;
	struct peer p;

	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}"));
	shutdown(p.fd, SHUT_RD);
	peer_send(&p, HELLO);
	ck_assert_uint_eq(n_gone, 1);
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_open, 0);
	peer_close(&p);
}
END_TEST

/* ---- turns ---- */

START_TEST(nobody_is_held_up)
{
	struct buf b = { 0 };
	struct peer busy, quick;

	/* A clock that stands still: only the count of lines ends a turn. */
	start_fake_clock();
	peer_open(&busy);
	peer_open(&quick);
	for (int i = 0; i < 300; i++)
		buf_adds(&b, CALL("1", "test.mark", "{\"text\":\"b\"}"));
	ck_assert_uint_eq(peer_send_bytes(&busy, b.data, b.len), b.len);
	peer_send_bytes(&quick, CALL("1", "test.mark", "{\"text\":\"Q\"}"),
			strlen(CALL("1", "test.mark", "{\"text\":\"Q\"}")));
	loop_run_until_idle();
	ck_assert_uint_eq(order.len, 301);
	ck_assert_int_le((char *)memchr(order.data, 'Q', order.len) - order.data, 32);
	buf_fini(&b);
	peer_close(&busy);
	peer_close(&quick);
	now_fake_stop();
}
END_TEST

START_TEST(first_requests_wait_for_the_name)
{
	int fds[2];
	struct peer p = { 0 };

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	p.fd = fds[0];
	p.conn = conn_new(fds[1], 12345, 12345);
	peer_send(&p, HELLO);
	peer_expect_nothing(&p);
	conn_named(54321);
	peer_expect_nothing(&p);
	conn_named(12345);
	peer_expect(&p, HELLO_REPLY);
	peer_close(&p);
}
END_TEST

START_TEST(calls_under_way_are_bounded)
{
	struct buf b = { 0 };
	struct peer p;

	peer_open(&p);
	for (int i = 0; i < 1500; i++)
		buf_adds(&b, CALL("1", "test.later", "{}"));
	peer_send_all(&p, b.data, b.len);
	ck_assert_uint_eq(n_pending, 1024);
	for (int i = 0; i < 1024; i++)
		rpc_finish(pending[i], json_true());
	loop_run_until_idle();
	ck_assert_uint_eq(n_pending, 1500);
	buf_fini(&b);
	peer_close(&p);
	ck_assert_uint_eq(n_gone, 1500 - 1024);
}
END_TEST

/* ---- a peer that does not read ---- */

START_TEST(replies_hold_back_the_reading)
{
	struct conn_stats stats;
	struct buf b = { 0 };
	struct peer p;
	size_t n_taken = 0;
	json_t *reply;

	/* 20 MB of answers: far more than may be in memory, none of it lost. */
	peer_open(&p);
	for (int i = 0; i < 200; i++)
		buf_adds(&b, CALL("1", "test.big", "{\"bytes\":100000}"));
	ck_assert_uint_eq(peer_send_bytes(&p, b.data, b.len), b.len);
	loop_run_until_idle();
	conn_stats(&stats);
	ck_assert_uint_gt(stats.n_buffered_bytes, 256 * 1024);
	ck_assert_uint_lt(stats.n_buffered_bytes, 512 * 1024);
	while (n_taken < 200) {
		reply = peer_take(&p);
		ck_assert_ptr_nonnull(reply);
		json_decref(reply);
		n_taken++;
	}
	conn_stats(&stats);
	ck_assert_uint_le(stats.n_buffered_bytes, 64 * 1024); /* the input buffer stays */
	ck_assert_uint_eq(stats.n_dropped - n_dropped_before, 0);
	buf_fini(&b);
	peer_close(&p);
}
END_TEST

static void notify_bytes(struct rpc_call *call, size_t n_bytes)
{
	char *text = xmalloc(n_bytes);

	memset(text, 'n', n_bytes);
	text[0] = text[n_bytes - 1] = '"';
	rpc_notify_text(call, "test", text, n_bytes);
	free(text);
}

START_TEST(too_many_unread_notifications)
{
	struct conn_stats stats;
	struct peer p;

	/* R4.7: the hard limit, at once */
	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}"));
	for (int i = 0; i < 3; i++) {
		notify_bytes(pending[0], 1 << 20);
		loop_run_until_idle();
	}
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_dropped - n_dropped_before, 0);
	notify_bytes(pending[0], 2 << 20);
	loop_run_until_idle();
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_dropped - n_dropped_before, 1);
	ck_assert_uint_eq(stats.n_open, 0);
	ck_assert_uint_eq(stats.n_buffered_bytes, 0);
	ck_assert_uint_eq(n_gone, 1);
	peer_close(&p);
}
END_TEST

START_TEST(unread_notifications_for_too_long)
{
	struct conn_stats stats;
	struct peer p;

	start_fake_clock();
	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}"));
	notify_bytes(pending[0], 2 << 20);
	loop_run_until_idle();
	now_fake_advance_us(9 * 1000000);
	loop_run_until_idle();
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_dropped - n_dropped_before, 0);
	/* Read in time: all is well again. */
	peer_receive(&p);
	now_fake_advance_us(20 * 1000000);
	loop_run_until_idle();
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_dropped - n_dropped_before, 0);
	notify_bytes(pending[0], 2 << 20);
	loop_run_until_idle();
	now_fake_advance_us(11 * 1000000);
	loop_run_until_idle();
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_dropped - n_dropped_before, 1);
	peer_close(&p);
	now_fake_stop();
}
END_TEST

START_TEST(all_together_are_bounded)
{
	struct peer peers[40];
	struct conn_stats stats;
	uint64_t n_dropped = 0;

	for (size_t i = 0; i < 40; i++) {
		peer_open(&peers[i]);
		peer_send(&peers[i], CALL("1", "test.big", "{\"bytes\":2000000}"));
		conn_stats(&stats);
		ck_assert_uint_le(stats.n_buffered_bytes, 66 << 20);
		n_dropped = stats.n_dropped - n_dropped_before;
	}
	ck_assert_uint_gt(n_dropped, 0);
	ck_assert_uint_lt(n_dropped, 10);
	for (size_t i = 0; i < 40; i++)
		peer_close(&peers[i]);
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_buffered_bytes, 0);
}
END_TEST

/* Requests that are not finished are memory too. */
START_TEST(unfinished_lines_are_bounded)
{
	static const size_t len = 600 * 1024;
	char *part = xmalloc(len);
	struct peer peers[80];
	struct conn_stats stats;

	memset(part, ' ', len);
	for (size_t i = 0; i < 80; i++) {
		peer_open(&peers[i]);
		peer_send_all(&peers[i], part, len);
		conn_stats(&stats);
		ck_assert_uint_le(stats.n_buffered_bytes, 65 << 20);
	}
	ck_assert_uint_ge(stats.n_dropped - n_dropped_before, 80 - 64);
	for (size_t i = 0; i < 80; i++)
		peer_close(&peers[i]);
	conn_stats(&stats);
	ck_assert_uint_eq(stats.n_buffered_bytes, 0);
	free(part);
}
END_TEST

/* ---- co_rpc_writable ---- */

static int written, writer_result;

static void write_much(void *arg)
{
	struct rpc_call *call = arg;

	for (written = 0; written < 100; written++) {
		writer_result = co_rpc_writable(call);
		if (writer_result < 0)
			return;
		notify_bytes(call, 50000);
	}
}

START_TEST(a_writer_waits_for_its_reader)
{
	struct peer p;

	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}"));
	coro_spawn(write_much, pending[0], CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
	ck_assert_int_lt(written, 20);
	for (int i = 0; i < 100; i++) {
		json_t *note = peer_take(&p);

		ck_assert_ptr_nonnull(note);
		json_decref(note);
	}
	ck_assert_int_eq(written, 100);
	ck_assert_int_eq(writer_result, 0);
	peer_close(&p);
}
END_TEST

START_TEST(a_writer_learns_that_its_reader_is_gone)
{
	struct peer p;

	finishes_when_gone = false;
	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}"));
	coro_spawn(write_much, pending[0], CORO_STACK_SMALL, NULL);
	loop_run_until_idle();
	peer_close(&p);
	ck_assert_int_lt(written, 20);
	ck_assert_int_eq(writer_result, -EPIPE);
	rpc_finish(pending[0], json_true());
}
END_TEST

START_TEST(closing_all_writes_what_it_can)
{
	struct peer p;

	peer_open(&p);
	peer_send(&p, CALL("1", "test.later", "{}"));
	finishes_when_gone = false;
	rpc_finish(pending[0], json_true());
	conn_close_all();
	peer_expect(&p, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}");
	peer_receive(&p);
	ck_assert(p.is_eof);
	peer_close(&p);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, any_cut_of_the_input);
	tcase_add_test(tc, byte_by_byte);
	tcase_add_test(tc, the_longest_line_and_one_more);
	tcase_add_test(tc, an_endless_line_is_refused_while_it_comes);
	tcase_add_loop_test(tc, what_is_due_is_answered_before_the_refusal, 0, 4);
	tcase_add_test(tc, what_is_due_is_answered_before_a_slow_line_is_refused);
	tcase_add_test(tc, a_peer_that_is_refused_may_go);
	tcase_add_test(tc, a_line_has_to_end);
	tcase_add_test(tc, each_line_has_its_own_time);
	tcase_add_test(tc, a_half_close_still_gets_its_answers);
	tcase_add_test(tc, a_half_closed_peer_may_still_go);
	tcase_add_test(tc, a_cut_last_line_is_told);
	tcase_add_test(tc, requests_of_a_peer_that_left_count);
	tcase_add_test(tc, a_peer_that_reads_no_more);
	tcase_add_test(tc, nobody_is_held_up);
	tcase_add_test(tc, first_requests_wait_for_the_name);
	tcase_add_test(tc, calls_under_way_are_bounded);
	tcase_add_test(tc, replies_hold_back_the_reading);
	tcase_add_test(tc, too_many_unread_notifications);
	tcase_add_test(tc, unread_notifications_for_too_long);
	tcase_add_test(tc, all_together_are_bounded);
	tcase_add_test(tc, unfinished_lines_are_bounded);
	tcase_add_test(tc, a_writer_waits_for_its_reader);
	tcase_add_test(tc, a_writer_learns_that_its_reader_is_gone);
	tcase_add_test(tc, closing_all_writes_what_it_can);
}

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("conn");

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
	tcase_set_timeout(tc, 30);
	add_tests(tc);
	return suite_run(s);
}
