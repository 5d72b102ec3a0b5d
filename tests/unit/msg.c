/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/supervisor/msg.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/suite.h"

/* What the daemon and the supervisor say to each other, and what neither may believe. */

static struct msgbuf buf;

static void teardown(void)
{
	msgbuf_fini(&buf);
}

static struct msg a_start(void)
{
	static const char *argv[] = { "prog", "", "an argument", NULL };
	static const char *env[] = { "PATH=/bin", "X=", NULL };

	return (struct msg){
		.type = SUP_START,
		.job = INT64_C(123456789012),
		.attempt = 7,
		.start = { .argv = argv,
			   .env = env,
			   .cwd = "/tmp",
			   .log_path = "/tmp/log",
			   .stdin_text = "in\0put",
			   .stdin_len = 6,
			   .log_limit_bytes = 1 << 20,
			   .output_wait_us = 1000000,
			   .cpu_s = 60,
			   .memory_bytes = INT64_C(1) << 40,
			   .n_files = 1024,
			   .needs_files = true,
			   .umask = 022,
			   .nice = -5,
			   .has_nice = true,
			   .no_new_privs = true },
	};
}

static struct msg an_exited(void)
{
	return (struct msg){
		.type = SUP_EXITED,
		.job = 5,
		.attempt = 1,
		.exited = { .flags = SUP_EXITED_KILLED,
			    .exit_status = -1,
			    .term_signal = 9,
			    .n_leftovers = 3,
			    .user_us = 1,
			    .system_us = 2,
			    .max_rss_bytes = INT64_C(1) << 40,
			    .output_bytes = INT64_C(1) << 50,
			    .dropped_bytes = 4 },
	};
}

static struct msg pass(const struct msg *m)
{
	struct msg out;
	int n;

	ck_assert_int_eq(msg_encode(&buf, m), 0);
	n = msg_decode(&buf, &out);
	ck_assert_int_gt(n, 0);
	ck_assert_uint_eq((size_t)n, msgbuf_pending(&buf));
	ck_assert_int_eq(out.type, m->type);
	ck_assert_int_eq(out.job, m->job);
	ck_assert_uint_eq(out.attempt, m->attempt);
	return out;
}

START_TEST(a_start_arrives_whole)
{
	struct msg in = a_start(), out = pass(&in);

	ck_assert_str_eq(out.start.argv[0], "prog");
	ck_assert_str_eq(out.start.argv[1], "");
	ck_assert_str_eq(out.start.argv[2], "an argument");
	ck_assert_ptr_null(out.start.argv[3]);
	ck_assert_str_eq(out.start.env[1], "X=");
	ck_assert_ptr_null(out.start.env[2]);
	ck_assert_str_eq(out.start.cwd, "/tmp");
	ck_assert_str_eq(out.start.log_path, "/tmp/log");
	ck_assert_uint_eq(out.start.stdin_len, 6);
	ck_assert_int_eq(memcmp(out.start.stdin_text, "in\0put", 6), 0);
	ck_assert_int_eq(out.start.log_limit_bytes, 1 << 20);
	ck_assert_int_eq(out.start.output_wait_us, 1000000);
	ck_assert_int_eq(out.start.cpu_s, 60);
	ck_assert_int_eq(out.start.memory_bytes, INT64_C(1) << 40);
	ck_assert_uint_eq(out.start.n_files, 1024);
	ck_assert(out.start.needs_files);
	ck_assert_uint_eq(out.start.umask, 022);
	ck_assert_int_eq(out.start.nice, -5);
	ck_assert(out.start.has_nice);
	ck_assert(out.start.no_new_privs);
	msg_fini(&out);
}
END_TEST

START_TEST(no_stdin_is_not_an_empty_one)
{
	struct msg in = a_start(), out;

	in.start.stdin_text = NULL;
	out = pass(&in);
	ck_assert_ptr_null(out.start.stdin_text);
	msg_fini(&out);
	msgbuf_consume(&buf, msgbuf_pending(&buf));
	in.start.stdin_text = "";
	in.start.stdin_len = 0;
	out = pass(&in);
	ck_assert_ptr_nonnull(out.start.stdin_text);
	msg_fini(&out);
}
END_TEST

START_TEST(the_others_arrive_whole)
{
	struct msg m = an_exited(), out = pass(&m);

	ck_assert_int_eq(memcmp(&out.exited, &m.exited, sizeof(m.exited)), 0);
	msgbuf_consume(&buf, msgbuf_pending(&buf));
	m = (struct msg){ .type = SUP_STARTED, .started = { 42, UINT64_MAX, "boot-id" } };
	out = pass(&m);
	ck_assert_int_eq(out.started.pid, 42);
	ck_assert_uint_eq(out.started.start_ticks, UINT64_MAX);
	ck_assert_str_eq(out.started.boot_id, "boot-id");
	msgbuf_consume(&buf, msgbuf_pending(&buf));
	m = (struct msg){ .type = SUP_KILL, .job = -1, .kill_grace_us = INT64_MIN };
	ck_assert_int_eq(pass(&m).kill_grace_us, INT64_MIN);
	msgbuf_consume(&buf, msgbuf_pending(&buf));
	m = (struct msg){ .type = SUP_FAILED, .failed = { STAGE_CWD, ENOENT } };
	ck_assert_int_eq(pass(&m).failed.error, ENOENT);
}
END_TEST

/* All but a start must fit the packet that passes between supervisor and minder. */
START_TEST(small_messages_are_small)
{
	struct msg m = { .type = SUP_STARTED, .started = { .pid = 1 } };

	memset(m.started.boot_id, 'x', sizeof(m.started.boot_id) - 1);
	ck_assert_int_eq(msg_encode(&buf, &m), 0);
	ck_assert_uint_le(msgbuf_pending(&buf), SUP_SMALL_BYTES);
	msgbuf_consume(&buf, msgbuf_pending(&buf));
	m = an_exited();
	ck_assert_int_eq(msg_encode(&buf, &m), 0);
	ck_assert_uint_le(msgbuf_pending(&buf), SUP_SMALL_BYTES);
}
END_TEST

START_TEST(a_part_waits_for_the_rest)
{
	struct msgbuf part = { 0 };
	struct msg in = a_start(), out;

	ck_assert_int_eq(msg_encode(&buf, &in), 0);
	for (size_t i = 0; i < buf.len; i++) {
		ck_assert_int_eq(msg_decode(&part, &out), 0);
		msgbuf_add(&part, buf.data + i, 1);
	}
	ck_assert_int_eq(msg_decode(&part, &out), (int)buf.len);
	msg_fini(&out);
	msgbuf_fini(&part);
}
END_TEST

START_TEST(too_long_is_refused_and_leaves_nothing)
{
	char *text = malloc(SUP_MAX_BYTES);
	struct msg in = a_start(), out;

	memset(text, 'x', SUP_MAX_BYTES);
	in.start.stdin_text = text;
	in.start.stdin_len = SUP_MAX_BYTES;
	ck_assert_int_eq(msg_encode(&buf, &in), -E2BIG);
	ck_assert_uint_eq(msgbuf_pending(&buf), 0);
	out = pass(&(struct msg){ .type = SUP_ACK, .job = 3 });
	msg_fini(&out);
	free(text);
}
END_TEST

START_TEST(bad_bytes_are_errors)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "\xff\xff\xff\xff", 4 },				/* too long */
		{ "\0\0\0\0\0\0\0\0", 8 },				/* too short */
		{ "\4\0\0\0\0\0\0\0", 8 },				/* no type */
		{ "\4\0\0\0\xff\0\0\0", 8 },				/* no such type */
		{ "\x10\0\0\0\5\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0", 20 },	/* not zero */
		{ "\x11\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 21 }, /* more than an ack */
		{ "\x0f\0\0\0\5\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 19 },	/* less than an ack */
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct msgbuf b = { 0 };
		struct msg m;

		msgbuf_add(&b, bad[i].bytes, bad[i].len);
		ck_assert_msg(msg_decode(&b, &m) == -EBADMSG, "case %zu", i);
		msgbuf_fini(&b);
	}
}
END_TEST

START_TEST(a_start_that_cannot_be_meant)
{
	for (int i = 0; i < 4; i++) {
		struct msg in = a_start(), out;

		if (i == 0)
			in.start.cpu_s = -1;
		else if (i == 1)
			in.start.memory_bytes = -1;
		else if (i == 2)
			in.start.n_files = 0;
		else
			in.start.nice = 20;
		ck_assert_int_eq(msg_encode(&buf, &in), 0);
		ck_assert_int_eq(msg_decode(&buf, &out), -EBADMSG);
		msgbuf_consume(&buf, msgbuf_pending(&buf));
	}
}
END_TEST

/* Whatever comes: an error or a message, and never a byte out of bounds (run it under ASan). */
START_TEST(damaged_messages_are_survived)
{
	const struct msg samples[] = { a_start(), an_exited() };

	srandom((unsigned)_i);
	for (size_t s = 0; s < 2; s++) {
		msgbuf_consume(&buf, msgbuf_pending(&buf));
		ck_assert_int_eq(msg_encode(&buf, &samples[s]), 0);
		for (int round = 0; round < 3000; round++) {
			size_t len = buf.len;
			char *copy = malloc(len);
			struct msg m;

			memcpy(copy, buf.data, len);
			for (long n = 1 + random() % 3; n > 0; n--)
				copy[(size_t)random() % len] = (char)random();
			if (msg_decode_packet(copy, len, &m) > 0)
				msg_fini(&m);
			free(copy);
		}
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("msg");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, a_start_arrives_whole);
	tcase_add_test(t, no_stdin_is_not_an_empty_one);
	tcase_add_test(t, the_others_arrive_whole);
	tcase_add_test(t, small_messages_are_small);
	tcase_add_test(t, a_part_waits_for_the_rest);
	tcase_add_test(t, too_long_is_refused_and_leaves_nothing);
	tcase_add_test(t, bad_bytes_are_errors);
	tcase_add_test(t, a_start_that_cannot_be_meant);
	tcase_add_loop_test(t, damaged_messages_are_survived, 0, 5);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
