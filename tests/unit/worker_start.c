/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/unit/worker_fixture.h"

/* How workers start (R3.2, R3.3), and what is kept of their output (R3.7, T6). */

/* ---- start ---- */

START_TEST(a_program_runs_and_ends)
{
	struct msg_exited e;
	struct msg m;

	run_script(1, "echo out; echo err >&2; kill -STOP $$; exit 7");
	m = expect(SUP_STARTED);
	ck_assert_int_gt(m.started.pid, 1);
	ck_assert_uint_gt(m.started.start_ticks, 0);
	ck_assert_str_eq(m.started.boot_id, now_boot_id());
	wait_for_state(m.started.pid, 'T');
	ck_assert_int_eq(kill(m.started.pid, SIGCONT), 0);
	e = expect_exited();
	ck_assert_int_eq(e.exit_status, 7);
	ck_assert_int_eq(e.term_signal, 0);
	ck_assert_uint_eq(e.flags, 0);
	ck_assert_uint_eq(e.n_leftovers, 0);
	ck_assert_int_eq(e.output_bytes, 8);
	ck_assert_int_gt(e.max_rss_bytes, 0);
	expect_output(1, "out\nerr\n");
}
END_TEST

/* It says nothing but its end: neither a message nor a commit are spent on who it was. */
START_TEST(a_quick_one_says_only_its_end)
{
	int n_started = 0;

	/* On a busy machine some are not quick. */
	for (int64_t job = 1; job <= 50; job++) {
		static const char *argv[] = { "true", NULL };
		struct msg m;

		run_program(job, argv, "/", NULL);
		while ((m = next_message()).type == SUP_STARTED)
			n_started++;
		ck_assert_int_eq(m.type, SUP_EXITED);
	}
	ck_assert_int_lt(n_started, 50);
}
END_TEST

static void expect_failed(const char *program, const char *cwd, unsigned stage, int error)
{
	const char *argv[] = { program, NULL };
	struct msg m;

	run_program(1, argv, cwd, NULL);
	m = expect(SUP_FAILED);
	ck_assert_msg(m.failed.stage == stage && m.failed.error == error, "%s: stage %s, errno %s",
		      program, msg_stage_name(m.failed.stage), strerrorname_np(m.failed.error));
}

START_TEST(what_cannot_run_is_named)
{
	cleanup_free char *plain = xasprintf("%s/plain", dir), *text = xasprintf("%s/text", dir);

	close(open(plain, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	close(open(text, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	expect_failed("no-such-program-anywhere", "/", STAGE_EXEC, ENOENT);
	expect_failed("", "/", STAGE_EXEC, ENOENT);
	expect_failed("/no/such/program", "/", STAGE_EXEC, ENOENT);
	expect_failed(plain, "/", STAGE_EXEC, EACCES);
	expect_failed(dir, "/", STAGE_EXEC, EACCES);
	expect_failed(text, "/", STAGE_EXEC, ENOEXEC);
	expect_failed("true", "/no/such/folder", STAGE_CWD, ENOENT);
	expect_failed("true", plain, STAGE_CWD, ENOTDIR);
}
END_TEST

START_TEST(a_log_that_cannot_be_opened)
{
	static const char *argv[] = { "/bin/echo", "hello", NULL }, *env[] = { NULL };
	struct msg m = {
		.type = SUP_START,
		.job = 9,
		.attempt = 1,
		.start = { .argv = argv,
			   .env = env,
			   .cwd = "/",
			   .log_path = "/dev/null/log",
			   .n_files = 1024 },
	};
	struct msg_exited e;

	send_msg(&m);
	e = expect_exited();
	ck_assert_int_eq(e.exit_status, 0);
	ck_assert_int_eq(e.output_bytes, 6);
	ck_assert_int_eq(e.dropped_bytes, 6);
}
END_TEST

START_TEST(who_says_nothing_leaves_no_files)
{
	static const char *argv[] = { "true", NULL };
	cleanup_free char *path = jobdir_path(1, 1, "log");

	run_program(1, argv, "/", NULL);
	expect_exited();
	ck_assert_int_eq(access(path, F_OK), -1);
	*strrchr(path, '/') = '\0';
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

/* R3.3: own session, nothing inherited but 0, 1 and 2, no signal blocked or ignored. */
START_TEST(a_worker_starts_clean)
{
	struct output_read r;

	/* No pipe and no glob: the shell would have descriptors of its own for them. */
	run_script(1, "for f in 0 1 2 3 4 5 6 7 8 9 10 11 12 13; do"
		      "  [ -e /proc/$$/fd/$f ] && n=\"$n$f \"; done; echo \"$n\";"
		      "grep -E '^Sig(Blk|Ign)' /proc/self/status;"
		      "set -- $(cat /proc/$$/stat); [ $1 = $5 ] && [ $1 = $6 ] && echo leads;"
		      "ulimit -c; ulimit -Sn; umask; env | grep -v ^_= | grep -v ^PWD= | sort");
	expect_exited();
	r = output(1, OUTPUT_BOTH);
	r.data[r.len - 1] = '\0';
	ck_assert_str_eq(r.data, "0 1 2 \nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
				 "leads\n0\n1024\n0022\nAWAITD_ATTEMPT=1\nAWAITD_JOB_ID=1\n"
				 "PATH=/usr/bin:/bin");
	output_read_fini(&r);
}
END_TEST

/* ---- limits (R3.8) ---- */

/* A shell script whose limits are those of @limits. */
static void run_limited(const char *script, const struct msg_start *limits)
{
	const char *argv[] = { "sh", "-c", script, "sh", mark, NULL };
	static const char *env[] = { "PATH=/usr/bin:/bin", NULL };
	cleanup_free char *log = jobdir_path(1, 1, "log");
	struct msg m = { .type = SUP_START, .job = 1, .attempt = 1, .start = *limits };

	m.start.argv = argv;
	m.start.env = env;
	m.start.cwd = "/";
	m.start.log_path = log;
	m.start.log_limit_bytes = LIMIT_BYTES;
	send_msg(&m);
}

START_TEST(a_worker_has_its_limits)
{
	const struct msg_start limits = {
		.cpu_s = 7, .memory_bytes = INT64_C(1) << 30, .n_files = 64, .needs_files = true
	};

	run_limited("ulimit -St; ulimit -Ht; ulimit -Sv; ulimit -Hv; ulimit -Sn; ulimit -Hn; "
		    "ulimit -Hc",
		    &limits);
	ck_assert_int_eq(expect_exited().exit_status, 0);
	expect_output(1, "7\n8\n1048576\n1048576\n64\n64\n0\n");
}
END_TEST

START_TEST(without_limits_it_has_ours)
{
	struct rlimit own = { 3000, 3001 };

	ck_assert_int_eq(prlimit(supervisor, RLIMIT_CPU, &own, NULL), 0);
	ck_assert_int_eq(prlimit(supervisor, RLIMIT_NOFILE, NULL, &own), 0);
	run_limited("ulimit -St; ulimit -Ht; ulimit -Sv; ulimit -Sn; ulimit -Hn",
		    &(struct msg_start){ .n_files = 64 });
	expect_exited();
	{
		cleanup_free char *text = xasprintf("3000\n3001\nunlimited\n64\n%llu\n",
						    (unsigned long long)own.rlim_max);

		expect_output(1, text);
	}
}
END_TEST

/* The stricter one holds; but files that we may not have are asked for in vain. */
START_TEST(limits_do_not_go_beyond_ours)
{
	const struct rlimit cpu = { 5, 5 }, files = { 100, 100 };
	struct msg m;

	ck_assert_int_eq(prlimit(supervisor, RLIMIT_CPU, &cpu, NULL), 0);
	ck_assert_int_eq(prlimit(supervisor, RLIMIT_NOFILE, &files, NULL), 0);
	run_limited("ulimit -St; ulimit -Ht; ulimit -Sn",
		    &(struct msg_start){ .cpu_s = 3600, .n_files = 101 });
	expect_exited();
	expect_output(1, "5\n5\n100\n");
	run_limited("true", &(struct msg_start){ .n_files = 101, .needs_files = true });
	m = expect(SUP_FAILED);
	ck_assert_uint_eq(m.failed.stage, STAGE_LIMITS);
	ck_assert_int_eq(m.failed.error, EPERM);
}
END_TEST

/* Of a second: the kernel counts whole ticks for the limit, and finer for the usage. */
#define SURELY_USED_US 500000

/* It takes a second of processor time, however long that takes. */
START_TEST(too_much_processor_time_ends_it)
{
	struct msg_exited e;

	run_limited("while :; do :; done", &(struct msg_start){ .cpu_s = 1, .n_files = 64 });
	e = expect_exited();
	ck_assert_int_eq(e.term_signal, SIGXCPU);
	ck_assert_uint_eq(e.flags, 0);
	ck_assert_int_ge(e.user_us + e.system_us, SURELY_USED_US);
}
END_TEST

/* Who does not heed SIGXCPU has a second left. */
START_TEST(sigxcpu_is_told_and_then_meant)
{
	struct msg_exited e;

	run_limited("trap 'echo told' XCPU; while :; do :; done",
		    &(struct msg_start){ .cpu_s = 1, .n_files = 64 });
	e = expect_exited();
	ck_assert_int_eq(e.term_signal, SIGKILL);
	ck_assert_uint_eq(e.flags, 0);
	ck_assert_int_ge(e.user_us + e.system_us, 2 * SURELY_USED_US);
	expect_output(1, "told\n");
}
END_TEST

START_TEST(stdin_is_delivered_whole)
{
	const char *cat[] = { "cat", NULL }, *lazy[] = { "true", NULL };
	char *text = xmalloc(128 * 1024 + 1);
	struct output_read r;

	memset(text, 'x', 128 * 1024);
	text[128 * 1024] = '\0';
	run_program(1, cat, "/", text);
	expect_exited();
	r = output(1, OUTPUT_STDOUT);
	ck_assert_uint_eq(r.len, 128 * 1024);
	ck_assert_int_eq(memcmp(r.data, text, r.len), 0);
	output_read_fini(&r);
	/* Nobody need read it. */
	run_program(2, lazy, "/", text);
	ck_assert_int_eq(expect_exited().exit_status, 0);
	/* None at all is the end of file at once. */
	run_program(3, cat, "/", NULL);
	ck_assert_int_eq(expect_exited().output_bytes, 0);
	free(text);
}
END_TEST

START_TEST(path_is_the_workers_own)
{
	static const char *argv[] = { "tool", NULL };
	cleanup_free char *path = xasprintf("PATH=/nowhere:%s/a:b", dir);
	cleanup_free char *a = xasprintf("%s/a", dir), *b = xasprintf("%s/b", dir);
	cleanup_free char *tool_a = xasprintf("%s/tool", a), *tool_b = xasprintf("%s/tool", b);
	cleanup_free char *log = jobdir_path(1, 1, "log");
	const char *env[] = { path, NULL };
	struct msg m = { .type = SUP_START,
			 .job = 1,
			 .attempt = 1,
			 .start = { .argv = argv,
				    .env = env,
				    .cwd = dir,
				    .log_path = log,
				    .log_limit_bytes = 1000,
				    .n_files = 1024 } };
	int fd;

	ck_assert_int_eq(jobdir_make(1), 0);
	ck_assert_int_eq(mkdir(a, 0755) | mkdir(b, 0755), 0);
	/*
	 * The first match cannot be run: the next one is taken, relative to the worker's
	 * directory.
	 */
	close(open(tool_a, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	fd = open(tool_b, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
	ck_assert_int_eq(write(fd, "#!/bin/sh\necho b\n", 17), 17);
	close(fd);
	send_msg(&m);
	expect_exited();
	expect_output(1, "b\n");
	/* With nothing better the unusable one is the reason. */
	unlink(tool_b);
	send_msg(&m);
	m = expect(SUP_FAILED);
	ck_assert_int_eq(m.failed.error, EACCES);
}
END_TEST

/* ---- output ---- */

START_TEST(a_flood_is_bounded_and_counted)
{
	struct msg_exited e;
	struct output_read r;

	run_script(1, "head -c 104857600 /dev/zero; echo end");
	e = expect_exited();
	ck_assert_int_eq(e.output_bytes, 104857604);
	ck_assert_int_ge(e.dropped_bytes, 104857604 - LIMIT_BYTES);
	ck_assert_int_le(e.dropped_bytes, 104857604 - LIMIT_BYTES * 9 / 10);
	r = output(1, OUTPUT_BOTH);
	ck_assert_int_eq(r.next_offset, LIMIT_BYTES / 2);
	output_read_fini(&r);
	r.offset = r.next_offset;
	ck_assert_int_eq(output_read(&r), 0);
	ck_assert_int_eq(r.dropped, e.dropped_bytes);
	ck_assert_int_eq(memcmp(r.data + r.len - 4, "end\n", 4), 0);
	ck_assert_int_eq(r.next_offset, e.output_bytes);
	output_read_fini(&r);
}
END_TEST

START_TEST(bytes_are_bytes)
{
	struct output_read r;

	run_script(1, "head -c 100000 /dev/urandom | tee /proc/self/fd/2 | cat");
	ck_assert_int_eq(expect_exited().output_bytes, 200000);
	{
		struct output_read o = output(1, OUTPUT_STDOUT);

		r = output(1, OUTPUT_STDERR);
		ck_assert_uint_eq(o.len, 100000);
		ck_assert_uint_eq(r.len, 100000);
		ck_assert_int_eq(memcmp(o.data, r.data, 100000), 0);
		output_read_fini(&o);
		output_read_fini(&r);
	}
}
END_TEST

static void wait_for_output(int64_t job, size_t len)
{
	int64_t end = now_ms() + WAIT_MS;
	struct output_read r;
	bool has_come;

	do {
		ck_assert_int_lt(now_ms(), end);
		poll(NULL, 0, 5);
		r = output(job, OUTPUT_BOTH);
		has_come = r.len >= len;
		output_read_fini(&r);
	} while (!has_come);
}

START_TEST(growth_is_told_and_waits_for_the_ack)
{
	pid_t pid = 0;
	bool has_grown = false;
	struct msg m;

	run_script(1, "echo one; kill -STOP $$; echo two; kill -STOP $$; echo three");
	/* Either may come first. */
	while (!pid || !has_grown) {
		m = next_message();
		if (m.type == SUP_STARTED) {
			pid = m.started.pid;
			continue;
		}
		ck_assert_int_eq(m.type, SUP_GREW);
		ck_assert_int_eq(m.grew_bytes, 4);
		has_grown = true;
	}
	/* Not acknowledged: nothing but the end is told. */
	wait_for_state(pid, 'T');
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	wait_for_output(1, 8);
	wait_for_state(pid, 'T');
	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	m = next_message();
	ck_assert_int_eq(m.type, SUP_EXITED);
	ck_assert_int_eq(m.exited.output_bytes, 14);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, a_program_runs_and_ends);
	tcase_add_test(t, a_quick_one_says_only_its_end);
	tcase_add_test(t, what_cannot_run_is_named);
	tcase_add_test(t, a_log_that_cannot_be_opened);
	tcase_add_test(t, who_says_nothing_leaves_no_files);
	tcase_add_test(t, a_worker_starts_clean);
	tcase_add_test(t, a_worker_has_its_limits);
	tcase_add_test(t, without_limits_it_has_ours);
	tcase_add_test(t, limits_do_not_go_beyond_ours);
	tcase_add_test(t, too_much_processor_time_ends_it);
	tcase_add_test(t, sigxcpu_is_told_and_then_meant);
	tcase_add_test(t, stdin_is_delivered_whole);
	tcase_add_test(t, path_is_the_workers_own);
	tcase_add_test(t, a_flood_is_bounded_and_counted);
	tcase_add_test(t, bytes_are_bytes);
	tcase_add_test(t, growth_is_told_and_waits_for_the_ack);
}

int main(void)
{
	return worker_main("worker_start", add_tests);
}
