/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/out.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/follow.h"
#include "client/jobprint.h"
#include "client/progress.h"
#include "client/table.h"
#include "client/verb.h"
#include "tests/unit/suite.h"

static const char *escaped(const char *text)
{
	static char out[256];
	struct buf b = { 0 };

	out_escape(&b, text);
	snprintf(out, sizeof(out), "%s", buf_terminate(&b));
	buf_fini(&b);
	return out;
}

/* R4.14: nothing from a job steers a terminal or breaks a line. */
START_TEST(text_is_made_harmless)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{ "plain", "plain" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "a\nb\tc\r", "a\\nb\\tc\\r" },
		{ "\x1b[2J", "\\x1b[2J" },
		{ "\x7f", "\\x7f" },
		{ "\xc2\x9b"
		  "31m",
		  "\\u{009b}31m" },
		{ "\xe2\x80\xae"
		  "txt",
		  "\\u{202e}txt" },
		{ "\xe2\x81\xa6", "\\u{2066}" },
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "\xc3", "\\xc3" },
		{ "\xe2\x82", "\\xe2\\x82" },
		{ NULL, "-" },
		{ "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_str_eq(escaped(cases[i].text), cases[i].shown);
}
END_TEST

/* A table cell that was made of escaped text is escaped once more: it must stay as it is. */
START_TEST(escaping_twice_is_escaping_once)
{
	char once[256];

	snprintf(once, sizeof(once), "%s", escaped("a\x1b\n\xc2\x9b\xff"));
	ck_assert_str_eq(escaped(once), once);
}
END_TEST

START_TEST(cutting_counts_characters)
{
	static const struct {
		const char *text;
		size_t max;
		const char *cut;
	} cases[] = {
		{ "abcdef", 6, "abcdef" },
		{ "abcdef", 5, "ab..." },
		{ "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f!", 5, "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f!" },
		{ "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f!", 4, "\xc3\xa4..." },
		{ "abcdef", 3, "..." },
		{ "abcdef", 2, "" },
		{ "", 0, "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[32];

		snprintf(text, sizeof(text), "%s", cases[i].text);
		out_cut(text, cases[i].max);
		ck_assert_str_eq(text, cases[i].cut);
	}
}
END_TEST

START_TEST(width_comes_from_columns_without_a_terminal)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setenv("COLUMNS", "132", 1);
	ck_assert_uint_eq(out_width(fd), 132);
	setenv("COLUMNS", "junk", 1);
	ck_assert_uint_eq(out_width(fd), 80);
	unsetenv("COLUMNS");
	ck_assert_uint_eq(out_width(fd), 80);
	close(fd);
}
END_TEST

/* ---- what goes to standard output, caught in a file ---- */

static char caught[4096];

/* Run @fn with standard output in a file; its bytes go to caught[]. */
static void catch_output(void (*fn)(void))
{
	FILE *file = tmpfile();
	int saved = dup(STDOUT_FILENO);
	int fd;
	ssize_t n;

	ck_assert_ptr_nonnull(file);
	fd = fileno(file);
	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	fn();
	out_flush();
	dup2(saved, STDOUT_FILENO);
	n = pread(fd, caught, sizeof(caught) - 1, 0);
	ck_assert_int_ge(n, 0);
	caught[n] = '\0';
	fclose(file);
	close(saved);
}

static json_t *job_of(const char *text)
{
	json_error_t where;
	json_t *job = json_loads(text, 0, &where);

	ck_assert_msg(job != NULL, "%s", where.text);
	return job;
}

static const char evil_job[] =
	"{\"id\":7,\"kind\":\"worker\",\"name\":\"a\\u001b[2Jb\\tc\",\"state\":\"done\","
	"\"reason\":null,"
	"\"outcome\":\"failed\",\"ended_at\":\"2020-01-01T00:00:00.000Z\",\"tags\":[\"\\u009b\"],"
	"\"owner\":{\"uid\":1,\"gid\":1,\"user\":null},"
	"\"error\":{\"code\":\"exit\",\"exit\":3,\"message\":\"bad\\n\\u001bend\"},"
	"\"result\":\"\\u001b]0;x\\u0007\",\"spec\":{\"argv\":[\"sh\",\"-c\",\"a \\u001b\"]}}";

static void print_list(void)
{
	struct table *t = jobs_table_new();
	json_t *job = job_of(evil_job);

	jobs_table_add(t, job, "");
	table_print(t);
	table_free(t);
	json_decref(job);
}

static void print_job(void)
{
	json_t *job = job_of(evil_job);

	job_print(job);
	json_decref(job);
}

/* A line per row, a tab between fields, nothing cut: scripts rely on it. */
START_TEST(table_without_a_terminal)
{
	catch_output(print_list);
	ck_assert_msg(strncmp(caught, "ID\tKIND\tNAME\tSTATE\tWHEN\tSUMMARY\n", 32) == 0, "%s",
		      caught);
	ck_assert_msg(strstr(caught, "\n7\tworker\ta\\x1b[2Jb\\tc\tfailed (exit 3)\t") != NULL,
		      "%s", caught);
	ck_assert_msg(strstr(caught, "\tsh -c \"a \\x1b\"\n") != NULL, "%s", caught);
	ck_assert_ptr_null(strchr(caught, '\x1b'));
}
END_TEST

START_TEST(show_is_harmless)
{
	catch_output(print_job);
	ck_assert_ptr_null(strchr(caught, '\x1b'));
	ck_assert_ptr_null(strstr(caught, "\xc2\x9b"));
	ck_assert_msg(strstr(caught, "bad\\n\\x1bend") != NULL, "%s", caught);
	ck_assert_msg(strstr(caught, "uid 1") != NULL, "%s", caught);
}
END_TEST

/* A job object of a later version, or a broken one, must not crash anything. */
START_TEST(odd_objects_are_survived)
{
	static const char *const odd[] = { "{}",
					   "{\"id\":\"x\",\"state\":3,\"spec\":[],\"error\":1}",
					   "{\"state\":\"done\",\"spec\":{\"argv\":[1,null]}}",
					   ("{\"state\":\"done\",\"spec\":{\"sleep\":\"x\"},"
					    "\"progress\":{\"done\":-1,\"total\":1e300}}") };

	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		json_t *job = job_of(odd[i]);
		struct table *t = jobs_table_new();
		struct buf b = { 0 };

		jobs_table_add(t, job, "");
		job_add_ending(&b, job);
		progress_line(&b, job, 80);
		buf_fini(&b);
		table_free(t);
		json_decref(job);
	}
}
END_TEST

START_TEST(progress_fits_the_width)
{
	json_t *job = job_of("{\"id\":7,\"state\":\"running\",\"progress\":{\"done\":1048576,"
			     "\"total\":4194304,\"unit\":\"bytes\",\"rate\":1048576}}");

	for (size_t width = 1; width < 120; width++) {
		struct buf b = { 0 };

		progress_line(&b, job, width);
		ck_assert_uint_le(out_columns(buf_terminate(&b)), width);
		buf_fini(&b);
	}
	struct buf b = { 0 };

	progress_line(&b, job, 80);
	ck_assert_msg(strncmp(b.data, " 25% [=======>", 14) == 0, "%s", b.data);
	ck_assert_msg(strstr(b.data, "left") != NULL, "%s", b.data);
	buf_fini(&b);
	json_decref(job);
}
END_TEST

START_TEST(base64)
{
	static const struct {
		const char *text;
		int len; /* -1 = refused */
		const char *bytes;
	} cases[] = {
		{ "", 0, "" },	      { "AA==", 1, "\0" },	 { "/wA=", 2, "\xff\0" },
		{ "Zm9v", 3, "foo" }, { "Zm9vYg==", 4, "foob" }, { "Zm9vYmE", 5, "fooba" },
		{ "Z", -1, "" },      { "Zm9*", -1, "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *data = NULL;
		size_t len = 0;
		int r = base64_decode(cases[i].text, strlen(cases[i].text), &data, &len);

		ck_assert_int_eq(r < 0, cases[i].len < 0);
		if (r == 0) {
			ck_assert_int_eq((int)len, cases[i].len);
			ck_assert_mem_eq(data, cases[i].bytes, len);
			free(data);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("out");
	TCase *text = tcase_create("text");
	TCase *jobs = tcase_create("jobs");

	tcase_add_test(text, text_is_made_harmless);
	tcase_add_test(text, escaping_twice_is_escaping_once);
	tcase_add_test(text, cutting_counts_characters);
	tcase_add_test(text, width_comes_from_columns_without_a_terminal);
	tcase_add_test(text, base64);
	tcase_add_test(jobs, table_without_a_terminal);
	tcase_add_test(jobs, show_is_harmless);
	tcase_add_test(jobs, odd_objects_are_survived);
	tcase_add_test(jobs, progress_fits_the_width);
	suite_add_tcase(suite, text);
	suite_add_tcase(suite, jobs);
	return suite_run(suite);
}
