/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/log.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/now.h"
#include "tests/unit/suite.h"

/* stderr goes into a pipe while these run. */
static int saved_stderr, pipe_fd;

static void setup(void)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	saved_stderr = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
	close(fds[1]);
	pipe_fd = fds[0];
	now_fake_start((struct mono){ 1 }, (struct boot){ 1 }, (struct wall){ 0 });
}

static void teardown(void)
{
	now_fake_stop();
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(pipe_fd);
}

/* What was logged since the last time. */
static const char *logged(void)
{
	static char text[16384];
	ssize_t n = read(pipe_fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

START_TEST(prefixes)
{
	log_init(LOG_INFO, 0);
	log_info("hello %d", 5);
	ck_assert_str_eq(logged(), "1970-01-01T00:00:00.000Z info: hello 5\n");
	log_init(LOG_INFO, 1);
	log_error("no");
	ck_assert_str_eq(logged(), "<3>no\n");
}
END_TEST

START_TEST(levels)
{
	log_init(LOG_NOTICE, 1);
	log_info("a");
	log_debug("b");
	ck_assert_str_eq(logged(), "");
	log_notice("c");
	ck_assert_str_eq(logged(), "<5>c\n");
	log_set_level(LOG_DEBUG);
	log_debug("d");
	ck_assert_str_eq(logged(), "<7>d\n");
	ck_assert_int_eq(log_level_parse("debug"), LOG_DEBUG);
	ck_assert_int_eq(log_level_parse("err"), LOG_ERR);
	ck_assert_int_eq(log_level_parse("crit"), -1);
	ck_assert_int_eq(log_level_parse(""), -1);
	ck_assert_int_eq(log_level_parse(NULL), -1);
}
END_TEST

/* R4.14 */
START_TEST(nothing_gets_out_unescaped)
{
	static const char *const cases[][2] = {
		{ "plain \xc3\xa4\xe2\x82\xac", "plain \xc3\xa4\xe2\x82\xac" },
		{ "two\nlines\r\tx", "two\\nlines\\r\\tx" },
		{ "\x1b[31mred\x07\x7f", "\\x1b[31mred\\x07\\x7f" },
		{ "\xff\xc3(", "\\xff\\xc3(" },
		{ "c1 \xc2\x9b 31m", "c1 \\xc2\\x9b 31m" },
		{ "cut \xe2\x82", "cut \\xe2\\x82" },
	};
	char want[256];

	log_init(LOG_INFO, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		log_info("%s", cases[i][0]);
		snprintf(want, sizeof(want), "<6>%s\n", cases[i][1]);
		ck_assert_str_eq(logged(), want);
	}
}
END_TEST

START_TEST(a_line_is_bounded)
{
	char text[10000];
	const char *line;
	size_t len;

	log_init(LOG_INFO, 1);
	for (int c = 'a'; c >= 0; c -= 'a') {
		/* 'a' as it is, then NUL's neighbour 0x01, four bytes each */
		memset(text, c ? c : 1, sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		log_info("%s", text);
		line = logged();
		len = strlen(line);
		ck_assert_uint_le(len, 4096);
		ck_assert_str_eq(line + len - 4, "...\n");
		ck_assert_ptr_eq(strchr(line, '\n'), line + len - 1);
	}
}
END_TEST

START_TEST(the_journal_is_found_by_its_stream)
{
	struct stat st;
	char stream[64];

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init(LOG_INFO, -1);
	log_info("x");
	ck_assert_str_eq(logged(), "<6>x\n");
	/* Inherited from somebody whose stderr it was. */
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_init(LOG_INFO, -1);
	log_info("x");
	ck_assert_str_eq(logged(), "1970-01-01T00:00:00.000Z info: x\n");
	unsetenv("JOURNAL_STREAM");
	log_init(LOG_INFO, -1);
	log_info("x");
	ck_assert_int_eq(logged()[0], '1');
}
END_TEST

static void set_blocking(int fd, bool is_blocking)
{
	int flags = fcntl(fd, F_GETFL);

	ck_assert_int_eq(fcntl(fd, F_SETFL, is_blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK),
			 0);
}

static size_t count_lines(const char *text, const char *with)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, with)); p++)
		n++;
	return n;
}

/* Nobody reads: whoever logs goes on, and what was lost is told when somebody reads again. */
START_TEST(a_stalled_log_stalls_nobody)
{
	size_t n_info = 0, n_errors = 0, n_told = 0, n_last = 0;
	struct log_stats stats;
	const char *text;

	now_fake_stop();
	set_blocking(STDERR_FILENO, true);
	log_init(LOG_INFO, 1);
	log_start();
	for (int i = 0; i < 20000; i++)
		log_info("message %d", i);
	for (int i = 0; i < 100; i++)
		log_error("important %d", i);
	log_error("the last one");
	log_stats(&stats);
	ck_assert_uint_gt(stats.n_dropped, 10000);
	ck_assert_uint_le(stats.n_queued, 4096);
	set_blocking(pipe_fd, true);
	while (!n_last) {
		text = logged();
		n_info += count_lines(text, ">message ");
		n_errors += count_lines(text, ">important ");
		n_told += count_lines(text, " messages dropped");
		n_last = count_lines(text, ">the last one");
	}
	set_blocking(pipe_fd, false);
	/* What is important has room of its own. */
	ck_assert_uint_ge(n_told, 1);
	ck_assert_uint_ge(n_errors, 99); /* one may be cut in two by our reading */
	ck_assert_uint_ge(n_info, 20000 - stats.n_dropped - 100);
	log_stop();
	log_info("written by ourselves again");
	ck_assert_str_eq(logged(), "<6>written by ourselves again\n");
}
END_TEST

/* The end does not wait for somebody who reads no more. */
START_TEST(the_end_of_a_stalled_log)
{
	now_fake_stop();
	set_blocking(STDERR_FILENO, true);
	log_init(LOG_INFO, 1);
	log_start();
	for (int i = 0; i < 5000; i++)
		log_info("message %d ..............................................", i);
	log_flush();
	log_stop();
	log_info("this one too");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *tc = tcase_create("log");

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, prefixes);
	tcase_add_test(tc, levels);
	tcase_add_test(tc, nothing_gets_out_unescaped);
	tcase_add_test(tc, a_line_is_bounded);
	tcase_add_test(tc, the_journal_is_found_by_its_stream);
	tcase_add_test(tc, a_stalled_log_stalls_nobody);
	tcase_add_test(tc, the_end_of_a_stalled_log);
	return suite_run(s);
}
